"""Cron jobs, their schedules and runs, and how the gateway's JSON becomes them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, cast

from msgspec import Struct

from oc_ops.errors import CouldNotLook

Source = Literal["rpc", "cli", "store"]
"""The source: `store` means the gateway did not answer and its files were read instead."""


MOST_JOBS = 5000
"""More jobs are not looked at: each is judged, and a list of that length is a fault of its own."""


class Schedule(Struct, frozen=True):
    """When a job is due: `cron` (expression and IANA zone), `every` (milliseconds from an anchor) or `at` (once).

    `kind` is "unknown" for what this version of oc-ops has not seen; such a job is never called overdue.
    """

    kind: Literal["cron", "every", "at", "unknown"]
    expression: str = ""
    zone: str = ""
    every_ms: int = 0
    anchor_ms: int | None = None
    at_ms: int | None = None
    stagger_ms: int = 0


class JobRun(Struct, frozen=True):
    """One finished or interrupted run. Times are epoch milliseconds, as OpenClaw keeps them."""

    status: str
    started_ms: int | None
    duration_ms: int | None
    error: str = ""


class Job(Struct, frozen=True):
    """One cron job with its state. `*_ms` moments are epoch milliseconds; None is "not said"."""

    id: str
    name: str
    enabled: bool
    schedule: Schedule
    created_ms: int | None = None
    updated_ms: int | None = None
    timeout_s: float | None = None
    next_run_ms: int | None = None
    last_run_ms: int | None = None
    last_status: str = ""
    last_error: str = ""
    last_duration_ms: int | None = None
    consecutive_errors: int = 0
    running_ms: int | None = None
    """The marker `runningAtMs`: when the run that is under way, or claims to be, began."""
    receipt_id: str = ""
    """2026.9.6 and later: which run receipt owns the marker (`runningReceiptId`)."""
    auto_disabled: str = ""
    """Why OpenClaw itself switched the job off (`state.autoDisabled.reason`)."""
    payload_kind: str = ""
    """The kind of a run's work. Without a `timeout_s` of its own an `agentTurn` gets 3600 s, every other kind 600 s."""
    queued_ms: int | None = None
    """2026.9.6 and later: since when a run waits for its turn (`queuedAtMs`); it has a receipt, but no marker yet."""
    managed: bool = False
    """The gateway made it and keeps it (`declarationKey`): a heartbeat, a review of its own."""
    channel: str = ""
    """Where its message goes, as far as the job names a channel."""
    untold: str = ""
    """Why the last good run's message did not arrive; nothing when it did, none was wanted or it was left out."""
    best_effort: bool = False
    """The operator said that a message may get lost (`delivery.bestEffort`)."""
    error_reason: str = ""
    """OpenClaw's own word for why the last run failed, newer releases only: billing, auth, rate_limit, …"""
    agent: str = ""
    """The agent that is to run it, where the job names one."""
    model: str = ""
    """The model that an `agentTurn` names for itself, as PROVIDER/MODEL; without one it asks its agent's."""


class Receipt(Struct, frozen=True):
    """A run receipt of 2026.9.6 and later: which process took the run, and what became of it.

    OpenClaw writes the marker and an open receipt in one transaction: a marker without one is owned by nobody.
    """

    id: str
    job_id: str
    status: str
    """`running` while it is open; ok, error, skipped, interrupted or superseded once it is not."""
    owner_pid: int
    started_ms: int


class Jobs(Struct, frozen=True):
    """Every job of one gateway at one moment; `runs` holds the latest of each, newest first, where they were told."""

    jobs: tuple[Job, ...]
    source: Source
    seen_at: datetime
    runs: Mapping[str, tuple[JobRun, ...]] = {}
    complete: bool = True
    """False when the source holds more jobs than it told: then no job may be called missing."""
    receipts: tuple[Receipt, ...] | None = None
    """Open receipts and those that markers name; None where the source keeps none or was not asked for them."""


KEPT_RUNS = 30
"""How many of the latest runs of a job are kept."""

_MOST_MS = 8.64e15
"""The largest moment JavaScript can hold, hence the largest that OpenClaw can have meant."""


