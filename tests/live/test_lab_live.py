"""The lab with a real OpenClaw: up, its jobs, its faults and their undoing, down, and nothing left."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import psutil
import pytest

from oc_ops.lab import config, faults, install, sweep
from oc_ops.lab.gateway import Lab
from oc_ops.lab.jobs import NAMES
from oc_ops.observe.http import Probe, probe

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]

Fault = Callable[[Lab], AbstractContextManager[object]]


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
    assert (status.up, status.healthy, status.browser) == (True, True, config.find_chromium() is not None)
    return lab


def test_up_is_complete(well: Lab) -> None:
    """The gateway answers an authenticated read, and its three jobs are there."""
    call = well.call("gateway", "status", "--json", "--require-rpc", "--timeout", "8000")
    assert call.outcome == "answered", call.summary
    assert sorted(_jobs(well)) == sorted(NAMES)


def test_second_up_changes_nothing_and_is_quick(well: Lab) -> None:
    """A lab that is up stays as it is: same process, no word of progress, within two seconds."""
    before, said = well.status(), list[str]()
    start = time.monotonic()
    after = well.up(said.append)
    assert time.monotonic() - start < 2.0
    assert (after, said) == (before, [])


def test_another_process_sees_it(well: Lab) -> None:
    """Status is the same for whoever opens the folder."""
    assert Lab(well.root).status() == well.status()


def test_gateway_log_is_the_labs_own(well: Lab) -> None:
    """The gateway logs inside the lab's folder."""
    assert well.log_file.stat().st_size > 0


def _hung(lab: Lab) -> bool:
    process = lab.listener()
    return process is not None and process.status() == psutil.STATUS_STOPPED and _look(lab).kind == "silent"


def _refused(lab: Lab) -> bool:
    return _look(lab).kind == "refused" and not lab.status().up


def _strange(lab: Lab) -> bool:
    return _look(lab).content_type == "text/html" and not lab.status().up


def _browser_off(lab: Lab) -> bool:
    call = lab.call("browser", "--json", "status")
    return "browser.enabled=false" in call.stdout.text + call.stderr.text


def _cron_off(lab: Lab) -> bool:
    return json.loads(lab.call("cron", "status", "--json").stdout.text)["enabled"] is False


def _invalid(lab: Lab) -> bool:
    call = lab.call("config", "validate", "--json")
    return call.outcome == "refused" and json.loads(call.stdout.text)["valid"] is False and lab.healthy()


def _starting(lab: Lab) -> bool:
    return lab.status().up and not lab.healthy()


def _listening(lab: Lab) -> bool:
    return _look(lab).kind == "answered" and not lab.healthy()


def _fail_inside(fault: AbstractContextManager[object], seen: Callable[[], bool]) -> None:
    with fault:
        assert seen()
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        pytest.param(faults.stopped, _hung, id="stopped"),
        pytest.param(faults.killed, _refused, id="killed"),
        pytest.param(faults.port_taken, _strange, id="port-taken"),
        pytest.param(faults.broken_config, _invalid, id="broken-config"),
        pytest.param(lambda lab: faults.broken_config(lab, "schema"), _invalid, id="invalid-config"),
        pytest.param(faults.browser_disabled, _browser_off, id="browser-disabled"),
        pytest.param(faults.browser_stopped, lambda lab: not lab.browser_runs(), id="browser-stopped"),
        pytest.param(faults.cron_disabled, _cron_off, id="cron-disabled"),
        pytest.param(faults.starting, _starting, id="starting"),
        pytest.param(lambda lab: faults.starting(lab, listening=True), _listening, id="starting-and-listening"),
    ],
)
def test_fault_is_real_and_undone(well: Lab, fault: Fault, seen: Callable[[Lab], bool]) -> None:
    """A fault is there while it lasts, and afterwards the lab is as well as before, even after an error inside."""
    port, good = well.port, well.config_path.read_bytes()
    with pytest.raises(ZeroDivisionError):
        _fail_inside(fault(well), lambda: seen(well))
    status = well.status()
    assert (status.up, status.healthy, status.browser) == (True, True, config.find_chromium() is not None)
    assert (status.port, well.config_path.read_bytes()) == (port, good)
    assert not seen(well)


def test_wrong_token_is_rejected(well: Lab) -> None:
    """The other token is refused by a gateway that answers the right one; its file is gone afterwards."""
    with faults.wrong_token(well) as environ:
        call = well.call("gateway", "status", "--json", "--require-rpc", "--timeout", "8000", environ=environ)
        assert Path(environ["OPENCLAW_CONFIG_PATH"]).stat().st_mode & 0o777 == 0o600
    assert call.outcome == "refused"
    assert "token mismatch" in call.stdout.text + call.stderr.text
    assert not Path(environ["OPENCLAW_CONFIG_PATH"]).exists()


def test_down_leaves_nothing_and_up_brings_it_back(well: Lab) -> None:
    """After `down` no process lives in the lab, not even a hung call; `up` finds port, token and jobs again."""
    before = (well.port, well.token)
    well.down()
    assert sweep.residents(well.root) == []
    assert not well.status().up
    assert _look(well).kind == "refused"
    well.up()
    assert (well.port, well.token) == before
    assert sorted(_jobs(well)) == sorted(NAMES)


@pytest.mark.parametrize("version", [each for each in install.RELEASES if each != install.DEFAULT_VERSION])
def test_older_releases_are_up_and_down_too(lab_of: Callable[[str], Lab], version: str) -> None:
    """The other pinned releases install, start, take the jobs and are hung, killed and mended alike."""
    old = lab_of(version)
    assert old.status().healthy
    assert sorted(_jobs(old)) == sorted(NAMES)
    with faults.stopped(old):
        assert _hung(old)
    with faults.killed(old):
        assert _refused(old)
    assert old.status().healthy
    old.down()
    assert sweep.residents(old.root) == []


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
