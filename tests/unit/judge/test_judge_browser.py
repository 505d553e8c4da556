"""The judges of the browser that the agent drives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from oc_ops.judge import browser as judge
from oc_ops.observe.browser import Chrome, Holder, ProfileLock
from oc_ops.observe.click import Step, Walk
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.openclaw import Answer
from tests.support.sights import answer

CONFIG = GatewayConfig(Path("/home/joe/.openclaw/openclaw.json"), exists=True, browser_enabled=False)
WORDS = "gateway call browser.request --json"
STOPPED = {
    "enabled": True,
    "profile": "openclaw",
    "running": False,
    "cdpReady": False,
    "pid": None,
    "detectedExecutablePath": "/usr/bin/chromium",
}
RUNNING = {**STOPPED, "running": True, "cdpReady": True, "pid": 901}
HERE = "desk"
FOLDER = Path("/home/joe/.openclaw/browser/openclaw/user-data")
OLD, MIDDLE, NEW = (2026, 2, 26), (2026, 5, 28), (2026, 9, 6)
DAY_S = 86_400.0
OURS = Holder(901, "/usr/bin/chromium --remote-debugging-port=18800", "sleeping", DAY_S, ours=True)
STRANGER = Holder(4242, "python3 -m http.server 18800", "sleeping", DAY_S)
HIDDEN = Holder(None)


def browser(value: Mapping[str, object] | None, **changes: str) -> Answer:
    """What the gateway answers of its browser."""
    return answer(value, WORDS, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "unanswered"),
    [
        (browser(RUNNING), False),
        (browser(STOPPED), False),
        (browser(RUNNING, outcome="lingered"), False),
        (browser(None, outcome="timed-out"), False),
        (browser(None, outcome="crashed"), False),
        (browser(None, outcome="timed-out", stderr="gateway request timed out after 8000ms: browser.request"), True),
        (browser(None, outcome="refused", stderr="Error: gateway timeout after 1500ms"), True),
        (browser(RUNNING, outcome="refused"), True),
        (browser(None), True),
        (browser({}), True),
        (browser({"running": "yes"}), True),
        (browser({"running": None}), True),
    ],
    ids=["running", "stopped", "lingers", "ended without a word", "crashed", "said that it waits", "refused",
         "status and exit 1", "no JSON", "empty", "a text", "null"],
)  # fmt: skip
def test_unanswered(seen: Answer, unanswered: bool) -> None:
    """Any status of the browser is an answer of its control; nothing else is, and our own silence accuses nobody.

    It was called unanswered as well once: on a slow machine that closed the tabs of a browser that was well.
    """
    finding = judge.unanswered(seen)
    assert (finding is not None) == unanswered
    if finding is not None:
        assert finding.check == "browser/unanswered"
        assert "gateway" not in finding.fix  # a gateway restart does not help (#11518)


@pytest.mark.parametrize(
    ("value", "expected", "fix"),
    [
        (RUNNING, "running", None),
        (STOPPED, "auto", None),
        ({**STOPPED, "enabled": False}, "auto", None),
        (STOPPED, "answering", None),
        (STOPPED, "off", None),
        (STOPPED, "running", judge.START),
        ({**STOPPED, "detectedExecutablePath": None}, "running", judge.START),
        ({**STOPPED, "running": None}, "running", judge.START),
        ({**STOPPED, "enabled": False}, "running", "openclaw config set browser.enabled true && "),
        ({}, "running", judge.START),
    ],
    ids=[
        "runs",
        "idle",
        "off in the config",
        "need only answer",
        "not looked at",
        "stopped",
        "no browser found",
        "null",
        "switched off",
        "empty",
    ],
)
def test_not_running(value: Mapping[str, object], expected: str, fix: str | None) -> None:
    """A browser that is down is a fault only where it is expected to run; the fix starts it or switches it on."""
    finding = judge.not_running(browser(value), expected)
    assert (finding is None) == (fix is None)
    if finding is not None and fix is not None:
        assert finding.check == "browser/not-running"
        assert finding.fix.startswith(fix)
        assert ("OC_OPS_BROWSER=off" in finding.saw) == (value.get("enabled") is False)


@pytest.mark.parametrize(
    "words",
    ["Error: browser control is disabled", "browser control disabled (code UNAVAILABLE)"],
    ids=["2026.5.28", "2026.9.6"],
)
def test_a_control_that_is_switched_off_is_not_called_silent(words: str) -> None:
    """The gateway says itself that browser control is disabled: that is the finding, with what to do about it."""
    finding = judge.unanswered(browser(None, outcome="refused", stderr=words))
    assert finding is not None
    assert finding.check == "browser/not-running"
    assert "browser.enabled true" in finding.fix
    assert "OC_OPS_BROWSER=off" in finding.saw


def test_evidence_names_the_browser_that_was_found() -> None:
    """The operator sees whether there is a browser to start at all."""
    found = judge.not_running(browser(STOPPED), "running")
    missing = judge.not_running(browser({**STOPPED, "detectedExecutablePath": None}), "running")
    assert found is not None
    assert missing is not None
    assert "/usr/bin/chromium" in found.saw
    assert "no browser found" in missing.saw


def test_disabled_in_the_config() -> None:
    """The config alone tells that the browser is off."""
    assert judge.disabled(True, CONFIG) is None
    finding = judge.disabled(False, CONFIG)
    assert finding is not None
    assert finding.check == "browser/not-running"
    assert "openclaw.json" in finding.saw


def chrome(**changes: object) -> Chrome:
    """What the machine shows: nobody has the port or the profile, unless told otherwise."""
    members: dict[str, object] = {"here": HERE, "user_data": FOLDER, "port": 18800, "program": "/usr/bin/chromium"}
    return Chrome(**{**members, **changes})  # type: ignore[arg-type]  # by name


def lock(host: str = HERE, holder: Holder | None = None) -> ProfileLock:
    """The profile's lock."""
    return ProfileLock(FOLDER / "SingletonLock", host, holder.pid if holder and holder.pid else 4711, holder)


