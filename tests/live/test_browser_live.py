"""The agent's browser on a real gateway with real faults: a click that lands, and each fault found as itself."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from oc_ops.errors import CouldNotLook
from oc_ops.judge import browser as judge
from oc_ops.judge.finding import Finding
from oc_ops.lab import sweep
from oc_ops.lab.config import CDP_OFFSET
from oc_ops.lab.gateway import Lab
from oc_ops.observe import browser, click
from oc_ops.observe.click import ClickLimits, Walk
from oc_ops.observe.openclaw import Openclaw
from oc_ops.observe.target import locate
from oc_ops.settings import Settings
from tests.live.conftest import LabOf
from tests.live.examine import assert_healthy, examine
from tests.support import faults

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(1200),
]

LIMITS = ClickLimits(step_s=25.0, start_s=60.0, walk_s=150.0)
"""Patient: a step includes the start of a CLI, which takes 1 s on an idle machine and 8 s on a crowded one."""

DEAD_PID = 2**22 + 1


@pytest.fixture(scope="module")
def lab(lab_with_browser: Lab) -> Lab:
    """The lab with its browser, which is what this module is about."""
    return lab_with_browser


class Seen:
    """One look at a lab's browser as the doctor takes it: status, machine, findings, and a click where one is due."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.openclaw = Openclaw(lab.openclaw, locate(lab.environ), Settings(call_s=40.0), folder / "cli.lock")
        self.answer = self.openclaw.browser_status()
        self.chrome = browser.look(self.openclaw.target, self.answer.value)
        self.walk: Walk | None = None
        self.findings = list(filter(None, [self._state()]))

    def _state(self) -> Finding | None:
        return (
            judge.unanswered(self.answer)
            or judge.kept_down(self.answer, self.chrome, self.openclaw.release)
            or judge.not_running(self.answer, "running", self.chrome)
        )

    def deep(self, *, running: bool = True, limits: ClickLimits = LIMITS) -> Seen:
        """And a click, if nothing stands in its way."""
        if not self.findings:
            self.walk = click.walk(self.openclaw, running=running, limits=limits)
            self.findings += filter(None, [judge.act_stalled(self.walk)])
        return self

    def tabs(self) -> list[str]:
        """The targets of all open tabs."""
        value = self.openclaw.browser_tabs(25.0).value or {}
        return [each["targetId"] for each in value["tabs"]]  # type: ignore[attr-defined]  # a real gateway's


def assert_only(seen: Seen, check: str) -> Finding:
    """The one finding, which it returns."""
    assert [each.check for each in seen.findings] == [check], seen.findings
    return seen.findings[0]


def assert_lands(seen: Seen) -> Walk:
    """No finding, and a click that came through; returns its walk."""
    assert seen.walk is not None
    assert seen.findings == []
    assert all(each.outcome == "done" for each in seen.walk.steps)
    return seen.walk


def user_data(lab: Lab) -> Path:
    """The folder of the agent's profile."""
    return lab.state_dir / "browser" / "openclaw" / "user-data"


@contextmanager
def lock_left(lab: Lab, text: str) -> Iterator[None]:
    """A SingletonLock that names `text` is left in the profile of a browser that is stopped."""
    link = user_data(lab) / "SingletonLock"
    link.unlink(missing_ok=True)
    link.symlink_to(text)
    try:
        yield
    finally:
        if link.is_symlink() and str(link.readlink()) == text:
            link.unlink()


@contextmanager
def reconfigured(lab: Lab, browser: dict[str, object]) -> Iterator[None]:
    """The gateway runs with these changes to its `browser` table; afterwards with none, and its browser runs."""
    run_with(lab, browser)
    try:
        yield
    finally:
        run_with(lab, {})
        lab.start_browser()


def run_with(lab: Lab, browser: dict[str, object]) -> None:
    """Start the gateway anew with these changes to its `browser` table."""
    lab.stop_gateway()
    lab.write_config({"browser": browser} if browser else {})
    lab.start_gateway()


def processes(lab: Lab, *kinds: str) -> list[psutil.Process]:
    """The processes of the lab's browser of these kinds; its main one has none."""
    found = []
    for each in sweep.browsers(lab.root):
        kind = next((word[7:] for word in " ".join(each.cmdline()).split() if word.startswith("--type=")), "")
        found += [each] if kind in kinds else []
    return found


@contextmanager
def suspended(processes: list[psutil.Process]) -> Iterator[None]:
    """SIGSTOP them, and SIGCONT those that still live."""
    for each in processes:
        each.suspend()
    try:
        yield
    finally:
        for each in processes:
            if each.is_running():
                each.resume()


