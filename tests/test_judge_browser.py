"""The judges of the browser that the agent drives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from oc_ops.judge import browser as judge
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.openclaw import Answer
from tests.sights import answer

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


def browser(value: Mapping[str, object] | None, **changes: str) -> Answer:
    """What the gateway answers of its browser."""
    return answer(value, WORDS, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "unanswered"),
    [
        (browser(RUNNING), False),
        (browser(STOPPED), False),
        (browser(RUNNING, outcome="lingered"), False),
        (browser(None, outcome="timed-out"), True),
        (browser(None, outcome="refused", stderr="Error: gateway timeout after 1500ms"), True),
        (browser(RUNNING, outcome="refused"), True),
        (browser(None), True),
        (browser({}), True),
        (browser({"running": "yes"}), True),
        (browser({"running": None}), True),
    ],
    ids=["running", "stopped", "lingers", "timed out", "refused", "status and exit 1", "no JSON", "empty", "a text",
         "null"],
)  # fmt: skip
def test_unanswered(seen: Answer, unanswered: bool) -> None:
    """Any status of the browser is an answer of its control; nothing else is."""
    finding = judge.unanswered(seen)
    assert (finding is not None) == unanswered
    if finding is not None:
        assert finding.check == "browser/unanswered"
        assert "gateway" not in finding.fix  # a gateway restart does not help (#11518)


@pytest.mark.parametrize(
    ("value", "expected", "fix"),
    [
        (RUNNING, "running", None),
        (STOPPED, "answering", None),
        (STOPPED, "off", None),
        (STOPPED, "running", judge.START),
        ({**STOPPED, "detectedExecutablePath": None}, "running", judge.START),
        ({**STOPPED, "running": None}, "running", judge.START),
        ({**STOPPED, "enabled": False}, "running", "openclaw config set browser.enabled true && "),
        ({}, "running", judge.START),
    ],
    ids=["runs", "need only answer", "not looked at", "stopped", "no browser found", "null", "switched off", "empty"],
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
