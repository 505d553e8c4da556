"""What came of an act, by what the doctor saw afterwards: repaired means that the finding is gone."""

from __future__ import annotations

from dataclasses import dataclass

from oc_ops.act.outcome import Exit, Observation, Word
from oc_ops.act.settle import Settled
from oc_ops.judge.finding import Finding
from oc_ops.record import events


@dataclass
class Ended(Exception):
    """The routine is over: the outcome without its times and paths."""

    exit: Exit
    word: Word
    why: str

    @property
    def attempt(self) -> events.Outcome:
        """The outcome in the words of the book of incidents."""
        return "recovered" if self.word == "recovered" else "unknown" if self.exit == 2 else "ineffective"


def proof(before: Finding, after: Observation, command: str, settled: Settled | None, said: str) -> Ended:
    """The end of a recovery that acted. `said` is why OpenClaw did not take the command, where it did not."""
    took = f", up {settled.took_s:.1f} s after it was given" if settled and settled.started else ""
    gone = f"{before.check} is gone after one `{command}`{took}"
    if after.healthy:
        return Ended(0, "recovered", f"{gone}, and every check passes")
    if after.echoes:
        names = ", ".join(each.check for each in after.echoes)
        return Ended(0, "recovered", f"{gone}; its log still tells of the outage: {names}")
    refused = f"; OpenClaw said: {said}" if said else ""
    cause = after.cause
    if cause is None:
        why = after.note or "the doctor names no cause"
        return Ended(2, "unknown", f"`{command}` was run, and what came of it could not be seen: {why}{refused}")
    if cause.check == before.check:
        return Ended(1, "ineffective", f"{cause.check} is still there after `{command}`{refused} · fix: {cause.fix}")
    return Ended(1, "ineffective", f"{before.check} is gone after `{command}`, and now it is {cause.sentence}{refused}")
