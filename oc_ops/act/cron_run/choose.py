"""Which job is meant: an id or a name that one job alone has; otherwise what comes near, or which ones share it."""

from __future__ import annotations

import difflib

from oc_ops.errors import OcOpsError
from oc_ops.judge.jobwords import cut, named, schedule_words
from oc_ops.observe.jobs import Job, Jobs

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
