"""The history: what was written stays, whatever dies, fills up or tears; each thing counts once; and it never grows."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from oc_ops.judge.finding import Finding
from oc_ops.record.history import database, write
from oc_ops.record.history.database import FILE, HistoryError, reading
from oc_ops.record.history.entry import CallEntry, CheckEntry, CronRunEntry, IncidentEntry, Process
from oc_ops.record.history.query import History
from oc_ops.record.history.write import remember
from tests.support import past

FAKE = Path(__file__).parents[2] / "fakes" / "history_writers.py"
DAY_MS = 86_400_000

pytestmark = pytest.mark.timeout(180)


def writers(what: str, path: Path, *numbers: int) -> Any:
    """What a run of the fake's writers reports."""
    argv = [sys.executable, "-I", str(FAKE), what, str(path), *map(str, numbers)]
    return json.loads(subprocess.run(argv, capture_output=True, check=True, text=True).stdout)


def rows(memory_dir: Path, query: str) -> list[tuple[Any, ...]]:
    """What a query finds."""
    with reading(memory_dir) as found:
        assert found is not None
        return found.execute(query).fetchall()


def sums(memory_dir: Path, what: str) -> dict[tuple[str, str], float]:
    """A total by its labels."""
    return {
        (label, more): n
        for label, more, n in rows(memory_dir, f"SELECT label, more, sum FROM totals WHERE what = '{what}'")
    }


def is_whole(memory_dir: Path) -> bool:
    """True when SQLite itself finds nothing wrong with the file."""
    return rows(memory_dir, "PRAGMA integrity_check") == [("ok",)]


def test_a_run_is_there_whole(tmp_path: Path) -> None:
    """Run, checks, calls, findings, the hour's sums and the totals, all from one write."""
    finding = Finding("gateway/hung", "error", "", "", "")
    past.remembered(tmp_path, past.hung(findings=(finding,)))
    assert rows(tmp_path, "SELECT verdict, stamp, pid, incident FROM runs") == [
        ("unhealthy", f"{past.NOW_MS}", 4171, "20261122-gateway-hung")
    ]
    assert rows(tmp_path, "SELECT count(*) FROM checks") == [(len(past.CHECKS),)]
    assert rows(tmp_path, "SELECT text, severity FROM findings JOIN names ON names.id = findings.name") == [
        ("gateway/hung", "error")
    ]
    assert rows(tmp_path, "SELECT wall_us FROM calls") == [(2_000_000,)] * 2
    assert rows(tmp_path, "SELECT sum(failed), sum(passed) + sum(blocked) FROM check_sums WHERE hours = 24") == [
        (1, len(past.CHECKS) - 1)
    ]
    assert sums(tmp_path, "runs") == {("unhealthy", ""): 1}
    assert sums(tmp_path, "calls") == {("http /healthz", "silent"): 2}


def test_a_run_counts_once(tmp_path: Path) -> None:
    """Written twice, it is there once, in the tables and in the sums."""
    past.remembered(tmp_path, past.run(), past.run(), past.run(past.NOW_MS + past.STEP_MS))
    assert rows(tmp_path, "SELECT count(*) FROM runs") == [(2,)]
    assert rows(tmp_path, "SELECT DISTINCT passed FROM check_sums WHERE hours = 24") == [(2,)]
    assert sums(tmp_path, "runs") == {("healthy", ""): 2}


def test_a_cron_run_counts_once_however_often_it_is_told(tmp_path: Path) -> None:
    """Overlapping histories of two runs make one row and one count a run; the job's new name is taken over."""
    first, second = CronRunEntry(1_000, "ok", 500, False), CronRunEntry(2_000, "error", 9_000, True)
    later = past.NOW_MS + past.STEP_MS
    old = past.run(jobs=(past.job(first),))
    new = past.run(later, jobs=(past.job(first, second, name="renamed"),))
    remember(tmp_path, old, 40_000)
    remember(tmp_path, new, 40_000)
    assert rows(tmp_path, "SELECT started_ms, status, timed_out FROM cron_runs") == [
        (1_000, "ok", 0),
        (2_000, "error", 1),
    ]
    assert rows(tmp_path, "SELECT name, watched, seen_ms FROM cron_jobs") == [("renamed", 1, later)]
    assert sums(tmp_path, "cron_runs") == {("j1", "ok"): 1, ("j1", "error"): 1}
    assert sums(tmp_path, "cron_timeouts") == {("j1", ""): 1}
    assert sums(tmp_path, "cron_s") == {("j1", ""): 9.5}


