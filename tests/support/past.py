"""Runs of the past, made by hand, for whatever reads the history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from oc_ops.record.history.entry import CallEntry, CheckEntry, CronRunEntry, JobEntry, Process, RunEntry
from oc_ops.record.history.write import remember
from tests import docs

NOW_MS = 1_795_400_000_000
"""2026-11-22, in the evening."""
STEP_MS = 300_000
KEY = "0123456789ab"
CHECKS = tuple(check for check, _lane, _claim in docs.checks())
CALLS = (
    CallEntry("http /healthz", "answered", 0.003),
    CallEntry("http /startupz", "answered", 0.002),
    CallEntry("http /readyz", "answered", 0.003),
    CallEntry("rpc status", "ok", 0.040),
    CallEntry("rpc cron.status", "ok", 0.020),
    CallEntry("rpc cron.list", "ok", 0.030),
    CallEntry("cli gateway call status", "answered", 0.9, 1.1),
    CallEntry("cli cron list", "answered", 0.8, 1.0),
)


def run(at_ms: int = NOW_MS, **changes: Any) -> RunEntry:
    """One run, healthy unless told otherwise."""
    members: dict[str, Any] = {
        "key": KEY,
        "profile": "default",
        "port": 18789,
        "at_ms": at_ms,
        "stamp": f"{at_ms}",
        "duration_s": 3.0,
        "verdict": "healthy",
        "cause": None,
        "whole": True,
        "own_cpu_s": 0.5,
        "calls_cpu_s": 2.1,
        "process": Process(4171, NOW_MS - 90 * 86_400_000, 400 * 2**20),
        "delay_ms": 12.0,
        "state": {"CLI": "2026.9.6", "gateway": "2026.9.6", "config": "aa", "jobs": "1", "job j": "j: every 60 s, on"},
        "checks": tuple(CheckEntry(each, "passed", 0.01) for each in CHECKS),
        "calls": CALLS,
    }
    return RunEntry(**{**members, **changes})


def hung(at_ms: int = NOW_MS, **changes: Any) -> RunEntry:
    """One run on a gateway that hangs."""
    checks = (
        CheckEntry(each, "failed" if each == "gateway/live" else "blocked" if each > "c" else "passed", 0.01)
        for each in CHECKS
    )
    members: dict[str, Any] = {
        "verdict": "unhealthy",
        "cause": "gateway/hung",
        "incident": "20261122-gateway-hung",
        "checks": tuple(checks),
        "calls": (CallEntry("http /healthz", "silent", 2.0), CallEntry("http /healthz", "silent", 2.0)),
    }
    return run(at_ms, **{**members, **changes})


def job(*runs: CronRunEntry, name: str = "nightly", id: str = "j1", watched: bool = True) -> JobEntry:
    """A cron job with its runs."""
    return JobEntry(id, name, watched, runs)


def remembered(folder: Path, *entries: RunEntry, days: float = 400) -> Path:
    """Write them down and return the memory directory."""
    for each in entries:
        assert remember(folder, each, days) == ""
    return folder
