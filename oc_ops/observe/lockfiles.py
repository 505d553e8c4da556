"""Lock files that name their holder: Chromium's SingletonLock, the sessions' `.jsonl.lock`, the gateway's own."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psutil
from msgspec import Struct

from oc_ops import files
from oc_ops.observe import browser as observe_browser
from oc_ops.observe import gatewaylocks
from oc_ops.observe.target import Target
from oc_ops.text import clock

Kind = Literal["chrome-lock", "session-lock", "gateway-lock"]

_SLACK_S = 2.0
"""A process' start and a file's time are told by two clocks; a holder is there before its lock."""

_MOST_BYTES = 64 * 2**10


class LockFile(Struct, frozen=True):
    """One such file as it lies there. `label` tells it from others of its kind, `text` is what it says, cut.

    `holder` is what lives and may be its holder, in words; empty only when the holder is proven dead on this machine,
    and `proof` then says by what.
    """

    kind: Kind
    path: Path
    label: str
    pid: int | None
    inode: int
    changed_ns: int
    text: str
    digest: str
    holder: str
    proof: str


def lock_files(target: Target) -> tuple[LockFile, ...]:
    """Every lock file of this state directory, held or not; one that is gone before it is read does not count."""
    found = (*_chrome_locks(target), *_session_locks(target), *_gateway_locks(target))
    return tuple(each for each in found if each is not None)


# -- the three kinds ------------------------------------------------------------------------------------------------


def _chrome_locks(target: Target) -> Iterator[LockFile | None]:
    """`<state>/browser/<profile>/user-data/SingletonLock`, a link to `host-pid`, in all releases tried."""
    for user_data in sorted((target.state_dir / "browser").glob("*/user-data")):
        if (lock := observe_browser.profile_lock(user_data)) is None:
            continue
        holder, proof = _dead(lock.pid, _changed_s(lock.path))
        if lock.host != socket.gethostname():
            holder, proof = f"a browser on host {lock.host}, which cannot be seen from here", ""
        elif browser := _browser_of(user_data):
            holder, proof = f"pid {browser}, a browser that has this profile open", ""
        yield _file("chrome-lock", lock.path, user_data.parent.name, lock.pid, holder, proof)


def _session_locks(target: Target) -> Iterator[LockFile | None]:
    """`<state>/agents/<agent>/sessions/<session>.jsonl.lock` up to 2026.7.1; 2026.9.6 keeps sessions in a database."""
    for path in sorted((target.state_dir / "agents").glob("*/sessions/*.jsonl.lock")):
        if (says := _object(path)) is not None:
            pid = _pid(says)
            holder, proof = _dead(pid, _changed_s(path))
            yield _file("session-lock", path, f"{path.parent.parent.name}/{path.name}", pid, holder, proof)


def _gateway_locks(target: Target) -> Iterator[LockFile | None]:
    """`gateway.<hash>.lock`, only those of this config."""
    for path, says in gatewaylocks.locks(target):
        if gatewaylocks.is_of(says, target):
            pid = _pid(says)
            holder, proof = _dead(pid, _changed_s(path))
            yield _file("gateway-lock", path, path.name, pid, holder, proof)


# -- what proves a holder dead --------------------------------------------------------------------------------------


def _dead(pid: int | None, held_since_s: float) -> tuple[str, str]:
    """(who may hold it, by what its holder is known to be dead): one of the two is empty."""
    if pid is None:
        return "unknown: it holds no pid", ""
    try:
        process = psutil.Process(pid)
        began_s = process.create_time()
        if process.status() == psutil.STATUS_ZOMBIE:
            return "", f"pid {pid} has ended and only waits to be reaped"
    except psutil.NoSuchProcess:
        return "", f"no process has pid {pid}"
    except psutil.Error as error:
        return f"pid {pid}, which cannot be looked at ({type(error).__name__})", ""
    if began_s > held_since_s + _SLACK_S:
        began = datetime.fromtimestamp(began_s, UTC)
        return "", f"pid {pid} belongs to a process that began at {clock(began)}, after the lock"
    return f"live process {pid}", ""


def _browser_of(user_data: Path) -> int | None:
    """A live browser with that profile, whatever pid the lock names."""
    own, option = os.path.realpath(user_data), "--user-data-dir="
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = [each for each in process.cmdline() if each.startswith(option)]
            if any(os.path.realpath(each.removeprefix(option)) == own for each in words):
                return process.pid
    return None


# -- reading --------------------------------------------------------------------------------------------------------


def _file(kind: Kind, path: Path, label: str, pid: int | None, holder: str, proof: str) -> LockFile | None:
    try:
        seen = path.lstat()
        text = _link(path) if stat.S_ISLNK(seen.st_mode) else _content(path)
    except OSError:
        return None
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return LockFile(kind, path, label, pid, seen.st_ino, seen.st_mtime_ns, text[:400], digest, holder, proof)


def _link(path: Path) -> str:
    return os.readlink(path)  # noqa: PTH115 -- a text of host and pid, not a path


def _content(path: Path) -> str:
    return _head(path).decode("utf-8", "replace")


def _head(path: Path) -> bytes:
    with files.open_regular(path) as file:
        return file.read(_MOST_BYTES)


def _changed_s(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.lstat().st_mtime
    return 0.0


def _object(path: Path) -> Mapping[str, object] | None:
    """The JSON object in a lock; one that is torn or empty names nobody, and None means that it is gone."""
    try:
        value = files.json_of(_head(path))
    except OSError:
        return None
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _pid(says: Mapping[str, object]) -> int | None:
    pid = says.get("pid")
    return pid if isinstance(pid, int) and not isinstance(pid, bool) and pid > 0 else None
