"""The gateway's work: jobs, scheduler and digest, from whichever lane tells them now."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import TYPE_CHECKING

from msgspec.structs import replace

from oc_ops.cockpit import ledger, state
from oc_ops.cockpit.background import Cli, Task
from oc_ops.cockpit.clock import Turn, WatchClock
from oc_ops.cockpit.ledger import Ledger
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.judge.watched_jobs import Terms
from oc_ops.observe import jobs_now, owners, watchlist
from oc_ops.observe.jobs_now import gateway_zone
from oc_ops.process.jsontext import at, number_at

if TYPE_CHECKING:
    from oc_ops.cockpit.port import PortWatch
    from oc_ops.cockpit.rpc_link import RpcLink
    from oc_ops.observe.owners import Ownership
    from oc_ops.settings import Settings

REFRESH_S = 300.0
"""Between whole readings over RPC: events keep everything current, a reading makes up for one that was lost."""
STORE_S = 10.0
"""Between readings of the gateway's own store, while nothing is pushed."""
JUDGE_S = 15.0
OWNERS_S, OWNED_S = 60.0, 60.0
"""How often it is asked who owns a marker, and how old a marker is before anybody asks."""
_SOONEST_S = 2.0


class JobsWatch:
    """Jobs, scheduler and digest of one gateway."""

    def __init__(
        self, settings: Settings, clock: WatchClock, clean: Callable[[str], str], line: RpcLink, port: PortWatch
    ) -> None:
        self._settings, self._clock, self._clean = settings, clock, clean
        self._line, self._port = line, port
        self.ledger = Ledger(clock, clean)
        self.refresh, self._store, self._judge = Turn(REFRESH_S), Turn(STORE_S), Turn(JUDGE_S)
        self._owners_turn, self._watchlist = Turn(OWNERS_S), Turn(_SOONEST_S)
        self._status = Turn(settings.watch_slow_s)
        self._owners: Mapping[str, Ownership] = {}
        self._listed: tuple[object, str] = (None, "")
        self._seen, self._unjudged = state.Freshness(), False
        self._zone: tuple[int | None, tzinfo | None] = (None, None)
        self.transcripts: tuple[state.TranscriptPart, ...] = ()
        self.jobs, self.scheduler, self.digest = state.JobsPart(), state.Scheduler(), state.Digest()

    def look(self) -> bool:
        """Read what is due, judge what there is; True when something changed."""
        read = self._read_watchlist()
        if self._line.talks:
            if self.refresh.comes(self._clock.steady()):
                read = self._read(self._by_rpc, "rpc", REFRESH_S) or read
        elif self._store.comes(self._clock.steady()):
            read = self._read(self._by_store, "files", STORE_S) or read
        if read or self._judge.comes(self._clock.steady()) or self.jobs.transcripts != self.transcripts:
            return self._judged()
        return False

    def event(self, payload: object) -> bool:
        """Take over a `cron` event; one that says too little has the list read again, soon but not at once."""
        now = self._clock.now()
        if not self.ledger.event(payload):
            self._read_again()
            return False
        if not isinstance(at(payload, "job"), Mapping):
            self._read_again()  # 2026.2.26 says of a run that it ended, and not what the job is now
        self._seen, self._unjudged = state.Freshness(now, "event"), True
        return True

    def _read_again(self) -> None:
        self.refresh.due = min(self.refresh.due, self._clock.steady() + _SOONEST_S)

    def settle(self) -> None:
        """Judge what events have changed; done once for all that came since the last writing."""
        if self._unjudged:
            self._tell_scheduler(self.scheduler.enabled, None, self._seen)
            self._judged()

    def words(self, in_trouble: bool) -> str:
        """Why nothing is pushed, and what is done instead."""
        if in_trouble:
            return f"the gateway does not answer: its jobs are read from its own store every {STORE_S:g} s"
        line = self._line.state
        why = line.reason or line.state
        return f"no events ({why}): jobs are read from the gateway's store every {STORE_S:g} s, all else more rarely"

    @property
    def pending(self) -> bool:
        """True if a digest through the CLI is wanted, and its time has come."""
        return not self._line.up and self._clock.steady() >= self._status.due

    def due(self, cli: Cli) -> Task | None:
        """The digest through the CLI, where RPC does not give it and the gateway is well."""
        if self._line.talks or self._line.state.state in ("unknown", "connecting"):
            return None
        if not self._port.well:
            self._put_off_digest(f"not asked while the gateway is in trouble ({self._port.gateway.check})")
            return None
        if self._line.up or not self._status.comes(self._clock.steady()):
            return None

        def ask() -> Callable[[], None]:
            try:
                payload = cli.status()
            except OcOpsError as error:
                why = self._clean(str(error))
                return lambda: self._put_off_digest(why)
            return lambda: self._show_digest(payload, "cli", self._settings.watch_slow_s)

        return Task("openclaw status", ask)

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self, how: Callable[[], None], lane: state.Lane, every_s: float) -> bool:
        try:
            how()
        except OcOpsError as error:
            now, why = self._clock.now(), self._clean(str(error))
            since = self._seen.problem_since if self._seen.problem else now
            self._seen = replace(self._seen, problem=why, problem_since=since)
        else:
            self._seen = state.Freshness(self._clock.now(), lane, every_s=every_s)
        return True

    def _by_rpc(self) -> None:
        """The list, the scheduler's own word and the digest: 60 to 100 ms of the gateway's time."""
        self.ledger.read_rpc(self._line)
        reply = self._line.request("cron.status")
        seen = state.Freshness(self._clock.now(), "rpc", every_s=REFRESH_S)
        if reply is not None and reply.outcome == "ok":
            enabled, wake_ms = at(reply.payload, "enabled"), number_at(reply.payload, "nextWakeAtMs")
            known = enabled if isinstance(enabled, bool) else None
            self._tell_scheduler(known, wake_ms / 1000 if wake_ms is not None else None, seen)
        status = self._line.request("status")
        if status is not None and status.outcome == "ok":
            self._show_digest(status.payload, "rpc", REFRESH_S)

    def _by_store(self) -> None:
        self.ledger.take(jobs_now.by_store(self._port.at.target, self._port.config))
        seen = state.Freshness(self._clock.now(), "files", every_s=STORE_S)
        self._tell_scheduler(self.scheduler.enabled, None, seen)

    def _read_watchlist(self) -> bool:
        if not self._watchlist.comes(self._clock.steady()):
            return False
        path = watchlist.place(self._settings)
        try:
            found = path.stat()
            stamp: object = (path, found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError as error:
            stamp = error.errno
        if stamp == self._listed[0]:
            return False
        try:
            self.ledger.watched = watchlist.read(path)
            self._listed = (stamp, "")
        except OcOpsError as error:
            self._listed = (stamp, self._clean(str(error)))
        self.refresh.soon()  # a job that is newly watched has no history yet
        return True

    # -- judging and telling ------------------------------------------------------------------------------------------

    def _judged(self) -> bool:
        """Judge anew; True when what is shown differs in more than when it was looked at."""
        self._judge.due, self._unjudged = self._clock.steady() + JUDGE_S, False
        self._ask_for_owners()
        terms = Terms(self._zone_now(), beside_cause=bool(self._port.gateway.check))
        before = self.jobs
        fresh = self.ledger.part(self._seen, self._owners, terms, self.transcripts, self._listed[1])
        if fresh != before:  # an unchanged part stays the same object, and is not put into words again
            self.jobs = fresh
        return replace(before, seen=self._seen) != fresh

    def _ask_for_owners(self) -> None:
        """Ask for a marker's owner only once the marker is old enough to look stuck."""
        known, now_ms = self.ledger.known, self._clock.now() * 1000
        marked = [each for each in known.jobs if each.running_ms is not None] if known else []
        if not any(abs(now_ms - (each.running_ms or 0)) > OWNED_S * 1000 for each in marked):
            self._owners = {}
            return
        seen = self._port.last_look
        if seen is None or not self._owners_turn.comes(self._clock.steady()):
            return
        tasks = self._line.request("tasks.list", owners.TASKS_PARAMS) if self._line.talks else None
        stored = None
        with contextlib.suppress(CouldNotLook):
            stored = jobs_now.by_store(self._port.at.target, self._port.config)
        with contextlib.suppress(CouldNotLook):
            evidence = owners.gather(seen, tasks, stored)
            found = (owners.ownership(each, evidence) for each in marked)
            self._owners = {each.job_id: each for each in found if each}

    def _zone_now(self) -> tzinfo:
        """The gateway's zone; asked once for each process."""
        pid = self._port.gateway.pid
        if self._zone[1] is None or self._zone[0] != pid:
            self._zone = (pid, gateway_zone(pid, self._port.at.target.environ))
        zone = self._zone[1]
        assert zone is not None
        return zone

    def _tell_scheduler(self, enabled: bool | None, wake_at: float | None, seen: state.Freshness) -> None:
        known = self.ledger.known
        jobs = known.jobs if known else ()
        nexts = [each.next_run_ms / 1000 for each in jobs if each.enabled and each.next_run_ms is not None]
        at_ = wake_at if wake_at is not None else min(nexts, default=None)
        self.scheduler = state.Scheduler(enabled, len(jobs) if known else None, at_, self.ledger.running, seen)

    def _show_digest(self, payload: object, lane: state.Lane, every_s: float) -> None:
        now = self._clock.now()
        self.digest = state.Digest(ledger.lines(payload, self._clean, now), state.Freshness(now, lane, every_s=every_s))

    def _put_off_digest(self, why: str) -> None:
        before = self.digest.seen
        if before.problem != why:
            self.digest = replace(self.digest, seen=replace(before, problem=why, problem_since=self._clock.now()))
