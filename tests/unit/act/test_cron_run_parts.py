"""The parts of an ad-hoc run: whose record it is, what an answer means, which job is meant, where a transcript goes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from oc_ops.act.cron_run.answer import JobRecord, Ours, lacks, ours, record_of, records_of, stored, understood
from oc_ops.act.cron_run.lanes import KnownJob
from oc_ops.act.cron_run.request import EXITS, JobNotChosen, RunResult, choose
from oc_ops.act.cron_run.run import already_running
from oc_ops.act.cron_run.transcript import FOLDER, Transcript, prune, slug
from oc_ops.observe.jobs import Job, JobRun, Jobs, Schedule
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.owners import Ownership
from oc_ops.process.jsontext import json_object
from oc_ops.record.redact import Redactor
from tests.support.sights import call

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
JOB = Job("j1", "nightly", True, Schedule("every", every_ms=3_600_000))


# -- whose record ----------------------------------------------------------------------------------------------------


def record(started_ms: int | None, run_id: str = "", status: str = "ok") -> JobRecord:
    """One finished run."""
    return JobRecord(run_id, status, started_ms, 5)


OLDER, FIRST, SECOND = record(90), record(110), record(150)


@pytest.mark.parametrize(
    ("records", "run", "expected"),
    [
        ((OLDER,), Ours(100), None),
        ((SECOND, FIRST, OLDER), Ours(100), FIRST),
        ((record(100),), Ours(100), record(100)),
        ((SECOND, FIRST, OLDER), Ours(100, until_ms=160), SECOND),
        ((SECOND, FIRST, OLDER), Ours(100, until_ms=120), FIRST),
        ((SECOND,), Ours(100, until_ms=120), None),
        ((record(None),), Ours(100), None),
        ((record(110, "a"), record(120, "b")), Ours(100, "b"), record(120, "b")),
        ((record(110, "a"),), Ours(100, "b"), None),
        ((record(110, "cron:1"), record(120, "manual:2")), Ours(100), record(120, "manual:2")),
        ((record(110, "cron:1"),), Ours(100), None),
        ((FIRST,), Ours(100, "known to the gateway, not to its store"), FIRST),
    ],
    ids=[
        "an older one", "the first since", "in the same millisecond", "the last before the answer", "not after it",
        "only after it", "no start told", "by its id", "another's id", "a scheduled one between",
        "a scheduled one alone", "a store without ids",
    ],
)  # fmt: skip
def test_which_record_is_ours(records: tuple[JobRecord, ...], run: Ours, expected: JobRecord | None) -> None:
    """Never an older one, never the next scheduled one."""
    assert ours(records, run) == expected


def test_records_as_they_come() -> None:
    """Entries of cron.runs and of the store; what is no finished run is passed over, nonsense raises nothing."""
    entry = {"jobId": "j1", "action": "finished", "status": "error", "runId": "manual:1", "runAtMs": 5, "error": "x"}
    assert records_of({"entries": [entry, {"action": "started", "status": "ok"}, 3, None, {}]}) == (
        JobRecord("manual:1", "error", 5, None, "x"),
    )
    nonsense: tuple[object, ...] = (None, [], {"entries": 3}, {"entries": {}})
    assert [records_of(each) for each in nonsense] == [()] * 4
    assert stored([JobRun("ok", 7, 8, "")]) == (JobRecord("", "ok", 7, 8),)
    odd = record_of({"status": "ok", "runAtMs": 1e300, "durationMs": "5", "diagnostics": {"entries": [1, {}, None]}})
    assert odd is not None
    assert (odd.started_ms, odd.duration_ms, odd.succeeded) == (None, None, True)


@pytest.mark.parametrize(
    ("status", "completion", "succeeded"),
    [
        ("ok", "", True),
        ("ok", "succeeded", True),
        ("ok", "failed", False),
        ("error", "", False),
        ("skipped", "", False),
    ],
)
def test_when_a_run_succeeded(status: str, completion: str, succeeded: bool) -> None:
    """Only by the gateway's own word, and by both words of a release that has two."""
    found = record_of({"status": status, "completionStatus": completion})
    assert found is not None
    assert found.succeeded is succeeded


# -- what an answer means --------------------------------------------------------------------------------------------


def said(text: str, exit_code: int = 0, **changes: Any) -> Answer:
    """The answer of a `cron run` on a terminal, as Openclaw.cron_run gives it."""
    made = replace(call("cron run j1", "refused" if exit_code else "answered", stdout=text), **changes)
    return Answer(made, json_object(text))


