"""Incidents: opened by the first red, one for one cause, closed by green confirmed twice, back when it flaps."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as given_settings
from hypothesis import strategies as st

from oc_ops.judge import verdict as judge_verdict
from oc_ops.judge.finding import Finding
from oc_ops.judge.verdict import Verdict
from oc_ops.record import incident_text, incidents
from oc_ops.record.events import Attempt, Event, Fault, Gateway, Outcome, Versions, What, utc
from oc_ops.record.incident import Incident, fold
from oc_ops.record.incident_rules import RunSummary, causes, decide, new_id
from oc_ops.record.incidents import IncidentUpdate, UnknownIncident
from oc_ops.record.journal import Journal, JournalError

PROJECT = Path(__file__).parent.parent
START = datetime(2026, 11, 22, 19, 41, 15, 250_000, tzinfo=UTC)
MINE = Gateway("a1b2c3d4e5f6", None, 18789)
OTHER = Gateway("ffffffffffff", "work", 28789)
KNOWN = Versions("2026.9.6", "2026.9.6")
FOUND_BY = {
    "gateway/hung": "gateway/live",
    "gateway/down": "gateway/live",
    "gateway/crash-loop": "gateway/live",
    "gateway/starting": "gateway/started",
    "gateway/draining": "gateway/started",
    "gateway/saturated": "gateway/prompt",
    "gateway/not-ready": "gateway/ready",
    "config/invalid": "config/valid",
    "cli/missing": "cli/works",
    "cron/job-failing": "cron/jobs",
    "browser/not-running": "browser/running",
    "browser/unanswered": "browser/control",
    "browser/act-stalled": "browser/click",
    "logs/rpc.timeout": "logs/signatures",
    "logs/crash.epipe": "logs/signatures",
}
DEEP = "browser/click"
CHECKS = frozenset(FOUND_BY.values()) - {DEEP}


def finding(check: str, fact: str = "") -> Finding:
    """An error finding."""
    return Finding(check, "error", fact or f"the fact of {check}", "what was seen", "openclaw gateway restart")


def run(
    *red: str | Finding,
    verdict: Verdict | None = None,
    whole: bool = True,
    unseen: tuple[str, ...] = (),
    gateway: Gateway = MINE,
    versions: Versions = KNOWN,
    sign: datetime | None = None,
    interrupted: bool = False,
) -> RunSummary:
    """A run that found these and looked at everything else but `unseen`."""
    found = tuple(finding(each) if isinstance(each, str) else each for each in red)
    failed = {FOUND_BY[each.check] for each in found}
    first = judge_verdict.cause(found)
    outcomes = ["passed", *("blocked" for _ in unseen)]
    return RunSummary(
        verdict=verdict or judge_verdict.verdict(found, outcomes),
        whole=whole,
        gateway=gateway,
        faults=tuple(Fault.of(each, found_by=FOUND_BY[each.check]) for each in found),
        cause=first.check if first else None,
        looked=CHECKS - failed - set(unseen),
        versions=versions,
        folder="reports/runs/2026-11-22T19-41-15Z",
        first_signature_at=sign,
        interrupted=interrupted,
    )


@dataclass
class Days:
    """A book and a clock: runs come one after the other, five minutes apart unless told otherwise."""

    book: Journal
    now: datetime = START

    def see(self, *looks: RunSummary, apart_s: float = 300) -> IncidentUpdate:
        """What the last of these runs changed."""
        for each in looks:
            update = incidents.observe_run(self.book, each, self.now)
            self.now += timedelta(seconds=apart_s)
        return update

    @property
    def all(self) -> list[Incident]:
        """Every incident, in the order of opening."""
        return list(incidents.read(self.book).incidents.values())

    @property
    def told(self) -> list[list[str]]:
        """What happened to each."""
        return [[each.what for each in incident.events] for incident in self.all]


@pytest.fixture
def days(tmp_path: Path) -> Days:
    """An empty book at the start of time."""
    return Days(incidents.journal(tmp_path / "memory"))


# -- the life of one incident -----------------------------------------------------------------------------------------


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
    assert days.all[0].time_to_recover_s == 900, "to the green that held"


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


def test_acknowledged_until_it_is_back(days: Days) -> None:
    """Who took it on is known until it is reopened; a mute lasts as long as it was told to."""
    days.see(run("gateway/hung"))
    incidents.tell(days.book, "last", Event("", days.now, "acknowledged", by="anna"))
    incidents.tell(days.book, "last", Event("", days.now, "muted", until=days.now + timedelta(hours=2)))
    (incident,) = days.all
    assert incident.acknowledged
    assert incident.acknowledged.by == "anna"
    assert incident.muted_until(days.now + timedelta(hours=1))
    assert not incident.muted_until(days.now + timedelta(hours=2))
    days.see(run(), run(), run("gateway/hung"))
    (incident,) = days.all
    assert incident.acknowledged is None
    assert incident.muted_until(days.now)
    incidents.tell(days.book, "last", Event("", days.now, "unmuted"))
    assert not days.all[0].muted_until(days.now)


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
        incidents.record_attempt(days.book, name, attempt, days.now, reason="it hangs")
    incidents.record_evidence(days.book, name, "memory/recoveries/1", days.now, text="the log's end")
    (incident,) = days.all
    assert [each.attempt.outcome for each in incident.attempts if each.attempt] == ["ineffective", "begun"]
    assert incident.evidence[-1] == "memory/recoveries/1"
    assert incident.state == "red"


def test_by_hand(days: Days) -> None:
    """What was closed while red comes back with the next red; its time to recover is not known."""
    days.see(run("gateway/hung"))
    incidents.tell(days.book, "last", Event("", days.now, "closed", by="anna", text="nobody needs it"))
    assert (days.all[0].state, days.all[0].time_to_recover_s) == ("closed", None)
    days.see(run("gateway/hung"))
    assert days.told == [["opened", "closed", "reopened"]]


# -- several causes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "called"),
    [
        (["gateway/hung", "gateway/down", "gateway/starting"], "gateway/hung"),
        (["gateway/hung", "gateway/draining", "gateway/starting"], "gateway/hung"),
        (["gateway/down", "gateway/starting", "gateway/hung"], "gateway/hung"),
        (["gateway/down", "gateway/crash-loop", "gateway/starting", "gateway/down"], "gateway/crash-loop"),
        (["gateway/starting"], "gateway/starting"),
        (["gateway/saturated", "gateway/draining", "gateway/starting"], "gateway/saturated"),
        (["config/invalid", "gateway/down", "gateway/starting"], "config/invalid"),
    ],
    ids=" ".join,
)
def test_one_outage_is_one_incident(days: Days, seen: list[str], called: str) -> None:
    """What a gateway passes through on its way back belongs to the incident, named by what is more than passing."""
    days.see(*map(run, seen), run(), run())
    (incident,) = days.all
    assert incident.cause.name == called
    assert not incident.is_open
    assert list(incident.states) == list(dict.fromkeys(seen))


def test_another_cause_is_its_own_incident(days: Days) -> None:
    """The first one is told that it is out of sight, once, and both are closed by the same greens."""
    days.see(run("cron/job-failing"))
    days.see(*[run("gateway/hung", unseen=("cron/jobs",))] * 3)
    assert days.told == [["opened", "blocked"], ["opened"]]
    days.see(run("cron/job-failing"))
    days.see(run("cron/job-failing"))
    assert days.told == [["opened", "blocked", "changed"], ["opened", "green", "closed"]]
    days.see(run(), run())
    assert [each.state for each in days.all] == ["closed", "closed"]


def test_a_state_beside_its_incident_is_one_change(days: Days) -> None:
    """Saturated and draining in one run: the outage shows the nearer one, once, and opens nothing."""
    days.see(run("gateway/saturated"))
    days.see(*[run("gateway/draining", "gateway/saturated")] * 3)
    assert days.told == [["opened", "changed"]]


def test_a_standing_fault_keeps_no_other_incident_open(days: Days) -> None:
    """An incident is green when what found it looked again and found nothing, whatever else is red."""
    days.see(run("cron/job-failing"), run("cron/job-failing", "browser/not-running"))
    assert days.told == [["opened"], ["opened"]]
    days.see(run("cron/job-failing"), run("cron/job-failing"))
    assert [each.state for each in days.all] == ["red", "closed"]
    assert days.all[1].time_to_recover_s == 300


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("gateway/hung", "gateway/crash-loop"),
        ("cli/missing", "gateway/starting"),
        ("gateway/down", "gateway/saturated"),
    ],
    ids=" ".join,
)
def test_two_causes_are_two_incidents(days: Days, first: str, second: str) -> None:
    """Faults with different cures are kept apart, also where one follows the other."""
    days.see(run(first), run(second, unseen=(FOUND_BY[first],)))
    assert [each.cause.name for each in days.all] == [first, second]


def test_the_run_names_the_incident_of_its_cause(days: Days) -> None:
    """Beside the verdict stands the incident that explains it, not the oldest one."""
    days.see(run("cron/job-failing"))
    update = days.see(run("gateway/hung", unseen=("cron/jobs",)))
    assert update.incident
    assert update.incident.cause.name == "gateway/hung"
    assert update.sentence(days.now).endswith("; 1 more open")


def test_only_the_root_gets_in_the_way(days: Days) -> None:
    """What could not be looked at beside a fault that explains nothing else is simply not known."""
    days.see(run("browser/not-running"), run("cron/job-failing", unseen=("browser/running",)))
    assert days.told == [["opened"], ["opened"]]


def test_without_a_finder_only_health_is_green(days: Days) -> None:
    """A fault of which nobody says what found it waits for a run without any error."""
    lost = replace(run("gateway/hung"), faults=(Fault.of(finding("gateway/hung")),))
    days.see(lost, run("cron/job-failing"), run("cron/job-failing"))
    assert days.all[0].state == "red"
    days.see(run(), run())
    assert [each.is_open for each in days.all] == [False, False]


def test_versions_are_told_as_they_change(days: Days) -> None:
    """An incident knows the releases it began with; an upgrade while it lasts stands in its timeline."""
    days.see(run("gateway/hung", versions=Versions("1")), run("gateway/hung", versions=Versions("1")))
    days.see(run(versions=Versions("2", "2")), run(versions=Versions("2", "2")))
    (incident,) = days.all
    assert (incident.versions, incident.versions_now) == (Versions("1", "2"), Versions("2", "2"))
    assert [each.versions for each in incident.events] == [Versions("1"), Versions("2", "2"), None]
    assert incident_text.told(incident.events[1]) == "first green; CLI is 2; gateway is 2"


def test_closed_long_ago_is_over() -> None:
    """Whoever hands over incidents closed before the flap window gets a new one, not those reopened."""
    hung = Fault.of(finding("gateway/hung"))
    old = [
        Event("x", START - timedelta(hours=3), "opened", hung, gateway=MINE),
        Event("x", START - timedelta(hours=2), "closed", by="anna"),
    ]
    (event,) = decide(list(fold(old).values()), run("gateway/hung"), START)
    assert event.what == "opened"


def test_a_blocked_check_is_not_green(days: Days) -> None:
    """What could not be looked at because of another cause has not recovered."""
    days.see(run("browser/not-running"))
    days.see(*[run("gateway/hung", unseen=("browser/running",))] * 5)
    assert days.all[0].state == "red"


def test_what_only_a_deep_run_finds_only_a_deep_run_closes(days: Days) -> None:
    """A whole run that never makes the click does not say that the click works."""
    deep = replace(run(), looked=CHECKS | {DEEP})
    days.see(run("browser/act-stalled"), run(), run(), run())
    assert days.all[0].is_open
    days.see(deep, deep)
    assert days.told == [["opened", "green", "closed"]]


@pytest.mark.parametrize(
    ("red", "own"),
    [
        (["gateway/saturated", "cron/job-failing", "logs/rpc.timeout"], ["gateway/saturated"]),
        (["browser/not-running", "browser/unanswered", "logs/rpc.timeout"], ["browser/not-running"]),
        (["cron/job-failing", "browser/not-running"], ["cron/job-failing", "browser/not-running"]),
        (["gateway/not-ready", "cron/job-failing"], ["gateway/not-ready", "cron/job-failing"]),
        (["logs/rpc.timeout", "logs/crash.epipe"], ["logs/rpc.timeout", "logs/crash.epipe"]),
        (["cron/job-failing", "logs/crash.epipe"], ["cron/job-failing", "logs/crash.epipe"]),
        (["logs/rpc.timeout", "gateway/hung"], ["gateway/hung"]),
        (["gateway/not-ready", "logs/rpc.timeout"], ["gateway/not-ready", "logs/rpc.timeout"]),
        ([], []),
    ],
    ids=[
        "root",
        "browser",
        "two of their own",
        "not ready explains nothing",
        "log alone",
        "cron and log",
        "root last",
        "not ready and log",
        "none",
    ],
)
def test_dependents_open_nothing(red: list[str], own: list[str]) -> None:
    """Only a fault of its own is an incident of its own."""
    assert [each.name for each in causes(run(*red))] == own


def test_each_job_is_its_own_incident(days: Days) -> None:
    """One id found of several jobs: each has its incident, by its own name, and recovers by itself."""

    def failing(*jobs: str) -> RunSummary:
        faults = tuple(Fault.of(finding("cron/job-failing"), job, f"cron/jobs {job}") for job in jobs)
        looked = CHECKS | {f"cron/jobs {job}" for job in {"backup", "Daily Digest"} - set(jobs)}
        return replace(run(verdict="unhealthy" if jobs else "healthy"), faults=faults, looked=looked)

    days.see(failing("backup", "Daily Digest"), failing("Daily Digest"), failing("Daily Digest"))
    assert [(each.id[16:], each.is_open) for each in days.all] == [
        ("cron-job-failing-backup", False),
        ("cron-job-failing-daily-digest", True),
    ]
    days.see(failing("backup"))
    assert days.told == [["opened", "green", "closed", "reopened"], ["opened", "green"]]
    days.see(failing("x" * 10_000), failing("x" * 10_000))
    days.see(failing("a b", "a-b"))
    assert len({each.id for each in days.all}) == 5, "names that look alike"
    days.see(failing("a b", "a-b", "x" * 10_000))
    assert len(days.all) == 5, "a name too long to be kept whole is still one name"


def test_what_the_log_remembers_is_no_incident(days: Days) -> None:
    """The hang's own log lines stay in the window after it: they neither open an incident nor keep this one open."""
    days.see(run("gateway/hung"), apart_s=60)
    echo = run("logs/rpc.timeout", sign=START)
    days.see(*[echo] * 5)
    assert days.told == [["opened", "green", "closed"]]
    assert days.all[0].time_to_recover_s == 60
    days.see(run("logs/rpc.timeout", sign=days.now - timedelta(seconds=1)))
    assert [each.cause.name for each in days.all] == ["gateway/hung", "logs/rpc.timeout"]