def jobs_of(payload: object) -> tuple[Job, ...]:
    """The jobs of a `cron.list` payload, of `cron list --json` or of a jobs.json, in its order.

    An absent key is "not said". Raises CouldNotLook naming the place of what is there and is not of its kind.
    """
    jobs = tuple(job_of(each, f"job {number}") for number, each in enumerate(_list(payload, "jobs"), 1))
    seen: set[str] = set()
    for job in jobs:
        if job.id in seen:
            raise CouldNotLook(f"two cron jobs have the id {legible(job.id)}")
        seen.add(job.id)
    return jobs


def more_of(payload: object) -> int | None:
    """The offset of the next page of a list, or None when this was the last; releases tell at most 200 jobs a page."""
    table = _table(payload, "the answer")
    if table.get("hasMore") is not True:
        return None
    following = _whole(table, "nextOffset", "the answer")
    if following is None or following <= 0:
        raise CouldNotLook("the list of cron jobs has more pages and does not say where the next one begins")
    return following


def runs_of(payload: object) -> Mapping[str, tuple[JobRun, ...]]:
    """The finished runs of a `cron.runs` payload (scope `all` or one job) by job id, newest first."""
    return newest_first(run_of(each, f"run {number}") for number, each in enumerate(_list(payload, "entries"), 1))


def newest_first(runs: Iterable[tuple[str, JobRun] | None]) -> Mapping[str, tuple[JobRun, ...]]:
    """Pairs of job id and run, sorted into the latest runs of each job."""
    found: dict[str, list[JobRun]] = {}
    for pair in runs:
        if pair is not None:
            found.setdefault(pair[0], []).append(pair[1])
    for each in found.values():
        each.sort(key=lambda run: run.started_ms or 0, reverse=True)
    return {job_id: tuple(each[:KEPT_RUNS]) for job_id, each in found.items()}


def job_of(entry: object, where: str = "the job") -> Job:
    """One job from its definition with its state inside; older releases call its id `jobId`."""
    table = _table(entry, where)
    id_ = _text(table, "id", where) or _text(table, "jobId", where)
    if not id_:
        raise CouldNotLook(f"{where} of the cron jobs has no id")
    where = f"cron job {legible(id_)}"
    state, payload = _table(table.get("state", {}), f"state of {where}"), _part(table, "payload", where)
    delivery = _part(table, "delivery", where)
    return Job(
        id=id_,
        name=_text(table, "name", where),
        enabled=_flag(table, "enabled", where),
        # Pacing and triggers may rightly leave a due time without a run: only its own next run and max-age count then.
        schedule=Schedule("unknown")
        if table.get("trigger") or table.get("pacing")
        else schedule_of(table.get("schedule"), where),
        created_ms=_whole(table, "createdAtMs", where),
        updated_ms=_whole(table, "updatedAtMs", where),
        timeout_s=_number(payload, "timeoutSeconds", where),
        next_run_ms=_whole(state, "nextRunAtMs", where),
        last_run_ms=_whole(state, "lastRunAtMs", where),
        last_status=_text(state, "lastRunStatus", where) or _text(state, "lastStatus", where),
        last_error=_text(state, "lastError", where),
        error_reason=_text(state, "lastErrorReason", where),
        last_duration_ms=_whole(state, "lastDurationMs", where),
        consecutive_errors=_whole(state, "consecutiveErrors", where) or 0,
        running_ms=_whole(state, "runningAtMs", where),
        receipt_id=_text(state, "runningReceiptId", where),
        auto_disabled=_text(_part(state, "autoDisabled", where), "reason", where),
        payload_kind=_text(payload, "kind", where),
        agent=_text(table, "agentId", where),
        model=_text(payload, "model", where) if isinstance(payload.get("model"), str) else "",
        queued_ms=_whole(state, "queuedAtMs", where),
        managed=bool(_text(table, "declarationKey", where)),
        channel=_text(delivery, "channel", where),
        untold=_untold(state, where),
        best_effort=delivery.get("bestEffort") is True,
    )


