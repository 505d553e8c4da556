"""The memory that a process may take at most: its control group's limit, a container's or a unit's (Linux)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from oc_ops import files

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
