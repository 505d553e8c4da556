"""Other programs that repair or restart the gateway now: its updater, triage, doctor, a manager, an installation."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePath

import psutil
from msgspec import Struct

from oc_ops import files
from oc_ops.errors import CouldNotLook, SettingError
from oc_ops.observe import install
from oc_ops.observe.container import Container
from oc_ops.observe.database import STATE_DATABASE, Row, snapshot
from oc_ops.observe.gatewaylocks import is_gone, same_place
from oc_ops.observe.listener import in_container
from oc_ops.observe.processes import OWN_CALL, gateway_processes
from oc_ops.observe.service import own_name, service
from oc_ops.observe.sockets import shares_pids
from oc_ops.observe.target import Target, locate
from oc_ops.text import regex

_COMMANDS = ("update", "triage", "doctor", "migrate")
"""Commands of `openclaw` that stop, replace or start a gateway; 2026.9.6 titles them `openclaw-COMMAND`."""
_READ_ONLY = ("--lint", "status", "--help", "-h", "history", "list")
_SERVICE = ("start", "restart", "stop", "install", "uninstall")
_HANDOFF = "managed-handoff"
"""The script of 2026.9.6 that finishes an update after the process that began it."""
_RUNTIMES = ("podman", "docker")
_MANAGERS = ("systemctl", "launchctl", "service", *_RUNTIMES)
_VERBS = ("start", "restart", "stop", "reload-or-restart", "try-restart", "kickstart", "bootstrap", "bootout", "up")
_ALL = frozenset(("-a", "--all", "-l", "--latest", "--filter", "-f"))
"""Options of a runtime that mean containers without their names."""
_INSTALLERS = ("npm", "pnpm", "yarn", "bun", "brew")
LONGEST_INSTALL_S = 1800.0
"""How long a package manager of the gateway's own start may take before the start counts as failed."""
_PACKAGES = (*_INSTALLERS, "npm-cli")
_OWN_PLACE = regex(r"/node_modules/openclaw(?:/|$)|/plugin-runtime-deps(?:/|$)")
"""Where a gateway installs what its plugins need: in its own package (2026.4.20), in its state (2026.4.24, 4.29)."""
_PACKAGE = regex(r"/\S*?/node_modules/openclaw(?=/|$)")
_NPM_LOG = regex(r"/_logs/[^/]+-debug-0\.log$")
_NPM_CONFIG = regex(r"^\d+ silly config load:file:(/.*?)(/etc/npmrc|/\.npmrc)$", re.M)
_NPM_ARGV = regex(r"^\d+ verbose argv (.+)$", re.M)
_NPM_GLOBAL = ("-g", "--global", "--location=global")
_NPM_LOG_BYTES = 8192
"""The beginning of npm's own log: the files of its configuration, one a place, and its command line (npm 11)."""
_INSTALLS = ("ci", "install", "i", "add", "update", "up", "upgrade", "uninstall", "rm", "remove")

_RUNNING = (
    "SELECT phase, created_at_ms, updated_at_ms, origin_json FROM update_runs WHERE status = 'running' "
    "ORDER BY created_at_ms DESC LIMIT 20"
)
_READ_S = 1.0
_SILENT_S = 1800.0
"""An update whose process cannot be looked at from here and that wrote nothing for so long has been given up, to
OpenClaw as well (2026.9.6)."""


class Healer(Struct, frozen=True):
    """One process that is at it; `what` is its command in words. `pid` is None for one that is not to be seen here."""

    pid: int | None
    what: str
    age_s: float
    phase: str = ""
    """The part of an update that its ledger names."""
    own: bool = False
    """True for an installation of OpenClaw's own parts, which a gateway waits for and answers nobody meanwhile."""

    @property
    def summary(self) -> str:
        """As evidence."""
        who = "OpenClaw's ledger has" if self.pid is None else f"pid {self.pid} runs"
        return f"{who} `{self.what}`{f' ({self.phase})' if self.phase else ''}, for {self.age_s:.0f} s now"


def healers(target: Target, command: Path | None = None) -> tuple[Healer, ...]:
    """Every such process of this machine that is, or may be, about the target, and every update that its ledger has as
    running; about 10 ms. `command` is the `openclaw` that we call.

    Left out is one of another state directory or container, or of an account that may not touch this gateway, a
    manager's command for another unit, and an installation that is seen to work elsewhere than at the gateway's package
    and our command's. Our own calls are, and who started us: a triage that runs a recovery waits for it.
    """
    ours = {os.getpid()}
    with contextlib.suppress(psutil.Error):
        ours |= {each.pid for each in psutil.Process().parents()}
    found, now = [], time.time()
    for process in psutil.process_iter():
        try:
            words = [word for word in " ".join(process.cmdline()).split() if word]
            if process.pid in ours or not (what := _what(words, target)):
                continue
            if process.status() != psutil.STATUS_ZOMBIE and _about(process, words, what, target, command):
                found.append(Healer(process.pid, what, max(0.0, now - process.create_time())))
        except (psutil.Error, OSError):
            continue
    known = {each.pid for each in found} | ours
    found += [each for each in _on_record(target) if each.pid not in known]
    return tuple(sorted(found, key=lambda each: -each.age_s))