def test_gateways_share_a_book(days: Days) -> None:
    """A run closes, changes and names no incident of another gateway; the same second makes two ids."""
    days.see(run("gateway/hung"), apart_s=0)
    days.see(run("gateway/hung", gateway=OTHER))
    assert [each.id for each in days.all] == ["20261122-194115-gateway-hung", "20261122-194115-gateway-hung-2"]
    update = days.see(run(gateway=OTHER), run(gateway=OTHER))
    assert [each.state for each in days.all] == ["red", "closed"]
    assert not update.open
    assert [each.gateway for each in days.all] == [MINE, OTHER]


# -- any order of events ----------------------------------------------------------------------------------------------


RUNS = st.builds(
    run,
    verdict=st.sampled_from([None, None, None, "degraded", "unknown"]),
    whole=st.booleans(),
    unseen=st.lists(st.sampled_from(sorted(CHECKS)), max_size=2).map(tuple),
    gateway=st.sampled_from([MINE, MINE, OTHER]),
    versions=st.sampled_from([Versions(), Versions("1", "2"), Versions("1", None)]),
    sign=st.sampled_from([None, START, START - timedelta(days=1), START + timedelta(hours=1)]),
    interrupted=st.sampled_from([False, False, False, True]),
)
REDS = st.lists(st.sampled_from(sorted(FOUND_BY)), max_size=3, unique=True).map(tuple)
HANDS = st.sampled_from(["closed", "acknowledged", "muted", "noted"])
STEPS = st.lists(
    st.tuples(st.one_of(st.tuples(RUNS, REDS), HANDS), st.sampled_from([0, 60, 300, 300, 3700, -900])), max_size=30
)


