"""What one look leaves for the next: which jobs there were, how many dead letters, which channel was silent.

And of which releases this machine's operator was told what is known of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from oc_ops import files
from oc_ops.judge.cronwork import KeptJob
from oc_ops.judge.work import Silence
from oc_ops.record import folder

_MOST_BYTES = 2 * 2**20
_RELEASES, _MOST_RELEASES = "releases-told.json", 50


@dataclass(frozen=True, slots=True)
class LastLook:
    """One look at a gateway's work; a part is None until it was looked at. Jobs are by id, the others by name."""

    at_ms: int = 0
    jobs: dict[str, KeptJob] | None = None
    letters: dict[str, int] | None = None
    silent: dict[str, Silence] = field(default_factory=dict)


def read(memory_dir: Path, key: str) -> LastLook:
    """The last look at the gateway `key`; one that is missing or broken tells nothing."""
    try:
        return msgspec.json.decode(files.read_bytes(memory_dir / f"work-{key}.json", _MOST_BYTES), type=LastLook)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return LastLook()


def remember(memory_dir: Path, key: str, look: LastLook) -> None:
    """Replace it; a look that cannot be kept costs the comparison next time, nothing else."""
    try:
        # ASCII: what strangers call their jobs acts on no terminal that shows the file.
        folder.write(memory_dir / f"work-{key}.json", json.dumps(msgspec.to_builtins(look)) + "\n")
    except OSError:
        return


def told_releases(memory_dir: Path) -> tuple[str, ...]:
    """The releases that were spoken of on this machine."""
    try:
        return msgspec.json.decode(files.read_bytes(memory_dir / _RELEASES, files.SMALL_BYTES), type=tuple[str, ...])
    except (OSError, msgspec.MsgspecError, RecursionError):
        return ()


def remember_release(memory_dir: Path, release: str) -> None:
    """Do not speak of it again; where that cannot be kept, the next run does."""
    told = (*told_releases(memory_dir), release)[-_MOST_RELEASES:]
    try:
        folder.write(memory_dir / _RELEASES, msgspec.json.encode(told).decode() + "\n")
    except OSError:
        return
