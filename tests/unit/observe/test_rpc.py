"""The read-only operator client: requests, answers, pushed events, and what must not leak."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from oc_ops.observe.device import load
from oc_ops.observe.handshake import table
from oc_ops.observe.rpc import RpcRefused
from tests.fakes.fake_gateway import NONCE, TS, Talk, gateway, hello, listener, text_frame, upgrade
from tests.support.lane import SECRET, SLACK_S, healthy, join, no_challenge, refused

# -- requests ----------------------------------------------------------------------------------------------------------

GARBAGE: list[Any] = [
    pytest.param("not json", id="text"),
    pytest.param("", id="empty"),
    pytest.param("[1, 2]", id="array"),
    pytest.param('"text"', id="string"),
    pytest.param("[" * 100_000, id="deep"),
    pytest.param("9" * 10_000, id="long-number"),
    pytest.param(b"\x00\xff\xfe", id="binary"),
    pytest.param('{"type": "res"}', id="no-id"),
    pytest.param('{"type": "res", "id": ["1"], "ok": true}', id="odd-id"),
    pytest.param('{"type": "res", "id": "99", "ok": true}', id="another-id"),
    pytest.param('{"type": "event", "event": null, "payload": 7}', id="odd-event"),
]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_between_frames_is_passed_over(tmp_path: Path, garbage: str | bytes) -> None:
    """Nothing a confused gateway sends in between keeps us from its answers."""

    def script(talk: Talk) -> None:
        talk.raw(garbage)
        talk.challenge()
        frame = talk.take()
        talk.raw(garbage)
        talk.answer(frame, hello())
        frame = talk.take()
        talk.raw(garbage)
        talk.answer(frame, {"fine": True})
        talk.hang()

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        reply = client.request("health")
    assert (reply.outcome, reply.payload) == ("ok", {"fine": True})


def test_questions_are_asked_at_once_and_answered_in_any_order(tmp_path: Path) -> None:
    """All of them are on their way before the first answer; each answer finds its question, events go by."""

    def script(talk: Talk) -> None:
        talk.welcome()
        frames = [talk.take() for _ in range(3)]
        for frame in reversed(frames):
            talk.send({"type": "event", "event": "tick", "payload": {}})
            talk.answer(frame, {"method": frame["method"]})
        talk.hang()

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        replies = client.requests({"health": {}, "models.list": {}, "cron.list": {}, "no.such": {}}, SLACK_S)
        assert client.next_push(0.0) is not None
    told = {each: (reply.outcome, reply.payload) for each, reply in replies.items() if reply.outcome == "ok"}
    assert told == {each: ("ok", {"method": each}) for each in ("health", "models.list", "cron.list")}
    assert replies["no.such"].outcome == "unsupported"


def test_one_question_that_is_not_answered_keeps_no_other_from_being(tmp_path: Path) -> None:
    """Their time is one: what came in it counts, the rest is silent, and the connection serves on."""

    def script(talk: Talk) -> None:
        talk.welcome()
        frames = [talk.take() for _ in range(2)]
        talk.answer(frames[1], {"fine": True})
        late = talk.take()
        talk.answer(frames[0], {"late": True})
        talk.answer(late, {"fine": True})
        talk.hang()

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        began = time.monotonic()
        replies = client.requests({"models.authStatus": {}, "health": {}}, 0.5)
        assert time.monotonic() - began < 0.5 + SLACK_S
        assert {each: reply.outcome for each, reply in replies.items()} == {
            "models.authStatus": "silent",
            "health": "ok",
        }
        assert client.request("status").payload == {"fine": True}


def test_a_connection_that_ends_amid_questions_says_so_of_each(tmp_path: Path) -> None:
    """What was answered before counts."""

    def script(talk: Talk) -> None:
        talk.welcome()
        frames = [talk.take() for _ in range(2)]
        talk.answer(frames[0], {"fine": True})

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        replies = client.requests({"health": {}, "models.list": {}}, SLACK_S)
    assert {each: reply.outcome for each, reply in replies.items()} == {"health": "ok", "models.list": "closed"}


def test_request_is_answered(tmp_path: Path) -> None:
    """A request carries its method and parameters and brings back the payload and how long it took."""
    with gateway(healthy) as (port, _), join(port, tmp_path) as client:
        reply = client.request("cron.list", {"includeDisabled": True})
    assert (reply.outcome, reply.method) == ("ok", "cron.list")
    assert reply.payload == {"method": "cron.list", "params": {"includeDisabled": True}}
    assert 0 < reply.wall_s < 5


def test_events_between_answers_are_passed_over(tmp_path: Path) -> None:
    """Pushed events do not stand in for the answer."""

    def script(talk: Talk) -> None:
        talk.welcome()
        talk.event("tick", ts=1)
        frame = talk.take()
        for _ in range(50):
            talk.event("health", ok=True)
        talk.answer(frame, {"jobs": []})
        talk.hang()

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        assert client.request("cron.list").payload == {"jobs": []}


def test_error_answer_keeps_its_code(tmp_path: Path) -> None:
    """An error answer is an error with the most exact code there is, on one line, without our secret."""

    def script(talk: Talk) -> None:
        talk.welcome()
        details = {"code": "MISSING_SCOPE", "missingScope": "operator.admin"}
        talk.refuse(talk.take(), code="FORBIDDEN", message=f"missing\nscope {SECRET}", details=details)
        talk.refuse(talk.take(), code="INVALID_REQUEST", message="unknown method: status")
        talk.refuse(talk.take())
        talk.hang()

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        scope, unknown, bare = client.request("health"), client.request("status"), client.request("health")
    assert (scope.outcome, scope.code, scope.message) == ("error", "MISSING_SCOPE", "missing scope [redacted]")
    assert unknown.outcome == "unsupported"
    assert (bare.outcome, bare.code) == ("error", None)


def test_method_the_gateway_lacks_is_not_asked(tmp_path: Path) -> None:
    """A method missing from hello's list is unsupported without a request."""
    with gateway(healthy) as (port, seen), join(port, tmp_path) as client:
        assert client.request("system.info").outcome == "unsupported"
        assert not client.has("system.info")
    assert [frame["method"] for frame in seen] == ["connect"]


