"""Lengths of time and moments, said in one way everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest

from oc_ops.settings import PROJECT
from oc_ops.text import Shape, clock, file_stamp, listing, offset, regex, span, utc, utc_day

NOON = datetime(2026, 9, 25, 12, 3, 7, 250_000, tzinfo=UTC)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Look from another zone."""

    def to(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield to
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (0, "0 s"), (0.004, "4 ms"), (1, "1 s"), (3.14, "3.1 s"), (9.96, "10 s"), (59.4, "59 s"),
     (59.7, "1 min"), (90, "1 min 30 s"), (720.4, "12 min"), (5400, "1 h 30 min"), (7199, "2 h"), (7500, "2 h 5 min"),
     (86_399, "1 d"), (100_000, "1 d 4 h"), (273_600, "3 d 4 h")],
)  # fmt: skip
def test_a_length_is_said_in_two_units_at_most(seconds: float, words: str) -> None:
    """The units that a person would take, zeros left out, rounded as a whole."""
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("name", "when", "words"),
    [
        ("UTC", NOON, "2026-09-25 12:03:07 UTC"),
        ("Asia/Kolkata", NOON, "2026-09-25 17:33:07 +05:30"),
        ("America/New_York", datetime(2026, 11, 1, 5, 30, tzinfo=UTC), "2026-11-01 01:30:00 -04:00"),
        ("America/New_York", datetime(2026, 11, 1, 6, 30, tzinfo=UTC), "2026-11-01 01:30:00 -05:00"),
        ("Europe/London", datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01 00:00:00 UTC"),
        ("Nonsense", NOON, "2026-09-25 12:03:07 UTC"),
        ("America/St_Johns", datetime(2026, 1, 1, tzinfo=UTC), "2025-12-31 20:30:00 -03:30"),
        ("Asia/Kolkata", NOON.astimezone(timezone(timedelta(hours=-7))), "2026-09-25 17:33:07 +05:30"),
        ("Asia/Kolkata", datetime.max.replace(tzinfo=UTC), "9999-12-31 23:59:59 UTC"),
    ],
)
def test_a_moment_is_said_in_the_zone_of_who_looks(
    zone: Callable[[str], None], name: str, when: datetime, words: str
) -> None:
    """With the offset of that moment, whatever zone it came in; UTC where a zone or a moment is none."""
    zone(name)
    assert clock(when) == words


def test_each_shape_of_a_moment_has_its_offset(zone: Callable[[str], None]) -> None:
    """An hour without one could be of anywhere; a day needs none."""
    zone("Asia/Kolkata")
    shapes: tuple[Shape, ...] = ("time", "short", "hour", "minute", "day")
    assert [clock(NOON, each) for each in shapes] == [
        "17:33:07 +05:30", "25 Sep 17:33 +05:30", "17:33 +05:30", "2026-09-25 17:33 +05:30", "25 Sep",
    ]  # fmt: skip
    assert offset(NOON) == "+05:30"


def test_machines_read_utc_wherever_they_are(zone: Callable[[str], None]) -> None:
    """JSON, names of files and the days of the history are the same in all zones."""
    zone("Asia/Kolkata")
    late = NOON.replace(hour=22)
    assert (utc(late), utc(late, "milliseconds")) == ("2026-09-25T22:03:07Z", "2026-09-25T22:03:07.250Z")
    assert (file_stamp(late), utc_day(late), utc_day(late, year=True)) == (
        "2026-09-25T22-03-07Z", "25 Sep UTC", "25 Sep 2026 UTC",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("names", "between", "words"),
    [([], ", ", ""), (["a", "b"], ", ", "a, b"), (["a", "b", "c", "d"], ", ", "a, b and 2 more"),
     (["a", "b", "c"], "; ", "a; b; and 1 more")],
)  # fmt: skip
def test_a_list_names_a_few_and_counts_the_rest(names: list[str], between: str, words: str) -> None:
    """As many as are asked for by name; nothing is said of a rest that is none."""
    assert listing(names, 2, between) == words


def test_an_expression_is_compiled_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before, and then it is the compiled one in everything that is asked of it, for text and for bytes."""
    made: list[object] = []
    compiled = re.compile

    def noted(*given: object) -> object:
        made.append(given)
        return compiled(*given)  # type: ignore[call-overload]

    monkeypatch.setattr(re, "compile", noted)
    word, digits = regex(r"(?P<first>H)\w+", re.I), regex(rb"\d+")
    assert made == []
    assert [each[0] for each in word.finditer("hang, Halt")] == ["hang", "Halt"]
    assert word.sub("x", "hang, Halt") == "x, x"
    assert (word.pattern, word.groups, word.flags & re.I) == (r"(?P<first>H)\w+", 1, re.I)
    assert digits.findall(b"1 22") == [b"1", b"22"]
    with pytest.raises(AttributeError):
        word.nothing  # type: ignore[attr-defined]  # noqa: B018


EVERY = """
import gc, importlib, pkgutil, oc_ops
from oc_ops import text
for module in pkgutil.walk_packages(oc_ops.__path__, "oc_ops."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
found = [each for each in gc.get_objects() if type(each) is text._Unmade]
print(len(found), all(each.pattern is not None for each in found))
"""


def test_every_expression_of_the_project_compiles() -> None:
    """One that does not would be met by the one operator whose gateway says such a thing."""
    done = subprocess.run([sys.executable, "-c", EVERY], capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    count, compiled = done.stdout.split()
    assert (int(count) > 150, compiled) == (True, "True")
