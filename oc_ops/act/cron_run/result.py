"""What became of an ad-hoc run: an outcome, an exit code, and the words for both."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from oc_ops.act.cron_run.history import Record
from oc_ops.judge.jobwords import cut, named, span
from oc_ops.observe.jobs import Job

Outcome = Literal[
    "succeeded", "failed", "triggered", "already-running", "not-started", "out-of-time", "interrupted", "gone"
]
"""triggered: started, and nobody waited. not-started: nothing was run, and `Result.why` says what stood in the way.

gone: between looking and asking the job was removed. interrupted: by Ctrl-C, SIGTERM or a terminal that closed.
"""

EXITS: Mapping[Outcome, int] = {
    "succeeded": 0,
    "triggered": 0,
    "failed": 1,
    "gone": 2,
    "already-running": 3,
    "not-started": 4,
    "out-of-time": 124,
    "interrupted": 130,
}


@dataclass(frozen=True, slots=True)
class Result:
    """The end of one `oc-ops run`. `waited_s` runs from the trigger, `why` says what the outcome alone does not."""

    outcome: Outcome
    job: Job
    why: str = ""
    advice: str = ""
    run_id: str = ""
    record: Record | None = None
    waited_s: float = 0.0
    log: Path | None = None

    @property
    def exit(self) -> int:
        """The exit code of the command."""
        return EXITS[self.outcome]

    @property
    def sentence(self) -> str:
        """The outcome in one line; a stranger wrote parts of it."""
        job = named(self.job.name or self.job.id)
        took = self.record.duration_ms if self.record else None
        after = f" after {span(took / 1000)}" if took is not None else ""
        words: Mapping[Outcome, str] = {
            "succeeded": f"succeeded{after}",
            "failed": f"failed{after}",
            "triggered": "is started; nobody waits for it here",
            "already-running": "is running already, nothing was started",
            "not-started": "was not started",
            "out-of-time": f"has not ended in {span(self.waited_s)}; it may still be running, and is not started again",
            "interrupted": "is not waited for any longer",
            "gone": "does not exist any more",
        }
        return f"{job} {words[self.outcome]}{': ' if self.why else ''}{cut(self.why, 600)}"

    def see(self, prefix: str = "openclaw") -> str:
        """The command that shows what became of the run."""
        return f"{prefix} cron runs --id {shlex.quote(self.job.id)}"
