"""Runs and their history: whole doctor runs leave what they saw, and what keeps them from it costs no verdict."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from oc_ops.observe.jobs import Job, JobRun, Schedule
from oc_ops.record.history.database import FILE, reading
from oc_ops.record.history.from_run import _command, _runs
from oc_ops.record.journal import restarts_by_us
from tests.support.machine import Operator, closed_port, gateway


def rows(operator: Operator, query: str) -> list[tuple[Any, ...]]:
    """What a query finds in the operator's history."""
    with reading(operator.root / "memory") as found:
        assert found is not None
        return found.execute(query).fetchall()


def test_a_run_leaves_what_it_saw(tmp_path: Path) -> None:
    """Verdict, every check, every call of every lane, the state of the gateway; and it says nothing of it."""
    with gateway() as port:
        operator = Operator(tmp_path, port)
        said = operator.run()
    report = operator.latest()
    [(verdict, whole, stamp)] = rows(operator, "SELECT verdict, whole, stamp FROM runs")
    assert (verdict, whole) == (report["verdict"], 1)
    assert (operator.reports / "runs" / stamp / "report.json").exists()
    assert rows(operator, "SELECT count(*) FROM checks") == [(len(report["checks"]),)]
    calls = {text for (text,) in rows(operator, "SELECT text FROM calls JOIN names ON names.id = calls.name")}
    assert {"http /healthz", "http /readyz", "rpc status", "rpc cron.list", "cli cron list"} <= calls
    [(state,)] = rows(operator, "SELECT told FROM states")
    assert '"CLI":"2026.9.6"' in state
    assert '"jobs":"0"' in state
    assert "history" not in said.out


def test_a_red_run_leaves_its_cause_and_incident(tmp_path: Path) -> None:
    """The cause, and the incident that it opened."""
    operator = Operator(tmp_path, closed_port())
    operator.run("--quick")
    [(id_, closed)] = rows(operator, "SELECT id, closed_ms FROM incidents")
    assert (id_, closed) == (operator.latest()["incident"]["id"], None)
    assert rows(operator, "SELECT text FROM runs JOIN names ON names.id = runs.cause") == [("gateway/down",)]


@pytest.mark.parametrize("trouble", ["folder", "corrupt"])
def test_trouble_with_the_history_costs_no_verdict(tmp_path: Path, trouble: str) -> None:
    """The verdict, the exit code and the report are there, and what is wrong stands beside the report's place."""
    with gateway() as port:
        operator = Operator(tmp_path, port)
        path = tmp_path / "memory" / FILE
        path.parent.mkdir()
        if trouble == "folder":
            path.mkdir()
        else:
            path.write_bytes(b"no database " * 999)
        run = operator.run()
    assert run.code == 0
    assert run.last_line.startswith("doctor: healthy")
    assert operator.latest()["verdict"] == "healthy"
    words = "the run is not in the history: " if trouble == "folder" else "set aside as ops.sqlite.corrupt-"
    assert words in run.out


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        ("openclaw gateway status --json --timeout 8000", "gateway status"),
        ("openclaw --profile work cron list --json", "cron list"),
        ("openclaw gateway call browser.request --params {} --json", "gateway call browser.request"),
        ("openclaw --version", "--version"),
        ("openclaw cron runs 2f9c-11", "cron runs"),
        ("openclaw", "openclaw"),
    ],
)
def test_a_call_is_named_by_its_command(argv: str, named: str) -> None:
    """Without options, values and ids: the names stay few."""
    assert _command(argv.split()) == named


def test_the_run_under_way_is_no_run_yet() -> None:
    """Its moment is told before its end; the last status belongs to the one before. A timeout is known by its words."""
    job = Job("j", "n", True, Schedule("unknown"), last_run_ms=5, last_status="ok", last_duration_ms=1, running_ms=5)
    history = (
        JobRun("error", 3, 60_000, "cron: job execution timed out"),
        JobRun("odd", 2, None),
        JobRun("ok", None, 1),
    )
    assert [(each.started_ms, each.status, each.timed_out) for each in _runs(job, history)] == [
        (3, "error", True),
        (2, "other", False),
    ]


def test_our_own_restarts(tmp_path: Path) -> None:
    """The beginning of each act on the gateway, of this gateway's records alone; torn and foreign ones have none."""
    folder = tmp_path / "recoveries"
    folder.mkdir()
    first = '{"v":1,"at":"2026-11-22T12:00:00.000Z","step":"begin","state":"note","gateway":"k"}'
    act = '{"v":1,"at":"2026-11-22T12:00:05.000Z","step":"act","state":"begin","action":"restart"}'
    browser = act.replace('"restart"', '"browser-restart"')
    (folder / "2026-11-22T12-00-00Z.jsonl").write_text(f"{first}\n{browser}\n{act}\n{act[:40]}")
    (folder / "2026-11-22T13-00-00Z.jsonl").write_text(f"{first.replace('k', 'other')}\n{act}\n")
    (folder / "2026-11-22T14-00-00Z.jsonl").mkdir()
    assert restarts_by_us(tmp_path, "k") == (1_795_348_805_000,)
    assert restarts_by_us(tmp_path / "none", "k") == ()


def test_restarts_of_the_audit_log(tmp_path: Path) -> None:
    """What OpenClaw writes of a restart is in the history after the next run, once."""
    with gateway() as port:
        operator = Operator(tmp_path, port)
        log = tmp_path / "home" / ".openclaw" / "logs" / "gateway-restart.log"
        log.parent.mkdir()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(time.time() - 3600))
        log.write_text(f"[{stamp}] openclaw gateway lifecycle source=cli action=restart mode=x interactive=0\n")
        operator.run("--quick")
        operator.run("--quick")
    assert rows(operator, "SELECT by FROM restarts") == [("openclaw",)]
