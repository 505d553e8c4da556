"""What is known of releases: the table holds what it promises, and each release is spoken of once."""

from __future__ import annotations

from pathlib import Path

import pytest

from oc_ops.judge.releases import Advisory, advisories, known_release, release
from oc_ops.record.memory import remember_release, told_releases


@pytest.mark.parametrize("entry", advisories(), ids=lambda each: each.id)
def test_each_entry_says_what_helps_and_how_it_is_known(entry: Advisory) -> None:
    """Phrases without a period; a release that fixes it is newer than every one that does it."""
    for words in (entry.fact, entry.helps):
        assert len(words.split()) >= 4
        assert not words.endswith(".")
    assert entry.seen.startswith(("reported", "measured on "))
    assert entry.issues or entry.seen != "reported"
    if entry.fixed:
        assert release(entry.fixed) not in entry.releases
        assert entry.releases.until is not None
        assert entry.releases.until < release(entry.fixed)


def test_a_known_release_is_information_with_what_helps() -> None:
    """No warning: nothing is wrong yet, and the operator may know."""
    found = known_release((2026, 9, 5), ())
    assert found is not None
    assert (found.check, found.severity) == ("gateway/known-release", "info")
    assert "build directories" in found.fact
    assert "fixed in 2026.9.6" in found.saw
    assert found.fix.endswith("or update to 2026.9.6")


@pytest.mark.parametrize("other", [(2026, 9, 6), (2026, 9, 4), (2026, 2, 26), None])
def test_other_releases_are_not_spoken_of(other: tuple[int, ...] | None) -> None:
    """The one that fixes it, the one before, an old one, and one that is not known."""
    assert known_release(other, ()) is None


def test_it_is_said_once_on_each_machine(tmp_path: Path) -> None:
    """Kept in the memory directory; a file that is broken has it said again, and is mended by that."""
    assert told_releases(tmp_path) == ()
    remember_release(tmp_path, "2026.9.5")
    assert known_release((2026, 9, 5), told_releases(tmp_path)) is None
    (path,) = tmp_path.iterdir()
    path.write_text("[[[")
    assert known_release((2026, 9, 5), told_releases(tmp_path)) is not None
    remember_release(tmp_path, "2026.9.5")
    assert told_releases(tmp_path) == ("2026.9.5",)
