"""The commands of a hostile test, and the dice that its cases are drawn by."""

from __future__ import annotations

import os
import random
import sys

from tests.support.hostile import Measured, measure
from tests.support.machine import PROJECT, Operator

SEED = "OC_TESTS_SEED"
"""Set it to repeat a night: the cases are drawn by it. xdist's workers inherit it."""


def doctor(operator: Operator, *options: str, **environ: str) -> Measured:
    """A quick run of the doctor on that machine."""
    argv = [sys.executable, "-m", "pytest", str(PROJECT / "checks"), "-m", "doctor", "--quick", *options]
    return measure(argv, {**operator.environ, **environ}, operator.root / "cwd")


def oc_ops(operator: Operator, *words: str, **environ: str) -> Measured:
    """A command of ours on that machine."""
    argv = [sys.executable, "-m", "oc_ops", *words]
    return measure(argv, {**operator.environ, **environ}, operator.root / "cwd")


def dice(salt: str) -> random.Random:
    """Dice of this run's seed: the same in every worker, others for every salt."""
    return random.Random(f"{os.environ[SEED]} {salt}")
