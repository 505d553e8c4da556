"""What is news and what is not, what was told already, and what waits for somebody's decision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from oc_ops.notify.news import FILE, Announcement, News, NotifyState, PendingApproval, news, read, save, waiting
from oc_ops.record.incidents.events import Attempt, Event, Fault, GatewayName
from oc_ops.record.incidents.incident import Incident

T0 = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
HUNG = Fault("gateway/hung", "error", "the gateway answers none", "no byte in 2.0 s", "openclaw gateway restart")


def at(minutes: float) -> datetime:
    """That many minutes after the first red."""
    return T0 + timedelta(minutes=minutes)


def incident(*events: Event, fault: Fault = HUNG) -> Incident:
    """An incident that was opened at T0, and what happened to it since."""
    opened = Event("i1", T0, "opened", fault=fault, gateway=GatewayName("k", None, 18789), evidence="~/reports/runs/1")
    return Incident("i1", (opened, *events))


def event(minutes: float, what: str, **members: object) -> Event:
    """Something that happened to it."""
    return Event("i1", at(minutes), what, **members)  # type: ignore[arg-type]


def told_now(one: Incident, known: Announcement | None, minutes: float, **more: object) -> News | None:
    """What is news of this one incident."""
    found = news([one], {"i1": known} if known else {}, at(minutes), 3600.0, **more)  # type: ignore[arg-type]
    return found[0] if found else None


# -- what is news -----------------------------------------------------------------------------------------------------


def test_the_first_red_is_told_once() -> None:
    """Who it is, what is wrong, what helps, which incident; and then silence while nothing changes."""
    first = told_now(incident(), None, 0.1, host="joes-mac")
    assert first is not None
    assert (first.kind, first.title) == ("down", "PROBLEM: gateway/hung on joes-mac")
    assert first.body.splitlines() == [
        "the gateway answers none",
        "fix: openclaw gateway restart",
        "gateway: profile default, port 18789",
        "incident i1, since 2026-11-22 12:00:00 UTC",
        "report: ~/reports/runs/1",
    ]
    assert [told_now(incident(), first.told, minutes) for minutes in (0.1, 5, 59.9)] == [None] * 3


def test_what_lasts_is_told_again_ever_more_rarely() -> None:
    """After an hour, two, four, eight: a day of outage is five messages, not 288."""
    known, when = Announcement(at(0.0)), []
    for minutes in range(0, 24 * 60, 5):
        if found := told_now(incident(), known, minutes):
            assert found.kind == "still down"
            known = found.told
            when.append(minutes / 60)
    assert when == [1, 2, 4, 8, 16]


def test_a_machine_that_slept_tells_once() -> None:
    """Reminders that fell due while nobody looked are one."""
    found = told_now(incident(), Announcement(T0), 9 * 60)
    assert found is not None
    assert found.title == "STILL THERE after 9 h: gateway/hung"
    assert told_now(incident(), found.told, 9 * 60 + 5) is None


@pytest.mark.parametrize(
    "event_",
    [event(5, "acknowledged", by="ann"), event(50, "green"), event(5, "muted", until=at(600))],
    ids=["taken on", "green once", "muted"],
)
def test_who_is_not_told_again(event_: Event) -> None:
    """Somebody has taken it on; it is about to be over; nobody wants to know."""
    assert told_now(incident(event_), Announcement(T0), 61) is None
    assert told_now(incident(), Announcement(T0), 61) is not None


def test_recovered_is_told_to_those_who_knew() -> None:
    """One message, with how long it lasted; nothing where nobody had been told."""
    over = incident(event(20, "green"), event(25, "closed"))
    found = told_now(over, Announcement(T0), 26)
    assert found is not None
    assert (found.kind, found.title) == ("recovered", "RECOVERED after 20 min: gateway/hung")
    assert found.body.splitlines()[0] == "it was: the gateway answers none", "not the fault in the present tense"
    assert told_now(over, found.told, 27) is None
    assert told_now(over, None, 27) is None


def test_closed_by_hand_is_no_recovery() -> None:
    """It says who did."""
    found = told_now(incident(event(25, "closed", by="ann")), Announcement(T0), 26)
    assert found is not None
    assert found.title.startswith("CLOSED by hand after 25 min")
    assert "closed by ann" in found.body


def test_back_again_is_told_again() -> None:
    """After people were told that it was over."""
    back = incident(event(20, "green"), event(25, "closed"), event(40, "reopened", fault=HUNG))
    assert told_now(back, Announcement(T0), 41) is None, "they never heard that it was over"
    found = told_now(back, Announcement(T0, over=True), 41)
    assert found is not None
    assert found.kind == "down"


def test_a_muted_incident_is_silent_until_the_mute_is_over() -> None:
    """Then what is still true is told."""
    muted = incident(event(1, "muted", until=at(60)))
    assert told_now(muted, None, 59) is None
    found = told_now(muted, None, 61)
    assert found is not None
    assert found.kind == "down"
    closed = incident(event(1, "muted", until=at(60)), event(30, "green"), event(35, "closed"))
    assert told_now(closed, Announcement(T0), 40) is None


SPENT = "recover: refused: the budget of 3 restarts of the gateway an hour is spent until 13:00:00 UTC · fix: x"


@pytest.mark.parametrize("known", [None, Announcement(T0)], ids=["new", "known"])
def test_a_spent_budget_is_told_once(known: Announcement | None) -> None:
    """By the run whose recovery was refused for it; of another incident it says nothing."""
    found = told_now(incident(), known, 4, refused={"i1": SPENT})
    assert found is not None
    assert (found.kind, found.title) == ("budget spent", "NOT RECOVERED, the budget is spent: gateway/hung")
    assert f"recovery: {SPENT}" in found.body
    assert told_now(incident(), found.told, 9, refused={"i1": SPENT}) is None
    assert told_now(incident(), Announcement(T0), 4, refused={"i2": SPENT}) is None


@pytest.mark.parametrize(
    "why",
    [
        "the gateway has not come to rest within its start budget of 240 s: starting",
        "the last one (oc-ops recover) was at 11:56:00 UTC; the cool-down ends in 60 s",
        "config/invalid is not cured by recovery: it is never acted on · fix: x",
    ],
    ids=["start budget", "cool-down", "not cured"],
)
def test_another_refusal_is_no_news(why: str) -> None:
    """It is the budget that keeps recovery from an outage that it would cure."""
    assert told_now(incident(), Announcement(T0), 4, refused={"i1": why}) is None


def test_what_recovery_did_stands_in_the_message() -> None:
    """The last attempt with its outcome; and a problem that is green again says so."""
    done = Attempt("recoveries/1", "openclaw gateway restart", "recovered")
    found = told_now(incident(event(1, "attempt", attempt=done, text="it is gone"), event(2, "green")), None, 3)
    assert found is not None
    assert found.title == "PROBLEM, green again after 2 min: gateway/hung"
    assert "recovery openclaw gateway restart: recovered: it is gone" in found.body.splitlines()


def line(what: str, plan: str = "p1", **members: object) -> dict[str, object]:
    """A line of approvals.jsonl, as the breaker writes it."""
    said = {"target": "lock:x", "fact": "nobody holds it", "expires_at": "2026-11-22T12:30:00.000000Z"}
    return {"at": "2026-11-22T12:00:00.0Z", "what": what, "plan": plan, "gateway": "k", **said, **members}


def test_an_act_that_waits_for_approval_is_told_once() -> None:
    """A plan that was made where no terminal is: by an agent, which may not decide."""
    (asked,) = waiting([line("planned", by={"user": "joe", "tty": None})], at(1))
    (found,) = news([], {}, at(1), 3600.0, asked=[asked], host="h")
    assert (found.kind, found.title) == ("approval wanted", "APPROVAL WANTED: lock:x on h")
    assert "oc-ops breaker show lock:x" in found.body
    assert news([], {"p1": found.told}, at(2), 3600.0, asked=[asked]) == ()


def test_an_agent_s_plan_is_a_request_though_its_gateway_runs_on_a_terminal() -> None:
    """A gateway in the foreground lends its terminal to the agents in it."""
    assert len(waiting([line("planned", by={"tty": "/dev/pts/1", "agent": "pid 7 is a gateway"})], at(1))) == 1


@pytest.mark.parametrize(
    ("lines", "minutes"),
    [
        ([line("planned", by={"tty": "/dev/pts/1"})], 1),
        ([line("planned", by={"tty": "/dev/pts/1", "agent": None})], 1),
        ([line("planned"), line("approved")], 1),
        ([line("planned"), line("refused")], 1),
        ([line("planned")], 31),
        ([line("planned", expires_at="soon")], 1),
        ([{}, {"what": "planned"}], 1),
    ],
    ids=["made by who can decide", "made by no agent", "approved", "refused", "void", "no time", "foreign"],
)
def test_what_does_not_wait_for_anybody(lines: list[dict[str, object]], minutes: float) -> None:
    """Decided, void, or made by a person who was asked there and then."""
    assert waiting(lines, at(minutes)) == ()


def test_no_secret_and_no_control_is_in_a_message() -> None:
    """Findings come redacted; a message is looked through once more, line by line."""
    token = "xoxb-1234567890-abcdefghij"
    hostile = Fault("cron/job-failing", "error", f"said {token}\n\x1b[2J", "", f"fix --token {token}", f"job {token}")
    found = told_now(incident(fault=hostile), None, 1)
    asked = news([], {}, T0, 1.0, asked=[PendingApproval("p", f"x {token}", f"token={token}", at(1))])[0]
    assert found is not None
    for text in (found.title, found.body, asked.title, asked.body):
        assert token not in text
        assert "\x1b" not in text


# -- what was told ----------------------------------------------------------------------------------------------------


def test_what_was_told_is_remembered(tmp_path: Path) -> None:
    """Written and read back; what is long over is forgotten, what lasts is not."""
    old = NotifyState(
        {"a": Announcement(at(0), over=True), "b": Announcement(at(0), 3, said=("budget spent",))}, "slack: no"
    )
    save(tmp_path, old)
    assert read(tmp_path) == old
    later = old.after("c", Announcement(T0 + timedelta(days=40)))
    assert set(later.told) == {"b", "c"}


NO_ZONE = '{"told":{"a":{"at":"2026-11-22T12:00:00","times":1,"over":false,"said":[]}},"failed":""}'


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"told": {"a": {}}, "failed": ""}', '{"told": 3, "failed": ""}', NO_ZONE]
)
def test_a_memory_that_cannot_be_read_tells_anew(text: str, tmp_path: Path) -> None:
    """Told twice is better than never."""
    (tmp_path / FILE).write_text(text)
    assert read(tmp_path) == NotifyState()
