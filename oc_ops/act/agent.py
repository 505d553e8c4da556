"""Are we inside an agent: what a gateway starts carries its variables, its unit, or it among the ancestors."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath

import psutil

from oc_ops import files
from oc_ops.errors import OcOpsError
from oc_ops.observe import processes
from oc_ops.text import regex

MARKS = (
    "OPENCLAW_SHELL", "OPENCLAW_CLI", "OPENCLAW_SUBAGENT_EXEC", "OPENCLAW_PATH_BOOTSTRAPPED", "OPENCLAW_MCP_TOKEN",
    "OPENCLAW_MCP_SESSION_KEY", "OPENCLAW_SERVICE_MARKER",
)  # fmt: skip
"""Variables that the gateway, its exec tool and its command jobs give to what they start (seen on 2026.9.6). No
operator sets them; those that a person exports as well, such as OPENCLAW_GATEWAY_PORT, say nothing."""

_OF_OPENCLAW = regex(r"/node_modules/openclaw/|/openclaw/dist/|/openclaw\.mjs$")
_RUNTIMES = ("node", "nodejs", "bun", "deno")
_STARTERS = (
    "sh", "bash", "dash", "zsh", "ksh", "fish", "ash", "busybox", "env", "timeout", "nice", "ionice", "nohup", "setsid",
    "stdbuf", "xargs", "sudo", "su", "doas", "runuser", "oc-ops",
)  # fmt: skip
_UNATTENDED = (
    "cron", "crond", "anacron", "atd", "atrun", "fcron", "systemd", "init", "launchd", "tini", "dumb-init",
    "docker-init", "catatonit", "s6-svscan",
)  # fmt: skip
_UNIT = regex(r"/(?:openclaw|clawdbot)[\w@.-]*\.service(?:/|$)", re.M)
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

    Looks at our variables, those our ancestors were started with, their command lines, the unit we run in, and, where
    there is no terminal, at whether whoever started us is gone. A process that cleared its variables, left the process
    tree of a gateway without a unit and took a terminal of its own is not recognised.
    """
    if mark := _mark(environ):
        return f"${mark} is set"
    ours = psutil.Process()
    parents = ours.parents()[:_MOST_ANCESTORS]
    for parent in parents:
        try:
            command = parent.cmdline()
            if is_openclaw(command):
                gateway = processes.is_gateway_title(" ".join(command))
                return f"its ancestor pid {parent.pid} is {'a gateway' if gateway else 'a process of OpenClaw'}"
            if mark := _mark(parent.environ()):
                return f"its ancestor pid {parent.pid} was started with ${mark}"
        except (psutil.Error, OSError):
            continue  # another user's, as a login's are: what may not be seen is no mark
    if unit := _unit():
        return f"it runs in {unit}"
    return "" if _terminal(ours) else left_behind([(each.pid, _name(each)) for each in parents])


def left_behind(above: Sequence[tuple[int, str]]) -> str:
    """Of what has no terminal: why nobody is there who could ask, by the pids and names above it, the nearest first.

    An agent that forks twice leaves a shell whose parent is pid 1; a person's has sshd, an editor, or the entry of a
    container above it.
    """
    for pid, name in above:
        if name not in _STARTERS or pid == 1:
            alone = pid == 1 or name in _UNATTENDED
            return f"it has no terminal, and {name} (pid {pid}) is who is left of those who started it" if alone else ""
    return ""


def is_openclaw(command: Sequence[str]) -> bool:
    """True if a command line is OpenClaw's: a title of it, or a JavaScript runtime with a script of its package."""
    words = [each for each in " ".join(command).split(" ") if each]
    if not words:
        return False
    name = PurePath(words[0]).name
    if processes.is_gateway_title(" ".join(words)) or re.fullmatch(r"openclaw(?:-[a-z]+)*", name):
        return True
    return name in _RUNTIMES and any(_OF_OPENCLAW.search(each) for each in words[1:8])


def _terminal(process: psutil.Process) -> str | None:
    with suppress(psutil.Error, OSError):
        return process.terminal()
    return None


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error, OSError):
        return process.name()
    return "a process"


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
