"""The gateway's own recent log records: found, read back from the end, told apart from what CLI calls appended."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.target import Target

_LOG_FOLDER = Path("/tmp/openclaw")  # noqa: S108 - hard-coded in OpenClaw itself, whatever TMPDIR says
_LONGEST_LINE_BYTES = 256 * 1024
"""Of a longer line this much is looked at: a 5 MB record is a payload, not a message."""

_OWN = ("ua=oc-ops/", "client=oc-ops ")
"""How the gateway's lines about our own RPC connections name them."""

_TIME = re.compile(rb'"time":\s*"([^"]{10,40})"')


@dataclass(frozen=True, slots=True)
class Record:
    """One log record. `text` is the message as logged: untrusted, possibly long, possibly with control characters."""

    file: Path
    time: datetime | None
    level: str
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class LogView:
    """What one look gave: the records of the window that hold one of the literals, and what was looked at.

    `own_dropped` counts those that a CLI call or our own RPC connection left there.
    """

    files: tuple[Path, ...]
    since: datetime
    records: tuple[Record, ...]
    bytes_read: int
    newest: datetime | None = None
    own_dropped: int = 0


def files(target: Target, config: GatewayConfig, today: datetime, told: Sequence[str] = ()) -> tuple[Path, ...]:
    """The log files that may hold records of today and yesterday, newest last.

    `logging.file` wins; else /tmp/openclaw and its per-user fallback (#18274), by profile and local date; `told` are
    paths a gateway or CLI named itself.
    """
    if config.log_file:
        found = [config.log_file]
    else:
        stem = f"openclaw-{_file_word(target.profile)}" if target.profile else "openclaw"
        days = [(today - timedelta(days=1)).strftime("%Y-%m-%d"), today.strftime("%Y-%m-%d")]
        temp = Path(target.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - where Node puts temporary files
        own = f"openclaw-{os.getuid()}"
        folders = dict.fromkeys((_LOG_FOLDER, temp / own, _LOG_FOLDER.with_name(own), _LOG_FOLDER / str(os.getuid())))
        found = [folder / f"{stem}-{day}.log" for day in days for folder in folders]
    found += [Path(path) for path in told]
    return tuple(path for path in dict.fromkeys(found) if os.path.isfile(path))  # noqa: PTH113 - never raises


def _file_word(profile: str) -> str:
    """A profile as it stands in a log file's name: lower case, what would be ambiguous escaped (2026.9.6)."""
    escapes = {"-": "--", "_": "-0"}
    return "".join(escapes.get(char, f"-1{char.lower()}" if char.isupper() else char) for char in profile)


def recent(paths: Sequence[Path], literals: Sequence[str], *, since: datetime, tail_bytes: int) -> LogView:
    """The gateway's records since a moment that contain one of the literals (case kept), oldest first.

    At most `tail_bytes` per file are read back; the start of the window is found by bisection. A file that vanishes
    or cannot be read on the way is left out of `files`; records without a readable time count as recent.
    """
    wanted = re.compile(b"|".join(re.escape(_as_json(each)) for each in literals)) if literals else None
    seen: list[Path] = []
    records: list[Record] = []
    newest: datetime | None = None
    total = own = 0
    for path in paths:
        try:
            with path.open("rb") as file:
                chunk = _window(file, since, tail_bytes)
        except OSError:
            continue
        seen.append(path)
        total += len(chunk)
        newest = max(filter(None, (newest, _last_time(chunk))), default=None)
        for line in _matching_lines(chunk, wanted):
            record = parse(line, path)
            if record is None or (record.time and record.time < since):
                continue
            if from_cli(line) or any(each in record.text for each in _OWN):
                own += 1
            else:
                records.append(record)
    return LogView(tuple(seen), since, tuple(records), total, newest, own)


def tail(path: Path, lines: int, *, most_bytes: int = 256 * 1024) -> tuple[Record, ...]:
    """The last records of a file, for evidence; nothing when it cannot be read."""
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - most_bytes)
            file.seek(start)
            raw = file.read(most_bytes).splitlines()
    except OSError:
        return ()
    if start and len(raw) > 1:
        del raw[0]  # torn
    parsed = (parse(line, path) for line in raw[-lines - 1 :])
    return tuple(record for record in parsed if record is not None)[-lines:]


