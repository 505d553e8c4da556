"""Every way in which the RPC lane is refused or met with silence, named within its budget."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from oc_ops.observe.device import load
from tests.fakes.fake_gateway import NONCE, TS, Talk, gateway, listener, read_request, text_frame, upgrade
from tests.support.lane import SLACK_S, mute, no_challenge, refused

# -- refusals ----------------------------------------------------------------------------------------------------------


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


def test_device_that_cannot_be_kept_is_the_reason(tmp_path: Path) -> None:
    """Without a place for the key the lane is off, and the sentence names the file."""
    (tmp_path / "memory").write_text("in the way")
    refusal = refused(1, tmp_path / "memory")
    assert refusal.kind == "device"
    assert "device.json" in refusal.reason


# -- silence -----------------------------------------------------------------------------------------------------------


def dribbling_head(client: socket.socket, over: threading.Event) -> None:
    """An upgrade answer that never ends, byte by byte."""
    client.sendall(b"HTTP/1.1 101 Switching Protocols\r\nX-Dribble: ")
    while not over.wait(0.02):
        client.sendall(b"x")


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


PINGS = b"\x89\x00" * 4096


def pings_instead_of_hello(client: socket.socket, over: threading.Event) -> None:
    """Upgrade, then pings without end, whose pongs are never read."""
    upgrade(client)
    while not over.is_set():
        client.sendall(PINGS)


def pings_that_are_read(client: socket.socket, over: threading.Event) -> None:
    """Upgrade and challenge, then pings without end, and every pong is taken."""
    upgrade(client)
    challenge = {"type": "event", "event": "connect.challenge", "payload": {"nonce": NONCE, "ts": TS}}
    client.sendall(text_frame(json.dumps(challenge).encode()))
    while not over.is_set():
        client.sendall(PINGS[:200])
        client.recv(65536)


def fragments_instead_of_hello(client: socket.socket, over: threading.Event) -> None:
    """Upgrade, then a message that goes on and on in empty pieces."""
    upgrade(client)
    client.sendall(b"\x01\x00")
    while not over.is_set():
        client.sendall(b"\x00\x00" * 4096)


@pytest.mark.parametrize(
    "handle",
    [
        mute,
        dribbling_head,
        no_challenge,
        dribbling_frame,
        no_hello,
        events_instead_of_hello,
        pings_instead_of_hello,
        pings_that_are_read,
        fragments_instead_of_hello,
    ],
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
