"""Fixtures of the live tests: real gateways in labs of their own, reaped whatever happens."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from oc_ops.lab import sweep
from oc_ops.lab.config import find_chromium
from oc_ops.lab.install import DEFAULT_VERSION, LabError
from oc_ops.lab.lab import Lab
from tests.live.labs import SharedLab, calm

LabOf = Callable[[str], Lab]

_shared: list[SharedLab] = []
_older: dict[str, Lab] = {}


@pytest.fixture(scope="session", autouse=True)
def terminate_as_ctrl_c() -> Iterator[None]:
    """A CI that ends the run with SIGTERM gets the same clean-up as Ctrl-C: every lab is taken down."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session", autouse=True)
def labs_end() -> Iterator[None]:
    """Every lab ends with the session, whichever test began it."""
    yield
    for lab in (*(shared.lab for shared in _shared), *_older.values()):
        take_down(lab)


@pytest.fixture(scope="module", autouse=True)
def one_module_s_faults_are_its_own() -> Iterator[None]:
    """Each module meets the shared lab as if it were new; older ones, slow to start, go on without complaints."""
    for old in _older.values():
        calm(old.log_file)
    yield
    for shared in list(_shared):
        try:
            shared.take_back()
        except (LabError, OSError) as error:
            # The next module gets another one; why this one is beyond repair stands in the output of the last test.
            sys.stderr.write(f"the lab in {shared.lab.root} is given up: {error}\n")
            _shared.remove(shared)
            take_down(shared.lab)


@pytest.fixture(scope="session")
def lab_of(tmp_path_factory: pytest.TempPathFactory) -> LabOf:
    """A function that gives the one lab of a release; an older one has its browser from the beginning."""

    def of(version: str) -> Lab:
        if version == DEFAULT_VERSION:
            if not _shared:
                _shared.append(SharedLab(tmp_path_factory.mktemp("lab"), version))
            return _shared[0].lab
        if version not in _older:
            _older[version] = Lab(tmp_path_factory.mktemp("lab"), version)
            _older[version].up()
        return _older[version]

    return of


@pytest.fixture(scope="module")
def lab(lab_of: LabOf) -> Lab:
    """The lab of the default release, up, without a browser; whoever breaks it mends it before the test ends."""
    return lab_of(DEFAULT_VERSION)


@pytest.fixture(scope="module")
def lab_with_browser(lab: Lab) -> Lab:
    """The same lab with its browser started, which ends with the module."""
    assert find_chromium(), "these tests need a Chromium: apt-get install chromium"
    (shared,) = _shared
    shared.start_browser()
    return lab


def take_down(lab: Lab) -> None:
    """End it, and nothing of it is left."""
    lab.down()
    assert not sweep.residents(lab.root), f"processes of {lab.root} are still alive"
