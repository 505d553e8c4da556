"""The memory of the gateway's process, and what the watcher itself takes."""

from __future__ import annotations

import psutil

from oc_ops.cockpit import state
from oc_ops.cockpit.clock import WatchClock

_HISTORY, _HISTORY_S = 120, 60.0
_WHY = "the gateway's process is gone, or cannot be seen from this account"


class GatewayMemory:
    """One process by its pid, held by its start time: a pid that somebody else got does not count."""

    def __init__(self, limit_bytes: int, clock: WatchClock) -> None:
        self._clock, self._limit = clock, limit_bytes
        self._process: psutil.Process | None = None
        self.memory = state.MemoryPart(limit_bytes=limit_bytes)

    def forget(self) -> None:
        """The gateway may have another process now."""
        self._process = None

    def look(self, pid: int | None, every_s: float) -> None:
        """Look at the gateway's resident memory; one sample a minute is kept."""
        now, before = self._clock.now(), self.memory
        rss = self._rss_bytes(pid)
        if rss is None:
            since = before.seen.problem_since if before.seen.problem else now
            seen = state.Freshness(before.seen.at, before.seen.lane, _WHY, since, every_s)
            self.memory = state.MemoryPart(None, self._limit, before.history, seen)
            return
        history = before.history
        if not history or abs(now - history[-1][0]) >= _HISTORY_S:
            history = (*history[-_HISTORY + 1 :], (now, rss))
        self.memory = state.MemoryPart(rss, self._limit, history, state.Freshness(now, "processes", every_s=every_s))

    def _rss_bytes(self, pid: int | None) -> int | None:
        try:
            if self._process is None and pid is not None:
                self._process = psutil.Process(pid)
            if self._process is not None and self._process.is_running():
                return int(self._process.memory_info().rss)
        except psutil.Error:
            pass
        return None


def own_costs() -> tuple[int, float]:
    """This process' resident memory (bytes) and CPU (seconds, its ended children left out)."""
    process = psutil.Process()
    times = process.cpu_times()
    return process.memory_info().rss, times.user + times.system
