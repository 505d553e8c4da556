"""Lock files whose holder is dead: moved aside, never deleted, and nothing else is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from oc_ops.act.breaker.scan import Blocker, BreakerView, BreakResult, Refused, Tools
from oc_ops.errors import OcOpsError
from oc_ops.observe.lockfiles import LockFile
from oc_ops.record.folder import sync_directory
from oc_ops.text import one_line

_WHAT = {
    "chrome-lock": "the browser profile",
    "session-lock": "the session",
    "gateway-lock": "the gateway's state",
}


def locks(sight: BreakerView) -> Iterator[Blocker]:
    """Every lock file; those that are or may be held are refused, with the reason."""
    for lock in sight.locks:
        refused = f"its holder lives, or cannot be proven dead: {lock.holder}" if lock.holder else _elsewhere(sight)
        yield Blocker(
            lock.kind,
            f"{lock.kind}:{lock.label}",
            lock.path.name,
            fact=f"{_WHAT[lock.kind]} {lock.label} is locked" + ("" if lock.holder else " by a process that is dead"),
            act=f"mv {lock.path} {lock.path.name}.oc-ops-<time>",
            evidence={
                "path": str(lock.path),
                "inode": lock.inode,
                "changed_ns": lock.changed_ns,
                "text": lock.digest,
                "pid": lock.pid,
                "proof": lock.proof,
            },
            shown=(f"it says: {one_line(lock.text)}", f"proof: {lock.proof}" if lock.proof else "no proof"),
            refused=refused,
        )


def move_aside(mutex: Blocker, hands: Tools) -> BreakResult:
    """Rename the very file of the evidence; one that came in its place meanwhile is put back."""
    path, approved = Path(str(mutex.evidence["path"])), (mutex.evidence["inode"], mutex.evidence["changed_ns"])
    aside = path.with_name(f"{path.name}.oc-ops-{datetime.now(UTC):%Y%m%dT%H%M%S%f}Z")
    hands.note(f"mv {path} {aside}")
    try:
        if _identity(path) != approved:
            raise Refused(f"{path.name} is another file now: nothing was moved")
        path.rename(aside)
        if _identity(aside) != approved:
            _put_back(aside, path)
            raise Refused(f"{path.name} was replaced at this very moment: the new one was put back")
        sync_directory(path.parent)
    except FileNotFoundError:
        raise Refused(f"{path.name} is gone: nothing was moved") from None
    except OSError as error:
        raise OcOpsError(f"{path} could not be moved aside: {error.strerror or error}") from error
    return _seen(mutex, aside, hands)


def _identity(path: Path) -> tuple[int, int]:
    """Inode and time of change: a new file may get the inode of the one that was just removed."""
    seen = path.lstat()
    return seen.st_ino, seen.st_mtime_ns


def _put_back(aside: Path, path: Path) -> None:
    """Under its own name again, unless somebody has made yet another one: neither call replaces a file."""
    if stat.S_ISLNK(aside.lstat().st_mode):
        path.symlink_to(os.readlink(aside))  # noqa: PTH115 -- a text of host and pid, not a path
    else:
        path.hardlink_to(aside)


def _seen(mutex: Blocker, aside: Path, hands: Tools) -> BreakResult:
    """By a fresh look: the lock is gone, or a new holder that lives has taken it, which is what it was broken for."""
    after: dict[str, str | bool | None] = {"moved_to": str(aside)}
    lock: LockFile | None = next((each for each in hands.look().locks if f"{each.kind}:{each.label}" == mutex.id), None)
    if lock is None:
        return BreakResult("verified", f"the lock is gone; it was moved to {aside}", after)
    after["lock"] = lock.text
    if lock.inode != mutex.evidence["inode"] and lock.holder:
        return BreakResult("verified", f"the lock was moved to {aside}; it is held again, by {lock.holder}", after)
    return BreakResult("ineffective", f"moved to {aside}, and a dead holder's lock is there again", after)


def _elsewhere(sight: BreakerView) -> str:
    """A gateway that answers and is not seen here runs elsewhere (a container): its pids mean nothing on this host."""
    look, there = sight.look, sight.target.container
    if there is not None:
        return f"its holder lives or lived in container {there.name}, whose pids mean nothing on this machine"
    if look is None:
        return "whether its gateway runs on this machine could not be seen"
    if look.live.kind != "refused" and not any(each.certain for each in look.processes):
        return "a gateway answers whose process is not seen on this machine: the holder may live where that runs"
    return ""