def test_retention(tmp_path: Path) -> None:
    """What is too old goes, with everything that hangs on it; sums, incidents and restarts stay."""
    told = past.job(CronRunEntry(past.NOW_MS - 50 * DAY_MS, "ok", 1, False))
    old = past.run(past.NOW_MS - 50 * DAY_MS, jobs=(told,), restarts=((past.NOW_MS - 50 * DAY_MS, "openclaw"),))
    past.remembered(tmp_path, old, days=400)
    # The gateway still tells of the old cron run: it neither comes back nor counts again.
    past.remembered(tmp_path, past.run(jobs=(told,)), days=30)
    for table in ("runs", "check_sums", "checks", "calls"):
        per_run = {"runs": 1, "calls": len(past.CALLS), "check_sums": 2 * len(past.CHECKS)}.get(table, len(past.CHECKS))
        assert rows(tmp_path, f"SELECT count(*) FROM {table}") == [(per_run,)], table
    assert rows(tmp_path, "SELECT count(*) FROM cron_runs") == [(0,)]
    assert rows(tmp_path, "SELECT count(*) FROM restarts") == [(1,)]
    assert sums(tmp_path, "runs") == {("healthy", ""): 2}
    assert sums(tmp_path, "cron_runs") == {("j1", "ok"): 1}


