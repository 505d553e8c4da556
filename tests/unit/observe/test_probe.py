"""One look at the gateway, and when it takes a second one."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import psutil
import pytest
from msgspec.structs import replace

from oc_ops.judge.finding import Finding
from oc_ops.judge.gateway import Limits, cause, unseen
from oc_ops.observe import sockets
from oc_ops.observe.healers import Healer
from oc_ops.observe.http import Kind, Probe
from oc_ops.observe.probe import EVENT_LOOP_INTERVAL_S, RESTART_GAP_S, GatewayProbe, _barred, look
from oc_ops.observe.service import NO_SERVICE, Service
from oc_ops.observe.sockets import Listener
from oc_ops.observe.target import Target, locate
from tests.fakes.scripted_port import Script, answer, http, listening, request, says, silent
from tests.support.sights import nothing, page, sight

LIVE = '{"ok":true,"status":"live"}'
SERVICE = Service("systemd", "openclaw-gateway.service", "restarting")


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """A state directory of the test's own."""
    return locate({"HOME": str(tmp_path)})


class Seen:
    """One look, with what it asked for on the way."""

    def __init__(self, target: Target, port: int, budget_s: float = 0.4, limit_ms: float = 1000.0) -> None:
        self.waits: list[float] = []
        self.services = 0
        began = time.monotonic()
        self.look: GatewayProbe = look(
            target,
            "127.0.0.1",
            port,
            budget_s=budget_s,
            delay_limit_ms=limit_ms,
            service_of=self._service,
            wait=self.waits.append,
        )
        self.wall_s = time.monotonic() - began

    def _service(self, _: Target) -> Service:
        self.services += 1
        return SERVICE


def by_path(asked: list[str], ready: list[str]) -> Script:
    """A 2026.9 gateway: notes each path, answers /readyz from the list, the rest as when live."""

    def script(connection: socket.socket, over: threading.Event) -> None:
        path = request(connection).split()[1].decode()
        asked.append(path)
        body = ready.pop(0) if path == "/readyz" and ready else LIVE
        connection.sendall(http(body))

    return script


def delay(ms: float) -> str:
    """A /readyz body with this event-loop delay."""
    return f'{{"ready":true,"failing":[],"eventLoop":{{"delayP99Ms":{ms}}}}}'


def test_a_healthy_gateway_is_looked_at_once(target: Target) -> None:
    """Three probes, no second look, no waiting, and the service manager is left alone."""
    asked: list[str] = []
    with listening(by_path(asked, [delay(12)])) as port:
        seen = Seen(target, port)
    assert asked == ["/healthz", "/startupz", "/readyz"]
    assert (seen.waits, seen.services, seen.look.service) == ([], 0, NO_SERVICE)
    assert seen.look.live.json == {"ok": True, "status": "live"}
    assert seen.look.event_loop_delay_ms == 12
    assert seen.look.listener is not None
    assert seen.look.listener.pid == os.getpid()
    assert (seen.look.again, seen.look.ready_again) == (None, None)


