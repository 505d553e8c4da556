"""The state directory, read-only and bounded: who may use what, whether its database is sound, and who migrates it."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import stat
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import psutil
from msgspec import Struct

from oc_ops import files
from oc_ops.errors import CouldNotLook
from oc_ops.observe import config, leases
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.database import STATE_DATABASE, ReadTransaction, snapshot
from oc_ops.observe.leases import Lease
from oc_ops.observe.processes import GatewayProcess, gateway_processes
from oc_ops.observe.target import Target
from oc_ops.text import regex

CHECK_S = 2.0
"""How long a quick_check may take; 11 ms were measured for a database of 1.6 MB."""
MOST_CHECKED_BYTES = 256 * 2**20
"""A larger database is opened and not checked page by page: older SQLite cannot be interrupted in it."""
MOST_PIECES = 4000
WALK_S = 0.1
"""Where the walk ends, whatever is left; a state directory of some hundred entries takes 2 ms."""
_DEEPEST = 5
_MOST_IN_FOLDER = 500
_MOST_FDS = 4096
_LOOK_AGAIN_S = 0.25

_DAMAGED = regex(r"malformed|not a database|is not an SQLite database")
_WRITER = "SELECT app_version FROM schema_meta WHERE meta_key = 'primary'"

_WRITTEN = frozenset(("agents", "state", "credentials", "identity", "devices", "cron", "tasks", "memory"))
"""Folders whose content the gateway writes; what lies in the others belongs to plugins, agents and their tools."""
_ONLY_READ = frozenset(
    ("extensions", "skills", "hooks", "plugins", "npm", "node_modules", "bin", "lib", "completions", "lost+found")
)
"""An installation by root may own these: the gateway reads them, if anything."""
_NOT_WRITTEN = frozenset(("workspace", "node_modules", "extensions", "skills"))
_ASIDE = regex(r"\.(?:bak|old|orig|save|deleted|reset|corrupt|clobbered|migrated)\b|backup|~$", re.I)
"""Names of what was put aside: whoever put it there may keep it."""
_DATA = regex(r"\.(?:sqlite(?:-wal|-shm)?|jsonl?)$")
_RAN = regex(r"openclaw-(\d+)")
_BACKUP = regex(r"openclaw\.sqlite.*(?:bak|backup|old)|openclaw-backup\.tar\.gz$", re.I)


class Piece(Struct, frozen=True):
    """One file or folder that the gateway's user cannot use as it must."""

    path: Path
    owner: str
    mode: int
    ours: bool
    """It belongs to the gateway's user, and its mode is what is in the way."""


class StateView(Struct, frozen=True):
    """One look at a state directory. `runner` is the gateway's user, None where that cannot be told; `by` says how."""

    state_dir: Path
    database: Path
    at_s: float
    lives: bool
    runner: str | None = None
    by: str = ""
    is_ours: bool = True
    """True if we look as the gateway's user: only then is our own refusal the gateway's too."""
    barred: tuple[Piece, ...] = ()
    damage: str = ""
    schema: int | None = None
    writer: str = ""
    lease: Lease | None = None
    detached: tuple[str, ...] = ()
    """The database's side files that a gateway has open and somebody has deleted."""
    backups: tuple[tuple[float, Path], ...] = ()


def read_config(target: Target) -> GatewayConfig:
    """The config; one that its own gateway may not read is an observation with an `error`, for `look` to explain.

    Raises CouldNotLook where it is only we who may not read it.
    """
    try:
        return config.read(target)
    except CouldNotLook as error:
        cause = error.__cause__
        with contextlib.suppress(CouldNotLook):
            if isinstance(cause, PermissionError) and look(target, gateway_processes(target)).barred:
                return GatewayConfig(target.config_path, True, error=f"it cannot be read: {cause.strerror}")
        if isinstance(cause, OSError) and not isinstance(cause, PermissionError):
            return GatewayConfig(target.config_path, True, error=str(error), unread=str(error))
        raise


def look(target: Target, processes: Sequence[GatewayProcess]) -> StateView:
    """Look at the state directory of a gateway whose processes are given; 2 to 30 ms.

    The database is opened only while no gateway lives: nothing of ours stands beside one that writes. Raises
    CouldNotLook where another user's state directory does not show itself to this account.
    """
    uid, by = _runner(target, processes)
    database, lives = target.state_dir / STATE_DATABASE, bool(processes)
    if uid != os.geteuid():
        files.is_file(database)
    # What is no file is told by its kind, which touches nothing of a gateway that lives.
    damage, schema, writer, lease = (_misplaced(database), None, "", None) if lives else _opened(database)
    detached = _detached(database, processes)
    return StateView(
        target.state_dir,
        database,
        at_s=time.time(),
        lives=lives,
        runner=None if uid is None else _account(uid),
        by=by,
        is_ours=uid == os.geteuid(),
        barred=() if not uid else tuple(_barred(target, uid, _groups(uid, processes))),
        damage=damage,
        schema=schema,
        writer=writer,
        lease=lease,
        detached=detached,
        backups=() if lives and not detached else tuple(_backups(target)),
    )


