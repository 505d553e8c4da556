"""The kernel's limits of a gateway: its open files, its user's inotify instances, its memory (Linux)."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath

import psutil
from msgspec import Struct

from oc_ops import files
from oc_ops.process.run import run
from oc_ops.text import regex

_MOST_LINKS = 20_000
"""At most this many descriptors of the user's processes are looked at: about 40 ms."""


_INFO_BYTES = 4 << 20
"""A watch is a line of about 90 bytes."""

_KERNEL_S = 2.0
_KILLED = regex(r"\[ *(?P<at>\d+\.\d+)\] oom-kill:.*task_memcg=(?P<group>[^,]+)")
_BACK_OFF_S, _SLACK_S = 90.0, 5.0
"""Docker waits up to a minute before it starts a container again; the kernel's clock and ours differ a little."""


class Descriptors(Struct, frozen=True):
    """How many file descriptors a process has open, and how many it may have (its soft limit)."""

    pid: int
    used: int
    limit: int

    @property
    def summary(self) -> str:
        """One line of evidence."""
        return f"pid {self.pid} has {self.used} of at most {self.limit} descriptors open"


class Watches(Struct, frozen=True):
    """How many inotify instances the processes of a user hold, and how many the kernel allows that user.

    `watched` of at most `most` are the files and folders that all of them watch; 0 of 0 where that is not told.
    """

    uid: int
    used: int
    limit: int
    watched: int = 0
    most: int = 0


def descriptors(pid: int) -> Descriptors | None:
    """The open files of a process; None where it is not ours to look at, or where the system tells no limit (macOS)."""
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
        if not any(_is_inotify(each) for each in _links(f"{proc}/{pid}")):
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
                    yield from _links(entry.path)
            except OSError:
                continue  # it is gone, or it hides what it has open


def _links(process: str) -> Iterator[str]:
    with os.scandir(f"{process}/fd") as entries:
        yield from (entry.path for entry in entries)


def _is_inotify(link: str) -> bool:
    try:
        return os.readlink(link).endswith("inotify")  # noqa: PTH115 -- thousands of them: a Path costs ten times as much
    except OSError:
        return False


def ended_for_memory(group: str, end: datetime | None, environ: Mapping[str, str] = os.environ) -> bool:
    """True if the kernel tells that it ended a process of a control group for want of memory, just before that moment.

    `group` is a part of its path that no other has, as a container's id; the kernel's log is shown to root alone where
    `kernel.dmesg_restrict` says so.
    """
    if not group or end is None or sys.platform != "linux":
        return False
    told = run(["dmesg"], environ=environ, deadline_s=_KERNEL_S, head_bytes=_INFO_BYTES)
    booted = psutil.boot_time()
    for line in told.stdout.text.splitlines() if told.outcome == "answered" else ():
        found = _KILLED.match(line)
        if (
            found
            and group in found["group"]
            and -_BACK_OFF_S < booted + float(found["at"]) - end.timestamp() < _SLACK_S
        ):
            return True
    return False


_ROOT = Path("/sys/fs/cgroup")
_UNLIMITED = 2**60
_V2 = ("memory.max", "memory.current", "inactive_file")
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def memory(pid: int, root: Path = _ROOT, proc: Path = Path("/proc")) -> tuple[int, int] | None:
    """The tightest limit above a process and what is used of it, in bytes; None where there is none or it is not shown.

    What the kernel gives back unasked, the page cache that nobody uses, is not counted as used.
    """
    found = [each for folder, names in _folders(pid, root, proc) if (each := _read(folder, names))]
    return min(found, key=lambda each: each[0] - each[1], default=None)


def stalled_percent(pid: int, root: Path = _ROOT, proc: Path = Path("/proc")) -> float | None:
    """How much of the last minutes all of a process' control group stood still for want of memory (kernel's PSI).

    The least of its averages over one and five minutes, so that a moment does not count; None where it is not told.
    """
    own = next((folder for folder, names in _folders(pid, root, proc) if names is _V2), None)
    full = (
        re.search(r"^full avg10=\S+ avg60=(\d+\.\d+) avg300=(\d+\.\d+)", _text(own / "memory.pressure"), re.M)
        if own
        else None
    )
    return min(float(full[1]), float(full[2])) if full else None


def _folders(pid: int, root: Path, proc: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """The process' group and those above it; seen from inside a container its own is at the root."""
    for line in _text(proc / str(pid) / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        top, names = (root / "memory", _V1) if controllers else (root, _V2)
        inside = PurePosixPath(path.lstrip("/") or ".")
        for each in (inside, *inside.parents):
            if ".." not in each.parts:
                yield top / each, names


def _read(folder: Path, names: tuple[str, str, str]) -> tuple[int, int] | None:
    limit, used = (_text(folder / name).strip() for name in names[:2])
    if not (limit.isdigit() and used.isdigit()) or int(limit) >= _UNLIMITED:
        return None
    stat = dict(line.split(" ", 1) for line in _text(folder / "memory.stat").splitlines() if " " in line)
    idle = stat.get(names[2], "0").strip()
    return int(limit), max(0, int(used) - (int(idle) if idle.isdigit() else 0))


def _text(path: Path) -> str:
    try:
        return files.read_text(path, files.SMALL_BYTES)
    except (OSError, ValueError):
        return ""
