"""Judges of the scheduler and all its jobs, watched or not: does it answer, is it on, does it move, is any job gone."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from oc_ops.errors import CouldNotLook
from oc_ops.judge.finding import Finding, finds, none
from oc_ops.judge.job_words import cut, named, ran
from oc_ops.judge.schedule import milliseconds, moment
from oc_ops.observe.jobs import Job, Jobs
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.rpc import RpcReply
from oc_ops.process.jsontext import at
from oc_ops.text import clock, count, listing

FEWEST_FAILURES = 3
"""Failures in a row of a job that nobody watches before they are worth a warning."""
_WEDGED_S = 3 * 3600.0
"""A run that is under way for so long: OpenClaw itself lets go of a marker after 2 h."""
_SHARE = 0.5
_MOST_LOST = 3
_FEWEST_OFF = 2
_SHOWN = 5
_CATCH_UP_S = 300.0
"""Time for a gateway that has just started to make up for the runs it missed."""


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


class KeptJob(Struct, frozen=True):
    """The memory of a job from one look to the next; a one-shot job takes itself away."""

    name: str
    one_shot: bool = False
    on: bool = False
    """It was enabled."""


def known(jobs: Jobs) -> dict[str, KeptJob]:
    """The jobs to remember: those the gateway makes for itself come and go with its config."""
    return {
        each.id: KeptJob(each.name, each.schedule.kind == "at", each.enabled) for each in jobs.jobs if not each.managed
    }


@finds(
    "cron/stalled",
    checks=("cron/work",),
    cure=none(
        "a restart aborts what runs; see first what holds the scheduler, then restart by hand at a quiet time",
        proof="its own cron.list shows due times that passed without a run",
    ),
    means="the scheduler stands: due times of most jobs, heartbeats included, pass without a run",
    helps="`openclaw tasks list` shows what holds it; then `openclaw gateway restart` at a quiet time",
)
def stalled(jobs: Jobs, grace_s: float, up_s: float | None) -> Finding | None:
    """Due times pass for at least half of the enabled jobs, or for several while no job at all began since.

    A job that waits for another one's run is not overdue, nor is anything in the first minutes of a gateway.
    """
    now_ms = milliseconds(jobs.seen_at)
    if up_s is not None and up_s < grace_s + _CATCH_UP_S:
        return None
    enabled = [each for each in jobs.jobs if each.enabled and (each.next_run_ms is not None or each.running_ms)]
    wedged = [each for each in enabled if _wedged(each, now_ms)]
    if any(each.running_ms is not None and each not in wedged for each in enabled):
        passed = []  # the others may wait for this one's turn to end
    else:
        passed = [each for each in enabled if overdue(each, now_ms, grace_s) and each not in wedged]
    late = [*wedged, *passed]
    if len(late) < 2:
        return None
    since_ms = min(each.running_ms or each.next_run_ms or now_ms for each in late)
    began = max((each.last_run_ms or 0 for each in jobs.jobs), default=0)
    if len(late) < _SHARE * len(enabled) and (began > since_ms or wedged):
        return None
    how = [f"{len(passed)} due times have passed"] if passed else []
    how += [f"{len(wedged)} are marked as running for hours"] if wedged else []
    last = f"; the last run of any job began at {clock(moment(began))}" if began else "; no job ever ran"
    return Finding(
        "cron/stalled",
        "error",
        fact=f"the scheduler stands still: {len(late)} of {len(enabled)} enabled jobs do not run",
        saw=f"{' and '.join(how)}, the first since {clock(moment(since_ms))}: {_names(late)}{last}",
        fix="none automatic: see what holds it (openclaw tasks list), then openclaw gateway restart at a quiet time",
        proof=f"its own cron.list: {' and '.join(how)}",
    )


def overdue(job: Job, now_ms: int, grace_s: float) -> bool:
    """True if a due time has passed.

    A run that waits for its turn is counted from when it was due: a queue that does not move is no work done.
    """
    return job.running_ms is None and job.next_run_ms is not None and now_ms - job.next_run_ms > grace_s * 1000


def _wedged(job: Job, now_ms: int) -> bool:
    bound_s = max(_WEDGED_S, (job.timeout_s or 0) + 600)
    return job.running_ms is not None and now_ms - job.running_ms > bound_s * 1000


@finds(
    "cron/undelivered",
    checks=("cron/work",),
    cure=none(
        "a restart sends no message again; the channel is what to mend",
        proof="its own record of the run says that its message was not delivered",
    ),
    means="a job ran well, and its message was not delivered (an error for a watched job)",
    helps="mend the channel, or the job's target: `openclaw cron edit ID --to …`; `--no-deliver` wants no message",
)
def undelivered(jobs: Jobs, watched: Collection[str], down: Collection[str]) -> Iterator[Finding]:
    """Jobs whose last good run told nobody. `watched` are ids, `down` the channels that are known to be down.

    A job that wants no message, had none to send, or may lose it (`bestEffort`) is silent, or a warning at most.
    """
    for job in jobs.jobs:
        if not job.untold or not job.enabled:
            continue
        important = job.id in watched and not job.best_effort and job.channel not in down
        where = f" by {job.channel}" if job.channel not in ("", "last") else ""
        yield Finding(
            "cron/undelivered",
            "error" if important else "warning",
            fact=f"the job {named(job.name)} ran, and its message was not delivered{where}",
            saw=f"{cut(' '.join(job.untold.split()), 200)}; {ran(job, (), jobs.seen_at)}",
            fix=f"none automatic: mend the channel, then look at openclaw cron runs --id {shlex.quote(job.id)}",
            subject=job.name or job.id,
        )


@finds(
    "cron/failing-unwatched",
    checks=("cron/work",),
    cure=none("the jobs fail, not the gateway"),
    means="jobs that are not on the watchlist fail again and again, or OpenClaw switched them off for it (a warning)",
    helps="read their runs; watch those that matter, disable the others",
)
def failing_unwatched(jobs: Jobs, watched: Collection[str]) -> Finding | None:
    """One warning for all of them: the last three runs failed, or OpenClaw gave up on the job."""
    others = [each for each in jobs.jobs if each.id not in watched]
    failing = [each for each in others if each.enabled and each.consecutive_errors >= FEWEST_FAILURES]
    given_up = [each for each in others if not each.enabled and each.auto_disabled]
    if not (found := [*failing, *given_up]):
        return None
    most = max(found, key=lambda each: each.consecutive_errors)
    some = f"the job {named(found[0].name)}" if len(found) == 1 else f"{len(found)} jobs"
    verb = "fails" if len(found) == 1 else "fail"
    off = f", {len(given_up)} switched off by OpenClaw" if given_up else ""
    why = cut(" ".join((most.last_error or most.auto_disabled).split()), 160)
    return Finding(
        "cron/failing-unwatched",
        "warning",
        fact=f"{some} not on the watchlist {verb} again and again",
        saw=f"{_names(found)}{off}; {named(most.name)}: {most.consecutive_errors} failed runs in a row"
        + (f" ({why})" if why else ""),
        fix=f"none automatic: read openclaw cron runs --id {shlex.quote(most.id)}; `oc-ops jobs` prints the lines "
        "that watch a job",
    )


@finds(
    "cron/jobs-lost",
    checks=("cron/work",),
    cure=none("a restart brings no job back"),
    means="jobs that were there at the last look are gone, or lie in a file that no migration took",
    helps="add them again from a backup (`openclaw backup`); jobs that you removed yourself need nothing",
)
def jobs_lost(before: Mapping[str, KeptJob], jobs: Jobs) -> Finding | None:
    """Jobs of the last look that the gateway has no more: a few are a warning, most of them an error, both said once.

    Nobody can say from outside who removed a job: one alone may have been the operator, all at once hardly were.
    """
    if not jobs.complete:
        return None
    ids, names = {each.id for each in jobs.jobs}, {each.name for each in jobs.jobs}
    gone = {id_: job for id_, job in before.items() if id_ not in ids and job.name not in names and not job.one_shot}
    if not gone:
        return None
    lasting = [each for each in before.values() if not each.one_shot]
    many = len(gone) >= _MOST_LOST and len(gone) > _SHARE * len(lasting)
    shown = listing([named(each.name) for each in gone.values()], _SHOWN)
    return Finding(
        "cron/jobs-lost",
        "error" if many else "warning",
        fact=f"{count(len(gone), 'cron job')} of the last look {'is' if len(gone) == 1 else 'are'} gone",
        saw=f"{len(lasting)} before, {len(lasting) - len(gone)} of them now: {shown}",
        fix="none automatic: if you did not remove them, add them again (openclaw cron add), from a backup of the "
        "state; said once",
    )


@finds(
    "cron/all-disabled",
    checks=("cron/work",),
    cure=none("a restart enables no job"),
    means="every job that was enabled at the last look is disabled now (a warning, said once)",
    helps="enable those that are to run: `openclaw cron enable ID`; a pause that you want needs nothing",
)
def all_disabled(before: Mapping[str, KeptJob], jobs: Jobs) -> Finding | None:
    """Nobody runs any more, and no list of failures says so: a pause that was forgotten, or somebody else's."""
    own = [each for each in jobs.jobs if not each.managed]
    were = [each for each in own if each.id in before and before[each.id].on and each.schedule.kind != "at"]
    if len(were) < _FEWEST_OFF or any(each.enabled for each in own):
        return None
    return Finding(
        "cron/all-disabled",
        "warning",
        fact=f"all {len(were)} cron jobs that were enabled at the last look are disabled",
        saw=f"now disabled: {_names(were)}",
        fix=f"none automatic: openclaw cron enable {shlex.quote(were[0].id)} enables one of them; said once",
    )


