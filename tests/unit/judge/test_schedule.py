"""When a job is due: against what OpenClaw itself said of the same schedules, and where it waits on purpose."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from oc_ops.errors import CouldNotLook
from oc_ops.judge import schedule as judge_schedule
from oc_ops.observe.jobs import Job, Schedule

CRONER = json.loads(Path(__file__).with_name("croner_2026.9.6.json").read_text(encoding="utf-8"))
"""[expression, zone, moment, next, previous], in epoch ms: what 2026.9.6's computeNextRunAtMs and
computePreviousRunAtMs gave, TZ=UTC, mostly around clock changes."""

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW_MS = judge_schedule.milliseconds(NOW)
GRACE = 5 * MINUTE
VIENNA = ZoneInfo("Europe/Vienna")


def cron(expression: str, zone: str = "UTC", **changes: int) -> Schedule:
    """A cron schedule."""
    return Schedule("cron", expression, zone, **changes)


def job(schedule: Schedule, **changes: object) -> Job:
    """A job made ten days ago."""
    made = Job("a1", "job", enabled=True, schedule=schedule, created_ms=NOW_MS - 10 * DAY)
    return replace(made, **changes)


def missed(schedule: Schedule, **changes: object) -> datetime | None:
    """What such a job missed by now."""
    return judge_schedule.missed(job(schedule, **changes), NOW, UTC, GRACE)


@pytest.mark.parametrize("expression", sorted({each[0] for each in CRONER}))
def test_cron_expressions_are_due_when_openclaw_says(expression: str) -> None:
    """The last due moment is that of the real scheduler, in every zone and at every clock change."""
    for _, zone, now_ms, next_ms, previous_ms in (each for each in CRONER if each[0] == expression):
        now, schedule = judge_schedule.moment(now_ms), cron(expression, zone)
        if next_ms is not None:
            assert judge_schedule.last_due(schedule, judge_schedule.moment(next_ms), UTC) == judge_schedule.moment(
                next_ms
            )
        before = judge_schedule.last_due(schedule, now - timedelta(milliseconds=1), UTC)
        assert (before and judge_schedule.milliseconds(before)) == previous_ms, (zone, now)


@pytest.mark.parametrize(
    "expression",
    ["", "hello", "* * * *", "* * * * * * *", "0 9 ? * 1", "0 9 15W * *", "0 9 LW * *", "0 9 15 * +1", "60 * * * *",
     "0 24 * * *", "0 9 * * 5#L", "0 0 12 * * * 2027", "@reboot", "0 9 * * 1-", "0 0 30 2 *"],
)  # fmt: skip
def test_an_expression_nobody_here_understands_is_unknown(expression: str) -> None:
    """What cannot be read, or would be read otherwise than by OpenClaw, is said to be so and never taken for due."""
    with pytest.raises(CouldNotLook, match="cannot read the cron expression"):
        judge_schedule.last_due(cron(expression), NOW, UTC)


def test_a_zone_nobody_knows_is_unknown() -> None:
    """A zone that is not in this machine's data is no reason to take another."""
    for zone in ("Mars/Olympus", "../etc/passwd", "/etc/localtime"):
        with pytest.raises(CouldNotLook, match="time zone"):
            judge_schedule.last_due(cron("0 3 * * *", zone), NOW, UTC)


def test_without_a_zone_the_gateway_s_own_counts() -> None:
    """Three o'clock is the gateway's three o'clock."""
    assert judge_schedule.last_due(cron("0 3 * * *", ""), NOW, VIENNA) == datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2027-03-28T00:59:59+00:00", "2027-03-27T01:30:00+00:00"),
        ("2027-03-28T12:00:00+00:00", "2027-03-27T01:30:00+00:00"),
        ("2027-10-31T00:29:59+00:00", "2027-10-30T00:30:00+00:00"),
        ("2027-10-31T01:30:00+00:00", "2027-10-31T00:30:00+00:00"),
    ],
    ids=["before the lost hour", "after it", "before the hour that comes twice", "in its second time"],
)
def test_clock_changes(now: str, last: str) -> None:
    """Half past two in Vienna is left out once a year, and comes twice once a year and is due the first time."""
    schedule, moment = cron("30 2 * * *", "Europe/Vienna"), datetime.fromisoformat(now)
    assert judge_schedule.last_due(schedule, moment, UTC) == datetime.fromisoformat(last)


