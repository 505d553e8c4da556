"""The scheduler, and the jobs that must never stop silently."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from oc_ops.errors import CouldNotLook
from oc_ops.judge.finding import Finding, finds, none
from oc_ops.judge.job_words import named, ran
from oc_ops.judge.jobtimes import Terms, by, marker_stale, run_missed, slow
from oc_ops.observe.jobs import Job, Jobs
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.owners import Ownership
from oc_ops.observe.rpc import RpcReply
from oc_ops.observe.watchlist import Watched
from oc_ops.process.jsontext import at


@finds(
    "cron/list-unanswered",
    checks=("cron/list-rpc", "cron/list"),
    cure=none("the gateway lives; a long run holds its scheduler, and a restart would abort it"),
    means="the scheduler does not list its jobs",
    helps="its log; a long run",
)
def list_unanswered(reply: RpcReply | Answer) -> Finding | None:
    """`cron.list` gives no list of jobs, over RPC or through the operator's own `openclaw cron list`."""
    if isinstance(reply, Answer):
        jobs, saw = at(reply.value, "jobs"), reply.call.summary
        if reply.came and isinstance(jobs, list):
            return None
        if reply.came:
            saw = f"{saw}, without a list of jobs"
    else:
        jobs, saw = at(reply.payload, "jobs"), _reply(reply)
        if reply.outcome == "ok" and isinstance(jobs, list):
            return None
        if reply.outcome == "ok":
            saw = f"{saw}, without a list of jobs"
    return Finding(
        "cron/list-unanswered",
        "error",
        fact="the scheduler does not list its jobs",
        saw=saw,
        fix="none automatic: the gateway lives; look at its event loop and a long run first (openclaw tasks list)",
    )


@finds(
    "cron/scheduler-off",
    checks=("cron/scheduler",),
    cure=none(
        "it is switched off by the config or the environment, and stays so over a restart",
        proof="its own cron.status answers enabled: false",
    ),
    means="no job will run by itself",
    helps="switch it on",
)
def scheduler_off(status: object) -> Finding | None:
    """The scheduler itself is disabled: no job runs, and nothing else says so. `status` is a cron.status payload.

    Raises CouldNotLook for anything that does not say whether it is enabled.
    """
    enabled = at(status, "enabled")
    if not isinstance(enabled, bool):
        raise CouldNotLook("cron.status did not say whether the scheduler is enabled")
    if enabled:
        return None
    return Finding(
        "cron/scheduler-off",
        "error",
        fact="the cron scheduler is off: no job will run by itself",
        saw="cron.status answers enabled: false: cron.enabled in the config, or OPENCLAW_SKIP_CRON in its environment",
        fix="openclaw config set cron.enabled true && openclaw gateway restart",
        proof="its own cron.status answers enabled: false",
    )


def _reply(reply: RpcReply) -> str:
    words = f"{reply.code or ''} {reply.message}".strip()
    return f"RPC {reply.method}: {reply.outcome} after {reply.wall_s:.1f} s{': ' + words if words else ''}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one job: of a watched one always, of another only that its marker is stale."""

    watched: Watched | None
    job: Job | None
    findings: tuple[Finding, ...] = ()
    unseen: str = ""
    """Why it could not be judged, or not in all; never to be taken for health."""

    @property
    def subject(self) -> str:
        """The job's stable name: as the watchlist calls it, else its id."""
        return self.watched.job if self.watched else self.job.id if self.job else ""


def examine(
    watchlist: Sequence[Watched], jobs: Jobs, owners: Mapping[str, Ownership], terms: Terms
) -> tuple[Verdict, ...]:
    """Judge every watched job, in the watchlist's order, and then the markers of the others.

    `owners` tells by job id who owns a marker; a job that is not in it may be owned by anybody.
    """
    verdicts = [_watched(each, jobs, owners, terms) for each in watchlist]
    seen = {each.job.id for each in verdicts if each.job}
    for job in jobs.jobs:
        if job.id not in seen and (finding := marker_stale(job, None, jobs, owners.get(job.id), terms)):
            verdicts.append(Verdict(None, job, (finding,)))
    return tuple(verdicts)


def _watched(watched: Watched, jobs: Jobs, owners: Mapping[str, Ownership], terms: Terms) -> Verdict:
    try:
        job = find(watched, jobs)
    except CouldNotLook as error:
        return Verdict(watched, None, unseen=str(error))
    if job is None:
        return Verdict(watched, None, (missing(watched, jobs, terms),))
    if finding := disabled(job, jobs, terms):
        return Verdict(watched, job, (finding,))
    stale = marker_stale(job, watched, jobs, owners.get(job.id), terms)
    found, missed, unseen = [stale, failing(job, watched, jobs, terms)], None, ""
    try:
        missed = run_missed(job, watched, jobs, terms) if stale is None else None
    except CouldNotLook as error:
        unseen = str(error)
    found.append(missed)
    if stale is None and (missed is None or job.running_ms is None):  # of one run that does not end, one finding
        found.append(slow(job, watched, jobs, owners.get(job.id), terms))
    return Verdict(watched, job, tuple(each for each in found if each), unseen)


