"""What the service manager (systemd or launchd) says of the gateway: the one room that knows them apart."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from oc_ops.observe.process import Call, run
from oc_ops.observe.target import Target

State = Literal["running", "restarting", "failed", "stopped", "absent", "silent", "unknown"]
"""absent: there is no such unit, or no manager to ask. silent: it was asked and did not answer in time."""
Manager = Literal["systemd", "launchd", "none"]
_DEADLINE_S = 3.0


@dataclass(frozen=True, slots=True)
class Service:
    """The supervisor's own words: `restarts` counts automatic restarts, `exit_status` is the last exit's."""

    manager: Manager
    unit: str
    state: State
    pid: int | None = None
    restarts: int | None = None
    exit_status: int | None = None
    result: str = ""
    detail: str = ""

    @property
    def summary(self) -> str:
        """One line of evidence."""
        parts = [f"{self.manager} unit {self.unit} is {self.state}"]
        if self.result and self.result != "success":
            parts.append(f"result {self.result}")
        if self.exit_status:
            parts.append(f"last exit {self.exit_status}")
        if self.restarts:
            parts.append(f"restarted {self.restarts} times")
        return ", ".join(parts) + (f" ({self.detail})" if self.detail else "")


NO_SERVICE = Service("none", "", "absent")


def service(target: Target, platform: str = sys.platform) -> Service:
    """Ask the user's service manager about the target's gateway unit, for at most 3 s.

    Unit names are OpenClaw's own: openclaw-gateway[-PROFILE].service, ai.openclaw.gateway or ai.openclaw.PROFILE.
    """
    if platform == "darwin":
        label = f"ai.openclaw.{target.profile or 'gateway'}"
        call = _asked(["launchctl", "print", f"gui/{os.getuid()}/{label}"], target)
        return _silent("launchd", label, call) or _launchd(label, _said(call))
    unit = f"openclaw-gateway{'-' + target.profile if target.profile else ''}.service"
    call = _asked(["systemctl", "--user", "show", unit, f"--property={','.join(_PROPERTIES)}"], target)
    return _silent("systemd", unit, call) or _systemd(unit, _said(call))


def stop_command(service: Service) -> tuple[str, ...]:
    """What ends the unit's process: `stop` without waiting for it; launchd's agent gets SIGTERM and comes again."""
    if service.manager == "launchd":
        return ("launchctl", "kill", "SIGTERM", f"gui/{os.getuid()}/{service.unit}")
    return ("systemctl", "--user", "stop", "--no-block", service.unit)


def ask(argv: Sequence[str], environ: Mapping[str, str], deadline_s: float) -> Call:
    """Run one command of the service manager; cron has no XDG_RUNTIME_DIR, without which systemctl finds no user's."""
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return run(argv, environ={**os.environ, "XDG_RUNTIME_DIR": runtime}, deadline_s=deadline_s)


_PROPERTIES = ("LoadState", "ActiveState", "SubState", "Result", "NRestarts", "MainPID", "ExecMainStatus")


def _asked(argv: list[str], target: Target) -> Call | None:
    """The question as it was put, or None when there is no manager on this machine."""
    return ask(argv, target.environ, _DEADLINE_S) if shutil.which(argv[0]) else None


def _said(call: Call | None) -> str | None:
    """The manager's answer; None as well when it says no (no user bus, no such label)."""
    return call.stdout.text if call is not None and call.outcome == "answered" else None


def _silent(manager: Manager, unit: str, call: Call | None) -> Service | None:
    """A busy manager has not said that there is no unit."""
    if call is None or call.outcome != "timed-out":
        return None
    return Service(manager, unit, "silent", detail=f"no answer within {_DEADLINE_S:g} s")


def _systemd(unit: str, answer: str | None) -> Service:
    if answer is None:
        return NO_SERVICE
    says = dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)
    if says.get("LoadState") in (None, "not-found"):
        return NO_SERVICE
    active, sub = says.get("ActiveState", ""), says.get("SubState", "")
    state: State = "unknown"
    if sub.startswith("auto-restart"):
        state = "restarting"
    elif active in ("active", "reloading", "activating", "deactivating"):
        state = "running"
    elif active == "failed":
        state = "failed"
    elif active == "inactive":
        state = "stopped"
    return Service(
        "systemd",
        unit,
        state,
        pid=_number(says, "MainPID") or None,
        restarts=_number(says, "NRestarts"),
        exit_status=_number(says, "ExecMainStatus"),
        result=says.get("Result", ""),
        detail=f"{active}/{sub}",
    )


def _launchd(label: str, answer: str | None) -> Service:
    """`launchctl print` is documented as unstable: only lines of the form `key = value` at one tab are read."""
    if answer is None:
        return NO_SERVICE
    says = dict(re.findall(r"^\t([a-z ]+) = (.+)$", answer, re.M))
    status = re.match(r"-?\d+", says.get("last exit code", ""))
    exit_status = int(status[0]) if status else None
    pid = _number(says, "pid") or None
    runs = _number(says, "runs")
    words = says.get("state", "")
    state: State = "unknown"
    if pid and words == "running":
        state = "running"
    elif words in ("spawn scheduled", "spawning"):
        state = "restarting"
    elif words in ("not running", "waiting"):
        state = "failed" if exit_status else "stopped"
    restarts = max(runs - 1, 0) if runs is not None else None
    return Service("launchd", label, state, pid, restarts, exit_status, detail=words)


def _number(says: Mapping[str, str], key: str) -> int | None:
    text = says.get(key, "").strip()
    return int(text) if text.isdigit() else None
