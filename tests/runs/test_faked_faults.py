"""Whole runs on faults that a healthy OpenClaw cannot be made to have: each is found as itself, as the only error."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.gatewayprocess import gateway_process
from tests.support.machine import CLI, Operator, closed_port, gateway

IMPATIENT = {
    "OC_OPS_HTTP_PROBE_S": "2",
    "OC_OPS_RPC_REQUEST_S": "2",
    "OC_OPS_CLI_TIMEOUT_S": "4",
    "OC_OPS_CALL_S": "6",
    "OC_OPS_KILL_GRACE_S": "0.2",
}


def only_error(operator: Operator) -> str:
    """The one error finding of the latest report, which is also its cause."""
    latest = operator.latest()
    errors = [each["check"] for each in latest["findings"] if each["severity"] == "error"]
    assert errors == [latest["cause"]], latest["findings"]
    check: str = errors[0]
    return check


def blocked(operator: Operator, check: str) -> str | None:
    """What a check of the latest report was blocked by."""
    by: str | None = next(each["blocked_by"] for each in operator.latest()["checks"] if each["id"] == check)
    return by


def test_a_status_that_is_never_answered_is_rpc_unanswered(tmp_path: Path) -> None:
    """HTTP lives, the authenticated read gets no answer in two looks, and no `openclaw` call repeats the wait."""
    with gateway(silent="status") as port:
        operator = Operator(tmp_path, port)
        run = operator.run(**IMPATIENT)
    assert run.code == 1, run.out
    assert only_error(operator) == "gateway/rpc-unanswered"
    assert blocked(operator, "cron/list") == "gateway/rpc-unanswered"
    assert [each for each in operator.calls if not each.startswith("--version")] == []


def test_a_job_list_that_is_never_answered_is_list_unanswered(tmp_path: Path) -> None:
    """The scheduler's silence is one finding; the operator's own `cron list` would only wait as well."""
    with gateway(silent="cron.list") as port:
        operator = Operator(tmp_path, port)
        run = operator.run(**IMPATIENT)
    assert run.code == 1, run.out
    assert only_error(operator) == "cron/list-unanswered"
    assert blocked(operator, "cron/list") == "cron/list-unanswered"
    assert not [each for each in operator.calls if each.startswith("cron list")]


BROWSER = '"gateway call browser.request": {"enabled": True, "running": True},'
REFUSAL = '"gateway call browser.request": {"ok": False, "error": {"message": "timed out after 1500ms"}},'


@pytest.mark.parametrize("how", ["refuses", "hangs"])
def test_a_browser_control_that_does_not_answer_is_unanswered(tmp_path: Path, how: str) -> None:
    """The gateway's word that it timed out is the browser's fault; a command that says nothing proves none of it."""
    with gateway() as port:
        operator = Operator(tmp_path, port)
        executable = tmp_path / "bin" / "openclaw"
        told = CLI.replace(BROWSER, REFUSAL)
        assert told != CLI
        wait = 'import signal\nif "browser.request" in words:\n    signal.pause()\nprint('
        executable.write_text(told if how == "refuses" else CLI.replace("print(", wait, 1))
        run = operator.run(**IMPATIENT)
    assert run.code == 1, run.out
    if how == "hangs":
        assert operator.latest()["verdict"] == "unknown"
        assert operator.latest()["findings"] == []
        assert "browser" in run.last_line
        return
    assert only_error(operator) == "browser/unanswered"
    assert "openclaw browser --browser-profile openclaw stop" in run.last_line


def test_a_command_whose_node_is_too_old_is_unusable(tmp_path: Path) -> None:
    """The gateway lives, seen over HTTP and RPC; what the operator types does not work, and the reason is named."""
    with gateway() as port:
        operator = Operator(tmp_path, port)
        executable = tmp_path / "bin" / "openclaw"
        executable.write_text('#!/bin/sh\necho "openclaw: Node.js v18.19.0 is unsupported" >&2\nexit 1\n')
        run = operator.run()
    assert run.code == 1, run.out
    assert only_error(operator) == "cli/unusable"
    assert "its Node.js is too old" in run.last_line
    assert blocked(operator, "gateway/status") == "cli/unusable"


@contextmanager
def deaf_process(operator: Operator) -> Iterator[int]:
    """A process with the gateway's title that its lock names and that never listens, older than a second."""
    argv = ["openclaw-gateway", "-c", "import signal; signal.pause()"]
    with subprocess.Popen(argv, executable=sys.executable, env=operator.environ) as process:
        try:
            created = psutil.Process(process.pid).create_time()
            lock = operator.config.parent / "tmp" / "openclaw-0" / "gateway.0a1b2c3d.lock"
            lock.parent.mkdir(parents=True, exist_ok=True)
            lock.write_text(json.dumps({"pid": process.pid, "configPath": str(operator.config)}))
            deadline = time.monotonic() + 60
            while time.time() - created < 1.5 and time.monotonic() < deadline:
                time.sleep(0.05)
            yield process.pid
        finally:
            process.kill()


