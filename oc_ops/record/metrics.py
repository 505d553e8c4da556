"""Metrics for Prometheus, all from the history; names and labels are added to, never renamed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

from msgspec import Struct
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from oc_ops.judge.findings import Verdict
from oc_ops.record.history.database import FILE, HistoryError, reading
from oc_ops.record.history.query import DAY_MS, GatewayRow, History, JobRow, RunRow
from oc_ops.record.run import CheckOutcome

CALL_WINDOW_MS = DAY_MS
JOB_WINDOW_MS = 7 * DAY_MS
INCIDENT_WINDOW_MS = 90 * DAY_MS
MOST_JOBS = 50
MOST_GATEWAYS = 20
"""Labels stay bounded whatever a gateway is called and however many jobs it has: watched jobs come first."""
QUANTILES = (0.5, 0.95, 0.99)

_JOB_SEEN_MS = 30 * DAY_MS
_TYPES = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily, "summary": SummaryMetricFamily}


class Declared(Struct, frozen=True):
    """One metric. Every one has the label `gateway` (its profile) beside its own."""

    kind: Literal["gauge", "counter", "summary"]
    help: str
    labels: tuple[str, ...] = ()


METRICS = {
    "oc_ops_gateway_info": Declared(
        "gauge", "The gateway that was looked at; always 1", ("key", "port", "cli_version", "gateway_version")
    ),
    "oc_ops_verdict": Declared("gauge", "1 for the verdict of the last run, 0 for the others", ("verdict",)),
    "oc_ops_runs_total": Declared("counter", "Doctor runs by verdict", ("verdict",)),
    "oc_ops_last_run_timestamp_seconds": Declared("gauge", "When the last run began"),
    "oc_ops_last_healthy_timestamp_seconds": Declared("gauge", "When a run last found no error"),
    "oc_ops_run_duration_seconds": Declared("gauge", "How long the last run took"),
    "oc_ops_run_cpu_seconds": Declared(
        "gauge", "CPU that the last run cost, by the doctor itself and by the openclaw calls it made", ("part",)
    ),
    "oc_ops_probe_cpu_seconds_total": Declared("counter", "CPU that all runs cost", ("part",)),
    "oc_ops_check_status": Declared(
        "gauge", "1 for the outcome of each check in the last run, 0 for the others", ("check", "outcome")
    ),
    "oc_ops_check_duration_seconds": Declared("gauge", "How long each check took in the last run", ("check",)),
    "oc_ops_call_duration_seconds": Declared(
        "summary", "How long a call took; quantiles of the last day, sum and count of all time", ("call",)
    ),
    "oc_ops_calls_total": Declared("counter", "Calls to the gateway by lane and outcome", ("call", "outcome")),
    "oc_ops_call_timeout_ratio": Declared("gauge", "Share of the last day's calls not answered in time", ("call",)),
    "oc_ops_gateway_start_timestamp_seconds": Declared("gauge", "When the gateway's process began, as last seen"),
    "oc_ops_gateway_resident_memory_bytes": Declared("gauge", "Resident memory of the gateway in the last run"),
    "oc_ops_gateway_event_loop_delay_seconds": Declared("gauge", "The p99 delay of its event loop in the last run"),
    "oc_ops_gateway_restarts_total": Declared(
        "counter", "Starts by oc-ops, by openclaw's own word, or unseen (crash, service manager, kill)", ("by",)
    ),
    "oc_ops_gateway_restarts_last_day": Declared("gauge", "How many of them within the last 24 hours"),
    "oc_ops_incidents_open": Declared("gauge", "Incidents that are not closed"),
    "oc_ops_incident_opened_timestamp_seconds": Declared("gauge", "When the oldest open incident was opened"),
    "oc_ops_incidents_total": Declared("counter", "Incidents by cause", ("cause",)),
    "oc_ops_incident_detect_seconds": Declared(
        "summary", "First log signature to first red; quantiles of 90 days, sum and count of all time"
    ),
    "oc_ops_incident_recover_seconds": Declared(
        "summary", "First red to the green that held; quantiles of 90 days, sum and count of all time"
    ),
    "oc_ops_cron_job_info": Declared("gauge", "A cron job, and whether it is watched; 1", ("cron_job", "watched")),
    "oc_ops_cron_run_duration_seconds": Declared(
        "summary", "How long a job's runs took; quantiles of the last week, sum and count of all seen", ("cron_job",)
    ),
    "oc_ops_cron_runs_total": Declared("counter", "Runs of a cron job that were seen", ("cron_job", "status")),
    "oc_ops_cron_timeouts_total": Declared("counter", "Those of them that ran into their timeout", ("cron_job",)),
    "oc_ops_cron_timeout_ratio": Declared("gauge", "Share of the last week's runs that timed out", ("cron_job",)),
    "oc_ops_cron_last_run_timestamp_seconds": Declared("gauge", "When the last seen run began", ("cron_job",)),
    "oc_ops_cron_last_run_ok": Declared("gauge", "1 when the last seen run ended well, else 0", ("cron_job",)),
}

READABLE = "oc_ops_history_readable"
SIZE = "oc_ops_history_size_bytes"


class Metrics(Collector):
    """Reads the history anew at each collection; `error` says why the last one could not be read, if so."""

    def __init__(self, memory_dir: Path, now_ms: int | None = None, of: str = "") -> None:
        """`now_ms` is the end of every window: the clock's time where it is not given; `of` the key of one gateway."""
        self.memory_dir, self._now_ms, self._of = memory_dir, now_ms, of
        self.error: HistoryError | None = None

    def collect(self) -> Iterator[Metric]:
        """Every family that has a sample, in the order of METRICS; READABLE always."""
        self.error, families = None, _Families()
        try:
            with reading(self.memory_dir) as connection:
                if connection is not None:
                    self._gateways(History(connection), families)
        except HistoryError as error:
            self.error = error
        readable = 0 if self.error else 1
        yield GaugeMetricFamily(READABLE, "1 when the history could be read, else 0", readable)
        if not self.error:
            yield GaugeMetricFamily(SIZE, "Size of the history with its write-ahead log", _size(self.memory_dir))
            yield from families.filled()

    def _gateways(self, history: History, families: _Families) -> None:
        import time

        now_ms = self._now_ms or round(time.time() * 1000)
        every = history.gateways()
        gateways = [each for each in every if each.key == self._of] if self._of else every[:MOST_GATEWAYS]
        profiles = [each.profile for each in every]
        for each in gateways:
            twice = profiles.count(each.profile) > 1
            label = f"{each.profile}@{each.key}" if twice else each.profile
            _OneGateway(history, each, families, label, now_ms).put()


