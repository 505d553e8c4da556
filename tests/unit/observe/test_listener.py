"""The gateway's credential goes to the gateway only: real processes on the port, and every byte they are sent."""

from __future__ import annotations

import base64
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from oc_ops.act.commands import Commands
from oc_ops.cockpit.port import PortWatch
from oc_ops.errors import CouldNotLook
from oc_ops.gateway import Gateway
from oc_ops.judge.access import read_unanswered
from oc_ops.observe import listener
from oc_ops.observe.handshake import RpcRefused
from oc_ops.observe.listener import Unproven, confirm, guard, prove
from oc_ops.observe.openclaw import Openclaw
from oc_ops.observe.sockets import sockets
from oc_ops.observe.target import locate
from oc_ops.settings import PROJECT, Settings
from tests.fakes import thief as fake
from tests.fakes.fake_line import Hands
from tests.support import proven, sights
from tests.support.lane import TOKEN, refused
from tests.support.machine import SECRET, Operator
from tests.support.stage import Stage

pytestmark = pytest.mark.timeout(240)
THIEF = Path(fake.__file__)
STRANGER_UID = 54321
AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root can start a process of another user")
SOURCE = sorted((PROJECT / "oc_ops").rglob("*.py"))


@contextmanager
def thief(record: Path, *options: str) -> Iterator[int]:
    """A process of our own user that speaks as a gateway; yields its port."""
    argv = [sys.executable, str(THIEF), str(record), *options]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def stranger(
    record: Path,
    at: tuple[str, int] = ("127.0.0.1", 0),
    *,
    mute: bool = False,
    uid: int = STRANGER_UID,
    reuse: bool = False,
) -> Iterator[int]:
    """A process of another user that speaks as a gateway; yields its port."""
    into = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    reader, writer = multiprocessing.Pipe(duplex=False)

    def serve() -> None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        server = socket.create_server(at, reuse_port=reuse)
        writer.send(server.getsockname()[1])
        fake.serve(server, into, mute=mute)

    process = multiprocessing.get_context("fork").Process(target=serve, daemon=True)
    process.start()
    try:
        assert reader.poll(30)
        yield reader.recv()
    finally:
        process.kill()
        process.join()
        os.close(into)


def keeps_no(secret: str, record: Path) -> bool:
    """Whether the record holds the secret in none of its plain forms."""
    held = record.read_bytes()
    forms = (secret.encode(), base64.b64encode(secret.encode()), secret.encode().hex().encode(), secret[::-1].encode())
    return not any(each in unmasked for each in forms for unmasked in (held, *_frames(held)))


def _frames(held: bytes) -> Iterator[bytes]:
    """What WebSocket frames in a record say: a client masks them."""
    for start in range(len(held) - 8):
        if held[start] == 0x81 and held[start + 1] & 0x80:
            length, at = held[start + 1] & 0x7F, start + 2
            if length == 126:
                length, at = int.from_bytes(held[at : at + 2], "big"), at + 2
            mask, data = held[at : at + 4], held[at + 4 : at + 4 + length]
            yield bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))


COMMANDS = {
    "doctor": ["-m", "pytest", str(PROJECT / "checks"), "-m", "doctor"],
    "quick doctor": ["-m", "pytest", str(PROJECT / "checks"), "-m", "doctor", "--quick"],
    "jobs": ["-c", "from oc_ops.cli import main; main()", "jobs"],
    "recover": ["-c", "from oc_ops.cli import main; main()", "recover", "--dry-run"],
    "breaker": ["-c", "from oc_ops.cli import main; main()", "breaker", "list"],
    "run": ["-c", "from oc_ops.cli import main; main()", "run", "nightly", "5"],
}


