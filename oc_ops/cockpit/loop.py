"""The watcher's loop: who is looked at when, what goes into the snapshot, and when it is written."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from oc_ops.cockpit import snapshot, state
from oc_ops.cockpit.background import Aside, Cli, Task
from oc_ops.cockpit.clock import TouchFile, Turn, WatchClock
from oc_ops.cockpit.files import FilesWatch
from oc_ops.cockpit.jobs import JobsWatch
from oc_ops.cockpit.log import LogWatch
from oc_ops.cockpit.parts import BrowserWatch, LabourWatch, MemoryWatch, own_costs
from oc_ops.cockpit.port import PortWatch
from oc_ops.cockpit.rpc_link import RpcLink
from oc_ops.cockpit.state.vitals import WRITE_S
from oc_ops.doctor import log
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.observe import inside, install, logs, rpc
from oc_ops.observe.rpc import RpcClient, RpcRefused
from oc_ops.observe.service import Service, service
from oc_ops.observe.target import Target
from oc_ops.record.redact import Cleaner
from oc_ops.secrecy import secrets_in
from oc_ops.settings import Settings

UNWATCHED_LOOK_S = 10.0
WATCHED_S = 10.0
"""How long after the last touch of its mark somebody still counts as watching."""

SOONEST_WRITE_S = 0.1
LOG_S, PAPERS_S, MEMORY_S, MARKS_S, FILES_S = 1.0, 2.0, 10.0, 1.0, 60.0
LONGEST_WAIT_S = 1.0
OUTPUT_S = 5.0
"""Between looks at what a container printed, while somebody watches; else FILES_S."""
CONNECTED_S = 6 * 3600.0
"""How long a connection into a container lasts before it is made anew."""
FRESH_S = 1.0
"""The gateway is asked through the CLI only right after a look that found it well."""
JUMP_S = 5.0
"""A wall clock that moved this much against the steady one: a suspend, or a clock that was set."""


class Loop:
    """Everything that one watcher knows and does, on one thread but for the slow questions.

    Raises SettingError and CouldNotLook where the gateway cannot be watched from here at all.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        clock: WatchClock | None = None,
        *,
        connect: Callable[[], RpcClient] | None = None,
        service_of: Callable[[Target], Service] = service,
    ) -> None:
        self.settings, self.clock = settings, clock or WatchClock()
        cli = Cli(settings, environ)
        self.gateway = cli.gateway
        self.gateway.service_of = service_of
        self.key = self.gateway.key
        self._environ = environ
        self._wake = threading.Event()
        self.clean = Cleaner(self.target.home)
        self.port = PortWatch(self.gateway, self.clock, self.clean)
        self._renew_secrets()
        self.line = RpcLink(connect or self._connect, self.clock, self.clean)
        self.aside = Aside(self._wake.set)
        self.work = JobsWatch(settings, self.clock, self.clean, self.line, self.port)
        self.labouring = LabourWatch(
            self.target, settings, self.clock, self.clean, self.line, self.port, self.work.ledger
        )
        self.browsing = BrowserWatch(cli, settings, self.clock, self.clean, self.port)
        self.papers = FilesWatch(settings.memory_dir, settings.report_dir, self.key, self.clean)
        now = datetime.fromtimestamp(self.clock.now(), UTC)
        self.follow = LogWatch(self.target.state_dir, log.known(settings), self.clean, now)
        self.resident = MemoryWatch(settings.gateway_rss_bytes, self.clock)
        self.me = state.Watcher(os.getpid(), self.clock.now())
        self._troubles: dict[str, str] = {}
        self._session = TouchFile(snapshot.session_mark(settings.memory_dir, self.key), self.clock)
        self._watching = TouchFile(snapshot.watching_mark(settings.memory_dir, self.key), self.clock)
        self._watching.changed -= WATCHED_S
        self._writer = snapshot.Writer(snapshot.path_of(settings.memory_dir, self.key))
        self._files: tuple[Path, ...] = ()
        self._cli, self._number, self._news = cli, 0, True
        self._written = -WRITE_S
        self._output = Turn(OUTPUT_S)
        self._turns = {
            "marks": (Turn(MARKS_S), self._see_marks),
            "port": (Turn(UNWATCHED_LOOK_S), self._see_port),
            "line": (Turn(0.5), self._keep_line),
            "jobs": (Turn(1.0), self._see_jobs),
            "labour": (Turn(1.0), self._see_labour),
            "files": (Turn(FILES_S), self._find_files),
            "log": (Turn(LOG_S), self._see_log),
            "papers": (Turn(PAPERS_S), self._see_papers),
            "memory": (Turn(MEMORY_S), self._see_memory),
            "slow": (Turn(1.0), self._ask_slowly),
        }

    @property
    def target(self) -> Target:
        """The target as it was resolved last."""
        return self.gateway.target

    def run(self) -> str:
        """Go on until no session lives; why it ended. Raises what a signal handler raises."""
        gc.collect()
        gc.freeze()
        while self._session.quiet_s() < self.settings.watch_idle_s:
            self.step()
        return f"no session has touched its mark for {self.settings.watch_idle_s:g} s"

    def step(self, longest_s: float = LONGEST_WAIT_S) -> None:
        """Do what is due, write what is news, and wait for an event until the next thing is due."""
        jump_s = self.clock.jumped_s()
        if abs(jump_s) > JUMP_S:
            self._start_over()
        for name, (turn, act) in self._turns.items():
            if turn.comes(self.clock.steady()):
                self._guarded(name, act)
        self._write_when_due()
        self._listen(longest_s)

    def close(self, why: str) -> None:
        """Take leave of the gateway, and say in a last snapshot that nobody watches any more."""
        self.me = replace(self.me, ended=why)
        self.line.close()
        self._guarded("last snapshot", self._write)

    # -- what is due --------------------------------------------------------------------------------------------------

    def _guarded(self, name: str, act: Callable[[], None]) -> None:
        """One look that goes wrong is a sentence in the snapshot, not the end of the others."""
        words = ""
        try:
            act()
        except OcOpsError as error:
            words = f"{name}: {error}"
        except Exception as error:
            words = f"{name}: {type(error).__name__}: {error}"
        self._trouble(name, words)

    def _trouble(self, name: str, words: str) -> None:
        """Remember what went wrong with something, or that it went well again."""
        said = self.clean(words)
        if said == self._troubles.get(name, ""):
            return
        self._troubles = {key: each for key, each in {**self._troubles, name: said}.items() if each}
        self.me, self._news = replace(self.me, trouble=self.clean("; ".join(self._troubles.values()))), True

    def _start_over(self) -> None:
        for turn, _ in self._turns.values():
            turn.soon()
        self.work.refresh.soon()
        self.line.hasten()

    def _see_marks(self) -> None:
        watched = self._watching.quiet_s() < WATCHED_S
        if watched != self.me.looked_at:
            self.me, self._news = replace(self.me, looked_at=watched), True
            self._turns["port"][0].every_s = self.settings.watch_look_s if watched else UNWATCHED_LOOK_S
            self._turns["port"][0].soon()

    def _see_port(self) -> None:
        before, well = self.port.gateway, self.port.well
        self.port.look(self._turns["port"][0].every_s)
        if self.port.config_changed:
            self.port.config_changed = False
            self._renew_secrets()
            self.follow.clean_again()
            self._turns["files"][0].soon()
            self.line.hasten()
        gateway = self.port.gateway
        if _core(before) == _core(gateway):
            return
        self._news = True
        self.resident.forget()
        self._turns["memory"][0].soon()
        if self.port.well and not well:
            self.line.hasten()
        if gateway.state in ("hung", "down", "zombie"):
            self.line.mute(f"the gateway does not answer ({gateway.check})")

    def _keep_line(self) -> None:
        before = self.line.state
        if self.port.answers and self.line.try_connect():
            self.follow.own = _own_lines(self.line.conn_id)
            self.work.refresh.soon()
            self.labouring.again()
        self._news = self._news or before.state != self.line.state.state

    def _see_jobs(self) -> None:
        if self.work.look():
            self._news = True

    def _see_labour(self) -> None:
        if self.labouring.look():
            self._news = True

    def _find_files(self) -> None:
        if self.target.container is None:
            self._files = logs.files(self.target, self.port.config, datetime.now())

    def _see_log(self) -> None:
        if self.target.container is not None:
            return  # what it printed is asked aside: its runtime may take its time
        now = datetime.fromtimestamp(self.clock.now(), UTC)
        if self.follow.look(self._files, now, LOG_S):
            self._news = True

    def _see_papers(self) -> None:
        if self.papers.look(self.clock.now(), PAPERS_S):
            self.work.transcripts = self.papers.transcripts
            self._news = True

    def _see_memory(self) -> None:
        self.resident.look(self.port.gateway.pid, MEMORY_S)
        rss_bytes, cpu_s = own_costs()
        self.me = replace(self.me, rss_bytes=rss_bytes, cpu_s=cpu_s, cli_calls=self._cli.calls)

    def _ask_slowly(self) -> None:
        """At most one slow question at a time; what is due but not allowed says so in its part."""
        if self.aside.finish():
            self._news = True
            self._trouble("aside", self.aside.trouble)
            self.aside.trouble = ""
        if self.aside.busy:
            return
        if (self.browsing.pending or self.work.pending) and self._port_is_old():
            self._see_port()  # what was well ten seconds ago may be in trouble by now
        slow = self.browsing.due() or self.work.due(self._cli) or self.port.service_due()
        task: Task | None = slow or self._output_due()
        if task is not None:
            self.aside.begin(task)

    def _output_due(self) -> Task | None:
        """Ask what a gateway in a container printed lately; only of one that runs."""
        there = self.target.container
        if there is None or there.state not in ("running", "paused") or not self._output.comes(self.clock.steady()):
            return None
        every_s = self._output.every_s = OUTPUT_S if self.me.looked_at else FILES_S
        now = datetime.fromtimestamp(self.clock.now(), UTC)

        def ask() -> Callable[[], None]:
            try:
                printed, problem = tuple(inside.output(there, self.follow.since(now))), ""
            except CouldNotLook as error:
                printed, problem = (), str(error)
            return lambda: self.follow.take(there, printed, now, problem, every_s)

        return Task(f"{there.runtime} logs", ask)

    def _port_is_old(self) -> bool:
        seen_at = self.port.gateway.seen.at
        return self.port.well and (seen_at is None or self.clock.now() - seen_at > FRESH_S)

    # -- the line and the snapshot ------------------------------------------------------------------------------------

    def _connect(self) -> RpcClient:
        if not self.settings.rpc:
            raise RpcRefused("off", "the setting rpc is off")
        try:
            return self.gateway.connect(CONNECTED_S)
        except CouldNotLook as error:  # a container that is gone meanwhile
            raise RpcRefused("unreachable", str(error)) from error

    def _listen(self, longest_s: float) -> None:
        """Wait for the next push until something is due; pushes that wait already are all taken."""
        steady = self.clock.steady()
        due = min((turn.due for turn, _ in self._turns.values()), default=steady)
        if self._news:
            due = min(due, self._written + SOONEST_WRITE_S)
        wait_s = min(max(due - steady, 0.01), longest_s)
        if not self.line.up:
            self._wake.wait(wait_s)
            self._wake.clear()
            return
        before = self.line.state.state
        if push := self.line.next_push(wait_s):
            self._guarded(f"event {push.event}", lambda: self._pushed(push))
        if not self.line.up:
            self._turns["port"][0].soon()  # whoever closed it may be gone
        if before != self.line.state.state:
            self._news = True
            if self.line.talks:
                self.work.refresh.soon()  # who was silent has pushed nothing meanwhile

    def _pushed(self, push: rpc.Push) -> None:
        if push.event == "cron":
            self._news = self.work.event(push.payload) or self._news
        elif push.event in ("shutdown", "gateway.suspension"):
            self._turns["port"][0].soon()

    def _write_when_due(self) -> None:
        since_s = self.clock.steady() - self._written
        if since_s >= WRITE_S or (self._news and since_s >= SOONEST_WRITE_S):
            self._guarded("snapshot", self._write)

    def _write(self) -> None:
        self._written, self._news = self.clock.steady(), False
        self._number += 1
        self.work.settle()
        self._writer.write(self._whole(), now=self.clock.now(), monotonic=self.clock.steady())

    def _whole(self) -> state.Snapshot:
        """Everything as it is known now."""
        events, idle = self.line.talks, not self.port.answers
        words = "" if events else self.work.words(idle)
        version = self.port.gateway.version
        if not version and install.release(self.line.version):  # 2026.2.26 calls itself "dev", which is no release
            version = self.clean(self.line.version)
        return state.Snapshot(
            key=self.key,
            profile=self.target.profile or (self.target.choice if self.target.container else ""),
            state_dir=self.clean(str(self.target.state_dir)),
            number=self._number,
            watcher=replace(self.me, mode="events" if events else "polling", words=words),
            gateway=replace(self.port.gateway, version=version),
            rpc=self.line.state,
            event_loop=self.port.event_loop,
            memory=self.resident.memory,
            scheduler=self.work.scheduler,
            doctor=self.papers.doctor,
            jobs=self.work.jobs,
            labour=self.labouring.labour,
            browser=self.browsing.browser,
            service=self.port.service,
            digest=self.work.digest,
            incidents=self.papers.incidents,
            log=self.follow.log,
        )

    def _renew_secrets(self) -> None:
        """Secrets come from the config and the environment; a config that was written may hold new ones."""
        self.clean.renew((*self.port.config.secrets, *secrets_in(self._environ)))


def _core(gateway: state.GatewayPart) -> state.GatewayPart:
    """The values of the gateway whose change is news."""
    return replace(gateway, answer_ms=None, started_at=None, saw="", seen=state.Freshness())


def _own_lines(conn_id: str | None) -> str:
    """How the gateway's log names our connection: its first eight and last four characters."""
    return f"conn={conn_id[:8]}…{conn_id[-4:]}" if conn_id and len(conn_id) > 12 else ""
