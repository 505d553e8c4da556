"""The RPC lane against gateways that behave, refuse, fall silent, babble, flood and vanish."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oc_ops import __version__
from oc_ops.observe.config import Credential
from oc_ops.observe.device import keep_token, load
from oc_ops.observe.rpc import RpcClient, RpcRefused, connect
from tests.fakes.fake_gateway import (
    METHODS,
    NONCE,
    TS,
    Talk,
    check_signature,
    gateway,
    hello,
    listener,
    read_request,
    text_frame,
    upgrade,
)

SECRET = "shared-secret-0123"
TOKEN = Credential("token", SECRET)
SLACK_S = 0.6
"""Time beyond a budget that a busy machine may take to notice it."""


def join(port: int, memory: Path, credential: Credential = TOKEN, *, connect_s: float = 5.0) -> RpcClient:
    """Connect as the doctor does."""
    return connect("127.0.0.1", port, credential, memory, connect_s=connect_s, request_s=5.0)


def refused(port: int, memory: Path, credential: Credential = TOKEN, *, connect_s: float = 5.0) -> RpcRefused:
    """The refusal that connecting must end in."""
    with pytest.raises(RpcRefused) as caught:
        join(port, memory, credential, connect_s=connect_s)
    assert SECRET not in str(caught.value)
    assert "\n" not in caught.value.reason
    return caught.value


def healthy(talk: Talk) -> None:
    """Shake hands, then answer every request with its own parameters."""
    talk.welcome(deviceToken="issued-1")
    while True:
        frame = talk.take()
        talk.answer(frame, {"method": frame["method"], "params": frame["params"]})


# ---- the handshake


def test_connect_asks_for_reading_and_nothing_more(tmp_path: Path) -> None:
    """Our connect frame is a signed read-only operator that calls itself oc-ops, in protocol 3 to 4."""
    with gateway(healthy) as (port, seen), join(port, tmp_path):
        pass
    params = seen[0]["params"]
    assert (seen[0]["type"], seen[0]["method"]) == ("req", "connect")
    assert (params["role"], params["scopes"]) == ("operator", ["operator.read"])
    assert (params["minProtocol"], params["maxProtocol"]) == (3, 4)
    assert params["client"]["displayName"] == "oc-ops"
    assert params["userAgent"] == f"oc-ops/{__version__}"
    assert params["auth"] == {"token": SECRET}
    check_signature(params)


def test_no_request_is_sent_unasked(tmp_path: Path) -> None:
    """Connecting and leaving sends the connect frame and nothing else."""
    with gateway(healthy) as (port, seen), join(port, tmp_path):
        pass
    assert [frame["method"] for frame in seen] == ["connect"]


def test_hello_is_read(tmp_path: Path) -> None:
    """What the gateway says of itself is there, with the connection id its log lines carry."""
    with gateway(healthy) as (port, _), join(port, tmp_path) as client:
        assert client.hello.server_version == "2026.9.6"
        assert client.hello.protocol == 4
        assert client.hello.methods == frozenset(METHODS)
        assert client.hello.events == {"tick", "health", "cron"}
        assert client.hello.scopes == ("operator.read",)
        assert client.hello.tick_interval_ms == 30000
        assert client.hello.conn_id == "conn-1"
        assert 0 < client.connect_s < 5
        assert client.notes == ()


def test_poor_hello_is_read(tmp_path: Path) -> None:
    """A hello that says next to nothing still connects; every method is then worth trying."""

    def script(talk: Talk) -> None:
        talk.challenge()
        talk.answer(talk.take(), {"type": "hello-ok", "protocol": 3.0, "server": [], "features": {"methods": [7]}})
        talk.hang()

    with gateway(script) as (port, _), join(port, tmp_path) as client:
        assert client.hello.server_version is None
        assert client.hello.protocol == 3
        assert client.has("health")


@pytest.mark.parametrize(
    ("credential", "auth"),
    [
        pytest.param(Credential("password", SECRET), {"password": SECRET}, id="password"),
        pytest.param(Credential("none"), {}, id="none"),
    ],
)
def test_other_credentials_are_sent_as_such(tmp_path: Path, credential: Credential, auth: dict[str, str]) -> None:
    """A password goes into its own field and is not signed; no secret sends none."""
    with gateway(healthy) as (port, seen), join(port, tmp_path, credential):
        pass
    assert seen[0]["params"]["auth"] == auth
    check_signature(seen[0]["params"])


def test_issued_token_is_kept_but_never_hides_a_wrong_secret(tmp_path: Path) -> None:
    """The device token of hello is kept; while there is a shared secret, that is what we are judged by."""
    with gateway(healthy) as (port, seen):
        for _ in range(2):
            with join(port, tmp_path):
                pass
        assert load(tmp_path).tokens == {f"ws://127.0.0.1:{port}": "issued-1"}
    assert [frame["params"]["auth"] for frame in seen] == [{"token": SECRET}] * 2


def test_issued_token_serves_where_the_secret_is_unresolved(tmp_path: Path) -> None:
    """A gateway that once issued us a token is asked with it when its secret cannot be resolved."""
    with gateway(healthy) as (port, seen):
        with join(port, tmp_path):
            pass
        with join(port, tmp_path, Credential("unresolved", why="gateway.auth.token is a SecretRef")) as client:
            assert client.request("health").outcome == "ok"
    assert seen[1]["params"]["auth"] == {"token": "issued-1"}
    check_signature(seen[1]["params"])


def test_unresolved_secret_is_the_reason(tmp_path: Path) -> None:
    """Without an issued token an unresolved secret ends the lane before anything is sent."""
    why = "gateway.auth.token is a SecretRef"
    refusal = refused(1, tmp_path, Credential("unresolved", why=why))
    assert (refusal.kind, refusal.reason) == ("secret-unresolved", why)


def test_stale_issued_token_is_forgotten(tmp_path: Path) -> None:
    """An issued token that is no longer accepted is dropped; the gateway is not blamed for our old token."""

    def script(talk: Talk) -> None:
        talk.challenge()
        talk.refuse(talk.take(), code="INVALID_REQUEST", message="unauthorized: issued-1 mismatch")

    with gateway(script) as (port, _):
        keep_token(load(tmp_path), f"ws://127.0.0.1:{port}", "issued-1")
        refusal = refused(port, tmp_path, Credential("unresolved", why="gateway.auth.token is a SecretRef"))
    assert refusal.kind == "secret-unresolved"
    assert refusal.reason.startswith("gateway.auth.token is a SecretRef; ")
    assert load(tmp_path).tokens == {}


def test_renewed_key_is_noted(tmp_path: Path) -> None:
    """A damaged key file does not stop the lane; the client's notes tell the operator of the new device."""
    (tmp_path / "device.json").write_text("damaged")
    with gateway(healthy) as (port, _), join(port, tmp_path) as client:
        (note,) = client.notes
    assert "device.json was damaged and set aside" in note


