"""The log reader: the window, the bounds, what cannot be read, and the tail that is kept as evidence."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from oc_ops.observe.logs import recent, tail
from tests.support.log_lines import LOTS, NOW, WINDOW, at, line, look, texts

# -- the window --------------------------------------------------------------------------------------------------------


def test_only_the_window_counts(tmp_path: Path) -> None:
    """Older records are left out, the edge counts, and what has no readable time counts as recent."""
    log = tmp_path / "l"
    times = [at(WINDOW - timedelta(seconds=1)), at(WINDOW), at(NOW), "no time at all"]
    log.write_text("".join(line(f"EPIPE {number}", time=each) + "\n" for number, each in enumerate(times)))
    view = look(log, "EPIPE")
    assert texts(view) == ["EPIPE 1", "EPIPE 2", "EPIPE 3"]
    assert (view.files, view.since, view.newest) == ((log,), WINDOW, None)


def test_the_newest_record_is_known(tmp_path: Path) -> None:
    """Also where nothing matches: a log that went silent shows by it."""
    log = tmp_path / "l"
    log.write_text(line("a", time=at(WINDOW)) + "\n" + line("b", time=at(NOW)) + "\n")
    view = look(log, "EPIPE")
    assert (view.records, view.newest) == ((), NOW)
    assert view.bytes_read == log.stat().st_size


def test_literals_stand_as_they_are(tmp_path: Path) -> None:
    """Case, quotes, backslashes, dots and letters beyond ASCII are compared as written."""
    log = tmp_path / "l"
    said = ['a "quoted" word', "back\\slash", "dot.", "größer", "EPIPE"]
    log.write_text("".join(line(each) + "\n" for each in [*said, "dotx", "epipe"]))
    for each in said:
        assert texts(look(log, each)) == [each]
    assert texts(look(log, *said)) == said
    assert len(texts(look(log))) == 7


def test_a_line_counts_once(tmp_path: Path) -> None:
    """Two literals, or one twice, in the same record make one record."""
    log = tmp_path / "l"
    log.write_text(line("EPIPE EPIPE timed out") + "\n" + line("EPIPE") + "\n")
    assert texts(look(log, "EPIPE", "timed out")) == ["EPIPE EPIPE timed out", "EPIPE"]


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 MB: a day of a busy gateway, one record each 0.7 s, every one with the literal."""
    log = tmp_path_factory.mktemp("big") / "l"
    padding = "x" * 160
    with log.open("w") as file:
        begin = NOW - timedelta(days=1)
        for number in range(123_000):
            file.write(line(f"EPIPE {number} {padding}", time=at(begin + timedelta(seconds=0.7 * number))) + "\n")
    assert log.stat().st_size > 40_000_000
    return log


@pytest.mark.parametrize("tail_bytes", [2**20 * 50, 2**20 * 8])
def test_a_big_file_is_bisected(big: Path, tail_bytes: int) -> None:
    """A minute's window of 40 MB: exactly its records, little read, well below half a second."""
    last = NOW - timedelta(days=1) + timedelta(seconds=0.7 * 122_999)
    began = time.process_time()
    view = look(big, "EPIPE", since=last - timedelta(seconds=70), tail_bytes=tail_bytes)
    assert time.process_time() - began < 0.5
    assert len(view.records) == 101
    assert view.bytes_read < 1_000_000


def test_at_most_the_tail_is_read(big: Path) -> None:
    """A window longer than the tail ends where the tail begins, at a whole line."""
    view = look(big, "EPIPE", since=NOW - timedelta(days=9), tail_bytes=2**20)
    assert view.bytes_read <= 2**20
    assert view.records[0].text.startswith("EPIPE 1")
    assert view.records[-1].text.startswith("EPIPE 122999 ")


