"""Judges of the machine around the gateway: room on disk, memory, processes that were left behind."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from oc_ops.judge.finding import Finding, Severity, finds, none
from oc_ops.judge.gateway import RESTART
from oc_ops.observe.host import Filesystem, HostView, Memory, Sample
from oc_ops.observe.install import Package, release
from oc_ops.text import clock, clock_trouble, listing

ERROR_PART = 5
"""An error needs to be this many times scarcer than a warning."""

_PERCENT_CAP = 5
"""A percentage alone is no shortage on a large disk: it counts up to this many times the absolute limit."""

_FEW_FILES = 50_000
"""Fewer free inodes than this are few, where they are also few per cent."""

_GROWTH_SAMPLES = 6
_GROWTH_S = 7200.0
_WARM_UP_S = 1800.0
"""Growth needs 6 samples over 2 hours of one process, its first half hour left out: caches fill up."""

_SETTLED_BYTES = 2**30
"""A gateway below this may grow as it likes: 2026.9.6 takes 0.7 GB idle, and more than 1 GB at work."""

_SWAP_OUT_BYTES_S = 4 * 2**20
_SWAP_LOOK_S = 1800.0
"""Swapping out this much a second, averaged since a sample at most this old, while memory is low, is thrashing."""

_AHEAD_S = 31 * 86_400
"""A release may carry the number of the next month; none of the 133 on npm in November 2026 does."""

_SWAP_FULL, _SHORT_PART = 0.9, 4
"""Swap that is used this much counts once less memory is available than this many times what is low."""


_STALLED_PERCENT = 10.0
"""The kernel's own measure (PSI, full): beyond this over minutes a gateway is slow for want of memory, not of CPU."""


class HostLimits(Struct, frozen=True):
    """Limits that the judges measure against; from the settings."""

    disk_low_bytes: float = 2**30
    disk_low_percent: float = 5.0
    memory_low_percent: float = 5.0
    gateway_rss_bytes: float = 3 * 2**30
    rss_growth_bytes_h: float = 256 * 2**20
    log_large_bytes: float = 256 * 2**20
    wal_large_bytes: float = 64 * 2**20
    clobbered_window_s: float = 86_400.0


@finds(
    "host/disk-low",
    checks=("host/disk", "state/readable"),
    cure=none("on a full disk a gateway may not come up again; room has to be made first"),
    means="a file system is full, low on room or inodes, or read-only (low is a warning)",
    helps="make room",
)
def disk_low(seen: HostView, limits: HostLimits) -> Finding | None:
    """A file system that the gateway or the doctor writes to is short of room or inodes, or is read-only.

    An error below a fifth of what is a warning: 200 MB or 1 % by default, the percentage up to 1 GB.
    """
    faults = sorted(
        (each for place in seen.filesystems for each in _disk_faults(place, limits)), key=lambda each: each[0]
    )
    if not faults:
        return None
    severity, worst, _saw = faults[0]
    path = shlex.quote(str(worst.path))
    state, fix = "is running out of room", f"see what fills it (df -h {path}) and make room; nothing is deleted for you"
    if worst.read_only:
        state, fix = "is read-only", f"see why (mount | grep {path}; the kernel's log names disk errors)"
    elif severity == "error":
        state = "is full"
    return Finding(
        "host/disk-low",
        severity,
        fact=f"a file system that the gateway needs {state}",
        saw="; ".join(saw for _severity, _place, saw in faults),
        fix=f"none automatic: {fix}",
    )


def _disk_faults(seen: Filesystem, limits: HostLimits) -> Iterator[tuple[Severity, Filesystem, str]]:
    place = f"{seen.path} ({', '.join(seen.places)})"
    if seen.read_only:
        yield "error", seen, f"{place} is read-only"
        return
    low = min(
        max(limits.disk_low_bytes, seen.total_bytes * limits.disk_low_percent / 100),
        limits.disk_low_bytes * _PERCENT_CAP,
        seen.total_bytes / 2,  # a small file system is not low because it is small
    )
    few = min(seen.files * limits.disk_low_percent / 100, _FEW_FILES)
    room = f"{place} has {size(seen.free_bytes)} free of {size(seen.total_bytes)}"
    files = f"{place} has {seen.free_files:,} inodes free of {seen.files:,}"
    for free, least, saw in ((seen.free_bytes, low, room), (seen.free_files, few, files)):
        if free < least:
            yield "error" if free < least / ERROR_PART else "warning", seen, saw


