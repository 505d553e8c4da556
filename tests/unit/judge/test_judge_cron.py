"""The judges of the scheduler and all jobs: one that stands is one finding, and what runs is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from oc_ops.errors import CouldNotLook
from oc_ops.judge import cron, schedule
from oc_ops.judge.cron import KeptJob
from oc_ops.observe.jobs import Job, Jobs, Schedule, jobs_of
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.rpc import RpcReply
from tests.support.sights import answer, reply

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
NOW_MS = schedule.milliseconds(NOW)
MINUTE, HOUR = 60_000, 3_600_000
WORDS = "cron list --json"
JOBS = {"jobs": [{"id": "a1", "name": "ok", "enabled": True, "state": {}}], "total": 1, "hasMore": False}
WELL = Job(
    "a", "a", enabled=True, schedule=Schedule("every", every_ms=HOUR), next_run_ms=NOW_MS + MINUTE,
    last_run_ms=NOW_MS - 59 * MINUTE, last_status="ok",
)  # fmt: skip


def job(number: int, **state: Any) -> Job:
    """One of many jobs."""
    return replace(WELL, id=f"id-{number}", name=f"job-{number}", **state)


def seen(*jobs: Job, complete: bool = True) -> Jobs:
    """The gateway's jobs, as it told them."""
    return Jobs(jobs, "rpc", NOW, complete=complete)


def late(number: int, **state: Any) -> Job:
    """A job whose due time passed half an hour ago."""
    return job(number, **{"next_run_ms": NOW_MS - 30 * MINUTE, **state})


def test_a_standing_scheduler_is_one_finding() -> None:
    """Thirty-one of thirty-three, heartbeats among them, and nobody needs to watch one."""
    jobs = [late(number, managed=number == 0) for number in range(31)] + [job(31), job(32)]
    found = cron.stalled(seen(*jobs), 300, None)
    assert found is not None
    assert (found.check, found.severity) == ("cron/stalled", "error")
    assert "31 of 33 enabled jobs" in found.fact


def test_heartbeats_that_run_for_hours_are_a_standing_scheduler() -> None:
    """Eight monitors wedged for half a day."""
    jobs = [job(number, running_ms=NOW_MS - 12 * HOUR) for number in range(8)] + [job(number) for number in (8, 9)]
    found = cron.stalled(seen(*jobs), 300, None)
    assert found is not None
    assert "8 are marked as running for hours" in found.saw


def test_few_late_jobs_stand_if_nothing_at_all_began_since() -> None:
    """Two of ten are due, the others not yet: no run since the first of them was due."""
    jobs = [late(number) for number in range(2)] + [job(number) for number in range(2, 10)]
    assert cron.stalled(seen(*jobs), 300, None) is not None


@pytest.mark.parametrize(
    "jobs",
    [
        [job(1), job(2)],
        [late(1)],
        [late(1, enabled=False), late(2, enabled=False)],
        [late(1, next_run_ms=NOW_MS - 4 * MINUTE), late(2, next_run_ms=NOW_MS - MINUTE)],
        [late(1), late(2), job(3, running_ms=NOW_MS - 20 * MINUTE)],
        [late(1), late(2), *(job(number, last_run_ms=NOW_MS - MINUTE) for number in range(3, 9))],
        [],
    ],
    ids=["all due later", "one alone", "disabled", "within grace", "behind a long run", "others run", "none"],
)
def test_a_scheduler_that_works_is_not_standing(jobs: Sequence[Job]) -> None:
    """Near to it, and well."""
    assert cron.stalled(seen(*jobs), 300, None) is None


def test_a_gateway_that_just_started_gets_to_catch_up() -> None:
    """Due times of before its start are no fault of the first minutes."""
    assert cron.stalled(seen(late(1), late(2)), 300, 60.0) is None
    assert cron.stalled(seen(late(1), late(2)), 300, 3600.0) is not None


def told(**state: Any) -> Jobs:
    """One job as `cron.list` of 2026.9.6 tells it, with this state."""
    delivery = state.pop("delivery", {"mode": "announce", "channel": "telegram", "to": "42"})
    entry = {"id": "j", "name": "tell", "enabled": True, "delivery": delivery, "state": state}
    return Jobs(jobs_of({"jobs": [entry]}), "rpc", NOW)


UNTOLD = {
    "lastRunStatus": "ok",
    "lastDeliveryStatus": "not-delivered",
    "lastDeliveryError": "Network request for 'sendMessage' failed!",
}


def test_a_watched_job_that_told_nobody_is_an_error() -> None:
    """Another one is a warning, and so is one whose channel is known to be down or that may lose it."""

    def severity(watched: bool, down: tuple[str, ...] = (), **state: Any) -> str:
        (found,) = cron.undelivered(told(**UNTOLD, **state), ["j"] if watched else [], down)
        assert "sendMessage" in found.saw
        return found.severity

    assert severity(watched=True) == "error"
    assert severity(watched=False) == "warning"
    assert severity(watched=True, down=("telegram",)) == "warning"
    assert severity(watched=True, delivery={"mode": "announce", "bestEffort": True}) == "warning"


