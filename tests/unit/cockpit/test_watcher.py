"""The watcher's loop: what it writes when, and that it costs the gateway next to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

from oc_ops.cockpit.background import Aside, Task
from oc_ops.cockpit.loop import SOONEST_WRITE_S, UNWATCHED_LOOK_S, Loop
from oc_ops.cockpit.state.vitals import WRITE_S
from oc_ops.errors import CouldNotLook
from oc_ops.observe.rpc import Push, RpcRefused
from oc_ops.settings import Settings
from tests.fakes.fake_line import Hands, finished, started
from tests.support.machine import SECRET, closed_port
from tests.support.watchroom import Room


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


def test_a_line_that_was_silent_is_read_anew(room: Room) -> None:
    """While it is silent the digest is marked; once it talks again jobs and digest are read over it at once."""
    jobs = room.home / ".openclaw" / "cron" / "jobs.json"
    jobs.parent.mkdir()
    jobs.write_text('{"jobs": []}')
    room.answers["/readyz"]["ready"] = False
    shown = room.run(90)
    assert (shown.rpc.state, shown.watcher.mode, shown.jobs.seen.lane) == ("silent", "polling", "files")
    assert "in trouble" in shown.digest.seen.problem
    room.client.pushes.append(_tick())
    shown = room.run(3)
    assert (shown.rpc.state, shown.jobs.seen.lane, shown.digest.seen.problem) == ("on", "rpc", "")


def test_a_gateway_that_is_well_has_no_stale_part(room: Room) -> None:
    """Whenever somebody reads the file: what is looked at every second is no older than it and a writing allow."""
    room.log.write_text("2026-11-18T00:00:00Z INFO all is well\n")
    room.run(70)
    until = room.hands.steady + 60
    while room.hands.steady < until:
        room.watch()
        shown = room.run(0.3)
        parts = asdict(shown)
        seen = {name: each.seen for name, each in parts.items() if hasattr(each, "seen") and each.seen.at is not None}
        assert {"gateway", "jobs", "log", "doctor", "event_loop"} <= seen.keys()
        assert [name for name, each in seen.items() if each.stale(room.hands.now) and not each.problem] == []


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

    monkeypatch.setattr("oc_ops.cockpit.background.Cli.browser", browser)
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


def test_a_watcher_beside_nothing_waits_for_a_gateway(tmp_path: Path) -> None:
    """No gateway, no log, no command: down, with what to do, and no trouble of its own."""
    room = Room(tmp_path, closed_port())
    shown = room.run(12)
    assert (shown.gateway.state, shown.watcher.trouble) == ("down", "")
    assert shown.gateway.fix
    assert shown.rpc.connects == 0
    assert "not found" in shown.log.seen.problem
