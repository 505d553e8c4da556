"""Events of an incident: one event is one line of incidents.jsonl."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from oc_ops import text
from oc_ops.judge.finding import Finding, Severity

VERSION = 1
"""Of the lines in incidents.jsonl. Additive: a reader leaves out members it does not know."""

What = Literal[
    "opened", "changed", "seen", "blocked", "red", "green", "closed", "reopened",
    "acknowledged", "muted", "unmuted", "noted", "attempt", "evidence",
]  # fmt: skip
"""One thing that can happen to an incident.

A run tells: `opened` by its first red, `changed` to another state of it, `seen` unchanged, `blocked` by a cause nearer
to the root, `green` once, `red` again before green was confirmed, `closed`, `reopened` soon after. People and recovery
tell the rest.
"""
Outcome = Literal["begun", "recovered", "ineffective", "refused", "unknown"]
"""Of a recovery attempt: `begun` is written before its first act and stays the last word of one that was killed."""

Word = Annotated[str, msgspec.Meta(min_length=1)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]

_MOMENTS = ("at", "first_sign", "until")
_FAULT_TEXTS = ("fact", "saw", "fix", "subject", "found_by")
_TEXT = 2000
"""Characters kept of any one text."""


class GatewayName(Struct, frozen=True):
    """The gateway of an incident: `key` names the state directory, the same in every process."""

    key: Word
    profile: str | None = None
    port: int | None = None


class Versions(Struct, frozen=True):
    """Releases as far as they were known."""

    cli: str | None = None
    gateway: str | None = None


class Attempt(Struct, frozen=True):
    """One recovery attempt. `record` is the path of its step-by-step record and its name within the incident."""

    record: Word
    action: str
    outcome: Outcome


class Fault(Struct, frozen=True):
    """A finding and what tells it from others of its id.

    `subject` is what it is about where one id is found of several things, such as a job; `found_by` names what has to
    look again and pass before the fault's absence means anything.
    """

    check: Word
    severity: Severity
    fact: str = ""
    saw: str = ""
    fix: str = ""
    subject: str = ""
    found_by: str = ""

    @classmethod
    def of(cls, found: Finding, subject: str = "", found_by: str = "") -> Fault:
        """The fault that a finding tells of; its texts have to be redacted."""
        return cls(found.check, found.severity, found.fact, found.saw, found.fix, subject[:_TEXT], found_by[:_TEXT])

    @property
    def name(self) -> str:
        """The same name is the same fault."""
        return f"{self.check} {self.subject}" if self.subject else self.check

    def __str__(self) -> str:
        return f"{self.check}: {self.fact}"


class Event(Struct, frozen=True):
    """One line of incidents.jsonl. Texts of findings come redacted; every text is a stranger's until it is shown."""

    id: Word
    at: Moment
    what: What
    fault: Fault | None = None
    gateway: GatewayName | None = None
    versions: Versions | None = None
    first_sign: Moment | None = None
    """When the log showed the first signature of it."""
    evidence: str = ""
    """A path: a run's folder, as a rule."""
    by: str = ""
    text: str = ""
    until: Moment | None = None
    attempt: Attempt | None = None

    def as_json(self) -> dict[str, object]:
        """The line to write; empty members are left out, long texts cut."""
        line: dict[str, object] = {"v": VERSION, "id": self.id, "at": utc(self.at), "what": self.what}
        if self.gateway:
            line["gateway"] = _fields(self.gateway, "key", "profile", "port")
        if self.fault:
            line["fault"] = _fields(self.fault, "check", "severity", *_FAULT_TEXTS)
        if self.versions:
            line["versions"] = _fields(self.versions, "cli", "gateway")
        if self.attempt:
            line["attempt"] = _fields(self.attempt, "record", "action", "outcome")
        line |= {name: utc(each) for name in ("first_sign", "until") if (each := getattr(self, name))}
        return line | {name: each[:_TEXT] for name in ("evidence", "by", "text") if (each := getattr(self, name))}

    @classmethod
    def parse(cls, line: Mapping[str, object]) -> Event | None:
        """The event of a line, or None when it is none that this release understands."""
        if line.get("v") != VERSION:
            return None
        try:
            told = msgspec.convert(line, cls)
            moments = {name: each.astimezone(UTC) for name in _MOMENTS if (each := getattr(told, name))}
            return replace(told, **moments)
        except (msgspec.ValidationError, OverflowError):
            return None


def utc(moment: datetime) -> str:
    """The moment as the lines carry it: `2026-11-22T19:41:15.250Z`."""
    return text.utc(moment, "milliseconds")


def _fields(record: object, *names: str) -> dict[str, object]:
    values = ((name, getattr(record, name)) for name in names)
    return {name: value[:_TEXT] if isinstance(value, str) else value for name, value in values}
