"""The doctor on a real gateway with real faults: each is found as itself, as the only error, and gone afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from oc_ops.lab.config import write_private
from oc_ops.lab.lab import START_S, Lab
from oc_ops.observe.http import probe
from oc_ops.record.incidents import book
from oc_ops.text import remedy
from tests.live.conftest import LabOf
from tests.live.examine import Examination, assert_healthy, examine
from tests.support import faults, stranger
from tests.support.survivors import eventually

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reports and memory of this module's runs: the device is paired once, as it is in life."""
    return tmp_path_factory.mktemp("doctor")


def assert_only(seen: Examination, check: str) -> None:
    """The finding is the only error, it is the cause, and every place says the same."""
    assert seen.errors == [check], seen.output
    assert seen.exit == 1
    assert seen.report["verdict"] == "unhealthy"
    assert seen.report["cause"] == check
    assert seen.last_line.startswith("doctor: unhealthy in ")
    assert f": {check}: " in seen.last_line
    finding = seen.finding(check)
    assert remedy(finding["fix"]) in seen.last_line
    assert finding["saw"]


def test_a_hang_is_the_only_error_and_one_incident(lab: Lab, folder: Path) -> None:
    """SIGSTOP is named with the state of the process within 5 s and without a call; it is one incident, closed by the
    second green run; what failing CLI calls wrote into the log meanwhile does not count.
    """
    size = lab.log_file.stat().st_size
    with faults.stopped(lab) as pid:
        first = examine(lab, folder)
        lab.call("cron", "list", "--json", "--timeout", "2000")
        lab.call("gateway", "call", "health", "--timeout", "2000")
        second = examine(lab, folder, "--quick")
    assert_only(first, "gateway/hung")
    assert_only(second, "gateway/hung")
    assert "stopped" in first.finding("gateway/hung")["fact"]
    assert first.finding("gateway/hung")["fix"] == f"kill -CONT {pid}"
    assert first.report["calls"] == []
    assert first.report["duration_s"] < 5
    assert {each["blocked_by"] for each in first.report["checks"] if each["outcome"] == "blocked"} == {"gateway/hung"}
    written = lab.log_file.read_bytes()[size:].decode("utf-8", "replace")
    assert '"logLevelName":"ERROR"' in written, "the calls left nothing to be fooled by"
    green = settled(lab, folder)
    closed = settled(lab, folder)
    assert (closed.exit, closed.report["calls"], closed.report["lanes"]["rpc"]) == (0, [], "ok"), (
        "--quick makes no call"
    )
    told = [each.report["incident"] for each in (first, second, green, closed)]
    assert [each["this_run"] for each in told] == ["opened", "lasts", "green", "closed"], told
    assert {each["cause"] for each in told} == {"gateway/hung"}
    incident = book.read(book.journal(folder / "memory")).incidents[told[0]["id"]]
    assert not incident.is_open
    assert f"incident {incident.id}, opened by this run" in first.output
    assert f"incident {incident.id}, closed after" in closed.output
    assert incident.time_to_recover_s is not None
    assert 0 < incident.time_to_recover_s < 600
    assert_healthy(examine(lab, folder))


def settled(lab: Lab, folder: Path) -> Examination:
    """A quick run that found the gateway healthy: right after a hang a loaded one may be saturated for a moment."""
    seen = examine(lab, folder, "--quick")
    for _ in range(5):
        if seen.report["verdict"] == "healthy":
            break
        seen = examine(lab, folder, "--quick")
    assert seen.report["findings"] == [], seen.output
    return seen