def test_a_port_that_refuses_asks_the_service_manager(target: Target) -> None:
    """Down: one probe, nobody listens, and the supervisor is asked what it does about it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    seen = Seen(target, port)
    assert seen.look.live.kind == "refused"
    assert (seen.look.startup, seen.look.listener, seen.look.serving) == (None, None, None)
    assert (seen.services, seen.look.service) == (1, SERVICE)


def test_silence_is_looked_at_twice(target: Target) -> None:
    """One silent probe may be bad luck; the second one is kept beside the first, all within two budgets."""
    with listening(silent) as port:
        seen = Seen(target, port)
    assert seen.look.live.kind == "silent"
    assert seen.look.again is not None
    assert seen.look.again.kind == "silent"
    assert (seen.look.ready, seen.look.startup) == (None, None)
    assert seen.wall_s < 2 * 0.4 + 4


@pytest.mark.parametrize(("program", "kinds"), [("haproxy", ("silent", "garbled")), ("conmon", ("silent", "silent"))])
def test_a_proxy_is_given_time_to_try_its_backend_again(
    program: str, kinds: tuple[str, str], target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """haproxy tries a dead backend for 3 s before it hangs up without a word: that is no hung gateway."""

    def retrying(_connection: socket.socket, over: threading.Event) -> None:
        over.wait(0.9)

    holder = Listener(1, f"/usr/sbin/{program} -f proxy.cfg", program, 0)
    monkeypatch.setattr("oc_ops.observe.sockets.listener", lambda *_: holder)
    monkeypatch.setattr("oc_ops.observe.probe.published", lambda *_: (None, ""))
    with listening(retrying) as port:
        seen = Seen(target, port)
    assert seen.look.again is not None
    assert (seen.look.live.kind, seen.look.again.kind) == kinds


def test_a_gateway_that_answers_the_second_time_shows_it(target: Target) -> None:
    """A pause that ended is not a hang: both probes are there to be judged."""
    with listening(silent, answer(LIVE)) as port:
        seen = Seen(target, port)
    assert seen.look.live.kind == "silent"
    assert seen.look.again is not None
    assert seen.look.again.json is not None


@pytest.mark.parametrize(("late_s", "kind"), [(0.8, "answered"), (9.0, "silent")], ids=["late", "mute"])
def test_readiness_may_take_longer_than_a_sign_of_life(target: Target, late_s: float, kind: str) -> None:
    """Asked again with three times the patience: late is an answer, and only what stays mute is called that."""
    asked: list[str] = []

    def script(connection: socket.socket, over: threading.Event) -> None:
        path = request(connection).split()[1].decode()
        asked.append(path)
        if path == "/readyz":
            over.wait(late_s)
        connection.sendall(http(delay(12) if path == "/readyz" else LIVE))

    with listening(script) as port:
        seen = Seen(target, port)
    assert asked == ["/healthz", "/startupz", "/readyz", "/readyz"]
    assert seen.look.ready is not None
    assert seen.look.ready.kind == kind
    assert seen.wall_s < 5 * 0.4 + 2


def test_a_stranger_is_asked_no_more_than_needed(target: Target) -> None:
    """What is not HTTP gets one probe."""
    with listening(says(b"SSH-2.0\r\n")) as port:
        seen = Seen(target, port)
    assert seen.look.live.kind == "garbled"
    assert (seen.look.again, seen.look.startup) == (None, None)
    assert seen.look.listener is not None


@pytest.mark.parametrize("kinds", [["garbled", "refused"], ["silent", "garbled", "refused"]])
def test_a_connection_cut_without_a_word_is_looked_at_afresh(
    target: Target, monkeypatch: pytest.MonkeyPatch, kinds: list[Kind]
) -> None:
    """A gateway that was just killed cuts what its port had accepted: it is down, and no stranger has its port."""
    left = list(kinds)
    monkeypatch.setattr("oc_ops.observe.http.probe", lambda _h, _p, path, **_: Probe(path, left.pop(0), 0.0))
    seen = Seen(target, 1)
    assert (seen.look.live.kind, seen.look.again, left) == ("refused", None, [])
    assert gateway_cause(replace(seen.look, service=NO_SERVICE)) == "gateway/down"


def test_a_port_that_cuts_every_connection_is_told_after_two_looks(target: Target) -> None:
    """Whoever hangs up each time is named: the second look is the last one."""
    with listening(says(b"")) as port:
        seen = Seen(target, port)
    assert (seen.look.live.kind, seen.waits) == ("garbled", [0.25])
    assert gateway_cause(seen.look) == "gateway/port-taken"


def gateway_cause(seen: GatewayProbe) -> str | None:
    """What the judge says of it."""
    found = cause(seen, Limits())
    return found.check if found else None


@contextlib.contextmanager
def gateway(target: Target) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is the target's gateway by title and environment."""
    command = ["openclaw-gateway"]
    environ = {"HOME": str(target.home)}
    with subprocess.Popen(command, executable=shutil.which("cat"), stdin=subprocess.PIPE, env=environ) as process:
        try:
            until(process.pid, lambda each: each.cmdline() == command)
            yield process
        finally:
            process.kill()


