"""The book of incidents, `memory/incidents.jsonl`: what runs, recovery and people write into it and read from it."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from oc_ops.errors import OcOpsError
from oc_ops.record.incidents.events import Attempt, Event, Fault, GatewayName, Versions, utc
from oc_ops.record.incidents.incident import Incident, fold
from oc_ops.record.incidents.rules import FLAP_S, RunSummary, decide
from oc_ops.record.journal import Journal, parsed
from oc_ops.record.redact import Json, Redactor
from oc_ops.record.run import SPARED, WARNED, CheckRecord, RunRecord
from oc_ops.settings import Settings
from oc_ops.text import age, clock, one_line, regex

FILE = "incidents.jsonl"
_LEAD = regex(rb'\{"v":1,"id":"([^"\\]+)","at":"([^"\\]+)","what":"(\w+)"')
"""How a line that we wrote begins: enough to leave incidents long closed aside without parsing them."""


class IncidentBook(Struct, frozen=True):
    """The book as it was read: incidents by id as they were opened, every id ever given, lines that were no events."""

    incidents: Mapping[str, Incident]
    ids: frozenset[str]
    skipped: int

    @property
    def open(self) -> tuple[Incident, ...]:
        """Those that are not closed."""
        return tuple(each for each in self.incidents.values() if each.is_open)


class IncidentUpdate(Struct, frozen=True):
    """The changes by a run. `incident` is the one to name beside the verdict; `changed` what happened to which."""

    incident: Incident | None
    changed: tuple[Event, ...]
    open: tuple[Incident, ...]
    skipped: int

    @property
    def what(self) -> str:
        """The run's effect on that incident: `opened`, `changed`, `green`, `closed`, …; `lasts` when nothing."""
        done = [each.what for each in self.changed if self.incident and each.id == self.incident.id]
        return done[-1] if done else "lasts"

    def sentence(self, now: datetime) -> str:
        """One sentence for the terminal and the page; empty when there is nothing to say."""
        incident = self.incident
        if incident is None:
            return ""
        lasted = age(incident.age_s(now))
        words = {
            "opened": "opened by this run",
            "green": f"green once after {lasted}; the next green run closes it",
            "closed": f"closed after {lasted}",
            "reopened": "reopened",
        }
        since = f"since {clock(incident.red_since)} ({lasted})"
        line = f"incident {incident.id}, {words.get(self.what, since)}"
        if incident.state == "red" and incident.flaps:
            first = age((now - incident.opened_at).total_seconds())
            line += f", {incident.flaps}× back after green, first red {first} ago"
        if taken_on := incident.acknowledged:
            line += f"; acknowledged by {taken_on.by}"
        others = sum(each.id != incident.id for each in self.open)
        return one_line(f"{line}; {others} more open" if others else line)

    def as_json(self) -> Mapping[str, Json] | None:
        """For report.json: `incident`, null when there is none."""
        incident = self.incident
        if incident is None:
            return None
        return {
            "id": incident.id,
            "cause": incident.cause.check,
            "state": incident.state,
            "since": utc(incident.opened_at),
            "red_since": utc(incident.red_since),
            "this_run": self.what,
            "flaps": incident.flaps,
            "time_to_detect_s": incident.time_to_detect_s,
            "time_to_recover_s": incident.time_to_recover_s,
            "open": [each.id for each in self.open],
        }


class UnknownIncident(OcOpsError):
    """No incident, or more than one, goes by what was given."""


def journal(memory_dir: Path) -> Journal:
    """The book of this memory directory; touches nothing yet."""
    return Journal(memory_dir / FILE)


def read(book: Journal, settled_before: datetime | None = None) -> IncidentBook:
    """Read the incidents; those closed before `settled_before` only lend their ids. Raises JournalError.

    Takes no lock: a line that somebody is just writing counts as skipped.
    """
    seen = _Seen(book)
    before = utc(settled_before) if settled_before else ""
    settled = {name for name, at in seen.closed.items() if at < before}
    return _told(seen, [name for name in seen.stories if name not in settled])


def read_one(book: Journal, name: str) -> IncidentBook:
    """Read nothing but the incident that goes by `name` (see `called`); raises JournalError and UnknownIncident."""
    seen = _Seen(book)
    return _told(seen, [called(name, list(seen.stories), seen.last)])


