"""Judges of a gateway that drains or is suspended: since when, by whom, and whether it is still worth a wait."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from oc_ops.judge.finding import Finding
from oc_ops.judge.registry import finds, none
from oc_ops.judge.words import clock
from oc_ops.text import span


@dataclass(frozen=True, slots=True)
class Drain:
    """A drain as it was looked at: since when it is seen, and who asked for it.

    `suspended` is the gateway's own word for a suspension, whose lease ends at `until`; `restart_at` is the restart
    that gateway-restart.log tells of.
    """

    since: datetime
    now: datetime
    suspended: str = ""
    until: datetime | None = None
    restart_at: datetime | None = None
    stops: str = ""
    """The container runtime that is stopping it."""

    @property
    def lasts_s(self) -> float:
        """How long it is seen already."""
        return (self.now - self.since).total_seconds()

    @property
    def by(self) -> str:
        """The source of the request, in words."""
        if self.suspended:
            lease = f", its lease ends at {clock(self.until)} unless it is renewed" if self.until else ""
            return f"a suspension holds it ({self.suspended}{lease})"
        if self.stops:
            return f"{self.stops} is stopping its container"
        if self.restart_at:
            return f"gateway-restart.log shows a restart at {clock(self.restart_at)}"
        return "gateway-restart.log shows no restart"


_RESUME = "openclaw gateway resume ID ends it; openclaw gateway suspend printed the ID"


@finds(
    "gateway/drain-stuck",
    state="kept-out",
    checks=("gateway/started",),
    cure=none(
        "it drains beyond its budget: its suspension or its work must end first, or a person decides",
        proof="its own /readyz says that it drains, beyond its budget",
    ),
    means="it drains beyond its budget, or is kept suspended: since when, by whom",
    helps="`openclaw gateway resume ID` for a suspension; else see what it waits for",
)
def drain_stuck(draining: Finding, drain: Drain, budget_s: float) -> Finding:
    """A drain within its budget, a warning with who asked for it; beyond it an error that is not waited for."""
    first = f"seen first at {clock(drain.since)}"
    if drain.lasts_s <= budget_s:
        until = f"until {clock(drain.since + timedelta(seconds=budget_s))} at most (OC_OPS_DRAIN_BUDGET_S)"
        fix = f"none automatic: wait {until}, then look again"
        if drain.suspended:
            fix = f"none automatic: wait until its lease ends, or {_RESUME}"
        fact = "the gateway is suspended: it takes no new work" if drain.suspended else draining.fact
        return replace(draining, fact=fact, saw=f"{draining.saw}; {first}; {drain.by}", fix=fix)
    if drain.stops:
        fact = "the gateway's container does not stop"
        fix = f"none automatic: its runtime ends it when the time of that stop is over; {drain.stops} ps -a shows it"
    elif drain.suspended:
        fact, fix = "the gateway is kept suspended", f"none automatic: {_RESUME}"
    else:
        fact = "the gateway drains and comes to no end"
        fix = (
            "none automatic: its log says what it waits for (still draining active work); if that work may be lost, "
            "openclaw gateway restart aborts it"
        )
    return Finding(
        "gateway/drain-stuck",
        "error",
        fact=f"{fact}: for {span(drain.lasts_s)} now, budget {span(budget_s)}",
        saw=f"{draining.saw}; {first}; {drain.by}",
        fix=fix,
    )
