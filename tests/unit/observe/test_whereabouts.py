"""Where a gateway really listens: seen on real processes with real sockets."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from oc_ops.judge import gateway as judge
from oc_ops.judge.gateway import Limits
from oc_ops.judge.port import port_drift
from oc_ops.observe import processes, sockets
from oc_ops.observe.probe import GatewayProbe, look
from oc_ops.observe.service import NO_SERVICE, Service
from oc_ops.observe.target import Target, locate
from tests.support.gatewayprocess import gateway_process
from tests.support.machine import closed_port

UNIT = Service("systemd", "openclaw-gateway.service", "running")
OLD = Limits(start_budget_s=0.0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a state directory of the test's own."""
    (tmp_path / ".openclaw").mkdir()
    return tmp_path


@pytest.fixture
def target(home: Path) -> Target:
    """The target in that home."""
    return locate({"HOME": str(home), "TMPDIR": str(home / "temp")})


def looked(target: Target, port: int, service: Service = NO_SERVICE) -> GatewayProbe:
    """One look at that port, without patience for a restart in place."""
    return look(
        target,
        "127.0.0.1",
        port,
        budget_s=0.5,
        delay_limit_ms=1000.0,
        service_of=lambda _: service,
        wait=lambda _: None,
    )


@contextlib.contextmanager
def taken(handle: bytes = b"") -> Iterator[int]:
    """A port that a stranger of this account holds."""
    from tests.fakes.scripted_port import listening, says

    with listening(says(handle)) as port:
        yield port


@pytest.mark.parametrize("lock", [True, None], ids=["the lock names the port", "an older lock"])
def test_a_gateway_that_serves_another_port_is_looked_at_there(home: Path, target: Target, lock: bool | None) -> None:
    """Nobody listens where the config says: the gateway is healthy where its process listens, and that is a warning."""
    with gateway_process(home, lock=lock) as own:
        wanted = closed_port()
        seen = looked(target, wanted, UNIT)
        assert (seen.port, seen.wanted, seen.drifted, seen.live.kind) == (own.port, wanted, True, "answered")
        assert judge.cause(seen, OLD) is None
        finding = port_drift(seen, "gateway.port in openclaw.json")
    assert finding is not None
    assert (finding.check, finding.severity) == ("gateway/port-drift", "warning")
    assert f"serves port {own.port}" in finding.fact
    assert f"gateway.port in openclaw.json says {wanted}" in finding.fact
    assert f"pid {own.pid}, named in the gateway lock" in finding.saw
    assert f"openclaw config set gateway.port {own.port}" in finding.fix
    assert "end" not in finding.fix.split()
    assert port_drift(seen, "") is None, "its config is gone: what we asked for is nobody's word"


def test_a_port_that_the_shell_names_is_told_as_the_shell_s(home: Path, target: Target) -> None:
    """What is to be put right is the variable, not the config."""
    with gateway_process(home) as own:
        finding = port_drift(looked(target, closed_port()), "OPENCLAW_GATEWAY_PORT in the environment")
    assert finding is not None
    assert f"set OPENCLAW_GATEWAY_PORT to {own.port}, or unset it" in finding.fix


def test_a_port_that_the_env_file_names_is_put_right_there(home: Path, target: Target) -> None:
    """The config has the right port already: to set it again changes nothing."""
    with gateway_process(home):
        finding = port_drift(looked(target, closed_port()), f"OPENCLAW_GATEWAY_PORT in {home}/.env")
    assert finding is not None
    assert f"{home}/.env says" in finding.fact
    assert "take it out there" in finding.fix
    assert "config set" not in finding.fix


def test_a_stranger_on_the_wanted_port_does_not_hide_a_gateway_that_serves_elsewhere(
    home: Path, target: Target
) -> None:
    """Who has the wanted port is no concern of a gateway that is well on another one."""
    with taken(b"SSH-2.0\r\n") as wanted, gateway_process(home) as own:
        seen = looked(target, wanted)
    assert (seen.port, seen.wanted) == (own.port, wanted)
    assert judge.cause(seen, OLD) is None


def test_a_gateway_where_it_is_wanted_has_not_drifted(home: Path, target: Target) -> None:
    """Looked at where it listens, nothing is said of places."""
    with gateway_process(home) as own:
        seen = looked(target, own.port)
    assert (seen.wanted, seen.drifted, seen.learnt) == (None, False, "")
    assert port_drift(seen, "gateway.port") is None


