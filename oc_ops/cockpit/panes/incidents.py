"""The window `incidents`: what is open, who has it, what helps; then the log signatures as they fire."""

from __future__ import annotations

from rich.text import Text

from oc_ops.cockpit.panes.canvas import (
    SEVERE,
    View,
    ago,
    badge,
    head,
    joined,
    since,
    under,
    unseen,
    words,
    wrapped,
)
from oc_ops.cockpit.state import Firing, IncidentPart
from oc_ops.text import count, remedy

PARTS = ("incidents", "log")


def draw(view: View) -> list[Text]:
    """Open incidents first, the oldest at the top; then signatures."""
    lines = head("incidents", view)
    if view.reading.problem:
        return lines
    incidents, log = view.state.incidents, view.state.log
    title = count(len(incidents.open), "open incident") if incidents.open else "no open incident"
    lines += [Text(title, "bold underline"), *unseen("", incidents.seen, view.now, view.width)]
    for each in incidents.open:
        lines += _incident(each, view)
    title = "log signatures that fired" if log.signatures else "no known error signature in the log lately"
    lines += [Text(""), Text(title, "bold underline"), *unseen("", log.seen, view.now, view.width)]
    for firing in log.signatures:
        lines += _firing(firing, view)
    return lines


def gist(view: View) -> object:
    """An incident that opened, changed or closed; a signature that fired."""
    return (
        view.reading.stale,
        [(each.id, each.state, each.acknowledged_by) for each in view.state.incidents.open],
        [(each.id, each.count >= each.threshold) for each in view.state.log.signatures],
    )


def _incident(incident: IncidentPart, view: View) -> list[Text]:
    now, width = view.now, view.width
    first = joined(
        badge(incident.severity or "error", SEVERE[incident.severity or "error"]),
        words(incident.check, "bold", 60),
        joined(
            incident.state,
            since(incident.since, now),
            f"seen {ago(incident.last_seen_at, now)}" if incident.last_seen_at else "",
        ),
        by=" ",
    )
    standing = joined(
        words(f"acknowledged by {incident.acknowledged_by}", most=60)
        if incident.acknowledged_by
        else Text("not acknowledged"),
        f"came back {incident.flaps}×" if incident.flaps else "",
        f"{incident.attempts} recovery attempts" if incident.attempts else "",
        words(incident.id, most=60),
    )
    return [
        *_hanging(first, width),
        *under(words(incident.fact), width, 2),
        *under(joined(Text("first aid", "bold"), words(remedy(incident.fix)), by=" "), width, 2),
        *under(standing, width, 1),
    ]


def _hanging(text: Text, width: int) -> list[Text]:
    """Two lines, the second below the words behind the badge."""
    first, *rest = wrapped(text, width, 2)
    return [first, *(Text(" " * 9) + each for each in rest)]


def _firing(firing: Firing, view: View) -> list[Text]:
    enough = firing.count >= firing.threshold
    first = joined(
        badge(firing.severity or "info", SEVERE[firing.severity] if enough else "unknown"),
        words(firing.id, "bold", 60),
        joined(
            f"{firing.count}×" + ("" if enough else f" of the {firing.threshold} that count"),
            f"last {ago(firing.last_at, view.now)}" if firing.last_at else "",
        ),
        by=" ",
    )
    aid = joined(
        Text("first aid", "bold"),
        words(firing.fix),
        words(f"(restart: {firing.restart})", most=40) if firing.restart else None,
        by=" ",
    )
    width = view.width
    return [
        *wrapped(first, width, 1),
        *under(words(firing.fact), width, 1),
        *under(aid, width, 2),
        *under(words(firing.excerpt, most=300), width, 1),
    ]
