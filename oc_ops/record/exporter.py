"""The metrics on a loopback port: few connections at a time, each with a deadline, for this machine's names only."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from oc_ops.text import regex

MOST_CONNECTIONS = 8
"""A Prometheus keeps one; whoever comes beyond these is sent away at once."""
DEADLINE_S = 10.0
"""How long one connection may last, from its first byte to our last, however slowly it talks."""

_OURS = regex(r"(?:127\.\d{1,3}\.\d{1,3}\.\d{1,3}|localhost|\[::1\])(?::\d{1,5})?", re.I)


class Exporter(ThreadingMixIn, WSGIServer):
    """Serves `/metrics` on an address of the loopback interface; raises OSError where the port is not free."""

    daemon_threads = True

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._room = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((host, port), _Handler)
        self.set_app(for_this_machine(make_wsgi_app(registry)))

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection up, if there is room for it."""
        if self._room.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve it until it ends or its time is over."""
        end = threading.Timer(DEADLINE_S, _cut, (request,))
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away or was cut off."""


class _Handler(WSGIRequestHandler):
    timeout = DEADLINE_S

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""


def for_this_machine(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """The app for requests to this machine's own names: a page in a browser that renamed itself to us gets nothing."""

    def checked(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if _OURS.fullmatch(environ.get("HTTP_HOST", "localhost")):
            return app(environ, start_response)
        start_response("421 Misdirected Request", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"this is 127.0.0.1, under no other name\n"]

    return checked


def _cut(request: socket.socket) -> None:
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)