def test_intervals_count_from_their_anchor_or_from_the_making() -> None:
    """The anchor itself is the moment of making and no due time."""
    every = Schedule("every", every_ms=HOUR, anchor_ms=NOW_MS - 90 * MINUTE)
    assert judge_schedule.last_due(every, NOW, UTC) == NOW - timedelta(minutes=30)
    fresh = Schedule("every", every_ms=HOUR)
    assert judge_schedule.last_due(fresh, NOW, UTC, created_ms=NOW_MS - 10 * MINUTE) is None
    assert judge_schedule.last_due(fresh, NOW, UTC) is None


def test_a_single_moment_is_due_once() -> None:
    """Before it, next; after it, last."""
    once = Schedule("at", at_ms=NOW_MS)
    assert judge_schedule.last_due(once, NOW, UTC) == NOW
    assert judge_schedule.last_due(once, NOW - timedelta(seconds=1), UTC) is None


def test_what_is_not_by_the_clock_is_never_due() -> None:
    """A kind that is not known says nothing."""
    assert judge_schedule.last_due(Schedule("unknown"), NOW, UTC) is None
    assert missed(Schedule("unknown"), last_run_ms=NOW_MS - 9 * DAY) is None


DAILY = cron("0 3 * * *")
SLOT = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
SLOT_MS = judge_schedule.milliseconds(SLOT)
EVERY = Schedule("every", every_ms=HOUR, anchor_ms=NOW_MS - 10 * DAY)


