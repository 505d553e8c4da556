"""What people were told so far, `memory/notify.json`, and what waits for them in the book of approvals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from oc_ops import files
from oc_ops.notify.news import Announcement, PendingApproval
from oc_ops.record.folder import write
from oc_ops.record.journal import Journal, JournalError, parsed

FILE = "notify.json"
APPROVALS = "approvals.jsonl"
KEPT = timedelta(days=30)
"""How long it is known that somebody was told of what is over."""


@dataclass(frozen=True, slots=True)
class NotifyState:
    """What was told, by incident or plan, and why the last delivery failed; empty when it did not."""

    told: dict[str, Announcement] = field(default_factory=dict)
    failed: str = ""

    def after(self, subject: str, told: Announcement) -> NotifyState:
        """With this known of that subject; what is long over is forgotten."""
        kept = {name: each for name, each in self.told.items() if not each.over or told.at - each.at < KEPT}
        return replace(self, told={**kept, subject: told})


def read(memory_dir: Path) -> NotifyState:
    """The state as it was last written; nothing was told where there is none, or none that can be read."""
    try:
        return msgspec.json.decode(files.read_bytes(memory_dir / FILE, files.SMALL_BYTES), type=NotifyState)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return NotifyState()


def save(memory_dir: Path, state: NotifyState) -> None:
    """Write it whole; raises OSError."""
    write(memory_dir / FILE, msgspec.json.format(msgspec.json.encode(state), indent=1).decode() + "\n")


def asked(memory_dir: Path, now: datetime) -> tuple[PendingApproval, ...]:
    """The plans of the breaker that wait for a person; a book that cannot be read asks for nothing."""
    try:
        lines = [each for each in map(parsed, Journal(memory_dir / APPROVALS).lines()) if each is not None]
    except JournalError:
        return ()
    return waiting(lines, now)


def waiting(lines: Iterable[Mapping[str, object]], now: datetime) -> tuple[PendingApproval, ...]:
    """Plans of an agent, or made without a terminal, that nothing more was written about and that still count."""
    plans: dict[str, Mapping[str, object] | None] = {}
    for line in lines:
        # Whatever follows the plan, an approval or a refusal, is a decision.
        plans[str(line.get("plan"))] = line if line.get("what") == "planned" and not _on_a_terminal(line) else None
    found = (_asked(name, line) for name, line in plans.items() if line is not None)
    return tuple(each for each in found if each is not None and each.expires_at > now)


def _on_a_terminal(line: Mapping[str, object]) -> bool:
    by = line.get("by")
    return isinstance(by, dict) and bool(by.get("tty")) and not by.get("agent")


def _asked(plan: str, line: Mapping[str, object]) -> PendingApproval | None:
    try:
        expires_at = datetime.fromisoformat(str(line.get("expires_at"))).astimezone(UTC)
    except ValueError:
        return None
    return PendingApproval(plan, str(line.get("target", "")), str(line.get("fact", "")), expires_at)