def young(holder: Holder) -> Holder:
    """The same process, just started."""
    return Holder(holder.pid, holder.title, holder.status, 3.0, holder.ours)


@pytest.mark.parametrize(
    ("value", "seen", "fact"),
    [
        (RUNNING, chrome(), None),
        (STOPPED, chrome(), None),
        (RUNNING, chrome(port_holder=OURS, process=OURS), None),
        (RUNNING, chrome(port_holder=OURS), None),
        (RUNNING, chrome(port_holder=HIDDEN), None),
        (STOPPED, chrome(port_holder=STRANGER), "held by another program"),
        (RUNNING, chrome(port_holder=STRANGER), "held by another program"),
        (STOPPED, chrome(port_holder=HIDDEN), "held by another program"),
        (STOPPED, chrome(port_holder=OURS), "a Chrome that the gateway does not own"),
        (STOPPED, chrome(port_holder=young(OURS)), None),
        (STOPPED, chrome(port_holder=OURS, process=OURS), None),
        (STOPPED, chrome(port_holder=STRANGER, managed=False), None),
    ],
    ids=["runs, port not seen", "stopped, port free", "runs", "of an earlier gateway, and adopted",
         "runs as another user", "a stranger", "another Chrome answers", "a stranger of another user",
         "of an earlier gateway (#41750)", "on its way up", "it hangs", "meant to be another's"],
)  # fmt: skip
def test_cdp_port_taken(value: Mapping[str, object], seen: Chrome, fact: str | None) -> None:
    """Whoever has the port and is not this gateway's browser is named by pid, and never ended by us."""
    finding = judge.cdp_port_taken(browser(value), seen)
    assert (finding is None) == (fact is None)
    if finding is not None and fact is not None and seen.port_holder is not None:
        assert finding.check == "browser/cdp-port-taken"
        assert fact in finding.fact
        assert finding.fix.startswith("none automatic: ")
        who = f"end pid {seen.port_holder.pid}" if seen.port_holder.pid else "lsof -nP -iTCP:18800"
        assert who in finding.fix


