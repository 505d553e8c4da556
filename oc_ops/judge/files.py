"""Judges of the files around the gateway: logs, write-ahead logs, copies of the config, the package on disk."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from oc_ops.judge.finding import Finding, finds, none
from oc_ops.judge.gateway import RESTART
from oc_ops.judge.host import HostLimits, size
from oc_ops.observe.host import HostView
from oc_ops.observe.install import release
from oc_ops.observe.leftovers import Leftovers
from oc_ops.text import clock, listing, span


@finds(
    "logs/oversized",
    checks=("logs/size",),
    cure=none(
        "the log has to be moved aside; a restart makes it no smaller", proof="the size of its own log was measured"
    ),
    means="a log has grown past its limit (a warning)",
    helps="move it aside",
)
def log_oversized(seen: HostView, limits: HostLimits) -> Finding | None:
    """A log has grown past its limit: gateway.err.log and *.jsonl never rotate (#25818, #41676, #79892)."""
    large = _largest({each.path: each.size_bytes for each in seen.logs}, limits.log_large_bytes)
    if not large:
        return None
    path = _quoted(large[0][0])
    return Finding(
        "logs/oversized",
        "warning",
        fact="a log has grown past its limit" if len(large) == 1 else f"{len(large)} logs have grown past their limit",
        saw=_listed(large, limits.log_large_bytes),
        fix=f"none automatic: see what fills it (tail {path}), then mv {path} {path}.old; "
        "what the service manager writes goes on into the moved file until the next restart",
    )


@finds(
    "logs/silent",
    checks=("logs/written",),
    cure=none(
        "the gateway works; a restart at a quiet time is the operator's choice",
        proof="its own log says that it writes no more, or may not be written by its user",
    ),
    means="a live gateway can no longer write its log (a warning)",
    helps="move the log; restart at a quiet time",
)
def log_silent(seen: HostView) -> Finding | None:
    """A live gateway can no longer log: its log says so itself (the size cap of older releases), or is not writable.

    That nothing was logged lately is no fault: an idle gateway is silent for as long as nobody asks anything of it.
    """
    log = next((each for each in seen.logs if each.current), None)
    if seen.gateway is None or log is None or not (log.suppressed or log.writable is False):
        return None
    path = _quoted(log.path)
    why, fix = "it may not write it", f"see why (ls -ld {path} {_quoted(log.path.parent)}) and let its user write there"
    if log.suppressed:
        why, fix = "its size cap is reached", f"mv {path} {path}.old, then at a quiet time {RESTART}"
    return Finding(
        "logs/silent",
        "warning",
        fact=f"the gateway lives and no longer writes its log: {why}",
        saw=f"{log.path}, {size(log.size_bytes)}: "
        + ("its last line says that writes are suppressed" if log.suppressed else "not writable by the gateway's user"),
        fix=f"none automatic: {fix}",
        proof=f"{seen.gateway.summary}, and {log.path} says so itself" if log.suppressed else "",
    )


@finds(
    "host/wal-large",
    checks=("host/wal",),
    cure=none(
        "the program that holds the write-ahead log must release it; nothing is lost meanwhile",
        proof="its own process lives, and the size of its write-ahead log was measured",
    ),
    means="a write-ahead log is not written back (a warning)",
    helps="see who holds it; never delete it",
)
def wal_large(seen: HostView, limits: HostLimits) -> Finding | None:
    """A database's write-ahead log keeps growing: somebody holds it open, or checkpoints fail (#143524, #148307)."""
    large = _largest({each.path: each.size_bytes for each in seen.wals}, limits.wal_large_bytes)
    if not large:
        return None
    look = f"none automatic: see who holds it open (lsof {_quoted(large[0][0])}); the last to close it writes it back"
    lives = seen.gateway is not None
    return Finding(
        "host/wal-large",
        "warning",
        fact="a write-ahead log of the gateway's database is large: reads get slow and the disk fills",
        saw=_listed(large, limits.wal_large_bytes),
        fix=f"{look}: at a quiet time {RESTART}; never delete it" if lives else f"{look}; never delete it",
        proof=f"{seen.gateway.summary}; {_listed(large, limits.wal_large_bytes)}" if seen.gateway else "",
    )


@finds(
    "config/clobbered",
    checks=("config/kept",),
    cure=none(
        "a restart would make the replaced config the one that counts",
        proof="the copy that it put aside lies beside its config",
    ),
    means="OpenClaw replaced the config and put the old one aside (a warning)",
    helps="`diff -u`, put it back",
)
def config_clobbered(seen: HostView, limits: HostLimits) -> Finding | None:
    """OpenClaw replaced the config lately and put the former contents aside (#64419, #71477, #90546)."""
    if seen.copies is None:
        return None
    since = datetime.fromtimestamp(seen.at_s, UTC) - timedelta(seconds=limits.clobbered_window_s)
    fresh = [each for each in seen.copies.clobbered if each[0] >= since]
    if not fresh:
        return None
    backups = [f"{path.name} of {clock(when)}" for when, path in seen.copies.backups]
    return Finding(
        "config/clobbered",
        "warning",
        fact="the config was replaced, and what stood in it was put aside",
        saw=listing([f"{path.name} of {clock(when)}" for when, path in fresh], 3)
        + f"; {'backups: ' + ', '.join(backups[:3]) if backups else 'no backup beside it'}",
        fix=f"none automatic: see what was lost (diff -u {_quoted(fresh[0][1])} {_quoted(seen.copies.config)}) "
        "and put it back key by key: openclaw config set",
    )


@finds(
    "gateway/version-drift",
    state="serving",
    checks=("gateway/versions", "gateway/install"),
    cure=none(
        "it works; when an upgrade is completed by a restart is the operator's choice",
        proof="its own answer, its process' age or its unit says of which release it is",
    ),
    means="CLI, service and gateway are of different releases (a warning)",
    helps="restart after an upgrade",
)
def upgraded_under(seen: HostView, running: str | None) -> Finding | None:
    """The package was replaced under the running gateway: what it has not loaded yet is gone (#9536, #79739).

    Nothing to say where the same release was installed again. `running` is the gateway's own word, None if unknown.
    """
    package, gateway = seen.package, seen.gateway
    if package is None or gateway is None or package.written_s <= seen.at_s - gateway.age_s:
        return None
    if running is not None and release(running) == release(package.version):
        return None
    written = datetime.fromtimestamp(package.written_s, UTC)
    return Finding(
        "gateway/version-drift",
        "warning",
        fact="OpenClaw was upgraded under the running gateway: modules it has not loaded yet are gone",
        saw=f"{package.path} of release {package.version} was written {clock(written)}; {gateway.summary}"
        + (f", of release {running}" if running else ""),
        fix=RESTART,
        proof=f"{gateway.summary}, and its package was written after it had started",
    )


def _largest(sizes: Mapping[Path, int], limit_bytes: float) -> list[tuple[Path, int]]:
    """Files larger than the limit, largest first."""
    return sorted(((path, count) for path, count in sizes.items() if count > limit_bytes), key=lambda each: -each[1])


def _listed(large: Sequence[tuple[Path, int]], limit_bytes: float) -> str:
    return f"{listing([f'{path}: {size(count)}' for path, count in large], 5)}; limit {size(limit_bytes)}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def version_drift(cli: tuple[int, ...] | None, gateway: str | None, service: str = "") -> Finding | None:
    """CLI, service and running gateway are not of one release; None as well when one of them is not known.

    `service` is the release that the unit or daemon was installed by, where it names one.
    """
    running, service = release(gateway or ""), service if release(service) else ""
    if running is None or cli is None or (cli == running and not service):
        return None
    versions = {"CLI": ".".join(map(str, cli)), "gateway": gateway or "", "service": service}
    if len({release(each) for each in versions.values() if each}) == 1:
        return None
    stale_service = bool(service) and release(service) != cli
    fix = f"openclaw gateway install --force && {RESTART}" if stale_service else RESTART
    if cli < running:  # it would bring the older release up, on a state that the newer one has written
        fix = f"none automatic: put the release that runs first on PATH (npm install -g openclaw@{gateway})"
    return Finding(
        "gateway/version-drift",
        "warning",
        fact="the CLI, the service and the running gateway are not of one release",
        saw=", ".join(f"{name} {each}" for name, each in versions.items() if each),
        fix=fix,
        proof=f"the running gateway itself says that it is release {gateway}" if cli >= running else "",
    )


_TOLD_BYTES, _TOLD_COUNT = 100 * 2**20, 50
_WARN_BYTES = 2 * 2**30


@finds(
    "host/openclaw-leftovers",
    checks=("host/openclaw-leftovers",),
    cure=none("data is never deleted by a program of ours"),
    means="build and temporary directories that OpenClaw left behind (information; a warning from 2 GB on)",
    helps="remove those that nothing has open",
)
def openclaw_leftovers(found: Sequence[Leftovers]) -> Finding | None:
    """Old directories of OpenClaw's own that nothing has open; a few small ones are no finding (#155768: 141 GB)."""
    count, total = sum(each.count for each in found), sum(each.size_bytes for each in found)
    if total < _TOLD_BYTES and count < _TOLD_COUNT:
        return None
    largest = max(found, key=lambda each: each.size_bytes)
    return Finding(
        "host/openclaw-leftovers",
        "warning" if total >= _WARN_BYTES else "info",
        fact=f"OpenClaw left {count} directories behind, {_size(found, total)} in all",
        saw="; ".join(
            f"{each.count} of {each.place}/{each.pattern}, {size(each.size_bytes)}, none open, "
            f"the oldest {span(each.oldest_s)} old"
            for each in found
        ),
        fix="none automatic: those that nothing has open for a day are safe to remove; list them: "
        f"find {largest.place} -maxdepth 1 -type d -name '{largest.pattern}' -mmin +1440",
    )


def _size(found: Sequence[Leftovers], total: int) -> str:
    return size(total) if all(each.whole for each in found) else f"at least {size(total)}"
