"""A clock that is off, by faketime: one sentence, nothing green, nothing pruned, and no lock or plan is fooled."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from oc_ops.record import folder
from tests.hostile.runs import dice
from tests.support.hostile import Measured, measure
from tests.support.machine import Operator, gateway

pytestmark = pytest.mark.skipif(shutil.which("faketime") is None, reason="faketime is not installed")

WRONG = ("1970-01-02", "2019-12-31", "2101-01-01", "2261-01-01")
UNREADABLE = ("2263-01-01", "2326-06-01", "9999-12-31")
RIGHT = ("2020-01-02", "2040-02-29", "2100-12-30")
DOCTOR = [sys.executable, "-m", "oc_ops", "doctor", "--quick"]
OTHERS = (
    *(
        ("jobs",),
        ("recover",),
        ("recover", "--dry-run"),
        ("breaker", "list"),
        ("incidents", "list"),
        ("metrics",),
        ("history",),
    ),
    *(("schedule", "show"), ("config",), ("logs",), ("targets",), ("notify",)),
)


def at(date: str, operator: Operator, *argv: str) -> Measured:
    """A command at noon of that day."""
    return measure(["faketime", "-f", f"@{date} 12:00:00", *argv], operator.environ, operator.root / "cwd")


@pytest.mark.parametrize("date", ["1970-01-02", "2326-06-01"])
def test_a_clock_that_is_off_is_one_sentence(date: str, tmp_path: Path, bounded: Callable[[Measured], None]) -> None:
    """The doctor says it; what is on record stays."""
    _said(date, tmp_path, bounded)


@pytest.mark.nightly
@pytest.mark.parametrize("date", [*WRONG, *UNREADABLE, *RIGHT])
def test_every_clock_is_one_sentence(date: str, tmp_path: Path, bounded: Callable[[Measured], None]) -> None:
    """The same for each, and a clock that may be right is no news."""
    _said(date, tmp_path, bounded)


def _said(date: str, tmp_path: Path, bounded: Callable[[Measured], None]) -> None:
    with gateway() as port:
        operator = Operator(tmp_path / "machine", port)
        for day in range(1, 29):
            run = folder.open_run(operator.reports, datetime(2026, 11, day, tzinfo=UTC))
            folder.write(run.path / folder.REPORT_JSON, '{"schema":1,"verdict":"healthy"}')
        before = sorted((operator.reports / "runs").iterdir())
        run_ = at(date, operator, *DOCTOR)
    bounded(run_)
    if date in RIGHT:
        assert "host/clock-off" not in run_.said
        return
    assert run_.exit != 0
    words = "beyond the year 2262" if date in UNREADABLE else f"clock says {date}"
    assert words in run_.said, run_.said
    assert set(before) <= set((operator.reports / "runs").iterdir()), "nothing is pruned by a clock that is off"
    assert not list((operator.root / "memory").glob("incidents.jsonl"))


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(30))
def test_other_commands_end_in_a_sentence(number: int, tmp_path: Path, bounded: Callable[[Measured], None]) -> None:
    """A date and a command that the seed has drawn."""
    drawn = dice(f"clocks {number}")
    date, command = drawn.choice([*WRONG, *UNREADABLE]), OTHERS[number % len(OTHERS)]
    with gateway() as port:
        operator = Operator(tmp_path / "machine", port)
        run = at(date, operator, sys.executable, "-m", "oc_ops", *command)
    bounded(run)
    assert "clock" in run.said, run.said
