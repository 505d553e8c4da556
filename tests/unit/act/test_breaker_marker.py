"""Which markers may be broken, what is typed for them, what a plan is bound to, and what the book still knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from oc_ops import settings
from oc_ops.act.breaker.blockers import left_off, markers
from oc_ops.act.breaker.plan import ApprovalBook, who
from oc_ops.act.breaker.scan import Blocker, BreakerView, Refused, Tools, find, typed_name
from oc_ops.act.breaker.switch import later, verified
from oc_ops.act.commands import Commands
from oc_ops.judge.finding import Finding
from oc_ops.observe.jobs import Job, Jobs, Schedule
from oc_ops.observe.owners import Ownership
from oc_ops.observe.target import locate
from oc_ops.record.redact import Redactor

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
HOUR_MS = 3_600_000
JOB = Job(
    "j1", "nightly backup", enabled=True, schedule=Schedule("every", every_ms=HOUR_MS),
    running_ms=NOW_MS - 3 * HOUR_MS, last_run_ms=NOW_MS - 4 * HOUR_MS, next_run_ms=NOW_MS + HOUR_MS,
)  # fmt: skip
NOBODY = Ownership("j1", "none", "no run receipt is open for it")
STALE = Finding("cron/marker-stale", "error", "no process runs it", "its marker", "openclaw cron disable j1")


def seen(
    tmp_path: Path, job: Job = JOB, owner: Ownership | None = NOBODY, *, stale: bool = True, **jobs: object
) -> BreakerView:
    """A look that showed one job."""
    told = replace(Jobs((job,), "rpc", NOW), **jobs)  # each names a field
    return BreakerView(
        "key",
        locate({"HOME": str(tmp_path)}),
        jobs=told,
        owners={job.id: owner} if owner else {},
        stale={job.id: STALE} if stale else {},
    )


def one(sight: BreakerView) -> Blocker:
    """The only one."""
    (mutex,) = markers(sight)
    return mutex


def test_a_stale_marker_may_be_broken(tmp_path: Path) -> None:
    """With its finding, its commands and its proof."""
    mutex = one(seen(tmp_path))
    assert (mutex.id, mutex.name, mutex.refused) == ("marker:j1", "nightly backup", "")
    assert mutex.act == "openclaw cron disable j1, then openclaw cron enable j1"
    assert mutex.evidence["proof"] == NOBODY.proof


@pytest.mark.parametrize(
    ("job", "owner", "stale", "source", "why"),
    [
        (JOB, replace(NOBODY, owner="live", proof="held by pid 7"), False, "rpc", "its owner lives: held by pid 7"),
        (JOB, replace(NOBODY, owner="live"), True, "rpc", "its owner lives"),
        (JOB, replace(NOBODY, owner="unknown", proof="not seen"), False, "rpc", "cannot be told: not seen"),
        (JOB, None, True, "rpc", "nothing was seen of its owner"),
        (JOB, NOBODY, False, "rpc", "younger than the job's timeout"),
        (JOB, NOBODY, True, "store", "its next start clears the marker"),
        (replace(JOB, enabled=False), NOBODY, True, "rpc", "the job is disabled"),
        (replace(JOB, schedule=Schedule("at", at_ms=NOW_MS - 1)), NOBODY, True, "rpc", "could run a second time"),
    ],
    ids=["live", "live and stale", "unknown", "not seen", "young", "store", "disabled", "one-shot"],
)
def test_what_must_be_left_alone(
    tmp_path: Path, job: Job, owner: Ownership | None, stale: bool, source: str, why: str
) -> None:
    """Each is listed with its reason."""
    assert why in one(seen(tmp_path, job, owner, stale=stale, source=source)).refused


def test_a_one_shot_to_come_may_be_broken(tmp_path: Path) -> None:
    """Its time has not passed: switched on again it runs once."""
    assert one(seen(tmp_path, replace(JOB, schedule=Schedule("at", at_ms=NOW_MS + 1)))).refused == ""


def test_a_job_without_a_marker_is_none(tmp_path: Path) -> None:
    """Nor is anything when the jobs could not be looked at."""
    assert list(markers(seen(tmp_path, replace(JOB, running_ms=None)))) == []
    assert list(markers(BreakerView("key", locate({"HOME": str(tmp_path)})))) == []


def test_time_alone_changes_no_digest_and_everything_else_does(tmp_path: Path) -> None:
    """The next run moves on under a marker; a marker, a receipt, a run, an owner or a name makes it another one."""
    digest = one(seen(tmp_path)).digest
    assert one(seen(tmp_path, replace(JOB, next_run_ms=1), seen_at=NOW + timedelta(minutes=5))).digest == digest
    for job in (
        replace(JOB, running_ms=1),
        replace(JOB, receipt_id="r"),
        replace(JOB, last_run_ms=1),
        replace(JOB, name="x"),
        replace(JOB, enabled=False),
    ):
        assert one(seen(tmp_path, job)).digest != digest
    assert one(seen(tmp_path, owner=replace(NOBODY, proof="another"))).digest != digest


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("nightly backup", "nightly backup"),
        ("täglich – 日報", "täglich – 日報"),
        ("", "id"),
        (" padded", "id"),
        ("two  blanks", "id"),
        ("line\nbreak", "id"),
        ("esc\x1b[2J", "id"),
        ("bidi\u202e", "id"),
        ("x" * 121, "id"),
        ("shared", "id"),
    ],
)
def test_a_name_that_cannot_be_typed_is_typed_as_the_id(name: str, typed: str) -> None:
    """So is one that two jobs share."""
    assert typed_name(name, [name, "shared", "other"], "id") == typed


def test_what_is_meant(tmp_path: Path) -> None:
    """An id, a name, a job's id, a unique beginning; two that are meant are an error that names both."""
    first = one(seen(tmp_path))
    second = one(seen(tmp_path, replace(JOB, id="j22", name="other")))
    for word in ("marker:j1", "nightly backup", "j1", "marker:j1"):
        assert find(word, (first, second)) is first
    assert find("marker:j2", (first, second)) is second
    with pytest.raises(Refused, match="2 are meant by that \\(marker:j1, marker:j22\\)"):
        find("marker", (first, second))
    for word in ("", "j", "nobody"):
        with pytest.raises(Refused, match="no breakable item has this name"):
            find(word, (first, second))