@pytest.mark.parametrize(
    ("value", "seen", "fix"),
    [
        (STOPPED, chrome(), None),
        (STOPPED, chrome(program="/nowhere", program_fault="executablePath not found"), "correct or unset"),
        (STOPPED, chrome(program="", program_fault="OpenClaw detects no Chrome"), "install"),
        (RUNNING, chrome(program="/nowhere", program_fault="/nowhere does not exist"), None),
        (STOPPED, chrome(program="", program_fault="OpenClaw detects no Chrome", managed=False), None),
    ],
    ids=["there", "executablePath to nowhere", "none installed", "runs all the same", "attached to"],
)
def test_not_found(value: Mapping[str, object], seen: Chrome, fix: str | None) -> None:
    """A browser that does not run, and of which there is no program, cannot be started."""
    finding = judge.not_found(browser(value), seen)
    assert (finding is None) == (fix is None)
    if finding is not None and fix is not None:
        assert finding.check == "browser/not-found"
        assert seen.program_fault in finding.saw
        assert fix in finding.fix


@pytest.mark.parametrize(
    ("value", "held", "release", "locked"),
    [
        (STOPPED, None, NEW, False),
        (STOPPED, lock(), NEW, False),
        (STOPPED, lock(), OLD, False),
        (RUNNING, lock(holder=OURS), NEW, False),
        (RUNNING, lock("elsewhere"), NEW, False),
        (STOPPED, lock("elsewhere"), NEW, True),
        (STOPPED, lock("elsewhere"), MIDDLE, False),
        (STOPPED, lock("elsewhere"), (2026, 4, 23), True),
        (STOPPED, lock("elsewhere"), OLD, True),
        (STOPPED, lock("elsewhere"), None, True),
        (STOPPED, lock(holder=STRANGER), NEW, True),
        (STOPPED, lock(holder=STRANGER), None, True),
        (STOPPED, lock(holder=STRANGER), MIDDLE, False),
        (STOPPED, lock(holder=STRANGER), OLD, False),
        (STOPPED, lock(holder=OURS), NEW, True),
        (STOPPED, lock(holder=OURS), OLD, True),
        (STOPPED, lock(holder=young(OURS)), NEW, False),
    ],
    ids=["none", "dead pid", "dead pid, old", "live owner", "runs all the same", "other host",
         "other host, cleared by 5.28", "other host, before that", "other host, old", "other host, release unknown",
         "pid reused", "reused, unknown", "reused, 5.28", "reused, old", "a browser without the port",
         "the same, old", "on its way up"],
)  # fmt: skip
def test_profile_locked(
    value: Mapping[str, object], held: ProfileLock | None, release: tuple[int, ...] | None, locked: bool
) -> None:
    """A lock is a fault only where a start would not get past it: measured on each of the three releases."""
    finding = judge.profile_locked(browser(value), chrome(lock=held), release)
    assert (finding is not None) == locked
    if finding is not None and held is not None:
        assert finding.check == "browser/profile-locked"
        assert f"names {held.host}-{held.pid}" in finding.saw
        assert finding.fix.startswith("none automatic: ")
        assert str(held.pid if held.host == HERE else held.host) in finding.fix


def test_a_lock_of_a_browser_that_openclaw_only_attaches_to_is_its_own_business() -> None:
    """Nothing is said of it."""
    assert judge.profile_locked(browser(STOPPED), chrome(lock=lock("elsewhere"), managed=False), NEW) is None


def test_one_cause_is_named_in_the_order_of_a_start() -> None:
    """The port, the program, the profile."""
    everything = {"port_holder": STRANGER, "program_fault": "executablePath not found", "lock": lock("elsewhere")}
    named = []
    for each in tuple(everything):
        finding = judge.kept_down(browser(STOPPED), chrome(**everything), NEW)
        named.append(finding.check if finding else "")
        del everything[each]
    assert named == ["browser/cdp-port-taken", "browser/not-found", "browser/profile-locked"]
    assert judge.kept_down(browser(STOPPED), chrome(), NEW) is None


