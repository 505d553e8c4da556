"""The files of a gateway's log, wherever its records can be; and the lines in them around a hit or at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from oc_ops.files import open_regular
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.logs.records import Record, parse
from oc_ops.observe.target import Target
from oc_ops.text import regex

_LOG_FOLDER = Path("/tmp/openclaw")  # noqa: S108 - hard-coded in OpenClaw itself, whatever TMPDIR says
_ARCHIVES = 5
"""How many rotated files OpenClaw keeps: `name.1.log` the youngest, `name.5.log` the oldest (2026.5.28, 2026.9.6)."""

_ROLLING = regex(r"openclaw-(?:YYYY-MM-DD|\d{4}-\d{2}-\d{2})\.log")
"""A `logging.file` of this form is written under the day's date all the same."""

_LONGEST_PROFILE = 220


def files(target: Target, config: GatewayConfig, today: datetime, platform: str = sys.platform) -> tuple[Path, ...]:
    """The log files that may hold records of today and yesterday, newest last, each behind its rotated archives.

    `logging.file` wins; else /tmp/openclaw and its per-user fallback (#18274), by profile and local date. The
    supervisor's copies of standard output and error come last.
    """
    found = list(_configured(config.log_file, today) if config.log_file else _dated(target, today))
    found = [each for path in found for each in (*archives(path), path)]
    found += _supervised(target, platform)
    return tuple(path for path in dict.fromkeys(found) if os.path.isfile(path))  # noqa: PTH113 - never raises


def archives(path: Path) -> Iterator[Path]:
    """Where OpenClaw moves a file that outgrew `logging.maxFileBytes`, oldest first; whether they exist or not."""
    return (path.with_name(f"{path.stem}.{number}{path.suffix}") for number in range(_ARCHIVES, 0, -1))


def _days(today: datetime) -> tuple[str, str]:
    # The gateway names files by its own local date: calendar days, so that a day of 23 or 25 hours is one too.
    return ((today - timedelta(days=1)).strftime("%Y-%m-%d"), today.strftime("%Y-%m-%d"))


def _configured(path: Path, today: datetime) -> Iterator[Path]:
    if _ROLLING.fullmatch(path.name):
        yield from (path.with_name(f"openclaw-{day}.log") for day in _days(today))
    else:
        yield path


def _dated(target: Target, today: datetime) -> Iterator[Path]:
    stem = f"openclaw-{_file_word(target.profile)}" if target.profile else "openclaw"
    temp = Path(target.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - where Node puts temporary files
    own = f"openclaw-{os.getuid()}"
    folders = dict.fromkeys((_LOG_FOLDER, temp / own, _LOG_FOLDER.with_name(own), _LOG_FOLDER / str(os.getuid())))
    return (folder / f"{stem}-{day}.log" for day in _days(today) for folder in folders)


def _supervised(target: Target, platform: str) -> list[Path]:
    """Files that launchd or a hand-made unit redirects to; under systemd that is the journal instead."""
    prefix = target.environ.get("OPENCLAW_LOG_PREFIX", "").strip()
    state = target.state_dir / "logs"
    found = [state / f"{prefix or 'gateway'}{end}" for end in (".log", ".err.log")]
    if platform == "darwin":
        name = prefix or f"gateway{'-' + target.profile if target.profile else ''}"
        found += [target.home / "Library" / "Logs" / "openclaw" / f"{name}{end}" for end in (".log", ".err.log")]
    return found


def _file_word(profile: str) -> str:
    """A profile as it stands in a log file's name: lower case, what would be ambiguous escaped (2026.9.6)."""
    escapes = {"-": "--", "_": "-0"}
    word = "".join(escapes.get(char, f"-1{char.lower()}" if char.isupper() else char) for char in profile)
    if len(word) <= _LONGEST_PROFILE:
        return word
    import hashlib

    return f"-3{hashlib.sha256(profile.encode()).hexdigest()}"


_MOST_BYTES = 256 * 1024
_LONGEST = 2000


def tail(path: Path, lines: int, *, most_bytes: int = _MOST_BYTES) -> tuple[Record, ...]:
    """The last records of a file, for evidence; nothing when it cannot be read."""
    try:
        with open_regular(path) as file:
            start = max(0, file.seek(0, os.SEEK_END) - most_bytes)
            file.seek(start)
            raw = file.read(most_bytes).splitlines()
    except OSError:
        return ()
    if start and len(raw) > 1:
        del raw[0]  # torn
    parsed = (parse(line, path) for line in raw[-lines - 1 :])
    return tuple(record for record in parsed if record is not None)[-lines:]


def around(record: Record, lines: int = 5) -> tuple[Record, ...]:
    """The records before and behind a hit with itself in the middle, texts clipped to 2000 characters.

    Nothing when its file is gone, its offset is not known, or something else stands there now; a file that was rotated
    meanwhile is found under its archive's name. At most 256 KiB are read to either side.
    """
    if record.offset < 0:
        return ()
    for path in (record.file, *reversed(list(archives(record.file)))):
        try:
            if found := _around(path, record, lines):
                return found
        except OSError:
            continue
    return ()


def _around(path: Path, record: Record, lines: int) -> tuple[Record, ...]:
    with open_regular(path) as file:
        begin = max(0, record.offset - _MOST_BYTES)
        file.seek(begin)
        before = file.read(record.offset - begin)
        after = file.read(_MOST_BYTES)
    if before and not before.endswith(b"\n"):
        return ()
    here = list(_records(after.split(b"\n")[: lines + 1], path, record.offset))
    if not here or here[0].offset != record.offset or here[0].text[:_LONGEST] != record.text[:_LONGEST]:
        return ()
    whole = before if begin == 0 else before.partition(b"\n")[2]
    last = whole.split(b"\n")[:-1][-lines:] if lines else []
    start = record.offset - sum(len(line) + 1 for line in last)
    return (*_records(last, path, start), *here)


def _records(raw: list[bytes], path: Path, offset: int) -> Iterator[Record]:
    for line in raw:
        if found := parse(line, path, offset):
            yield replace(found, text=found.text[:_LONGEST])
        offset += len(line) + 1
