"""Runs and the book of incidents: whole doctor runs open, keep, close and name the incident."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.machine import Operator, closed_port, gateway


def book(operator: Operator) -> list[dict[str, Any]]:
    """Every line of the book."""
    path = operator.root / "memory" / "incidents.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_an_incident_lasts_from_the_first_red_to_the_second_green(tmp_path: Path) -> None:
    """Opened once, however often it is seen; green once does not close it; its times stand in the report."""
    operator = Operator(tmp_path, closed_port())
    first = operator.run("--quick")
    incident = operator.latest()["incident"]
    assert f"incident {incident['id']}, opened by this run" in first.out
    assert (incident["cause"], incident["state"], incident["this_run"]) == ("gateway/down", "red", "opened")
    operator.run("--quick")
    assert operator.latest()["incident"]["id"] == incident["id"]
    assert [each["what"] for each in book(operator)] == ["opened"]
    with gateway() as port:
        operator.configure(port)
        operator.run()
        assert operator.latest()["incident"]["this_run"] == "green"
        last = operator.run()
        assert operator.latest()["verdict"] == "healthy"
        closed = operator.latest()["incident"]
        assert closed["this_run"] == "closed"
        assert closed["time_to_recover_s"] > 0
        assert "closed after" in last.out
        operator.run()
        assert operator.latest()["incident"] is None
    assert [each["what"] for each in book(operator)] == ["opened", "green", "closed"]


def test_a_healthy_run_writes_no_book(tmp_path: Path) -> None:
    """Nothing was wrong: there is nothing to keep."""
    with gateway() as port:
        operator = Operator(tmp_path, port)
        operator.run("--quick")
    assert operator.latest()["incident"] is None
    assert not (tmp_path / "memory" / "incidents.jsonl").exists()


def test_a_book_that_cannot_be_written_costs_no_verdict(tmp_path: Path) -> None:
    """The verdict and the report are there, and the reason stands beside the report's place."""
    operator = Operator(tmp_path, closed_port())
    (tmp_path / "memory" / "incidents.jsonl").mkdir(parents=True)
    run = operator.run("--quick")
    assert run.code == 1
    assert "gateway/down" in run.last_line
    assert "no incident was recorded" in run.out
    assert operator.latest()["incident"] is None
