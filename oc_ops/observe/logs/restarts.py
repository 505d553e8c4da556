"""When the gateway was restarted on purpose: what it logged about that time is no fault."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

from oc_ops import files
from oc_ops.observe.logs.records import moment

Window = tuple[datetime, datetime]
"""A planned restart, from its beginning to its end."""

_MOST_BYTES = 128 * 1024
_BEFORE = timedelta(seconds=2)
_LINE = re.compile(r"\[([^\]]{10,40})\] openclaw (?:gateway lifecycle|restart (\w+)) (.*)")
"""`[2026-11-22T12:00:00.000Z] openclaw gateway lifecycle source=cli action=restart mode=… interactive=0`, and
`openclaw restart attempt|done|failed|finished source=update|handoff …` of the detached scripts (2026.9.6)."""

_ACTION = re.compile(r"\baction=(?:restart|stop|start)\b")


def planned_restarts(state_dir: Path, since: datetime, *, lasts_s: float) -> tuple[Window, ...]:
    """The windows that `logs/gateway-restart.log` tells of since a moment; none when there is no such log.

    A restart ends `lasts_s` seconds after its last line. Lines of any other form are passed over; at most the last
    128 KiB are read.
    """
    try:
        text = files.read_tail(state_dir / "logs" / "gateway-restart.log", _MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ()
    lasts = timedelta(seconds=lasts_s)
    found: list[Window] = []
    for line in text.splitlines():
        if (time := _planned(line)) and time + lasts >= since:
            if found and found[-1][0] <= time <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], time + lasts))
            else:
                found.append((time - _BEFORE, time + lasts))
    return tuple(found)


def _planned(line: str) -> datetime | None:
    """The time of a line that tells of a restart; one that was blocked or skipped never happened."""
    match = _LINE.fullmatch(line.strip())
    if match is None:
        return None
    stamp, step, fields = match.groups()
    if step in ("attempt", "done", "finished", "failed") or (step is None and _ACTION.search(fields)):
        return moment(stamp)
    return None
