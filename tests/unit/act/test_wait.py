"""Waiting for a gateway: patient with a slow start and a drain, not with one that leads nowhere."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from oc_ops.act.recover.wait import Clock, Settled, until_started
from oc_ops.judge import gateway as judge
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.service import Service
from tests.support import sights
from tests.support.stage import DOWN, HUNG, STARTING

EPOCH = 1_800_000_000.0


def up(uptime_s: float) -> GatewayProbe:
    """A gateway that started so long ago."""
    told = {"ok": True, "status": "started", "uptimeMs": uptime_s * 1000}
    return sights.sight(startup=sights.said(told, "/startupz"))


DRAINING = sights.sight(startup=sights.said({"ok": False, "status": "draining", "uptimeMs": 9e6}, "/startupz", 503))
TAKEN = sights.sight(sights.page("hello"), processes=(), listener=sights.PYTHON)
LOOP = sights.sight(sights.nothing("refused"), processes=(), service=Service("systemd", "u", "restarting", restarts=9))


def wait(looks: Sequence[GatewayProbe], since: float | None = None, idle_s: float = 15.0) -> Settled:
    """Wait with these looks, a second apart, the last one again and again."""
    script, elapsed = list(looks), 0.0

    def pause(seconds: float) -> None:
        nonlocal elapsed
        elapsed += seconds

    return until_started(
        lambda: script.pop(0) if len(script) > 1 else script[0],
        lambda seen: judge.cause(seen, judge.Limits()),
        Clock(monotonic=lambda: elapsed, wait=pause),
        start_s=240.0,
        drain_s=330.0,
        idle_s=idle_s,
        since=since,
        time_of_day=lambda: EPOCH + elapsed,
    )


@pytest.mark.parametrize(
    ("looks", "started", "took_s"),
    [
        ([up(5)], True, 0),
        ([STARTING] * 150 + [up(5)], True, 150),
        ([STARTING], False, 240),
        ([DRAINING] * 300 + [DOWN] * 4 + [STARTING] * 20 + [up(1)], True, 324),
        ([DOWN] * 5 + [STARTING] * 60 + [up(1)], True, 65),
        ([DOWN], False, 15),
        ([HUNG], False, 15),
        ([TAKEN], False, 0),
        ([STARTING] * 30 + [LOOP], False, 30),
    ],
    ids=["up", "slow", "too-slow", "drain", "gap", "down", "hung", "port-taken", "crash-loop"],
)
def test_what_is_waited_for(looks: Sequence[GatewayProbe], started: bool, took_s: float) -> None:
    """A start gets its budget, a drain its own on top; what leads nowhere is given up after a while, or at once."""
    seen = wait(looks)
    assert (seen.started, seen.took_s) == (started, took_s)
    assert (seen.cause is None) == started


def test_the_gateway_that_is_to_go_does_not_count() -> None:
    """After a drained restart was asked for, the old one still answers for a while: only a younger one is it."""
    looks = [up(9000), up(9001), DRAINING, DOWN, STARTING, up(1)]
    assert wait(looks, since=EPOCH).took_s == 5


def test_an_old_gateway_that_never_goes_is_given_up() -> None:
    """A restart that did not happen is not waited for for ever."""
    seen = wait([up(9000)], since=EPOCH, idle_s=20)
    assert (seen.started, seen.took_s) == (False, 20)


def test_a_release_that_tells_no_uptime_is_known_by_its_process() -> None:
    """2026.2.26 has no /startupz: a young process is the new one."""
    page = sights.page(sights.CONTROL_UI)
    young = sights.sight(page, startup=page, ready=page, processes=(sights.gateway_process(3.0),))
    old = sights.sight(page, startup=page, ready=page, processes=(sights.gateway_process(9000.0),))
    assert wait([old, old, young], since=EPOCH).took_s == 2
