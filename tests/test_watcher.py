"""The watcher as a whole: what it writes when, that it costs next to nothing and does not grow, and that it is one."""

from __future__ import annotations

import copy
import gc
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from oc_ops.errors import CouldNotLook
from oc_ops.observe.rpc import Push, RpcClient, RpcRefused
from oc_ops.observe.service import NO_SERVICE
from oc_ops.settings import PROJECT, Settings, load
from oc_ops.supervise import snapshot, watcher
from oc_ops.supervise.loop import SOONEST_WRITE_S, UNWATCHED_LOOK_S, WRITE_S, Loop
from oc_ops.supervise.slow import Aside, Task
from oc_ops.supervise.state import Snapshot
from tests.fakes.fake_line import FakeClient, Hands, finished, job, started
from tests.machine import HTTP, SECRET, TOO_LONG_S, Operator, closed_port, gateway

ANSWERS = {
    "cron.list": {"jobs": [job(1), job(2)]},
    "cron.status": {"enabled": True, "jobs": 2, "nextWakeAtMs": 1_795_000_060_000},
    "cron.runs": {"entries": []},
    "status": {"runtimeVersion": "2026.9.6", "sessions": {"count": 1, "recent": []}},
}


class Room:
    """A loop beside a gateway that answers HTTP for real, on a connection and clocks that the test holds."""

    def __init__(self, root: Path, port: int, *outcomes: RpcRefused, **settings: Any) -> None:
        self.hands, self.outcomes, self.answers = Hands(), list(outcomes), copy.deepcopy(HTTP)
        self.began = self.hands.now
        self.client = FakeClient(self.hands, ANSWERS)
        self.home, self.log = root / "home", root / "gateway.log"
        self.config = self.home / ".openclaw" / "openclaw.json"
        self.config.parent.mkdir(parents=True)
        self.configure()
        (root / "memory").mkdir()
        (root / "memory" / "ops_critical_cron_jobs.txt").write_text("name-1\n")
        changed = {"memory_dir": root / "memory", "report_dir": root / "reports", "browser": "off", **settings}
        self.settings = Settings(**changed)
        environ = {"HOME": str(self.home), "OPENCLAW_GATEWAY_PORT": str(port), "SOME_TOKEN": SECRET, "PATH": ""}
        self.loop = Loop(
            self.settings, environ, self.hands.clock, connect=self._connect, service_of=lambda _: NO_SERVICE
        )
        self.loop._wake.wait = self._waited  # type: ignore[method-assign]
        self.path = snapshot.path_of(self.settings.memory_dir, self.loop.key)

    @classmethod
    @contextmanager
    def beside(cls, root: Path, *outcomes: RpcRefused, **settings: Any) -> Iterator[Room]:
        """One beside a healthy gateway, whose uptime grows with the test's clocks."""
        answers: list[dict[str, Any]] = []
        with gateway(answers.append) as port:
            room = cls(root, port, *outcomes, **settings)
            (room.answers,) = answers
            try:
                yield room
            finally:
                room.loop.line.close()

    def configure(self, **more: object) -> None:
        """Write the config."""
        self.config.write_text(json.dumps({"logging": {"file": str(self.log)}, **more}))

    def _connect(self) -> RpcClient:
        outcome = self.outcomes.pop(0) if self.outcomes else self.client
        if isinstance(outcome, RpcRefused):
            raise outcome
        return outcome.client

    def _waited(self, timeout: float | None = None) -> bool:
        self.hands.pass_s(timeout or 0.0)
        return False

    def run(self, seconds: float) -> Snapshot:
        """Let so much time pass for the loop; what it has written then."""
        until = self.hands.steady + seconds
        while self.hands.steady < until:
            self.answers["/readyz"]["uptimeMs"] = 86_400_000 + (self.hands.now - self.began) * 1000
            self.loop.step()
        return self.shown

    @property
    def shown(self) -> Snapshot:
        """What stands in the file."""
        return snapshot.read(self.path).snapshot

    def watch(self) -> None:
        """Somebody looks at a pane."""
        self.hands.pass_s(0.0)
        snapshot.heartbeat(self.settings.memory_dir, self.loop.key)
        os.utime(snapshot.watching_mark(self.settings.memory_dir, self.loop.key), ns=(0, time.time_ns()))


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """A loop beside a healthy gateway that has settled."""
    with Room.beside(tmp_path) as room:
        room.run(3)
        yield room


