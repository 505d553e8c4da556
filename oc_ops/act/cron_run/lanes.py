"""What can be seen of a job through the cheapest lane that answers: RPC, else the gateway's store, else the CLI."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from oc_ops.act.commands import Commands
from oc_ops.act.cron_run.answer import JobRecord, records_of, stored
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.gateway import Gateway
from oc_ops.observe import jobs_now, owners, rpc
from oc_ops.observe.jobs import Job, Jobs, job_of
from oc_ops.observe.owners import Ownership
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.rpc import RpcClient, RpcReply

_RUNS = 20
_PASSING = ("silent", "closed", "unreachable", "starting")
"""Refusals of the RPC lane that may be over the next moment."""


@dataclass(frozen=True, slots=True)
class KnownJob:
    """All jobs, who owns the marker of each that has one, and which lanes were closed, in words."""

    jobs: Jobs
    owners: Mapping[str, Ownership]
    closed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobView:
    """One look at the job: its state and its latest finished runs; `source` is empty when nothing could be seen."""

    source: str
    job: Job | None = None
    records: tuple[JobRecord, ...] = ()
    closed: tuple[str, ...] = field(default=())


class JobLanes:
    """The lanes of one gateway; keeps one RPC connection for as long as it answers. Not for two threads at once."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._client: RpcClient | None = None
        self._shut = "" if gateway.settings.rpc else "the setting rpc is off"

    def close(self) -> None:
        """Leave the connection, if there is one."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def known(self, seen: GatewayProbe, *, answers: bool) -> KnownJob:
        """Every job; a gateway that does not answer is not asked. Raises CouldNotLook when no lane tells."""
        closed: list[str] = []
        tasks = None
        jobs: Jobs | None = None
        if answers:
            with _noted(closed, "RPC"):
                client = self._connected()
                # Tasks first: a run that ends in between is then still seen as somebody's.
                tasks = client.request("tasks.list", owners.TASKS_PARAMS)
                jobs = jobs_now.by_rpc(client, ())
        if jobs is None:
            with _noted(closed, "store"):
                jobs = self._stored()
        if jobs is None and answers:
            with _noted(closed, "CLI"):
                jobs = jobs_now.by_cli(self._gateway.cli(Commands).cron_list())
        if jobs is None:
            raise CouldNotLook(f"the gateway's jobs cannot be seen: {'; '.join(closed)}")
        return KnownJob(jobs, self._owners(seen, jobs, tasks), tuple(closed))

    def sight(self, job_id: str) -> JobView:
        """One job and its runs, for as long as a run is followed; costs the gateway a few milliseconds."""
        closed: list[str] = []
        with _noted(closed, "RPC"):
            client = self._connected()
            records = records_of(_payload(client.request("cron.runs", {"id": job_id, "limit": _RUNS})))
            return JobView("rpc", _job(client, job_id), records)
        self.close()
        with _noted(closed, "store"):
            told = self._stored()
            job = next((each for each in told.jobs if each.id == job_id), None)
            return JobView("store", job, stored(told.runs.get(job_id, ())), tuple(closed))
        return JobView("", closed=tuple(closed))

    def _connected(self) -> RpcClient:
        if self._client is not None:
            return self._client
        if self._shut:
            raise CouldNotLook(self._shut)
        try:
            self._client = self._gateway.connect()
        except rpc.RpcRefused as refused:
            # Knocking once a second with a credential that is not taken would only fill the gateway's log.
            self._shut = "" if refused.kind in _PASSING else refused.reason
            raise CouldNotLook(refused.reason) from refused
        return self._client

    def _stored(self) -> Jobs:
        return jobs_now.by_store(self._gateway.target, self._gateway.config)

    def _owners(self, seen: GatewayProbe, jobs: Jobs, tasks: RpcReply | None) -> Mapping[str, Ownership]:
        marked = [each for each in jobs.jobs if each.running_ms is not None]
        if not marked:
            return {}
        kept = jobs if jobs.source == "store" else None
        if kept is None:
            with contextlib.suppress(OcOpsError):
                kept = self._stored()
        evidence = owners.gather(seen, tasks, kept)
        found = (owners.ownership(each, evidence) for each in marked)
        return {each.job_id: each for each in found if each}


@contextlib.contextmanager
def _noted(closed: list[str], lane: str) -> Iterator[None]:
    """A lane that does not tell is named with its reason, and the next one is tried."""
    try:
        yield
    except OcOpsError as error:
        closed.append(f"{lane}: {error}")


def _job(client: RpcClient, job_id: str) -> Job | None:
    """The job's definition and state; None when the gateway has it no longer."""
    if not client.hello.methods or not client.has("cron.get"):
        return next((each for each in jobs_now.by_rpc(client, ()).jobs if each.id == job_id), None)
    reply = client.request("cron.get", {"id": job_id})
    return None if reply.outcome == "error" else job_of(_payload(reply))


def _payload(reply: RpcReply) -> object:
    if reply.outcome != "ok":
        raise CouldNotLook(f"{reply.method}: {reply.outcome}: {reply.message or reply.code or 'no reason given'}")
    return reply.payload
