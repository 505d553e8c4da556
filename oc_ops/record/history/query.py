"""Questions to the history: every one that a metric or a page has, each answered in milliseconds over a year."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, cast

from oc_ops.judge.findings import Verdict
from oc_ops.record.history.entry import IncidentEntry
from oc_ops.record.history.write import ANSWERED, OUTCOMES, TIMED_OUT
from oc_ops.record.run import CheckOutcome

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_GREEN = "verdict IN ('healthy', 'degraded')"
"""To the letter that of the index `runs_green`."""


class GatewayRow(NamedTuple):
    """A gateway that was looked at; `id` is its number in this history, `key` its name everywhere else."""

    id: int
    key: str
    profile: str
    port: int | None


class RunRow(NamedTuple):
    """One run. `started_ms`: its gateway process' birth; `serving_ms`: since when it serves; `state`: what it was."""

    id: int
    at_ms: int
    stamp: str
    duration_s: float
    verdict: Verdict
    cause: str | None
    incident: str | None
    pid: int | None
    started_ms: int | None
    serving_ms: int | None
    rss_bytes: int | None
    delay_s: float | None
    own_cpu_s: float
    calls_cpu_s: float
    state: Mapping[str, str]


class CallSeen(NamedTuple):
    """One call: `wall_s` until its answer, or until it was given up."""

    at_ms: int
    wall_s: float
    answered: bool
    timed_out: bool


class JobRow(NamedTuple):
    """A cron job that was seen; `id` is its number in this history."""

    id: int
    job: str
    name: str
    watched: bool


class JobSeen(NamedTuple):
    """One run of a cron job."""

    started_ms: int
    status: str
    duration_s: float | None
    timed_out: bool


