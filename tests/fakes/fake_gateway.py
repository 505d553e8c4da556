"""A gateway that does what a test scripts: over real WebSockets, or over bare TCP where WebSocket manners end."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

NONCE = "nonce-1"
TS = 1_737_264_000_000
METHODS = [
    *("health", "status", "cron.status", "cron.list"),
    *("channels.status", "agents.list", "models.list", "models.authStatus"),
]


def hello(**auth: object) -> dict[str, Any]:
    """A hello-ok payload as 2026.9.6 sends it, without its snapshot."""
    return {
        "type": "hello-ok",
        "protocol": 4,
        "server": {"version": "2026.9.6", "connId": "conn-1"},
        "features": {"methods": METHODS, "events": ["tick", "health", "cron"]},
        "snapshot": {},
        "auth": {"role": "operator", "scopes": ["operator.read"], **auth},
        "policy": {"maxPayload": 26214400, "maxBufferedBytes": 52428800, "tickIntervalMs": 30000},
    }


class Talk:
    """The gateway's side of one connection."""

    def __init__(self, connection: ServerConnection, seen: list[dict[str, Any]]) -> None:
        self.connection = connection
        self._seen = seen

    def send(self, frame: object) -> None:
        self.connection.send(json.dumps(frame))

    def raw(self, data: str | bytes) -> None:
        self.connection.send(data)

    def challenge(self, **payload: object) -> None:
        self.send({"type": "event", "event": "connect.challenge", "payload": {"nonce": NONCE, "ts": TS, **payload}})

    def take(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(self.connection.recv())
        self._seen.append(frame)
        return frame

    def answer(self, frame: dict[str, Any], payload: object) -> None:
        self.send({"type": "res", "id": frame["id"], "ok": True, "payload": payload})

    def refuse(self, frame: dict[str, Any], **error: object) -> None:
        self.send({"type": "res", "id": frame["id"], "ok": False, "error": error})

    def event(self, name: str, **payload: object) -> None:
        self.send({"type": "event", "event": name, "payload": payload})

    def welcome(self, **auth: object) -> None:
        """The whole handshake, as it goes when all is well."""
        self.challenge()
        self.answer(self.take(), hello(**auth))

    def hang(self) -> None:
        """Say nothing more until the client leaves."""
        for _ in self.connection:
            pass


@contextlib.contextmanager
def gateway(script: Callable[[Talk], None]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Serve the script to each connection; yields the port and every frame taken from clients."""
    seen: list[dict[str, Any]] = []

    def handle(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            script(Talk(connection, seen))

    with serve(handle, "127.0.0.1", 0, compression=None, close_timeout=1, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.socket.getsockname()[1], seen
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def listener(handle: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """Hand each bare TCP connection to `handle` with an event that is set when the test is over."""
    over = threading.Event()
    threads: list[threading.Thread] = []
    server = socket.create_server(("127.0.0.1", 0))

    def talk(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            handle(client, over)

    def accept() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            if over.is_set():
                client.close()
                return
            threads.append(threading.Thread(target=talk, args=(client,)))
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield server.getsockname()[1]
    finally:
        over.set()
        with socket.create_connection(server.getsockname()):
            pass
        accepting.join()
        server.close()
        for thread in threads:
            thread.join()


def read_request(client: socket.socket) -> str:
    """An HTTP request's head."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = client.recv(4096)
        if not data:
            break
        head += data
    return head.decode()


def upgrade(client: socket.socket) -> None:
    """Answer a WebSocket upgrade by hand; what follows on the socket is the test's own."""
    client.sendall(accepted(read_request(client)))


def accepted(request: str) -> bytes:
    """The answer to a WebSocket upgrade."""
    lines = dict(line.split(": ", 1) for line in request.split("\r\n")[1:] if ": " in line)
    key = lines["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
    head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()


def text_frame(data: bytes) -> bytes:
    """An unmasked text frame of up to 64 KiB."""
    return (bytes([0x81, len(data)]) if len(data) < 126 else b"\x81\x7e" + len(data).to_bytes(2, "big")) + data


def check_signature(params: dict[str, Any]) -> None:
    """What a real gateway checks: the id is the key's fingerprint, and the v2 text is signed by that key."""

    def decoded(text: str) -> bytes:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

    device, client = params["device"], params["client"]
    public = decoded(device["publicKey"])
    assert device["id"] == hashlib.sha256(public).hexdigest()
    token = params["auth"].get("token", "")
    text = f"v2|{device['id']}|{client['id']}|{client['mode']}|operator|operator.read|{TS}|{token}|{NONCE}"
    Ed25519PublicKey.from_public_bytes(public).verify(decoded(device["signature"]), text.encode())
    assert (device["signedAt"], device["nonce"]) == (TS, NONCE)