@pytest.mark.parametrize(
    "state",
    [
        {**UNTOLD, "lastDeliveryStatus": "delivered"},
        {**UNTOLD, "lastDeliveryStatus": "not-requested"},
        {**UNTOLD, "lastDeliveryStatus": "unknown"},
        {**UNTOLD, "deliverySuppressionReason": "silent"},
        {**UNTOLD, "lastRunStatus": "error"},
        {},
    ],
    ids=["delivered", "none wanted", "unknown", "had nothing to say", "the run itself failed", "never ran"],
)
def test_a_job_that_told_whom_it_should_is_silent(state: dict[str, Any]) -> None:
    """No message wanted, none to send, or a fault that another finding names."""
    assert not list(cron.undelivered(told(**state), ["j"], ()))


def test_jobs_that_fail_unwatched_are_one_warning() -> None:
    """Three failures in a row, or switched off by OpenClaw; a watched one has its own finding."""
    failing = [job(number, consecutive_errors=5, last_error="exit 3") for number in range(4)]
    found = cron.failing_unwatched(seen(*failing), ["id-0"])
    assert found is not None
    assert (found.severity, "3 jobs" in found.fact) == ("warning", True)
    given_up = cron.failing_unwatched(seen(job(1, enabled=False, auto_disabled="ten failures")), [])
    assert given_up is not None
    for well in (job(1, consecutive_errors=2), job(1, enabled=False, consecutive_errors=9), job(1)):
        assert cron.failing_unwatched(seen(well), []) is None


def test_jobs_that_are_gone_since_the_last_look() -> None:
    """Most are an error, one a warning; another id, a one-shot and a missing page are nothing."""
    before = cron.known(seen(*(job(number) for number in range(4)), job(9, managed=True)))
    assert "id-9" not in before
    most = cron.jobs_lost(before, seen(job(0)))
    one = cron.jobs_lost(before, seen(*(job(number) for number in range(3))))
    assert most is not None
    assert one is not None
    assert (most.severity, one.severity) == ("error", "warning")
    assert cron.jobs_lost(before, seen(*(job(number) for number in range(5)))) is None
    assert cron.jobs_lost(before, seen(*(replace(job(number), id=f"new-{number}") for number in range(4)))) is None
    assert cron.jobs_lost({"x": KeptJob("once", one_shot=True)}, seen()) is None
    assert cron.jobs_lost(before, seen(complete=False)) is None
    assert cron.jobs_lost({}, seen(job(1))) is None


def test_jobs_in_a_file_that_no_migration_took() -> None:
    """An error where the gateway has none of them, a warning where it has some; what it has, or is off, is nothing."""
    left = (job(1), job(2))
    none_taken, some = cron.unmigrated(left, seen(job(7)), "f"), cron.unmigrated(left, seen(job(1)), "f")
    assert none_taken is not None
    assert some is not None
    assert (none_taken.severity, some.severity) == ("error", "warning")
    assert cron.unmigrated(left, seen(job(1), job(2)), "f") is None
    assert cron.unmigrated(tuple(replace(each, enabled=False) for each in left), seen(), "f") is None
    assert cron.unmigrated((), seen(job(1)), "f") is None
    once = Schedule("at", at_ms=NOW_MS - HOUR)
    assert cron.unmigrated((job(1, schedule=once),), seen(), "f") is None


def test_beside_a_standing_scheduler_each_watched_job_is_a_warning() -> None:
    """One cause stands alone; without one, nothing is made smaller than it is."""
    found = cron.stalled(seen(late(1), late(2)), 300, None)
    assert found is not None
    assert [each.severity for each in cron.beside_cause([found], cause=True)] == ["warning"]
    assert cron.beside_cause([found], cause=False) == (found,)


ASKS = {"payload_kind": "agentTurn", "agent": "worker"}


def test_a_job_whose_agent_is_gone_is_named_before_it_fails_again_and_again() -> None:
    """2026.9.6: "cron job agent is unavailable: worker", at every run; three failures may be three weeks."""
    jobs = seen(job(1, **ASKS), job(2))
    (found,) = cron.agent_missing(jobs, ["main"], ())
    assert (found.check, found.severity) == ("cron/agent-missing", "warning")
    assert 'the agent "worker", which does not exist' in found.fact
    (watched,) = cron.agent_missing(jobs, ["main"], ["id-1"])
    assert watched.severity == "error"


@pytest.mark.parametrize(
    ("state", "agents"),
    [
        (ASKS, ["main", "Worker"]),
        (ASKS, None),
        (ASKS, []),
        ({**ASKS, "enabled": False}, ["main"]),
        ({**ASKS, "agent": ""}, ["main"]),
        ({**ASKS, "payload_kind": "command"}, ["main"]),
    ],
    ids=["there", "not told", "none told", "disabled", "names none", "needs none"],
)
def test_a_job_that_has_its_agent_or_needs_none_is_well(state: dict[str, Any], agents: list[str] | None) -> None:
    """And what the release does not tell is not judged."""
    assert not list(cron.agent_missing(seen(job(1, **state)), agents, ()))


