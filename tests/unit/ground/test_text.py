"""Lengths of time, said in one way everywhere."""

from __future__ import annotations

import pytest

from oc_ops.text import span


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (0, "0 s"), (0.004, "4 ms"), (1, "1 s"), (3.14, "3.1 s"), (9.96, "10 s"), (59.4, "59 s"),
     (59.7, "1 min"), (90, "1 min 30 s"), (720.4, "12 min"), (5400, "1 h 30 min"), (7199, "2 h"), (7500, "2 h 5 min"),
     (86_399, "1 d"), (100_000, "1 d 4 h"), (273_600, "3 d 4 h")],
)  # fmt: skip
def test_a_length_is_said_in_two_units_at_most(seconds: float, words: str) -> None:
    """The units that a person would take, zeros left out, rounded as a whole."""
    assert span(seconds) == words
