"""One bounded recovery: observe, cause, cure, preflight, act, observe again, record; never a second act in one run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from oc_ops.act import wake
from oc_ops.act.agent import inside, refuse_agents
from oc_ops.act.recover import act, budget, evidence, log, steps
from oc_ops.act.recover.log import IncidentLink, RecoveryLog
from oc_ops.act.recover.outcome import Conclusion, Observation, Outcome, proof
from oc_ops.act.recover.policy import cure_of, never
from oc_ops.act.recover.preflight import Clearance, by_hand, clear, shown
from oc_ops.act.recover.wait import REAL, Clock
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.gateway import Gateway
from oc_ops.judge.finding import Cure, Finding
from oc_ops.judge.gateway import BY_HAND
from oc_ops.judge.signature_catalogue import load
from oc_ops.locks import LockHeld, held_by, is_held, single_flight
from oc_ops.observe.healers import Healer, healers
from oc_ops.record import folder
from oc_ops.settings import Settings
from oc_ops.text import clock_trouble, remedy

if TYPE_CHECKING:
    from oc_ops.process.run import Call

Observe = Callable[[], Observation]
"""A fresh look: a whole doctor run, or in pytest the failed and blocked checks again. Called up to five times: before,
to confirm, after a wait, and after the act."""

_MOST_CONFIRMATIONS = 2
_LOOK_S = 1.0


def recover(
    settings: Settings,
    environ: Mapping[str, str],
    observe: Observe,
    *,
    first: Observation | None = None,
    dry_run: bool = False,
    force: bool = False,
    say: Callable[[str], None] = lambda _line: None,
    clock: Clock = REAL,
) -> Outcome:
    """Recover the gateway once, within limits, and prove it by the doctor's own judges.

    `first` is what was observed already; without it `observe` is asked. `force` lifts the budget, the cool-down and the
    one attempt per incident; neither the lock, the preflight, the start budget nor the cure table, and not from inside
    an agent (InsideAgent). `say` gets one line a step, redacted. `dry_run` decides and changes nothing. Raises
    SettingError and what else keeps the target from being known, and OcOpsError when the record or the evidence cannot
    be written; KeyboardInterrupt goes through, with the record ended and the lock free. Takes `recover_act_s`, three
    start and three drain budgets, two minutes for a browser or a channel and five looks at most.
    """
    if force:
        refuse_agents("--force", environ)
    if inside(environ):
        settings = _bounded(settings)
    return _Recovery(settings, environ, observe, dry_run=dry_run, force=force, say=say, clock=clock).run(first)


def _bounded(settings: Settings) -> Settings:
    """The settings with bounds no wider than the defaults: what runs inside an agent lifts none, by no variable."""
    usual = Settings()
    return replace(
        settings,
        restart_per_hour=min(settings.restart_per_hour, usual.restart_per_hour),
        restart_per_day=min(settings.restart_per_day, usual.restart_per_day),
        restart_cool_down_s=max(settings.restart_cool_down_s, usual.restart_cool_down_s),
    )


def longest_s(settings: Settings) -> float:
    """The worst case of `recover` after its first look, in seconds: see there."""
    waits_s = 3 * (settings.start_budget_s + settings.drain_budget_s)
    looks_s = 4 * (settings.run_s + settings.check_s)
    return settings.recover_act_s + waits_s + max(steps.BROWSER_START_S, steps.HEAR_S) + looks_s


class _Recovery:
    """One run of the routine."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        observe: Observe,
        *,
        dry_run: bool,
        force: bool,
        say: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self.settings, self.clock, self.dry_run, self.force = settings, clock, dry_run, force
        self.gateway = Gateway(settings, environ, self._called)
        self._observe, self._say_line = observe, say
        self.log = RecoveryLog(None, self.gateway.redactor, clock)
        self.book = IncidentLink(settings.memory_dir, self.gateway.redactor)
        self.began = clock.monotonic()
        self.before: Observation | None = None
        self.seen = Observation("unknown")
        self.cause: Finding | None = None
        self.cure = Cure("none", "")
        self.after: Observation | None = None
        self.acted = self.waited = self._yielded = self._restarts = False
        self._woken: wake.Stopped | None = None
        """The stopped process that was let go on, once it was."""
        self.looks: list[str] = []
        self._calls = 0

    # -- the frame ----------------------------------------------------------------------------------------------------

    def run(self, first: Observation | None) -> Outcome:
        """The whole routine under the lock; see `recover`."""
        with contextlib.ExitStack() as held:
            try:
                self._own(held)
            except LockHeld as error:
                return self._outcome(Conclusion(3, "refused", f"another recovery or break is under way: {error}"))
            except CouldNotLook as error:
                return self._outcome(Conclusion(2, "unknown", str(error)))
            try:
                self._routine(first)
            except Conclusion as ended:
                return self._closed(self._in_vain(ended))
            except CouldNotLook as error:
                return self._closed(self._in_vain(Conclusion(2, "unknown", str(error))))
            except BaseException as error:
                with contextlib.suppress(OcOpsError):
                    self.log.note("recover", "end", outcome="interrupted", error=f"{type(error).__name__}: {error}")
                raise
        raise AssertionError("the routine ends by saying how")

    def _own(self, held: contextlib.ExitStack) -> None:
        lock = self.gateway.lock("recovery")
        if not self.dry_run:
            held.enter_context(single_flight(lock, 0))
        elif is_held(lock):
            raise LockHeld(f"{lock.name} is held by {held_by(lock)}")

    def _in_vain(self, ended: Conclusion) -> Conclusion:
        """The end of a run that let a stopped process go on and could do no more: that was tried, and did not help."""
        if not self._woken or self._restarts:
            return ended
        woken = wake.command(self._woken)
        if ended.exit == 4:
            ended = Conclusion(1, "ineffective", f"`{woken}` did not help, and {ended.why}")
        self.book.tell(self.seen.incident, self.log, woken, ended.attempt, self.clock.now(), ended.why)
        return ended

    def _closed(self, ended: Conclusion) -> Outcome:
        outcome = self._outcome(ended)
        if self.log.path is not None:
            self.log.note("recover", "end", exit=outcome.exit, outcome=outcome.word, why=outcome.why)
            if earlier := log.told_before(self.settings.memory_dir, self.log.path):
                log.remove(self.log.path)  # one refusal an incident: every scheduled run would add the same
                outcome = replace(outcome, record=earlier)
            log.prune(self.settings.memory_dir, self.settings.keep_recoveries, self.clock.now() - 2 * budget.DAY)
        return outcome

    def _outcome(self, ended: Conclusion) -> Outcome:
        return Outcome(
            ended.exit,
            ended.word,
            self.gateway.redactor.line(ended.why, 1000),
            self.clock.monotonic() - self.began,
            self.cause,
            self.cure.action,
            self.acted,
            self.log.path,
            self.seen.incident or (self.before.incident if self.before else None),
            self.before,
            self.after,
            tuple(self.log.steps),
        )

    def _say(self, line: str) -> None:
        with contextlib.suppress(OSError):  # a pipe that nobody reads any more ends no recovery half-way
            self._say_line(self.gateway.redactor.line(line, 1000))

    def _called(self, call: Call) -> None:
        """Keep the transcript of every `openclaw` call of ours beside the evidence."""
        self._calls += 1
        if self.log.folder is not None:
            with contextlib.suppress(OSError):
                folder.write_transcript(folder.RunFolder(self.log.folder), self._calls, call, self.gateway.redactor)

    # -- the routine --------------------------------------------------------------------------------------------------

    def _routine(self, first: Observation | None) -> None:
        """Decide, anew after each wait, and act at most once; ends by raising Conclusion."""
        if first is None:
            self._say("looking at the gateway")
        self.seen = self.before = self._observe() if first is None else first
        while True:
            self._judge()
            if self.cure.action == "none":
                raise Conclusion(4, "refused", self._not_cured(self.cure.why))
            if self.cure.action == "wait":
                self._wait(self._cause.saw)
                continue
            if self._others():
                continue
            if why := by_hand(self.cure, self._cause):
                raise Conclusion(4, "refused", self._not_cured(why))
            self._within_bounds()
            if self._unconfirmed():
                continue
            clearance = self._cleared()
            if clearance is None:
                continue
            self._act(clearance)

    @property
    def _cause(self) -> Finding:
        assert self.cause is not None
        return self.cause

    def _judge(self) -> None:
        """Name cause and cure of what was seen last; ends here when nothing is wrong, or nothing is known to be."""
        seen = self.seen
        if seen.healthy:
            by_itself = "came up by itself" if self.waited or self.looks else "is healthy already"
            raise Conclusion(0, "healthy", f"the gateway {by_itself}; nothing was done")
        if seen.cause is None:
            raise Conclusion(2, "unknown", f"could not look: {seen.note or 'the doctor names no cause'}")
        self.cause, self.cure = seen.cause, cure_of(seen.cause.check, load(self.settings))
        if self.log.path is None and not self.dry_run:
            self._open_record()
        self.log.told("cause", seen.as_json())
        self.log.note("cure", cure=self.cure.action, why=self.cure.why)
        if self.looks[-1:] != [seen.cause.check]:
            self._say(f"cause: {seen.cause.check}: {seen.cause.fact}")
            self._say(f"saw:   {seen.cause.saw}")
            why = by_hand(self.cure, seen.cause)
            cure = f"none from here: {why}" if why else f"{self.cure.action}: {self.cure.why}"
            if seen.cause.wakes and not self._woken:
                cure = "its process is stopped: let it go on first; a restart only if it still does not answer"
            self._say(f"cure:  {cure}")

    def _open_record(self) -> None:
        self.log = RecoveryLog.open(self.settings.memory_dir, self.gateway.redactor, self.clock)
        self.log.note(
            "recover",
            "begin",
            gateway=self.gateway.target.key,
            profile=self.gateway.target.profile,
            port=self.gateway.config.port,
            pid=os.getpid(),
            force=self.force,
        )

    def _not_cured(self, why: str, fix: str = "") -> str:
        return f"{self._cause.check} is not cured by recovery: {why} · fix: {remedy(fix or self._cause.fix)}"

    def _wait(self, saw: str) -> None:
        """Let a start or drain that is under way come to its end, once, and look again."""
        settings = self.settings
        budget = f"{settings.start_budget_s:.0f} s ({settings.drain_budget_s:.0f} s more if it drains)"
        self._may_wait(
            f"up to {budget} for the gateway and look again: {saw}",
            f"the gateway has not settled after the wait: {saw}" if self.waited else "",
        )
        self.waited = True
        self._say(f"wait:  up to {budget} for the gateway to start; nothing is restarted meanwhile")
        self._settle()

    def _others(self) -> bool:
        """True after waiting for another repair or restart; its result is looked at."""
        budget_s = self.settings.start_budget_s + self.settings.drain_budget_s
        if not (found := self._healers()):
            return False
        who = found[0].summary
        wait = f"up to {budget_s:.0f} s for another repair or restart to end: {who}"
        self._may_wait(wait, f"another repair or restart began after the wait: {who}" if self._yielded else "")
        self._yielded = True
        self._say(f"wait:  {wait}")
        began = self.clock.monotonic()
        with self.log.step("others", who=who) as result:
            while self._healers():
                if self.clock.monotonic() - began >= budget_s:
                    raise Conclusion(
                        3, "refused", f"another repair or restart is still at it after {budget_s:.0f} s: {who}"
                    )
                self.clock.wait(_LOOK_S)
            result.update(waited_s=round(self.clock.monotonic() - began, 1))
        self._settle()
        return True

    def _healers(self) -> tuple[Healer, ...]:
        return healers(self.gateway.target, self.gateway.executable)

    def _may_wait(self, wait: str, again: str) -> None:
        """Refuse in a dry run, which only says what it would wait for, and a second wait, for the reason `again`."""
        if again or self.dry_run:
            raise Conclusion(3, "refused", again or f"it would wait {wait}")

    def _settle(self) -> None:
        act.wait(self.gateway, self.log, self.clock, self._say, idle_s=act.REFUSED_IDLE_S)
        self.seen = self._look_again()

    def _within_bounds(self) -> None:
        """Budget, cool-down, one attempt per incident."""
        kind = budget.kind_of(self.cure.action)
        settings, target, now = self.settings, self.gateway.target, self.clock.now()
        limits = budget.Bounds(settings.restart_per_hour, settings.restart_per_day, settings.restart_cool_down_s)
        acts = budget.all_acts(settings.memory_dir, target.state_dir, target.key, now)
        off = next((each.fact for each in self.seen.findings if each.check == "host/clock-off"), "")
        refused = off or clock_trouble(now.timestamp()) or budget.exhausted(acts, kind, limits, now)
        own = self.log.path.name if self.log.path else ""
        if not refused and (refused := budget.attempted(self.book.incident(self.seen.incident), own)):
            refused += "; look at it, then `oc-ops incidents ack` it"
        self.log.note("bounds", acts=len(acts), refused=refused or None, forced=bool(refused) and self.force)
        if refused and self.force:
            self._say(f"{refused}; --force lifts that")
        elif refused:
            raise Conclusion(
                3, "refused", f"{self._cause.check}: {refused} (--force lifts this) · fix: {remedy(self._cause.fix)}"
            )
        elif not self.looks:
            self._say(f"restarts so far today: {len(acts)} (limit {limits.per_hour} an hour, {limits.per_day} a day)")

    def _unconfirmed(self) -> bool:
        """True when a fault this young was looked at once more; one that has lasted is known well enough."""
        settings, check = self.settings, self._cause.check
        young = budget.is_fresh(self.book.incident(self.seen.incident), self.clock.now(), settings.confirm_within_s)
        if not young or (self.looks and self.looks[-1] == check):
            return False
        if self.dry_run:
            self._say(f"confirm: it would look again in {settings.confirm_gap_s:g} s, as the fault is young")
            return False
        if len(self.looks) >= _MOST_CONFIRMATIONS:
            raise Conclusion(
                2, "unknown", f"what is wrong changes from look to look: {', '.join([*self.looks, check])}"
            )
        self.looks.append(check)
        self._say(f"confirm: the fault is young; looking again in {settings.confirm_gap_s:g} s")
        self.clock.wait(settings.confirm_gap_s)
        self.seen = self._look_again()
        return True

    def _cleared(self) -> Clearance | None:
        """The preflight; None when somebody else is restarting it, who was waited for."""
        with self.log.step("preflight") as found:
            clearance = clear(self.gateway, self.cure, self.seen, self.clock, woken=bool(self._woken))
            found.update(
                refusal=clearance.refusal or None, elsewhere=clearance.elsewhere or None, aborts=list(clearance.aborts)
            )
        if clearance.stopped:
            self._wake(clearance.stopped)
            return None
        if clearance.elsewhere:
            self._say(f"preflight: leaving it alone for now: {clearance.elsewhere}")
            self._wait(clearance.elsewhere)
            return None
        if clearance.refusal:
            fix = clearance.fix
            if self._woken and fix == wake.command(self._woken):
                fix = wake.by_force(self._woken, BY_HAND)
            raise Conclusion(4, "refused", self._not_cured(clearance.refusal, fix))
        self._say(f"preflight: it would come up again; a {self.cure.action} aborts: {shown(clearance.aborts)}")
        return clearance

    # -- the act ------------------------------------------------------------------------------------------------------

    def _wake(self, found: wake.Stopped) -> None:
        """Let a stopped process go on; ends here when that was all, else what it shows then is judged anew."""
        cause, command = self._cause, wake.command(found)
        if self.dry_run:
            then = "" if by_hand(self.cure, cause) else ", and restart only what still does not answer"
            words = f"it would run `{command}` first{then}; nothing was changed"
            raise Conclusion(1, "would act", f"{cause.check}: {words}")
        self._keep_evidence()
        incident = self.seen.incident
        self.book.tell(incident, self.log, command, "begun", self.clock.now())
        self.acted, self._woken = True, found
        settled = act.wake(found, self.gateway, self.log, self.clock, self._say)
        self.after = self._last_look()
        ended = proof(cause, self.after, command, settled, "")
        if ended.word == "recovered":
            raise ended
        self.seen = self.after
        self.looks.append(cause.check)

    def _keep_evidence(self) -> None:
        assert self.log.folder is not None
        with self.log.step("evidence") as kept:
            kept.update(evidence.keep(self.log.folder, self.gateway, self.seen.folder))

    def _act(self, clearance: Clearance) -> None:
        cause, action = self._cause, self.cure.action
        there, words = self.gateway.target.container, clearance.words
        command = steps.command(action, cause, there, safe=clearance.safe, words=words)
        if never(cause.check):
            raise Conclusion(4, "refused", self._not_cured("it is never acted on"))
        if self.dry_run:
            raise Conclusion(1, "would act", f"{cause.check}: it would run `{command}` once; nothing was changed")
        if not self._woken:
            self._keep_evidence()
        incident = self.seen.incident
        self.book.tell(incident, self.log, command, "begun", self.clock.now())
        try:
            self.acted = self._restarts = True
            settled, said, command = act.carry_out(
                self.gateway,
                action,
                cause,
                self.log,
                self.clock,
                self._say,
                safe=clearance.safe,
                words=words,
                instead=clearance.instead,
            )
            self.after = self._last_look()
            ended = proof(cause, self.after, command, settled, said)
        except BaseException as error:
            why = f"{type(error).__name__}: {error}"
            self.book.tell(incident, self.log, command, "unknown", self.clock.now(), why)
            raise
        self.book.tell(incident, self.log, command, ended.attempt, self.clock.now(), ended.why)
        raise ended

    def _last_look(self) -> Observation:
        """Anything that cannot be looked at after the act is unknown, not undone."""
        try:
            return self._look_again()
        except OcOpsError as error:  # also a doctor that refuses now: its report folder may be full since
            return Observation("unknown", note=str(error))

    def _look_again(self) -> Observation:
        with self.log.step("observe") as result:
            seen = self._observe()
            result.update(seen.as_json())
        return seen
