"""What people were told so far, `memory/notify.json`, and what waits for them in the book of approvals."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast, get_args

from oc_ops import files
from oc_ops.notify.news import Announcement, Kind, PendingApproval
from oc_ops.record.folder import write
from oc_ops.record.incidents.events import utc
from oc_ops.record.journal import Journal, JournalError, parsed

FILE = "notify.json"
APPROVALS = "approvals.jsonl"
KEPT = timedelta(days=30)
"""How long it is known that somebody was told of what is over."""


@dataclass(frozen=True, slots=True)
class NotifyState:
    """What was told, by incident or plan, and why the last delivery failed; empty when it did not."""

    told: Mapping[str, Announcement] = field(default_factory=dict)
    failed: str = ""

    def after(self, subject: str, told: Announcement) -> NotifyState:
        """With this known of that subject; what is long over is forgotten."""
        kept = {name: each for name, each in self.told.items() if not each.over or told.at - each.at < KEPT}
        return replace(self, told={**kept, subject: told})


def read(memory_dir: Path) -> NotifyState:
    """The state as it was last written; nothing was told where there is none, or none that can be read."""
    try:
        value = json.loads(files.read_text(memory_dir / FILE, files.SMALL_BYTES))
        told = {str(name): _told(each) for name, each in value["told"].items()}
        return NotifyState(told, str(value["failed"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return NotifyState()


def save(memory_dir: Path, state: NotifyState) -> None:
    """Write it whole; raises OSError."""
    told = {
        name: {"at": utc(each.at), "times": each.times, "over": each.over, "said": list(each.said)}
        for name, each in state.told.items()
    }
    write(memory_dir / FILE, json.dumps({"told": told, "failed": state.failed}, indent=1) + "\n")


def _told(value: Mapping[str, object]) -> Announcement:
    at = datetime.fromisoformat(str(value["at"]))
    said = value["said"]
    if at.tzinfo is None or not isinstance(said, list) or not set(said) <= set(get_args(Kind)):
        raise ValueError(value)
    return Announcement(at, int(str(value["times"])), value["over"] is True, tuple(cast("list[Kind]", said)))


def asked(memory_dir: Path, now: datetime) -> tuple[PendingApproval, ...]:
    """The plans of the breaker that wait for a person; a book that cannot be read asks for nothing."""
    try:
        lines = [each for each in map(parsed, Journal(memory_dir / APPROVALS).lines()) if each is not None]
    except JournalError:
        return ()
    return waiting(lines, now)


def waiting(lines: Iterable[Mapping[str, object]], now: datetime) -> tuple[PendingApproval, ...]:
    """Plans made without a terminal, as by an agent, that nothing more was written about and that still count."""
    plans: dict[str, Mapping[str, object] | None] = {}
    for line in lines:
        # Whatever follows the plan, an approval or a refusal, is a decision.
        plans[str(line.get("plan"))] = line if line.get("what") == "planned" and not _on_a_terminal(line) else None
    found = (_asked(name, line) for name, line in plans.items() if line is not None)
    return tuple(each for each in found if each is not None and each.expires_at > now)


def _on_a_terminal(line: Mapping[str, object]) -> bool:
    by = line.get("by")
    return isinstance(by, dict) and bool(by.get("tty"))


def _asked(plan: str, line: Mapping[str, object]) -> PendingApproval | None:
    try:
        expires_at = datetime.fromisoformat(str(line.get("expires_at"))).astimezone(UTC)
    except ValueError:
        return None
    return PendingApproval(plan, str(line.get("target", "")), str(line.get("fact", "")), expires_at)
