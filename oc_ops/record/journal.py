"""Append-only files of JSON objects, one a line, safe from kill -9 and many writers; recoveries leave such files."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

from oc_ops import files
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.locks import single_flight
from oc_ops.record.folder import sync_directory

Append = Callable[[Mapping[str, object]], None]

_CHUNK = 2**20
MOST_BYTES = 32 * 2**20
"""How much of a journal's end is read: some 150,000 lines, years of incidents; what stands before it is history."""
MOST_LINES = 150_000
"""How many lines of a journal's end are looked at: two million that mean nothing took a minute."""
MOST_LINE_BYTES = 2**20
"""A longer line is read in pieces of this size, none of which parses."""


class JournalError(OcOpsError):
    """The journal could not be read, locked or written; what was acknowledged before is in it. Costs no verdict."""


class Journal:
    """One such file. Nothing in it is ever changed or removed; a line is acknowledged once it is on the disk."""

    def __init__(self, path: Path, wait_s: float = 5.0) -> None:
        """Touches nothing yet; `wait_s` is the longest wait for another writer to end."""
        self.path = path
        self.wait_s = wait_s

    def lines(self) -> Iterator[bytes]:
        """The last lines as they stand, a torn one too; takes no lock. No file is no lines; raises JournalError."""
        try:
            with io.BufferedReader(files.open_regular(self.path), _CHUNK) as file:
                size = os.fstat(file.fileno()).st_size
                if size > MOST_BYTES:
                    file.seek(size - MOST_BYTES)
                    file.readline(MOST_LINE_BYTES)  # torn
                begin = file.tell()
                surplus = sum(each.count(b"\n") for each in iter(partial(file.read, _CHUNK), b"")) - MOST_LINES
                file.seek(begin)
                for _ in range(surplus):
                    file.readline(MOST_LINE_BYTES)
                while line := file.readline(MOST_LINE_BYTES):
                    yield line
        except FileNotFoundError:
            return
        except OSError as error:
            raise JournalError(f"{self.path} could not be read: {error.strerror or error}") from error

    @contextmanager
    def writing(self) -> Iterator[Append]:
        """Be the only writer for the block, so that what is read in it is still true when it appends.

        The append acknowledges by returning: the line is on the disk then. Both raise JournalError: when the lock is
        not had within `wait_s`, naming its holder, and when the line could not be written whole. Not reentrant.
        """
        with ExitStack() as held:
            try:
                held.enter_context(single_flight(self.path.with_name(f"{self.path.name}.lock"), self.wait_s))
            except CouldNotLook as error:
                raise JournalError(f"{self.path} could not be written: {error}") from error
            yield self._append

    def _append(self, record: Mapping[str, object]) -> None:
        line = json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"
        try:
            files.own_folder(self.path.parent)
            new = not self.path.exists()
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self.path, flags, 0o600)
            try:
                _write(descriptor, line if _ends_whole(descriptor) else b"\n" + line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if new:
                sync_directory(self.path.parent)
        except OSError as error:
            raise JournalError(f"{self.path} could not be written: {error.strerror or error}") from error


def parsed(line: bytes) -> Mapping[str, object] | None:
    """The JSON object on a line, or None for anything else: a torn line, a scalar, bytes that are no text."""
    if not line.lstrip().startswith(b"{"):
        return None  # said without an exception, which costs twenty times as much where there are a million
    try:
        value = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _ends_whole(descriptor: int) -> bool:
    """True unless the last line was torn: the next one must not grow together with it."""
    size = os.fstat(descriptor).st_size
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"


def _write(descriptor: int, data: bytes) -> None:
    # One write as a rule. After a short one the rest is tried too, if only to learn why: ENOSPC, EFBIG, EDQUOT.
    while data:
        data = data[os.write(descriptor, data) :]


FOLDER = "recoveries"
SPENT = "is spent until"
"""Words of every refusal for a spent budget, and of no other refusal."""
_MOST_RECORDS = 20
"""Records that are looked at, the newest: every run looks, so none is missed for long."""


def restarts_by_us(memory_dir: Path, key: str) -> tuple[int, ...]:
    """When each restart began, in epoch milliseconds, of the gateway `key`; a record that cannot be read has none."""
    try:
        records = sorted((memory_dir / FOLDER).glob("*.jsonl"))[-_MOST_RECORDS:]
    except OSError:
        return ()
    return tuple(sorted(at for record in records for at in _restarts_in(record, key)))


def _restarts_in(record: Path, key: str) -> Iterator[int]:
    try:
        raw = files.read_tail(record, files.SMALL_BYTES).splitlines()
    except OSError:
        return
    lines = [line for line in map(parsed, raw) if line is not None]
    if not any(each.get("gateway") == key for each in lines[:1]):
        return
    for line in lines:
        begins = (line.get("step"), line.get("state")) == ("act", "begin")
        if begins and line.get("action") not in ("browser-restart", "channel-restart"):
            try:
                yield round(datetime.fromisoformat(str(line.get("at"))).timestamp() * 1000)
            except ValueError:
                continue
