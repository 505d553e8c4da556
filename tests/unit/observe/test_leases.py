"""Leases in the state database that keep a start out: whose count, and which the next start takes over."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as changed

from oc_ops.errors import CouldNotLook
from oc_ops.judge import state as judge
from oc_ops.observe import leases
from oc_ops.observe.container import Container
from oc_ops.observe.lastwords import LastWords
from oc_ops.observe.leases import Lease
from oc_ops.observe.target import Target, choose, locate
from tests.support.containers import inspected, runtime

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
WORDS = LastWords(
    NOW - timedelta(seconds=20),
    ("Gateway failed to start: Another Gateway owner lease is still active for this state directory.",),
    "the log of container cell",
)


def claim(state_dir: Path, *, scope: str = leases.CLAIM, seconds: float = 200, **owner: Any) -> None:
    """The lease of a gateway in its state database, as 2026.9.6 writes it."""
    (state_dir / "state").mkdir(parents=True, exist_ok=True)
    payload = json.dumps({"owner": owner, "port": 18789, "mode": "foreground", "supervisor": None})
    with closing(sqlite3.connect(state_dir / "state" / "openclaw.sqlite")) as store, store:
        store.execute("CREATE TABLE IF NOT EXISTS state_leases (scope TEXT, expires_at INTEGER, payload_json TEXT)")
        until_ms = round((time.time() + seconds) * 1000)
        store.execute("INSERT INTO state_leases VALUES (?, ?, ?)", (scope, until_ms, payload))


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """A gateway of this machine that has never run."""
    return locate({"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")})


def contained(target: Target, tmp_path: Path, **told: Any) -> Target:
    """The same state, mounted into a container."""
    mount = {"Source": str(target.state_dir), "Destination": "/home/node/.openclaw"}
    runtime(tmp_path / "bin", inspected(Mounts=[mount], **told))
    return choose(dict(target.environ), None, "podman:cell")


def test_a_database_that_nobody_holds_keeps_nobody_out(target: Target) -> None:
    """Also one whose lease is over, and one of an older release, which has no such table."""
    with pytest.raises((CouldNotLook, OSError)):
        leases.keeping_out(target)
    claim(target.state_dir, seconds=-1, host="elsewhere", pid=1, startedAt=5)
    assert leases.keeping_out(target) is None
    with closing(sqlite3.connect(target.state_dir / "state" / "openclaw.sqlite")) as store, store:
        store.execute("DROP TABLE state_leases")
    assert leases.keeping_out(target) is None


def test_a_claim_of_another_host_holds_until_its_end(target: Target) -> None:
    """A machine that has another name since, or a removed container: only time proves that its owner is gone."""
    claim(target.state_dir, host="5df519fcfcb7", pid=1, startedAt=2389262)
    found = leases.keeping_out(target)
    assert found is not None
    assert (found.scope, found.pid, found.host, found.holder) == (leases.CLAIM, 1, "5df519fcfcb7", None)
    assert 190 < found.until_s - time.time() <= 200
    told = judge.held(found, "start it once")
    assert (told.check, told.severity, told.proof) == ("gateway/state-held", "error", "")
    assert told.fix.startswith("none automatic: wait until ")
    assert "then start it once; if that time moves on, a gateway on host 5df519fcfcb7 still lives" in told.fix


def test_a_claim_of_this_host_is_taken_over_where_its_owner_is_gone(target: Target) -> None:
    """The next start proves that itself: after a kill -9 nothing is waited for. One that lives keeps it out."""
    claim(target.state_dir, host=socket.gethostname(), pid=2**22 - 1, startedAt=7)
    assert leases.keeping_out(target) is None
    claim(target.state_dir, host=socket.gethostname(), pid=os.getpid())
    found = leases.keeping_out(target)
    assert found is not None
    assert found.pid == os.getpid()


@pytest.mark.parametrize(
    ("own", "host", "held"),
    [
        ({"Hostname": "4f2a"}, "4f2a", False),
        ({"Hostname": "4f2a"}, "9c1d", True),
        ({"Id": "4f2a00112233" * 5}, "4f2a00112233", False),
        ({"HostConfig": {"NetworkMode": "host"}, "Hostname": "x"}, socket.gethostname(), False),
    ],
    ids=["its own", "its predecessor's", "its own, by its id", "the machine's, whose network it has"],
)
def test_a_container_takes_over_what_it_held_itself(
    own: dict[str, Any], host: str, held: bool, target: Target, tmp_path: Path
) -> None:
    """`docker start` keeps its name; created anew (compose up, after a kill) it has another, and waits."""
    claim(target.state_dir, host=host, pid=1, startedAt=7)
    inside = contained(target, tmp_path, **own)
    assert inside.state_dir == target.state_dir
    assert (leases.keeping_out(inside) is not None) == held


def test_a_migration_is_the_first_to_be_named_of_a_container(target: Target, tmp_path: Path) -> None:
    """Of this machine's own state another judge tells it, with what else is wrong there."""
    claim(target.state_dir, host="9c1d", pid=1, startedAt=7)
    claim(target.state_dir, scope=leases.MIGRATION, host="9c1d", pid=1, startedAt=7)
    found = leases.keeping_out(contained(target, tmp_path))
    assert found is not None
    assert judge.held(found, "podman start cell").fact.startswith("a start-up migration holds the state until ")
    own = leases.keeping_out(target)
    assert own is not None
    assert own.scope == leases.CLAIM