def _untold(state: Mapping[str, object], where: str) -> str:
    """A run that had nothing to say, or was to be silent, has `deliverySuppressionReason`: that is no failure."""
    if _text(state, "lastDeliveryStatus", where) != "not-delivered" or state.get("deliverySuppressionReason"):
        return ""
    status = _text(state, "lastRunStatus", where) or _text(state, "lastStatus", where)
    return (_text(state, "lastDeliveryError", where) or "no reason given") if status == "ok" else ""


def schedule_of(value: object, where: str) -> Schedule:
    """A schedule; of kind "unknown" when it is of another kind, or says too little to tell when it is due."""
    if not isinstance(value, Mapping):
        return Schedule("unknown")
    table = cast("Mapping[str, object]", value)
    kind = table.get("kind")
    if kind == "cron" and (expression := _text(table, "expr", where) or _text(table, "cron", where)):
        stagger_ms = _whole(table, "staggerMs", where) or 0
        return Schedule("cron", expression, zone=_text(table, "tz", where), stagger_ms=stagger_ms)
    if kind == "every" and (every_ms := _whole(table, "everyMs", where)) and every_ms > 0:
        return Schedule("every", every_ms=every_ms, anchor_ms=_whole(table, "anchorMs", where))
    if kind == "at" and (at_ms := _moment(table)) is not None:
        return Schedule("at", at_ms=at_ms)
    return Schedule("unknown")


def run_of(entry: object, where: str = "the run") -> tuple[str, JobRun] | None:
    """Job id and run of one entry of a run log; None for an entry that is not about the end of a run."""
    table = _table(entry, where)
    job_id, action = _text(table, "jobId", where), _text(table, "action", where)
    if not job_id:
        raise CouldNotLook(f"{where} of the run log has no jobId")
    if action not in ("", "finished"):
        return None
    where = f"a run of cron job {legible(job_id)}"
    started_ms = _whole(table, "runAtMs", where)
    duration_ms = _whole(table, "durationMs", where)
    return job_id, JobRun(_text(table, "status", where), started_ms, duration_ms, _text(table, "error", where))


def _moment(table: Mapping[str, object]) -> int | None:
    """`at` as ISO 8601 (UTC where it names no zone, as OpenClaw reads it), or `atMs` of older releases."""
    for value in (table.get("at"), table.get("atMs")):
        if isinstance(value, str):
            with contextlib.suppress(ValueError, OverflowError):
                moment = datetime.fromisoformat(value)
                return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        elif (number := _finite(value)) is not None:
            return round(number)
    return None


def _list(payload: object, key: str) -> Sequence[object]:
    value = _table(payload, "the answer").get(key)
    if not isinstance(value, list):
        raise CouldNotLook(f"the answer holds no list of {key}, but {_kind(value)}")
    return value


def _table(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise CouldNotLook(f"{where} is {_kind(value)}, not an object")
    return cast("Mapping[str, object]", value)


def _part(table: Mapping[str, object], key: str, where: str) -> Mapping[str, object]:
    value = table.get(key)
    return {} if value is None else _table(value, f"{key} of {where}")


def _text(table: Mapping[str, object], key: str, where: str) -> str:
    value = table.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise CouldNotLook(f"{key} of {where} is {_kind(value)}, not a text")
    return value


def _flag(table: Mapping[str, object], key: str, where: str) -> bool:
    """Absent means on: OpenClaw runs a job that does not say otherwise."""
    value = table.get(key)
    if value is None:
        return True
    if not isinstance(value, bool):
        raise CouldNotLook(f"{key} of {where} is {_kind(value)}, not true or false")
    return value


def _number(table: Mapping[str, object], key: str, where: str) -> float | None:
    value = table.get(key)
    if value is None:
        return None
    number = _finite(value)
    if number is None:
        raise CouldNotLook(f"{key} of {where} is {_kind(value)}, not a number OpenClaw can mean")
    return number


def _whole(table: Mapping[str, object], key: str, where: str) -> int | None:
    number = _number(table, key, where)
    return None if number is None else round(number)


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= _MOST_MS:
        return None
    return float(value) if math.isfinite(value) else None


def _kind(value: object) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return "nothing" if value is None else names.get(type(value), "something else")


def legible(text: str) -> str:
    """Untrusted text of a job for a message: short, printable, on one line."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[:80])
