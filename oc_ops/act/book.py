"""What recovery reads from the book of incidents and adds to it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from oc_ops.act import recoverylog
from oc_ops.act.recoverylog import RecoveryLog
from oc_ops.errors import OcOpsError
from oc_ops.record import events, incidents

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from oc_ops.record.incident import Incident
    from oc_ops.record.redact import Redactor


class Book:
    """The book of one memory directory. That it cannot be read or written keeps nobody from recovering."""

    def __init__(self, memory_dir: Path, redactor: Redactor) -> None:
        self._journal, self._redactor = incidents.journal(memory_dir), redactor

    def incident(self, name: str | None) -> Incident | None:
        """The incident of that id; one that cannot be read bounds nothing, the records still do."""
        if name is None:
            return None
        with contextlib.suppress(OcOpsError):
            return incidents.read_one(self._journal, name).incidents.get(name)
        return None

    def tell(
        self, name: str | None, log: RecoveryLog, command: str, outcome: events.Outcome, now: datetime, reason: str = ""
    ) -> None:
        """Add the attempt, or its next word, and with its first word where the evidence is."""
        if name is None or log.path is None:
            return
        # The path within the memory directory: the same wherever that is mounted.
        attempt = events.Attempt(f"{recoverylog.FOLDER}/{log.path.name}", command, outcome)
        try:
            if outcome == "begun":
                incidents.record_evidence(self._journal, name, str(log.folder), now, text="before the act")
            incidents.record_attempt(self._journal, name, attempt, now, reason=self._redactor.line(reason, 1000))
        except OcOpsError as error:
            log.note("incident", error=str(error))
