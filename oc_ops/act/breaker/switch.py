"""Switch a job off and on again, never half-way, and verify that its marker is gone."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from oc_ops.act.breaker.plan import ApprovalBook
from oc_ops.act.breaker.scan import Blocker, BreakerView, BreakResult, Tools
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.judge.job_words import named
from oc_ops.judge.schedule import milliseconds, moment
from oc_ops.observe.jobs import Job
from oc_ops.process.jsontext import at
from oc_ops.record.redact import Json
from oc_ops.text import clock, one_line

_WAITING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def uninterrupted() -> Iterator[list[int]]:
    """Collect those signals instead of being ended by them; what came is in the list. The block must be bounded.

    It may start processes: nothing is blocked that a child would inherit.
    """
    came: list[int] = []

    def later(signum: int, _frame: FrameType | None) -> None:
        came.append(signum)

    before = {each: signal.getsignal(each) for each in _WAITING}
    heard = [each for each, handler in before.items() if handler is not signal.SIG_IGN]
    try:
        for each in heard:
            signal.signal(each, later)
        yield came
    finally:
        for each in heard:
            signal.signal(each, before[each])


_CLOCK_GRACE_MS = 60_000
"""A run that began later than this from now never began: its time is that of a clock which was ahead."""
_LOOK_S, _RARELY_S, _BY_CLI_S = 2.0, 30.0, 15.0
"""Between two looks: when the run is due, before that, and at least where every look costs a CLI call."""


def verified(job_id: str, since_ms: int, marker_ms: int | None, hands: Tools, *, awaited: bool = True) -> BreakResult:
    """Return what came of it. A run that began at `since_ms` or later is the next one; the wait for it is bounded.

    It lasts OC_OPS_BREAKER_LATE_S beyond the due time, and is left out when that lies OC_OPS_BREAKER_AWAIT_S or more
    ahead, or when not `awaited`. Ctrl-C ends the wait, not the break.
    """
    job = _job(job_id, hands)
    if job is None:
        return BreakResult(
            "unknown", "the job is on again, and could not be looked at afterwards", {"since_ms": since_ms}
        )
    if marker_ms is not None and job.running_ms == marker_ms:
        return BreakResult(
            "ineffective", "the marker is still there: the gateway did not take it away", _after(job, since_ms)
        )
    if done := _ran(job, since_ms, marker_ms, hands.now_ms()):
        return BreakResult("verified", done, _after(job, since_ms))
    due_ms = job.next_run_ms
    if due_ms is None:
        said = f"cleared; it has no next run set that could be awaited; {_later(job_id)}"
        return BreakResult("cleared", said, _after(job, since_ms))
    ahead_s = (due_ms - hands.now_ms()) / 1000
    not_awaited = BreakResult(
        "cleared",
        f"cleared; next run due at {clock(moment(due_ms))} not awaited; {_later(job_id)}",
        _after(job, since_ms),
    )
    if not awaited or ahead_s > hands.settings.breaker_await_s:
        return not_awaited
    try:
        hands.say(f"cleared; waiting for its next run, due at {clock(moment(due_ms))} (Ctrl-C: it is not awaited)")
        return _awaited(job_id, since_ms, marker_ms, due_ms, hands)
    except KeyboardInterrupt:
        return not_awaited


def later(job_id: str, book: ApprovalBook, sight: BreakerView, late_s: float) -> BreakResult | None:
    """Return what became of the job's last break, if its next run was not awaited then; None if there was none."""
    found = None
    for entry in book.entries():
        if entry.what == "done" and entry.text("target").partition(":")[2] == job_id:
            found = entry
    after = found.said.get("after") if found else None
    if found is None or found.text("outcome") != "cleared" or not isinstance(after, dict):
        return None
    since_ms, due_ms, job = after.get("since_ms"), after.get("next_run_ms"), sight.job(job_id)
    if job is None or sight.jobs is None or not isinstance(since_ms, int):
        return BreakResult("unknown", "the job cannot be looked at now")
    when = f"broken at {clock(found.at)}"
    if done := _ran(job, since_ms, None, milliseconds(sight.jobs.seen_at)):
        return BreakResult("verified", f"{when}; {done}", _after(job, since_ms))
    if not isinstance(due_ms, int):
        return BreakResult("cleared", f"{when}; it did not run since, and had no next run set", _after(job, since_ms))
    if milliseconds(sight.jobs.seen_at) <= due_ms + late_s * 1000:
        return BreakResult("cleared", f"{when}; its next run is due at {clock(moment(due_ms))}", _after(job, since_ms))
    said = f"{when}; its next run was due at {clock(moment(due_ms))} and did not come"
    return BreakResult("ineffective", said, _after(job, since_ms))