def with_red(base: RunSummary, red: tuple[str, ...]) -> RunSummary:
    """The run with these findings as well."""
    told = run(*red)
    failed = {FOUND_BY[each] for each in red}
    return replace(
        base,
        faults=told.faults,
        cause=told.cause,
        looked=base.looked - failed,
        verdict="unhealthy" if red else base.verdict,
    )


@given(STEPS)
@given_settings(max_examples=100, deadline=None)
def test_whatever_comes(steps: list[tuple[tuple[RunSummary, tuple[str, ...]] | What, int]]) -> None:
    """Never two open incidents of one cause and gateway; closed by two greens or by hand; no time is negative."""
    now, lines = START, list[Event]()
    greens: dict[str, int] = {}
    for step, pause_s in steps:
        known = fold(lines)
        if isinstance(step, tuple):
            look = with_red(*step)
            new = list(decide(list(known.values()), look, now, 3600, known.keys()))
            for each in new:
                if each.what in ("green", "closed"):
                    greens[each.id] = greens.get(each.id, 0) + 1
                    assert known[each.id].found_by <= look.looked
                    assert not look.interrupted
                    assert not known[each.id].states.keys() & look.errors.keys()
                elif each.what in ("red", "reopened", "opened"):
                    greens[each.id] = 0
                if each.what == "closed":
                    assert greens[each.id] == 2
                if each.id in known:
                    assert known[each.id].gateway.key == look.gateway.key
                    assert known[each.id].is_open == (each.what != "reopened")
            assert len({each.id for each in new}) == len(new), "one event for one incident"
        else:
            new = [Event(each.id, now, step, by="anna") for each in known.values() if each.is_open][:1]
        # What is read back is what was written.
        lines += [back for each in new if (back := Event.parse(json.loads(json.dumps(each.as_json()))))]
        assert lines[len(lines) - len(new) :] == new
        _consistent(fold(lines), now)
        now += timedelta(seconds=pause_s)


