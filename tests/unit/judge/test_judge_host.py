"""Judges of the machine: what is short, what is large, what was left over, and what is none of that."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from oc_ops.judge import files as judge_files
from oc_ops.judge import host as judge
from oc_ops.judge.finding import Finding
from oc_ops.judge.host import HostLimits
from oc_ops.observe.host import (
    ConfigCopies,
    Filesystem,
    HostView,
    LogFile,
    Memory,
    Sample,
    WriteAheadLog,
)
from oc_ops.observe.install import Package
from oc_ops.observe.leftovers import Orphan
from oc_ops.observe.processes import GatewayProcess

MB, GB, HOUR = 2**20, 2**30, 3600.0
LIMITS = HostLimits()
NOW = 1_790_000_000.0
PLENTY = Memory(16 * GB, 8 * GB, 4 * GB)


def view(**facts: object) -> HostView:
    """A machine with nothing wrong but what is given."""
    return HostView(**{"at_s": NOW, "memory": PLENTY, **facts})  # type: ignore[arg-type]  # fields of HostView


def gateway(rss_bytes: int = 700 * MB, age_s: float = 10 * HOUR) -> GatewayProcess:
    """A gateway that takes as much."""
    return GatewayProcess(41, 1, age_s, "sleeping", 1.0, rss_bytes, "openclaw-gateway", "titled openclaw-gateway")


def found(finding: Finding | None) -> Finding:
    """The finding, which there must be; `saw` is one line."""
    assert finding is not None
    assert "\n" not in finding.saw
    return finding


# -- disk ---------------------------------------------------------------------------------------------------------


def disk(total_bytes: int, free_bytes: int, **facts: object) -> HostView:
    """A machine with one file system."""
    place = Filesystem(("state directory", "logs"), Path("/srv"), total_bytes, free_bytes, **facts)  # type: ignore[arg-type]
    return view(filesystems=(place,))


@pytest.mark.parametrize(
    ("total", "free", "severity"),
    [
        (250 * GB, 20 * GB, None),
        (8000 * GB, 60 * GB, None),
        (250 * GB, 4 * GB, "warning"),
        (250 * GB, 900 * MB, "error"),
        (10 * GB, 1100 * MB, None),
        (10 * GB, 900 * MB, "warning"),
        (10 * GB, 150 * MB, "error"),
        (256 * MB, 200 * MB, None),
        (256 * MB, 100 * MB, "warning"),
        (256 * MB, 20 * MB, "error"),
        (10 * GB, 0, "error"),
    ],
)
def test_room_is_measured_in_bytes_and_in_per_cent(total: int, free: int, severity: str | None) -> None:
    """A small file system is not low because it is small, nor a large one because 5 % of it are gone."""
    finding = judge.disk_low(disk(total, free), LIMITS)
    assert (finding.severity if finding else None) == severity


def test_a_full_file_system_says_what_lies_on_it() -> None:
    """Which of our places, how much is free, and nothing is offered for deletion."""
    finding = found(judge.disk_low(disk(10 * GB, 100 * MB), LIMITS))
    assert finding.check == "host/disk-low"
    assert finding.fact == "a file system that the gateway needs is full"
    assert finding.saw == "/srv (state directory, logs) has 100 MB free of 10.0 GB"
    assert finding.fix.startswith("none automatic: see what fills it (df -h /srv)")
    assert "rm " not in finding.fix


@pytest.mark.parametrize(
    ("files", "free", "severity"),
    [(0, 0, None), (16_000_000, 100_000, None), (16_000_000, 40_000, "warning"), (1_000_000, 5_000, "error")],
)
def test_inodes_run_out_too(files: int, free: int, severity: str | None) -> None:
    """Where their number is fixed at all: btrfs and APFS tell none."""
    finding = judge.disk_low(disk(250 * GB, 100 * GB, files=files, free_files=free), LIMITS)
    assert (finding.severity if finding else None) == severity
    assert finding is None or "inodes" in finding.saw


def test_a_read_only_file_system_is_named_as_such() -> None:
    """An error whatever room it has, and not one of room."""
    finding = found(judge.disk_low(disk(10 * GB, 0, read_only=True), LIMITS))
    assert (finding.severity, finding.fact) == ("error", "a file system that the gateway needs is read-only")
    assert finding.saw == "/srv (state directory, logs) is read-only"
    assert "mount" in finding.fix


def test_the_worst_file_system_speaks_and_the_others_are_shown() -> None:
    """One finding for all of them: its words are the worst one's."""
    low, full = disk(10 * GB, 900 * MB).filesystems[0], disk(10 * GB, 0).filesystems[0]
    finding = found(judge.disk_low(view(filesystems=(low, replace(full, path=Path("/var tmp")))), LIMITS))
    assert finding.severity == "error"
    assert finding.fix.startswith("none automatic: see what fills it (df -h '/var tmp')")
    assert finding.saw.startswith("/var tmp (")
    assert "; /srv (" in finding.saw


