"""The judges of watched jobs: each fault as itself, once a job and cause, and none where OpenClaw does as it should."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from oc_ops.judge import schedule
from oc_ops.judge import watched_jobs as judge
from oc_ops.judge.finding import Finding
from oc_ops.judge.job_words import schedule_words
from oc_ops.judge.watched_jobs import Terms
from oc_ops.observe.jobs import Job, JobRun, Jobs, Schedule
from oc_ops.observe.owners import Ownership
from oc_ops.observe.watchlist import Watched

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW_MS = schedule.milliseconds(NOW)
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
DAILY = Schedule("cron", "0 3 * * *", "UTC")
LAST_MS = NOW_MS - 9 * HOUR + 20
NIGHTLY = Job(
    "a1", "nightly", enabled=True, schedule=DAILY, created_ms=NOW_MS - 90 * DAY, last_run_ms=LAST_MS, last_status="ok",
    last_duration_ms=4 * SECOND, next_run_ms=NOW_MS + 15 * HOUR, payload_kind="command",
)  # fmt: skip
WATCHED = Watched("nightly", where="list line 1")
NOBODY = Ownership("a1", "none", "no run receipt is open for it")
SOMEBODY = Ownership("a1", "live", "tasks.list shows its run under way")
UNKNOWN = Ownership("a1", "unknown", "the gateway did not tell its tasks")


def runs(*durations_s: float, status: str = "ok", error: str = "") -> tuple[JobRun, ...]:
    """One run a day, newest first."""
    return tuple(
        JobRun(status, LAST_MS - number * DAY, round(each * 1000), error) for number, each in enumerate(durations_s)
    )


def one(
    watched: Watched = WATCHED,
    owner: Ownership | None = None,
    terms: Terms = Terms(),  # noqa: B008 -- frozen
    history: tuple[JobRun, ...] = (),
    source: str = "rpc",
    **state: Any,
) -> judge.Verdict:
    """The verdict on the job, with this state, as the only one."""
    job = replace(NIGHTLY, **state)
    jobs = Jobs((job,), source, NOW, {"a1": history})  # type: ignore[arg-type]
    (verdict,) = judge.examine((watched,), jobs, {"a1": owner} if owner else {}, terms)
    return verdict


def only(verdict: judge.Verdict) -> Finding:
    """The one finding there is."""
    (finding,) = verdict.findings
    return finding


def test_a_job_that_runs_is_well() -> None:
    """On time, ended well, as quick as ever, enabled: nothing is said."""
    assert one(history=runs(4, 4, 5, 4, 4, 6)) == judge.Verdict(
        WATCHED, replace(NIGHTLY), findings=(), unseen=""
    )  # fmt: skip


def test_a_job_is_found_by_id_before_its_name() -> None:
    """A job may be called what another one's id is; the id wins."""
    other = replace(NIGHTLY, id="nightly", name="a1")
    jobs = Jobs((NIGHTLY, other), "rpc", NOW)
    assert judge.find(Watched("nightly"), jobs) is other
    assert judge.find(Watched("a1"), jobs) is NIGHTLY


def test_a_name_that_two_jobs_share_is_refused_with_both_ids() -> None:
    """Neither is taken for the other, and it is never green."""
    jobs = Jobs((NIGHTLY, replace(NIGHTLY, id="b2")), "rpc", NOW)
    (verdict,) = judge.examine((WATCHED,), jobs, {}, Terms())
    assert verdict.unseen == 'two jobs are called "nightly": a1 and b2; list line 1 needs an id'
    assert judge.examine((Watched("b2"),), jobs, {}, Terms())[0].unseen == ""


def test_a_missing_job_names_what_is_near() -> None:
    """The line is at fault or the job is gone; the names that come near help to tell which."""
    finding = only(one(Watched("nightli", where="list line 4")))
    assert (finding.check, finding.severity) == ("cron/job-missing", "error")
    assert finding.fact == 'the watched job "nightli" does not exist'
    assert '1 jobs, none with that id or name; near to it: "nightly"; watched by list line 4' in finding.saw
    assert finding.fix.startswith("none automatic: ")


