"""The gateway's work beside its life, asked over the connection that is open anyway: channels, messages, models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from oc_ops.cockpit import state
from oc_ops.cockpit.clock import Turn, WatchClock
from oc_ops.judge import cronwork, models
from oc_ops.judge import work as judge
from oc_ops.observe import work
from oc_ops.observe.reads import WORK, WORK_S

if TYPE_CHECKING:
    from oc_ops.cockpit.gateway import Port
    from oc_ops.cockpit.ledger import Ledger
    from oc_ops.cockpit.rpc_link import Line
    from oc_ops.judge.finding import Finding
    from oc_ops.judge.work import Silence
    from oc_ops.observe.jobs import Job
    from oc_ops.observe.target import Target
    from oc_ops.observe.work import WorkView
    from oc_ops.settings import Settings

LOOK_S, MODELS_S = 60.0, 300.0
"""Channels and messages take the gateway 10 to 60 ms; models are asked after as rarely as the jobs are read anew."""
_DEAR = ("agents.list", "models.list", "models.authStatus")


class Labouring:
    """When the gateway's work is asked after, and what came of it."""

    def __init__(
        self,
        target: Target,
        settings: Settings,
        clock: WatchClock,
        clean: Callable[[str], str],
        line: Line,
        port: Port,
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
        self._ask([each for each in WORK if each not in _DEAR])
        if self._dear.comes(self._clock.steady()):
            self._ask(_DEAR)
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

    def _ask(self, methods: list[str] | tuple[str, ...]) -> None:
        for method in methods:
            reply = self._line.request(method, WORK[method], deadline_s=WORK_S)
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
        late = [each for each in jobs if cronwork.overdue(each, view.at_ms, self._settings.job_grace_s)]
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
        """What is wrong now; what is only to be known, such as letters that were given up long ago, is a figure."""
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
