"""What the watcher makes of the gateway's own work: channels, messages, models, due times, over the open connection."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oc_ops.cockpit.parts import LOOK_S, MODELS_S
from oc_ops.observe.rpc import Push, RpcReply
from tests.fakes.fake_line import WORK, job
from tests.support.watchroom import Room

AGENTS = {"defaultId": "main", "agents": [{"id": "main", "model": {"primary": "lab/one"}}]}
KEY = {"providers": [{"provider": "lab", "apiKey": {"source": "config"}}]}


def account(room: Room, **state: Any) -> dict[str, object]:
    """The answer of channels.status with one polling account."""
    told = {"accountId": "default", "running": True, "connected": True, "mode": "polling", **state}
    told.setdefault("lastTransportActivityAt", round(room.hands.now * 1000))
    return {"channelAccounts": {"telegram": [told]}}


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """A loop beside a gateway that tells of its work, and is well."""
    with Room.beside(tmp_path) as room:
        room.client.answers |= {
            "health": {"deliveryQueues": {"failed": [{"queueName": "telegram", "count": 2}]}},
            "channels.status": lambda _: account(room),
            "agents.list": AGENTS,
            "models.list": {"models": [{"provider": "lab", "id": "one", "available": True}]},
            "models.authStatus": KEY,
        }
        room.run(3)
        yield room


def pass_s(room: Room, seconds: float) -> None:
    """Let time pass beside a gateway that ticks."""
    until = room.hands.steady + seconds
    while room.hands.steady < until:
        room.client.pushes.append(Push("tick", {}))
        room.run(min(20.0, until - room.hands.steady))


def asked(room: Room) -> dict[str, int]:
    """How often each question about its work was asked."""
    return {each: room.client.asked.count(each) for each in WORK}


def test_work_is_shown_beside_life(room: Room) -> None:
    """Figures with the moment of the look, and nothing wrong; letters given up before are a figure, no alarm."""
    seen = room.shown.labour
    assert (seen.channels, seen.up, seen.given_up, seen.waiting, seen.model) == (1, 1, 2, 0, "lab/one")
    assert (seen.jobs, seen.overdue, seen.notes, seen.parked_until) == (2, 0, (), None)
    assert seen.seen.at is not None
    assert seen.models_at is not None
    assert room.shown.watcher.trouble == ""


def test_it_is_asked_rarely_and_models_more_rarely(room: Room) -> None:
    """Once a minute for channels and messages, once in five for the models, whatever else happens."""
    pass_s(room, 2 * MODELS_S)
    times = asked(room)
    assert times["channels.status"] <= 2 * MODELS_S / LOOK_S + 2
    assert times["models.authStatus"] == times["models.list"] <= 4


def test_what_stops_working_is_named_and_goes_again(room: Room) -> None:
    """A channel that is down and jobs whose time passed, within a minute; mended, they are gone."""
    late = round((room.hands.now - 7200) * 1000)
    room.client.answers["channels.status"] = lambda _: account(room, connected=False, lastError="401: Unauthorized")
    room.client.answers["cron.list"] = {"jobs": [job(1, nextRunAtMs=late), job(2)]}
    pass_s(room, MODELS_S + LOOK_S)
    seen = room.shown.labour
    assert (seen.up, seen.overdue, seen.overdue_since) == (0, 1, late / 1000)
    assert [each.check for each in seen.notes] == ["channels/down"]
    room.client.answers["channels.status"] = lambda _: account(room)
    pass_s(room, LOOK_S + 2)
    assert (room.shown.labour.up, room.shown.labour.notes) == (1, ())


def test_a_deaf_channel_takes_two_looks(room: Room) -> None:
    """The first silent look is a figure, the second a finding: a machine that wakes has old times to show."""
    heard_ms = round((room.hands.now - 600) * 1000)
    room.client.answers["channels.status"] = lambda _: account(room, lastTransportActivityAt=heard_ms)
    pass_s(room, LOOK_S + 2)
    assert (room.shown.labour.up, room.shown.labour.notes) == (0, ())
    pass_s(room, LOOK_S + 2)
    assert [each.check for each in room.shown.labour.notes] == ["channels/deaf"]


def test_a_slow_question_says_nothing_of_the_connection(room: Room) -> None:
    """What is not told in time stays as it was, with its age, and the line stays up."""
    before = room.shown.labour
    room.client.answers["models.authStatus"] = lambda _: RpcReply("models.authStatus", "silent", message="late")
    pass_s(room, MODELS_S + LOOK_S)
    assert room.shown.rpc.state == "on"
    assert room.shown.labour.model == before.model
    assert not room.shown.labour.notes


def test_without_a_connection_it_says_so(room: Room) -> None:
    """Nothing is called well that nobody has looked at."""
    room.loop.line.close()
    room.loop._see_labour()
    assert "not connected" in room.loop.labouring.labour.seen.problem


def test_a_release_that_tells_nothing_shows_nothing(tmp_path: Path) -> None:
    """2026.2.26 knows none of these: no figure, no finding, no trouble."""
    with Room.beside(tmp_path) as room:
        seen = room.run(5).labour
        assert (seen.channels, seen.given_up, seen.model, seen.notes) == (None, None, "", ())
        assert room.shown.watcher.trouble == ""
