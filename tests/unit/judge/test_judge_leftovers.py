"""Directories that OpenClaw left behind: counted and sized as they are, and told from a size on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oc_ops.judge.files import openclaw_leftovers
from oc_ops.observe.leftovers import OLD_S, Leftovers, leftovers
from oc_ops.observe.target import Target, locate


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """A gateway with a TMPDIR of its own."""
    (tmp_path / "tmp").mkdir()
    return locate({"HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp")})


def left(folder: Path, size: int = 8192, age_s: float = 2 * OLD_S) -> Path:
    """A directory with one file of that size, untouched for so long."""
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"x" * size)
    os.utime(folder, (time.time() - age_s,) * 2)
    return folder


def test_leftovers_are_counted_by_class(target: Target) -> None:
    """Old directories of OpenClaw's own count; young ones, links, the locks' folder and other names do not."""
    temp = Path(target.environ["TMPDIR"])
    for number in range(3):
        left(target.state_dir / "tmp" / f"openclaw-plugin-build-{number}")
    left(temp / "openclaw-abc")
    left(temp / "openclaw-young", age_s=10)
    left(temp / f"openclaw-{os.getuid()}")
    other = left(temp / "another")
    (temp / "openclaw-link").symlink_to(other)
    assert [(each.pattern, each.count) for each in leftovers(target)] == [
        ("openclaw-plugin-build-*", 3),
        ("openclaw-*", 1),
    ]
    assert leftovers(target)[0].size_bytes >= 3 * 8192


def test_what_a_process_works_in_is_no_leftover(target: Target) -> None:
    """A directory that is somebody's working directory is in use."""
    folder = left(Path(target.environ["TMPDIR"]) / "openclaw-abc")
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=folder, stdin=subprocess.PIPE) as process:
        assert leftovers(target) == ()
        process.kill()
    assert [each.count for each in leftovers(target)] == [1]


@pytest.mark.parametrize(
    ("count", "size", "severity"),
    [(0, 0, None), (3, 2**20, None), (60, 2**20, "info"), (3, 2**28, "info"), (30, 6 * 2**30, "warning")],
)
def test_they_are_told_by_size(count: int, size: int, severity: str | None) -> None:
    """A few small ones are no finding, many are information, what fills a disk is a warning; nothing is deleted."""
    place = Path("/home/me/.openclaw/tmp")
    found = [Leftovers("openclaw-plugin-build-*", place, count, size, 90000.0)] if count else []
    finding = openclaw_leftovers(found)
    assert (finding.severity if finding else None) == severity
    if finding is not None:
        assert "rm" not in finding.fix.split()
        assert "none open" in finding.saw
