"""Compiled modules are kept for the next run, away from the sources."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from oc_ops.settings import PROJECT

CODE = """
import oc_ops.bytecode, sys
from oc_ops.judge import verdict
print(sys.pycache_prefix, sys.dont_write_bytecode, verdict.__cached__)
"""


def imported(home: Path, **environ: str) -> list[str]:
    """The prefix, whether nothing is written, and where a module that was imported then has its cache."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "XDG_"))}
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**bare, "HOME": str(home), **environ},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_what_may_not_lie_beside_the_sources_is_kept_elsewhere(tmp_path: Path) -> None:
    """With PYTHONDONTWRITEBYTECODE the cache is the user's own, and private."""
    prefix, nothing_written, cached = imported(tmp_path, PYTHONDONTWRITEBYTECODE="1")
    assert (Path(prefix).is_relative_to(tmp_path), nothing_written) == (True, "False")
    assert Path(cached).is_relative_to(prefix)
    assert Path(cached).is_file()
    assert Path(prefix).parent.joinpath("locks").stat().st_mode & 0o077 == 0


def test_otherwise_python_s_own_way_stands(tmp_path: Path) -> None:
    """Without the variable, and where the user names a place, nothing is changed."""
    assert imported(tmp_path)[:2] == ["None", "False"]
    own = str(tmp_path / "own")
    assert imported(tmp_path, PYTHONDONTWRITEBYTECODE="1", PYTHONPYCACHEPREFIX=own)[:2] == [own, "True"]


def test_without_a_place_nothing_is_kept(tmp_path: Path) -> None:
    """A home that cannot be written costs time, never the run."""
    (tmp_path / "file").touch()
    place = str(tmp_path / "file" / "below")
    assert imported(tmp_path / "file", PYTHONDONTWRITEBYTECODE="1", XDG_STATE_HOME=place)[:2] == ["None", "True"]