def test_a_huge_line_in_the_way_hides_nothing(tmp_path: Path) -> None:
    """5 MB of payload in one record: the records round it are found, and of it a bounded part."""
    log = tmp_path / "l"
    old = [line(f"EPIPE old {number}", time=at(NOW - timedelta(hours=2))) for number in range(9)]
    new = [line(f"EPIPE new {number}", time=at(NOW)) for number in range(3)]
    huge = line("EPIPE huge " + "x" * 5_000_000, time=at(NOW - timedelta(minutes=1)))
    log.write_text("\n".join([*old, new[0], huge, *new[1:]]) + "\n")
    began = time.process_time()
    found = texts(look(log, "EPIPE"))
    assert time.process_time() - began < 1
    assert [each[:10] for each in found] == ["EPIPE huge", "EPIPE new ", "EPIPE new ", "EPIPE new "]
    assert max(map(len, found)) <= 256 * 1024


def test_torn_and_dirty_lines_hide_nothing(tmp_path: Path) -> None:
    """NULs after a power cut, broken UTF-8, blank lines, a record torn for ever, and plain text without its end."""
    log = tmp_path / "l"
    whole = line("EPIPE whole").encode()
    dirty = line("EPIPE Q").encode().replace(b"Q", b"\xff")
    log.write_bytes(b"\n".join((b"\x00" * 5000, whole, b"", dirty, whole[:-30], b"FATAL: EPIPE at the end")))
    assert texts(look(log, "EPIPE")) == ["EPIPE whole", "EPIPE \ufffd", whole[:-30].decode(), "FATAL: EPIPE at the end"]


def test_a_record_that_is_still_being_written_waits(tmp_path: Path) -> None:
    """Whose it is shows at its end: half a record of a CLI call must not look like the gateway's."""
    log = tmp_path / "l"
    log.write_text(line("EPIPE") + "\n" + line("EPIPE half", name="openclaw")[:30])
    assert texts(look(log, "EPIPE")) == ["EPIPE"]


def test_an_empty_file_is_a_file_without_records(tmp_path: Path) -> None:
    """It was looked at, and that is said."""
    log = tmp_path / "l"
    log.touch()
    view = look(log, "EPIPE")
    assert (view.files, view.records, view.newest, view.bytes_read) == ((log,), (), None, 0)


def test_what_cannot_be_read_is_not_said_to_have_been(tmp_path: Path) -> None:
    """A file that vanished and a folder are left out of `files`; the others are read."""
    log = tmp_path / "l"
    log.write_text(line("EPIPE") + "\n")
    view = recent([tmp_path / "gone", tmp_path, log], ["EPIPE"], since=WINDOW, tail_bytes=LOTS)
    assert (view.files, texts(view)) == ((log,), ["EPIPE"])


def test_files_are_read_in_the_order_given(tmp_path: Path) -> None:
    """Oldest first over midnight; the newest time is that of all."""
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_text(line("EPIPE 1", time=at(NOW - timedelta(minutes=5))) + "\n")
    two.write_text(line("EPIPE 2", time=at(NOW)) + "\n")
    view = recent([one, two], ["EPIPE"], since=WINDOW, tail_bytes=LOTS)
    assert (texts(view), view.newest) == (["EPIPE 1", "EPIPE 2"], NOW)


# -- for evidence ------------------------------------------------------------------------------------------------------


def test_the_last_records_are_shown(tmp_path: Path) -> None:
    """The last few, oldest first, blank lines not counted; fewer when there are fewer; none of what is gone."""
    log = tmp_path / "l"
    log.write_text("".join(line(str(number)) + "\n" for number in range(50)) + "\n")
    assert [record.text for record in tail(log, 3)] == ["47", "48", "49"]
    assert len(tail(log, 500)) == 50
    assert tail(tmp_path / "gone", 3) == ()
    assert tail(tmp_path, 3) == ()


def test_the_tail_is_bounded(big: Path, tmp_path: Path) -> None:
    """Of a big file a few hundred kilobytes are read, and a torn first line is not taken for a record."""
    shown = tail(big, 10_000, most_bytes=4096)
    assert 0 < len(shown) < 20
    assert all(record.text.startswith("EPIPE ") for record in shown)
    (tmp_path / "l").write_bytes(b"x" * 2_000_000)
    assert sum(len(record.text) for record in tail(tmp_path / "l", 3)) <= 256 * 1024
