"""How far each log was read and which of its records still count, remembered between runs.

Anything unknown or broken in the state means starting anew: it costs a scan, never a record.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from oc_ops import files
from oc_ops.observe.logs.buffer import HitBuffer, LogHit
from oc_ops.observe.logs.records import Record, moment
from oc_ops.observe.logs.scan import Needle
from oc_ops.text import utc

_SCHEMA = 2
"""Of the first the texts were kept as they were logged, secrets included: it is not read any more, and overwritten."""
_MARK = 512
_MOST_PLACES = 48
"""Files remembered: today's and yesterday's in four folders with five archives each."""


class Place(Struct):
    """Where reading goes on in one file, and by what it is known again.

    `mark` is a digest of its first bytes and of those right before `offset`: a file that was replaced, truncated and
    grown again, or rewritten under the same inode is another one.
    """

    device: int
    inode: int
    size: int
    changed_ns: int
    offset: int
    mark: str
    newest: datetime | None = None
    torn: LogHit | None = None

    def unchanged(self, found: os.stat_result) -> bool:
        """True if nothing was written since; needs no look into the file."""
        return (self.size, self.changed_ns) == (found.st_size, found.st_mtime_ns)


class LogCursor(Struct):
    """The handover of one run to the next: all places, and the hits since `since`, complete."""

    kept: HitBuffer
    since: datetime
    places: dict[tuple[int, int], Place] = {}
    changed: bool = False

    def resumable(self, descriptor: int, found: os.stat_result) -> Place | None:
        """The place at which an open file was left: by its inode, or as the copy of a file that was truncated."""
        own = self.places.get((found.st_dev, found.st_ino))
        for place in ([own] if own else []) + [
            each for each in self.places.values() if each.offset and each is not own
        ]:
            if place.offset <= found.st_size and place.mark == mark(descriptor, place.offset):
                return place
        return None

    def remember(self, place: Place) -> None:
        """Take over a file's new place."""
        self.places.pop((place.device, place.inode), None)
        self.places[place.device, place.inode] = place
        self.changed = True


def mark(descriptor: int, offset: int) -> str:
    """A digest of up to 512 first bytes and the last 512 before an offset."""
    head = os.pread(descriptor, min(_MARK, offset), 0)
    tail = os.pread(descriptor, min(_MARK, offset), max(0, offset - _MARK))
    return hashlib.blake2b(head + b"\0" + tail, digest_size=12).hexdigest()


def load(path: Path, needles: Sequence[Needle], since: datetime) -> LogCursor:
    """The state of the last run, if it looked for the same needles and reaches back as far; else a new one."""
    fresh = LogCursor(HitBuffer(needles), since)
    try:
        said = json.loads(files.read_bytes(path, files.DATA_BYTES))
        if said["schema"] != _SCHEMA or said["needles"] != _digest(needles):
            return fresh
        state = _read(said, needles)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError):
        return fresh
    if state.since > since:
        return fresh
    move_on(state, since)
    return state


def move_on(state: LogCursor, since: datetime) -> None:
    """Let go of what is older than the new beginning of the window, and of all but the places read last."""
    state.kept.forget(int(since.timestamp()))
    state.since = since
    for key in list(state.places)[:-_MOST_PLACES]:
        del state.places[key]


def save(path: Path, state: LogCursor, clean: Callable[[str], str]) -> None:
    """Write the state whole or not at all, readable by nobody else; one that cannot be written costs a scan.

    `clean` takes the secrets out of what was logged.
    """
    rows = list(state.places.values())[-_MOST_PLACES:]
    said = {
        "schema": _SCHEMA,
        "needles": _digest(state.kept.needles),
        "since": utc(state.since, "microseconds"),
        "places": [_place_row(each, clean) for each in rows],
        "entries": [_entry_row(each, clean) for each in state.kept],
        "left_out": [[name, second, count] for (name, second), count in state.kept.left_out.items()],
        "own": list(state.kept.own.items()),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        files.own_folder(path.parent)
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(json.dumps(said, ensure_ascii=True, separators=(",", ":")).encode())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _digest(needles: Sequence[Needle]) -> str:
    said = [(each.id, each.literals, each.shape) for each in needles]
    return hashlib.blake2b(repr(said).encode(), digest_size=12).hexdigest()


def _place_row(place: Place, clean: Callable[[str], str]) -> dict[str, object]:
    return {
        "device": place.device,
        "inode": place.inode,
        "size": place.size,
        "changed_ns": place.changed_ns,
        "offset": place.offset,
        "mark": place.mark,
        "newest": utc(place.newest, "microseconds") if place.newest else None,
        "torn": _entry_row(place.torn, clean) if place.torn else None,
    }


def _entry_row(entry: LogHit, clean: Callable[[str], str]) -> list[object]:
    record = entry.record
    time = utc(record.time, "microseconds") if record.time else None
    told = (clean(each) for each in (record.level, record.source, record.text))
    return [entry.second, entry.ids, str(record.file), time, *told, record.offset]


def _read(said: Any, needles: Sequence[Needle]) -> LogCursor:
    """The state as it was saved; raises what a wrong shape raises."""
    since = datetime.fromisoformat(said["since"])
    kept = HitBuffer(needles)
    known = {each.id for each in needles} | {""}
    for row in said["entries"]:
        kept.restore(_entry(row, known))
    kept.left_out = Counter({(str(name), int(second)): int(count) for name, second, count in said["left_out"]})
    kept.own = Counter({int(second): int(count) for second, count in said["own"]})
    state = LogCursor(kept, since)
    for row in said["places"]:
        place = Place(
            int(row["device"]), int(row["inode"]), int(row["size"]), int(row["changed_ns"]), int(row["offset"]),
            str(row["mark"]), moment(row["newest"]) if row["newest"] else None,
            _entry(row["torn"], known) if row["torn"] else None,
        )  # fmt: skip
        if place.offset < 0:
            raise ValueError("a place before the beginning")
        state.places[place.device, place.inode] = place
    if since.tzinfo is None:
        raise ValueError("a time without a zone")
    return state


def _entry(row: Any, known: set[str]) -> LogHit:
    second, ids, file, time, level, source, text, offset = row
    if not ids or not set(ids) <= known:
        raise ValueError("needles of another catalogue")
    record = Record(_path(str(file)), moment(time) if time else None, str(level), str(source), str(text), int(offset))
    return LogHit(int(second), tuple(map(str, ids)), record)


@lru_cache(maxsize=64)
def _path(text: str) -> Path:
    return Path(text)
