"""How a run gets into the history: once, however often it is written, in one transaction with all that follows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import get_args

from oc_ops.record.history import database
from oc_ops.record.history.entry import IncidentEntry, JobEntry, RunEntry
from oc_ops.record.history.restarts import new_restarts
from oc_ops.record.run import CheckOutcome

OUTCOMES: tuple[CheckOutcome, ...] = get_args(CheckOutcome)
"""The history keeps a check's outcome as its place in here: only ever add at the end."""

ANSWERED = ("answered", "lingered", "ok")
"""Outcomes of a call that got one."""
TIMED_OUT = ("timed-out", "silent")
"""Outcomes of a call that got no answer in time."""

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS
_HOURS_KEPT_MS = 30 * _DAY_MS
"""Sums of single hours are kept so long; those of days as long as the runs themselves."""
_MOST_PRUNED = 300
"""Runs that one write removes at most: no single run pays for a retention that was shortened."""


Ended = Callable[[Collection[str]], Iterable[IncidentEntry]]
"""The outcome of incidents that were open in the history and no longer are, by their ids."""


def remember(
    memory_dir: Path,
    entry: RunEntry,
    keep_days: float,
    ended: Ended = lambda _ids: (),
    lock_s: float = database.LOCK_S,
) -> str:
    """Write a run down and drop what is older than `keep_days`; a run that is known already is left as it is.

    Returns what the operator should be told: nothing, or that a corrupt file was set aside. Raises HistoryError.
    """
    return database.write(memory_dir, lambda connection: _remember(connection, entry, keep_days, ended), lock_s)[1]


def _remember(connection: sqlite3.Connection, entry: RunEntry, keep_days: float, ended: Ended) -> None:
    row = connection.execute("SELECT id, port, profile FROM gateways WHERE key = ?", (entry.key,)).fetchone()
    if row is None:
        new = "INSERT INTO gateways (key, profile, port) VALUES (?, ?, ?)"
        gateway = _id(connection.execute(new, (entry.key, entry.profile, entry.port)))
    else:
        gateway, port = int(row[0]), entry.port or row[1]
        if row[1:] != (port, entry.profile):
            moved = "UPDATE gateways SET port = ?, profile = ? WHERE id = ?"
            connection.execute(moved, (port, entry.profile, gateway))
    known = "SELECT 1 FROM runs WHERE gateway = ? AND at_ms = ?"
    if connection.execute(known, (gateway, entry.at_ms)).fetchone():
        return
    before_ms = entry.at_ms - round(keep_days * _DAY_MS)
    _Run(connection, entry, gateway, before_ms).write(ended)
    _prune(connection, before_ms, entry.at_ms)


