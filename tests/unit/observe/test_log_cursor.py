"""Reading on where the last look ended: nothing is lost, nothing counts twice, and an unchanged log is not read."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oc_ops.observe.logs import Follower, LogView, Needle, recent
from oc_ops.observe.logs.buffer import PER_NEEDLE, PER_SECOND
from tests.support.log_lines import LOTS, NOW, WINDOW, at, line, texts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where log and state of a test lie."""
    return tmp_path


def look(folder: Path, *names: str, since: datetime = WINDOW, anew: bool = False) -> LogView:
    """One look at `log` (or other files) that goes on where the last one ended, or at all of it."""
    paths = [folder / name for name in names or ("log",)]
    remember = None if anew else folder / "state.json"
    return recent(paths, ["EPIPE", "timed out"], since=since, tail_bytes=LOTS, remember=remember)


def write(folder: Path, *lines: str, name: str = "log") -> None:
    """Append whole lines."""
    with (folder / name).open("a") as file:
        file.writelines(f"{each}\n" for each in lines)


def test_only_what_is_new_is_read(folder: Path) -> None:
    """The second look reads the appended bytes alone and gives the records of both."""
    write(folder, line("EPIPE 1"), line("healthy"))
    assert texts(look(folder)) == ["EPIPE 1"]
    write(folder, line("EPIPE 2"))
    view = look(folder)
    assert (texts(view), view.bytes_read) == (["EPIPE 1", "EPIPE 2"], len(line("EPIPE 2")) + 1)
    assert view.newest == NOW


def test_an_unchanged_log_is_not_read(big_state: Path) -> None:
    """Not one byte, in under 5 ms, and the same answer."""
    first = look(big_state)
    best = min(timed(lambda: look(big_state)) for _ in range(5))
    again = look(big_state)
    assert best < 0.005
    assert again.bytes_read == 0
    assert (again.records, again.left_out, again.newest) == (first.records, first.left_out, first.newest)


def test_an_unchanged_log_is_not_even_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size and the time of its last change are enough."""
    write(folder, line("EPIPE"))
    look(folder)
    opened: list[Path] = []
    real = Path.open

    def watched(path: Path, *given: Any, **named: Any) -> object:
        opened.append(path)
        return real(path, *given, **named)

    monkeypatch.setattr(Path, "open", watched)
    assert texts(look(folder)) == ["EPIPE"]
    assert folder / "log" not in opened
    write(folder, line("EPIPE"))
    look(folder)
    assert folder / "log" in opened


@pytest.fixture
def big_state(folder: Path) -> Path:
    """A log with a few hundred hits among its 20,000 lines."""
    moments = [at(NOW + timedelta(seconds=number / 20)) for number in range(20_000)]
    write(folder, *(line("EPIPE" if number % 100 == 0 else "fine", time=when) for number, when in enumerate(moments)))
    return folder


def timed(act: Callable[[], object]) -> float:
    """CPU seconds of one act: other processes on the machine do not count."""
    began = time.process_time()
    act()
    return time.process_time() - began


def test_a_torn_line_is_read_when_it_is_whole(folder: Path) -> None:
    """Half a record is no record; once complete it is one, not two."""
    whole = line("EPIPE 1") + "\n"
    log = folder / "log"
    log.write_text(whole + whole.replace("1", "2")[:50])
    assert texts(look(folder)) == ["EPIPE 1"]
    assert texts(look(folder)) == ["EPIPE 1"]
    log.write_text(whole + whole.replace("EPIPE 1", "EPIPE 2"))
    assert texts(look(folder)) == ["EPIPE 1", "EPIPE 2"]


def test_torn_plain_text_counts_at_once_and_once(folder: Path) -> None:
    """A crash's last words have no line break, and none may ever come."""
    log = folder / "log"
    log.write_text("FATAL ERROR: EPIPE")
    assert texts(look(folder)) == ["FATAL ERROR: EPIPE"]
    assert texts(look(folder)) == ["FATAL ERROR: EPIPE"]
    log.write_text("FATAL ERROR: EPIPE at the end\n")
    assert texts(look(folder)) == ["FATAL ERROR: EPIPE at the end"]


