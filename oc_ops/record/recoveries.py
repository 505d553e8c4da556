"""When our own recoveries restarted the gateway, by their records `memory/recoveries/<stamp>.jsonl`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from oc_ops import files
from oc_ops.record.journal import parsed

FOLDER = "recoveries"
SPENT = "is spent until"
"""What every refusal for a spent budget says, and no other refusal does."""
_MOST = 20
"""Records that are looked at, the newest: every run looks, so none is missed for long."""


def restarts_by_us(memory_dir: Path, key: str) -> tuple[int, ...]:
    """When each restart began, in epoch milliseconds, of the gateway `key`; a record that cannot be read has none."""
    try:
        records = sorted((memory_dir / FOLDER).glob("*.jsonl"))[-_MOST:]
    except OSError:
        return ()
    return tuple(sorted(at for record in records for at in _in(record, key)))


def _in(record: Path, key: str) -> Iterator[int]:
    try:
        raw = files.read_tail(record, files.SMALL_BYTES).splitlines()
    except OSError:
        return
    lines = [line for line in map(parsed, raw) if line is not None]
    if not any(each.get("gateway") == key for each in lines[:1]):
        return
    for line in lines:
        begins = (line.get("step"), line.get("state")) == ("act", "begin")
        if begins and line.get("action") not in ("browser-restart", "channel-restart"):
            try:
                yield round(datetime.fromisoformat(str(line.get("at"))).timestamp() * 1000)
            except ValueError:
                continue
