"""The gateway by its service managers: systemd or launchd, the user's and the system's."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from oc_ops.observe import unitfaults, unitfiles
from oc_ops.observe.processes import GatewayProcess
from oc_ops.observe.target import Target
from oc_ops.process.run import Call, run
from oc_ops.text import regex

State = Literal["running", "restarting", "failed", "stopped", "absent", "silent", "unknown"]
"""absent: there is no such unit, or no manager to ask. silent: it was asked and did not answer in time."""
Manager = Literal["systemd", "launchd", "none"]
Scope = Literal["user", "system"]
_DEADLINE_S = 3.0


class Service(Struct, frozen=True):
    """The supervisor's own words: `restarts` counts automatic restarts, `exit_status` is the last exit's."""

    manager: Manager
    unit: str
    state: State
    pid: int | None = None
    restarts: int | None = None
    exit_status: int | None = None
    result: str = ""
    detail: str = ""
    scope: Scope = "user"
    standard: bool = True
    """True if it has the name that OpenClaw's own commands know."""
    argv: tuple[str, ...] = ()
    """The command of a systemd unit; empty where that is not known."""
    gone: str = ""
    """The program or script of that command that is not there."""
    fault: str = ""
    """The reason for which systemd cannot even begin that program, in words."""
    file_state: str = ""
    """How systemd has it at boot or login: enabled, disabled, static, …"""
    outputs: tuple[Path, ...] = ()
    """The files that its manager has it write its output to."""
    release: str = ""
    """The release of OpenClaw that wrote the unit, by its environment; empty where it names none."""

    @property
    def managed(self) -> bool:
        """True if `openclaw gateway start` and `restart` act on it: the user's own unit of OpenClaw's name."""
        return self.manager != "none" and self.scope == "user" and self.standard

    def command(self, verb: Literal["start", "restart"]) -> str:
        """The command that a person types to have it started or restarted."""
        if self.manager == "launchd":
            domain = "system" if self.scope == "system" else f"gui/{os.getuid()}"
            kickstart = f"launchctl kickstart {'-k ' if verb == 'restart' else ''}{domain}/{self.unit}"
            return f"sudo {kickstart}" if self.scope == "system" else kickstart
        return (
            f"sudo systemctl {verb} {self.unit}" if self.scope == "system" else f"systemctl --user {verb} {self.unit}"
        )

    @property
    def summary(self) -> str:
        """One line of evidence."""
        of = "system " if self.scope == "system" else ""
        parts = [f"{of}{self.manager} unit {self.unit} is {self.state}"]
        if self.result and self.result != "success":
            parts.append(f"result {self.result}")
        if self.exit_status:
            parts.append(f"last exit {self.exit_status}")
        if self.restarts:
            parts.append(f"restarted {self.restarts} times")
        return ", ".join(parts) + (f" ({self.detail})" if self.detail else "")


NO_SERVICE = Service("none", "", "absent")


def service(target: Target, platform: str = sys.platform) -> Service:
    """Ask the service managers about the target's gateway unit, each question for at most 3 s.

    The user's own unit is openclaw-gateway[-PROFILE].service, ai.openclaw.gateway or ai.openclaw.PROFILE. Where there
    is none, or it rests, units and daemons of both managers count, of any name, whose account, environment and command
    lead to the target's state directory.
    """
    own = _own_unit(target, platform)
    if own.manager != "none" and own.state != "stopped":
        return own
    others = list(_launch_daemons(target) if platform == "darwin" else _units_named(target, own.unit))
    awake = sorted((each for each in others if each.state != "stopped"), key=lambda each: each.state == "silent")
    return next(iter(awake or ([own] if own.manager != "none" else others)), NO_SERVICE)


def own_name(target: Target, platform: str = sys.platform) -> str:
    """The name of the unit or agent that OpenClaw itself installs for the target."""
    if platform == "darwin":
        return f"ai.openclaw.{target.profile or 'gateway'}"
    return f"openclaw-gateway{'-' + target.profile if target.profile else ''}.service"


def _own_unit(target: Target, platform: str) -> Service:
    if platform == "darwin":
        label = own_name(target, platform)
        call = _asked(["launchctl", "print", f"gui/{os.getuid()}/{label}"], target)
        return _silent("launchd", label, call) or _launchd(label, _said(call))
    unit = own_name(target, platform)
    call = _asked(["systemctl", "--user", "show", unit, f"--property={','.join(_PROPERTIES)}"], target)
    return _silent("systemd", unit, call) or _systemd(unit, _said(call))


