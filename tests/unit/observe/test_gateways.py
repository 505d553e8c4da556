"""Which processes are the gateway: told on real processes that call themselves like one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from oc_ops.observe import gatewaylocks, processes, sockets
from oc_ops.observe.gatewaylocks import locked_port
from oc_ops.observe.gateways import choices
from oc_ops.observe.lockfiles import lock_files
from oc_ops.observe.logs.sharers import log_sharers
from oc_ops.observe.processes import GatewayProcess, again, gateway_processes, is_gateway_title
from oc_ops.observe.sockets import Socket, listener
from oc_ops.observe.target import Target, locate
from tests.support.containers import inspected, runtime
from tests.support.sights import gateway_process

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """A state directory that no process on this machine but the test's own can name."""
    (tmp_path / ".openclaw").mkdir()
    return locate({"HOME": str(tmp_path), "TMPDIR": str(tmp_path / "temp")})


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a process with a command line of its own that waits for its input, and wait until it shows."""
    with contextlib.ExitStack() as stack:

        def of(*command: str, **environ: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                command, executable=shutil.which("cat"), stdin=subprocess.PIPE, env={"HOME": str(tmp_path), **environ}
            )
            stack.enter_context(process)  # closes its input and waits
            stack.callback(process.kill)
            until(lambda: psutil.Process(process.pid).cmdline() == list(command))
            return process

        yield of


SERVER = """
import http.server, os, signal, sys, threading
opened, answer, told = os.environ["OPENED"], os.environ["ANSWER"].encode(), os.environ["TOLD"]
kept = open(opened, "ab") if opened else None

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *words):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
open(told, "w").close()
signal.pause()
"""
"""A program that keeps a file open, listens, and answers every path alike."""

LIVE = '{"ok":true,"status":"live"}'


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Start]:
    """Start a listening process of one title that has a file open, and wait until it listens."""
    with contextlib.ExitStack() as stack:

        def of(title: str, opened: Path | None, answer: str = LIVE) -> subprocess.Popen[bytes]:
            if opened:
                opened.parent.mkdir(parents=True, exist_ok=True)
            told = tmp_path / "listening"
            told.unlink(missing_ok=True)
            process = subprocess.Popen(
                [title],
                executable=sys.executable,
                stdin=subprocess.PIPE,
                env={
                    "HOME": str(tmp_path),
                    "TMPDIR": str(tmp_path / "temp"),
                    "PYTHONHOME": sys.base_prefix,
                    "OPENED": str(opened or ""),
                    "ANSWER": answer,
                    "TOLD": str(told),
                },
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdin
            process.stdin.write(SERVER.encode())
            process.stdin.close()
            until(told.exists)
            return process

        yield of


def until(holds: Callable[[], bool], patience_s: float = 20.0) -> None:
    """Wait for a condition, with a deadline."""
    end = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def one(target: Target, **options: int) -> GatewayProcess:
    """The only gateway process there is."""
    found = gateway_processes(target, **options)
    assert len(found) == 1
    return found[0]


# -- command lines ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("openclaw-gateway", True),
        ("openclaw-gatewa", True),
        ("openclaw-gateway --port 1", True),
        ("node /opt/openclaw/openclaw.mjs gateway", True),
        ("node --max-old-space-size=4096 /opt/openclaw/dist/index.js gateway --port 18789", True),
        ("/usr/bin/openclaw --profile work gateway run", True),
        ("/usr/bin/openclaw --profile=work --no-color gateway run --port 1", True),
        ("node /opt/openclaw/openclaw.mjs gateway status --json", False),
        ("node /opt/openclaw/openclaw.mjs gateway call health", False),
        ("node /opt/openclaw/openclaw.mjs cron list", False),
        ("openclaw", False),
        ("openclaw-gateway-watcher", False),
        ("vim openclaw-gateway", False),
        ("tail -f /tmp/openclaw/openclaw-gateway.log", False),
        ("node /srv/index.js gateway", False),
        ("", False),
        ("   ", False),
    ],
)
def test_only_a_gateway_s_command_line_counts(title: str, expected: bool) -> None:
    """A gateway by its title or its command; not its clients, its logs or its editors."""
    assert is_gateway_title(title) is expected


# -- processes --------------------------------------------------------------------------------------------------


def test_no_process_is_none(target: Target) -> None:
    """Other people's gateways on this machine are not ours."""
    assert gateway_processes(target) == ()