class _Families:
    """The families of METRICS as they fill."""

    def __init__(self) -> None:
        self._all = {
            name: _TYPES[each.kind](name, each.help, labels=("gateway", *each.labels)) for name, each in METRICS.items()
        }

    def put(self, name: str, labels: Sequence[str], value: float | None) -> None:
        """A sample; none where there is no value."""
        family = self._all[name]
        assert not isinstance(family, SummaryMetricFamily)
        if value is not None:
            family.add_metric(labels, value)

    def summary(self, name: str, labels: Sequence[str], window: Sequence[float], count: float, total: float) -> None:
        """Quantiles of a window beside count and sum of all time; nothing at all where nothing was ever seen."""
        family = self._all[name]
        assert isinstance(family, SummaryMetricFamily)
        if not count:
            return
        ordered, named = sorted(window), dict(zip(("gateway", *METRICS[name].labels), labels, strict=True))
        for each in QUANTILES if ordered else ():
            family.add_sample(name, {**named, "quantile": f"{each:g}"}, nearest(ordered, each))
        family.add_metric(labels, count_value=round(count), sum_value=total)

    def filled(self) -> Iterator[Metric]:
        """Those with a sample."""
        return (each for each in self._all.values() if each.samples)


class _OneGateway:
    """One gateway's share of the families."""

    def __init__(self, history: History, gateway: GatewayRow, families: _Families, label: str, now_ms: int) -> None:
        self.history, self.gateway, self.families, self.label, self.now_ms = history, gateway, families, label, now_ms

    def put(self) -> None:
        """All of it."""
        if run := self.history.last_run(self.gateway.id):
            self._last_run(run)
            self._checks(run)
        self._runs()
        self._calls()
        self._restarts()
        self._incidents()
        jobs = self.history.jobs(self.gateway.id, self.now_ms - _JOB_SEEN_MS, MOST_JOBS)
        names = [each.name for each in jobs]
        for job in jobs:
            self._job(job, f"{job.name} ({job.job})" if names.count(job.name) > 1 else job.name)

    def _gauge(self, name: str, value: float | None, *labels: str) -> None:
        self.families.put(name, (self.label, *labels), value)

    def _count(self, name: str, what: str) -> None:
        """A counter with the first of a sum's labels, or both."""
        several = len(METRICS[name].labels) > 1
        for (label, more), total in self.history.totals(self.gateway.id, what).items():
            self._gauge(name, total, *((label, more) if several else (label,)))

    def _last_run(self, run: RunRow) -> None:
        began = run.serving_ms or run.started_ms
        state, port = run.state, str(self.gateway.port or "")
        cli, gateway = state.get("CLI", "unknown"), state.get("gateway", "unknown")
        self._gauge("oc_ops_gateway_info", 1, self.gateway.key, port, cli, gateway)
        for verdict in get_args(Verdict):
            self._gauge("oc_ops_verdict", verdict == run.verdict, verdict)
        self._gauge("oc_ops_last_run_timestamp_seconds", run.at_ms / 1000)
        self._gauge("oc_ops_run_duration_seconds", run.duration_s)
        self._gauge("oc_ops_run_cpu_seconds", run.own_cpu_s, "doctor")
        self._gauge("oc_ops_run_cpu_seconds", run.calls_cpu_s, "calls")
        self._gauge("oc_ops_gateway_start_timestamp_seconds", began and began / 1000)
        self._gauge("oc_ops_gateway_resident_memory_bytes", run.rss_bytes)
        self._gauge("oc_ops_gateway_event_loop_delay_seconds", run.delay_s)

    def _checks(self, run: RunRow) -> None:
        for check, (outcome, took_s) in self.history.checks_of(run.id).items():
            for each in get_args(CheckOutcome):
                self._gauge("oc_ops_check_status", each == outcome, check, each)
            self._gauge("oc_ops_check_duration_seconds", took_s, check)

    def _runs(self) -> None:
        self._count("oc_ops_runs_total", "runs")
        self._count("oc_ops_probe_cpu_seconds_total", "cpu_s")
        healthy_ms = self.history.last_healthy_ms(self.gateway.id)
        self._gauge("oc_ops_last_healthy_timestamp_seconds", healthy_ms and healthy_ms / 1000)

    def _calls(self) -> None:
        self._count("oc_ops_calls_total", "calls")
        counts: dict[str, float] = {}
        for (name, _outcome), number in self.history.totals(self.gateway.id, "calls").items():
            counts[name] = counts.get(name, 0) + number
        for (name, _), total in self.history.totals(self.gateway.id, "call_s").items():
            seen = self.history.calls(self.gateway.id, name, self.now_ms - CALL_WINDOW_MS)
            walls = [each.wall_s for each in seen]
            self.families.summary("oc_ops_call_duration_seconds", (self.label, name), walls, counts[name], total)
            self._gauge("oc_ops_call_timeout_ratio", share([each.timed_out for each in seen]), name)

    def _restarts(self) -> None:
        self._count("oc_ops_gateway_restarts_total", "restarts")
        lately = self.history.restarts(self.gateway.id, self.now_ms - DAY_MS)
        self._gauge("oc_ops_gateway_restarts_last_day", len(lately))

    def _incidents(self) -> None:
        self._count("oc_ops_incidents_total", "incidents")
        lately = self.history.incidents(self.gateway.id, self.now_ms - INCIDENT_WINDOW_MS)
        still = [each.opened_ms for each in lately if each.closed_ms is None]
        self._gauge("oc_ops_incidents_open", len(still))
        self._gauge("oc_ops_incident_opened_timestamp_seconds", min(still) / 1000 if still else None)
        for name, count, total, spans in (
            ("oc_ops_incident_detect_seconds", "detections", "detect_s", [each.detect_s for each in lately]),
            ("oc_ops_incident_recover_seconds", "recoveries", "recover_s", [each.recover_s for each in lately]),
        ):
            sums = [sum(self.history.totals(self.gateway.id, what).values()) for what in (count, total)]
            self.families.summary(name, (self.label,), [each for each in spans if each is not None], sums[0], sums[1])

    def _job(self, job: JobRow, label: str) -> None:
        seen = self.history.job_runs(job.id, self.now_ms - JOB_WINDOW_MS)
        took = [each.duration_s for each in seen if each.duration_s is not None]
        totals = self._sums("cron_runs", job)
        for status, number in totals.items():
            self._gauge("oc_ops_cron_runs_total", number, label, status)
        count, total_s = sum(totals.values()), sum(self._sums("cron_s", job).values())
        self.families.summary("oc_ops_cron_run_duration_seconds", (self.label, label), took, count, total_s)
        self._gauge("oc_ops_cron_job_info", 1, label, "true" if job.watched else "false")
        if last := self.history.last_job_run(job.id):
            self._gauge("oc_ops_cron_last_run_timestamp_seconds", last.started_ms / 1000, label)
            self._gauge("oc_ops_cron_last_run_ok", last.status == "ok", label)
            self._gauge("oc_ops_cron_timeouts_total", sum(self._sums("cron_timeouts", job).values()), label)
        self._gauge("oc_ops_cron_timeout_ratio", share([each.timed_out for each in seen]), label)

    def _sums(self, what: str, job: JobRow) -> dict[str, float]:
        sums = self.history.totals(self.gateway.id, what)
        return {more: total for (label, more), total in sums.items() if label == job.job}


def nearest(ordered: Sequence[float], quantile: float) -> float:
    """The quantile of sorted values by nearest rank: always one that was measured. At least one value."""
    return ordered[max(math.ceil(quantile * len(ordered)) - 1, 0)]


def share(told: Sequence[bool]) -> float | None:
    """Which part is true; None of nothing."""
    return sum(told) / len(told) if told else None


def _size(memory_dir: Path) -> int:
    return sum(each.stat().st_size for each in memory_dir.glob(f"{FILE}*") if each.suffix in (".sqlite", ".sqlite-wal"))
