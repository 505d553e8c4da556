"""The clock of a recovery, and waiting until the gateway settles."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from msgspec import Struct

from oc_ops.doctor.start import with_suspension
from oc_ops.errors import CouldNotLook
from oc_ops.gateway import Gateway
from oc_ops.judge import gateway as judge
from oc_ops.judge.finding import Finding
from oc_ops.judge.findings import in_state
from oc_ops.observe.probe import GatewayProbe


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Clock(Struct, frozen=True):
    """`now` is the time of day in UTC, `monotonic` and `wait` are seconds."""

    now: Callable[[], datetime] = _utc_now
    monotonic: Callable[[], float] = time.monotonic
    wait: Callable[[float], None] = time.sleep


REAL = Clock()
"""The machine's own."""


def cause_now(gateway: Gateway, seen: GatewayProbe) -> Finding | None:
    """The finding that keeps the gateway from being live, started and prompt, by the doctor's own judge.

    Raises CouldNotLook when it rests on what we may not see.
    """
    found = with_suspension(gateway, judge.cause(seen, judge.Limits.of(gateway.settings)))
    if words := judge.unseen(seen, found):
        raise CouldNotLook(words)
    return found


Look = Callable[[], GatewayProbe]
Judge = Callable[[GatewayProbe], Finding | None]

_POLL_S = 1.0
_ON_ITS_WAY = in_state("passing")
_BETWEEN = {"gateway/down", "gateway/not-ready"} | in_state("mute")
"""Findings that a gateway may show for a moment between its end and its next start."""
_SLACK_S = 2.0


class Settled(Struct, frozen=True):
    """`started` when it is live and started; else `cause` is what was seen last. `took_s` is the whole wait."""

    started: bool
    cause: Finding | None
    took_s: float


def until_started(
    look: Look,
    judged: Judge,
    clock: Clock,
    *,
    start_s: float,
    drain_s: float,
    idle_s: float,
    since: float | None = None,
    time_of_day: Callable[[], float] = time.time,
) -> Settled:
    """Wait until the gateway is live and started, for at most `start_s` seconds; draining adds up to `drain_s`.

    `idle_s` is how long it may show a state that leads nowhere by itself (down, hung) before it is given up. `since`
    (seconds since the epoch): only a gateway that started after this counts, the one that is to go does not.
    """
    began = clock.monotonic()
    idle_since: float | None = None
    limit_s, drained = start_s, False
    while True:
        seen = look()
        cause, now = judged(seen), clock.monotonic()
        took_s = now - began
        old = since is not None and not _is_younger(seen, since, time_of_day())
        if cause is not None and cause.check == "gateway/draining" and not drained:
            limit_s, drained = limit_s + drain_s, True
        if cause is None or cause.check == "gateway/saturated":
            if not old:
                return Settled(cause is None, cause, took_s)
        elif cause.check not in _ON_ITS_WAY | _BETWEEN:
            return Settled(False, cause, took_s)
        moving = cause is not None and cause.check in _ON_ITS_WAY
        idle_since = None if moving else now if idle_since is None else idle_since
        if took_s >= limit_s or (idle_since is not None and now - idle_since >= idle_s):
            return Settled(False, cause, took_s)
        clock.wait(_POLL_S)


def started_at(seen: GatewayProbe, now: float) -> float | None:
    """When this start began, in seconds since the epoch: by the gateway's own word, else by its process."""
    up_s = seen.up_s
    return None if up_s is None else now - up_s


def _is_younger(seen: GatewayProbe, since: float, now: float) -> bool:
    moment = started_at(seen, now)
    return moment is None or moment >= since - _SLACK_S
