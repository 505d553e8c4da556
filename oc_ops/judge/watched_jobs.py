"""Judges of the jobs that must never stop silently: gone, off, failing, missed, slow, marked as running by nobody."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo

from msgspec import Struct
from msgspec.structs import replace

from oc_ops.errors import CouldNotLook
from oc_ops.judge import schedule
from oc_ops.judge.finding import Finding, Severity, finds, none
from oc_ops.judge.job_words import named, plan, ran
from oc_ops.observe.jobs import Job, JobRun, Jobs
from oc_ops.observe.owners import Ownership
from oc_ops.observe.watchlist import Watched
from oc_ops.text import clock, span

_AGENT_TIMEOUT_S, _TIMEOUT_S, _UNBOUNDED_S = 3600.0, 600.0, 7200.0
"""How long a run may take by default (docs: how automations work); without a bound OpenClaw lets go after 2 h."""
_ENDING_S = 30.0
"""OpenClaw ends a run at the job's own timeout; its end is in the store that much later at most."""
_SKEW_MS = 60_000
"""A marker this far in the future is a clock turned back (#111741), not two clocks that differ."""
FEWEST_RUNS = 5
"""Earlier good runs below which a job has no history to be slower than."""
_MARGIN_MS = 10_000


class Terms(Struct, frozen=True):
    """The terms of one look. `zone` is the gateway's own; `grace_s` how late a run may begin or be recorded."""

    zone: tzinfo = UTC
    grace_s: float = 300.0
    beside_cause: bool = False
    """Something else is wrong that explains this: everything said here is a warning, so that one cause stands alone."""

    def severity(self, alone: Severity) -> Severity:
        """The severity of a finding in this look."""
        return "warning" if self.beside_cause else alone


class Verdict(Struct, frozen=True):
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


@finds(
    "cron/run-missed",
    checks=("cron/watched",),
    cure=none("a restart does not make up for a missed run; see first why the scheduler slept"),
    means="a watched job's due time passed without a run, by its schedule or its `max-age`",
    helps="see why the scheduler sleeps",
)
def run_missed(job: Job, watched: Watched, jobs: Jobs, terms: Terms) -> Finding | None:
    """A due time passed without a run, by the schedule, by the gateway's own next run, or by the watchlist's max-age.

    While it runs only max-age counts, from that run's beginning: a run that never ends is a job that stopped silently.
    Raises CouldNotLook when none of the three says anything about a job that has a schedule.
    """
    job = _with_history(job, _runs(job, jobs))
    if not job.enabled:
        return None
    if job.running_ms is not None:
        return _overrun(job, watched, jobs, terms)
    now_ms, grace_ms, unread = schedule.milliseconds(jobs.seen_at), round(terms.grace_s * 1000), ""
    said = []
    try:
        if slot := schedule.missed(job, jobs.seen_at, terms.zone, grace_ms):
            said.append(f"was due at {clock(slot)} and did not run")
    except CouldNotLook as error:
        unread = str(error)
    if not said and job.next_run_ms is not None and now_ms - job.next_run_ms > grace_ms:
        said.append(f"should have run at {clock(schedule.moment(job.next_run_ms))} and did not")
    if watched.max_age_s is not None and (late := _too_old(job, watched.max_age_s, now_ms)):
        said.append(late)
    if not said:
        if unread and job.next_run_ms is None and watched.max_age_s is None:
            raise CouldNotLook(f"{unread}; max-age=… at {watched.where} would judge it all the same")
        return None
    return Finding(
        "cron/run-missed",
        terms.severity("error"),
        fact=f"{by(jobs)}the watched job {named(job.name)} {' and '.join(said)}",
        saw=f"{plan(job, terms.zone)}; {ran(job, _runs(job, jobs), jobs.seen_at)}; {_next(job, now_ms)}",
        fix="none automatic: see why first (openclaw cron status: is the scheduler awake?); a run by hand is "
        f"openclaw cron run {shlex.quote(job.id)}",
    )


def _overrun(job: Job, watched: Watched, jobs: Jobs, terms: Terms) -> Finding | None:
    """A run that goes on for longer than its job may be without a new one."""
    began_ms = job.running_ms or 0
    running_s = (schedule.milliseconds(jobs.seen_at) - began_ms) / 1000
    if watched.max_age_s is None or running_s <= watched.max_age_s:
        return None
    return Finding(
        "cron/run-missed",
        terms.severity("error"),
        fact=f"{by(jobs)}the watched job {named(job.name)} is marked as running for {span(running_s)}, and began no "
        f"other run since (max-age {span(watched.max_age_s)})",
        saw=f"its marker of {clock(schedule.moment(began_ms))}; {ran(job, _runs(job, jobs), jobs.seen_at)}",
        fix=f"none automatic: read openclaw cron runs --id {shlex.quote(job.id)} and what the run waits for",
    )


