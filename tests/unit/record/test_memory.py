"""The remembered series of a gateway's memory: bounded, whole, and never in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from oc_ops.observe.host import Sample
from oc_ops.record import memory


def sample(at_s: float, rss_bytes: int = 1) -> Sample:
    """A sample of one process."""
    return Sample(at_s, 7, 0.0, rss_bytes, 0)


def test_a_series_grows_from_run_to_run(tmp_path: Path) -> None:
    """What is remembered comes back, oldest first, with the present at its end."""
    assert memory.memory_series(tmp_path, "a", sample(1000)) == (sample(1000),)
    assert memory.memory_series(tmp_path, "a", sample(2000, 5)) == (sample(1000), sample(2000, 5))
    assert memory.memory_series(tmp_path, "a", None) == (sample(1000), sample(2000, 5))


def test_each_target_has_its_own_series(tmp_path: Path) -> None:
    """Two gateways on one machine share the folder and nothing else."""
    memory.memory_series(tmp_path, "a", sample(1000))
    assert memory.memory_series(tmp_path, "b", None) == ()


def test_a_look_soon_after_the_last_is_not_kept(tmp_path: Path) -> None:
    """A cockpit that looks every few seconds does not push the day out; its sample counts for this look."""
    memory.memory_series(tmp_path, "a", sample(1000))
    for at_s in range(1005, 1300, 5):
        assert memory.memory_series(tmp_path, "a", sample(at_s)) == (sample(1000), sample(at_s))
    assert memory.memory_series(tmp_path, "a", None) == (sample(1000),)


def test_the_series_stays_within_its_bound(tmp_path: Path) -> None:
    """A day of samples in a file of a few kilobytes, whatever the figures are."""
    for number in range(400):
        series = memory.memory_series(
            tmp_path, "a", Sample(1e9 + number * 300.123, 4_194_304, 1e9 + 0.123456, 2**40, 2**50)
        )
    assert len(series) == 288
    assert series[-1].at_s == 1e9 + 399 * 300.123
    assert [path.name for path in tmp_path.iterdir()] == ["trend-a.json"]
    assert (tmp_path / "trend-a.json").stat().st_size < 32 * 1024


def test_a_clock_that_was_set_back_drops_the_future(tmp_path: Path) -> None:
    """Samples from after now are no history."""
    memory.memory_series(tmp_path, "a", sample(1000))
    memory.memory_series(tmp_path, "a", sample(9000))
    assert memory.memory_series(tmp_path, "a", sample(2000)) == (sample(1000), sample(2000))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        '[1, "x", null, [1], [1, 2, 3, 4, "5"], [1, 2, 3, 4, -5], [1, 2, NaN, 4, 5], [1, 2, 3, Infinity, 5]]',
        "[" * 100_000,
    ],
)
def test_a_broken_file_costs_the_history_and_nothing_else(tmp_path: Path, text: str) -> None:
    """Torn or foreign content is passed over, and replaced by the next sample."""
    (tmp_path / "trend-a.json").write_text(text)
    assert memory.memory_series(tmp_path, "a", sample(1000)) == (sample(1000),)
    assert memory.memory_series(tmp_path, "a", None) == (sample(1000),)


def test_a_folder_that_cannot_be_written_costs_the_memory_only(tmp_path: Path) -> None:
    """A full disk must not become an error of the check that looks for it."""
    (tmp_path / "file").touch()
    assert memory.memory_series(tmp_path / "file", "a", sample(1000)) == (sample(1000),)
