"""When, how and why not: what every part of a snapshot says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Lane = Literal["", "http", "rpc", "event", "cli", "files", "processes", "service"]
"""How a part was looked at: `event` means that the gateway pushed it, `files` that it was read from its own files."""

Severity = Literal["", "info", "warning", "error"]

WRITE_S = 5.0
"""A snapshot without news is written this often: what it tells was looked at up to so long before it is read."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """When and how a part was looked at last, and why it cannot be now. What a part shows is of `at`, never of later.

    A part is current while `problem` is empty, and stale while it is not.
    """

    at: float | None = None
    """The last look that gave something; None: there was none yet."""
    lane: Lane = ""
    """How it was looked at then."""
    problem: str = ""
    """Why it cannot be looked at now, one sentence; empty while all is well, or while nobody has tried."""
    problem_since: float | None = None
    """Since when it cannot."""
    every_s: float | None = None
    """How often it is looked at when nothing is pushed; older than three of these and a writing is stale as well."""

    def stale(self, now: float) -> bool:
        """True if what the part shows may no longer be so."""
        late = self.at is not None and self.every_s is not None and now - self.at > 3 * self.every_s + WRITE_S
        return self.at is None or bool(self.problem) or late


@dataclass(frozen=True, slots=True)
class Note:
    """One finding, in short."""

    check: str = ""
    severity: Severity = ""
    fact: str = ""
    fix: str = ""
