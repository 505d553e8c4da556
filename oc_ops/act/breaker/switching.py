"""Clears a marker by switching its job off and on, and never leaves the job off as long as it can be helped."""

from __future__ import annotations

import shlex

from oc_ops.act.breaker.mutex import Mutex
from oc_ops.act.breaker.outcome import Result
from oc_ops.act.breaker.sight import Hands
from oc_ops.act.breaker.uninterrupted import uninterrupted
from oc_ops.act.breaker.verify import verified
from oc_ops.errors import OcOpsError
from oc_ops.judge.jobwords import named
from oc_ops.observe.jsontext import at
from oc_ops.record.untrusted import one_line

_AGAIN_S = 3.0


def switch(mutex: Mutex, hands: Hands) -> Result:
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


def _disable(job_id: str, hands: Hands) -> None:
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


def _switched_on(job_id: str, name: str, hands: Hands) -> bool | None:
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


def _is_on(job_id: str, hands: Hands) -> bool | None:
    try:
        job = hands.look().job(job_id)
    except OcOpsError:
        return None
    return job.enabled if job else None


def _left_off(job_id: str, name: str, on: bool | None) -> Result:
    state = "IS OFF" if on is False else "MAY BE OFF: its state could not be seen"
    said = (
        f"THE JOB {name} {state}, and enabling it did not get through; run: openclaw cron enable {shlex.quote(job_id)} "
        f"(or oc-ops breaker break left-off:{job_id})"
    )
    return Result("left-off", said, {"enabled": on})