def test_a_job_is_not_called_missing_when_not_all_were_told() -> None:
    """A page of a list is not the list."""
    jobs = Jobs((NIGHTLY,), "cli", NOW, complete=False)
    (verdict,) = judge.examine((Watched("elsewhere"),), jobs, {}, Terms())
    assert verdict.findings == ()
    assert "there are more of them" in verdict.unseen


@pytest.mark.parametrize(
    ("state", "fix", "saw"),
    [
        ({}, "openclaw cron enable a1", "enabled: false; last run: ok 9 h ago after 4 s"),
        ({"auto_disabled": "consecutive-failures", "last_status": "error", "last_error": "exit 3",
          "consecutive_errors": 10},
         "none automatic: mend what its runs died of, then: openclaw cron enable a1",
         "OpenClaw switched it off: consecutive-failures; last run: error 9 h ago after 4 s (exit 3)"),
        ({"id": "x; rm -rf ~"}, "openclaw cron enable 'x; rm -rf ~'", "enabled: false"),
        ({"running_ms": NOW_MS - DAY, "next_run_ms": None}, "openclaw cron enable a1", "enabled: false"),
    ],
    ids=["by hand", "by OpenClaw", "an id that is no word", "with a marker"],
)  # fmt: skip
def test_a_disabled_job_is_that_and_nothing_else(state: dict[str, Any], fix: str, saw: str) -> None:
    """Off explains whatever it does not do: one finding."""
    finding = only(one(owner=NOBODY, enabled=False, **state))
    assert (finding.check, finding.severity, finding.fix) == ("cron/job-disabled", "error", fix)
    assert finding.saw.startswith(saw)


def test_a_one_shot_that_ran_well_may_be_off() -> None:
    """It has done its work; one that failed, or never ran, has not."""
    once: dict[str, Any] = {"schedule": Schedule("at", at_ms=LAST_MS), "enabled": False, "next_run_ms": None}
    assert one(**once).findings == ()
    assert only(one(**once, last_status="error")).check == "cron/job-disabled"
    assert only(one(**once, last_status="", last_run_ms=None)).check == "cron/job-disabled"


@pytest.mark.parametrize(
    ("max_failures", "state", "history", "severity", "fact"),
    [
        (2, {"last_status": "error", "consecutive_errors": 1}, (), "warning", "its last run failed"),
        (1, {"last_status": "error", "consecutive_errors": 1}, (), "error", "its last run failed"),
        (2, {"last_status": "error", "consecutive_errors": 2}, (), "error", "its last 2 runs failed"),
        (3, {"last_status": "error", "consecutive_errors": 2}, (), "warning", "its last 2 runs failed"),
        (3, {"last_status": "error", "consecutive_errors": 0}, runs(1, 1, 1, status="error"), "error",
         "its last 3 runs failed"),
        (2, {"last_status": "error", "consecutive_errors": 0},
         runs(1, status="error") + runs(1, status="skipped") + runs(1, status="error"), "error",
         "its last 2 runs failed"),
        (2, {"last_status": "error", "consecutive_errors": 0}, (), "warning", "its last run failed"),
        (2, {"last_status": "skipped", "consecutive_errors": 2}, (), "error", "its last 2 runs failed"),
        (2, {"last_status": ""}, runs(1, 1, status="error"), "error", "its last 2 runs failed"),
        (2, {"last_status": "ok", "consecutive_errors": 0}, runs(1) + runs(1, status="error"), None, ""),
        (2, {"last_status": "skipped"}, (), None, ""),
        (1, {"last_status": ""}, (), None, ""),
    ],
    ids=["one failure", "one too many", "two", "two of three", "by the runs alone", "with a skipped one between",
         "by the status alone",
         "skipped since", "no status, two runs", "mended", "skipped", "nothing known"],
)  # fmt: skip
def test_failing(
    max_failures: int, state: dict[str, Any], history: tuple[JobRun, ...], severity: str | None, fact: str
) -> None:
    """As many failures in a row as the line allows are an error, fewer a warning."""
    verdict = one(replace(WATCHED, max_failures=max_failures), history=history, **state)
    if severity is None:
        assert verdict.findings == ()
        return
    finding = only(verdict)
    assert (finding.check, finding.severity) == ("cron/job-failing", severity)
    assert finding.fact == f'the watched job "nightly" fails: {fact}'
    assert f"{max_failures} in a row are an error" in finding.saw
    assert finding.fix.startswith("none automatic: a rerun could do its work twice")


