"""Leftovers of OpenClaw: directories by class, and processes that outlived their gateway."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
from msgspec import Struct

from oc_ops.errors import SettingError
from oc_ops.observe.processes import OWN_CALL, GatewayProcess
from oc_ops.observe.target import Target, locate

OLD_S = 3600.0
"""A directory younger than this may be at work."""

_MOST_FOLDERS = 2000
_MOST_ENTRIES = 20_000
"""In all so many entries are sized: about 200 ms; a size is a lower bound from there on."""


class Leftovers(Struct, frozen=True):
    """The directories of one class in one place. `whole` is False where the walk ended at its bound."""

    pattern: str
    place: Path
    count: int
    size_bytes: int
    oldest_s: float
    whole: bool = True


def leftovers(target: Target) -> tuple[Leftovers, ...]:
    """Plugin builds in the state directory, and our user's openclaw-* directories in TMPDIR, that nothing has open."""
    temp = Path(target.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - where Node puts temporary files
    places = ((target.state_dir / "tmp", "openclaw-plugin-build-"), (temp, "openclaw-"))
    now, budget = time.time(), _MOST_ENTRIES
    found = [(place, prefix, list(_old(place, prefix, now))) for place, prefix in places]
    if not any(folders for _place, _prefix, folders in found):
        return ()
    busy = _in_use([place for place, _prefix, folders in found if folders])
    made = []
    for place, prefix, folders in found:
        idle = [(path, age_s) for path, age_s in folders if path not in busy]
        size = 0
        for path, _age_s in idle:
            each, budget = _size(path, budget)
            size += each
        if idle:
            oldest_s = max(age_s for _path, age_s in idle)
            made.append(Leftovers(f"{prefix}*", place, len(idle), size, oldest_s, budget > 0))
    return tuple(made)


def _old(place: Path, prefix: str, now: float) -> Iterator[tuple[Path, float]]:
    """Directories of that name, our own user's, that nothing was put into for an hour; no link is followed."""
    try:
        with os.scandir(place) as entries:
            for _, entry in zip(range(_MOST_FOLDERS), entries, strict=False):
                try:
                    # openclaw-UID holds the gateway locks of older releases.
                    named = entry.name.startswith(prefix) and entry.name != f"openclaw-{os.getuid()}"
                    if not named or not entry.is_dir(follow_symlinks=False):
                        continue
                    facts = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if facts.st_uid == os.getuid() and now - facts.st_mtime > OLD_S:
                    yield Path(entry.path), now - facts.st_mtime
    except OSError:
        return


def _in_use(places: list[Path]) -> set[Path]:
    """The directories directly in these places in which a process of ours works or has a file open."""
    used: set[Path] = set()
    for process in psutil.process_iter():
        try:
            if process.uids().real != os.getuid():
                continue
            paths = [Path(process.cwd()), *(Path(each.path) for each in process.open_files())]
        except (psutil.Error, OSError):
            continue
        for path in paths:
            used |= {place / path.relative_to(place).parts[0] for place in places if place in path.parents}
    return used


def _size(folder: Path, budget: int) -> tuple[int, int]:
    """Bytes on disk below a directory, and what is left of the budget of entries."""
    size, waiting = 0, [str(folder)]
    while waiting and budget > 0:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    budget -= 1
                    if budget <= 0:
                        break
                    facts = entry.stat(follow_symlinks=False)
                    size += facts.st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
        except OSError:
            continue
    return size, max(budget, 0)


_FOSTER = (
    "systemd", "init", "launchd", "tini", "dumb-init", "docker-init", "catatonit", "s6-svscan", "runsvdir"
)  # fmt: skip
"""Programs that take over a process whose parent died, beside pid 1: a user's own systemd, a container's small init."""

_MARKS = ("OPENCLAW_CLI", "OPENCLAW_PATH_BOOTSTRAPPED", "OPENCLAW_SERVICE_MARKER", "OPENCLAW_STATE_DIR")
"""Variables that a gateway hands to the programs it starts (2026.9.6, 2026.5.28); MCP servers may get none."""

_MCP = ("mcp", "modelcontextprotocol")

_USER_DATA = "--user-data-dir="


class Orphan(Struct, frozen=True):
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
    """Processes left of dead gateways of this state directory, largest first. Costs about 10 ms.

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
    """The process' part in its gateway; empty when it is in use, or none of this state directory's."""
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
