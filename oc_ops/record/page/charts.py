"""Charts as data: shapes in a box that a template stretches, and labels that it sets beside them as text.

No charting library: none draws a heat map, takes its colours from the page (light, dark, paper) and needs no script.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

from oc_ops.text import clock

WIDTH, HEIGHT = 1000, 100
"""The box of a chart in its own units; it has no shape of its own."""
BUCKETS = 200
"""Points of a line: more could not be told apart."""

_HOUR_MS = 3_600_000
_STEPS_H = (1, 2, 3, 6, 12, 24, 48, 168, 336, 100_000)
_MOST_HOURS, _MOST_DAYS = 4, 7
"""Labels below a chart: an hour has its offset beside it, so that fewer fit on a phone."""
_LEAST_S = 0.001
_FEW = 40
"""So few measurements are drawn as dots: a line through them would be guessed."""


class Point(NamedTuple):
    """One measurement; `kind` says how it ended."""

    at_ms: int
    seconds: float
    kind: Literal["good", "bad"] = "good"


class Range(NamedTuple):
    """The time that a chart shows, in epoch milliseconds."""

    since_ms: int
    until_ms: int

    def since_first(self, first_ms: int | None) -> Range:
        """The same without the empty time before the first measurement; never less than an hour."""
        if first_ms is None:
            return self
        begin_ms = min(first_ms - (self.until_ms - first_ms) // 20, self.until_ms - _HOUR_MS)
        return Range(max(self.since_ms, begin_ms), self.until_ms)

    def x(self, at_ms: float) -> float:
        """Where a moment lies, within the box."""
        part = (at_ms - self.since_ms) / max(self.until_ms - self.since_ms, 1)
        return round(min(max(part, 0.0), 1.0) * WIDTH, 1)

    def holds(self, at_ms: int) -> bool:
        """True when the moment is shown."""
        return self.since_ms <= at_ms <= self.until_ms


class Mark(NamedTuple):
    """Something that happened, drawn behind or above the measurements: from x over a width, in a class, with words."""

    x: float
    width: float
    kind: str
    title: str


class Label(NamedTuple):
    """A word at a share (percent) of the box's width or height."""

    at: float
    text: str


class Latency(NamedTuple):
    """A latency chart; paths in the units of the box, y downwards on a logarithmic scale. `band` is top and height."""

    title: str
    told: str
    line: str
    good: str
    bad: str
    band: tuple[float, float] | None
    marks: tuple[Mark, ...]
    times: tuple[Label, ...]
    levels: tuple[Label, ...]


def _median(values: Sequence[float]) -> float:
    """Without the module statistics, whose import costs every run with an incident ten times what this does."""
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def latency(
    title: str, points: Sequence[Point], span: Range, marks: Sequence[Mark] = (), *, most_dots: int = _FEW
) -> Latency | None:
    """The chart of these measurements, or None of none: good ones as dots, above `most_dots` as a line of medians.

    The usual band holds the middle nine tenths of the good ones.
    """
    shown = [each for each in points if span.holds(each.at_ms)]
    if not shown:
        return None
    good = sorted(max(each.seconds, _LEAST_S) for each in shown if each.kind == "good")
    scale = _Scale([max(each.seconds, _LEAST_S) for each in shown])
    line = len(shown) > most_dots
    band = _band(good, scale) if len(good) >= 10 else None
    told = [f"median {seconds(_median(good))}"] if good else []
    if band:
        low, high = good[len(good) // 20], good[-1 - len(good) // 20]
        told.append(f"usually {seconds(low)} to {seconds(high)}")
    if bad := sum(each.kind == "bad" for each in shown):
        told.append(f"{bad} not in time or failed")
    return Latency(
        title,
        ", ".join(told),
        _line(shown, span, scale) if line else "",
        "" if line else _dots((each for each in shown if each.kind == "good"), span, scale),
        _dots((each for each in shown if each.kind == "bad"), span, scale),
        band,
        tuple(marks),
        times(span),
        scale.labels(),
    )


def times(span: Range) -> tuple[Label, ...]:
    """Some round moments of a range, by the clock of who looks: hours of a day or two, else days."""
    length_h = (span.until_ms - span.since_ms) / _HOUR_MS
    hours = next(each for each in _STEPS_H if length_h / each <= (_MOST_HOURS if each < 24 else _MOST_DAYS))
    since, until = (datetime.fromtimestamp(each / 1000, UTC) for each in (span.since_ms, span.until_ms))
    # By the wall's clock, so that a day is one at midnight on both sides of a change to summer time.
    wall = since.astimezone().replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    labels = []
    while (at := wall.astimezone()) < until:
        labels.append(Label(span.x(at.timestamp() * 1000) / WIDTH * 100, clock(at, "hour" if hours < 24 else "day")))
        wall += timedelta(hours=hours)
    return tuple(each for each in labels if 2 < each.at < 96)


def seconds(value: float) -> str:
    """A duration in the unit that suits it."""
    if value < 0.995:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 99.5 else f"{value / 60:.0f} min" if value < 5700 else f"{value / 3600:.1f} h"


class _Scale:
    """Seconds to y, logarithmic over whole powers of ten."""

    def __init__(self, values: Sequence[float]) -> None:
        self.low = math.floor(math.log10(min(values)))
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)

    def y(self, value: float) -> float:
        """Where it lies, from the top."""
        part = (math.log10(max(value, _LEAST_S)) - self.low) / (self.high - self.low)
        return round((1 - min(max(part, 0.0), 1.0)) * HEIGHT, 2)

    def labels(self) -> tuple[Label, ...]:
        """Each power of ten, or each other one where they are many."""
        step = 1 if self.high - self.low <= 3 else 2
        return tuple(
            Label(self.y(10.0**each), f"{10**each} s" if each >= 0 else seconds(10.0**each))
            for each in range(self.low, self.high + 1, step)
        )


def _band(good: Sequence[float], scale: _Scale) -> tuple[float, float]:
    top, bottom = scale.y(good[-1 - len(good) // 20]), scale.y(good[len(good) // 20])
    return min(top, HEIGHT - 1.0), round(max(bottom - top, 1.0), 2)


def _line(points: Iterable[Point], span: Range, scale: _Scale) -> str:
    """The median of each bucket; a bucket without one breaks the line where several in a row have none."""
    width = max((span.until_ms - span.since_ms) / BUCKETS, 1)
    buckets: dict[int, list[float]] = {}
    for each in points:
        buckets.setdefault(int((each.at_ms - span.since_ms) / width), []).append(each.seconds)
    path, last = [], -10
    for number, values in sorted(buckets.items()):
        x, y = span.x(span.since_ms + (number + 0.5) * width), scale.y(_median(values))
        path.append(f"{'L' if number - last <= 3 else 'M'}{x:g} {y:g}")
        last = number
    # A point of its own would be a line of no length, which nobody sees.
    return "".join(path) + ("h1" if len(path) == 1 else "")


def _dots(points: Iterable[Point], span: Range, scale: _Scale) -> str:
    """Lines of no length: with round ends they are dots, whatever the box is stretched to."""
    return "".join(dict.fromkeys(f"M{span.x(each.at_ms):g} {scale.y(each.seconds):g}h0" for each in points))
