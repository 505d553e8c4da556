"""The watched jobs, and what is wrong: the last doctor run, open incidents, signatures, the log."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from oc_ops.cockpit.state.vitals import Freshness, Note, Severity


class RunPart(Struct, frozen=True):
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


class JobPart(Struct, frozen=True):
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
    """The judges' findings on it, as the doctor gives them."""
    unseen: str = ""
    """Why it could not be judged, or not in all."""


class TranscriptPart(Struct, frozen=True):
    """A log that `oc-ops run` left in memory/cron_run_now/."""

    path: str = ""
    at: float | None = None
    """When it was written last."""
    size: int = 0
    tail: tuple[str, ...] = ()
    """Its last lines, at most 6."""


class JobsPart(Struct, frozen=True):
    """The watched jobs, and what ran lately."""

    jobs: tuple[JobPart, ...] = ()
    watchlist_problem: str = ""
    """Why the watchlist cannot be read; empty when it can."""
    recent: tuple[RunPart, ...] = ()
    """Runs of any job as they began and ended since the watcher came up, newest first, at most 30."""
    transcripts: tuple[TranscriptPart, ...] = ()
    """The newest first, at most 5."""
    seen: Freshness = field(default_factory=Freshness)


class DoctorPart(Struct, frozen=True):
    """The last doctor run, from reports/latest.json."""

    verdict: Literal["", "healthy", "degraded", "unhealthy", "unknown"] = ""
    """Empty: there is no report yet."""
    at: float | None = None
    """When the run began."""
    duration_s: float | None = None
    cause: str = ""
    """The id of the finding that explains the others."""
    findings: tuple[Note, ...] = ()
    """At most 12, errors first."""
    next_action: str = ""
    """The next step: the cause's fix, else the first finding's; `oc-ops doctor` when there is no report."""
    report: str = ""
    """The page of that run (`reports/latest.html`)."""
    seen: Freshness = field(default_factory=Freshness)


class IncidentPart(Struct, frozen=True):
    """One open incident from the book."""

    id: str = ""
    check: str = ""
    """Its name, such as `gateway/hung`."""
    severity: Severity = ""
    fact: str = ""
    state: str = ""
    """`red` or `green once`."""
    since: float | None = None
    last_seen_at: float | None = None
    fix: str = ""
    acknowledged_by: str = ""
    flaps: int = 0
    attempts: int = 0
    """Recovery attempts on record."""


class Incidents(Struct, frozen=True):
    """The open incidents of this gateway, oldest first."""

    open: tuple[IncidentPart, ...] = ()
    seen: Freshness = field(default_factory=Freshness)


class Firing(Struct, frozen=True):
    """A log signature that fired inside its window."""

    id: str = ""
    severity: Severity = ""
    count: int = 0
    threshold: int = 1
    """From this count on the doctor makes it a finding."""
    first_at: float | None = None
    last_at: float | None = None
    fact: str = ""
    fix: str = ""
    """First aid."""
    restart: str = ""
    """Of the gateway: allowed, useless or forbidden."""
    excerpt: str = ""
    """The newest line that matched."""


class LogLine(Struct, frozen=True):
    """One record of the gateway's log, readable."""

    at: float | None = None
    level: str = ""
    """INFO, WARN, ERROR, …; empty for a plain line."""
    source: str = ""
    """The subsystem, such as `gateway/ws`."""
    text: str = ""
    """At most 600 characters."""


class LogPart(Struct, frozen=True):
    """The gateway's log."""

    lines: tuple[LogLine, ...] = ()
    """The last ones, oldest first, at most 60."""
    files: tuple[str, ...] = ()
    signatures: tuple[Firing, ...] = ()
    """Signatures that fired, errors first, then the latest first."""
    seen: Freshness = field(default_factory=Freshness)
