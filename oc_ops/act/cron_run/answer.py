"""What `openclaw cron run` said, whichever release said it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from oc_ops.act.cron_run.history import Record, record_of
from oc_ops.observe.jsontext import at, text_at
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.terminal import plain

_UNKNOWN_JOB = re.compile(r"unknown cron job id|(?:automation|cron job) not found", re.IGNORECASE)
_WAITED = re.compile(r"timed out waiting for cron run (manual:[\w:.-]{1,200})")
"""`--wait` gives up before we do, and then names the run."""
_LOST = re.compile(r"timeout|timed out|gateway closed|not reachable|abnormal closure|cancelled", re.IGNORECASE)
"""Words after which nobody can say whether the gateway took the job before the connection was gone."""


@dataclass(frozen=True, slots=True)
class Said:
    """The trigger's answer. `taken` says whether the gateway took the run on: None where that is not known.

    `run_id` is that of 2026.5.28 and later; `record` the run's, where the command waited for it. `reason` is the
    gateway's own why-not (already-running, not-due, …) or the words of what went wrong.
    """

    taken: bool | None
    run_id: str = ""
    reason: str = ""
    record: Record | None = None
    unknown_job: bool = False
    sure: bool = True
    """False for mere words of an error: then the job's history is asked as well whether anything was started."""
    synchronous: bool = False
    """The release runs the job before it answers: the run began, and ended, before this was said."""


def understood(answer: Answer) -> Said:
    """What the answer means; its exit code is not asked, since releases do not agree about it."""
    value = answer.value
    if at(value, "ran") is False:
        return Said(False, reason=text_at(value, "reason") or "the gateway did not run it and does not say why")
    if at(value, "ok") is True:
        run_id = text_at(value, "runId")
        synchronous = at(value, "ran") is True and not run_id
        return Said(True, run_id, record=record_of(at(value, "run")), synchronous=synchronous)
    words = text_at(value, "error", "message") or _last_words(answer)
    if waited := _WAITED.search(words):
        return Said(True, waited[1], reason=words)
    if _UNKNOWN_JOB.search(words):
        return Said(False, reason=words, unknown_job=True)
    if answer.call.outcome in ("timed-out", "lingered", "crashed") or not words or _LOST.search(words):
        return Said(None, reason=words)
    return Said(False, reason=words, sure=False)


def lacks(answer: Answer, option: str) -> bool:
    """Whether this release refused the option, which it does before it asks the gateway anything.

    Only where no answer was printed at all: a job may fail with the same words, and must not be started again.
    """
    said = plain(answer.call.stdout.text) + answer.call.stderr.text
    refused = rf"""unknown option '{option}'|does not recognize option ["']{option}["']"""
    return answer.value is None and answer.call.outcome == "refused" and re.search(refused, said) is not None


def _last_words(answer: Answer) -> str:
    """The line that says what went wrong: the last one with `error` in it, else the last one."""
    text = plain(answer.call.stdout.text) + answer.call.stderr.text
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or "refused" in line.lower()]
    return (errors or lines or [""])[-1]
