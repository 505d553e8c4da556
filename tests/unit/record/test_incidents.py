"""Incidents: opened by the first red, closed by green confirmed twice, back when it flaps."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from oc_ops.record.incidents import book
from oc_ops.record.incidents.events import Attempt, Event, Fault, Outcome, Versions
from oc_ops.record.incidents.rules import RunSummary
from tests.support.incident_days import CHECKS, MINE, START, Days, finding, run


def test_the_life_of_an_incident(days: Days) -> None:
    """First sign, first red, green, closed: each with its time, and what lies between in seconds."""
    sign = START - timedelta(seconds=41)
    opened = days.see(run("gateway/hung", sign=sign, versions=Versions("2026.9.6")))
    green = days.see(run("gateway/hung"), run())
    assert (opened.what, green.what) == ("opened", "green")
    assert days.all[0].state == "green once"
    closed = days.see(run())
    assert closed.what == "closed"
    assert not closed.open
    (incident,) = days.all
    assert incident.id == "20261122-194115-gateway-hung"
    assert incident.cause == Fault.of(finding("gateway/hung"), "", "gateway/live")
    assert (incident.first_sign, incident.opened_at) == (sign, START)
    assert incident.time_to_detect_s == 41
    assert incident.time_to_recover_s == 600, "to the first green, not to the one that confirmed it"
    assert incident.closed_at == START + timedelta(seconds=900)
    assert incident.versions == Versions("2026.9.6", "2026.9.6"), "the gateway's was learnt when it answered"
    assert (incident.gateway, incident.evidence) == (MINE, ("reports/runs/2026-11-22T19-41-15Z",))
    assert days.told == [["opened", "green", "closed"]]


def test_healthy_runs_write_nothing(days: Days) -> None:
    """Without an incident there is nothing to write, not even a folder."""
    update = days.see(run(), run(verdict="degraded"), run(whole=False), run(verdict="unknown"))
    assert (update.incident, update.changed, update.sentence(days.now)) == (None, (), "")
    assert not days.book.path.parent.exists()


def test_a_lasting_incident_writes_a_line_an_hour(days: Days) -> None:
    """288 runs a day that see the same: 24 lines, and the last sight is known to the hour."""
    days.see(*[run("gateway/hung")] * 288)
    assert days.told == [["opened", *["seen"] * 23]]
    assert days.now - days.all[0].seen_at < timedelta(hours=1, minutes=5)


def test_mere_numbers_are_no_change(days: Days) -> None:
    """A fact whose numbers differ at every look is the same fact; other words are a change."""
    busy = "its process is spinning ({} % of a core)"
    days.see(*(run(finding("gateway/hung", busy.format(each))) for each in (98, 99.5, 97)))
    assert days.told == [["opened"]]
    days.see(run(finding("gateway/hung", "its process is idle")))
    assert days.told == [["opened", "changed"]]
    assert days.all[0].cause.fact == "its process is idle"


@pytest.mark.parametrize(
    "grey",
    [
        run(whole=False, unseen=("gateway/live",)),
        run(verdict="unknown"),
        run(interrupted=True),
        run(unseen=("gateway/live",), verdict="unknown"),
        run("gateway/hung", interrupted=True),
    ],
    ids=["part", "unknown", "interrupted", "could not look", "Ctrl-C while it looked"],
)
def test_neither_green_nor_red(days: Days, grey: RunSummary) -> None:
    """Such a run opens, closes and resets nothing: green, it, green is green twice."""
    days.see(grey)
    assert days.told == []
    days.see(run("gateway/hung"), grey, grey, grey)
    assert days.told == [["opened"]]
    days.see(run(), grey)
    assert days.told == [["opened", "green"]]
    days.see(run())
    assert days.told == [["opened", "green", "closed"]]


def test_a_part_that_finds_a_fault_opens_an_incident(days: Days) -> None:
    """--quick and -k may find what is wrong."""
    days.see(run("gateway/hung", whole=False))
    assert days.told == [["opened"]]


def test_a_part_closes_what_its_own_checks_found(days: Days) -> None:
    """Who schedules --quick alone is told that the gateway is back; what it did not look at stays open."""
    quick = run(whole=False, verdict="healthy", unseen=("browser/running",))
    days.see(run("gateway/hung"), quick, quick)
    days.see(run("browser/not-running"), quick, quick, quick)
    assert days.told == [["opened", "green", "closed"], ["opened"]]


def test_green_must_be_confirmed(days: Days) -> None:
    """Red between two greens begins the count anew, in the same incident."""
    days.see(run("gateway/hung"), run(), run("gateway/hung"), run())
    assert days.told == [["opened", "green", "red", "green"]]
    assert days.all[0].flaps == 1
    days.see(run())
    assert days.all[0].time_to_recover_s == 600, "to the green that held, without the green between"


def test_flapping_reopens(days: Days) -> None:
    """The same cause within an hour is the same incident; later it is another one."""
    days.see(run("gateway/hung"), run(), run(), run("gateway/hung"))
    (incident,) = days.all
    assert (incident.is_open, incident.flaps, incident.time_to_recover_s) == (True, 1, None)
    days.see(run(), run())
    days.now += timedelta(hours=1)
    days.see(run("gateway/hung"))
    first, second = days.all
    assert (first.is_open, second.is_open) == (False, True)
    assert first.events[-1].what == "closed"


def test_acknowledged_also_when_it_is_back(days: Days) -> None:
    """Who took it on is known after a reopen too; a mute lasts as long as it was told to."""
    days.see(run("gateway/hung"))
    book.tell(days.book, "last", Event("", days.now, "acknowledged", by="anna"))
    book.tell(days.book, "last", Event("", days.now, "muted", until=days.now + timedelta(hours=2)))
    (incident,) = days.all
    assert incident.acknowledged
    assert incident.acknowledged.by == "anna"
    assert incident.muted_until(days.now + timedelta(hours=1))
    assert not incident.muted_until(days.now + timedelta(hours=2))
    days.see(run(), run(), run("gateway/hung"))
    (incident,) = days.all
    assert incident.acknowledged
    assert incident.acknowledged.by == "anna"
    assert incident.muted_until(days.now)
    book.tell(days.book, "last", Event("", days.now, "unmuted"))
    assert not days.all[0].muted_until(days.now)


def test_two_short_outages_are_not_one_long_one(days: Days) -> None:
    """Back after eight healthy minutes: the present stretch and how often; to recover counts the red time alone."""
    days.see(run("gateway/hung"), apart_s=40)
    days.see(run(), run(), apart_s=240)
    back = days.see(run("gateway/hung"), apart_s=4)
    (incident,) = days.all
    assert incident.age_s(days.now) == 4
    assert "reopened, 1× back after green, first red 8 min 44 s ago" in back.sentence(days.now)
    days.now += timedelta(seconds=36)
    days.see(run(), run())
    (incident,) = days.all
    assert incident.time_to_recover_s == 80
    assert incident.age_s(days.now) == 80


def test_a_finding_downgraded_beside_a_cause_is_neither_red_nor_green(days: Days) -> None:
    """A failing job is a mere warning beside a hung gateway: its incident stays open, unchanged, until it is gone."""
    failing, hung = run("cron/job-failing"), run("gateway/hung")
    beside = replace(hung, faults=(*hung.faults, *(replace(each, severity="warning") for each in failing.faults)))
    days.see(failing, beside, beside, beside)
    job = next(each for each in days.all if each.cause.check == "cron/job-failing")
    assert (job.state, job.flaps, job.green_at) == ("red", 0, None)
    days.see(run(), run())
    assert not [each for each in days.all if each.is_open], "gone without a cause beside it: it is over"


def test_a_gateway_on_its_way_up_has_not_recovered(days: Days) -> None:
    """While it starts, as a warning, the outage is neither red nor green."""
    starting = replace(run("gateway/starting"), verdict="degraded", cause=None, looked=CHECKS)
    starting = replace(starting, faults=tuple(replace(each, severity="warning") for each in starting.faults))
    days.see(run("gateway/down"), starting, starting)
    assert [each.state for each in days.all] == ["red"]


def test_the_first_sign_may_be_learnt_later(days: Days) -> None:
    """A log that could not be read at first may still say when it began; what came after the first red is no sign."""
    days.see(run("gateway/hung"), run("gateway/hung", sign=START + timedelta(seconds=9)))
    assert days.all[0].time_to_detect_s is None
    days.see(run("gateway/hung", sign=START - timedelta(seconds=9)))
    assert days.all[0].time_to_detect_s == 9


def test_a_sign_of_the_last_incident_is_none_of_the_next(days: Days) -> None:
    """What the log said before the last recovery does not make the next detection look slow."""
    days.see(run("gateway/hung"), run(), run())
    days.see(run("gateway/saturated", sign=START - timedelta(seconds=9)))
    assert days.all[1].first_sign is None


def test_recovery_attempts(days: Days) -> None:
    """Each attempt is told once, with its last word; one that was killed stays begun."""
    days.see(run("gateway/hung"))
    name = days.all[0].id
    words: tuple[tuple[str, Outcome], ...] = (("1", "begun"), ("1", "ineffective"), ("2", "begun"))
    for record, outcome in words:
        attempt = Attempt(f"memory/recoveries/{record}.jsonl", "restart", outcome)
        book.record_attempt(days.book, name, attempt, days.now, reason="it hangs")
    book.record_evidence(days.book, name, "memory/recoveries/1", days.now, text="the log's end")
    (incident,) = days.all
    assert [each.attempt.outcome for each in incident.attempts if each.attempt] == ["ineffective", "begun"]
    assert incident.evidence[-1] == "memory/recoveries/1"
    assert incident.state == "red"


def test_by_hand(days: Days) -> None:
    """What was closed while red comes back with the next red; its time to recover is not known."""
    days.see(run("gateway/hung"))
    book.tell(days.book, "last", Event("", days.now, "closed", by="anna", text="nobody needs it"))
    assert (days.all[0].state, days.all[0].time_to_recover_s) == ("closed", None)
    days.see(run("gateway/hung"))
    assert days.told == [["opened", "closed", "reopened"]]