def test_rotation_loses_and_doubles_nothing(folder: Path) -> None:
    """What was written between the last look and the rename is found in the archive, the rest in the new file."""
    write(folder, line("EPIPE 1"))
    look(folder, "log.1", "log")
    write(folder, line("EPIPE 2"))
    (folder / "log").rename(folder / "log.1")
    write(folder, line("EPIPE 3"))
    view = look(folder, "log.1", "log")
    assert texts(view) == ["EPIPE 1", "EPIPE 2", "EPIPE 3"]
    assert view.bytes_read == 2 * (len(line("EPIPE 2")) + 1)


def test_a_copied_and_truncated_log_is_known_again(folder: Path) -> None:
    """logrotate's copytruncate: the copy is another inode with the same beginning, the old one starts at zero."""
    write(folder, line("EPIPE 1"), line("x" * 700))
    look(folder)
    write(folder, line("EPIPE 2"))
    shutil.copy(folder / "log", folder / "log.1")
    os.truncate(folder / "log", 0)
    write(folder, line("EPIPE 3"))
    assert texts(look(folder, "log.1", "log")) == ["EPIPE 1", "EPIPE 2", "EPIPE 3"]


def test_a_truncated_log_that_grew_past_the_old_end_is_read_from_its_start(folder: Path) -> None:
    """The same inode, a larger size, another content."""
    write(folder, line("EPIPE 1"))
    look(folder)
    os.truncate(folder / "log", 0)
    write(folder, *(line(f"EPIPE {number}", time=at(NOW + timedelta(seconds=number))) for number in range(2, 9)))
    assert texts(look(folder)) == [f"EPIPE {number}" for number in range(1, 9)]


def test_a_replaced_log_is_another_one(folder: Path) -> None:
    """A new file of the same name, and a log that is gone: what it told still counts until its time is over."""
    write(folder, line("EPIPE 1"))
    look(folder)
    write(folder, line("EPIPE 2"), name="new")
    (folder / "new").replace(folder / "log")
    assert texts(look(folder)) == ["EPIPE 1", "EPIPE 2"]
    (folder / "log").unlink()
    view = look(folder)
    assert (texts(view), view.files) == (["EPIPE 1", "EPIPE 2"], ())


def test_a_new_day_begins_a_new_file(folder: Path) -> None:
    """Midnight: yesterday's file ends, today's begins, in the hour that comes twice as well."""
    write(folder, line("EPIPE 1", time="2026-10-25T02:30:00.000+02:00"), name="day1")
    since = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    assert texts(look(folder, "day1", "day2", since=since)) == ["EPIPE 1"]
    write(folder, line("EPIPE 2", time="2026-10-25T02:30:00.000+01:00"), name="day1")
    write(folder, line("EPIPE 3", time="2026-10-26T00:00:00.000+01:00"), name="day2")
    assert texts(look(folder, "day1", "day2", since=since)) == ["EPIPE 1", "EPIPE 2", "EPIPE 3"]


def test_records_leave_with_the_window(folder: Path) -> None:
    """What is older than the window counts no longer, read or not; a longer window is read anew."""
    write(folder, line("EPIPE old", time=at(NOW - timedelta(minutes=10))), line("EPIPE new"))
    assert texts(look(folder)) == ["EPIPE old", "EPIPE new"]
    view = look(folder, since=NOW - timedelta(minutes=5))
    assert (texts(view), view.bytes_read) == (["EPIPE new"], 0)
    write(folder, line("EPIPE newer"))
    assert texts(look(folder, since=NOW - timedelta(minutes=5))) == ["EPIPE new", "EPIPE newer"]
    assert texts(look(folder)) == ["EPIPE old", "EPIPE new", "EPIPE newer"]


@pytest.mark.parametrize(
    "state",
    [
        b"", b"{", b"[]", b"null", b'{"schema":99}', b'{"schema":1}', b"\xff\x00", b"[" * 100_000,
        b'{"schema":1,"needles":"x","since":"now","places":[],"entries":[],"left_out":[],"own":[]}',
    ],
    ids=range(9),
)  # fmt: skip
def test_a_state_that_cannot_be_used_is_begun_anew(folder: Path, state: bytes) -> None:
    """Torn, of a later version, or nonsense: the log is read from the window's start, and the state is whole again."""
    write(folder, line("EPIPE 1"))
    (folder / "state.json").write_bytes(state)
    assert texts(look(folder)) == ["EPIPE 1"]
    assert look(folder).bytes_read == 0


