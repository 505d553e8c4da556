"""The records of a job's finished runs, and which of them is the run that we started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from oc_ops.observe.jobs import JobRun
from oc_ops.observe.jsontext import at, number_at, text_at

_MANUAL = "manual:"
"""How 2026.5.28 and later begin the id of a run that a person asked for."""


@dataclass(frozen=True, slots=True)
class Record:
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
        """Whether the job did its work, by the gateway's own word; 2026.9.6 has one more for it than for its status."""
        return (text_at(self.raw, "completionStatus") or "succeeded") == "succeeded" and self.status == "ok"

    @property
    def diagnostics(self) -> tuple[str, ...]:
        """What 2026.5.28 and later noted of the run, one line each."""
        entries = at(self.raw, "diagnostics", "entries")
        lines = []
        for each in entries if isinstance(entries, list) else ():
            code = number_at(each, "exitCode")
            words = (text_at(each, "severity"), text_at(each, "source"), text_at(each, "message"))
            lines.append(" ".join(filter(None, words)) + (f" (exit code {code:g})" if code is not None else ""))
        return tuple(lines)


@dataclass(frozen=True, slots=True)
class Ours:
    """What is known of the run that we started: not before `since_ms`, not after `until_ms` where that is known."""

    since_ms: int
    run_id: str = ""
    until_ms: int | None = None


def record_of(entry: object) -> Record | None:
    """One entry of `cron.runs`, or the `run` in the answer of `cron run --wait`; None when it is no finished run."""
    if not isinstance(entry, Mapping) or text_at(entry, "action") not in ("", "finished"):
        return None
    status = text_at(entry, "status")
    return (
        Record(
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


def records_of(payload: object) -> tuple[Record, ...]:
    """The finished runs of a `cron.runs` payload; what is none is passed over."""
    entries = at(payload, "entries")
    found = (record_of(each) for each in (entries if isinstance(entries, list) else ()))
    return tuple(each for each in found if each)


def stored(runs: Sequence[JobRun]) -> tuple[Record, ...]:
    """The same from the gateway's store, which says less."""
    return tuple(Record("", each.status, each.started_ms, each.duration_ms, each.error) for each in runs)


def ours(records: Sequence[Record], run: Ours) -> Record | None:
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
