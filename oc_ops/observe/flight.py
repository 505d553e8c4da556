"""One at a time, across processes: a lock that the kernel frees when its holder dies, and a note naming the holder."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from oc_ops.errors import CouldNotLook, OcOpsError

_CLOCK_GRACE_S = 1.0
"""A process's start time is known to about a clock tick; a note older than its process by more is somebody else's."""


def lock_dir() -> Path:
    """Where this user's oc-ops processes meet, whatever their checkout. Raises OcOpsError if there is no place."""
    import platformdirs

    folder = Path(platformdirs.user_state_path("oc-ops")) / "locks"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OcOpsError(f"cannot make {folder} for the locks: {error.strerror}; set XDG_STATE_HOME") from error
    return folder


@contextmanager
def single_flight(lock: Path, wait_s: float) -> Iterator[None]:
    """Hold `lock` for the duration of the block.

    Its folder is made if need be (0700). Raises CouldNotLook when it is not had within `wait_s` seconds, naming who
    holds it and since when, and when the file cannot be locked at all. Not reentrant.
    """
    from filelock import FileLock, Timeout

    flight = FileLock(lock, timeout=wait_s, mode=0o600)
    try:
        lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flight.acquire()
    except Timeout:
        raise CouldNotLook(f"{lock.name} is held by {_holder(lock)}; waited {wait_s:g} s for it") from None
    except OSError as error:
        raise CouldNotLook(f"cannot lock {lock}: {error.strerror or error}") from error
    note = _note(lock)
    try:
        with suppress(OSError):  # the lock counts, not the note
            note.write_text(f"{os.getpid()} {time.time():.3f}\n")
        yield
    finally:
        with suppress(OSError):
            note.unlink()
        flight.release()


def _note(lock: Path) -> Path:
    return lock.with_name(f"{lock.name}.holder")


def _holder(lock: Path) -> str:
    """The holder in words; a note whose writer is dead, or whose pid belongs to a younger process, names nobody."""
    import psutil

    try:
        pid, since = _note(lock).read_text().split()
        began = datetime.fromtimestamp(float(since), UTC)
        if psutil.Process(int(pid)).create_time() > float(since) + _CLOCK_GRACE_S:
            return "a process that left no note"
    except (OSError, ValueError, OverflowError, psutil.Error):
        return "a process that left no note"
    return f"process {pid} since {began:%Y-%m-%dT%H:%M:%SZ}"
