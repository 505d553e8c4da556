"""The lines around a hit: evidence, however far from the log's end it lies."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from oc_ops.observe.logs import Record, around, recent
from tests.support.log_lines import LOTS, WINDOW, line


def hit(log: Path, literal: str = "EPIPE") -> Record:
    """The one record with the literal."""
    (record,) = recent([log], [literal], since=WINDOW, tail_bytes=LOTS).records
    return record


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Five thousand lines with one hit among the first."""
    path = tmp_path / "gateway.log"
    lines = [line(f"line {number}") for number in range(5000)]
    lines[100] = line("EPIPE größer")
    path.write_text("\n".join(lines) + "\n")
    return path


def told(records: tuple[Record, ...]) -> list[str]:
    """The messages."""
    return [each.text for each in records]


def test_the_lines_before_and_behind_are_given(log: Path) -> None:
    """In order, the hit in the middle, each with its own offset."""
    found = around(hit(log), 2)
    assert told(found) == ["line 98", "line 99", "EPIPE größer", "line 101", "line 102"]
    raw = log.read_bytes()
    assert all(raw[each.offset :].startswith(b'{"0":') for each in found)


def test_none_may_be_wanted(log: Path) -> None:
    """Zero lines around it are the hit itself."""
    assert told(around(hit(log), 0)) == ["EPIPE größer"]


@pytest.mark.parametrize(("content", "texts"), [("EPIPE\nb\n", ["EPIPE", "b"]), ("a\n\nEPIPE", ["a", "EPIPE"])])
def test_at_the_edges_there_are_fewer(tmp_path: Path, content: str, texts: list[str]) -> None:
    """The file's first and last line; blank lines are no records."""
    log = tmp_path / "log"
    log.write_text(content)
    assert told(around(hit(log))) == texts


def test_a_rotated_file_is_found_under_its_archive_s_name(log: Path) -> None:
    """The gateway renames its log between the look and the report."""
    record = hit(log)
    log.rename(log.with_name("gateway.2.log"))
    log.with_name("gateway.1.log").write_text(line("x") * 99)
    log.write_text(line("new") + "\n")
    assert told(around(record, 1)) == ["line 99", "EPIPE größer", "line 101"]


def test_what_is_not_there_any_more_has_no_surroundings(log: Path) -> None:
    """Another line at that place, no such file, a record without a place."""
    record = hit(log)
    assert around(replace(record, offset=-1)) == ()
    assert around(replace(record, offset=record.offset + 1)) == ()
    assert around(replace(record, text="another")) == ()
    log.write_text("x\n")
    assert around(record) == ()
    log.unlink()
    assert around(record) == ()


def test_huge_lines_around_it_are_clipped(tmp_path: Path) -> None:
    """5 MB before and behind: a bounded part is read, and what is shown of a line is short."""
    log = tmp_path / "log"
    log.write_text("\n".join([line("x" * 5_000_000), line("EPIPE"), line("y" * 5_000_000)]) + "\n")
    found = around(hit(log))
    assert "EPIPE" in told(found)
    assert max(map(len, told(found))) <= 2000
