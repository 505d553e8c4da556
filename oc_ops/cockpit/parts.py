"""The parts that are looked at rarely: the gateway's work, its browser, its memory; and the watcher's own costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import psutil
from msgspec.structs import replace

from oc_ops.cockpit import state
from oc_ops.cockpit.background import Cli, Task
from oc_ops.cockpit.clock import Turn, WatchClock
from oc_ops.errors import OcOpsError
from oc_ops.judge import cron, models
from oc_ops.judge import work as judge
from oc_ops.observe import work
from oc_ops.observe.rpc_reads import WORK_S, questions

if TYPE_CHECKING:
    from oc_ops.cockpit.ledger import Ledger
    from oc_ops.cockpit.port import PortWatch
    from oc_ops.cockpit.rpc_link import RpcLink
    from oc_ops.judge.finding import Finding
    from oc_ops.judge.work import Silence
    from oc_ops.observe.jobs import Job
    from oc_ops.observe.target import Target
    from oc_ops.observe.work import WorkView
    from oc_ops.settings import Settings

LOOK_S, MODELS_S = 60.0, 300.0
"""Channels and messages take the gateway 10 to 60 ms; models are asked after as rarely as the jobs are read anew."""
_DEAR = ("agents.list", "models.list", "models.authStatus")


class LabourWatch:
    """When the gateway's work is asked after, and what came of it."""

    def __init__(
        self,
        target: Target,
        settings: Settings,
        clock: WatchClock,
        clean: Callable[[str], str],
        line: RpcLink,
        port: PortWatch,
        ledger: Ledger,
    ) -> None:
        self._target, self._settings, self._clock, self._clean = target, settings, clock, clean
        self._line, self._port, self._ledger = line, port, ledger
        self._turn, self._dear = Turn(LOOK_S), Turn(MODELS_S)
        self._told: dict[str, object] = {}
        self._silent: Mapping[str, Silence] = {}
        self._models_at: float | None = None
        self.labour = state.Labour()

    def look(self) -> bool:
        """Ask what is due; True when there is something new to show."""
        before = self.labour
        if not self._line.talks:
            self._unseen("the gateway is not connected")
            return before != self.labour
        if before.seen.problem:
            self.again()
        if not self._turn.comes(self._clock.steady()):
            return False
        self._ask(lambda method: method not in _DEAR)
        if self._dear.comes(self._clock.steady()):
            self._ask(lambda method: method in _DEAR)
            self._models_at = self._clock.now()
        if not self._line.talks:
            self._unseen("the gateway is not connected")
        else:
            self._show()
        return before != self.labour

    def again(self) -> None:
        """Ask anew at once, such as after a new connection."""
        self._turn.soon()
        self._dear.soon()

    def _ask(self, due: Callable[[str], bool]) -> None:
        for method, params in questions(self._line.version).items():
            if not due(method):
                continue
            reply = self._line.request(method, params, deadline_s=WORK_S)
            if reply is None or reply.outcome in ("silent", "closed"):
                return  # what was told before stays, with its age
            self._told.pop(method, None)
            if reply.outcome == "ok":
                self._told[method] = reply.payload

    def _show(self) -> None:
        now_s = self._clock.now()
        view = replace(
            work.view_of(self._told, self._target.state_dir, config=self._port.config.path), at_ms=round(now_s * 1000)
        )
        known = self._ledger.known
        jobs = [each for each in known.jobs if each.enabled] if known else []
        late = [each for each in jobs if cron.overdue(each, view.at_ms, self._settings.job_grace_s)]
        accounts = [each for each in view.accounts or () if each.enabled and each.configured]
        agent = next((each for each in view.agents or () if each.id == view.default_agent), None)
        model = agent.models[0] if agent and agent.models else ""
        parked = [each.until_ms for each in view.models or () if f"{each.provider}/{each.id}" == model]
        self.labour = state.Labour(
            len(accounts) if view.accounts is not None else None,
            len(accounts) - len(self._troubled(view)),
            _moment(max((each.activity_ms or 0 for each in accounts), default=0)),
            sum(each.count for each in view.dead) if view.dead is not None else None,
            sum(each.count for each in view.waiting or ()),
            _moment(min((each.since_ms or 0 for each in view.waiting or () if each.count), default=0)),
            self._clean(model),
            _moment(next(iter(parked), None) or 0),
            self._models_at if agent else None,
            len(jobs) if known else None,
            len(late),
            _moment(min((each.next_run_ms or 0 for each in late), default=0)),
            tuple(map(self._note, self._findings(view, jobs))),
            state.Freshness(now_s, "rpc", every_s=LOOK_S),
        )
        self._silent = judge.silences(view.accounts or (), view.at_ms, self._silent)

    def _troubled(self, view: WorkView) -> set[str]:
        accounts = view.accounts or ()
        silent = {each.label for each in judge.silent_accounts(accounts, view.at_ms)}
        return silent | {each.label for each in accounts if judge.is_down(each, view.at_ms)}

    def _findings(self, view: WorkView, jobs: list[Job]) -> list[Finding]:
        """Findings of now; a thing only to be known, such as letters given up long ago, is a figure."""
        down = list(judge.down(view.accounts or (), view.at_ms))
        found = [*down, *judge.deaf(view.accounts or (), view.at_ms, self._silent)]
        found += judge.backlog(view.waiting or (), view.at_ms, [each.subject for each in down])
        answer = models.unanswerable(view, models.need(view, jobs), jobs)
        return [each for each in (*found, *([answer] if answer else [])) if each.severity != "info"]

    def _note(self, finding: Finding) -> state.Note:
        return state.Note(finding.check, finding.severity, self._clean(finding.fact), self._clean(finding.fix))

    def _unseen(self, why: str) -> None:
        before = self.labour.seen
        if before.problem != why:
            seen = replace(before, problem=why, problem_since=self._clock.now())
            self.labour = replace(self.labour, seen=seen)


