"""Cron jobs in words: schedules, runs, moments and spans as findings and tables say them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo

from oc_ops.judge.schedule import milliseconds, moment
from oc_ops.observe.jobs import Job, JobRun, Schedule
from oc_ops.text import clock, span

_RUNS_SHOWN = 3
_LONGEST_NAME, _LONGEST_ERROR = 80, 160


def named(text: str) -> str:
    """A job's name in quotes, cut where it is too long to be one."""
    return f'"{cut(text, _LONGEST_NAME)}"'


def cut(text: str, most: int) -> str:
    """At most so many characters of a text."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def schedule_words(schedule: Schedule) -> str:
    """A schedule in one short phrase."""
    if schedule.kind == "cron":
        return f"cron {cut(schedule.expression, 60)}" + (f" {cut(schedule.zone, 40)}" if schedule.zone else "")
    if schedule.kind == "every":
        return f"every {span(schedule.every_ms / 1000)}"
    if schedule.kind == "at" and schedule.at_ms is not None:
        return f"once at {clock(moment(schedule.at_ms))}"
    return "not by the clock"


def plan(job: Job, zone: tzinfo) -> str:
    """A job's schedule, with the zone that counts where the schedule names none."""
    own = job.schedule.kind == "cron" and not job.schedule.zone
    return schedule_words(job.schedule) + (f" in the gateway's zone {zone}" if own else "")


def ran(job: Job, runs: Sequence[JobRun], now: datetime) -> str:
    """A job's latest runs, newest first, as evidence."""
    if runs:
        return "last runs: " + ", ".join(_run(each, now) for each in runs[:_RUNS_SHOWN])
    if job.last_run_ms is None:
        return "it never ran"
    last = JobRun(job.last_status, job.last_run_ms, job.last_duration_ms, job.last_error)
    return f"last run: {_run(last, now)}"


def _run(run: JobRun, now: datetime) -> str:
    when = f" {span(max(0.0, (milliseconds(now) - run.started_ms) / 1000))} ago" if run.started_ms is not None else ""
    took = f" after {span(run.duration_ms / 1000)}" if run.duration_ms is not None else ""
    why = f" ({cut(' '.join(run.error.split()), _LONGEST_ERROR)})" if run.error and run.status != "ok" else ""
    return f"{run.status or 'ended'}{when}{took}{why}"
