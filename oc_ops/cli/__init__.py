"""The `oc-ops` command: thin wrappers over the same rooms that the checks use."""

from __future__ import annotations

import difflib
import json
import os
import shlex
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from msgspec.structs import asdict

from oc_ops import __version__
from oc_ops.cli import breaker, incidents, jobs, logs, recover, reports, run, schedule, setup, tmux, uninstall
from oc_ops.cli.frame import Executable, Grouped, Json, Target, Whole, harmless, lenient, need_clock
from oc_ops.errors import OcOpsError
from oc_ops.settings import CHECKOUT, CONFIG, PROJECT

app = typer.Typer(
    name="oc-ops",
    cls=Grouped,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="The operator's control plane for OpenClaw: what is wrong with the gateway, once, and the one thing to do.",
)
lab_app = typer.Typer(
    cls=Whole,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="A throwaway real OpenClaw gateway in its own home: to try oc-ops on, to drill, to test. "
    "It never touches ~/.openclaw.",
)
app.add_typer(lab_app, name="lab")
app.add_typer(breaker.app, name="breaker")
app.add_typer(incidents.app, name="incidents")
app.add_typer(logs.app, name="logs")
app.add_typer(tmux.app, name="tmux")
app.add_typer(jobs.app, name="jobs")
app.add_typer(setup.notify_app, name="notify")
app.add_typer(schedule.app, name="schedule")
app.add_typer(setup.skill_app, name="skill")
setup.register_targets(app)
recover.register(app)
run.register(app)
reports.register_metrics(app)
reports.register_history(app)
setup.register_config(app)
uninstall.register(app)

USAGE = 4
"""Exit code of a usage error, the same as pytest's."""


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"oc-ops {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version of oc-ops.", is_eager=True, callback=_print_version),
    ] = False,
) -> None:
    """Take what stands before a command."""


