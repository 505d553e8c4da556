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
def one_module_s_faults_are_its_own() -> Iterator[None]:
    """A new lab of the default release for every module; the old ones, slow to start, go on without complaints."""
    for each in LABS.values():
        lines = each.log_file.read_bytes().splitlines(keepends=True)
        calm = [
            line for line in lines if b'"logLevelName":"ERROR"' not in line and b'"logLevelName":"WARN"' not in line
        ]
        each.log_file.write_bytes(b"".join(calm))
    yield
    if DEFAULT_VERSION in LABS:
        take_down(LABS.pop(DEFAULT_VERSION))


@pytest.fixture(scope="session")
def lab_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabOf]:
    """A function that brings up a lab of a release: one per release, the default one anew in every module."""
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
            take_down(labs.popitem()[1])


@pytest.fixture(scope="module")
def lab(lab_of: LabOf) -> Lab:
    """A lab of the default release that is up; whoever breaks it mends it before the test ends."""
    return lab_of(DEFAULT_VERSION)


def take_down(lab: Lab) -> None:
    """End it, and nothing of it is left."""
    lab.down()
    assert no_survivor(lab.root), f"processes of {lab.root} are still alive"


def no_survivor(root: Path) -> bool:
    """True when no process lives under that root."""
    return not sweep.residents(root)
