"""The lines around a hit and at the end of a log: evidence for whoever reads a failing report."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from oc_ops import files
from oc_ops.observe.logs.places import archives
from oc_ops.observe.logs.records import Record, parse

_MOST_BYTES = 256 * 1024
_LONGEST = 2000


def tail(path: Path, lines: int, *, most_bytes: int = _MOST_BYTES) -> tuple[Record, ...]:
    """The last records of a file, for evidence; nothing when it cannot be read."""
    try:
        with files.open_regular(path) as file:
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
    with files.open_regular(path) as file:
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
