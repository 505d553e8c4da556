"""Owners of a running job's marker: what was seen of tasks, receipts and processes, and what that proves."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, cast

import psutil
from msgspec import Struct

from oc_ops.errors import CouldNotLook
from oc_ops.observe.jobs import Job, Jobs, Receipt
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.rpc import RpcReply
from oc_ops.text import clock

TASKS_PARAMS: Mapping[str, object] = {"status": ["running", "queued"], "limit": 500}
"""The question to `tasks.list`: only what is under way, so that a page holds it all; 2026.5.28 and later."""

_SLACK_MS = 5000
"""A process' start is told by another clock than a marker: they may differ by a second and by the adjusting of one."""

_ACTIVE = ("running", "queued")

_Owner = Literal["live", "none", "unknown"]
_Said = tuple[_Owner, str]


class OwnerEvidence(Struct, frozen=True):
    """Possible owners as they were seen, gathered before or together with the jobs it is held against."""

    gateway: Literal["lives", "gone", "unknown"] = "unknown"
    """lives: its process was seen for certain. gone: its port refuses and no process of it was seen."""
    gateway_pid: int | None = None
    gateway_started_ms: int | None = None
    tasks: frozenset[str] | None = None
    """Ids of the jobs with a task under way; None where the gateway was not asked, did not say, or not all."""
    stored: Jobs | None = None
    """The store read beside the other source, with its receipts; None where it could not be read."""
    alive: Mapping[int, int] = {}
    """The owners named by receipts that live, with the moment each began."""


class Ownership(Struct, frozen=True):
    """The owner of a job's marker, if it has one, and by what that is known. "unknown" is never a reason to act."""

    job_id: str
    owner: _Owner
    proof: str


def ownership(job: Job, evidence: OwnerEvidence) -> Ownership | None:
    """The owner of a job's marker; None if it has none. The marker's age does not matter here.

    One sign of life is enough for "live". "none" needs one of: no gateway runs; the gateway started after the marker;
    its receipt has ended, is held by a process that is gone, or does not exist (2026.9.6 writes marker and receipt
    together); or, where there are no receipts, no cron task at all is under way.
    """
    if job.running_ms is None:
        return None
    owner, proof = (
        _changed(job, evidence)
        or _open_receipt(job, evidence)
        or _task(job, evidence)
        or _no_gateway(evidence)
        or _started_after(job.running_ms, evidence)
        or _no_receipt(job, evidence)
        or _no_task(evidence)
        or ("unknown", _why_unknown(evidence))
    )
    return Ownership(job.id, owner, proof)


def _changed(job: Job, evidence: OwnerEvidence) -> _Said | None:
    """Receipts count only beside the marker they were read with."""
    if evidence.stored is None or evidence.stored.receipts is None:
        return None
    if any(each.id == job.id and each.running_ms == job.running_ms for each in evidence.stored.jobs):
        return None
    return "unknown", "the store does not hold this marker: it changed while it was looked at"


def _open_receipt(job: Job, evidence: OwnerEvidence) -> _Said | None:
    receipt = _open(job, evidence)
    if receipt is None or not _holds(receipt, evidence):
        return None
    held = f"run receipt {receipt.id[:8]} is held by the live process {receipt.owner_pid}"
    if evidence.tasks is not None and job.id not in evidence.tasks:
        return "unknown", f"{held}, but tasks.list shows no run of the job"
    return "live", held


def _task(job: Job, evidence: OwnerEvidence) -> _Said | None:
    return ("live", "tasks.list shows its run under way") if job.id in (evidence.tasks or ()) else None


def _no_gateway(evidence: OwnerEvidence) -> _Said | None:
    if evidence.gateway != "gone":
        return None
    return "none", "no gateway runs: its port refuses connections and no process of it is there"


def _started_after(running_ms: int, evidence: OwnerEvidence) -> _Said | None:
    started_ms = evidence.gateway_started_ms
    if evidence.gateway != "lives" or started_ms is None or running_ms >= started_ms - _SLACK_MS:
        return None
    return "none", f"the gateway (pid {evidence.gateway_pid}) started at {_clock(started_ms)}, after the marker was set"