# -- memory -------------------------------------------------------------------------------------------------------


def series(*rss_mb: float, every_s: float = 1200.0, **changes: float) -> tuple[Sample, ...]:
    """Samples of one process that end now."""
    first_s = NOW - every_s * (len(rss_mb) - 1)
    started_s = changes.get("started_s", NOW - 10 * HOUR)
    return tuple(Sample(first_s + n * every_s, 41, started_s, int(rss * MB), 0) for n, rss in enumerate(rss_mb))


def test_a_machine_with_room_and_a_modest_gateway_is_well() -> None:
    """2026.9.6 takes 0.7 GB idle and passes 1 GB at work: that is no finding."""
    for rss_bytes in (700 * MB, 2 * GB):
        assert judge.memory_high(view(gateway=gateway(rss_bytes)), series(*[rss_bytes / MB] * 9), LIMITS) is None
    assert judge.memory_high(view(), (), LIMITS) is None


@pytest.mark.parametrize(
    ("available", "severity", "words"),
    [(700 * MB, "warning", "the machine is short of memory"), (100 * MB, "error", "the machine is out of memory")],
)
def test_a_machine_short_of_memory(available: int, severity: str, words: str) -> None:
    """Below 5 % a warning, below 1 % an error; the gateway is shown and not blamed."""
    memory = Memory(16 * GB, available, 2 * GB, 2 * GB)
    finding = found(judge.memory_high(view(memory=memory, gateway=gateway()), (), LIMITS))
    assert (finding.check, finding.severity) == ("host/memory-high", severity)
    assert finding.fact.startswith(words)
    assert f"{available // MB} MB of 16.0 GB available, swap 2.0 GB of 2.0 GB; pid 41 (" in finding.saw
    assert "restart" not in finding.fix


@pytest.mark.parametrize(("left", "severity"), [(1500 * MB, None), (80 * MB, "warning"), (10 * MB, "error")])
def test_a_control_group_short_of_memory(left: int, severity: str | None) -> None:
    """A container's limit is what the kernel kills by, whatever the machine has left."""
    finding = judge.memory_high(view(gateway=gateway(), group=Memory(2 * GB, left)), (), LIMITS)
    assert (finding.severity if finding else None) == severity
    assert finding is None or finding.fact.startswith("the gateway's control group is ")


def test_a_gateway_that_takes_much_is_a_warning() -> None:
    """9.3 GB were seen (#154812): it still works, so it is no error; a restart at a quiet time helps for a while."""
    finding = found(judge.memory_high(view(gateway=gateway(9 * GB)), (), LIMITS))
    assert (finding.severity, finding.fact) == ("warning", "the gateway takes 9.0 GB of memory, limit 3.0 GB")
    assert "openclaw gateway restart" in finding.fix


def test_a_gateway_that_grows_is_a_warning() -> None:
    """600 MB an hour over 3 hours, while it is still below the limit."""
    finding = found(judge.memory_high(view(gateway=gateway(2700 * MB)), series(*range(900, 2800, 200)), LIMITS))
    assert finding.fact == "the gateway's memory grows by 600 MB an hour"


def test_a_small_gateway_may_grow() -> None:
    """From 0.2 to 0.9 GB is a gateway that settles in."""
    samples = series(*range(200, 1000, 80))
    assert judge.growth_bytes_h(samples) > LIMITS.rss_growth_bytes_h * 0.9
    assert judge.memory_high(view(gateway=gateway(900 * MB)), samples, replace(LIMITS, rss_growth_bytes_h=1)) is None


@pytest.mark.parametrize(
    "samples",
    [
        (),
        series(1000, 2000, 3000, 4000, 5000),
        series(*range(1000, 4000, 100), every_s=60),
        series(1000, 3000, 1000, 3000, 1000, 3000, 1000, 3000, 1000),
        series(*range(4000, 1000, -300)),
        series(*range(1000, 4000, 300), started_s=NOW - HOUR),
    ],
    ids=["none", "few", "short", "saw-tooth", "shrinking", "younger than its samples"],
)
def test_what_may_come_back_is_no_growth(samples: Sequence[Sample]) -> None:
    """Few samples, a short while, a collection that gives it back, another process: none of it is certain growth."""
    assert judge.growth_bytes_h(samples) == 0.0


def test_growth_is_that_of_one_process() -> None:
    """A restart begins anew: what another process had, or the same pid at another start, does not count."""
    grown = series(*range(1000, 4000, 300))
    assert judge.growth_bytes_h(grown) == pytest.approx(900 * MB)
    for other in (replace(grown[-1], pid=42), replace(grown[-1], started_s=NOW - 5 * HOUR)):
        assert judge.growth_bytes_h((*grown[:-1], other)) == 0.0


