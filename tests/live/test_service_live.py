"""The doctor beside a real service manager: a throwaway `systemd --user` that runs, or cannot run, the gateway."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from oc_ops.lab.config import free_ports
from oc_ops.lab.lab import Lab
from tests.live.examine import Examination, examine
from tests.live.systemd import Manager, user_manager

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(sys.platform != "linux", reason="systemd exists on Linux only; launchd's words are unit tests"),
]


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    """A manager of this module's own, ended afterwards with all it started."""
    with user_manager(tmp_path_factory.mktemp("sd")) as made:
        yield made


def look(lab: Lab, manager: Manager, folder: Path, config: dict[str, object], *options: str) -> Examination:
    """A doctor run on a gateway whose state lives in the manager's own home."""
    state = manager.root / ".openclaw"
    state.mkdir(exist_ok=True)
    (state / "openclaw.json").write_text(json.dumps(config))
    return examine(lab, folder, *options, environ={**manager.environ, "PATH": lab.environ["PATH"]})


def test_a_gateway_that_exits_with_78_is_not_to_be_restarted(lab: Lab, manager: Manager, tmp_path: Path) -> None:
    """The real gateway refuses a config without gateway.mode with exit 78, and systemd leaves it there."""
    port = free_ports()
    config: dict[str, object] = {"gateway": {"port": port, "auth": {"token": "not-a-secret-0"}}}
    state = manager.root / ".openclaw"
    state.mkdir(exist_ok=True)
    (state / "openclaw.json").write_text(json.dumps({**config, "logging": {"file": str(manager.root / "gw.log")}}))
    path = f"Environment=HOME={manager.root} PATH={lab.environ['PATH']}"
    manager.start(
        f"{lab.openclaw} gateway run --port {port}",
        path,
        "Restart=always",
        "RestartSec=1",
        "RestartPreventExitStatus=78",
    )
    manager.until("failed")
    seen = look(lab, manager, tmp_path, {**config, "logging": {"file": str(manager.root / "gw.log")}})
    manager.stop()
    assert seen.errors == ["config/mode-missing"], seen.output
    assert "exit 78" in seen.finding("config/mode-missing")["saw"]
    assert seen.finding("config/mode-missing")["fix"].startswith("none automatic: openclaw config set gateway.mode")


def test_a_gateway_that_does_not_stay_up_is_a_crash_loop(lab: Lab, manager: Manager, tmp_path: Path) -> None:
    """A unit that systemd restarts again and again is named with the count, not told to start."""
    manager.start("/bin/false", "Restart=always", "RestartSec=2")
    manager.until("restarting", restarts=3)
    config: dict[str, object] = {"gateway": {"mode": "local", "port": free_ports()}}
    seen = look(lab, manager, tmp_path, config, "--quick")
    manager.stop()
    assert seen.errors == ["gateway/crash-loop"], seen.output
    assert "keeps restarting" in seen.finding("gateway/crash-loop")["fact"]


def test_a_stopped_service_is_down_and_can_be_started(lab: Lab, manager: Manager, tmp_path: Path) -> None:
    """A unit that somebody stopped has the one fix that starts it."""
    manager.start("/bin/sleep 600")
    manager.until("running")
    manager.stop()
    manager.until("stopped")
    seen = look(lab, manager, tmp_path, {"gateway": {"mode": "local", "port": free_ports()}}, "--quick")
    assert seen.errors == ["gateway/down"], seen.output
    assert seen.finding("gateway/down")["fix"] == "openclaw gateway start"


def test_a_stopped_unit_of_any_name_is_the_one_to_start(lab: Lab, manager: Manager, tmp_path: Path) -> None:
    """A person's own unit is in no list of names: what it runs makes it the gateway's."""
    own, port = manager.install("/bin/false"), free_ports()
    own.unlink()
    command, home = f"{lab.openclaw} gateway run --port {port}", f"Environment=HOME={manager.root}"
    theirs = replace(manager, unit="claw.service").install(command, home)
    try:
        seen = look(lab, manager, tmp_path, {"gateway": {"mode": "local", "port": port}}, "--quick")
    finally:
        theirs.unlink()
        manager.systemctl("daemon-reload")
    assert seen.errors == ["gateway/down"], seen.output
    assert seen.finding("gateway/down")["fix"] == "systemctl --user start claw.service"


def test_a_unit_whose_program_is_gone_is_told_so(lab: Lab, manager: Manager, tmp_path: Path) -> None:
    """After an update that moved it, systemd cannot execute it: no start is advised."""
    gone = manager.root / "moved" / "openclaw"
    manager.start(f"{gone} gateway run", "Restart=no")
    manager.until("failed")
    seen = look(lab, manager, tmp_path, {"gateway": {"mode": "local", "port": free_ports()}}, "--quick")
    manager.stop()
    assert seen.errors == ["service/exec-missing"], seen.output
    assert "moved/openclaw, which is not there" in seen.finding("service/exec-missing")["fact"]


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("WorkingDirectory=/gone/folder", "its WorkingDirectory /gone/folder is not there"),
        ("EnvironmentFile=/gone/env", "its EnvironmentFile /gone/env is not there"),
        ("StandardOutput=append:/gone/out.log", "its StandardOutput cannot be opened"),
    ],
)
def test_a_unit_that_begins_nothing_is_told_why(
    setting: str, words: str, lab: Lab, manager: Manager, tmp_path: Path
) -> None:
    """systemd ends each start before its program begins: no start is advised."""
    manager.start("/bin/sleep 600", "Restart=no", setting)
    manager.until("failed")
    seen = look(lab, manager, tmp_path, {"gateway": {"mode": "local", "port": free_ports()}}, "--quick")
    manager.stop()
    assert seen.errors == ["service/unit-broken"], seen.output
    assert words in seen.finding("service/unit-broken")["fact"]