def until(pid: int, holds: Callable[[psutil.Process], bool]) -> None:
    """Wait for a process to be so, with a deadline."""
    end = time.monotonic() + 60
    while not holds(psutil.Process(pid)):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_a_stopped_gateway_needs_no_second_probe(target: Target) -> None:
    """A process in state T cannot answer one: the verdict comes after one budget."""
    with gateway(target) as process, listening(silent) as port:
        process.send_signal(signal.SIGSTOP)
        until(process.pid, lambda each: each.status() == psutil.STATUS_STOPPED)
        seen = Seen(target, port)
    assert seen.look.again is None
    assert seen.look.serving is not None
    assert (seen.look.serving.pid, seen.look.serving.status) == (process.pid, "stopped")


def test_a_silent_gateway_s_processor_time_is_measured(target: Target) -> None:
    """Between the two probes: an idle process is blocked, a busy one spins."""
    with gateway(target) as process, listening(silent) as port:
        seen = Seen(target, port)
    assert seen.look.serving is not None
    assert seen.look.serving.pid == process.pid
    assert seen.look.busy is not None
    assert 0 <= seen.look.busy < 0.2


@pytest.mark.parametrize(("second", "smaller"), [(3, 3.0), (5000, 2500.0)])
def test_a_held_up_event_loop_is_looked_at_twice(target: Target, second: float, smaller: float) -> None:
    """The figure covers one second: only a delay that is still there an interval later counts."""
    asked: list[str] = []
    with listening(by_path(asked, [delay(2500), delay(second)])) as port:
        seen = Seen(target, port)
    assert asked == ["/healthz", "/startupz", "/readyz", "/readyz"]
    assert seen.waits == [EVENT_LOOP_INTERVAL_S]
    assert seen.look.event_loop_delay_ms == smaller


@pytest.mark.parametrize("ready", [delay(1000), '{"ready":true}', "not json", '{"eventLoop":{"delayP99Ms":"9999"}}'])
def test_without_a_figure_above_the_limit_there_is_no_second_look(target: Target, ready: str) -> None:
    """Releases without figures, and a figure at the limit, cost no second."""
    with listening(by_path([], [ready])) as port:
        assert Seen(target, port).waits == []


def test_an_older_release_s_page_is_an_answer_without_json(target: Target) -> None:
    """2026.2.26 serves its SPA for every path: answered, and every reading stays None."""
    with listening(answer("<!DOCTYPE html>", content_type="text/html")) as port:
        seen = Seen(target, port)
    assert seen.look.live.kind == "answered"
    assert (seen.look.live.json, seen.look.event_loop_delay_ms) == (None, None)


def test_the_listening_process_is_the_serving_one(target: Target) -> None:
    """Of two gateway processes the one that holds the port speaks; else the likeliest."""
    from oc_ops.observe.http import Probe
    from oc_ops.observe.processes import GatewayProcess

    first, second = (GatewayProcess(pid, 1, 9.0, "sleeping", 0.0, 1, "x", "e") for pid in (1, 2))
    live = Probe("/healthz", "answered", 0.0)
    assert GatewayProbe(1, live, processes=(first, second), listener=Listener(2)).serving is second
    assert GatewayProbe(1, live, processes=(first, second), listener=Listener(3)).serving is first
    assert GatewayProbe(1, live, processes=(first, second)).serving is first


