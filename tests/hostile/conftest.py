"""What every hostile test is given: the seed that its cases were drawn by, and the bounds of a run."""

from __future__ import annotations

import copy
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.runs import SEED, doctor
from tests.support import machine
from tests.support.hostile import MOST_BYTES, MOST_S, USUAL_S, Measured
from tests.support.machine import Operator, gateway

WELL = copy.deepcopy(machine.RPC)
"""What a healthy gateway says, whatever a test has it say at that moment."""

if SEED not in os.environ:
    os.environ[SEED] = str(secrets.randbelow(10**6))


def pytest_report_header(config: pytest.Config) -> str:
    """The seed, where nothing else prints it."""
    return f"hostile cases: {SEED}={os.environ[SEED]}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A kill, a flood and a gigabyte each take their time on a machine that is busy."""
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(150))


@pytest.fixture(autouse=True)
def seed(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> str:
    """The seed, printed beside a case that fails."""
    record_property("seed", os.environ[SEED])
    sys.stdout.write(f"{SEED}={os.environ[SEED]}\n")
    return os.environ[SEED]


@pytest.fixture(scope="session")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], float]:
    """How much slower than at rest this machine is just now, by a quick run that nobody disturbs: the benign twin."""

    def slower() -> float:
        with pytest.MonkeyPatch.context() as patch, gateway() as port:
            patch.setattr(machine, "RPC", WELL)
            operator = Operator(tmp_path_factory.mktemp("usual") / "machine", port)
            run = doctor(operator)
        assert run.exit == 0, run.said
        assert run.peak_bytes < MOST_BYTES
        return max(1.0, run.wall_s / USUAL_S)

    return slower


@pytest.fixture
def bounded(usual: Callable[[], float]) -> Callable[..., None]:
    """Assert what holds of every run: one sentence at its end, no traceback, in time, in memory.

    `more_s` is what a second look at a silent server may take besides.
    """

    def check(run: Measured, more_s: float = 0.0) -> None:
        most_s = MOST_S + more_s
        assert "Traceback" not in run.said, run.said
        assert "INTERNALERROR" not in run.said, run.said
        assert "RecursionError" not in run.said, run.said
        assert "recursion" not in run.said, run.said
        assert run.sentence, run.said
        assert run.peak_bytes < MOST_BYTES, f"{run.peak_bytes / 2**20:.0f} MB"
        assert run.wall_s < most_s or run.wall_s < most_s * usual(), f"{run.wall_s:.1f} s\n{run.said}"

    return check
