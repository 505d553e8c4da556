"""A process that somebody stopped (SIGSTOP, Ctrl-Z): letting it go on comes before anything that ends it."""

from __future__ import annotations

import shlex

import psutil
from msgspec import Struct

from oc_ops.act.breaker.scan import Pid
from oc_ops.act.commands import Commands
from oc_ops.errors import CouldNotLook
from oc_ops.gateway import Gateway
from oc_ops.observe.container import Container
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.processes import stopped_inside


class StoppedInside(Struct, frozen=True):
    """The gateway's process in a container, by its pid there."""

    pid: int
    there: Container


Stopped = Pid | StoppedInside


def stopped(look: GatewayProbe | None) -> Stopped | None:
    """The gateway's process where it is certain, holds the port and is stopped; None for any other."""
    if look is not None and look.container is not None:
        inside = look.stopped_inside
        return StoppedInside(inside, look.container) if inside is not None else None
    process = look.holder if look else None
    return Pid.of(process.pid) if process and process.status == "stopped" else None


def command(found: Stopped) -> str:
    """Words that a person types for it."""
    if isinstance(found, StoppedInside):
        return shlex.join(found.there.wake(found.pid))
    return f"kill -CONT {found.pid}"


def by_force(found: Stopped, by_hand: str) -> str:
    """The next step of a person where it still does not answer; `by_hand` starts a gateway that nothing supervises."""
    if isinstance(found, StoppedInside):
        return " ".join(found.there.words("restart"))
    return f"none automatic: kill {found.pid}, then kill -KILL {found.pid} if that does not end it, then {by_hand}"


def let_go_on(found: Stopped, gateway: Gateway) -> str:
    """Send SIGCONT to the very process, if it is stopped still; returns why it was not sent, else nothing."""
    return _inside(found, gateway) if isinstance(found, StoppedInside) else resume(found)


def _inside(found: StoppedInside, gateway: Gateway) -> str:
    if stopped_inside(found.there) != found.pid:  # the look is of that very container: `there` is asked by its id
        return f"pid {found.pid} in container {found.there.name} is not stopped any more"
    try:
        call = gateway.cli(Commands).by_runtime(found.there.wake(found.pid))
    except CouldNotLook as error:
        return str(error)
    return "" if call.outcome == "answered" else call.said or call.summary


def resume(found: Pid) -> str:
    """Send SIGCONT to a process of this machine, as `let_go_on`."""
    process = found.living()
    if process is None:
        return f"pid {found.pid} is gone"
    try:
        if process.status() == psutil.STATUS_STOPPED:
            process.resume()
    except psutil.AccessDenied:
        return f"pid {found.pid} belongs to another user: it cannot be signalled from here"
    except psutil.NoSuchProcess:
        return f"pid {found.pid} is gone"
    return ""