# ---- refusals


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        pytest.param(
            {
                "code": "INVALID_REQUEST",
                "message": "unauthorized: mismatch",
                "details": {"code": "AUTH_TOKEN_MISMATCH"},
            },
            "auth",
            "AUTH_TOKEN_MISMATCH",
            id="token-mismatch",
        ),
        pytest.param({"code": "INVALID_REQUEST", "message": "unauthorized"}, "auth", "INVALID_REQUEST", id="bare"),
        pytest.param(
            {"code": "INVALID_REQUEST", "message": "no", "details": {"code": "AUTH_RATE_LIMITED"}, "retryAfterMs": 9},
            "auth",
            "AUTH_RATE_LIMITED",
            id="rate-limited",
        ),
        pytest.param(
            {"code": "INVALID_REQUEST", "message": "no", "details": {"code": "DEVICE_AUTH_SIGNATURE_INVALID"}},
            "device",
            "DEVICE_AUTH_SIGNATURE_INVALID",
            id="signature",
        ),
        pytest.param(
            {"code": "NOT_PAIRED", "message": "pairing required", "details": {"code": "PAIRING_REQUIRED"}},
            "pairing",
            "PAIRING_REQUIRED",
            id="pairing",
        ),
        pytest.param(
            {"code": "UNAVAILABLE", "message": "gateway starting", "details": {"reason": "startup-sidecars"}},
            "starting",
            "startup-sidecars",
            id="starting",
        ),
        pytest.param(
            {"code": "INVALID_REQUEST", "message": "protocol mismatch", "details": {"expectedProtocol": 5}},
            "protocol",
            "INVALID_REQUEST",
            id="protocol",
        ),
        pytest.param({"message": ["not", "text"], "details": 7}, "protocol", None, id="malformed"),
    ],
)
def test_refused_connect_is_named(tmp_path: Path, error: dict[str, object], kind: str, code: str | None) -> None:
    """Each error answer to connect becomes its kind, with the gateway's own code and retry delay."""

    def script(talk: Talk) -> None:
        talk.challenge()
        talk.refuse(talk.take(), **error)

    with gateway(script) as (port, _):
        refusal = refused(port, tmp_path)
    assert (refusal.kind, refusal.code, refusal.retry_after_ms) == (kind, code, error.get("retryAfterMs"))