def test_a_gateway_process_that_does_not_listen_is_a_zombie(tmp_path: Path) -> None:
    """Beyond its start budget it is no slow start any more; within it, it is."""
    operator = Operator(tmp_path, closed_port())
    with deaf_process(operator) as pid:
        operator.run("--quick", OC_OPS_START_BUDGET_S="1")
        assert only_error(operator) == "gateway/zombie"
        assert f"pid {pid}" in operator.latest()["findings"][0]["saw"]
        run = operator.run("--quick")
        latest = operator.latest()
        assert (run.code, latest["verdict"], latest["cause"]) == (0, "degraded", None)
        assert [each["check"] for each in latest["findings"]] == ["gateway/starting"]
        assert run.last_line.startswith("doctor: degraded")
        mute = {each["id"]: each["outcome"] for each in latest["checks"]}
        assert {mute[each] for each in ("gateway/live", "gateway/ready", "gateway/rpc")} == {"skipped"}


def test_a_drain_is_a_warning_until_its_budget_is_over(tmp_path: Path) -> None:
    """A planned restart that goes on is waited for, told with since when and until when; beyond that it is stuck."""

    def drains(http: dict[str, Any]) -> None:
        http["/startupz"].update(ok=False, status="draining")
        for each in ("/startupz", "/readyz"):
            del http[each]["uptimeMs"]  # a fake's does not grow: the second look would be at another start

    with gateway(drains) as port:
        operator = Operator(tmp_path, port)
        run = operator.run("--quick")
        latest = operator.latest()
        assert (run.code, latest["verdict"], latest["cause"]) == (0, "degraded", None), run.out
        (found,) = latest["findings"]
        assert (found["check"], found["severity"]) == ("gateway/draining", "warning")
        assert "seen first at " in found["saw"]
        assert "wait until " in found["fix"]
        outcome = {each["id"]: each["outcome"] for each in latest["checks"]}
        assert {outcome[each] for each in ("gateway/rpc", "cron/list")} == {"skipped"}
        stuck = operator.run("--quick", OC_OPS_DRAIN_BUDGET_S="0.001")
    assert stuck.code == 1, stuck.out
    assert only_error(operator) == "gateway/drain-stuck"
    assert blocked(operator, "gateway/rpc") == "gateway/drain-stuck"


def test_a_machine_without_a_config_is_told_so(tmp_path: Path) -> None:
    """No config and nothing that runs: not a dead gateway, but one that was never set up, or another user's."""
    operator = Operator(tmp_path, closed_port())
    operator.config.unlink()
    (operator.config.parent / "agents").mkdir()  # set up once: another gateway of this machine is not the one meant
    run = operator.run("--quick")
    assert run.code == 1, run.out
    assert only_error(operator) == "config/invalid"
    assert "there is no config" in run.last_line
    assert "openclaw setup" in run.last_line


@pytest.mark.parametrize("text", ['{"gateway": {"port": 4711,,}}', '{"gateway": "local"}'], ids=["syntax", "kind"])
def test_a_config_that_is_broken_is_one_red_line(tmp_path: Path, text: str) -> None:
    """Where nothing runs no port is known either: that is no second thing that could not be looked at."""
    operator = Operator(tmp_path, closed_port())
    for lock in tmp_path.rglob("gateway*.lock"):
        lock.unlink()
    operator.config.write_text(text)
    run = operator.run("--quick")
    assert run.code == 1, run.out
    assert only_error(operator) == "config/invalid"
    checks = operator.latest()["checks"]
    assert [each["id"] for each in checks if each["outcome"] in ("failed", "error")] == ["config/valid"]
    assert blocked(operator, "gateway/live") == "config/invalid"


@pytest.mark.parametrize("by", ["config", "shell"])
def test_a_gateway_on_another_port_is_healthy_with_a_warning(tmp_path: Path, by: str) -> None:
    """Changed in the config or in the looking shell: every lane goes where the gateway is, and recovery leaves it."""
    wanted = closed_port()
    operator = Operator(tmp_path, wanted)
    with gateway_process(tmp_path / "home") as own:
        if by == "shell":
            operator.configure(own.port)
        environ = {"OPENCLAW_GATEWAY_PORT": str(wanted)} if by == "shell" else {}
        run = operator.run(OC_OPS_START_BUDGET_S="1", **environ)
    assert run.code == 0, run.out
    report = operator.latest()
    assert [each["check"] for each in report["findings"]] == ["gateway/port-drift"]
    assert (report["verdict"], report["openclaw"]["port"]) == ("degraded", own.port)
    assert (report["lanes"]["http"], report["lanes"]["rpc"]) == ("ok", "ok")
    said = "OPENCLAW_GATEWAY_PORT in the environment" if by == "shell" else "gateway.port in "
    assert f"serves port {own.port}, and {said}" in report["findings"][0]["fact"]
    assert report["findings"][0]["fact"].endswith(f"says {wanted}")


def test_a_gateway_that_may_be_ours_and_is_hidden_is_unknown(tmp_path: Path) -> None:
    """Run without its sockets to see: not down, not a zombie, and the one thing that would let us see."""
    operator = Operator(tmp_path, closed_port())
    hide = tmp_path / "hide" / "sitecustomize.py"
    hide.parent.mkdir()
    hide.write_text(
        "import psutil\ndef denied(*_, **__):\n    raise psutil.AccessDenied\npsutil.Process.net_connections = denied\n"
    )
    with gateway_process(tmp_path / "home", "deaf") as own:
        run = operator.run("--quick", OC_OPS_START_BUDGET_S="0.1", PYTHONPATH=str(hide.parent))
    assert run.code == 1, run.out
    report = operator.latest()
    assert (report["verdict"], report["findings"]) == ("unknown", [])
    assert f"the sockets of pid {own.pid}" in run.out
    assert "run the doctor as user" in run.out
