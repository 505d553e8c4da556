"""What the watcher makes of cron events and of whole readings, on clocks turned by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from oc_ops.cockpit import state
from oc_ops.cockpit.ledger import RECENT_SHOWN, Ledger
from oc_ops.cockpit.rpc_link import RpcLink
from oc_ops.errors import CouldNotLook
from oc_ops.judge.watched_jobs import Terms
from oc_ops.observe.jobs import Jobs, jobs_of
from oc_ops.observe.watchlist import Watched
from tests.fakes.fake_line import FakeClient, Hands, finished, job, started
from tests.support.machine import SECRET
from tests.support.watchroom import clean


@pytest.fixture
def hands() -> Hands:
    """The hands of the clocks."""
    return Hands()


@pytest.fixture
def ledger(hands: Hands) -> Ledger:
    """A ledger that has read three jobs, of which two are watched."""
    found = Ledger(hands.clock, clean)
    found.watched = (Watched("name-1"), Watched("name-2"))
    found.take(Jobs(jobs_of({"jobs": [job(1), job(2), job(3)]}), "rpc", datetime.fromtimestamp(hands.now, UTC)))
    return found


def shown(ledger: Ledger) -> state.JobsPart:
    """What the panes would show now."""
    return ledger.part(state.Freshness(1.0, "rpc"), {}, Terms(), (), "")


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
    [
        ((30, 30, 31, 29), "steady"),
        ((60, 30, 31, 29), "slower"),
        ((10, 30, 31, 29), "faster"),
        ((30,), ""),
        ((30, 90), ""),
    ],
)
def test_the_trend_compares_the_last_good_run(ledger: Ledger, took_s: tuple[int, ...], trend: str) -> None:
    """With the middle of the earlier ones; one run is no trend."""
    for number, seconds in enumerate(reversed(took_s)):
        ledger.event(finished(1, 1_795_000_000_000 + number * 60_000, seconds * 1000).payload)
    told = shown(ledger).jobs[0]
    assert (told.trend, told.typical_s is None) == (trend, trend == "")


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
    line = RpcLink(lambda: client.client, hands.clock)
    line.try_connect()
    ledger.read_rpc(line)
    assert asked == ["job-1", "job-2"]
    assert [each.status for each in shown(ledger).jobs[0].runs] == ["ok"]
