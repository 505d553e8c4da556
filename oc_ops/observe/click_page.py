"""A page of our own with one button on it, served on loopback for one look, that knows when it was really pressed."""

from __future__ import annotations

import html
import json
import re
import secrets
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

_BODY = '<p id="said">waiting {nonce}</p><button id="go">press {nonce}</button>'
_PRESSED = """document.getElementById("go").onclick = (event) => {{
  if (!event.isTrusted) return;
  document.getElementById("said").textContent = "pressed {nonce}";
  {tell}
}};"""
"""A press counts only if the browser itself made it: a script that calls click() gives an event that is not trusted."""

_TELL = 'fetch(location.pathname, {method: "POST", keepalive: true});'


class Page:
    """The page, reachable while it is entered, under a path that nobody can guess; `pressed` is set by its button."""

    def __init__(self) -> None:
        self.pressed = threading.Event()
        self._nonce = secrets.token_hex(4)
        self._path = f"/{secrets.token_urlsafe(16)}"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Where the browser finds it."""
        return f"http://127.0.0.1:{self._server.server_port}{self._path}"

    @property
    def html(self) -> str:
        """The whole page as it is served; a press is told to the server as well."""
        title = html.escape("oc-ops: a click is tried here")
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f'<link rel="icon" href="data:,"></head><body>{_BODY.format(nonce=self._nonce)}'
            f"<script>{_PRESSED.format(nonce=self._nonce, tell=_TELL)}</script></body></html>"
        )

    @property
    def drawing(self) -> str:
        """A JavaScript function that draws the same button onto a blank page, for a browser that may not come here."""
        body = json.dumps(_BODY.format(nonce=self._nonce))
        return (
            f"() => {{ document.body.innerHTML = {body}; {_PRESSED.format(nonce=self._nonce, tell='')} return true; }}"
        )

    def button(self, snapshot: str) -> str | None:
        """The ref of the button in a snapshot of the page."""
        found = re.search(rf'button "press {self._nonce}"[^\n]*?\[ref=([\w.:-]+)\]', snapshot)
        return found[1] if found else None

    def shows_press(self, snapshot: str) -> bool:
        """True when the snapshot is one of the page after its button was pressed."""
        return f"pressed {self._nonce}" in snapshot

    def _handler(page) -> type[BaseHTTPRequestHandler]:  # noqa: N805 -- `self` is each request's handler
        class Handler(BaseHTTPRequestHandler):
            """Knows one path; whoever asks for another learns nothing."""

            timeout = 10.0

            def do_GET(self) -> None:
                """The page."""
                known = self.path == page._path
                body = page.html.encode() if known else b""
                self.send_response(HTTPStatus.OK if known else HTTPStatus.NOT_FOUND)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                """The page says that its button was pressed."""
                if self.path == page._path:
                    page.pressed.set()
                self.send_response(HTTPStatus.NO_CONTENT if self.path == page._path else HTTPStatus.NOT_FOUND)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: standard error is the operator's."""

        return Handler