def test_a_gateway_is_known_by_title_and_environment(target: Target, start: Start, tmp_path: Path) -> None:
    """Same title, other state directory: only the target's own counts, with its facts."""
    start("openclaw-gateway", HOME=str(tmp_path / "other"))
    start("openclaw-gateway", OPENCLAW_STATE_DIR=str(tmp_path / "else"))
    own = start("openclaw-gateway")
    found = one(target, listening_pid=own.pid)
    assert (found.pid, found.parent, found.certain) == (own.pid, os.getpid(), True)
    assert found.evidence == "titled openclaw-gateway"
    assert 0 <= found.age_s < 60
    assert found.rss_bytes > 0
    assert found.summary.startswith(f"pid {own.pid} (titled openclaw-gateway), ")


def test_a_state_directory_may_be_named_by_another_path(target: Target, start: Start, tmp_path: Path) -> None:
    """A symbolic link to the state directory is the state directory (macOS' /tmp is one)."""
    (tmp_path / "link").symlink_to(target.state_dir)
    own = start("openclaw-gateway", OPENCLAW_STATE_DIR=str(tmp_path / "link"))
    assert one(target).pid == own.pid


def test_a_gateway_of_another_profile_is_not_ours(start: Start, tmp_path: Path, target: Target) -> None:
    """Profiles side by side: each target sees its own; an unmarked one is only a possibility for a profile."""
    work = locate({"HOME": str(tmp_path)}, "work")
    own = start("openclaw-gateway")
    assert [(each.pid, each.certain) for each in gateway_processes(work)] == [(own.pid, False)]
    marked = start("openclaw-gateway", OPENCLAW_PROFILE="work", OPENCLAW_STATE_DIR=str(work.state_dir))
    found = gateway_processes(work, listening_pid=marked.pid)
    assert [(each.pid, each.certain) for each in found] == [(marked.pid, True), (own.pid, False)]
    assert one(target).pid == own.pid


def test_our_own_calls_are_no_gateway(target: Target, start: Start) -> None:
    """`openclaw` calls of any oc-ops process carry a marker, whatever their title."""
    start("openclaw-gateway", OC_OPS_CALL="abc")
    start("openclaw", OC_OPS_CALL="abc")
    assert gateway_processes(target) == ()


def test_the_service_manager_s_word_is_proof(target: Target, start: Start, tmp_path: Path) -> None:
    """Its main process counts, whatever it is called and wherever its environment leads."""
    own = start("node", HOME=str(tmp_path / "other"))
    assert gateway_processes(target) == ()
    found = one(target, service_pid=own.pid)
    assert (found.pid, found.evidence, found.certain) == (own.pid, "the service manager's main process", True)


def lock(folder: Path, target: Target, pid: int, **more: object) -> Path:
    """A lock file as a gateway writes it."""
    path = folder / "openclaw-0" / "gateway.4de2da44.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"pid": pid, "configPath": str(target.config_path), **more}) + "\n\t \t")
    return path


@pytest.mark.parametrize("where", ["state", "temp"], ids=["since 2026.9", "before"])
def test_the_gateway_s_lock_is_proof(target: Target, start: Start, tmp_path: Path, where: str) -> None:
    """A lock names the pid of a process that hides its environment behind a plain title."""
    own = start("openclaw", HOME=str(tmp_path / "other"))
    lock(target.state_dir / "tmp" if where == "state" else tmp_path / "temp", target, own.pid)
    assert one(target).evidence == "named in the gateway lock"


def test_a_lock_of_another_config_says_nothing(target: Target, start: Start, tmp_path: Path) -> None:
    """TMPDIR holds the locks of every gateway of the user."""
    own = start("openclaw", HOME=str(tmp_path / "other"))
    lock(tmp_path / "temp", locate({"HOME": str(tmp_path / "other")}), own.pid)
    assert gateway_processes(target) == ()


def test_a_stale_lock_whose_pid_was_reused_says_nothing(target: Target, start: Start, tmp_path: Path) -> None:
    """After a kill -9 the lock stays; the pid may be anybody's by now."""
    elsewhere = {"HOME": str(tmp_path / "other")}
    other = start("python", **elsewhere)
    lock(target.state_dir / "tmp", target, other.pid)
    assert gateway_processes(target) == ()
    younger = start("/usr/bin/openclaw-notes", **elsewhere)
    stale = lock(target.state_dir / "tmp", target, younger.pid)
    os.utime(stale, (time.time() - 3600, time.time() - 3600))
    assert gateway_processes(target) == ()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x", "configPath": 1}', '{"pid": 1}', "\xff"])