@pytest.mark.parametrize("host", ["::1", "127.0.0.2"], ids=["IPv6 only", "a custom address"])
def test_a_gateway_on_another_local_address_is_looked_at_there(home: Path, target: Target, host: str) -> None:
    """The port is the right one, the address is not 127.0.0.1: that is no drift and no fault."""
    with gateway_process(home, host=host) as own:
        seen = looked(target, own.port)
    assert (seen.host, seen.port, seen.live.kind) == (host, own.port, "answered")
    assert not seen.drifted


def test_a_gateway_that_hangs_elsewhere_is_hung_there(home: Path, target: Target) -> None:
    """Its lock names the port: silence there is its own, and it is never called a zombie or down."""
    with gateway_process(home, "silent") as own:
        seen = looked(target, closed_port(), UNIT)
        finding = judge.cause(seen, OLD)
    assert (seen.port, seen.drifted) == (own.port, True)
    assert finding is not None
    assert finding.check == "gateway/hung"
    assert finding.proof.startswith(f"pid {own.pid} ")


def test_a_process_that_listens_nowhere_is_a_zombie_with_proof(home: Path, target: Target) -> None:
    """Its sockets were looked at and there are none: only that allows a restart."""
    with gateway_process(home, "deaf") as own:
        finding = judge.cause(looked(target, closed_port(), UNIT), OLD)
    assert finding is not None
    assert (finding.check, finding.fix) == ("gateway/zombie", judge.RESTART)
    assert finding.proof.startswith(f"pid {own.pid} ")
    assert "listens nowhere" in finding.proof


