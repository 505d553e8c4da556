"""The watched cron jobs of one doctor: who tells of them, who owns a marker, what is to be said."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING

from oc_ops.doctor.outcomes import Blocked, NotAsked
from oc_ops.errors import CouldNotLook
from oc_ops.judge.cron import scheduler_off
from oc_ops.observe.handshake import RpcRefused
from oc_ops.observe.jobs import MOST_JOBS, Job, JobRun, Jobs, jobs_of, more_of, runs_of
from oc_ops.observe.watchlist import Watched

if TYPE_CHECKING:
    from oc_ops.doctor.observations import Doctor
    from oc_ops.judge.cron import Verdict
    from oc_ops.observe.owners import Ownership
    from oc_ops.observe.rpc import RpcClient

_RUNS = 30
"""Runs of each watched job that are asked for: enough for its history."""


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
            seen = by_rpc(client, watched)
    except NotAsked:
        seen = _by_cli(doctor)
    except Blocked as blocked:
        try:
            seen = _by_store(doctor)
        except CouldNotLook:
            raise blocked from None
    except CouldNotLook as error:
        try:
            seen = _by_store(doctor)
        except CouldNotLook as also:
            raise CouldNotLook(f"{error}; {also}") from None
    stored = seen if seen.source == "store" else None
    if stored is None and any(each.running_ms is not None for each in seen.jobs):
        with contextlib.suppress(CouldNotLook):
            stored = _by_store(doctor)
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


def by_rpc(client: RpcClient, watched: Sequence[Watched]) -> Jobs:
    """All pages of the list, then the history of each watched job; a release without `cron.runs` has none."""
    seen_at, offset = datetime.now(UTC), 0
    told: list[Job] = []
    while True:
        reply = client.request("cron.list", {"includeDisabled": True, "limit": 200, "offset": offset})
        if reply.outcome != "ok":
            raise CouldNotLook(f"cron.list: {reply.outcome}: {reply.message or reply.code or 'no reason given'}")
        told += jobs_of(reply.payload)
        following = more_of(reply.payload)
        if following is None or following <= offset or len(told) >= MOST_JOBS:
            break
        offset = following
    words = {each.job for each in watched}
    runs: dict[str, tuple[JobRun, ...]] = {}
    for each in told:
        if each.id in words or each.name in words:
            reply = client.request("cron.runs", {"id": each.id, "limit": _RUNS})
            if reply.outcome == "ok":
                runs.update(runs_of(reply.payload))
    return Jobs(tuple(told), "rpc", seen_at, runs, complete=following is None)


def _by_cli(doctor: Doctor) -> Jobs:
    """Without `--all` the CLI keeps disabled jobs back: then none may be called missing."""
    answer = doctor.cron_list()
    if not answer.came:
        raise CouldNotLook(answer.call.summary)
    whole = "--all" in answer.call.argv and more_of(answer.value) is None
    return Jobs(jobs_of(answer.value), "cli", datetime.now(UTC), complete=whole)


def _by_store(doctor: Doctor) -> Jobs:
    from oc_ops.observe import jobstore

    return jobstore.read(doctor.target.state_dir, doctor.config.cron_store)