@pytest.mark.parametrize("runs", [3, pytest.param(20, marks=pytest.mark.nightly)])
def test_healthy_runs_in_a_row_find_nothing(lab: Lab, tmp_path: Path, runs: int) -> None:
    """A healthy gateway is healthy every time, through all three lanes, and being looked at logs no error."""
    size = lab.log_file.stat().st_size
    for _ in range(runs):
        seen = examine(lab, tmp_path, browser="running")
        assert_healthy(seen)
        assert seen.report["lanes"] == {"http": "ok", "rpc": "ok", "cli": "ok"}
        assert [each["outcome"] for each in seen.report["calls"]] == ["answered"] * len(seen.report["calls"])
    written = lab.log_file.read_bytes()[size:].decode("utf-8", "replace")
    assert not [line for line in written.splitlines() if '"logLevelName":"ERROR"' in line]


def test_a_click_lands_and_leaves_nothing_behind(lab: Lab, tmp_path: Path) -> None:
    """In a running browser, beside somebody's tab: ours is gone afterwards, theirs and the browser are as before.

    Nothing that is kept of it shows the token. A whole doctor run with --deep makes the same click.
    """
    seen = Seen(lab, tmp_path)
    theirs = seen.openclaw.browser_open("about:blank", 25.0).value
    assert theirs is not None
    try:
        browser = [each.pid for each in processes(lab, "")]
        walk = assert_lands(seen.deep())
        assert (walk.page, walk.started) == ("drawn", False)  # 2026.9.6 forbids loopback pages by default
        assert lab.token not in json.dumps([repr(walk), seen.answer.call.argv, repr(seen.chrome)])
        assert seen.tabs() == [theirs["targetId"]]
        assert [each.pid for each in processes(lab, "")] == browser
        whole = examine(lab, tmp_path, "--deep", browser="running")
        outcomes = {each["id"]: each["outcome"] for each in whole.report["checks"]}
        assert outcomes["browser/acts"] == "passed", whole.output
        assert whole.errors == []
    finally:
        seen.openclaw.browser_close(str(theirs["targetId"]), 25.0)


def test_a_browser_that_was_not_running_is_not_running_afterwards(lab: Lab, tmp_path: Path) -> None:
    """It is the only error, with the fix that every release understands; for the click it is started and stopped."""
    with faults.browser_stopped(lab):
        whole = examine(lab, tmp_path, browser="running")
        assert whole.errors == ["browser/not-running"], whole.output
        assert whole.finding("browser/not-running")["fix"] == "openclaw browser --browser-profile openclaw start"
        seen = Seen(lab, tmp_path)
        assert_only(seen, "browser/not-running")
        seen.findings.clear()  # as where the setting `browser` expects it only to answer
        assert_lands(seen.deep(running=False))
        assert not lab.browser_runs()
        assert processes(lab, "") == []


def test_the_config_decides_what_can_be_tried(lab: Lab, tmp_path: Path) -> None:
    """With 127.0.0.1 among the allowed hosts the page comes from us and tells us of the click; without scripts and
    loopback pages a click that may not be tried is neither fault nor health, and the setting is named; an
    `executablePath` that leads nowhere is the one finding.
    """
    with reconfigured(lab, {"ssrfPolicy": {"allowedHostnames": ["127.0.0.1"]}}):
        lab.start_browser()
        seen = Seen(lab, tmp_path).deep()
        assert assert_lands(seen).page == "served"
        assert seen.tabs() == []
        run_with(lab, {"evaluateEnabled": False})
        lab.start_browser()
        seen = Seen(lab, tmp_path)
        with pytest.raises(CouldNotLook, match="allowedHostnames"):
            seen.deep()
        assert seen.tabs() == []
        run_with(lab, {"executablePath": "/nowhere/chromium"})
        sweep.end(sweep.browsers(lab.root), 2.0)
        finding = assert_only(Seen(lab, tmp_path), "browser/not-found")
        assert "/nowhere/chromium" in finding.saw
        assert "browser.executablePath" in finding.fix
        assert examine(lab, tmp_path, browser="running").errors == ["browser/not-found"]
    assert Seen(lab, tmp_path).findings == []


def test_a_stopped_browser_hangs(lab: Lab, tmp_path: Path) -> None:
    """SIGSTOP of the browser: nothing is opened, which would cost all its tabs, and the cure is the one that helps."""
    main = processes(lab, "")
    with suspended(main):
        seen = Seen(lab, tmp_path).deep()
        finding = assert_only(seen, "browser/not-running")
        assert "SIGSTOP" in finding.fact
        assert finding.fix == f"kill -CONT {main[0].pid}"
        assert seen.walk is None
        whole = examine(lab, tmp_path, browser="running")
        assert whole.errors == ["browser/not-running"], whole.output
        assert whole.finding("browser/not-running")["fix"] == finding.fix
    assert Seen(lab, tmp_path).findings == []
    assert [each.pid for each in processes(lab, "")] == [main[0].pid]


