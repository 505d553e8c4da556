"""The machine around the gateway: room, memory, logs, databases, copies of the config, what was left behind."""

from __future__ import annotations

from checks.check import check
from checks.report import Report
from oc_ops.doctor import summary
from oc_ops.doctor.observations import Doctor
from oc_ops.doctor.outcomes import NotAsked
from oc_ops.doctor.surroundings import Surroundings
from oc_ops.judge import files as judge_files
from oc_ops.judge import host as judge
from oc_ops.observe import leftovers


@check("host/clock", lane="files")
def test_clock_may_be_right(surroundings: Surroundings, report: Report) -> None:
    """The machine's clock is not before 2020, nor before the installed release, nor after 2100."""
    report(surroundings.clock_off())


@check("host/folders", lane="files")
def test_nobody_else_may_replace_our_folders(surroundings: Surroundings, report: Report) -> None:
    """No folder above our reports, memory and keys lets everybody rename what is in it."""
    report(judge.folder_open(surroundings.open_folders()))


@check("host/disk", lane="files")
def test_disks_have_room(surroundings: Surroundings, report: Report) -> None:
    """The file systems of state, temporary files, logs, reports and memory have room and can be written."""
    report(judge.disk_low(surroundings.host(), surroundings.host_limits))


@check("host/memory", lane="files", by_clock=True)
def test_memory_suffices(surroundings: Surroundings, report: Report) -> None:
    """The machine has memory left, and the gateway neither takes too much of it nor ever more."""
    report(judge.memory_high(surroundings.host(), surroundings.memory_series(), surroundings.host_limits))


@check("host/swap", lane="files")
def test_swap_has_room(surroundings: Surroundings, report: Report) -> None:
    """The machine's swap is not exhausted while its memory is short."""
    report(judge.swap_high(surroundings.host(), surroundings.host_limits))


@check("host/leftovers", lane="files")
def test_nothing_outlived_its_gateway(surroundings: Surroundings, report: Report) -> None:
    """No browser and no MCP server of a gateway that is gone still runs."""
    report(judge.orphans(surroundings.host()))


@check("host/openclaw-leftovers", lane="files")
def test_openclaw_leaves_little_behind(doctor: Doctor, report: Report) -> None:
    """OpenClaw's own build and temporary directories do not pile up."""
    if why := "--quick walks no folder" if doctor.quick else doctor.spared():
        raise NotAsked(why)
    report(judge_files.openclaw_leftovers(leftovers.leftovers(doctor.target)))


@check("host/wal", lane="files")
def test_write_ahead_logs_are_written_back(surroundings: Surroundings, report: Report) -> None:
    """The write-ahead logs of the gateway's databases stay small."""
    report(judge_files.wal_large(surroundings.host(), surroundings.host_limits))


@check("logs/size", lane="files")
def test_logs_stay_within_their_limit(surroundings: Surroundings, report: Report) -> None:
    """No log of the gateway or of its service manager has grown past its limit."""
    report(judge_files.log_oversized(surroundings.host(), surroundings.host_limits))


@check("logs/written", lane="files")
def test_gateway_can_log(surroundings: Surroundings, report: Report) -> None:
    """A gateway that lives can write its log; that it has nothing to say is no fault."""
    report(judge_files.log_silent(surroundings.host()))


@check("config/kept", lane="files", by_clock=True)
def test_config_was_not_replaced(surroundings: Surroundings, report: Report) -> None:
    """OpenClaw has not put the config aside and another in its place lately."""
    report(judge_files.config_clobbered(surroundings.host(), surroundings.host_limits))


@check("gateway/install", lane="files", by_clock=True)
def test_install_is_what_runs(doctor: Doctor, surroundings: Surroundings, report: Report) -> None:
    """The installed package was not replaced by another release since the gateway started."""
    if doctor.target.container is not None:
        raise NotAsked("the package inside a container is not looked at from outside")
    if surroundings.host().package is None:
        raise NotAsked(f"{doctor.executable()} does not show which package it belongs to")
    report(judge_files.upgraded_under(surroundings.host(), summary.gateway_version(doctor)))
