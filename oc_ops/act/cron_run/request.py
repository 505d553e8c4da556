"""The request that `oc-ops run` gets, the job that is meant, and the result."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

from msgspec import Struct

from oc_ops.act.cron_run.answer import JobRecord
from oc_ops.errors import OcOpsError
from oc_ops.judge.job_words import cut, named, schedule_words
from oc_ops.observe.jobs import Job, Jobs
from oc_ops.text import span


class JobRequest(Struct, frozen=True):
    """A request: a job's id or name, for how long to wait, whether only when due, whether to wait at all."""

    word: str
    limit_s: float
    due: bool = False
    wait: bool = True
    command: Sequence[str] = ()
    """The command line, for the record."""


class Say(Protocol):
    """Tells the operator what goes on."""

    def begin(self, job: Job, limit_s: float, log: str) -> None:
        """The job is chosen and the transcript open."""

    def state(self, kind: str, text: str) -> None:
        """Say what is waited for now, at every look; `kind` changes with what is waited for, `text` also with time."""

    def warn(self, text: str) -> None:
        """Something the operator should know at once."""


NO_SUCH_JOB = 2
"""The exit code where no job, or more than one, is meant."""

_NEAR = 5
_LIKENESS = 0.5


class JobNotChosen(OcOpsError):
    """No job, or more than one, is meant by what was given; `candidates` are those that may have been meant."""

    def __init__(self, message: str, candidates: tuple[Job, ...]) -> None:
        self.candidates = candidates
        lines = [message, *(f"  {each.id}  {cut(each.name, 80)}  ({_state(each)})" for each in candidates)]
        super().__init__("\n".join(lines))


def choose(word: str, jobs: Jobs) -> Job:
    """The one job with that id, else the one with that name; raises JobNotChosen."""
    by_id = [each for each in jobs.jobs if each.id == word]
    by_name = [each for each in jobs.jobs if each.name == word]
    found = tuple(by_id or by_name)
    if len(found) == 1:
        return found[0]
    if found:
        raise JobNotChosen(f"{len(found)} jobs are called {named(word)}; take an id:", found)
    near = _near(word, jobs.jobs)
    told = f"no job has the id or name {named(word)}"
    if not jobs.complete:
        told += f" among the {len(jobs.jobs)} that were told, and there are more"
    raise JobNotChosen(f"{told}; near to it:" if near else f"{told}; `oc-ops jobs` shows all {len(jobs.jobs)}", near)


def _near(word: str, jobs: tuple[Job, ...]) -> tuple[Job, ...]:
    """Jobs whose name or id resembles the word, or holds it, best first."""
    wanted = word.casefold()[:200]

    def likeness(job: Job) -> float:
        spelled = [text.casefold()[:200] for text in (job.name, job.id) if text]
        inside = 0.9 if wanted and any(wanted in text for text in spelled) else 0.0
        return max([inside, *(difflib.SequenceMatcher(None, wanted, text).ratio() for text in spelled)])

    ranked = sorted(((likeness(each), each) for each in jobs), key=lambda pair: -pair[0])
    return tuple(job for score, job in ranked[:_NEAR] if score >= _LIKENESS)


def _state(job: Job) -> str:
    return schedule_words(job.schedule) + ("" if job.enabled else ", off")


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


class RunResult(Struct, frozen=True):
    """The end of one `oc-ops run`. `waited_s` runs from the trigger, `why` says what the outcome alone does not."""

    outcome: Outcome
    job: Job
    why: str = ""
    advice: str = ""
    run_id: str = ""
    record: JobRecord | None = None
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
            "triggered": "is started; its end is not awaited here",
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
