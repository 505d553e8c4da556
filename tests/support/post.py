"""A post office for the tests: it takes what is posted to it, as a messenger or a dead-man service would."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET_PATH = "T00000000-B11111111-secretsecret"
"""The part of an address that nobody may read."""


@dataclass
class Post:
    """A server that takes what is posted: path, what for a JSON body, its title and text."""

    port: int
    status: int = 200
    came: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [path for path, _, _ in self.came]

    @property
    def titles(self) -> list[str]:
        """The titles of the messages."""
        return [title for _, title, _ in self.came]

    def until(self, number: int) -> None:
        """Wait for that many."""
        end = time.monotonic() + 60
        while len(self.came) < number:
            assert time.monotonic() < end, self.came
            time.sleep(0.02)


@contextmanager
def post_office() -> Iterator[Post]:
    """Such a server, on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            said = json.loads(body) if body.startswith("{") else {"message": body}
            post.came.append((self.path, said.get("title", ""), said.get("message", "")))
            self.send_response(post.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    post = Post(server.server_port)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield post
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