def _units_named(target: Target, own: str) -> Iterator[Service]:
    """Units of the user's and the system's manager that belong to the target: of any name that a person gave them."""
    scopes: tuple[Scope, ...] = ("user", "system")
    for scope in scopes:
        manager = ["systemctl", *(["--user"] if scope == "user" else [])]
        listed = _asked([*manager, "list-unit-files", "--no-legend", "--plain", "--type=service", _NAMES], target)
        if silent := _silent("systemd", _NAMES, listed):
            yield replace(silent, scope=scope, standard=False)
            continue
        names = [line.split()[0] for line in (_said(listed) or "").splitlines() if line.strip()]
        names += unitfiles.mentioning(_unit_folders(manager, target))
        wanted = [each for each in dict.fromkeys(names) if "@." not in each and each != own]
        shown = _asked(
            [*manager, "show", _NAMES, *wanted, f"--property={','.join((*_PROPERTIES, *unitfiles.PROPERTIES))}"], target
        )
        seen: set[str] = {own}
        for block in re.split(r"\n\s*\n", _said(shown) or ""):
            says = _pairs(block)
            unit = says.get("Id", "")
            if not unit or unit in seen or not unitfiles.leads_to(target, says, system=scope == "system"):
                continue
            seen.add(unit)
            found = _systemd(unit, block)
            if found.manager != "none":
                yield replace(found, scope=scope, standard=False)


def _unit_folders(manager: Sequence[str], target: Target) -> tuple[Path, ...]:
    """The folders where a manager looks for units, by its own word."""
    says = _pairs(_said(_asked([*manager, "show", "--property=UnitPath"], target)) or "")
    return tuple(Path(each) for each in unitfiles.words(says.get("UnitPath", "")))


def _launch_daemons(target: Target) -> Iterator[Service]:
    """LaunchDaemons that belong to the target, and the user's own agents of other names."""
    places: tuple[tuple[Scope, str, Path], ...] = (
        ("system", "system", Path("/Library/LaunchDaemons")),
        ("user", f"gui/{os.getuid()}", target.home / "Library" / "LaunchAgents"),
    )
    for scope, domain, folder in places:
        for label in unitfiles.labels(folder, target):
            call = _asked(["launchctl", "print", f"{domain}/{label}"], target)
            found = _silent("launchd", label, call) or _launchd(label, _said(call))
            if found.manager != "none":
                yield replace(found, scope=scope, standard=False)


def without_systemd(release: str | None = None, booted: Path = Path("/run/systemd/system")) -> bool:
    """True on a WSL2 machine whose systemd is switched off, as its older distributions are."""
    return is_wsl2(release) and not booted.is_dir()


def is_wsl2(release: str | None = None) -> bool:
    """True for the kernel of Windows' subsystem for Linux, by its release (`…-microsoft-standard-WSL2`)."""
    name = (os.uname().release if release is None else release).lower()
    return "microsoft" in name and "wsl2" in name