@finds(
    "cron/job-slow",
    checks=("cron/watched",),
    cure=none("it is still at work, and a restart would abort it"),
    means="a watched job takes far longer than its own history (a warning)",
    helps="look at what it waits for",
)
def slow(job: Job, watched: Watched, jobs: Jobs, owner: Ownership | None, terms: Terms) -> Finding | None:
    """A run takes, or the last good one took, longer than the watchlist allows or the job's own history suggests.

    Longer is more than three times the middle of the earlier good runs and 10 s more than all but one in 20 of them.
    A run beyond its timeout whose owner lives, or cannot be told, is slow too: a marker is stale only with proof.
    """
    runs = _runs(job, jobs)
    good = [each.duration_ms for each in runs if each.status == "ok" and each.duration_ms is not None]
    if job.running_ms is not None:
        took_ms, earlier = schedule.milliseconds(jobs.seen_at) - job.running_ms, good
        words = "is running for"
        bound_s: float | None = _limit_s(job, watched, terms)
    elif runs and runs[0].status == "ok" and runs[0].duration_ms is not None:
        took_ms, earlier, words, bound_s = runs[0].duration_ms, good[1:], "took", watched.timeout_s
    else:
        return None
    over = bound_s is not None and took_ms > bound_s * 1000
    limits = [f"its timeout of {span(_timeout_s(job, watched))}"] if over else []
    if len(earlier) >= FEWEST_RUNS and took_ms > (most_ms := _most_ms(earlier)):
        limits.append(f"the {span(most_ms / 1000)} that its {len(earlier)} earlier good runs suggest")
    if not limits:
        return None
    proof = f"; owner {owner.owner}: {owner.proof}" if owner and job.running_ms is not None else ""
    return Finding(
        "cron/job-slow",
        "warning",
        fact=f"{by(jobs)}the watched job {named(job.name)} {words} {span(took_ms / 1000)}",
        saw=f"longer than {' and '.join(limits)}; {ran(job, runs, jobs.seen_at)}{proof}",
        fix=f"none automatic: read openclaw cron runs --id {shlex.quote(job.id)} and what the run waits for",
    )


@finds(
    "cron/marker-stale",
    checks=("cron/markers",),
    cure=none(
        "it is cleared job by job with an approval (oc-ops breaker), not by a restart of everything",
        proof="the marker stands in its own list or store, and its owner is seen to be gone",
    ),
    means="a job is marked as running, and provably no process runs it",
    helps="disable and enable that job",
)
def marker_stale(
    job: Job, watched: Watched | None, jobs: Jobs, owner: Ownership | None, terms: Terms
) -> Finding | None:
    """A marker older than the job's timeout plus grace, or in the future, that is proved to be nobody's.

    Without that proof it is never called stale, however old it is.
    """
    if job.running_ms is None or owner is None or owner.owner != "none":
        return None
    age_ms = schedule.milliseconds(jobs.seen_at) - job.running_ms
    bound_s = _timeout_s(job, watched) + terms.grace_s
    if -_SKEW_MS <= age_ms <= bound_s * 1000:
        return None
    said = f"lies {span(-age_ms / 1000)} in the future" if age_ms < 0 else f"is {span(age_ms / 1000)} old"
    quoted = shlex.quote(job.id)
    fix = f"openclaw cron disable {quoted} && openclaw cron enable {quoted}"
    fix = "none automatic: the gateway first; its next start clears the marker" if jobs.source == "store" else fix
    return Finding(
        "cron/marker-stale",
        terms.severity("error"),
        fact=f"{by(jobs)}the job {named(job.name)} is marked as running, and no process runs it",
        saw=f"its marker of {clock(schedule.moment(job.running_ms))} {said}, "
        f"its timeout {span(bound_s - terms.grace_s)}; "
        f"proof: {owner.proof}; {ran(job, _runs(job, jobs), jobs.seen_at)}",
        fix=fix,
    )


def by(jobs: Jobs) -> str:
    """The source of the claim, where it is not the gateway itself."""
    return "by the store, " if jobs.source == "store" else ""


def _runs(job: Job, jobs: Jobs) -> tuple[JobRun, ...]:
    return jobs.runs.get(job.id, ())


def _with_history(job: Job, runs: Sequence[JobRun]) -> Job:
    """The job with the later of its own last run and the history's."""
    if not runs or runs[0].started_ms is None or runs[0].started_ms <= (job.last_run_ms or 0):
        return job
    return replace(
        job, last_run_ms=runs[0].started_ms, last_status=runs[0].status, last_duration_ms=runs[0].duration_ms
    )


def _too_old(job: Job, max_age_s: float, now_ms: int) -> str:
    """Words for a job that ran too long ago; one made or changed since then gets its whole time again."""
    known = [each for each in (job.last_run_ms, job.created_ms, job.updated_ms) if each is not None]
    if known and now_ms - max(known) <= max_age_s * 1000:
        return ""
    if job.last_run_ms is None:
        return f"has never run (max-age {span(max_age_s)})"
    return f"last ran {span((now_ms - job.last_run_ms) / 1000)} ago (max-age {span(max_age_s)})"


def _next(job: Job, now_ms: int) -> str:
    if job.queued_ms is not None:
        return f"a run waits for its turn since {clock(schedule.moment(job.queued_ms))}"
    if job.next_run_ms is None:
        return "it has no next run"
    when = clock(schedule.moment(job.next_run_ms))
    return f"its next run is set to {when}" if job.next_run_ms > now_ms else f"its next run was set to {when}"


def _limit_s(job: Job, watched: Watched, terms: Terms) -> float:
    """How long a run may go on: a timeout that a person set counts to the second, an assumed one with the grace."""
    if watched.timeout_s is not None:
        return watched.timeout_s
    limit_s = _timeout_s(job, watched)
    return limit_s + (min(_ENDING_S, terms.grace_s) if job.timeout_s else terms.grace_s)


def _timeout_s(job: Job, watched: Watched | None) -> float:
    if watched and watched.timeout_s is not None:
        return watched.timeout_s
    if job.timeout_s is not None:
        return job.timeout_s if job.timeout_s > 0 else _UNBOUNDED_S
    return _TIMEOUT_S if job.payload_kind not in ("", "agentTurn") else _AGENT_TIMEOUT_S


def _most_ms(durations: Sequence[int]) -> float:
    from statistics import median

    ordered = sorted(durations)
    p95 = ordered[-(-len(ordered) * 95 // 100) - 1]
    return max(3 * median(ordered), p95 + _MARGIN_MS)
