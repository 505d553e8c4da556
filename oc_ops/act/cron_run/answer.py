"""The gateway's word on a run: the answer to the trigger, and the runs it has recorded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from msgspec import Struct

from oc_ops.observe.jobs import JobRun
from oc_ops.observe.openclaw import Answer
from oc_ops.process.jsontext import at, number_at, text_at
from oc_ops.process.pty import plain
from oc_ops.text import regex

_MANUAL = "manual:"
"""How 2026.5.28 and later begin the id of a run that a person asked for."""


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One finished run as the gateway recorded it. Moments are epoch milliseconds; `raw` is the record as it came."""

    run_id: str
    status: str
    started_ms: int | None
    duration_ms: int | None
    error: str = ""
    summary: str = ""
    raw: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)

    @property
    def succeeded(self) -> bool:
        """True if the job did its work, by the gateway's own word; 2026.9.6 has one more for it than for its status."""
        return (text_at(self.raw, "completionStatus") or "succeeded") == "succeeded" and self.status == "ok"

    @property
    def diagnostics(self) -> tuple[str, ...]:
        """Notes of 2026.5.28 and later on the run, one line each."""
        entries = at(self.raw, "diagnostics", "entries")
        lines = []
        for each in entries if isinstance(entries, list) else ():
            code = number_at(each, "exitCode")
            words = (text_at(each, "severity"), text_at(each, "source"), text_at(each, "message"))
            lines.append(" ".join(filter(None, words)) + (f" (exit code {code:g})" if code is not None else ""))
        return tuple(lines)


class Ours(Struct, frozen=True):
    """The record of the run that we started: not before `since_ms`, not after `until_ms` where that is known."""

    since_ms: int
    run_id: str = ""
    until_ms: int | None = None


def record_of(entry: object) -> JobRecord | None:
    """One entry of `cron.runs`, or the `run` in the answer of `cron run --wait`; None when it is no finished run."""
    if not isinstance(entry, Mapping) or text_at(entry, "action") not in ("", "finished"):
        return None
    status = text_at(entry, "status")
    return (
        JobRecord(
            text_at(entry, "runId"),
            status,
            _whole(entry, "runAtMs"),
            _whole(entry, "durationMs"),
            text_at(entry, "error"),
            text_at(entry, "summary"),
            cast("Mapping[str, object]", entry),
        )
        if status
        else None
    )


def records_of(payload: object) -> tuple[JobRecord, ...]:
    """The finished runs of a `cron.runs` payload; what is none is passed over."""
    entries = at(payload, "entries")
    found = (record_of(each) for each in (entries if isinstance(entries, list) else ()))
    return tuple(each for each in found if each)


def stored(runs: Sequence[JobRun]) -> tuple[JobRecord, ...]:
    """The same from the gateway's store, which says less."""
    return tuple(JobRecord("", each.status, each.started_ms, each.duration_ms, each.error) for each in runs)


def ours(records: Sequence[JobRecord], run: Ours) -> JobRecord | None:
    """The record of our run; never an older one, nor one that the scheduler started beside it.

    By its id where both sides know it. Else by its start: of runs that began between our call and its answer the last
    (an earlier one ended before ours was let in), without an answer the first.
    """
    if run.run_id and any(each.run_id for each in records):
        return next((each for each in records if each.run_id == run.run_id), None)
    began = [(each.started_ms, each) for each in records if each.started_ms is not None]
    since = sorted(((moment, each) for moment, each in began if moment >= run.since_ms), key=lambda pair: pair[0])
    if any(each.run_id for _, each in since):
        since = [pair for pair in since if pair[1].run_id.startswith(_MANUAL)]
    if run.until_ms is not None:
        since = [pair for pair in since if pair[0] <= run.until_ms][-1:]
    return since[0][1] if since else None


def _whole(entry: object, key: str) -> int | None:
    number = number_at(entry, key)
    return None if number is None or not abs(number) < 1e15 else round(number)


_UNKNOWN_JOB = regex(r"unknown cron job id|(?:automation|cron job) not found", re.IGNORECASE)
_WAITED = regex(r"timed out waiting for cron run (manual:[\w:.-]{1,200})")
"""`--wait` gives up before we do, and then names the run."""
_LOST = regex(r"timeout|timed out|gateway closed|not reachable|abnormal closure|cancelled", re.IGNORECASE)
"""Words after which nobody can say whether the gateway took the job before the connection was gone."""


class Said(Struct, frozen=True):
    """The trigger's answer. `taken` says whether the gateway took the run on: None where that is not known.

    `run_id` is that of 2026.5.28 and later; `record` the run's, where the command waited for it. `reason` is the
    gateway's own why-not (already-running, not-due, …) or the words of what went wrong.
    """

    taken: bool | None
    run_id: str = ""
    reason: str = ""
    record: JobRecord | None = None
    unknown_job: bool = False
    sure: bool = True
    """False for mere words of an error: then the job's history is asked as well whether anything was started."""
    synchronous: bool = False
    """The release runs the job before it answers: the run began, and ended, before this was said."""


def understood(answer: Answer) -> Said:
    """The meaning of the answer; its exit code is not asked, since releases do not agree about it."""
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
    """True if this release refused the option, which it does before it asks the gateway anything.

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
