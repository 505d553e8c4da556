"""The state snapshot as a file: whole or not at all, never a failure to read, and as old as it says."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from msgspec.structs import replace

from oc_ops.cockpit import snapshot
from oc_ops.cockpit.state import Freshness, GatewayPart, Snapshot
from tests.support.snapshots import KINDS, sample


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the snapshot lies; the folder is made by whoever writes first."""
    return snapshot.path_of(tmp_path / "memory", "0123456789ab")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read(path: Path, kind: str) -> None:
    """Every field of every sample comes back as it was, of its own type."""
    shown = replace(sample(kind), written_at=1.0, written_monotonic=2.0)
    snapshot.Writer(path).write(shown, now=1.0, monotonic=2.0)
    reading = snapshot.read(path)
    assert not reading.problem
    assert reading.snapshot == shown


def test_the_samples_differ_from_the_defaults() -> None:
    """A round trip of nothing would prove nothing: the healthy sample sets every part."""
    shown = sample("healthy")
    parts = [each for each in Snapshot.__struct_fields__ if each not in ("schema", "profile")]
    assert [each for each in parts if getattr(shown, each) == getattr(Snapshot(), each)] == []


@pytest.mark.parametrize(
    "raw",
    [b"", b"null", b"[]", b'"x"', b"{", b"\xff\xfe", b"[" * 100_000, b'{"schema":2}', b"{}", b'{"schema":"1"}'],
    ids=["empty", "null", "list", "text", "torn", "not UTF-8", "deep", "newer", "bare", "schema of another kind"],
)
def test_what_is_no_snapshot_is_a_problem_and_no_error(path: Path, raw: bytes) -> None:
    """Whatever stands in the file, a reader gets an empty snapshot, a reason, and calls it stale."""
    path.parent.mkdir()
    path.write_bytes(raw)
    reading = snapshot.read(path)
    assert reading.problem
    assert reading.stale
    assert reading.snapshot == Snapshot()


def test_a_file_that_is_not_there_or_not_ours_is_a_problem(path: Path) -> None:
    """No watcher yet, and a folder in the file's place: two reasons in words."""
    assert "no watcher" in snapshot.read(path).problem
    path.mkdir(parents=True)
    assert "cannot read" in snapshot.read(path).problem


def test_a_file_without_an_end_is_not_read_into_memory(path: Path) -> None:
    """More than 4 MiB are none of ours."""
    path.parent.mkdir()
    with path.open("wb") as file:
        file.truncate(snapshot.MOST_BYTES + 1)
    assert snapshot.read(path).problem


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("state", "exploded"), ("state", 7), ("since", "yesterday"), ("since", True), ("since", float("nan")),
        ("since", 10**400), ("port", 1.5), ("port", "80"), ("fact", None), ("fact", ["x"]), ("seen", "now"),
    ],
)  # fmt: skip
def test_a_member_of_the_wrong_kind_makes_it_no_snapshot(path: Path, name: str, said: object) -> None:
    """A file that is not as we write it shows nothing, and says where it is not."""
    path.parent.mkdir()
    path.write_text(json.dumps({"schema": 1, "gateway": {"version": "2026.9.6", name: said}}))
    reading = snapshot.read(path)
    assert reading.problem.startswith(f"{path.name} holds no snapshot: ")
    assert reading.snapshot == Snapshot()


def test_what_is_no_text_costs_its_character_and_no_snapshot(path: Path) -> None:
    """A name that is no UTF-8 comes as half of a surrogate pair, which no JSON reader takes."""
    snapshot.Writer(path).write(replace(sample("hung"), profile="p\udcff\u202e\x00\U0001f600"))
    reading = snapshot.read(path)
    assert (reading.problem, reading.snapshot.profile) == ("", "p?\u202e\x00\U0001f600")


def test_what_a_newer_release_adds_is_passed_over(path: Path) -> None:
    """Members and parts that this one does not know; those that it knows and that are missing have their defaults."""
    path.parent.mkdir()
    path.write_text(json.dumps({"schema": 1, "weather": {"rain": True}, "gateway": {"version": "9", "mood": "good"}}))
    reading = snapshot.read(path)
    assert (reading.problem, reading.snapshot.gateway) == ("", GatewayPart(version="9"))


json_values = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=20),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(database=None, deadline=None)
@given(some.dictionaries(some.sampled_from(list(Snapshot.__struct_fields__)), json_values), json_values)
def test_no_json_makes_a_reader_fail(tmp_path_factory: pytest.TempPathFactory, said: Any, part: Any) -> None:
    """Members of any shape, at the top and inside a part: a snapshot comes out or a reason, and it can be written."""
    path = tmp_path_factory.mktemp("any") / "state.json"
    inner = dict.fromkeys(GatewayPart.__struct_fields__, part)
    path.write_text(json.dumps({**said, "schema": 1, "gateway": inner, "rpc": part}))
    reading = snapshot.read(path)
    assert (reading.age_s is None) == bool(reading.problem)
    snapshot.Writer(path).write(reading.snapshot)


