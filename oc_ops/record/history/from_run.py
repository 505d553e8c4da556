"""Write a run into the history: all of it comes from looks that the run took anyway."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from oc_ops import files
from oc_ops.errors import SettingError
from oc_ops.judge.schedule import milliseconds
from oc_ops.observe.jobs import Job, JobRun
from oc_ops.observe.logs import planned_restarts
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.rpc import RpcRefused
from oc_ops.process.jsontext import number_at
from oc_ops.record.history.database import HistoryError, reading
from oc_ops.record.history.entry import (
    CallEntry,
    CheckEntry,
    CronRunEntry,
    IncidentEntry,
    JobEntry,
    Process,
    RunEntry,
)
from oc_ops.record.history.write import remember
from oc_ops.record.incidents import book
from oc_ops.record.incidents.incident import Incident
from oc_ops.record.journal import JournalError, restarts_by_us
from oc_ops.record.redact import Redactor
from oc_ops.record.run import Around, Observations, RunRecord
from oc_ops.settings import Settings
from oc_ops.text import regex

if TYPE_CHECKING:
    from oc_ops.record.incidents.book import IncidentUpdate
    from oc_ops.record.page.charts import Latency

_DRAWN_EVERY_S = 3600.0
"""A page that nothing changed is drawn anew at most this often: it costs what a run may not, some 100 ms of CPU."""
_RESTART_S = 60.0
"""Lines of OpenClaw's audit log that lie within this belong to one restart."""
_BY_US_MS = 90_000
"""OpenClaw writes its line when it has done its part, up to this long after our own."""
_STATUSES = ("ok", "error", "skipped", "interrupted")
_TIMED_OUT = regex(r"time[d -]{0,2}out", re.IGNORECASE)
_WORD = regex(r"(?:--version|[a-z][a-z.-]{1,30})")


def note(
    record: RunRecord, update: IncidentUpdate | None, settings: Settings, redactor: Redactor, stamp: str
) -> tuple[Around | None, Latency | None, str]:
    """Write the run into the history; what a run with an incident lies in, a chart, and what the operator must be told.

    `stamp` is the name of the run's folder. Raises nothing: the verdict does not depend on it.
    """
    notice = ""
    try:
        if aside := _keep(entry(record, update, settings.memory_dir, redactor, stamp), update, settings):
            notice = f"the history: {aside}"
        return *_around(record, update, settings.memory_dir), notice
    except (HistoryError, JournalError, OSError, SettingError) as error:
        return None, None, notice or f"the run is not in the history: {error}"


def draw(key: str, settings: Settings, redactor: Redactor, *, changed: bool) -> str:
    """Draw reports/index.html where an incident has changed or the page is old; what the operator must be told.

    Raises OSError for a disk that is full.
    """
    if not changed and _is_young(settings.report_dir / "index.html"):
        return ""
    from oc_ops.record.page import trends

    try:
        trends.write(settings.report_dir, settings.memory_dir, redactor, key)
    except HistoryError as error:
        return f"index.html was not drawn: {error}"
    return ""


def _is_young(page: Path) -> bool:
    try:
        return 0 <= time.time() - page.stat().st_mtime < _DRAWN_EVERY_S
    except OSError:
        return False


def _keep(made: RunEntry, update: IncidentUpdate | None, settings: Settings) -> str:
    """Write the run into the history; that a corrupt one was set aside, or nothing."""

    def ended(ids: Collection[str]) -> Iterator[IncidentEntry]:
        if update is not None:
            told = book.read(book.journal(settings.memory_dir)).incidents
            yield from (_incident(told[each]) for each in ids if each in told)

    return remember(settings.memory_dir, made, settings.keep_history_days, ended)


def _around(record: RunRecord, update: IncidentUpdate | None, memory_dir: Path) -> tuple[Around | None, Latency | None]:
    """The last green run, what changed since, the incident so far, the gateway's latency; nothing without incident."""
    incident = update.incident if update else None
    if incident is None:
        return None, None
    from oc_ops.record.history import context
    from oc_ops.record.history.query import History

    with reading(memory_dir) as connection:
        assert connection is not None
        return context.around(History(connection), record.scope.key, milliseconds(record.started_at), incident)


def retold(record: RunRecord, update: IncidentUpdate | None, memory_dir: Path) -> RunRecord:
    """The record with its incident's timeline as the book has it now, a recovery's outcome included."""
    incident = update.incident if update else None
    if record.around is None or incident is None:
        return record
    from oc_ops.record.history import context

    try:
        now = book.read(book.journal(memory_dir)).incidents.get(incident.id, incident)
    except JournalError:
        return record
    return replace(record, around=replace(record.around, timeline=tuple(context.timeline(now))))


def entry(
    record: RunRecord, update: IncidentUpdate | None, memory_dir: Path, redactor: Redactor, stamp: str
) -> RunEntry:
    """The run as the history has it."""
    about, observed = record.openclaw, record.observed
    load, now_ms, probe = record.load, milliseconds(record.started_at), observed.probe
    known = {each.id: each for each in (update.open if update else ())}
    if update and update.incident:
        known[update.incident.id] = update.incident
    return RunEntry(
        key=record.scope.key,
        profile=about.profile or "default",
        port=about.port,
        at_ms=now_ms,
        stamp=stamp,
        duration_s=record.duration_s,
        verdict=record.verdict,
        cause=record.cause,
        whole=record.whole,
        own_cpu_s=load.own_cpu_s if load else 0.0,
        calls_cpu_s=load.calls_cpu_s if load else 0.0,
        incident=update.incident.id if update and update.incident else None,
        process=_process(probe, now_ms),
        delay_ms=probe.event_loop_delay_ms if probe else None,
        state=dict(_state(record, redactor)),
        checks=tuple(CheckEntry(each.id, each.outcome, each.duration_s) for each in record.checks),
        calls=tuple(_calls(record)),
        findings=record.findings,
        jobs=tuple(_jobs(observed, redactor)),
        incidents=tuple(map(_incident, known.values())),
        restarts=_restarts(memory_dir, record.scope.key, observed.state_dir),
    )