class _Run:
    """One new run on its way into the tables."""

    def __init__(self, connection: sqlite3.Connection, entry: RunEntry, gateway: int, before_ms: int) -> None:
        self.connection, self.entry, self.gateway, self.before_ms = connection, entry, gateway, before_ms
        words = {each.id for each in entry.checks} | {each.name for each in entry.calls}
        words |= {each.outcome for each in entry.calls} | {each.check for each in entry.findings}
        words |= {each.subject for each in entry.findings} | {entry.cause or ""}
        self.names = _names(connection, words)
        self.sums: list[tuple[str, str, str, float]] = []

    def write(self, ended: Ended) -> None:
        """Everything; what was there before of jobs, incidents and restarts is left or brought up to date."""
        self._restarts()
        run = self._run()
        self._checks(run)
        self._calls(run)
        for job in self.entry.jobs:
            self._job(job)
        self._incidents(self.entry.incidents)
        still = "SELECT id FROM incidents WHERE gateway = ? AND closed_ms IS NULL"
        told = {each.id for each in self.entry.incidents}
        if gone := [one for (one,) in self.connection.execute(still, (self.gateway,)) if one not in told]:
            self._incidents(ended(gone))
        self._totals()

    def _run(self) -> int:
        entry, process = self.entry, self.entry.process
        self._sum("runs", entry.verdict)
        self._sum("cpu_s", "doctor", by=entry.own_cpu_s)
        self._sum("cpu_s", "calls", by=entry.calls_cpu_s)
        told: dict[str, object] = {
            "gateway": self.gateway,
            "at_ms": entry.at_ms,
            "stamp": entry.stamp,
            "duration_ms": round(entry.duration_s * 1000),
            "verdict": entry.verdict,
            "cause": self.names[entry.cause] if entry.cause else None,
            "whole": entry.whole,
            "incident": entry.incident,
            "state": self._state(),
            "delay_ms": entry.delay_ms,
            "own_cpu_ms": round(entry.own_cpu_s * 1000),
            "calls_cpu_ms": round(entry.calls_cpu_s * 1000),
        }
        if process:
            told |= {name: getattr(process, name) for name in ("pid", "started_ms", "serving_ms", "rss_bytes")}
        columns, marks = ", ".join(told), ", ".join("?" * len(told))
        insert = f"INSERT INTO runs ({columns}) VALUES ({marks})"  # noqa: S608 -- our own words
        return _id(self.connection.execute(insert, (*told.values(),)))

    def _state(self) -> int | None:
        if not self.entry.state:
            return None
        told = json.dumps(self.entry.state, sort_keys=True, separators=(",", ":"))
        found = self.connection.execute("SELECT id FROM states WHERE told = ?", (told,)).fetchone()
        return int(found[0]) if found else _id(self.connection.execute("INSERT INTO states (told) VALUES (?)", (told,)))

    def _checks(self, run: int) -> None:
        entry = self.entry
        rows = {self.names[each.id]: each for each in entry.checks}
        self.connection.executemany(
            "INSERT INTO checks (run, name, outcome, took_ms) VALUES (?, ?, ?, ?)",
            [(run, name, OUTCOMES.index(each.outcome), round(each.took_s * 1000)) for name, each in rows.items()],
        )
        self.connection.executemany(
            "INSERT INTO check_sums (gateway, hours, step, name, passed, failed, blocked, error, skipped) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (gateway, hours, step, name) DO UPDATE SET "
            "passed = passed + excluded.passed, failed = failed + excluded.failed, "
            "blocked = blocked + excluded.blocked, error = error + excluded.error, "
            "skipped = skipped + excluded.skipped",
            [
                (
                    self.gateway,
                    hours,
                    entry.at_ms // (hours * _HOUR_MS),
                    name,
                    *(each.outcome == one for one in OUTCOMES),
                )
                for hours in (1, 24)
                for name, each in rows.items()
            ],
        )
        self.connection.executemany(
            "INSERT INTO findings (run, name, subject, severity) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [(run, self.names[each.check], self.names[each.subject], each.severity) for each in entry.findings],
        )

    def _calls(self, run: int) -> None:
        rows = []
        for number, each in enumerate(self.entry.calls):
            cpu_ms = None if each.cpu_s is None else round(each.cpu_s * 1000)
            wall_us = round(each.wall_s * 1e6)
            rows.append((self.names[each.name], run, number, self.names[each.outcome], wall_us, cpu_ms))
            self._sum("calls", each.name, each.outcome)
            self._sum("call_s", each.name, by=each.wall_s)
        self.connection.executemany(
            "INSERT INTO calls (name, run, number, outcome, wall_us, cpu_ms) VALUES (?, ?, ?, ?, ?, ?)", rows
        )

    def _job(self, job: JobEntry) -> None:
        self.connection.execute(
            "INSERT INTO cron_jobs (gateway, job, name, watched, seen_ms) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (gateway, job) DO UPDATE SET name = excluded.name, watched = excluded.watched, "
            "seen_ms = max(seen_ms, excluded.seen_ms)",
            (self.gateway, job.id, job.name, job.watched, self.entry.at_ms),
        )
        found = "SELECT id FROM cron_jobs WHERE gateway = ? AND job = ?"
        job_id = int(self.connection.execute(found, (self.gateway, job.id)).fetchone()[0])
        # What retention has dropped may still be told by the gateway: it is not counted a second time.
        told = {each.started_ms: each for each in job.runs if each.started_ms >= self.before_ms}
        if not told:
            return
        seen = "SELECT started_ms FROM cron_runs WHERE job = ? AND started_ms >= ?"
        known = {int(each) for (each,) in self.connection.execute(seen, (job_id, min(told)))}
        new = [each for each in told.values() if each.started_ms not in known]
        self.connection.executemany(
            "INSERT INTO cron_runs (job, started_ms, status, duration_ms, timed_out) VALUES (?, ?, ?, ?, ?)",
            [(job_id, each.started_ms, each.status, each.duration_ms, each.timed_out) for each in new],
        )
        for each in new:
            self._sum("cron_runs", job.id, each.status)
            self._sum("cron_timeouts", job.id, by=each.timed_out)
            self._sum("cron_s", job.id, by=(each.duration_ms or 0) / 1000)

    def _incidents(self, incidents: Iterable[IncidentEntry]) -> None:
        for each in incidents:
            known = "SELECT recover_s IS NOT NULL AND closed_ms IS NOT NULL FROM incidents WHERE id = ?"
            before = self.connection.execute(known, (each.id,)).fetchone()
            if before is None:
                self._sum("incidents", each.cause)
                if each.detect_s is not None:
                    self._sum("detections")
                    self._sum("detect_s", by=each.detect_s)
            if each.closed_ms is not None and each.recover_s is not None and not (before and before[0]):
                self._sum("recoveries")
                self._sum("recover_s", by=each.recover_s)
            self.connection.execute(
                "INSERT INTO incidents (id, gateway, cause, first_sign_ms, opened_ms, green_ms, closed_ms, flaps, "
                "detect_s, recover_s, attempts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET cause = excluded.cause, first_sign_ms = excluded.first_sign_ms, "
                "green_ms = excluded.green_ms, closed_ms = excluded.closed_ms, flaps = excluded.flaps, "
                "detect_s = excluded.detect_s, recover_s = excluded.recover_s, attempts = excluded.attempts",
                (
                    each.id, self.gateway, each.cause, each.first_sign_ms, each.opened_ms, each.green_ms,
                    each.closed_ms, each.flaps, each.detect_s, each.recover_s, each.attempts,
                ),
            )  # fmt: skip

    def _restarts(self) -> None:
        for at_ms, by in new_restarts(self.connection, self.gateway, self.entry):
            new = "INSERT INTO restarts (gateway, at_ms, by) VALUES (?, ?, ?)"
            self.connection.execute(new, (self.gateway, at_ms, by))
            self._sum("restarts", by)

    def _sum(self, what: str, label: str = "", more: str = "", by: float = 1) -> None:
        self.sums.append((what, label, more, by))

    def _totals(self) -> None:
        self.connection.executemany(
            "INSERT INTO totals (gateway, what, label, more, sum) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (gateway, what, label, more) DO UPDATE SET sum = sum + excluded.sum",
            [(self.gateway, *each) for each in self.sums],
        )


