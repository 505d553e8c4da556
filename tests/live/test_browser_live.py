"""The agent's browser on a real gateway with real faults: a click that lands, and each fault found as itself."""

from __future__ import annotations

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
from oc_ops.judge import host as judge_host
from oc_ops.judge.finding import Finding
from oc_ops.lab import sweep
from oc_ops.lab.config import CDP_OFFSET
from oc_ops.lab.lab import Lab
from oc_ops.observe import browser, click, host
from oc_ops.observe.click import ClickLimits, Walk
from oc_ops.observe.host import HostView
from oc_ops.observe.openclaw import Openclaw
from oc_ops.observe.processes import gateway_processes
from oc_ops.observe.target import locate
from oc_ops.settings import Settings
from tests.live.conftest import LabOf
from tests.live.examine import assert_healthy, examine
from tests.support import faults
from tests.support.survivors import eventually

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


def surroundings(lab: Lab) -> HostView:
    """One look at the machine around a lab."""
    target = locate(lab.environ)
    processes = gateway_processes(target)
    return host.look(target, processes, places={}, log_files=[lab.log_file], executable=lab.openclaw)


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


@pytest.mark.parametrize("runs", [1, pytest.param(20, marks=pytest.mark.nightly)])
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
    """A doctor run with --deep clicks in a running browser, beside somebody's tab: ours is gone afterwards, theirs and
    the browser are as before. Nothing that is kept of it shows the token.
    """
    seen = Seen(lab, tmp_path)
    theirs = seen.openclaw.browser_open("about:blank", 25.0).value
    assert theirs is not None
    try:
        browser = [each.pid for each in processes(lab, "")]
        whole = examine(lab, tmp_path, "--deep", browser="running")
        assert_healthy(whole)
        outcomes = {each["id"]: each["outcome"] for each in whole.report["checks"]}
        assert outcomes["browser/acts"] == "passed", whole.output
        assert seen.tabs() == [theirs["targetId"]]
        assert [each.pid for each in processes(lab, "")] == browser
        written = [each for each in (tmp_path / "reports").rglob("*") if each.is_file()]
        assert [each for each in written if lab.token.encode() in each.read_bytes()] == []
    finally:
        seen.openclaw.browser_close(str(theirs["targetId"]), 25.0)


@pytest.mark.nightly
def test_what_keeps_a_browser_down_is_named(lab: Lab, tmp_path: Path) -> None:
    """Not running, it is the one finding, with the fix that every release understands. A program that has its port, a
    lock of another host, and a lock of a pid that another program has by now keep it down: each is named, and 2026.9.6
    refuses to start. Over the lock of a dead pid it starts: no fault.
    """
    with (
        faults.browser_stopped(lab),
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger,
    ):
        assert assert_only(Seen(lab, tmp_path), "browser/not-running").fix == judge.START
        with faults.port_held(lab.port + CDP_OFFSET) as pid:
            seen = Seen(lab, tmp_path).deep()
            assert f"end pid {pid}" in assert_only(seen, "browser/cdp-port-taken").fix
            assert "already in use" in seen.openclaw.browser_start(40.0).error
        for text in ("elsewhere-4711", f"{socket.gethostname()}-{stranger.pid}"):
            with lock_left(lab, text):
                seen = Seen(lab, tmp_path).deep()
                assert text in assert_only(seen, "browser/profile-locked").saw
                if not text.startswith("elsewhere"):  # a third start that fails makes 2026.9.6 wait before a fourth
                    assert "profile lock" in seen.openclaw.browser_start(40.0).error
                else:
                    whole = examine(lab, tmp_path, browser="running")
                    assert whole.errors == ["browser/profile-locked"], whole.output
        stranger.communicate(b"\n")
        with lock_left(lab, f"{socket.gethostname()}-{DEAD_PID}"):
            assert assert_only(Seen(lab, tmp_path), "browser/not-running").fix == judge.START
            lab.start_browser()
            assert Seen(lab, tmp_path).findings == []


@pytest.mark.nightly
def test_a_browser_that_was_not_running_is_not_running_after_a_click(lab: Lab, tmp_path: Path) -> None:
    """For the click it is started and stopped."""
    with faults.browser_stopped(lab):
        seen = Seen(lab, tmp_path)
        seen.findings.clear()  # as where the setting `browser` expects it only to answer
        walk = assert_lands(seen.deep(running=False))
        assert (walk.page, walk.started) == ("drawn", True)  # 2026.9.6 forbids loopback pages by default
        assert not lab.browser_runs()
        assert processes(lab, "") == []


def test_a_stopped_browser_hangs_and_stopped_pages_stall(lab: Lab, tmp_path: Path) -> None:
    """SIGSTOP of the browser: nothing is opened, which would cost all its tabs, and the cure is the one that helps.
    With SIGSTOP of what draws the pages `browser status` says all is well (#72653); the click names the step.
    """
    main = processes(lab, "")
    with suspended(main):
        seen = Seen(lab, tmp_path).deep()
        finding = assert_only(seen, "browser/not-running")
        assert "SIGSTOP" in finding.fact
        assert finding.fix == f"kill -CONT {main[0].pid}"
        assert seen.walk is None
    with suspended(processes(lab, "renderer", "zygote")):
        seen = Seen(lab, tmp_path).deep(limits=ClickLimits(step_s=12.0, start_s=60.0, walk_s=150.0))
        finding = assert_only(seen, "browser/act-stalled")
        assert seen.answer.value is not None
        assert seen.answer.value["running"] is True
        assert "stalls" in finding.fact or "fails" in finding.fact
        assert "list tabs" in finding.saw
    assert seen.tabs() == []
    assert Seen(lab, tmp_path).findings == []
    assert [each.pid for each in processes(lab, "")] == [main[0].pid]


@pytest.mark.nightly
def test_a_chrome_of_an_earlier_gateway(lab: Lab, tmp_path: Path) -> None:
    """It outlives a killed gateway (#41750), an orphan that is found by its pid. The next gateway takes over one that
    answers, which is no orphan then; one that does not holds the port.
    """
    (main,) = processes(lab, "")
    assert judge_host.orphans(surroundings(lab)) is None
    gateway = lab.listener()
    assert gateway is not None
    lab.kill()
    try:
        assert eventually(lambda: main.ppid() != gateway.pid, 5.0)
        orphan = judge_host.orphans(surroundings(lab))
        assert orphan is not None
        assert (orphan.check, orphan.severity) == ("host/orphans", "warning")
        assert f"browser pid {main.pid}, " in orphan.saw
        assert orphan.fix.endswith(f"then kill {main.pid}")
        lab.start_gateway()
        assert main.is_running()
        assert judge_host.orphans(surroundings(lab)) is None
        seen = Seen(lab, tmp_path)
        assert (seen.findings, seen.tabs()) == ([], [])
        with suspended([main]):
            seen = Seen(lab, tmp_path).deep()
            finding = assert_only(seen, "browser/cdp-port-taken")
            assert "a Chrome that the gateway does not own" in finding.fact
            assert f"end pid {main.pid}" in finding.fix
    finally:
        sweep.end(sweep.browsers(lab.root), 2.0)
        if not lab.status().up:
            lab.start_gateway()
        lab.start_browser()
    assert Seen(lab, tmp_path).findings == []


@pytest.mark.nightly
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
