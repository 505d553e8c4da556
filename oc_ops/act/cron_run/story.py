"""What a run's transcript tells before and after the run: who asked for what, of which gateway, and how it ended."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from oc_ops.act.cron_run.result import Result
from oc_ops.act.cron_run.sights import Known
from oc_ops.act.cron_run.transcript import Transcript
from oc_ops.judge.due import moment
from oc_ops.judge.finding import Finding
from oc_ops.judge.jobwords import clock, named, ran, schedule_words, span
from oc_ops.observe.jobs import Job
from oc_ops.observe.look import GatewayLook


def begin(
    log: Transcript,
    command: Sequence[str],
    job: Job,
    known: Known,
    seen: GatewayLook,
    cause: Finding | None,
    watched: str = "",
) -> None:
    """The head of the transcript; each line is on the disk before the next thing is done. `watched`: see lastword."""
    log.line(f"asked    {shlex.join(command)}")
    log.line(f"at       {datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f} UTC")
    log.line(f"by       {whom()}")
    log.line(f"job      {named(job.name)} {job.id}: {schedule_words(job.schedule)}{'' if job.enabled else ', off'}")
    log.line(f"         {ran(job, known.jobs.runs.get(job.id, ()), known.jobs.seen_at)}")
    if job.running_ms is not None:
        log.line(f"         marked as running since {clock(moment(job.running_ms))}")
    log.line(f"         told by {known.jobs.source}" + "".join(f"; {each}" for each in known.closed))
    log.head("the gateway before")
    for probe in (seen.live, seen.again, seen.startup, seen.ready):
        if probe is not None:
            log.line(probe.summary)
    if seen.serving is not None:
        log.line(seen.serving.summary)
    log.line(f"{cause.check}: {cause.fact}" if cause else "nothing is wrong with it, as far as HTTP tells")
    if watched:
        log.line(watched)


def end(log: Transcript, result: Result) -> None:
    """The run's record, its diagnostics, and the end."""
    record = result.record
    if record is not None:
        log.head("the run's record")
        log.block(json.dumps(record.raw, indent=1, ensure_ascii=False) if record.raw else str(record))
        if record.diagnostics:
            log.head("diagnostics")
            for each in record.diagnostics:
                log.line(each)
    log.head("end")
    log.line(f"outcome  {result.outcome}")
    log.line(f"said     {result.sentence}")
    if result.advice:
        log.line(f"fix      {result.advice}")
    if result.run_id:
        log.line(f"run      {result.run_id}")
    if record is not None and record.started_ms is not None:
        took = f", took {span(record.duration_ms / 1000)}" if record.duration_ms is not None else ""
        log.line(f"began    {clock(moment(record.started_ms))}{took}")
    log.line(f"waited   {result.waited_s:.1f} s")
    log.line(f"exit     {result.exit}")


def whom() -> str:
    """Who asks: user, host, terminal and process; behind sudo and ssh also from where."""
    return ", ".join(_whom())


def _whom() -> Iterator[str]:
    user = f"uid {os.getuid()}"
    with contextlib.suppress(OSError, KeyError, ImportError):
        user = f"{getpass.getuser()} (uid {os.getuid()})"
    yield f"{user} on {platform.node() or 'an unnamed host'}"
    yield _terminal()
    yield f"pid {os.getpid()}"
    if sudo := os.environ.get("SUDO_USER"):
        yield f"through sudo by {sudo}"
    if ssh := os.environ.get("SSH_CONNECTION", "").split():
        yield f"over ssh from {ssh[0]}"


def _terminal() -> str:
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            return os.ttyname(stream.fileno())
    return "no terminal"
