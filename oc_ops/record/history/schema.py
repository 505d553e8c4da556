"""The tables of the history and how each version grew out of the one before; nothing here ever changes once shipped."""

from __future__ import annotations

import sqlite3

from oc_ops.errors import OcOpsError

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
