"""A scan of one gateway: its processes, what blocks it, and what came of a break."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Literal

import psutil
from msgspec import Struct

from oc_ops.act.commands import Commands
from oc_ops.errors import OcOpsError
from oc_ops.judge.finding import Finding
from oc_ops.observe.jobs import Job, Jobs
from oc_ops.observe.lockfiles import LockFile
from oc_ops.observe.owners import Ownership
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.target import Target
from oc_ops.record.redact import Json
from oc_ops.settings import Settings
from oc_ops.text import one_line

_POLL_S = 0.1
_SAME_S = 0.5
"""A start time is derived from the boot time, which moves a little when the clock is set."""


class Pid(Struct, frozen=True):
    """One process. `started` is seconds since the epoch, to a tenth, so that the same process reads the same."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Pid | None:
        """The live process of that pid; None when there is none."""
        with suppress(psutil.Error):
            return cls(pid, round(psutil.Process(pid).create_time(), 1))
        return None

    def living(self) -> psutil.Process | None:
        """The very process while it lives; one that reuses its pid, and a zombie, is not it."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _SAME_S
            if same and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def gone(self, within_s: float, wait: Callable[[float], None] = time.sleep) -> bool:
        """Wait until it is gone; False if it is still there after that."""
        deadline = time.monotonic() + within_s
        while self.living() is not None:
            if time.monotonic() >= deadline:
                return False
            wait(_POLL_S)
        return True


def gateway_evidence(look: GatewayProbe | None) -> dict[str, Json]:
    """The gateway's process as a plan is bound to it: after a restart nothing is what it was."""
    serving = look.serving if look else None
    found = Pid.of(serving.pid) if serving else None
    return {"gateway_pid": found.pid if found else None, "gateway_started": found.started if found else None}


Kind = Literal["marker", "left-off", "chrome-lock", "session-lock", "gateway-lock", "zombie", "hung"]
"""marker: `runningAtMs` of a run that nobody runs. left-off: a job that a break before this one left disabled."""


class Refused(OcOpsError):
    """Nothing was done and nothing may be: no approval, a plan that is void, a live owner, or nothing to break."""


class Blocker(Struct, frozen=True):
    """One thing that holds work up.

    `id` names it on a command line, `name` is what an operator types to approve. `evidence` is exact and holds nothing
    that changes by itself, such as an age: a plan is bound to it. `shown` is what else helps to decide. `refused` says
    why it must not be broken; empty for what may be, once that is approved.
    """

    kind: Kind
    id: str
    name: str
    fact: str
    act: str
    evidence: Mapping[str, Json]
    shown: tuple[str, ...] = ()
    refused: str = ""

    @property
    def digest(self) -> str:
        """Sha256 over kind, id, name and evidence: the same as long as nothing changed."""
        bound = [self.kind, self.id, self.name, dict(self.evidence)]
        return hashlib.sha256(json.dumps(bound, sort_keys=True).encode()).hexdigest()


def find(named: str, mutexes: Sequence[Blocker]) -> Blocker:
    """The one that is meant, by its id, its exact name, or the unique beginning of its id; else raises Refused."""
    by_name = [each for each in mutexes if named in (each.name, each.id.partition(":")[2])]
    begun = [each for each in mutexes if named and each.id.startswith(named)]
    found = [each for each in mutexes if each.id == named] or by_name or begun
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(each.id for each in found[:3])
        raise Refused(one_line(f"{named}: {len(found)} are meant by that ({some}): need one id"))
    raise Refused(one_line(f"{named}: no breakable item has this name; oc-ops breaker list --all shows what there is"))


def typed_name(name: str, others: Sequence[str], instead: str) -> str:
    """The name to type: the own one if a keyboard can tell it from every other, else `instead`."""
    plain = bool(name) and name == " ".join(name.split()) and name.isprintable() and len(name) <= _LONGEST
    return name if plain and one_line(name) == name and others.count(name) <= 1 else instead


_LONGEST = 120


Outcome = Literal["verified", "ineffective", "left-off", "cleared", "unknown"]
"""verified: done, and seen to have helped. ineffective: done, and it did not help. left-off: the job is off, still.

cleared: the marker is gone, and whether the next run comes was not awaited. unknown: what came of it cannot be told.
"""

EXITS: Mapping[Outcome, int] = {"verified": 0, "ineffective": 1, "left-off": 1, "cleared": 2, "unknown": 2}


class BreakResult(Struct, frozen=True):
    """The outcome, one sentence for the operator, and the state afterwards for the book."""

    outcome: Outcome
    said: str
    after: Mapping[str, Json] = {}


class BreakerView(Struct, frozen=True):
    """One look. `unseen` says what could not be looked at: never to be taken for "nothing is there"."""

    gateway: str
    """The target's short name, as doctor and incidents know it."""
    target: Target
    look: GatewayProbe | None = None
    cause: Finding | None = None
    """The finding that keeps the gateway from answering over HTTP."""
    jobs: Jobs | None = None
    owners: Mapping[str, Ownership] = {}
    stale: Mapping[str, Finding] = {}
    """`cron/marker-stale` by job id, as the doctor's own judge found it."""
    locks: tuple[LockFile, ...] = ()
    unseen: tuple[str, ...] = ()

    def job(self, job_id: str) -> Job | None:
        """The job of that id; None when there is none, or when the jobs could not be looked at."""
        return next((each for each in (self.jobs.jobs if self.jobs else ()) if each.id == job_id), None)


class Tools(Struct, frozen=True):
    """How a breaker looks and acts. `look` raises CouldNotLook only when nothing at all can be looked at.

    `note` writes a step to the book before or after it is done; `say` tells the operator one line.
    """

    settings: Settings
    look: Callable[[], BreakerView]
    openclaw: Callable[[], Commands]
    note: Callable[[str], None]
    say: Callable[[str], None]
    wait: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    now_ms: Callable[[], int] = lambda: round(time.time() * 1000)
