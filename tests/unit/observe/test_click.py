"""The walk of a real click: its steps, its deadlines, and what it leaves behind whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oc_ops.errors import CouldNotLook
from oc_ops.observe import click
from oc_ops.observe.click import ClickLimits, Walk
from oc_ops.observe.click_page import Page
from oc_ops.observe.openclaw import Openclaw
from oc_ops.observe.target import locate
from oc_ops.settings import PROJECT, Settings

FAKE = Path(__file__).parents[2] / "fakes" / "browsing_openclaw"
LIMITS = ClickLimits(step_s=3.0, start_s=4.0, walk_s=30.0)
SERVED = ["list tabs", "open", "snapshot", "click", "second snapshot", "close"]
DRAWN = ["list tabs", "ask for a loopback page", "open", "draw", "snapshot", "click", "second snapshot", "close"]
OTHERS = {"A": {"url": "https://example.com/a", "said": ""}, "B": {"url": "about:blank", "said": ""}}


class Bench:
    """A gateway's browser by a fake `openclaw`, with the tabs of somebody at work in it."""

    def __init__(self, folder: Path, **state: object) -> None:
        self.state_file = folder / "browser.json"
        self.state_file.write_text(
            json.dumps({"running": True, "tabs": OTHERS, "policy": "open", "calls": [], **state})
        )
        self.executable = folder / "openclaw"
        shutil.copy(FAKE, self.executable)
        (folder / "package.json").write_text(json.dumps({"name": "openclaw", "version": "2026.9.6"}))
        self.environ = {"HOME": str(folder), "PATH": os.environ["PATH"], "BROWSING_OPENCLAW": str(self.state_file)}
        # A stalled call is ended one second after the gateway should have given it up.
        settings = Settings(cli_timeout_s=1.0, call_s=2.0, linger_s=0.3, kill_grace_s=0.2)
        self.openclaw = Openclaw(self.executable, locate(self.environ), settings, folder / "cli.lock")

    @property
    def state(self) -> dict[str, Any]:
        """What is in the browser now."""
        state: dict[str, Any] = json.loads(self.state_file.read_text())
        return state

    @property
    def routes(self) -> list[str]:
        """Which routes were called, in order."""
        return [route for route, _ in self.state["calls"]]

    def walk(self, *, running: bool = True, limits: ClickLimits = LIMITS) -> Walk:
        """The walk under test."""
        return click.walk(self.openclaw, running=running, limits=limits)


Make = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path) -> Make:
    """Set a browser up."""
    return lambda **state: Bench(tmp_path, **state)


def names(walk: Walk) -> list[str]:
    """The walk's steps by name."""
    return [each.name for each in walk.steps]


@pytest.mark.parametrize(("policy", "steps", "page"), [("open", SERVED, "served"), ("strict", DRAWN, "drawn")])
def test_a_click_that_lands(bench: Make, policy: str, steps: list[str], page: str) -> None:
    """Every step comes through, on our own page or, where policy forbids that, on a blank one; nothing stays open."""
    made = bench(policy=policy)
    walk = made.walk()
    assert walk.failed is None, walk
    assert (names(walk), walk.page) == (steps, page)
    assert made.state["tabs"] == OTHERS
    assert walk.cpu_s > 0
    assert walk.seconds == pytest.approx(sum(each.seconds for each in walk.steps))


def test_each_call_has_its_own_time_limit_and_the_agent_s_profile(bench: Make) -> None:
    """The gateway gives up before the CLI does, the CLI before it is ended, and no tab but ours is named."""
    made = bench()
    made.walk()
    for route, argv in made.state["calls"]:
        request = json.loads(argv[argv.index("--params") + 1])
        assert request["query"]["profile"] == "openclaw"
        assert request["timeoutMs"] == 3000
        assert argv[argv.index("--timeout") + 1] == "4000"
        if route in ("click", "close", "/snapshot"):
            assert "T01" in json.dumps(request)