def test_swapping_counts_when_memory_is_low() -> None:
    """10 MB a second swapped out over five minutes: with room left it is housekeeping, without it is thrashing."""
    samples = series(700, 700, every_s=300)
    samples = (samples[0], replace(samples[1], swapped_out_bytes=300 * 10 * MB))
    low = Memory(16 * GB, int(1.2 * GB), 4 * GB, 3 * GB)
    finding = found(judge.memory_high(view(memory=low), samples, LIMITS))
    assert finding.fact == "the machine is swapping: 10 MB a second go out"
    assert judge.memory_high(view(), samples, LIMITS) is None
    assert judge.memory_high(view(memory=low), samples[1:], LIMITS) is None
    rebooted = (replace(samples[0], swapped_out_bytes=9 * GB), samples[1])
    assert judge.memory_high(view(memory=low), rebooted, LIMITS) is None


# -- logs ---------------------------------------------------------------------------------------------------------


def log(size_bytes: int, name: str = "main.log", **facts: object) -> LogFile:
    """A log of the gateway."""
    return LogFile(Path("/logs") / name, size_bytes, **facts)  # type: ignore[arg-type]  # fields of LogFile


def test_a_log_within_its_own_rotation_is_no_finding() -> None:
    """2026.9.6 rotates at 100 MB."""
    assert judge_files.log_oversized(view(logs=(log(100 * MB), log(0, "b.log"))), LIMITS) is None


def test_an_oversized_log_is_named_and_not_deleted() -> None:
    """The largest first; moved aside, as what it says may be needed."""
    view_ = view(logs=(log(300 * MB), log(19 * GB, "gateway.err.log")))
    finding = found(judge_files.log_oversized(view_, LIMITS))
    assert (finding.check, finding.severity) == ("logs/oversized", "warning")
    assert finding.fact == "2 logs have grown past their limit"
    assert finding.saw == "/logs/gateway.err.log: 19.0 GB, /logs/main.log: 300 MB; limit 256 MB"
    assert "mv /logs/gateway.err.log /logs/gateway.err.log.old" in finding.fix
    many = view(logs=tuple(log(GB, f"{n}.log") for n in range(9)))
    assert " and 4 more; limit" in found(judge_files.log_oversized(many, LIMITS)).saw


def test_a_suppressed_log_is_silent() -> None:
    """The gateway's own last word, as long as there is a gateway and it has gone on to no other file."""
    capped = log(500 * MB, current=True, suppressed=True, writable=True)
    finding = found(judge_files.log_silent(view(gateway=gateway(), logs=(capped,))))
    assert (finding.check, finding.severity) == ("logs/silent", "warning")
    assert finding.fact == "the gateway lives and no longer writes its log: its size cap is reached"
    assert finding.fix.startswith("none automatic: mv /logs/main.log /logs/main.log.old")
    assert judge_files.log_silent(view(logs=(capped,))) is None
    assert judge_files.log_silent(view(gateway=gateway(), logs=(replace(capped, current=False),))) is None


def test_a_log_that_may_not_be_written_is_silent() -> None:
    """Rights or a read-only file system; unknown rights are no finding, nor is a log that is merely old."""
    locked = log(5, current=True, writable=False)
    finding = found(judge_files.log_silent(view(gateway=gateway(), logs=(locked,))))
    assert finding.fix.startswith("none automatic: see why (ls -ld /logs/main.log /logs)")
    for writable in (True, None):
        assert judge_files.log_silent(view(gateway=gateway(), logs=(replace(locked, writable=writable),))) is None


# -- databases, config, package, leftovers ------------------------------------------------------------------------


def test_a_large_write_ahead_log_is_a_warning() -> None:
    """Above 64 MB; the advice never is to delete it."""
    wal = WriteAheadLog(Path("/state/openclaw.sqlite-wal"), 65 * MB)
    finding = found(judge_files.wal_large(view(wals=(wal,)), LIMITS))
    assert (finding.check, finding.severity) == ("host/wal-large", "warning")
    assert finding.saw == "/state/openclaw.sqlite-wal: 65 MB; limit 64 MB"
    assert "lsof /state/openclaw.sqlite-wal" in finding.fix
    assert "never delete it" in finding.fix
    assert judge_files.wal_large(view(wals=(replace(wal, size_bytes=64 * MB),)), LIMITS) is None


def copies(*ages_h: float, backup: bool = True) -> HostView:
    """A config that was replaced so many hours ago."""
    now, config = datetime.fromtimestamp(NOW, UTC), Path("/s/openclaw.json")
    put_aside = tuple((now - timedelta(hours=age), Path(f"/s/openclaw.json.clobbered.{age:g}")) for age in ages_h)
    backups = ((now - timedelta(days=9), Path("/s/openclaw.json.bak")),) if backup else ()
    return view(copies=ConfigCopies(config, put_aside, backups))


