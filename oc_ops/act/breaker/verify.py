"""Whether a break of a marker helped: the marker is gone, and the job's next run really comes."""

from __future__ import annotations

from oc_ops.act.breaker.book import Book
from oc_ops.act.breaker.outcome import Result
from oc_ops.act.breaker.sight import Hands, Sight
from oc_ops.errors import CouldNotLook
from oc_ops.judge.due import milliseconds, moment
from oc_ops.judge.jobwords import clock
from oc_ops.observe.jobs import Job
from oc_ops.record.redact import Json

_LOOK_S, _RARELY_S, _BY_CLI_S = 2.0, 30.0, 15.0
"""Between two looks: when the run is due, before that, and at least where every look costs a CLI call."""


def verified(job_id: str, since_ms: int, marker_ms: int | None, hands: Hands, *, awaited: bool = True) -> Result:
    """What came of it. A run that began at `since_ms` or later is the next one; the wait for it is bounded.

    It lasts OC_OPS_BREAKER_LATE_S beyond the due time, and is left out when that lies OC_OPS_BREAKER_AWAIT_S or more
    ahead, or when not `awaited`. Ctrl-C ends the wait, not the break.
    """
    job = _job(job_id, hands)
    if job is None:
        return Result("unknown", "the job is on again, and could not be looked at afterwards", {"since_ms": since_ms})
    if marker_ms is not None and job.running_ms == marker_ms:
        return Result(
            "ineffective", "the marker is still there: the gateway did not take it away", _after(job, since_ms)
        )
    if done := _ran(job, since_ms, marker_ms):
        return Result("verified", done, _after(job, since_ms))
    due_ms = job.next_run_ms
    if due_ms is None:
        said = f"cleared; it has no next run set that could be awaited; {_later(job_id)}"
        return Result("cleared", said, _after(job, since_ms))
    ahead_s = (due_ms - hands.now_ms()) / 1000
    not_awaited = Result(
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


def later(job_id: str, book: Book, sight: Sight, late_s: float) -> Result | None:
    """What became of the last break of that job, if its next run was not awaited then; None when there is none such."""
    found = None
    for entry in book.entries():
        if entry.what == "done" and entry.text("target").partition(":")[2] == job_id:
            found = entry
    after = found.said.get("after") if found else None
    if found is None or found.text("outcome") != "cleared" or not isinstance(after, dict):
        return None
    since_ms, due_ms, job = after.get("since_ms"), after.get("next_run_ms"), sight.job(job_id)
    if job is None or sight.jobs is None or not isinstance(since_ms, int):
        return Result("unknown", "the job cannot be looked at now")
    when = f"broken at {found.at:%Y-%m-%d %H:%M:%S} UTC"
    if done := _ran(job, since_ms, None):
        return Result("verified", f"{when}; {done}", _after(job, since_ms))
    if not isinstance(due_ms, int):
        return Result("cleared", f"{when}; it did not run since, and had no next run set", _after(job, since_ms))
    if milliseconds(sight.jobs.seen_at) <= due_ms + late_s * 1000:
        return Result("cleared", f"{when}; its next run is due at {clock(moment(due_ms))}", _after(job, since_ms))
    said = f"{when}; its next run was due at {clock(moment(due_ms))} and did not come"
    return Result("ineffective", said, _after(job, since_ms))


def _awaited(job_id: str, since_ms: int, marker_ms: int | None, due_ms: int, hands: Hands) -> Result:
    """Look until the run is seen to have begun, or its time is over."""
    end_ms = max(due_ms, hands.now_ms()) + round(hands.settings.breaker_late_s * 1000)
    job: Job | None = None
    while True:
        left_s = (due_ms - hands.now_ms()) / 1000
        hands.wait(max(_LOOK_S, min(left_s + 1, _RARELY_S), _pause_s(hands)))
        job = _job(job_id, hands)
        if job and (done := _ran(job, since_ms, marker_ms)):
            return Result("verified", f"the marker is gone, and {done}", _after(job, since_ms))
        if hands.now_ms() > end_ms:
            break
    due = clock(moment(due_ms))
    if job is None:
        said = f"the run due at {due} could not be seen: the gateway does not tell its jobs"
        return Result("unknown", said, {"since_ms": since_ms, "next_run_ms": due_ms})
    if job.queued_ms is not None:
        return Result("unknown", f"the run due at {due} still waits for its turn", _after(job, since_ms))
    back = "; the marker is back" if job.running_ms == marker_ms and marker_ms is not None else ""
    return Result("ineffective", f"the run due at {due} did not come{back}", _after(job, since_ms))


def _pause_s(hands: Hands) -> float:
    return _LOOK_S if hands.settings.rpc else _BY_CLI_S


def _ran(job: Job, since_ms: int, marker_ms: int | None) -> str:
    """Words for a run that began since; empty when there was none."""
    if job.running_ms is not None and job.running_ms != marker_ms and job.running_ms >= since_ms:
        return f"its next run began at {clock(moment(job.running_ms))}"
    if job.last_run_ms is not None and job.last_run_ms != marker_ms and job.last_run_ms >= since_ms:
        status = f", and ended as {job.last_status}" if job.last_status else ""
        return f"its next run came at {clock(moment(job.last_run_ms))}{status}"
    return ""


def _job(job_id: str, hands: Hands) -> Job | None:
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
