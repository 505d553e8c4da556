"""The history, `memory/ops.sqlite`: every run with its checks and calls, cron runs, incidents and restarts.

Questions to it stand in `asking`, which a run that only writes does not load.
"""

from __future__ import annotations

from oc_ops.record.history.database import FILE, HistoryError, reading
from oc_ops.record.history.entry import (
    CallEntry,
    CheckEntry,
    CronRunEntry,
    FindingEntry,
    IncidentEntry,
    JobEntry,
    Process,
    RunEntry,
)
from oc_ops.record.history.write import remember

__all__ = [
    "FILE",
    "CallEntry",
    "CheckEntry",
    "CronRunEntry",
    "FindingEntry",
    "HistoryError",
    "IncidentEntry",
    "JobEntry",
    "Process",
    "RunEntry",
    "reading",
    "remember",
]