def started(operator: Operator, command: str) -> subprocess.CompletedProcess[str]:
    """One command of ours on that machine, to its end."""
    return subprocess.run(
        [sys.executable, *COMMANDS[command]],
        cwd=operator.root / "cwd",
        env={**operator.environ, "PYTHONPATH": str(PROJECT), "COLUMNS": "400"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def harmless(call: str) -> bool:
    """Whether an `openclaw` call asks no gateway."""
    return call.startswith(("--version", "config validate"))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_lookalike_of_the_same_user_learns_nothing(tmp_path: Path, command: str) -> None:
    """It speaks every page and the challenge of a gateway, and gets no secret; no `openclaw` is sent to it."""
    record = tmp_path / "record"
    with thief(record) as port:
        operator = Operator(tmp_path / "machine", port)
        done = started(operator, command)
    assert b"GET /healthz" in record.read_bytes()
    assert keeps_no(SECRET, record)
    assert all(map(harmless, operator.calls))
    assert done.returncode != 0, done.stdout
    said = done.stdout + done.stderr
    assert "listens on port" in said
    assert SECRET not in said


@AS_ROOT
@pytest.mark.parametrize("command", COMMANDS)
def test_another_users_lookalike_learns_nothing(tmp_path: Path, command: str) -> None:
    """The finding is that the port is taken, by whom, and never that the gateway ails."""
    record = tmp_path / "record"
    with stranger(record) as port:
        operator = Operator(tmp_path / "machine", port)
        done = started(operator, command)
    assert b"GET /healthz" in record.read_bytes()
    assert keeps_no(SECRET, record)
    assert all(map(harmless, operator.calls))
    assert done.returncode != 0, done.stdout
    said = done.stdout + done.stderr
    assert "another user's process" in said or f"of user {STRANGER_UID} listens" in said
    if "doctor" in command:
        assert operator.latest()["cause"] == "gateway/port-taken"


@AS_ROOT
def test_another_users_silence_is_no_hung_gateway(tmp_path: Path) -> None:
    """What listens and answers nothing is not restarted when it is another user's."""
    record = tmp_path / "record"
    with stranger(record, mute=True) as port:
        operator = Operator(tmp_path / "machine", port)
        done = started(operator, "recover")
    assert "gateway/port-taken" in done.stdout
    assert done.returncode == 4, done.stdout
    assert keeps_no(SECRET, record)


# -- what shows a gateway ----------------------------------------------------------------------------------------------


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which this process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_lock_shows_its_process(tmp_path: Path, port: int) -> None:
    """A lock of the account that names the listener is proof."""
    (found,) = prove(proven.home_of(tmp_path, port), "127.0.0.1", port)
    assert (found.process.pid, found.evidence) == (os.getpid(), "named in the gateway lock")


def _older(lock: Path) -> None:
    os.utime(lock, (1, 1))


def _writable_by_all(lock: Path) -> None:
    lock.chmod(0o666)


def _strangers(lock: Path) -> None:
    os.chown(lock, STRANGER_UID, STRANGER_UID)


def _of_another_config(lock: Path) -> None:
    lock.write_text(lock.read_text().replace("openclaw.json", "another.json"))


def _of_another_pid(lock: Path) -> None:
    lock.write_text(lock.read_text().replace(str(os.getpid()), "1"))


@pytest.mark.parametrize(
    "spoil",
    [
        Path.unlink,
        _older,
        _writable_by_all,
        pytest.param(_strangers, marks=AS_ROOT),
        _of_another_config,
        _of_another_pid,
    ],
)
def test_a_process_without_proof_is_told_nothing(tmp_path: Path, port: int, spoil: Callable[[Path], None]) -> None:
    """No lock, one that is older than its process, one that anybody may have written, or another gateway's."""
    target = locate({"HOME": str(tmp_path)})
    spoil(proven.lock(target, port))
    with pytest.raises(Unproven, match="no lock, title or open file") as caught:
        prove(target, "127.0.0.1", port)
    assert caught.value.why == "other"


@pytest.mark.parametrize(("title", "told"), [("nginx: worker process", True), ("python3 server.py", False)])
def test_a_forwarder_says_where_to_look(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, title: str, told: bool
) -> None:
    """Nothing is sent through a proxy of no container, whoever answers behind it; what would let us see is said."""
    monkeypatch.setattr(listener, "_title", lambda _process: title)
    with pytest.raises(Unproven) as caught:
        prove(locate({"HOME": str(tmp_path)}), "127.0.0.1", port)
    assert (f"only forwards port {port}, and nothing shows" in str(caught.value)) == told
    assert str(caught.value).endswith("nothing secret is sent; run oc-ops where that runs") == told


@AS_ROOT
def test_another_user_s_forwarder_is_no_stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nginx' workers belong to nobody, and the gateway behind them may be well: its port is not taken, and still
    nothing secret is sent.
    """
    with stranger(tmp_path / "record") as port:
        target = locate({"HOME": str(tmp_path)})
        assert listener.stranger(target, "127.0.0.1", port) is not None
        monkeypatch.setattr(listener, "_title", lambda _process: "nginx: worker process")
        assert listener.stranger(target, "127.0.0.1", port) is None
        with pytest.raises(Unproven, match=rf"^nginx \(pid \d+ of user .+\) only forwards port {port}") as caught:
            prove(target, "127.0.0.1", port)
    assert caught.value.why == "other"


def test_a_gateway_in_a_container_is_named_by_its_target(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container in the machine's own network: the process is seen, and is not this state directory's."""
    monkeypatch.setattr(listener, "lives_apart", lambda _pid: True)
    with pytest.raises(Unproven, match="it runs in a container: oc-ops targets names it for --target"):
        prove(locate({"HOME": str(tmp_path)}), "127.0.0.1", port)


def test_it_is_seen_without_the_table_as_well(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS: the sockets of every process are asked, and the answer is the same."""
    target = proven.home_of(tmp_path, port)
    quick = prove(target, "127.0.0.1", port)
    monkeypatch.setattr(listener, "_table", lambda _: iter(()))
    assert prove(target, "127.0.0.1", port) == quick


def test_nobody_listens(tmp_path: Path) -> None:
    """Then there is nothing to prove, and nothing to send to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert prove(locate({"HOME": str(tmp_path)}), "127.0.0.1", port) == ()


def test_a_listener_that_the_os_hides_is_unknown(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS without root: the port takes connections and nobody is seen there."""
    monkeypatch.setattr(listener, "_table", lambda _: iter(()))
    monkeypatch.setattr(psutil, "net_connections", lambda **_: [])
    with pytest.raises(Unproven, match="look as root or as the account") as caught:
        prove(proven.home_of(tmp_path, port), "127.0.0.1", port)
    assert caught.value.why == "unseen"


@pytest.mark.parametrize(
    ("users", "why"), [([STRANGER_UID], "foreign"), ([0], "unseen"), ([], "unseen"), ([65534], "unseen")]
)
def test_a_hidden_process_is_judged_by_its_sockets_user(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, users: list[int], why: str
) -> None:
    """Linux hides another user's process and tells whose socket it is; root's own is still not seen to be a gateway."""
    hidden = [each._replace(pid=None) for each in psutil.net_connections(kind="tcp")]
    monkeypatch.setattr(psutil, "net_connections", lambda **_: hidden)
    monkeypatch.setattr(listener, "_locked_holders", lambda *_: [])
    monkeypatch.setattr(listener, "_socket_users", lambda _: set(users))
    with pytest.raises(Unproven) as caught:
        prove(proven.home_of(tmp_path, port), "127.0.0.1", port)
    assert caught.value.why == why


def test_the_socket_table_names_the_user(port: int) -> None:
    """The kernel's own table, read as it is."""
    assert listener._socket_users(port) == ({os.getuid()} if sys.platform == "linux" else set())


@AS_ROOT
def test_a_user_without_rights_sees_a_stranger(tmp_path: Path) -> None:
    """Another user's listener, looked at by a user who may not see it, is a stranger's all the same."""
    with stranger(tmp_path / "record") as port:
        reader, writer = multiprocessing.Pipe(duplex=False)

        def look() -> None:
            os.setgroups([])
            os.setgid(STRANGER_UID + 1)
            os.setuid(STRANGER_UID + 1)
            try:
                prove(locate({"HOME": "/nowhere"}), "127.0.0.1", port)
            except Unproven as error:
                writer.send(error.why)

        process = multiprocessing.get_context("fork").Process(target=look)
        process.start()
        assert reader.poll(30)
        assert reader.recv() == "foreign"
        process.join()


@pytest.mark.parametrize("address", ["127.0.0.2", "::1", "::"])
def test_a_listener_beside_the_gateways_address_is_not_asked(tmp_path: Path, port: int, address: str) -> None:
    """Any user may take the port on another address: nothing of ours goes there, and the gateway is no stranger's."""
    argv = [sys.executable, str(THIEF), str(tmp_path / "record"), address, str(port)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            if not process.stdout.readline():
                assert (sys.platform, address) != ("linux", "127.0.0.2"), "Linux gives it to everybody"
                pytest.skip(f"this machine gives nobody {address} beside 127.0.0.1")
            (found,) = prove(proven.home_of(tmp_path, port), "127.0.0.1", port)
        finally:
            process.kill()
    assert found.process.pid == os.getpid()


@AS_ROOT
def test_another_user_beside_the_gateways_address_stops_no_command(tmp_path: Path) -> None:
    """Nothing of theirs takes a connection of ours."""
    with stranger(tmp_path / "record", ("127.0.0.2", 0)) as port, socket.create_server(("127.0.0.1", port)):
        operator = Operator(tmp_path / "machine", port)
        assert commands(operator).cron_list().came
    assert (tmp_path / "record").read_bytes() == b""


@AS_ROOT
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not show who holds a socket")
def test_no_command_is_started_where_the_socket_was_handed_on(tmp_path: Path) -> None:
    """A stranger who inherited the gateway's own socket may take the connection of a child, which nobody looks at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        operator = Operator(tmp_path / "machine", server.getsockname()[1])
        with inheritor(server):
            assert prove(locate(operator.environ), *server.getsockname())
            with pytest.raises(CouldNotLook, match=f"of user {STRANGER_UID} listens on port"):
                commands(operator).cron_list()
    assert all(map(harmless, operator.calls))


@contextmanager
def inheritor(server: socket.socket) -> Iterator[None]:
    """A process of another user that holds a listening socket of ours."""
    reader, writer = multiprocessing.Pipe(duplex=False)

    def hold() -> None:
        os.setgroups([])
        os.setgid(STRANGER_UID)
        os.setuid(STRANGER_UID)
        writer.send(server.fileno())
        signal.pause()

    process = multiprocessing.get_context("fork").Process(target=hold, daemon=True)
    process.start()
    try:
        assert reader.poll(30)
        yield
    finally:
        process.kill()
        process.join()


# -- the other end of the connection -----------------------------------------------------------------------------------


def test_our_connection_ends_at_the_proven_process(tmp_path: Path, port: int) -> None:
    """One that another process took is not, though the port was proven."""
    with (
        thief(tmp_path / "record") as theirs,
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as good,
        socket.create_connection(("127.0.0.1", theirs)) as bad,
    ):
        shown = prove(proven.home_of(tmp_path, port), "127.0.0.1", port)
        taken, _ = server.accept()
        with taken:
            confirm(shown, good.getsockname(), good.getpeername())
            with pytest.raises(Unproven, match="another process took our connection"):
                confirm(shown, bad.getsockname(), bad.getpeername())
            with pytest.raises(Unproven):
                confirm((), good.getsockname(), good.getpeername())


@AS_ROOT
def test_a_port_shared_with_a_stranger_is_not_proven(tmp_path: Path) -> None:
    """Each process that may take the connection has to be shown, not the first one alone."""
    record = tmp_path / "record"
    with stranger(record, uid=0, reuse=True) as port, socket.create_server(("127.0.0.1", port), reuse_port=True):
        refusal = refused(port, tmp_path / "memory")
    assert (refusal.kind, refusal.code) == ("unproven", "other")
    assert keeps_no(TOKEN.value, record)


def test_a_port_that_changes_hands_after_the_proof(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What answers our connection is looked at again before the secret leaves."""
    record = tmp_path / "record"
    target = proven.home_of(tmp_path, port)
    shown = prove(target, "127.0.0.1", port)
    monkeypatch.setattr(listener, "prove", lambda *_: shown)
    with thief(record) as theirs:
        refusal = refused(theirs, tmp_path / "memory")
    assert refusal.kind == "unproven"
    assert b"Upgrade" in record.read_bytes()
    assert keeps_no(TOKEN.value, record)


# -- the command -------------------------------------------------------------------------------------------------------

CALLS: dict[str, Callable[[Commands], Any]] = {
    "status": Openclaw.status,
    "gateway status": Openclaw.gateway_status,
    "cron list": Openclaw.cron_list,
    "browser": Openclaw.browser_status,
    "preflight": Openclaw.restart_preflight,
    "disable": lambda cli: cli.cron_disable("job"),
    "restart": lambda cli: cli.gateway_restart(5.0, safe=False),
    "start": lambda cli: cli.gateway_start(5.0),
    "run": lambda cli: cli.cron_run(["job"], 5.0, on_output=lambda _: None, begun=lambda: False),
}


def commands(operator: Operator, **environ: str) -> Commands:
    """The `openclaw` of that machine."""
    target = locate({**operator.environ, **environ})
    return Commands(operator.root / "bin" / "openclaw", target, Settings(), operator.root / "cli.lock")


@pytest.mark.parametrize("call", CALLS)
def test_no_command_is_started_before_a_lookalike(tmp_path: Path, call: str) -> None:
    """Whatever would send the credential is not started; what asks no gateway is."""
    with thief(tmp_path / "record") as port:
        operator = Operator(tmp_path / "machine", port)
        cli = commands(operator)
        with pytest.raises(CouldNotLook, match="listens on port"):
            CALLS[call](cli)
        assert cli.config_validate().came
    assert all(map(harmless, operator.calls))


def test_a_remote_gateway_is_sent_nothing(tmp_path: Path) -> None:
    """Its credential is not this machine's to send."""
    target = locate({"HOME": str(tmp_path)})
    target.state_dir.mkdir()
    target.config_path.write_text('{"gateway": {"mode": "remote", "remote": {"url": "wss://far.example"}}}')
    with pytest.raises(Unproven, match=r"mode is remote.*no credential"):
        guard(target)


@AS_ROOT
def test_the_watcher_tells_a_strangers_port(tmp_path: Path) -> None:
    """Its pages are those of a ready gateway, and the cockpit shows that the port is taken."""
    with stranger(tmp_path / "record") as port:
        gateway = Gateway(Settings(), {"HOME": str(tmp_path), "OPENCLAW_GATEWAY_PORT": str(port), "PATH": ""})
        seen = PortWatch(gateway, Hands().clock, str)
        seen.look(2.0)
    assert (seen.gateway.state, seen.gateway.check) == ("port-taken", "gateway/port-taken")
    assert not seen.answers


@AS_ROOT
def test_the_owner_of_the_state_directory_is_the_gateways_account(tmp_path: Path) -> None:
    """Root looks at a user's gateway: that user's process is the gateway by its lock, and no stranger."""
    with stranger(tmp_path / "record") as port:
        target = locate({"HOME": str(tmp_path)})
        children = psutil.Process().children()
        process = next(each for each in children if port in [one.port for one in sockets(each.pid) or ()])
        lock = proven.lock(target, port, process.pid)
        for path in (target.state_dir, lock):
            os.chown(path, STRANGER_UID, STRANGER_UID)
        (found,) = prove(target, "127.0.0.1", port)
        assert found.process.pid == process.pid
        os.chown(target.state_dir, 0, 0)
        with pytest.raises(Unproven, match=f"user {STRANGER_UID} listens"):
            prove(target, "127.0.0.1", port)


# -- what is made of it ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["foreign", "other", "unseen"])
def test_an_unproven_listener_is_never_restarted(why: str) -> None:
    """Another user's is named as what took the port; of the rest nothing is said of the gateway."""
    found = read_unanswered(RpcRefused("unproven", "why it is not", why), sights.sight())
    assert (found.check if found else None) == ("gateway/port-taken" if why == "foreign" else None)
    assert found is None or found.fix.startswith("none automatic")


@pytest.mark.parametrize("dry_run", [True, False])
def test_recovery_does_nothing_about_a_port_that_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    """A hung gateway behind a port that nothing shows to be its own is unknown, and stays as it is."""
    with thief(tmp_path / "record", "--mute") as port:
        stage = Stage(tmp_path, monkeypatch)
        stage.configure(gateway={"port": port, "auth": {"token": "token-0123456789"}})
        outcome = stage.recover(dry_run=dry_run)
    assert (outcome.exit, outcome.acted) == (2, False)
    assert "listens on port" in outcome.why
    assert stage.acts == []


# -- the source --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "homes"),
    [
        (r"\bconnect_params\b|\bopen_wire\b", {"rpc", "wire", "handshake"}),
        (r"\brpc\.connect\(|from oc_ops\.observe\.rpc import .*\bconnect\b", set()),
        # config knows its value as a secret, observations hand its variables' names to a judge.
        (r"\bcredential\.value\b|\.credential\b(?!\.kind)", {"rpc", "credential", "config", "observations", "inside"}),
        # http takes it of `inside`, which asks `listener.prove` before each one.
        (r"\bAuthorization\b|\bBearer\b", {"http"}),
        (r"\bbearer=(?!\"\")", {"inside"}),
        (r"\.tokens\b", {"rpc", "device", "uninstall"}),  # the last names the gateways alone
        (r"str\(\S*\.executable\)", {"openclaw"}),
    ],
    ids=["frame", "connect", "secret", "bearer", "bearer-given", "device-token", "command"],
)
def test_the_credential_has_one_way_out(word: str, homes: set[str]) -> None:
    """No other module sends it, nor starts what sends it; who adds one passes the gate first."""
    found = {path.stem for path in SOURCE if re.search(word, path.read_text(encoding="utf-8"))}
    lanes = {"lane", "access"}  # the words of a finding
    assert found - lanes <= homes


def test_every_command_line_is_run_behind_the_gate() -> None:
    """`_command` is handed to a process only where `listener.guard` stands before it."""
    for name in ("observe/openclaw", "act/commands"):
        text = (PROJECT / "oc_ops" / f"{name}.py").read_text()
        for found in re.finditer(r"\*self\._command\(\)", text):
            assert "listener.guard(self.target)" in text[: found.start()][-1500:]