def test_a_dead_gateway_is_down_and_a_stranger_or_a_broken_config_is_the_cause(lab: Lab, folder: Path) -> None:
    """After SIGKILL nothing listens and no service unit can start it; another program on its port is named by pid,
    whether it answers 200, mimics /healthz or says nothing; with a config that does not validate, that is the cause.
    Started again it is starting, though its port answers before it is ready.
    """
    with faults.killed(lab):
        down = examine(lab, folder)
        assert_only(down, "gateway/down")
        assert "openclaw gateway run" in down.finding("gateway/down")["fix"]
        assert down.report["calls"][-1]["argv"][1:3] == ["config", "validate"]
        for kind in get_args(stranger.Kind):
            with faults.port_held(lab.port, kind) as pid:
                seen = examine(lab, folder, "--quick")
            assert_only(seen, "gateway/port-taken")
            assert f"pid {pid}" in seen.finding("gateway/port-taken")["saw"], kind
        with faults.port_held(lab.port):
            assert_only(examine(lab, folder), "gateway/port-taken")
        good = lab.config_path.read_text(encoding="utf-8")
        lab.write_config({"gateway": {"mode": "sideways"}})
        try:
            assert_only(examine(lab, folder), "config/invalid")
        finally:
            write_private(lab.config_path, good)
        lab.start_gateway(wait=False)
        assert eventually(lambda: probe("127.0.0.1", lab.port, "/healthz", budget_s=1.0).kind == "answered", START_S)
        assert_starting(examine(lab, folder, "--quick"))


def assert_starting(seen: Examination) -> None:
    """A young gateway is degraded, waited for, not restarted."""
    assert (seen.exit, seen.errors, seen.report["verdict"], seen.report["cause"]) == (0, [], "degraded", None), (
        seen.output
    )
    assert seen.last_line.startswith("doctor: degraded in ")
    found = seen.finding("gateway/starting")
    assert found["severity"] == "warning"
    assert "at most" in found["fix"]
    outcomes = {each["id"]: each["outcome"] for each in seen.report["checks"]}
    assert outcomes["gateway/rpc"] == "skipped", "what a start keeps from being asked has not passed"


def test_a_wrong_token_is_no_outage(lab: Lab, folder: Path) -> None:
    """The gateway is up and refuses us: no restart is advised, and no call repeats the refusal."""
    with faults.wrong_token(lab) as environ:
        seen = examine(lab, folder, environ=environ)
    assert_only(seen, "gateway/auth-rejected")
    assert seen.finding("gateway/auth-rejected")["fix"].startswith("none automatic")
    assert seen.report["calls"] == []


def test_a_shell_that_points_elsewhere_does_not_lead_us_there(lab: Lab, folder: Path) -> None:
    """Whatever port and URL the looking shell names: every lane goes where the gateway serves (#105109), which is well;
    the operator's own commands are warned of.
    """
    wanted = lab.port + 7
    elsewhere = {"OPENCLAW_GATEWAY_PORT": str(wanted), "OPENCLAW_GATEWAY_URL": "ws://192.0.2.2:29101"}
    seen = examine(lab, folder, environ={**lab.environ, **elsewhere})
    assert (seen.exit, seen.report["verdict"]) == (0, "degraded"), seen.output
    assert sorted(each["check"] for each in seen.report["findings"]) == ["cli/misdirected", "gateway/port-drift"]
    assert seen.report["lanes"] == {"http": "ok", "rpc": "ok", "cli": "ok"}
    drift = seen.finding("gateway/port-drift")
    assert f"serves port {lab.port}, and OPENCLAW_GATEWAY_PORT in the environment says {wanted}" in drift["fact"]


def test_a_token_that_only_the_service_has_is_read_from_its_process(lab: Lab, folder: Path) -> None:
    """Healthy, with a note that says which variable this shell lacks, never its value."""
    name, value = "OPENCLAW_LAB_TOKEN", lab.token[::-1]
    with faults.started_anew(lab):
        write_private(lab.config_path, lab.config({"gateway": {"auth": {"token": f"${{{name}}}"}}}))
        lab.start_gateway(environ={name: value})
        seen = examine(lab, folder, environ=lab.environ)
        assert (seen.exit, seen.report["verdict"]) == (0, "healthy"), seen.output
        (finding,) = seen.report["findings"]
        assert (finding["check"], finding["severity"]) == ("gateway/credential-missing", "info")
        assert f"${name}" in finding["fact"]
        assert seen.report["lanes"] == {"http": "ok", "rpc": "ok", "cli": "ok"}
        written = [path for path in folder.rglob("*") if path.is_file() and path.name != "device.json"]
        assert not [path for path in written if value.encode() in path.read_bytes()]


