"""Whatever runs and hands come in whatever order, the incidents stay consistent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from msgspec.structs import replace

from oc_ops.record.incidents import text
from oc_ops.record.incidents.events import Event, Versions, What
from oc_ops.record.incidents.incident import Incident, fold
from oc_ops.record.incidents.rules import RunSummary, decide
from tests.support.incident_days import CHECKS, FOUND_BY, MINE, OTHER, START, run

RUNS = st.builds(
    run,
    verdict=st.sampled_from([None, None, None, "degraded", "unknown"]),
    whole=st.booleans(),
    unseen=st.lists(st.sampled_from(sorted(CHECKS)), max_size=2).map(tuple),
    gateway=st.sampled_from([MINE, MINE, OTHER]),
    versions=st.sampled_from([Versions(), Versions("1", "2"), Versions("1", None)]),
    sign=st.sampled_from([None, START, START - timedelta(days=1), START + timedelta(hours=1)]),
    interrupted=st.sampled_from([False, False, False, True]),
)
REDS = st.lists(st.sampled_from(sorted(FOUND_BY)), max_size=3, unique=True).map(tuple)
HANDS = st.sampled_from(["closed", "acknowledged", "muted", "noted"])
STEPS = st.lists(
    st.tuples(st.one_of(st.tuples(RUNS, REDS), HANDS), st.sampled_from([0, 60, 300, 300, 3700, -900])), max_size=30
)


def with_red(base: RunSummary, red: tuple[str, ...]) -> RunSummary:
    """The run with these findings as well."""
    told = run(*red)
    failed = {FOUND_BY[each] for each in red}
    return replace(
        base,
        faults=told.faults,
        cause=told.cause,
        looked=base.looked - failed,
        verdict="unhealthy" if red else base.verdict,
    )


@given(STEPS)
@given_settings(deadline=None)
def test_whatever_comes(steps: list[tuple[tuple[RunSummary, tuple[str, ...]] | What, int]]) -> None:
    """Never two open incidents of one cause and gateway; closed by two greens or by hand; no time is negative."""
    now, lines = START, list[Event]()
    greens: dict[str, int] = {}
    for step, pause_s in steps:
        known = fold(lines)
        if isinstance(step, tuple):
            look = with_red(*step)
            new = list(decide(list(known.values()), look, now, 3600, known.keys()))
            for each in new:
                if each.what in ("green", "closed"):
                    greens[each.id] = greens.get(each.id, 0) + 1
                    assert known[each.id].found_by <= look.looked
                    assert not look.interrupted
                    assert not known[each.id].states.keys() & look.errors.keys()
                elif each.what in ("red", "reopened", "opened"):
                    greens[each.id] = 0
                if each.what == "closed":
                    assert greens[each.id] == 2
                if each.id in known:
                    assert known[each.id].gateway.key == look.gateway.key
                    assert known[each.id].is_open == (each.what != "reopened")
            assert len({each.id for each in new}) == len(new), "one event for one incident"
        else:
            new = [Event(each.id, now, step, by="anna") for each in known.values() if each.is_open][:1]
        # What is read back is what was written.
        lines += [back for each in new if (back := Event.parse(json.loads(json.dumps(each.as_json()))))]
        assert lines[len(lines) - len(new) :] == new
        _consistent(fold(lines), now)
        now += timedelta(seconds=pause_s)


def _consistent(known: Mapping[str, Incident], now: datetime) -> None:
    still = [each for each in known.values() if each.is_open]
    states = [(each.gateway.key, check) for each in still for check in each.states]
    assert len(set(states)) == len(states)
    for each in known.values():
        assert (each.time_to_recover_s or 0) >= 0
        assert (each.time_to_detect_s or 0) >= 0
        assert each.age_s(now) >= 0
        assert each.cause.name in each.states
        assert all(len(line) < 2000 for line in text.story(each, now))
        json.dumps(text.as_json(each, now))