@given(st.data())
@settings(deadline=None)
def test_no_damage_to_the_state_makes_the_reader_raise(data: st.DataObject) -> None:
    """Any value of the state exchanged for any other: at worst the log is read again."""
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda each: st.lists(each, max_size=9),
        max_leaves=9,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, line("EPIPE 1"))
        look(folder)
        said = json.loads((folder / "state.json").read_bytes())
        spot = data.draw(st.sampled_from(["schema", "needles", "since", "entries", "places", "left_out", "own"]))
        if spot in ("entries", "places") and data.draw(st.booleans()):
            row = said[spot][0]
            key = data.draw(st.sampled_from(sorted(row) if isinstance(row, dict) else range(len(row))))
            row[key] = data.draw(anything)
        else:
            said[spot] = data.draw(anything)
        (folder / "state.json").write_text(json.dumps(said))
        look(folder)


def test_another_catalogue_begins_anew(folder: Path) -> None:
    """A state made for other needles says nothing about these."""
    write(folder, line("EPIPE"), line("ENOSPC"))
    for literal in ("EPIPE", "ENOSPC"):
        needle = Needle("crash", (literal,))
        view = recent([folder / "log"], [needle], since=WINDOW, tail_bytes=LOTS, remember=folder / "state.json")
        assert texts(view) == [literal]


def test_the_state_is_private_and_whole(folder: Path) -> None:
    """It quotes log lines, so nobody else reads it; nothing half-written is left beside it."""
    write(folder, line("EPIPE"))
    look(folder)
    assert (folder / "state.json").stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in folder.iterdir()) == ["log", "state.json"]


def test_a_state_that_cannot_be_written_costs_only_the_next_scan(folder: Path) -> None:
    """A full or read-only disk: the look itself is right, and so is the next one."""
    write(folder, line("EPIPE"))
    (folder / "file").touch()
    for _ in range(2):
        view = recent([folder / "log"], ["EPIPE"], since=WINDOW, tail_bytes=LOTS, remember=folder / "file" / "state")
        assert texts(view) == ["EPIPE"]


# -- floods -----------------------------------------------------------------------------------------------------


