"""A conversation through an outside program: what it says first, how it ends, and that nothing of it stays."""

from __future__ import annotations

import os

import psutil
import pytest

from oc_ops.errors import CouldNotLook
from oc_ops.process.relay import Relay


def through(script: str, deadline_s: float = 10.0) -> Relay:
    """A relay through a shell."""
    return Relay(["/bin/sh", "-c", script], os.environ, deadline_s)


def children() -> set[int]:
    """The processes that this one has started and not seen end."""
    return {each.pid for each in psutil.Process().children(recursive=True)}


def test_what_is_sent_reaches_the_program_and_back() -> None:
    """After its first byte it is a socket like any other."""
    before = children()
    with through("printf C; exec cat") as relay:
        relay.settimeout(10)
        relay.sendall(b"are you there?")
        assert relay.recv(100) == b"are you there?"
    assert children() <= before


def test_a_connection_that_nobody_takes_is_refused() -> None:
    """Its word for it is the exception that a TCP connection gives."""
    with pytest.raises(ConnectionRefusedError):
        through("printf R")


def test_a_program_that_fails_is_told_by_its_own_words() -> None:
    """What it says on its way out is the reason; it is no word on the gateway."""
    with pytest.raises(CouldNotLook, match="no such container"):
        through("echo Error: no such container >&2; exit 125")
    with pytest.raises(CouldNotLook, match="could not be started"):
        Relay(["/nonexistent/podman", "exec"], os.environ, 1.0)


def test_a_program_that_says_nothing_is_ended_at_the_deadline() -> None:
    """A runtime that hangs costs its deadline and leaves nothing behind."""
    before = children()
    with pytest.raises(CouldNotLook, match="not through within"):
        through("trap '' TERM; sleep 60", 0.2)
    assert children() <= before


def test_a_program_that_outlives_its_input_is_ended() -> None:
    """Closing waits a second, then the whole group is gone."""
    before = children()
    through("printf C; trap '' TERM HUP; sleep 60").close()
    assert children() <= before
