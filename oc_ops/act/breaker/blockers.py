"""Blockers that no process holds: lock files, moved aside and never deleted; markers, whose jobs are switched."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from oc_ops.act.breaker.plan import ApprovalBook, ApprovalEntry, lives
from oc_ops.act.breaker.scan import Blocker, BreakerView, BreakResult, Refused, Tools, gateway_evidence, typed_name
from oc_ops.errors import OcOpsError
from oc_ops.judge.job_words import named, schedule_words
from oc_ops.judge.schedule import milliseconds, moment
from oc_ops.observe.jobs import Job
from oc_ops.observe.lockfiles import LockFile
from oc_ops.record.folder import sync_directory
from oc_ops.text import clock, one_line

_WHAT = {
    "chrome-lock": "the browser profile",
    "session-lock": "the session",
    "gateway-lock": "the gateway's state",
}


def locks(sight: BreakerView) -> Iterator[Blocker]:
    """Every lock file; those that are or may be held are refused, with the reason."""
    for lock in sight.locks:
        refused = f"its holder lives, or cannot be proven dead: {lock.holder}" if lock.holder else _elsewhere(sight)
        yield Blocker(
            lock.kind,
            f"{lock.kind}:{lock.label}",
            lock.path.name,
            fact=f"{_WHAT[lock.kind]} {lock.label} is locked" + ("" if lock.holder else " by a process that is dead"),
            act=f"mv {lock.path} {lock.path.name}.oc-ops-<time>",
            evidence={
                "path": str(lock.path),
                "inode": lock.inode,
                "changed_ns": lock.changed_ns,
                "text": lock.digest,
                "pid": lock.pid,
                "proof": lock.proof,
            },
            shown=(f"it says: {one_line(lock.text)}", f"proof: {lock.proof}" if lock.proof else "no proof"),
            refused=refused,
        )


def move_aside(mutex: Blocker, hands: Tools) -> BreakResult:
    """Rename the very file of the evidence; one that came in its place meanwhile is put back."""
    path, approved = Path(str(mutex.evidence["path"])), (mutex.evidence["inode"], mutex.evidence["changed_ns"])
    aside = path.with_name(f"{path.name}.oc-ops-{datetime.now(UTC):%Y%m%dT%H%M%S%f}Z")
    hands.note(f"mv {path} {aside}")
    try:
        if _identity(path) != approved:
            raise Refused(f"{path.name} is another file now: nothing was moved")
        path.rename(aside)
        if _identity(aside) != approved:
            _put_back(aside, path)
            raise Refused(f"{path.name} was replaced at this very moment: the new one was put back")
        sync_directory(path.parent)
    except FileNotFoundError:
        raise Refused(f"{path.name} is gone: nothing was moved") from None
    except OSError as error:
        raise OcOpsError(f"{path} could not be moved aside: {error.strerror or error}") from error
    return _seen(mutex, aside, hands)


def _identity(path: Path) -> tuple[int, int]:
    """Inode and time of change: a new file may get the inode of the one that was just removed."""
    seen = path.lstat()
    return seen.st_ino, seen.st_mtime_ns


def _put_back(aside: Path, path: Path) -> None:
    """Under its own name again, unless somebody has made yet another one: neither call replaces a file."""
    if stat.S_ISLNK(aside.lstat().st_mode):
        path.symlink_to(os.readlink(aside))  # noqa: PTH115 -- a text of host and pid, not a path
    else:
        path.hardlink_to(aside)


def _seen(mutex: Blocker, aside: Path, hands: Tools) -> BreakResult:
    """By a fresh look: the lock is gone, or a new holder that lives has taken it, which is what it was broken for."""
    after: dict[str, str | bool | None] = {"moved_to": str(aside)}
    lock: LockFile | None = next((each for each in hands.look().locks if f"{each.kind}:{each.label}" == mutex.id), None)
    if lock is None:
        return BreakResult("verified", f"the lock is gone; it was moved to {aside}", after)
    after["lock"] = lock.text
    if lock.inode != mutex.evidence["inode"] and lock.holder:
        return BreakResult("verified", f"the lock was moved to {aside}; it is held again, by {lock.holder}", after)
    return BreakResult("ineffective", f"moved to {aside}, and a dead holder's lock is there again", after)


def _elsewhere(sight: BreakerView) -> str:
    """A gateway that answers and is not seen here runs elsewhere (a container): its pids mean nothing on this host."""
    look, there = sight.look, sight.target.container
    if there is not None:
        return f"its holder lives or lived in container {there.name}, whose pids mean nothing on this machine"
    if look is None:
        return "whether its gateway runs on this machine could not be seen"
    if look.live.kind != "refused" and not any(each.certain for each in look.processes):
        return "a gateway answers whose process is not seen on this machine: the holder may live where that runs"
    return ""


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
        when = clock(begun.at)
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