def _names(connection: sqlite3.Connection, words: Iterable[str]) -> dict[str, int]:
    """The number of each word; new ones get theirs."""
    found: dict[str, int] = {}
    for word in words:
        row = connection.execute("SELECT id FROM names WHERE text = ?", (word,)).fetchone()
        found[word] = int(row[0]) if row else _id(connection.execute("INSERT INTO names (text) VALUES (?)", (word,)))
    return found


def _prune(connection: sqlite3.Connection, before_ms: int, now_ms: int) -> None:
    """Drop what is older, a bounded part at a time. Incidents, restarts and sums stay: they are few."""
    oldest = "SELECT id FROM runs WHERE gateway IN (SELECT id FROM gateways) AND at_ms < ? ORDER BY at_ms LIMIT ?"
    drop = "DELETE FROM check_sums WHERE gateway IN (SELECT id FROM gateways) AND hours = ? AND step < ?"
    connection.execute(drop, (1, max(before_ms, now_ms - _HOURS_KEPT_MS) // _HOUR_MS))
    connection.execute(drop, (24, before_ms // _DAY_MS))
    gone = [(int(run),) for (run,) in connection.execute(oldest, (before_ms, _MOST_PRUNED))]
    if not gone:
        return
    connection.executemany("DELETE FROM checks WHERE run = ?", gone)
    connection.executemany("DELETE FROM findings WHERE run = ?", gone)
    connection.executemany("DELETE FROM calls WHERE name IN (SELECT id FROM names) AND run = ?", gone)
    connection.executemany("DELETE FROM runs WHERE id = ?", gone)
    connection.execute("DELETE FROM cron_runs WHERE job IN (SELECT id FROM cron_jobs) AND started_ms < ?", (before_ms,))
    connection.execute(
        "DELETE FROM cron_jobs WHERE seen_ms < ? AND id NOT IN (SELECT DISTINCT job FROM cron_runs)", (before_ms,)
    )


def _id(cursor: sqlite3.Cursor) -> int:
    assert cursor.lastrowid is not None
    return cursor.lastrowid