def install_of(pid: int) -> Healer | None:
    """The package manager that this gateway itself has started, and for how long it runs.

    2026.4.24 fetches what its plugins need before it listens, 2026.4.20 while it serves: for minutes on a slow line.
    """
    now = time.time()
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error, OSError):
                words = " ".join(child.cmdline()).split()
                program = next((PurePath(word) for word in words[:2] if PurePath(word).stem in _PACKAGES), None)
                verb = next((word for word in words[1:6] if word in _INSTALLS), "")
                if program and verb and child.status() != psutil.STATUS_ZOMBIE:
                    what = f"{program.stem.removesuffix('-cli')} {verb}"
                    return Healer(child.pid, what, max(0.0, now - child.create_time()), own=_is_own(child))
    return None


def _is_own(child: psutil.Process) -> bool:
    """True if it is seen to work where OpenClaw keeps its own parts; a folder that is not shown proves nothing."""
    with contextlib.suppress(psutil.Error, OSError):
        return _OWN_PLACE.search(child.cwd()) is not None
    return False


def _what(words: Sequence[str], target: Target) -> str:
    """The command in words; empty for one that repairs, replaces and restarts nothing of this kind."""
    if not words:
        return ""
    program = PurePath(words[0]).name
    if program.startswith("openclaw-") and (titled := program.removeprefix("openclaw-")) in _COMMANDS:
        return f"openclaw {titled}"
    if script := next((PurePath(word).name for word in words[:2] if PurePath(word).name in _INSTALLERS), ""):
        packages = [word for word in words[1:] if word.partition("@")[0] == "openclaw"]
        return f"{script} {packages[0]}"[:80] if packages and any(word in _INSTALLS for word in words[1:5]) else ""
    for index, word in enumerate(words[:6]):
        name = PurePath(word).name
        if name.startswith(_HANDOFF) and "openclaw" in word:
            return "openclaw update"
        if name in ("openclaw", "openclaw.mjs", "entry.js") and "openclaw" in word:
            return _of_openclaw(words[index + 1 :])
    there = target.container
    named = ("openclaw", *((there.name, there.id[:12]) if there and there.id else ()))
    about = any(each in word for word in words[1:] for each in named)
    if program in _MANAGERS and about and any(word in _VERBS for word in words[1:6]):
        return " ".join([program, *words[1:6]])[:80]
    return ""


def _of_openclaw(words: Sequence[str]) -> str:
    left = list(words)
    while left and left[0].startswith("-"):
        left = left[2:] if left[0] == "--profile" else left[1:]
    if not left or any(word in _READ_ONLY for word in left[1:]):
        return ""
    if left[0] in _COMMANDS:
        return f"openclaw {left[0]}"
    return f"openclaw gateway {left[1]}" if left[0] == "gateway" and left[1:2] and left[1] in _SERVICE else ""


def _about(process: psutil.Process, words: Sequence[str], what: str, target: Target, command: Path | None) -> bool:
    """True if it may be about the target: one that is seen to be about something else is not.

    About a container is what runs in it, and what commands it: `podman exec NAME openclaw update`.
    """
    program, kind = PurePath(words[0]).name, what.partition(" ")[0]
    if there := target.container:
        managed = program in _MANAGERS and _commands_container(program, words, there)
        return managed or in_container(process.pid, there)
    if process.uids().real not in (0, os.getuid(), files.owner(target.state_dir)) or not shares_pids(process.pid):
        return False
    if kind in _INSTALLERS:
        return _replaces(process, kind, target, command)
    if program in _MANAGERS:
        return program not in _RUNTIMES and _commands_unit(words, target)
    try:
        environ = process.environ()
    except (psutil.AccessDenied, OSError):
        return True
    if OWN_CALL in environ:
        return False
    if not any("openclaw" in PurePath(word).name for word in words[:3]):
        return True
    profile = next((words[at + 1] for at, word in enumerate(words[:-1]) if word == "--profile"), None)
    try:
        return same_place(locate(environ, profile).state_dir, target.state_dir)
    except SettingError:
        return True


def _commands_container(program: str, words: Sequence[str], there: Container) -> bool:
    """True if a manager's command may be about the container: one of its runtime that names others alone is not."""
    named = {there.name, there.id, there.id[:12]} - {""}
    if program not in _RUNTIMES or not named.isdisjoint(words):
        return True
    return "exec" not in words and (words[1] not in _VERBS or any(word.partition("=")[0] in _ALL for word in words))