def test_failures_bring_their_runs_as_evidence() -> None:
    """When, how long, and what each said; on one line whatever the job printed."""
    finding = only(
        one(last_status="error", consecutive_errors=3, history=runs(3, 4, 5, 6, status="error", error="a\nb"))
    )
    assert (
        "last runs: error 9 h ago after 3 s (a b), error 1 d 9 h ago after 4 s (a b), error 2 d 9 h ago" in finding.saw
    )
    assert finding.saw.count("(a b)") == 3


@pytest.mark.parametrize(
    ("state", "fact"),
    [
        ({"last_run_ms": LAST_MS - DAY}, "was due at 2026-11-22 03:00:00 UTC and did not run"),
        ({"last_run_ms": LAST_MS - DAY, "next_run_ms": NOW_MS - 9 * HOUR},
         "was due at 2026-11-22 03:00:00 UTC and did not run"),
        ({"next_run_ms": NOW_MS - 6 * MINUTE}, "should have run at 2026-11-22 11:54:00 UTC and did not"),
        ({"schedule": Schedule("unknown"), "next_run_ms": NOW_MS - HOUR},
         "should have run at 2026-11-22 11:00:00 UTC and did not"),
        ({"schedule": Schedule("cron", "0 9 15W * *"), "next_run_ms": NOW_MS - HOUR},
         "should have run at 2026-11-22 11:00:00 UTC and did not"),
        ({"schedule": Schedule("at", at_ms=NOW_MS - HOUR), "last_run_ms": None, "next_run_ms": NOW_MS - HOUR},
         "was due at 2026-11-22 11:00:00 UTC and did not run"),
    ],
    ids=["silently skipped", "late", "late by the gateway's word", "not by the clock", "unreadable", "one-shot"],
)  # fmt: skip
def test_a_due_time_that_passed(state: dict[str, Any], fact: str) -> None:
    """By the schedule against the last run, or by the gateway's own next run that lies behind."""
    finding = only(one(**state))
    assert (finding.check, finding.severity) == ("cron/run-missed", "error")
    assert finding.fact == f'the watched job "nightly" {fact}'
    assert finding.fix.startswith("none automatic: ")
    assert finding.fix.endswith("openclaw cron run a1")


def test_a_silent_skip_shows_that_the_next_run_moved_on() -> None:
    """The signature of #10455 and its like: next moves on, last stays."""
    finding = only(one(last_run_ms=LAST_MS - DAY))
    assert finding.saw == (
        "cron 0 3 * * * UTC; last run: ok 1 d 9 h ago after 4 s; its next run is set to 2026-11-23 03:00:00 UTC"
    )


@pytest.mark.parametrize(
    "state",
    [
        {"next_run_ms": NOW_MS - 4 * MINUTE},
        {"last_run_ms": LAST_MS - DAY, "updated_ms": NOW_MS - MINUTE},
        {"last_run_ms": LAST_MS - DAY, "running_ms": NOW_MS - MINUTE},
        {"last_run_ms": None, "created_ms": NOW_MS - HOUR, "last_status": ""},
        {"schedule": Schedule("unknown"), "next_run_ms": None, "last_run_ms": NOW_MS - 90 * DAY},
        {"schedule": Schedule("cron", "0 9 15W * *"), "last_run_ms": NOW_MS - 90 * DAY},
    ],
    ids=["within grace", "changed since", "running", "made since", "not by the clock", "unreadable, next is told"],
)
def test_not_missed(state: dict[str, Any]) -> None:
    """Grace, a change, a run under way, and what nobody can tell are not overdue."""
    assert one(**state) == judge.Verdict(WATCHED, replace(NIGHTLY, **state))


def test_a_later_run_in_the_history_counts() -> None:
    """The run log may know of a run that the job's state does not."""
    assert one(last_run_ms=LAST_MS - DAY, history=runs(4)).findings == ()


