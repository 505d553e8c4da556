"""Who has the gateway's credential where this shell has not, and its use without a trace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from oc_ops.observe import credential, processes
from oc_ops.observe.processes import GatewayProcess
from oc_ops.observe.target import Target, locate
from tests.support.sights import gateway_process

VALUE = "t0ken-of-the-service"


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """A home whose config names its token by a variable that this shell has not."""
    (tmp_path / ".openclaw").mkdir()
    config = {"gateway": {"auth": {"mode": "token", "token": "${GW_TOK}"}}}
    (tmp_path / ".openclaw" / "openclaw.json").write_text(json.dumps(config))
    return locate({"HOME": str(tmp_path), "PATH": os.defpath})


@contextmanager
def service(monkeypatch: pytest.MonkeyPatch, certain: bool = True, **environ: str) -> Iterator[int]:
    """A process that is taken for the target's gateway, with this environment."""
    command = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()  # its environment is its own by now
        found: GatewayProcess = gateway_process(pid=process.pid, certain=certain)
        monkeypatch.setattr(processes, "gateway_processes", lambda _target: (found,))
        try:
            yield process.pid
        finally:
            process.stdin.close()


def test_the_gateway_s_own_process_lends_it(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read with it, given to our calls, hidden from reports, and named as a variable only."""
    with service(monkeypatch, GW_TOK=VALUE, OTHER="x") as pid:
        fuller, config, held = credential.complete(target)
    assert (config.credential.kind, config.credential.value) == ("token", VALUE)
    assert VALUE in config.secrets
    assert dict(fuller.environ) == {**target.environ, "GW_TOK": VALUE}
    assert held is not None
    assert held.holders == (f"the gateway's process (pid {pid})",)
    assert VALUE not in repr((held, config, fuller))


@pytest.mark.parametrize(
    "auth",
    [{"mode": "token"}, {}, {"mode": "token", "token": {"source": "env", "provider": "default", "id": "GW_TOK"}}],
    ids=["only the service's environment", "no word of it", "SecretRef"],
)
def test_whatever_the_config_says_of_it(
    target: Target, monkeypatch: pytest.MonkeyPatch, auth: dict[str, object]
) -> None:
    """A token that no config holds, and one that a SecretRef takes from the environment."""
    target.config_path.write_text(json.dumps({"gateway": {"auth": auth}}))
    with service(monkeypatch, GW_TOK=VALUE, OPENCLAW_GATEWAY_TOKEN=VALUE):
        _, config, held = credential.complete(target)
    assert (config.credential.value, VALUE in config.secrets) == (VALUE, True)
    assert held is not None
    assert len(held.lent) == 1


def test_another_value_of_this_shell_yields_to_the_gateway_s(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stale export is no word of the gateway."""
    stale = locate({**target.environ, "GW_TOK": "stale"})
    with service(monkeypatch, GW_TOK=VALUE):
        _, config, held = credential.complete(stale)
        assert config.credential.value == VALUE
        assert held is not None
        assert held.astray == ("GW_TOK",)
        (target.state_dir / ".env").write_text(f"GW_TOK={VALUE}\n")
        fuller, _, held = credential.complete(target)
    assert held is not None
    assert (fuller, dict(held.lent)) == (target, {})  # the state directory's .env has it too: nothing is lent


def test_who_has_it_is_said_where_it_cannot_be_had(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's process, one that has none, one that is not certainly it; and the service's own files."""
    units = target.home / ".config" / "systemd" / "user"
    units.mkdir(parents=True)
    (units / "openclaw-gateway.service").write_text("[Service]\nEnvironmentFile=-%h/own.env\n")
    (target.home / "own.env").write_text(f"GW_TOK={VALUE}\n")
    with service(monkeypatch, OTHER="x") as pid:
        unset, config, held = credential.complete(target)
    assert held is not None
    assert (unset, config.credential.kind) == (target, "unresolved")
    assert held.lacking
    assert held.note.startswith(f"the gateway's process (pid {pid}) was started without it")
    assert held.holders == (str(target.home / "own.env"),)
    with service(monkeypatch, certain=False, GW_TOK=VALUE):
        guessed = credential.complete(target)[2]
    assert guessed is not None
    assert not guessed.lent

    def denied(process: psutil.Process) -> dict[str, str]:
        raise psutil.AccessDenied(process.pid)

    with service(monkeypatch, GW_TOK=VALUE):
        monkeypatch.setattr(psutil.Process, "environ", denied)
        closed = credential.complete(target)[2]
    assert closed is not None
    assert "may not be read" in closed.note
    assert VALUE not in repr((held, guessed, closed))


def test_a_token_in_the_config_costs_no_look(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is asked for what the config says itself."""

    def never(_target: Target) -> tuple[GatewayProcess, ...]:
        raise AssertionError("looked")

    monkeypatch.setattr(processes, "gateway_processes", never)
    for auth in ({"token": VALUE}, {"mode": "none"}):
        target.config_path.write_text(json.dumps({"gateway": {"auth": auth}}))
        assert credential.complete(target)[2] is None