@pytest.mark.parametrize("looked", ["the machine", "a container"])
def test_a_second_gateway_on_one_state_is_the_one_to_stop(looked: str, target: Target, tmp_path: Path) -> None:
    """The holder runs, and is well: it is never what one is told to stop."""
    claim(target.state_dir, host="9c1d", pid=1, startedAt=7)
    runtime(tmp_path / "bin", inspected(Name="first", Hostname="9c1d"), inspected(Name="other", Id="ab" * 32))
    found = leases.keeping_out(target)
    assert found is not None
    assert found.holder is not None
    there = Container("podman", "second", "restarting") if looked == "a container" else None
    told = judge.held(found, "start it once", there)
    assert "container first runs a gateway on the same state" in told.fact
    assert ("podman stop second" in told.fix) == (there is not None)
    assert "stop first" not in told.fix


def test_last_words_tell_where_the_database_is_not_to_be_read() -> None:
    """For as long as a lease may hold after them; of anything else they tell nothing."""
    told = judge.held_by(WORDS, "docker start cell", NOW)
    assert told is not None
    assert "until 12:04:40 UTC at the latest" in told.fact
    assert "wait until 12:04:40 UTC, then docker start cell" in told.fix
    assert judge.held_by(WORDS, "docker start cell", NOW + timedelta(minutes=5)) is None
    assert judge.held_by(changed(WORDS, said=("Refusing to bind gateway",)), "start it once", NOW) is None
    assert judge.held_by(None, "start it once", NOW) is None


def test_a_container_between_two_starts_is_let_come_up() -> None:
    """The lease is over, and its restart policy waits up to a minute: no loop that ends the same way each time."""
    between = Container("docker", "cell", "restarting", restarts=13, policy="always")
    told = judge.no_longer_held(WORDS, between)
    assert told is not None
    assert "docker starts it by itself within a minute" in told.fix
    assert judge.no_longer_held(WORDS, Container("docker", "cell", "exited")) is None
    assert judge.no_longer_held(changed(WORDS, said=("something else",)), between) is None


def test_the_words_of_a_lease_are_evidence() -> None:
    """Whose it is, and where that stands."""
    found = Lease(leases.CLAIM, 0.0, None, "unknown", "/x/openclaw.sqlite")
    assert found.summary == "lease gateway-owner in /x/openclaw.sqlite: a process on host unknown"
