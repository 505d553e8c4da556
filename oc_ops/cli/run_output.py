"""The output of `oc-ops run`: a line that lives on a terminal, plain lines elsewhere, and the result."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from oc_ops.act.cron_run import NO_SUCH_JOB, JobNotChosen, RunResult, Say
from oc_ops.errors import OcOpsError
from oc_ops.judge.job_words import named
from oc_ops.text import remedy

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from oc_ops.observe.jobs import Job
    from oc_ops.record.redact import Json, Redactor

_AGAIN_S = 30.0
"""How often a state that goes on is told again where there is no terminal."""
_COLOURS = {"succeeded": "green", "triggered": "green", "failed": "bold red", "gone": "bold red"}


@contextmanager
def screen(redactor: Redactor) -> Iterator[Say]:
    """Tells the operator on stderr for as long as the run is waited for."""
    if not sys.stderr.isatty():
        yield Lines(redactor)
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, highlight=False)
    shown = ProgressLine(redactor, console)
    with Live(get_renderable=shown.line, console=console, refresh_per_second=4, transient=True, redirect_stdout=False):
        yield shown


class Lines:
    """Plain lines: one whenever something else is waited for, and now and then that it still is."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor, self._began = redactor, time.monotonic()
        self._kind, self._told_at = "", 0.0

    def begin(self, job: Job, limit_s: float, log: str) -> None:
        """The job, the limit and the transcript."""
        self._began = time.monotonic()
        self._print(_head(job, limit_s))
        self._print(f"transcript: {log}")

    def state(self, kind: str, text: str) -> None:
        """A line when the kind is new or half a minute has passed."""
        now = time.monotonic()
        if kind != self._kind or now - self._told_at >= _AGAIN_S:
            self._kind, self._told_at = kind, now
            self._print(f"{_clock(now - self._began)}  {text}")

    def warn(self, text: str) -> None:
        """At once."""
        self._print(f"warning: {text}")

    def _print(self, text: str) -> None:
        print(self._redactor.line(text, 1000), file=sys.stderr, flush=True)


class ProgressLine:
    """One line that is drawn anew: how long it takes already, of how long at most, and what is waited for."""

    def __init__(self, redactor: Redactor, console: Console) -> None:
        from rich.spinner import Spinner

        self._redactor, self._console = redactor, console
        self._spinner = Spinner("dots")
        self._began, self._limit_s, self._text = time.monotonic(), 0.0, "looks at the gateway"

    def begin(self, job: Job, limit_s: float, log: str) -> None:
        """The job and the transcript stay above the line."""
        self._began, self._limit_s = time.monotonic(), limit_s
        self._print(_head(job, limit_s))
        self._print(f"transcript: {log}", "dim")

    def state(self, _kind: str, text: str) -> None:
        """Set the text of the line."""
        self._text = self._redactor.line(text, 400)

    def warn(self, text: str) -> None:
        """A line that stays."""
        self._print(f"warning: {text}", "yellow")

    def line(self) -> RenderableType:
        """The line as it is at this moment."""
        from rich.table import Table
        from rich.text import Text

        gone = _clock(time.monotonic() - self._began)
        limit = f" of {_clock(self._limit_s)}" if self._limit_s else ""
        grid: Table = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(self._spinner, Text(f"{gone}{limit}", style="bold"), Text(self._text))
        return grid

    def _print(self, text: str, style: str = "") -> None:
        from rich.text import Text

        self._console.print(Text(self._redactor.line(text, 1000), style=style), soft_wrap=True)


def _head(job: Job, limit_s: float) -> str:
    return f"Running {named(job.name) if job.name else 'the job'} ({job.id}) once; waiting up to {limit_s:g} s"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def show(result: RunResult, see: str, redactor: Redactor, *, as_json: bool) -> None:
    """The result on stdout, in lines or as one JSON object."""
    if as_json:
        _print_json(_as_json(result, see), redactor)
        return
    _say(redactor.line(result.sentence, 1000), _COLOURS.get(result.outcome, "bold yellow"))
    for each in result.record.diagnostics[:5] if result.record and not result.record.succeeded else ():
        _say(f"  diag:  {redactor.line(each, 400)}")
    if result.advice:
        _say(f"  fix:   {redactor.line(remedy(result.advice), 1000)}")
    if result.outcome in ("triggered", "out-of-time", "interrupted", "already-running"):
        _say(f"  see:   {redactor.line(see)}")
    if result.log is not None:
        _say(f"  log:   {redactor.line(str(result.log), 1000)}")


def show_candidates(error: JobNotChosen, redactor: Redactor, *, as_json: bool) -> None:
    """No job was chosen: why, and which may have been meant."""
    if as_json:
        candidates: list[Json] = [{"id": each.id, "name": each.name} for each in error.candidates]
        first = str(error).splitlines()[0]
        _print_json({"outcome": "no-such-job", "exit": NO_SUCH_JOB, "why": first, "candidates": candidates}, redactor)
    for line in str(error).splitlines():
        print(f"oc-ops: {redactor.line(line)}" if line[0] != " " else f"  {redactor.line(line)}", file=sys.stderr)


def show_refusal(error: OcOpsError, redactor: Redactor, *, as_json: bool) -> None:
    """Nothing was started, and there is not even a transcript."""
    if as_json:
        _print_json({"outcome": "not-started", "exit": 4, "why": str(error)}, redactor)
    print(f"oc-ops: {redactor.line(str(error), 1000)}", file=sys.stderr)


def _as_json(result: RunResult, see: str) -> dict[str, Json]:
    from typing import cast

    record = result.record
    return {
        "outcome": result.outcome,
        "exit": result.exit,
        "job": {"id": result.job.id, "name": result.job.name},
        "why": result.why,
        "fix": result.advice,
        "see": see,
        "run_id": result.run_id,
        "waited_s": round(result.waited_s, 3),
        "started_ms": record.started_ms if record else None,
        "duration_ms": record.duration_ms if record else None,
        "status": record.status if record else None,
        "record": cast("Json", record.raw) if record else None,
        "log": str(result.log) if result.log else None,
    }


def _print_json(value: dict[str, Json], redactor: Redactor) -> None:
    print(json.dumps(redactor.json(value)), flush=True)


def _say(text: str, style: str = "") -> None:
    if not sys.stdout.isatty():
        print(text, flush=True)
        return
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False).print(Text(text, style=style), soft_wrap=True)
