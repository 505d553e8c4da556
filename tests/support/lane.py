"""The RPC lane as its tests join it: the credential, the connection, and how it is refused."""

from __future__ import annotations

import socket
import threading
from functools import partial
from pathlib import Path

import pytest

from oc_ops.observe import listener
from oc_ops.observe.config import Credential
from oc_ops.observe.rpc import RpcClient, RpcRefused, connect
from tests.fakes.fake_gateway import Talk, upgrade
from tests.support import proven

SECRET = "shared-secret-0123"
TOKEN = Credential("token", SECRET)
SLACK_S = 3.0
"""Time beyond a budget that a busy machine may take to notice it."""


def join(
    port: int, memory: Path, credential: Credential = TOKEN, *, connect_s: float = 5.0, tls: bool = False
) -> RpcClient:
    """Connect as the doctor does, to a gateway that this process is by its lock beside the memory."""
    target = proven.home_of(memory.parent / f"{memory.name}-home", port)
    show = partial(listener.prove, target, "127.0.0.1", port)
    return connect("127.0.0.1", port, credential, memory, show, connect_s=connect_s, request_s=5.0, tls=tls)


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


def mute(client: socket.socket, over: threading.Event) -> None:
    """Take everything, answer nothing."""
    while client.recv(4096):
        pass


def no_challenge(client: socket.socket, over: threading.Event) -> None:
    """Upgrade, then nothing, not even a closing handshake."""
    upgrade(client)
    mute(client, over)
