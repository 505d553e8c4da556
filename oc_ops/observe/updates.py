"""OpenClaw's own ledger of updates, in its state database since 2026.9.2, and who does those that are under way."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oc_ops import files
from oc_ops.errors import CouldNotLook
from oc_ops.observe.database import Row, snapshot
from oc_ops.observe.gatewaylocks import is_gone
from oc_ops.observe.target import Target

_DATABASE = Path("state", "openclaw.sqlite")
_RUNNING = (
    "SELECT phase, created_at_ms, updated_at_ms, origin_json FROM update_runs WHERE status = 'running' "
    "ORDER BY created_at_ms DESC LIMIT 20"
)
_READ_S = 1.0
_SILENT_S = 1800.0
"""An update whose process cannot be looked at from here and that wrote nothing for so long has been given up, to
OpenClaw as well (2026.9.6)."""


@dataclass(frozen=True, slots=True)
class Update:
    """An update that the ledger has as running. `pid` is its living process; None for one that is not to be seen here.

    `phase` is its own word: requested, staging, validating, repairing, activating, restarting or verifying.
    """

    phase: str
    age_s: float
    pid: int | None = None


def under_way(target: Target) -> tuple[Update, ...]:
    """The updates of a target that have not come to their end; empty where the ledger cannot be read, or is none.

    One whose every process is known to be gone is over. Costs some milliseconds.
    """
    try:
        with snapshot(target.state_dir / _DATABASE, _READ_S) as tables:
            rows = tables.rows(_RUNNING) if tables.has("update_runs") else ()
    except (CouldNotLook, OSError):
        return ()
    return tuple(_updates(rows, time.time()))


def _updates(rows: Sequence[Row], now: float) -> Iterator[Update]:
    for phase, created_ms, updated_ms, origin in rows:
        if not isinstance(created_ms, int) or not isinstance(updated_ms, int):
            continue
        drivers = list(_drivers(str(origin)))
        here = [(pid, began) for host, pid, began in drivers if host == socket.gethostname()]
        alive = next((pid for pid, began in here if not is_gone(pid, began)), None)
        unseen = len(here) < len(drivers) or not drivers
        if alive or (unseen and now - updated_ms / 1000 < _SILENT_S):
            yield Update(str(phase), max(0.0, now - created_ms / 1000), alive)


def _drivers(origin: str) -> Iterator[tuple[str, int, int | None]]:
    """Host, pid and the kernel's start time of each process that has led this update, the present one first."""
    told: object = None
    with contextlib.suppress(ValueError):
        told = files.json_of(origin)
    if not isinstance(told, Mapping):
        return
    earlier = told.get("previousDrivers")
    for each in (told.get("driver"), *(earlier if isinstance(earlier, list) else ())):
        pid = each.get("pid") if isinstance(each, Mapping) else None
        if isinstance(each, Mapping) and isinstance(pid, int):
            began = str(each.get("startIdentity"))
            yield str(each.get("host")), pid, int(began) if began.isdecimal() else None
