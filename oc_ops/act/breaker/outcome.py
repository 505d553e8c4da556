"""What came of a break, in words that an exit code and a later reader go by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from oc_ops.record.redact import Json

Outcome = Literal["verified", "ineffective", "left-off", "cleared", "unknown"]
"""verified: done, and seen to have helped. ineffective: done, and it did not help. left-off: the job is off, still.

cleared: the marker is gone, and whether the next run comes was not awaited. unknown: what came of it cannot be told.
"""

EXITS: Mapping[Outcome, int] = {"verified": 0, "ineffective": 1, "left-off": 1, "cleared": 2, "unknown": 2}


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome, one sentence for the operator, and the state afterwards for the book."""

    outcome: Outcome
    said: str
    after: Mapping[str, Json] = field(default_factory=dict)
