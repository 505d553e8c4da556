"""The records that a look keeps: all of a quiet log, a bounded and honest part of a flood."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from oc_ops.observe.logs.records import Record, raw_second, raw_time, read
from oc_ops.observe.logs.scan import Hit, Needle

PER_SECOND = 4
"""Records kept of one needle within one second: a fault that is logged ten thousand times in it is one fault."""

PER_NEEDLE = 256
"""Records kept of one needle in all: beyond it those in the middle go, the first and the last stay."""

_LONGEST_KEPT = 4096
_OWN_LOOKED_AT = 64
_EVERYTHING = ("",)


class LogHit(Struct, frozen=True):
    """A record, the needles it was found by, and the second (Unix time) it counts in."""

    second: int
    ids: tuple[str, ...]
    record: Record


class HitBuffer(Struct):
    """Entries by their first needle in the order of reading; what was left out and what was not the gateway's."""

    needles: Sequence[Needle]
    entries: dict[str, list[LogHit]] = {}
    left_out: Counter[tuple[str, int]] = field(default_factory=Counter)
    own: Counter[int] = field(default_factory=Counter)
    _room: Counter[tuple[str, int]] = field(default_factory=Counter)
    _ids: dict[tuple[int, ...], tuple[str, ...]] = {}

    def take(self, hit: Hit, file: Path, since: datetime, before: Callable[[int], datetime]) -> None:
        """Look at one line. `before` gives the time of what stands before an offset, for lines without a time."""
        ids = self._ids.get(hit.needles) or self._ids_of(hit.needles)
        second = raw_second(hit.line)
        known = None if second is not None else before(hit.offset)
        if known is not None:
            second = int(known.timestamp())
        assert second is not None
        if second < int(since.timestamp()):
            return
        if self._full(ids, second):
            self.left_out[ids[0], second] += 1
        elif self.own[second] >= _OWN_LOOKED_AT and _looks_own(hit.line):
            self.own[second] += 1
        else:
            self._look(hit, file, ids, known or raw_time(hit.line) or since, since)

    def _look(self, hit: Hit, file: Path, ids: tuple[str, ...], known: datetime, since: datetime) -> None:
        if known < since:
            return
        second = int(known.timestamp())
        entry, writer = entry_of(hit, self.needles, file, known)
        if entry is not None and writer:
            self.own[second] += 1
        elif entry is not None:
            self.keep(LogHit(second, ids, entry))

    def keep(self, entry: LogHit) -> None:
        """Add an entry; the flood's middle makes room for it."""
        entries = self.restore(entry)
        self._room.update((name, entry.second) for name in entry.ids)
        if len(entries) > PER_NEEDLE and entry.ids != _EVERYTHING:
            gone = entries.pop(PER_NEEDLE // 2)
            self._room.subtract((name, gone.second) for name in gone.ids)
            self.left_out[gone.ids[0], gone.second] += 1

    def restore(self, entry: LogHit) -> list[LogHit]:
        """Put back an entry as it was kept before; `forget` completes a restoration. The entries beside it."""
        entries = self.entries.setdefault(entry.ids[0], [])
        entries.append(entry)
        return entries

    def forget(self, before: int) -> None:
        """Drop what is older than a second (Unix time)."""
        for name, entries in self.entries.items():
            self.entries[name] = [each for each in entries if each.second >= before]
        self.left_out = Counter({key: count for key, count in self.left_out.items() if key[1] >= before})
        self.own = Counter({second: count for second, count in self.own.items() if second >= before})
        self._room = Counter((name, each.second) for each in self for name in each.ids)

    def __iter__(self) -> Iterator[LogHit]:
        return (each for entries in self.entries.values() for each in entries)

    def _full(self, ids: tuple[str, ...], second: int) -> bool:
        for name in ids:
            key = (name, second)
            if self._room[key] + self.left_out[key] < PER_SECOND:
                return False
        return ids != _EVERYTHING

    def _ids_of(self, numbers: tuple[int, ...]) -> tuple[str, ...]:
        return self._ids.setdefault(numbers, tuple(self.needles[each].id for each in numbers) or _EVERYTHING)


def entry_of(hit: Hit, needles: Sequence[Needle], file: Path, known: datetime) -> tuple[Record | None, bool]:
    """The record of a line, and whether somebody else than the gateway has to answer for it.

    None for a line that holds its needles only in what it quotes. A line without a time gets the one that is known.
    """
    record, writer = read(hit.line, file, hit.offset)
    if record is None:
        return None, False
    if writer != "gateway":
        return record, True
    sought = [needles[number] for number in hit.needles]
    if sought and not any(each.stands_in(record.text) for each in sought):
        return None, False
    text = clipped(record.text, sought)
    if not hit.line.lstrip().startswith(b"{") and record.time is None:
        return replace(record, time=known, text=text), False
    return replace(record, text=text) if text is not record.text else record, False


def clipped(text: str, sought: Sequence[Needle]) -> str:
    """The beginning of a long text and what stands around the first needle in it."""
    if len(text) <= _LONGEST_KEPT:
        return text
    places = (text.find(literal) for each in sought for literal in each.literals)
    at = min((place for place in places if place >= 0), default=0)
    half = _LONGEST_KEPT // 2
    if at < half:
        return text[:_LONGEST_KEPT]
    return f"{text[:half]} … {text[max(half, at - half // 2) : at + half // 2]}"


def _looks_own(line: bytes) -> bool:
    """A cheap look at what nearly surely is a CLI's record: enough to count it, not enough to leave out another."""
    return b'"name":"openclaw"' in line and b'"[openclaw]' not in line and b'"parentNames"' not in line