def test_a_schedule_nobody_can_read_is_not_green() -> None:
    """Without a next run and without max-age nothing says when it is due; the other judges are heard all the same."""
    unread: dict[str, Any] = {"schedule": Schedule("cron", "0 9 15W * *"), "next_run_ms": None}
    verdict = one(**unread, last_status="error", consecutive_errors=2)
    assert [each.check for each in verdict.findings] == ["cron/job-failing"]
    assert "cannot read the cron expression 0 9 15W * *" in verdict.unseen
    assert "max-age=… at list line 1 would judge it" in verdict.unseen
    assert one(replace(WATCHED, max_age_s=86_400), **unread) == judge.Verdict(
        replace(WATCHED, max_age_s=86_400), replace(NIGHTLY, **unread)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("state", "fact"),
    [
        ({}, "last ran 9 h ago (max-age 8 h)"),
        ({"last_run_ms": None}, "has never run (max-age 8 h)"),
        ({"updated_ms": NOW_MS - 7 * HOUR}, None),
        ({"last_run_ms": None, "created_ms": NOW_MS - 7 * HOUR}, None),
        ({"last_run_ms": None, "created_ms": None}, "has never run (max-age 8 h)"),
        ({"running_ms": NOW_MS - MINUTE}, None),
    ],
    ids=["too old", "never", "changed since", "made since", "never, and made nobody knows when", "running"],
)
def test_max_age(state: dict[str, Any], fact: str | None) -> None:
    """What the operator asks for holds whatever the schedule says."""
    schedule: dict[str, Any] = {"schedule": Schedule("unknown"), "next_run_ms": None}
    verdict = one(replace(WATCHED, max_age_s=8 * 3600), **{**schedule, **state})
    assert [each.fact for each in verdict.findings] == ([f'the watched job "nightly" {fact}'] if fact else [])


@pytest.mark.parametrize(
    ("owner", "checks"),
    [(UNKNOWN, ["run-missed"]), (SOMEBODY, ["run-missed"]), (None, ["run-missed"]), (NOBODY, ["marker-stale"])],
    ids=["unknown", "somebody", "not seen", "nobody"],
)
def test_a_run_that_never_ends_is_a_job_that_stopped(owner: Ownership | None, checks: list[str]) -> None:
    """Once max-age is over it is an error whoever owns the marker, and one finding; before that it is slow."""
    watched = replace(WATCHED, max_age_s=26 * 3600)
    found = one(watched, owner, running_ms=NOW_MS - 90 * HOUR).findings
    assert [each.check.removeprefix("cron/") for each in found] == checks
    assert [each.severity for each in found] == ["error"]
    assert "3 d 18 h" in found[0].fact + found[0].saw
    young = one(watched, SOMEBODY, running_ms=NOW_MS - 26 * HOUR)
    assert [each.check for each in young.findings] == ["cron/job-slow"]


def test_one_finding_a_job_and_cause() -> None:
    """Late by its schedule and by max-age is missed once."""
    finding = only(one(replace(WATCHED, max_age_s=3600), last_run_ms=LAST_MS - DAY))
    assert finding.fact == (
        'the watched job "nightly" was due at 2026-11-22 03:00:00 UTC and did not run'
        " and last ran 1 d 9 h ago (max-age 1 h)"
    )