class History:
    """A connection from `reading`, and the questions. Times are epoch milliseconds, spans and costs seconds."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def gateways(self) -> tuple[GatewayRow, ...]:
        """Every gateway with a run on record, the one that was looked at last first."""
        rows = self._all(
            "SELECT id, key, profile, port, "
            "(SELECT id FROM runs WHERE +gateway = gateways.id ORDER BY id DESC LIMIT 1) AS last "
            "FROM gateways WHERE last IS NOT NULL ORDER BY last DESC"
        )
        return tuple(GatewayRow(*row[:4]) for row in rows)

    def last_run(self, gateway: int) -> RunRow | None:
        """The run that was written last, which it is even where the clock was ahead before and has been set back."""
        return self._run("+runs.gateway = ? ORDER BY id DESC LIMIT 1", gateway)

    def first_run_ms(self, gateway: int) -> int | None:
        """When the oldest run on record began."""
        [(at_ms,)] = self._all("SELECT min(at_ms) FROM runs WHERE gateway = ?", gateway)
        return cast("int | None", at_ms)

    def last_green(self, gateway: int, before_ms: int) -> RunRow | None:
        """The newest run before a moment that was healthy or degraded and whole."""
        return self._run(
            f"runs.gateway = ? AND at_ms < ? AND {_GREEN} AND whole ORDER BY at_ms DESC LIMIT 1", gateway, before_ms
        )

    def last_healthy_ms(self, gateway: int) -> int | None:
        """When a run last found no error."""
        found = self._run(f"+runs.gateway = ? AND {_GREEN} ORDER BY id DESC LIMIT 1", gateway)
        return found and found.at_ms

    def not_green(self, gateway: int, since_ms: int, most: int) -> tuple[RunRow, ...]:
        """The newest runs with an error or without a verdict, newest first."""
        where = "runs.gateway = ? AND at_ms >= ? AND verdict IN ('unhealthy', 'unknown') ORDER BY at_ms DESC LIMIT ?"
        return tuple(self._runs(where, gateway, since_ms, most))

    def checks_of(self, run: int) -> dict[str, tuple[CheckOutcome, float]]:
        """The checks of one run: outcome and seconds."""
        rows = self._all("SELECT text, outcome, took_ms FROM checks JOIN names ON names.id = name WHERE run = ?", run)
        return {text: (OUTCOMES[outcome], took_ms / 1000) for text, outcome, took_ms in rows}

    def heat(self, gateway: int, since_ms: int, hours: Literal[1, 24]) -> dict[str, dict[int, tuple[int, ...]]]:
        """By check and hour or day (its beginning, UTC), how often each of OUTCOMES was seen; of hours 30 days."""
        found: dict[str, dict[int, tuple[int, ...]]] = {}
        rows = self._all(
            "SELECT text, step, passed, failed, blocked, error, skipped FROM check_sums "
            "JOIN names ON names.id = name WHERE gateway = ? AND hours = ? AND step >= ?",
            gateway,
            hours,
            since_ms // (hours * HOUR_MS),
        )
        for text, step, *counts in rows:
            found.setdefault(text, {})[step * hours * HOUR_MS] = tuple(counts)
        return found

    def culprits(self, gateway: int, since_ms: int, hours: Literal[1, 24]) -> dict[tuple[str, int], str]:
        """By check and hour or day, the stamp of the newest red run in which it failed, else was blocked."""
        step_ms, blocked = hours * HOUR_MS, OUTCOMES.index("blocked")
        rows = self._all(
            "SELECT text, at_ms / ? AS step, stamp, max(at_ms - (outcome = ?) * ?) "
            "FROM runs CROSS JOIN checks ON run = runs.id "
            "AND outcome IN (?, ?, ?) JOIN names ON names.id = name WHERE gateway = ? AND at_ms >= ? "
            "AND verdict IN ('unhealthy', 'unknown') GROUP BY text, step",
            step_ms,
            blocked,
            step_ms,
            OUTCOMES.index("failed"),
            OUTCOMES.index("error"),
            blocked,
            gateway,
            since_ms,
        )
        return {(text, step * step_ms): stamp for text, step, stamp, _ in rows}

    def days(self, gateway: int, since_ms: int) -> dict[int, dict[str, int]]:
        """By day (its beginning, UTC), how many runs had each verdict."""
        found: dict[int, dict[str, int]] = {}
        rows = self._all(
            "SELECT at_ms / ?, verdict, count(*) FROM runs WHERE gateway = ? AND at_ms >= ? GROUP BY 1, 2",
            DAY_MS,
            gateway,
            since_ms,
        )
        for day, verdict, count in rows:
            found.setdefault(day * DAY_MS, {})[verdict] = count
        return found

    def calls(self, gateway: int, name: str, since_ms: int) -> tuple[CallSeen, ...]:
        """Every call of a name, oldest first."""
        rows = self._all(
            "SELECT at_ms, wall_us, (SELECT text FROM names WHERE id = outcome) FROM runs "
            "CROSS JOIN calls ON name = (SELECT id FROM names WHERE text = ?) AND run = runs.id "
            "WHERE gateway = ? AND at_ms >= ? ORDER BY at_ms",
            name,
            gateway,
            since_ms,
        )
        return tuple(
            CallSeen(at_ms, wall_us / 1e6, outcome in ANSWERED, outcome in TIMED_OUT)
            for at_ms, wall_us, outcome in rows
        )

    def jobs(self, gateway: int, since_ms: int, most: int) -> tuple[JobRow, ...]:
        """The jobs that were seen since a moment, watched ones first."""
        rows = self._all(
            "SELECT id, job, name, watched FROM cron_jobs WHERE gateway = ? AND seen_ms >= ? "
            "ORDER BY watched DESC, seen_ms DESC, id LIMIT ?",
            gateway,
            since_ms,
            most,
        )
        return tuple(JobRow(id_, job, name, bool(watched)) for id_, job, name, watched in rows)

    def job_runs(self, job: int, since_ms: int) -> tuple[JobSeen, ...]:
        """The runs of a job (its number in this history), oldest first."""
        rows = self._all(
            "SELECT started_ms, status, duration_ms, timed_out FROM cron_runs WHERE job = ? AND started_ms >= ? "
            "ORDER BY started_ms",
            job,
            since_ms,
        )
        return tuple(
            JobSeen(started_ms, status, None if duration_ms is None else duration_ms / 1000, bool(timed_out))
            for started_ms, status, duration_ms, timed_out in rows
        )

    def last_job_run(self, job: int) -> JobSeen | None:
        """The newest run of a job."""
        newest = self._all("SELECT max(started_ms) FROM cron_runs WHERE job = ?", job)[0][0]
        return None if newest is None else self.job_runs(job, newest)[-1]

    def incidents(self, gateway: int, since_ms: int) -> tuple[IncidentEntry, ...]:
        """Those that are open, or were opened or ended since a moment, oldest first."""
        rows = self._all(
            "SELECT id, cause, opened_ms, first_sign_ms, green_ms, closed_ms, flaps, detect_s, recover_s, attempts "
            "FROM incidents WHERE gateway = ? AND coalesce(closed_ms, ?) >= ? ORDER BY opened_ms",
            gateway,
            since_ms,
            since_ms,
        )
        return tuple(IncidentEntry(*row) for row in rows)

    def restarts(self, gateway: int, since_ms: int) -> tuple[tuple[int, str], ...]:
        """When and by whom, oldest first."""
        rows = self._all(
            "SELECT at_ms, by FROM restarts WHERE gateway = ? AND at_ms >= ? ORDER BY at_ms", gateway, since_ms
        )
        return cast("tuple[tuple[int, str], ...]", tuple(rows))

    def totals(self, gateway: int, what: str) -> dict[tuple[str, str], float]:
        """The sums of a kind by their labels; they only ever grow."""
        rows = self._all("SELECT label, more, sum FROM totals WHERE gateway = ? AND what = ?", gateway, what)
        return {(label, more): total for label, more, total in rows}

    def _run(self, where: str, *values: object) -> RunRow | None:
        return next(self._runs(where, *values), None)

    def _runs(self, where: str, *values: object) -> Iterator[RunRow]:
        columns = (
            "runs.id, at_ms, stamp, duration_ms, verdict, (SELECT text FROM names WHERE id = cause), incident, pid, "
            "started_ms, serving_ms, rss_bytes, delay_ms, own_cpu_ms, calls_cpu_ms, "
            "(SELECT told FROM states WHERE id = state)"
        )
        for row in self._all(f"SELECT {columns} FROM runs WHERE {where}", *values):  # noqa: S608 -- our own words
            *head, delay_ms, own_ms, calls_ms, told = row
            id_, at_ms, stamp, took_ms, verdict, cause, incident, pid, born, serving, rss = head
            delay_s = None if delay_ms is None else delay_ms / 1000
            state = json.loads(told) if told else {}
            yield RunRow(
                id_, at_ms, stamp, took_ms / 1000, verdict, cause, incident, pid, born, serving, rss, delay_s,
                own_ms / 1000, calls_ms / 1000, state,
            )  # fmt: skip

    def _all(self, query: str, *values: object) -> list[Any]:
        return self._connection.execute(query, values).fetchall()
