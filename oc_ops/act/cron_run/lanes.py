"""A job through the cheapest lane that answers: RPC, else the gateway's store, else the CLI."""

from __future__ import annotations

import contextlib
import shlex
import threading
import time
from collections.abc import Iterator, Mapping

import psutil
from msgspec import Struct, field

from oc_ops.act.commands import Commands
from oc_ops.act.cron_run.answer import JobRecord, records_of, stored
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.gateway import Gateway
from oc_ops.observe import http, jobs_now, owners, rpc
from oc_ops.observe.http import Probe
from oc_ops.observe.jobs import Job, Jobs, job_of
from oc_ops.observe.owners import Ownership
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.processes import stopped_inside
from oc_ops.observe.rpc import RpcClient, RpcReply

_RUNS = 20
_PASSING = ("silent", "closed", "unreachable", "starting")
"""Refusals of the RPC lane that may be over the next moment."""


class KnownJob(Struct, frozen=True):
    """All jobs, who owns the marker of each that has one, and which lanes were closed, in words."""

    jobs: Jobs
    owners: Mapping[str, Ownership]
    closed: tuple[str, ...] = ()


class JobView(Struct, frozen=True):
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


EVERY_S = 1.0
"""How often it looks: 3 ms over HTTP and a few over RPC."""
_SILENT_LOOKS = 2
"""One probe without an answer is a pause, the second one a silence."""


class Sighting(Struct, frozen=True):
    """One look. `silent_s` is how long the gateway has not answered, None while it does; `number` counts the looks."""

    number: int
    probe: Probe
    sight: JobView
    silent_s: float | None = None
    wake: str = ""
    """The command that lets the gateway's process go on, where that is stopped."""

    @property
    def trouble(self) -> str:
        """Why the gateway does not answer, in words; empty while it does."""
        if self.silent_s is None:
            return ""
        if self.probe.kind == "refused":
            what = "its port refuses connections: it is down, or restarting"
        elif self.wake:
            what = f"its process is stopped (`{self.wake}` lets it go on)"
        else:
            what = self.probe.summary
        return f"the gateway does not answer since {self.silent_s:.0f} s: {what}"


class Beside:
    """Looks from a thread of its own while the caller waits for something else; use it as a context manager."""

    def __init__(self, gateway: Gateway, job_id: str, gateway_pid: int | None) -> None:
        self._gateway, self._job_id, self._pid = gateway, job_id, gateway_pid
        self._over, self._news = threading.Event(), threading.Condition()
        self._thread = threading.Thread(target=self._watch, name="oc-ops run: beside", daemon=True)
        self._seen: Sighting | None = None
        self._broken: BaseException | None = None

    def __enter__(self) -> Beside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        # A look that hangs ends by its own budgets; nobody has to wait for it, and it keeps nothing open.
        self._thread.join(EVERY_S / 4)

    @property
    def seen(self) -> Sighting | None:
        """The latest look, None before the first; raises what a look died of."""
        if self._broken is not None:
            raise self._broken
        return self._seen

    def wait(self, after: Sighting | None, timeout_s: float) -> Sighting | None:
        """The first look after that one, or the latest when none came in time."""
        number = after.number if after else 0
        with self._news:
            self._news.wait_for(
                lambda: self._broken is not None or (self._seen is not None and self._seen.number > number),
                timeout=max(0.0, timeout_s),
            )
        return self.seen

    def _watch(self) -> None:
        lanes = JobLanes(self._gateway)
        try:
            silent_since: float | None = None
            misses = number = 0
            while not self._over.is_set():
                began = time.monotonic()
                probe = self._probe()
                misses = 0 if probe.kind == "answered" else misses + 1
                if not misses:
                    silent_since = None
                elif silent_since is None:
                    silent_since = began
                sight = self._sight(lanes) if not misses else JobView("")
                if misses:
                    lanes.close()
                number += 1
                stopped = misses > 0 and self._stopped()
                silent = stopped or misses >= _SILENT_LOOKS or probe.kind == "refused"
                silent_s = time.monotonic() - silent_since if silent and silent_since is not None else None
                self._tell(Sighting(number, probe, sight, silent_s, self._wake() if stopped else ""))
                self._over.wait(EVERY_S)
        except BaseException as error:
            with self._news:
                self._broken = error
                self._news.notify_all()
        finally:
            lanes.close()

    def _sight(self, lanes: JobLanes) -> JobView:
        try:
            return lanes.sight(self._job_id)
        except Exception as error:  # whatever keeps us from looking, the run goes on and is waited for
            return JobView("", closed=(f"{type(error).__name__}: {error}",))

    def _probe(self) -> Probe:
        config, settings = self._gateway.served, self._gateway.settings
        return http.probe(config.host, config.port, "/healthz", budget_s=settings.http_probe_s, tls=config.tls)

    def _stopped(self) -> bool:
        """True if the gateway's process is stopped (SIGSTOP); a process that cannot be seen is not said to be."""
        try:
            return self._pid is not None and psutil.Process(self._pid).status() == psutil.STATUS_STOPPED
        except psutil.Error:
            return False

    def _wake(self) -> str:
        there = self._gateway.target.container
        inside = stopped_inside(there) if there else None
        return shlex.join(there.wake(inside)) if there and inside is not None else f"kill -CONT {self._pid}"

    def _tell(self, seen: Sighting) -> None:
        with self._news:
            self._seen = seen
            self._news.notify_all()
