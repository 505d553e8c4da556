"""`oc-ops run JOB [SECONDS]`: run a cron job once, now, wait for that run, and keep what happened."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from oc_ops.cli.frame import Executable, Json, Target
from oc_ops.errors import OcOpsError
from oc_ops.settings import Settings

if TYPE_CHECKING:
    from oc_ops.act.cron_run import RunResult
    from oc_ops.gateway import Gateway

_DEFAULT_S = f"{Settings().job_run_s:g}"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "run",
        help="Run a cron job once, now, and wait for that run to end.\n\n"
        "JOB is an id, or a name that one job alone has. The job is started through `openclaw cron run`, once: "
        "nothing here ever starts it again. What was asked, by whom, the gateway's state before, what was printed, "
        "the run's record and its diagnostics are in memory/cron_run_now/<job id>_<time>.log from the first "
        "moment on, without secrets.\n\n"
        "A gateway that does not answer is not asked: that takes a second. One that stops answering while the run is "
        "waited for is noticed within seconds. Ctrl-C ends the waiting, not the job.\n\n"
        "\b\nExit code:\n"
        "  0    the run succeeded (with --no-wait: it was started)\n"
        "  1    the run failed\n"
        "  2    bad usage, or the name fits no job or several (similar ones are listed)\n"
        "  3    the job is running already; says since when, and whether its marker is stale\n"
        "  4    nothing was started, and why: the gateway, the CLI, a setting, --due\n"
        "  124  out of time: the run may still go on, and says how to see it\n"
        "  130  interrupted: the run goes on\n",
    )(run)


def run(
    job: Annotated[str, typer.Argument(metavar="JOB", help="The job's id, or its name.", show_default=False)],
    seconds: Annotated[
        float | None,
        typer.Argument(
            metavar="SECONDS",
            min=1,
            max=1_000_000,
            help=f"How long to wait for the run; {_DEFAULT_S} or OC_OPS_JOB_RUN_S if not given.",
            show_default=False,
        ),
    ] = None,
    due: Annotated[bool, typer.Option("--due", help="Only if the job is due.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Start it and do not wait for its end.")] = False,
    openclaw: Executable = None,
    oc_profile: Annotated[str | None, typer.Option(metavar="NAME", help="The OpenClaw profile to use.")] = None,
    target: Target = None,
    as_json: Json = False,
) -> None:
    """Progress goes to stderr, the result on stdout."""
    from oc_ops import settings
    from oc_ops.act.cron_run import EXITS, NO_SUCH_JOB, JobNotChosen, JobRequest, run_job
    from oc_ops.cli import run_output
    from oc_ops.gateway import Gateway

    given = {"openclaw": openclaw, "profile": oc_profile, "target": target}
    gateway = Gateway(settings.load(given), dict(os.environ))
    redactor = gateway.redactor
    asked = JobRequest(job, seconds or gateway.settings.job_run_s, due, not no_wait, ("oc-ops", *sys.argv[1:]))
    try:
        with _ended_alike(), run_output.screen(redactor) as say:
            result = run_job(asked, gateway, say)
    except JobNotChosen as error:
        run_output.show_candidates(error, redactor, as_json=as_json)
        raise typer.Exit(NO_SUCH_JOB) from None
    except KeyboardInterrupt:
        print("oc-ops: interrupted before anything was started", file=sys.stderr)
        raise typer.Exit(EXITS["interrupted"]) from None
    except OcOpsError as error:
        run_output.show_refusal(error, redactor, as_json=as_json)
        raise typer.Exit(EXITS["not-started"]) from None
    _show(result, gateway, as_json=as_json)
    raise typer.Exit(result.exit)


def _show(result: RunResult, gateway: Gateway, *, as_json: bool) -> None:
    from oc_ops.cli import run_output

    profile = gateway.settings.profile
    see = result.see(f"openclaw --profile {profile}" if profile else "openclaw")
    with suppress(OSError):  # the terminal may have closed: that is one of the ways to be interrupted
        run_output.show(result, see, gateway.redactor, as_json=as_json)


@contextmanager
def _ended_alike() -> Iterator[None]:
    """SIGTERM and a terminal that closes end the waiting as Ctrl-C does: the call is ended, the transcript is whole."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    before = [(each, signal.signal(each, stop)) for each in (signal.SIGTERM, signal.SIGHUP)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