# -- what the book still knows ----------------------------------------------------------------------------------------


@pytest.fixture
def book(tmp_path: Path) -> ApprovalBook:
    """A book in which a break of j1 was begun by a process that is dead."""
    made = ApprovalBook(tmp_path / "memory", "key", Redactor(("sesame-open-1",), tmp_path))
    made.write("planned", "p1", target="marker:j1")
    made.write("begun", "p1", target="marker:j1", by={**who(), "pid": 2**22 + 1})
    return made


def off(tmp_path: Path, **changes: object) -> BreakerView:
    """The job is off now."""
    return seen(tmp_path, replace(JOB, enabled=False, running_ms=None, **changes))


def test_an_unfinished_break_is_offered(tmp_path: Path, book: ApprovalBook) -> None:
    """The job is off, and nobody wrote how that break ended."""
    (mutex,) = left_off(off(tmp_path), book)
    assert (mutex.id, mutex.act, mutex.refused) == ("left-off:j1", "openclaw cron enable j1", "")
    (changed,) = left_off(off(tmp_path, updated_ms=round(datetime.now(UTC).timestamp() * 1000) + 120_000), book)
    assert "after that break: see who did" in changed.shown[-1]
    (auto,) = left_off(off(tmp_path, auto_disabled="10 failures"), book)
    assert "OpenClaw itself switched it off" in auto.refused


