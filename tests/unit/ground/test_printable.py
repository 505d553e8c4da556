"""Strangers' text: what is shown acts on nothing and stays short."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oc_ops.text import one_line, printable

ANYTHING = st.text(
    st.characters(codec=None, categories=None) | st.sampled_from("\0\x1b\x07\r\n\t\x9b\u202e\ufeff\udc80")
)


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        pytest.param("\x1b[31mred\x1b[0m", "␛[31mred␛[0m", id="ansi colour"),
        pytest.param("\x1b]52;c;aGk=\x07", "␛]52;c;aGk=␇", id="osc 52 clipboard"),
        pytest.param("\x9b2J", "\\x9b2J", id="C1 CSI"),
        pytest.param("a\0b", "a␀b", id="NUL"),
        pytest.param("a\x7fb", "a␡b", id="DEL"),
        pytest.param("\ufeffx", "\\ufeffx", id="byte order mark"),
        pytest.param("user\u202egpj.exe", "user\\u202egpj.exe", id="bidi override"),
        pytest.param("\u2066x\u2069", "\\u2066x\\u2069", id="bidi isolate"),
        pytest.param("a\udcffb", "a\\udcffb", id="lone surrogate"),
        pytest.param("x\U000e0041", "x\\U000e0041", id="tag character"),
        pytest.param("good\rbad", "good␍bad", id="overwriting return"),
        pytest.param("a\r\nb\tc", "a\nb\tc", id="line ends and tabs stay"),
        pytest.param("größe 東京 👩‍🚀", "größe 東京 👩‍🚀", id="people's writing stays"),
    ],
)
def test_hostile_characters_show_instead_of_acting(hostile: str, shown: str) -> None:
    """Each control or invisible character becomes something to read, and ordinary writing is left alone."""
    assert printable(hostile) == shown


def test_one_line_shows_breaks() -> None:
    """A text for one line keeps its line breaks and tabs as visible signs."""
    assert one_line("  a\nb\tc\n") == "a␊b␉c"


@given(ANYTHING)
@settings(deadline=None)
def test_nothing_that_acts_comes_through(text: str) -> None:
    """No control, no lone surrogate and no bidi control survives, whatever goes in."""
    for shown, allowed in ((printable(text), "\n\t"), (one_line(text), "")):
        for character in shown:
            assert character in allowed or unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
            assert unicodedata.bidirectional(character) not in (
                "LRE",
                "RLE",
                "LRO",
                "RLO",
                "PDF",
                "LRI",
                "RLI",
                "FSI",
                "PDI",
            )
        shown.encode("utf-8")


@given(ANYTHING)
def test_printable_is_idempotent(text: str) -> None:
    """What has been made printable stays as it is."""
    assert printable(printable(text)) == printable(text)


def test_long_line_loses_its_middle_and_says_how_much() -> None:
    """Of a 5 MB line the beginning and the end remain, and the number of characters left out is exact."""
    shown = printable("begin" + "x" * 5_000_000 + "end\nnext line", line_limit=1000)
    first, second = shown.split("\n")
    assert first.startswith("beginx")
    assert first.endswith("xend")
    assert f"{5_000_008 - 1000:,} characters left out" in first
    assert second == "next line"


def test_long_text_loses_its_middle() -> None:
    """A text of many short lines is cut as a whole, both ends kept."""
    shown = printable("\n".join(f"line {number}" for number in range(100_000)), limit=3000)
    assert len(shown) < 3100
    assert shown.startswith("line 0\n")
    assert shown.endswith("line 99999")
    assert "characters left out" in shown


def test_short_text_is_never_cut() -> None:
    """At exactly the limit nothing is left out."""
    assert printable("x" * 50, limit=50) == "x" * 50
