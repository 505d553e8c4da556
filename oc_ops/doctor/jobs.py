"""The watched cron jobs of one doctor: who tells of them, who owns a marker, what is to be said."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING

from oc_ops.doctor.outcomes import Blocked, NotAsked
from oc_ops.errors import CouldNotLook
from oc_ops.judge.cron import scheduler_off
from oc_ops.observe import jobs_now
from oc_ops.observe.handshake import RpcRefused
from oc_ops.observe.jobs import Jobs, jobs_of, more_of
from oc_ops.observe.watchlist import Watched

if TYPE_CHECKING:
    from oc_ops.doctor.observations import Doctor
    from oc_ops.judge.cron import Verdict
    from oc_ops.observe.owners import Ownership
    from oc_ops.observe.rpc import RpcClient


def verdicts_now(doctor: Doctor, watched: Sequence[Watched]) -> tuple[Jobs, tuple[Verdict, ...]]:
    """The jobs and the verdict on each watched one; beside a cause that explains them, verdicts are warnings."""
    seen, owners = sight(doctor, watched)
    from oc_ops.judge.cron import examine
    from oc_ops.judge.jobtimes import Terms

    beside = seen.source == "store" or bool(cause(doctor))
    return seen, examine(watched, seen, owners, Terms(zone(doctor), doctor.settings.job_grace_s, beside_cause=beside))


def cause(doctor: Doctor) -> str:
    """The finding that explains why jobs do not run, by its id; nothing when there is none or it cannot be told."""
    try:
        found = doctor.rpc_cause() or scheduler_off(doctor.cron_status())
    except Blocked as blocked:
        return blocked.cause.check
    except (NotAsked, CouldNotLook):
        return ""
    return found.check if found else ""


def not_asked(doctor: Doctor) -> str:
    """Why the gateway was told no credential and so not asked; nothing when it was."""
    lane = doctor.rpc_lane.seen
    return lane.reason if isinstance(lane, RpcRefused) and lane.kind == "unproven" else ""


def sight(doctor: Doctor, watched: Sequence[Watched]) -> tuple[Jobs, Mapping[str, Ownership]]:
    """The jobs, and who owns the marker of each that has one, by all that could be seen.

    Over RPC with the latest runs of the watched ones, else through the CLI, else from the store. Raises CouldNotLook
    when none of them tells, Blocked when a cause explains that.
    """
    from oc_ops.observe import owners

    tasks = None
    try:
        reply = doctor.cron_list_read()
        if reply.outcome != "ok":
            raise CouldNotLook("the scheduler does not list its jobs")
        listed = Jobs(jobs_of(reply.payload), "rpc", datetime.now(UTC))
        if not watched and more_of(reply.payload) is None and not any(each.running_ms for each in listed.jobs):
            return listed, {}
        with _connected(doctor) as client:
            # Tasks first: a run that ends in between is then still seen as somebody's.
            tasks = client.request("tasks.list", owners.TASKS_PARAMS)
            seen = jobs_now.by_rpc(client, watched)
    except NotAsked:
        seen = jobs_now.by_cli(doctor.cron_list())
    except Blocked as blocked:
        try:
            seen = jobs_now.by_store(doctor.target, doctor.config)
        except CouldNotLook:
            raise blocked from None
    except CouldNotLook as error:
        try:
            seen = jobs_now.by_store(doctor.target, doctor.config)
        except CouldNotLook as also:
            raise CouldNotLook(f"{error}; {also}") from None
    stored = seen if seen.source == "store" else None
    if stored is None and any(each.running_ms is not None for each in seen.jobs):
        with contextlib.suppress(CouldNotLook):
            stored = jobs_now.by_store(doctor.target, doctor.config)
    evidence = owners.gather(doctor.look(), tasks, stored)
    found = (owners.ownership(each, evidence) for each in seen.jobs)
    return seen, {each.job_id: each for each in found if each}


def zone(doctor: Doctor) -> tzinfo:
    """The zone in which the gateway reads a cron expression that names none."""
    from oc_ops.observe.zone import gateway_zone

    serving = doctor.look().serving
    return gateway_zone(serving.pid if serving else None, doctor.target.environ)


def _connected(doctor: Doctor) -> RpcClient:
    doctor.look()
    try:
        return doctor.gateway.connect()
    except RpcRefused as refused:
        raise CouldNotLook(f"the RPC lane closed: {refused.reason}") from refused
