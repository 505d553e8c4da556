"""The open files of a gateway's process against its limit, and its user's inotify instances (Linux)."""

from __future__ import annotations

import contextlib
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


_INFO_BYTES = 4 << 20
"""A watch is a line of about 90 bytes."""


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
    """How many inotify instances the processes of a user hold, and how many the kernel allows that user.

    `watched` of at most `most` are the files and folders that all of them watch; 0 of 0 where that is not told.
    """

    uid: int
    used: int
    limit: int
    watched: int = 0
    most: int = 0


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
    held = [each for each in links if _is_inotify(each)]
    most = 0
    with contextlib.suppress(OSError, ValueError):
        most = int(files.read_text(proc / "sys/fs/inotify/max_user_watches", files.SMALL_BYTES))
    return Watches(uid, len(held), limit, sum(map(_watched, held)) if most else 0, most)


def _watched(link: str) -> int:
    """The watches of one instance, by its `fdinfo`: a line for each; 0 of one that is gone."""
    path = Path(link)
    try:
        return files.read_tail(path.parent.parent / "fdinfo" / path.name, _INFO_BYTES).count(b"inotify wd:")
    except OSError:
        return 0


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
