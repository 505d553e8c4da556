"""The routine of a recovery: what it acts on, what it refuses, and how it proves what came of it."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from oc_ops.act.recover.outcome import Observation
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.service import NO_SERVICE, Service
from tests.support.sights import PID
from tests.support.stage import DOWN, HUNG, RUNNING, STARTING, STOPPED, WELL, Stage, saw


def test_a_hung_gateway_is_restarted_once_and_proven(stage: Stage) -> None:
    """Look, look again, preflight, evidence, one restart, wait, look: recovered, and every step is on record."""
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, outcome.acted) == (0, "recovered", True)
    assert stage.acts == ["gateway restart --json"]
    assert stage.observed == 3
    (record,) = stage.records()
    steps = [each["step"] for each in record if each["state"] == "begin"]
    assert steps == ["recover", "observe", "preflight", "evidence", "act", "wait", "observe"]
    assert record[-1]["outcome"] == "recovered"
    assert "gateway/hung is gone" in outcome.sentence
    assert outcome.sentence.startswith("recover: recovered in ")


def test_the_evidence_is_there_before_the_act(stage: Stage, tmp_path: Path) -> None:
    """Report, log tail without secrets and the store are on the disk before `gateway restart` is begun."""
    report = tmp_path / "run"
    report.mkdir()
    (report / "report.json").write_text('{"schema": 1}')
    (stage.state / "cron").mkdir()
    (stage.state / "cron" / "jobs.json").write_text('{"jobs": []}')
    stage.seen = [saw("gateway/hung", folder=report), saw("gateway/hung", folder=report), saw()]
    outcome = stage.recover()
    assert outcome.record is not None
    folder = outcome.record.with_suffix("")
    assert (folder / "report.json").read_text() == '{"schema": 1}'
    assert (folder / "jobs.json").read_text() == '{"jobs": []}'
    log = (folder / "log.txt").read_text()
    assert "a line with" in log
    assert "token-0123456789" not in log
    (record,) = stage.records()
    kept = next(each for each in record if each["step"] == "evidence" and each["state"] == "end")
    assert kept["stability"].startswith("none: ")
    order = [(each["step"], each["state"]) for each in record]
    assert order.index(("evidence", "end")) < order.index(("act", "begin"))
    assert list((folder / "calls").iterdir())


def test_a_stopped_service_is_started_not_restarted(stage: Stage) -> None:
    """Newer releases refuse to restart what is down."""
    stage.looks, stage.services = [DOWN, WELL], [STOPPED]
    stage.seen = [saw("gateway/down"), saw("gateway/down"), saw()]
    assert stage.recover().exit == 0
    assert stage.acts == ["gateway start --json"]


@pytest.mark.parametrize(
    "check",
    ["config/invalid", "gateway/auth-rejected", "gateway/port-taken", "gateway/saturated", "gateway/crash-loop"],
)
@pytest.mark.parametrize("force", [False, True], ids=["plain", "force"])
def test_a_forbidden_cause_is_refused_with_its_own_fix(stage: Stage, check: str, force: bool) -> None:
    """Exit 4, no call at all, the finding's fix in the last sentence; --force changes nothing."""
    stage.seen = [saw(check)]
    outcome = stage.recover(force=force)
    assert (outcome.exit, outcome.word, outcome.acted) == (4, "refused", False)
    assert f"the fix of {check}" in outcome.sentence
    assert stage.calls == []


@pytest.mark.parametrize("force", [False, True], ids=["plain", "force"])
def test_a_config_that_does_not_validate_is_never_restarted_on(stage: Stage, force: bool) -> None:
    """A hung gateway whose config OpenClaw itself rejects is refused: a restart would brick it."""
    stage.answers["config validate"] = (1, {"valid": False, "issues": [{"path": "gateway.mode", "message": "bad"}]})
    outcome = stage.recover(force=force)
    assert outcome.exit == 4
    assert "gateway.mode: bad" in outcome.sentence
    assert stage.acts == []


def test_a_config_that_does_not_parse_is_refused_without_a_call(stage: Stage) -> None:
    """The file itself is enough."""
    stage.configure("{ not a config")
    assert stage.recover().exit == 4
    assert stage.calls == []


