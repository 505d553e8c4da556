"""`reports/index.html`: since when, how often, is it getting worse; one file that needs no network and no script."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Literal

from msgspec import Struct

from oc_ops.record import folder
from oc_ops.record.history.database import reading
from oc_ops.record.history.entry import IncidentEntry
from oc_ops.record.history.query import DAY_MS, HOUR_MS, GatewayRow, History, RunRow
from oc_ops.record.history.write import OUTCOMES
from oc_ops.record.incidents import book as incidents_book
from oc_ops.record.incidents.incident import Incident
from oc_ops.record.journal import JournalError
from oc_ops.record.page import charts, html
from oc_ops.record.page.charts import Mark, Point, Range
from oc_ops.record.page.report import templates
from oc_ops.record.redact import Redactor
from oc_ops.record.run import CheckOutcome
from oc_ops.text import age, clock, file_stamp, utc_day

INDEX_HTML = "index.html"
_GATEWAY_CALLS = ("http /healthz", "rpc status", "cli gateway call status")
_WORST: tuple[CheckOutcome, ...] = ("failed", "error", "blocked", "passed", "skipped")
_WORDS = {"error": "could not look"}
_HEAT_HOURS, _HEAT_DAYS, _CHART_DAYS = 48, 90, 14
_LASTS_MS, _TOLD_LATE_MS = 300_000, 60_000
"""A restart is told of up to so long before its process is there, and after it (as in history/starts)."""
_MOST_JOBS, _MOST_ROWS, _MOST_DOTS = 8, 30, 400


class Cell(Struct, frozen=True):
    """One step of a heat map's row: its place, the worst that was seen, whether it passed too, words, a report."""

    x: int
    kind: CheckOutcome
    also_passed: bool
    title: str
    link: str = ""


class Heat(Struct, frozen=True):
    """A heat map: its rows by check, how many steps wide, and the times below it."""

    steps: int
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    times: tuple[charts.Label, ...]
    marks: tuple[Mark, ...]


class Day(Struct, frozen=True):
    """One day's runs: the share that was green, red and without a verdict, in percent."""

    x: int
    green: float
    red: float
    unknown: float
    title: str


def write(report_dir: Path, memory_dir: Path, redactor: Redactor, key: str = "", now_ms: int | None = None) -> Path:
    """Draw the page of a gateway (by its key; the one that was looked at last) and return its place.

    Raises HistoryError for a history that cannot be read, OSError for a place that cannot be written.
    """
    now_ms = now_ms or round(time.time() * 1000)
    with reading(memory_dir) as connection:
        history = History(connection) if connection is not None else None
        known = history.gateways() if history else ()
        gateway = next((each for each in known if key in ("", each.key)), None)
        html = _Page(report_dir, memory_dir, redactor, now_ms).html(history, gateway)
    folder.write(report_dir / INDEX_HTML, html)
    return report_dir / INDEX_HTML


