"""Judges of what keeps a service manager from starting the gateway, whatever its state and database are."""

from __future__ import annotations

from collections.abc import Sequence

from oc_ops.judge.finding import Finding, finds, none
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.processes import GatewayProcess
from oc_ops.observe.service import Service

NO_PROGRAM = 203
"""systemd's own exit status for an ExecStart that could not be executed."""

_ALLOWED = "--allow-unconfigured"


def cannot_start(service: Service, config: GatewayConfig) -> Finding | None:
    """Why every start ends the same way, as far as the unit and the config tell without a command."""
    return exec_missing(service) or unit_broken(service) or mode_missing(service, config)


@finds(
    "service/exec-missing",
    state="kept-out",
    checks=("gateway/live",),
    cure=none("the program that the unit starts is not there, so every start of it ends at once"),
    means="the service unit starts a program or script that is not there, as after an update that moved it",
    helps="install it again, or reinstall the service; no start before that",
)
def exec_missing(service: Service) -> Finding | None:
    """The program or script of the unit's ExecStart is gone, or systemd could not execute it."""
    failed = service.state in ("failed", "restarting") and service.manager == "systemd"
    refused = failed and service.exit_status == NO_PROGRAM
    if not (service.gone or refused):
        return None
    program = service.gone or (service.argv[0] if service.argv else "its ExecStart")
    missing = "is not there" if service.gone else f"could not be executed (exit {NO_PROGRAM})"
    scope = "" if service.scope == "system" else "--user "
    unit = f"systemctl {scope}cat {service.unit}"
    cure = "openclaw gateway install --force" if service.managed else f"correct ExecStart ({unit} shows it)"
    return Finding(
        "service/exec-missing",
        "error",
        fact=f"the service unit starts {program}, which {missing}",
        saw=service.summary,
        fix=f"none automatic: install OpenClaw there again, or {cure}; a start before that ends at once",
    )


@finds(
    "service/unit-broken",
    state="kept-out",
    checks=("gateway/live",),
    cure=none("the service manager cannot begin the program, so every start of it ends at once"),
    means="the unit itself keeps systemd from starting the gateway: a mask, a folder, a file, an account, a condition",
    helps="mend what it names in the unit; no start before that",
)
def unit_broken(service: Service) -> Finding | None:
    """Every start of the unit ends before its program begins, or begins nothing at all."""
    if not service.fault:
        return None
    manager = _manager(service)
    cure = f"mend that ({manager} cat {service.unit} shows the unit), then {manager} daemon-reload"
    if "masked" in service.fault:
        cure = f"{manager} unmask {service.unit}, if it is to run again"
    elif "condition" in service.fault:
        cure = f"{manager} status {service.unit} names it: see that it is met"
    return Finding(
        "service/unit-broken",
        "error",
        fact=f"{service.unit} cannot start the gateway: {service.fault}",
        saw=service.summary,
        fix=f"none automatic: {cure}; a start before that starts nothing",
    )


@finds(
    "config/mode-missing",
    state="kept-out",
    checks=("gateway/live",),
    cure=none(
        "OpenClaw blocks every start while gateway.mode is not set", proof="the config itself has no gateway.mode"
    ),
    means="the config has no gateway.mode, without which OpenClaw blocks every start (exit 78)",
    helps="set it; no start before that",
)
def mode_missing(service: Service, config: GatewayConfig) -> Finding | None:
    """A config without `gateway.mode`: "Gateway start blocked" on 2026.2.26, 2026.5.28 and 2026.9.6.

    A unit that passes --allow-unconfigured starts all the same; of a launchd job the exit code says it.
    """
    if config.mode or not config.exists or config.error or _ALLOWED in service.argv:
        return None
    if service.manager == "launchd" and service.exit_status not in (1, 78):
        return None
    return Finding(
        "config/mode-missing",
        "error",
        fact=f"the config has no gateway.mode: OpenClaw blocks every start without {_ALLOWED}",
        saw=f"no gateway.mode in {config.path}" + (f"; {service.summary}" if service.manager != "none" else ""),
        fix="none automatic: openclaw config set gateway.mode local, if this config is meant (a lost one may have "
        f"been replaced: look for {config.path.name}.bak beside it), or {_ALLOWED} where it was started with that; "
        "any other start ends with exit code 78",
    )


@finds(
    "service/not-enabled",
    checks=("gateway/supervised",),
    cure=none("whether it should start at boot is its owner's decision"),
    means="the unit that runs the gateway is not enabled: it does not start after a boot (a warning)",
    helps="enable it",
)
def not_enabled(owner: Service | None) -> Finding | None:
    """The unit that runs the gateway is disabled; one that something else pulls in (static, generated) is not."""
    if owner is None or owner.file_state != "disabled":
        return None
    return Finding(
        "service/not-enabled",
        "warning",
        fact=f"{owner.unit} runs the gateway and is not enabled: after a boot it does not come up by itself",
        saw=f"{owner.summary}, UnitFileState=disabled",
        fix=f"none automatic: {_manager(owner)} enable {owner.unit}",
    )


@finds(
    "service/no-linger",
    checks=("gateway/supervised",),
    cure=none("it is the machine's setting, not the gateway's"),
    means="the gateway is a user's service and that user has no lingering: it ends with the last login (a warning)",
    helps="`loginctl enable-linger`",
)
def no_linger(owner: Service | None, lingers: bool | None, user: str) -> Finding | None:
    """A user's unit ends with that user's last login unless the user lingers."""
    if owner is None or owner.scope != "user" or lingers is not False:
        return None
    return Finding(
        "service/no-linger",
        "warning",
        fact=f"the gateway is a service of user {user}, and ends with that user's last login",
        saw=f"{owner.summary}; loginctl show-user: Linger=no",
        fix=f"none automatic: sudo loginctl enable-linger {user}",
    )


@finds(
    "service/two-owners",
    checks=("gateway/supervised",),
    cure=none(
        "which of the two is to stay is not for a program to decide",
        proof="two units are seen to run it, or to want to",
    ),
    means="a second unit wants to run this gateway: an error while it tries again and again, else a warning",
    helps="disable one of them",
)
def two_owners(units: Sequence[Service], owner: Service | None, process: GatewayProcess) -> Finding | None:
    """A unit beside the one, or beside the process by hand, that runs the gateway: one that tries, or will at boot."""
    others = [each for each in units if owner is None or (each.unit, each.scope) != (owner.unit, owner.scope)]
    fighting = [each for each in others if each.state in ("restarting", "running")]
    at_boot = [each for each in others if owner is not None and each.file_state in ("enabled", "enabled-runtime")]
    other = next(iter(fighting or at_boot), None)
    if other is None:
        return None
    runs = f"{owner.scope} unit {owner.unit} runs" if owner else f"pid {process.pid}, started by no such unit, is"
    does = "tries to run it as well" if fighting else "is enabled to start it as well"
    return Finding(
        "service/two-owners",
        "error" if other.state == "restarting" else "warning",
        fact=f"{runs} the gateway, and {other.scope} unit {other.unit} {does}",
        saw=f"{process.summary}; {other.summary}; UnitFileState={other.file_state or 'not known'}",
        fix=f"none automatic: keep one; {_manager(other)} disable --now {other.unit} ends the other's tries",
    )


def _manager(service: Service) -> str:
    return "sudo systemctl" if service.scope == "system" else "systemctl --user"
