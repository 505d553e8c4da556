"""One line of a log as a record: when, who wrote it, what the logger said; and restarts on purpose, by their lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Literal, cast

from msgspec import Struct

from oc_ops import files
from oc_ops.text import regex

LONGEST_TEXT = 256 * 1024
"""Of a longer line this many characters are looked at: a 5 MB record is a payload, not a message."""

Writer = Literal["gateway", "cli", "ourselves"]

_OURSELVES = ("ua=oc-ops/", "client=oc-ops ")
"""How the gateway's lines about our own RPC connections name them."""

_CLI_SAYS = regex(r"\[openclaw\] (?:The CLI command failed|(?:Reason|Debug|Try|Help|Stack):)")
"""How a failed CLI command of 2026.9.6 begins its lines; the gateway's own console lines have other words."""

_STAMP = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_STAMPED = regex(rb"\s*\[?(" + _STAMP + rb")\]?(?:\s|$)")
_TIME = regex(rb'"time":\s*"([^"]{10,40})"')
_ANY_TIME = regex(rb'"time":\s*"([^"]{10,40})"|^\[?(' + _STAMP + rb")", re.M)

_FAULT_KEYS = ("error", "err", "errorMessage", "errorCode", "code", "reason", "cause", "message")
_QUOTES = regex(
    r"""(?:\b(?:Inbound|Reply)\ body:\ |\b(?:preview|replyToBody)="|(?:\b|(?<=m))text(?:\x1b\[\d*m)?=).*""", re.S | re.X
)
"""Where a record goes on to quote a chat: WhatsApp's debug lines, channel previews, agent text on the WebSocket log."""


class Record(Struct, frozen=True):
    """One log record.

    `text` is the message as logged, without payloads and quoted chat: untrusted, possibly long, possibly with control
    characters. `offset` is where its line begins in `file` (bytes), -1 where that is not known.
    """

    file: Path
    time: datetime | None
    level: str
    source: str
    text: str
    offset: int = -1

    @property
    def sorts_at(self) -> datetime:
        """The time to sort by; a record without one comes first."""
        return self.time or datetime.min.replace(tzinfo=UTC)


def parse(line: bytes, file: Path, offset: int = -1) -> Record | None:
    """One line as a record: OpenClaw's JSON lines, or plain text as it is; None for an empty line."""
    return read(line, file, offset)[0]


def read(line: bytes, file: Path, offset: int = -1) -> tuple[Record | None, Writer]:
    """One line as a record, and who has to answer for it."""
    text = line[:LONGEST_TEXT].decode("utf-8", "replace").strip()
    if not text:
        return None, "gateway"
    entry = _entry(line) if text.startswith("{") else None
    if entry is None or not _is_record(entry):
        return Record(file, _plain_time(line), "", "", _unquoted(text), offset), _about_us(text)
    meta = _table(entry.get("_meta"))
    message = _message(entry)
    writer: Writer = "cli" if _is_cli(entry) else _about_us(message)
    time = moment(str(entry.get("time", "")))
    level = str(meta.get("logLevelName") or entry.get("level") or "").upper()
    source = _source(str(meta.get("name") or entry.get("subsystem") or ""))
    return Record(file, time, level, source, _unquoted(message)[:LONGEST_TEXT], offset), writer


def moment(text: str) -> datetime | None:
    """A time as OpenClaw writes it; one without a zone is this machine's. None for what is no time."""
    try:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.astimezone()
    except (ValueError, OverflowError):
        return None


def first_time(chunk: bytes) -> datetime | None:
    """The time of the first stamped record in a piece of log."""
    stamp = _ANY_TIME.search(chunk)
    return _decoded(stamp) if stamp else None


def last_time(chunk: bytes) -> datetime | None:
    """The time of the last stamped record in a piece of log; the last one decides, readable or not."""
    last = None
    for last in _ANY_TIME.finditer(chunk):  # noqa: B007 - only the last is wanted
        pass
    return _decoded(last) if last else None


def raw_time(line: bytes) -> datetime | None:
    """The time of one raw line without parsing it: the record's own is its last key of that name."""
    at = line.rfind(b'"time":"')
    stamp = _TIME.match(line, at) if at >= 0 else _STAMPED.match(line)
    return _decoded(stamp) if stamp else None