@finds(
    "cron/agent-missing",
    checks=("cron/work",),
    cure=none("a restart brings no agent back", proof="its own agents.list does not have the agent that the job names"),
    means="an enabled job is to be run by an agent that the gateway does not have (an error for a watched job)",
    helps="give it another one (`openclaw cron edit ID --agent NAME`), or add the agent again",
)
def agent_missing(jobs: Jobs, agents: Collection[str] | None, watched: Collection[str]) -> Iterator[Finding]:
    """Every run of such a job ends in "cron job agent is unavailable" (2026.9.6), however well the gateway is."""
    here = {each.lower() for each in agents or ()}
    for job in jobs.jobs:
        asks = job.enabled and job.payload_kind == "agentTurn" and job.agent
        if not here or not asks or job.agent.lower() in here:
            continue
        yield Finding(
            "cron/agent-missing",
            "error" if job.id in watched else "warning",
            fact=f"the job {named(job.name)} is to be run by the agent {named(job.agent)}, which does not exist",
            saw=f"agents.list has {', '.join(sorted(here)[:_SHOWN])}; {ran(job, (), jobs.seen_at)}",
            fix=f"none automatic: openclaw cron edit {shlex.quote(job.id)} --agent NAME, or add that agent again",
            subject=job.name or job.id,
        )