def _consistent(known: Mapping[str, Incident], now: datetime) -> None:
    still = [each for each in known.values() if each.is_open]
    states = [(each.gateway.key, check) for each in still for check in each.states]
    assert len(set(states)) == len(states)
    for each in known.values():
        assert (each.time_to_recover_s or 0) >= 0
        assert (each.time_to_detect_s or 0) >= 0
        assert each.age_s(now) >= 0
        assert each.cause.name in each.states
        assert all(len(line) < 2000 for line in incident_text.story(each, now))
        json.dumps(incident_text.as_json(each, now))


# -- the book ---------------------------------------------------------------------------------------------------------


GOOD = Event("20261122-194115-gateway-hung", START, "opened", Fault.of(finding("gateway/hung")), gateway=MINE).as_json()


@pytest.mark.parametrize(
    "broken",
    [
        {**GOOD, "v": 2},
        {**GOOD, "what": "teleported"},
        {**GOOD, "what": []},
        {**GOOD, "at": "yesterday"},
        {**GOOD, "at": "2026-11-22T19:41:15"},
        {**GOOD, "at": 1},
        {**GOOD, "id": ""},
        {**GOOD, "id": {}},
        {**GOOD, "fault": "hung"},
        {**GOOD, "fault": {"check": "gateway/hung", "severity": "loud"}},
        {**GOOD, "gateway": {"key": None}},
        {**GOOD, "versions": [1]},
        {**GOOD, "attempt": {"record": "x", "outcome": "won"}},
        {**GOOD, "first_sign": "9999-12-31T23:59:59-23:59"},
        {},
        {"v": 1},
    ],
    ids=lambda broken: json.dumps(broken)[-30:],
)
def test_a_line_that_is_no_event_is_counted_and_left_out(days: Days, broken: dict[str, object]) -> None:
    """Whoever wrote it: the incidents beside it are read, and the reader says how many lines were not."""
    days.see(run("gateway/hung"))
    with days.book.path.open("a") as file:
        file.write(json.dumps(broken) + "\n" + '{"v":1,"id":"torn')
    told = incidents.read(days.book)
    assert (len(told.incidents), told.skipped) == (1, 2)
    assert days.see(run("gateway/hung")).skipped == 2


