"""The gateway's own lock files: where they lie, whose are believed, and which pid and port they name."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from oc_ops import files
from oc_ops.observe.target import Target

_LOCK_BYTES = 64 * 2**10


def locks(target: Target) -> Iterator[tuple[Path, Mapping[str, object]]]:
    """Gateway lock files, of other configs too, and what each says; empty for one that is torn.

    They lie in the state directory since 2026.9 and in TMPDIR before. That may be open to everybody: a file of a
    stranger is passed over, and so is what might never end.
    """
    owners = _owners(target)
    temp = Path(target.environ.get("TMPDIR") or tempfile.gettempdir())
    for folder in dict.fromkeys((target.state_dir / "tmp", temp)):
        for path in _listed(folder):
            try:
                with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                    seen = os.fstat(file.fileno())
                    if not stat.S_ISREG(seen.st_mode) or seen.st_mode & stat.S_IWOTH or seen.st_uid not in owners:
                        continue
                    value = files.json_of(file.read(_LOCK_BYTES))
            except OSError:
                continue
            except ValueError:
                value = None
            yield path, value if isinstance(value, dict) else {}


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("openclaw-*/gateway.*.lock"))
    except OSError:  # Python 3.11 raises for a folder that may not be entered
        return []


def _owners(target: Target) -> set[int]:
    """Users whose locks are believed: our own, and those of the user whose gateway it is."""
    try:
        return {os.getuid(), target.state_dir.stat().st_uid}
    except OSError:
        return {os.getuid()}


def is_of(says: Mapping[str, object], target: Target) -> bool:
    """True if a lock names the target's config."""
    return same_place(Path(str(says.get("configPath"))), target.config_path)


def lock_pids(target: Target, *, others: bool = False) -> Mapping[int, float]:
    """Pids named in this target's gateway lock files and when; may be stale. `others`: for another config instead."""
    pids: dict[int, float] = {}
    for path, says in locks(target):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if "configPath" in says and is_of(says, target) is not others:
                pids[int(str(says["pid"]))] = path.stat().st_mtime
    return pids


def locked_port(target: Target) -> int | None:
    """The port that a gateway recorded in its lock file (2026.9 and newer), when the config cannot say."""
    for path, says in locks(target):
        with contextlib.suppress(ValueError, KeyError):
            if path.is_relative_to(target.state_dir):
                return int(str(says["port"]))
    return None


def locked_ports(target: Target) -> Mapping[int, int]:
    """The port beside each pid that this target's gateway lock files name (2026.9 and newer); may be stale."""
    ports: dict[int, int] = {}
    for _path, says in locks(target):
        with contextlib.suppress(ValueError, KeyError):
            if is_of(says, target):
                ports[int(str(says["pid"]))] = int(str(says["port"]))
    return ports


def same_place(one: Path, other: Path) -> bool:
    """True if two paths lead to one place."""
    return os.path.realpath(one) == os.path.realpath(other)


def is_gone(pid: int, began: object) -> bool:
    """True if that process is gone, or its pid another's: OpenClaw keeps the kernel's own start time of it."""
    if not psutil.pid_exists(pid):
        return True
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return False
    return isinstance(began, int) and int(ticks) != began
