"""How a fix is told: never what just failed, and never an edit that Nix would take back."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from oc_ops.doctor.advice import Advice, in_nix
from oc_ops.gateway import Gateway
from oc_ops.judge.finding import Finding
from oc_ops.judge.lifecycle import REFUSALS
from oc_ops.observe import service
from oc_ops.record.incidents import book
from oc_ops.record.incidents.events import Attempt, Event, Fault, GatewayName, Outcome
from oc_ops.record.incidents.rules import RunSummary
from oc_ops.record.run import environment
from oc_ops.settings import Settings
from tests.support.containers import inspected, runtime

RESTART = "openclaw gateway restart"
RUN = (
    "podman run --rm --volumes-from cell --user node --entrypoint '' ghcr.io/openclaw/openclaw:latest node openclaw.mjs"
)


def advice(tmp_path: Path, **environ: str) -> Advice:
    """That of a gateway whose memory is the test's own."""
    return Advice(Gateway(Settings(memory_dir=tmp_path / "memory"), {"HOME": str(tmp_path), "PATH": "", **environ}))


def fault(check: str = "gateway/hung", fix: str = RESTART) -> Finding:
    """A finding with that fix."""
    return Finding(check, "error", "the fact", "the evidence", fix)


def attempted(given: Advice, outcome: Outcome, action: str = RESTART, check: str = "gateway/hung") -> Event:
    """An open incident of that finding in which recovery did something."""
    gateway, at = given._gateway, datetime.now(UTC) - timedelta(minutes=5)
    gateway.settings.memory_dir.mkdir(exist_ok=True)
    journal = book.journal(gateway.settings.memory_dir)
    summary = RunSummary(
        verdict="unhealthy",
        whole=True,
        gateway=GatewayName(gateway.key),
        faults=(Fault.of(fault(check)),),
        cause=check,
    )
    update = book.observe_run(journal, summary, at)
    assert update.incident is not None
    for word in dict.fromkeys(("begun", outcome)):
        book.record_attempt(journal, update.incident.id, Attempt("recoveries/x", action, word), at)
    return update.incident.events[0]


@pytest.mark.parametrize("outcome", ["ineffective", "begun", "unknown"])
def test_what_was_tried_is_not_proposed_again(tmp_path: Path, outcome: Outcome) -> None:
    """With when it was; what is left for a process that answers nobody is the breaker."""
    given = advice(tmp_path)
    attempted(given, outcome, f"{RESTART} --safe")
    told = given.on(fault())
    assert told.fix == "oc-ops breaker list"
    assert f"`{RESTART} --safe` was tried at 20" in told.saw
    assert told.saw.startswith("the evidence; ")


@pytest.mark.parametrize(
    ("check", "fix", "instead"),
    [
        ("gateway/down", "openclaw gateway start", "openclaw gateway status --deep"),
        ("gateway/rpc-unanswered", RESTART, "openclaw gateway status --deep"),
        ("browser/not-running", "openclaw browser --browser-profile openclaw start", "openclaw browser doctor"),
    ],
)
def test_each_fault_has_something_else_left(tmp_path: Path, check: str, fix: str, instead: str) -> None:
    """A look into why, where another start is none."""
    given = advice(tmp_path)
    attempted(given, "ineffective", fix, check)
    assert given.on(fault(check, fix)).fix == instead


def test_what_helped_or_is_another_fault_s_stays(tmp_path: Path) -> None:
    """One that recovered it, another finding, another command: the fix is the usual one."""
    given = advice(tmp_path)
    attempted(given, "recovered")
    assert given.on(fault()) == fault()
    (tmp_path / "b").mkdir()
    other = advice(tmp_path / "b")
    attempted(other, "ineffective")
    assert other.on(fault("gateway/zombie")).fix == RESTART
    assert other.on(fault(fix="kill -CONT 7")).fix == "kill -CONT 7"
    assert other.on(Finding("host/disk-low", "error", "f", "s", "df -h")).fix == "df -h"


@pytest.mark.parametrize(
    ("fix", "told"),
    [
        (
            "openclaw config set cron.enabled true && openclaw gateway restart",
            "none automatic: set cron.enabled to true in your Nix configuration",
        ),
        (
            "none automatic: repair /h/openclaw.json (openclaw config validate shows each issue; "
            "openclaw doctor --fix repairs what it can)",
            "none automatic: correct what makes /h/openclaw.json, in your Nix configuration (openclaw config validate "
            "shows each issue; change it in your Nix configuration)",
        ),
        (
            "none automatic: install OpenClaw there again, or openclaw gateway install --force; a start ends at once",
            "none automatic: change OpenClaw in your Nix configuration, or rebuild it in your Nix configuration; "
            "a start ends at once",
        ),
        (RESTART, RESTART),
        ("none automatic: no openclaw doctor --fix, and its files stay", None),
    ],
)
def test_nix_owns_what_it_keeps(fix: str, told: str | None) -> None:
    """No edit, no reinstall: each is said where it is made; what changes nothing of Nix's stays as it is."""
    assert in_nix(fix) == (told or fix)