def test_a_config_that_was_replaced_lately_is_a_warning() -> None:
    """With the times, the backups beside it, and the command that shows what was lost."""
    finding = found(judge_files.config_clobbered(copies(1, 2, 3, 4, 30), LIMITS))
    assert (finding.check, finding.severity) == ("config/clobbered", "warning")
    assert finding.saw.startswith("openclaw.json.clobbered.1 of 2026-09-21 ")
    assert " and 1 more; backups: openclaw.json.bak of 2026-09-12 " in finding.saw
    assert "(diff -u /s/openclaw.json.clobbered.1 /s/openclaw.json)" in finding.fix
    assert "no backup beside it" in found(judge_files.config_clobbered(copies(1, backup=False), LIMITS)).saw


def test_a_config_that_was_replaced_long_ago_is_none() -> None:
    """OpenClaw keeps 32 of them: yesterday's news is no finding."""
    assert judge_files.config_clobbered(copies(25), LIMITS) is None
    assert judge_files.config_clobbered(copies(), LIMITS) is None
    assert judge_files.config_clobbered(view(), LIMITS) is None


@pytest.mark.parametrize(
    ("written_h_ago", "running", "is_found"),
    [(1, "2026.9.5", True), (1, None, True), (1, "2026.9.6", False), (20, "2026.9.5", False)],
    ids=["upgraded", "running release unknown", "same release again", "before the start"],
)
def test_an_upgrade_under_a_running_gateway_is_drift(written_h_ago: float, running: str | None, is_found: bool) -> None:
    """npm replaces the modules that a running gateway has yet to load (#9536); the same release does no harm."""
    package = Package(Path("/lib/openclaw/package.json"), "2026.9.6", NOW - written_h_ago * HOUR)
    finding = judge_files.upgraded_under(view(gateway=gateway(), package=package), running)
    assert (finding is not None) is is_found
    assert finding is None or (finding.check, finding.severity) == ("gateway/version-drift", "warning")
    assert finding is None or finding.fix == "openclaw gateway restart"
    assert judge_files.upgraded_under(view(package=package), running) is None
    assert judge_files.upgraded_under(view(gateway=gateway()), running) is None


def test_orphans_are_counted_weighed_and_named() -> None:
    """Count, memory, pids; looked at first, and never ended by us."""
    left = (
        Orphan(7, "browser", "chromium --headless", 7200, 9, 900 * MB),
        Orphan(8, "MCP server", "npm exec x", 60, 1, MB),
    )
    finding = found(judge.orphans(view(orphans=left)))
    assert (finding.check, finding.severity) == ("host/orphans", "warning")
    assert finding.fact == "10 processes outlived the gateway that started them"
    assert finding.saw.startswith("901 MB in all: browser pid 7, 9 processes, 120 min old: chromium --headless; MCP")
    assert finding.fix == "none automatic: look at them (ps -fp 7,8), then kill 7 8"
    assert found(judge.orphans(view(orphans=left[1:]))).fact == "a process outlived its gateway"
    assert "; and 2 more" in found(judge.orphans(view(orphans=left[:1] * 7))).saw
    assert judge.orphans(view()) is None


@pytest.mark.parametrize(
    ("swap_used", "available", "found"),
    [(3.7, 1.0, True), (3.7, 8.0, False), (1.0, 1.0, False), (0.0, 1.0, False)],
    ids=["used up, memory short", "used up, memory free", "memory alone is short", "unused"],
)
def test_swap_counts_where_memory_is_short_too(swap_used: float, available: float, found: bool) -> None:
    """What was swapped out once and stays there beside free memory is no fault."""
    memory = Memory(16 * GB, int(available * GB), 4 * GB, int(swap_used * GB))
    finding = judge.swap_high(view(memory=memory), LIMITS)
    assert (finding is not None) == found
    if finding is not None:
        assert (finding.check, finding.severity) == ("host/swap-high", "warning")
        assert "3.7 GB of 4.0 GB swap used" in finding.saw


def test_a_machine_without_swap_has_none_to_use_up() -> None:
    """No division by what is not there."""
    assert judge.swap_high(view(memory=Memory(16 * GB, GB)), LIMITS) is None


@pytest.mark.parametrize(("percent", "heard"), [(None, False), (0.0, False), (9.9, False), (10.0, True), (64.0, True)])
def test_a_gateway_that_stands_still_for_want_of_memory(percent: float | None, heard: bool) -> None:
    """A warning by the kernel's own measure; a little of it is an ordinary day."""
    found = judge.memory_high(view(gateway=gateway(), stalled_percent=percent), (), LIMITS)
    assert (found is not None) is heard
    if found is not None:
        assert found.severity == "warning"
        assert f"{percent:.0f} % of the time" in found.fact