@pytest.mark.parametrize(
    ("watched", "history", "state", "saw"),
    [
        (WATCHED, runs(40, 4, 4, 5, 4, 6), {}, "longer than the 16 s that its 5 earlier good runs suggest; last runs"),
        (WATCHED, runs(40) + runs(400, 400, status="error") + runs(4, 4, 5, 4, 6), {}, "longer than the 16 s that"),
        (WATCHED, runs(16, 4, 4, 5, 4, 6), {}, None),
        (WATCHED, runs(400, 100, 120, 110, 90, 100), {}, "longer than the 5 min that its 5 earlier"),
        (WATCHED, runs(40, 4, 4, 5, 4), {}, None),
        (WATCHED, runs(40, status="error") + runs(4, 4, 4, 4, 4, 4), {"last_status": "ok"}, None),
        (replace(WATCHED, timeout_s=30), runs(40), {}, "longer than its timeout of 30 s"),
        (replace(WATCHED, timeout_s=30), (), {"running_ms": NOW_MS - 31 * SECOND}, "longer than its timeout of 30 s"),
        (replace(WATCHED, timeout_s=30), (), {"running_ms": NOW_MS - 29 * SECOND}, None),
        (WATCHED, (), {"running_ms": NOW_MS - 95 * SECOND, "timeout_s": 60.0}, "longer than its timeout of 1 min;"),
        (WATCHED, (), {"running_ms": NOW_MS - 85 * SECOND, "timeout_s": 60.0}, None),
        (WATCHED, runs(4, 4, 5, 4, 6), {"running_ms": NOW_MS - MINUTE}, "longer than the 16 s that its 5 earlier"),
        (WATCHED, runs(4, 4, 5, 4, 6), {"running_ms": NOW_MS - 15 * SECOND}, None),
    ],
    ids=["beyond its history", "failures are no history", "within it",
         "three times the middle", "too little history", "a failure is not slow",
         "beyond the line's timeout", "running beyond the line's timeout", "within the line's timeout",
         "running beyond the job's own timeout", "OpenClaw is ending it", "running beyond its history", "running"],
)  # fmt: skip
def test_slow(watched: Watched, history: tuple[JobRun, ...], state: dict[str, Any], saw: str | None) -> None:
    """Against the job's own good runs, of which there must be enough, and against the line's timeout."""
    verdict = one(watched, history=history, **state)
    if saw is None:
        assert "cron/job-slow" not in [each.check for each in verdict.findings]
        return
    finding = only(verdict)
    assert (finding.check, finding.severity) == ("cron/job-slow", "warning")
    assert finding.saw.startswith(saw)


@pytest.mark.parametrize(
    ("running_ms", "owner", "check"),
    [
        (NOW_MS - 16 * MINUTE, NOBODY, "cron/marker-stale"),
        (NOW_MS - 14 * MINUTE, NOBODY, None),
        (NOW_MS + 2 * MINUTE, NOBODY, "cron/marker-stale"),
        (NOW_MS + 30 * SECOND, NOBODY, None),
        (NOW_MS - 16 * MINUTE, SOMEBODY, "cron/job-slow"),
        (NOW_MS - 16 * MINUTE, UNKNOWN, "cron/job-slow"),
        (NOW_MS - 16 * MINUTE, None, "cron/job-slow"),
        (NOW_MS + 2 * MINUTE, UNKNOWN, None),
    ],
    ids=["old and nobody's", "within timeout and grace", "in the future", "two clocks that differ", "somebody's",
         "unknown whose", "not asked whose", "in the future, unknown whose"],
)  # fmt: skip
def test_a_marker_is_stale_only_with_proof(running_ms: int, owner: Ownership | None, check: str | None) -> None:
    """Ten minutes of a command and five of grace; whose run may live is slow, not stale."""
    verdict = one(owner=owner, running_ms=running_ms)
    assert [each.check for each in verdict.findings] == ([check] if check else [])
    if owner and check:
        assert owner.proof in verdict.findings[0].saw


def test_a_stale_marker_says_its_proof_and_the_cure() -> None:
    """The proof, the age against the timeout, and what helped those who had it; never a restart."""
    finding = only(one(owner=NOBODY, running_ms=NOW_MS - 3 * HOUR))
    assert finding.severity == "error"
    assert finding.saw.startswith(
        "its marker of 2026-11-22 09:00:00 UTC is 3 h old, its timeout 10 min; proof: no run receipt is open for it; "
    )
    assert finding.fix == "openclaw cron disable a1 && openclaw cron enable a1"


@pytest.mark.parametrize(
    ("watched", "state", "bound_s"),
    [
        (WATCHED, {}, 600),
        (WATCHED, {"payload_kind": "agentTurn"}, 3600),
        (WATCHED, {"payload_kind": ""}, 3600),
        (WATCHED, {"timeout_s": 60.0}, 60),
        (WATCHED, {"timeout_s": 0.0}, 7200),
        (replace(WATCHED, timeout_s=180.0), {"timeout_s": 60.0}, 180),
    ],
    ids=["command", "agent", "not told", "its own", "unbounded", "the line's"],
)
def test_how_long_a_run_may_take(watched: Watched, state: dict[str, Any], bound_s: int) -> None:
    """The line's word before the job's own before OpenClaw's default."""
    for past_s, stale in ((299, False), (301, True)):
        verdict = one(watched, NOBODY, running_ms=NOW_MS - (bound_s + past_s) * SECOND, **state)
        assert ("cron/marker-stale" in [each.check for each in verdict.findings]) == stale