@pytest.mark.parametrize(
    ("fault", "step", "outcome", "said"),
    [
        ({"stall": "/tabs"}, "list tabs", "stalled", "no answer in"),
        ({"stall": "/tabs/open"}, "open", "stalled", "no answer in"),
        ({"late": True}, "open", "stalled", "no answer in"),
        ({"stall": "/snapshot"}, "snapshot", "stalled", "no answer in"),
        ({"stall": "click"}, "click", "stalled", "no answer in"),
        ({"stall": "close"}, "close", "stalled", "no answer in"),
        ({"dead": "click", "words": "Error: tab not found"}, "click", "failed", "Error: tab not found"),
        ({"dead": "click", "words": "timed out after 20000ms"}, "click", "stalled", "timed out after 20000ms"),
        ({"deaf": "/snapshot"}, "snapshot", "unseen", "does not show the page's button"),
        ({"deaf": "click"}, "second snapshot", "unseen", "looks as it did before"),
        ({"silent": True}, "second snapshot", "unseen", "did not tell its server"),
        ({"stall": "evaluate", "policy": "strict"}, "draw", "stalled", "no answer in"),
    ],
    ids=["list", "open", "open, with its tab", "snapshot", "click", "close", "refused", "timed out by the gateway",
         "no button", "no effect", "no word to the server", "draw"],
)  # fmt: skip
def test_the_step_that_does_not_come_through_is_named(
    bench: Make, monkeypatch: pytest.MonkeyPatch, fault: dict[str, object], step: str, outcome: str, said: str
) -> None:
    """It ends the walk, with what was said; our tab is closed and no other one is touched."""
    monkeypatch.setattr(click, "_BEACON_S", 0.2)
    made = bench(**fault)
    walk = made.walk(limits=ClickLimits(step_s=1.0, start_s=1.0, walk_s=20.0))
    assert walk.failed is not None
    assert (walk.failed.name, walk.failed.outcome) == (step, outcome)
    assert said in walk.failed.said
    left = {name: tab for name, tab in made.state["tabs"].items() if name in OTHERS}
    assert left == OTHERS
    if fault.get("stall") != "close":
        assert made.state["tabs"] == OTHERS


def test_a_browser_that_was_not_running_is_stopped_again(bench: Make) -> None:
    """Started for the click and gone afterwards."""
    made = bench(running=False, tabs={})
    walk = made.walk(running=False)
    assert names(walk) == ["start", *SERVED, "look for others", "stop"]
    assert (walk.failed, walk.started) == (None, True)
    assert made.state["running"] is False


def test_a_browser_that_was_running_is_left_running(bench: Make) -> None:
    """Nobody's tabs are lost."""
    made = bench()
    made.walk()
    assert "/stop" not in made.routes
    assert made.state["running"] is True


@pytest.mark.parametrize("fault", [{"stall": "/start"}, {"stall": "click"}, {"dead": "/snapshot"}])
def test_a_browser_that_was_not_running_is_stopped_after_a_failure_too(bench: Make, fault: dict[str, object]) -> None:
    """Whichever step did not come through: a start that stalled may still have come up."""
    made = bench(running=False, tabs={}, **fault)
    walk = made.walk(running=False, limits=ClickLimits(step_s=1.0, start_s=1.0, walk_s=20.0))
    assert walk.failed is not None
    assert made.routes[-1] == "/stop"
    assert made.state["running"] is False