class _Page:
    """The page of one gateway."""

    def __init__(self, report_dir: Path, memory_dir: Path, redactor: Redactor, now_ms: int) -> None:
        self.memory_dir, self.redactor, self.now_ms = memory_dir, redactor, now_ms
        try:
            self.kept = frozenset(os.listdir(report_dir / "runs"))  # noqa: PTH208 -- names are all that is needed
        except OSError:
            self.kept = frozenset()

    def html(self, history: History | None, gateway: GatewayRow | None) -> str:
        """All of it; a page that says so where there is nothing to show."""
        last = history.last_run(gateway.id) if history and gateway else None
        parts: dict[str, object] = {"now": _clock(self.now_ms), "last": last, "gateway": gateway, "link": self.link}
        if history and gateway and last:
            parts |= self._parts(history, gateway, last)
        body = templates(self.redactor).get_template("index.jinja2").render(parts)
        title = f"{last.verdict if last else 'no runs yet'} · oc-ops trends"
        return html.standalone(title, body, "index.css")

    def link(self, stamp: str) -> str:
        """The report of a run, where it is still kept."""
        return f"runs/{stamp}/{folder.REPORT_HTML}" if stamp in self.kept else ""

    def _parts(self, history: History, gateway: GatewayRow, last: RunRow) -> dict[str, object]:
        now, id_ = self.now_ms, gateway.id
        still = self._open_incidents(gateway)
        lasting = history.incidents(id_, now - _HEAT_DAYS * DAY_MS)
        restarts = history.restarts(id_, now - _HEAT_DAYS * DAY_MS)
        days = history.days(id_, now - _HEAT_DAYS * DAY_MS)
        fortnight = Range(now - _CHART_DAYS * DAY_MS, now).since_first(history.first_run_ms(id_))
        marks = tuple(_marks(lasting, restarts, fortnight))
        red = history.not_green(id_, now - _HEAT_DAYS * DAY_MS, _MOST_ROWS)
        return {
            "incident": next((each for each in still.values() if each.state == "red"), None),
            "incident_lasts": self._lasts(still),
            "healthy_since": self._healthy_since(history, id_, red, last),
            "figures": tuple(self._figures(history, id_, lasting, restarts, last)),
            "hours": self._heat(history, id_, 1, lasting, restarts),
            "days": self._heat(history, id_, 24, lasting, restarts),
            "availability": tuple(_days(days, now)),
            "availability_times": charts.times(Range(now - _HEAT_DAYS * DAY_MS, now)),
            "gateway_charts": tuple(self._gateway_charts(history, id_, fortnight, marks)),
            "job_charts": tuple(self._job_charts(history, id_, fortnight, marks)),
            "incidents": tuple(self._rows_of_incidents(lasting, self._lasts(still))),
            "restarts": tuple((_clock(at), by) for at, by in reversed(restarts[-_MOST_ROWS:])),
            "red": tuple((_clock(each.at_ms), each, self.link(each.stamp)) for each in red),
        }

    def _open_incidents(self, gateway: GatewayRow) -> dict[str, Incident]:
        """Open incidents in their own words, by id; a book that cannot be read has none to show."""
        try:
            book = incidents_book.journal(self.memory_dir)
            found = incidents_book.open_incidents(book, _moment(self.now_ms), gateway.key)
        except JournalError:
            return {}
        return {each.id: each for each in found}

    def _lasts(self, still: Mapping[str, Incident]) -> dict[str, str]:
        """How long each open incident has been red in its present stretch, or that it is green once."""
        now = _moment(self.now_ms)
        words = {"red": "red for", "green once": "green once, was red for"}
        return {name: f"{words[each.state]} {age(each.age_s(now))}" for name, each in still.items()}

    def _healthy_since(self, history: History, gateway: int, red: Sequence[RunRow], last: RunRow) -> str:
        """For how long no run was red; nothing while one is."""
        if last.verdict not in ("healthy", "degraded"):
            return ""
        first = red[0].at_ms if red else history.first_run_ms(gateway) or last.at_ms
        return age((self.now_ms - first) / 1000)

    def _figures(
        self,
        history: History,
        gateway: int,
        lasting: Sequence[IncidentEntry],
        restarts: Sequence[tuple[int, str]],
        last: RunRow,
    ) -> Iterator[tuple[str, str]]:
        first_ms = history.first_run_ms(gateway) or self.now_ms
        for days, name in ((1, "24 hours"), (7, "7 days"), (30, "30 days"), (90, "90 days")):
            since_ms = self.now_ms - days * DAY_MS
            counts: dict[str, int] = {}
            for verdicts in history.days(gateway, since_ms).values():
                for verdict, number in verdicts.items():
                    counts[verdict] = counts.get(verdict, 0) + number
            runs = sum(counts.values())
            green = f"{_percent(_green(counts), runs)} of {runs:,} run{'s' * (runs != 1)}"
            if first_ms > since_ms:  # no longer span tells more
                yield f"green, since {_clock(first_ms)}", green
                break
            yield f"green, {name}", green
        starts = sorted({*(at for at, _ in restarts), *_start_seen(last, restarts)})
        first_ms = min(first_ms, *starts[:1], self.now_ms)
        for days, name in ((1, "24 hours"), (7, "7 days")):
            since_ms = self.now_ms - days * DAY_MS
            count = str(sum(at >= since_ms for at in starts))
            if first_ms > since_ms:
                yield f"starts, since {_clock(first_ms)}", count
                break
            yield f"starts, {name}", count
        month = [each for each in lasting if each.opened_ms >= self.now_ms - 30 * DAY_MS]
        yield "incidents, 30 days", str(len(month))
        if took := [each.recover_s for each in month if each.recover_s is not None]:
            yield "median to recover", age(median(took))

    def _heat(
        self,
        history: History,
        gateway: int,
        hours: Literal[1, 24],
        lasting: Sequence[IncidentEntry],
        restarts: Sequence[tuple[int, str]],
    ) -> Heat:
        steps = _HEAT_HOURS if hours == 1 else _HEAT_DAYS
        step_ms = hours * HOUR_MS
        first = (self.now_ms // step_ms - steps + 1) * step_ms
        found, culprits = history.heat(gateway, first, hours), history.culprits(gateway, first, hours)
        rows = []
        for check in sorted(found):
            cells = (
                _cell((at - first) // step_ms, check, at, counts, hours, self.link(culprits.get((check, at), "")))
                for at, counts in sorted(found[check].items())
            )
            rows.append((check, tuple(cells)))
        shown = Range(first, first + steps * step_ms)
        return Heat(steps, tuple(rows), charts.times(shown), tuple(_marks(lasting, restarts, shown)))

    def _gateway_charts(
        self, history: History, gateway: int, shown: Range, marks: Sequence[Mark]
    ) -> Iterator[charts.Latency]:
        for name in _GATEWAY_CALLS:
            seen = history.calls(gateway, name, shown.since_ms)
            points = [Point(each.at_ms, each.wall_s, "good" if each.answered else "bad") for each in seen]
            if chart := charts.latency(name, points, shown, marks):
                yield chart

    def _job_charts(
        self, history: History, gateway: int, shown: Range, marks: Sequence[Mark]
    ) -> Iterator[charts.Latency]:
        """The watched jobs; where none is watched, the few that were seen last."""
        jobs = history.jobs(gateway, shown.since_ms, _MOST_JOBS)
        for job in [each for each in jobs if each.watched] or jobs:
            seen = history.job_runs(job.id, shown.since_ms)
            points = [
                Point(each.started_ms, each.duration_s, "good" if each.status == "ok" else "bad")
                for each in seen
                if each.duration_s is not None
            ]
            if chart := charts.latency(job.name, points, shown, marks, most_dots=_MOST_DOTS):
                yield chart

    def _rows_of_incidents(
        self, lasting: Sequence[IncidentEntry], still: Mapping[str, str]
    ) -> Iterator[tuple[str, IncidentEntry, str, str]]:
        """When, which, how long, and the report of its first run; of an open one its present stretch."""
        for each in list(reversed(lasting))[:_MOST_ROWS]:
            ended = each.green_ms or each.closed_ms
            took = age(_red_s(each, ended or self.now_ms))
            stamp = file_stamp(_moment(each.opened_ms))
            lasts = still.get(each.id) or (took if ended else f"open for {took}")
            yield _clock(each.opened_ms), each, lasts, self.link(stamp)


def _cell(x: int, check: str, at_ms: int, counts: Sequence[int], hours: int, link: str) -> Cell:
    seen = dict(zip(OUTCOMES, counts, strict=True))
    kind: CheckOutcome = next((each for each in _WORST if seen[each]), "skipped")
    told = ", ".join(f"{seen[each]} {_WORDS.get(each, each)}" for each in _WORST if seen[each])
    when = clock(_moment(at_ms), "short") if hours == 1 else utc_day(_moment(at_ms))
    return Cell(x, kind, seen["passed"] > 0, f"{check}, {when}: {told}", link)


def _marks(lasting: Sequence[IncidentEntry], restarts: Sequence[tuple[int, str]], shown: Range) -> Iterator[Mark]:
    """Incidents as spans, restarts as strokes."""
    for each in lasting:
        ended = each.green_ms or each.closed_ms or shown.until_ms
        if ended >= shown.since_ms and each.opened_ms <= shown.until_ms:
            x = shown.x(each.opened_ms)
            words = f"{each.cause}, {_clock(each.opened_ms)}, {age(_red_s(each, ended))}"
            yield Mark(x, max(shown.x(ended) - x, 2.0), "incident", words)
    for at_ms, by in restarts:
        if shown.holds(at_ms):
            yield Mark(shown.x(at_ms), 0.0, "restart", f"started ({by}), {_clock(at_ms)}")


def _red_s(each: IncidentEntry, until_ms: int) -> float:
    """How long it was red: without what was green between, as far as the history tells."""
    return (until_ms - each.opened_ms) / 1000 if each.recover_s is None else each.recover_s


def _start_seen(last: RunRow, restarts: Sequence[tuple[int, str]]) -> tuple[int, ...]:
    """The start of the gateway that the last run saw, where none on record is it: the first run tells of no restart."""
    began = last.serving_ms or last.started_ms
    known = began is None or any(began - _LASTS_MS <= at <= began + _TOLD_LATE_MS for at, _ in restarts)
    return () if began is None or known else (began,)


def _days(days: Mapping[int, Mapping[str, int]], now_ms: int) -> Iterator[Day]:
    first = (now_ms // DAY_MS - _HEAT_DAYS + 1) * DAY_MS
    for at_ms, counts in sorted(days.items()):
        total = sum(counts.values())
        if at_ms >= first and total:
            green, red = _green(counts) * 100 / total, counts.get("unhealthy", 0) * 100 / total
            when = utc_day(_moment(at_ms), year=True)
            title = f"{when}: {_percent(_green(counts), total)} of {total} runs were green"
            yield Day((at_ms - first) // DAY_MS, round(green, 2), round(red, 2), round(100 - green - red, 2), title)


def _green(counts: Mapping[str, int]) -> int:
    return counts.get("healthy", 0) + counts.get("degraded", 0)


def _percent(part: int, total: int) -> str:
    """Never rounded up to a whole hundred."""
    if not total:
        return "–"
    return "100 %" if part == total else f"{min(part * 100 / total, 99.99):.2f} %"


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _clock(at_ms: int) -> str:
    return clock(_moment(at_ms), "minute")