def test_late_answer_is_not_taken_for_the_next(tmp_path: Path) -> None:
    """A request that outlived its deadline is silent; its answer, when it comes, is nobody's."""
    late = threading.Event()

    def script(talk: Talk) -> None:
        talk.welcome()
        first = talk.take()
        late.wait(5)
        talk.answer(first, "first")
        talk.answer(talk.take(), "second")
        talk.hang()

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        started = time.monotonic()
        silent = client.request("health", deadline_s=0.2)
        assert time.monotonic() - started < 0.2 + SLACK_S
        late.set()
        assert (silent.outcome, silent.message) == ("silent", "no answer within 0.2 s")
        assert client.request("status").payload == "second"


def test_flood_of_events_does_not_stretch_a_deadline(tmp_path: Path) -> None:
    """Events without end do not keep a request waiting beyond its deadline."""

    def script(talk: Talk) -> None:
        talk.welcome()
        while True:
            talk.event("tick")

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        started = time.monotonic()
        assert client.request("health", deadline_s=0.3).outcome == "silent"
        assert time.monotonic() - started < 0.3 + SLACK_S


@pytest.mark.parametrize("reads", [True, False], ids=["pongs are read", "pongs are not read"])
def test_flood_of_pings_does_not_stretch_a_deadline(tmp_path: Path, reads: bool) -> None:
    """Neither a request nor the wait for an event nor the farewell is kept by pings, however many there are."""

    def handle(client: socket.socket, over: threading.Event) -> None:
        upgrade(client)
        for frame in (
            {"type": "event", "event": "connect.challenge", "payload": {"nonce": NONCE, "ts": TS}},
            {"type": "res", "id": "connect", "ok": True, "payload": hello()},
        ):
            client.sendall(text_frame(json.dumps(frame).encode()))
        while not over.is_set():
            client.sendall(b"\x89\x7d" + b"x" * 125)
            if reads:
                client.recv(65536)

    with listener(handle) as port:
        client = join(port, tmp_path)
        for ask in (lambda: client.request("health", deadline_s=0.3), lambda: client.next_push(0.3), client.close):
            started = time.monotonic()
            ask()
            assert time.monotonic() - started < 0.3 + SLACK_S


def test_events_of_any_size_take_no_more_than_their_room(tmp_path: Path) -> None:
    """Of many large events the newest are kept, within a bound in bytes; a name without measure is no event's."""

    def script(talk: Talk) -> None:
        talk.welcome()
        frame = talk.take()
        for number in range(8):
            talk.event("presence", n=number, text="x" * 5 * 2**20)
        talk.event("y" * 1000)
        talk.answer(frame, {})
        talk.hang()

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        assert client.request("health", deadline_s=30.0).outcome == "ok"
        kept = list(iter(lambda: client.next_push(0.05), None))
        assert [table(each.payload)["n"] for each in kept] == [5, 6, 7]


def test_connection_closed_under_a_request(tmp_path: Path) -> None:
    """A gateway that goes away mid-request is closed, with its reason; later requests say so at once."""

    def script(talk: Talk) -> None:
        talk.welcome()
        talk.take()
        talk.connection.close(1012, f"service restart {SECRET}")

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        reply, later = client.request("health"), client.request("status")
    assert (reply.outcome, reply.code) == ("closed", "1012")
    assert reply.message == "the connection was closed: service restart [redacted]"
    assert later.outcome == "closed"


def test_huge_answer_is_an_error(tmp_path: Path) -> None:
    """An answer beyond the bound is refused as such instead of filling memory."""

    def script(talk: Talk) -> None:
        talk.welcome()
        talk.answer(talk.take(), "x" * (9 * 2**20))
        talk.hang()

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        reply, later = client.request("cron.list"), client.request("health")
    assert (reply.outcome, reply.code, reply.payload) == ("error", "TOO_LARGE", None)
    assert later.outcome == "closed"


def test_large_answer_is_taken(tmp_path: Path) -> None:
    """A big installation's list of jobs, 6 MB, is read."""

    def script(talk: Talk) -> None:
        talk.welcome()
        talk.answer(talk.take(), ["x" * 1000] * 6000)
        talk.hang()

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        assert client.request("cron.list").payload == ["x" * 1000] * 6000


