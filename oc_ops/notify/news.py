"""News since people were told last, in words; and what they were told so far, `memory/notify.json`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from oc_ops import files
from oc_ops.record.folder import write
from oc_ops.record.incidents.events import Moment
from oc_ops.record.incidents.incident import Incident
from oc_ops.record.incidents.text import told as words_of
from oc_ops.record.journal import SPENT, Journal, JournalError, parsed
from oc_ops.record.redact import without_secrets
from oc_ops.text import age, clock, one_line, remedy

Kind = Literal["down", "still down", "recovered", "budget spent", "approval wanted"]

_WORDS: Mapping[Kind, str] = {
    "down": "PROBLEM",
    "still down": "STILL THERE after {lasted}",
    "recovered": "RECOVERED after {lasted}",
    "budget spent": "NOT RECOVERED, the budget is spent",
    "approval wanted": "APPROVAL WANTED",
}


class Announcement(Struct, frozen=True):
    """People's knowledge of one incident: told first at `at`, `times` in all; `over` once told that it has ended."""

    at: Moment
    times: int = 1
    over: bool = False
    said: tuple[Kind, ...] = ()
    """News already told that is told once in an incident's life."""


class PendingApproval(Struct, frozen=True):
    """An act of the breaker that somebody without a terminal has planned and nobody has decided on yet."""

    plan: str
    name: str
    fact: str
    expires_at: datetime


class News(Struct, frozen=True):
    """One thing to tell about `subject`; `told` is what people know of it once it has been delivered."""

    kind: Kind
    subject: str
    title: str
    body: str
    told: Announcement


def news(
    incidents: Sequence[Incident],
    told: Mapping[str, Announcement],
    now: datetime,
    again_s: float,
    *,
    asked: Sequence[PendingApproval] = (),
    refused: Mapping[str, str] | None = None,
    host: str = "",
) -> tuple[News, ...]:
    """The news to tell now: at most one thing an incident, in the order of the incidents, then what is asked for.

    `told` is by incident id or plan. `refused` says of which incident recovery was refused in this run, and why. Muted
    incidents are silent until the mute is over; acknowledged ones are not told again. What lasts is told again after
    `again_s` seconds, after twice and four times as long, and so on.
    """
    return (
        *_of_incidents(incidents, told, now, again_s, refused or {}, host),
        *(_asks(each, now, host) for each in asked if each.plan not in told and each.expires_at > now),
    )


def _of_incidents(
    incidents: Sequence[Incident],
    known: Mapping[str, Announcement],
    now: datetime,
    again_s: float,
    refused: Mapping[str, str],
    host: str,
) -> Iterator[News]:
    for each in incidents:
        if each.muted_until(now):
            continue
        why = refused.get(each.id, "")
        spent = why if SPENT in why else ""
        if change := _change(each, known.get(each.id), now, again_s, spent):
            kind, after = change
            yield News(kind, each.id, _title(kind, each, now, host), _body(each, spent), after)


def _change(
    incident: Incident, known: Announcement | None, now: datetime, again_s: float, spent: str
) -> tuple[Kind, Announcement] | None:
    """The news since people were told, and what they know once they are told that."""
    if not incident.is_open:
        return ("recovered", replace(known, over=True)) if known and not known.over else None
    if known is None or known.over:
        return ("budget spent", Announcement(now, said=("budget spent",))) if spent else ("down", Announcement(now))
    if spent and "budget spent" not in known.said:
        return "budget spent", replace(known, said=(*known.said, "budget spent"))
    return _again(incident, known, now, again_s)


def _again(incident: Incident, known: Announcement, now: datetime, again_s: float) -> tuple[Kind, Announcement] | None:
    """Once more, when it was told long ago, is still red, and nobody has taken it on."""
    lasted_s, times = (now - known.at).total_seconds(), known.times
    if incident.acknowledged or incident.green_at or lasted_s < again_s * 2 ** (times - 1):
        return None
    while again_s * 2 ** (times - 1) <= lasted_s:
        times += 1
    return "still down", replace(known, times=times)


def _title(kind: Kind, incident: Incident, now: datetime, host: str) -> str:
    what = incident.cause.check + (f" {incident.cause.subject}" if incident.cause.subject else "")
    lasted = age(incident.age_s(now))
    where = f" on {host}" if host else ""
    if kind == "recovered" and incident.green_at is None:
        return _clean(f"CLOSED by hand after {lasted}: {what}{where}", 200)
    if kind == "down" and incident.green_at:
        return _clean(f"{_WORDS[kind]}, green again after {lasted}: {what}{where}", 200)
    return _clean(f"{_WORDS[kind].format(lasted=lasted)}: {what}{where}", 200)


def _body(incident: Incident, spent: str) -> str:
    cause, gateway = incident.cause, incident.gateway
    lines = [f"it was: {cause.fact}" if not incident.is_open or incident.green_at else cause.fact]
    if incident.is_open:
        lines += [f"recovery: {spent}"] if spent else [words_of(each) for each in incident.attempts[-1:]]
        lines.append(f"fix: {remedy(cause.fix)}")
        if taken_on := incident.acknowledged:
            lines.append(f"acknowledged by {taken_on.by}")
    else:
        lines += [f"closed by {each.by}" for each in incident.events[-1:] if each.what == "closed" and each.by]
    lines.append(f"gateway: profile {gateway.profile or 'default'}, port {gateway.port or 'unknown'}")
    back = f", back {incident.flaps}× after green" if incident.flaps else ""
    lines.append(f"incident {incident.id}, since {clock(incident.opened_at)}{back}")
    if incident.evidence:
        lines.append(f"report: {incident.evidence[-1]}")
    return "\n".join(_clean(each, 600) for each in lines)


def _asks(asked: PendingApproval, now: datetime, host: str) -> News:
    where = f" on {host}" if host else ""
    lines = (
        asked.fact,
        f"look, then decide on a terminal: oc-ops breaker show {asked.name}",
        f"plan {asked.plan}, void after {clock(asked.expires_at)}",
    )
    title = _clean(f"{_WORDS['approval wanted']}: {asked.name}{where}", 200)
    body = "\n".join(_clean(each, 600) for each in lines)
    return News("approval wanted", asked.plan, title, body, Announcement(now, over=True))


def _clean(text: str, limit: int) -> str:
    # Findings come redacted; a message leaves the house, so it is looked through once more.
    return one_line(without_secrets(text), limit)


FILE = "notify.json"
APPROVALS = "approvals.jsonl"
KEPT = timedelta(days=30)
"""How long it is known that somebody was told of what is over."""


class NotifyState(Struct, frozen=True):
    """The news that was told, by incident or plan, and why the last delivery failed; empty when it did not."""

    told: dict[str, Announcement] = {}
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
