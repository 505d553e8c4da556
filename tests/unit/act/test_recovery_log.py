"""The record of a recovery: on the disk line by line, readable after any death, free of secrets, pruned with care."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from oc_ops.act.recover import log as recover_log
from oc_ops.act.recover.log import RecoveryLog
from oc_ops.act.recover.wait import Clock
from oc_ops.errors import OcOpsError
from oc_ops.record.redact import Redactor

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECRET = "hidden-0123456789"


def opened(memory: Path, when: datetime = NOON) -> RecoveryLog:
    """A new record."""
    return RecoveryLog.open(memory, Redactor((SECRET,), Path("/nowhere")), Clock(now=lambda: when))


def test_each_line_is_there_as_soon_as_it_is_told(tmp_path: Path) -> None:
    """A step that is under way has its beginning on the disk; 0600, and no secret in it."""
    log = opened(tmp_path)
    assert log.path is not None
    with log.step("act", command=f"openclaw --token {SECRET}") as result:
        (begun,) = recover_log.lines(log.path)
        result["said"] = f"token={SECRET}"
    ended = recover_log.lines(log.path)[1]
    assert (begun["step"], begun["state"], begun["at"]) == ("act", "begin", "2026-11-22T12:00:00.000Z")
    assert (ended["step"], ended["state"]) == ("act", "end")
    assert SECRET not in log.path.read_text()
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
    assert log.folder == tmp_path / "recoveries" / "2026-11-22T12-00-00Z"


def test_a_step_that_raises_says_so(tmp_path: Path) -> None:
    """The error is in its end, and goes on."""
    log = opened(tmp_path)
    with pytest.raises(KeyboardInterrupt), log.step("wait"):
        raise KeyboardInterrupt("signal 15")
    assert log.steps[-1]["error"] == "KeyboardInterrupt: signal 15"


def test_two_in_one_second_are_two_records(tmp_path: Path) -> None:
    """Named apart, in the order of their beginning."""
    first, second = opened(tmp_path), opened(tmp_path)
    assert [first.path, second.path] == recover_log.records(tmp_path)


def test_a_torn_record_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """kill -9 in the middle of a line costs that line."""
    log = opened(tmp_path)
    log.note("recover", "begin")
    assert log.path is not None
    log.path.write_bytes(log.path.read_bytes() + b'{"v":1,"st')
    assert [each["step"] for each in recover_log.lines(log.path)] == ["recover"]
    assert recover_log.lines(tmp_path / "none.jsonl") == []


def test_without_a_path_nothing_is_written(tmp_path: Path) -> None:
    """A dry run keeps its steps in memory."""
    log = RecoveryLog(None, Redactor((), Path("/nowhere")), Clock())
    log.note("cause", cause="gateway/hung")
    assert [each["cause"] for each in log.steps] == ["gateway/hung"]
    assert log.folder is None
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_recorded_is_said(tmp_path: Path) -> None:
    """A memory directory that is a file, and a record that is gone, raise one sentence."""
    (tmp_path / "file").touch()
    with pytest.raises(OcOpsError, match="cannot hold the record"):
        opened(tmp_path / "file")
    log = opened(tmp_path)
    assert log.path is not None
    log.path.unlink()
    with pytest.raises(OcOpsError, match="could not be written"):
        log.note("act", "begin")


def test_old_records_go_with_their_evidence_and_young_ones_never(tmp_path: Path) -> None:
    """The newest are kept, and whatever the budget still counts."""
    for hours in (100, 99, 98, 1, 0):
        log = opened(tmp_path, NOON - timedelta(hours=hours))
        assert log.folder is not None
        log.folder.mkdir()
    recover_log.prune(tmp_path, 1, NOON - timedelta(days=2))
    left = recover_log.records(tmp_path)
    assert [recover_log.begun_at(each) for each in left] == [NOON - timedelta(hours=1), NOON]
    assert sorted(each.name for each in (tmp_path / "recoveries").iterdir() if each.is_dir()) == [
        each.stem for each in left
    ]


def test_a_refusal_pushes_no_act_out(tmp_path: Path) -> None:
    """What tried nothing is counted for itself, however many of them there are."""
    acted = opened(tmp_path, NOON - timedelta(days=30))
    acted.note("act", "begin")
    acted.note("recover", "end", exit=0)
    for hours in range(100, 90, -1):
        refused = opened(tmp_path, NOON - timedelta(hours=hours))
        refused.told("cause", {"incident": None, "cause": "cron/job-failing"})
        refused.note("recover", "end", exit=4)
    recover_log.prune(tmp_path, 2, NOON - timedelta(days=2))
    left = recover_log.records(tmp_path)
    assert (len(left), left[0]) == (3, acted.path)


def test_a_record_that_cannot_be_removed_costs_no_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that turned read-only meanwhile: what came of the recovery is still told."""
    for hours in (100, 99, 0):
        opened(tmp_path, NOON - timedelta(hours=hours))

    def read_only(self: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", read_only)
    recover_log.prune(tmp_path, 1, NOON - timedelta(days=2))
    assert len(recover_log.records(tmp_path)) == 3


def test_strangers_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    """Only names that are stamps are records."""
    log = opened(tmp_path)
    (tmp_path / "recoveries" / "notes.jsonl").write_text(json.dumps({"step": "act"}))
    assert recover_log.records(tmp_path) == [log.path]