def _shown(value: object) -> str:
    if isinstance(value, Path):
        if value == CONFIG:
            return "~/.config/oc-ops/"
        return f"{value.relative_to(PROJECT)}/" if value.is_relative_to(PROJECT) else str(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return "(none)" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _one_sentence(command: Callable[..., Any]) -> Callable[..., Any]:
    """An error that oc-ops raises on purpose is one sentence on stderr, not a traceback."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except OcOpsError as error:
            print(f"oc-ops: {harmless(error)}", file=sys.stderr)
            raise typer.Exit(USAGE) from None

    return guarded


def _check_ids(incomplete: str) -> list[str]:
    """The ids that a shell completes `--check` to."""
    from oc_ops import settings
    from oc_ops.doctor import selection

    return [each for each in selection.ids(settings.load()) if each.startswith(incomplete)]


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    help="Look at the gateway and say what is wrong, once, with the evidence and the one thing to do.\n\n"
    "The same run as `pytest checks/ -m doctor`, from any directory; further pytest options are handed on "
    "(-k NAME, -v, --junitxml FILE). It only looks: nothing is restarted, repaired or deleted.\n\n"
    "Exit code: 0 no error finding, 1 unhealthy or could not look, 2 interrupted, 4 a wrong option or setting. "
    "The last line is the verdict in one sentence; the report is in reports/latest.html.\n\n"
    "Settings: oc-ops config shows each, its value and where it came from.",
)
@_one_sentence
def doctor(
    context: typer.Context,
    openclaw: Executable = None,
    oc_profile: Annotated[str | None, typer.Option(metavar="NAME", help="The OpenClaw profile to look at.")] = None,
    target: Target = None,
    check: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Only the checks that look for this: the id of a check, of a finding, or an area. Repeatable.",
            autocompletion=_check_ids,
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="HTTP and RPC lanes and logs only: no `openclaw` call.")
    ] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Also the slow checks: a real click in the browser.")] = False,
    deep_model: Annotated[
        bool,
        typer.Option("--deep-model", help="With --deep: one real prompt through the gateway, which costs money."),
    ] = False,
    lab: Annotated[bool, typer.Option("--lab", help="Look at a throwaway real gateway, started for this run.")] = False,
    report_dir: Annotated[str | None, typer.Option(metavar="DIR", help="Where the run leaves its report.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the report as JSON (docs/files.md), and nothing else.")
    ] = False,
    nagios: Annotated[
        bool,
        typer.Option("--nagios", help="One line for a monitoring system; exit 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN."),
    ] = False,
) -> None:
    """Hand over to pytest in this very process, so that signals and exit codes are pytest's own."""
    from oc_ops.act.recover import outcome

    given = (
        ("--openclaw", openclaw),
        ("--oc-profile", oc_profile),
        ("--target", target),
        ("--report-dir", report_dir),
    )
    options = [word for name, value in given if value is not None for word in (name, value)]
    options += [word for each in check or () for word in ("--check", each)]
    flags = (("--quick", quick), ("--deep", deep), ("--deep-model", deep_model), ("--lab", lab))
    options += [name for name, wanted in flags if wanted]
    if nagios and as_json:
        raise OcOpsError("--nagios and --json: need one of the two")
    _refuse_misspelt(context)
    if nagios:
        raise typer.Exit(reports.run_as_plugin(lambda: outcome.argv([*options, *context.args])))
    argv = outcome.argv([*options, "--answer", "json" if as_json else "text", *context.args])
    _say_where()
    sys.stdout.flush()
    os.execv(sys.executable, argv)  # noqa: S606 - an argv list, no shell


def _refuse_misspelt(context: typer.Context) -> None:
    """Name the option that was meant: pytest, which takes what is not ours, would only print its own usage."""
    ours = [word for each in context.command.params for word in each.opts if word.startswith("--")]
    for word in context.args:
        name = word.partition("=")[0]
        if name.startswith("--") and (near := difflib.get_close_matches(name, ours, n=1, cutoff=0.85)):
            raise OcOpsError(f"{name}: there is no such option; nearest: {near[0]}")


def _say_where() -> None:
    """Say once, at the first run of an installed oc-ops, where things go."""
    if CHECKOUT is None and not PROJECT.exists():
        print(
            f"oc-ops: reports and memory go to {PROJECT}, your own files to {CONFIG} "
            "(oc-ops jobs watch JOB puts a cron job on the watchlist there)",
            file=sys.stderr,
        )


@lab_app.command(help="Install a real OpenClaw if need be, start a gateway of its own, add three cron jobs.")
@_one_sentence
def up(
    as_json: Json = False,
    telegram: Annotated[
        str | None,
        typer.Option(metavar="MODE", help="Its channel is a fake Bot API: ok, closed, 401, 409, hang, stale; off."),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(metavar="MODE", help="Its model provider is a fake: ok, 401, 402, 429, slow; off."),
    ] = None,
) -> None:
    """Idempotent: what is done already is left alone; a fake that runs takes on another mode."""
    from oc_ops.lab.lab import open_lab
    from oc_ops.lab.visit import progress

    lab = open_lab()
    with progress() as say:
        status = lab.up(say)
        for name, mode in (("telegram", telegram), ("provider", provider)):
            if mode is not None:
                say(f"the fake {name}: {mode}")
                lab.fake(name, mode)
    _print_lab(asdict(status), as_json)
    if not as_json:
        _say_how_to_use_it()


@lab_app.command(help="End the lab's gateway, its browser and whatever else it started; its files stay.")
@_one_sentence
def down(as_json: Json = False) -> None:
    """Verified: no process of the lab is left."""
    from oc_ops.lab.lab import open_lab

    lab = open_lab()
    lab.down()
    _print_lab(asdict(lab.status()), as_json)


@lab_app.command(help="Say whether the lab is up, where, and of which release.")
@_one_sentence
def status(as_json: Json = False) -> None:
    """A look that changes nothing."""
    from oc_ops.lab.lab import open_lab

    status = open_lab().status()
    _print_lab(asdict(status), as_json)
    if status.up and not as_json:
        _say_how_to_use_it()


@lab_app.command(help="Print the environment that points every oc-ops and openclaw command of this shell at the lab.")
@_one_sentence
def env() -> None:
    """For `eval`; incidents and reports are those of `doctor --lab`, apart from the operator's own."""
    from oc_ops import settings
    from oc_ops.lab.lab import open_lab

    lab, loaded = open_lab(), settings.load()
    memory = loaded.memory_dir / "lab"
    points = {
        "HOME": lab.home,
        "PATH": lab.environ["PATH"],
        "OC_OPS_OPENCLAW": lab.openclaw,
        "OC_OPS_MEMORY_DIR": memory,
        "OC_OPS_CONFIG_DIR": memory,
        "OC_OPS_REPORT_DIR": loaded.report_dir / "lab",
        "OC_OPS_TMUX_SOCKET": "oc-ops-lab",
        "OC_OPS_LAB_DIR": lab.cache,
    }
    for name, value in points.items():
        print(f"export {name}={shlex.quote(str(value))}")


def _say_how_to_use_it() -> None:
    print(
        "look at it:   oc-ops doctor --lab\n"
        'the cockpit:  (eval "$(oc-ops lab env)"; oc-ops tmux attach)\n'
        "end it:       oc-ops lab down"
    )


def _print_lab(facts: dict[str, object], as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts))
        return
    state = "up and healthy" if facts["healthy"] else "up, not healthy" if facts["up"] else "down"
    if not facts["port"]:
        print(f"lab: none was ever made in {facts['root']}: `oc-ops lab up` makes one")
        return
    print(f"lab: {state}: OpenClaw {facts['version']} on port {facts['port']}, in {facts['root']}")


def _stand_somewhere() -> None:
    """Go on from the root folder where the current one is gone, and into nothing where a stream is closed."""
    try:
        Path.cwd()
    except FileNotFoundError:
        os.chdir("/")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))


def main() -> None:
    """The console script; what oc-ops raises on purpose is one sentence here too."""
    _stand_somewhere()
    lenient()
    need_clock()
    try:
        app()
    except OcOpsError as error:
        print(f"oc-ops: {harmless(error)}", file=sys.stderr)
        sys.exit(USAGE)
