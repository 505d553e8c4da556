"""Markers of runs that nobody runs, found as the doctor finds them; and jobs that an unfinished break left off."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from oc_ops.act.breaker.plan import ApprovalBook, ApprovalEntry, lives
from oc_ops.act.breaker.scan import Blocker, BreakerView, gateway_evidence, typed_name
from oc_ops.judge.schedule import milliseconds, moment
from oc_ops.judge.words import clock, named, schedule_words
from oc_ops.observe.jobs import Job

_OF_JOBS = ("marker", "left-off")
_NO_ANSWER = "the gateway does not answer: see to it first (oc-ops doctor)"


def markers(sight: BreakerView) -> Iterator[Blocker]:
    """Every job with a marker; all but the stale ones are refused, with the reason."""
    for job in sight.jobs.jobs if sight.jobs else ():
        if job.running_ms is None:
            continue
        finding, owner, quoted = sight.stale.get(job.id), sight.owners.get(job.id), shlex.quote(job.id)
        yield Blocker(
            "marker",
            f"marker:{job.id}",
            _typed(job, sight),
            fact=finding.fact if finding else f"the job {named(job.name)} is marked as running",
            act=f"openclaw cron disable {quoted}, then openclaw cron enable {quoted}",
            evidence={
                "job": job.id,
                "name": job.name,
                "marker_ms": job.running_ms,
                "receipt": job.receipt_id,
                "last_run_ms": job.last_run_ms,
                "enabled": job.enabled,
                "owner": owner.owner if owner else "unknown",
                "proof": owner.proof if owner else "",
                **gateway_evidence(sight.look),
            },
            shown=(*((finding.saw,) if finding else ()), _plan(job)),
            refused=_why_not(job, sight),
        )


def left_off(sight: BreakerView, book: ApprovalBook) -> Iterator[Blocker]:
    """Every job that is off because a break of it did not come to its end; a break that is under way is none."""
    for job_id, begun in _unfinished(book).items():
        job = sight.job(job_id)
        if job is None or job.enabled or sight.jobs is None:
            continue
        when = f"{begun.at:%Y-%m-%d %H:%M:%S} UTC"
        refused = _NO_ANSWER if sight.jobs.source == "store" else ""
        if job.auto_disabled:
            refused = f"OpenClaw itself switched it off since: {job.auto_disabled}"
        yield Blocker(
            "left-off",
            f"left-off:{job.id}",
            _typed(job, sight),
            fact=f"the job {named(job.name)} was left disabled by an unfinished break of {when}",
            act=f"openclaw cron enable {shlex.quote(job.id)}",
            evidence={
                "job": job.id,
                "name": job.name,
                "enabled": job.enabled,
                "updated_ms": job.updated_ms,
                "marker_ms": job.running_ms,
                "broken_by": begun.plan,
                "broken_at": when,
            },
            shown=(f"approved by plan {begun.plan}", _plan(job), *_changed_since(job, begun)),
            refused=refused,
        )


def _typed(job: Job, sight: BreakerView) -> str:
    jobs = sight.jobs.jobs if sight.jobs else ()
    return typed_name(job.name, [text for each in jobs for text in (each.name, each.id)], job.id)


def _why_not(job: Job, sight: BreakerView) -> str:
    """Why this marker must stay; empty for one that is proven stale, of a job that is on."""
    owner = sight.owners.get(job.id)
    if sight.jobs is None or sight.jobs.source == "store":
        return "the gateway does not answer, and its next start clears the marker"
    if owner is None or owner.owner == "unknown":
        return f"whether its run lives cannot be told: {owner.proof if owner else 'nothing was seen of its owner'}"
    if owner.owner == "live":
        return f"its owner lives: {owner.proof}"
    if not job.enabled:
        return "the job is disabled, so that its marker holds nothing up"
    if job.id not in sight.stale:
        return f"it is younger than the job's timeout and grace (owner: none, {owner.proof})"
    if job.schedule.kind == "at" and (job.schedule.at_ms or 0) <= milliseconds(sight.jobs.seen_at):
        return "it is a one-shot whose time has passed: switched on again it could run a second time"
    return ""


def _plan(job: Job) -> str:
    next_run = "none" if job.next_run_ms is None else clock(moment(job.next_run_ms))
    return f"{schedule_words(job.schedule)}; next run: {next_run}"


def _unfinished(book: ApprovalBook) -> dict[str, ApprovalEntry]:
    """By job the break that was begun last and has not ended, or ended with the job off."""
    targets: dict[str, str] = {}
    found: dict[str, ApprovalEntry] = {}
    for entry in book.entries():
        if entry.what == "planned":
            kind, _, job_id = entry.text("target").partition(":")
            if kind in _OF_JOBS:
                targets[entry.plan] = job_id
        elif (of := targets.get(entry.plan)) and entry.what == "begun":
            found[of] = entry
        elif of and entry.what == "done" and entry.text("outcome") != "left-off":
            found.pop(of, None)
    return {job_id: entry for job_id, entry in found.items() if not _under_way(entry, book)}


def _under_way(begun: ApprovalEntry, book: ApprovalBook) -> bool:
    return lives(begun.said.get("by")) and not any(each.what == "done" for each in book.entries(begun.plan))


def _changed_since(job: Job, begun: ApprovalEntry) -> Iterator[str]:
    """Somebody may have switched it on and off again since: the operator is to know."""
    if job.updated_ms is not None and job.updated_ms - milliseconds(begun.at) > 60_000:
        yield f"it was changed at {clock(moment(job.updated_ms))}, after that break: see who did"
