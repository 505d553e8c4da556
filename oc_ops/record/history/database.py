"""The history's file, `memory/ops.sqlite`: one writer at a time, a corrupt one set aside, nothing lost to kill -9."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.locks import single_flight
from oc_ops.record.history.schema import APPLICATION, NewerHistory, migrate

FILE = "ops.sqlite"
LOCK_S = 3.0
"""Longest wait for another writer: a run that is done must not hang on its history."""

_COMPANIONS = ("", "-wal", "-shm")
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

T = TypeVar("T")


class HistoryError(OcOpsError):
    """The history could not be read or written; it costs no verdict."""


def write(memory_dir: Path, act: Callable[[sqlite3.Connection], T], lock_s: float = LOCK_S) -> tuple[T, str]:
    """Do `act` in one transaction and return what it gave, and a notice: empty, or that a corrupt file was set aside.

    The transaction is in the file when this returns; a process that is killed before leaves it as it was. Raises
    HistoryError when the file cannot be locked or written, or is of a later oc-ops.
    """
    path, notice = memory_dir / FILE, ""
    with ExitStack() as held:
        try:
            held.enter_context(single_flight(memory_dir / f"{FILE}.lock", lock_s))
        except CouldNotLook as error:
            raise HistoryError(f"{path} could not be written: {error}") from error
        try:
            try:
                return _written(path, act), notice
            except sqlite3.DatabaseError as error:
                if not _is_broken(error):
                    raise
                aside = _set_aside(path)
                notice = f"{path} was corrupt ({error}): set aside as {aside.name} and started over"
                return _written(path, act), notice
        except (sqlite3.Error, OSError, OverflowError, NewerHistory) as error:
            raise HistoryError(f"{path} could not be written: {_why(error)}") from error


@contextmanager
def reading(memory_dir: Path) -> Iterator[sqlite3.Connection | None]:
    """A connection that reads one moment of the history, whoever writes meanwhile; None where there is none yet.

    Waits for nobody. Raises HistoryError for a file that cannot be read; the next run sets a corrupt one aside.
    """
    path = memory_dir / FILE
    if not path.exists():
        yield None
        return
    try:
        with contextlib.closing(_opened(path)) as connection:
            migrate(connection)
            connection.execute("PRAGMA query_only = 1")
            connection.execute("BEGIN")
            yield connection
    except (sqlite3.Error, OSError, NewerHistory) as error:
        raise HistoryError(f"{path} could not be read: {_why(error)}") from error


def _written(path: Path, act: Callable[[sqlite3.Connection], T]) -> T:
    if not path.exists():
        path.touch(mode=0o600)  # SQLite's companion files take over its mode
    with contextlib.closing(_opened(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        # In WAL mode this loses no whole transaction to kill -9, and none of the file to a power cut.
        connection.execute("PRAGMA synchronous = NORMAL")
        migrate(connection)
        connection.execute("BEGIN IMMEDIATE")
        try:
            given = act(connection)
            connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
    return given


def _opened(path: Path) -> sqlite3.Connection:
    # Readers hold no lock of ours: SQLite's own are waited for a moment.
    connection = sqlite3.connect(path.absolute().as_uri() + "?mode=rw", uri=True, timeout=1.0, isolation_level=None)
    try:
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        if owner not in (0, APPLICATION):
            raise OSError("it is a database of another program")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_broken(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", None)  # None on errors that Python raises itself
    return code is not None and code & 0xFF in _BROKEN


def _set_aside(path: Path) -> Path:
    """Move the file and what belongs to it out of the way, all under one new name."""
    name = f"{path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    for companion in _COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + companion).rename(path.with_name(name + companion))
    return path.with_name(name)


def _why(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(error).__name__
