"""What launchd and systemd are told: the one room of the schedule that knows the platforms apart."""

from __future__ import annotations

import plistlib
import re
import sys
from pathlib import Path
from typing import Literal

from oc_ops.schedule.plan import SchedulePlan

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
        f"WorkingDirectory={_path(str(plan.folder))}",
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
    """What to take where there is no crontab command, in words."""
    return "--launchd" if platform == "darwin" else "--systemd, or install cron"


def _label(plan: SchedulePlan) -> str:
    """A name for the manager's own list and for a file: a container's has neither colon nor dot there."""
    return "org.oc-ops.oc-ops-doctor" + ("" if plan.name == "default" else f"-{re.sub(r'[:.]', '-', plan.name)}")


def _quoted(text: str, *, dollar: bool = True) -> str:
    """A word as systemd's unit files quote it: % is a specifier everywhere, $ a variable in a command line."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text.replace("$", "$$") if dollar else text}"'


def _path(text: str) -> str:
    # WorkingDirectory= takes the rest of the line as it is, without quotes.
    return text.replace("%", "%%")
