"""HTTP probes against a port that behaves as no gateway should."""

from __future__ import annotations

import socket
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oc_ops.observe import http, sockets
from oc_ops.observe.http import Probe, probe
from tests.fakes.scripted_port import Script, answer, keeps_open, listening, request, says, silent
from tests.support.certificates import self_signed

LIVE = '{"ok":true,"status":"live"}'


def ask(script: Script, budget_s: float = 5.0) -> Probe:
    """One probe of a port that follows the script."""
    with listening(script) as port:
        return probe("127.0.0.1", port, "/healthz", budget_s=budget_s)


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_a_closed_port_is_refused_at_once() -> None:
    """Nothing listens: refused, long before the budget ends."""
    found = probe("127.0.0.1", free_port(), "/healthz", budget_s=5)
    assert (found.kind, found.status, found.json) == ("refused", None, None)
    assert found.wall_s < 4
    assert found.summary == "GET /healthz: connection refused"


def test_a_port_that_accepts_and_says_nothing_is_silent() -> None:
    """Silence lasts the budget, not longer, and the summary says how long that was."""
    began = time.monotonic()
    found = ask(silent, 0.4)
    assert found.kind == "silent"
    assert 0.4 <= time.monotonic() - began < 3.5
    assert found.summary == "GET /healthz: the port accepts, no answer in 0.4 s"


def test_a_full_backlog_is_silent() -> None:
    """A stopped process whose queue is full does not even accept: still silence, still in budget."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        waiting = []
        for _ in range(8):
            each = socket.socket()
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
            waiting.append(each)
        try:
            found = probe("127.0.0.1", port, "/healthz", budget_s=0.3)
            queued = sockets.waiting(port)
        finally:
            for each in waiting:
                each.close()
    assert found.kind == "silent"
    assert found.wall_s < 3
    assert found.untaken
    assert "no connection came about" in found.summary
    if sys.platform.startswith("linux"):
        assert queued, "they wait at the socket: its process does not take them, and no rule drops them"


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n", b""], ids=["in the headers", "in the status line"])
def test_dribbled_bytes_do_not_stretch_the_budget(head: bytes) -> None:
    """One byte every 20 ms is as good as silence; the wall stays within the budget."""

    def dribble(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(head)
        while not over.wait(0.02):
            connection.sendall(b"x")

    found = ask(dribble, 0.5)
    assert found.kind == "silent"
    assert found.wall_s < 3


def test_a_word_followed_by_silence_does_not_stretch_the_budget() -> None:
    """The wait for the next byte is what is left of the budget, not a new one."""

    def stall(connection: socket.socket, over: threading.Event) -> None:
        over.wait(0.35)
        connection.sendall(b"HTTP/1.1")
        over.wait(30)

    found = ask(stall, 0.5)
    assert found.kind == "silent"
    assert found.wall_s < 3


def test_a_slow_answer_is_an_answer_with_its_time() -> None:
    """An answer inside the budget counts, and `wall_s` says that it was late."""

    def slow(connection: socket.socket, over: threading.Event) -> None:
        request(connection)
        over.wait(0.3)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    found = ask(slow)
    assert (found.kind, found.body) == ("answered", "ok")
    assert 0.3 <= found.wall_s < 2


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00\x01\x02\xff" * 50,
        b"220 mail ESMTP\r\n",
        b"HTTP/9 nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + b"X: y\r\n" * 200 + b"\r\nok",
        b"HTTP/1.1 200 OK\r\n" + b"A" * 200_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 2_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
    ],
    ids=[
        *("ssh", "binary", "smtp", "no version", "200 headers", "one endless header", "broken chunks", "a huge chunk"),
        "a huge length",
    ],
)
def test_what_is_not_http_is_garbled(raw: bytes) -> None:
    """Whatever stands on the port instead of a web server is garbled or holds no JSON, and raises nothing."""
    found = ask(says(raw))
    assert found.kind == "garbled" or (found.kind == "answered" and not found.body)
    assert found.json is None


def test_garbage_is_shown() -> None:
    """The summary of garbage quotes its beginning, escaped."""
    assert ask(says(b"\x1b[31mSSH-2.0\r\n")).summary == r"GET /healthz: not HTTP: b'\x1b[31mSSH-2.0\r\n'"


def test_a_connection_closed_without_a_word_is_garbled() -> None:
    """Accepting and hanging up is neither refused nor silent."""
    found = ask(says(b""))
    assert found.kind == "garbled"
    assert "without a word" in found.summary


def test_a_reset_connection_is_garbled() -> None:
    """A reset says that somebody listens who does not talk to us."""

    def reset(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    found = ask(reset)
    assert found.kind == "garbled"
    assert "cut" in found.detail


def test_live_json_is_read() -> None:
    """A gateway's own answer: status, type and JSON, and the body as evidence."""
    found = ask(answer(LIVE, content_type="application/json; charset=utf-8"))
    assert (found.kind, found.status) == ("answered", 200)
    assert found.json == {"ok": True, "status": "live"}
    assert found.summary.startswith("GET /healthz answered 200 in ")
    assert found.summary.endswith(f" ms: {LIVE}")


