"""Judges of what keeps a service manager from starting the gateway, whatever its state and database are."""

from __future__ import annotations

from oc_ops.judge.finding import Finding
from oc_ops.judge.registry import finds, none
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.service import Service

NO_PROGRAM = 203
"""systemd's own exit status for an ExecStart that could not be executed."""

_ALLOWED = "--allow-unconfigured"


def cannot_start(service: Service, config: GatewayConfig) -> Finding | None:
    """Why every start ends the same way, as far as the unit and the config tell without a command."""
    return exec_missing(service) or mode_missing(service, config)


@finds(
    "service/exec-missing",
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
    "config/mode-missing",
    checks=("gateway/live",),
    cure=none("OpenClaw blocks every start while gateway.mode is not set"),
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
