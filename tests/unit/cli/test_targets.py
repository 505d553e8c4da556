"""`oc-ops targets`: who has a gateway's port when it does not run, and a runtime that rests is no failure."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from oc_ops.cli import app
from oc_ops.observe.sockets import Listener
from tests.support.containers import inspected, runtime


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An account whose docker has no daemon."""
    runtime(
        tmp_path / "bin", name="docker", extra="sys.exit(print('Cannot connect to the daemon', file=sys.stderr) or 1)"
    )
    (tmp_path / ".openclaw").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def targets(home: Path, port: int, target: str = "local") -> Result:
    """What the command says of a gateway that is set up on that port."""
    (home / ".openclaw" / "openclaw.json").write_text(json.dumps({"gateway": {"port": port}}))
    return CliRunner().invoke(app, ["targets"], env={"OC_OPS_TARGET": target})


def test_who_holds_the_port_of_a_gateway_that_does_not_run_is_said(home: Path) -> None:
    """A stranger, with its pid; a port that is free says no more than that it does not run."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        held = targets(home, port).stdout
    free = targets(home, port).stdout
    (row,) = (each for each in held.splitlines() if each.startswith("local\t"))
    assert f"\t{port}\t" in row
    assert f"does not run, its port is held by pid {os.getpid()}" in row
    assert "does not run" in free
    assert "is held by" not in free.splitlines()[1]


def test_a_forwarded_port_says_nothing_of_its_gateway(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a proxy or a tunnel it is not seen, which is not that it does not run."""
    holder = Listener(71, "ssh -N -L 18789:127.0.0.1:18789 host", program="ssh")
    monkeypatch.setattr("oc_ops.observe.gateways.listener", lambda _port: holder)
    row = targets(home, 18789).stdout.splitlines()[1]
    assert "is not seen from here: ssh forwards its port" in row
    assert "does not run" not in row


def test_a_docker_that_is_podman_counts_once(home: Path) -> None:
    """podman-docker is a script: both commands tell of the same container, by its id."""
    for name in ("podman", "docker"):
        runtime(home / "bin", inspected(), name=name)
    rows = [each for each in targets(home, 18789).stdout.splitlines() if each.partition("\t")[0].endswith(":cell")]
    assert [each.partition("\t")[0] for each in rows] == ["podman:cell"]


def test_a_gateway_of_another_machine_is_not_said_to_be_down(home: Path) -> None:
    """A config of mode remote names it, without what is secret in its address."""
    remote = {"mode": "remote", "remote": {"url": "wss://me:hidden@gw.example.test:443/x?token=hidden"}}
    (home / ".openclaw" / "openclaw.json").write_text(json.dumps({"gateway": remote}))
    (row,) = (each for each in CliRunner().invoke(app, ["targets"]).stdout.splitlines() if each.startswith("local\t"))
    assert "runs on another machine (wss://gw.example.test:443)" in row
    assert "hidden" not in row
    assert "does not run" not in row


@pytest.mark.parametrize("command", ["list", "show marker:x", "break marker:x --approve abc"])
def test_nothing_is_broken_on_another_machine(home: Path, command: str) -> None:
    """Exit 4, as of every command about a gateway that cannot be used from here at all."""
    remote = {"mode": "remote", "remote": {"url": "wss://gw.example.test"}}
    (home / ".openclaw" / "openclaw.json").write_text(json.dumps({"gateway": remote}))
    done = CliRunner().invoke(app, ["breaker", *command.split()], env={"OC_OPS_MEMORY_DIR": str(home / "memory")})
    assert done.exit_code == 4, done.output
    assert "runs on another machine (wss://gw.example.test)" in done.stderr


def test_a_gateway_that_may_not_be_looked_at_is_not_said_to_be_down(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's process may be it: whether it runs is not known from here."""
    words = "pid 71 of user nobody may be this gateway; run the doctor as that user"
    monkeypatch.setattr("oc_ops.observe.processes.hidden_gateway", lambda _target: words)
    row = targets(home, 18789).stdout.splitlines()[1]
    assert f"whether it runs is not known: {words}" in row
    assert "does not run" not in row


def test_a_port_that_a_hidden_process_holds_is_not_said_to_be_down(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user has it, and nothing shows whether that is the gateway (/proc with hidepid, root's podman)."""
    monkeypatch.setattr("oc_ops.observe.gateways.listener", lambda _port: Listener(None, uid=0))
    row = targets(home, 18789).stdout.splitlines()[1]
    assert "whether it runs is not known, its port is held by a process of user root" in row


@pytest.mark.parametrize(
    ("target", "code"), [("local", 0), ("podman:cell", 0), ("docker:cell", 1), ("compose:gateway", 1), ("cell:acme", 1)]
)
def test_a_runtime_that_rests_is_a_failure_only_for_who_asks_for_it(home: Path, target: str, code: int) -> None:
    """It is said in any case, in one sentence."""
    done = targets(home, 18789, target)
    assert done.exit_code == code, done.output
    assert done.stderr.splitlines() == ["oc-ops: docker cannot be asked: Cannot connect to the daemon"]
