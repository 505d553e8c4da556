"""Build and temporary directories that OpenClaw left behind, by class: a bounded walk that opens no file."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from oc_ops.observe.target import Target

OLD_S = 3600.0
"""A directory younger than this may be at work."""

_MOST_FOLDERS = 2000
_MOST_ENTRIES = 20_000
"""In all so many entries are sized: about 200 ms; a size is a lower bound from there on."""


@dataclass(frozen=True, slots=True)
class Leftovers:
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