@finds(
    "host/clock-off",
    checks=("host/clock",),
    cure=none("no restart sets a clock, and jobs and TLS go by it as soon as it is right"),
    means="the machine's clock is before 2020, more than a month before the installed OpenClaw release, or after 2100: "
    "no age, due time or expiry can be judged",
    helps="set the clock",
)
def clock_off(now_s: float, package: Package | None = None) -> Finding | None:
    """The clock of a board without a battery, or one that somebody set: OpenClaw's schedules and TLS go by it too.

    `package` is the installed release, whose number is its date: 2026.9.6 is of September 2026 or later.
    """
    wrong, saw = clock_trouble(now_s), f"it is {clock(datetime.fromtimestamp(now_s, UTC))} by it"
    if not wrong and package is not None and now_s < _released_s(package.version) - _AHEAD_S:
        wrong = f"this machine's clock says {datetime.fromtimestamp(now_s, UTC):%Y-%m-%d}"
        saw += f", and {package.path} is of OpenClaw {package.version}"
    if not wrong:
        return None
    return Finding(
        "host/clock-off",
        "error",
        fact=f"{wrong}: no age, due time or expiry can be judged by it",
        saw=saw,
        fix="none automatic: set the clock (timedatectl set-ntp true, or sudo date -s), then look again",
    )


def _released_s(version: str) -> float:
    """The first of a release's month, in seconds since the epoch; 0 for a number that is no date."""
    year, month = (release(version) or (0, 0))[:2]
    if not (2024 <= year <= 2100 and 1 <= month <= 12):
        return 0.0
    return datetime(year, month, 1, tzinfo=UTC).timestamp()


@finds(
    "host/folder-open",
    checks=("host/folders",),
    cure=none("it is our own folder that is in danger"),
    means="everybody may write into a folder above one of ours, and put another in its place (a warning)",
    helps="the `chmod` that it prints",
)
def folder_open(above: Mapping[Path, Path]) -> Finding | None:
    """Others may rename a folder of ours; `above` holds each of ours with the folder in which they may."""
    if not above:
        return None
    openly = sorted({str(each) for each in above.values()})
    return Finding(
        "host/folder-open",
        "warning",
        fact="everybody may put another folder in the place of one of ours: no plan is approved meanwhile",
        saw="; ".join(f"{own} lies in {open_one}, mode without the sticky bit" for own, open_one in above.items()),
        fix=f"none automatic: keep others from renaming it (chmod +t {' '.join(map(shlex.quote, openly))})",
    )


@finds(
    "host/swap-high",
    checks=("host/swap",),
    cure=none("a restart frees no swap that others hold, and may find no memory to come up in"),
    means="swap is all but used up while memory is short too: what is asked for next ends a process (a warning)",
    helps="see who takes the memory",
)
def swap_high(seen: HostView, limits: HostLimits) -> Finding | None:
    """Swap is nearly used up and memory is short; full swap beside free memory was left there once, and is no fault."""
    memory = seen.memory
    used = memory.swap_used_bytes / memory.swap_bytes if memory.swap_bytes else 0.0
    if used < _SWAP_FULL or _percent(memory) >= limits.memory_low_percent * _SHORT_PART:
        return None
    return Finding(
        "host/swap-high",
        "warning",
        fact="the machine's swap is used up, and its memory is short",
        saw=f"{size(memory.swap_used_bytes)} of {size(memory.swap_bytes)} swap used, "
        f"{size(memory.available_bytes)} memory available of {size(memory.total_bytes)}",
        fix="none automatic: see who takes it (ps -Ao rss,pid,args | sort -n | tail), and end or move that",
    )


@finds(
    "host/memory-high",
    checks=("host/memory",),
    cure=none(
        "who takes the memory has to be known first; a gateway that works is restarted at a quiet time",
        proof="its own process was measured, and what it takes or by how much it grows",
    ),
    means="the machine is out of memory, or short; the gateway takes much, or ever more (warnings)",
    helps="see who takes it; restart at a quiet time",
)
def memory_high(seen: HostView, series: Sequence[Sample], limits: HostLimits) -> Finding | None:
    """The machine runs out of memory (an error), is short of it, or the gateway takes much or ever more (warnings).

    Resident memory and its growth count, not Node's heap, of which the worst known gateway showed little (#154812).
    A gateway that takes much is no outage, so it is an error only when nothing is left. `series` ends with the present.
    """
    machine, own = _machine_faults(seen.memory, series, limits), _gateway_faults(seen, series, limits)
    least = _percent(seen.memory)
    if seen.group is not None and (tight := _machine_faults(seen.group, (), limits, "the gateway's control group")):
        machine, least = machine + tight, min(least, _percent(seen.group))
    if not (machine or own):
        return None
    fix = "see who takes it (ps -Ao rss,pid,args | sort -n | tail)"
    if own:
        fix = f"at a quiet time {RESTART}; when it grows again, upgrade, and look for what makes it grow"
    return Finding(
        "host/memory-high",
        "error" if least < limits.memory_low_percent / ERROR_PART else "warning",
        fact=" and ".join(machine + own),
        saw="; ".join(_memory_saw(seen)),
        fix=f"none automatic: {fix}",
        proof=f"{seen.gateway.summary}: {' and '.join(own)}" if own and seen.gateway else "",
    )