def parse(line: bytes, file: Path) -> Record | None:
    """One line as a record: OpenClaw's JSON lines, or plain text as it is; None for an empty line."""
    text = line[:_LONGEST_LINE_BYTES].decode("utf-8", "replace").strip()
    if not text:
        return None
    entry = _entry(line)
    if entry is None:
        stamp = _TIME.search(line[:_LONGEST_LINE_BYTES]) or _TIME.search(line[-1024:])
        return Record(file, _moment(stamp[1].decode("ascii", "replace")) if stamp else None, "", "", text)
    meta = _meta(entry)
    return Record(
        file,
        _moment(str(entry.get("time", ""))),
        str(meta.get("logLevelName", "")),
        _source(str(meta.get("name", ""))),
        _message(entry)[:_LONGEST_LINE_BYTES],
    )


def from_cli(line: bytes) -> bool:
    """True for a record that a CLI process appended to the gateway's log, which says nothing about the gateway.

    Seen on 2026.2.26, 2026.5.28 and 2026.9.6: such records carry the bare logger name `openclaw` and no parents; the
    gateway's own console lines share that name and begin with `[openclaw]`.
    """
    entry = _entry(line)
    if entry is None or _meta(entry).get("name") != "openclaw" or _meta(entry).get("parentNames"):
        return False
    return not _message(entry).lstrip().startswith("[openclaw]")


def _entry(line: bytes) -> Mapping[str, object] | None:
    """The line as a JSON object, also with broken UTF-8 or control characters in its strings; else None."""
    try:
        value = json.loads(line.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _meta(entry: Mapping[str, object]) -> Mapping[str, object]:
    meta = entry.get("_meta")
    return cast("Mapping[str, object]", meta) if isinstance(meta, dict) else {}


def _message(entry: Mapping[str, object]) -> str:
    """The message keys of a record: `message`, or the numbered arguments without the logger's own name."""
    if isinstance(message := entry.get("message"), str):
        return message
    parts = [entry[key] for key in sorted(entry) if key.isdigit()]
    words = [each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in parts]
    return " ".join(each for each in words if not each.startswith(('{"subsystem"', '{"module"')))


def _source(name: str) -> str:
    """`{"subsystem":"gateway/ws"}` as `gateway/ws`."""
    try:
        value = json.loads(name)
    except ValueError:
        return name
    if isinstance(value, dict):
        return str(value.get("subsystem") or value.get("module") or name)
    return name


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.astimezone()


def _as_json(literal: str) -> bytes:
    """A literal as it stands inside a JSON string."""
    return json.dumps(literal, ensure_ascii=False)[1:-1].encode()


def _window(file: BinaryIO, since: datetime, tail_bytes: int) -> bytes:
    """The bytes from the first line of the window on, found by bisecting the offsets; torn first lines are skipped."""
    size = file.seek(0, os.SEEK_END)
    low = max(0, size - tail_bytes)
    high = size
    while high - low > 256 * 1024:
        middle = (low + high) // 2
        file.seek(middle)
        stamp = _TIME.search(file.read(64 * 1024).partition(b"\n")[2])
        moment = _moment(stamp[1].decode("ascii", "replace")) if stamp else None
        if moment is None or moment >= since:
            high = middle
        else:
            low = middle
    file.seek(low)
    chunk = file.read(size - low)
    return chunk if low == 0 else chunk.partition(b"\n")[2]


def _last_time(chunk: bytes) -> datetime | None:
    stamps = _TIME.findall(chunk[-64 * 1024 :])
    return _moment(stamps[-1].decode("ascii", "replace")) if stamps else None


def _matching_lines(chunk: bytes, wanted: re.Pattern[bytes] | None) -> Iterator[bytes]:
    """Each whole line that holds a wanted literal, once, without splitting what does not match."""
    if wanted is None:
        yield from chunk.splitlines()
        return
    position = 0
    while match := wanted.search(chunk, position):
        start = chunk.rfind(b"\n", 0, match.start()) + 1
        end = chunk.find(b"\n", match.end())
        end = len(chunk) if end < 0 else end
        yield chunk[start:end]
        position = end + 1
