"""Context of a failing run: since when it was green, what changed since then, what happened, how slow it became."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from oc_ops.record.history.query import HOUR_MS, History, RunRow
from oc_ops.record.incidents.incident import Incident
from oc_ops.record.incidents.text import told
from oc_ops.record.page import charts
from oc_ops.record.page.charts import Latency, Mark, Point, Range
from oc_ops.record.run import Around, Change
from oc_ops.text import clock

_BEFORE_MS = 6 * HOUR_MS
"""How much of what was before the incident the chart shows."""
_CHARTED = ("rpc status", "http /healthz")
_SAME_START_MS = 10_000
_MOST_STEPS = 60


def around(history: History, key: str, at_ms: int, incident: Incident) -> tuple[Around, Latency | None]:
    """The surroundings of the run that began at `at_ms`, and the chart of the gateway's answers."""
    gateway = next((each for each in history.gateways() if each.key == key), None)
    if gateway is None:
        return Around(timeline=tuple(timeline(incident))), None
    now = history.last_run(gateway.id)
    opened_ms = round(incident.opened_at.timestamp() * 1000)
    green = history.last_green(gateway.id, min(at_ms, opened_ms))
    changes = tuple(_changes(green, now)) if green and now else ()
    green_at = datetime.fromtimestamp(green.at_ms / 1000, UTC) if green else None
    return Around(green_at, changes, tuple(timeline(incident))), _chart(history, gateway.id, at_ms, incident)


def _changes(green: RunRow, now: RunRow) -> Iterator[Change]:
    """Values that both runs knew and knew otherwise; one that a run could not learn is no change."""
    before, after = green.state, now.state
    for what in ("gateway", "CLI", "config"):
        if what in before and what in after and before[what] != after[what]:
            yield Change({"config": "config (digest)"}.get(what, what), before[what], after[what])
    if "jobs" in before and "jobs" in after:
        yield from _changed_jobs(before, after)
    if _later(green.started_ms, now.started_ms):
        yield Change("gateway's process", _born(green), _born(now))
    elif _later(green.serving_ms, now.serving_ms):
        yield Change("gateway", _serving(green), _serving(now))


def _changed_jobs(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    names = sorted(each for each in {*before, *after} if each.startswith("job "))
    for name in names:
        if before.get(name) != after.get(name):
            yield Change(f"cron {name}", before.get(name, "not there"), after.get(name, "not there"))


def _later(before_ms: int | None, now_ms: int | None) -> bool:
    return before_ms is not None and now_ms is not None and now_ms > before_ms + _SAME_START_MS


def _serving(run: RunRow) -> str:
    return f"serving since {clock(datetime.fromtimestamp((run.serving_ms or 0) / 1000, UTC))}"


def _born(run: RunRow) -> str:
    began = datetime.fromtimestamp((run.started_ms or 0) / 1000, UTC)
    return f"pid {run.pid}, began {clock(began)}"


def timeline(incident: Incident) -> Iterator[tuple[datetime, str]]:
    """First signature, first red, attempts, green; of a long story its beginning and its end."""
    if sign := incident.first_sign:
        yield sign, "first log signature"
    events = incident.events
    if len(events) > _MOST_STEPS:
        events = (*events[: _MOST_STEPS // 2], *events[-_MOST_STEPS // 2 :])
    yield from ((each.at, told(each)) for each in events)


def _chart(history: History, gateway: int, at_ms: int, incident: Incident) -> Latency | None:
    """The answers from some hours before the incident until now: the RPC read, or the probe where it shows more."""
    began = incident.first_sign or incident.opened_at
    opened_ms = round(began.timestamp() * 1000)
    shown = Range(min(opened_ms, at_ms) - _BEFORE_MS, at_ms + 60_000).since_first(history.first_run_ms(gateway))
    marks = [Mark(shown.x(opened_ms), max(shown.x(at_ms) - shown.x(opened_ms), 2.0), "incident", incident.id)]
    marks += [
        Mark(shown.x(at), 0.0, "restart", f"started ({by})") for at, by in history.restarts(gateway, shown.since_ms)
    ]
    points = {
        name: [
            Point(each.at_ms, each.wall_s, "good" if each.answered else "bad")
            for each in history.calls(gateway, name, shown.since_ms)
        ]
        for name in _CHARTED
    }
    # A gateway that hangs is not asked over RPC any more: then the probe is what shows it.
    name = next((each for each in _CHARTED if any(one.kind == "bad" for one in points[each])), _CHARTED[0])
    name = name if points[name] else _CHARTED[-1]
    return charts.latency(name, points[name], shown, marks)