def test_a_503_with_json_is_an_answer() -> None:
    """Not ready is said with 503 and JSON: the failing list must survive."""
    found = ask(answer('{"ready":false,"failing":["startup-sidecars"]}', "503 Service Unavailable"))
    assert found.status == 503
    assert found.json == {"ready": False, "failing": ["startup-sidecars"]}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [("<!DOCTYPE html>", "text/html"), (LIVE, "text/html"), ("[1]", "application/json"), ("{", "application/json")],
    ids=["older release's page", "json called html", "no object", "broken"],
)
def test_only_a_json_object_called_json_counts(body: str, content_type: str) -> None:
    """A 200 alone is no gateway: the SPA of older releases answers it for every path."""
    found = ask(answer(body, content_type=content_type))
    assert (found.status, found.json) == (200, None)
    assert found.summary.endswith(f": {content_type}")


def test_a_body_shorter_than_announced_is_kept() -> None:
    """A connection that ends before the announced length still gives what came."""
    raw = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n" + LIVE.encode()
    assert ask(says(raw)).json == {"ok": True, "status": "live"}


def test_an_announced_length_ends_the_wait() -> None:
    """A server that keeps the connection open does not cost the budget once the body is whole."""
    raw = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-length: {len(LIVE)}\r\n\r\n{LIVE}".encode()
    found = ask(keeps_open(raw))
    assert found.json is not None
    assert found.wall_s < 2


def test_a_body_without_length_ends_with_the_connection() -> None:
    """HTTP/1.0 style answers are read to their end."""
    assert ask(says(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + LIVE.encode())).json is not None


@pytest.mark.parametrize("reply", [says, keeps_open])
def test_a_chunked_body_is_put_together(reply: Callable[[bytes], Script]) -> None:
    """Node answers chunked when it knows no length; the last chunk ends the wait even on an open connection."""
    chunks = b"5\r\n" + LIVE[:5].encode() + b"\r\n16\r\n" + LIVE[5:].encode() + b"\r\n0\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    found = ask(reply(head + chunks))
    assert found.json == {"ok": True, "status": "live"}
    assert found.wall_s < 2


def test_a_huge_body_costs_little() -> None:
    """Of ten megabytes some tens of kilobytes are read."""
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n" + b"x" * 10_485_760
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        found = ask(says(raw))
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert found.kind == "answered"
    assert len(found.body) <= 64 * 1024
    assert peak < 1_000_000
    assert found.wall_s < 2


def test_a_header_flood_ends() -> None:
    """Headers without end are given up after 64 KiB."""

    def flood(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not over.is_set():
            connection.sendall(b"X-Flood: 1\r\n" * 1000)

    found = ask(flood)
    assert found.kind == "garbled"
    assert found.wall_s < 2


def test_a_redirect_is_not_followed() -> None:
    """A stranger's redirect is an answer, and nobody is asked at its target."""
    asked: list[bytes] = []

    def elsewhere(connection: socket.socket, _: threading.Event) -> None:
        asked.append(request(connection))

    with listening(elsewhere) as port:
        head = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n"
        found = ask(says(head.encode()))
    assert (found.status, asked) == (302, [])


@pytest.mark.parametrize(("host", "name"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_the_request_is_well_formed(host: str, name: str) -> None:
    """The host goes out as HTTP wants it, IPv6 in brackets, and the connection is not to be kept."""
    asked: list[bytes] = []

    def listen(connection: socket.socket, _: threading.Event) -> None:
        asked.append(request(connection))
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with listening(listen, host=host) as port:
        assert probe(host, port, "/readyz", budget_s=5).status == 204
    lines = asked[0].decode().split("\r\n")
    assert lines[0] == "GET /readyz HTTP/1.1"
    assert f"Host: {name}:{port}" in lines
    assert "Connection: close" in lines


def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    """What the network itself refuses is no verdict on the gateway."""
    found = probe("no.such.host.invalid", 1, "/healthz", budget_s=5)
    assert found.kind == "unreachable"
    assert found.summary.startswith("GET /healthz: ")


def test_tls_with_a_certificate_nobody_trusts(tmp_path: Path) -> None:
    """A self-signed, expired certificate for another name does not hide a live gateway."""
    context = self_signed(tmp_path)

    def encrypted(connection: socket.socket, over: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            answer(LIVE)(wrapped, over)

    with listening(encrypted) as port:
        found = probe("127.0.0.1", port, "/healthz", budget_s=5, tls=True)
    assert found.json == {"ok": True, "status": "live"}


def test_a_plain_answer_to_tls_is_garbled() -> None:
    """TLS configured, something without TLS on the port: somebody answers, so it is not `unreachable`."""

    def plain(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(10)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        while connection.recv(4096):
            pass

    with listening(plain) as port:
        found = probe("127.0.0.1", port, "/healthz", budget_s=5, tls=True)
    assert found.kind == "garbled"
    assert "TLS" in found.detail


def test_a_silent_tls_handshake_is_silent() -> None:
    """The handshake shares the budget."""
    with listening(silent) as port:
        found = probe("127.0.0.1", port, "/healthz", budget_s=0.3, tls=True)
    assert found.kind == "silent"
    assert found.wall_s < 3


@given(raw=st.binary(max_size=300))
@settings(deadline=None)
def test_no_bytes_make_the_parser_raise(raw: bytes) -> None:
    """Whatever arrives is an answer or no HTTP."""
    found = http._parsed("/", b"HTTP/1.1 200 OK\r\n" + raw, 0.0)
    assert found is None or found.kind == "answered"
