"""Are we inside an agent: what a gateway starts carries its variables, its unit, or it among the ancestors."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

from oc_ops import files
from oc_ops.errors import OcOpsError
from oc_ops.observe import processes

MARKS = ("OPENCLAW_SHELL", "OPENCLAW_CLI", "OPENCLAW_SUBAGENT_EXEC", "OPENCLAW_MCP_TOKEN", "OPENCLAW_SERVICE_MARKER")
"""Variables that the gateway, its exec tool and its command jobs give to what they start (seen on 2026.9.6). No
operator sets them; those that a person exports as well, such as OPENCLAW_GATEWAY_PORT, say nothing."""

_UNIT = re.compile(r"/(?:openclaw|clawdbot)[\w@.-]*\.service(?:/|$)", re.M)
_MOST_ANCESTORS = 64


class InsideAgent(OcOpsError):
    """Something that only a person may do was asked for from inside an agent; the message says by what that is seen."""


def refuse_agents(what: str, environ: Mapping[str, str]) -> None:
    """Raise InsideAgent, with the words `what`, where `inside` sees one."""
    if why := inside(environ):
        raise InsideAgent(
            f"{what} needs a person, and this runs inside an agent ({why}): do it from a shell of your own"
        )


def inside(environ: Mapping[str, str]) -> str:
    """By what this process is seen to run inside an agent or a gateway; nothing where it is not.

    Looks at our variables, those our ancestors were started with, their command lines, and the unit we run in. A
    process that cleared its variables and left the process tree of a gateway without a unit is not recognised.
    """
    if mark := _mark(environ):
        return f"${mark} is set"
    ours = psutil.Process()
    for parent in ours.parents()[:_MOST_ANCESTORS]:
        try:
            command = parent.cmdline()
            if processes.is_gateway_title(" ".join(command)):
                return f"its ancestor pid {parent.pid} is a gateway"
            if mark := _mark(parent.environ()):
                return f"its ancestor pid {parent.pid} was started with ${mark}"
        except (psutil.Error, OSError):
            continue  # another user's, as a login's are: what may not be seen is no mark
    if unit := _unit():
        return f"it runs in {unit}"
    return ""


def _mark(names: Iterable[str]) -> str:
    held = set(names)
    return next((each for each in MARKS if each in held), "")


def _unit() -> str:
    """The gateway's unit, where we run in one: a child that left the process tree stays in its cgroup (Linux)."""
    try:
        found = _UNIT.search(files.read_text(Path(f"/proc/{os.getpid()}/cgroup"), files.SMALL_BYTES, errors="replace"))
    except OSError:
        return ""
    return found.group().strip("/") if found else ""
