"""A process by pid and start time: what a plan names, and what alone may be signalled."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from oc_ops.observe.look import GatewayLook
from oc_ops.record.redact import Json

_POLL_S = 0.1
_SAME_S = 0.5
"""A start time is derived from the boot time, which moves a little when the clock is set."""


@dataclass(frozen=True, slots=True)
class Pid:
    """One process. `started` is seconds since the epoch, to a tenth, so that the same process reads the same."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Pid | None:
        """The live process of that pid; None when there is none."""
        with suppress(psutil.Error):
            return cls(pid, round(psutil.Process(pid).create_time(), 1))
        return None

    def living(self) -> psutil.Process | None:
        """The very process while it lives; one that reuses its pid, and a zombie, is not it."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _SAME_S
            if same and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def gone(self, within_s: float, wait: Callable[[float], None] = time.sleep) -> bool:
        """Wait until it is gone; False if it is still there after that."""
        deadline = time.monotonic() + within_s
        while self.living() is not None:
            if time.monotonic() >= deadline:
                return False
            wait(_POLL_S)
        return True


def gateway_evidence(look: GatewayLook | None) -> dict[str, Json]:
    """The gateway's process as a plan is bound to it: after a restart nothing is what it was."""
    serving = look.serving if look else None
    found = Pid.of(serving.pid) if serving else None
    return {"gateway_pid": found.pid if found else None, "gateway_started": found.started if found else None}
