"""The clock that recovery goes by: one place to ask for the time and to wait, so that tests need not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """`now` is the time of day in UTC, `monotonic` and `wait` are seconds."""

    now: Callable[[], datetime] = _utc_now
    monotonic: Callable[[], float] = time.monotonic
    wait: Callable[[float], None] = time.sleep


REAL = Clock()
"""The machine's own."""
