"""The RPC lane to a gateway that speaks TLS with a certificate of its own: the same reads, and the same deadlines."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oc_ops.observe.rpc import RpcRefused
from tests.fakes.fake_gateway import Talk, gateway, listener
from tests.support.certificates import self_signed
from tests.support.lane import SLACK_S, healthy, join, mute


@contextlib.contextmanager
def encrypted(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """The port of a server that takes TLS off whatever comes and hands it on, as a gateway's own listener does."""

    def handle(client: socket.socket, over: threading.Event) -> None:
        with (
            context.wrap_socket(client, server_side=True) as outer,
            socket.create_connection(("127.0.0.1", port)) as inner,
        ):
            while not over.is_set():
                ready = [outer] if outer.pending() else select.select([outer, inner], [], [], 0.2)[0]
                for each in ready:
                    if not (data := each.recv(65536)):
                        return
                    (inner if each is outer else outer).sendall(data)

    with listener(handle) as found:
        yield found


def test_a_gateway_with_tls_is_read(tmp_path: Path) -> None:
    """Self-signed, expired and of another name: its process has shown who it is. Answers of many records are whole."""
    large = "x" * 300_000

    def script(talk: Talk) -> None:
        talk.welcome()
        talk.answer(talk.take(), {"large": large})
        talk.answer(talk.take(), {"small": True})
        talk.hang()

    with (
        gateway(script) as (plain, _),
        encrypted(plain, self_signed(tmp_path)) as port,
        join(port, tmp_path / "memory", tls=True) as client,
    ):
        assert client.request("cron.list").payload == {"large": large}
        assert client.request("health").payload == {"small": True}


def test_a_large_question_goes_out_whole(tmp_path: Path) -> None:
    """More than the socket takes at once."""
    asked = {"long": "y" * 2_000_000}
    with (
        gateway(healthy) as (plain, _),
        encrypted(plain, self_signed(tmp_path)) as port,
        join(port, tmp_path / "memory", tls=True) as client,
    ):
        assert client.request("health", asked).payload == {"method": "health", "params": asked}


@pytest.mark.parametrize("handle", [mute, None], ids=["no TLS, silent", "closed at once"])
def test_whatever_is_no_tls_ends_in_time(handle: object, tmp_path: Path) -> None:
    """The handshake has the deadline of the whole connection, and says what came of it."""
    began = time.monotonic()
    with listener(handle if callable(handle) else lambda *_: None) as port, pytest.raises(RpcRefused) as caught:
        join(port, tmp_path / "memory", tls=True, connect_s=0.5)
    assert caught.value.kind == ("silent" if handle else "closed")
    assert time.monotonic() - began < 0.5 + SLACK_S