def test_pages_that_do_not_answer_stall_the_click(lab: Lab, tmp_path: Path) -> None:
    """With SIGSTOP of what draws the pages `browser status` says all is well (#72653); the click names the step."""
    with suspended(processes(lab, "renderer", "zygote")):
        seen = Seen(lab, tmp_path).deep(limits=ClickLimits(step_s=12.0, start_s=60.0, walk_s=150.0))
        finding = assert_only(seen, "browser/act-stalled")
        assert seen.answer.value is not None
        assert seen.answer.value["running"] is True
        assert "stalls" in finding.fact or "fails" in finding.fact
        assert "list tabs" in finding.saw
    assert seen.tabs() == []
    assert_lands(Seen(lab, tmp_path).deep())


def test_a_program_on_the_browser_s_port_is_named(lab: Lab, tmp_path: Path) -> None:
    """It had the port before the browser was started, and OpenClaw says only that it is in use."""
    with faults.browser_stopped(lab), faults.port_held(lab.port + CDP_OFFSET) as pid:
        seen = Seen(lab, tmp_path).deep()
        finding = assert_only(seen, "browser/cdp-port-taken")
        assert f"end pid {pid}" in finding.fix
        assert "already in use" in seen.openclaw.browser_start(40.0).error
        whole = examine(lab, tmp_path, browser="running")
        assert whole.errors == ["browser/cdp-port-taken"], whole.output
        assert f"end pid {pid}" in whole.finding("browser/cdp-port-taken")["fix"]
    assert Seen(lab, tmp_path).findings == []


def test_a_chrome_of_an_earlier_gateway(lab: Lab, tmp_path: Path) -> None:
    """It outlives a killed gateway (#41750). One that answers is taken over; one that does not holds the port."""
    main = processes(lab, "")
    lab.kill()
    try:
        lab.start_gateway()
        assert_lands(Seen(lab, tmp_path).deep())
        with suspended(main):
            seen = Seen(lab, tmp_path).deep()
            finding = assert_only(seen, "browser/cdp-port-taken")
            assert "a Chrome that the gateway does not own" in finding.fact
            assert f"end pid {main[0].pid}" in finding.fix
    finally:
        sweep.end(sweep.browsers(lab.root), 2.0)
        lab.start_browser()
    assert Seen(lab, tmp_path).findings == []


def test_a_lock_of_a_dead_pid_is_no_fault(lab: Lab, tmp_path: Path) -> None:
    """The browser starts over it: what is wrong is only that it does not run, and the fix cures that."""
    with faults.browser_stopped(lab), lock_left(lab, f"{socket.gethostname()}-{DEAD_PID}"):
        finding = assert_only(Seen(lab, tmp_path), "browser/not-running")
        assert finding.fix == judge.START
        lab.start_browser()
        assert Seen(lab, tmp_path).findings == []


def test_a_lock_that_the_browser_does_not_start_over(lab: Lab, tmp_path: Path) -> None:
    """Of another host, or of a pid that another program has by now: 2026.9.6 refuses to start, and says no more."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        with faults.browser_stopped(lab):
            for text in ("elsewhere-4711", f"{socket.gethostname()}-{stranger.pid}"):
                with lock_left(lab, text):
                    seen = Seen(lab, tmp_path).deep()
                    finding = assert_only(seen, "browser/profile-locked")
                    assert text in finding.saw
                    assert "profile lock" in seen.openclaw.browser_start(40.0).error
                    whole = examine(lab, tmp_path, browser="running")
                    assert whole.errors == ["browser/profile-locked"], whole.output
        stranger.communicate(b"\n")
    assert Seen(lab, tmp_path).findings == []


@pytest.mark.nightly
@pytest.mark.parametrize(("version", "page"), [("2026.5.28", "drawn"), ("2026.2.26", "served")])
def test_a_click_lands_on_older_releases_too(lab_of: LabOf, tmp_path: Path, version: str, page: str) -> None:
    """By the same routes; 2026.2.26 forbids no loopback page."""
    old = lab_of(version)
    if not old.browser_runs():  # another module may have ended the gateway that it belonged to
        old.start_browser()
    seen = Seen(old, tmp_path)
    before = seen.tabs()
    assert assert_lands(seen.deep()).page == page
    assert seen.tabs() == before