def test_idle_is_healthy_under_auto_and_what_is_broken_is_not() -> None:
    """No browser program, or one that is switched off, is a choice; a port or profile that others hold is a fault."""
    off = browser(None, outcome="refused", stderr="browser control disabled (code UNAVAILABLE)")
    assert judge.unanswered(off, "auto") is None
    words = "gateway request timed out after 8000ms: browser.request"
    silent = judge.unanswered(browser(None, outcome="refused", stderr=words), "auto")
    assert silent is not None
    assert silent.check == "browser/unanswered"
    without = {**STOPPED, "detectedExecutablePath": None}
    none = chrome(program="", program_fault="OpenClaw detects no Chrome, Chromium, Brave or Edge")
    assert judge.kept_down(browser(without), none, NEW, "auto") is None
    named = judge.kept_down(browser({**without, "executablePath": "/opt/chrome"}), none, NEW, "auto")
    locked = judge.kept_down(browser(STOPPED), chrome(lock=lock("elsewhere")), NEW, "auto")
    held = judge.kept_down(browser(without), chrome(port_holder=STRANGER, program_fault="none"), NEW, "auto")
    found = [each.check for each in (named, locked, held) if each]
    assert found == ["browser/not-found", "browser/profile-locked", "browser/cdp-port-taken"]


@pytest.mark.parametrize("expected", ["auto", "running", "answering"])
@pytest.mark.parametrize(
    ("status", "fix"),
    [("stopped", "kill -CONT 901"), ("sleeping", "openclaw browser --browser-profile openclaw stop && ")],
)
def test_a_browser_that_hangs_is_not_running(expected: str, status: str, fix: str) -> None:
    """The gateway has its process and says not running: starting another is no cure, whatever is expected."""
    held = Holder(901, "/usr/bin/chromium", status, DAY_S, ours=True)
    finding = judge.not_running(browser({**STOPPED, "pid": 901}), expected, chrome(process=held, port_holder=held))
    assert finding is not None
    assert finding.check == "browser/not-running"
    assert "hangs" in finding.fact
    assert ("SIGSTOP" in finding.fact) == (status == "stopped")
    assert finding.fix.startswith(fix)


def test_a_browser_that_runs_or_is_not_wanted_does_not_hang() -> None:
    """Its process is what it should be."""
    seen = chrome(process=OURS, port_holder=OURS)
    assert judge.not_running(browser(RUNNING), "running", seen) is None
    assert judge.not_running(browser(STOPPED), "off", seen) is None
    stopped = judge.not_running(browser(STOPPED), "running", chrome())
    assert stopped is not None
    assert stopped.fix == judge.START


def walk(*steps: Step) -> Walk:
    """A walk of these steps."""
    return Walk(steps)


LISTED, OPENED = Step("list tabs", 1.2, "done"), Step("open", 2.0, "done")


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (Step("click", 16.4, "stalled", "timed out after 15000ms"), "click stalls"),
        (Step("click", 1.0, "failed", "Error: tab not found"), "click fails"),
        (Step("second snapshot", 1.0, "unseen", "the page looks as it did before"), "second snapshot shows no effect"),
    ],
)
def test_act_stalled(last: Step, words: str) -> None:
    """The step is named with what was seen, its time and the times of those before it."""
    finding = judge.act_stalled(walk(LISTED, OPENED, last, Step("close", 1.0, "done")))
    assert finding is not None
    assert finding.check == "browser/act-stalled"
    assert words in finding.fact
    assert finding.saw.startswith(f"{last.name} after {last.seconds:.1f} s: {last.said}")
    assert "list tabs 1.2 s, open 2.0 s" in finding.saw
    assert "close" not in finding.saw
    assert "gateway" not in finding.fix  # a gateway restart does not help (#11518)


def test_a_walk_that_came_through_is_no_fault() -> None:
    """Nothing to say; and a first step that fails has nothing before it."""
    assert judge.act_stalled(walk(LISTED, OPENED)) is None
    finding = judge.act_stalled(walk(Step("list tabs", 15.0, "stalled", "no answer in 15 s")))
    assert finding is not None
    assert "before it: nothing" in finding.saw
