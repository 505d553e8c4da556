"""A book of incidents, day by day."""

from __future__ import annotations

from pathlib import Path

import pytest

from oc_ops.record.incidents import book
from tests.support.incident_days import Days


@pytest.fixture
def days(tmp_path: Path) -> Days:
    """An empty book at the start of time."""
    return Days(book.journal(tmp_path / "memory"))
