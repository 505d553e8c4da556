"""What the watcher makes of events, logs, papers and the port: each room by itself, on clocks turned by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from oc_ops.errors import CouldNotLook
from oc_ops.judge import catalogue
from oc_ops.judge.jobtimes import Terms
from oc_ops.observe.jobs import Jobs
from oc_ops.observe.jobtext import jobs_of
from oc_ops.observe.service import NO_SERVICE
from oc_ops.observe.target import locate
from oc_ops.observe.watchlist import Watched
from oc_ops.record.redact import Redactor
from oc_ops.settings import Settings
from oc_ops.supervise import digest, state
from oc_ops.supervise.clock import Clock, Turn
from oc_ops.supervise.events import Line
from oc_ops.supervise.follow import LINES, Follow
from oc_ops.supervise.ledger import RECENT_SHOWN, Ledger
from oc_ops.supervise.papers import Papers
from oc_ops.supervise.port import Port
from tests.fakes.fake_line import FakeClient, Hands, finished, job, started
from tests.machine import HTTP, closed_port, gateway, silent_port

SECRET = "hunter2-hunter2-hunter2"


@pytest.fixture
def hands() -> Hands:
    """The hands of the clocks."""
    return Hands()


def clean(text: str, limit: int = 300) -> str:
    """As the watcher cleans what strangers say."""
    return Redactor((SECRET,), Path("/home/operator")).line(text, limit)


# ---- jobs


@pytest.fixture
def ledger(hands: Hands) -> Ledger:
    """A ledger that has read three jobs, of which two are watched."""
    found = Ledger(hands.clock, clean)
    found.watched = (Watched("name-1"), Watched("name-2"))
    found.take(Jobs(jobs_of({"jobs": [job(1), job(2), job(3)]}), "rpc", datetime.fromtimestamp(hands.now, UTC)))
    return found


def shown(ledger: Ledger) -> state.Jobs:
    """What the panes would show now."""
    return ledger.part(state.Seen(1.0, "rpc"), {}, Terms(), (), "")


def test_a_run_s_events_are_one_run(hands: Hands, ledger: Ledger) -> None:
    """The beginning is shown as running, and the end takes its place: with times, duration, error and who noticed."""
    at_ms = round(hands.now * 1000)
    assert ledger.event(started(1, at_ms).payload)
    (run,) = shown(ledger).recent
    assert (run.status, run.job, run.started_at, run.noticed_at) == ("running", "name-1", hands.now, hands.now)
    assert shown(ledger).jobs[0].running_since == hands.now
    assert ledger.running == 1
    began = hands.now
    hands.pass_s(7)
    assert ledger.event(finished(1, at_ms, 6500, "error", f"exit 3, token={SECRET}").payload)
    (run,) = shown(ledger).recent
    assert (run.status, run.ended_at, run.duration_s) == ("error", began + 6.5, 6.5)
    assert run.noticed_at == hands.now
    assert SECRET not in run.error
    first = shown(ledger).jobs[0]
    assert first.running_since is None
    assert [each.status for each in first.runs] == ["error"]
    assert [each.check for each in first.notes] == ["cron/job-failing"]
    assert ledger.running == 0


def test_events_without_the_job_move_it_on(hands: Hands, ledger: Ledger) -> None:
    """2026.2.26 sends only what happened: marker, last run, failures in a row and next run follow from it."""
    at_ms = round(hands.now * 1000)
    assert ledger.event({"jobId": "job-1", "action": "started", "runAtMs": at_ms})
    assert shown(ledger).jobs[0].running_since == hands.now
    told = {"jobId": "job-1", "action": "finished", "runAtMs": at_ms, "durationMs": 500, "nextRunAtMs": at_ms + 60_000}
    assert ledger.event({**told, "status": "error", "error": "it broke"})
    first = shown(ledger).jobs[0]
    assert (first.running_since, first.failures, first.next_due_at) == (None, 1, hands.now + 60)
    assert [(each.status, each.error) for each in first.runs] == [("error", "it broke")]
    assert [each.status for each in shown(ledger).recent] == ["error"]
    assert ledger.event({**told, "status": "ok", "runAtMs": at_ms + 1000})
    assert shown(ledger).jobs[0].failures == 0


def test_any_job_s_runs_are_told_but_only_watched_ones_have_a_row(ledger: Ledger) -> None:
    """A run of a job that nobody watches is news, and its job is no row."""
    ledger.event(finished(3, 1_795_000_000_000, 100).payload)
    assert [each.job for each in shown(ledger).recent] == ["name-3"]
    assert [each.name for each in shown(ledger).jobs] == ["name-1", "name-2"]


def test_a_new_job_and_a_removed_one(ledger: Ledger) -> None:
    """An event brings a job that was not in the list, and takes one away: the watchlist then says that it is gone."""
    ledger.event({"jobId": "job-9", "action": "added", "job": job(9)})
    assert ledger.known is not None
    assert "job-9" in {each.id for each in ledger.known.jobs}
    ledger.event({"jobId": "job-1", "action": "removed"})
    assert [each.check for each in shown(ledger).jobs[0].notes] == ["cron/job-missing"]


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(None, id="nothing"),
        pytest.param([], id="a list"),
        pytest.param({"action": "started"}, id="no job id"),
        pytest.param({"jobId": "job-7", "action": "finished"}, id="a job that is not known"),
        pytest.param({"jobId": "job-1", "action": "updated"}, id="a change without the job"),
        pytest.param({"jobId": "job-1", "action": "started", "job": job(2)}, id="another job"),
    ],
)
def test_an_event_that_says_too_little_is_not_guessed_at(ledger: Ledger, payload: object) -> None:
    """False: the list is read again."""
    before = shown(ledger)
    assert not ledger.event(payload)
    assert shown(ledger) == before


def test_an_event_that_cannot_be_understood_changes_nothing(ledger: Ledger) -> None:
    """It raises what every parser raises."""
    before = shown(ledger)
    with pytest.raises(CouldNotLook):
        ledger.event({"jobId": "job-1", "action": "finished", "job": {**job(1), "name": 7}})
    assert shown(ledger) == before


def test_without_events_two_readings_tell_what_ran(hands: Hands, ledger: Ledger) -> None:
    """A marker that appeared is a beginning, a last run that changed an end; the first reading tells neither."""
    at_ms = round(hands.now * 1000)

    def take(*jobs: dict[str, Any]) -> None:
        ledger.take(Jobs(jobs_of({"jobs": list(jobs)}), "store", datetime.fromtimestamp(hands.now, UTC)))

    assert shown(ledger).recent == ()
    take(job(1, runningAtMs=at_ms), job(2, lastRunAtMs=at_ms - 60_000, lastRunStatus="ok", lastDurationMs=500))
    assert {each.job: each.status for each in shown(ledger).recent} == {"name-1": "running", "name-2": "ok"}
    take(job(1, lastRunAtMs=at_ms, lastRunStatus="ok", lastDurationMs=900), job(2))
    assert {each.job: each.status for each in shown(ledger).recent} == {"name-1": "ok", "name-2": "ok"}


def test_the_recent_runs_and_histories_are_bounded(ledger: Ledger) -> None:
    """A thousand runs later there are as many as are shown."""
    for number in range(1_000):
        ledger.event(finished(1, 1_795_000_000_000 + number, 100).payload)
    assert len(shown(ledger).recent) == RECENT_SHOWN
    assert len(shown(ledger).jobs[0].runs) == 10
    assert ledger.known is not None
    assert len(ledger.known.runs["job-1"]) <= 30


@pytest.mark.parametrize(
    ("took_s", "trend"),
    [((30, 30, 31, 29), "steady"), ((60, 30, 31, 29), "slower"), ((10, 30, 31, 29), "faster"), ((30,), "")],
)
def test_the_trend_compares_the_last_good_run(ledger: Ledger, took_s: tuple[int, ...], trend: str) -> None:
    """With the middle of the earlier ones; one run is no trend."""
    for number, seconds in enumerate(reversed(took_s)):
        ledger.event(finished(1, 1_795_000_000_000 + number * 60_000, seconds * 1000).payload)
    assert shown(ledger).jobs[0].trend == trend


def test_an_overdue_job_says_by_how_much(hands: Hands, ledger: Ledger) -> None:
    """By its own next run, as of now; a running or disabled one is not late."""
    due_ms = round((hands.now - 90) * 1000)
    late = job(1, nextRunAtMs=due_ms)
    ledger.event({"jobId": "job-1", "action": "updated", "job": late})
    hands.pass_s(10)
    assert shown(ledger).jobs[0].overdue_s == pytest.approx(100)
    ledger.event({"jobId": "job-1", "action": "updated", "job": {**late, "enabled": False}})
    assert shown(ledger).jobs[0].overdue_s is None


def test_a_reading_asks_for_the_history_of_watched_jobs_only(hands: Hands, ledger: Ledger) -> None:
    """All pages of the list, and one history for each watched job."""
    pages = {0: {"jobs": [job(1)], "hasMore": True, "nextOffset": 1}, 1: {"jobs": [job(2), job(3)]}}
    asked: list[str] = []

    def runs(params: dict[str, Any]) -> object:
        asked.append(params["id"])
        return {"entries": [{"jobId": params["id"], "action": "finished", "status": "ok", "runAtMs": 5}]}

    client = FakeClient(hands, {"cron.list": lambda params: pages[params["offset"]], "cron.runs": runs})
    line = Line(lambda: client.client, hands.clock)
    line.try_connect()
    ledger.read_rpc(line)
    assert asked == ["job-1", "job-2"]
    assert [each.status for each in shown(ledger).jobs[0].runs] == ["ok"]


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
def follow(tmp_path: Path) -> Follow:
    """A follower of every shipped signature."""
    return Follow(tmp_path, catalogue.catalogue(), clean, NOW)


def test_the_log_is_shown_in_readable_lines(follow: Follow, log: Path) -> None:
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
def test_hostile_text_is_harmless_and_short(follow: Follow, log: Path, text: str) -> None:
    """No control character, no override, no megabyte, no secret comes through."""
    log.write_bytes((record("before") + record(f"{text} token={SECRET}") + record("after")).encode("utf-8", "replace"))
    follow.look([log], NOW, 1.0)
    assert follow.log.lines[-1].text == "after"
    for each in follow.log.lines:
        assert each.text.isprintable()
        assert len(each.text) < 1000
        assert SECRET not in each.text
    json.dumps([each.text for each in follow.log.lines]).encode("ascii")


def test_our_own_connection_is_no_news(follow: Follow, log: Path) -> None:
    """What the gateway logs of the watcher's requests is left out."""
    follow.own = "conn=cccccccc…cccc"
    with log.open("a") as file:
        file.write(record("⇄ res ✓ status 12ms conn=cccccccc…cccc id=2"))
    follow.look([log], NOW, 1.0)
    assert [each.text for each in follow.log.lines] == ["first"]