def _process(look: GatewayProbe | None, now_ms: int) -> Process | None:
    """The gateway's process, and since when it serves where it says so."""
    serving = look.serving if look else None
    if look is None or serving is None or not serving.certain:
        return None
    uptime_ms = number_at(look.ready.json if look.ready else None, "uptimeMs")
    return Process(
        serving.pid,
        now_ms - round(serving.age_s * 1000),
        serving.rss_bytes,
        None if uptime_ms is None else now_ms - round(uptime_ms),
    )


def _calls(record: RunRecord) -> Iterator[CallEntry]:
    """Every question that was asked, in the order of the lanes."""
    look, lane = record.observed.probe, record.observed.rpc
    for probe in (look.live, look.again, look.startup, look.ready, look.ready_again) if look else ():
        if probe is not None:
            yield CallEntry(f"http {probe.path}", probe.kind, probe.wall_s)
    if isinstance(lane, RpcRefused):
        if lane.kind != "off":
            yield CallEntry("rpc connect", lane.kind, 0.0)
    elif lane is not None:
        for reply in {each.method: each for each in (lane.status, lane.cron_status, lane.cron_list)}.values():
            yield CallEntry(f"rpc {reply.method}", reply.outcome, reply.wall_s)
    for call in record.calls:
        yield CallEntry(f"cli {_command(call.argv)}", call.outcome, call.wall_s, call.cpu_s)


def _command(argv: Sequence[str]) -> str:
    """The called command without options and their values: few words, the same for every profile."""
    words = list(argv[1:])
    if words[:1] == ["--profile"]:
        words = words[2:]
    named = []
    for word in words[:3]:
        if not _WORD.fullmatch(word):
            break
        named.append(word)
    return " ".join(named) or "openclaw"


def _state(record: RunRecord, redactor: Redactor) -> Iterator[tuple[str, str]]:
    """Values that may have changed when something broke: releases, the config's content, the jobs' definitions."""
    about, observed = record.openclaw, record.observed
    if about.cli_version:
        yield "CLI", about.cli_version
    if about.gateway_version:
        yield "gateway", redactor.line(about.gateway_version, 60)
    if observed.config is not None:
        try:
            yield "config", hashlib.sha256(files.read_bytes(observed.config, files.CONFIG_BYTES)).hexdigest()[:12]
        except OSError:
            yield "config", "cannot be read"
    jobs = observed.jobs
    if jobs is not None and jobs.complete:
        yield "jobs", str(len(jobs.jobs))
        for job in jobs.jobs[:200]:
            switch = "on" if job.enabled else "off"
            text = redactor.line(f"{job.name or job.id}: {_plan(job)}, {switch}", 160)
            yield f"job {redactor.line(job.id, 80)}", text


def _plan(job: Job) -> str:
    plan = job.schedule
    words = {"cron": f"cron {plan.expression} {plan.zone}".rstrip(), "every": f"every {plan.every_ms / 1000:g} s"}
    return words.get(plan.kind, plan.kind)


def _jobs(observed: Observations, redactor: Redactor) -> Iterator[JobEntry]:
    """Every job with what was told of its runs: its history where it was asked for, else its last run."""
    jobs = observed.jobs
    for job in jobs.jobs if jobs else ():
        runs = {each.started_ms: each for each in _runs(job, jobs.runs.get(job.id, ()) if jobs else ())}
        line = redactor.line
        yield JobEntry(line(job.id, 80), line(job.name or job.id, 80), job.id in observed.watched, tuple(runs.values()))


def _runs(job: Job, history: Sequence[JobRun]) -> Iterator[CronRunEntry]:
    last = JobRun(job.last_status, job.last_run_ms, job.last_duration_ms, job.last_error)
    for each in (last, *history):
        # The moment of a run under way is told before its end: then status and duration are still the last one's.
        if each.started_ms is not None and each.status and each.started_ms != job.running_ms:
            status = each.status if each.status in _STATUSES else "other"
            timed_out = status == "error" and bool(_TIMED_OUT.search(each.error[:2000]))
            yield CronRunEntry(each.started_ms, status, each.duration_ms, timed_out)


def _incident(incident: Incident) -> IncidentEntry:
    return IncidentEntry(
        id=incident.id,
        cause=incident.cause.check,
        opened_ms=milliseconds(incident.opened_at),
        first_sign_ms=_ms_or_none(incident.first_sign),
        green_ms=_ms_or_none(incident.green_at),
        closed_ms=_ms_or_none(incident.closed_at),
        flaps=incident.flaps,
        detect_s=incident.time_to_detect_s,
        recover_s=incident.time_to_recover_s,
        attempts=len(incident.attempts),
    )


def _restarts(memory_dir: Path, key: str, state_dir: Path | None) -> tuple[tuple[int, str], ...]:
    """The restarts that somebody wrote down: recoveries of ours, and OpenClaw's audit log for all the others."""
    ours = restarts_by_us(memory_dir, key)
    written = planned_restarts(state_dir, datetime(2020, 1, 1, tzinfo=UTC), lasts_s=_RESTART_S) if state_dir else ()
    others = (milliseconds(begin) for begin, _end in written)
    found = [(at, "oc-ops") for at in ours]
    found += [(at, "openclaw") for at in others if not any(-5_000 <= at - own <= _BY_US_MS for own in ours)]
    return tuple(sorted(found))


def _ms_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else milliseconds(moment)
