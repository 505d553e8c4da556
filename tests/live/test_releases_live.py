"""One release of every month: healthy when it is well, paired or not, named when it hangs or is down."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from oc_ops.lab.lab import Lab
from tests.live.examine import Examination, examine
from tests.live.labs import TestLab, calm
from tests.support import faults

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]

RECORD = "OC_OPS_RELEASES_RECORD"
"""A file that takes one line of JSON for each release; tests/data/releases.jsonl is drawn into docs/releases.md."""
MONTHLY = "2026.9.1 2026.8.2 2026.7.35 2026.6.11 2026.5.18 2026.4.15 2026.3.13"
RELEASES = os.environ.get("OC_OPS_RELEASES", MONTHLY).split()
"""One of each month, or those that the environment names: any release of npm can be tried."""
BROKEN_HTTP = ("2026.3.31", "2026.4.8")
"""Releases whose package lacks a module of its own, so that every HTTP request ends in an error."""
PAIRED_S = 300.0


@pytest.fixture
def fresh(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A gateway of the release, up, whose command line was never used."""

    class Fresh(TestLab):
        """No cron job is added, so no call pairs the command line."""

        def _seed(self, say: object) -> None:
            return

    lab = Fresh(tmp_path / "lab", request.param)
    try:
        lab.up()
        yield lab
    finally:
        lab.down()


@pytest.mark.parametrize("fresh", RELEASES, indirect=True)
def test_a_release_of_every_month_is_told_as_it_is(fresh: Lab, tmp_path: Path) -> None:
    """Never paired: at most one warning; paired by an operator's call: healthy; stopped and down: named as that."""
    known = {"gateway/http-broken"} if fresh.version in BROKEN_HTTP else set()
    unpaired = examine(fresh, tmp_path)
    assert unpaired.exit == 0, unpaired.output
    assert complaints(unpaired) <= known | {"cli/unpaired"}, unpaired.output
    pair(fresh)
    well = examine(fresh, tmp_path)
    assert well.exit == 0, well.output
    assert complaints(well) <= known, well.output
    with faults.stopped(fresh):
        hung = examine(fresh, tmp_path)
    assert hung.errors == ["gateway/hung"]
    with faults.killed(fresh):
        down = examine(fresh, tmp_path)
    assert down.errors == ["gateway/down"]
    record(fresh.version, "never paired", unpaired)
    record(fresh.version, "paired", well)
    record(fresh.version, "stopped (SIGSTOP)", hung)
    record(fresh.version, "killed", down)


def complaints(seen: Examination) -> set[str]:
    """The ids of all findings but mere facts, such as what is known of a release."""
    return {each["check"] for each in seen.report["findings"] if each["severity"] != "info"}


def pair(lab: Lab) -> None:
    """Pair its command by an operator's call; what its start made it complain of until then is another story.

    2026.4.29 is ready by its own word and then answers no call for up to a minute on a busy machine.
    """
    until = time.monotonic() + PAIRED_S
    while (call := lab.call("cron", "list", "--json")).outcome not in ("answered", "lingered"):
        assert time.monotonic() < until, call.summary
    if lab.log_file.exists():  # 2026.4.1 writes another than the one that its config names
        calm(lab.log_file)


@pytest.mark.parametrize("fresh", BROKEN_HTTP, indirect=True)
def test_a_release_whose_http_is_broken_is_told_as_that(fresh: Lab, tmp_path: Path) -> None:
    """It answers 500 to everything here: no stranger on the port, no restart, and never green."""
    seen = examine(fresh, tmp_path)
    assert seen.report["verdict"] in ("unknown", "degraded"), seen.output
    assert not any("restart" in each["fix"] for each in seen.report["findings"])
    assert "500" in json.dumps([each["saw"] for each in seen.report["findings"]])
    record(fresh.version, "its HTTP answers 500", seen)


def record(version: str, state: str, seen: Examination) -> None:
    """Keep what was seen, where the run says so."""
    if path := os.environ.get(RECORD):
        told = {
            "day": f"{datetime.now(UTC):%Y-%m-%d}", "release": version, "target": "local", "supervisor": "none",
            "state": state, "verdict": seen.report["verdict"], "cause": seen.report["cause"], "exit": seen.exit,
        }  # fmt: skip
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(told)}\n")
