"""What the watcher knows of one gateway at one moment: the types that panes, `run` and recovery read.

Every text in it is one clean line: redacted and printable, yet still a stranger's, so it is no markup. Moments are Unix
time in seconds, sizes bytes, durations seconds; None is "not known" and "" is "nothing to say". Every field has a
default, so that a reader of another version never fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from oc_ops.supervise.state.gateway import Browser, Digest, EventLoop, Gateway, Memory, Rpc, Scheduler, Service
from oc_ops.supervise.state.jobs import Job, Jobs, Run, Transcript
from oc_ops.supervise.state.seen import Lane, Note, Seen, Severity
from oc_ops.supervise.state.trouble import Doctor, Firing, Incident, Incidents, Log, LogLine

__all__ = [
    "SCHEMA",
    "Browser",
    "Digest",
    "Doctor",
    "EventLoop",
    "Firing",
    "Gateway",
    "Incident",
    "Incidents",
    "Job",
    "Jobs",
    "Lane",
    "Log",
    "LogLine",
    "Memory",
    "Note",
    "Rpc",
    "Run",
    "Scheduler",
    "Seen",
    "Service",
    "Severity",
    "Snapshot",
    "Transcript",
    "Watcher",
]

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Watcher:
    """The process that wrote this."""

    pid: int | None = None
    started_at: float | None = None
    mode: Literal["", "events", "polling"] = ""
    """`events`: the gateway pushes; `polling`: it does not, and everything is seen later."""
    words: str = ""
    """Why it polls and how often, one sentence; empty with events."""
    looked_at: bool = False
    """Whether anybody watches: then the port is looked at every 2 s, else more rarely."""
    rss_bytes: int | None = None
    cpu_s: float | None = None
    """CPU seconds it has used since it started."""
    cli_calls: int = 0
    """`openclaw` processes it has started."""
    trouble: str = ""
    """What went wrong inside the watcher itself, one sentence; empty when nothing did."""
    ended: str = ""
    """Why it ended, in the last snapshot that it wrote; empty while it lives."""


@dataclass(frozen=True, slots=True)
class Snapshot:
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
    gateway: Gateway = field(default_factory=Gateway)
    rpc: Rpc = field(default_factory=Rpc)
    event_loop: EventLoop = field(default_factory=EventLoop)
    memory: Memory = field(default_factory=Memory)
    scheduler: Scheduler = field(default_factory=Scheduler)
    doctor: Doctor = field(default_factory=Doctor)
    jobs: Jobs = field(default_factory=Jobs)
    browser: Browser = field(default_factory=Browser)
    service: Service = field(default_factory=Service)
    digest: Digest = field(default_factory=Digest)
    incidents: Incidents = field(default_factory=Incidents)
    log: Log = field(default_factory=Log)
