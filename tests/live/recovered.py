"""What a `recover.py` that was started says, and the patience it is given beside other tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PATIENT = {"OC_OPS_CALL_S": "60", "OC_OPS_CHECK_S": "120", "OC_OPS_RUN_S": "300", "OC_OPS_CLI_LOCK_S": "50"}
"""A machine that runs other tests beside these may take long over a call that is otherwise done in two seconds."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What one `recover.py --json` left."""

    exit: int
    outcome: dict[str, Any]
    progress: str

    @property
    def sentence(self) -> str:
        """The last sentence."""
        return str(self.outcome["sentence"])
