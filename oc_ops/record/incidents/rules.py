"""The meaning of a run for its gateway's incidents: pure decisions, the events to append come out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from oc_ops.judge.findings import Verdict, in_state, state_of
from oc_ops.record.incidents.events import Event, Fault, GatewayName, Versions, What
from oc_ops.record.incidents.incident import PASSING, Incident

FLAP_S = 3600.0
"""The same cause within this time after its incident was closed is that incident again."""
SEEN_EVERY_S = 3600.0
"""A run that sees nothing new adds a line at most this often: 24 a day where 288 runs look."""

_OUTAGE = in_state("absent", "mute", "passing", "kept-out")
"""States between which a gateway that does not serve goes to and fro."""
_ROOTS = ("state", "config", "gateway", "cli")


class RunSummary(Struct, frozen=True):
    """The part of a run that incidents need.

    `cause`: the id of the finding that explains the others (judge.verdict.cause). `whole`: every check was planned and
    came to its end; --quick and -k left none out. `looked`: the names (as in `Fault.found_by`) of what looked and
    passed, or in a whole run was left out by a setting. `folder`: the run's, as evidence.
    """

    verdict: Verdict
    whole: bool
    gateway: GatewayName
    faults: tuple[Fault, ...] = ()
    cause: str | None = None
    looked: frozenset[str] = frozenset()
    versions: Versions = Versions()
    folder: str = ""
    first_signature_at: datetime | None = None
    interrupted: bool = False

    @property
    def errors(self) -> dict[str, Fault]:
        """The errors by name; an interrupted run's are not to be relied on, as Ctrl-C reaches what it asked."""
        return {} if self.interrupted else {each.name: each for each in self.faults if each.severity == "error"}

    @property
    def root(self) -> Fault | None:
        """The error that explains the others."""
        errors = self.errors.values()
        return next((each for each in errors if each.check == self.cause), next(iter(errors), None))


def decide(
    known: Sequence[Incident], run: RunSummary, now: datetime, flap_s: float = FLAP_S, taken: Collection[str] = ()
) -> Iterator[Event]:
    """The events that a run adds, given the incidents that are open or were closed within `flap_s` seconds.

    Each cause of the run is one incident: an open one that has it among its states, else one that it is a state of,
    else one closed within `flap_s`, else a new one, whose id is none of `taken`. An open incident that the run does
    not show is green once the checks that found it passed, in a whole run or a part of one, and closed by the second
    such run with no red between.
    """
    since = now - timedelta(seconds=flap_s)
    mine = [each for each in known if each.gateway.key == run.gateway.key and (each.closed_at or now) >= since]
    still = [each for each in mine if each.is_open]
    errors, ids, red = run.errors, set(taken), dict[str, Fault]()
    for incident in still:
        for name in incident.states:
            if name in errors:
                red[incident.id] = errors[name]
    taken_names = {name for each in still for name in each.states}
    for fault in causes(run, mine):
        if fault.name in taken_names:
            continue
        if outage := _becomes(still, fault):
            red[outage.id] = fault
        elif back := _returns(mine, fault):
            yield _event(back, "reopened", run, now, fault)
        else:
            opened = _opened(fault, run, now, ids, mine)
            ids.add(opened.id)
            yield opened
    for incident in still:
        yield from _red(incident, red[incident.id], run, now) if incident.id in red else _not_red(incident, run, now)


def causes(run: RunSummary, known: Sequence[Incident] = ()) -> tuple[Fault, ...]:
    """The errors of a run that are faults of their own, not what follows from another one.

    A cause at the root explains everything else in the run. A browser fault explains the browser's others and the log.
    A log signature is no fault of its own while an incident of `known` can have written it.
    """
    first, errors = run.root, run.errors.values()
    if first is None or _explains_all(first):
        return (first,) if first else ()
    browser = next((each for each in errors if _area(each) == "browser"), None)
    echoes = browser is not None or any(_echoes(each, run) for each in known)
    return tuple(
        each for each in errors if each is browser or not (_area(each) == "browser" or (echoes and _is_signature(each)))
    )


def _echoes(incident: Incident, run: RunSummary) -> bool:
    """True when what the log shows can stem from this incident: it lasts, or the log shows nothing younger."""
    if not (_explains_all(incident.cause) or _area(incident.cause) == "browser"):
        return False
    over = incident.green_at or incident.closed_at
    return over is None or run.first_signature_at is None or run.first_signature_at <= over


def _explains_all(fault: Fault) -> bool:
    """A finding that leaves the gateway serving explains nothing else, as in judge/findings."""
    return _area(fault) in _ROOTS and state_of(fault.check) != "serving"


def _becomes(still: Sequence[Incident], fault: Fault) -> Incident | None:
    """The open incident that this fault is a new state of: hung, down, starting and green again are one outage."""
    joined = [each for each in still if _is_state_of(fault.name, each.cause)]
    return max(joined, key=lambda each: each.turned_at, default=None)


