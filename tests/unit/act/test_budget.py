"""The bounds of recovery: whose restarts count, how long, and when an incident may have another attempt."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from oc_ops.act.recover import budget, log
from oc_ops.act.recover.budget import Act, Bounds
from oc_ops.act.recover.log import RecoveryLog
from oc_ops.act.recover.wait import Clock
from oc_ops.record.incidents.events import Attempt, Event, Fault, GatewayName, What
from oc_ops.record.incidents.incident import Incident
from oc_ops.record.redact import Redactor

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LIMITS = Bounds(3, 6, 300.0)
KEY = "0123456789ab"


def ago(minutes: float) -> datetime:
    """A moment before noon."""
    return NOON - timedelta(minutes=minutes)


def acts(*minutes: float, by: str = "oc-ops recover") -> tuple[Act, ...]:
    """Restarts so many minutes before noon."""
    return tuple(Act(ago(each), "gateway", by, ago(each)) for each in sorted(minutes, reverse=True))


@pytest.mark.parametrize(
    ("minutes", "refused"),
    [
        ((), ""),
        ((10,), ""),
        ((50, 30, 10), "the budget of 3 restarts of the gateway an hour is spent until 12:10:00 UTC"),
        ((61, 30, 10), ""),
        ((1400, 1300, 1200, 300, 200, 100), "the budget of 6 restarts of the gateway a day is spent until 12:40:00"),
        ((1441, 1300, 1200, 300, 200, 100), ""),
        ((4,), "the last one (oc-ops recover) was at 11:56:00 UTC; the cool-down ends in 60 s"),
    ],
    ids=["none", "one", "three-an-hour", "one-is-older", "six-a-day", "one-of-yesterday", "cool-down"],
)
def test_the_budget_is_a_sliding_window(minutes: tuple[float, ...], refused: str) -> None:
    """Three within any hour, six within any day, none within the cool-down, and it says until when."""
    said = budget.exhausted(acts(*minutes), "gateway", LIMITS, NOON)
    assert said.startswith(refused) if refused else said == ""


@pytest.mark.parametrize(
    ("minutes", "refused"),
    [
        ((-45, -30, -15), "the budget of 3 restarts of the gateway an hour is spent until 13:15:00 UTC"),
        ((-30, 20, 40), "the budget of 3 restarts of the gateway an hour is spent until 12:20:00 UTC"),
        ((-1400,), "the last one (oc-ops recover) was at 11:20:00 UTC; the cool-down ends in 84300 s"),
        ((-1441, -1450, -1460), ""),
    ],
    ids=["three-ahead", "one-ahead", "cool-down", "a-clock-that-was-days-ahead"],
)
def test_a_clock_that_was_set_back_frees_no_budget(minutes: tuple[float, ...], refused: str) -> None:
    """What seems to lie ahead has been done all the same; a day and more ahead it was a clock that went quite wrong."""
    said = budget.exhausted(acts(*minutes), "gateway", LIMITS, NOON)
    assert said.startswith(refused) if refused else said == ""


def test_a_browser_s_restarts_are_counted_apart() -> None:
    """A gateway that spent its budget leaves the browser its own, and the other way round."""
    assert budget.exhausted(acts(50, 30, 10), "browser", LIMITS, NOON) == ""
    tabs = tuple(Act(ago(each), "browser", "oc-ops recover") for each in (50, 30, 10))
    assert budget.exhausted(tabs, "gateway", LIMITS, NOON) == ""
    assert budget.exhausted(tabs, "browser", LIMITS, NOON).startswith("the budget of 3 restarts of the browser")


def record(memory: Path, minutes: float, *, key: str = KEY, action: str = "restart", ended: bool = True) -> None:
    """The record of a recovery that acted so many minutes before noon, for five seconds; or was killed in it."""
    now = ago(minutes)
    log = RecoveryLog.open(memory, Redactor((), Path("/nowhere")), Clock(now=lambda: now))
    log.note("recover", "begin", gateway=key)
    log.note("act", "begin", action=action)
    if ended:
        now = now + timedelta(seconds=5)
        log.note("act", "end", accepted=True)
        log.note("recover", "end", exit=0)


def audit(state: Path, *minutes: float, words: str = "openclaw gateway lifecycle source=cli action=restart") -> None:
    """OpenClaw's own restart log."""
    (state / "logs").mkdir(parents=True, exist_ok=True)
    lines = (f"[{ago(each):%Y-%m-%dT%H:%M:%S}.000Z] {words} mode=systemctl-restart\n" for each in minutes)
    (state / "logs" / "gateway-restart.log").write_text("".join(lines))


