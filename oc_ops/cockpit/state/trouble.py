"""What is wrong and how it shows: the last doctor run, open incidents, signatures, the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from oc_ops.cockpit.state.freshness import Freshness, Note, Severity


@dataclass(frozen=True, slots=True)
class DoctorPart:
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
    """What to do next: the cause's fix, else the first finding's; `oc-ops doctor` when there is no report."""
    report: str = ""
    """The page of that run (`reports/latest.html`)."""
    seen: Freshness = field(default_factory=Freshness)


@dataclass(frozen=True, slots=True)
class IncidentPart:
    """One open incident from the book."""

    id: str = ""
    check: str = ""
    """What it is called by, such as `gateway/hung`."""
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


@dataclass(frozen=True, slots=True)
class Incidents:
    """The open incidents of this gateway, oldest first."""

    open: tuple[IncidentPart, ...] = ()
    seen: Freshness = field(default_factory=Freshness)


@dataclass(frozen=True, slots=True)
class Firing:
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


@dataclass(frozen=True, slots=True)
class LogLine:
    """One record of the gateway's log, readable."""

    at: float | None = None
    level: str = ""
    """INFO, WARN, ERROR, …; empty for a plain line."""
    source: str = ""
    """The subsystem, such as `gateway/ws`."""
    text: str = ""
    """At most 600 characters."""


@dataclass(frozen=True, slots=True)
class LogPart:
    """The gateway's log."""

    lines: tuple[LogLine, ...] = ()
    """The last ones, oldest first, at most 60."""
    files: tuple[str, ...] = ()
    signatures: tuple[Firing, ...] = ()
    """What fired, errors first, then the latest first."""
    seen: Freshness = field(default_factory=Freshness)
