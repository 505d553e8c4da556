"""The cure of one channel account: its bounds, its own proof, and what it leaves alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from oc_ops.act.recover.outcome import Observation
from oc_ops.gateway import Gateway
from oc_ops.judge.finding import Finding
from oc_ops.observe.rpc import RpcReply
from tests.support.stage import NOON, Stage, finding, opened, saw

NOON_MS = round(NOON.timestamp() * 1000)
SILENT = {"accountId": "default", "running": True, "connected": True, "mode": "polling", "lastStartAt": NOON_MS - 10**7}
DEAF = {**SILENT, "lastTransportActivityAt": NOON_MS - 600_000}
HEARD = {**SILENT, "lastTransportActivityAt": NOON_MS + 9_000}


class Channels:
    """The gateway's RPC as the cure asks it: an account in the states given, the last one again and again."""

    def __init__(self, *states: dict[str, object], lacks: tuple[str, ...] = ()) -> None:
        self.states, self.lacks = list(states), lacks

    def __enter__(self) -> Channels:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def has(self, method: str) -> bool:
        """Whether the release has it."""
        return method not in self.lacks

    def request(self, method: str, *_: object) -> RpcReply:
        """The account as it is now."""
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return RpcReply(method, "ok", {"channelAccounts": {"telegram": [state]}})


@pytest.fixture
def stage(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A gateway that is well but for its channel, whose account stops and starts when told to."""
    stage = Stage(tmp_path, monkeypatch)
    stage.looks = stage.looks[-1:]
    stage.seen = [deaf(), deaf(), saw()]
    stage.answers["gateway call channels.stop"] = (0, {"channel": "telegram", "stopped": True})
    stage.answers["gateway call channels.start"] = (0, {"started": True, "outcome": {"status": "handed-off"}})
    return stage


@pytest.fixture
def talks(monkeypatch: pytest.MonkeyPatch) -> Callable[[Channels], None]:
    """Have the gateway's connection be that one."""
    return lambda channels: monkeypatch.setattr(Gateway, "connect", lambda _self: channels)


def deaf(**changes: Any) -> Observation:
    """A doctor run that found a deaf channel."""
    cause: Finding = replace(finding("channels/deaf"), subject="telegram", **changes)
    return Observation("unhealthy", cause, (cause,))


def test_a_deaf_channel_is_stopped_and_started_and_heard(stage: Stage, talks: Callable[[Channels], None]) -> None:
    """One stop and one start of that account, no restart of the gateway, and a poll that ended since."""
    talks(Channels(DEAF, DEAF, HEARD))
    outcome = stage.recover()
    assert (outcome.exit, outcome.cure) == (0, "channel-restart"), outcome
    assert [each.split()[2] for each in stage.acts] == ["channels.stop", "channels.start"]
    (told,) = {each[each.index("{") : each.index("}") + 1] for each in stage.acts}
    assert json.loads(told) == {"channel": "telegram", "accountId": "default"}


def test_a_channel_that_is_not_heard_afterwards_is_not_recovered(
    stage: Stage, talks: Callable[[Channels], None]
) -> None:
    """A doctor that finds nothing yet is no proof: a poll of the new start has to end within two minutes."""
    talks(Channels(DEAF))
    outcome = stage.recover()
    assert (outcome.exit, outcome.word) == (1, "ineffective")
    assert "nothing was heard of it within 2 min" in outcome.why
    assert 120 <= stage.elapsed_s < 150


@pytest.mark.parametrize(
    ("method", "answer", "said"),
    [
        ("stop", {"stopped": False}, "it did not stop"),
        ("start", {"started": False, "outcome": {"status": "skipped", "reason": "disabled"}}, "disabled"),
        ("start", {"started": True, "outcome": {"status": "retry", "reason": "task-owned"}}, "task-owned"),
    ],
)
def test_an_act_that_was_not_taken_says_why(
    stage: Stage, talks: Callable[[Channels], None], method: str, answer: object, said: str
) -> None:
    """The gateway's own booleans and words, not the exit code."""
    talks(Channels(DEAF, HEARD))
    stage.answers[f"gateway call channels.{method}"] = (0, answer)
    outcome = stage.recover()
    assert (outcome.exit, outcome.word) == (1, "ineffective")
    assert said in outcome.why


def test_a_channel_without_a_proof_is_left_alone(stage: Stage) -> None:
    """A refused token, a conflict, an account that tries by itself: exit 4 at once, with the finding's own fix."""
    stage.seen = [deaf(proof="")]
    outcome = stage.recover(force=True)
    assert (outcome.exit, stage.acts) == (4, [])
    assert "the fix of channels/deaf" in outcome.why


def test_a_channel_that_came_back_meanwhile_is_left_alone(stage: Stage, talks: Callable[[Channels], None]) -> None:
    """The gateway is asked once more right before the act."""
    talks(Channels(HEARD))
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, stage.acts) == (0, "healthy", [])


def test_a_release_that_cannot_restart_a_channel_says_so(stage: Stage, talks: Callable[[Channels], None]) -> None:
    """2026.2.26 has no such method: exit 4, and what helps there."""
    talks(Channels(DEAF, lacks=("channels.start",)))
    outcome = stage.recover()
    assert (outcome.exit, stage.acts) == (4, [])
    assert "no channels.start" in outcome.why


def test_restarts_of_a_channel_have_a_budget_of_their_own(stage: Stage, talks: Callable[[Channels], None]) -> None:
    """They count against no restart of the gateway, and are bounded as those are."""
    talks(Channels(DEAF, DEAF, HEARD))
    assert stage.recover().exit == 0
    stage.seen = [deaf(), deaf(), saw()]
    again = stage.recover()
    assert (again.exit, again.word) == (3, "refused")
    assert "cool-down" in again.why
    stage.seen = [saw("gateway/rpc-unanswered"), saw("gateway/rpc-unanswered"), saw()]
    assert "cool-down" not in stage.recover(dry_run=True).why


def test_an_incident_gets_one_attempt(stage: Stage, talks: Callable[[Channels], None]) -> None:
    """As with a restart of the gateway."""
    talks(Channels(DEAF))
    incident = opened(stage)
    stage.seen = [replace(deaf(), incident=incident)]
    assert stage.recover().word == "ineffective"
    stage.elapsed_s += 3600
    assert "had its attempt" in stage.recover().why
