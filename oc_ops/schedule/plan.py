"""The plan of a schedule: the command with absolute paths, and the little environment that cron does not give."""

from __future__ import annotations

import os
import plistlib
import pwd
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct

from oc_ops.errors import OcOpsError
from oc_ops.observe import container, install
from oc_ops.observe.target import CONTAINERS, identify, locate
from oc_ops.settings import Settings, declared, environment_name, start_folder
from oc_ops.text import regex

_SYSTEM = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")
PLACES = (
    "OPENCLAW_HOME", "OPENCLAW_STATE_DIR", "OPENCLAW_CONFIG_PATH", "OPENCLAW_PROFILE", "OPENCLAW_GATEWAY_PORT",
    "XDG_STATE_HOME", "TMPDIR",
)  # fmt: skip
"""Variables that decide which gateway is looked at, and where the processes of oc-ops meet."""
_INSIDE = ("OPENCLAW_CLI", "OPENCLAW_SHELL", "OPENCLAW_PATH_BOOTSTRAPPED", "OPENCLAW_SERVICE_MARKER")
"""Variables that a gateway gives its cron jobs and agents (a command job of 2026.9.6; `exec` sets OPENCLAW_SHELL)."""
_CREDENTIAL = regex(r"OPENCLAW_\w*(?:TOKEN|PASSWORD)")

PERIODS_S = (
    60,
    120,
    180,
    240,
    300,
    360,
    600,
    720,
    900,
    1200,
    1800,
    3600,
    7200,
    10800,
    14400,
    21600,
    28800,
    43200,
    86400,
)
"""Intervals that a crontab can say evenly: minutes that divide the hour, hours that divide the day."""


class SchedulePlan(Struct, frozen=True):
    """One scheduled doctor: `name` tells the schedules of one user apart, `notes` is what the operator should know."""

    name: str
    every_s: int
    argv: tuple[str, ...]
    folder: Path
    environ: Mapping[str, str]
    notes: tuple[str, ...] = ()


def refuse_inside_a_gateway(environ: Mapping[str, str]) -> None:
    """Raise OcOpsError in the environment that a gateway hands down to its cron jobs and agents."""
    if mark := next((name for name in _INSIDE if environ.get(name)), None):
        raise OcOpsError(
            f"{mark} is set, so this runs inside an OpenClaw gateway, by its cron or an agent of it: a doctor that "
            "depends on the gateway is silent exactly when the gateway hangs, and `cron list` asked from inside a cron "
            "job timed out every time (#22652); `oc-ops schedule install` is for a person's own shell"
        )


def every(text: str) -> int:
    """A period such as `5m`, `1h` or `1d`, in seconds; raises OcOpsError for one that no crontab line can keep."""
    told = re.fullmatch(r"([0-9]{1,4})([mhd])", text.strip().lower())
    period_s = int(told[1]) * {"m": 60, "h": 3600, "d": 86400}[told[2]] if told else 0
    if period_s not in PERIODS_S:
        raise OcOpsError(
            f'--every "{text[:40]}": need minutes that divide the hour or hours that divide the day: 5m, 1h, 1d'
        )
    return period_s


def make(settings: Settings, environ: Mapping[str, str], every_s: int, options: Sequence[str] = ()) -> SchedulePlan:
    """The schedule of the gateway that these settings and this environment mean; raises OcOpsError where it cannot be.

    `options` are handed to the doctor. What decides which gateway this shell would look at is taken along; secrets are
    not, since a crontab is no place for them: the notes say what is missing.
    """
    refuse_inside_a_gateway(environ)
    name = identify(environ, settings.profile, settings.target).name
    runtimes = container.installed(environ) if settings.target.partition(":")[0] in CONTAINERS else None
    home = locate(environ, settings.profile).home
    executable, notes = None, []
    if runtimes is None:
        executable = install.find(settings.openclaw, settings.source("openclaw"), environ, home)
    if runtimes is None and executable is None:
        notes.append("no `openclaw` is on this PATH or in the usual places: each run will say so")
    if runtimes == ():
        notes.append("neither podman nor docker is on this PATH: each run will say that it could not look")
    notes += [
        f"{name} is set here and not in the schedule: a gateway whose config does not hold it will refuse the doctor"
        for name in (sorted(environ) if runtimes is None else ())  # a container has its own
        if _CREDENTIAL.fullmatch(name) and environ[name]
    ]
    plan = SchedulePlan(
        name=name,
        every_s=every_s,
        argv=(sys.executable, "-m", "oc_ops", "schedule", "run", *options),
        folder=start_folder(),
        environ={
            "PATH": _path(executable, runtimes or (), environ, home),
            **_taken_along(settings, environ, contained=runtimes is not None),
        },
        notes=tuple(notes),
    )
    _refuse_unprintable(plan)
    return plan


def _refuse_unprintable(plan: SchedulePlan) -> None:
    """No crontab, unit or property list takes a line break or another control character as a part of a word."""
    words = (*plan.argv, str(plan.folder), *plan.environ, *plan.environ.values())
    if bad := next((each for each in words if not each.isprintable()), None):
        raise OcOpsError(f"{bad!a} holds a control character, which no scheduler takes")


