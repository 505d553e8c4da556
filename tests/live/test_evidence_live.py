"""Whole doctor runs on real faults beside the gateway (jobs, config, log): each is the only error, as itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from oc_ops.lab.lab import Lab
from oc_ops.observe.watchlist import FILE
from tests.live.examine import Examination, examine
from tests.support import faults

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reports and memory of this module's runs."""
    return tmp_path_factory.mktemp("evidence")


def assert_only(seen: Examination, check: str) -> dict[str, str]:
    """The finding is the only error and the cause; returns it."""
    assert seen.errors == [check], seen.output
    assert (seen.exit, seen.report["cause"]) == (1, check)
    return seen.finding(check)


def test_a_watched_job_that_fails_is_found_by_name(lab: Lab, folder: Path) -> None:
    """The failing job alone, though another is watched beside it; during a hang the store tells, as a warning."""
    watchlist = folder / "memory" / FILE
    watchlist.parent.mkdir(exist_ok=True)
    watchlist.write_text("lab-ok\nlab-failing max-failures=1\n")
    lab.call("cron", "run", _job(lab, "lab-failing"), "--wait", "--wait-timeout", "60s")
    finding = assert_only(examine(lab, folder), "cron/job-failing")
    assert finding["subject"] == "lab-failing"
    with faults.stopped(lab):
        seen = examine(lab, folder, "--quick")
    assert_only(seen, "gateway/hung")
    assert seen.finding("cron/job-failing")["severity"] == "warning"
    assert seen.finding("cron/job-failing")["fact"].startswith("by the store, ")
    watchlist.unlink()


def test_a_burst_in_the_log_is_one_finding(lab: Lab, folder: Path) -> None:
    """Ten thousand lines of one fault are counted and said once, with the lines around the newest one as evidence."""
    size = lab.log_file.stat().st_size
    now = datetime.now(UTC)
    with lab.log_file.open("a", encoding="utf-8") as log:
        for number in range(10_000):
            when = now - timedelta(seconds=60 - number % 60)
            meta = {"name": '{"subsystem":"gateway"}', "parentNames": ["openclaw"], "logLevelName": "ERROR"}
            said = f"cron: timer tick failed: number {number}"
            log.write(json.dumps({"1": said, "_meta": meta, "time": when.isoformat(), "message": said}) + "\n")
    try:
        seen = examine(lab, folder, "--quick")
    finally:
        with lab.log_file.open("rb+") as log:
            log.truncate(size)
    finding = assert_only(seen, "logs/cron.tick_failed")
    assert finding["saw"].startswith("60×")
    assert any(each["title"].startswith("Around cron.tick_failed") for each in seen.report["evidence"])


@pytest.mark.nightly
def test_a_config_that_was_replaced_is_said(lab: Lab, tmp_path: Path) -> None:
    """`openclaw doctor --fix` puts a broken config aside and takes the last good one: no error, and one warning."""
    lab.call("config", "set", "logging.level", "info")
    until(lambda: lab.config_path.with_name("openclaw.json.last-good").exists(), "the gateway to keep what works")
    lab.stop_gateway()
    lab.config_path.write_text('{"gateway": {"mode": "local",, }\n', encoding="utf-8")
    lab.call("doctor", "--fix", "--non-interactive")
    assert list(lab.state_dir.glob("openclaw.json.clobbered.*")), "OpenClaw put nothing aside"
    lab.start_gateway()
    seen = examine(lab, tmp_path, "--quick")  # the memory of the others still knows the burst
    assert [each["check"] for each in seen.report["findings"]] == ["config/clobbered"], seen.output


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for what the gateway does by itself within seconds."""
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.2)


def _job(lab: Lab, name: str) -> str:
    listed = json.loads(lab.call("cron", "list", "--json").stdout.text)["jobs"]
    return str(next(each["id"] for each in listed if each["name"] == name))