@pytest.mark.parametrize(
    ("close", "reason", "kind"),
    [
        pytest.param(1008, "unauthorized: gateway token mismatch (set gateway.remote.token …)", "auth", id="token"),
        pytest.param(1008, "pairing required: device is not approved yet", "pairing", id="pairing"),
        pytest.param(1008, "device signature invalid", "device", id="signature"),
        pytest.param(1013, "gateway starting", "starting", id="starting"),
        pytest.param(1012, "service restart", "starting", id="restart"),
        pytest.param(1002, "protocol mismatch", "protocol", id="protocol"),
        pytest.param(1011, "gateway message handler unavailable", "closed", id="internal"),
        pytest.param(1000, "", "closed", id="normal"),
    ],
)
def test_closed_handshake_is_named(tmp_path: Path, close: int, reason: str, kind: str) -> None:
    """A gateway that only closes is understood by its close code and reason, as 2026.2.26 may do."""

    def script(talk: Talk) -> None:
        talk.challenge()
        talk.take()
        talk.connection.close(close, reason)

    with gateway(script) as (port, _):
        refusal = refused(port, tmp_path)
    assert refusal.kind == kind
    assert reason in refusal.reason


def test_answer_that_is_no_hello_is_refused(tmp_path: Path) -> None:
    """An ok answer without hello-ok is not taken for a connection."""

    def script(talk: Talk) -> None:
        talk.challenge()
        talk.answer(talk.take(), {"type": "worker-hello-ok"})

    with gateway(script) as (port, _):
        assert refused(port, tmp_path).kind == "protocol"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        pytest.param("200 OK", "stranger", id="200"),
        pytest.param("302 Found\r\nLocation: http://127.0.0.1:1/", "stranger", id="302"),
        pytest.param("404 Not Found", "stranger", id="404"),
        pytest.param("401 Unauthorized", "auth", id="401"),
        pytest.param("403 Forbidden", "auth", id="403"),
        pytest.param("429 Too Many Requests", "auth", id="429"),
        pytest.param("503 Service Unavailable", "starting", id="503"),
    ],
)
def test_refused_upgrade_is_named(tmp_path: Path, status: str, kind: str) -> None:
    """An HTTP answer instead of an upgrade says whose it is; no redirect is followed."""

    def handle(client: socket.socket, over: threading.Event) -> None:
        read_request(client)
        client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 11\r\n\r\n<h1>\x1b[31m\n\n".encode())

    with listener(handle) as port:
        refusal = refused(port, tmp_path)
    assert refusal.kind == kind
    assert status[:3] in refusal.reason
    assert "\x1b" not in refusal.reason


@pytest.mark.parametrize(
    ("banner", "kind"),
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2p1\r\n", "stranger", id="ssh"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x46", "closed", id="tls-alert"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "stranger", id="wrong-upgrade"),
        pytest.param(b"", "closed", id="closes"),
    ],
)
def test_other_programs_are_told_from_a_gateway(tmp_path: Path, banner: bytes, kind: str) -> None:
    """A program of another kind is a stranger; one that only closes has closed."""

    def handle(client: socket.socket, over: threading.Event) -> None:
        read_request(client)
        client.sendall(banner)

    with listener(handle) as port:
        assert refused(port, tmp_path).kind == kind


