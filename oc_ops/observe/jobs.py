"""Cron jobs as every source tells them: RPC, the CLI, or the gateway's own store; one set of types for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Source = Literal["rpc", "cli", "store"]
"""Who told: `store` means the gateway did not answer and its files were read instead."""


MOST_JOBS = 5000
"""More jobs are not looked at: each is judged, and a list of that length is a fault of its own."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a job is due: `cron` (expression and IANA zone), `every` (milliseconds from an anchor) or `at` (once).

    `kind` is "unknown" for what this version of oc-ops has not seen; such a job is never called overdue.
    """

    kind: Literal["cron", "every", "at", "unknown"]
    expression: str = ""
    zone: str = ""
    every_ms: int = 0
    anchor_ms: int | None = None
    at_ms: int | None = None
    stagger_ms: int = 0


@dataclass(frozen=True, slots=True)
class JobRun:
    """One finished or interrupted run. Times are epoch milliseconds, as OpenClaw keeps them."""

    status: str
    started_ms: int | None
    duration_ms: int | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """One cron job with its state. `*_ms` moments are epoch milliseconds; None is "not said"."""

    id: str
    name: str
    enabled: bool
    schedule: Schedule
    created_ms: int | None = None
    updated_ms: int | None = None
    timeout_s: float | None = None
    next_run_ms: int | None = None
    last_run_ms: int | None = None
    last_status: str = ""
    last_error: str = ""
    last_duration_ms: int | None = None
    consecutive_errors: int = 0
    running_ms: int | None = None
    """The marker `runningAtMs`: when the run that is under way, or claims to be, began."""
    receipt_id: str = ""
    """2026.9.6 and later: which run receipt owns the marker (`runningReceiptId`)."""
    auto_disabled: str = ""
    """Why OpenClaw itself switched the job off (`state.autoDisabled.reason`)."""
    payload_kind: str = ""
    """What a run does. Without a `timeout_s` of its own an `agentTurn` gets 3600 s, every other kind 600 s."""
    queued_ms: int | None = None
    """2026.9.6 and later: since when a run waits for its turn (`queuedAtMs`); it has a receipt, but no marker yet."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A run receipt of 2026.9.6 and later: which process took the run, and what became of it.

    OpenClaw writes the marker and an open receipt in one transaction: a marker without one is owned by nobody.
    """

    id: str
    job_id: str
    status: str
    """`running` while it is open; ok, error, skipped, interrupted or superseded once it is not."""
    owner_pid: int
    started_ms: int


@dataclass(frozen=True, slots=True)
class Jobs:
    """Every job of one gateway at one moment; `runs` holds the latest of each, newest first, where they were told."""

    jobs: tuple[Job, ...]
    source: Source
    seen_at: datetime
    runs: Mapping[str, tuple[JobRun, ...]] = field(default_factory=dict)
    complete: bool = True
    """False when the source holds more jobs than it told: then no job may be called missing."""
    receipts: tuple[Receipt, ...] | None = None
    """Open receipts and those that markers name; None where the source keeps none or was not asked for them."""