def _commands_unit(words: Sequence[str], target: Target) -> bool:
    """True if a service manager's command names the unit of the target."""
    names = {own_name(target), service(target).unit}
    shown = {each for name in names for each in (name, name.removesuffix(".service")) if each}
    return any(fnmatchcase(name, PurePath(word).name) for word in words[1:] for name in shown)


# -- installations ----------------------------------------------------------------------------------------------------


def _replaces(process: psutil.Process, manager: str, target: Target, command: Path | None) -> bool:
    """True if an installation works where this gateway's package is, or our command's, or in its state.

    One that hides its place, as root's does from others, counts where its account may write there: it changes nothing
    for a while, and a gateway that is started just then would come up on half a package.
    """
    packages = set(_packages(target, command))
    # pnpm, yarn, bun and Homebrew keep what they install for everywhere in folders of their own name.
    if manager != "npm" and any(manager in str(each).lower() for each in packages):
        return True
    if (works := _works_in(process, manager)) is not None:
        state_dir = os.path.realpath(target.state_dir)
        return works in [each.parent for each in packages] or works.is_relative_to(state_dir)
    return not packages or any(process.uids().real in (0, files.owner(each.parent)) for each in packages)


def _packages(target: Target, command: Path | None) -> Iterator[Path]:
    """Folders of the packages of the running gateway, of its unit and of our command; one may just be moved away."""
    words = [*service(target).argv, *([str(command)] if command else [])]
    for each in gateway_processes(target):
        with contextlib.suppress(psutil.Error, OSError):
            words += [word for child in psutil.Process(each.pid).children() for word in child.cmdline()]
    for word in words:
        path = os.path.realpath(word) if word.startswith("/") else ""
        if found := _PACKAGE.match(path):
            yield Path(found[0])
        elif path and (known := install.package(Path(path))):
            yield known.path.parent


def _works_in(process: psutil.Process, manager: str) -> Path | None:
    """The `node_modules` that an installation works in; None where that is not to be seen.

    npm's title hides every option: its own log, which it has open, tells where it works.
    """
    with contextlib.suppress(psutil.Error, OSError):
        if manager != "npm":
            return Path(os.path.realpath(process.cwd()), "node_modules")
        for each in process.open_files():
            if _NPM_LOG.search(each.path):
                with files.open_regular(Path(each.path)) as log:
                    return _of_npm(log.read(_NPM_LOG_BYTES).decode("utf-8", "replace"))
    return None


def _of_npm(log: str) -> Path | None:
    """The place by the beginning of such a log: of the files of npm's configuration one is the project's, and the one
    in `etc` that of the global prefix.
    """
    said, configs = _NPM_ARGV.search(log), _NPM_CONFIG.findall(log)
    if said is None:
        return None
    everywhere = any(f'"{word}"' in said[1] for word in _NPM_GLOBAL)
    name, below = ("/etc/npmrc", "lib/node_modules") if everywhere else ("/.npmrc", "node_modules")
    return next((Path(os.path.realpath(folder), below) for folder, found in configs if found == name), None)


# -- updates on record ------------------------------------------------------------------------------------------------


def _on_record(target: Target) -> tuple[Healer, ...]:
    """The updates that OpenClaw's own ledger has as running (its state database, since 2026.9.2); milliseconds.

    Empty where it cannot be read, or is none. One whose every process is known to be gone is over. `phase` is its own
    word: requested, staging, validating, repairing, activating, restarting or verifying.
    """
    try:
        with snapshot(target.state_dir / STATE_DATABASE, _READ_S) as tables:
            rows = tables.rows(_RUNNING) if tables.has("update_runs") else ()
    except (CouldNotLook, OSError):
        return ()
    return tuple(_updates(rows, time.time()))


def _updates(rows: Sequence[Row], now: float) -> Iterator[Healer]:
    for phase, created_ms, updated_ms, origin in rows:
        if not isinstance(created_ms, int) or not isinstance(updated_ms, int):
            continue
        drivers = list(_drivers(str(origin)))
        here = [(pid, began) for host, pid, began in drivers if host == socket.gethostname()]
        alive = next((pid for pid, began in here if not is_gone(pid, began)), None)
        unseen = len(here) < len(drivers) or not drivers
        if alive or (unseen and now - updated_ms / 1000 < _SILENT_S):
            yield Healer(alive, "openclaw update", max(0.0, now - created_ms / 1000), str(phase))


def _drivers(origin: str) -> Iterator[tuple[str, int, int | None]]:
    """Host, pid and the kernel's start time of each process that has led this update, the present one first."""
    told: object = None
    with contextlib.suppress(ValueError):
        told = files.json_of(origin)
    if not isinstance(told, Mapping):
        return
    earlier = told.get("previousDrivers")
    for each in (told.get("driver"), *(earlier if isinstance(earlier, list) else ())):
        pid = each.get("pid") if isinstance(each, Mapping) else None
        if isinstance(each, Mapping) and isinstance(pid, int):
            began = str(each.get("startIdentity"))
            yield str(each.get("host")), pid, int(began) if began.isdecimal() else None
