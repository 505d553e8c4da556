"""One at a time, across processes: a lock that the kernel frees when its holder dies, and a note naming the holder."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from oc_ops import files
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.text import clock

if TYPE_CHECKING:
    import psutil

_CLOCK_GRACE_S = 1.0
"""A process's start time is known to about a clock tick; a note older than its process by more is somebody else's."""


class LockHeld(CouldNotLook):
    """Somebody else holds the lock."""


def lock_dir() -> Path:
    """Where this user's oc-ops processes meet, whatever their checkout. Raises OcOpsError if there is no place."""
    import platformdirs

    folder = Path(platformdirs.user_state_path("oc-ops")) / "locks"
    try:
        files.own_folder(folder.parent)  # whose owner could put other locks in the place of ours
        files.own_folder(folder)
    except OSError as error:
        raise OcOpsError(f"cannot use {folder} for the locks: {error.strerror}; set XDG_STATE_HOME") from error
    return folder


@contextmanager
def single_flight(lock: Path, wait_s: float) -> Iterator[None]:
    """Hold `lock` for the duration of the block.

    Its folder is made if need be (0700). Raises LockHeld if it is not free within `wait_s` seconds, naming who holds it
    and since when, and CouldNotLook when the file cannot be locked at all. Not reentrant.
    """
    from filelock import FileLock, Timeout

    flight = FileLock(lock, timeout=wait_s, mode=0o600)
    try:
        files.new_folder(lock.parent)
        flight.acquire()
    except Timeout:
        raise LockHeld(f"{lock.name} is held by {held_by(lock)}; waited {wait_s:g} s for it") from None
    except OSError as error:
        raise CouldNotLook(f"cannot lock {lock}: {error.strerror or error}") from error
    note = _note(lock)
    try:
        with suppress(OSError):  # the lock counts, not the note
            note.unlink(missing_ok=True)  # whatever stands there: a pipe would hold us for ever
            with os.fdopen(os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
                file.write(f"{os.getpid()} {time.time():.3f}\n")
        yield
    finally:
        with suppress(OSError):
            note.unlink()
        flight.release()


def _note(lock: Path) -> Path:
    return lock.with_name(f"{lock.name}.holder")


def holder(lock: Path) -> tuple[psutil.Process, datetime] | None:
    """The holder of `lock` and since when, by its own note; None if the writer is dead or its pid another's by now."""
    import psutil

    try:
        pid, since = files.read_text(_note(lock), files.SMALL_BYTES).split()
        began = datetime.fromtimestamp(float(since), UTC)
        process = psutil.Process(int(pid))
        return None if process.create_time() > float(since) + _CLOCK_GRACE_S else (process, began)
    except (OSError, ValueError, OverflowError, psutil.Error):
        return None


def is_held(lock: Path) -> bool:
    """True if a process holds `lock`, by its note; by the kernel where a note names a process that cannot be told.

    After a jump of the clock every process seems to be younger than its note.
    """
    if holder(lock) is not None:
        return True
    if not _note(lock).exists():
        return False
    with suppress(OSError), files.open_regular(lock) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def held_by(lock: Path) -> str:
    """The holder in words; the lock is not touched."""
    if held := holder(lock):
        process, began = held
        return f"process {process.pid} since {clock(began)}"
    return "a process that left no note"


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder (0700) in our state directory for the length of the block, instead of the shared temporary folder.

    What a process that was killed left of its own is removed here. Raises OSError where there is no place for one.
    """
    place = files.own_folder(lock_dir().parent / "scratch")
    for left in place.glob("*.held"):
        with suppress(OSError), files.open_regular(left) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.with_suffix(""), ignore_errors=True)
            left.unlink()
    mark = place / f"{os.getpid()}-{secrets.token_hex(8)}.held"
    descriptor = os.open(mark, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    folder = mark.with_suffix("")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        mark.unlink(missing_ok=True)
        os.close(descriptor)