def test_no_run_pays_for_a_shorter_retention(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write removes a bounded number of old runs; those that follow remove the rest."""
    monkeypatch.setattr(write, "_MOST_PRUNED", 10)
    past.remembered(tmp_path, *(past.run(past.NOW_MS + n) for n in range(14)))
    past.remembered(tmp_path, past.run(past.NOW_MS + 50 * DAY_MS), days=1)
    assert rows(tmp_path, "SELECT count(*) FROM runs") == [(5,)]
    past.remembered(tmp_path, past.run(past.NOW_MS + 50 * DAY_MS + 1), days=1)
    assert rows(tmp_path, "SELECT count(*) FROM runs") == [(2,)]


def incident(**changes: Any) -> IncidentEntry:
    """An open incident, or what became of it."""
    members: dict[str, Any] = dict.fromkeys(("green_ms", "closed_ms", "recover_s", "first_sign_ms", "detect_s"))
    members |= {"id": "i1", "cause": "gateway/hung", "opened_ms": past.NOW_MS, "flaps": 0, "attempts": 0}
    return IncidentEntry(**{**members, **changes})


def test_incidents_are_brought_up_to_date(tmp_path: Path) -> None:
    """From open to closed it is one row and one count; its times count when it is closed, once."""
    done = incident(closed_ms=past.NOW_MS + 900_000, green_ms=past.NOW_MS + 600_000, recover_s=600.0, attempts=1)
    past.remembered(tmp_path, past.hung(incidents=(incident(),)))
    past.remembered(tmp_path, past.run(past.NOW_MS + 1, incidents=(incident(green_ms=past.NOW_MS + 1),)))
    past.remembered(tmp_path, past.run(past.NOW_MS + 2, incidents=(done,)))
    past.remembered(tmp_path, past.run(past.NOW_MS + 3, incidents=(done,)))
    assert rows(tmp_path, "SELECT id, recover_s, attempts FROM incidents") == [("i1", 600.0, 1)]
    assert sums(tmp_path, "incidents") == {("gateway/hung", ""): 1}
    assert sums(tmp_path, "recover_s") == {("", ""): 600}
    assert sums(tmp_path, "recoveries") == {("", ""): 1}


def test_an_incident_that_somebody_closed_is_asked_for(tmp_path: Path) -> None:
    """What is open here and not told any more is looked up, and only then."""
    asked: list[list[str]] = []

    def ended(ids: Any) -> list[IncidentEntry]:
        asked.append([*ids])
        return [incident(closed_ms=past.NOW_MS + 5)]

    remember(tmp_path, past.hung(incidents=(incident(),)), 400, ended)
    remember(tmp_path, past.run(past.NOW_MS + 1), 400, ended)
    remember(tmp_path, past.run(past.NOW_MS + 2), 400, ended)
    assert asked == [["i1"]]
    assert rows(tmp_path, "SELECT closed_ms FROM incidents") == [(past.NOW_MS + 5,)]


@pytest.mark.parametrize(
    ("told", "begins", "expected"),
    [
        pytest.param([(), ()], [0, 400], [], id="a clock tick is no restart"),
        pytest.param([(), ()], [0, 60_000], [(60_000, "unseen")], id="nobody tells of it"),
        pytest.param([(), ((55_000, "openclaw"),)], [0, 60_000], [(55_000, "openclaw")], id="openclaw tells"),
        pytest.param([(), (), ((75_000, "openclaw"),)], [0, 60_000, 60_000], [(60_000, "openclaw")], id="told of late"),
        pytest.param(
            [((20_000, "oc-ops"),), ((20_000, "oc-ops"),), ((20_000, "oc-ops"),), ((20_000, "oc-ops"),)],
            [30_000, 30_000, 90_000, 90_000],
            [(20_000, "oc-ops"), (90_000, "unseen")],
            id="ours, and then a crash",
        ),
        pytest.param([((5_000, "openclaw"),)] * 3, [10_000] * 3, [(5_000, "openclaw")], id="told again and again"),
        pytest.param([(), (), ()], [(0, 9), (0, 99_000), (0, 99_000)], [(99_000, "unseen")], id="in place"),
        pytest.param([(), (), ()], [(0, 99_000), (0, None), (0, 99_000)], [], id="a hang is no restart"),
        pytest.param(
            [(), ((60_000, "openclaw"),), ((60_000, "openclaw"),)],
            [(0, 9), (0, 75_000), (99_000, 130_000)],
            [(60_000, "openclaw"), (99_000, "unseen")],
            id="in place by openclaw, and then a crash",
        ),
        pytest.param(
            [()] * 3,
            [(0, 50_000), (200_000, None), (200_000, 300_000)],
            [(200_000, "unseen")],
            id="a slow start is one",
        ),
    ],
)
def test_restarts_by_anybody_count_once(tmp_path: Path, told: Any, begins: list[Any], expected: Any) -> None:
    """What records tell of and what only the process gives away come together as one restart each."""
    base = past.NOW_MS
    for number, (restarts, begin) in enumerate(zip(told, begins, strict=True)):
        shifted = tuple((base + at, by) for at, by in restarts)
        born, serving = begin if isinstance(begin, tuple) else (begin, None)
        process = Process(1, base + born, 1, None if serving is None else base + serving)
        past.remembered(tmp_path, past.run(base + 10**6 + number, process=process, restarts=shifted))
    assert [(at - base, by) for at, by in rows(tmp_path, "SELECT at_ms, by FROM restarts")] == expected
    assert sum(sums(tmp_path, "restarts").values()) == len(expected)


def test_the_same_state_is_written_once(tmp_path: Path) -> None:
    """Releases, config and jobs take room only when they change."""
    past.remembered(tmp_path, *(past.run(past.NOW_MS + n) for n in range(5)))
    past.remembered(tmp_path, past.run(past.NOW_MS + 9, state={"CLI": "2026.9.7"}))
    assert rows(tmp_path, "SELECT count(*) FROM states") == [(2,)]


def test_a_clock_that_was_ahead(tmp_path: Path) -> None:
    """The last run is the one that was written last: a clock a day ahead for one run hides no red one for a day."""
    ahead, now = past.NOW_MS + DAY_MS, past.NOW_MS + past.STEP_MS
    past.remembered(tmp_path, past.run(ahead), past.run(ahead + 1, key="other"), past.run(now - 1), past.hung(now))
    with reading(tmp_path) as found:
        assert found is not None
        history = History(found)
        last_looked_at = history.gateways()[0]
        last = history.last_run(last_looked_at.id)
        assert last is not None
        assert (last_looked_at.key, last.verdict, last.at_ms) == (past.KEY, "unhealthy", now)
        assert history.last_healthy_ms(last_looked_at.id) == now - 1


def test_many_kills(tmp_path: Path) -> None:
    """A writer that is killed at any instant loses no run it acknowledged, and leaves no half of one."""
    acknowledged = writers("kills", tmp_path, 75)
    assert len(acknowledged) > 20, "the kills fell before the writing"
    found = rows(tmp_path, "SELECT key, at_ms FROM runs JOIN gateways ON gateways.id = runs.gateway")
    numbers = {(int(key[6:]), at - past.NOW_MS - int(key[6:]) * 10**6) for key, at in found}
    assert {tuple(each) for each in acknowledged} <= numbers
    assert rows(tmp_path, "SELECT DISTINCT count(*) FROM checks GROUP BY run") == [(len(past.CHECKS),)]
    assert is_whole(tmp_path)


def test_four_writers_at_once(tmp_path: Path) -> None:
    """Nothing is lost and nobody fails."""
    assert writers("together", tmp_path, 4, 25) == [0] * 4
    assert rows(tmp_path, "SELECT count(*) FROM runs") == [(100,)]
    assert is_whole(tmp_path)


def is_well_after(told: Any, path: Path) -> None:
    """Three refusals in one sentence each; what was there stayed whole, and with room again it went on."""
    assert len(told["refused"]) == 3
    assert all(f"{path / FILE} could not be written: " in each for each in told["refused"])
    assert (told["runs"], told["integrity"], told["aside"]) == (told["written"], "ok", [])
    assert told["written"] > 5


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """A quota is no corruption: refused, whole, and no more than a sentence."""
    is_well_after(writers("full", tmp_path, 150_000), tmp_path)


@pytest.mark.live
@pytest.mark.skipif(sys.platform != "linux", reason="tmpfs in a mount namespace of its own is Linux's")
def test_a_full_disk(tmp_path: Path) -> None:
    """A file system of 600 KB that really is full, until a file goes."""
    script = (
        f"mount -t tmpfs -o size=600k none {tmp_path} && head -c 200000 /dev/zero > {tmp_path}/filler && "
        f"exec {sys.executable} -I {FAKE} full {tmp_path} 0"
    )
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    done = subprocess.run(["unshare", *own, "--mount", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    is_well_after(told, tmp_path)
    assert "database or disk is full" in told["refused"][0]


@pytest.mark.parametrize("damage", ["no database", "torn in the middle", "empty"])
def test_a_corrupt_file_is_set_aside(tmp_path: Path, damage: str) -> None:
    """The history begins anew, the old file is kept under another name, and whoever wrote is told; empty is no loss."""
    past.remembered(tmp_path, *(past.run(past.NOW_MS + n) for n in range(50)))
    path = tmp_path / FILE
    whole = path.read_bytes()
    path.write_bytes(
        {
            "no database": b"hello " * 2000,
            "torn in the middle": whole[:4096] + b"\xa5" * (len(whole) - 4096),
            "empty": b"",
        }[damage]
    )
    notice = remember(tmp_path, past.run(past.NOW_MS + 99), 400)
    aside = [each.name for each in tmp_path.glob("ops.sqlite.corrupt-*") if not each.name.endswith(("-wal", "-shm"))]
    assert rows(tmp_path, "SELECT at_ms FROM runs") == [(past.NOW_MS + 99,)]
    assert bool(aside) == (damage != "empty")
    assert bool(notice) == (damage != "empty")
    assert not aside or (f"set aside as {aside[0]} and started over" in notice and str(path) in notice)


def test_a_reader_of_a_corrupt_file_moves_nothing(tmp_path: Path) -> None:
    """It says so; setting aside is left to the next run."""
    (tmp_path / FILE).write_bytes(b"hello " * 2000)
    with pytest.raises(HistoryError, match="could not be read: file is not a database"), reading(tmp_path):
        pass
    assert (tmp_path / FILE).read_bytes() == b"hello " * 2000


def test_a_stranger_s_database_is_left_alone(tmp_path: Path) -> None:
    """A database of another program is neither written nor set aside."""
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("PRAGMA application_id = 77")
        other.execute("CREATE TABLE theirs (x)")
    with pytest.raises(HistoryError, match="it is a database of another program"):
        remember(tmp_path, past.run(), 400)
    assert not list(tmp_path.glob("*corrupt*"))


def test_a_later_version_is_left_alone(tmp_path: Path) -> None:
    """A history that a later oc-ops wrote is neither written nor set aside, and the sentence says what to do."""
    past.remembered(tmp_path, past.run())
    with sqlite3.connect(tmp_path / FILE) as later:
        later.execute("PRAGMA user_version = 99")
    with pytest.raises(HistoryError, match="of version 99, this oc-ops knows 1: update oc-ops"):
        remember(tmp_path, past.run(past.NOW_MS + 1), 400)
    with pytest.raises(HistoryError, match="could not be read: it is of version 99"), reading(tmp_path):
        pass


def test_a_migration_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later version's steps are done once, in order, over the data; one that fails, not at all."""
    past.remembered(tmp_path, past.run())
    step = ("ALTER TABLE runs ADD COLUMN load REAL", "UPDATE runs SET load = 1.5")
    monkeypatch.setattr(database, "MIGRATIONS", (*database.MIGRATIONS, step, ("UPDATE nowhere SET x = 1",)))
    with pytest.raises(HistoryError, match="no such table: nowhere"):
        remember(tmp_path, past.run(past.NOW_MS + 1), 400)
    monkeypatch.setattr(database, "MIGRATIONS", database.MIGRATIONS[:-1])
    assert rows(tmp_path, "SELECT load FROM runs") == [(1.5,)]
    assert rows(tmp_path, "PRAGMA user_version") == [(2,)]
    past.remembered(tmp_path, past.run(past.NOW_MS + 1))
    assert rows(tmp_path, "SELECT count(*) FROM runs") == [(2,)]


def test_waits_no_longer_than_told(tmp_path: Path) -> None:
    """A writer that finds another one at work says so and goes."""
    past.remembered(tmp_path, past.run())
    from oc_ops.record.history import database

    held, go = threading.Event(), threading.Event()

    def hold(_connection: sqlite3.Connection) -> None:
        held.set()
        go.wait(30)

    other = threading.Thread(target=lambda: database.write(tmp_path, hold))
    other.start()
    try:
        held.wait(30)
        with pytest.raises(HistoryError, match=r"could not be written: ops\.sqlite\.lock is held by"):
            remember(tmp_path, past.run(past.NOW_MS + 1), 400, lock_s=0.2)
        assert rows(tmp_path, "SELECT count(*) FROM runs") == [(1,)], "a reader waits for nobody"
    finally:
        go.set()
        other.join()


def test_is_private(tmp_path: Path) -> None:
    """Nobody else can read it, its write-ahead log included."""
    past.remembered(tmp_path / "memory", past.run())
    with reading(tmp_path / "memory"):
        modes = {each.name: each.stat().st_mode & 0o777 for each in (tmp_path / "memory").glob("ops.sqlite*")}
    assert {FILE, f"{FILE}.lock"} <= modes.keys()
    assert set(modes.values()) == {0o600}


def test_no_history_is_none(tmp_path: Path) -> None:
    """A look makes nothing."""
    with reading(tmp_path / "none") as found:
        assert found is None
    assert not (tmp_path / "none").exists()


def test_a_place_that_cannot_be(tmp_path: Path) -> None:
    """A folder in its place is one sentence."""
    (tmp_path / FILE).mkdir()
    with pytest.raises(HistoryError, match="could not be written: "):
        remember(tmp_path, past.run(), 400)


def test_two_calls_of_one_name_are_two(tmp_path: Path) -> None:
    """A second look at a silent port is a call of its own; a check that stands there twice is one."""
    twice = (CallEntry("http /healthz", "silent", 2.0),) * 2
    checks = (CheckEntry("a/b", "passed", 0.1), CheckEntry("a/b", "failed", 0.1))
    past.remembered(tmp_path, past.run(calls=twice, checks=checks))
    assert rows(tmp_path, "SELECT count(*) FROM calls") == [(2,)]
    assert rows(tmp_path, "SELECT passed, failed FROM check_sums WHERE hours = 1") == [(0, 1)]
