"""`oc-ops schedule`: the doctor every few minutes, by the system's own scheduler and never by OpenClaw's."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from oc_ops.cli.frame import Executable, Json, Target, Whole, harmless
from oc_ops.errors import OcOpsError

if TYPE_CHECKING:
    from oc_ops.schedule.plan import SchedulePlan
    from oc_ops.settings import Settings

app = typer.Typer(
    cls=Whole,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The doctor every few minutes, by crontab, launchd or systemd. Never through OpenClaw's own cron, "
    "which is silent exactly when the gateway hangs (#22652).",
)

Profile = Annotated[str | None, typer.Option("--oc-profile", metavar="NAME", help="The OpenClaw profile to look at.")]
Recover = Annotated[bool, typer.Option("--recover", help="Recover once per incident, within limits; not unless asked.")]
Deep = Annotated[bool, typer.Option("--deep", help="Also the slow checks, in every run.")]
Quick = Annotated[bool, typer.Option("--quick", help="No `openclaw` call: HTTP, RPC and logs.")]


@app.command(
    help="Put the doctor into the user's crontab, with absolute paths and the PATH that finds `openclaw` and Node; "
    "a second time changes nothing. With --launchd or --systemd print what those take instead, and install nothing."
)
def install(
    every: Annotated[str, typer.Option("--every", metavar="TIME", help="5m, 30m, 1h, 1d.")] = "5m",
    recover: Recover = False,
    deep: Deep = False,
    quick: Quick = False,
    openclaw: Executable = None,
    oc_profile: Profile = None,
    target: Target = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the line that would stand in the crontab, and install nothing.")
    ] = False,
    launchd: Annotated[bool, typer.Option("--launchd", help="Print a launchd agent (macOS).")] = False,
    systemd: Annotated[bool, typer.Option("--systemd", help="Print a systemd service and timer.")] = False,
) -> None:
    """Every other line of the crontab stays as it is."""
    from oc_ops.schedule import crontab, plan

    if launchd and systemd:
        raise OcOpsError("--launchd and --systemd: need one of the two")
    options = [*_target(openclaw, oc_profile, target), *_flags(recover=recover, deep=deep, quick=quick)]
    made = plan.make(_settings(openclaw, oc_profile, target), dict(os.environ), plan.every(every), options)
    if launchd or systemd:
        _print_units(made, launchd=launchd)
        return
    if dry_run:
        _say_what_would_be(made)
        return
    if shutil.which("crontab") is None:
        raise OcOpsError(f"there is no `crontab` command here: take {plan.without_cron()}")
    line = crontab.line(made)
    changed = crontab.change(os.environ, made.name, line)
    print(f"{'installed' if changed else 'installed already'}: {line}")
    _say_notes(made)
    print(
        "its output goes to schedule.log in the memory folder; look: oc-ops schedule show; out: oc-ops schedule remove"
    )


@app.command(
    help="Show what is scheduled, whether cron would run it as it stands, and how its last run ended. "
    "The line's shell is started up to our program, the doctor is not."
)
def show(oc_profile: Profile = None, target: Target = None, as_json: Json = False) -> None:
    """Looks, changes nothing."""
    from oc_ops.schedule import crontab, proof, run

    settings = _settings(None, oc_profile, target)
    table = crontab.read(os.environ)
    lines = table.own(_name(oc_profile, target))
    last = run.last(settings)
    troubles = [proof.troubles(table, each) for each in lines]
    if as_json:
        shown = {
            "lines": [*map(_shown, lines)],
            "trouble": [_shown("; ".join(each)) for each in troubles],
            "last": last,
        }
        print(json.dumps(shown))
        return
    for line, found in zip(lines, troubles, strict=True):
        print(_shown(line))
        for why in found or ["cron would run it: its shell and its program were tried"]:
            print(_shown(f"  {f'it does not run as meant: {why}' if found else why}"))
    if not lines:
        print("nothing is scheduled here (oc-ops schedule install)")
    print(_shown(f"last run: {run.by_the_clock(last)}" if last else "last run: none on record"))


@app.command(help="Take the doctor out of the crontab again; every other line stays as it is.")
def remove(oc_profile: Profile = None, target: Target = None) -> None:
    """Also a line that was commented out."""
    from oc_ops.schedule import crontab

    changed = crontab.change(os.environ, _name(oc_profile, target), None)
    print("removed" if changed else "there was nothing to remove")


@app.command(
    help="One scheduled run, as crontab, launchd and systemd call it: alone, under a time limit (OC_OPS_SCHEDULE_S), "
    "its output in schedule.log.\n\n"
    "Exit code: 0 there is a verdict, good or bad, or another run is under way; 1 there is no verdict."
)
def run(
    recover: Recover = False,
    deep: Deep = False,
    quick: Quick = False,
    openclaw: Executable = None,
    oc_profile: Profile = None,
    target: Target = None,
) -> None:
    """Prints nothing when it came to a verdict: what cron mails is then worth reading."""
    from oc_ops.schedule import run

    options = [*_target(openclaw, oc_profile, target), *_flags(recover=recover, deep=deep, quick=quick)]
    taken = run.take(_settings(openclaw, oc_profile, target), dict(os.environ), options)
    if taken.outcome == "lost":
        print(_shown(f"oc-ops: the scheduled doctor gave no verdict: {taken.why}"), file=sys.stderr)
        raise typer.Exit(1)


def _settings(openclaw: str | None, oc_profile: str | None, target: str | None) -> Settings:
    from oc_ops import settings

    return settings.load({"openclaw": openclaw, "profile": oc_profile, "target": target})


def _name(oc_profile: str | None, target: str | None) -> str:
    from oc_ops.observe.target import identify

    settings = _settings(None, oc_profile, target)
    return identify(os.environ, settings.profile, settings.target).name


def _target(openclaw: str | None, oc_profile: str | None, target: str | None) -> list[str]:
    executable = openclaw and str(Path(openclaw).absolute())
    given = (("--openclaw", executable), ("--oc-profile", oc_profile), ("--target", target))
    return [word for name, value in given if value for word in (name, value)]


def _flags(**wanted: bool) -> list[str]:
    return [f"--{name}" for name, given in wanted.items() if given]


def _print_units(made: SchedulePlan, *, launchd: bool) -> None:
    from oc_ops.schedule import plan

    if launchd:
        print(plan.launchd(made), end="")
    else:
        for name, text in plan.systemd(made):
            print(f"# {name}\n{text}")
    for line in plan.how_to(made, "launchd" if launchd else "systemd", Path.home()):
        print(line, file=sys.stderr)
    _say_notes(made)


def _say_what_would_be(made: SchedulePlan) -> None:
    from oc_ops.schedule import crontab

    line = crontab.line(made)
    before = crontab.read(os.environ) if shutil.which("crontab") else None
    if before is None:
        from oc_ops.schedule import plan

        print(f"there is no `crontab` command here (take {plan.without_cron()}); the line would be:")
    elif before.with_line(made.name, line) == before:
        print("installed already; nothing would change:")
    else:
        old = before.own(made.name)
        print(f"would replace {_shown(old[0])}\nwith:" if old else "would be added to your crontab; other lines stay:")
    print(line)
    _say_notes(made)


def _say_notes(made: SchedulePlan) -> None:
    for note in made.notes:
        print(f"note: {note}", file=sys.stderr)


def _shown(text: str) -> str:
    """A line of a crontab, harmless and without secrets: what stands there others may have written."""
    return harmless(text).replace("\n", "␊")
