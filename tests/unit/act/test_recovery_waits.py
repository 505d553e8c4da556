"""What a recovery waits for instead of acting, and what it looks at twice."""

from __future__ import annotations

import pytest

from oc_ops.observe.service import Service
from tests.support.stage import DOWN, HUNG, STARTING, WELL, Stage, opened, saw, saw_start


def test_a_young_fault_that_is_gone_at_the_second_look_is_left_alone(stage: Stage) -> None:
    """Healthy a minute ago and again five seconds later: nothing is restarted."""
    stage.seen = [saw("gateway/hung"), saw()]
    outcome = stage.recover()
    assert (outcome.exit, stage.acts, stage.elapsed_s) == (0, [], 5.0)


def test_a_fault_that_lasts_needs_no_second_look(stage: Stage) -> None:
    """Red for ten minutes by the book of incidents: one look, then the act."""
    name = opened(stage, 10)
    stage.seen = [saw("gateway/hung", incident=name), saw()]
    assert stage.recover().exit == 0
    assert stage.observed == 2


def test_what_changes_from_look_to_look_is_not_acted_on(stage: Stage) -> None:
    """Three looks, three faults: nobody knows what to cure."""
    stage.seen = [saw("gateway/hung"), saw("gateway/rpc-unanswered"), saw("gateway/zombie")]
    outcome = stage.recover()
    assert (outcome.exit, stage.acts) == (2, [])


def test_a_starting_gateway_is_waited_for(stage: Stage) -> None:
    """A slow start is not a failed one: exit 0 without any act."""
    stage.looks = [STARTING] * 100 + [WELL]
    stage.seen = [saw_start(), saw()]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, stage.acts) == (0, "healthy", [])
    assert stage.elapsed_s >= 100


def test_a_start_beyond_its_budget_is_refused_not_restarted(stage: Stage) -> None:
    """Still starting after the budget: exit 3, the next run judges anew."""
    stage.looks, stage.seen = [STARTING], [saw_start()]
    outcome = stage.recover()
    assert (outcome.exit, stage.acts) == (3, [])
    assert stage.elapsed_s >= 240


def test_a_supervisor_that_restarts_it_is_waited_for(stage: Stage) -> None:
    """systemd is about to start it: no second start races with that."""
    stage.looks, stage.seen = [DOWN, DOWN, WELL], [saw("gateway/down"), saw("gateway/down"), saw()]
    stage.services = [Service("systemd", "u", "restarting")]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, stage.acts) == (0, "healthy", [])


@pytest.mark.parametrize("detail", ["deactivating/stop-sigterm", "activating/start-pre"])
def test_a_stop_or_start_that_is_under_way_is_not_raced(stage: Stage, detail: str) -> None:
    """Somebody's `systemctl restart` of a hung gateway waits minutes for its end: no second restart beside it."""
    stage.looks, stage.seen = [HUNG], [saw("gateway/hung")]
    stage.services = [Service("systemd", "u", "running", detail=detail)]
    refused = stage.recover(force=True)
    assert (refused.exit, stage.acts) == (3, [])
    assert detail in refused.why
    stage.looks, stage.seen = [HUNG, WELL], [saw("gateway/hung"), saw("gateway/hung"), saw()]
    came_up = stage.recover(force=True)
    assert (came_up.exit, came_up.word, stage.acts) == (0, "healthy", [])


def test_what_has_passed_by_the_last_look_is_left_alone(stage: Stage) -> None:
    """The preflight's own look shows a live gateway, or another fault: nothing is restarted for what was."""
    stage.looks, stage.seen = [WELL], [saw("gateway/hung"), saw("gateway/hung"), saw()]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, stage.acts) == (0, "healthy", [])


def test_a_restart_that_somebody_began_meanwhile_is_waited_for(stage: Stage) -> None:
    """The last look before the act sees it starting."""
    stage.looks = [STARTING, STARTING, WELL]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, stage.acts) == (0, "healthy", [])


# -- dry run, interruptions, the browser -------------------------------------------------------------------------------


def test_a_lasting_supervisor_loop_is_not_waited_for_twice(stage: Stage) -> None:
    """It said restarting, was waited for, and is no further: exit 3, no act."""
    stage.looks, stage.seen = [DOWN], [saw("gateway/down")]
    stage.services = [Service("systemd", "u", "restarting")]
    assert stage.recover().exit == 3
    assert stage.acts == []


def test_a_wait_is_not_said_to_have_lasted_longer_than_it_did(stage: Stage) -> None:
    """What leads nowhere is given up after seconds: no start budget has passed then, and none is claimed."""
    stage.looks = [HUNG, DOWN, DOWN, HUNG, DOWN, DOWN]
    stage.seen = [saw("gateway/zombie"), saw("gateway/zombie")]
    outcome = stage.recover()
    assert (outcome.exit, outcome.acted) == (3, False)
    assert stage.elapsed_s < stage.settings.start_budget_s
    assert "240 s" not in outcome.why
    assert "has not settled after the wait" in outcome.why


def test_an_act_whose_gateway_is_still_starting_is_no_recovery(stage: Stage) -> None:
    """Degraded is no outage, and a gateway that is on its way up has not proved that it came up."""
    stage.seen = [saw("gateway/hung"), saw("gateway/hung"), saw_start()]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, stage.acts) == (1, "ineffective", ["gateway restart --json"])
