"""The watcher's knowledge of one gateway at one moment: the types that panes, `run` and recovery read.

Every text in it is one clean line: redacted and printable, yet still a stranger's, so it is no markup. Moments are Unix
time in seconds, sizes bytes, durations seconds; None is "not known" and "" is "nothing to say". Every field has a
default, so that a reader of another version never fails.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

from oc_ops.cockpit.state.records import (
    DoctorPart,
    Firing,
    IncidentPart,
    Incidents,
    JobPart,
    JobsPart,
    LogLine,
    LogPart,
    RunPart,
    TranscriptPart,
)
from oc_ops.cockpit.state.vitals import (
    Browser,
    Digest,
    EventLoop,
    Freshness,
    GatewayPart,
    Labour,
    Lane,
    MemoryPart,
    Note,
    Rpc,
    Scheduler,
    ServicePart,
    Severity,
)

__all__ = [
    "SCHEMA",
    "Browser",
    "Digest",
    "DoctorPart",
    "EventLoop",
    "Firing",
    "Freshness",
    "GatewayPart",
    "IncidentPart",
    "Incidents",
    "JobPart",
    "JobsPart",
    "Labour",
    "Lane",
    "LogLine",
    "LogPart",
    "MemoryPart",
    "Note",
    "Rpc",
    "RunPart",
    "Scheduler",
    "ServicePart",
    "Severity",
    "Snapshot",
    "TranscriptPart",
    "Watcher",
]

SCHEMA = 1


class Watcher(Struct, frozen=True):
    """The process that wrote this."""

    pid: int | None = None
    started_at: float | None = None
    mode: Literal["", "events", "polling"] = ""
    """`events`: the gateway pushes; `polling`: it does not, and everything is seen later."""
    words: str = ""
    """Why it polls and how often, one sentence; empty with events."""
    looked_at: bool = False
    """True if anybody watches: then the port is looked at every 2 s, else more rarely."""
    rss_bytes: int | None = None
    cpu_s: float | None = None
    """CPU seconds it has used since it started."""
    cli_calls: int = 0
    """`openclaw` processes it has started."""
    trouble: str = ""
    """A fault inside the watcher itself, one sentence; empty when nothing did."""
    ended: str = ""
    """Why it ended, in the last snapshot that it wrote; empty while it lives."""


class Snapshot(Struct, frozen=True):
    """Everything at one moment."""

    schema: int = SCHEMA
    key: str = ""
    """Doctor.key of the gateway."""
    profile: str = ""
    state_dir: str = ""
    """The gateway's state directory, the home directory as `~`."""
    written_at: float = 0.0
    """When it was written, by the wall clock."""
    written_monotonic: float = 0.0
    """The same by the monotonic clock, which a change of the wall clock does not move."""
    number: int = 0
    """Counts the snapshots of one watcher: a reader sees by it that there is a new one."""
    watcher: Watcher = field(default_factory=Watcher)
    gateway: GatewayPart = field(default_factory=GatewayPart)
    rpc: Rpc = field(default_factory=Rpc)
    event_loop: EventLoop = field(default_factory=EventLoop)
    memory: MemoryPart = field(default_factory=MemoryPart)
    scheduler: Scheduler = field(default_factory=Scheduler)
    doctor: DoctorPart = field(default_factory=DoctorPart)
    jobs: JobsPart = field(default_factory=JobsPart)
    labour: Labour = field(default_factory=Labour)
    browser: Browser = field(default_factory=Browser)
    service: ServicePart = field(default_factory=ServicePart)
    digest: Digest = field(default_factory=Digest)
    incidents: Incidents = field(default_factory=Incidents)
    log: LogPart = field(default_factory=LogPart)
