"""A gateway to recover, scripted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.stage import Stage


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A gateway that hangs under systemd and is well after a restart, unless a test says otherwise."""
    return Stage(tmp_path, monkeypatch)