class _Seen:
    """The lines of a book by incident, hardly looked at: 100,000 of them are sorted in the time a few are parsed."""

    def __init__(self, book: Journal) -> None:
        self.stories: dict[str, list[bytes]] = {}
        self.closed: dict[str, str] = {}
        """When each closed incident was closed."""
        self.last = ""
        """The incident that was opened or reopened last."""
        self.skipped = 0
        for line in book.lines():
            if lead := _lead(line):
                self._add(line, *lead)
            else:
                self.skipped += bool(line.strip())

    def _add(self, line: bytes, name: str, at: str, what: str) -> None:
        if what in ("opened", "reopened"):
            self.last = name
            self.closed.pop(name, None)
        elif what == "closed":
            self.closed[name] = at
        if name in self.stories or what == "opened":
            self.stories.setdefault(name, []).append(line)


def _lead(line: bytes) -> tuple[str, str, str] | None:
    """Incident, time and kind of an event; of a line that somebody else wrote as far as it is an event."""
    if lead := _LEAD.match(line):
        name, at, what = lead.groups()
        return name.decode("utf-8", "replace"), at.decode("ascii", "replace"), what.decode("ascii")
    record = parsed(line)
    event = Event.parse(record) if record is not None else None
    return (event.id, utc(event.at), event.what) if event else None


def _told(seen: _Seen, names: Iterable[str]) -> IncidentBook:
    events: list[Event] = []
    skipped = seen.skipped
    for line in itertools.chain.from_iterable(seen.stories[name] for name in names):
        record = parsed(line)
        event = Event.parse(record) if record is not None else None
        if event:
            events.append(event)
        else:
            skipped += 1
    return IncidentBook(fold(events), frozenset(seen.stories), skipped)


def observe_run(book: Journal, run: RunSummary, now: datetime, flap_s: float = FLAP_S) -> IncidentUpdate:
    """Write down what a run means for the incidents of its gateway; it is on the disk when this returns.

    A run that sees what the last one saw writes nothing and takes no lock. Raises JournalError when the book cannot be
    read or written: the verdict does not depend on it.
    """
    told, events = _decided(book, run, now, flap_s)
    if events:
        with book.writing() as append:
            # Decided anew: another run may have written since.
            told, events = _decided(book, run, now, flap_s)
            for each in events:
                append(each.as_json())
    before = [event for incident in told.incidents.values() for event in incident.events]
    mine = [each for each in fold([*before, *events]).values() if each.gateway.key == run.gateway.key]
    return IncidentUpdate(_named(mine, run, events), events, tuple(each for each in mine if each.is_open), told.skipped)


def _decided(book: Journal, run: RunSummary, now: datetime, flap_s: float) -> tuple[IncidentBook, tuple[Event, ...]]:
    told = read(book, now - timedelta(seconds=flap_s))
    return told, tuple(decide(list(told.incidents.values()), run, now, flap_s, told.ids))


def _named(mine: Sequence[Incident], run: RunSummary, events: Sequence[Event]) -> Incident | None:
    """The incident that speaks for the run: what its cause belongs to, else what it closed, else what lasts longest."""
    still = [each for each in mine if each.is_open]
    if run.root:
        shown = [each for each in still if run.root.name in each.states]
        return next(iter((*shown, *still)), None)
    closed = {each.id for each in events if each.what == "closed"}
    return next(iter((*still, *(each for each in mine if each.id in closed))), None)


def open_incidents(book: Journal, now: datetime, gateway: str | None = None) -> tuple[Incident, ...]:
    """The open incidents, of one gateway key or of all; raises JournalError."""
    return tuple(each for each in read(book, now).open if gateway in (None, each.gateway.key))


def record_attempt(book: Journal, incident_id: str, attempt: Attempt, now: datetime, *, reason: str = "") -> Incident:
    """Add a recovery attempt, or its next word: `begun` before the first act, then what came of it.

    Lines of one attempt share `attempt.record`; the last one counts. Raises JournalError, and UnknownIncident for an id
    that is not in the book.
    """
    return tell(book, incident_id, Event("", now, "attempt", attempt=attempt, text=reason, by="oc-ops recover"))


