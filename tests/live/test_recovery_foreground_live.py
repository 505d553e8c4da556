"""Recovery of a real gateway that nobody supervises: what it can do there, and what it leaves to a person."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from oc_ops.act.recover.outcome import Observation, examine
from oc_ops.act.recover.run import recover
from oc_ops.judge.finding import Finding
from oc_ops.lab import sweep
from oc_ops.lab.lab import Lab
from oc_ops.observe.http import probe
from oc_ops.process.tree import alive
from oc_ops.settings import PROJECT, load
from tests.live.recovered import PATIENT, Recovered
from tests.support import faults

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]


def in_lab(lab: Lab, folder: Path, *, browser: str = "off") -> Recovered:
    """`python recover.py --json` for a foreground gateway."""
    environ = {
        **lab.environ,
        "OC_OPS_OPENCLAW": str(lab.openclaw),
        "OC_OPS_MEMORY_DIR": str(folder / "memory"),
        "OC_OPS_REPORT_DIR": str(folder / "reports"),
        "OC_OPS_BROWSER": browser,
        "OC_OPS_CONFIRM_GAP_S": "1",
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_RUNTIME_DIR": str(folder / "no-user-manager"),
        **PATIENT,
    }
    done = subprocess.run(
        [sys.executable, str(PROJECT / "recover.py"), "--json"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.stdout.strip(), done.stderr
    return Recovered(done.returncode, json.loads(done.stdout), done.stderr)


@pytest.mark.nightly
def test_a_foreground_gateway_is_let_go_on(lab: Lab, tmp_path: Path) -> None:
    """Without a service too, one that is merely stopped goes on as the process that it was."""
    with faults.stopped(lab) as pid:
        stopped = in_lab(lab, tmp_path / "stopped")
        assert psutil.Process(pid).status() != psutil.STATUS_STOPPED
    assert stopped.exit == 0, stopped.progress
    assert f"gateway/hung is gone after one `kill -CONT {pid}`" in stopped.sentence


def test_a_foreground_gateway_is_not_started_or_ended(lab: Lab, tmp_path: Path) -> None:
    """Without a service one that is held stopped, or gone, is left with what to do by hand."""
    gateway = lab.listener()
    assert gateway is not None
    pid = gateway.pid
    with faults.held(gateway):
        hung = in_lab(lab, tmp_path / "held")
    assert hung.exit == 1, hung.progress
    assert f"by hand: kill {pid}, then kill -KILL {pid}" in hung.sentence
    assert psutil.pid_exists(pid)
    with faults.killed(lab):
        gone = in_lab(lab, tmp_path / "gone")
    assert gone.exit == 4, gone.progress
    assert "openclaw gateway run" in gone.sentence
    assert gone.outcome["acted"] is False


@pytest.mark.nightly
def test_a_foreground_gateway_that_can_be_asked_is_drained_in_place(
    lab_with_browser: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2026.9.6 restarts without a service too: `--safe`, the same process, a new start, and its browser back."""
    lab = lab_with_browser
    environ = {
        **lab.environ,
        **PATIENT,
        "OC_OPS_OPENCLAW": str(lab.openclaw),
        "OC_OPS_MEMORY_DIR": str(tmp_path / "memory"),
        "OC_OPS_REPORT_DIR": str(tmp_path / "reports"),
        "OC_OPS_BROWSER": "running",
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_RUNTIME_DIR": str(tmp_path / "no-user-manager"),
    }
    for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, environ[name])
    settings = load(environ=environ)
    found = Finding(
        "gateway/rpc-unanswered",
        "error",
        "it is said not to answer",
        "a test says so",
        "none automatic: -",
        proof="its own process took a connection and answered no read",
    )
    said = Observation("unhealthy", found, (found,))
    script = [said]
    listener = lab.listener()
    assert listener is not None
    outcome = recover(settings, environ, lambda: script.pop() if script else examine(settings, environ), first=said)
    assert outcome.exit == 0, outcome.sentence
    assert "`openclaw gateway restart --safe`" in outcome.sentence
    assert lab.listener() == listener
    uptime = (probe("127.0.0.1", lab.port, "/readyz", budget_s=2.0).json or {})["uptimeMs"]
    assert isinstance(uptime, (int, float))
    assert uptime / 1000 < outcome.duration_s
    assert lab.browser_runs()


def main_browser(lab: Lab) -> psutil.Process:
    """The lab's browser itself, none of its helpers."""
    (main,) = (each for each in sweep.browsers(lab.root) if "--type=" not in " ".join(each.cmdline()))
    return main


def test_a_browser_that_was_stopped_is_started(lab_with_browser: Lab, tmp_path: Path) -> None:
    """Stopped by the operator's command it is started; the gateway goes on."""
    lab = lab_with_browser
    gateway = lab.listener()
    with faults.browser_stopped(lab):
        seen = in_lab(lab, tmp_path, browser="running")
        assert (seen.exit, seen.outcome["cause"]) == (0, "browser/not-running"), seen.progress
        assert lab.browser_runs()
    assert lab.listener() == gateway


@pytest.mark.nightly
def test_a_browser_that_is_frozen_is_made_anew(lab_with_browser: Lab, tmp_path: Path) -> None:
    """Frozen by SIGSTOP; the gateway goes on."""
    lab = lab_with_browser
    gateway = lab.listener()
    frozen = main_browser(lab)
    frozen.suspend()
    try:
        seen = in_lab(lab, tmp_path, browser="running")
    finally:
        if alive(frozen):
            frozen.resume()
    assert (seen.exit, seen.outcome["cause"]) == (0, "browser/not-running"), seen.progress
    assert main_browser(lab) != frozen
    assert lab.listener() == gateway