def _path(executable: Path | None, runtimes: Sequence[str], environ: Mapping[str, str], home: Path) -> str:
    """The folders of `openclaw` and of the Node that runs it, or of the container runtimes, before the system's own."""
    found = (shutil.which(each, path=environ.get("PATH", os.defpath)) for each in runtimes)
    folders = [str(Path(each).parent) for each in found if each]
    if executable is not None:
        node = shutil.which("node", path=install.search_path(executable, environ, home))
        folders = [str(executable.parent), *([str(Path(node).parent)] if node else [])]
    return os.pathsep.join(dict.fromkeys((*folders, *_SYSTEM)))


def _taken_along(settings: Settings, environ: Mapping[str, str], *, contained: bool) -> dict[str, str]:
    places = (*PLACES, *(container.PLACES if contained else ()))
    taken = {name: environ[name] for name in places if environ.get(name)}
    home = environ.get("HOME", "")
    if home and Path(home) != Path(pwd.getpwuid(os.getuid()).pw_dir):
        taken["HOME"] = home
    for each in declared():
        name = environment_name(each.name)
        value = environ.get(name)
        if not value:
            continue
        if each.metadata["secret"] and not settings.names_a_file(each.name):
            raise OcOpsError(f"{name} holds a secret, and a crontab is no place for one: set it to the path of a file")
        taken[name] = value if not isinstance(getattr(settings, each.name), Path) else str(getattr(settings, each.name))
    return taken


Manager = Literal["cron", "launchd", "systemd"]


def launchd(plan: SchedulePlan) -> str:
    """The property list of a launchd agent; it starts nothing while the last run lasts."""
    return plistlib.dumps(
        {
            "Label": _label(plan),
            "ProgramArguments": list(plan.argv),
            "WorkingDirectory": str(plan.folder),
            "EnvironmentVariables": dict(plan.environ),
            "StartInterval": plan.every_s,
            "RunAtLoad": True,
            "ProcessType": "Background",
        },
        sort_keys=False,
    ).decode()


def systemd(plan: SchedulePlan) -> tuple[tuple[str, str], ...]:
    """The names and texts of the service and of its timer; the timer counts from the end of the last run."""
    name = _label(plan).rpartition(".")[2]
    service = [
        "[Unit]",
        "Description=oc-ops doctor: looks at the OpenClaw gateway",
        "",
        "[Service]",
        "Type=oneshot",
        f"WorkingDirectory={_unit_path(str(plan.folder))}",
        *(f"Environment={_quoted(f'{name}={value}', dollar=False)}" for name, value in plan.environ.items()),
        f"ExecStart={' '.join(_quoted(each) for each in plan.argv)}",
        # What a recovery started outlives the run; the run itself leaves nothing.
        "KillMode=process",
    ]
    timer = [
        "[Unit]",
        "Description=oc-ops doctor, on a schedule",
        "",
        "[Timer]",
        "OnActiveSec=1min",
        f"OnUnitInactiveSec={plan.every_s}s",
        # Its default of a minute would make two of one.
        "AccuracySec=5s",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return ((f"{name}.service", "\n".join(service) + "\n"), (f"{name}.timer", "\n".join(timer) + "\n"))


def how_to(plan: SchedulePlan, manager: Manager, home: Path) -> tuple[str, ...]:
    """The commands that install what was printed, and those that take it out again."""
    label = _label(plan)
    if manager == "launchd":
        place = home / "Library" / "LaunchAgents" / f"{label}.plist"
        return (
            f"save it as {place}, then: launchctl bootstrap gui/$(id -u) {place}",
            f"out again: launchctl bootout gui/$(id -u)/{label}",
        )
    name = label.rpartition(".")[2]
    folder = home / ".config" / "systemd" / "user"
    return (
        f"save them in {folder}, then: systemctl --user daemon-reload && systemctl --user enable --now {name}.timer",
        "without a login the timer runs only after: loginctl enable-linger",
        f"out again: systemctl --user disable --now {name}.timer",
    )


def without_cron(platform: str = sys.platform) -> str:
    """The way to schedule without a crontab command, in words."""
    return "--launchd" if platform == "darwin" else "--systemd, or install cron"


def _label(plan: SchedulePlan) -> str:
    """A name for the manager's own list and for a file: a container's has neither colon nor dot there."""
    return "org.oc-ops.oc-ops-doctor" + ("" if plan.name == "default" else f"-{re.sub(r'[:.]', '-', plan.name)}")


def _quoted(text: str, *, dollar: bool = True) -> str:
    """A word as systemd's unit files quote it: % is a specifier everywhere, $ a variable in a command line."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text.replace("$", "$$") if dollar else text}"'


def _unit_path(text: str) -> str:
    # WorkingDirectory= takes the rest of the line as it is, without quotes.
    return text.replace("%", "%%")