def test_a_browser_that_somebody_began_to_use_is_not_stopped(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent opened a tab in the browser that the walk had started: its work goes on."""
    made = bench(running=False, tabs={})
    close = Openclaw.browser_close

    def and_then(openclaw: Openclaw, tab: str, timeout_s: float) -> Any:
        answer = close(openclaw, tab, timeout_s)
        made.state_file.write_text(json.dumps({**made.state, "tabs": OTHERS}))
        return answer

    monkeypatch.setattr(Openclaw, "browser_close", and_then)
    walk = made.walk(running=False)
    assert walk.failed is None
    assert "/stop" not in made.routes
    assert made.state["tabs"] == OTHERS


def test_a_full_browser_is_not_looked_at(bench: Make) -> None:
    """A ninth tab would have OpenClaw close the oldest: that is somebody's."""
    full = {f"X{number}": {"url": "https://example.com", "said": ""} for number in range(8)}
    made = bench(tabs=full)
    with pytest.raises(CouldNotLook, match="8 tabs are open"):
        made.walk()
    assert made.state["tabs"] == full


def test_a_policy_that_forbids_everything_names_the_setting(bench: Make) -> None:
    """No loopback page and no script: the operator learns which setting would let a click be tried."""
    made = bench(policy="no-scripts")
    with pytest.raises(CouldNotLook, match=r"browser\.ssrfPolicy\.allowedHostnames"):
        made.walk()
    assert made.state["tabs"] == OTHERS


def test_a_gateway_that_goes_away_is_no_stalled_click(bench: Make) -> None:
    """It has its own findings."""
    made = bench(dead="click", words="Gateway not reachable at ws://127.0.0.1:18789 (ECONNREFUSED).")
    with pytest.raises(CouldNotLook, match="went away"):
        made.walk()


def test_the_walk_s_own_end_leaves_time_to_tidy_up(bench: Make) -> None:
    """The steps share the walk's seconds; the step that comes too late is named, and the tab is closed all the same."""
    made = bench()
    ticks = iter(range(0, 10_000, 3))
    walk = click.walk(
        made.openclaw, running=True, limits=ClickLimits(step_s=3.0, walk_s=16.0), clock=lambda: float(next(ticks))
    )
    assert walk.failed is not None
    assert walk.failed.outcome == "stalled"
    assert "the 16 s of the walk are used up" in walk.failed.said
    assert made.state["tabs"] == OTHERS


@pytest.mark.parametrize("running", [True, False])
def test_ctrl_c_tidies_up(bench: Make, running: bool) -> None:
    """An interrupt in the middle of a click closes the tab, stops what was started, and is not swallowed."""
    made = bench(stall="click", running=running, tabs=OTHERS if running else {})
    code = (
        "import sys\nfrom pathlib import Path\nfrom oc_ops.observe import click\nfrom oc_ops.observe.openclaw import "
        "Openclaw\nfrom oc_ops.observe.target import locate\nfrom oc_ops.settings import Settings\nimport os\n"
        f"openclaw = Openclaw(Path({str(made.executable)!r}), locate(dict(os.environ)), Settings(), "
        f"Path({str(made.state_file.parent / 'cli.lock')!r}))\n"
        f"click.walk(openclaw, running={running}, limits=click.ClickLimits())\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], env=made.environ, cwd=PROJECT, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while "click" not in _routes(made) and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)
    assert b"KeyboardInterrupt" in said
    assert made.state["tabs"] == (OTHERS if running else {})
    assert made.state["running"] is running


def _routes(made: Bench) -> list[str]:
    """The routes so far; the file may be half written at the moment."""
    try:
        return made.routes
    except ValueError:
        return []


@pytest.mark.parametrize(
    ("state", "running", "asked"),
    [
        ({"pid": 901}, True, 1),
        ({"pid": 901, "slow": 1}, True, 2),
        ({"pid": 901, "slow": 9}, False, 2),
        ({"running": False}, False, 1),
    ],
    ids=["runs", "slow", "hangs", "stopped"],
)
def test_a_status_that_contradicts_itself_is_asked_for_twice(
    bench: Make, state: dict[str, object], running: bool, asked: int
) -> None:
    """A process, and not running: the gateway waited 0.3 s for it, which a busy machine needs for itself."""
    made = bench(**state)
    answer = made.openclaw.browser_status()
    assert (answer.value or {}).get("running") is running
    assert made.routes == ["/"] * asked


# -- the page ---------------------------------------------------------------------------------------------------------


def fetched(url: str, method: str = "GET") -> tuple[int, str]:
    """Status and text of an answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_the_page_is_served_on_loopback_under_its_own_path_only(capfd: pytest.CaptureFixture[str]) -> None:
    """Who does not know the path gets nothing and presses nothing, and no request is written anywhere."""
    with Page() as page, Page() as another:
        assert page.url.startswith("http://127.0.0.1:")
        assert len(page.url.rpartition("/")[2]) >= 20
        assert page.url.rpartition("/")[2] != another.url.rpartition("/")[2]
        assert fetched(page.url) == (200, page.html)
        root = page.url.rpartition("/")[0] + "/"
        assert fetched(root) == (404, "")
        assert fetched(root + "other", "POST") == (404, "")
        assert not page.pressed.is_set()
        assert fetched(page.url, "POST")[0] == 204
        assert page.pressed.is_set()
    assert capfd.readouterr() == ("", "")


def test_the_page_is_gone_afterwards() -> None:
    """Nothing listens any more."""
    with Page() as page:
        url = page.url
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=2)


@pytest.mark.parametrize(
    ("line", "ref"),
    [
        ('  - button "press {word}" [ref=e3]', "e3"),
        ('  - button "press {word}" [active] [ref=f1e12]:', "f1e12"),
        ('  - button "press {word}" [new] [ref=12] [cursor=pointer]', "12"),
        ('  - button "press {word}"\n  - link "elsewhere" [ref=e9]', None),
        ('  - button "press something" [ref=e3]', None),
        ("", None),
    ],
)
def test_the_button_is_found_by_its_own_word(line: str, ref: str | None) -> None:
    """No other button will do, whatever page is shown."""
    page = Page()
    word = page.html.partition("waiting ")[2][:8]
    assert page.button(f"- generic [ref=e1]:\n{line.format(word=word)}") == ref
    assert page.shows_press(f"paragraph: pressed {word}")
    assert not page.shows_press(f"paragraph: waiting {word}")
    assert not page.shows_press("paragraph: pressed")
    page._server.server_close()
