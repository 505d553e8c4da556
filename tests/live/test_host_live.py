"""What surrounds a real gateway: files, processes, memory, a second gateway, another profile's gateway beside it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from oc_ops.judge import files as judge_files
from oc_ops.judge import gateway as judge_gateway
from oc_ops.judge import host as judge
from oc_ops.judge.host import HostLimits
from oc_ops.lab import sweep
from oc_ops.lab.config import free_ports
from oc_ops.lab.install import DEFAULT_VERSION
from oc_ops.lab.lab import START_S, Lab
from oc_ops.observe import host, processes
from oc_ops.observe.host import HostView
from oc_ops.observe.http import probe
from oc_ops.observe.probe import GatewayProbe, look
from oc_ops.observe.service import NO_SERVICE
from oc_ops.observe.target import locate
from tests.live.conftest import LabOf
from tests.live.examine import examine

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]

OLD_VERSION = "2026.5.28"
"""2026.9.6 refuses a second gateway of one state directory (exit 78); this one does not, and titles it `openclaw`."""


def view(lab: Lab) -> HostView:
    """One look at the machine around a lab."""
    target = locate(lab.environ)
    return host.look(
        target, processes.gateway_processes(target), places={}, log_files=[lab.log_file], executable=lab.openclaw
    )


def look_at(lab: Lab) -> GatewayProbe:
    """The doctor's own look at a lab's gateway."""
    return look(
        locate(lab.environ),
        "127.0.0.1",
        lab.port,
        budget_s=5.0,
        delay_limit_ms=60_000.0,
        service_of=lambda _target: NO_SERVICE,
    )


def until(holds: Callable[[], bool], patience_s: float) -> None:
    """Wait for a condition, with a deadline."""
    end = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


def test_a_healthy_gateway_s_surroundings_give_no_finding(lab: Lab) -> None:
    """Its files, processes and memory are seen, and none of it is out of bounds on a machine with room."""
    seen, roomy = view(lab), HostLimits(disk_low_bytes=1.0, memory_low_percent=0.001)
    assert seen.gateway is not None
    assert seen.sample is not None
    assert seen.gateway.rss_bytes > 100 * 2**20
    assert seen.package is not None
    assert seen.package.version == lab.version
    assert any(each.path.name == "openclaw.sqlite-wal" for each in seen.wals)
    assert [(each.path, each.current, each.writable) for each in seen.logs] == [(lab.log_file, True, True)]
    found = (
        judge.disk_low(seen, roomy),
        judge.memory_high(seen, [seen.sample], roomy),
        judge.orphans(seen),
        judge_files.log_oversized(seen, roomy),
        judge_files.log_silent(seen),
        judge_files.wal_large(seen, roomy),
        judge_files.config_clobbered(seen, roomy),
        judge_files.upgraded_under(seen, lab.version),
    )
    assert [each for each in found if each is not None] == []


def test_limits_that_are_passed_are_found_on_a_real_gateway(lab: Lab) -> None:
    """The same surroundings against limits that they exceed: each figure is the gateway's real one."""
    seen, tight = view(lab), replace(HostLimits(), gateway_rss_bytes=1, log_large_bytes=1, wal_large_bytes=-1)
    memory = judge.memory_high(seen, (), tight)
    assert memory is not None
    assert memory.severity == "warning"
    assert str(lab.log_file) in str(judge_files.log_oversized(seen, tight))
    assert "openclaw.sqlite-wal" in str(judge_files.wal_large(seen, tight))


@contextmanager
def second_gateway(lab: Lab, folder: Path, *options: str, port: int, **environ: str) -> Iterator[psutil.Process]:
    """Another gateway process beside the lab's, old enough to count; ended with all it has started."""
    with (folder / "second.out").open("wb") as output:
        child = subprocess.Popen(
            [str(lab.openclaw), *options, "gateway", "run", "--port", str(port)],
            env={**lab.environ, **environ},
            cwd=lab.home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        process = psutil.Process(child.pid)
        until(lambda: probe("127.0.0.1", port, "/healthz", budget_s=1.0).kind == "answered", START_S)
        until(lambda: time.time() - process.create_time() > processes.AMBIGUOUS_S + 1, 60)
        yield process
    finally:
        sweep.end(sweep.tree(psutil.Process(child.pid)), 10.0)
        child.wait()


@pytest.mark.nightly
def test_a_second_gateway_on_another_port_is_the_only_error(lab_of: LabOf, tmp_path: Path) -> None:
    """It has the same state directory, no lock and a plain title: found by its socket and its open database."""
    lab = lab_of(OLD_VERSION)
    port = free_ports()
    with second_gateway(lab, tmp_path, port=port, OPENCLAW_ALLOW_MULTI_GATEWAY="1") as second:
        seen = examine(lab, tmp_path, "--quick", environ={**lab.environ, "OC_OPS_HTTP_PROBE_S": "7"})
    assert seen.errors == ["gateway/duplicate"], seen.output
    found = seen.finding("gateway/duplicate")
    assert found["fact"] == "2 gateways run for the same state directory"
    assert f"pid {second.pid} (" in found["saw"]
    assert judge_gateway.duplicate(look_at(lab).processes) is None


@pytest.mark.parametrize("version", [DEFAULT_VERSION, pytest.param(OLD_VERSION, marks=pytest.mark.nightly)])
def test_another_profile_s_gateway_beside_ours_is_no_duplicate(lab_of: LabOf, tmp_path: Path, version: str) -> None:
    """`--profile side` has the same HOME and the same environment: its open database says that it is another's."""
    lab = lab_of(version)
    port, state_dir = free_ports(), lab.home / ".openclaw-side"
    state_dir.mkdir(mode=0o700)
    settings = json.loads(lab.config({"gateway": {"port": port}, "logging": {"file": str(tmp_path / "side.log")}}))
    (state_dir / "openclaw.json").write_text(json.dumps(settings), encoding="utf-8")
    with second_gateway(lab, tmp_path, "--profile", "side", port=port) as second:
        seen = look_at(lab)
        assert judge_gateway.duplicate(seen.processes) is None
        assert second.pid not in [each.pid for each in seen.processes]
        own = processes.gateway_processes(locate(lab.environ, "side"), listening_pid=second.pid)
        assert second.pid in [each.pid for each in own]