def test_what_was_never_opened_is_no_incident(days: Days) -> None:
    """Events without their beginning are left out, and nobody can name them."""
    with days.book.writing() as append:
        append(Event("ghost", START, "noted", text="boo").as_json())
    assert not incidents.read(days.book).ids
    with pytest.raises(UnknownIncident):
        incidents.read_one(days.book, "ghost")


def test_times_are_kept_in_utc() -> None:
    """Whatever zone a moment was given in."""
    assert utc(datetime(2026, 11, 22, 21, 41, 15, tzinfo=timezone(timedelta(hours=2)))) == "2026-11-22T19:41:15.000Z"


def test_members_of_a_later_release_are_left_out() -> None:
    """Lines may gain members; a finding may lack some."""
    assert Event.parse({**GOOD, "mood": "bad"}) == Event.parse(GOOD)
    assert Event.parse({**GOOD, "fault": {"check": "a/b", "severity": "error"}})


def test_long_texts_are_cut() -> None:
    """No stranger's text makes a line of the book endless."""
    event = Event("x", START, "noted", Fault.of(finding("a/b", "y" * 10**6)), by="z" * 10**6, text="t" * 10**6)
    assert len(json.dumps(event.as_json())) < 10_000


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("20261122-194115-gateway-hung", "20261122-194115-gateway-hung"),
        ("20261122-1951", "20261122-195115-cron-job-failing"),
        ("last", "20261122-194115-gateway-hung"),
    ],
)
def test_found_by_name(days: Days, name: str, expected: str) -> None:
    """An id, its unique beginning, or the one that was last opened or reopened."""
    days.see(run("gateway/hung"), run(), run("cron/job-failing"), run("cron/job-failing"), run("gateway/hung"))
    assert list(incidents.read_one(days.book, name).incidents) == [expected]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("2026", "2 begin so: 20261122-194115-gateway-hung, 20261122-194615-cron-job-failing"),
        ("20261122-194115-gateway-hang", "no such id; nearest: 20261122-194115-gateway-hung"),
        ("\x1b[2J", "incident ␛[2J: no such id; nearest: 20261122-194115-gateway-hung"),
        ("", "no such id"),
    ],
)
def test_not_found_by_name(days: Days, name: str, said: str) -> None:
    """What is nobody's name, or not only one's, names those that come near."""
    days.see(run("gateway/hung"), run("cron/job-failing"))
    with pytest.raises(UnknownIncident, match=re.escape(said)):
        incidents.read_one(days.book, name)


