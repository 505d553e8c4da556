"""What can happen to an incident: one event is one line of incidents.jsonl."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias, cast, get_args

from oc_ops.judge.finding import Finding, Severity

VERSION = 1
"""Of the lines in incidents.jsonl. Additive: a reader leaves out members it does not know."""

What = Literal[
    "opened", "changed", "seen", "blocked", "red", "green", "closed", "reopened",
    "acknowledged", "muted", "unmuted", "noted", "attempt", "evidence",
]  # fmt: skip
"""What can happen to an incident.

A run tells: `opened` by its first red, `changed` to another state of it, `seen` unchanged, `blocked` by a cause nearer
to the root, `green` once, `red` again before green was confirmed, `closed`, `reopened` soon after. People and recovery
tell the rest.
"""
Outcome = Literal["begun", "recovered", "ineffective", "refused", "unknown"]
"""Of a recovery attempt: `begun` is written before its first act and stays the last word of one that was killed."""

_WHAT = frozenset(get_args(What))
_FAULT_TEXTS = ("fact", "saw", "fix", "subject", "found_by")
_TEXT = 2000
"""Characters kept of any one text."""


@dataclass(frozen=True, slots=True)
class GatewayName:
    """Whose incident it is: `key` names the state directory, the same in every process."""

    key: str
    profile: str | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Versions:
    """Releases as far as they were known."""

    cli: str | None = None
    gateway: str | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One recovery attempt. `record` is the path of its step-by-step record and its name within the incident."""

    record: str
    action: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Fault:
    """A finding and what tells it from others of its id.

    `subject` is what it is about where one id is found of several things, such as a job; `found_by` names what has to
    look again and pass before the fault's absence means anything.
    """

    check: str
    severity: Severity
    fact: str
    saw: str
    fix: str
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


@dataclass(frozen=True, slots=True)
class Event:
    """One line of incidents.jsonl. Texts of findings come redacted; every text is a stranger's until it is shown."""

    id: str
    at: datetime
    what: What
    fault: Fault | None = None
    gateway: GatewayName | None = None
    versions: Versions | None = None
    first_sign: datetime | None = None
    """When the log showed the first signature of it."""
    evidence: str = ""
    """A path: a run's folder, as a rule."""
    by: str = ""
    text: str = ""
    until: datetime | None = None
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
        try:
            if line["v"] != VERSION or line["what"] not in _WHAT:
                return None
            return cls(
                id=_word(line["id"]),
                at=_moment(line["at"]),
                what=cast("What", line["what"]),
                fault=_fault(line["fault"]) if "fault" in line else None,
                gateway=_gateway(line["gateway"]) if "gateway" in line else None,
                versions=_versions(line["versions"]) if "versions" in line else None,
                attempt=_attempt(line["attempt"]) if "attempt" in line else None,
                first_sign=_moment(line["first_sign"]) if "first_sign" in line else None,
                until=_moment(line["until"]) if "until" in line else None,
                **{name: str(line[name]) for name in ("evidence", "by", "text") if name in line},
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            return None


def utc(moment: datetime) -> str:
    """The moment as the lines carry it: `2026-11-22T19:41:15.250Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _fields(record: object, *names: str) -> dict[str, object]:
    values = ((name, getattr(record, name)) for name in names)
    return {name: value[:_TEXT] if isinstance(value, str) else value for name, value in values}


Members: TypeAlias = Mapping[str, object]


def _members(value: object) -> Members:
    if not isinstance(value, dict):
        raise TypeError(value)
    return value


def _word(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(value)
    return value


def _maybe(value: object) -> str | None:
    return None if value is None else _word(value)


def _moment(value: object) -> datetime:
    moment = datetime.fromisoformat(_word(value))
    if moment.tzinfo is None:
        raise ValueError(value)
    return moment.astimezone(UTC)


def _fault(value: object) -> Fault:
    told = _members(value)
    severity = told["severity"]
    if severity not in get_args(Severity):
        raise ValueError(severity)
    texts = [str(told.get(name, "")) for name in _FAULT_TEXTS]
    return Fault(_word(told["check"]), cast("Severity", severity), *texts)


def _gateway(value: object) -> GatewayName:
    told = _members(value)
    port = told.get("port")
    return GatewayName(_word(told["key"]), _maybe(told.get("profile")), port if isinstance(port, int) else None)


def _versions(value: object) -> Versions:
    told = _members(value)
    return Versions(_maybe(told.get("cli")), _maybe(told.get("gateway")))


def _attempt(value: object) -> Attempt:
    told = _members(value)
    outcome = told["outcome"]
    if outcome not in get_args(Outcome):
        raise ValueError(outcome)
    return Attempt(_word(told["record"]), str(told.get("action", "")), cast("Outcome", outcome))
