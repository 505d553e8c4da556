"""An incident: the fold of its events, from the first red to the green that held."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from msgspec import Struct

from oc_ops.judge.findings import in_state
from oc_ops.record.incidents.events import Event, Fault, GatewayName, Versions, What

_RED = ("opened", "changed", "red", "reopened", "seen")
"""Events that carry a fault of the incident itself."""

PASSING = {"gateway/down"} | in_state("passing")
"""States that a gateway passes through on its way to another: the cause only until a better one is named."""


class Incident(Struct, frozen=True):
    """One incident as its events tell it, the first of them `opened`. Durations are seconds and never negative."""

    id: str
    events: tuple[Event, ...]

    @property
    def gateway(self) -> GatewayName:
        """The gateway that it is about."""
        return self.events[0].gateway or GatewayName("")

    @property
    def states(self) -> dict[str, Fault]:
        """Every fault that is this incident, by name, as it was last seen, in the order of its first appearance."""
        return {each.fault.name: each.fault for each in self.events if each.what in _RED and each.fault}

    @property
    def cause(self) -> Fault:
        """The id that it is called by: the first state that is more than a passing one."""
        states = self.states
        return states[next((name for name in states if name not in PASSING), next(iter(states)))]

    @property
    def found_by(self) -> frozenset[str]:
        """Checks that found it in any of its states."""
        return frozenset(each.found_by for each in self.states.values() if each.found_by)

    @property
    def shows(self) -> Fault | None:
        """The fault that was last red of it or in its way."""
        return next((each.fault for each in reversed(self.events) if each.fault), None)

    @property
    def opened_at(self) -> datetime:
        """The first red."""
        return self.events[0].at

    @property
    def closed_at(self) -> datetime | None:
        """When it was closed; None while it is open."""
        turn = self._last("opened", "reopened", "closed")
        return turn.at if turn and turn.what == "closed" else None

    @property
    def is_open(self) -> bool:
        """True until it is closed."""
        return self.closed_at is None

    @property
    def green_at(self) -> datetime | None:
        """The first green that no red followed: of a closed incident the one that held."""
        turn = self._last("green", "opened", "red", "reopened")
        return turn.at if turn and turn.what == "green" else None

    @property
    def state(self) -> Literal["red", "green once", "closed"]:
        """Where it stands."""
        return "closed" if not self.is_open else "green once" if self.green_at else "red"

    @property
    def seen_at(self) -> datetime:
        """The last time a run had something to write about it."""
        return next(each.at for each in reversed(self.events) if each.what in _RED or each.what == "blocked")

    @property
    def turned_at(self) -> datetime:
        """When it was last opened or reopened."""
        turn = self._last("opened", "reopened")
        return turn.at if turn else self.opened_at

    @property
    def flaps(self) -> int:
        """How often green turned red again, before or after it was confirmed."""
        return sum(each.what in ("red", "reopened") for each in self.events)

    @property
    def first_sign(self) -> datetime | None:
        """The first log signature of it, where one was seen."""
        return min((each.first_sign for each in self.events if each.first_sign), default=None)

    @property
    def time_to_detect_s(self) -> float | None:
        """From the first log signature to the first red."""
        return None if self.first_sign is None else _span_s(self.first_sign, self.opened_at)

    @property
    def stretches(self) -> tuple[tuple[datetime, datetime | None], ...]:
        """When it was red, from and to; the last has no end while it is red. What was green between counts nowhere."""
        found: list[tuple[datetime, datetime | None]] = []
        for each in self.events:
            lasts = bool(found) and found[-1][1] is None
            if each.what in ("opened", "red", "reopened") and not lasts:
                found.append((each.at, None))
            elif each.what in ("green", "closed") and lasts:
                found[-1] = (found[-1][0], each.at)
        return tuple(found)

    @property
    def red_since(self) -> datetime:
        """When its present stretch of red began, or its last one."""
        return self.stretches[-1][0]

    @property
    def time_to_recover_s(self) -> float | None:
        """Red in all, until the green that held; None while red, and when it was closed by hand while red."""
        return None if self.green_at is None else self.red_s(self.green_at)

    @property
    def versions(self) -> Versions:
        """Releases when it opened; what was not known then, as soon as it was."""
        return _first_known(self.events)

    @property
    def versions_now(self) -> Versions:
        """Releases as last known."""
        return _first_known(reversed(self.events))

    @property
    def evidence(self) -> tuple[str, ...]:
        """Every path named by its events, once."""
        return tuple(dict.fromkeys(each.evidence for each in self.events if each.evidence))

    @property
    def attempts(self) -> tuple[Event, ...]:
        """The recovery attempts, each with its last word."""
        return tuple({each.attempt.record: each for each in self.events if each.attempt}.values())

    @property
    def acknowledged(self) -> Event | None:
        """The acknowledgement, if there is one; it survives a reopen."""
        return self._last("acknowledged")

    def muted_until(self, now: datetime) -> datetime | None:
        """Until when nobody wants to be told; None when that is over or was never so."""
        turn = self._last("muted", "unmuted")
        return turn.until if turn and turn.until and turn.until > now else None

    def age_s(self, now: datetime) -> float:
        """How long its present stretch of red lasts; once it is green or closed, how long it was red in all."""
        return _span_s(self.red_since, now) if self.state == "red" else self.red_s(now)

    def red_s(self, now: datetime) -> float:
        """How long it has been red in all, without the time between."""
        return sum(_span_s(first, last or now) for first, last in self.stretches)

    def _last(self, *what: What) -> Event | None:
        return next((each for each in reversed(self.events) if each.what in what), None)


def fold(events: Iterable[Event]) -> dict[str, Incident]:
    """The incidents that the events tell of, in the order of their opening; events of none that was opened go."""
    stories: dict[str, list[Event]] = {}
    for each in events:
        if each.id in stories:
            stories[each.id].append(each)
        elif each.what == "opened" and each.fault:
            stories[each.id] = [each]
    return {name: Incident(name, tuple(story)) for name, story in stories.items()}


def _span_s(first: datetime, last: datetime) -> float:
    # A clock that was set back makes no negative time.
    return max((last - first).total_seconds(), 0.0)


def _first_known(events: Iterable[Event]) -> Versions:
    told = [each.versions for each in events if each.versions]
    return Versions(
        next((each.cli for each in told if each.cli), None), next((each.gateway for each in told if each.gateway), None)
    )
