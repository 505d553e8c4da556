"""Fixtures of the live tests: real gateways in labs of their own, reaped whatever happens."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oc_ops.lab import sweep
from oc_ops.lab.gateway import Lab
from oc_ops.lab.install import DEFAULT_VERSION

LabOf = Callable[[str], Lab]
LABS: dict[str, Lab] = {}
"""Those that are up, by release."""


@pytest.fixture(scope="session", autouse=True)
def terminate_as_ctrl_c() -> Iterator[None]:
    """A CI that ends the run with SIGTERM gets the same clean-up as Ctrl-C: every lab is taken down."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module", autouse=True)
def calm_logs() -> None:
    """What a gateway logged of another module's faults is no finding of this one's: its complaints are taken out."""
    for each in LABS.values():
        lines = each.log_file.read_bytes().splitlines(keepends=True)
        calm = [
            line for line in lines if b'"logLevelName":"ERROR"' not in line and b'"logLevelName":"WARN"' not in line
        ]
        each.log_file.write_bytes(b"".join(calm))


@pytest.fixture(scope="session")
def lab_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabOf]:
    """A function that brings up a lab of a release, one per release, shared by all modules."""
    labs = LABS

    def of(version: str) -> Lab:
        if version not in labs:
            labs[version] = Lab(tmp_path_factory.mktemp("lab"), version)
            labs[version].up()
        return labs[version]

    try:
        yield of
    finally:
        while labs:
            _, each = labs.popitem()
            each.down()
            assert no_survivor(each.root), f"processes of {each.root} are still alive"


@pytest.fixture(scope="session")
def lab(lab_of: LabOf) -> Lab:
    """A lab of the default release that is up; whoever breaks it mends it before the test ends."""
    return lab_of(DEFAULT_VERSION)


def no_survivor(root: Path) -> bool:
    """True when no process lives under that root."""
    return not sweep.residents(root)