def raw_second(line: bytes) -> int | None:
    """The second (Unix time) of one raw line, cheaply: lines of one second share what was worked out for the first."""
    at = line.rfind(b'"time":"')
    stamp = line[at + 8 : line.find(b'"', at + 8)] if at >= 0 else b""
    if stamp[19:20] == b".":
        return _second(stamp[:19], stamp[23:])
    time = raw_time(line)
    return int(time.timestamp()) if time else None


@lru_cache(maxsize=64)
def _second(stamp: bytes, zone: bytes) -> int | None:
    time = moment((stamp + zone).decode("ascii", "replace"))
    return int(time.timestamp()) if time else None


def _decoded(stamp: re.Match[bytes]) -> datetime | None:
    return moment(next(each for each in stamp.groups() if each is not None).decode("ascii", "replace"))


def _plain_time(line: bytes) -> datetime | None:
    stamp = _STAMPED.match(line) or _TIME.search(line[:LONGEST_TEXT]) or _TIME.search(line[-1024:])
    return _decoded(stamp) if stamp else None


def _entry(line: bytes) -> Mapping[str, object] | None:
    """The line as a JSON object, also with broken UTF-8 or control characters in its strings; else None."""
    try:
        value = files.json_of(line.decode("utf-8", "replace"), strict=False)
    except ValueError:
        return None
    return cast("dict[str, object]", value) if isinstance(value, dict) else None


def _about_us(text: str) -> Writer:
    return "ourselves" if any(each in text for each in _OURSELVES) else "gateway"


def _is_record(entry: Mapping[str, object]) -> bool:
    """A line of the file log, or of a console with `logging.consoleStyle` json; other JSON is plain text."""
    return "_meta" in entry or "0" in entry or ("level" in entry and isinstance(entry.get("message"), str))


def _table(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def _is_cli(entry: Mapping[str, object]) -> bool:
    """True for a record that a CLI process appended to the gateway's log, which says nothing about the gateway.

    Seen on 2026.2.26, 2026.5.28 and 2026.9.6: such records carry the bare logger name `openclaw` and no parents; the
    gateway's own console lines share that name and begin with `[openclaw]`, as do those of a failed command.
    """
    meta = _table(entry.get("_meta"))
    if meta.get("name") != "openclaw" or meta.get("parentNames"):
        return False
    said = _message(entry).lstrip()
    return not said.startswith("[openclaw]") or _CLI_SAYS.match(said) is not None


def _message(entry: Mapping[str, object]) -> str:
    """The logger's words, and of the payload beside them only the part that names a fault.

    A payload may hold a chat message (`body`, `text`, `prompt`): its other fields are never looked at.
    """
    parts = [entry[key] for key in sorted(entry) if key.isdigit()]
    message = entry.get("message")
    if not isinstance(message, str):
        words = (each for each in parts if isinstance(each, str))
        message = " ".join(each for each in words if not each.startswith(('{"subsystem"', '{"module"')))
    faults = [each for part in parts for each in _faults(_table(part))]
    if not parts:
        faults += _faults({key: value for key, value in entry.items() if key != "message"})
    return " ".join((message, *(each for each in faults if each.partition("=")[2] not in message))).strip()


def _faults(payload: Mapping[str, object]) -> Iterator[str]:
    for key in _FAULT_KEYS:
        value = payload.get(key)
        if isinstance(value, dict):
            value = value.get("message")
        if isinstance(value, str | int) and not isinstance(value, bool):
            yield f"{key}={value}"


def _unquoted(text: str) -> str:
    return _QUOTES.sub("", text) if "=" in text or ": " in text else text


def _source(name: str) -> str:
    """`{"subsystem":"gateway/ws"}` as `gateway/ws`."""
    try:
        value = files.json_of(name)
    except ValueError:
        return name
    if isinstance(value, dict):
        return str(value.get("subsystem") or value.get("module") or name)
    return name


Window = tuple[datetime, datetime]
"""A planned restart, from its beginning to its end."""

_MOST_BYTES = 128 * 1024
_BEFORE = timedelta(seconds=2)
_LINE = regex(r"\[([^\]]{10,40})\] openclaw (?:gateway lifecycle|restart (\w+)) (.*)")
"""`[2026-11-22T12:00:00.000Z] openclaw gateway lifecycle source=cli action=restart mode=… interactive=0`, and
`openclaw restart attempt|done|failed|finished source=update|handoff …` of the detached scripts (2026.9.6)."""

_ACTION = regex(r"\baction=(?:restart|stop|start)\b")


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
