"""The charts' shapes: where things lie, what is usual, and that odd figures draw nothing odd."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oc_ops.record.page import charts
from oc_ops.record.page.charts import HEIGHT, WIDTH, Point, Range, latency, seconds, times

HOUR = 3_600_000
DAY = Range(0, 24 * HOUR)


def points(*values: float, kind: str = "good") -> list[Point]:
    """Measurements a minute apart, from the first hour on."""
    return [Point(HOUR + n * 60_000, value, kind) for n, value in enumerate(values)]  # type: ignore[arg-type]


def test_nothing_measured_is_no_chart() -> None:
    """Neither of nothing at all nor of what lies outside the range."""
    assert latency("x", [], DAY) is None
    assert latency("x", points(1.0), Range(5 * HOUR, 6 * HOUR)) is None


def test_few_are_dots_and_many_a_line() -> None:
    """A line through three points would be guessed; the bad ones are always dots."""
    few, many = latency("x", points(1, 2, 3), DAY), latency("x", points(*[1.0] * 100), DAY)
    assert few
    assert many
    assert (few.line, few.good.count("M")) == ("", 3)
    assert (bool(many.line), many.good) == (True, "")
    bad = latency("x", [*points(*[1.0] * 100), *points(2.0, kind="bad")], DAY)
    assert bad
    assert bad.bad.count("M") == 1


def test_the_usual_band_holds_the_middle_nine_tenths() -> None:
    """One slow answer in a hundred does not widen it; of fewer than ten there is none; bad ones do not count."""
    chart = latency("x", [*points(*[0.1] * 99, 9.0), *points(*[2.0] * 50, kind="bad")], DAY)
    assert chart
    assert chart.told == "median 100 ms, usually 100 ms to 100 ms, 50 not in time or failed"
    assert chart.band == (HEIGHT - 1, 1), "a band of one value can be seen"
    assert (few := latency("x", points(1, 2, 3), DAY))
    assert few.band is None


def test_the_scale_is_of_whole_powers_of_ten() -> None:
    """Its labels stand at both ends, and the smallest answers are not drawn below a millisecond."""
    chart = latency("x", points(0.00001, 2.0), DAY)
    assert chart
    assert [each.text for each in chart.levels] == ["1 ms", "100 ms", "10 s"]
    assert [each.at for each in chart.levels] == [100, 50, 0]


def test_a_gap_breaks_the_line() -> None:
    """Where nothing was measured for hours, nothing is drawn."""
    early = points(*[1.0] * 50)
    late = [Point(each.at_ms + 12 * HOUR, each.seconds) for each in early]
    chart = latency("x", [*early, *late], DAY)
    assert chart
    assert chart.line.count("M") == 2


def test_empty_time_is_cut_off() -> None:
    """A chart begins with its first measurement, and shows an hour at least."""
    assert DAY.since_first(None) == DAY
    assert DAY.since_first(-HOUR) == DAY
    assert DAY.since_first(24 * HOUR - 1000).since_ms == 23 * HOUR
    assert DAY.since_first(14 * HOUR).since_ms == 13.5 * HOUR


@pytest.mark.parametrize(
    ("hours", "first"), [(6, "02:00 UTC"), (48, "12:00 UTC"), (14 * 24, "03 Jan"), (90 * 24, "15 Jan")]
)
def test_times_are_round(hours: int, first: str) -> None:
    """A handful of round moments, none at the very edge."""
    found = times(Range(0, hours * HOUR))
    assert found[0].text == first
    assert 2 <= len(found) <= 7
    assert all(2 < each.at < 96 for each in found)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.003, "3 ms"), (0.994, "994 ms"), (0.999, "1.0 s"), (45.2, "45.2 s"), (300, "5 min"), (7200, "2.0 h")],
)
def test_durations_read_well(value: float, shown: str) -> None:
    """Each in the unit that suits it."""
    assert seconds(value) == shown


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.integers(-(10**15), 10**15), st.floats(0, 1e9), st.sampled_from(["good", "bad"])), max_size=60
    ),
    st.integers(0, 10**14),
    st.integers(0, 10**12),
)
def test_everything_stays_in_its_box(told: list[tuple[int, float, str]], begin: int, length: int) -> None:
    """Whatever was measured, whenever: numbers alone, within the box."""
    shown = Range(begin, begin + length)
    chart = latency("x", [Point(at, value, kind) for at, value, kind in told], shown)  # type: ignore[arg-type]
    for path in (chart.line, chart.good, chart.bad) if chart else ():
        assert re.fullmatch(r"([ML][\d.]+ [\d.]+(h[01])?)*", path)
        for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", path):
            assert 0 <= float(x) <= WIDTH
            assert 0 <= float(y) <= HEIGHT
    assert len(charts.times(Range(begin, begin + length + 1))) < 20
