"""A process that somebody stopped (SIGSTOP, Ctrl-Z): letting it go on comes before anything that ends it."""

from __future__ import annotations

import psutil

from oc_ops.act.breaker.scan import Pid
from oc_ops.observe.probe import GatewayProbe


def stopped(look: GatewayProbe | None) -> Pid | None:
    """The gateway's process where it is certain, holds the port and is stopped; None for any other."""
    process = look.holder if look else None
    return Pid.of(process.pid) if process and process.status == "stopped" else None


def command(found: Pid) -> str:
    """What a person types for it."""
    return f"kill -CONT {found.pid}"


def let_go_on(found: Pid) -> str:
    """Send SIGCONT to the very process, if it is stopped still; returns why it was not sent, else nothing."""
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