def test_a_process_that_listens_but_not_as_a_gateway_is_no_proven_zombie(
    home: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its HTTP may be broken, or be asked wrongly: where it listens is said, and nothing is restarted for it."""
    monkeypatch.setattr("oc_ops.observe.whereabouts._kind", lambda *_: "garbled")
    with gateway_process(home, "silent", lock=None) as own:
        finding = judge.cause(looked(target, closed_port(), UNIT), OLD)
    assert finding is not None
    assert (finding.check, finding.proof) == ("gateway/zombie", "")
    assert f"127.0.0.1:{own.port}" in finding.saw
    assert finding.fix.startswith("none automatic: ")


def denied(*_: object, **__: object) -> None:
    """What the OS says of another user's process."""
    raise psutil.AccessDenied


def test_sockets_that_are_not_ours_to_see_prove_nothing(
    home: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway of another user: its lock's port is asked; where that says nothing, what it does is not known."""
    monkeypatch.setattr(psutil.Process, "net_connections", denied)
    with gateway_process(home) as own:
        seen = looked(target, closed_port())
        assert (seen.port, seen.learnt) == (own.port, f"the lock of pid {own.pid} names it")
    with gateway_process(home, "deaf") as own:
        seen = looked(target, closed_port(), UNIT)
        finding = judge.cause(seen, OLD)
    assert finding is not None
    assert (finding.check, finding.proof) == ("gateway/zombie", "")
    words = judge.unseen(seen, finding)
    assert f"pid {own.pid}" in words
    assert f"run the doctor as user {sockets.user_name(os.getuid())}" in words


def test_a_gateway_whose_environment_is_hidden_may_be_this_one(
    home: Path, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state directory is that user's: it is not known whether its gateway is down, only who may look."""
    monkeypatch.setattr(psutil.Process, "environ", denied)
    monkeypatch.setattr("os.getuid", lambda: home.stat().st_uid + 1)
    with gateway_process(home, "deaf", lock=False) as own:
        monkeypatch.setattr(psutil, "process_iter", lambda: iter([psutil.Process(own.pid)]))
        seen = looked(target, closed_port())
    assert f"pid {own.pid} of user " in seen.hidden
    found = judge.cause(seen, OLD)
    assert found is not None
    assert (found.check, found.proof) == ("gateway/down", "")
    assert "run the doctor as that user" in judge.unseen(seen, found)


def test_another_user_s_gateway_of_another_home_says_nothing_of_ours(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine of many users a colleague's gateway does not make ours unknown."""
    monkeypatch.setattr(psutil.Process, "environ", denied)
    monkeypatch.setattr(psutil.Process, "uids", lambda _: psutil._ntuples.puids(*(os.getuid() + 7,) * 3))
    (tmp_path / "other" / ".openclaw").mkdir(parents=True)
    with gateway_process(tmp_path / "other", "deaf", lock=False):
        seen = looked(target, closed_port())
    assert seen.hidden == ""


@pytest.mark.parametrize(("shared", "place"), [(False, "in a container"), (True, "in a network of its own")])
def test_a_gateway_that_lives_apart_is_none_of_this_machine_s(
    home: Path, target: Target, monkeypatch: pytest.MonkeyPatch, shared: bool, place: str
) -> None:
    """Another network (`ip netns`) or other pids: its sockets are not ours, and so it is neither a zombie nor down."""
    monkeypatch.setattr("oc_ops.observe.processes.lives_apart", lambda _: True)
    monkeypatch.setattr("oc_ops.observe.processes.shares_pids", lambda _: shared)
    with gateway_process(home, "deaf") as own:
        seen = looked(target, closed_port(), UNIT)
    found = judge.cause(seen, OLD)
    assert found is not None
    assert (found.check, found.proof) == ("gateway/down", "")
    assert f"pid {own.pid} runs it {place}; look" in judge.unseen(seen, found)


def test_where_processes_are_not_shown_a_gateway_may_live(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/proc with hidepid: nothing of another user is to be seen, and a closed port is no proof that nothing lives."""
    monkeypatch.setattr("oc_ops.observe.processes._PROC", tmp_path)
    monkeypatch.setattr("oc_ops.observe.processes._owner", lambda _: 1007)
    monkeypatch.setattr("os.getuid", lambda: target.state_dir.stat().st_uid + 1)
    seen = looked(target, closed_port())
    found = judge.cause(seen, OLD)
    assert "/proc with hidepid" in judge.unseen(seen, found)
    (tmp_path / "1").mkdir()
    assert looked(target, closed_port()).hidden == ""


def test_the_owner_of_a_place_that_is_closed_to_us_is_that_of_the_folder_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home of mode 700 hides its state directory, and not whose it is: a gateway of a third user is not meant."""
    stat = Path.stat

    def closed(path: Path, **options: bool) -> os.stat_result:
        if path.name == ".openclaw":
            raise PermissionError
        told = list(stat(path, **options))
        return os.stat_result([*told[:4], 1007, *told[5:]])

    monkeypatch.setattr(Path, "stat", closed)
    assert processes._owner(tmp_path / ".openclaw") == 1007
    assert processes._owner(tmp_path / "nowhere") is None


def test_our_own_process_lives_with_us() -> None:
    """Only another network or other pids make a process live apart; one that is gone says nothing."""
    assert not sockets.lives_apart(os.getpid())
    assert not sockets.lives_apart(2**22 + 1)


def test_the_gateway_of_another_state_directory_is_left_alone(home: Path, target: Target) -> None:
    """The port is served, and by a gateway; but not by this one: it is named, and nobody is to end it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        opened = home / ".openclaw-work" / "state" / "openclaw.sqlite"
        opened.parent.mkdir(parents=True)
        with opened.open("ab"):
            seen = looked(target, port)
    found = judge.cause(seen, OLD)
    assert found is not None
    assert found.check == "gateway/port-taken"
    assert str(home / ".openclaw-work") in found.saw
    assert "leave that gateway alone" in found.fix


def test_a_stopped_gateway_that_drifted_is_looked_at_within_a_second_look(home: Path, target: Target) -> None:
    """SIGSTOP and another port: hung, by its own pid."""
    with gateway_process(home, "silent") as own:
        own.process.send_signal(signal.SIGSTOP)
        finding = judge.cause(looked(target, closed_port(), UNIT), OLD)
    assert finding is not None
    assert (finding.check, finding.fix) == ("gateway/hung", f"kill -CONT {own.pid}")


@pytest.mark.parametrize(
    ("address", "hosts"),
    [("0.0.0.0", ("127.0.0.1",)), ("::", ("127.0.0.1", "::1")), ("10.0.0.7", ("10.0.0.7",)), ("::1", ("::1",))],
)
def test_a_wildcard_is_reached_on_loopback(address: str, hosts: tuple[str, ...]) -> None:
    """Where a socket takes connections from this machine."""
    assert sockets.Socket(address, 1).hosts == hosts


def test_of_two_who_hold_a_port_the_one_is_named_that_the_address_leads_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same port on two addresses is two listeners."""
    both = [(sockets.Socket("::1", 7), 1), (sockets.Socket("127.0.0.1", 7), os.getpid())]
    monkeypatch.setattr(sockets, "_listening", lambda: iter(both))
    found = sockets.listener(7, "127.0.0.1")
    assert found is not None
    assert found.pid == os.getpid()
    assert found.own


def test_the_account_of_a_hidden_listener_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux tells everybody whose socket it is, if not which process has it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(sockets, "_listening", lambda: iter([(sockets.Socket("127.0.0.1", port), None)]))
        found = sockets.listener(port, "127.0.0.1")
    assert found is not None
    assert (found.pid, found.uid, found.own) == (None, os.getuid(), False)
    assert found.summary == f"a process of user {sockets.user_name(os.getuid())}"
