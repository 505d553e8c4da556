"""Judges of a drain: within its budget it is waited for, beyond it somebody is told since when and by whom."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from oc_ops.judge.finding import Finding
from oc_ops.judge.findings import KINDS
from oc_ops.judge.lifecycle import Drain, drain_stuck
from oc_ops.record import memory

NOW = datetime(2026, 11, 28, 14, 0, tzinfo=UTC)
DRAINING = Finding(
    "gateway/draining", "warning", "the gateway is draining", "GET /startupz: 503", "none automatic: wait"
)


@pytest.mark.parametrize(
    ("lasts_s", "check", "severity"),
    [(0, "draining", "warning"), (330, "draining", "warning"), (331, "drain-stuck", "error")],
)
def test_a_drain_is_waited_for_as_long_as_its_budget(lasts_s: float, check: str, severity: str) -> None:
    """Beyond it the cure is no wait any more, so that recovery ends instead of waiting anew each time."""
    drain = Drain(NOW - timedelta(seconds=lasts_s), NOW, restart_at=NOW - timedelta(hours=1))
    finding = drain_stuck(DRAINING, drain, 330)
    assert (finding.check, finding.severity) == (f"gateway/{check}", severity)
    assert ("wait until " in finding.fix) == (severity == "warning")
    assert "gateway-restart.log shows a restart at 2026-11-28 13:00:00 UTC" in finding.saw
    assert KINDS["gateway/drain-stuck"].cure.action == "none"


@pytest.mark.parametrize("lasts_s", [10, 4000])
def test_a_suspension_is_told_as_one(lasts_s: float) -> None:
    """It ends with its lease or by resume, and no restart is what helps."""
    ends = NOW + timedelta(seconds=90)
    drain = Drain(NOW - timedelta(seconds=lasts_s), NOW, "a different gateway suspension is prepared", ends)
    finding = drain_stuck(DRAINING, drain, 330)
    assert "suspended" in finding.fact
    assert "openclaw gateway resume ID" in finding.fix
    assert "its lease ends at 2026-11-28 14:01:30 UTC" in finding.saw
    assert "restart" not in finding.fix


@pytest.mark.parametrize(("lasts_s", "check"), [(10, "draining"), (400, "drain-stuck")])
def test_a_container_that_is_being_stopped_is_told_as_one(lasts_s: float, check: str) -> None:
    """Its runtime has asked for it, and ends it: nobody else is to."""
    finding = drain_stuck(DRAINING, Drain(NOW - timedelta(seconds=lasts_s), NOW, stops="podman"), 330)
    assert finding.check == f"gateway/{check}"
    assert "podman is stopping its container" in finding.saw
    assert "kill" not in finding.fix


def test_the_first_look_at_a_drain_is_remembered(tmp_path: Path) -> None:
    """Later looks of the same start tell its age; another start, or a gateway that was well meanwhile, begins anew."""
    later = NOW + timedelta(minutes=10)
    assert memory.drain_since(tmp_path, "key", 1000.0, NOW) == NOW
    assert memory.drain_since(tmp_path, "key", 1001.0, later) == NOW
    assert memory.drain_since(tmp_path, "other", 1000.0, later) == later
    assert memory.drain_since(tmp_path, "key", 2000.0, later) == later
    memory.forget_drain(tmp_path, "key")
    assert memory.drain_since(tmp_path, "key", 2000.0, later + timedelta(minutes=1)) == later + timedelta(minutes=1)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"first_s": "x"}', '{"first_s": 9e12}', "null"])
def test_a_broken_memory_costs_the_age_alone(text: str, tmp_path: Path) -> None:
    """A file that is none is a drain seen for the first time."""
    (tmp_path / "drain-key.json").write_text(text)
    assert memory.drain_since(tmp_path, "key", None, NOW) == NOW
