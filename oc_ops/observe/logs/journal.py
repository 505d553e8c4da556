"""The gateway's output in the systemd journal, for where its log file is near empty."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from oc_ops import files
from oc_ops.errors import CouldNotLook
from oc_ops.observe.logs.buffer import clipped
from oc_ops.observe.logs.records import Record, Window, read
from oc_ops.observe.logs.scan import Needle
from oc_ops.observe.logs.view import LogView
from oc_ops.observe.target import Target
from oc_ops.process.run import run

NEAR_EMPTY_BYTES = 4096
_DEADLINE_S = 5.0
_MOST_LINES = 5000
_LONGEST_LINE = 256 * 1024
"""A longer entry holds no signature that anybody reads; a service may log one of 300 MB."""
_LEVELS = {0: "FATAL", 1: "FATAL", 2: "FATAL", 3: "ERROR", 4: "WARN", 5: "INFO", 6: "INFO", 7: "DEBUG"}


def wanted(paths: Sequence[Path]) -> bool:
    """True if the log files hold so little that the journal is worth a call."""
    total = 0
    for path in paths:
        try:
            total += path.stat().st_size
        except OSError:
            continue
    return total < NEAR_EMPTY_BYTES


def journal(unit: str, target: Target, needles: Sequence[Needle], since: datetime) -> tuple[Record, ...] | None:
    """The unit's records since a moment that hold a needle, oldest first; None where there is no journal to ask.

    At most the last 5000 lines; takes at most 5 seconds. `unit` is `service().unit` of a systemd service.
    """
    entries = _entries(unit, target, since, _MOST_LINES)
    return None if entries is None else tuple(matching(entries, needles))


def tail(unit: str, target: Target, lines: int, since: datetime, *, system: bool = False) -> tuple[Record, ...]:
    """The unit's last records since a moment, oldest first; none where there is no journal, or none that we may read.

    `system` says that it is a unit of the system's manager. Takes at most 5 s.
    """
    return tuple(_entries(unit, target, since, lines, system=system) or ())


def _entries(
    unit: str, target: Target, since: datetime, lines: int, *, system: bool = False
) -> Iterator[Record] | None:
    if shutil.which("journalctl") is None:
        return None
    # Not `--user --unit`: that reads the files of one user's journal, and root has none (systemd 252).
    chosen = f"--unit={unit}" if system else f"--user-unit={unit}"
    argv = ["journalctl", "--quiet", chosen, "--output=json", "--no-pager", f"--lines={lines}"]
    argv.append(f"--since=@{int(since.timestamp())}")
    runtime = target.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    environ = {**os.environ, "XDG_RUNTIME_DIR": runtime}
    try:
        call = run(argv, environ=environ, deadline_s=_DEADLINE_S, tail_bytes=1 << 22)
    except CouldNotLook:
        return None
    if call.outcome != "answered":
        return None
    return records(call.stdout.text, unit)


def added(view: LogView, unit: str, found: Sequence[Record], planned: Sequence[Window] = ()) -> LogView:
    """A view with the journal's records in it, oldest first; those of a planned restart are left out, as in files."""
    told = [each for each in found if not any(each.time and begin <= each.time <= end for begin, end in planned)]
    both = sorted((*view.records, *told), key=lambda each: each.time or view.since)
    times = [each.time for each in found if each.time]
    newest = max((*times, *((view.newest,) if view.newest else ())), default=None)
    return replace(
        view,
        files=(*view.files, _place(unit)),
        records=tuple(both),
        newest=newest,
        planned_dropped=view.planned_dropped + len(found) - len(told),
    )


def records(text: str, unit: str) -> Iterator[Record]:
    """The output of `journalctl --output=json`; lines that are no entries (a boot mark, a torn
    end) are passed over, and so is what our own connections caused."""
    for line in text.splitlines():
        if len(line) > _LONGEST_LINE:
            continue
        try:
            entry = files.json_of(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and (record := _record(entry, unit)):
            yield record


def matching(found: Iterator[Record], needles: Sequence[Needle]) -> Iterator[Record]:
    """The records that hold a needle, clipped around it."""
    for record in found:
        if sought := [each for each in needles if each.stands_in(record.text)]:
            yield replace(record, text=clipped(record.text, sought))


def _record(entry: Mapping[str, object], unit: str) -> Record | None:
    message = entry.get("MESSAGE")
    if isinstance(message, list):  # what is not UTF-8 comes as numbers
        if not all(isinstance(each, int) and 0 <= each < 256 for each in message):
            return None
        message = bytes(message).decode("utf-8", "replace")
    if not isinstance(message, str):
        return None
    said, writer = read(message.encode("utf-8", "replace"), _place(unit))
    if said is None or writer != "gateway":
        return None
    level = _LEVELS.get(_number(entry.get("PRIORITY")), "")
    stamp = _number(entry.get("__REALTIME_TIMESTAMP"))
    time = datetime.fromtimestamp(stamp / 1e6, UTC) if 0 < stamp < 2**56 else said.time
    source = said.source or str(entry.get("SYSLOG_IDENTIFIER", ""))
    return replace(said, time=time, level=said.level or level, source=source)


def _number(value: object) -> int:
    return int(value) if isinstance(value, str | int) and str(value).isascii() and str(value).isdigit() else -1


def _place(unit: str) -> Path:
    return Path(f"journal:{unit}")