@pytest.mark.parametrize(
    ("text", "exit_code", "taken", "reason", "run_id"),
    [
        ('{"ok": true, "enqueued": true, "runId": "manual:j1:1:1"}', 0, True, "", "manual:j1:1:1"),
        ('{"ok": true, "ran": true}', 0, True, "", ""),
        ('{"ok": true, "ran": false, "reason": "already-running"}', 0, False, "already-running", ""),
        ('{"ok": true, "ran": false, "reason": "not-due"}', 1, False, "not-due", ""),
        ("timed out waiting for cron run manual:j1:17:2", 1, True, None, "manual:j1:17:2"),
        ("Error: Error: unknown cron job id: j1", 1, False, None, ""),
        ("Error: gateway timeout after 30000ms\r\nGateway target: x", 1, None, None, ""),
        ("gateway connect failed: scope upgrade pending", 1, False, None, ""),
        ("", 1, None, "", ""),
    ],
)
def test_what_the_releases_say(text: str, exit_code: int, taken: bool | None, reason: str | None, run_id: str) -> None:
    """Taken, not taken, or unknown: by the words, since exit codes do not agree."""
    found = understood(said(text, exit_code))
    assert (found.taken, found.run_id) == (taken, run_id)
    assert reason is None or found.reason == reason
    assert found.unknown_job is ("unknown cron job" in text)
    assert found.synchronous is (text == '{"ok": true, "ran": true}')


@pytest.mark.parametrize(
    ("text", "exit_code", "missing"),
    [
        ("error: unknown option '--wait'\r\n", 1, True),
        ('OpenClaw does not recognize option "--wait".\r\n', 1, True),
        ("error: unknown option '--wait-timeout'\r\n", 1, False),
        ('{"ok": true, "run": {"status": "error", "error": "unknown option \'--wait\'"}}', 1, False),
        ("error: unknown option '--wait'\r\n", 0, False),
    ],
)
def test_when_an_option_is_missing(text: str, exit_code: int, missing: bool) -> None:
    """Only a refusal before any answer: whatever else says these words may have run the job."""
    assert lacks(said(text, exit_code), "--wait") is missing


# -- which job -------------------------------------------------------------------------------------------------------


def test_an_id_wins_over_a_name() -> None:
    """A job whose name is another's id is reached by its own id only."""
    odd = replace(JOB, id="j2", name="j1")
    assert choose("j1", Jobs((odd, JOB), "rpc", NOW)) is JOB
    assert choose("j2", Jobs((odd, JOB), "rpc", NOW)) is odd


def test_near_matches_come_best_first() -> None:
    """A part of a name and a slip of the pen both come near; a list that was not told whole is said to be so."""
    jobs = tuple(
        replace(JOB, id=f"id{number}", name=name) for number, name in enumerate(("backup db", "digest", "bakcup"))
    )
    with pytest.raises(JobNotChosen) as caught:
        choose("backup", Jobs(jobs, "rpc", NOW))
    assert [each.name for each in caught.value.candidates] == ["backup db", "bakcup"]
    with pytest.raises(JobNotChosen, match="among the 3 that were told, and there are more"):
        choose("zzz", Jobs(jobs, "cli", NOW, complete=False))


# -- already running -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owner", "age_s", "words", "advice"),
    [
        ("live", 60, "its marker is valid: proof", ""),
        ("none", 60, "no process was found that runs it, but its time is not over yet: proof", ""),
        ("unknown", 9_000, "which process runs it is not known: proof", ""),
        ("none", 9_000, "its marker is stale", "openclaw cron disable j1 && openclaw cron enable j1"),
    ],
)
def test_whether_the_marker_is_stale(owner: Any, age_s: int, words: str, advice: str) -> None:
    """By the proof and the times of cron/marker-stale; without proof never."""
    marked_ms = round((datetime.now(UTC) - timedelta(seconds=age_s)).timestamp() * 1000)
    job = replace(JOB, running_ms=marked_ms)
    result = already_running(
        job, KnownJob(Jobs((job,), "rpc", datetime.now(UTC)), {"j1": Ownership("j1", owner, "proof")})
    )
    assert (result.exit, result.advice) == (3, advice)
    assert words in result.why
    assert result.why.startswith("since 20")


# -- the transcript --------------------------------------------------------------------------------------------------


@pytest.fixture
def redactor(tmp_path: Path) -> Redactor:
    """One that knows a secret."""
    return Redactor(["s3cret-s3cret"], tmp_path / "home")


@settings(deadline=None)
@given(
    st.text(alphabet=st.characters(codec=None), max_size=300) | st.sampled_from(["..", ".", "", "/", "../x", "a/b\0c"])
)
def test_no_id_leads_out_of_the_folder(job_id: str) -> None:
    """Whatever an id holds, its part of the name is plain, short, and leads nowhere."""
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}", slug(job_id))
    assert slug(job_id) == slug(job_id)


