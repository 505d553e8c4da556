"""Hostile programs on the gateway's port: with the lock of a gateway and without, and every command that goes there."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest

from oc_ops.gateway import Gateway
from oc_ops.observe import probe
from oc_ops.observe.rpc import RpcRefused
from oc_ops.settings import Settings
from tests.fakes.fake_gateway import listener
from tests.hostile.runs import dice, doctor, oc_ops
from tests.support.hostile import PAGES, SOCKETS, Script, acts
from tests.support.lane import SLACK_S, join
from tests.support.machine import SECRET, Operator

CONNECT_S = 3.0
COMMANDS = [
    ("doctor",), ("jobs",), ("breaker", "list"), ("recover", "--dry-run"), ("run", "nightly", "5"), ("targets",),
]  # fmt: skip
ALL = (*PAGES, *SOCKETS)
WELCOMES = ("long_token", "odd_welcome")
"""Servers that say welcome in the end: what more they say is looked at with the rest of a run."""

REFUSES = ("odd_refusal",)
"""Servers that refuse our own connection: behind a lock `openclaw` is asked then, and here it tells jobs well."""


class Kept:
    """A connection whose every received byte is kept."""

    def __init__(self, client: socket.socket, taken: bytearray) -> None:
        self._client, self._taken = client, taken
        self.sendall, self.setsockopt = client.sendall, client.setsockopt

    def recv(self, size: int) -> bytes:
        """What came, kept."""
        data = self._client.recv(size)
        self._taken += data
        return data

    def drain(self) -> None:
        """Keep what has come and was not asked for."""
        self._client.settimeout(0.2)
        with suppress(OSError):
            while self.recv(65536):
                pass


def kept(script: Script, taken: bytearray) -> Script:
    """The script, with every byte that it was sent kept."""

    def keeping(client: socket.socket, over: threading.Event) -> None:
        each = Kept(client, taken)
        try:
            script(cast("socket.socket", each), over)
        finally:
            each.drain()

    return keeping


def unlocked(operator: Operator) -> None:
    """Take the lock away that shows this process to be the gateway: whoever holds the port is a stranger then."""
    for lock in operator.root.glob("home/.openclaw/tmp/*/*.lock"):
        lock.unlink()


@pytest.mark.parametrize("script", SOCKETS, ids=lambda each: each.__name__)
def test_the_lane_ends_at_its_deadline(script: Script, tmp_path: Path) -> None:
    """Whatever a server says on its WebSocket, there is a refusal in time, on one line, with nothing that acts."""
    memory = tmp_path / "memory"
    with listener(script) as port:
        began = time.monotonic()
        said = ""
        try:
            join(port, memory, connect_s=CONNECT_S).close()
        except RpcRefused as refusal:
            said = refusal.reason
        took_s = time.monotonic() - began
    assert said or script.__name__ in WELCOMES
    assert took_s < CONNECT_S + SLACK_S
    assert not acts(said)
    assert len(said) < 2_000
    assert "t" * 4_097 not in (memory / "device.json").read_text()


@pytest.mark.parametrize("script", PAGES, ids=lambda each: each.__name__)
def test_a_look_ends_and_is_not_well(script: Script, tmp_path: Path) -> None:
    """Whatever answers over HTTP is looked at in seconds and is no gateway that has started well."""
    with listener(script) as port:
        operator = Operator(tmp_path / "machine", port)
        began = time.monotonic()
        gateway = Gateway(Settings(memory_dir=tmp_path / "memory"), operator.environ)
        seen = gateway.look(1.0)
        assert time.monotonic() - began < 6 + SLACK_S
        assert isinstance(seen, probe.GatewayProbe)
        with pytest.raises(RpcRefused):
            gateway.connect()


SHORT = [(SOCKETS[2], True, ("doctor",)), (PAGES[9], False, ("breaker", "list")), (SOCKETS[8], False, ("jobs",))]
"""A server with the lock and without, one by its pages and one by its WebSocket; a night draws the others."""


@pytest.mark.parametrize(("script", "locked", "command"), SHORT, ids=lambda each: getattr(each, "__name__", str(each)))
def test_a_command_ends_and_tells_nothing(
    script: Script, locked: bool, command: tuple[str, ...], tmp_path: Path, bounded: Callable[..., None]
) -> None:
    """One of each kind: bounded, not green, and without the lock not a byte of the secret."""
    _holds(tmp_path, script, locked, command, bounded)


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(100))
def test_any_command_ends_and_tells_nothing(number: int, tmp_path: Path, bounded: Callable[..., None]) -> None:
    """A server, a lock or none and a command, drawn by the seed."""
    drawn = dice(f"ports {number}")
    script, locked = ALL[number % len(ALL)], drawn.random() < 0.5
    _holds(tmp_path, script, locked, drawn.choice(COMMANDS), bounded)


def _holds(
    tmp_path: Path, script: Script, locked: bool, command: tuple[str, ...], bounded: Callable[..., None]
) -> None:
    taken = bytearray()
    with listener(kept(script, taken)) as port:
        operator = Operator(tmp_path / "machine", port)
        if not locked:
            unlocked(operator)
        run = doctor(operator) if command == ("doctor",) else oc_ops(operator, *command)
    bounded(run, CONNECT_S)
    assert SECRET not in run.said
    assert not acts(run.said)
    by_cli = locked and script.__name__ in REFUSES and command in (("jobs",), ("breaker", "list"))
    if command != ("targets",) and not by_cli:
        assert run.exit != 0, run.said
    if not locked:
        assert SECRET.encode() not in bytes(taken)
        assert not any(SECRET[:12].encode() in each for each in _unmasked(bytes(taken)))
        asked = [each for each in operator.calls if not each.startswith(("--version", "config validate"))]
        assert asked == [], f"an openclaw was started before a stranger, with uid {os.getuid()}"


def _unmasked(taken: bytes) -> list[bytes]:
    """What the WebSocket frames of a client say; it masks them."""
    found, at = [], 0
    while (at := taken.find(b"\x81", at)) >= 0 and at + 8 < len(taken):
        if taken[at + 1] & 0x80:
            length, start = taken[at + 1] & 0x7F, at + 2
            if length == 126:
                length, start = int.from_bytes(taken[at + 2 : at + 4], "big"), at + 4
            mask, data = taken[start : start + 4], taken[start + 4 : start + 4 + length]
            found.append(bytes(each ^ mask[number % 4] for number, each in enumerate(data)))
        at += 1
    return found