def record_evidence(book: Journal, incident_id: str, path: str, now: datetime, *, text: str = "") -> Incident:
    """Add a path worth keeping, such as a log tail or a store snapshot; raises as `record_attempt` does."""
    return tell(book, incident_id, Event("", now, "evidence", evidence=path, text=text))


def tell(book: Journal, name: str, event: Event, *, closed_too: bool = True) -> Incident:
    """Add an event to the incident that goes by `name` (see `called`) and return it as it is then.

    Raises JournalError when that cannot be written, UnknownIncident when the name is nobody's or not only one's, and
    OcOpsError for a closed one unless `closed_too`.
    """
    with book.writing() as append:
        (incident,) = read_one(book, name).incidents.values()
        if incident.closed_at and not closed_too:
            raise OcOpsError(f"incident {one_line(incident.id)} was closed at {utc(incident.closed_at)} already")
        event = replace(event, id=incident.id)
        append(event.as_json())
    return Incident(incident.id, (*incident.events, event))


def called(name: str, ids: Sequence[str], last: str) -> str:
    """The id that is meant: one of `ids`, the unique beginning of one, or `last`.

    Raises UnknownIncident naming those that come near.
    """
    if name in ids:
        return name
    if not ids:
        raise UnknownIncident(f"incident {one_line(name)}: no incident is on record")
    if name == "last":
        return last
    begun = [each for each in ids if name and each.startswith(name)]
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise UnknownIncident(f"incident {one_line(name)}: {len(begun)} begin so: {_some(begun)}")
    near = difflib.get_close_matches(name, ids[-1000:], n=3, cutoff=0.4) or ids[-3:]
    raise UnknownIncident(f"incident {one_line(name)}: no such id; nearest: {_some(near)}")


def _some(names: Sequence[str]) -> str:
    return one_line(", ".join(names[-3:]) + (", …" if len(names) > 3 else ""))


def tried(book: Journal, key: str, now: datetime) -> dict[str, tuple[datetime, str]]:
    """Recovery's attempts without success at each open red cause of a gateway: by its id, when and by which command.

    An attempt that a green look followed has helped for a time, and is not told. Raises JournalError.
    """
    found: dict[str, tuple[datetime, str]] = {}
    for incident in open_incidents(book, now, key):
        for event in incident.events:
            checks = [each.check for each in incident.states.values()]
            attempt = event.attempt
            if event.what in ("green", "closed") or (attempt and attempt.outcome in ("recovered", "refused")):
                for check in checks:
                    found.pop(check, None)
            elif attempt:
                for check in checks:
                    found.setdefault(check, (event.at, attempt.action))
    return found


def note(record: RunRecord, settings: Settings, redactor: Redactor, folder: Path) -> IncidentUpdate:
    """Open, change or close what this run speaks of; raises JournalError when the book cannot be read or written.

    `folder` is the run's, for the incident to name.
    """
    book = journal(settings.memory_dir)
    summary = _summary(record, redactor.line(str(folder)))
    return observe_run(book, summary, record.started_at, settings.incident_flap_s)


def _summary(record: RunRecord, folder: str) -> RunSummary:
    about, scope, observed = record.openclaw, record.scope, record.observed
    return RunSummary(
        verdict=record.verdict,
        whole=record.whole,
        gateway=GatewayName(scope.key, about.profile, about.port),
        faults=tuple(
            Fault.of(each, each.subject, observed.found_by.get((each.check, each.subject), ""))
            for each in record.findings
        ),
        cause=record.cause,
        looked=frozenset(each.nodeid for each in record.checks if _looked(each, whole=record.whole)),
        versions=Versions(about.cli_version, about.gateway_version),
        folder=folder,
        first_signature_at=observed.first_signature_at,
        interrupted=scope.interrupted,
    )


def _looked(check: CheckRecord, *, whole: bool) -> bool:
    """True if it passed, or was left out by a setting of a whole run; one that was kept away or spared has not."""
    unasked = check.note.startswith((WARNED, SPARED))
    return check.outcome == "passed" or (whole and check.outcome == "skipped" and not unasked)