def test_a_broken_lock_says_nothing(target: Target, text: str) -> None:
    """Torn or foreign lock files are passed over, for the port too."""
    lock(target.state_dir / "tmp", target, 1).write_text(text)
    assert gateway_processes(target) == ()
    assert locked_port(target) is None


@pytest.mark.timeout(20)
def test_a_lock_that_never_ends_is_not_read(target: Target, tmp_path: Path) -> None:
    """TMPDIR may be open to everybody: a pipe of that name, or a file without end, holds nobody up."""
    for folder in (target.state_dir / "tmp", tmp_path / "temp"):
        pipe = lock(folder, target, 1, port=1)
        with pipe.with_name("gateway.endless.lock").open("w") as endless:
            endless.truncate(2**36)
        pipe.unlink()
        os.mkfifo(pipe)
    assert gateway_processes(target) == ()
    assert locked_port(target) is None
    assert not [each for each in lock_files(target) if each.kind == "gateway-lock"]


def test_a_lock_of_another_user_is_not_believed(target: Target, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may put one into /tmp that calls a process of ours the gateway."""
    own = start("openclaw", HOME="/nonexistent")
    lock(Path(target.environ["TMPDIR"]), target, own.pid)
    assert one(target).pid == own.pid
    monkeypatch.setattr(gatewaylocks, "_owners", lambda _target: {os.getuid() + 1})
    assert gateway_processes(target) == ()


def test_the_lock_remembers_the_port(target: Target) -> None:
    """Where the config cannot say, the lock of a 2026.9 gateway does."""
    assert locked_port(target) is None
    lock(target.state_dir / "tmp", target, 1, port=26673)
    assert locked_port(target) == 26673


def test_a_plain_title_counts_only_while_young(target: Target, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """`openclaw` may be a gateway on its way up, but not for ever: then it is a client that lingers."""
    own = start("openclaw")
    found = one(target)
    assert (found.pid, found.certain) == (own.pid, False)
    monkeypatch.setattr(processes, "AMBIGUOUS_S", 0.0)
    assert gateway_processes(target) == ()


@pytest.mark.parametrize(("title", "counts"), [("openclaw-update", False), ("openclaw-gateway", True), ("npm", True)])
def test_the_launcher_of_a_command_is_no_start(
    title: str, counts: bool, target: Target, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`openclaw update` is a process of that plain title with one below it that says what it does (2026.9.5)."""
    child = start(title, HOME="/nonexistent")
    own = start("openclaw")
    monkeypatch.setattr(psutil.Process, "children", lambda _self, recursive=False: [psutil.Process(child.pid)])
    assert ([each.pid for each in gateway_processes(target)] == [own.pid]) == counts


@pytest.mark.parametrize(
    ("cpu_s", "age_s", "counts"),
    [(7.7, 30.3, True), (10.8, 42.2, True), (3.0, 120.0, False), (0.9, 31.0, False), (60.0, 250.0, False)],
    ids=["starved, before its lock", "starved, between two locks", "a client that waits", "a call that lingers",
         "beyond every start"],
)  # fmt: skip
def test_a_start_that_others_starve_is_no_client(
    cpu_s: float, age_s: float, counts: bool, target: Target, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On two cores at load 9 a starting 2026.9.6 was in no lock for 38 s, and was called down for 8 of them."""
    start("openclaw")
    born, used = time.time() - age_s, psutil.Process().cpu_times()._replace(user=cpu_s, system=0.0)
    monkeypatch.setattr(psutil.Process, "create_time", lambda _self: born)
    monkeypatch.setattr(processes, "_described", lambda *_: gateway_process(certain=False))
    monkeypatch.setattr(psutil.Process, "cpu_times", lambda _self: used)
    assert bool(gateway_processes(target)) == counts
    monkeypatch.setattr(processes, "sockets", lambda _pid: (Socket("127.0.0.1", 18790),))
    assert not gateway_processes(target), "it listens: it has come up, and is another profile's"


def test_certain_ones_come_first_and_older_before_younger(target: Target, start: Start) -> None:
    """The first one is the one that speaks for the gateway."""
    maybe = start("openclaw")
    until(lambda: time.time() - psutil.Process(maybe.pid).create_time() > 0.05)
    older = start("openclaw-gateway")
    until(lambda: time.time() - psutil.Process(older.pid).create_time() > 0.05)
    younger = start("openclaw-gateway")
    found = gateway_processes(target, listening_pid=younger.pid)
    assert [each.pid for each in found] == [younger.pid, maybe.pid, older.pid]


def test_a_title_alone_is_never_certain(target: Target, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """`openclaw gateway status` takes the gateway's title for a second: it is no second gateway, nor an old zombie."""
    own = start("openclaw-gateway")
    assert (one(target).pid, one(target).certain) == (own.pid, False)
    monkeypatch.setattr(processes, "AMBIGUOUS_S", 0.0)
    assert gateway_processes(target) == ()
    assert one(target, listening_pid=own.pid).certain


def test_a_second_gateway_on_another_port_is_certain(
    target: Target, start: Start, serve: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It listens somewhere and has this state directory open: no lock and no age is needed for it to count."""
    first = start("openclaw-gateway")
    second = serve("openclaw-gateway", target.state_dir / "state" / "openclaw.sqlite")
    monkeypatch.setattr(processes, "AMBIGUOUS_S", 0.0)
    found = gateway_processes(target, listening_pid=first.pid)
    assert {(each.pid, each.certain) for each in found} == {(first.pid, True), (second.pid, True)}


@pytest.mark.parametrize("place", [".openclaw-work/state/openclaw.sqlite", ".openclaw-work/tasks/runs.sqlite"])
def test_a_gateway_of_a_profile_named_by_option_is_not_ours(
    target: Target, serve: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """`openclaw --profile NAME gateway run` differs from ours in the files that it has open, and in nothing else."""
    other = serve("openclaw-gateway", tmp_path / place)
    assert [(each.pid, each.certain) for each in gateway_processes(target)] == [(other.pid, False)]
    monkeypatch.setattr(processes, "AMBIGUOUS_S", 0.0)
    assert gateway_processes(target) == ()


def test_a_gateway_without_a_database_is_told_by_its_lock(
    target: Target, serve: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2026.2.26 keeps none open: it is ours unless a lock names it for another config."""
    monkeypatch.setattr(processes, "AMBIGUOUS_S", 0.0)
    own = serve("openclaw-gateway", None)
    assert (one(target).pid, one(target).certain) == (own.pid, True)
    lock(tmp_path / "temp", locate({"HOME": str(tmp_path)}, "work"), own.pid)
    assert gateway_processes(target) == ()


@pytest.mark.parametrize(
    ("answer", "found"), [(LIVE, True), ('{"ok":true}', False), ("[]", False)], ids=["gateway", "login", "other"]
)
def test_a_plain_title_that_listens_must_answer_as_a_gateway(
    target: Target, serve: Start, monkeypatch: pytest.MonkeyPatch, answer: str, found: bool
) -> None:
    """2026.5.28 titles gateways and calls alike, and a login listens for the browser's answer."""
    monkeypatch.setattr(processes, "AMBIGUOUS_S", 0.0)
    serve("openclaw", target.state_dir / "tasks" / "runs.sqlite", answer)
    assert [each.certain for each in gateway_processes(target)] == ([True] if found else [])


@pytest.mark.parametrize("option", [("--profile", "work"), ("--profile=work",)], ids=["two words", "one word"])
def test_a_command_line_names_its_profile(
    target: Target, start: Start, tmp_path: Path, option: tuple[str, ...]
) -> None:
    """Before it takes its title, a gateway of another profile shows whose it is."""
    own = start("/opt/openclaw/openclaw", "--", *option, "gateway", "run", "-")
    assert gateway_processes(target) == ()
    work = locate({"HOME": str(tmp_path)}, "work")
    assert (one(work).pid, one(work).certain) == (own.pid, True)


def test_a_stopped_gateway_shows_as_stopped(target: Target, start: Start) -> None:
    """SIGSTOP is the perfect hang: the state says so."""
    own = start("openclaw-gateway")
    own.send_signal(signal.SIGSTOP)
    until(lambda: psutil.Process(own.pid).status() == psutil.STATUS_STOPPED)
    assert one(target).status == "stopped"
    assert ", stopped, " in one(target).summary


def test_a_zombie_is_no_gateway(target: Target, start: Start) -> None:
    """What is dead and not yet waited for serves nobody."""
    own = start("openclaw-gateway")
    seen = one(target)
    own.kill()
    until(lambda: psutil.Process(own.pid).status() == psutil.STATUS_ZOMBIE)
    assert gateway_processes(target, service_pid=own.pid) == ()
    assert again(seen) is None


def test_the_same_process_is_found_again(target: Target, start: Start) -> None:
    """A second look gives the same process, older; a reused pid or a dead one gives nothing."""
    own = start("openclaw-gateway")
    seen = one(target)
    later = again(seen)
    assert later is not None
    assert (later.pid, later.evidence) == (own.pid, seen.evidence)
    assert later.age_s >= seen.age_s
    reused = GatewayProcess(own.pid, 1, seen.age_s + 5, "running", 0.0, 1, "openclaw-gateway", seen.evidence)
    assert again(reused) is None
    own.kill()
    own.wait()
    assert again(seen) is None


@pytest.mark.parametrize(
    ("age_s", "words"), [(5, "5 s"), (119, "119 s"), (600, "10 min"), (7300, "2 h"), (400_000, "5 days")]
)
def test_an_age_is_said_in_one_unit(age_s: float, words: str) -> None:
    """The operator reads days as days."""
    assert f"), {words} old, " in GatewayProcess(1, 1, age_s, "sleeping", 0.0, 1, "x", "e").summary


# -- the port ---------------------------------------------------------------------------------------------------


def test_the_listener_of_a_port_is_named() -> None:
    """Who listens: pid and command line; a closed port has nobody."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = listener(port)
        assert found is not None
        assert found.pid == os.getpid()
        assert found.summary.startswith(f"pid {os.getpid()}: ")
        assert Path(sys.executable).name[:6] in found.title or "pytest" in found.title
    assert listener(port) is None


def test_a_client_s_connection_is_no_listener() -> None:
    """An established connection from the same port number does not listen on it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        with client:
            assert listener(client.getsockname()[1]) is None


def test_a_listener_of_another_user_is_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The OS shows that the port is taken, not by whom: that is said, and not taken for nobody."""
    sockets_seen = [(Socket("127.0.0.1", 4711), None), (Socket("127.0.0.1", 4712), 1)]
    monkeypatch.setattr(sockets, "_listening", lambda: iter(sockets_seen))
    monkeypatch.setattr(sockets, "_owner", lambda _socket: None)
    found = listener(4711)
    assert found is not None
    assert (found.pid, found.summary) == (None, "a process of another user")


def test_where_the_whole_table_is_denied_each_process_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS denies the table of connections, but not that of one's own processes."""

    def denied(kind: str) -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", denied)
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = listener(server.getsockname()[1])
    assert found is not None
    assert found.pid == os.getpid()


@pytest.mark.parametrize("mode", ["shared", "own log", "other profile"])
def test_a_log_that_another_running_gateway_writes_is_known(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenClaw names its default log by the profile alone, so gateways of two homes write into one file."""
    day = datetime(2026, 11, 29)
    monkeypatch.setattr("oc_ops.observe.logs.places._LOG_FOLDER", tmp_path / "openclaw")
    log = tmp_path / "openclaw" / "openclaw-2026-11-29.log"
    log.parent.mkdir()
    log.write_text("")
    state = tmp_path / "other" / (".openclaw-work" if mode == "other profile" else ".openclaw")
    state.mkdir(parents=True)
    elsewhere = {"logging": {"file": str(tmp_path / "own.log")}} if mode == "own log" else {}
    (state / "openclaw.json").write_text(json.dumps(elsewhere))
    monkeypatch.setattr(processes, "elsewhere", lambda _target: iter([(os.getpid(), str(state)), (1, "")]))
    target = locate({"HOME": str(tmp_path / "home")})
    found = log_sharers(target, (log,), day)
    assert found == ({log: f"pid {os.getpid()} of {state}"} if mode == "shared" else {})


def test_whatever_else_may_be_meant_is_named_as_it_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers that run OpenClaw, running or not, profiles with a config, and state directories of processes."""
    home = tmp_path / "home"
    for name in (".openclaw-work", ".openclaw-empty"):
        (home / name).mkdir(parents=True)
    (home / ".openclaw-work" / "openclaw.json").write_text("{}")
    web = inspected(Id="ab" * 32, Name="web", Path="nginx", Args=[], Image="nginx", Env=[], Labels=None)
    runtime(tmp_path / "bin", inspected(Status="exited"), web)
    monkeypatch.setattr(processes, "elsewhere", lambda _target: iter([(7, "/srv/openclaw"), (8, "")]))
    found = choices(locate({"HOME": str(home), "PATH": str(tmp_path / "bin")}))
    assert found == ("--target podman:cell", "--target profile:work", "OPENCLAW_STATE_DIR=/srv/openclaw")
