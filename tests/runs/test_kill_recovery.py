"""kill -9 of a recovery at each of its steps: the record can be read, no lock is left, nothing is restarted twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oc_ops.locks import holder, lock_dir
from oc_ops.observe.target import locate
from oc_ops.record.incidents import book
from oc_ops.settings import PROJECT
from tests.support.stage import Stage, opened, saw

BEFORE = [("recover", "begin"), ("bounds", "note"), ("preflight", "begin"), ("evidence", "begin"), ("evidence", "end")]
ACTING = [
    ("act", "begin"),
    ("act", "end"),
    ("wait", "begin"),
    ("wait", "end"),
    ("observe", "begin"),
    ("observe", "end"),
]


def killed(stage: Stage, name: str, step: str, state: str) -> None:
    """A recovery in a process of its own that is killed as soon as that line is on the disk."""
    (stage.root / "incident").write_text(name)
    environ = {**os.environ, "PYTHONPATH": str(PROJECT)}
    argv = [sys.executable, str(PROJECT / "tests" / "fakes" / "recovering.py"), str(stage.root), step, state]
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, text=True, cwd=PROJECT) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "here\n"
            assert holder(lock_dir() / f"recovery-{locate(stage.environ).key}.lock") is not None
        finally:
            process.kill()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A gateway that hangs, with an incident ten minutes old."""
    return Stage(tmp_path, monkeypatch)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("step", "state"), BEFORE)
def test_killed_before_the_act_the_next_one_goes_on(stage: Stage, step: str, state: str) -> None:
    """Nothing was done, nothing counts: the next recovery restarts once and is done."""
    name = opened(stage, 10)
    killed(stage, name, step, state)
    assert stage.acts == []
    stage.seen = [saw("gateway/hung", incident=name), saw(incident=name)]
    assert stage.recover().exit == 0
    assert stage.acts == ["gateway restart --json"]
    first, second = stage.records()
    assert first[-1]["step"] == step
    assert second[-1]["outcome"] == "recovered"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("step", "state"), ACTING)
def test_killed_in_the_act_the_next_one_refuses_with_the_reason(stage: Stage, step: str, state: str) -> None:
    """The act counts, whether it was seen to end or not; a gateway that is well by now is simply healthy."""
    name = opened(stage, 10)
    killed(stage, name, step, state)
    acts = list(stage.acts)
    assert len(acts) <= 1
    stage.elapsed_s = 3600
    stage.seen = [saw("gateway/hung", incident=name)]
    refused = stage.recover()
    assert refused.exit == 3
    assert "was cut off in the middle" in refused.sentence
    assert stage.acts == acts
    (told,) = book.read_one(book.journal(stage.memory), name).incidents.values()
    assert [each.attempt.outcome for each in told.attempts if each.attempt] == ["begun"]
    stage.seen = [saw()]
    assert stage.recover().exit == 0