def test_nobody_there_is_unreachable(tmp_path: Path) -> None:
    """A port without a listener is unreachable at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    refusal = refused(port, tmp_path)
    assert refusal.kind == "unreachable"
    assert "refused" in refusal.reason


def test_tls_is_left_to_the_cli(tmp_path: Path) -> None:
    """A gateway with TLS is not even dialled."""
    with pytest.raises(RpcRefused) as caught:
        connect("127.0.0.1", 1, TOKEN, tmp_path, connect_s=1, request_s=1, tls=True)
    assert caught.value.kind == "tls"


def test_device_that_cannot_be_kept_is_the_reason(tmp_path: Path) -> None:
    """Without a place for the key the lane is off, and the sentence names the file."""
    (tmp_path / "memory").write_text("in the way")
    refusal = refused(1, tmp_path / "memory")
    assert refusal.kind == "device"
    assert "device.json" in refusal.reason


# ---- silence


def mute(client: socket.socket, over: threading.Event) -> None:
    """Take everything, answer nothing."""
    while client.recv(4096):
        pass


def dribbling_head(client: socket.socket, over: threading.Event) -> None:
    """An upgrade answer that never ends, byte by byte."""
    client.sendall(b"HTTP/1.1 101 Switching Protocols\r\nX-Dribble: ")
    while not over.wait(0.02):
        client.sendall(b"x")


def no_challenge(client: socket.socket, over: threading.Event) -> None:
    """Upgrade, then nothing, not even a closing handshake."""
    upgrade(client)
    mute(client, over)


def dribbling_frame(client: socket.socket, over: threading.Event) -> None:
    """Upgrade, then one frame byte by byte."""
    upgrade(client)
    client.sendall(b"\x81\x7e\xff\xff")
    while not over.wait(0.02):
        client.sendall(b" ")


def no_hello(client: socket.socket, over: threading.Event) -> None:
    """Upgrade and challenge, then nothing."""
    upgrade(client)
    challenge = {"type": "event", "event": "connect.challenge", "payload": {"nonce": NONCE, "ts": TS}}
    client.sendall(text_frame(json.dumps(challenge).encode()))
    mute(client, over)


def events_instead_of_hello(client: socket.socket, over: threading.Event) -> None:
    """Upgrade and challenge, then events without end."""
    upgrade(client)
    challenge = {"type": "event", "event": "connect.challenge", "payload": {"nonce": NONCE, "ts": TS}}
    client.sendall(text_frame(json.dumps(challenge).encode()))
    while not over.wait(0.002):
        client.sendall(text_frame(b'{"type":"event","event":"tick"}'))


@pytest.mark.parametrize(
    "handle", [mute, dribbling_head, no_challenge, dribbling_frame, no_hello, events_instead_of_hello]
)
def test_silence_is_seen_within_the_budget(
    tmp_path: Path, handle: Callable[[socket.socket, threading.Event], None]
) -> None:
    """However a gateway falls silent on the way to hello, we are gone when the connect budget is."""
    load(tmp_path)
    with listener(handle) as port:
        started = time.monotonic()
        refusal = refused(port, tmp_path, connect_s=0.5)
        took_s = time.monotonic() - started
    assert refusal.kind == "silent"
    assert took_s < 0.5 + SLACK_S


def test_websocket_of_another_kind_is_a_stranger(tmp_path: Path) -> None:
    """A program that talks WebSocket but sends no challenge is not our gateway."""

    def script(talk: Talk) -> None:
        talk.raw("welcome to the chat")
        talk.challenge(ts="yesterday")
        talk.hang()

    with gateway(script) as (port, _):
        assert refused(port, tmp_path, connect_s=0.5).kind == "stranger"


# ---- requests

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


# ---- leaving, and what must not leak


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
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parent.parent, timeout=60
    )
    assert done.stdout.strip() == "set()"


# ---- what the gateway pushes


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