def test_a_healthy_gateway_is_shown_with_all_it_tells(room: Room) -> None:
    """After a few seconds: ready, connected, jobs, scheduler and digest over RPC, and no word of trouble."""
    shown = room.shown
    assert (shown.gateway.state, shown.rpc.state, shown.watcher.mode) == ("ready", "on", "events")
    assert (shown.watcher.words, shown.watcher.trouble) == ("", "")
    assert [each.name for each in shown.jobs.jobs] == ["name-1"]
    assert (shown.scheduler.enabled, shown.scheduler.jobs, shown.scheduler.next_wake_at) == (True, 2, 1_795_000_060.0)
    assert ("sessions", "1") in shown.digest.lines
    assert shown.doctor.next_action == "oc-ops doctor"


def test_an_event_is_written_at_once(room: Room) -> None:
    """A run's beginning and end are in the file a tenth of a second after they were pushed, for a poll of nobody."""
    asked = len(room.client.asked)
    at_ms = round(room.hands.now * 1000)
    for push, status in ((started(2, at_ms), "running"), (finished(2, at_ms, 900), "ok")):
        room.client.pushes.append(push)
        room.run(1)
        run = room.shown.jobs.recent[0]
        assert run.status == status
        assert run.noticed_at is not None
        assert room.shown.written_at - run.noticed_at <= SOONEST_WRITE_S
    assert len(room.client.asked) == asked


def test_without_news_the_file_is_young_all_the_same(room: Room) -> None:
    """It is written every 5 s, and no more often, however often the port is looked at."""
    room.run(20)
    first = room.shown
    room.watch()
    last = room.run(60)
    written = last.number - first.number
    assert 60 / WRITE_S - 2 <= written <= 60 / WRITE_S + 5
    assert last.written_at > room.hands.now - WRITE_S - 1.5


def test_an_hour_asks_the_gateway_a_dozen_times(room: Room) -> None:
    """Events keep everything current: a whole reading every five minutes makes up for what was lost, and no more."""
    room.run(1)
    asked = len(room.client.asked)
    tick_s = 30.0
    for _ in range(int(3600 / tick_s)):
        room.client.pushes.append(_tick())
        room.run(tick_s)
    assert len(room.client.asked) - asked <= 12 * 4 + 4
    assert room.shown.rpc.state == "on"


def _tick() -> Push:
    return Push("tick", {"ts": 1})


