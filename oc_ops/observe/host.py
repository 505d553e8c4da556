"""The machine around the gateway: file systems, memory, sizes of logs and write-ahead logs, copies of the config."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil
from msgspec import Struct

from oc_ops import files
from oc_ops.observe import limits
from oc_ops.observe.install import Package, package
from oc_ops.observe.leftovers import Orphan, orphans
from oc_ops.observe.processes import GatewayProcess
from oc_ops.observe.target import Target
from oc_ops.text import regex

_MOST_ENTRIES = 2000
"""Of a folder at most this many entries are looked at: a state directory may hold anything."""

_LOG_FOLDER = "/tmp/openclaw"  # noqa: S108 - hard-coded in OpenClaw itself
_SUPPRESSED = b"log file size cap reached; suppressing writes"
"""The last line in the log of releases before the rotation (2026.2.26, at 500 MB); then they log no more."""

_STAMP = regex(r"\.clobbered\.(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)-(\d{3})Z")


class Filesystem(Struct, frozen=True):
    """One file system and which of our places lie on it. `files` is 0 where it has no fixed number of inodes."""

    places: tuple[str, ...]
    path: Path
    total_bytes: int
    free_bytes: int
    files: int = 0
    free_files: int = 0
    read_only: bool = False


class Memory(Struct, frozen=True):
    """The machine's memory. `swapped_out_bytes` counts since the machine's start."""

    total_bytes: int
    available_bytes: int
    swap_bytes: int = 0
    swap_used_bytes: int = 0
    swapped_out_bytes: int = 0


class Sample(Struct, frozen=True):
    """A gateway process' resident memory at one moment; `started_s` and `at_s` are seconds since the epoch."""

    at_s: float
    pid: int
    started_s: float
    rss_bytes: int
    swapped_out_bytes: int = 0


class LogFile(Struct, frozen=True):
    """One log file. `current`: the one of the gateway's own logs that was written last. `suppressed`: its last line
    says that nothing more will be written. `writable` is None when the gateway runs as another user than we do.
    """

    path: Path
    size_bytes: int
    current: bool = False
    suppressed: bool = False
    writable: bool | None = None


class WriteAheadLog(Struct, frozen=True):
    """The write-ahead log of a SQLite database that the gateway has open."""

    path: Path
    size_bytes: int


class ConfigCopies(Struct, frozen=True):
    """Copies that OpenClaw has put beside its config: former contents it replaced, newest first, and its backups."""

    config: Path
    clobbered: tuple[tuple[datetime, Path], ...] = ()
    backups: tuple[tuple[datetime, Path], ...] = ()


class HostView(Struct, frozen=True):
    """One look at the machine, taken at `at_s` seconds since the epoch."""

    at_s: float
    memory: Memory
    filesystems: tuple[Filesystem, ...] = ()
    gateway: GatewayProcess | None = None
    logs: tuple[LogFile, ...] = ()
    wals: tuple[WriteAheadLog, ...] = ()
    copies: ConfigCopies | None = None
    package: Package | None = None
    orphans: tuple[Orphan, ...] = ()
    group: Memory | None = None
    """The most memory that the gateway's control group may take, where that is less than the machine has."""
    stalled_percent: float | None = None
    """How much of the last minutes that group stood still for want of memory."""

    @property
    def sample(self) -> Sample | None:
        """The gateway's memory as a sample of a series; None when no gateway lives."""
        seen = self.gateway
        if seen is None:
            return None
        return Sample(self.at_s, seen.pid, self.at_s - seen.age_s, seen.rss_bytes, self.memory.swapped_out_bytes)


def look(
    target: Target,
    processes: Sequence[GatewayProcess],
    *,
    places: Mapping[str, Path],
    log_files: Sequence[Path] = (),
    executable: Path | None = None,
    mcp_commands: Sequence[Sequence[str]] = (),
) -> HostView:
    """Look at the machine without any gateway: milliseconds, named places only, no folder is walked.

    `processes` are the gateway's own, `places` are more folders whose file systems count, by what they are to the
    operator. What vanishes or may not be read while we look is left out.
    """
    certain = [each for each in processes if each.certain]
    gateway = max(certain, key=lambda each: each.rss_bytes, default=None)
    temp = target.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - where Node puts temporary files
    logs = log_files[-1].parent if log_files else Path(_LOG_FOLDER)
    named = {"state directory": target.state_dir, "temporary files": Path(temp), "logs": logs, **places}
    return HostView(
        at_s=time.time(),
        memory=memory(),
        group=_group(gateway),
        stalled_percent=limits.stalled_percent(gateway.pid) if gateway else None,
        filesystems=filesystems(named),
        gateway=gateway,
        logs=tuple(_logs(target, log_files, gateway)),
        wals=tuple(_wals(target.state_dir)),
        copies=copies(target.config_path),
        package=package(executable) if executable else None,
        orphans=orphans(target, processes, mcp_commands),
    )


