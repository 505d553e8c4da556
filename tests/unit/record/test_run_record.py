"""The run record's JSON: the contract's members, and nothing hostile or secret in them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oc_ops import settings
from oc_ops.judge.finding import Finding
from oc_ops.process.run import Call
from oc_ops.process.supervise import Output
from oc_ops.record import run
from oc_ops.record.redact import Redactor
from oc_ops.record.run import CallRecord, CheckRecord, Evidence, Lanes, OpenclawInfo, RunRecord

REDACTOR = Redactor(["hunter2-hunter2"], Path("/home/joe"))
HUNG = Finding("gateway/hung", "error", "the gateway hangs", "no byte in 2.0 s", "openclaw gateway restart")
LATE = Finding("gateway/saturated", "warning", "answers come late", "1.4 s", "none automatic: wait")


def record(**changes: Any) -> RunRecord:
    """A small unhealthy run."""
    members: dict[str, Any] = {
        "verdict": "unhealthy",
        "cause": "gateway/hung",
        "started_at": datetime(2026, 11, 22, 19, 41, 15, tzinfo=UTC),
        "duration_s": 3.14159,
        "findings": (LATE, HUNG),
        "checks": (
            CheckRecord("gateway/live", "checks/test_gateway.py::test_live", "failed", 2.0),
            CheckRecord("cron/list", "checks/test_cron.py::test_list", "blocked", 0.0, blocked_by="gateway/hung"),
            CheckRecord("cron/marker", "checks/test_cron.py::test_marker", "blocked", 0.0, blocked_by="gateway/hung"),
        ),
        "lanes": Lanes("ok", "unavailable: no answer", "not needed"),
        "calls": (CallRecord(("openclaw", "--token", "x"), "refused", 1, 0.9, 1.0, "calls/01-call.log"),),
        "openclaw": OpenclawInfo("2026.9.6", "2026.9.6", None, 18789, ("/home/joe/log",)),
    }
    return RunRecord(**{**members, **changes})


def shown(**changes: Any) -> dict[str, Any]:
    """The run as a reader of report.json gets it."""
    value = json.loads(run.to_json(record(**changes), REDACTOR))
    assert isinstance(value, dict)
    return value


def test_json_has_the_members_of_schema_1() -> None:
    """Names, types and values are those of the contract; more members may follow."""
    value = shown()
    assert list(value)[:2] == ["schema", "verdict"]
    assert value["schema"] == 1
    assert value["started_at"] == "2026-11-22T19:41:15Z"
    assert value["duration_s"] == 3.142
    assert (
        value["findings"][1].items()
        >= {
            "check": "gateway/hung",
            "severity": "error",
            "fact": "the gateway hangs",
            "saw": "no byte in 2.0 s",
            "fix": "openclaw gateway restart",
        }.items()
    )
    assert (
        value["checks"][1].items()
        >= {
            "id": "cron/list",
            "nodeid": "checks/test_cron.py::test_list",
            "outcome": "blocked",
            "blocked_by": "gateway/hung",
            "duration_s": 0.0,
        }.items()
    )
    assert value["lanes"] == {"http": "ok", "rpc": "unavailable: no answer", "cli": "not needed"}
    assert (
        value["calls"][0].items()
        >= {
            "argv": ["openclaw", "--token", "[redacted]"],
            "outcome": "refused",
            "exit": 1,
            "wall_s": 0.9,
            "cpu_s": 1.0,
            "transcript": "calls/01-call.log",
        }.items()
    )
    assert value["openclaw"] == {
        "cli_version": "2026.9.6",
        "gateway_version": "2026.9.6",
        "profile": None,
        "port": 18789,
        "log_files": ["~/log"],
    }
    assert value["recovery"] is None


def test_nothing_secret_or_live_reaches_the_json() -> None:
    """Every string is redacted, and jq -r on a terminal cannot be made to act."""
    hostile = "a\x1b]52;c;x\x07 hunter2-hunter2 /home/joe \udcff\u202e"
    text = run.to_json(
        record(
            findings=(Finding("logs/x", "error", hostile, hostile, hostile),),
            evidence=(Evidence(hostile, (hostile,)),),
            recovery={"steps": [hostile], "token": "geheim"},
            checks=(CheckRecord(hostile, hostile, "error", 0.1, claim=hostile, note=hostile),),
        ),
        REDACTOR,
    )
    everything = json.dumps(json.loads(text), ensure_ascii=False)
    for evil in ("\x1b", "\x07", "\udcff", "\u202e", "hunter2", "/home/joe", "geheim"):
        assert evil not in everything
    assert "␛]52" in everything


def test_long_string_is_cut() -> None:
    """A 5 MB line of the log makes no 5 MB report."""
    assert len(run.to_json(record(evidence=(Evidence("log", ("x" * 5_000_000,)),)), REDACTOR)) < 20_000


def test_record_tells_cause_from_the_rest() -> None:
    """The cause is the finding of its id, the others follow worst first, and blocked checks are counted by cause."""
    run = record()
    assert run.cause_finding is HUNG
    assert run.other_findings == (LATE,)
    assert run.blocked == {"gateway/hung": 2}
    assert run.could_not_look == ()


def test_call_is_recorded_without_its_folder() -> None:
    """A call record has the program's name, not where it lies."""
    call = Call(
        argv=("/opt/homebrew/bin/openclaw", "cron", "list"),
        outcome="answered",
        exit=0,
        signal=None,
        wall_s=0.9,
        cpu_s=1.0,
        started_at=datetime.now(UTC),
        stdout=Output(),
        stderr=Output(),
        killed=0,
        deadline_s=20.0,
    )
    assert CallRecord.of(call, "calls/01.log").argv == ("openclaw", "cron", "list")


def test_environment_names_versions_and_changed_settings() -> None:
    """Only settings that somebody changed are listed, with where their value came from."""
    found = run.environment(settings.load(environ={"OC_OPS_CALL_S": "19"}))
    assert {"oc-ops", "python", "os", "machine"} <= dict(found.versions).keys()
    assert [(each.name, each.value, each.source) for each in found.settings] == [("call_s", "19.0", "environment")]