def test_a_config_that_cannot_be_judged_is_could_not_tell(stage: Stage) -> None:
    """No word on the config is no yes: exit 2, and nothing is done."""
    stage.answers["config validate"] = (1, {"error": "out of order"})
    assert stage.recover().exit == 2
    assert stage.acts == []


@pytest.mark.parametrize("force", [False, True], ids=["plain", "force"])
def test_exit_78_is_refused_whatever_the_finding_is_called(stage: Stage, force: bool) -> None:
    """A unit that is merely stopped after an exit with 78 is not started again."""
    stage.looks, stage.seen = [DOWN], [saw("gateway/down")]
    stage.services = [Service("systemd", "u", "stopped", exit_status=78)]
    outcome = stage.recover(force=force)
    assert (outcome.exit, stage.acts) == (4, [])
    assert "it exits with 78" in outcome.sentence


@pytest.mark.parametrize("check", ["logs/gw.stale_kill", "logs/db.maintenance", "logs/cfg.suspicious"])
def test_a_signature_that_forbids_a_restart_stands_against_it(stage: Stage, check: str) -> None:
    """A hung gateway whose log says that a restart does harm is left alone, with that line's first aid."""
    stage.seen = [saw("gateway/hung", check)]
    outcome = stage.recover(force=True)
    assert (outcome.exit, stage.acts) == (4, [])
    assert check in outcome.sentence


def test_a_full_disk_is_refused(stage: Stage) -> None:
    """A gateway that cannot write its state may not come up again."""
    stage.set(disk_low_bytes=10**18)
    outcome = stage.recover(force=True)
    assert (outcome.exit, stage.acts) == (4, [])
    assert "is full" in outcome.sentence


def test_a_healthy_gateway_is_left_alone(stage: Stage) -> None:
    """Exit 0 and no record: there was nothing to recover."""
    stage.seen = [saw()]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, stage.calls, outcome.record) == (0, "healthy", [], None)


def test_what_cannot_be_seen_is_not_acted_on(stage: Stage) -> None:
    """The doctor could not look: exit 2."""
    stage.seen = [Observation("unknown", note="the RPC lane is closed")]
    outcome = stage.recover()
    assert (outcome.exit, stage.calls) == (2, [])
    assert "the RPC lane is closed" in outcome.sentence


def test_a_record_that_cannot_be_written_any_more_does_not_stop_the_proof(stage: Stage) -> None:
    """The disk is full after the act: the verdict is the doctor's all the same."""

    def observe() -> Observation:
        if stage.acts:
            (record,) = (stage.memory / "recoveries").glob("*.jsonl")
            record.unlink(missing_ok=True)
            record.mkdir()
            return saw()
        return saw("gateway/hung")

    stage.observe = observe
    assert stage.recover().exit == 0


@pytest.mark.parametrize("error", [CouldNotLook, OcOpsError], ids=["could-not-look", "refused"])
def test_a_doctor_that_cannot_look_after_the_act_is_unknown(stage: Stage, error: type[OcOpsError]) -> None:
    """Exit 2, and the sentence says what was done."""

    def observe() -> Observation:
        if stage.acts:
            raise error("another doctor run is under way")
        return saw("gateway/hung")

    stage.observe = observe
    outcome = stage.recover()
    assert (outcome.exit, outcome.acted) == (2, True)
    assert "`openclaw gateway restart` was run" in outcome.sentence


@pytest.mark.parametrize(("check", "look"), [("gateway/down", DOWN), ("gateway/hung", HUNG)], ids=["down", "hung"])
def test_without_a_service_there_is_nobody_to_ask(stage: Stage, check: str, look: object) -> None:
    """A foreground gateway that is down or hangs cannot be started by OpenClaw: exit 4 with the fix by hand."""
    stage.looks, stage.services, stage.seen = [look], [NO_SERVICE], [saw(check)]  # type: ignore[list-item]
    outcome = stage.recover(force=True)
    assert (outcome.exit, stage.acts) == (4, [])
    assert "no service unit runs this gateway" in outcome.sentence
    assert " · fix: " in outcome.sentence