# -- who may use what -------------------------------------------------------------------------------------------------


def _runner(target: Target, processes: Sequence[GatewayProcess]) -> tuple[int | None, str]:
    """The uid that runs the gateway, or ran it last, and by what that is known.

    Where everything became root's at once, the home it lies in and the folders that OpenClaw names after its uid
    (2026.9.6) still say whose it was.
    """
    for each in processes:
        if each.certain:
            with contextlib.suppress(psutil.Error, OSError):
                uid = int(psutil.Process(each.pid).uids().effective)
                return (uid, f"it runs as pid {each.pid}") if _same_users(each.pid) else (None, "")
    try:
        owner, home = _owner(target.state_dir), _owner(target.state_dir.parent)
    except OSError:
        return None, ""
    ran = _ran(target.state_dir)
    if owner == 0 and home in (ran | _lookers(target)):
        return home, f"{target.state_dir.parent} is theirs"
    for uids in (ran & {owner}, ran & {home}, ran, ran - {0}):
        if len(uids) == 1:
            return next(iter(uids)), f"it ran as them ({target.state_dir / 'tmp'})"
    return owner, f"{target.state_dir} is theirs"


def _owner(path: Path) -> int:
    return path.stat().st_uid


def _same_users(pid: int) -> bool:
    """True if a process counts users as we do: one in a rootless container does not."""
    try:
        return Path(f"/proc/{pid}/uid_map").read_bytes() == Path("/proc/self/uid_map").read_bytes()
    except OSError:
        return True


def _lookers(target: Target) -> set[int]:
    behind = target.environ.get("SUDO_UID", "")
    return {os.geteuid(), *((int(behind),) if os.geteuid() == 0 and behind.isdecimal() else ())}


def _ran(state_dir: Path) -> set[int]:
    return {int(found[1]) for name in _names(state_dir / "tmp") if (found := _RAN.fullmatch(name))}


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _groups(uid: int, processes: Sequence[GatewayProcess]) -> set[int]:
    groups: set[int] = set()
    with contextlib.suppress(KeyError, OSError):
        account = pwd.getpwuid(uid)
        groups |= set(os.getgrouplist(account.pw_name, account.pw_gid))
    for each in processes:
        with contextlib.suppress(psutil.Error, OSError):
            groups.add(int(psutil.Process(each.pid).gids().effective))
    return groups


def _barred(target: Target, uid: int, groups: Collection[int]) -> Iterator[Piece]:
    """Paths that the gateway's user cannot use, outermost first; nothing below a folder that is named already."""
    for path, bits in _needed(target):
        try:
            facts = path.lstat()
        except OSError:
            continue
        if stat.S_ISLNK(facts.st_mode) or _may(facts, uid, groups, bits) or _otherwise(path, uid, bits):
            continue
        yield Piece(path, _account(facts.st_uid), stat.S_IMODE(facts.st_mode), facts.st_uid == uid)


def _needed(target: Target) -> Iterator[tuple[Path, int]]:
    """Each piece that a gateway needs, and how: outer ones first, bounded in depth, number and time."""
    until, left = time.monotonic() + WALK_S, MOST_PIECES
    root = Path(os.path.realpath(target.state_dir))
    yield root, 7
    yield target.config_path, 4
    folders: deque[tuple[Path, int]] = deque([(root, 0)])
    while folders:
        folder, depth = folders.popleft()
        for entry in _scanned(folder):
            left -= 1
            if left <= 0 or time.monotonic() > until:
                return
            try:
                inside, linked = entry.is_dir(follow_symlinks=False), entry.is_symlink()
            except OSError:
                continue
            bits = 0 if linked else _bits(entry.name, inside, folder, depth)
            if bits:
                yield Path(entry.path), bits
            if bits == 7 and inside and depth < _DEEPEST and (depth or entry.name in _WRITTEN):
                folders.append((Path(entry.path), depth + 1))


