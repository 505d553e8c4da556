"""One cause is one incident: what stands beside it, depends on it or only gets in its way opens no other."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from oc_ops.record.incidents import text
from oc_ops.record.incidents.events import Event, Fault, Versions
from oc_ops.record.incidents.incident import fold
from oc_ops.record.incidents.rules import RunSummary, causes, decide
from tests.support.incident_days import CHECKS, DEEP, FOUND_BY, MINE, OTHER, START, Days, finding, run


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
    assert text.told(incident.events[1]) == "first green; CLI is 2; gateway is 2"


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
