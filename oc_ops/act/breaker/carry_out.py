"""Everything that can be broken, and carrying out an approved plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from oc_ops.act.breaker import plan as plans
from oc_ops.act.breaker import seal
from oc_ops.act.breaker.blockers import left_off, locks, markers, move_aside
from oc_ops.act.breaker.plan import ApprovalBook, BreakPlan, who
from oc_ops.act.breaker.processes import end, processes
from oc_ops.act.breaker.scan import Blocker, BreakerView, BreakResult, Kind, Refused, Tools
from oc_ops.act.breaker.switch import switch
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.locks import LockHeld, lock_dir, single_flight
from oc_ops.record.journal import JournalError
from oc_ops.record.redact import Json

BREAKS: Mapping[Kind, Callable[[Blocker, Tools], BreakResult]] = {
    "marker": switch,
    "left-off": switch,
    "chrome-lock": move_aside,
    "session-lock": move_aside,
    "gateway-lock": move_aside,
    "zombie": end,
    "hung": end,
}
"""How each kind is broken; each looks afresh afterwards."""


def mutexes(sight: BreakerView, book: ApprovalBook) -> tuple[Blocker, ...]:
    """All of them, those that must be left alone too. Raises JournalError when the book cannot be read."""
    return (*processes(sight), *left_off(sight, book), *markers(sight), *locks(sight))


How = Literal["typed", "--approve"]


class Busy(OcOpsError):
    """Another break of this gateway is under way."""


def carry_out(plan: BreakPlan, how: How, book: ApprovalBook, hands: Tools) -> BreakResult:
    """Break what the plan names, if it is still exactly that.

    Raises Refused (recorded) and Busy with nothing done, CouldNotLook when the evidence cannot be looked at, and
    JournalError when the approval cannot be written down: then nothing is done either.
    """
    try:
        with _alone(book.gateway):
            mutex = plans.check(plan, _now(plan, book, hands), book)
            seal.spend(plan.id)
            book.write("approved", plan.id, target=plan.target, how=how, by=who())
            return _break(plan, mutex, book, hands)
    except Refused as refused:
        refuse(plan, str(refused), book)
        raise


def refuse(plan: BreakPlan, why: str, book: ApprovalBook) -> None:
    """Write down that nothing was done, and why; the refusal stands even when that cannot be written."""
    _quietly(lambda: book.write("refused", plan.id, target=plan.target, why=why, by=who()))


def _now(plan: BreakPlan, book: ApprovalBook, hands: Tools) -> Blocker | None:
    sight = hands.look()
    found = next((each for each in mutexes(sight, book) if each.id == plan.target), None)
    if found is None and sight.unseen:
        raise CouldNotLook("; ".join(sight.unseen))
    return found


def _break(plan: BreakPlan, mutex: Blocker, book: ApprovalBook, hands: Tools) -> BreakResult:
    """Records how it ended, whatever the end was; a kill leaves it begun and not done."""
    book.write("begun", plan.id, target=plan.target, before=mutex.evidence, by=who())
    say = _heard_or_not(hands.say)
    step = replace(hands, say=say, note=lambda did: _quietly(lambda: book.write("step", plan.id, did=did), say))

    def done(outcome: str, said: str, after: Json = None) -> None:
        _quietly(lambda: book.write("done", plan.id, target=plan.target, outcome=outcome, said=said, after=after), say)

    try:
        result = BREAKS[mutex.kind](mutex, step)
    except Refused as refused:
        done("refused", str(refused))
        raise
    except OcOpsError as error:
        done("unknown", str(error))
        return BreakResult("unknown", str(error))
    except KeyboardInterrupt:
        done("unknown", "interrupted")
        raise
    done(result.outcome, result.said, result.after)
    return result


def _alone(gateway: str) -> AbstractContextManager[None]:
    # The recovery's own lock: whoever acts on a gateway acts alone.
    return _Turn(lock_dir() / f"recovery-{gateway}.lock")


class _Turn(AbstractContextManager[None]):
    """The lock of the gateway's breaker; only that somebody holds it is Busy, not what is raised inside."""

    def __init__(self, lock: Path) -> None:
        self._flight = single_flight(lock, 0)

    def __enter__(self) -> None:
        try:
            self._flight.__enter__()
        except LockHeld as error:
            raise Busy(f"another break or recovery is under way: {error}") from None

    def __exit__(self, *error: object) -> None:
        self._flight.__exit__(*error)  # type: ignore[arg-type]  # handed on as it came


def _heard_or_not(say: Callable[[str], None]) -> Callable[[str], None]:
    """A terminal that was closed, or a pipe that nobody reads, must not end a break half-way."""

    def said(line: str) -> None:
        with suppress(OSError):
            say(line)

    return said


def _quietly(write: Callable[[], None], say: Callable[[str], None] = lambda _: None) -> None:
    """Finish what was begun, even on a full disk."""
    try:
        write()
    except JournalError as error:
        say(f"not written down: {error}")
