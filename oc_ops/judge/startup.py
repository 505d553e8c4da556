"""Judges of a gateway on its way up: a slow start is a warning within its budget, and an error that nothing bounds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from oc_ops.judge.finding import Finding, Severity
from oc_ops.judge.registry import finds, wait
from oc_ops.judge.words import clock
from oc_ops.observe import processes
from oc_ops.observe.healers import LONGEST_INSTALL_S
from oc_ops.observe.http import Probe
from oc_ops.observe.probe import GatewayProbe
from oc_ops.process.jsontext import at, text_at
from oc_ops.text import span

STARTING, DRAINING = "gateway/starting", "gateway/draining"
_OFTEN = 2
"""So many restarts by its supervisor since a person started it: then a young process proves no good start."""


def starting(seen: GatewayProbe, budget_s: float) -> Finding | None:
    """On its way up, within the start budget: a slow start (60 to 240 s, #119958) is not a failed one."""
    startup, process = body_of(seen.startup), seen.serving
    stopped = process is not None and process.status == "stopped"
    if text_at(startup, "status") == "starting":
        saw = f"GET /startupz says starting, {text_at(startup, 'pendingReason') or 'no reason given'}"
    elif seen.live.kind == "answered" and _only_sidecars(seen.ready):
        saw = f"GET /readyz: {', '.join(failing_of(seen.ready))}"
    elif process is not None and not stopped and seen.live.kind != "answered":
        saw = f"{process.summary}; {seen.live.summary}"
        saw += f"; {seen.service.summary}" if seen.service.restarts else ""
    elif process is None and seen.service.state == "restarting" and shut(seen):
        saw = seen.service.summary
    else:
        return None
    if (at_it := seen.installing) and shut(seen) and not stopped and at_it.age_s < LONGEST_INSTALL_S:
        return starting_now(f"{saw}; {at_it.summary}", " until that has ended", "warning")
    if seen.up_s is not None and seen.up_s >= budget_s:
        return None
    if shut(seen) and process is not None and not process.certain:
        return starting_now(saw, f" {processes.AMBIGUOUS_S:.0f} s and look again: it may also be a mere CLI call")
    return within(saw, seen, budget_s)


def within(saw: str, seen: GatewayProbe, budget_s: float) -> Finding:
    """The finding for a start whose age or progress was seen: a warning while its budget lasts, else an error."""
    if (seen.service.restarts or 0) >= _OFTEN:
        return starting_now(saw, " and look again: its service manager has restarted it again and again")
    if seen.up_s is not None and (seen.serving is None or seen.serving.certain):
        left_s = budget_s - seen.up_s
        return starting_now(saw, f", at most {left_s:.0f} s more", "warning" if left_s > 0 else "error")
    if seen.progress:
        return starting_now(f"{saw}; {seen.progress}", " and look again", "warning")
    return starting_now(f"{saw}; when this start began is not known", f" {budget_s:.0f} s at most and look again")


@finds(
    "gateway/starting",
    state="passing",
    checks=("gateway/started",),
    cure=wait("a slow start is not a failed one, and a restart would only begin it again"),
    means="on its way up: a warning within the start budget (240 s), an error where its start cannot be dated",
    helps="wait",
)
def starting_now(saw: str, left: str = "", severity: Severity = "error") -> Finding:
    """The finding for a gateway on its way up; `left` says how long it may take."""
    return Finding(
        "gateway/starting",
        severity,
        fact="the gateway is starting and not ready yet",
        saw=saw,
        fix=f"none automatic: wait{left}; a restart now would only begin again",
    )


def again_and_again(found: Finding, first: datetime, now: datetime, starts: int, budget_s: float) -> Finding:
    """The finding as an error where one start after the other was seen for longer than a single one may take."""
    lasts_s = (now - first).total_seconds()
    if starts < 2 or lasts_s <= budget_s:
        return found
    return replace(
        found,
        severity="error",
        fact=f"the gateway starts again and again: {starts} starts in {span(lasts_s)}, and none was seen to end well",
        saw=f"{found.saw}; seen first at {clock(first)}",
        fix="none automatic: its log says why it ends; one more start ends the same way",
    )


def on_its_way(findings: Iterable[Finding]) -> Finding | None:
    """The finding that says that the gateway starts or drains, whatever its severity: it explains what is mute."""
    return next((each for each in findings if each.check in (STARTING, DRAINING)), None)


def shut(seen: GatewayProbe) -> bool:
    """Nothing listens; a network error beside a listener (a failed TLS handshake) is no such proof."""
    return seen.live.kind == "refused" or (seen.live.kind == "unreachable" and seen.listener is None)


def body_of(probe: Probe | None) -> object:
    """The JSON of an answer; None where there is none."""
    return probe.json if probe is not None else None


def failing_of(ready: Probe | None) -> list[str]:
    """What /readyz lists as failing."""
    failing = at(body_of(ready), "failing")
    return [str(each) for each in failing] if isinstance(failing, list) else []


def _only_sidecars(ready: Probe | None) -> bool:
    failing = failing_of(ready)
    return bool(failing) and all(each.startswith("startup") for each in failing)
