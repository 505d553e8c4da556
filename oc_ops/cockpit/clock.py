"""When things are due: the watcher's two clocks in one hand, turns, and marks that others touch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class WatchClock:
    """`steady` runs on whatever happens to the wall clock and decides when things are due; `now` is what is shown."""

    steady: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    _offset: float | None = field(default=None, init=False)

    def jumped_s(self) -> float:
        """By how much the wall clock has moved against the steady one since this was asked last: a suspend, or a
        clock that was set.
        """
        offset = self.now() - self.steady()
        before, self._offset = self._offset, offset
        return 0.0 if before is None else offset - before


@dataclass
class Turn:
    """Something to be done every so often."""

    every_s: float
    due: float = 0.0
    """By the steady clock; 0 is at once."""

    def comes(self, steady: float) -> bool:
        """True if it is due; then the next time is one interval away, however late this one was."""
        if steady < self.due:
            return False
        self.due = steady + self.every_s
        return True

    def soon(self) -> None:
        """Make it due now."""
        self.due = 0.0


class TouchFile:
    """A file that others touch; how long ago is told by the steady clock, whatever the wall clock does."""

    def __init__(self, path: Path, clock: WatchClock) -> None:
        self._path, self._clock = path, clock
        self._stamp: int | None = None
        self.changed: float = clock.steady()

    def quiet_s(self) -> float:
        """Seconds since it was last seen to have been touched; of one that is not there, since it was looked for."""
        try:
            stamp: int | None = self._path.stat().st_mtime_ns
        except OSError:
            stamp = None
        if stamp is not None and stamp != self._stamp:
            self.changed = self._clock.steady()
        self._stamp = stamp
        return self._clock.steady() - self.changed