# ---- age


def test_age_goes_by_the_clock_that_shows_more(path: Path) -> None:
    """A wall clock set back, or a reboot that begins the steady one anew, cannot make an old snapshot young."""
    snapshot.Writer(path).write(sample("healthy"), now=1_000_000.0, monotonic=500.0)
    ages = {
        "at once": (1_000_000.0, 500.0, 0.0),
        "later": (1_000_020.0, 520.0, 20.0),
        "clock set back": (996_400.0, 520.0, 20.0),
        "rebooted": (1_000_090.0, 3.0, 90.0),
    }
    for now, monotonic, age_s in ages.values():
        assert snapshot.read(path, now=now, monotonic=monotonic).age_s == age_s
    assert not snapshot.read(path, now=1_000_015.0, monotonic=515.0).stale
    assert snapshot.read(path, now=1_000_016.0, monotonic=516.0).stale


def test_a_part_is_stale_when_it_could_not_be_looked_at_or_not_in_time() -> None:
    """Never looked at, a problem, or three intervals and a writing passed; without an interval age is no fault."""
    assert Freshness().stale(100.0)
    assert Freshness(99.0, "http", "no answer", 99.5).stale(100.0)
    assert Freshness(88.0, "http", every_s=2.0).stale(100.0)
    assert not Freshness(90.0, "http", every_s=2.0).stale(100.0)
    assert not Freshness(1.0, "event").stale(100.0)


# ---- the file


def test_only_the_owner_may_read_it(path: Path) -> None:
    """File and folder are private: log lines are in it."""
    snapshot.Writer(path).write(sample("healthy"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_reader_never_meets_half_a_snapshot(path: Path) -> None:
    """While a writer replaces the file a thousand times, every reading is whole."""
    writer = snapshot.Writer(path)
    kinds = [sample("healthy"), sample("hostile"), sample("empty")]
    writer.write(kinds[0])

    def write() -> None:
        for number in range(300):
            writer.write(replace(kinds[number % 3], number=number))

    thread = threading.Thread(target=write)
    thread.start()
    problems, seen = set(), set()
    while thread.is_alive():
        reading = snapshot.read(path)
        problems.add(reading.problem)
        seen.add(reading.snapshot.number)
    thread.join()
    assert problems == {""}
    assert len(seen) > 3


def test_a_write_that_fails_leaves_the_old_one_and_no_litter(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk raises OSError; what was there is still there."""
    snapshot.Writer(path).write(replace(sample("healthy"), number=1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        snapshot.Writer(path).write(replace(sample("healthy"), number=2))
    assert snapshot.read(path).snapshot.number == 1
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 - hidden ones too, by name


def test_an_unchanged_part_is_put_into_words_and_read_once(path: Path) -> None:
    """The same object is not dumped again, and an unchanged part comes out as the same object."""
    shown = sample("healthy")
    writer, reader = snapshot.Writer(path), snapshot.Reader(path)
    writer.write(shown)
    first = reader.read().snapshot
    changed = replace(shown, gateway=replace(shown.gateway, state="hung"), number=shown.number + 1)
    writer.write(changed)
    second = reader.read().snapshot
    assert second.gateway.state == "hung"
    assert second.number == shown.number + 1
    assert second.log is first.log
    assert second.jobs is first.jobs
    assert second.memory == changed.memory


def test_a_reader_forgets_what_the_file_no_longer_says(path: Path) -> None:
    """A part that is gone is empty again, and so is everything once the file is gone or broken."""
    reader = snapshot.Reader(path)
    snapshot.Writer(path).write(sample("healthy"))
    assert reader.read().snapshot.rpc.state == "on"
    path.write_text(json.dumps({"schema": 1, "written_at": time.time(), "number": 9}))
    assert reader.read().snapshot.rpc.state == "unknown"
    assert reader.read().snapshot.number == 9
    path.write_text("{")
    assert reader.read().problem
    path.unlink()
    assert "no watcher" in reader.read().problem
    snapshot.Writer(path).write(sample("healthy"))
    assert reader.read().snapshot.rpc.state == "on"


def test_a_heartbeat_says_whether_anybody_sees_a_pane(tmp_path: Path) -> None:
    """A living session touches one mark, a watched one both; a folder that cannot be written is no error."""
    snapshot.heartbeat(tmp_path, "key", watched=False)
    assert snapshot.session_mark(tmp_path, "key").exists()
    assert not snapshot.watching_mark(tmp_path, "key").exists()
    snapshot.heartbeat(tmp_path, "key")
    assert snapshot.watching_mark(tmp_path, "key").exists()
    snapshot.heartbeat(tmp_path / "not" / "there", "key")