def test_every_edit_in_the_advice_is_known(tmp_path: Path) -> None:
    """No judge's text keeps a command that a Nix installation refuses: a new one has to be put into the table."""
    from oc_ops.settings import PROJECT

    sources = [path.read_text() for path in sorted((PROJECT / "oc_ops" / "judge").glob("*.py"))]
    told = in_nix(" ".join(" ".join(sources).split()))
    for refused in ("openclaw config set", "openclaw gateway install", "npm install -g openclaw"):
        assert refused not in told


@pytest.mark.parametrize("by", ["environment", "store", "neither"])
def test_a_nix_installation_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """By OPENCLAW_NIX_MODE, or by a config that lies in the store; any other one is not."""
    environ = {"OPENCLAW_NIX_MODE": "1"} if by == "environment" else {}
    if by == "store":
        real = os.path.realpath
        monkeypatch.setattr(
            "oc_ops.doctor.advice.os.path.realpath",
            lambda path: "/nix/store/x-openclaw.json" if str(path).endswith("openclaw.json") else real(path),
        )
    edit = fault("config/mode-missing", "openclaw config set gateway.mode local")
    assert ("in your Nix configuration" in advice(tmp_path, **environ).on(edit).fix) is (by != "neither")


WSL2 = "5.15.153.1-microsoft-standard-WSL2"


@pytest.mark.parametrize(
    ("release", "booted", "told"),
    [
        (WSL2, False, True),
        (WSL2, True, False),
        ("6.1.0-18-amd64", False, False),
        ("4.4.0-19041-Microsoft", False, False),
    ],
    ids=["WSL2, systemd off", "WSL2 with systemd", "a machine of its own", "WSL1"],
)
def test_wsl2_without_systemd_is_told_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, booted: bool, told: bool
) -> None:
    """A gateway that no unit runs cannot be brought back there until systemd is switched on."""
    folder = tmp_path / "systemd"
    if booted:
        folder.mkdir()
    assert service.without_systemd(release, folder) is told
    monkeypatch.setattr("oc_ops.observe.service.without_systemd", lambda: service.is_wsl2(release) and not booted)
    down = fault("gateway/down", "none automatic: no service unit runs it; start it as it was started before")
    assert ("/etc/wsl.conf" in advice(tmp_path).on(down).fix) is told
    assert "wsl" not in advice(tmp_path).on(fault()).fix


def test_a_report_names_wsl2(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is different there; on any other machine the system's line says nothing of it."""
    assert "WSL2" not in dict(environment(Settings()).versions)["os"]
    monkeypatch.setattr("oc_ops.record.run.is_wsl2", lambda: True)
    assert "(WSL2: it ends with its last window" in dict(environment(Settings()).versions)["os"]


@pytest.mark.parametrize(
    ("changes", "way"),
    [
        ({}, "podman exec cell openclaw"),
        ({"Status": "paused"}, "podman exec cell openclaw"),
        ({"RestartCount": 3}, "podman exec cell openclaw"),
        ({"Status": "exited", "ExitCode": 78}, RUN),
        ({"RestartCount": 3, "StartedAt": "now"}, RUN),
        ({"Status": "exited", "ExitCode": 78, "Image": ""}, "openclaw"),
    ],
    ids=["running", "paused", "long since", "exited", "in a loop", "without an image"],
)
def test_a_command_of_a_container_runs_where_it_can(tmp_path: Path, changes: dict[str, Any], way: str) -> None:
    """`exec` is refused by one that does not run, or ends with one that does not stay: its image and volumes serve."""
    if "StartedAt" in changes:
        changes = {**changes, "StartedAt": datetime.now(UTC).isoformat()}
    runtime(tmp_path / "bin", inspected(**changes))
    settings = Settings(memory_dir=tmp_path / "memory", target="podman:cell")
    gateway = Gateway(settings, {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")})
    told = Advice(gateway).on(fault("config/invalid", "none automatic: openclaw config validate shows each issue"))
    assert told.fix == f"none automatic: {way} config validate shows each issue"


def test_a_refused_start_in_a_container_is_mended_where_its_config_lies(tmp_path: Path) -> None:
    """On this machine, by its mount; what a package or a unit gives elsewhere comes with the image and its creation."""
    config = tmp_path / "state" / "openclaw.json"
    config.parent.mkdir()
    config.write_text("{}")
    mounts = [{"Type": "bind", "Source": str(config.parent), "Destination": "/home/node/.openclaw"}]
    runtime(tmp_path / "bin", inspected(Status="exited", ExitCode=78, Mounts=mounts))
    settings = Settings(memory_dir=tmp_path / "memory", target="podman:cell")
    gateway = Gateway(settings, {"HOME": "/nobody", "PATH": str(tmp_path / "bin")})
    for refusal in REFUSALS:
        told = Advice(gateway).on(fault("gateway/start-refused", f"none automatic: {refusal.fix}"))
        assert told.fix.endswith(f"; its config is {config} on this machine; then podman start cell")
        assert not re.search(r"npm install|AmbientCapabilities|LimitNOFILE|service|podman exec", told.fix), told.fix
