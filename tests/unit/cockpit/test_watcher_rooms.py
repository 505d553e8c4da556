"""What the watcher makes of logs, papers and the digest: each room by itself, on clocks turned by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from oc_ops.cockpit import ledger
from oc_ops.cockpit.clock import Turn, WatchClock
from oc_ops.cockpit.files import FilesWatch
from oc_ops.cockpit.log import LINES, LogWatch
from oc_ops.judge import signature_catalogue
from tests.fakes.fake_line import Hands
from tests.support.machine import SECRET
from tests.support.watchroom import clean


@pytest.fixture
def hands() -> Hands:
    """The hands of the clocks."""
    return Hands()


# ---- the log


def record(text: str, at: str = "2026-11-23T02:00:00.000+00:00", level: str = "INFO") -> str:
    """One line of a gateway's log."""
    name = '{"subsystem":"gateway/ws"}'
    meta = {"name": name, "logLevelName": level, "parentNames": ["openclaw"], "date": at}
    return json.dumps({"0": name, "1": text, "_meta": meta, "time": at, "message": text}) + "\n"


NOW = datetime(2026, 11, 23, 2, 0, 5, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log with one line."""
    path = tmp_path / "gateway.log"
    path.write_text(record("first"))
    return path


@pytest.fixture
def follow(tmp_path: Path) -> LogWatch:
    """A follower of every shipped signature."""
    return LogWatch(tmp_path, signature_catalogue.catalogue(), clean, NOW)


def test_the_log_is_shown_in_readable_lines(follow: LogWatch, log: Path) -> None:
    """Time, level, subsystem and message; new lines are there at the next look, and only then is anything read."""
    assert follow.look([log], NOW, 1.0)
    (line,) = follow.log.lines
    assert (line.level, line.source, line.text) == ("INFO", "gateway/ws", "first")
    assert line.at == datetime(2026, 11, 23, 2, tzinfo=UTC).timestamp()
    assert not follow.look([log], NOW, 1.0)
    with log.open("a") as file:
        file.write(record("second", level="WARN"))
    assert follow.look([log], NOW, 1.0)
    assert [each.text for each in follow.log.lines] == ["first", "second"]


@pytest.mark.parametrize(
    "text",
    ["\x1b]52;c;cm0gLXJmIH4=\x07", "\x1b]0;title\x07", "\x1b[2J\x1b[H", "x\r\ny", "\u202eevil", "\ud800", "A" * 2**20],
    ids=["clipboard", "title", "cursor", "lines", "bidi", "surrogate", "1 MB"],
)
def test_hostile_text_is_harmless_and_short(follow: LogWatch, log: Path, text: str) -> None:
    """No control character, no override, no megabyte, no secret comes through."""
    log.write_bytes((record("before") + record(f"{text} token={SECRET}") + record("after")).encode("utf-8", "replace"))
    follow.look([log], NOW, 1.0)
    assert follow.log.lines[-1].text == "after"
    for each in follow.log.lines:
        assert each.text.isprintable()
        assert len(each.text) < 1000
        assert SECRET not in each.text
    json.dumps([each.text for each in follow.log.lines]).encode("ascii")


def test_our_own_connection_is_no_news(follow: LogWatch, log: Path) -> None:
    """What the gateway logs of the watcher's requests is left out."""
    follow.own = "conn=cccccccc…cccc"
    with log.open("a") as file:
        file.write(record("⇄ res ✓ status 12ms conn=cccccccc…cccc id=2"))
    follow.look([log], NOW, 1.0)
    assert [each.text for each in follow.log.lines] == ["first"]


def test_a_signature_fires_is_counted_and_leaves_with_its_window(follow: LogWatch, log: Path) -> None:
    """Id, severity, count, last time and first aid of the catalogue; after its window it is gone."""
    known = next(each for each in signature_catalogue.catalogue() if each.severity == "error")
    assert not follow.log.signatures
    with log.open("a") as file:
        for second in (1, 2):
            file.write(record(known.sample, f"2026-11-23T02:00:0{second}.000+00:00", "ERROR"))
    follow.look([log], NOW, 1.0)
    (fired,) = follow.log.signatures
    assert (fired.id, fired.severity, fired.count, fired.fix) == (known.id, "error", 2, clean(known.fix, 600))
    assert fired.last_at == datetime(2026, 11, 23, 2, 0, 2, tzinfo=UTC).timestamp()
    later = datetime(2026, 11, 23, 23, tzinfo=UTC)
    assert follow.look([log], later, 1.0)
    assert not follow.log.signatures


def test_a_rotated_log_goes_on(follow: LogWatch, log: Path) -> None:
    """The file is renamed and started over: the lines of both are shown, in order, and no more than fit."""
    follow.look([log], NOW, 1.0)
    old = log.rename(log.with_name("gateway.1.log"))
    log.write_text(record("second", "2026-11-23T02:00:01.000+00:00"))
    os.utime(old, (1, 1))
    follow.look([old, log], NOW, 1.0)
    assert [each.text for each in follow.log.lines] == ["first", "second"]
    with log.open("a") as file:
        file.writelines(record(f"line {number}", "2026-11-23T02:00:02.000+00:00") for number in range(500))
    follow.look([old, log], NOW, 1.0)
    assert len(follow.log.lines) == LINES
    assert follow.log.lines[-1].text == "line 499"


def test_a_log_that_is_not_there_says_so_and_since_when(follow: LogWatch, log: Path) -> None:
    """What was read stays, marked; when the file is back, so is the part."""
    follow.look([log], NOW, 1.0)
    follow.look([], NOW, 1.0)
    seen = follow.log.seen
    assert "not found" in seen.problem
    assert (seen.problem_since, seen.at) == (NOW.timestamp(), NOW.timestamp())
    follow.look([log], NOW, 1.0)
    assert not follow.log.seen.problem


# ---- papers


@pytest.fixture
def papers(tmp_path: Path) -> FilesWatch:
    """The papers of an operator who has none yet."""
    (tmp_path / "memory").mkdir()
    (tmp_path / "reports").mkdir()
    return FilesWatch(tmp_path / "memory", tmp_path / "reports", "key", clean)


def test_before_the_first_run_the_next_action_is_to_run_the_doctor(papers: FilesWatch) -> None:
    """No report is no verdict, and no error."""
    papers.look(1.0, 2.0)
    assert (papers.doctor.verdict, papers.doctor.next_action) == ("", "oc-ops doctor")
    assert papers.incidents.open == ()
    assert papers.transcripts == ()


def test_the_last_report_gives_verdict_and_next_action(papers: FilesWatch, tmp_path: Path) -> None:
    """The cause's fix, errors first; a report that is replaced is read again, one that breaks says so and is kept."""
    path = tmp_path / "reports" / "latest.json"
    findings = [
        {"check": "host/disk-low", "severity": "warning", "fact": "little room", "fix": "none automatic: make some"},
        {"check": "gateway/hung", "severity": "error", "fact": "it hangs", "fix": "kill -CONT 7"},
    ]
    said = {
        "schema": 1, "verdict": "unhealthy", "cause": "gateway/hung", "started_at": "2026-11-23T02:00:00Z",
        "duration_s": 3.5, "findings": findings,
    }  # fmt: skip
    path.write_text(json.dumps(said))
    assert papers.look(5.0, 2.0)
    doctor = papers.doctor
    assert (doctor.verdict, doctor.cause, doctor.next_action) == ("unhealthy", "gateway/hung", "kill -CONT 7")
    assert doctor.at == datetime(2026, 11, 23, 2, tzinfo=UTC).timestamp()
    assert [each.check for each in doctor.findings] == ["gateway/hung", "host/disk-low"]
    assert not papers.look(7.0, 2.0)
    assert papers.doctor.seen.at == 7.0
    path.write_text("{")
    papers.look(9.0, 2.0)
    assert papers.doctor.verdict == "unhealthy"
    assert (papers.doctor.seen.problem_since, papers.doctor.seen.problem) == (
        9.0,
        "cannot read latest.json: it does not parse",
    )


def test_transcripts_of_ad_hoc_runs_are_shown_newest_first(papers: FilesWatch, tmp_path: Path) -> None:
    """At most five, each with its last lines made harmless; one that grows is read again; links are not followed."""
    folder = tmp_path / "memory" / "cron_run_now"
    folder.mkdir()
    for number in range(7):
        path = folder / f"job_{number}.log"
        path.write_text(f"asked\n\x1b[2Jtoken={SECRET}\nend {number}\n")
        os.utime(path, (number, number))
    (folder / "link.log").symlink_to("/etc/passwd")
    papers.look(1.0, 2.0)
    assert [each.at for each in papers.transcripts] == [6, 5, 4, 3, 2]
    assert list(papers.transcripts[0].tail) == ["asked", "␛[2Jtoken=[redacted]", "end 6"]
    with path.open("a") as file:
        file.write("more\n")
    assert papers.look(2.0, 2.0)
    last = papers.transcripts[0].tail[-1]
    assert last == "more"
    assert not papers.look(3.0, 2.0)


# ---- the digest


@pytest.mark.parametrize(
    "payload", [None, [], {}, {"sessions": 3, "tasks": "x", "channelSummary": {}}, {"heartbeat": []}]
)
def test_a_digest_of_nothing_is_empty(payload: object) -> None:
    """A release that does not say a thing has no line for it."""
    assert ledger.lines(payload, clean, 0.0) == ()


def test_a_digest_says_what_matters() -> None:
    """Channels, sessions, tasks and degraded parts in words."""
    payload = {
        "runtimeVersion": "2026.9.6",
        "channelSummary": ["Telegram: configured", "  - default (token)"],
        "sessions": {"count": 3, "recent": [{"updatedAt": 940_000}]},
        "tasks": {"total": 9, "active": 1, "failures": 2},
        "taskAudit": {"errors": 1, "warnings": 0, "byCode": {"stale_running": 1, "lost": 0}},
        "modelRuntime": {"degraded": True},
        "degradedPlugins": ["x"],
        "heartbeat": {"agents": [{"agentId": "main", "every": "30m"}, {"agentId": "ops", "enabled": False}]},
    }
    assert dict(ledger.lines(payload, clean, 1000.0)) == {
        "release": "2026.9.6",
        "channels": "Telegram: configured; - default (token)",
        "sessions": "3, the last active 1 min ago",
        "tasks": "1 active, 2 failed of 9",
        "audit": "1 errors, 0 warnings: stale running 1",
        "models": "degraded",
        "plugins": "1 degraded",
        "heartbeat": "main every 30m, ops off",
    }


# ---- clocks


def test_a_turn_comes_once_in_its_time_however_late_it_was() -> None:
    """No backlog: after a long absence it comes once."""
    turn = Turn(2.0)
    assert [turn.comes(each) for each in (0.0, 1.0, 2.0, 100.0, 100.5, 102.0)] == [True, False, True, True, False, True]
    turn.soon()
    assert turn.comes(102.1)


def test_a_jump_of_the_wall_clock_is_noticed_once(hands: Hands) -> None:
    """A suspend or a clock that was set moves one clock against the other."""
    clock: WatchClock = hands.clock
    moves: list[Callable[[], None]] = [lambda: hands.pass_s(5), lambda: setattr(hands, "now", hands.now + 3600)]
    assert clock.jumped_s() == 0
    moves[0]()
    assert clock.jumped_s() == pytest.approx(0)
    moves[1]()
    assert clock.jumped_s() == pytest.approx(3600)
    assert clock.jumped_s() == pytest.approx(0)
