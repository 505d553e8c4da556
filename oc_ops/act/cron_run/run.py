"""One ad-hoc run from the question to the exit code: look, choose, refuse or trigger once, wait, write it down."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from msgspec.structs import replace

from oc_ops.act.cron_run import transcript
from oc_ops.act.cron_run.follow import Following
from oc_ops.act.cron_run.lanes import JobLanes, KnownJob
from oc_ops.act.cron_run.request import JobRequest, RunResult, Say, choose
from oc_ops.act.cron_run.transcript import Transcript, prune
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.gateway import Gateway
from oc_ops.judge import gateway as judge_gateway
from oc_ops.judge.finding import Finding
from oc_ops.judge.findings import in_state
from oc_ops.judge.schedule import milliseconds, moment
from oc_ops.judge.watched_jobs import Terms, marker_stale
from oc_ops.observe.jobs import Job
from oc_ops.observe.probe import GatewayProbe
from oc_ops.process import run
from oc_ops.record import watcher_word
from oc_ops.text import clock, span

_FIRST_LOOK_S = 1.0
"""The budget of the first probes: a stopped gateway is told from a working one in a second."""

_REFUSED_BESIDE = in_state("absent", "mute", "passing", "kept-out")
"""Causes beside which nothing is triggered; a late gateway is warned of and asked all the same."""


def run_job(asked: JobRequest, gateway: Gateway, say: Say) -> RunResult:
    """Run one job once and wait for that run.

    Raises JobNotChosen when no job or more than one is meant, and OcOpsError when nothing was started because the
    jobs cannot be seen or the transcript cannot be written. Everything else is a Result, an interruption too.
    """
    seen, cause = _looked(gateway)
    refused = cause is not None and cause.check in _REFUSED_BESIDE
    lanes = JobLanes(gateway)
    try:
        try:
            known = lanes.known(seen, answers=not refused)
        except CouldNotLook as error:
            raise OcOpsError(f"{cause.sentence}; {error}" if cause else str(error)) from error
    finally:
        lanes.close()
    job = choose(asked.word, known.jobs)
    log = Transcript(gateway.settings.memory_dir, job.id, gateway.redactor)
    try:
        prune(gateway.settings.memory_dir, gateway.settings.keep_job_runs, log.path)
        watched = watcher_word.told(gateway.settings.memory_dir, gateway.target.key)
        transcript.begin(log, asked.command, job, known, seen, cause, watched)
        if not refused and job.running_ms is None:
            say.begin(job, asked.limit_s, str(log.path))
        result = replace(_decided(asked, gateway, job, known, seen, cause, log, say), log=log.path)
        with run.signals_held():
            transcript.end(log, result)
        if log.trouble:
            say.warn(log.trouble)
        return result
    finally:
        log.close()


def _looked(gateway: Gateway) -> tuple[GatewayProbe, Finding | None]:
    """A second is enough to see a stopped gateway; one that is merely silent gets the whole budget as well."""
    budget_s, settings = gateway.settings.http_probe_s, gateway.settings
    limits = judge_gateway.Limits.of(settings)
    seen = gateway.look(min(_FIRST_LOOK_S, budget_s))
    cause = judge_gateway.cause(seen, limits)
    certain = seen.serving is not None and seen.serving.status == "stopped"
    if cause is not None and seen.live.kind == "silent" and not certain:
        seen = gateway.look(budget_s)
        cause = judge_gateway.cause(seen, limits)
    return seen, cause


def _decided(
    asked: JobRequest,
    gateway: Gateway,
    job: Job,
    known: KnownJob,
    seen: GatewayProbe,
    cause: Finding | None,
    log: Transcript,
    say: Say,
) -> RunResult:
    """The result, whichever way it comes about."""
    if cause is not None:
        if cause.check in _REFUSED_BESIDE:
            return RunResult("not-started", job, f"{cause.check}: {cause.fact}", advice=cause.fix)
        say.warn(f"{cause.check}: {cause.fact}")
    if job.running_ms is not None:
        return already_running(job, known)
    following = Following(asked, gateway, job, seen, log, say)
    try:
        result = following.run()
    except KeyboardInterrupt as stop:
        return following.interrupted(str(stop) or "Ctrl-C")
    except CouldNotLook as error:
        return RunResult("not-started", job, str(error))
    if result.outcome == "already-running":
        return _looked_again(gateway, job, seen)
    return result


def _looked_again(gateway: Gateway, job: Job, seen: GatewayProbe) -> RunResult:
    """The gateway says that the job runs already: since when, if that can be seen."""
    lanes = JobLanes(gateway)
    with contextlib.suppress(OcOpsError), contextlib.closing(lanes):
        known = lanes.known(seen, answers=True)
        found = next((each for each in known.jobs.jobs if each.id == job.id), None)
        if found is not None and found.running_ms is not None:
            return already_running(found, known)
    return RunResult("already-running", job, "by the gateway's own word; its marker is gone by now")


def already_running(job: Job, known: KnownJob) -> RunResult:
    """Since when, and whether anybody runs it: by the same proof as the finding cron/marker-stale."""
    assert job.running_ms is not None
    owner = known.owners.get(job.id)
    age_s = (milliseconds(datetime.now(UTC)) - job.running_ms) / 1000
    since = f"since {clock(moment(job.running_ms))}, {span(abs(age_s))} {'ago' if age_s >= 0 else 'in the future'}"
    finding = marker_stale(job, None, known.jobs, owner, Terms())
    if finding is not None:
        return RunResult("already-running", job, f"{since}; its marker is stale: {finding.saw}", advice=finding.fix)
    proof = f"; {_ownership(owner.owner)}: {owner.proof}" if owner else ""
    return RunResult("already-running", job, f"{since}{proof}")


def _ownership(owner: str) -> str:
    words = {"live": "its marker is valid", "none": "no process was found that runs it, but its time is not over yet"}
    return words.get(owner, "which process runs it is not known")
