"""What systemd and launchd say, as recorded, and how they are asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from oc_ops.observe.service import NO_SERVICE, _launchd, _systemd, service
from oc_ops.observe.target import locate

UNIT = "openclaw-gateway.service"
LABEL = "ai.openclaw.gateway"


def shown(**values: str) -> str:
    """`systemctl --user show` prints every property asked for, in an order of its own."""
    usual = {
        "Result": "success",
        "NRestarts": "0",
        "ExecMainStatus": "0",
        "MainPID": "0",
        "LoadState": "loaded",
        "ActiveState": "active",
        "SubState": "running",
    }
    return "".join(f"{name}={value}\n" for name, value in (usual | values).items())


@pytest.mark.parametrize(
    ("answer", "state", "pid", "summary"),
    [
        (shown(MainPID="4711"), "running", 4711, "is running (active/running)"),
        (
            shown(ActiveState="activating", SubState="auto-restart", Result="exit-code", MainPID="0", NRestarts="3"),
            "restarting",
            None,
            "is restarting, result exit-code, restarted 3 times (activating/auto-restart)",
        ),
        (
            shown(ActiveState="activating", SubState="auto-restart-queued", Result="signal", ExecMainStatus="9"),
            "restarting",
            None,
            "is restarting, result signal, last exit 9 (activating/auto-restart-queued)",
        ),
        (shown(ActiveState="activating", SubState="start", MainPID="12"), "running", 12, "(activating/start)"),
        (shown(ActiveState="deactivating", SubState="stop-sigterm", MainPID="12"), "running", 12, "stop-sigterm)"),
        (
            shown(ActiveState="failed", SubState="failed", Result="start-limit-hit", ExecMainStatus="1", NRestarts="5"),
            "failed",
            None,
            "is failed, result start-limit-hit, last exit 1, restarted 5 times (failed/failed)",
        ),
        (
            shown(ActiveState="failed", SubState="failed", Result="exit-code", ExecMainStatus="78"),
            "failed",
            None,
            "is failed, result exit-code, last exit 78 (failed/failed)",
        ),
        (shown(ActiveState="inactive", SubState="dead"), "stopped", None, "is stopped (inactive/dead)"),
        (shown(ActiveState="maintenance", SubState="x"), "unknown", None, "is unknown (maintenance/x)"),
        (shown(MainPID="[not set]", NRestarts=""), "running", None, "is running (active/running)"),
    ],
    ids=[
        "running", "auto-restart", "newer auto-restart", "starting", "stopping", "start limit", "exit 78", "inactive",
        "unknown", "unset",
    ],
)  # fmt: skip
def test_systemd_s_words_are_understood(answer: str, state: str, pid: int | None, summary: str) -> None:
    """Each recorded answer of `systemctl show` has one meaning."""
    found = _systemd(UNIT, answer)
    assert (found.manager, found.unit, found.state, found.pid) == ("systemd", UNIT, state, pid)
    assert found.summary.startswith(f"systemd unit {UNIT} ")
    assert found.summary.endswith(summary)


@pytest.mark.parametrize("answer", [None, "", shown(LoadState="not-found", ActiveState="inactive"), "garbage\n\n"])
def test_no_unit_is_absent(answer: str | None) -> None:
    """`show` exits 0 for a unit that does not exist: its LoadState tells."""
    assert _systemd(UNIT, answer) == NO_SERVICE


def printed(state: str, *lines: str) -> str:
    """`launchctl print` of an agent, with the nested blocks of the real thing."""
    own = "".join(f"\t{line}\n" for line in lines)
    return (
        f"gui/501/{LABEL} = {{\n\tactive count = 1\n\tpath = /Users/u/Library/LaunchAgents/{LABEL}.plist\n"
        f"\ttype = LaunchAgent\n\tstate = {state}\n\n\tprogram = /opt/homebrew/bin/node\n"
        "\targuments = {\n\t\t/opt/homebrew/bin/node\n\t\t/opt/openclaw.mjs\n\t\tgateway\n\t\tpid = 666\n\t}\n\n"
        "\tstdout path = /Users/u/.openclaw/logs/gateway.log\n"
        "\tinherited environment = {\n\t\tSSH_AUTH_SOCK => /private/tmp/com.apple.launchd.x/Listeners\n\t}\n\n"
        "\tdefault environment = {\n\t\tPATH => /usr/bin:/bin:/usr/sbin:/sbin\n\t}\n\n"
        "\tenvironment = {\n\t\tOPENCLAW_GATEWAY_PORT => 18789\n\t\tstate = running\n\t\truns = 99\n\t}\n\n"
        "\tdomain = gui/501 [100005]\n\tasid = 100005\n\tminimum runtime = 1\n\texit timeout = 20\n"
        f"{own}"
        "\n\tspawn type = daemon (3)\n\tjetsam priority = 40\n"
        "\tresource coalition = {\n\t\tID = 1170\n\t\ttype = resource\n\t\tstate = active\n\t\tactive count = 1\n"
        f"\t\tname = {LABEL}\n\t}}\n\n"
        "\tsockets = {\n\t\tlast exit code = 99\n\t}\n"
        "\tproperties = keepalive | runatload | inferred program\n}\n"
    )


@pytest.mark.parametrize(
    ("answer", "state", "pid", "restarts", "exit_status"),
    [
        (printed("running", "runs = 1", "pid = 4711", "last exit code = (never exited)"), "running", 4711, 0, None),
        (printed("running", "runs = 4", "pid = 4711", "last exit code = 1"), "running", 4711, 3, 1),
        (printed("spawn scheduled", "runs = 9", "last exit code = 1"), "restarting", None, 8, 1),
        (printed("not running", "runs = 3", "last exit code = 78: EX_CONFIG"), "failed", None, 2, 78),
        (printed("not running", "runs = 0", "last exit code = (never exited)"), "stopped", None, 0, None),
        (printed("not running", "runs = 1", "last exit code = 0"), "stopped", None, 0, 0),
        (printed("waiting", "runs = 1", "last exit code = 0"), "stopped", None, 0, 0),
        (printed("uninterruptible", "runs = 1", "pid = 4711"), "unknown", 4711, 0, None),
    ],
    ids=["running", "restarted", "throttled", "exit 78", "never started", "stopped", "waiting", "unknown word"],
)
def test_launchd_s_words_are_understood(
    answer: str, state: str, pid: int | None, restarts: int | None, exit_status: int | None
) -> None:
    """Only the agent's own lines count: nested blocks hold keys of the same name with other values."""
    found = _launchd(LABEL, answer)
    assert (found.state, found.pid, found.restarts, found.exit_status) == (state, pid, restarts, exit_status)
    assert found.summary.startswith(f"launchd unit {LABEL} is {state}")