def test_jobs_that_were_all_disabled_are_said_once() -> None:
    """They ran at the last look; a gateway-made heartbeat runs on and is none of the operator's work."""
    before = cron.known(seen(job(1), job(2)))
    off = seen(job(1, enabled=False), job(2, enabled=False), job(3, managed=True))
    found = cron.all_disabled(before, off)
    assert found is not None
    assert (found.check, found.severity) == ("cron/all-disabled", "warning")
    assert "all 2 cron jobs" in found.fact
    assert cron.all_disabled(cron.known(off), off) is None


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ([job(1), job(2)], [job(1, enabled=False), job(2)]),
        ([job(1)], [job(1, enabled=False)]),
        ([job(1), job(2)], [job(1, enabled=False), job(2, enabled=False), job(3)]),
        ([job(1, enabled=False), job(2, enabled=False)], [job(1, enabled=False), job(2, enabled=False)]),
        ([job(1), job(2)], []),
    ],
    ids=["one runs", "one alone", "a new one runs", "they were off", "gone"],
)
def test_jobs_of_which_some_run_or_none_did_are_left_alone(before: list[Job], now: list[Job]) -> None:
    """Near to it, and no news."""
    assert cron.all_disabled(cron.known(seen(*before)), seen(*now)) is None


@pytest.mark.parametrize(
    ("seen", "saw"),
    [
        (reply("cron.list", JOBS), None),
        (reply("cron.list", {"jobs": []}), None),
        (answer(JOBS, WORDS), None),
        (answer({"jobs": []}, WORDS, "lingered"), None),
        (reply("cron.list", outcome="silent", message="no answer within 4 s", wall_s=4.0), "silent after 4.0 s"),
        (reply("cron.list", outcome="error", code="INTERNAL", message="database is locked"), "INTERNAL database is"),
        (reply("cron.list", outcome="closed"), "closed after"),
        (reply("cron.list", outcome="unsupported", message="this gateway has no cron.list"), "has no cron.list"),
        (reply("cron.list", {}), "without a list of jobs"),
        (reply("cron.list", {"jobs": None}), "without a list of jobs"),
        (reply("cron.list", {"jobs": {"a": 1}}), "without a list of jobs"),
        (reply("cron.list", None), "without a list of jobs"),
        (reply("cron.list", "jobs"), "without a list of jobs"),
        (answer(None, WORDS, "timed-out"), "timed out after"),
        (answer(None, WORDS, "refused", "GatewayTransportError: gateway timeout after 30000ms"), "gateway timeout"),
        (answer({"ok": False, "error": {"message": "no"}}, WORDS, "refused"), "exited 1"),
        (answer(JOBS, WORDS, "refused"), "exited 1"),
        (answer({"jobs": "none"}, WORDS), "without a list of jobs"),
        (answer(None, WORDS), "answered in"),
    ],
    ids=["RPC", "RPC, no jobs", "CLI", "CLI lingers", "RPC silent", "RPC error", "RPC closed", "RPC without method",
         "RPC, empty", "RPC, null jobs", "RPC, jobs an object", "RPC, null", "RPC, a text", "CLI timed out",
         "CLI 2026.5.28 hung", "CLI 2026.9.6 refused", "CLI jobs and exit 1", "CLI, jobs a text", "CLI, plain text"],
)  # fmt: skip
def test_list_unanswered(seen: RpcReply | Answer, saw: str | None) -> None:
    """Only a list of jobs is an answer, whichever way it was asked for."""
    finding = cron.list_unanswered(seen)
    assert (finding is None) == (saw is None)
    if finding is not None and saw is not None:
        assert finding.check == "cron/list-unanswered"
        assert saw in finding.saw
        assert "restart" not in finding.fix


def test_scheduler_on_and_off() -> None:
    """A scheduler that says it is disabled is a finding; one that says it is enabled is none."""
    status = {"storePath": "/home/joe/.openclaw/cron/jobs.json", "jobs": 3, "nextWakeAtMs": None}
    assert cron.scheduler_off({"enabled": True, **status}) is None
    finding = cron.scheduler_off({"enabled": False, **status})
    assert finding is not None
    assert finding.check == "cron/scheduler-off"


@pytest.mark.parametrize("status", [None, {}, [], "on", {"enabled": None}, {"enabled": "false"}, {"enabled": 1}])
def test_a_status_that_does_not_say_is_not_taken_for_on(status: object) -> None:
    """A reply that is missing or malformed could not be looked at; it is never green."""
    with pytest.raises(CouldNotLook, match="did not say whether"):
        cron.scheduler_off(status)
