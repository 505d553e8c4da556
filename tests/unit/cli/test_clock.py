"""A clock that is far off ends in a sentence, and what was kept under another clock is told as that."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from oc_ops.cli import jobtable, main
from oc_ops.cli import recover as cli_recover
from oc_ops.observe.jobs import Jobs, job_of

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize("command", [main, cli_recover.main], ids=["oc-ops", "recover.py"])
def test_a_clock_that_python_cannot_read_is_one_sentence(
    command: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three hundred years ahead, as `faketime` showed it: every later call would end in a traceback."""

    def beyond() -> float:
        raise OverflowError("timestamp too large to convert to C _PyTime_t")

    monkeypatch.setattr(time, "time", beyond)
    with pytest.raises(SystemExit) as ended:
        command()  # type: ignore[operator]
    assert ended.value.code == 4
    assert "clock is beyond the year 2262" in capsys.readouterr().err


def test_a_run_of_a_clock_that_was_ahead_is_told_as_that() -> None:
    """Not as minus so many milliseconds ago."""
    ahead_ms = round(NOW.timestamp() * 1000) + 86_400_000 * 3
    job = job_of({"id": "a", "name": "nightly", "enabled": True, "schedule": {}, "state": {"lastRunAtMs": ahead_ms}})
    assert job is not None
    row = jobtable._row(job, Jobs((job,), "store", NOW), None)
    assert "3 d ahead of this clock" in row[3]
