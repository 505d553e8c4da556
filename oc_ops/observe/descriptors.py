"""The open files of a gateway's process against its limit, and its user's inotify instances (Linux)."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from oc_ops import files

_MOST_LINKS = 20_000
"""At most this many descriptors of the user's processes are looked at: about 40 ms."""


@dataclass(frozen=True, slots=True)
class Descriptors:
    """How many file descriptors a process has open, and how many it may have (its soft limit)."""

    pid: int
    used: int
    limit: int

    @property
    def summary(self) -> str:
        """One line of evidence."""
        return f"pid {self.pid} has {self.used} of at most {self.limit} descriptors open"


@dataclass(frozen=True, slots=True)
class Watches:
    """How many inotify instances the processes of a user hold, and how many the kernel allows that user."""

    uid: int
    used: int
    limit: int


def descriptors(pid: int) -> Descriptors | None:
    """What a process has open; None where it is not ours to look at, or where the system tells no limit (macOS)."""
    if sys.platform != "linux":
        return None
    try:
        process = psutil.Process(pid)
        limit = process.rlimit(psutil.RLIMIT_NOFILE)[0]
        return Descriptors(pid, process.num_fds(), limit) if limit > 0 else None
    except (psutil.Error, OSError):
        return None


def watches(pid: int, proc: Path = Path("/proc")) -> Watches | None:
    """The inotify instances of a process' user; None where the process has none, or where they cannot be counted."""
    try:
        uid = (proc / str(pid)).stat().st_uid
        limit = int(files.read_text(proc / "sys/fs/inotify/max_user_instances", files.SMALL_BYTES))
        if not any(_is_inotify(each) for each in _links(proc / str(pid))):
            return None
    except (OSError, ValueError):
        return None
    links = itertools.islice(_links_of_user(uid, proc), _MOST_LINKS)
    return Watches(uid, sum(_is_inotify(each) for each in links), limit)


def _links_of_user(uid: int, proc: Path) -> Iterator[str]:
    with os.scandir(proc) as entries:
        for entry in entries:
            try:
                if entry.name.isdigit() and entry.stat().st_uid == uid:
                    yield from _links(Path(entry.path))
            except OSError:
                continue  # it is gone, or it hides what it has open


def _links(process: Path) -> Iterator[str]:
    with os.scandir(process / "fd") as entries:
        yield from (entry.path for entry in entries)


def _is_inotify(link: str) -> bool:
    try:
        return Path(link).readlink().name.endswith("inotify")
    except OSError:
        return False
