"""How often recovery may act: budget, cool-down and one attempt per incident, whoever did the restarts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from msgspec import Struct

from oc_ops.act.recover import log
from oc_ops.observe.logs import planned_restarts
from oc_ops.record.incidents.incident import Incident
from oc_ops.record.journal import SPENT
from oc_ops.text import clock

Kind = Literal["gateway", "browser", "channel"]
DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_ONE_RESTART_S = 60.0
"""Lines of OpenClaw's audit log that lie within this belong to one restart: a script writes several."""
_SAME = timedelta(seconds=90)
"""OpenClaw writes its line when it has done its part, up to this long after our own."""


class Act(Struct, frozen=True):
    """One restart or start. `ended_at` is None for one that was never seen to end, such as a killed recovery's."""

    at: datetime
    kind: Kind
    by: str
    ended_at: datetime | None = None


class Bounds(Struct, frozen=True):
    """The limits of one recovery; see the settings of the same names."""

    per_hour: int = 3
    per_day: int = 6
    cool_down_s: float = 300.0


def kind_of(action: object) -> Kind:
    """The kind of thing that an act of that name restarts; each kind has a budget of its own."""
    return "browser" if action == "browser-restart" else "channel" if action == "channel-restart" else "gateway"


def own_acts(memory_dir: Path, key: str, now: datetime) -> tuple[Act, ...]:
    """The acts of this gateway's recoveries within the last day, by their own records."""
    found: list[Act] = []
    for record in log.records(memory_dir):
        if log.begun_at(record) >= now - DAY - _HOUR:
            found += _acts_in(record, key)
    return tuple(each for each in found if now - DAY <= each.at)


def _acts_in(record: Path, key: str) -> list[Act]:
    told = log.lines(record)
    if not any(each.get("gateway") == key for each in told[:1]):
        return []
    acts: list[Act] = []
    for line in told:
        moment = _moment(line.get("at"))
        if line.get("step") != "act" or moment is None:
            continue
        if line.get("state") == "begin":
            acts.append(Act(moment, kind_of(line.get("action")), "oc-ops recover"))
        elif line.get("state") == "end" and acts:
            acts[-1] = Act(acts[-1].at, acts[-1].kind, acts[-1].by, moment)
    return acts


def all_acts(memory_dir: Path, state_dir: Path, key: str, now: datetime) -> tuple[Act, ...]:
    """Those of recoveries, and every other restart that OpenClaw's own `logs/gateway-restart.log` tells of."""
    own = own_acts(memory_dir, key, now)
    told = planned_restarts(state_dir, now - DAY, lasts_s=_ONE_RESTART_S)
    others = (Act(begin, "gateway", "others, by gateway-restart.log", end) for begin, end in told)
    return tuple(sorted((*own, *(each for each in others if not _is_one_of(each, own))), key=lambda each: each.at))


def _is_one_of(told: Act, own: Sequence[Act]) -> bool:
    """True when the line was written by an act of our own; one that was never seen to end reaches until `_SAME`."""
    gateway = (each for each in own if each.kind == "gateway")
    return any(each.at - timedelta(seconds=5) <= told.at <= (each.ended_at or each.at) + _SAME for each in gateway)


def exhausted(acts: Iterable[Act], kind: Kind, bounds: Bounds, now: datetime) -> str:
    """Why no further act of this kind is allowed now; empty when one is. No probe, however good, resets it.

    Nor does a clock that was set back: an act that seems to lie ahead, by less than a day, has been done as well.
    """
    times = [each for each in acts if each.kind == kind and each.at < now + DAY]
    for span, most, words in ((_HOUR, bounds.per_hour, "an hour"), (DAY, bounds.per_day, "a day")):
        within = [each for each in times if each.at > now - span]
        if len(within) >= most:
            free = within[-most].at + span
            what = "a channel" if kind == "channel" else f"the {kind}"
            return f"the budget of {most} restarts of {what} {words} {SPENT} {clock(free, 'time')} ({_by(within)})"
    last = max(times, key=lambda each: each.ended_at or each.at, default=None)
    if last is not None and (left := _left_s(last, bounds, now)) > 0:
        return f"the last one ({last.by}) was at {clock(last.at, 'time')}; the cool-down ends in {left:.0f} s"
    return ""


def _left_s(last: Act, bounds: Bounds, now: datetime) -> float:
    return bounds.cool_down_s - (now - (last.ended_at or last.at)).total_seconds()


def _by(acts: Sequence[Act]) -> str:
    counts = {by: sum(each.by == by for each in acts) for by in dict.fromkeys(each.by for each in acts)}
    return ", ".join(f"{number} by {by}" for by, number in counts.items())


def attempted(incident: Incident | None, own: str = "") -> str:
    """Why this incident gets no further attempt; empty when it may have one. `own` names the record under way.

    One attempt, then somebody looks again: a doctor run that saw it green, or a person who took it on since.
    """
    if incident is None or not incident.attempts:
        return ""
    last = incident.attempts[-1]
    if own and last.attempt and last.attempt.record.endswith(f"/{own}"):
        return ""
    begun = next(
        each.at
        for each in incident.events
        if each.attempt and last.attempt and each.attempt.record == last.attempt.record
    )
    if any(
        each.at > begun and each.what in ("green", "closed", "reopened", "acknowledged") for each in incident.events
    ):
        return ""
    outcome = last.attempt.outcome if last.attempt else "begun"
    words = "was cut off in the middle" if outcome == "begun" else f"was {outcome}"
    return f"incident {incident.id} had its attempt at {clock(begun)}, which {words}"


def is_fresh(incident: Incident | None, now: datetime, within_s: float) -> bool:
    """True when the fault was seen for the first time, or again after green, less than `within_s` seconds ago."""
    if incident is None:
        return True
    turns = [each.at for each in incident.events if each.what in ("opened", "red", "reopened")]
    return (now - max(turns)).total_seconds() < within_s


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None
