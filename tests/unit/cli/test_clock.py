"""A clock that is far off ends in a sentence, and what was kept under another clock is told as that."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from oc_ops.cli import frame, jobtable, main
from oc_ops.cli import recover as cli_recover
from oc_ops.judge.host import clock_off
from oc_ops.observe.install import Package
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


@pytest.mark.parametrize(
    ("year", "wrong"), [(1970, True), (2019, True), (2020, False), (2100, False), (2101, True), (2261, True)]
)
def test_a_clock_that_is_off_is_told_and_judged_by_nothing(
    year: int, wrong: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line on stderr, the command goes on; the doctor has a finding of it, and of a clock that may be right none."""
    now_s = datetime(year, 6, 1, tzinfo=UTC).timestamp()
    monkeypatch.setattr(time, "time", lambda: now_s)
    frame.need_clock()
    said = capsys.readouterr().err
    finding = clock_off(now_s)
    assert (f"clock says {year}-06-01" in said, finding is not None) == (wrong, wrong)
    if finding:
        assert (finding.check, finding.severity) == ("host/clock-off", "error")


@pytest.mark.parametrize(
    ("version", "now", "wrong"),
    [
        ("2026.9.6", datetime(2026, 7, 30, tzinfo=UTC), True),
        ("2026.9.6", datetime(2026, 8, 2, tzinfo=UTC), False),  # of the next month
        ("2026.9.6-beta.1", datetime(2024, 1, 1, tzinfo=UTC), True),
        ("2026.9.6", NOW, False),
        ("2031.1.1", NOW, True),
        ("7.13.2", datetime(2024, 1, 1, tzinfo=UTC), False),
        ("unknown", datetime(2024, 1, 1, tzinfo=UTC), False),
    ],
)
def test_no_clock_is_before_the_release_that_is_installed(version: str, now: datetime, wrong: bool) -> None:
    """A release's number is its date; one that is no date says nothing."""
    finding = clock_off(now.timestamp(), Package(Path("/opt/openclaw/package.json"), version, 0.0))
    assert (finding is not None) == wrong
    assert finding is None or (finding.check == "host/clock-off" and version in finding.saw)


def test_a_run_of_a_clock_that_was_ahead_is_told_as_that() -> None:
    """Not as minus so many milliseconds ago."""
    ahead_ms = round(NOW.timestamp() * 1000) + 86_400_000 * 3
    job = job_of({"id": "a", "name": "nightly", "enabled": True, "schedule": {}, "state": {"lastRunAtMs": ahead_ms}})
    assert job is not None
    row = jobtable._row(job, Jobs((job,), "store", NOW), None)
    assert "3 d ahead of this clock" in row[3]