def test_own_records_and_openclaw_s_log_are_one_count(tmp_path: Path) -> None:
    """Two of ours, each of which OpenClaw wrote down as well, and one that somebody typed, are three."""
    record(tmp_path, 50)
    record(tmp_path, 30)
    audit(tmp_path, 49.9, 29.5, 10)
    found = budget.all_acts(tmp_path, tmp_path, KEY, NOON)
    assert [round((NOON - each.at).total_seconds() / 60) for each in found] == [50, 30, 10]
    assert found[-1].by == "others, by gateway-restart.log"
    assert "2 by oc-ops recover, 1 by others" in budget.exhausted(found, "gateway", LIMITS, NOON)


def test_a_stranger_s_three_restarts_leave_nothing(tmp_path: Path) -> None:
    """Another tool's restarts spend the budget although recovery never acted."""
    audit(tmp_path, 40, 30, 20)
    refused = budget.exhausted(budget.all_acts(tmp_path, tmp_path, KEY, NOON), "gateway", LIMITS, NOON)
    assert "3 by others, by gateway-restart.log" in refused


def test_a_killed_recovery_s_act_counts(tmp_path: Path) -> None:
    """Begun and never ended is an act; a record that was torn is read as far as it goes."""
    record(tmp_path, 10, ended=False)
    path = log.records(tmp_path)[0]
    path.write_bytes(path.read_bytes() + b'{"v":1,"at":"2026-11')
    assert [each.ended_at for each in budget.own_acts(tmp_path, KEY, NOON)] == [None]


def test_other_gateways_and_refusals_do_not_count(tmp_path: Path) -> None:
    """A record of another state directory, one of a day ago, and one that never acted spend nothing."""
    record(tmp_path, 10, key="another00000")
    record(tmp_path, 60 * 24 + 5)
    log = RecoveryLog.open(tmp_path, Redactor((), Path("/nowhere")), Clock(now=lambda: ago(5)))
    log.note("recover", "begin", gateway=KEY)
    log.note("recover", "end", exit=3)
    assert budget.all_acts(tmp_path, tmp_path, KEY, NOON) == ()


def incident(*events: tuple[float, What], attempt: float | None = None, outcome: str = "ineffective") -> Incident:
    """An incident that was opened an hour before noon, with these events and perhaps an attempt, by minutes."""
    fault = Fault("gateway/hung", "error", "it hangs", "silence", "openclaw gateway restart")
    told = [Event("i", ago(60), "opened", fault=fault, gateway=GatewayName(KEY))]
    if attempt is not None:
        for word in ("begun", outcome):
            told.append(Event("i", ago(attempt), "attempt", attempt=Attempt("r", "restart", word)))  # type: ignore[arg-type]
    told += [Event("i", ago(minutes), what, fault=fault) for minutes, what in events]
    return Incident("i", tuple(sorted(told, key=lambda each: each.at)))


@pytest.mark.parametrize(
    ("told", "may"),
    [
        (None, True),
        (incident(), True),
        (incident(attempt=30), False),
        (incident((20, "seen"), attempt=30), False),
        (incident((20, "green"), (10, "red"), attempt=30), True),
        (incident((20, "acknowledged"), attempt=30), True),
        (incident((40, "acknowledged"), attempt=30), False),
    ],
    ids=["none", "no-attempt", "attempted", "seen-again", "green-since", "taken-on-since", "taken-on-before"],
)
def test_an_incident_has_one_attempt_until_somebody_has_looked_again(told: Incident | None, may: bool) -> None:
    """A second one needs a green look or a person since the first."""
    assert (budget.attempted(told) == "") is may


def test_an_attempt_that_was_killed_is_said_to_be() -> None:
    """`begun` as the last word means that recovery died in the middle."""
    assert "was cut off in the middle" in budget.attempted(incident(attempt=30, outcome="begun"))


@pytest.mark.parametrize(
    ("told", "fresh"),
    [(None, True), (incident(), False), (incident((0.5, "red")), True), (incident((2, "red")), False)],
    ids=["no-incident", "lasts", "red-again", "red-two-minutes"],
)
def test_a_fault_is_young_until_it_has_lasted(told: Incident | None, fresh: bool) -> None:
    """What was healthy a minute ago wants a second look."""
    assert budget.is_fresh(told, NOON, 60.0) is fresh
