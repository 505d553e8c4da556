"""Processes that outlived the gateway they belonged to: its Chromium and its MCP servers."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from oc_ops.errors import SettingError
from oc_ops.observe.processes import OWN_CALL, GatewayProcess
from oc_ops.observe.target import Target, locate

_FOSTER = (
    "systemd", "init", "launchd", "tini", "dumb-init", "docker-init", "catatonit", "s6-svscan", "runsvdir"
)  # fmt: skip
"""Programs that take over a process whose parent died, beside pid 1: a user's own systemd, a container's small init."""

_MARKS = ("OPENCLAW_CLI", "OPENCLAW_PATH_BOOTSTRAPPED", "OPENCLAW_SERVICE_MARKER", "OPENCLAW_STATE_DIR")
"""What a gateway hands down to the programs it starts (2026.9.6, 2026.5.28); MCP servers may get a bare environment."""

_MCP = ("mcp", "modelcontextprotocol")

_USER_DATA = "--user-data-dir="


@dataclass(frozen=True, slots=True)
class Orphan:
    """One process without an owner; `processes` and `rss_bytes` count all that descend from it."""

    pid: int
    kind: str
    title: str
    age_s: float
    processes: int
    rss_bytes: int


def orphans(
    target: Target, gateways: Sequence[GatewayProcess], mcp_commands: Sequence[Sequence[str]] = ()
) -> tuple[Orphan, ...]:
    """What is left of dead gateways of this state directory, largest first. Costs about 10 ms.

    Only what was handed over to init and is older than every living gateway counts. A Chromium that listens on its
    debugging port beside a living gateway is in use: 2026.9.6 and 2026.5.28 take it over. `mcp_commands` are the
    configured servers' command lines; without them a server counts by its name, if it carries a gateway's mark or runs
    inside the state directory. What else an agent has put into the background (a dev server, tmux) is its own affair.
    """
    eldest = max((each.age_s for each in gateways), default=None)
    now, found = time.time(), []
    for process in psutil.process_iter():
        try:
            words = [each for each in process.cmdline() if each]
            # The command line is the cheapest to read, and it clears nearly all of them.
            if not _may_be_ours(words, target, mcp_commands) or not _fostered(process):
                continue
            age_s = now - process.create_time()
            if eldest is not None and age_s <= eldest:
                continue
            if kind := _kind(process, words, target, mcp_commands, lives=bool(gateways)):
                found.append(_described(process, kind, words, age_s))
        except (psutil.Error, OSError):
            continue
    return tuple(sorted(found, key=lambda each: -each.rss_bytes))


def _may_be_ours(words: Sequence[str], target: Target, mcp_commands: Sequence[Sequence[str]]) -> bool:
    """By its command line alone: a browser with its profile in the state directory, or an MCP server."""
    if not words or _is_openclaw(words) or any(each.startswith("--type=") for each in words):
        return False  # of a browser, the one process that has started the others
    if (data := _user_data(words)) is not None:
        return _inside(data, target.state_dir)
    return _named_mcp(words) or any(_matches(words, each) for each in mcp_commands)


def _user_data(words: Sequence[str]) -> str | None:
    return next((word.removeprefix(_USER_DATA) for word in words if word.startswith(_USER_DATA)), None)


def _fostered(process: psutil.Process) -> bool:
    """True for a process whose parent is init, or a subreaper in its place."""
    parent = process.ppid()
    return parent == 1 or (parent > 1 and psutil.Process(parent).name() in _FOSTER)


def _kind(
    process: psutil.Process, words: Sequence[str], target: Target, mcp_commands: Sequence[Sequence[str]], *, lives: bool
) -> str:
    """What the process was to its gateway; empty when it is in use, or none of this state directory's."""
    if _user_data(words) is not None:
        return "" if lives and _listens(process) else "browser"
    environ = process.environ()
    if OWN_CALL in environ:
        return ""
    configured = any(_matches(words, each) for each in mcp_commands) and _home(environ) == os.path.realpath(target.home)
    marked = any(mark in environ for mark in _MARKS) and _same_state(environ, target)
    return "MCP server" if configured or marked or _inside(process.cwd(), target.state_dir) else ""


def _is_openclaw(words: Sequence[str]) -> bool:
    """A gateway or a CLI call, by its title or its script: those are looked at elsewhere."""
    return words[0].startswith("openclaw") or any(_name(word) in ("openclaw", "openclaw.mjs") for word in words[:4])


def _matches(words: Sequence[str], configured: Sequence[str]) -> bool:
    """True if a command line is that of a configured server, also behind npx, which rewrites its own (`npm exec …`)."""
    told = [each for each in configured[1:] if not each.startswith("-")]
    if told:
        return set(told) <= set(words[1:]) or set(told) <= set(" ".join(words[1:]).split())
    return bool(configured) and _name(words[0]) == _name(configured[0])


def _same_state(environ: dict[str, str], target: Target) -> bool:
    try:
        return os.path.realpath(locate(environ).state_dir) == os.path.realpath(target.state_dir)
    except SettingError:
        return False


def _home(environ: dict[str, str]) -> str:
    return os.path.realpath(environ.get("HOME", "/"))


def _named_mcp(words: Sequence[str]) -> bool:
    """By its program or script: `node …/mcp-server-x`, `uvx some-mcp`, `npm exec @modelcontextprotocol/server-x`."""
    return any(name in _name(word).lower() or name in word.partition("/")[0] for word in words[:4] for name in _MCP)


def _name(word: str) -> str:
    return word.rpartition("/")[2]


def _inside(path: str, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _listens(process: psutil.Process) -> bool:
    return any(each.status == psutil.CONN_LISTEN for each in process.net_connections(kind="tcp"))


def _described(process: psutil.Process, kind: str, words: Sequence[str], age_s: float) -> Orphan:
    family = [process, *process.children(recursive=True)]
    rss_bytes = 0
    for each in family:
        try:
            rss_bytes += each.memory_info().rss
        except psutil.Error:
            continue
    return Orphan(process.pid, kind, " ".join(words)[:200], age_s, len(family), rss_bytes)