def test_a_restart_that_does_not_help_is_ineffective(stage: Stage) -> None:
    """The same finding afterwards: exit 1, one act, and no second one in the same run."""
    stage.looks = [HUNG]
    stage.seen = [saw("gateway/hung")]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word) == (1, "ineffective")
    assert stage.acts == ["gateway restart --json"]
    assert "still there" in outcome.sentence


def test_another_cause_afterwards_is_ineffective_and_named(stage: Stage) -> None:
    """A different fault is no success, and gets no act of its own in this run."""
    stage.seen = [saw("gateway/hung"), saw("gateway/hung"), saw("gateway/rpc-unanswered")]
    outcome = stage.recover()
    assert (outcome.exit, len(stage.acts)) == (1, 1)
    assert "gateway/hung is gone" in outcome.why
    assert "gateway/rpc-unanswered" in outcome.why


def test_what_the_log_still_tells_of_is_no_second_fault(stage: Stage) -> None:
    """Every check of the state passes, and lines of the outage are still in the log's window: recovered."""
    stage.seen = [saw("gateway/hung"), saw("gateway/hung"), saw("logs/rpc.timeout")]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word) == (0, "recovered")
    assert "logs/rpc.timeout" in outcome.sentence


def test_an_act_whose_result_cannot_be_seen_is_unknown(stage: Stage) -> None:
    """Exit 2: could not tell, which is never green."""
    stage.seen = [saw("gateway/hung"), saw("gateway/hung"), Observation("unknown", note="no disk")]
    assert stage.recover().exit == 2


def test_a_refused_command_is_not_believed_to_have_worked(stage: Stage) -> None:
    """2026.5.28 exits 0 with `not-loaded` and restarts nothing: ineffective, in OpenClaw's own words."""
    stage.answers["gateway restart"] = (0, {"ok": True, "result": "not-loaded", "message": "Gateway service disabled."})
    stage.looks, stage.seen = [HUNG], [saw("gateway/hung")]
    outcome = stage.recover()
    assert outcome.exit == 1
    assert "Gateway service disabled." in outcome.sentence


UNSIGNALED = "GATEWAY_RESTART_PREPARATION_REFUSED: Cannot record restart intent. Gateway was not signaled. Verify …"