# -- leaving, and what must not leak -----------------------------------------------------------------------------------


def test_leaving_a_stopped_gateway_is_quick(tmp_path: Path) -> None:
    """A gateway that stopped after hello does not keep us at the door, and no thread stays behind."""

    def handle(client: socket.socket, over: threading.Event) -> None:
        upgrade(client)
        for frame in (
            {"type": "event", "event": "connect.challenge", "payload": {"nonce": NONCE, "ts": TS}},
            {"type": "res", "id": "connect", "ok": True, "payload": hello()},
        ):
            client.sendall(text_frame(json.dumps(frame).encode()))
        over.wait(30)

    before = set(threading.enumerate())
    with listener(handle) as port:
        ours = set(threading.enumerate())
        client = join(port, tmp_path)
        started = time.monotonic()
        client.close()
        assert time.monotonic() - started < 0.25 + SLACK_S
        client.close()
        left = {each for each in set(threading.enumerate()) - ours if "talk" not in each.name}
        assert not left
    assert set(threading.enumerate()) <= before


def test_no_thread_stays_after_a_refusal(tmp_path: Path) -> None:
    """A refused connection leaves no thread of ours behind."""
    load(tmp_path)
    before = set(threading.enumerate())
    with listener(no_challenge) as port:
        refused(port, tmp_path, connect_s=0.2)
    assert set(threading.enumerate()) <= before


def test_nothing_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Even at debug level no frame, and so no token, reaches the log."""
    caplog.set_level(logging.CRITICAL, logger="websockets.server")
    caplog.set_level(logging.DEBUG)  # last: it sets what is captured at all
    with gateway(healthy) as (port, _), join(port, tmp_path) as client:
        client.request("health")
    assert SECRET not in caplog.text
    assert {record.name for record in caplog.records} <= {"filelock"}


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY", "ws_proxy"])
def test_proxies_are_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A proxy in the environment has no say in a loopback connection."""
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with gateway(healthy) as (port, _), join(port, tmp_path) as client:
        assert client.request("health").outcome == "ok"


def test_reprs_show_no_secret(tmp_path: Path) -> None:
    """Neither the client nor a reply shows secrets or payloads when printed."""
    with gateway(healthy) as (port, _), join(port, tmp_path) as client:
        shown = repr(client) + repr(client.hello) + repr(client.request("health", {"password": SECRET}))
    assert SECRET not in shown
    assert "issued-1" not in shown


def test_lane_not_used_costs_no_import() -> None:
    """A run that never connects does not pay for WebSockets or cryptography."""
    program = "import sys, oc_ops.observe.rpc; print({'websockets', 'cryptography', 'filelock'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[3], timeout=60
    )
    assert done.stdout.strip() == "set()"


# -- what the gateway pushes -------------------------------------------------------------------------------------------


def test_events_come_as_they_are_pushed(tmp_path: Path) -> None:
    """Each event once and in order, also those that came while an answer was waited for."""

    def script(talk: Talk) -> None:
        talk.welcome()
        frame = talk.take()
        talk.event("cron", n=1)
        talk.answer(frame, {"fine": True})
        talk.send({"type": "event", "payload": {}})
        talk.send({"type": "event", "event": 7})
        talk.raw("no json")
        talk.event("tick", n=2)
        talk.hang()

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        assert client.request("health").outcome == "ok"
        pushes = [client.next_push(5.0), client.next_push(5.0)]
        assert [(each.event, each.payload) for each in pushes if each] == [("cron", {"n": 1}), ("tick", {"n": 2})]
        began = time.monotonic()
        assert client.next_push(0.2) is None
        assert 0.15 < time.monotonic() - began < 0.2 + SLACK_S


@pytest.mark.parametrize(("code", "kind"), [(1012, "starting"), (1000, "closed"), (1008, "closed")])
def test_a_connection_that_ends_is_told_by_the_next_push(tmp_path: Path, code: int, kind: str) -> None:
    """A restart is told from any other end, and what the gateway says holds no secret of ours."""

    def script(talk: Talk) -> None:
        talk.welcome()
        talk.event("shutdown", reason="restart")
        talk.connection.close(code, f"service restart {SECRET}")

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        push = client.next_push(5.0)
        assert push is not None
        assert push.event == "shutdown"
        with pytest.raises(RpcRefused, match="service restart") as caught:
            client.next_push(5.0)
        assert caught.value.kind == kind
        assert SECRET not in str(caught.value)


def test_pushes_that_nobody_takes_do_not_pile_up(tmp_path: Path) -> None:
    """Of a flood during one request the newest are kept."""

    def script(talk: Talk) -> None:
        talk.welcome()
        frame = talk.take()
        for number in range(1000):
            talk.event("presence", n=number)
        talk.answer(frame, {})
        talk.hang()

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        assert client.request("health").outcome == "ok"
        kept = list(iter(lambda: client.next_push(0.05), None))
        assert 0 < len(kept) <= 256
        assert kept[-1].payload == {"n": 999}
