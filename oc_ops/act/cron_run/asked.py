"""What is asked of an ad-hoc run, and who is told how it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from oc_ops.observe.jobs import Job


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for: a job's id or name, for how long to wait, whether only when due, whether to wait at all."""

    word: str
    limit_s: float
    due: bool = False
    wait: bool = True
    command: Sequence[str] = ()
    """The command line, for the record."""


class Say(Protocol):
    """Whoever tells the operator what goes on."""

    def begin(self, job: Job, limit_s: float, log: str) -> None:
        """The job is chosen and the transcript open."""

    def state(self, kind: str, text: str) -> None:
        """What is waited for now, told at every look; `kind` changes with what is waited for, `text` also with time."""

    def warn(self, text: str) -> None:
        """Something the operator should know at once."""