def test_a_signature_fires_is_counted_and_leaves_with_its_window(follow: Follow, log: Path) -> None:
    """Id, severity, count, last time and first aid of the catalogue; after its window it is gone."""
    known = next(each for each in catalogue.catalogue() if each.severity == "error")
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


def test_a_rotated_log_goes_on(follow: Follow, log: Path) -> None:
    """The file is renamed and begun anew: the lines of both are shown, in order, and no more than fit."""
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


def test_a_log_that_is_not_there_says_so_and_since_when(follow: Follow, log: Path) -> None:
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
def papers(tmp_path: Path) -> Papers:
    """The papers of an operator who has none yet."""
    (tmp_path / "memory").mkdir()
    (tmp_path / "reports").mkdir()
    return Papers(tmp_path / "memory", tmp_path / "reports", "key", clean)


def test_before_the_first_run_the_next_action_is_to_run_the_doctor(papers: Papers) -> None:
    """No report is no verdict, and no error."""
    papers.look(1.0, 2.0)
    assert (papers.doctor.verdict, papers.doctor.next_action) == ("", "oc-ops doctor")
    assert papers.incidents.open == ()
    assert papers.transcripts == ()


def test_the_last_report_gives_verdict_and_next_action(papers: Papers, tmp_path: Path) -> None:
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