def _moment(ms: int) -> float | None:
    return ms / 1000 if ms else None


class BrowserWatch:
    """When the browser is asked after, and what came of it."""

    def __init__(
        self, cli: Cli, settings: Settings, clock: WatchClock, clean: Callable[[str], str], port: PortWatch
    ) -> None:
        self._cli, self._settings, self._clock, self._clean, self._port = cli, settings, clock, clean, port
        self._turn = Turn(settings.watch_slow_s)
        self.browser = state.Browser(settings.browser)

    @property
    def pending(self) -> bool:
        """True if its time has come."""
        return self._clock.steady() >= self._turn.due

    def due(self) -> Task | None:
        """The next look, when it is time and the gateway is well; else the part says why there is none."""
        enabled = self._port.config.browser_enabled
        if self._settings.browser == "off" or not enabled:
            why = "not looked at: the setting browser is off" if enabled else "switched off in the config"
            if self.browser.words != why:
                self.browser = state.Browser(
                    self._settings.browser, enabled, words=why, seen=state.Freshness(self._clock.now(), "files")
                )
            return None
        if not self._port.well:
            check = self._port.gateway.check
            if check:
                self._unseen(f"not asked while the gateway is in trouble ({check})")
            return None
        if self.browser.seen.problem.startswith("not asked"):
            self._turn.soon()
        if not self._turn.comes(self._clock.steady()):
            return None
        return Task("openclaw browser status", self._ask)

    def _ask(self) -> Callable[[], None]:
        try:
            found = self._cli.browser(self._port.config, self._clean, self._clock.now)
        except OcOpsError as error:
            why = self._clean(str(error))
            return lambda: self._unseen(why)
        return lambda: self._show(replace(found, seen=replace(found.seen, every_s=self._settings.watch_slow_s)))

    def _show(self, found: state.Browser) -> None:
        self.browser = found

    def _unseen(self, why: str) -> None:
        before = self.browser.seen
        if before.problem != why:
            seen = replace(before, problem=why, problem_since=self._clock.now())
            self.browser = replace(self.browser, enabled=self._port.config.browser_enabled, seen=seen)


_HISTORY, _HISTORY_S = 120, 60.0
_WHY = "the gateway's process is gone, or cannot be seen from this account"


class MemoryWatch:
    """One process by its pid, held by its start time: a pid that somebody else got does not count."""

    def __init__(self, limit_bytes: int, clock: WatchClock) -> None:
        self._clock, self._limit = clock, limit_bytes
        self._process: psutil.Process | None = None
        self.memory = state.MemoryPart(limit_bytes=limit_bytes)

    def forget(self) -> None:
        """The gateway may have another process now."""
        self._process = None

    def look(self, pid: int | None, every_s: float) -> None:
        """Look at the gateway's resident memory; one sample a minute is kept."""
        now, before = self._clock.now(), self.memory
        rss = self._rss_bytes(pid)
        if rss is None:
            since = before.seen.problem_since if before.seen.problem else now
            seen = state.Freshness(before.seen.at, before.seen.lane, _WHY, since, every_s)
            self.memory = state.MemoryPart(None, self._limit, before.history, seen)
            return
        history = before.history
        if not history or abs(now - history[-1][0]) >= _HISTORY_S:
            history = (*history[-_HISTORY + 1 :], (now, rss))
        self.memory = state.MemoryPart(rss, self._limit, history, state.Freshness(now, "processes", every_s=every_s))

    def _rss_bytes(self, pid: int | None) -> int | None:
        try:
            if self._process is None and pid is not None:
                self._process = psutil.Process(pid)
            if self._process is not None and self._process.is_running():
                return int(self._process.memory_info().rss)
        except psutil.Error:
            pass
        return None


def own_costs() -> tuple[int, float]:
    """This process' resident memory (bytes) and CPU (seconds, its ended children left out)."""
    process = psutil.Process()
    times = process.cpu_times()
    return process.memory_info().rss, times.user + times.system