def test_launchd_that_says_no_means_absent() -> None:
    """`launchctl print` fails for a label that is not loaded."""
    assert _launchd(LABEL, None) == NO_SERVICE


def manager(folder: Path, name: str, script: str) -> None:
    """A service manager that notes how it was asked."""
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "$0 $*" > {folder}/asked\necho "$XDG_RUNTIME_DIR" >> {folder}/asked\n{script}')
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("platform", "profile", "words"),
    [
        ("linux", None, "systemctl --user show openclaw-gateway.service --property=LoadState,ActiveState,"),
        ("linux", "work", "systemctl --user show openclaw-gateway-work.service --property=LoadState,ActiveState,"),
        ("darwin", None, f"launchctl print gui/{os.getuid()}/ai.openclaw.gateway"),
        ("darwin", "work", f"launchctl print gui/{os.getuid()}/ai.openclaw.work"),
    ],
)
def test_the_manager_is_asked_for_openclaw_s_own_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, profile: str | None, words: str
) -> None:
    """One read-only question, and under cron the user's manager is still found."""
    name = words.split()[0]
    manager(tmp_path, name, f"printf '{shown(MainPID='7') if name == 'systemctl' else printed('running', 'pid = 7')}'")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    found = service(locate({"HOME": str(tmp_path)}, profile), platform)
    assert (found.state, found.pid) == ("running", 7)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0].startswith(f"{tmp_path}/{words}")
    assert asked[1] == f"/run/user/{os.getuid()}"


def test_a_manager_that_refuses_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No user bus, or no manager at all: nobody supervises."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    target = locate({"HOME": str(tmp_path)})
    manager(tmp_path, "systemctl", "echo Failed to connect to bus >&2; exit 1")
    assert service(target, "linux") == NO_SERVICE
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert service(target, "linux") == NO_SERVICE


@pytest.mark.parametrize(
    ("platform", "name", "unit"), [("linux", "systemctl", UNIT), ("darwin", "launchctl", LABEL)], ids=["linux", "macos"]
)
def test_a_manager_that_hangs_has_not_said_that_there_is_no_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, name: str, unit: str
) -> None:
    """It is given up in time, and what it manages is not known."""
    monkeypatch.setattr("oc_ops.observe.service._DEADLINE_S", 0.5)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    manager(tmp_path, name, "sleep 60")
    found = service(locate({"HOME": str(tmp_path)}), platform)
    assert (found.unit, found.state, found.pid) == (unit, "silent", None)
    assert found.summary.endswith(f"unit {unit} is silent (no answer within 0.5 s)")
