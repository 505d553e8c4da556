"""Since when a gateway is seen to drain: one small file, as the gateway itself does not say it."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from oc_ops import files
from oc_ops.process.jsontext import number_at
from oc_ops.record import folder

_SAME_START_S = 5.0


def since(memory_dir: Path, key: str, started_s: float | None, now: datetime) -> datetime:
    """When the gateway `key` was first seen in the drain that it is in now; this very moment where that is not known.

    `started_s` (seconds since the epoch) is when this start of it began: another start's drain is another one.
    """
    path = _path(memory_dir, key)
    first, start = _read(path)
    same = started_s is None or start is None or abs(start - started_s) <= _SAME_START_S
    if first is not None and same and first <= now.timestamp():
        return datetime.fromtimestamp(first, UTC)
    with suppress(OSError):
        folder.write(path, json.dumps({"first_s": now.timestamp(), "started_s": started_s}) + "\n")
    return now


def forget(memory_dir: Path, key: str) -> None:
    """The drain is over."""
    with suppress(OSError):
        _path(memory_dir, key).unlink(missing_ok=True)


def _path(memory_dir: Path, key: str) -> Path:
    return memory_dir / f"drain-{key}.json"


def _read(path: Path) -> tuple[float | None, float | None]:
    try:
        kept: object = json.loads(files.read_text(path, files.SMALL_BYTES))
    except (OSError, ValueError, RecursionError):
        return None, None
    return number_at(kept, "first_s"), number_at(kept, "started_s")
