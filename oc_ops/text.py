"""Text as it is shown: strangers' made harmless to look at, lengths of time and moments said one way everywhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import AnyStr, Generic, Literal, cast

BLOCK_LIMIT = 20_000
"""Characters of one block of text that a report shows unless told otherwise."""
LINE_LIMIT = 2_000
"""Characters of one line inside a block."""


class _Unmade(Generic[AnyStr]):
    """Passes for the compiled expression, and takes each method of it over as it is asked for."""

    def __init__(self, expression: AnyStr, flags: int) -> None:
        self._given: tuple[AnyStr, int] = (expression, flags)

    def __getattr__(self, name: str) -> object:
        found = getattr(re.compile(*self._given), name)
        setattr(self, name, found)
        return found


def regex(expression: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """A module's own expression, compiled once it is used: a healthy run uses 33 of 146, all of them cost 30 ms."""
    return cast("re.Pattern[AnyStr]", _Unmade(expression, flags))


_CONTROLS = "\0-\x08\x0b-\x1f\x7f-\x9f"
# Marks and overrides reorder what a reader sees; tag characters and zero-width space hide text in it.
_INVISIBLE = "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f"
_HOSTILE = regex(f"[{_CONTROLS}{_INVISIBLE}\ud800-\udfff]")
_HOSTILE_OR_BREAK = regex(f"[{_CONTROLS}{_INVISIBLE}\ud800-\udfff\t\n]")


def printable(text: str, limit: int = BLOCK_LIMIT, *, line_limit: int = LINE_LIMIT, breaks: bool = True) -> str:
    """Return `text` with nothing in it that a terminal, browser or editor would act upon.

    Controls show as control pictures (ESC as ␛), bidi overrides, byte order marks and lone surrogates as escapes
    (`\\u202e`). Newlines and tabs stay when `breaks`, else they show too. Lines beyond `line_limit` and a text
    beyond `limit` characters (both counted before escaping, which can make a character ten) lose their middle.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if breaks and len(text) > line_limit:
        text = "\n".join(_cut(line, line_limit) for line in text.split("\n"))
    return (_HOSTILE if breaks else _HOSTILE_OR_BREAK).sub(_visible, _cut(text, limit))


def listing(names: Sequence[str], most: int, between: str = ", ") -> str:
    """The first `most` of a list in words, and how many are left: `a, b and 3 more`."""
    left = len(names) - most
    more = f"{between.strip(', ')} and {left} more" if left > 0 else ""
    return between.join(names[:most]) + more


def count(number: int, noun: str) -> str:
    """How many there are of something: `1 job`, `3 jobs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def one_line(text: str, limit: int = 300) -> str:
    """Return `text` on one line of at most about `limit` characters, newlines inside it shown as ␊."""
    return printable(text.strip(), limit, breaks=False)


_DAY_S = 86_400
_NOTHING = timedelta()


def span(seconds: float) -> str:
    """A length of time as everything says it: `85 ms`, `3.1 s`, `41 s`, `1 min 30 s`, `12 min`, `2 h 5 min`, `3 d 4 h`.

    Rounded: tenths of a second below ten, seconds beside minutes below ten, hours beside days. A unit that is zero is
    left out; never below 0.
    """
    if 0.0005 <= seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f}".removesuffix(".0") + " s"
    step = next(length for least, length in ((_DAY_S, 3600), (595, 60), (0, 1)) if seconds >= least)
    whole = round(seconds / step) * step
    units = ((whole // _DAY_S, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    return " ".join(f"{count} {unit}" for count, unit in units if count)


def age(seconds: float) -> str:
    """How long ago, or for how long so far: whole seconds, as more would be old before it is read."""
    return span(int(seconds))


Shape = Literal["moment", "minute", "time", "short", "hour", "day", "date"]
"""How much of a moment is said: all to the second, to the minute, without the date, without the year, …"""
_SHAPES: dict[Shape, str] = {
    "moment": "%Y-%m-%d %H:%M:%S",
    "minute": "%Y-%m-%d %H:%M",
    "time": "%H:%M:%S",
    "short": "%d %b %H:%M",
    "hour": "%H:%M",
    "day": "%d %b",
    "date": "%d %b %Y",
}
_BY_DAY = ("day", "date")


def clock(when: datetime, shape: Shape = "moment") -> str:
    """A moment for people, in the zone of who looks, with the offset of that moment: `2026-09-25 14:03:07 +02:00`.

    `UTC` stands for an offset of nothing. The zone is TZ, else the machine's; a TZ that is no zone counts as UTC, as
    for the C library. A day has no offset. A moment that no local calendar holds is said in UTC.
    """
    here = _here(when)
    said = here.strftime(_SHAPES[shape])
    return said if shape in _BY_DAY else f"{said} {offset(here)}"


def offset(when: datetime) -> str:
    """By how much the zone of who looks is off UTC at that moment: `+05:30`, `UTC` for nothing."""
    ahead_s = round((_here(when).utcoffset() or _NOTHING).total_seconds())
    minutes = abs(ahead_s) // 60
    return f"{'-' if ahead_s < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}" if minutes else "UTC"


def utc(when: datetime, to: Literal["seconds", "milliseconds", "microseconds"] = "seconds") -> str:
    """A moment for machines, as every JSON file has it: `2026-09-25T12:03:07Z`."""
    return when.astimezone(UTC).isoformat(timespec=to).removesuffix("+00:00") + "Z"


def utc_day(when: datetime, *, year: bool = False) -> str:
    """The day of a moment by UTC, which is how the history counts days."""
    return f"{when.astimezone(UTC).strftime(_SHAPES['date' if year else 'day'])} UTC"


def read_moment(text: str) -> datetime | None:
    """A moment that a machine wrote (ISO 8601), by UTC where it names no zone; None for what is none."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def file_stamp(when: datetime) -> str:
    """A moment in a name, UTC: sorting by name is sorting by time."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")


def _here(when: datetime) -> datetime:
    try:
        return when.astimezone()
    except (OverflowError, ValueError, OSError):
        return when


NO_COMMAND = "none automatic: "


def remedy(fix: str) -> str:
    """A finding's fix as it is told: the command itself, or what a person does by hand."""
    return f"by hand: {fix.removeprefix(NO_COMMAND)}" if fix.startswith(NO_COMMAND) else fix


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    tail = limit // 3
    head = limit - tail
    return f"{text[:head]} […{len(text) - limit:,} characters left out…] {text[len(text) - tail :]}"


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_EARLIEST_S, _LATEST_S = 1_577_836_800, 4_133_980_800
"""2020 and 2101: OpenClaw is younger than the one, and nobody runs this build at the other."""


def clock_trouble(now_s: float) -> str:
    """The fault of a clock that says so (seconds since the epoch), in a clause; empty where it may be right."""
    if _EARLIEST_S <= now_s < _LATEST_S:
        return ""
    return f"this machine's clock says {datetime.fromtimestamp(now_s, UTC):%Y-%m-%d}"
