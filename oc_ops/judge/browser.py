"""Judges of the browser that the gateway drives: does its control answer, and is it as up as it should be."""

from __future__ import annotations

import re

from oc_ops.judge.finding import Finding
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.jsontext import at, text_at
from oc_ops.observe.openclaw import BROWSER_PROFILE, Answer

START = f"openclaw browser --browser-profile {BROWSER_PROFILE} start"
_VERIFY = "pytest checks/ -m doctor -k test_browser"
_DISABLED = re.compile(r"browser control (?:is )?disabled")
"""The words of 2026.2.26 and 2026.5.28 ("is disabled") and of 2026.9.6 (exit 1, code UNAVAILABLE)."""
_OFF_HINT = "when no browser is wanted here, set OC_OPS_BROWSER=off"


def disabled(enabled: bool, config: GatewayConfig) -> Finding | None:
    """A browser is expected (setting `browser`), and the config switches it off: nobody needs to be asked."""
    return None if enabled else _not_running(f"browser.enabled is false in {config.path}", enabled=False)


def unanswered(answer: Answer) -> Finding | None:
    """The browser control does not answer, whatever state the browser is in."""
    if answer.came and isinstance(at(answer.value, "running"), bool):
        return None
    if _DISABLED.search(answer.error):
        return _not_running(answer.error, enabled=False)
    return Finding(
        "browser/unanswered",
        "error",
        fact="the gateway's browser control does not answer",
        saw=answer.call.summary + ("" if answer.call.outcome != "answered" else ", without a browser status"),
        fix=f"openclaw browser --browser-profile {BROWSER_PROFILE} stop && {START}",
        verify=_VERIFY,
    )


def not_running(answer: Answer, expected: str) -> Finding | None:
    """Enabled, and not running, where the operator expects it to run."""
    if expected != "running" or at(answer.value, "running") is True:
        return None
    if at(answer.value, "enabled") is False:
        return _not_running("browser status answers enabled: false", enabled=False)
    found = text_at(answer.value, "detectedExecutablePath") or text_at(answer.value, "detectedPath")
    return _not_running(
        f"browser status of profile {BROWSER_PROFILE} answers running: false"
        + (f", browser found at {found}" if found else ", no browser found on this machine"),
        enabled=True,
    )


def _not_running(saw: str, *, enabled: bool) -> Finding:
    return Finding(
        "browser/not-running",
        "error",
        fact="the agent's browser is not running" if enabled else "the agent's browser is switched off",
        saw=saw if enabled else f"{saw}; {_OFF_HINT}",
        fix=START if enabled else "openclaw config set browser.enabled true && openclaw gateway restart",
        verify=_VERIFY,
    )
