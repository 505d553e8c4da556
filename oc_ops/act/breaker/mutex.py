"""What can be broken: each mutex with its exact evidence, the name that approves it, and why it must be left alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from oc_ops.errors import OcOpsError
from oc_ops.record.redact import Json
from oc_ops.record.untrusted import one_line

Kind = Literal["marker", "left-off", "chrome-lock", "session-lock", "gateway-lock", "zombie", "hung"]
"""marker: `runningAtMs` of a run that nobody runs. left-off: a job that a break before this one left disabled."""


class Refused(OcOpsError):
    """Nothing was done and nothing may be: no approval, a plan that is void, a live owner, or nothing to break."""


@dataclass(frozen=True, slots=True)
class Mutex:
    """One thing that holds work up.

    `id` names it on a command line, `name` is what an operator types to approve. `evidence` is exact and holds nothing
    that changes by itself, such as an age: a plan is bound to it. `shown` is what else helps to decide. `refused` says
    why it must not be broken; empty for what may be, once that is approved.
    """

    kind: Kind
    id: str
    name: str
    fact: str
    act: str
    evidence: Mapping[str, Json]
    shown: tuple[str, ...] = ()
    refused: str = ""

    @property
    def digest(self) -> str:
        """Sha256 over kind, id, name and evidence: the same as long as nothing changed."""
        bound = [self.kind, self.id, self.name, dict(self.evidence)]
        return hashlib.sha256(json.dumps(bound, sort_keys=True).encode()).hexdigest()


def find(named: str, mutexes: Sequence[Mutex]) -> Mutex:
    """The one that is meant, by its id, its exact name, or the unique beginning of its id; else raises Refused."""
    by_name = [each for each in mutexes if named in (each.name, each.id.partition(":")[2])]
    begun = [each for each in mutexes if named and each.id.startswith(named)]
    found = [each for each in mutexes if each.id == named] or by_name or begun
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(each.id for each in found[:3])
        raise Refused(one_line(f"{named}: {len(found)} are meant by that ({some}): need one id"))
    raise Refused(one_line(f"{named}: nothing to break goes by that; `oc-ops breaker list --all` shows what there is"))


def typed_name(name: str, others: Sequence[str], instead: str) -> str:
    """The name to type: the own one if a keyboard can tell it from every other, else `instead`."""
    plain = bool(name) and name == " ".join(name.split()) and name.isprintable() and len(name) <= _LONGEST
    return name if plain and one_line(name) == name and others.count(name) <= 1 else instead


_LONGEST = 120
