"""One consistent look into a SQLite database that another process owns: read-only, bounded, leaving no trace."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec import Struct

from oc_ops import files
from oc_ops.errors import CouldNotLook

if TYPE_CHECKING:
    import sqlite3

STATE_DATABASE = Path("state", "openclaw.sqlite")
"""The gateway's own, below its state directory."""

Row = tuple[object, ...]

_BUSY_S = 0.1
"""How long a lock may be waited for; readers of a WAL database meet none, but while one recovers or is being moved."""

_STEPS = 1000
"""Virtual machine steps between two looks at the clock: some microseconds."""

_MOST_ROWS = 10_000
_MOST_TEXT_BYTES = 32 * 2**20
_LONGEST_BYTES = 2**20
"""A longer cell is an error of SQLite's before it costs memory."""
_BATCH = 64
_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_WAL = 2
"""Byte 18 of a database in WAL mode (the file format's "write version"); on network mounts OpenClaw uses none."""


class Unsteady(CouldNotLook):
    """The database was in its owner's hands at that moment; a second look may succeed."""


class ReadTransaction:
    """An open read transaction: every query sees the same moment."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self._path = connection, path
        self._tables = {str(row[0]) for row in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def has(self, table: str) -> bool:
        """True if there is a table of that name."""
        return table in self._tables

    def rows(self, query: str, *parameters: str | int) -> Sequence[Row]:
        """Every row; raises CouldNotLook for more than 10,000 of them, or more than 32 MiB of text in them."""
        rows: list[Row] = []
        cursor, left_bytes = self._connection.execute(query, parameters), _MOST_TEXT_BYTES
        while some := cursor.fetchmany(_BATCH):
            rows += some
            left_bytes -= sum(len(cell) for row in some for cell in row if isinstance(cell, str | bytes))
            if len(rows) > _MOST_ROWS:
                raise CouldNotLook(f"{self._path} holds more than {_MOST_ROWS} rows of a kind")
            if left_bytes < 0:
                raise CouldNotLook(f"{self._path} holds more than {_MOST_TEXT_BYTES // 2**20} MiB of a kind")
        return rows

    def save(self, copy: Path) -> None:
        """Write this moment of the whole database into a new file, one that is complete in itself (mode 0600)."""
        import sqlite3

        copy.touch(mode=0o600, exist_ok=False)
        with closing(sqlite3.connect(copy)) as kept:
            self._connection.backup(kept)


@contextmanager
def snapshot(path: Path, deadline_s: float) -> Iterator[ReadTransaction]:
    """Open a database for one reading; raises CouldNotLook, or Unsteady, when that cannot be done, also inside.

    A write-ahead log is read through its index, without writing to either. After a clean stop there is none: then the
    database is complete in itself and is read as it lies; if it was written to meanwhile, the look is void.
    """
    import sqlite3

    before = _state(path)
    started = time.monotonic()
    try:
        uri = f"file:{quote(str(path))}?{before.how}"
        with closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_S, isolation_level=None)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() - started > deadline_s, _STEPS)
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_BYTES)
            connection.execute("BEGIN")
            yield ReadTransaction(connection, path)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # a damaged schema may not even be text
        text = str(error)
        if text == "interrupted":
            raise CouldNotLook(f"cannot read {path} within {deadline_s:g} s") from error
        _hold_still(path, before)
        if "locked" in text or "busy" in text:
            raise Unsteady(f"cannot read {path}: its owner has locked it") from error
        raise CouldNotLook(f"cannot read {path}: {ascii(text)[1:-1]}") from error
    _hold_still(path, before)


def _hold_still(path: Path, before: _State) -> None:
    """Make sure that no program wrote to the file while it was read as it lies."""
    if "immutable" in before.how and _state(path) != before:
        raise Unsteady(f"{path} was written to while it was read")


class _State(Struct, frozen=True):
    """How a database is to be opened, and what changes when it is written to."""

    how: str
    inode: int
    mtime_ns: int
    size: int


def _state(path: Path) -> _State:
    try:
        own = path.stat()
        with files.open_regular(path) as file:
            header = file.read(_HEADER_BYTES)
        for end in ("-wal", "-shm", "-journal"):
            beside = path.with_name(f"{path.name}{end}")
            if beside.exists() and not beside.is_file():
                raise CouldNotLook(f"cannot read {path}: {beside.name} beside it is no regular file")
        log = path.with_name(f"{path.name}-wal")
        log_bytes = log.stat().st_size if log.exists() else 0
    except OSError as error:
        raise files.unreadable(path, error) from error
    if not header.startswith(_MAGIC) or len(header) < _HEADER_BYTES:
        raise CouldNotLook(f"{path} is not an SQLite database")
    # Without readonly_shm SQLite would rebuild the index of a log that nobody holds, and create the files it misses.
    quiet = "&readonly_shm=1" if log_bytes else "&immutable=1"
    return _State(f"mode=ro{quiet if header[18] == _WAL else ''}", own.st_ino, own.st_mtime_ns, own.st_size)