def unit_of(process: GatewayProcess, target: Target) -> Service | None:
    """The systemd unit that runs a process, by its cgroup; None when it is no unit's main process, nor its child.

    A gateway started by hand stands in the cgroup of whatever started it: a session, a terminal, cron.
    """
    try:
        path = Path(f"/proc/{process.pid}/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    units = [each for each in _CGROUP_UNIT.findall(path) if not each.startswith("user@")]
    if not units:
        return None
    unit = units[-1]
    scope: Scope = "user" if "/user@" in path or "/user.slice" in path else "system"
    manager = ["systemctl", *(["--user"] if scope == "user" else [])]
    call = _asked([*manager, "show", unit, f"--property={','.join(_PROPERTIES)}"], target)
    service = _systemd(unit, _said(call))
    if service.pid is None or service.pid not in (process.pid, process.parent):
        return None
    return replace(service, scope=scope, standard=unit == own_name(target))


def units(target: Target) -> tuple[Service, ...]:
    """Every systemd unit of both managers that leads to the target's state directory."""
    if sys.platform == "darwin":
        return ()
    return tuple(each for each in _units_named(target, "") if each.state != "silent")


def holds(service: Service, process: GatewayProcess) -> bool:
    """True if a process stands in the unit's control group, however many wrappers are between."""
    if service.pid in (process.pid, process.parent):
        return True
    try:
        path = Path(f"/proc/{process.pid}/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    user = "/user@" in path or "/user.slice" in path
    return service.unit in _CGROUP_UNIT.findall(path) and (service.scope == "user") is user


def lingers(uid: int, target: Target) -> bool | None:
    """True if a user's services live on without a login; None where logind cannot be asked."""
    answer = _said(_asked(["loginctl", "show-user", str(uid), "--property=Linger"], target))
    return {"yes": True, "no": False}.get(_pairs(answer or "").get("Linger", ""))


def stop_command(service: Service) -> tuple[str, ...]:
    """The command to end the unit's process: `stop`, not waited for; launchd's agent gets SIGTERM and comes again."""
    if service.manager == "launchd":
        domain = "system" if service.scope == "system" else f"gui/{os.getuid()}"
        return ("launchctl", "kill", "SIGTERM", f"{domain}/{service.unit}")
    if service.scope == "system":
        return ("systemctl", "--no-ask-password", "stop", "--no-block", service.unit)
    return ("systemctl", "--user", "stop", "--no-block", service.unit)


def ask(argv: Sequence[str], environ: Mapping[str, str], deadline_s: float) -> Call:
    """Run one command of the service manager; cron has no XDG_RUNTIME_DIR, without which systemctl finds no user's."""
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return run(argv, environ={**os.environ, "XDG_RUNTIME_DIR": runtime}, deadline_s=deadline_s)


_NAMES = "openclaw*.service"
_PROGRAM = regex(r"path=(/.*?) ; argv\[\]")
_CGROUP_UNIT = regex(r"/([^/\n]+\.service)(?=/|$)", re.M)
_PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "NRestarts",
    "MainPID",
    "ExecMainStatus",
    "ExecStart",
    "UnitFileState",
    "Environment",
    "StandardOutput",
    "StandardError",
    "FragmentPath",
    "DropInPaths",
    *unitfaults.PROPERTIES,
)
_RELEASE = regex(r"\bOPENCLAW_SERVICE_VERSION(?:=| => )\"?([\w.+-]{1,40})")
"""As systemctl and launchctl print the variable that OpenClaw puts into the units that it installs."""


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
    says = _pairs(answer)
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
    argv = unitfiles.argv_of(says)
    return Service(
        "systemd",
        unit,
        state,
        pid=_number(says, "MainPID") or None,
        restarts=_number(says, "NRestarts"),
        exit_status=_number(says, "ExecMainStatus"),
        result=says.get("Result", ""),
        detail=f"{active}/{sub}",
        argv=argv,
        gone=_gone(says, argv),
        fault=unitfaults.fault(says),
        file_state=says.get("UnitFileState", ""),
        outputs=unitfiles.outputs(says),
        release=_release(says.get("Environment", "")),
    )


def _gone(says: Mapping[str, str], argv: Sequence[str]) -> str:
    """The program, or the script that it runs, where that is no longer there: an update may have moved it."""
    program = _PROGRAM.search(says.get("ExecStart", ""))
    scripts = (each for each in argv[1:] if each.startswith("/") and each.endswith((".js", ".mjs", ".cjs")))
    for path in (*([program[1]] if program else []), *itertools.islice(scripts, 1)):
        try:
            Path(path).stat()
        except FileNotFoundError:
            return path
        except OSError:
            continue  # we may not look there
    return ""


def _pairs(answer: str) -> dict[str, str]:
    """Properties by name; one that stands there again, such as each EnvironmentFiles, has its values line by line."""
    says: dict[str, str] = {}
    for line in answer.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            says[name] = f"{says[name]}\n{value}" if name in says else value
    return says


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
    outputs = dict.fromkeys(says[key] for key in ("stdout path", "stderr path") if says.get(key, "").startswith("/"))
    files = tuple(Path(each) for each in outputs if not each.startswith("/dev/"))
    written = _release(answer)
    return Service("launchd", label, state, pid, restarts, exit_status, detail=words, outputs=files, release=written)


def _release(environment: str) -> str:
    found = _RELEASE.search(environment)
    return found[1] if found else ""


def _number(says: Mapping[str, str], key: str) -> int | None:
    text = says.get(key, "").strip()
    return int(text) if text.isdigit() else None