def filesystems(places: Mapping[str, Path]) -> tuple[Filesystem, ...]:
    """The file systems of these folders, each once; of a folder that is not there yet, its nearest parent's."""
    found: dict[int, tuple[list[str], Path, os.statvfs_result]] = {}
    for name, place in places.items():
        for folder in (place, *place.parents):
            try:
                device, facts = folder.stat().st_dev, os.statvfs(folder)
            except OSError:
                continue
            found.setdefault(device, ([], folder, facts))[0].append(name)
            break
    return tuple(
        Filesystem(
            tuple(names),
            path,
            total_bytes=facts.f_blocks * facts.f_frsize,
            free_bytes=facts.f_bavail * facts.f_frsize,
            files=facts.f_files,
            free_files=facts.f_favail,
            read_only=bool(facts.f_flag & os.ST_RDONLY),
        )
        for names, path, facts in found.values()
        if facts.f_blocks
    )


def memory() -> Memory:
    """The machine's memory and swap, as psutil counts them."""
    ram = psutil.virtual_memory()
    try:
        swap = psutil.swap_memory()
    except (OSError, RuntimeError):  # seen where /proc/vmstat or the sysctl is hidden
        return Memory(ram.total, ram.available)
    return Memory(ram.total, ram.available, swap.total, swap.used, swap.sout)


def _group(gateway: GatewayProcess | None) -> Memory | None:
    """The memory of the gateway's control group, where that is limited below the machine's."""
    found = limits.memory(gateway.pid) if gateway else None
    if found is None or found[0] >= psutil.virtual_memory().total:
        return None
    return Memory(found[0], found[0] - min(found))


def copies(config: Path) -> ConfigCopies:
    """The copies beside a config file: `.clobbered.TIME` (replaced contents), `.bak`, `.bak.N`, `.last-good`."""
    clobbered, backups = [], []
    for path, facts in _entries(config.parent):
        if path.name.startswith(f"{config.name}.clobbered."):
            clobbered.append((_stamp(path.name) or datetime.fromtimestamp(facts.st_mtime, UTC), path))
        elif re.fullmatch(rf"{re.escape(config.name)}\.(bak(\.\d+)?|last-good)", path.name):
            backups.append((datetime.fromtimestamp(facts.st_mtime, UTC), path))
    return ConfigCopies(config, tuple(sorted(clobbered, reverse=True)), tuple(sorted(backups, reverse=True)))


def _stamp(name: str) -> datetime | None:
    """OpenClaw writes the time into the name, ISO 8601 with dashes for what a file name may not hold (2026.9.6)."""
    found = _STAMP.search(name)
    try:
        return (
            datetime.fromisoformat(f"{found[1]}T{found[2]}:{found[3]}:{found[4]}.{found[5]}+00:00") if found else None
        )
    except ValueError:
        return None


def _logs(target: Target, named: Sequence[Path], gateway: GatewayProcess | None) -> Iterator[LogFile]:
    """The given logs, what the service manager keeps of the gateway's output, and the state directory's own."""
    folders = (target.state_dir / "logs", target.home / "Library" / "Logs" / "openclaw")
    listed = [
        path
        for folder in folders
        for path, _facts in _entries(folder)
        if path.name.endswith((".log", ".jsonl")) and (folder == folders[0] or _is_own(path, target))
    ]
    same_user = gateway is not None and _is_ours(gateway.pid)
    current = max(named, key=files.modified_s, default=None)
    for path in dict.fromkeys((*named, *listed)):
        try:
            with files.open_regular(path) as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - 4096))
                last = file.read().rstrip().rpartition(b"\n")[2]
        except OSError:
            continue
        writable = os.access(path, os.W_OK) if same_user else None
        yield LogFile(path, size, path == current, _SUPPRESSED in last, writable)


def _is_own(path: Path, target: Target) -> bool:
    """True if launchd's log is the target's: ~/Library/Logs/openclaw holds every profile's (`gateway-NAME.log`)."""
    words = path.name.split(".")[0].split("-", 1)
    return (words[1] if len(words) == 2 else None) == target.profile


def _is_ours(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).uids().effective == os.geteuid())
    except psutil.Error:
        return False


def _wals(state_dir: Path) -> Iterator[WriteAheadLog]:
    """The write-ahead logs of the shared store and of the agents' own (2026.9.6), and of older releases' tasks."""
    agents = [path / "agent" for path, _facts in _entries(state_dir / "agents")]
    for folder in (state_dir / "state", state_dir / "tasks", state_dir / "memory", *agents):
        for path, facts in _entries(folder):
            if path.name.endswith("-wal"):
                yield WriteAheadLog(path, facts.st_size)


def _entries(folder: Path) -> Iterable[tuple[Path, os.stat_result]]:
    """A folder's entries with their facts, bounded; nothing for a folder that is not there or not ours to read."""
    try:
        with os.scandir(folder) as found:
            for _, entry in zip(range(_MOST_ENTRIES), found, strict=False):
                try:
                    yield Path(entry.path), entry.stat()
                except OSError:
                    continue
    except OSError:
        return
