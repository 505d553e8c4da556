"""`oc-ops recover` and `python recover.py`: one bounded recovery of the gateway, and its verdict in one sentence."""

from __future__ import annotations

import json
import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from oc_ops.cli.frame import Executable, Json, Target, harmless, lenient, need_clock
from oc_ops.errors import OcOpsError

_INTERRUPTED = 2
_USAGE = 4

HELP = (
    "Recover the gateway once, within limits, and prove by the doctor's own judges that it worked.\n\n"
    "It looks with the whole doctor, takes the one cure that fits the cause (restart, start, wait, browser restart, or "
    "none), and looks again. A restart cures neither config, credential, port nor load: then the finding's own fix "
    "is printed. Every step is in memory/recoveries/.\n\n"
    "Exit code: 0 healthy now, or it was already. 1 tried and still unhealthy, or --dry-run would act. 2 could not "
    "tell. 3 refused by lock, budget, cool-down or grace. 4 refused: this cause is not cured by recovery, or a wrong "
    "option or setting."
)

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say the whole decision with its reasons; change nothing.")]
Force = Annotated[
    bool, typer.Option("--force", help="Lift budget, cool-down and the one attempt per incident; nothing else.")
]
Profile = Annotated[str | None, typer.Option("--oc-profile", metavar="NAME", help="The OpenClaw profile to recover.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("recover", help=HELP)(recover)


def recover(
    dry_run: DryRun = False,
    force: Force = False,
    as_json: Json = False,
    openclaw: Executable = None,
    oc_profile: Profile = None,
    target: Target = None,
) -> None:
    """Progress goes to stderr; the last line of stdout is the sentence, or with --json the whole outcome."""
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # under nohup it goes on
        signal.signal(signal.SIGHUP, _terminated)
    try:
        from oc_ops import settings as oc_settings
        from oc_ops.act.recover import run
        from oc_ops.act.recover.outcome import examine

        loaded = oc_settings.load({"openclaw": openclaw, "profile": oc_profile, "target": target})
        environ = dict(os.environ)
        options = [
            *(["--openclaw", openclaw] if openclaw else []),
            *(["--oc-profile", oc_profile] if oc_profile else []),
            *(["--target", target] if target else []),
        ]
        outcome = run.recover(
            loaded,
            environ,
            lambda: examine(loaded, environ, options),
            dry_run=dry_run,
            force=force,
            say=lambda line: print(f"  {line}", file=sys.stderr, flush=True),
        )
    except OcOpsError as error:
        _end(f"refused: {harmless(error)}", _USAGE, as_json)
    except KeyboardInterrupt:
        _end("interrupted: what was done is in memory/recoveries/, nothing is locked", _INTERRUPTED, as_json)
    if as_json:
        print(json.dumps(outcome.as_json()))
    else:
        if outcome.record:
            print(f"record: {outcome.record}")
        print(outcome.sentence)
    raise typer.Exit(outcome.exit)


def _end(why: str, code: int, as_json: bool) -> NoReturn:
    """The same last sentence for what ended without an outcome."""
    sentence = f"recover: {why}"
    print(json.dumps({"exit": code, "outcome": why.split(":")[0], "sentence": sentence}) if as_json else sentence)
    raise typer.Exit(code)


def _terminated(signum: int, _frame: FrameType | None) -> None:
    """SIGTERM and a terminal that closes end a recovery as Ctrl-C does: the record is ended and the lock free."""
    raise KeyboardInterrupt(f"signal {signum}")


def main() -> None:
    """`python recover.py`."""
    lenient()
    need_clock()
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    register(app)
    app(prog_name="recover.py")
