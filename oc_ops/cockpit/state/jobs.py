"""The watched jobs and what ran lately."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from oc_ops.cockpit.state.freshness import Freshness, Note


@dataclass(frozen=True, slots=True)
class RunPart:
    """One run of a job; one that is under way has the status `running` and no duration."""

    job_id: str = ""
    job: str = ""
    """The job's name."""
    status: str = ""
    """ok, error, skipped, running, or whatever the release says."""
    started_at: float | None = None
    ended_at: float | None = None
    duration_s: float | None = None
    error: str = ""
    noticed_at: float | None = None
    """When the watcher learned of it; None for a run that was over before it came up."""


@dataclass(frozen=True, slots=True)
class JobPart:
    """One job: of the watchlist, in its order, then any other job whose marker is stale."""

    id: str = ""
    """Empty when a watched job does not exist."""
    name: str = ""
    watched: bool = True
    enabled: bool = True
    schedule: str = ""
    """In words: `every 15 min`, `0 6 * * *`."""
    running_since: float | None = None
    """The marker `runningAtMs`; its age is what to show."""
    timeout_s: float | None = None
    """How long a run may take."""
    next_due_at: float | None = None
    overdue_s: float | None = None
    """How late it is by its own next run; None when it is not."""
    runs: tuple[RunPart, ...] = ()
    """The last ones, newest first, at most 10."""
    typical_s: float | None = None
    """The middle of its earlier good runs' durations."""
    trend: Literal["", "steady", "slower", "faster"] = ""
    """How the last good run compares with `typical_s` (half as much again, or less than two thirds)."""
    failures: int = 0
    """Failed runs in a row."""
    notes: tuple[Note, ...] = ()
    """What the judges say of it, as the doctor would."""
    unseen: str = ""
    """Why it could not be judged, or not in all."""


@dataclass(frozen=True, slots=True)
class TranscriptPart:
    """A log that `oc-ops run` left in memory/cron_run_now/."""

    path: str = ""
    at: float | None = None
    """When it was written last."""
    size: int = 0
    tail: tuple[str, ...] = ()
    """Its last lines, at most 6."""


@dataclass(frozen=True, slots=True)
class JobsPart:
    """The watched jobs, and what ran lately."""

    jobs: tuple[JobPart, ...] = ()
    watchlist_problem: str = ""
    """Why the watchlist cannot be read; empty when it can."""
    recent: tuple[RunPart, ...] = ()
    """Runs of any job as they began and ended since the watcher came up, newest first, at most 30."""
    transcripts: tuple[TranscriptPart, ...] = ()
    """The newest first, at most 5."""
    seen: Freshness = field(default_factory=Freshness)
