"""Releases as numbers, and which of them a range takes in."""

from __future__ import annotations

import pytest

from oc_ops.judge.releases import ReleaseRange, release, shown, span


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("2026.9.6", (2026, 9, 6)),
        ("2026.2.2-3", (2026, 2, 2, 3)),
        ("2026.5", (2026, 5)),
        ("2026.10.12", (2026, 10, 12)),
    ],
)
def test_a_release_is_its_numbers(text: str, numbers: tuple[int, ...]) -> None:
    """And written again it is the same text."""
    assert release(text) == numbers
    assert shown(numbers) == text


@pytest.mark.parametrize("text", ["", "9.6", "2026", "v2026.9.6", "2026.9.6 ", "2026.9.6-beta", "2026.9.6.1", "latest"])
def test_what_is_no_release(text: str) -> None:
    """Only a whole release counts: a typing mistake must not become a wide range."""
    with pytest.raises(ValueError, match="is no release"):
        release(text)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("2026.3.8", ["2026.3.8", "2026.3.8-1"], ["2026.3.7", "2026.3.9", "2026.4.1"]),
        ("2026.1.29..2026.5", ["2026.1.29", "2026.2.26", "2026.5.28"], ["2026.1.28", "2026.6.1", "2026.10.1"]),
        ("2026.2..2026.7.1-2", ["2026.2.1", "2026.7.1", "2026.7.1-2"], ["2026.1.29", "2026.7.1-3", "2026.7.2"]),
        ("2026.2.2-3", ["2026.2.2-3"], ["2026.2.2", "2026.2.2-2", "2026.2.2-4", "2026.2.3"]),
        ("..2026.4.23", ["2025.12.1", "2026.4.23", "2026.4.23-1"], ["2026.4.24"]),
        ("2026.9..", ["2026.9.1", "2027.1.1"], ["2026.8.31"]),
    ],
)
def test_both_ends_belong_to_a_range(text: str, inside: list[str], outside: list[str]) -> None:
    """An end of fewer numbers stands for everything that begins with it."""
    assert [each for each in inside if release(each) not in span(text)] == []
    assert [each for each in outside if release(each) in span(text)] == []


def test_a_range_holds_releases_alone() -> None:
    """Anything else is simply not in it."""
    assert "2026.3.8" not in ReleaseRange(None, None)


@pytest.mark.parametrize("text", ["", "..", "2026.3.8..x", "2026.5..2026.4", "2026.3.8 - 2026.4.2", "<2026.4.24"])
def test_what_is_no_range(text: str) -> None:
    """Ends in the wrong order are refused too: such a range would never fire."""
    with pytest.raises(ValueError, match=r"'.*' (?:is no|names no|ends)"):
        span(text)