@pytest.mark.parametrize(
    ("schedule", "state", "slot"),
    [
        (DAILY, {"last_run_ms": SLOT_MS - DAY}, SLOT),
        (DAILY, {}, SLOT),
        (DAILY, {"last_run_ms": SLOT_MS + 12}, None),
        (DAILY, {"last_run_ms": SLOT_MS, "last_duration_ms": 0}, None),
        (DAILY, {"last_run_ms": SLOT_MS + 12, "last_status": "error"}, None),
        (DAILY, {"last_run_ms": SLOT_MS - DAY, "enabled": False}, None),
        (DAILY, {"last_run_ms": SLOT_MS - DAY, "running_ms": SLOT_MS}, None),
        (DAILY, {"created_ms": SLOT_MS + 1}, None),
        (DAILY, {"last_run_ms": SLOT_MS - DAY, "updated_ms": SLOT_MS + 1}, None),
        (DAILY, {"last_run_ms": SLOT_MS - 2 * HOUR, "last_duration_ms": 3 * HOUR}, None),
        (cron("0 12 * * *"), {"last_run_ms": NOW_MS - DAY}, None),
        (cron("55 11 * * *"), {"last_run_ms": NOW_MS - DAY - 300_000}, NOW - timedelta(minutes=5)),
        (cron("50 11 * * *", stagger_ms=HOUR), {"last_run_ms": NOW_MS - DAY}, None),
        (cron("0 11 * * *", stagger_ms=HOUR // 2), {"last_run_ms": NOW_MS - DAY}, NOW - timedelta(hours=1)),
        (cron("*/5 * * * *"), {"last_run_ms": NOW_MS - 19 * MINUTE, "last_status": "error", "consecutive_errors": 4},
         None),
        (cron("*/5 * * * *"), {"last_run_ms": NOW_MS - 25 * MINUTE, "last_status": "error", "consecutive_errors": 4},
         NOW - timedelta(minutes=5)),
        (EVERY, {"last_run_ms": NOW_MS - 50 * MINUTE}, None),
        (EVERY, {"last_run_ms": NOW_MS - 64 * MINUTE}, None),
        (EVERY, {"last_run_ms": NOW_MS - 66 * MINUTE}, NOW - timedelta(minutes=6)),
        (EVERY, {"last_run_ms": NOW_MS - 5 * HOUR - 10 * MINUTE}, NOW - timedelta(minutes=10)),
        (EVERY, {"last_run_ms": NOW_MS - 100 * MINUTE, "last_duration_ms": 90 * MINUTE}, None),
        (EVERY, {"last_run_ms": NOW_MS - 130 * MINUTE, "last_duration_ms": 90 * MINUTE}, None),
        (EVERY, {"last_run_ms": NOW_MS - 5 * HOUR - 10 * MINUTE, "updated_ms": NOW_MS - 30 * MINUTE}, None),
        (EVERY, {"last_run_ms": NOW_MS - 5 * HOUR - 10 * MINUTE, "updated_ms": NOW_MS - 70 * MINUTE},
         NOW - timedelta(minutes=10)),
        (EVERY, {}, NOW - timedelta(hours=1)),
        (Schedule("every", every_ms=HOUR), {"created_ms": None}, None),
        (Schedule("at", at_ms=SLOT_MS), {}, SLOT),
        (Schedule("at", at_ms=SLOT_MS), {"last_run_ms": SLOT_MS + 5}, None),
        (Schedule("at", at_ms=SLOT_MS), {"last_run_ms": SLOT_MS - DAY}, SLOT),
        (Schedule("at", at_ms=NOW_MS + 1), {}, None),
    ],
    ids=["ran the day before", "never ran", "ran", "ran at the very moment", "failed, but ran", "disabled", "running",
         "made after", "changed after", "the slot passed during the run", "within grace", "grace is over",
         "within its stagger", "stagger is over", "waits after failures", "waited after failures",
         "interval not over", "interval and grace not over", "interval and grace over", "many intervals over",
         "run longer than its interval", "the interval after a long run", "switched on since",
         "switched on an interval ago", "interval, never ran", "interval without a beginning", "one-shot",
         "one-shot that ran", "one-shot, run by hand before", "one-shot to come"],
)  # fmt: skip
def test_missed(schedule: Schedule, state: dict[str, object], slot: datetime | None) -> None:
    """Only a due time that OpenClaw itself should have kept, by more than grace, is missed."""
    assert missed(schedule, **state) == slot


def test_the_top_of_the_hour_has_openclaw_s_own_stagger() -> None:
    """`0 * * * *` may start up to five minutes late without being told so; `0 9 * * *` may not."""
    for expression, later_ms in (("0 * * * *", 300_000), ("0 0 */2 * * *", 300_000), ("@hourly", 300_000)):
        assert judge_schedule.stagger_ms(cron(expression)) == later_ms
    for expression in ("0 9 * * *", "5 * * * *", "0 9 1 * *", "nonsense", "", "0 0 9 * * *"):
        assert judge_schedule.stagger_ms(cron(expression)) == 0
    assert judge_schedule.stagger_ms(cron("0 * * * *", stagger_ms=600_000)) == 600_000
    assert judge_schedule.stagger_ms(Schedule("every", every_ms=1)) == 0


def test_a_moment_no_calendar_holds_is_unknown() -> None:
    """An absurd number is an error of the source's, not a crash."""
    with pytest.raises(CouldNotLook, match="no moment"):
        judge_schedule.moment(10**17)


def test_a_search_ends() -> None:
    """An expression that is due every second is answered at once inside the hour that comes twice."""
    second = datetime(2027, 10, 31, 1, 59, 59, tzinfo=UTC)
    assert judge_schedule.last_due(cron("* * * * * *", "Europe/Vienna"), second, UTC) == datetime(
        2027, 10, 31, 0, 59, 59, tzinfo=UTC
    )
