"""A program on a gateway's port that speaks as one, and keeps every byte that it is sent."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.fakes.fake_gateway import NONCE, TS, accepted, text_frame

PAGES = {
    "/healthz": {"ok": True, "status": "live"},
    "/startupz": {"ok": True, "status": "started", "version": "2026.9.6", "uptimeMs": 86_400_000},
    "/readyz": {"ready": True, "failing": [], "uptimeMs": 86_400_000, "eventLoop": {"delayP99Ms": 12.0}},
}
CHALLENGE = {"type": "event", "event": "connect.challenge", "payload": {"nonce": NONCE, "ts": TS}}


def serve(server: socket.socket, record: int, *, mute: bool = False) -> None:
    """Take connections for ever; answer HTTP and the WebSocket's beginning unless mute."""
    while True:
        client, _ = server.accept()
        threading.Thread(target=_talk, args=(client, record, mute), daemon=True).start()


def _talk(client: socket.socket, record: int, mute: bool) -> None:
    head = b""
    with client, contextlib.suppress(OSError):
        while data := client.recv(65536):
            os.write(record, data)
            head += data
            if b"\r\n\r\n" not in head or mute:
                continue
            request, head = head.decode("latin-1"), b""
            if "sec-websocket-key" in request.lower():
                client.sendall(accepted(request) + text_frame(json.dumps(CHALLENGE).encode()))
            elif request.startswith("GET "):
                body = json.dumps(PAGES.get(request.split()[1], {})).encode()
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n")
                client.sendall(b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
                return


if __name__ == "__main__":
    where = [each for each in sys.argv[2:] if not each.startswith("--")] or ["127.0.0.1", "0"]
    family = socket.AF_INET6 if ":" in where[0] else socket.AF_INET
    listening = socket.create_server((where[0], int(where[1])), family=family)
    print(listening.getsockname()[1], flush=True)
    serve(listening, os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), mute="--mute" in sys.argv)