def test_a_stale_marker_of_an_unwatched_job_is_found_too() -> None:
    """Such a job will not run until somebody clears it; nothing else is judged of it."""
    stuck = replace(NIGHTLY, running_ms=NOW_MS - DAY, last_status="error", consecutive_errors=9)
    fine = replace(NIGHTLY, id="b2", name="other")
    jobs = Jobs((stuck, fine), "rpc", NOW)
    (verdict,) = judge.examine((), jobs, {"a1": NOBODY}, Terms())
    assert only(verdict).check == "cron/marker-stale"
    assert verdict.subject == "a1"
    assert verdict.watched is None


def test_by_the_store_every_word_says_so_and_nothing_is_an_error() -> None:
    """Beside a gateway that hangs there is one error: the hang. What its jobs miss meanwhile is told as warnings."""
    terms = Terms(beside_cause=True)
    seen = [
        one(source="store", terms=terms, last_run_ms=LAST_MS - DAY),
        one(source="store", terms=terms, enabled=False),
        one(source="store", terms=terms, last_status="error", consecutive_errors=5),
        one(Watched("gone"), source="store", terms=terms),
        one(source="store", terms=terms, owner=NOBODY, running_ms=NOW_MS - DAY),
        one(source="store", terms=terms, owner=UNKNOWN, running_ms=NOW_MS - DAY),
    ]
    findings = [only(each) for each in seen]
    assert [each.check.removeprefix("cron/") for each in findings] == [
        "run-missed", "job-disabled", "job-failing", "job-missing", "marker-stale", "job-slow",
    ]  # fmt: skip
    assert {each.severity for each in findings} == {"warning"}
    assert all(each.fact.startswith("by the store, the ") for each in findings)
    assert all(each.fix.startswith("none automatic: ") for each in findings)


def test_grace_is_what_it_is_set_to() -> None:
    """A longer grace waits longer."""
    late: dict[str, Any] = {"next_run_ms": NOW_MS - 6 * MINUTE}
    assert only(one(**late)).check == "cron/run-missed"
    assert one(terms=Terms(grace_s=600.0), **late).findings == ()


def test_facts_are_as_the_house_wants_them() -> None:
    """Present tense without a period, one line, and a subject that stays."""
    verdict = one(last_run_ms=LAST_MS - 3 * DAY, last_status="error", consecutive_errors=3)
    assert [each.check for each in verdict.findings] == ["cron/job-failing", "cron/run-missed"]
    assert verdict.subject == "nightly"
    for each in verdict.findings:
        assert not each.fact.endswith(".")
        assert "\n" not in each.fact + each.saw + each.fix


def test_schedules_in_words() -> None:
    """Short enough for a column, whatever was written."""
    assert schedule_words(Schedule("cron", "0 3 * * *", "Europe/Vienna")) == "cron 0 3 * * * Europe/Vienna"
    assert schedule_words(Schedule("every", every_ms=5_400_000)) == "every 1 h 30 min"
    assert schedule_words(Schedule("at", at_ms=NOW_MS)) == "once at 2026-11-22 12:00:00 UTC"
    assert schedule_words(Schedule("unknown")) == "not by the clock"
    assert len(schedule_words(Schedule("cron", "1," * 500))) < 70


def test_the_zone_of_the_gateway_is_the_schedule_s_when_it_names_none() -> None:
    """03:00 in Kiritimati passed long ago when it is noon in UTC."""
    from zoneinfo import ZoneInfo

    far = Terms(ZoneInfo("Pacific/Kiritimati"))
    here: dict[str, Any] = {"schedule": Schedule("cron", "0 3 * * *"), "last_run_ms": NOW_MS - 24 * HOUR}
    slot = NOW - timedelta(hours=23)
    finding = only(one(terms=far, **here))
    assert finding.fact.endswith(f"was due at {slot:%Y-%m-%d %H:%M:%S} UTC and did not run")
    assert "in the gateway's zone Pacific/Kiritimati" in finding.saw
