"""One doctor run on a lab, as an operator starts it: a process of its own, with exit code, last line and report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oc_ops.lab.lab import Lab
from oc_ops.settings import PROJECT

DEADLINE_S = 400.0
PATIENT = {
    "OC_OPS_CLI_TIMEOUT_S": "40", "OC_OPS_CALL_S": "60", "OC_OPS_CLI_LOCK_S": "70", "OC_OPS_CHECK_S": "150",
    "OC_OPS_RUN_S": "300", "OC_OPS_RPC_CONNECT_S": "10", "OC_OPS_RPC_REQUEST_S": "15",
    "OC_OPS_LATE_ANSWER_S": "5", "OC_OPS_EVENT_LOOP_DELAY_MS": "10000",
}  # fmt: skip
"""A machine that runs other tests beside these is slow: that alone is to be no finding here."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What a run left: its exit code, terminal output, report.json, wall and CPU seconds (children included)."""

    exit: int
    output: str
    report: dict[str, Any]
    wall_s: float
    cpu_s: float
    browser_expected: bool = False

    @property
    def errors(self) -> list[str]:
        """The ids of all error findings."""
        return [each["check"] for each in self.report["findings"] if each["severity"] == "error"]

    @property
    def last_line(self) -> str:
        """The last line on the terminal."""
        return self.output.rstrip().splitlines()[-1]

    def finding(self, check: str) -> dict[str, str]:
        """The finding of that id."""
        return next(each for each in self.report["findings"] if each["check"] == check)


def examine(
    lab: Lab,
    folder: Path,
    *options: str,
    browser: str = "off",
    patient: bool = True,
    environ: Mapping[str, str] | None = None,
) -> Examination:
    """Run `pytest checks/ -m doctor` on a lab; reports and memory go below `folder`, which runs may share.

    `browser` is what is expected of the lab's: a run that is about something else does not look at it. One that is
    not `patient` has the limits that an operator has.
    """
    settings = {
        **(PATIENT if patient else {}),
        "OC_OPS_BROWSER": browser,
        "OC_OPS_OPENCLAW": str(lab.openclaw),
    }
    return examine_in({**(environ or lab.environ), **settings}, folder, *options, browser=browser)


def examine_in(environ: Mapping[str, str], folder: Path, *options: str, browser: str = "off") -> Examination:
    """The same run in an environment that says which gateway is looked at."""
    settings = {
        "OC_OPS_MEMORY_DIR": str(folder / "memory"),
        "OC_OPS_REPORT_DIR": str(folder / "reports"),
        "XDG_STATE_HOME": str(folder / "state"),
    }
    argv = [sys.executable, "-m", "pytest", str(PROJECT / "checks"), "-m", "doctor", *options]
    before, began = os.times(), time.monotonic()
    done = subprocess.run(
        argv,
        env={**environ, **settings},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    wall_s, after = time.monotonic() - began, os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    newest = max((folder / "reports" / "runs").glob("*/report.json"), default=None)  # a part is not the latest one
    report = json.loads(newest.read_text(encoding="utf-8")) if newest else {}
    return Examination(done.returncode, done.stdout + done.stderr, report, wall_s, cpu_s, browser == "running")


def assert_healthy(seen: Examination) -> None:
    """Exit 0 and nothing found; nothing is left out but what this run or release cannot have."""
    assert seen.exit == 0, seen.output
    # What is known of an old release is said of a healthy one too, once.
    assert [each for each in seen.report["findings"] if each["check"] != "gateway/known-release"] == []
    assert seen.report["verdict"] == "healthy"
    outcomes = {each["id"]: each["outcome"] for each in seen.report["checks"]}
    # What an older release cannot say is left out, and not green.
    left_out = {each["id"]: "skipped" for each in seen.report["checks"] if each["note"].startswith("this release ")}
    left_out["cron/watched"] = "skipped"  # there is no watchlist
    if outcomes["gateway/supervised"] == "skipped":  # nor a unit, where the lab started it
        left_out["gateway/supervised"] = "skipped"
    if not seen.browser_expected:
        left_out |= {each: "skipped" for each in outcomes if each.startswith("browser/")}
    assert {**outcomes, **left_out} == {**dict.fromkeys(outcomes, "passed"), **left_out}, seen.output