def _no_receipt(job: Job, evidence: OwnerEvidence) -> _Said | None:
    """Where the store keeps receipts it decides; its pids mean something only beside a gateway that is seen here."""
    if evidence.stored is None or evidence.stored.receipts is None or evidence.gateway != "lives":
        return None
    if receipt := _open(job, evidence):
        return "none", f"run receipt {receipt.id[:8]} is held by pid {receipt.owner_pid}, which is gone"
    beside = "" if evidence.tasks is None else ", and tasks.list shows no run of the job"
    if ended := next((each for each in evidence.stored.receipts if each.id == job.receipt_id), None):
        return "none", f"its run receipt {ended.id[:8]} has ended as {ended.status}{beside}"
    return "none", f"no run receipt is open for it{beside}"


def _no_task(evidence: OwnerEvidence) -> _Said | None:
    """Releases without receipts mark all due jobs at once and run them in turn: another's task may be before this."""
    if evidence.gateway != "lives" or evidence.tasks is None:
        return None
    if evidence.stored is None or evidence.stored.receipts is not None:
        return None
    if evidence.tasks:
        return "unknown", "tasks.list shows no run of it, but another job's: it may be waiting for its turn"
    return "none", "tasks.list shows no cron run under way"


def _why_unknown(evidence: OwnerEvidence) -> str:
    if evidence.gateway == "unknown":
        return "the gateway's process was not seen for certain"
    if evidence.tasks is None:
        return "the gateway did not tell its tasks, and it runs for longer than the marker is old"
    return "the store could not be read beside the gateway's answer"


def _open(job: Job, evidence: OwnerEvidence) -> Receipt | None:
    receipts = (evidence.stored.receipts if evidence.stored else None) or ()
    return next((each for each in receipts if each.job_id == job.id and each.status == "running"), None)


def _holds(receipt: Receipt, evidence: OwnerEvidence) -> bool:
    """True if the process that took the receipt still lives; one that began later only has its pid."""
    began_ms = evidence.alive.get(receipt.owner_pid)
    return began_ms is not None and began_ms <= receipt.started_ms + _SLACK_MS


# -- gathering ------------------------------------------------------------------------------------------------------


def gather(look: GatewayProbe, tasks: RpcReply | None, stored: Jobs | None) -> OwnerEvidence:
    """The evidence of one run. `tasks` was asked before the jobs were: a run that ends in between is then still seen.

    `stored` is what store.read gave, or None where it could not; with jobs from the store it is those very jobs.
    """
    if look.container is not None:
        stored = None  # its receipts name pids of another world
    serving = look.serving if look.serving and look.serving.certain else None
    began_ms = [each for each in (_began_ms(process.pid) for process in look.processes) if each is not None]
    seen: Literal["lives", "gone", "unknown"] = "unknown"
    if serving and began_ms:
        seen = "lives"
    elif look.live.kind == "refused" and look.listener is None and not look.processes and _ended(look):
        seen = "gone"
    receipts = (stored.receipts if stored else None) or ()
    began = {each.owner_pid: _began_ms(each.owner_pid) for each in receipts if each.status == "running"}
    return OwnerEvidence(
        gateway=seen,
        gateway_pid=serving.pid if serving and seen == "lives" else None,
        gateway_started_ms=min(began_ms) if seen == "lives" else None,
        tasks=active_jobs(tasks.payload) if tasks is not None and tasks.outcome == "ok" else None,
        stored=stored,
        alive={pid: moment for pid, moment in began.items() if moment is not None},
    )


def _ended(look: GatewayProbe) -> bool:
    """A paused container takes no connection either, and its gateway goes on with its run when it is let."""
    return look.container is None or look.container.state in ("created", "exited", "dead", "gone")


def active_jobs(payload: object) -> frozenset[str] | None:
    """Ids of the jobs with a run under way in a `tasks.list` payload; None when it is not all, or does not say whose.

    Raises CouldNotLook when it is no such payload.
    """
    listed = payload.get("tasks") if isinstance(payload, Mapping) else None
    if not isinstance(listed, list) or not all(isinstance(each, Mapping) for each in listed):
        raise CouldNotLook("tasks.list answered with something other than a list of tasks")
    tasks = cast("list[Mapping[str, object]]", listed)
    jobs = [each.get("sourceId") for each in tasks if each.get("runtime") == "cron" and each.get("status") in _ACTIVE]
    if cast("Mapping[str, object]", payload).get("nextCursor") or not all(isinstance(each, str) for each in jobs):
        return None
    return frozenset(str(each) for each in jobs)


def _began_ms(pid: int) -> int | None:
    """When the process with that pid began, or None when none lives."""
    with contextlib.suppress(psutil.Error, ValueError, OverflowError):
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            return round(process.create_time() * 1000)
    return None


def _clock(moment_ms: int) -> str:
    return clock(datetime.fromtimestamp(moment_ms / 1000, UTC))
