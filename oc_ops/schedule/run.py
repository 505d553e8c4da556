"""One scheduled run: alone, under a time limit, its output in a log that is rotated."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from msgspec import Struct

from oc_ops import files
from oc_ops.errors import CouldNotLook
from oc_ops.locks import lock_dir, single_flight
from oc_ops.observe.target import identify
from oc_ops.process.run import Call, run
from oc_ops.schedule.plan import refuse_inside_a_gateway
from oc_ops.settings import SCHEDULED, Settings, start_folder
from oc_ops.text import clock, regex, utc

FILE = "schedule.log"
KEPT = 3
DOCTOR = (sys.executable, "-m", "oc_ops", "doctor")

_HEADLINE = regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (?:ran|skipped|lost): ")
_VERDICTS = (0, 1)
"""Exit codes of a doctor that came to a verdict, good or bad."""


class ScheduledRun(Struct, frozen=True):
    """The result: `skipped` while another run lasts, `lost` where there is no verdict; `why` in one line."""

    outcome: Literal["ran", "skipped", "lost"]
    why: str


def take(settings: Settings, environ: Mapping[str, str], options: Sequence[str]) -> ScheduledRun:
    """Run the doctor once with these options and write down what it said.

    Never two of one gateway at a time, whatever the scheduler does after a sleep or a clock change. Raises OcOpsError
    inside a gateway's own cron.
    """
    refuse_inside_a_gateway(environ)
    log = ScheduleLog(settings.memory_dir / FILE, settings.schedule_log_bytes)
    lock = lock_dir() / f"schedule-{identify(environ, settings.profile, settings.target).name}.lock"
    with ExitStack() as held:
        try:
            held.enter_context(single_flight(lock, 0))
        except CouldNotLook as error:
            log.add(f"skipped: {error}")
            return ScheduledRun("skipped", str(error))
        try:
            call = _doctor(settings, environ, options)
        except CouldNotLook as error:
            log.add(f"lost: {error}")
            return ScheduledRun("lost", str(error))
        turn = _came_of(call)
        log.add(f"{turn.outcome}: {turn.why}", (call.stdout.text + call.stderr.text).rstrip())
        return turn


def last(settings: Settings) -> str:
    """The headline of the last run on record; empty when there is none."""
    try:
        tail = files.read_tail(settings.memory_dir / FILE, 4 * files.SMALL_BYTES)
    except OSError:
        return ""
    lines = tail.decode("utf-8", "replace").splitlines()
    return next((line for line in reversed(lines) if _HEADLINE.match(line)), "")


def by_the_clock(headline: str) -> str:
    """A headline for people: its moment in the zone of who looks."""
    at, _, rest = headline.partition(" ")
    with suppress(ValueError):
        return f"{clock(datetime.fromisoformat(at))} {rest}"
    return headline


def _doctor(settings: Settings, environ: Mapping[str, str], options: Sequence[str]) -> Call:
    return run(
        [*DOCTOR, *options],
        environ={**environ, SCHEDULED: "1"},
        deadline_s=settings.schedule_s + (_recovery_s(settings) if "--recover" in options else 0.0),
        kill_grace_s=settings.kill_grace_s + 2.0,  # it ends its own calls, and writes its report
        cwd=start_folder(),
        survivors_allowed=True,  # a gateway that a recovery started
    )


def _recovery_s(settings: Settings) -> float:
    """A recovery that is cut off between its act and its proof tells nobody whether it helped."""
    from oc_ops.act.recover.run import longest_s

    return longest_s(settings)


def _came_of(call: Call) -> ScheduledRun:
    said = call.stdout.text.rstrip().splitlines()[-1:]
    if call.exit in _VERDICTS and said:
        return ScheduledRun("ran", said[0])
    if call.exit is not None:
        said = said or call.stderr.text.rstrip().splitlines()[-1:]
        return ScheduledRun("lost", ": ".join((f"the doctor exited {call.exit}", *said)))
    return ScheduledRun("lost", call.summary)


class ScheduleLog:
    """A log that never grows past its limit by more than one run; the newest KEPT are there."""

    def __init__(self, path: Path, limit_bytes: int) -> None:
        self.path, self._limit_bytes = path, limit_bytes

    def add(self, headline: str, text: str = "") -> None:
        """Append one entry; a full disk costs the entry, not the run."""
        entry = f"{utc(datetime.now(UTC))} {headline}\n" + (f"{text}\n\n" if text else "")
        with suppress(OSError):
            files.own_folder(self.path.parent)
            self._rotate()
            with open(self.path, "a", encoding="utf-8", errors="replace", opener=files.private) as file:
                file.write(entry)

    def _rotate(self) -> None:
        if not self.path.exists() or self.path.stat().st_size < self._limit_bytes:
            return
        names = [self.path, *(self.path.with_name(f"{FILE}.{number}") for number in range(1, KEPT))]
        for older, newer in reversed(list(zip(names[1:], names, strict=False))):
            if newer.exists():
                newer.replace(older)