@settings(deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_two_ids_share_no_name(one: str, other: str) -> None:
    """Different jobs have different transcripts."""
    assert (slug(one) == slug(other)) is (one == other)


@pytest.mark.parametrize("job_id", ["../../evil", "/etc/passwd", "a\0b", "..", "x" * 5000, "-rf", "ä\udc80", "a/../b"])
def test_a_hostile_id_stays_in_the_folder(tmp_path: Path, redactor: Redactor, job_id: str) -> None:
    """The file is made where it belongs, and nothing else is."""
    memory = tmp_path / "memory"
    transcript = Transcript(memory, job_id, redactor, NOW)
    transcript.close()
    assert transcript.path.resolve().parent == (memory / FOLDER).resolve()
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == [transcript.path]


def test_a_link_is_not_written_through(tmp_path: Path, redactor: Redactor) -> None:
    """Somebody's link under the very name is not followed: the next name is taken."""
    folder = tmp_path / FOLDER
    folder.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (folder / "j1_2026-11-23T03-00-00Z.log").symlink_to(victim)
    transcript = Transcript(tmp_path, "j1", redactor, NOW)
    transcript.line("x")
    transcript.close()
    assert (transcript.path.name, victim.read_text()) == ("j1_2026-11-23T03-00-00Z-02.log", "mine")


def test_a_secret_that_comes_in_pieces(tmp_path: Path, redactor: Redactor) -> None:
    """However the chunks are cut, even inside a character, the secret is not in the file and every line is."""
    text = "first ä\r\nkey s3cret-s3cret end\r\nlast".encode()
    for cut in range(len(text)):
        transcript = Transcript(tmp_path, f"cut-{cut}", redactor, NOW)
        transcript.output(text[:cut], clock=lambda: 0.0)
        transcript.output(b"", clock=lambda: 9.0)
        transcript.output(text[cut:], clock=lambda: 9.0)
        transcript.output_ended()
        transcript.close()
        assert transcript.path.read_text() == "| first ä\n| key [redacted] end\n| last\n"


def test_a_flood_is_cut_short(tmp_path: Path, redactor: Redactor) -> None:
    """Some megabytes are kept, and it says that there was more; a line without end is cut too."""
    transcript = Transcript(tmp_path, "j1", redactor, NOW)
    for _ in range(200):
        transcript.output(b"y\n" * 32_768)
    transcript.output(b"z" * 2_000_000)
    transcript.output_ended()
    transcript.line("end")
    transcript.close()
    text = transcript.path.read_text()
    assert len(text) < 20_000_000
    assert text.endswith("the rest is left out …\nend\n")


def test_a_full_disk_is_said_and_costs_no_run(tmp_path: Path, redactor: Redactor, monkeypatch: Any) -> None:
    """What cannot be written is no reason to leave a run alone."""
    transcript = Transcript(tmp_path, "j1", redactor, NOW)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("oc_ops.act.cron_run.transcript.os.write", full)
    transcript.line("x")
    transcript.close()
    assert transcript.trouble == f"{transcript.path} could not be written whole: No space left on device"


def test_what_is_still_written_is_not_pruned(tmp_path: Path, redactor: Redactor) -> None:
    """Neither the current one, however old its name, nor one that another run holds open, nor a link."""
    current = Transcript(tmp_path, "a", redactor, NOW - timedelta(days=9))
    other = Transcript(tmp_path, "b", redactor, NOW - timedelta(days=8))
    ended = Transcript(tmp_path, "c", redactor, NOW - timedelta(days=7))
    ended.close()
    newest = Transcript(tmp_path, "d", redactor, NOW)
    newest.close()
    prune(tmp_path, 1, current.path)
    assert {each.name[0] for each in (tmp_path / FOLDER).iterdir()} == {"a", "b", "d"}
    other.close()
    prune(tmp_path, 1, current.path)
    assert {each.name[0] for each in (tmp_path / FOLDER).iterdir()} == {"a", "d"}
    current.close()


def test_exit_codes() -> None:
    """The contract with whoever calls this from a script."""
    assert {outcome: RunResult(outcome, JOB).exit for outcome in EXITS} == {
        "succeeded": 0, "triggered": 0, "failed": 1, "gone": 2, "already-running": 3, "not-started": 4,
        "out-of-time": 124, "interrupted": 130,
    }  # fmt: skip
    assert RunResult("failed", JOB).see() == "openclaw cron runs --id j1"
    assert "'a b'" in RunResult("failed", replace(JOB, id="a b")).see()