@pytest.mark.nightly
def test_what_the_config_switches_off_is_named(lab: Lab, folder: Path) -> None:
    """With the scheduler off no job runs by itself, and nothing else would say so; a browser that is switched off is
    named as that. Before its port opens it is starting.
    """
    with faults.started_anew(lab):
        lab.write_config({"cron": {"enabled": False}, "browser": {"enabled": False}})
        lab.start_gateway()
        assert_only(examine(lab, folder, "--quick"), "cron/scheduler-off")
        seen = examine(lab, folder, browser="running")
        assert sorted(seen.errors) == ["browser/not-running", "cron/scheduler-off"], seen.output
        assert "switched off" in seen.finding("browser/not-running")["fact"]
        lab.stop_gateway()
        lab.write_config({})
        lab.start_gateway(wait=False)
        seen = examine(lab, folder, "--quick")
    if seen.errors:  # on a slow machine it cannot be told from a CLI call for half a minute, which is no healthy look
        assert seen.errors == ["gateway/starting"], seen.output
        assert "it may also be a mere CLI call" in seen.finding("gateway/starting")["fix"]
    else:
        assert_starting(seen)


@pytest.mark.parametrize("kind", ["syntax", pytest.param("schema", marks=pytest.mark.nightly)])
def test_a_broken_config_is_found_while_the_gateway_still_runs(lab: Lab, folder: Path, kind: str) -> None:
    """A config that a restart would choke on is named before anybody restarts."""
    with faults.broken_config(lab, kind):  # type: ignore[arg-type]  # both kinds
        seen = examine(lab, folder)
    assert_only(seen, "config/invalid")
    assert "restart" in seen.finding("config/invalid")["fix"]


def test_a_gateway_whose_event_loop_is_held_up_is_saturated(lab: Lab, folder: Path) -> None:
    """It answers, but late: that is load, not a hang, and no restart is advised."""
    with faults.held_up(lab):
        seen = examine(lab, folder, patient=False)
    assert_only(seen, "gateway/saturated")
    assert seen.finding("gateway/saturated")["fix"].startswith("none automatic")
    assert seen.report["calls"] == []


@pytest.mark.nightly
def test_a_gateway_that_drains_is_waited_for(lab: Lab, folder: Path) -> None:
    """A restart that waits for a running cron job is under way: nothing is wrong that another one would cure."""
    with faults.draining(lab):
        seen = examine(lab, folder, "--quick")
    assert (seen.exit, seen.errors, seen.report["verdict"]) == (0, [], "degraded"), seen.output
    assert "wait until" in seen.finding("gateway/draining")["fix"]


def test_without_the_rpc_lane_the_cli_answers(lab: Lab, folder: Path) -> None:
    """`rpc = off` leaves a healthy gateway healthy, seen through the CLI, and the report says so."""
    seen = examine(lab, folder, environ={**lab.environ, "OC_OPS_RPC": "off"})
    assert seen.exit == 0, seen.output
    assert seen.report["lanes"] == {"http": "ok", "rpc": "off", "cli": "ok"}
    assert "cron" in json.dumps([each["argv"] for each in seen.report["calls"]])


def test_no_artifact_holds_the_token(lab: Lab, folder: Path) -> None:
    """The gateway's token is in no report, transcript or page that any run of this module left."""
    files = [path for path in (folder / "reports").rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if lab.token.encode() in path.read_bytes()] == []
    assert [path for path in files if path.stat().st_mode & 0o077] == []


@pytest.mark.nightly
@pytest.mark.parametrize("version", ["2026.5.28", "2026.2.26"])
def test_older_releases_are_served_too(lab_of: LabOf, tmp_path: Path, version: str) -> None:
    """The same doctor finds an older gateway healthy, hung when it is stopped, and healthy again."""
    old = lab_of(version)
    well = examine(old, tmp_path, browser="running")
    assert_healthy(well)
    mute = {"gateway/ready", "models/answerable", "plugins/loaded", "tasks/moving"} if version == "2026.2.26" else set()
    skipped = {each["id"] for each in well.report["checks"] if each["outcome"] == "skipped"}
    assert skipped == {"cron/watched", "gateway/supervised"} | mute
    with faults.stopped(old):
        seen = examine(old, tmp_path)
    assert_only(seen, "gateway/hung")
    assert_healthy(examine(old, tmp_path, browser="running"))