def find(watched: Watched, jobs: Jobs) -> Job | None:
    """The job that a line means: by id, else by name; None when there is none.

    Raises CouldNotLook for a name that two jobs share, naming both ids, and when not all jobs were told.
    """
    by_name = [each for each in jobs.jobs if each.name == watched.job]
    found = [each for each in jobs.jobs if each.id == watched.job] or by_name
    if len(found) > 1:
        ids = " and ".join(each.id for each in found)
        raise CouldNotLook(f"two jobs are called {named(watched.job)}: {ids}; {watched.where} needs an id")
    if not found and not jobs.complete:
        raise CouldNotLook(f"{named(watched.job)} is not among the jobs told, and there are more of them")
    return found[0] if found else None


@finds(
    "cron/job-missing",
    checks=("cron/watched",),
    cure=none("a restart brings no job back"),
    means="a watched job is gone",
    helps="add it again, or take its line out",
)
def missing(watched: Watched, jobs: Jobs, terms: Terms) -> Finding:
    """A watched job that the gateway does not have, with the names that come near."""
    import difflib

    names = dict.fromkeys(each.name for each in jobs.jobs if each.name)
    near = [named(each) for each in difflib.get_close_matches(watched.job, names, n=3, cutoff=0.6)]
    return Finding(
        "cron/job-missing",
        terms.severity("error"),
        fact=f"{by(jobs)}the watched job {named(watched.job)} does not exist",
        saw=f"{len(jobs.jobs)} jobs, none with that id or name"
        + (f"; near to it: {', '.join(near)}" if near else "")
        + f"; watched by {watched.where}",
        fix="none automatic: add the job again, or correct its line; `oc-ops jobs` shows both (a one-shot that ran "
        "well deletes itself: then the line goes)",
    )


@finds(
    "cron/job-disabled",
    checks=("cron/watched",),
    cure=none("a restart enables no job"),
    means="a watched job is off, by hand or after ten failures",
    helps="mend it, then enable it",
)
def disabled(job: Job, jobs: Jobs, terms: Terms) -> Finding | None:
    """A watched job that is switched off, by hand or by OpenClaw; a one-shot that ran well has done its work."""
    if job.enabled or (job.schedule.kind == "at" and job.last_status == "ok"):
        return None
    enable = f"openclaw cron enable {shlex.quote(job.id)}"
    fix = f"none automatic: mend what its runs died of, then: {enable}" if job.auto_disabled else enable
    fix = f"none automatic: the gateway first, then: {enable}" if jobs.source == "store" else fix
    how = f"OpenClaw switched it off: {job.auto_disabled}" if job.auto_disabled else "enabled: false"
    return Finding(
        "cron/job-disabled",
        terms.severity("error"),
        fact=f"{by(jobs)}the watched job {named(job.name)} is disabled",
        saw=f"{how}; {ran(job, jobs.runs.get(job.id, ()), jobs.seen_at)}",
        fix=fix,
    )


@finds(
    "cron/job-failing",
    checks=("cron/watched",),
    cure=none(
        "the job fails, not the gateway; whether to run it again is the operator's choice",
        proof="its own record of the runs says that they failed",
    ),
    means="the last runs of a watched job failed (one alone is a warning)",
    helps="read its runs; never rerun blindly",
)
def failing(job: Job, watched: Watched, jobs: Jobs, terms: Terms) -> Finding | None:
    """The last run failed: a warning, and an error once as many in a row failed as the watchlist allows.

    A skipped run is no run: it neither fails nor ends a row of failures, as OpenClaw counts.
    """
    runs = [each for each in jobs.runs.get(job.id, ()) if each.status != "skipped"]
    row = next((number for number, each in enumerate(runs) if each.status != "error"), len(runs))
    said = job.last_status == "error" or (job.last_status in ("", "skipped") and job.consecutive_errors > 0)
    if not said and not (job.last_status in ("", "skipped") and row):
        return None
    failures = max(job.consecutive_errors, row, 1)
    times = "its last run failed" if failures == 1 else f"its last {failures} runs failed"
    return Finding(
        "cron/job-failing",
        terms.severity("error" if failures >= watched.max_failures else "warning"),
        fact=f"{by(jobs)}the watched job {named(job.name)} fails: {times}",
        saw=f"{ran(job, jobs.runs.get(job.id, ()), jobs.seen_at)}; {watched.max_failures} in a row are an error",
        fix=f"none automatic: a rerun could do its work twice; read openclaw cron runs --id {shlex.quote(job.id)}, "
        "mend the cause, then start it by hand",
    )