def test_a_port_that_reopens_is_not_called_closed(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that restarts in place closes its port for seconds under its old pid: it is looked at again."""
    monkeypatch.setattr("oc_ops.observe.probe._lives_on", lambda _: True)
    kinds = iter(["refused", "refused", "refused", "answered"])

    def probe(_host: str, _port: int, path: str, **_: object) -> Probe:
        return Probe(path, cast("Kind", next(kinds, "answered")), 0.0)

    monkeypatch.setattr("oc_ops.observe.http.probe", probe)
    seen = Seen(target, 1)
    assert seen.look.live.kind == "answered"
    assert seen.waits == [0.25] * 3


def test_the_gap_between_two_package_managers_is_no_zombie(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is at work at any moment of the wait shows that the start goes on."""
    npm = Healer(9, "npm install", 1.0)
    seen_at = iter([None, None, npm, None])
    monkeypatch.setattr("oc_ops.observe.probe._lives_on", lambda _: True)
    monkeypatch.setattr("oc_ops.observe.probe._install_of", lambda _: next(seen_at, None))
    monkeypatch.setattr("oc_ops.observe.http.probe", lambda _h, _p, path, **_: Probe(path, "refused", 0.0))
    assert Seen(target, 1).look.installing == npm


def test_a_port_that_stays_closed_is_closed(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wait for a restart in place is bounded."""
    monkeypatch.setattr("oc_ops.observe.probe._lives_on", lambda _: True)
    monkeypatch.setattr("oc_ops.observe.http.probe", lambda _h, _p, path, **_: Probe(path, "refused", 0.0))
    seen = Seen(target, 1)
    assert seen.look.live.kind == "refused"
    assert sum(seen.waits) == RESTART_GAP_S


def untaken(path: str) -> Probe:
    """A probe whose connection was not even taken."""
    return Probe(path, "silent", 2.0, detail="no connection came about within 2.0 s")


@pytest.mark.parametrize(
    ("live", "queued", "listens", "words"),
    [
        (untaken("/healthz"), 0, True, "none waits at the gateway's socket"),
        (untaken("/healthz"), 7, True, ""),
        (untaken("/healthz"), None, True, ""),
        (nothing("silent"), 0, True, ""),
        (nothing("refused"), None, True, "connections to it are refused"),
        (nothing("refused"), None, False, ""),
    ],
    ids=["dropped", "its backlog is full", "not shown", "taken", "rejected", "nobody listens"],
)
def test_a_rule_between_us_and_the_port_is_no_hung_gateway(
    live: Probe, queued: int | None, listens: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen with iptables: DROP, REJECT. The gateway is well, and a restart of it was advised."""
    monkeypatch.setattr("oc_ops.observe.sockets.waiting", lambda _port: queued)
    monkeypatch.setattr("oc_ops.observe.sockets.listens", lambda _pid, _host, _port: listens)
    seen = sight(live, again=live if live.kind == "silent" else None)
    barred = _barred(seen, lambda _path: live)
    assert words in barred
    assert bool(barred) == bool(words)
    found = Finding("gateway/hung", "error", "it hangs", "", "")
    assert bool(unseen(replace(seen, barred=barred), found)) == bool(words)
    assert unseen(replace(seen, barred=barred), None) == ""


@pytest.mark.parametrize("live", [nothing("refused"), untaken("/healthz")], ids=["it does not listen yet", "hung"])
def test_a_forwarder_s_socket_shows_no_rule(live: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    """podman's monitor holds the port of a container that is starting, or hangs with a full backlog."""
    monkeypatch.setattr("oc_ops.observe.sockets.waiting", lambda _port: 0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monitor = Listener(os.getpid(), "/usr/bin/conmon -c 4f2a", "conmon")
        seen = sight(live, again=live, listener=monitor, processes=())
        port = server.getsockname()[1]
        assert _barred(replace(seen, port=port), lambda _path: live) == ""


def test_a_port_that_opens_meanwhile_is_not_barred(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart in place: refused, and a moment later there is a listener who answers."""
    monkeypatch.setattr("oc_ops.observe.sockets.listens", lambda _pid, _host, _port: True)
    assert _barred(sight(nothing("refused")), lambda _path: page("live")) == ""


def test_a_listener_is_one_where_the_connection_leads() -> None:
    """Also on a wildcard; not on another address of the machine."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("0.0.0.0", 0)) as every:
        port, wild = one.getsockname()[1], every.getsockname()[1]
        assert sockets.listens(os.getpid(), "127.0.0.1", port)
        assert not sockets.listens(os.getpid(), "127.0.0.2", port)
        assert sockets.listens(os.getpid(), "127.0.0.2", wild)
        assert sockets.waiting(port) in (0, None)
    assert not sockets.listens(os.getpid(), "127.0.0.1", port)
