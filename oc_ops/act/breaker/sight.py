"""One fresh look at everything a breaker may be asked about, and the hands it works with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from oc_ops.judge.finding import Finding
from oc_ops.observe.commands import Commands
from oc_ops.observe.jobs import Job, Jobs
from oc_ops.observe.lockfiles import LockFile
from oc_ops.observe.look import GatewayLook
from oc_ops.observe.owners import Ownership
from oc_ops.observe.target import Target
from oc_ops.settings import Settings


@dataclass(frozen=True, slots=True)
class Sight:
    """What one look showed. `unseen` says what could not be looked at: never to be taken for "nothing is there"."""

    gateway: str
    """The target's short name, as doctor and incidents know it."""
    target: Target
    look: GatewayLook | None = None
    cause: Finding | None = None
    """What keeps the gateway from answering over HTTP."""
    jobs: Jobs | None = None
    owners: Mapping[str, Ownership] = field(default_factory=dict)
    stale: Mapping[str, Finding] = field(default_factory=dict)
    """`cron/marker-stale` by job id, as the doctor's own judge found it."""
    locks: tuple[LockFile, ...] = ()
    unseen: tuple[str, ...] = ()

    def job(self, job_id: str) -> Job | None:
        """The job of that id; None when there is none, or when the jobs could not be looked at."""
        return next((each for each in (self.jobs.jobs if self.jobs else ()) if each.id == job_id), None)


@dataclass(frozen=True, slots=True)
class Hands:
    """How a breaker looks and acts. `look` raises CouldNotLook only when nothing at all can be looked at.

    `note` writes a step to the book before or after it is done; `say` tells the operator one line.
    """

    settings: Settings
    look: Callable[[], Sight]
    openclaw: Callable[[], Commands]
    note: Callable[[str], None]
    say: Callable[[str], None]
    wait: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    now_ms: Callable[[], int] = lambda: round(time.time() * 1000)
