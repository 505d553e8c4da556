"""Incidents in words and in JSON; whoever shows the words makes strangers' text in them harmless, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from oc_ops.record.incidents.events import Event, utc
from oc_ops.record.incidents.incident import Incident
from oc_ops.text import age, clock, remedy


def brief(incident: Incident, now: datetime) -> Iterator[str]:
    """Three lines for a list: what it is and since when, what is wrong, what helps."""
    marks = [incident.state, f"since {clock(incident.red_since)}"]
    marks.append(f"{'lasted' if incident.state != 'red' else 'for'} {age(incident.age_s(now))}")
    marks += _standing(incident, now)
    yield f"{incident.id}  {', '.join(marks)}"
    yield f"  {incident.cause}"
    if incident.is_open:
        yield f"  fix: {remedy(incident.cause.fix)}"


def story(incident: Incident, now: datetime) -> Iterator[str]:
    """The whole incident for a reader: cause, times, who, the timeline with clock and age, the evidence."""
    cause, versions, gateway = incident.cause, incident.versions, incident.gateway
    lasted = "for" if incident.state == "red" else "after"
    yield f"{incident.id}: {incident.state} {lasted} {age(incident.age_s(now))}"
    yield f"  {cause.check}: {cause.severity}: {cause.fact}"
    yield f"  saw:     {cause.saw}"
    yield f"  fix:     {remedy(cause.fix)}"
    where = f"profile {gateway.profile or 'default'}, port {gateway.port or 'unknown'}"
    yield f"  gateway: {where}; CLI {versions.cli or 'unknown'}, gateway {versions.gateway or 'unknown'}"
    detect, recover = incident.time_to_detect_s, incident.time_to_recover_s
    yield "  time to detect: " + ("unknown" if detect is None else f"{age(detect)} after its first log signature")
    yield "  recover: " + ("not yet" if recover is None else f"{age(recover)} red until the green that held")
    if standing := _standing(incident, now):
        yield f"  status:  {', '.join(standing)}"
    yield "timeline"
    if sign := incident.first_sign:
        yield _at(sign, now, "first log signature")
    yield from (_at(each.at, now, told(each)) for each in incident.events)
    yield "evidence"
    yield from (f"  {path}{'' if _kept(path) else ' (no longer kept)'}" for path in incident.evidence)


def told(event: Event) -> str:
    """One event in words."""
    by, why = f" by {event.by}" if event.by else "", f": {event.text}" if event.text else ""
    shown = str(event.fault or "")
    words = {
        "opened": f"first red: {shown}",
        "changed": f"now {shown}",
        "seen": f"still {shown}",
        "blocked": f"out of sight behind {shown}",
        "red": f"red again before green was confirmed: {shown}",
        "green": "first green",
        "closed": f"closed{by}{why}" if event.by else "closed: green confirmed",
        "reopened": f"reopened: {shown}",
        "acknowledged": f"acknowledged{by}{why}",
        "muted": f"muted{by} until {clock(event.until) if event.until else 'unknown'}{why}",
        "unmuted": f"no longer muted{by}",
        "noted": f"note{by}{why}",
        "evidence": f"evidence kept{why}",
    }
    if attempt := event.attempt:
        return f"recovery {attempt.action}: {attempt.outcome}{why}"
    line = words.get(event.what, event.what)
    if event.versions and event.what != "opened":
        news = (("CLI", event.versions.cli), ("gateway", event.versions.gateway))
        line += "".join(f"; {name} is {release}" for name, release in news if release)
    return line


def as_json(incident: Incident, now: datetime) -> dict[str, object]:
    """Everything an incident carries, for a machine; times in UTC, durations in seconds, null for unknown."""
    cause, taken_on = incident.cause, incident.acknowledged
    muted, sign = incident.muted_until(now), incident.first_sign
    return {
        "id": incident.id,
        "state": incident.state,
        "cause": {name: getattr(cause, name) for name in ("check", "severity", "fact", "saw", "fix")},
        "subject": incident.cause.subject,
        "states": [*incident.states],
        "gateway": {name: getattr(incident.gateway, name) for name in ("key", "profile", "port")},
        "versions": {name: getattr(incident.versions, name) for name in ("cli", "gateway")},
        "first_sign_at": utc(sign) if sign else None,
        "opened_at": utc(incident.opened_at),
        "red_since": utc(incident.red_since),
        "red_s": incident.red_s(now),
        "green_at": utc(incident.green_at) if incident.green_at else None,
        "closed_at": utc(incident.closed_at) if incident.closed_at else None,
        "flaps": incident.flaps,
        "time_to_detect_s": incident.time_to_detect_s,
        "time_to_recover_s": incident.time_to_recover_s,
        "acknowledged": {"by": taken_on.by, "at": utc(taken_on.at)} if taken_on else None,
        "muted_until": utc(muted) if muted else None,
        "notes": [{"at": utc(e.at), "by": e.by, "text": e.text} for e in incident.events if e.what == "noted"],
        "attempts": [
            {"at": utc(e.at), "record": e.attempt.record, "action": e.attempt.action, "outcome": e.attempt.outcome}
            | {"reason": e.text}
            for e in incident.attempts
            if e.attempt
        ],
        "evidence": list(incident.evidence),
        "timeline": [{"at": utc(each.at), "what": each.what, "told": told(each)} for each in incident.events],
    }


def _standing(incident: Incident, now: datetime) -> list[str]:
    """Acts of people and time on it, in a few words each."""
    words = []
    if shows := incident.shows if incident.state == "red" else None:
        words += [f"now {shows.name}"] if shows.name != incident.cause.name else []
    if incident.flaps:
        words.append(f"back {incident.flaps}× after green, first red {clock(incident.opened_at)}")
    if taken_on := incident.acknowledged:
        words.append(f"acknowledged by {taken_on.by}")
    if until := incident.muted_until(now):
        words.append(f"muted until {clock(until)}")
    if tried := [each.attempt.outcome for each in incident.attempts if each.attempt]:
        words.append(f"recovery tried {len(tried)}×, last {tried[-1]}")
    return words


def _at(moment: datetime, now: datetime, text: str) -> str:
    return f"  {clock(moment)}  {age((now - moment).total_seconds()) + ' ago':>14}  {text}"


def _kept(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False