def _is_state_of(name: str, cause: Fault) -> bool:
    if state_of(name) == "passing":
        return _explains_all(cause) and _area(cause) != "cli"
    # Down is what any outage passes through; an outage known only by a passing state takes the name of its cause.
    return name in _OUTAGE and cause.name in _OUTAGE and (name in PASSING or cause.name in PASSING)


def _returns(recent: Sequence[Incident], fault: Fault) -> Incident | None:
    """The incident that was closed a short while ago and is here again."""
    closed = [(each.closed_at, each) for each in recent if each.closed_at and fault.name in each.states]
    return max(closed, key=lambda pair: pair[0], default=(None, None))[1]


def _opened(fault: Fault, run: RunSummary, now: datetime, taken: Collection[str], mine: Sequence[Incident]) -> Event:
    # A signature from before the last recovery is that incident's, not the first sign of this one.
    ended = max((each.green_at or each.closed_at or each.opened_at for each in mine), default=None)
    sign = run.first_signature_at
    mine_too = sign is not None and sign <= now and (ended is None or sign > ended)
    return Event(
        id=new_id(fault.name, now, taken),
        at=now,
        what="opened",
        fault=fault,
        gateway=run.gateway,
        versions=run.versions,
        first_sign=sign if mine_too else None,
        evidence=run.folder,
    )


def new_id(cause: str, now: datetime, taken: Collection[str] = ()) -> str:
    """A name that sorts by time and says what it is about: `20261122-194115-gateway-hung`."""
    name = f"{now:%Y%m%d-%H%M%S}-{re.sub(r'[^a-z0-9]+', '-', cause.lower()).strip('-')[:40]}"
    number = 1
    while (tried := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return tried


def _red(incident: Incident, fault: Fault, run: RunSummary, now: datetime) -> Iterator[Event]:
    """The event that an open incident gains from a run that shows it: none, as a rule."""
    if incident.green_at:
        yield _event(incident, "red", run, now, fault)
    elif _differs(incident.shows, fault) or _learnt_sign(incident, run):
        yield replace(_event(incident, "changed", run, now, fault), first_sign=_learnt_sign(incident, run))
    elif abs(now - incident.seen_at) >= timedelta(seconds=SEEN_EVERY_S):
        yield _event(incident, "seen", run, now, fault)


def _not_red(incident: Incident, run: RunSummary, now: datetime) -> Iterator[Event]:
    """The event that an open incident gains from a run that does not show it."""
    root = run.root
    if _is_green(incident, run):
        yield _event(incident, "closed" if incident.green_at else "green", run, now)
    elif root and _explains_all(root) and _differs(incident.shows, root):
        yield _event(incident, "blocked", run, now, root)


def _is_green(incident: Incident, run: RunSummary) -> bool:
    """True when what found it looked again and found nothing; a part, a cut or a blocked look is neither.

    Nor is a look that found it still and called it a warning, as beside a cause, or found the gateway on its way up.
    """
    if run.interrupted or run.verdict == "unknown":
        return False
    root = run.root
    for warned in (each for each in run.faults if each.severity == "warning"):
        if (root and warned.name in incident.states) or _is_state_of(warned.name, incident.cause):
            return False
    if incident.found_by:
        return incident.found_by <= run.looked
    return run.whole and run.verdict in ("healthy", "degraded")


def _event(incident: Incident, what: What, run: RunSummary, now: datetime, fault: Fault | None = None) -> Event:
    known, told = incident.versions_now, run.versions
    news = Versions(
        told.cli if told.cli != known.cli else None, told.gateway if told.gateway != known.gateway else None
    )
    return Event(
        id=incident.id,
        at=now,
        what=what,
        fault=fault,
        versions=news if news != Versions() else None,
        evidence=run.folder,
    )


def _learnt_sign(incident: Incident, run: RunSummary) -> datetime | None:
    """The first sign, when it was not known as the incident opened and a later look into the log shows it."""
    sign = run.first_signature_at
    early = sign is not None and incident.first_sign is None and sign <= incident.opened_at and not incident.flaps
    return sign if early else None


def _differs(shown: Fault | None, fault: Fault) -> bool:
    """True when it is another fault, or says something else; mere numbers in a fact change with every look."""
    return shown is None or shown.name != fault.name or _shape(shown) != _shape(fault)


def _shape(fault: Fault) -> str:
    return re.sub(r"\d+(?:[.,]\d+)*", "#", fault.fact)


def _area(fault: Fault) -> str:
    return fault.check.partition("/")[0]


def _is_signature(fault: Fault) -> bool:
    # Signatures are named area.kind; logs/silent and logs/oversized are about the log itself.
    return _area(fault) == "logs" and "." in fault.check