def _bits(name: str, inside: bool, folder: Path, depth: int) -> int:
    """The access that the gateway needs to an entry: 7, 6 or 4 as in a mode, 0 for nothing."""
    if (name.startswith(".") and name != ".env") or _ASIDE.search(name):
        return 0
    if depth == 0:
        return (0 if name in _ONLY_READ else 7) if inside else 4 * (name == ".env")
    if inside:
        return 0 if name in _NOT_WRITTEN else 7
    return (6 if folder.name not in ("credentials", "identity", "devices") else 4) * bool(_DATA.search(name))


def _may(facts: os.stat_result, uid: int, groups: Collection[int], bits: int) -> bool:
    """True if the mode lets that user do it."""
    shift = 6 if facts.st_uid == uid else 3 if facts.st_gid in groups else 0
    return (facts.st_mode >> shift) & bits == bits


def _otherwise(path: Path, uid: int, bits: int) -> bool:
    """True if something else than the mode allows it: our own try where we are that user, else an access list."""
    if uid == os.geteuid():
        return os.access(path, bits)
    with contextlib.suppress(OSError, AttributeError):
        return bool(os.getxattr(path, "system.posix_acl_access"))
    return False


def _scanned(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            for entry, _ in zip(found, range(_MOST_IN_FOLDER), strict=False):
                yield entry
    except OSError:
        return


def _names(folder: Path) -> list[str]:
    return [each.name for each in _scanned(folder)]


# -- the database -----------------------------------------------------------------------------------------------------


def _misplaced(database: Path) -> str:
    """A thing in the database's place that can be none: a pipe, a folder, a link that leads nowhere."""
    try:
        files.refuse(database)
    except files.FileRefused as error:
        return str(error.strerror)
    except PermissionError:
        return ""
    except OSError as error:
        return f"a link that leads nowhere: {error.strerror}" if database.is_symlink() else ""
    return ""


def _opened(database: Path) -> tuple[str, int | None, str, Lease | None]:
    """Damage, schema, writing build and migration lease; whatever cannot be read says nothing."""
    schema, writer, lease = None, "", None
    if misplaced := _misplaced(database):
        return misplaced, schema, writer, lease
    try:
        size = database.stat().st_size
        if not size:
            return "", None, "", None  # OpenClaw takes an empty file for a new store
        with snapshot(database, CHECK_S) as tables:
            schema = int(str(tables.rows("PRAGMA user_version")[0][0]))
            writer = _first(tables, "schema_meta", _WRITER)
            lease = leases.of(tables, (leases.MIGRATION,), str(database))
            said = str(tables.rows("PRAGMA quick_check(3)")[0][0]) if size <= MOST_CHECKED_BYTES else "ok"
            if said != "ok":
                return f"quick_check: {'; '.join(said.splitlines())}", schema, writer, lease
    except CouldNotLook as error:
        words = str(error).rpartition(": ")[2]
        return (words if _DAMAGED.search(str(error)) else ""), schema, writer, lease
    except OSError:
        pass
    return "", schema, writer, lease


def _first(tables: ReadTransaction, table: str, query: str) -> str:
    rows = tables.rows(query) if tables.has(table) else ()
    return str(rows[0][0]).partition("\n")[0] if rows else ""


def _detached(database: Path, processes: Sequence[GatewayProcess]) -> tuple[str, ...]:
    """Files of the database that a gateway still has open and that are no longer in their place, deleted or moved: seen
    twice, as a close is short.
    """
    if not (found := set(_displaced(database, processes))):
        return ()
    time.sleep(_LOOK_AGAIN_S)
    return tuple(sorted(found & set(_displaced(database, processes))))


def _displaced(database: Path, processes: Sequence[GatewayProcess]) -> Iterator[str]:
    base = os.path.realpath(database)
    gone = {f"{base}{end} (deleted)" for end in ("-wal", "-shm")}
    for process in processes:
        names = [name for name in _open_names(process.pid) if Path(name).name.startswith(database.name)]
        away = base not in names and not os.path.lexists(database)
        yield from (f"pid {process.pid} has {name} open" for name in names if name in gone or away)


def _open_names(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as found:
        for entry, _ in zip(found, range(_MOST_FDS), strict=False):
            with contextlib.suppress(OSError):
                yield str(Path(entry.path).readlink())


def _backups(target: Target) -> Iterator[tuple[float, Path]]:
    """Copies of the database and archives of `openclaw backup`, where they usually lie, newest first."""
    home = target.home
    found = []
    for folder in dict.fromkeys(
        (target.state_dir / "state", target.state_dir, target.state_dir / "backups", home, home / "Backups")
    ):
        for entry in _scanned(folder):
            if _BACKUP.search(entry.name):
                with contextlib.suppress(OSError):
                    found.append((entry.stat().st_mtime, Path(entry.path)))
    yield from sorted(found, reverse=True)
