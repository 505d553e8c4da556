"""Judges of the browser that the gateway drives: does its control answer, is it up, does a real click land."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oc_ops.judge.cli import said_nothing
from oc_ops.judge.finding import Finding, browser_restart, finds, none
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.openclaw import BROWSER_PROFILE, Answer
from oc_ops.process.jsontext import at, text_at
from oc_ops.text import regex

if TYPE_CHECKING:
    from oc_ops.observe.browser import Chrome, Holder
    from oc_ops.observe.click import Step, Walk

START = f"openclaw browser --browser-profile {BROWSER_PROFILE} start"
_DISABLED = regex(r"browser control (?:is )?disabled")
"""The words of 2026.2.26 and 2026.5.28 ("is disabled") and of 2026.9.6 (exit 1, code UNAVAILABLE)."""
_STARTING_S = 30.0
"""A younger browser may be on its way up: its lock is there before its port is (2 to 17 s were measured)."""
_CLEARS_LOCKS, _LAST_LENIENT = (2026, 4, 24), (2026, 5, 28)
"""From the first (#62935) to the last of these a start removes a lock of another host, and up to the last one it gets
past a lock whose pid another program has by now (seen on 2026.2.26 as well); 2026.9.6 refuses both.
"""
_OFF_HINT = "when no browser is wanted here, set OC_OPS_BROWSER=off"


def disabled(enabled: bool, config: GatewayConfig) -> Finding | None:
    """A browser is expected (setting `browser`), and the config switches it off: nobody needs to be asked."""
    return None if enabled else _not_running(f"browser.enabled is false in {config.path}", enabled=False)


@finds(
    "browser/unanswered",
    checks=("browser/control", "browser/running"),
    cure=browser_restart(
        "browser stop and start brings the control back; a restart of the gateway does not (#11518)",
        proof="its own browser control leaves a request unanswered",
    ),
    means="the browser control does not answer",
    helps="browser stop and start, never a gateway restart",
)
def unanswered(answer: Answer, expected: str = "running") -> Finding | None:
    """The browser control does not answer, by the command's own word; one that is switched off says so.

    A call that said nothing is none of its (`cli.said_nothing`): a slow machine of ours is no reason to close tabs.
    """
    if said_nothing(answer):
        return None
    if answer.came and isinstance(at(answer.value, "running"), bool):
        return None
    if _DISABLED.search(answer.error):
        return None if expected == "auto" else _not_running(answer.error, enabled=False)
    return Finding(
        "browser/unanswered",
        "error",
        fact="the gateway's browser control does not answer",
        saw=answer.call.summary + ("" if answer.call.outcome != "answered" else ", without a browser status"),
        fix=f"openclaw browser --browser-profile {BROWSER_PROFILE} stop && {START}",
    )


def kept_down(
    answer: Answer, chrome: Chrome, release: tuple[int, ...] | None, expected: str = "running"
) -> Finding | None:
    """The one cause that keeps the browser from being started, or makes what answers another one; the likeliest first.

    In the order in which a start meets them: the port, the program, the profile's lock. Under `auto` no program is no
    fault, unless the config names one: a machine without a browser may be meant so.
    """
    if expected == "auto" and not text_at(answer.value, "executablePath") and not_found(answer, chrome):
        return cdp_port_taken(answer, chrome)
    return cdp_port_taken(answer, chrome) or not_found(answer, chrome) or profile_locked(answer, chrome, release)


@finds(
    "browser/cdp-port-taken",
    checks=("browser/control", "browser/running"),
    cure=none("the program that holds the debugging port keeps it over every restart (#41750)"),
    means="its debugging port is held by another program, or by a Chrome that the gateway does not own",
    helps="end that one",
)
def cdp_port_taken(answer: Answer, chrome: Chrome) -> Finding | None:
    """The profile's debugging port is not this browser's: a stranger has it, or a Chrome nobody owns (#41750)."""
    holder = chrome.port_holder
    if holder is None or not chrome.managed or (_runs(answer) and (holder.ours or holder.pid is None)):
        return None
    if _is_own(holder, chrome) or (holder.ours and holder.age_s < _STARTING_S):
        return None
    return Finding(
        "browser/cdp-port-taken",
        "error",
        fact=(
            f"port {chrome.port} of the agent's browser is held by a Chrome that the gateway does not own"
            if holder.ours
            else f"port {chrome.port} of the agent's browser is held by another program"
        ),
        saw=f"{holder.summary}; browser status answers running: {str(_runs(answer)).lower()}",
        fix=f"none automatic: {_end(holder, chrome.port)}, then {START}",
    )


def _is_own(holder: Holder, chrome: Chrome) -> bool:
    return chrome.process is not None and holder.pid == chrome.process.pid


def _end(holder: Holder, port: int | None) -> str:
    if holder.pid is None:
        return f"see who has the port (lsof -nP -iTCP:{port} -sTCP:LISTEN, as root) and end that program"
    return f"end pid {holder.pid} if it is not needed"


@finds(
    "browser/not-found",
    checks=("browser/control", "browser/running"),
    cure=none("there is no browser program to start", proof="its own answer says that no browser is found"),
    means="there is no browser program to start",
    helps="install or name one",
)
def not_found(answer: Answer, chrome: Chrome) -> Finding | None:
    """Not running, and there is no program that could be started."""
    if not chrome.program_fault or not chrome.managed or _runs(answer):
        return None
    return Finding(
        "browser/not-found",
        "error",
        fact="the agent's browser cannot be started: its program is not there",
        saw=f"profile {BROWSER_PROFILE}: {chrome.program_fault}",
        fix=(
            "none automatic: correct or unset browser.executablePath (openclaw config set browser.executablePath PATH)"
            if chrome.program
            else "none automatic: install Chrome or Chromium, or name one "
            "(openclaw config set browser.executablePath PATH)"
        ),
    )


@finds(
    "browser/profile-locked",
    checks=("browser/control", "browser/running"),
    cure=none(
        "the holder of the profile's lock has to end first; a start does not get past it",
        proof="the lock of the profile names its holder, which is seen to live or not to",
    ),
    means="its profile is locked by a holder that a start does not get past",
    helps="end the holder, take the lock out",
)
def profile_locked(answer: Answer, chrome: Chrome, release: tuple[int, ...] | None) -> Finding | None:
    """Not running, and the profile's lock names a holder that a start would not get past (#22997 #75366 #79960).

    A dead pid of this host is no fault: the browser of every release measured starts over it. `release` is the CLI's.
    """
    lock = chrome.lock
    if lock is None or not chrome.managed or _runs(answer):
        return None
    lenient = release is not None and release <= _LAST_LENIENT
    if lock.host != chrome.here:
        harmless = lenient and release is not None and release >= _CLEARS_LOCKS
        who, way = f"this host is {chrome.here}", f"see that no browser on {lock.host} uses this profile"
    elif lock.holder is not None and not _is_own(lock.holder, chrome):
        harmless = lock.holder.age_s < _STARTING_S if lock.holder.ours else lenient
        who, way = lock.holder.summary, f"end pid {lock.pid} if it is a browser of this profile"
    else:
        return None
    if harmless:
        return None
    return Finding(
        "browser/profile-locked",
        "error",
        fact="the agent's browser cannot be started: its profile is locked by another holder",
        saw=f"{lock.path} names {lock.host}-{lock.pid}; {who}",
        fix=f"none automatic: {way}, take the Singleton* links out of {lock.path.parent}, then {START}",
    )


def _runs(answer: Answer) -> bool:
    return at(answer.value, "running") is True


def not_running(answer: Answer, expected: str, chrome: Chrome | None = None) -> Finding | None:
    """Enabled, and not running, where the operator expects it to run. A process that hangs is a fault wherever a
    browser may be used: 2026.9.6 ends it, with all its tabs, as soon as an agent opens another.
    """
    if expected == "off" or _runs(answer):
        return None
    if chrome is not None and chrome.process is not None:
        return _hangs(chrome.process)
    if expected != "running":
        return None
    if at(answer.value, "enabled") is False:
        return _not_running("browser status answers enabled: false", enabled=False)
    found = text_at(answer.value, "detectedExecutablePath") or text_at(answer.value, "detectedPath")
    return _not_running(
        f"browser status of profile {BROWSER_PROFILE} answers running: false"
        + (f", browser found at {found}" if found else ", no browser found on this machine"),
        enabled=True,
    )


@finds(
    "browser/not-running",
    checks=("browser/control", "browser/running"),
    cure=browser_restart(
        "it is enabled and not running: a start brings it up", proof="its own browser control answers running: false"
    ),
    means="not running, or switched off, where one is expected",
    helps="start it, or `OC_OPS_BROWSER=off`",
)
def _hangs(process: Holder) -> Finding:
    """The gateway calls a process its browser, and that does not answer: it lives and does not run."""
    stopped = process.status == "stopped"
    return Finding(
        "browser/not-running",
        "error",
        fact="the agent's browser hangs" + (": its process is stopped (SIGSTOP or a debugger)" if stopped else ""),
        saw=f"browser status of profile {BROWSER_PROFILE} answers running: false, and its {process.summary}",
        fix=f"kill -CONT {process.pid}"
        if stopped
        else f"openclaw browser --browser-profile {BROWSER_PROFILE} stop && {START}",
    )


@finds(
    "browser/act-stalled",
    checks=("browser/acts",),
    cure=browser_restart(
        "a wedged tab holds all browser tools; it goes with the browser, not with the gateway (#113787)",
        proof="a click of our own on a page of our own did not come through",
    ),
    means="it runs, and a real click does not come through; names the step (`--deep`)",
    helps="browser stop and start",
)
def act_stalled(walk: Walk) -> Finding | None:
    """A real click on a page of our own did not land in time: names the step, and how long those before it took."""
    step = walk.failed
    if step is None:
        return None
    earlier = walk.steps[: walk.steps.index(step)]
    before = ", ".join(f"{each.name} {each.seconds:.1f} s" for each in earlier)
    return Finding(
        "browser/act-stalled",
        "error",
        fact=f"the agent's browser runs, and a real click does not come through: {step.name} {_ended(step)}",
        saw=f"{step.name} after {step.seconds:.1f} s: {step.said}; before it: {before or 'nothing'}",
        fix=f"openclaw browser --browser-profile {BROWSER_PROFILE} stop && {START}",
    )


def _ended(step: Step) -> str:
    return {"stalled": "stalls", "failed": "fails", "unseen": "shows no effect"}[step.outcome]


def _not_running(saw: str, *, enabled: bool) -> Finding:
    return Finding(
        "browser/not-running",
        "error",
        fact="the agent's browser is not running" if enabled else "the agent's browser is switched off",
        saw=saw if enabled else f"{saw}; {_OFF_HINT}",
        fix=START if enabled else "openclaw config set browser.enabled true && openclaw gateway restart",
        proof=saw,
    )
