"""Cron jobs as releases tell them: one type for all, nothing guessed, nothing crashed on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oc_ops.errors import CouldNotLook
from oc_ops.observe.jobs import Job, JobRun, Schedule, jobs_of, more_of, runs_of, schedule_of

NEWEST: Mapping[str, Any] = {
    "id": "6e58", "name": "lab-failing", "enabled": True, "createdAtMs": 1000, "updatedAtMs": 5076,
    "schedule": {"kind": "every", "everyMs": 21600000, "anchorMs": 1000},
    "payload": {"kind": "command", "argv": ["sh", "-lc", "exit 3"], "timeoutSeconds": 3},
    "state": {
        "nextRunAtMs": 9000, "lastRunAtMs": 5000, "lastRunStatus": "error", "lastStatus": "error",
        "lastDurationMs": 76, "lastError": "command exited with code 3", "consecutiveErrors": 2,
        "runningAtMs": 6000, "runningReceiptId": "2b7b", "queuedAtMs": 5999,
        "autoDisabled": {"reason": "consecutive-failures", "atMs": 1, "consecutiveErrors": 5},
    },
    "configRevision": "sha256:x", "effectiveAgentId": "main", "status": "running",
}  # fmt: skip
OLDEST = {
    "id": "d8d5", "name": "lab-ok", "schedule": {"kind": "cron", "expr": "0 3 * * *", "tz": "Europe/Berlin"},
    "payload": {"kind": "systemEvent", "text": "fine"}, "state": {"nextRunAtMs": 9000},
}  # fmt: skip


def test_everything_a_release_tells_is_kept() -> None:
    """A job of 2026.9.6 that runs, fails and was switched off comes out with all of it."""
    assert jobs_of({"jobs": [NEWEST]}) == (
        Job(
            "6e58", "lab-failing", True, Schedule("every", every_ms=21600000, anchor_ms=1000), 1000, 5076, 3.0,
            9000, 5000, "error", "command exited with code 3", 76, 2, 6000, "2b7b", "consecutive-failures",
            "command", 5999,
        ),
    )  # fmt: skip


def test_what_is_not_said_is_not_made_up() -> None:
    """A job of 2026.2.26 that never ran: no last run, no timeout, on unless it says otherwise."""
    (job,) = jobs_of({"jobs": [OLDEST]})
    assert job.schedule == Schedule("cron", "0 3 * * *", zone="Europe/Berlin")
    assert (job.enabled, job.timeout_s, job.last_run_ms, job.last_status, job.running_ms) == (
        True,
        None,
        None,
        "",
        None,
    )


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"kind": "at", "at": "2026-03-29T01:30:00Z"}, Schedule("at", at_ms=1774747800000)),
        ({"kind": "at", "at": "2026-03-29T03:30:00+02:00"}, Schedule("at", at_ms=1774747800000)),
        ({"kind": "at", "at": "2026-03-29T01:30:00"}, Schedule("at", at_ms=1774747800000)),
        ({"kind": "at", "atMs": 1774747800000}, Schedule("at", at_ms=1774747800000)),
        ({"kind": "at", "at": "tomorrow"}, Schedule("unknown")),
        ({"kind": "cron", "expr": "* * * * *", "staggerMs": 300000}, Schedule("cron", "* * * * *", stagger_ms=300000)),
        ({"kind": "cron", "cron": "* * * * *"}, Schedule("cron", "* * * * *")),
        ({"kind": "cron"}, Schedule("unknown")),
        ({"kind": "every", "everyMs": 0}, Schedule("unknown")),
        ({"kind": "every", "everyMs": 60000}, Schedule("every", every_ms=60000)),
        ({"kind": "on-exit", "command": "sh"}, Schedule("unknown")),
        ({"kind": 7}, Schedule("unknown")),
        (None, Schedule("unknown")),
    ],
    ids=[
        "UTC", "offset", "no zone is UTC", "milliseconds", "no moment", "staggered", "old key", "no expression",
        "no interval", "no anchor", "another kind", "no kind", "none",
    ],
)  # fmt: skip
def test_schedules(schedule: object, expected: Schedule) -> None:
    """Each kind is read as OpenClaw means it, and what cannot be is unknown."""
    assert schedule_of(schedule, "cron job x") == expected


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock shows Tokyo's time."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_away")
def test_a_moment_without_a_zone_is_not_ours() -> None:
    """OpenClaw reads it as UTC wherever the machine stands."""
    assert schedule_of({"kind": "at", "at": "2026-03-29T01:30:00"}, "") == Schedule("at", at_ms=1774747800000)


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (None, "the answer is nothing, not an object"),
        ([NEWEST], "the answer is a list, not an object"),
        ({}, "holds no list of jobs, but nothing"),
        ({"jobs": {"6e58": NEWEST}}, "holds no list of jobs, but an object"),
        ({"jobs": [NEWEST, 7]}, "job 2 is a number, not an object"),
        ({"jobs": [{"name": "x"}]}, "job 1 of the cron jobs has no id"),
        ({"jobs": [{"id": 7}]}, "id of job 1 is a number, not a text"),
        ({"jobs": [{"id": "a", "enabled": "yes"}]}, "enabled of cron job a is a text, not true or false"),
        ({"jobs": [{"id": "a", "state": []}]}, "state of cron job a is a list, not an object"),
        ({"jobs": [{"id": "a", "state": {"runningAtMs": "now"}}]}, "runningAtMs of cron job a is a text, not a number"),
        (
            {"jobs": [{"id": "a", "state": {"runningAtMs": 1e300}}]},
            "runningAtMs of cron job a is a number, not a number",
        ),
        ({"jobs": [{"id": "a\nb", "payload": 1}]}, "payload of cron job a\N{REPLACEMENT CHARACTER}b is a number"),
        ({"jobs": [OLDEST, OLDEST]}, "two cron jobs have the id d8d5"),
    ],
)
def test_wrong_types_are_named(payload: object, complaint: str) -> None:
    """What is there and is not of its kind could not be looked at, and the message says where it stands."""
    with pytest.raises(CouldNotLook, match=complaint):
        jobs_of(payload)


def test_older_id_counts() -> None:
    """`jobId` of older stores is the id."""
    assert jobs_of({"jobs": [{"jobId": "a"}]})[0].id == "a"


def test_pages() -> None:
    """A list that has more says where it goes on; one that does not say so is not taken for whole."""
    assert more_of({"jobs": [], "hasMore": True, "nextOffset": 200}) == 200
    assert more_of({"jobs": [], "hasMore": False, "nextOffset": None}) is None
    assert more_of({"jobs": []}) is None
    for following in (None, 0, -1):
        with pytest.raises(CouldNotLook, match="where the next one begins"):
            more_of({"hasMore": True, "nextOffset": following})


def test_runs_are_sorted_by_job_and_time() -> None:
    """Finished runs of all jobs, newest first, without what is no end of a run."""
    first = {"jobId": "a", "action": "finished", "status": "ok", "runAtMs": 1, "durationMs": 5}
    second = {"jobId": "a", "action": "finished", "status": "error", "error": "no", "runAtMs": 2, "durationMs": 6}
    started = {"jobId": "a", "action": "started", "runAtMs": 3}
    other = {"jobId": "b", "status": "skipped"}
    assert runs_of({"entries": [first, started, other, second]}) == {
        "a": (JobRun("error", 2, 6, "no"), JobRun("ok", 1, 5)),
        "b": (JobRun("skipped", None, None),),
    }
    with pytest.raises(CouldNotLook, match="run 1 of the run log has no jobId"):
        runs_of({"entries": [{}]})


KEYS = (
    "jobs", "entries", "id", "jobId", "enabled", "schedule", "kind", "at", "atMs", "expr", "everyMs", "state",
    "payload", "runningAtMs", "timeoutSeconds", "autoDisabled", "reason", "hasMore", "nextOffset", "runAtMs", "status",
)  # fmt: skip
KINDS = st.sampled_from(("at", "every", "cron", "finished", "2026-01-01", "9" * 30))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | KINDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=30,
)


@settings(deadline=None)
@given(JSON, st.lists(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8), max_size=3))
def test_no_json_crashes_the_parser(anything: object, entries: list[object]) -> None:
    """Whatever JSON comes, it is parsed or could not be looked at."""
    for payload in (anything, {"jobs": entries, "entries": entries}):
        for parse in (jobs_of, runs_of, more_of):
            with contextlib.suppress(CouldNotLook):
                parse(payload)
