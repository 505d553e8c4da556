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

APPLICATION = 0x6F636F70
"""`ocop`: what `PRAGMA application_id` says of a history, so that no other database is ever taken for one."""

_FIRST = (
    # Words that come again and again (ids of checks, calls, subjects) stand once.
    "CREATE TABLE names (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)",
    "CREATE TABLE gateways (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, profile TEXT NOT NULL, port INTEGER)",
    # What a gateway was at a run: releases, config, jobs; written once for as long as it stays the same.
    "CREATE TABLE states (id INTEGER PRIMARY KEY, told TEXT NOT NULL UNIQUE)",
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY, gateway INTEGER NOT NULL, at_ms INTEGER NOT NULL, stamp TEXT NOT NULL,
        duration_ms INTEGER NOT NULL, verdict TEXT NOT NULL, cause INTEGER, whole INTEGER NOT NULL,
        incident TEXT, state INTEGER, pid INTEGER, started_ms INTEGER, serving_ms INTEGER, rss_bytes INTEGER,
        delay_ms REAL, own_cpu_ms INTEGER NOT NULL, calls_cpu_ms INTEGER NOT NULL, UNIQUE (gateway, at_ms))""",
    "CREATE INDEX runs_verdicts ON runs (gateway, at_ms, verdict)",
    "CREATE INDEX runs_born ON runs (gateway, at_ms) WHERE started_ms IS NOT NULL",
    "CREATE INDEX runs_green ON runs (gateway, at_ms) WHERE verdict IN ('healthy', 'degraded')",
    """CREATE TABLE checks (
        run INTEGER NOT NULL, name INTEGER NOT NULL, outcome INTEGER NOT NULL, took_ms INTEGER NOT NULL,
        PRIMARY KEY (run, name)) WITHOUT ROWID""",
    # The checks of each hour and of each day, summed (`hours` is 1 or 24): what a heat map of months is drawn from.
    """CREATE TABLE check_sums (
        gateway INTEGER NOT NULL, hours INTEGER NOT NULL, step INTEGER NOT NULL, name INTEGER NOT NULL,
        passed INTEGER NOT NULL, failed INTEGER NOT NULL, blocked INTEGER NOT NULL, error INTEGER NOT NULL,
        skipped INTEGER NOT NULL, PRIMARY KEY (gateway, hours, step, name)) WITHOUT ROWID""",
    """CREATE TABLE findings (
        run INTEGER NOT NULL, name INTEGER NOT NULL, subject INTEGER NOT NULL, severity TEXT NOT NULL,
        PRIMARY KEY (run, name, subject)) WITHOUT ROWID""",
    """CREATE TABLE calls (
        name INTEGER NOT NULL, run INTEGER NOT NULL, number INTEGER NOT NULL, outcome INTEGER NOT NULL,
        wall_us INTEGER NOT NULL, cpu_ms INTEGER, PRIMARY KEY (name, run, number)) WITHOUT ROWID""",
    """CREATE TABLE cron_jobs (
        id INTEGER PRIMARY KEY, gateway INTEGER NOT NULL, job TEXT NOT NULL, name TEXT NOT NULL,
        watched INTEGER NOT NULL, seen_ms INTEGER NOT NULL, UNIQUE (gateway, job))""",
    """CREATE TABLE cron_runs (
        job INTEGER NOT NULL, started_ms INTEGER NOT NULL, status TEXT NOT NULL, duration_ms INTEGER,
        timed_out INTEGER NOT NULL, PRIMARY KEY (job, started_ms)) WITHOUT ROWID""",
    """CREATE TABLE incidents (
        id TEXT PRIMARY KEY, gateway INTEGER NOT NULL, cause TEXT NOT NULL, first_sign_ms INTEGER,
        opened_ms INTEGER NOT NULL, green_ms INTEGER, closed_ms INTEGER, flaps INTEGER NOT NULL,
        detect_s REAL, recover_s REAL, attempts INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE restarts (
        gateway INTEGER NOT NULL, at_ms INTEGER NOT NULL, by TEXT NOT NULL,
        PRIMARY KEY (gateway, at_ms)) WITHOUT ROWID""",
    # Sums that only ever grow, whatever retention takes away: what a metric that counts has to be.
    """CREATE TABLE totals (
        gateway INTEGER NOT NULL, what TEXT NOT NULL, label TEXT NOT NULL, more TEXT NOT NULL, sum REAL NOT NULL,
        PRIMARY KEY (gateway, what, label, more)) WITHOUT ROWID""",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_FIRST,)
"""The statements that make version N out of version N-1; `PRAGMA user_version` says which ones are done."""


class NewerHistory(OcOpsError):
    """The file was written by a later oc-ops, whose tables this one does not know."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to this version, all steps in one transaction; raises NewerHistory and sqlite3.Error."""
    if _version(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        done = _version(connection)  # somebody else may have done it since
        if done > len(MIGRATIONS):
            raise NewerHistory(f"it is of version {done}, this oc-ops knows {len(MIGRATIONS)}: update oc-ops")
        for statement in (one for step in MIGRATIONS[done:] for one in step):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


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