def _awaited(job_id: str, since_ms: int, marker_ms: int | None, due_ms: int, hands: Tools) -> BreakResult:
    """Look until the run is seen to have begun, or its time is over."""
    end_ms = max(due_ms, hands.now_ms()) + round(hands.settings.breaker_late_s * 1000)
    job: Job | None = None
    while True:
        left_s = (due_ms - hands.now_ms()) / 1000
        hands.wait(max(_LOOK_S, min(left_s + 1, _RARELY_S), _pause_s(hands)))
        job = _job(job_id, hands)
        if job and (done := _ran(job, since_ms, marker_ms, hands.now_ms())):
            return BreakResult("verified", f"the marker is gone, and {done}", _after(job, since_ms))
        if hands.now_ms() > end_ms:
            break
    due = clock(moment(due_ms))
    if job is None:
        said = f"the run due at {due} could not be seen: the gateway does not tell its jobs"
        return BreakResult("unknown", said, {"since_ms": since_ms, "next_run_ms": due_ms})
    if job.queued_ms is not None:
        return BreakResult("unknown", f"the run due at {due} still waits for its turn", _after(job, since_ms))
    back = "; the marker is back" if job.running_ms == marker_ms and marker_ms is not None else ""
    return BreakResult("ineffective", f"the run due at {due} did not come{back}", _after(job, since_ms))


def _pause_s(hands: Tools) -> float:
    return _LOOK_S if hands.settings.rpc else _BY_CLI_S


def _ran(job: Job, since_ms: int, marker_ms: int | None, now_ms: int) -> str:
    """Words for a run that began since; empty when there was none. A time that is yet to come is no run."""
    latest_ms = now_ms + _CLOCK_GRACE_MS
    if job.running_ms is not None and job.running_ms != marker_ms and since_ms <= job.running_ms <= latest_ms:
        return f"its next run began at {clock(moment(job.running_ms))}"
    if job.last_run_ms is not None and job.last_run_ms != marker_ms and since_ms <= job.last_run_ms <= latest_ms:
        status = f", and ended as {job.last_status}" if job.last_status else ""
        return f"its next run came at {clock(moment(job.last_run_ms))}{status}"
    return ""


def _job(job_id: str, hands: Tools) -> Job | None:
    """The job by the gateway's own word; its store tells nothing of a scheduler that may be dead."""
    try:
        sight = hands.look()
    except CouldNotLook:
        return None
    return sight.job(job_id) if sight.jobs and sight.jobs.source != "store" else None


def _after(job: Job, since_ms: int) -> dict[str, Json]:
    return {
        "enabled": job.enabled,
        "marker_ms": job.running_ms,
        "last_run_ms": job.last_run_ms,
        "next_run_ms": job.next_run_ms,
        "since_ms": since_ms,
    }


def _later(job_id: str) -> str:
    return f"whether it came: oc-ops breaker show marker:{job_id}"


_AGAIN_S = 3.0


def switch(mutex: Blocker, hands: Tools) -> BreakResult:
    """Disable (of a job left off: not) and enable, then see whether it helped.

    Whatever comes of the disable, Ctrl-C included, the job is switched on: only then may anything end this.
    """
    job_id, name = str(mutex.evidence["job"]), named(str(mutex.evidence["name"]))
    on: bool | None = None
    with uninterrupted() as came:
        try:
            if mutex.kind == "marker":
                _disable(job_id, hands)
        finally:
            since_ms = hands.now_ms()
            on = _switched_on(job_id, name, hands)
    if on is not True:
        return _left_off(job_id, name, on)
    if came:
        hands.say("interrupted: the job is on again, whether its next run comes is not awaited")
    marker = mutex.evidence["marker_ms"]
    return verified(job_id, since_ms, marker if isinstance(marker, int) else None, hands, awaited=not came)


def _disable(job_id: str, hands: Tools) -> None:
    hands.note(f"openclaw cron disable {job_id}")
    try:
        answer = hands.openclaw().cron_disable(job_id)
    except OcOpsError as error:
        hands.note(f"cron disable: {error}")
        hands.say(one_line(f"cron disable did not get through: {error}", 600))
        return
    hands.note(f"cron disable: {answer.call.summary}")
    if not answer.came:
        hands.say(one_line(f"cron disable did not get through: {answer.error or answer.call.summary}", 600))


def _switched_on(job_id: str, name: str, hands: Tools) -> bool | None:
    """Enable it until it is seen to be on, for OC_OPS_BREAKER_ENABLE_S; None when neither could be seen at the end."""
    deadline = hands.clock() + hands.settings.breaker_enable_s
    while True:
        hands.note(f"openclaw cron enable {job_id}")
        on: bool | None = None
        try:
            answer = hands.openclaw().cron_enable(job_id)
            why = answer.error or answer.call.summary
            on = at(answer.value, "enabled") is True if answer.came else None
            hands.note(f"cron enable: {answer.call.summary}")
        except OcOpsError as error:
            why = str(error)
            hands.note(f"cron enable: {why}")
        seen = _is_on(job_id, hands)
        on = on if seen is None else seen
        if on or hands.clock() >= deadline:
            return on
        state = "IS OFF" if on is False else "MAY BE OFF"
        hands.say(one_line(f"THE JOB {name} {state}: cron enable did not get through ({why}); trying again", 600))
        hands.wait(_AGAIN_S)


def _is_on(job_id: str, hands: Tools) -> bool | None:
    try:
        job = hands.look().job(job_id)
    except OcOpsError:
        return None
    return job.enabled if job else None


def _left_off(job_id: str, name: str, on: bool | None) -> BreakResult:
    state = "IS OFF" if on is False else "MAY BE OFF: its state could not be seen"
    said = (
        f"THE JOB {name} {state}, and enabling it did not get through; run: openclaw cron enable {shlex.quote(job_id)} "
        f"(or oc-ops breaker break left-off:{job_id})"
    )
    return BreakResult("left-off", said, {"enabled": on})
