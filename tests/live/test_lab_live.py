"""The lab with a real OpenClaw: up, its jobs, its faults and their undoing, down, and nothing left."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest

from oc_ops.lab import install, sweep
from oc_ops.lab.config import NAMES
from oc_ops.lab.lab import Lab
from oc_ops.observe.http import Probe, probe
from tests.live.labs import TestLab
from tests.support import faults

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]


def _look(lab: Lab, path: str = "/healthz") -> Probe:
    return probe("127.0.0.1", lab.port, path, budget_s=2.0)


def _jobs(lab: Lab) -> list[str]:
    call = lab.call("cron", "list", "--json")
    assert call.outcome == "answered", call.summary
    return [job["name"] for job in json.loads(call.stdout.text)["jobs"] if job["name"].startswith("lab-")]


def _snapshot(folder: Path) -> dict[str, int]:
    """Every path below the user's own state directory with the time of its last change; empty if there is none."""
    return {str(path): path.lstat().st_mtime_ns for path in (folder, *folder.rglob("*")) if path.exists()}


@pytest.fixture(scope="module", autouse=True)
def users_own() -> dict[str, int]:
    """The user's own OpenClaw before any lab of this module was up."""
    return _snapshot(Path.home() / ".openclaw")


@pytest.fixture
def well(lab: Lab) -> Lab:
    """The lab, found well by every test whatever the last one did to it."""
    status = lab.status()
    assert (status.up, status.healthy) == (True, True)
    return lab


@pytest.mark.nightly
def test_down_leaves_nothing_and_up_brings_it_back(lab: Lab) -> None:
    """After `down` no process lives in the lab, not even a hung call; `up` finds port, token and jobs again."""
    assert isinstance(lab, TestLab)
    lab.with_browser = True
    before = (lab.port, lab.token)
    lab.down()
    assert sweep.residents(lab.root) == []
    assert not lab.status().up
    assert _look(lab).kind == "refused"
    lab.up()
    assert (lab.port, lab.token, lab.browser_runs()) == (*before, True)
    assert sorted(_jobs(lab)) == sorted(NAMES)


def test_up_is_complete(well: Lab) -> None:
    """The gateway answers an authenticated read, and its three jobs are there."""
    call = well.call("gateway", "status", "--json", "--require-rpc", "--timeout", "8000")
    assert call.outcome == "answered", call.summary
    assert sorted(_jobs(well)) == sorted(NAMES)


def test_second_up_changes_nothing_and_is_quick(well: Lab) -> None:
    """A lab that is up stays as it is: same process, no word of progress, and no call of seconds."""
    before, said = well.status(), list[str]()
    start = time.monotonic()
    after = well.up(said.append)
    assert time.monotonic() - start < 10.0
    assert (after, [each for each in said if each != "starting the browser"]) == (before, []), "this lab has no browser"


def test_another_process_sees_it(well: Lab) -> None:
    """Status is the same for whoever opens the folder."""
    assert Lab(well.root).status() == well.status()


def test_gateway_log_is_the_labs_own(well: Lab) -> None:
    """The gateway logs inside the lab's folder."""
    assert well.log_file.stat().st_size > 0


def test_a_fault_is_undone_after_an_error_inside(well: Lab) -> None:
    """A test that fails inside a fault leaves the lab as it was; the doctor's own tests show each fault real."""
    good = well.config_path.read_bytes()
    for fault in (faults.stopped, faults.broken_config):
        with suppress(ZeroDivisionError), fault(well):
            assert _look(well).kind == "silent" or well.config_path.read_bytes() != good
            raise ZeroDivisionError
        assert _look(well).kind == "answered"
        assert well.config_path.read_bytes() == good


def test_the_users_own_openclaw_is_untouched(well: Lab, users_own: dict[str, int]) -> None:
    """Whatever the labs of this module did, nothing appeared or changed in the user's own state directory."""
    assert well.home != Path.home()
    assert _snapshot(Path.home() / ".openclaw") == users_own


def test_npm_without_network_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real npm that meets a closed port is one clear sentence, and nothing is left that looks installed."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{closed.getsockname()[1]}/")
        monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
        with pytest.raises(install.LabError, match=r"cannot reach the npm registry to install OpenClaw 2026\.9\.6"):
            install.install(cache=tmp_path / "cache")
    assert list((tmp_path / "cache").glob("openclaw-*")) == []