def unmigrated(left: Sequence[Job], jobs: Jobs, path: str) -> Finding | None:
    """Enabled jobs in a jobs.json that the gateway, which keeps them in its database, does not have.

    An error where it has none of that file's: nothing was taken over. Where it has some, a missing one may well have
    been removed since.
    """
    if not jobs.complete:
        return None
    ids, names = {each.id for each in jobs.jobs}, {each.name for each in jobs.jobs}
    missing = [each for each in left if each.enabled and each.id not in ids and each.name not in names]
    if not missing or all(each.schedule.kind == "at" for each in missing):
        return None
    taken = any(each.id in ids for each in left)
    return Finding(
        "cron/jobs-lost",
        "warning" if taken else "error",
        fact=f"{count(len(missing), 'enabled cron job')} in {path} never reached the gateway",
        saw=f"it keeps its jobs in its database and has none of these: {_names(missing)}",
        fix="none automatic: openclaw doctor shows what it would migrate; else add each again (openclaw cron add), "
        f"then put {path} aside",
        subject="unmigrated",
    )


def beside_cause(findings: Iterable[Finding], *, cause: bool) -> tuple[Finding, ...]:
    """The findings, as warnings where something else is wrong that explains them."""
    return tuple(replace(each, severity="warning") if cause and each.severity == "error" else each for each in findings)


def _reply(reply: RpcReply) -> str:
    words = f"{reply.code or ''} {reply.message}".strip()
    return f"RPC {reply.method}: {reply.outcome} after {reply.wall_s:.1f} s{': ' + words if words else ''}"


def _names(jobs: Sequence[Job]) -> str:
    return listing([named(each.name or each.id) for each in jobs], _SHOWN)