def test_an_empty_book_has_no_last(days: Days) -> None:
    """Nothing to name."""
    with pytest.raises(UnknownIncident, match="incident last: none is on record"):
        incidents.read_one(days.book, "last")


def test_ids_are_short_plain_and_of_their_own() -> None:
    """An id pastes into a shell and a file name, whatever the finding is called."""
    assert new_id("logs/br.control_timeout", START) == "20261122-194115-logs-br-control-timeout"
    hostile = new_id("cron/job-failing:$(reboot) `x` ../../" + "y" * 500, START, {"a"})
    assert re.fullmatch(r"20261122-194115-[a-z0-9-]{1,40}", hostile)
    assert new_id("a/b", START, {"20261122-194115-a-b", "20261122-194115-a-b-2"}) == "20261122-194115-a-b-3"


def test_a_full_disk_costs_the_incident_and_is_said(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller gets one sentence to say beside the verdict; the next run with room writes what is still so."""

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.write", full)
        with pytest.raises(JournalError, match=r"incidents\.jsonl could not be written: No space left on device"):
            days.see(run("gateway/hung"))
    days.see(run("gateway/hung"))
    assert days.told == [["opened"]]


OBSERVE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from oc_ops.judge.finding import Finding
from oc_ops.record import incidents
from oc_ops.record.events import Fault, Gateway
from oc_ops.record.incident_rules import RunSummary
hung = Finding("gateway/hung", "error", "it hangs", "nothing", "openclaw gateway restart")
look = RunSummary("unhealthy", True, Gateway("a1b2c3d4e5f6"), (Fault.of(hung),))
book = incidents.journal(Path(sys.argv[2]))
book.wait_s = 30
sys.stdin.read()
print(incidents.observe_run(book, look, datetime.now(UTC)).what)
"""


@pytest.mark.timeout(60)
def test_eight_runs_at_once_open_one_incident(tmp_path: Path) -> None:
    """What one of them opens, the others find open."""
    argv = [sys.executable, "-I", "-c", OBSERVE, str(PROJECT), str(tmp_path)]
    runs = [subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    for each in runs:
        assert each.stdin is not None
        each.stdin.close()
    said = sorted(each.stdout.read().strip() for each in runs if each.stdout)
    assert [each.wait() for each in runs] == [0] * 8
    assert said == ["lasts"] * 7 + ["opened"]
    assert len(incidents.read(incidents.journal(tmp_path)).incidents) == 1


def year(path: Path, lines: int) -> None:
    """A book of incidents that were opened, changed, green and closed, one after the other."""
    path.parent.mkdir()
    red = Fault.of(finding("gateway/hung"))
    whats: tuple[tuple[What, Fault | None], ...] = (
        ("opened", red), ("changed", red), ("green", None), ("closed", None)
    )  # fmt: skip
    events = [Event("ID", START, what, each, gateway=MINE, evidence="~/reports/runs/2026") for what, each in whats]
    story = "".join(json.dumps(each.as_json(), separators=(",", ":")) + "\n" for each in events)
    with path.open("w") as file:
        for number in range(lines // 4):
            at = START + timedelta(minutes=20 * number)
            name = f"{at:%Y%m%d-%H%M%S}-gateway-hung"
            file.write(story.replace('"ID"', f'"{name}"').replace(utc(START), utc(at)))


@pytest.mark.timeout(120)
def test_years_of_incidents_are_read_fast(days: Days) -> None:
    """100,000 lines cost a run a fraction of a second: what was closed long ago is not parsed."""
    year(days.book.path, 100_000)
    days.now = START + timedelta(days=365)
    began = time.process_time()
    update = days.see(run())
    took_s = time.process_time() - began
    assert update.changed == ()
    assert took_s < 1
    assert days.see(run("gateway/hung")).what == "opened"


# -- in words ---------------------------------------------------------------------------------------------------------


def test_the_sentence_beside_the_verdict(days: Days) -> None:
    """Opened, since when, green, closed, back: in one line, with who cares for it and what else is open."""
    said = []
    looks = [run("gateway/hung"), run("gateway/hung"), run(), run(), run("gateway/hung")]
    for number, each in enumerate(looks):
        said.append(days.see(each).sentence(days.now))
        if number == 0:
            incidents.tell(days.book, "last", Event("", days.now, "acknowledged", by="anna"))
    name = "incident 20261122-194115-gateway-hung"
    assert said == [
        f"{name}: opened by this run",
        f"{name}: since 2026-11-22 19:41:15 UTC (10 min); acknowledged by anna",
        f"{name}: green once after 10 min; the next green run closes it; acknowledged by anna",
        f"{name}: closed after 10 min; acknowledged by anna",
        f"{name}: reopened, 1× back after green, first red 25 min ago",
    ]


def test_what_report_json_holds(days: Days) -> None:
    """Id, cause, state, since when, what this run did; null without an incident."""
    assert days.see(run()).as_json() is None
    days.see(run("gateway/hung", sign=START - timedelta(seconds=3)))
    told = days.see(run("gateway/hung")).as_json()
    assert told == {
        "id": "20261122-194615-gateway-hung",
        "cause": "gateway/hung",
        "state": "red",
        "since": "2026-11-22T19:46:15.250Z",
        "this_run": "lasts",
        "flaps": 0,
        "time_to_detect_s": 303.0,
        "time_to_recover_s": None,
        "open": ["20261122-194615-gateway-hung"],
    }


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0 s"), (41.9, "41 s"), (60, "1 min"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_spans(seconds: float, shown: str) -> None:
    """Two units at most."""
    assert incident_text.span(seconds) == shown