def _memory_saw(seen: HostView) -> Iterator[str]:
    yield _memory_words(seen.memory)
    if seen.group is not None:
        yield f"within its own limit {size(seen.group.available_bytes)} of {size(seen.group.total_bytes)}"
    if seen.gateway is not None:
        yield seen.gateway.summary


def _machine_faults(
    memory: Memory, series: Sequence[Sample], limits: HostLimits, whose: str = "the machine"
) -> list[str]:
    percent, low, rate = _percent(memory), limits.memory_low_percent, _swapped_out_bytes_s(series)
    if percent < low / ERROR_PART:
        return [f"{whose} is out of memory: the kernel ends a process next"]
    if percent < low:
        return [f"{whose} is short of memory"]
    if rate > _SWAP_OUT_BYTES_S and percent < 2 * low:
        return [f"the machine is swapping: {size(rate)} a second go out"]
    return []


def _gateway_faults(seen: HostView, series: Sequence[Sample], limits: HostLimits) -> list[str]:
    if seen.gateway is None:
        return []
    rss_bytes, growth, faults = seen.gateway.rss_bytes, growth_bytes_h(series), []
    if rss_bytes > limits.gateway_rss_bytes:
        faults.append(f"the gateway takes {size(rss_bytes)} of memory, limit {size(limits.gateway_rss_bytes)}")
    if seen.stalled_percent is not None and seen.stalled_percent >= _STALLED_PERCENT:
        faults.append(
            f"its control group stands still for {seen.stalled_percent:.0f} % of the time, waiting for memory"
        )
    if growth > limits.rss_growth_bytes_h and rss_bytes > _SETTLED_BYTES:
        faults.append(f"the gateway's memory grows by {size(growth)} an hour")
    return faults


def _percent(memory: Memory) -> float:
    return 100 * memory.available_bytes / max(memory.total_bytes, 1)


def growth_bytes_h(series: Sequence[Sample]) -> float:
    """Growth of the last sample's own process in bytes an hour; 0 where it is not certain to grow.

    Certain is what a garbage collection does not give back: the least of the last third stands above the most of the
    first third, over at least 6 samples and 2 hours, the first half hour of the process left out.
    """
    if not series:
        return 0.0
    last = series[-1]
    own = [
        each
        for each in series
        if each.pid == last.pid and abs(each.started_s - last.started_s) < 5 and each.at_s - each.started_s > _WARM_UP_S
    ]
    if len(own) < _GROWTH_SAMPLES or own[-1].at_s - own[0].at_s < _GROWTH_S:
        return 0.0
    third = len(own) // 3
    first, final = own[:third], own[-third:]
    if min(each.rss_bytes for each in final) <= max(each.rss_bytes for each in first):
        return 0.0
    middle = third // 2  # of samples ordered by time, so that their moments need no sorting
    grown = sorted(each.rss_bytes for each in final)[middle] - sorted(each.rss_bytes for each in first)[middle]
    return grown / (final[middle].at_s - first[middle].at_s) * 3600


def _swapped_out_bytes_s(series: Sequence[Sample]) -> float:
    """Bytes swapped out a second since the oldest sample of the last half hour; 0 when there is none."""
    recent = [each for each in series if series[-1].at_s - each.at_s <= _SWAP_LOOK_S]
    if len(recent) < 2 or recent[-1].at_s - recent[0].at_s < 30:
        return 0.0
    return (recent[-1].swapped_out_bytes - recent[0].swapped_out_bytes) / (recent[-1].at_s - recent[0].at_s)


@finds(
    "host/orphans",
    checks=("host/leftovers",),
    cure=none("they outlived a restart already", proof="each is seen to have outlived the gateway that started it"),
    means="a browser or MCP server outlived its gateway (a warning)",
    helps="look, then end those pids",
)
def orphans(seen: HostView) -> Finding | None:
    """Processes that outlived their gateway hold memory, ports and locks (#68406: 191 of them took 10.6 GB)."""
    left = seen.orphans
    if not left:
        return None
    count = sum(each.processes for each in left)
    pids = " ".join(str(each.pid) for each in left)
    named = [
        f"{each.kind} pid {each.pid}, {each.processes} processes, {each.age_s / 60:.0f} min old: {each.title[:80]}"
        for each in left
    ]
    return Finding(
        "host/orphans",
        "warning",
        fact=f"{count} processes outlived the gateway that started them"
        if count > 1
        else "a process outlived its gateway",
        saw=f"{size(sum(each.rss_bytes for each in left))} in all: {listing(named, 5, '; ')}",
        fix=f"none automatic: look at them (ps -fp {','.join(pids.split())}), then kill {pids}",
    )


def _memory_words(memory: Memory) -> str:
    swap = f", swap {size(memory.swap_used_bytes)} of {size(memory.swap_bytes)}" if memory.swap_bytes else ", no swap"
    return f"{size(memory.available_bytes)} of {size(memory.total_bytes)} available{swap}"


def size(count: float) -> str:
    """Bytes in the unit that an operator reads."""
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"
