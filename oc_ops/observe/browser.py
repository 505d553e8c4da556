"""The profile's browser from outside: who holds its debugging port and its profile, and is there a program to start."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
from msgspec import Struct

from oc_ops.observe import sockets
from oc_ops.observe.gatewaylocks import same_place
from oc_ops.observe.openclaw import BROWSER_PROFILE
from oc_ops.observe.sockets import Listener
from oc_ops.observe.target import Target
from oc_ops.process.jsontext import at, number_at, text_at
from oc_ops.text import regex

_LOCK = regex(r"(?P<host>.+)-(?P<pid>[0-9]{1,10})")
"""The target of Chromium's SingletonLock, on Linux and macOS alike."""

_USER_DATA = "--user-data-dir="


class Holder(Struct, frozen=True):
    """A live process that has the port or the profile. `ours` means a browser of this very profile.

    `age_s` is how long it has lived, `pid` None when the OS shows that there is one but not which.
    """

    pid: int | None
    title: str = ""
    status: str = ""
    age_s: float = 0.0
    ours: bool = False

    @property
    def summary(self) -> str:
        """The process in words."""
        if self.pid is None:
            return "a process of another user"
        return f"pid {self.pid} ({self.status}): {self.title[:120]}"


class ProfileLock(Struct, frozen=True):
    """The SingletonLock of the profile: which host and pid it names, and who has that pid here, if anybody."""

    path: Path
    host: str
    pid: int
    holder: Holder | None = None


class Chrome(Struct, frozen=True):
    """The profile's browser as this machine shows it.

    `managed` is False for a browser that OpenClaw only attaches to: its port and profile are somebody else's business.
    `process` is the one the gateway calls its own. `program` is what it would start, `program_fault` why it cannot.
    """

    here: str
    user_data: Path
    managed: bool = True
    port: int | None = None
    port_holder: Holder | None = None
    lock: ProfileLock | None = None
    process: Holder | None = None
    program: str = ""
    program_fault: str = ""


def look(target: Target, status: object) -> Chrome:
    """Look at port, lock and program as the payload of `browser status` names them; costs no call.

    The profile's folder is `<state>/browser/openclaw/user-data` in 2026.2.26, 2026.5.28 and 2026.9.6; the payload names
    it only while the browser runs.
    """
    user_data = Path(text_at(status, "userDataDir") or target.state_dir / "browser" / BROWSER_PROFILE / "user-data")
    port, pid = number_at(status, "cdpPort"), number_at(status, "pid")
    managed = _managed(status)
    listener = sockets.listener(int(port)) if managed and port else None
    program, fault = _program(status)
    return Chrome(
        here=socket.gethostname(),
        user_data=user_data,
        managed=managed,
        port=int(port) if port else None,
        port_holder=_listening(listener, user_data) if listener else None,
        lock=profile_lock(user_data) if managed else None,
        process=_holder(int(pid), user_data) if pid else None,
        program=program,
        program_fault=fault,
    )


def profile_lock(user_data: Path) -> ProfileLock | None:
    """The profile's lock, or None when there is none, or one that names nobody (Chromium replaces that itself)."""
    path = user_data / "SingletonLock"
    try:
        named = _LOCK.fullmatch(os.readlink(path))  # noqa: PTH115 -- a text of host and pid, not a path
    except OSError:
        return None
    if named is None:
        return None
    host, pid = named["host"], int(named["pid"])
    return ProfileLock(path, host, pid, _holder(pid, user_data) if host == socket.gethostname() else None)


def _managed(status: object) -> bool:
    """True for a browser that OpenClaw starts itself on this machine; 2026.2.26 names no driver for it."""
    host = re.sub(r"^\w+://|[:/].*$", "", text_at(status, "cdpUrl")) or "127.0.0.1"
    own = text_at(status, "driver") in ("", "openclaw") and text_at(status, "transport") in ("", "cdp")
    return own and at(status, "attachOnly") is not True and host in ("127.0.0.1", "localhost")


def _program(status: object) -> tuple[str, str]:
    """(the executable OpenClaw would start, why it cannot be started), by its own word and the file system."""
    found = text_at(status, "detectedExecutablePath")
    wanted = text_at(status, "executablePath")
    if error := text_at(status, "detectError"):
        return wanted, error.removeprefix("Error: ")
    if found and not os.access(found, os.X_OK):
        return found, f"{found} {'cannot be executed' if Path(found).exists() else 'does not exist'}"
    # A release that does not tell what it detected has not said that there is none.
    told = isinstance(status, Mapping) and "detectedExecutablePath" in status
    return found or wanted, "OpenClaw detects no Chrome, Chromium, Brave or Edge" if told and not found else ""


def _listening(listener: Listener, user_data: Path) -> Holder:
    if listener.pid is None:
        return Holder(None)
    return _holder(listener.pid, user_data) or Holder(listener.pid, listener.title, "gone by now")


def _holder(pid: int, user_data: Path) -> Holder | None:
    """The live process of that pid; None when there is none, or only a zombie."""
    try:
        process = psutil.Process(pid)
        command = process.cmdline()  # psutil has an error of its own for a zombie's
        return Holder(
            pid,
            title=" ".join(command).strip() or process.name(),
            status=process.status(),
            age_s=max(time.time() - process.create_time(), 0.0),
            ours=any(
                same_place(Path(word.removeprefix(_USER_DATA)), user_data)
                for word in command
                if word.startswith(_USER_DATA)
            ),
        )
    except psutil.Error:
        return None
