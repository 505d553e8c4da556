"""The journal: what was acknowledged is there, whatever dies, tears or fills up; and reading goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from oc_ops.record.journal import Journal, JournalError, parsed

PROJECT = Path(__file__).parents[3]
FAKE = Path(__file__).parents[2] / "fakes" / "journal_writers.py"

pytestmark = pytest.mark.timeout(120)


def writers(what: str, path: Path, *numbers: int) -> Any:
    """What a run of the fake's writers reports."""
    argv = [sys.executable, "-I", str(FAKE), what, str(PROJECT), str(path), *map(str, numbers)]
    return json.loads(subprocess.run(argv, capture_output=True, check=True, text=True).stdout)


def add(journal: Journal, record: Mapping[str, object]) -> None:
    """Append one record."""
    with journal.writing() as append:
        append(record)


def records(journal: Journal) -> list[Mapping[str, object]]:
    """Everything readable."""
    return [record for record in map(parsed, journal.lines()) if record is not None]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A journal that is not there yet."""
    return Journal(tmp_path / "memory" / "book.jsonl", wait_s=0.2)


def test_two_hundred_kills(tmp_path: Path) -> None:
    """A writer that is killed at any instant loses nothing it acknowledged, and the next one goes on."""
    journal = Journal(tmp_path / "book.jsonl")
    acknowledged = writers("kills", journal.path, 200)
    found = [(record["writer"], record["number"]) for record in records(journal)]
    assert len(acknowledged) > 20, "the kills fell before the writing"
    assert {tuple(each) for each in acknowledged} <= set(found)
    assert found == sorted(set(found)), "each once, in the order of writing"
    add(journal, {"after": True})
    assert records(journal)[-1] == {"after": True}


@pytest.mark.parametrize("unit", [b"\n", b"{\n", b"x\n", b"{}\n"])
def test_millions_of_lines_take_a_second(journal: Journal, unit: bytes) -> None:
    """The newest lines count, as many as years of incidents have; two million empty ones took a minute."""
    add(journal, {"old": True})
    with journal.path.open("ab") as file:
        file.write(unit * 2_000_000)
    add(journal, {"new": True})
    began = time.process_time()
    assert records(journal)[-1] == {"new": True}
    assert time.process_time() - began < 3
    assert {"old": True} not in records(journal)


def test_eight_writers_at_once(tmp_path: Path) -> None:
    """Nothing is lost and no line is mixed with another."""
    journal = Journal(tmp_path / "book.jsonl")
    assert writers("together", journal.path, 8, 25) == [0] * 8
    assert {(each["writer"], each["number"]) for each in records(journal)} == {
        (writer, number) for writer in range(8) for number in range(25)
    }
    assert len(list(journal.lines())) == 200


def test_a_full_disk(tmp_path: Path) -> None:
    """No room is one sentence for whoever writes; what was there stays, and with room again writing goes on."""
    told = writers("full", tmp_path / "book.jsonl")
    assert told["refused"] == [f"{tmp_path}/book.jsonl could not be written: File too large"] * 4
    assert told["kept"]
    assert told["numbers"] == [0, 2]
    assert told["lines"] > 2, "the limit tore lines"


def test_torn_at_every_byte(journal: Journal) -> None:
    """Wherever the last line was torn: it is terminated, not removed, and costs neither its neighbours nor the next."""
    add(journal, {"line": 1, "text": "größe 東京"})
    whole = journal.path.read_bytes()
    for cut in range(len(whole)):
        journal.path.write_bytes(whole + whole[:cut])
        add(journal, {"line": 3})
        assert journal.path.read_bytes().startswith(whole + whole[:cut])
        last_is_whole = [parsed(whole)] if cut == len(whole) - 1 else []
        assert records(journal) == [parsed(whole), *last_is_whole, {"line": 3}]


@pytest.mark.parametrize(
    "line",
    [b"\n", b"null\n", b"[1]\n", b'"a"\n', b"\xff\xfe\n", b'{"a":\n', b"\0\0\0\0\n", b"[" * 100_000 + b"\n", b"{}}\n"],
    ids=["empty", "null", "list", "text", "not UTF-8", "torn", "NULs of a power cut", "too deep", "more than one"],
)
def test_reads_past_what_is_no_object(journal: Journal, line: bytes) -> None:
    """A line that is no JSON object costs nothing but itself."""
    add(journal, {"line": 1})
    with journal.path.open("ab") as file:
        file.write(line)
    add(journal, {"line": 3})
    assert records(journal) == [{"line": 1}, {"line": 3}]
    assert parsed(line) is None


def test_is_private(journal: Journal) -> None:
    """Nobody else can read it, nor list its folder."""
    add(journal, {"line": 1})
    assert journal.path.stat().st_mode & 0o777 == 0o600
    assert journal.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_line_acts_on_no_terminal(journal: Journal) -> None:
    """Whoever prints the file prints no control character of a stranger's text, and gets it back whole."""
    add(journal, {"text": "\x1b]52;c;aGk=\x07\x9b2J\u202e\udcff\n"})
    assert all(0x20 <= byte < 0x7F for byte in journal.path.read_bytes()[:-1])
    assert records(journal) == [{"text": "\x1b]52;c;aGk=\x07\x9b2J\u202e\udcff\n"}]


def test_reading_makes_nothing(journal: Journal) -> None:
    """No file is an empty journal, and a look at it leaves no trace."""
    assert list(journal.lines()) == []
    assert not journal.path.parent.exists()


def test_waits_no_longer_than_told(journal: Journal) -> None:
    """A writer that finds another one at work says who that is, and writes nothing."""
    with journal.writing() as append:
        append({"line": 1})
        with pytest.raises(JournalError, match=rf"could not be written: .* held by process {os.getpid()} since"):
            add(Journal(journal.path, wait_s=0.1), {"line": 2})
    assert records(journal) == [{"line": 1}]


def test_an_error_of_the_block_is_its_own(journal: Journal) -> None:
    """What is raised while writing is not taken for a failure to write."""
    with pytest.raises(ZeroDivisionError), journal.writing():
        _ = 1 / 0


def test_reads_no_endless_file(journal: Journal) -> None:
    """A pipe or a device in its place is refused, not read for ever."""
    journal.path.parent.mkdir()
    os.mkfifo(journal.path)
    with pytest.raises(JournalError, match="could not be read: it is a pipe, not a regular file"):
        list(journal.lines())


@pytest.mark.parametrize("place", ["file/book.jsonl", "folder"])
def test_cannot_be_there(tmp_path: Path, place: str) -> None:
    """A place that cannot hold it is named with the reason, for a reader as for a writer."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    journal = Journal(tmp_path / place)
    with pytest.raises(JournalError, match=f"{tmp_path}/{place} could not be written: "):
        add(journal, {"line": 1})
    with pytest.raises(JournalError, match=f"{tmp_path}/{place} could not be read: "):
        list(journal.lines())


def test_not_on_the_disk_is_not_acknowledged(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that the disk does not confirm is refused."""

    def fsync(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(JournalError, match="could not be written: Input/output error"):
        add(journal, {"line": 1})
