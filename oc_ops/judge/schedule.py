"""When a job was and is due: cron expressions in their zone, intervals and single moments, as OpenClaw reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo

from oc_ops.errors import CouldNotLook
from oc_ops.observe.jobs import Job, Schedule, legible

_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_TOP_OF_HOUR_STAGGER_MS = 300_000
"""OpenClaw shifts `0 * * * *` and its like by up to this, unless told otherwise (docs: automation schedules)."""

_BACKOFF_MS = (30_000, 60_000, 300_000, 900_000, 3_600_000)
"""How long OpenClaw waits after the first, second, … failed run in a row, whatever the schedule says (docs)."""

_MOST_STEPS = 10_000
"""Moments tried before a search ends; the longest jump of a clock, a day, holds 1,440 minutes."""


def last_due(schedule: Schedule, by: datetime, zone: tzinfo, *, created_ms: int | None = None) -> datetime | None:
    """The latest moment up to `by` at which the schedule itself is due; None when there is none, or it cannot be told.

    `zone` is for expressions that name none. A schedule of kind "every" counts from its anchor, else from
    `created_ms`. Raises CouldNotLook for an expression or a zone that cannot be read.
    """
    if schedule.kind == "cron":
        return next(_moments(schedule, by, zone), None)
    if schedule.kind == "at" and schedule.at_ms is not None:
        return moment(schedule.at_ms) if schedule.at_ms <= milliseconds(by) else None
    if schedule.kind == "every" and schedule.every_ms > 0:
        first_ms = schedule.anchor_ms if schedule.anchor_ms is not None else created_ms
        # At the anchor itself nothing runs when it is the moment of creation, which it is unless given by hand.
        steps = -1 if first_ms is None else (milliseconds(by) - first_ms) // schedule.every_ms
        return moment((first_ms or 0) + steps * schedule.every_ms) if steps >= 1 else None
    return None


def missed(job: Job, now: datetime, zone: tzinfo, grace_ms: int) -> datetime | None:
    """The latest moment at which the job was due, more than grace and stagger ago, and did not run since.

    What OpenClaw does not call missed is not: slots that passed during the last run, within the wait after a failed
    one, or before the job was made or last changed. A disabled or running job misses nothing. Raises CouldNotLook.
    """
    if not job.enabled or job.running_ms is not None:
        return None
    by_ms = milliseconds(now) - grace_ms - stagger_ms(job.schedule)
    if by_ms < _backoff_until_ms(job):
        return None
    slot = _interval_slot(job, by_ms) if job.schedule.kind == "every" else _slot(job, by_ms, zone)
    settled_ms = max(job.created_ms or 0, job.updated_ms or 0, _ended_ms(job))
    return slot if slot is not None and milliseconds(slot) > settled_ms else None


def stagger_ms(schedule: Schedule) -> int:
    """How much later than its expression says OpenClaw may start a job on purpose."""
    if schedule.kind != "cron":
        return 0
    fields = _NICKNAMES.get(schedule.expression.strip().lower(), schedule.expression).split()
    at_the_hour = fields[:-4] in (["0"], ["0", "0"]) and fields[-4].startswith(("*", "?"))
    return max(schedule.stagger_ms, _TOP_OF_HOUR_STAGGER_MS if at_the_hour else 0)


def moment(epoch_ms: int) -> datetime:
    """Epoch milliseconds as a moment in UTC; raises CouldNotLook for one that no calendar holds."""
    try:
        return datetime.fromtimestamp(epoch_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise CouldNotLook(f"{epoch_ms} ms is no moment that a job can mean") from error


def milliseconds(when: datetime) -> int:
    """A moment as epoch milliseconds."""
    return round(when.timestamp() * 1000)


def _slot(job: Job, by_ms: int, zone: tzinfo) -> datetime | None:
    return last_due(job.schedule, moment(by_ms), zone, created_ms=job.created_ms)


def _interval_slot(job: Job, by_ms: int) -> datetime | None:
    """An interval counts from the last run's start; a run that took longer than it waits for the next step after."""
    every_ms, last_ms = job.schedule.every_ms, job.last_run_ms
    anchor_ms = job.schedule.anchor_ms if job.schedule.anchor_ms is not None else job.created_ms
    if every_ms <= 0 or (last_ms is None and anchor_ms is None):
        return None
    if last_ms is None:
        return last_due(job.schedule, moment(by_ms), UTC, created_ms=job.created_ms)
    from_ms = last_ms if _ended_ms(job) < last_ms + every_ms else _ended_ms(job)
    # A change, or a switch back on, starts the interval anew, somewhere within one length of it.
    due_ms = max(max(from_ms, job.updated_ms or 0) + every_ms, anchor_ms or 0)
    return moment(due_ms + (by_ms - due_ms) // every_ms * every_ms) if due_ms <= by_ms else None


def _ended_ms(job: Job) -> int:
    return 0 if job.last_run_ms is None else job.last_run_ms + max(0, job.last_duration_ms or 0)


def _backoff_until_ms(job: Job) -> int:
    if job.last_status != "error" or job.last_run_ms is None:
        return 0
    return _ended_ms(job) + _BACKOFF_MS[min(max(job.consecutive_errors, 1), len(_BACKOFF_MS)) - 1]


# -- cron expressions -----------------------------------------------------------------------------------------------


def _moments(schedule: Schedule, start: datetime, local: tzinfo) -> Iterator[datetime]:
    """The due moments up to `start`, the latest first.

    As 2026.9.6 does it: the wall clock decides. A time that a clock change leaves out is not due that day, one that
    comes twice is due the first time. Debian's rules, cronsim's own, differ; hence it is asked without a zone.
    """
    zone = _zone(schedule.zone) if schedule.zone else local
    here = start.astimezone(zone)
    # Inside the hour that comes twice, the whole of its first time has passed.
    again = here.astimezone(UTC) - here.replace(fold=0).astimezone(UTC)
    wall = here.replace(tzinfo=None) + again + timedelta(seconds=1)
    for each in islice(_walls(schedule.expression, wall), _MOST_STEPS):
        due = each.replace(tzinfo=zone).astimezone(UTC)
        exists = due.astimezone(zone).replace(tzinfo=None) == each
        if exists and due <= start:
            yield due


def _walls(expression: str, wall: datetime) -> Iterator[datetime]:
    from cronsim import CronSim, CronSimError

    try:
        return CronSim(_translated(expression), wall, reverse=True)
    except CronSimError as error:
        raise CouldNotLook(f"cannot read the cron expression {legible(expression)}: {error}") from error


@lru_cache(256)
def _translated(expression: str) -> str:
    """The expression in cronsim's words, as croner, which OpenClaw uses, reads it.

    Two restricted day fields mean either; Debian takes `*/2` for unrestricted, croner does not. What only croner
    knows (`?`, `W`, `+`, a year) is refused: better unknown than wrong.
    """
    fields = _NICKNAMES.get(expression.strip().lower(), expression).split()
    if len(fields) not in (5, 6) or re.search(r"[?W+]", "".join(fields).upper().replace("WED", "")):
        raise CouldNotLook(f"cannot read the cron expression {legible(expression)}: only OpenClaw knows its like")
    for place, whole in ((-3, "1-31"), (-1, "0-6")):
        if fields[place] != "*":
            fields[place] = re.sub(r"^\*", whole, fields[place])
    return " ".join(fields)


@lru_cache(256)
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise CouldNotLook(f"the time zone {legible(name)} is not known here (pip install tzdata)") from error
