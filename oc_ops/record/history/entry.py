"""The rows that one run leaves in the history, as plain values: texts are redacted and short before they come here.

Rows on their way into tables, hence named tuples: every run pays for the making of these classes, and theirs costs a
seventh of a dataclass' 0.8 ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from oc_ops.judge.finding import Finding
from oc_ops.judge.findings import Verdict
from oc_ops.record.run import CheckOutcome

Restarter = str
"""`oc-ops` (a recovery), `openclaw` (its own audit log tells of it) or `unseen`: the process is younger than a run."""


class CheckEntry(NamedTuple):
    """One check and how it ended."""

    id: str
    outcome: CheckOutcome
    took_s: float


class CallEntry(NamedTuple):
    """One question to the gateway: `name` begins with its lane (`http /healthz`, `rpc status`, `cli cron list`).

    `cpu_s` is that of the process that was started, None where none was.
    """

    name: str
    outcome: str
    wall_s: float
    cpu_s: float | None = None


class CronRunEntry(NamedTuple):
    """One run of a cron job; a job never begins two in one millisecond."""

    started_ms: int
    status: str
    duration_ms: int | None
    timed_out: bool


class JobEntry(NamedTuple):
    """A cron job and its runs as far as they were told."""

    id: str
    name: str
    watched: bool
    runs: tuple[CronRunEntry, ...]


class IncidentEntry(NamedTuple):
    """How an incident stands; moments in epoch milliseconds."""

    id: str
    cause: str
    opened_ms: int
    first_sign_ms: int | None
    green_ms: int | None
    closed_ms: int | None
    flaps: int
    detect_s: float | None
    recover_s: float | None
    attempts: int


class Process(NamedTuple):
    """The gateway's process: when it was born, and since when it serves by its own word.

    A restart in place keeps pid and birth; a gateway that does not answer tells nothing of its own.
    """

    pid: int
    started_ms: int
    rss_bytes: int
    serving_ms: int | None = None


class RunEntry(NamedTuple):
    """One run. `state` is what the gateway was (releases, config, jobs), flat, without what was not known."""

    key: str
    profile: str
    port: int | None
    at_ms: int
    stamp: str
    duration_s: float
    verdict: Verdict
    cause: str | None
    whole: bool
    own_cpu_s: float
    calls_cpu_s: float
    incident: str | None = None
    process: Process | None = None
    delay_ms: float | None = None
    state: Mapping[str, str] = MappingProxyType({})
    checks: tuple[CheckEntry, ...] = ()
    calls: tuple[CallEntry, ...] = ()
    findings: tuple[Finding, ...] = ()
    jobs: tuple[JobEntry, ...] = ()
    incidents: tuple[IncidentEntry, ...] = ()
    restarts: tuple[tuple[int, Restarter], ...] = ()
    """When (epoch milliseconds) and by whom, as records tell; who is not told is found out by the process' age."""