def test_a_flood_is_bounded_and_counted(folder: Path) -> None:
    """Fifty thousand lines in ten seconds: a few records of each second, and every line counted."""
    write(
        folder, *(line(f"EPIPE {number}", time=at(NOW + timedelta(seconds=number // 5000))) for number in range(50_000))
    )
    view = look(folder)
    assert len(view.records) == 10 * PER_SECOND
    assert len(view.records) + view.left_out["EPIPE"] == 50_000
    assert look(folder).left_out == view.left_out


def test_of_a_long_flood_the_beginning_and_the_end_are_kept(folder: Path) -> None:
    """A record each second for an hour: the first, the last, and the count of all."""
    moments = [at(NOW + timedelta(seconds=number)) for number in range(3600)]
    write(folder, *(line(f"EPIPE {number}", time=when) for number, when in enumerate(moments)))
    view = look(folder)
    assert len(view.records) == PER_NEEDLE
    assert (texts(view)[0], texts(view)[-1]) == ("EPIPE 0", "EPIPE 3599")
    assert view.left_out == {"EPIPE": 3600 - PER_NEEDLE}


def test_a_flood_of_one_kind_hides_no_other(folder: Path) -> None:
    """One needle's full second leaves the other needles' records alone, also in lines that hold both."""
    write(folder, *(line(f"EPIPE {number}") for number in range(5000)), line("timed out"), line("EPIPE timed out"))
    assert {"timed out", "EPIPE timed out"} < set(texts(look(folder)))


def test_a_flood_of_cli_records_hides_nothing(folder: Path) -> None:
    """Ten thousand records of a CLI call in the same second: counted apart, and the gateway's one is found."""
    write(folder, *(line(f"EPIPE {number}", name="openclaw") for number in range(10_000)), line("EPIPE gateway"))
    write(folder, line("[openclaw] Uncaught exception: write EPIPE", name="openclaw"))
    view = look(folder)
    assert texts(view) == ["EPIPE gateway", "[openclaw] Uncaught exception: write EPIPE"]
    assert view.own_dropped == 10_000


def test_long_records_are_clipped_round_the_needle(folder: Path) -> None:
    """A kept record is some kilobytes at most, with what was looked for in it."""
    write(folder, line("y" * 100_000 + " EPIPE here " + "z" * 100_000))
    (text,) = texts(look(folder))
    assert len(text) < 5000
    assert " EPIPE here " in text


# -- planned restarts -------------------------------------------------------------------------------------------


def test_lines_of_a_planned_restart_do_not_count(folder: Path) -> None:
    """They are told apart when the view is made, so that a window that is learnt of later holds as well."""
    moments = [NOW + timedelta(seconds=seconds) for seconds in (-10, 0, 5, 10, 20)]
    write(folder, *(line(f"EPIPE {number}", time=at(when)) for number, when in enumerate(moments)))
    look(folder)
    window = (NOW, NOW + timedelta(seconds=10))
    view = recent(
        [folder / "log"],
        ["EPIPE", "timed out"],
        since=WINDOW,
        tail_bytes=LOTS,
        planned=[window],
        remember=folder / "state.json",
    )
    assert texts(view) == ["EPIPE 0", "EPIPE 4"]
    assert (view.planned_dropped, view.bytes_read) == (3, 0)


# -- lines without a time ---------------------------------------------------------------------------------------


def test_a_line_without_a_time_has_that_of_the_line_before(folder: Path) -> None:
    """A stack trace of last week in a file that is never rotated is no news."""
    old = at(NOW - timedelta(days=7))
    write(folder, f"{old} [gateway] crash", "Error: write EPIPE", "    at socket", line("fine"), "Error: EPIPE now")
    view = look(folder)
    assert [(each.text, each.time) for each in view.records] == [("Error: EPIPE now", NOW)]


def test_a_file_without_any_time_is_as_old_as_its_last_change(folder: Path) -> None:
    """Plain text that nobody has written to since the window began is old."""
    write(folder, "Error: write EPIPE")
    before = (WINDOW - timedelta(seconds=5)).timestamp()
    os.utime(folder / "log", (before, before))
    assert texts(look(folder)) == []
    os.utime(folder / "log", (NOW.timestamp(), NOW.timestamp()))
    assert texts(look(folder, anew=True)) == ["Error: write EPIPE"]


# -- property ---------------------------------------------------------------------------------------------------

RECORDS = st.one_of(
    st.builds(
        lambda words, seconds, name: line(words, time=at(NOW + timedelta(seconds=seconds)), name=name).encode() + b"\n",
        st.sampled_from(["EPIPE", "timed out", "EPIPE timed out", "fine", "größer EPIPE\n\x00"]),
        st.integers(-1000, 1000),
        st.sampled_from(['{"subsystem":"gateway"}', "openclaw"]),
    ),
    st.sampled_from(
        [b"plain EPIPE\n", b"\x00\x00\n", b"\xff EPIPE\n", b"\n", b'{"torn EPIPE', b"2026-11-22T12:00:01Z EPIPE\n"]
    ),
    st.binary(max_size=30),
)
STEPS = st.lists(st.one_of(st.just("look"), st.just("rotate"), st.integers(1, 40)), max_size=12)


@given(records=st.lists(RECORDS, max_size=25), steps=STEPS)
@settings(deadline=None)
def test_many_looks_see_what_one_look_sees(records: list[bytes], steps: list[str | int]) -> None:
    """Any bytes, cut anywhere, rotated at any time: many looks find what one look at the end finds."""
    data = b"".join(records)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = [f"log.{number}" for number in range(len(steps), 0, -1)] + ["log"]
        (folder / "log").touch()
        for step in steps:
            if step == "look":
                look(folder, *names)
            elif step == "rotate":
                for older, newer in itertools.pairwise(names):
                    if (folder / newer).exists():
                        (folder / newer).rename(folder / older)
                (folder / "log").touch()
            else:
                size = max(1, len(data) * int(step) // 100)
                with (folder / "log").open("ab") as file:
                    file.write(data[:size])
                data = data[size:]
        with (folder / "log").open("ab") as file:
            file.write(data)
        stepwise, once = look(folder, *names), look(folder, *names, anew=True)
        assert sorted(map(told, stepwise.records)) == sorted(map(told, once.records))
        assert (stepwise.left_out, stepwise.own_dropped) == (once.left_out, once.own_dropped)
        assert stepwise.newest == once.newest


def told(record: object) -> str:
    """A record without the file's name, which changes with a rotation."""
    return repr((getattr(record, "text", ""), getattr(record, "level", ""), getattr(record, "offset", 0)))


# -- two at once, and while it is written -----------------------------------------------------------------------


def _writer(path: str, count: int) -> None:
    folder = Path(path)
    for number in range(count):
        write(folder, line(f"EPIPE {number}", time=at(NOW + timedelta(seconds=number))))
        if number % 50 == 49:
            (folder / "log").rename(folder / f"log.{number}")


def _reader(path: str, count: int) -> None:
    names = [f"log.{number}" for number in range(49, count, 50)] + ["log"]
    while not (Path(path) / "done").exists():
        look(Path(path), *names)


def test_two_doctors_at_once_and_a_log_that_rotates_under_them(folder: Path) -> None:
    """Both share one state; at the end each record was found, and once."""
    count = 240
    context = multiprocessing.get_context("spawn")
    readers = [context.Process(target=_reader, args=(str(folder), count)) for _ in range(2)]
    for reader in readers:
        reader.start()
    _writer(str(folder), count)
    (folder / "done").touch()
    for reader in readers:
        reader.join(60)
        assert reader.exitcode == 0
    names = [f"log.{number}" for number in range(49, count, 50)] + ["log"]
    found = texts(look(folder, *names))
    assert sorted(found, key=lambda each: int(each.split()[1])) == [f"EPIPE {number}" for number in range(count)]


def test_needles_have_names(folder: Path) -> None:
    """A signature's literals count together, under its id."""
    write(folder, *(line("EPIPE") for _ in range(9)), *(line("timed out") for _ in range(9)))
    needle = Needle("crash", ("EPIPE", "timed out"))
    view = recent([folder / "log"], [needle], since=WINDOW, tail_bytes=LOTS)
    assert (len(view.records), view.left_out) == (PER_SECOND, {"crash": 18 - PER_SECOND})


# ---- a process that stays


def test_a_follower_reads_on_without_a_file(folder: Path) -> None:
    """Each look reads what is new alone, the records of the window still count, and older ones leave with it."""
    follower = Follower([Needle("EPIPE", ("EPIPE",))])

    def follow(since: datetime) -> LogView:
        return follower.look([folder / "log"], since=since, tail_bytes=LOTS)

    write(folder, line("EPIPE 1"), line("healthy"))
    assert texts(follow(WINDOW)) == ["EPIPE 1"]
    write(folder, line("EPIPE 2"))
    view = follow(WINDOW)
    assert (texts(view), view.bytes_read) == (["EPIPE 1", "EPIPE 2"], len(line("EPIPE 2")) + 1)
    assert (texts(follow(WINDOW)), follow(WINDOW).bytes_read) == (["EPIPE 1", "EPIPE 2"], 0)
    assert texts(follow(NOW + timedelta(seconds=1))) == []
    assert [each.name for each in folder.iterdir()] == ["log"]


def test_a_follower_bears_a_clock_that_wavers_or_is_set_back(folder: Path) -> None:
    """A window that begins a moment earlier than the last one reads nothing again; an hour earlier begins anew."""
    follower = Follower([Needle("EPIPE", ("EPIPE",))])
    write(folder, line("EPIPE 1"))
    follower.look([folder / "log"], since=WINDOW, tail_bytes=LOTS)
    again = follower.look([folder / "log"], since=WINDOW - timedelta(seconds=5), tail_bytes=LOTS)
    assert (texts(again), again.bytes_read) == (["EPIPE 1"], 0)
    anew = follower.look([folder / "log"], since=WINDOW - timedelta(hours=1), tail_bytes=LOTS)
    assert texts(anew) == ["EPIPE 1"]
    assert anew.bytes_read > 0
