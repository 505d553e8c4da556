"""A program that holds a port and is no OpenClaw gateway: `python stranger.py PORT KIND`, until its stdin ends."""

from __future__ import annotations

import socketserver
import sys
import threading
from typing import Literal, get_args

Kind = Literal["html", "lookalike", "silent", "garbage"]
"""html: answers everything 200 with a page. lookalike: says `live` on the health pages in OpenClaw's words, and
nothing else. silent: accepts and never answers. garbage: answers bytes that are not HTTP."""

_PAGE = b"<!DOCTYPE html><title>Not a gateway</title><p>It works!"
_LIVE = b'{"ok":true,"status":"live"}'


def answer(kind: Kind, path: bytes) -> bytes | None:
    """What a stranger of that kind says to `GET path`, or None for silence."""
    if kind == "silent":
        return None
    if kind == "garbage":
        return b"\x00\xff\x16\x03\x01 not http at all\r\n\r\n"
    if kind == "html":
        return _http(b"200 OK", b"text/html", _PAGE)
    if path in (b"/health", b"/healthz"):
        return _http(b"200 OK", b"application/json", _LIVE)
    return _http(b"404 Not Found", b"text/plain", b"not found")


def _http(status: bytes, kind: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (status, kind, len(body)) + body


def serve(port: int, kind: Kind) -> None:
    """Hold the port on 127.0.0.1 until standard input ends, so that it never outlives who started it."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            words = self.rfile.readline(8192).split()
            said = answer(kind, words[1] if len(words) > 1 else b"")
            if said is None:
                self.rfile.read()
            else:
                self.wfile.write(said)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up in the middle is no news."""

    with Server(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    wanted = next(each for each in get_args(Kind) if each == sys.argv[2])
    serve(int(sys.argv[1]), wanted)