def test_transcripts_of_ad_hoc_runs_are_shown_newest_first(papers: Papers, tmp_path: Path) -> None:
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
    assert digest.lines(payload, clean, 0.0) == ()


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
    assert dict(digest.lines(payload, clean, 1000.0)) == {
        "release": "2026.9.6",
        "channels": "Telegram: configured; - default (token)",
        "sessions": "3, the last active 1 min ago",
        "tasks": "1 active, 2 failed of 9",
        "audit": "1 errors, 0 warnings: stale running 1",
        "models": "degraded",
        "plugins": "1 degraded",
        "heartbeat": "main every 30m, ops off",
    }


# ---- the port


def port_of(tmp_path: Path, hands: Hands, port: int) -> Port:
    """The port of a gateway whose state is the test's own."""
    target = locate({"HOME": str(tmp_path), "OPENCLAW_GATEWAY_PORT": str(port)})
    return Port(target, Settings(), hands.clock, clean, lambda _: NO_SERVICE)


def test_a_ready_gateway_is_asked_one_cheap_question(
    tmp_path: Path, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whole look on arrival, then /readyz alone: no list of processes, no second probe."""
    with gateway() as number:
        port = port_of(tmp_path, hands, number)
        port.look(2.0)
        assert (port.gateway.state, port.gateway.version, port.well) == ("ready", "2026.9.6", True)
        since = port.gateway.since
        monkeypatch.setattr("oc_ops.supervise.port.look", _never)
        for _ in range(5):
            hands.pass_s(2)
            # The fake's uptime does not grow: by its word it would have started later and later.
            port.gateway = _as_if_started_now(port.gateway, hands)
            port.look(2.0)
        assert port.gateway.seen.at == hands.now
        assert port.gateway.since == since
        assert port.event_loop.delay_p99_ms == 12.0


def _never(*_: object, **__: object) -> None:
    raise AssertionError("a whole look was taken")


def _as_if_started_now(gateway: state.Gateway, hands: Hands) -> state.Gateway:
    return replace(gateway, started_at=hands.now - 86_400)


def test_a_death_is_seen_at_the_next_look(tmp_path: Path, hands: Hands) -> None:
    """Ready, then nothing listens: down, since now, with the doctor's own words and fix."""
    with gateway() as number:
        port = port_of(tmp_path, hands, number)
        port.look(2.0)
    hands.pass_s(2)
    port.look(2.0)
    shown = port.gateway
    assert (shown.state, shown.check, shown.since) == ("down", "gateway/down", hands.now)
    assert shown.fact.startswith("nothing listens")
    assert shown.fix
    assert (port.well, port.answers) == (False, False)
    assert "does not answer" in port.event_loop.seen.problem
    first = hands.now
    hands.pass_s(2)
    port.look(2.0)
    assert port.gateway.since == first
    assert port.gateway.seen.at == hands.now


def test_a_port_that_accepts_and_is_mute(tmp_path: Path, hands: Hands) -> None:
    """Silence is looked at twice and then named; staying silent needs no whole look each time."""
    with silent_port() as server:
        port = port_of(tmp_path, hands, server.getsockname()[1])
        port.look(2.0)
        assert port.gateway.state in ("hung", "port-taken")


def test_not_ready_and_ready_again(tmp_path: Path, hands: Hands) -> None:
    """What /readyz holds against it is in the fact; a connection is still worth a try, the CLI is not asked."""
    answers: dict[str, Any] = {}

    def keep(http: dict[str, Any]) -> None:
        answers["http"] = http

    with gateway(keep) as number:
        port = port_of(tmp_path, hands, number)
        answers["http"]["/readyz"] = {**HTTP["/readyz"], "ready": False, "failing": ["channels"]}
        port.look(2.0)
        assert (port.gateway.state, port.well, port.answers) == ("not-ready", False, True)
        assert "channels" in port.gateway.fact
        answers["http"]["/readyz"] = HTTP["/readyz"]
        port.look(2.0)
        assert (port.gateway.state, port.gateway.check) == ("ready", "")


def test_another_start_is_counted(tmp_path: Path, hands: Hands) -> None:
    """An uptime that is shorter than expected is another start, whatever the pid."""
    answers: dict[str, Any] = {}

    def keep(http: dict[str, Any]) -> None:
        answers["http"] = http

    with gateway(keep) as number:
        port = port_of(tmp_path, hands, number)
        port.look(2.0)
        hands.pass_s(60)
        for path in ("/readyz", "/startupz"):
            answers["http"][path] = {**HTTP[path], "uptimeMs": 3_000}
        port.look(2.0)
        assert (port.gateway.restarts, port.gateway.since) == (1, hands.now)
        assert port.gateway.started_at == hands.now - 3


def test_a_config_that_breaks_is_the_root_of_all(tmp_path: Path, hands: Hands) -> None:
    """It does not parse: said at the next look, and over as soon as it is mended."""
    config = tmp_path / ".openclaw" / "openclaw.json"
    config.parent.mkdir()
    with gateway() as number:
        config.write_text(json.dumps({"gateway": {"port": number}}))
        port = port_of(tmp_path, hands, number)
        port.look(2.0)
        assert port.config_changed
        config.write_text('{"gateway": {,}}')
        port.look(2.0)
        assert (port.gateway.state, port.gateway.check) == ("config-invalid", "config/invalid")
        config.write_text(json.dumps({"gateway": {"port": number}, "browser": {"enabled": False}}))
        port.look(2.0)
        assert port.gateway.state == "ready"
        assert not port.config.browser_enabled


def test_a_port_that_nobody_knows(tmp_path: Path, hands: Hands) -> None:
    """A config that does not parse and no gateway that recorded its port: said, and no guess is probed."""
    config = tmp_path / ".openclaw" / "openclaw.json"
    config.parent.mkdir()
    config.write_text("{")
    port = Port(locate({"HOME": str(tmp_path)}), Settings(), hands.clock, clean, lambda _: NO_SERVICE)
    port.look(2.0)
    assert (port.gateway.state, port.gateway.port) == ("config-invalid", None)
    assert "port is not known" in port.gateway.seen.problem


def test_the_manager_is_not_asked_at_every_look_at_a_dead_gateway(tmp_path: Path, hands: Hands) -> None:
    """Each answer of the service manager is good for ten seconds."""
    asked: list[float] = []

    def service_of(_: object) -> Any:
        asked.append(hands.now)
        return NO_SERVICE

    target = locate({"HOME": str(tmp_path), "OPENCLAW_GATEWAY_PORT": str(closed_port())})
    port = Port(target, Settings(), hands.clock, clean, service_of)
    for _ in range(16):
        port.look(2.0)
        port.gateway = replace(port.gateway, state="starting")  # which is looked at as a whole each time
        hands.pass_s(2)
    assert asked == [asked[0], asked[0] + 10, asked[0] + 20, asked[0] + 30]
    assert port.service.words == "no service unit runs it"


# ---- clocks


def test_a_turn_comes_once_in_its_time_however_late_it_was() -> None:
    """No backlog: after a long absence it comes once."""
    turn = Turn(2.0)
    assert [turn.comes(each) for each in (0.0, 1.0, 2.0, 100.0, 100.5, 102.0)] == [True, False, True, True, False, True]
    turn.soon()
    assert turn.comes(102.1)


def test_a_jump_of_the_wall_clock_is_noticed_once(hands: Hands) -> None:
    """A suspend or a clock that was set moves one clock against the other."""
    clock: Clock = hands.clock
    moves: list[Callable[[], None]] = [lambda: hands.pass_s(5), lambda: setattr(hands, "now", hands.now + 3600)]
    assert clock.jumped_s() == 0
    moves[0]()
    assert clock.jumped_s() == pytest.approx(0)
    moves[1]()
    assert clock.jumped_s() == pytest.approx(3600)
    assert clock.jumped_s() == pytest.approx(0)