def test_the_port_is_looked_at_every_2_s_only_while_somebody_watches(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A touched mark makes it so within seconds; ten seconds without one end it."""
    looks: list[float] = []
    look = room.loop.port.look

    def counted(every_s: float) -> None:
        looks.append(every_s)
        look(every_s)

    monkeypatch.setattr(room.loop.port, "look", counted)
    room.run(60)
    assert set(looks) == {UNWATCHED_LOOK_S}
    looks.clear()
    for _ in range(10):
        room.watch()
        room.run(2)
    assert looks[-1] == room.settings.watch_look_s
    assert len(looks) >= 8
    assert room.shown.watcher.looked_at
    room.run(30)
    assert looks[-1] == UNWATCHED_LOOK_S
    assert not room.shown.watcher.looked_at


def test_without_a_lane_it_reads_the_store_and_says_why(tmp_path: Path) -> None:
    """Refused: polling, the reason, and the store's own problem where there is none; never an empty claim of health."""
    refused = RpcRefused("pairing", "the gateway refuses us: pairing required")
    with Room.beside(tmp_path, *([refused] * 50)) as room:
        shown = room.run(15)
        assert (shown.rpc.state, shown.watcher.mode) == ("refused", "polling")
        assert "pairing required" in shown.watcher.words
        assert "there is no cron store" in shown.jobs.seen.problem
        assert shown.jobs.seen.problem_since is not None
        assert [each.name for each in shown.jobs.jobs] == ["name-1"]
        assert shown.jobs.jobs[0].unseen
        jobs = room.home / ".openclaw" / "cron" / "jobs.json"
        jobs.parent.mkdir()
        jobs.write_text(
            '{"jobs": [{"id": "job-1", "name": "name-1", "schedule": {"kind": "every", "everyMs": 60000}}]}'
        )
        shown = room.run(15)
        assert (shown.jobs.seen.lane, shown.jobs.seen.problem) == ("files", "")
        assert shown.jobs.jobs[0].id == "job-1"


def test_a_gateway_that_goes_down_takes_its_line_along(tmp_path: Path) -> None:
    """Down within two looks: the line is silent, what it told is marked, and what comes up again is taken up."""
    with Room.beside(tmp_path) as room:
        room.run(3)
    room.outcomes = [RpcRefused("unreachable", "connection refused")] * 50
    room.client.pushes.append(RpcRefused("starting", "service restart"))
    shown = room.run(12)
    assert shown.gateway.state == "down"
    assert shown.rpc.state == "lost"
    assert shown.event_loop.seen.problem
    assert "store" in shown.watcher.words


def test_the_cli_is_never_asked_of_a_gateway_in_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Well: the browser is asked once in five minutes. Down: not at all, and the part says why and since when."""
    asked: list[float] = []
    hands: list[Hands] = []

    def browser(*_: object) -> Any:
        asked.append(hands[0].now)
        raise CouldNotLook("no browser here")

    monkeypatch.setattr("oc_ops.supervise.slow.Cli.browser", browser)
    monkeypatch.setattr(Aside, "begin", _at_once)
    with Room.beside(tmp_path, browser="running") as room:
        hands.append(room.hands)
        room.run(900)
        assert len(asked) == 3
        assert room.shown.browser.seen.problem == "no browser here"
    asked.clear()
    room.hands.pass_s(2)
    shown = room.run(900)
    assert asked == []
    assert shown.browser.seen.problem == "not asked while the gateway is in trouble (gateway/down)"
    assert shown.browser.seen.problem_since is not None


def _at_once(aside: Aside, task: Task) -> None:
    task.ask()()


def test_a_look_that_goes_wrong_is_a_sentence(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error nobody thought of, with a secret in it: the other parts go on, and the snapshot says what went wrong."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError(f"token={SECRET}")

    look = room.loop.papers.look
    monkeypatch.setattr(room.loop.papers, "look", broken)
    shown = room.run(12)
    assert shown.watcher.trouble == "papers: ZeroDivisionError: token=[redacted]"
    assert shown.gateway.seen.at is not None
    assert shown.gateway.seen.at > room.hands.now - 12
    monkeypatch.setattr(room.loop.papers, "look", look)
    assert room.run(12).watcher.trouble == ""


def test_a_jump_of_the_clock_has_everything_looked_at_again(room: Room) -> None:
    """After a suspend, or a clock set by an hour in either direction, nothing waits for its turn."""
    for jump_s in (3600.0, -3600.0):
        asked = len(room.client.asked)
        room.hands.now += jump_s
        shown = room.run(3)
        assert len(room.client.asked) > asked
        assert abs(shown.written_at - room.hands.now) < 4
        assert shown.gateway.seen.at == pytest.approx(room.hands.now, abs=4)


def test_a_secret_of_the_config_never_reaches_the_file(room: Room) -> None:
    """Neither one of the environment nor one that the config got meanwhile, whoever repeats it."""
    fresh = "another-secret-987654321"
    room.log.write_text(f"2026-11-23T02:00:00Z ERROR the plugin said {fresh} aloud\n")
    assert fresh in room.run(70).log.lines[0].text
    room.configure(gateway={"auth": {"token": fresh}})
    room.run(12)
    at_ms = round(room.hands.now * 1000)
    room.client.pushes.append(finished(1, at_ms, 5, "error", f"said {fresh} and {SECRET}"))
    room.run(6)
    text = room.path.read_text()
    assert "said [redacted] and [redacted]" in text
    assert fresh not in text
    assert SECRET not in text


def test_it_does_not_grow(room: Room) -> None:
    """6,000 events and a growing log later it holds what it held after the first few."""
    room.log.touch()
    room.run(70)

    def feed(count: int) -> None:
        for number in range(count):
            at_ms = 1_795_000_000_000 + number
            which = number % 2 + 1
            for push in (started(which, at_ms), finished(which, at_ms, 700, "error", f"error {number}")):
                room.client.pushes.append(push)
                room.hands.pass_s(0.004)
                room.loop.step()
            if number % 50 == 0:
                with room.log.open("a") as file:
                    file.write(f"2026-11-23T02:00:00Z line {number} " + "x" * 500 + "\n")

    tracemalloc.start()
    try:
        feed(500)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        feed(2500)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert room.run(6).rpc.events >= 6_000
    assert len(room.shown.log.lines) == 60
    assert grown < 256 * 1024
    assert room.path.stat().st_size < 256 * 1024


def test_it_ends_when_no_session_lives(room: Room) -> None:
    """The mark counts by the steady clock: a minute without a touch, and it says why it ended."""
    for _ in range(5):
        room.watch()
        room.run(50)
        assert room.loop._session.quiet_s() < room.settings.watch_idle_s
    assert "no session" in room.loop.run()
    room.loop.close("no session")
    assert room.shown.watcher.ended == "no session"
    assert room.client.closed


def test_a_remote_gateway_is_not_watched_from_here(tmp_path: Path) -> None:
    """Said at once, as the doctor says it."""
    config = tmp_path / "home" / ".openclaw" / "openclaw.json"
    config.parent.mkdir(parents=True)
    config.write_text('{"gateway": {"mode": "remote"}}')
    with pytest.raises(CouldNotLook, match="remote"):
        Loop(Settings(memory_dir=tmp_path), {"HOME": str(tmp_path / "home")})


# ---- the process


@contextmanager
def operator(root: Path) -> Iterator[Operator]:
    """Somebody's machine with a healthy gateway; every watcher that was started there is ended."""
    with gateway() as port:
        machine = Operator(root / "machine", port)
        try:
            yield machine
        finally:
            for each in watchers(machine):
                each.kill()


def watchers(machine: Operator) -> list[psutil.Process]:
    """The watchers of that machine."""
    found = []
    for each in psutil.process_iter():
        try:
            ours = "oc_ops.supervise.watcher" in each.cmdline()
            if ours and each.environ().get("OC_OPS_MEMORY_DIR") == machine.environ["OC_OPS_MEMORY_DIR"]:
                found.append(each)
        except psutil.Error:
            continue
    return found


def begin(machine: Operator) -> subprocess.Popen[str]:
    """A watcher in the foreground."""
    return subprocess.Popen(
        [sys.executable, "-m", "oc_ops.supervise.watcher"],
        cwd=PROJECT, env={**machine.environ, "OC_OPS_BROWSER": "off"}, stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def until(machine: Operator, wanted: Callable[[Snapshot], bool]) -> Snapshot:
    """The first snapshot that shows it."""
    memory = Path(machine.environ["OC_OPS_MEMORY_DIR"])
    deadline = time.monotonic() + TOO_LONG_S
    while time.monotonic() < deadline:
        for path in memory.glob("state-*.json"):
            reading = snapshot.read(path)
            if not reading.stale and wanted(reading.snapshot):
                return reading.snapshot
        time.sleep(0.05)
    raise AssertionError("not shown in time")


def well(shown: Snapshot) -> bool:
    """Ready, and connected."""
    return shown.gateway.state == "ready" and shown.rpc.state == "on"


def test_two_watchers_are_one(tmp_path: Path) -> None:
    """The second ends at once with its own code and names the first; kill -9 leaves no lock; SIGTERM says goodbye."""
    with operator(tmp_path) as machine:
        first = begin(machine)
        until(machine, well)
        second = begin(machine)
        _, said = second.communicate(timeout=TOO_LONG_S)
        assert second.returncode == watcher.HELD
        assert f"is held by process {first.pid} since" in said
        first.kill()
        first.communicate()
        third = begin(machine)
        shown = until(machine, lambda seen: seen.watcher.pid == third.pid and well(seen))
        third.send_signal(signal.SIGTERM)
        _, said = third.communicate(timeout=TOO_LONG_S)
        assert third.returncode == watcher.ENDED
        assert "told to end" in said
        until(machine, lambda seen: "told to end" in seen.watcher.ended)
        assert shown.key == watcher_key(machine)
        assert not list(Path(machine.environ["OC_OPS_MEMORY_DIR"]).glob(".*.part"))


def watcher_key(machine: Operator) -> str:
    """The key of the machine's gateway."""
    from oc_ops.observe.target import locate

    return locate(machine.environ).key


def test_start_is_detached_and_stop_ends_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in a session of its own, with the settings of whoever started it; stop ends the holder, once."""
    with operator(tmp_path) as machine:
        monkeypatch.setenv("XDG_STATE_HOME", machine.environ["XDG_STATE_HOME"])
        environ = {name: each for name, each in machine.environ.items() if not name.startswith("OC_OPS_")}
        settings = load({"memory_dir": machine.environ["OC_OPS_MEMORY_DIR"], "browser": "off"}, {})
        pid = watcher.start(settings, environ)
        watcher.start(settings, environ)
        shown = until(machine, well)
        assert "not looked at" in shown.browser.words
        assert os.getsid(shown.watcher.pid or 0) == shown.watcher.pid
        process = psutil.Process(pid)
        key = watcher_key(machine)
        assert watcher.stop(key)
        ended = time.monotonic() + TOO_LONG_S
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < ended:
            time.sleep(0.05)
        until(machine, lambda seen: "told to end" in seen.watcher.ended)
        assert not watcher.stop(key)
        said = watcher.said_path(settings.memory_dir)
        assert "told to end" in said.read_text()
        assert said.stat().st_mode & 0o777 == 0o600
        assert SECRET not in said.read_text()


def test_starting_one_needs_nothing_heavy(tmp_path: Path) -> None:
    """A pane that only starts a watcher does not import what the watcher needs."""
    heavy = "psutil websockets cryptography rich oc_ops.observe oc_ops.judge"
    code = (
        "import sys, oc_ops.supervise.watcher, oc_ops.supervise.snapshot\n"
        f"print([name for name in {heavy.split()!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_cannot_be_watched_is_one_sentence(tmp_path: Path) -> None:
    """A bad setting ends with the usage code and the setting's own words."""
    environ = {"HOME": str(tmp_path), "PATH": os.defpath, "OC_OPS_WATCH_LOOK_S": "often"}
    done = subprocess.run(
        [sys.executable, "-m", "oc_ops.supervise.watcher"],
        cwd=PROJECT, env=environ, capture_output=True, text=True, check=False, timeout=TOO_LONG_S,
    )  # fmt: skip
    assert done.returncode == watcher.UNUSABLE
    assert 'OC_OPS_WATCH_LOOK_S="often" in environment: need seconds > 0' in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_watcher_beside_nothing_waits_for_a_gateway(tmp_path: Path) -> None:
    """No gateway, no log, no command: down, with what to do, and no trouble of its own."""
    room = Room(tmp_path, closed_port())
    shown = room.run(12)
    assert (shown.gateway.state, shown.watcher.trouble) == ("down", "")
    assert shown.gateway.fix
    assert shown.rpc.connects == 0
    assert "not found" in shown.log.seen.problem
