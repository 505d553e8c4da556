"""What a year of 5-minute runs takes and what it costs to ask: `python -m tests.bench.history [FOLDER]`.

The year is written through the same code as a run's, on a gateway with six cron jobs, an incident every three days and
a restart every two; a FOLDER is filled once and used again. Goals: below 300 MB, every question below 100 ms, one more
run below 20 ms of CPU. Times are the best of three; measure on an idle machine.
"""

from __future__ import annotations

import math
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from oc_ops.judge.finding import Finding
from oc_ops.record.history import database
from oc_ops.record.history.database import FILE, reading
from oc_ops.record.history.entry import CallEntry, CronRunEntry, IncidentEntry, Process, RunEntry
from oc_ops.record.history.query import DAY_MS, History
from oc_ops.record.history.write import _remember, remember
from oc_ops.record.metrics import Metrics
from oc_ops.record.page import trends
from oc_ops.record.redact import Redactor
from tests.support import past

DAYS = 365
JOBS = (("heartbeat", 10), ("inbox", 15), ("sync", 30), ("report", 60), ("digest", 720), ("backup", 1440))
MOST_BYTES = 300 * 10**6
MOST_MS = 100.0
MOST_WRITE_MS = 20.0


def main() -> int:
    """Fill, measure, print; 1 when a goal was missed."""
    if len(sys.argv) > 1:
        return measured(filled(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory(prefix="oc-ops-bench-") as folder:
        return measured(filled(Path(folder)))


def filled(folder: Path) -> Path:
    """A memory directory with a year in it."""
    if not (folder / FILE).exists():
        folder.mkdir(parents=True, exist_ok=True)
        runs, began = year(), time.monotonic()
        for week in range(DAYS // 7 + 1):
            database.write(folder, lambda connection: some(connection, runs, 7 * 288))
            print(f"\rweek {week + 1}, {time.monotonic() - began:.0f} s", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    return folder


def some(connection: sqlite3.Connection, runs: Iterator[RunEntry], count: int) -> None:
    """Write that many runs in one transaction."""
    for _, each in zip(range(count), runs, strict=False):
        _remember(connection, each, 400, lambda _ids: ())


def year() -> Iterator[RunEntry]:
    """Every run of a year, oldest first, the last one now."""
    dice = random.Random(7)
    began = past.NOW_MS - DAYS * DAY_MS
    started = began - DAY_MS
    for number in range(DAYS * 288):
        at = began + number * past.STEP_MS
        # Every third day an outage of half an hour, which a restart ends.
        day, minute = divmod((at - began) // 60_000, 1440)
        red = day % 3 == 2 and 600 <= minute < 630
        incident = incident_of(began + day * DAY_MS + 600 * 60_000, at, red) if day % 3 == 2 and minute >= 600 else None
        restarts: tuple[tuple[int, str], ...] = ()
        if minute == 630 and day % 2 == 0:
            started, restarts = at - 60_000, ((at - 65_000, "openclaw"),)
        yield (past.hung if red else past.run)(
            at,
            process=Process(4171, started, 400 * 2**20 + day * 2**18),
            delay_ms=dice.uniform(5, 40),
            calls=tuple(jittered(dice, red)),
            findings=(Finding("gateway/hung", "error", "", "", ""),) if red else (),
            incidents=(incident,) if incident else (),
            incident=incident.id if red and incident else None,
            jobs=tuple(past.job(*job_runs(dice, at, step), name=name, id=name) for name, step in JOBS),
            state={"CLI": "2026.9.6", "gateway": "2026.9.6", "config": f"{day // 5:012x}", "jobs": "6"},
            restarts=restarts,
        )


def jittered(dice: random.Random, red: bool) -> Iterator[CallEntry]:
    """The calls of a run."""
    for each in past.CALLS:
        if not red:
            yield CallEntry(each.name, each.outcome, each.wall_s * math.exp(dice.gauss(0, 0.3)), each.cpu_s)
    if red:
        yield from (CallEntry("http /healthz", "silent", 2.0),) * 2


def job_runs(dice: random.Random, at: int, step: int) -> Iterator[CronRunEntry]:
    """The job's last three runs, as every run is told them anew; what they were follows from when they were."""
    last = at - at % (step * 60_000)
    for begin in (last, last - step * 60_000, last - 2 * step * 60_000):
        own = random.Random(begin + step)
        failed = own.random() < 0.01
        yield CronRunEntry(begin, "error" if failed else "ok", round(20_000 * math.exp(own.gauss(0, 0.4))), failed)


def incident_of(opened: int, at: int, red: bool) -> IncidentEntry:
    """The day's incident as it stands."""
    over = None if red else opened + 1_800_000
    closed = over + past.STEP_MS if over and at > over else None
    name, took = f"{opened}-gateway-hung", None if over is None else 1800.0
    return IncidentEntry(name, "gateway/hung", opened, opened - 60_000, over, closed, 0, 60.0, took, 1)


def measured(folder: Path) -> int:
    """Size, every question, the page, the metrics, and one more run."""
    size = sum(each.stat().st_size for each in folder.glob(f"{FILE}*"))
    print(f"{'size':34} {size / 1e6:9.1f} MB")
    missed = size > MOST_BYTES
    with reading(folder) as connection:
        assert connection is not None
        for name, ask in questions(History(connection)).items():
            took = best(ask)
            missed |= took > MOST_MS
            print(f"{name:34} {took:9.1f} ms{'  TOO SLOW' if took > MOST_MS else ''}")
    registry = CollectorRegistry()
    registry.register(Metrics(folder, past.NOW_MS))
    print(f"{'the page of trends':34} {best(lambda: drawn(folder)):9.1f} ms")
    print(f"{'the metrics':34} {best(lambda: generate_latest(registry)):9.1f} ms")
    number = iter(range(1, 100))
    took = best(lambda: remember(folder, past.run(past.NOW_MS + next(number)), 400), time.process_time)
    missed |= took > MOST_WRITE_MS
    print(f"{'one more run, CPU':34} {took:9.1f} ms")
    return int(missed)


def drawn(folder: Path) -> None:
    """The page of trends, beside the history."""
    trends.write(folder / "reports", folder, Redactor((), Path.home()), now_ms=past.NOW_MS)


def questions(history: History) -> dict[str, Callable[[], object]]:
    """Everything that metrics and pages ask, by the widest range they do."""
    now, gateway = past.NOW_MS, history.gateways()[0].id
    job, last = history.jobs(gateway, 0, 1)[0].id, history.last_run(gateway)
    assert last is not None
    return {
        "gateways": history.gateways,
        "first run": lambda: history.first_run_ms(gateway),
        "last run": lambda: history.last_run(gateway),
        "last green run": lambda: history.last_green(gateway, now),
        "last healthy": lambda: history.last_healthy_ms(gateway),
        "checks of a run": lambda: history.checks_of(last.id),
        "heat map, 48 hours": lambda: history.heat(gateway, now - 2 * DAY_MS, 1),
        "heat map, 90 days": lambda: history.heat(gateway, now - 90 * DAY_MS, 24),
        "whose run a red cell is": lambda: history.culprits(gateway, now - 90 * DAY_MS, 24),
        "availability, 90 days": lambda: history.days(gateway, now - 90 * DAY_MS),
        "runs that were not green, 30 days": lambda: history.not_green(gateway, now - 30 * DAY_MS, 50),
        "latency of a call, 14 days": lambda: history.calls(gateway, "rpc status", now - 14 * DAY_MS),
        "jobs": lambda: history.jobs(gateway, now - 30 * DAY_MS, 50),
        "runs of a job, 30 days": lambda: history.job_runs(job, now - 30 * DAY_MS),
        "last run of a job": lambda: history.last_job_run(job),
        "incidents, a year": lambda: history.incidents(gateway, 0),
        "restarts, a year": lambda: history.restarts(gateway, 0),
        "totals": lambda: history.totals(gateway, "calls"),
    }


def best(act: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Milliseconds of the best of three."""

    def once() -> float:
        began = clock()
        act()
        return (clock() - began) * 1000

    return min(once() for _ in range(3))


if __name__ == "__main__":
    raise SystemExit(main())
