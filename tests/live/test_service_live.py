"""The doctor beside a real service manager: a throwaway `systemd --user` that runs, or cannot run, the gateway."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from oc_ops.lab.config import free_ports
from oc_ops.lab.gateway import Lab
from oc_ops.observe.service import service
from oc_ops.observe.target import locate
from tests.live.examine import Examination, examine

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(300),
    pytest.mark.skipif(sys.platform != "linux", reason="systemd exists on Linux only; launchd's words are unit tests"),
]

UNIT = "openclaw-gateway.service"
SYSTEMD = Path("/lib/systemd/systemd")


@dataclass(frozen=True, slots=True)
class Manager:
    """A user service manager of the test's own: nothing of it is the machine's."""

    root: Path
    environ: dict[str, str]

    def start(self, exec_start: str, *settings: str) -> None:
        """Install the gateway's unit with these [Service] lines and start it."""
        unit = self.root / "config" / "systemd" / "user" / UNIT
        unit.parent.mkdir(parents=True, exist_ok=True)
        lines = ["[Unit]", "StartLimitIntervalSec=0", "[Service]", f"ExecStart={exec_start}", *settings]
        unit.write_text("\n".join(lines) + "\n")
        self._systemctl("daemon-reload")
        self._systemctl("restart", "--no-block", UNIT)

    def stop(self) -> None:
        """Stop the unit and forget that it failed."""
        self._systemctl("stop", UNIT)
        self._systemctl("reset-failed")

    def until(self, state: str, restarts: int = 0) -> None:
        """Wait for what the doctor's own room says of the unit."""
        target = locate(self.environ)
        self._await(lambda: (seen := service(target)).state == state and (seen.restarts or 0) >= restarts)

    def _systemctl(self, *words: str) -> None:
        subprocess.run(["systemctl", "--user", *words], env=self.environ, check=False, capture_output=True, timeout=30)

    def _await(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < end, service(locate(self.environ))
            time.sleep(0.05)


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    """A D-Bus and a `systemd --user` in a folder of their own, ended afterwards with all they started."""
    root = tmp_path_factory.mktemp("sd")
    # systemd wants to see that it booted the machine; a container or CI box may lack the folder that says so.
    booted = Path("/run/systemd/system")
    made_here = not booted.exists()
    booted.mkdir(parents=True, exist_ok=True)
    runtime = root / "run"
    runtime.mkdir(mode=0o700)
    environ = {
        "HOME": str(root),
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "XDG_RUNTIME_DIR": str(runtime),
        "XDG_CONFIG_HOME": str(root / "config"),
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/bus",
    }
    bus = shutil.which("dbus-daemon") or "dbus-daemon"
    argvs = ([bus, "--session", f"--address=unix:path={runtime}/bus", "--nofork"], [str(SYSTEMD), "--user"])
    processes = []
    try:
        for argv in argvs:
            processes.append(subprocess.Popen(argv, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        made = Manager(root, environ)
        asked = ["systemctl", "--user", "is-system-running", "--wait"]
        made._await(lambda: b"running" in subprocess.run(asked, env=environ, check=False, capture_output=True).stdout)
        yield made
        made.stop()
    finally:
        for each in reversed(processes):
            each.terminate()
            each.wait(20)
        if made_here:
            shutil.rmtree(booted, ignore_errors=True)


def look(lab: Lab, manager: Manager, folder: Path, config: dict[str, object]) -> Examination:
    """A doctor run on a gateway whose state lives in the manager's own home."""
    state = manager.root / ".openclaw"
    state.mkdir(exist_ok=True)
    (state / "openclaw.json").write_text(json.dumps(config))
    return examine(lab, folder, environ={**manager.environ, "PATH": lab.environ["PATH"]})


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
    assert seen.errors == ["gateway/crash-loop"], seen.output
    assert "exit 78" in seen.finding("gateway/crash-loop")["saw"]
    assert "restart" in seen.finding("gateway/crash-loop")["fix"]
    assert seen.finding("gateway/crash-loop")["fix"].startswith("none automatic")


def test_a_gateway_that_does_not_stay_up_is_a_crash_loop(lab: Lab, manager: Manager, tmp_path: Path) -> None:
    """A unit that systemd restarts again and again is named with the count, not told to start."""
    manager.start("/bin/false", "Restart=always", "RestartSec=2")
    manager.until("restarting", restarts=3)
    config: dict[str, object] = {"gateway": {"mode": "local", "port": free_ports()}}
    seen = look(lab, manager, tmp_path, config)
    manager.stop()
    assert seen.errors == ["gateway/crash-loop"], seen.output
    assert "keeps restarting" in seen.finding("gateway/crash-loop")["fact"]


def test_a_stopped_service_is_down_and_can_be_started(lab: Lab, manager: Manager, tmp_path: Path) -> None:
    """A unit that somebody stopped has the one fix that starts it."""
    manager.start("/bin/sleep 600")
    manager.until("running")
    manager.stop()
    manager.until("stopped")
    seen = look(lab, manager, tmp_path, {"gateway": {"mode": "local", "port": free_ports()}})
    assert seen.errors == ["gateway/down"], seen.output
    assert seen.finding("gateway/down")["fix"] == "openclaw gateway start"
