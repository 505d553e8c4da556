"""The container that publishes a port of this machine, where a gateway was looked for by its port alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence

import psutil

from oc_ops.errors import CouldNotLook
from oc_ops.observe.container import Container, every, installed, runs_openclaw

_QUICKLY_S = 3.0
_OFF = "is the docker daemon running"
"""Docker's client beside a daemon that is off, as Docker Desktop often is: nothing runs in it then."""


_RUNTIME = {"docker-proxy": "docker", "conmon": "podman"}
"""Forwarders that belong to one runtime alone."""


def publishing(
    port: int, environ: Mapping[str, str], pid: int | None = None, forwarder: str = ""
) -> tuple[Container | None, str]:
    """The container that publishes a port of this machine, or has it of the machine's own network (`--network host`).

    `pid` is the process that listens there, if one is seen, `forwarder` a runtime's program that does. None where no
    runtime says so within three seconds each; then with the reasons for which there may be one that is not seen from
    here.
    """
    pids = _line(pid) if pid else set()
    closed: list[str] = []
    for runtime in installed(environ):
        if _RUNTIME.get(forwarder, runtime) != runtime:
            continue
        try:
            # Of several that want the port the one that runs has it.
            there = sorted(every(runtime, environ, deadline_s=_QUICKLY_S), key=lambda each: each.state != "running")
            for each in there:
                published = port in [own for _, own in each.ports.values()]
                if published or (each.pid and each.pid in pids) or (not pid and _is_of_host(each, port)):
                    return _within(each, there), ""
            if runtime == "podman" and os.geteuid() and "CONTAINER_HOST" not in environ:
                closed.append("root's containers are not seen from this account (sudo podman ps -a lists them)")
        except CouldNotLook as error:
            if _OFF not in str(error).lower():
                closed.append(str(error))
    return None, "; ".join(closed)


def _within(found: Container, there: Sequence[Container]) -> Container:
    """The gateway's container in the network of the one that was found: a pod's ports are its infra container's."""
    if runs_openclaw(found):
        return found
    own = (each for each in there if each.network == f"container:{found.id}" and runs_openclaw(each))
    return next(own, found)


def _line(pid: int) -> set[int]:
    """A process and those that it descends from, but for the machine's first."""
    with contextlib.suppress(psutil.Error):
        return {pid, *(each.pid for each in psutil.Process(pid).parents())} - {1}
    return {pid}


def _is_of_host(there: Container, port: int) -> bool:
    """True for a gateway's container in the machine's own network whose command names the port, or none and it is the
    default.
    """
    names = str(port) in there.command or (port == 18789 and "--port" not in there.command)
    return there.network == "host" and names and runs_openclaw(there)
