"""The cron jobs and the other work of one gateway: who tells of them, who owns a marker, what is to be said."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from oc_ops.doctor.outcomes import Blocked, Memo, NotAsked, once
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.judge import cron, models
from oc_ops.judge import work as judge
from oc_ops.judge.cron import scheduler_off
from oc_ops.judge.finding import Finding
from oc_ops.observe import jobs_now, work
from oc_ops.observe.jobs import Jobs, jobs_of, more_of
from oc_ops.observe.rpc import RpcRefused
from oc_ops.observe.watchlist import Watched
from oc_ops.observe.work import WorkView
from oc_ops.process.jsontext import number_at
from oc_ops.record import memory
from oc_ops.record.memory import LastLook

if TYPE_CHECKING:
    from oc_ops.doctor.observations import Doctor
    from oc_ops.judge.watched_jobs import Verdict
    from oc_ops.observe.owners import Ownership
    from oc_ops.observe.rpc import RpcClient


def verdicts_now(doctor: Doctor, watched: Sequence[Watched]) -> tuple[Jobs, tuple[Verdict, ...]]:
    """The jobs and the verdict on each watched one; beside a cause that explains them, verdicts are warnings."""
    seen, owners = sight(doctor, watched)
    from oc_ops.judge.watched_jobs import Terms, examine

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
            if any(error is each for each in doctor.memo.errors.values()):
                raise error from None  # the reason of other checks too, and said once
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
    from oc_ops.observe.jobs_now import gateway_zone

    serving = doctor.look().serving
    return gateway_zone(serving.pid if serving else None, doctor.target.environ)


def _connected(doctor: Doctor) -> RpcClient:
    doctor.look()
    try:
        return doctor.gateway.connect()
    except RpcRefused as refused:
        raise CouldNotLook(f"the RPC lane closed: {refused.reason}") from refused


class WorkLook:
    """A gateway's work by its open connection and its stores; a method that a release lacks closes its part.

    Observations raise NotAsked where nothing tells: a gateway in trouble has its own cause named elsewhere.
    """

    def __init__(
        self,
        doctor: Doctor,
        judged_jobs: Callable[[], tuple[Jobs, tuple[Verdict, ...]]],
        watchlist: Callable[[], tuple[Watched, ...]],
    ) -> None:
        self._doctor, self._judged_jobs, self._watchlist = doctor, judged_jobs, watchlist
        self.memo = Memo()
        self._kept: LastLook | None = None

    @once
    def seen(self) -> WorkView:
        """The gateway's answer; NotAsked where the connection is not to be had."""
        doctor = self._doctor
        if cause := doctor.rpc_cause():
            raise Blocked(cause)
        lane = doctor.rpc_lane()
        if isinstance(lane, RpcRefused):
            raise NotAsked(f"the RPC lane is closed: {lane.reason}")
        return work.look(lane, doctor.target.state_dir, self._jobs_file, doctor.config.path)

    @property
    def _jobs_file(self) -> Path:
        return self._doctor.config.cron_store or self._doctor.target.state_dir / "cron" / "jobs.json"

    @once
    def before(self) -> LastLook:
        """The record that the last look left."""
        return memory.last_look(self._doctor.settings.memory_dir, self._doctor.key)

    def _keep(self, **parts: object) -> None:
        """Keep what was judged just now, and only that, for the next look: a run of some checks forgets no other's."""
        self._kept = replace(self._kept or self.before(), at_ms=self.seen().at_ms, **parts)
        memory.remember_look(self._doctor.settings.memory_dir, self._doctor.key, self._kept)

    def _listed(self) -> Jobs | None:
        """The jobs, as the gateway itself told them."""
        try:
            jobs, _ = self._judged_jobs()
        except (Blocked, OcOpsError):
            return None
        return jobs if jobs.source == "rpc" else None

    # -- findings -------------------------------------------------------------------------------------------------

    def cron(self) -> tuple[Finding, ...]:
        """Findings on the scheduler's work as a whole."""
        jobs, _ = self._judged_jobs()
        view, last = self.seen(), self.before()
        if jobs.source != "rpc":
            raise NotAsked("the gateway did not list its jobs over RPC")
        watched = self._watched(jobs)
        if jobs.complete:
            clean = self._doctor.gateway.redactor.line
            known = cron.known(jobs)
            self._keep(jobs={id: replace(each, name=clean(each.name)) for id, each in known.items()})
        found = [
            self.stalled(),
            cron.failing_unwatched(jobs, watched),
            cron.jobs_lost(last.jobs or {}, jobs),
            cron.all_disabled(last.jobs or {}, jobs),
            *cron.agent_missing(jobs, None if view.agents is None else [each.id for each in view.agents], watched),
            cron.unmigrated(view.left, jobs, str(self._jobs_file)),
            *cron.undelivered(jobs, watched, self._down_channels()),
        ]
        return tuple(each for each in found if each)

    @once
    def stalled(self) -> Finding | None:
        """A scheduler that stands still."""
        jobs = self._listed()
        if jobs is None:
            return None
        seen = self._doctor.look()
        up_ms = number_at(seen.ready.json if seen.ready else None, "uptimeMs")
        age_s = seen.serving.age_s if seen.serving else None
        up_s = up_ms / 1000 if up_ms is not None else age_s
        return cron.stalled(jobs, self._doctor.settings.job_grace_s, up_s)

    def _watched(self, jobs: Jobs) -> frozenset[str]:
        words = {each.job for each in self._watchlist()}
        return frozenset(each.id for each in jobs.jobs if each.id in words or each.name in words)

    def channels(self) -> tuple[Finding, ...]:
        """Channels that are down, and those that hear nothing."""
        view = self.seen()
        if view.accounts is None:
            raise NotAsked("this release does not tell the state of its channels")
        silent, before, clean = self.before().silent, self.before().channels, self._doctor.gateway.redactor.line
        self._keep(
            silent=judge.silences(view.accounts, view.at_ms, silent),
            channels=tuple(each for each in judge.set_up(view.accounts) if clean(each) == each),
        )
        down, deaf = judge.down(view.accounts, view.at_ms), judge.deaf(view.accounts, view.at_ms, silent)
        return (*down, *deaf, *judge.gone(view.accounts, before))

    def _down_channels(self) -> tuple[str, ...]:
        view = self.seen()
        return tuple(each.channel for each in view.accounts or () if judge.is_down(each, view.at_ms))

    def deliveries(self) -> tuple[Finding, ...]:
        """Messages given up, and messages that wait."""
        view = self.seen()
        if view.dead is None and view.waiting is None:
            raise NotAsked("this release does not tell of its deliveries")
        before = self.before().letters
        if view.dead is not None:
            self._keep(letters={each.queue: each.count for each in view.dead})
        waiting = judge.backlog(view.waiting or (), view.at_ms, self._down_channels())
        return (*judge.dead_letters(view.dead or (), before), *waiting)

    def plugins(self) -> Finding | None:
        """Plugins that do not load."""
        if self.seen().plugins is None:
            raise NotAsked("this release does not tell which plugins failed")
        return judge.plugins_failed(self.seen())

    def tasks(self) -> Finding | None:
        """Tasks that do not move."""
        if (stuck := self.seen().stuck) is None:
            raise NotAsked("this release does not audit its tasks")
        return judge.tasks_stuck(stuck)

    def backups(self) -> Finding | None:
        """Backups that stopped."""
        view = self.seen()
        return judge.backup_stale(view.backups, view.at_ms)

    def agent(self) -> Finding | None:
        """Why the default agent cannot answer."""
        view = self.seen()
        if view.models is None or view.agents is None or view.providers is None:
            raise NotAsked("this release does not tell whether its agents can answer")
        jobs = self._listed()
        listed = jobs.jobs if jobs else ()
        return models.unanswerable(view, models.need(view, listed), listed)