@pytest.mark.parametrize(
    ("words", "runs", "after", "by_manager"),
    [
        (UNSIGNALED, PID, HUNG, True),
        (UNSIGNALED, PID, WELL, False),
        ("Gateway restart failed: no bus", PID, HUNG, False),
        (UNSIGNALED, 99_999_999, HUNG, False),
    ],
    ids=["not-signaled", "well-meanwhile", "another-reason", "not-of-the-unit"],
)
def test_a_restart_that_openclaw_cannot_prepare_is_its_managers(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, words: str, runs: int, after: GatewayProbe, by_manager: bool
) -> None:
    """One that hangs in a write lets no restart be recorded: its unit's manager ends it, and it is one act."""
    bin_ = stage.root / "bin"
    bin_.mkdir()
    (bin_ / "systemctl").write_text(f'#!/bin/sh\necho "$@" >>{stage.root}/asked\n')
    (bin_ / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    stage.answers["gateway restart"] = (1, {"ok": False, "error": words})
    stage.services = [replace(RUNNING, pid=runs)]
    stage.looks = [HUNG, after, WELL]
    outcome = stage.recover()
    asked = (stage.root / "asked").read_text() if (stage.root / "asked").exists() else ""
    assert asked == ("--user restart openclaw-gateway.service\n" if by_manager else "")
    assert ("`systemctl --user restart openclaw-gateway.service`" in outcome.sentence) is by_manager
    (record,) = stage.records()
    assert len([each for each in record if (each["step"], each["state"]) == ("act", "begin")]) == 1
    assert outcome.exit == 0  # the next look shows a gateway that is well


def test_a_command_that_failed_counts_for_nothing_if_the_gateway_came_up(stage: Stage) -> None:
    """`gateway restart` reports a failure after 60 s while the start succeeds (#119958)."""
    stage.answers["gateway restart"] = (1, {"ok": False, "error": "Timed out after 60s waiting for gateway port"})
    stage.looks = [HUNG, *[STARTING] * 60, WELL]
    assert stage.recover().exit == 0
    assert len(stage.acts) == 1


# -- dry run, interruptions, the browser -------------------------------------------------------------------------------


def browser_acts(stage: Stage) -> list[str]:
    """The paths of the browser requests."""
    prefix = "gateway call browser.request --params "
    return [json.JSONDecoder().raw_decode(each.removeprefix(prefix))[0]["path"] for each in stage.acts]


@pytest.mark.parametrize(
    ("check", "paths"),
    [
        ("browser/unanswered", ["/stop", "/start"]),
        ("browser/act-stalled", ["/stop", "/start"]),
        ("browser/not-running", ["/start"]),
    ],
)
def test_a_browser_fault_gets_a_browser_cure(stage: Stage, check: str, paths: list[str]) -> None:
    """Browser stop and start, and never a restart of the gateway."""
    stage.looks, stage.seen = [WELL], [saw(check), saw(check), saw()]
    outcome = stage.recover()
    assert (outcome.exit, outcome.cure) == (0, "browser-restart")
    assert browser_acts(stage) == paths


def test_a_browser_that_is_switched_off_is_not_started(stage: Stage) -> None:
    """No start brings up what the config forbids: exit 4."""
    stage.configure(browser={"enabled": False})
    stage.seen = [saw("browser/not-running")]
    outcome = stage.recover(force=True)
    assert (outcome.exit, stage.acts) == (4, [])


def test_a_new_gateway_gets_its_browser_back(stage: Stage) -> None:
    """Where a browser is expected, it is brought up before the last look."""
    stage.set(browser="running")
    assert stage.recover().exit == 0
    assert stage.acts[0] == "gateway restart --json"
    assert '"path": "/start"' in stage.acts[1]


@pytest.mark.parametrize(
    ("named", "back"),
    [
        (f"{socket.gethostname()}-999999999", True),
        (f"{socket.gethostname()}-1", False),
        ("elsewhere-1", False),
        ("", False),
    ],
    ids=["ended with its gateway", "another program", "another host", "none ran"],
)
def test_under_auto_a_browser_that_ran_comes_back(stage: Stage, named: str, back: bool) -> None:
    """The lock of its profile tells that one ran before the act; where none did, none is started."""
    stage.set(browser="auto")
    if named:
        profile = stage.state / "browser" / "openclaw" / "user-data"
        profile.mkdir(parents=True)
        (profile / "SingletonLock").symlink_to(named)
    assert stage.recover().exit == 0
    assert [each for each in stage.acts if '"path": "/start"' in each] == stage.acts[1:]
    assert bool(stage.acts[1:]) is back


def test_running_jobs_are_named_before_they_are_aborted(stage: Stage) -> None:
    """By the gateway's own store, as it answers nobody; a stranger's name is shown harmless."""
    (stage.state / "cron").mkdir()
    job = {"id": "j1", "name": "nightly\u001b[2J backup", "enabled": True, "schedule": {"kind": "every", "everyMs": 1}}
    job = {**job, "state": {"runningAtMs": 1795348735341}}
    (stage.state / "cron" / "jobs.json").write_text(json.dumps({"jobs": [job]}))
    assert stage.recover().exit == 0
    (line,) = (each for each in stage.said if each.startswith("preflight: it would"))
    assert "cron job nightly" in line
    assert "\u001b" not in line


def test_the_outcome_is_there_for_machines(stage: Stage) -> None:
    """Exit, sentence, before, after and the steps, as JSON."""
    told = json.loads(json.dumps(stage.recover().as_json()))
    assert (told["exit"], told["outcome"], told["cause"], told["cure"]) == (0, "recovered", "gateway/hung", "restart")
    assert told["before"]["verdict"] == "unhealthy"
    assert told["after"]["verdict"] == "healthy"
    assert [each["step"] for each in told["steps"] if each["step"] == "act"] == ["act", "act"]


def test_a_pipe_that_nobody_reads_ends_no_recovery(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """`recover.py | head` leaves after some lines, and a terminal may close: what has begun is seen through."""

    def gone(line: str) -> None:
        if line.startswith("act:"):
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(stage, "said", SimpleNamespace(append=gone))
    outcome = stage.recover()
    assert (outcome.exit, outcome.word) == (0, "recovered")
