"""Open files and inotify instances as the system tells of them, on this very process."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oc_ops.observe.limits import _watched, descriptors, watches

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="macOS tells no limit of another process")


@pytest.fixture
def inotify() -> Iterator[int]:
    """An inotify instance of this process' own."""
    made = ctypes.CDLL(None, use_errno=True).inotify_init()
    assert made >= 0
    yield made
    os.close(made)


def test_what_a_process_has_open_is_counted(tmp_path: Path) -> None:
    """One more open file is one more."""
    before = descriptors(os.getpid())
    with (tmp_path / "file").open("w"):
        after = descriptors(os.getpid())
    assert before is not None
    assert after is not None
    assert after.used == before.used + 1
    assert after.limit == before.limit > 0


def test_a_process_that_is_gone_has_none() -> None:
    """What vanishes while we look is not judged."""
    assert descriptors(2**30) is None
    assert watches(2**30) is None


def test_inotify_instances_are_counted_where_the_process_has_one(inotify: int) -> None:
    """They are the user's, against the kernel's limit for a user."""
    found = watches(os.getpid())
    assert found is not None
    assert found.uid == os.getuid()
    assert found.used >= 1
    assert found.limit > 0


def test_inotify_watches_are_counted(inotify: int, tmp_path: Path) -> None:
    """Every folder that is watched is one, whoever of the user's processes watches it."""
    library = ctypes.CDLL(None, use_errno=True)
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        assert library.inotify_add_watch(inotify, str(tmp_path / name).encode(), 0x100) >= 0
    found = watches(os.getpid())
    assert found is not None
    assert found.watched >= 3
    assert found.most > 0
    assert _watched(f"/proc/{os.getpid()}/fd/{inotify}") == 3
    assert _watched(f"/proc/{os.getpid()}/fd/9999") == 0