def test_what_is_no_unfinished_break(tmp_path: Path, book: ApprovalBook) -> None:
    """A job that is on or gone, a break that ended, one that is under way, another gateway's."""
    assert list(left_off(seen(tmp_path), book)) == []
    assert list(left_off(seen(tmp_path, replace(JOB, id="other", enabled=False)), book)) == []
    assert list(left_off(off(tmp_path), ApprovalBook(tmp_path / "memory", "another", Redactor((), tmp_path)))) == []
    book.write("begun", "p1", target="marker:j1", by=who())
    assert list(left_off(off(tmp_path), book)) == []
    book.write("done", "p1", target="marker:j1", outcome="left-off")
    assert len(list(left_off(off(tmp_path), book))) == 1
    book.write("planned", "p2", target="left-off:j1")
    book.write("begun", "p2", target="left-off:j1", by=who())
    book.write("done", "p2", target="left-off:j1", outcome="verified")
    assert list(left_off(off(tmp_path), book)) == []


def test_a_torn_or_foreign_line_is_passed_over(tmp_path: Path, book: ApprovalBook) -> None:
    """What a crash or an editor left costs nothing else."""
    path = tmp_path / "memory" / "approvals.jsonl"
    path.write_bytes(
        b'{"gateway":"key"}\n{"gateway":"key","at":"x","plan":"p","what":"done"}\n[]\n\xff\n' + path.read_bytes()
    )
    assert [each.what for each in book.entries()] == ["planned", "begun"]


def test_secrets_do_not_reach_the_book(tmp_path: Path, book: ApprovalBook) -> None:
    """Nor does the home directory."""
    book.write("step", "p1", did=f"{tmp_path}/x sesame-open-1")
    line = (tmp_path / "memory" / "approvals.jsonl").read_text().splitlines()[-1]
    assert "sesame" not in line
    assert '"~/x ' in line


@pytest.mark.parametrize(
    ("outcome", "job", "after", "word"),
    [
        ("cleared", replace(JOB, last_run_ms=NOW_MS), NOW_MS + HOUR_MS, "verified"),
        ("cleared", replace(JOB, running_ms=NOW_MS), NOW_MS + HOUR_MS, "verified"),
        ("cleared", JOB, NOW_MS + HOUR_MS, "cleared"),
        ("cleared", JOB, None, "cleared"),
        ("cleared", JOB, NOW_MS - 61_000, "ineffective"),
        ("cleared", JOB, NOW_MS - 59_000, "cleared"),
        ("cleared", replace(JOB, id="other"), NOW_MS, "unknown"),
        ("verified", JOB, NOW_MS - HOUR_MS, None),
    ],
)
def test_what_became_of_a_break(
    tmp_path: Path, book: ApprovalBook, outcome: str, job: Job, after: int | None, word: str | None
) -> None:
    """By the job as it is now, held against what the book says was due."""
    told = {"since_ms": NOW_MS - HOUR_MS, "next_run_ms": after}
    book.write("done", "p1", target="marker:j1", outcome=outcome, after=told)
    result = later("j1", book, seen(tmp_path, job), 60.0)
    assert (result.outcome if result else None) == word


def test_ctrl_c_on_hearing_that_the_next_run_is_awaited_ends_the_wait(tmp_path: Path) -> None:
    """However soon after those words it comes: the break is done, and is not called unknown."""

    def interrupted(said: str) -> None:
        assert "waiting for its next run" in said
        raise KeyboardInterrupt

    def never() -> Commands:
        raise AssertionError("looking needs no command here")

    cleared = replace(JOB, running_ms=None)
    hands = Tools(
        settings.load({}, {}),
        lambda: seen(tmp_path, cleared),
        never,
        note=lambda _: None,
        say=interrupted,
        now_ms=lambda: NOW_MS + HOUR_MS - 1000,
    )
    result = verified(JOB.id, NOW_MS, JOB.running_ms, hands)
    assert result.outcome == "cleared"
    assert "not awaited" in result.said
