"""One look at the logs: from where the last look ended, or from the start of the window, to the end."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from io import FileIO
from pathlib import Path

from msgspec import Struct

from oc_ops import files
from oc_ops.observe.logs import cursor
from oc_ops.observe.logs.buffer import HitBuffer, LogHit, entry_of
from oc_ops.observe.logs.cursor import LogCursor, Place
from oc_ops.observe.logs.records import Record, Window, first_time, last_time
from oc_ops.observe.logs.scan import Needle, Scan, finder

_BISECTED_TO = 256 * 1024
_LAST_BYTES = 64 * 1024
_BEFORE_BYTES = 4096
_SET_BACK = timedelta(minutes=1)


class LogView(Struct, frozen=True):
    """The yield of one look: the gateway's records of the window that hold a needle, and what was looked at.

    Of a flood a bounded part is in `records` (see `kept`); `left_out` counts the lines that are not, by needle id.
    `own_dropped` counts those that a CLI call or our own RPC connection left there, `planned_dropped` those inside a
    planned restart. `bytes_read` is of this look alone: an unchanged log is not read again, its records still count.
    """

    files: tuple[Path, ...]
    since: datetime
    records: tuple[Record, ...]
    bytes_read: int
    newest: datetime | None = None
    own_dropped: int = 0
    left_out: Mapping[str, int] = {}
    planned_dropped: int = 0
    shared_with: str = ""
    """The other gateway that writes one of the files as well, in words."""


def recent(
    paths: Sequence[Path],
    needles: Sequence[str | Needle],
    *,
    since: datetime,
    tail_bytes: int,
    planned: Sequence[Window] = (),
    remember: Path | None = None,
    clean: Callable[[str], str] = str,
) -> LogView:
    """The gateway's records since a moment that contain one of the needles (case kept), oldest first.

    `remember` is a file that carries the state from one look to the next, its texts made fit for a file by `clean`
    (secrets are taken out); without it each look starts anew. What was
    not read before is read back at most `tail_bytes` per file; the start of the window is found by bisection. A file
    that vanishes or cannot be read on the way is left out of `files`; a line without a readable time has that of the
    line before it, or of the file's last change.
    """
    sought = tuple(each if isinstance(each, Needle) else Needle(each, (each,)) for each in needles)
    state = cursor.load(remember, sought, since) if remember else LogCursor(HitBuffer(sought), since)
    view = _looked(paths, state, tail_bytes, planned)
    if remember and state.changed:
        cursor.save(remember, state, clean)
    return view


class Follower:
    """Looks that go on where the last one ended, for a process that stays: the state is kept in memory, bounded.

    A record counts while it is within `since`; a file that is gone for good is forgotten with the window.
    """

    def __init__(self, needles: Sequence[Needle]) -> None:
        self._needles = tuple(needles)
        self._state: LogCursor | None = None

    def look(
        self, paths: Sequence[Path], *, since: datetime, tail_bytes: int, planned: Sequence[Window] = ()
    ) -> LogView:
        """As `recent`; a `since` long before that of an earlier look (a clock set back) begins anew."""
        state = self._state
        if state is None or since < state.since - _SET_BACK:
            state = self._state = LogCursor(HitBuffer(self._needles), since)
        cursor.move_on(state, max(since, state.since))
        return _looked(paths, state, tail_bytes, planned)


def _looked(paths: Sequence[Path], state: LogCursor, tail_bytes: int, planned: Sequence[Window]) -> LogView:
    seen: list[tuple[Path, Place]] = []
    total = 0
    for path in paths:
        try:
            place, size = _read_on(path, state, tail_bytes)
        except OSError:
            continue
        seen.append((path, place))
        total += size
    return _view(state, seen, total, planned)


def _view(state: LogCursor, seen: Sequence[tuple[Path, Place]], total: int, planned: Sequence[Window]) -> LogView:
    entries = [*state.kept, *(place.torn for _, place in seen if place.torn)]
    entries = [each for each in entries if each.second >= int(state.since.timestamp())]
    entries.sort(key=lambda each: (each.second, each.record.time or datetime.fromtimestamp(each.second, UTC)))
    spans = [(int(begin.timestamp()), int(end.timestamp())) for begin, end in planned]
    left_out: Counter[str] = Counter()
    dropped = 0
    for (name, second), count in state.kept.left_out.items():
        if _inside(second, spans):
            dropped += count
        else:
            left_out[name] += count
    records = tuple(each.record for each in entries if not _inside(each.second, spans))
    return LogView(
        files=tuple(path for path, _ in seen),
        since=state.since,
        records=records,
        bytes_read=total,
        newest=max((place.newest for _, place in seen if place.newest), default=None),
        own_dropped=state.kept.own.total(),
        left_out=dict(left_out),
        planned_dropped=dropped + len(entries) - len(records),
    )


def _inside(second: int, spans: Sequence[tuple[int, int]]) -> bool:
    return any(begin <= second <= end for begin, end in spans)


def _read_on(path: Path, state: LogCursor, tail_bytes: int) -> tuple[Place, int]:
    """Read what is new in one file; how many bytes that was. Raises OSError when it cannot be read."""
    found = path.stat()
    known = state.places.get((found.st_dev, found.st_ino))
    if known is not None and known.unchanged(found):
        return known, 0
    with files.open_regular(path) as file:
        found = os.fstat(file.fileno())
        known = state.resumable(file.fileno(), found)
        start = known.offset if known else 0
        if known is None or found.st_size - start > tail_bytes:
            start = _window(file, start, found.st_size, state.since, tail_bytes)
        file.seek(start)
        place, size = _scanned(path, file, state, start, found)
    state.remember(place)
    return place, size


def _scanned(path: Path, file: FileIO, state: LogCursor, start: int, found: os.stat_result) -> tuple[Place, int]:
    kept, descriptor = state.kept, file.fileno()
    changed = datetime.fromtimestamp(found.st_mtime, UTC)

    def before(offset: int) -> datetime:
        begin = max(0, offset - _BEFORE_BYTES)
        return last_time(os.pread(descriptor, offset - begin, begin)) or changed

    scan = Scan(file, kept.needles, finder(kept.needles, found.st_size - start), start)
    torn: LogHit | None = None
    for hit in scan.hits(torn=True):
        if hit.offset < scan.whole:
            kept.take(hit, path, state.since, before)
        elif not hit.line.lstrip().startswith(b"{"):  # whose a torn JSON record is shows when it is whole
            known = before(hit.offset)
            record, _ = entry_of(hit, kept.needles, path, known)
            ids = tuple(kept.needles[number].id for number in hit.needles) or ("",)
            torn = LogHit(int(known.timestamp()), ids, record) if record else None
    end = os.pread(descriptor, _LAST_BYTES, max(0, scan.offset + scan.torn - _LAST_BYTES))
    return Place(
        found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, scan.offset,
        cursor.mark(descriptor, scan.offset), last_time(end), torn,
    ), scan.bytes  # fmt: skip


def _window(file: FileIO, start: int, size: int, since: datetime, tail_bytes: int) -> int:
    """Where the window's first whole line may begin, found by bisecting the offsets."""
    low, high = max(start, size - tail_bytes), size
    while high - low > _BISECTED_TO:
        middle = (low + high) // 2
        file.seek(middle)
        time = first_time((file.read(64 * 1024) or b"").partition(b"\n")[2])
        if time is None or time >= since:
            high = middle
        else:
            low = middle
    if low == start:
        return low
    return _line_after(file, low, size)


def _line_after(file: FileIO, offset: int, size: int) -> int:
    """The beginning of the first line that begins at or behind an offset."""
    position = offset - 1
    for chunk in _chunks(file, position):
        at = chunk.find(b"\n")
        if at >= 0:
            return position + at + 1
        position += len(chunk)
    return size


def _chunks(file: FileIO, offset: int) -> Iterator[bytes]:
    file.seek(offset)
    while chunk := file.read(64 * 1024):
        yield chunk
