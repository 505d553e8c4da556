"""The gateway's own store of three generations: read as it is, in milliseconds, leaving no trace and no doubt."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oc_ops.errors import CouldNotLook
from oc_ops.observe import jobstore
from oc_ops.observe.database import ReadTransaction
from oc_ops.observe.jobs import KEPT_RUNS, JobRun, Receipt

SCHEMA = """
CREATE TABLE cron_jobs (store_key TEXT NOT NULL, job_id TEXT NOT NULL, enabled INTEGER NOT NULL, job_json TEXT NOT NULL,
  state_json TEXT NOT NULL, runtime_updated_at_ms INTEGER, sort_order INTEGER NOT NULL DEFAULT 0,
  updated_at INTEGER NOT NULL, PRIMARY KEY (store_key, job_id)) STRICT;
CREATE TABLE cron_run_receipts (receipt_id TEXT PRIMARY KEY, store_key TEXT NOT NULL, job_id TEXT NOT NULL,
  status TEXT NOT NULL, owner_pid INTEGER NOT NULL, started_at_ms INTEGER NOT NULL, finished_at_ms INTEGER) STRICT;
CREATE TABLE task_runs (task_id TEXT PRIMARY KEY, runtime TEXT NOT NULL, source_id TEXT, status TEXT NOT NULL,
  started_at INTEGER, ended_at INTEGER, error TEXT, detail_json TEXT) STRICT;
"""
DEFINITION = {"name": "backup", "enabled": True, "schedule": {"kind": "every", "everyMs": 60000}, "state": {}}


def database(state_dir: Path, *, journal: str = "wal") -> sqlite3.Connection:
    """A store as 2026.9.6 keeps it, in the hands of its owner."""
    (state_dir / "state").mkdir(parents=True, exist_ok=True)
    owner = sqlite3.connect(state_dir / "state" / "openclaw.sqlite", isolation_level=None)
    owner.execute(f"PRAGMA journal_mode = {journal}")
    owner.executescript(SCHEMA)
    return owner


def add(owner: sqlite3.Connection, state_dir: Path, job_id: str = "job-a", *, key: str = "", **state: object) -> None:
    """A job with its state, kept under the path that jobs.json had."""
    values = (key or str(state_dir / "cron" / "jobs.json"), job_id, json.dumps({"id": job_id, **DEFINITION}))
    owner.execute("INSERT INTO cron_jobs VALUES (?, ?, 1, ?, ?, 7, 0, 7)", (*values, json.dumps(state)))


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """The owner's open connection to the store in tmp_path."""
    with contextlib.closing(database(tmp_path)) as connection:
        yield connection


def listing(folder: Path) -> Mapping[str, tuple[int, int, str]]:
    """Everything below a folder: size, modification time, content."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_size,
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(folder.rglob("*"))
    }


# -- the database ---------------------------------------------------------------------------------------------------


def test_what_the_owner_has_not_moved_yet_counts(owner: sqlite3.Connection, tmp_path: Path) -> None:
    """A job that stands in the write-ahead log alone is seen, with its state, while the owner has it open."""
    add(owner, tmp_path, runningAtMs=5, runningReceiptId="r1")
    seen = jobstore.read(tmp_path)
    (job,) = seen.jobs
    assert (seen.source, seen.complete) == ("store", True)
    assert (job.id, job.name, job.running_ms, job.receipt_id, job.updated_ms) == ("job-a", "backup", 5, "r1", 7)
    assert (tmp_path / "state" / "openclaw.sqlite-wal").stat().st_size > 0


def test_runs_and_receipts_come_along(owner: sqlite3.Connection, tmp_path: Path) -> None:
    """Ended runs, newest first, in the words of `cron.runs`; receipts that are open or that a marker names."""
    add(owner, tmp_path, runningAtMs=5, runningReceiptId="r1")
    key = str(tmp_path / "cron" / "jobs.json")
    for id_, status in (("r1", "error"), ("r2", "running"), ("r3", "ok")):
        owner.execute("INSERT INTO cron_run_receipts VALUES (?, ?, 'job-a', ?, 42, 5, NULL)", (id_, key, status))
    detail = json.dumps({"kind": "cron-run", "status": "error", "error": "no", "runAtMs": 10, "durationMs": 0})
    for row in (
        ("t1", "cron", "job-a", "failed", 10, 20, "no", detail),
        ("t2", "cron", "job-a", "succeeded", 30, 40, None, None),
        ("t3", "cron", "job-a", "running", 50, None, None, None),
        ("t4", "subagent", "job-a", "failed", 60, 70, None, None),
        ("t5", "cron", "job-b", "failed", 60, 70, None, None),
    ):
        owner.execute("INSERT INTO task_runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    seen = jobstore.read(tmp_path)
    assert seen.runs == {"job-a": (JobRun("ok", 30, 10), JobRun("error", 10, 0, "no"))}
    assert seen.receipts == (Receipt("r1", "job-a", "error", 42, 5), Receipt("r2", "job-a", "running", 42, 5))


def test_only_the_latest_runs_are_read(owner: sqlite3.Connection, tmp_path: Path) -> None:
    """Of a long history the newest are kept."""
    add(owner, tmp_path)
    rows = [(str(number), number, number + 1) for number in range(3 * KEPT_RUNS)]
    owner.executemany("INSERT INTO task_runs VALUES (?, 'cron', 'job-a', 'succeeded', ?, ?, NULL, NULL)", rows)
    runs = jobstore.read(tmp_path).runs["job-a"]
    assert (len(runs), runs[0].started_ms) == (KEPT_RUNS, 3 * KEPT_RUNS - 1)


def test_a_store_without_jobs_is_empty_and_not_unseen(owner: sqlite3.Connection, tmp_path: Path) -> None:
    """A gateway that has no jobs says so; that is an answer."""
    assert jobstore.read(tmp_path).jobs == ()


def killed(tmp_path: Path, away: Path) -> Path:
    """A copy of what an owner leaves that was killed: log and index, and nobody who holds them."""
    return shutil.copytree(tmp_path, away)


def closed(tmp_path: Path, away: Path) -> Path:
    """After a clean stop: one file."""
    shutil.copytree(tmp_path, away)
    with contextlib.closing(sqlite3.connect(away / "state" / "openclaw.sqlite")) as last:
        last.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert not list(away.rglob("*-wal"))
    return away


def emptied(tmp_path: Path, away: Path) -> Path:
    """After a checkpoint that emptied the log, with the index gone."""
    closed(tmp_path, away)
    (away / "state" / "openclaw.sqlite-wal").touch()
    return away


@pytest.mark.parametrize("lie", [killed, closed, emptied], ids=lambda lie: lie.__name__)
def test_reading_leaves_no_trace(
    lie: Callable[[Path, Path], Path],
    owner: sqlite3.Connection,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """However its owner left it, every job is read, and no byte, file or modification time is another afterwards."""
    add(owner, tmp_path, runningAtMs=5)
    state_dir = lie(tmp_path, tmp_path_factory.mktemp("away") / "state-dir")
    before = listing(state_dir)
    assert [job.running_ms for job in jobstore.read(state_dir).jobs] == [5]
    assert listing(state_dir) == before


HOLDS = """
import sqlite3, sys
owner = sqlite3.connect(sys.argv[1], isolation_level=None)
owner.execute("UPDATE cron_jobs SET updated_at = 8")
print("open", flush=True)
sys.stdin.read()
"""


def test_reading_beside_a_live_owner_leaves_no_trace(owner: sqlite3.Connection, tmp_path: Path) -> None:
    """Another process has it open, as the gateway would: not even the log's index is touched."""
    add(owner, tmp_path, runningAtMs=5)
    away = killed(tmp_path, tmp_path / "away")
    argv = [sys.executable, "-c", HOLDS, str(away / "state" / "openclaw.sqlite")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        before = listing(away)
        assert [job.running_ms for job in jobstore.read(away).jobs] == [5]
        assert listing(away) == before
        other.kill()


def test_a_log_without_index_is_left_alone(owner: sqlite3.Connection, tmp_path: Path) -> None:
    """A log whose index is lost could only be read by writing one: that is said instead of the older half."""
    add(owner, tmp_path)
    away = tmp_path / "away"
    (away / "state").mkdir(parents=True)
    for name in ("openclaw.sqlite", "openclaw.sqlite-wal"):
        shutil.copy(tmp_path / "state" / name, away / "state")
    before = listing(away)
    with pytest.raises(CouldNotLook, match="unable to open"):
        jobstore.read(away)
    assert listing(away) == before


def test_a_database_without_a_log_is_read_under_its_locks(tmp_path: Path) -> None:
    """On network mounts OpenClaw keeps no log: a write under way is waited for shortly and then named."""
    with contextlib.closing(database(tmp_path, journal="delete")) as owner:
        add(owner, tmp_path)
        assert len(jobstore.read(tmp_path).jobs) == 1
        owner.execute("BEGIN EXCLUSIVE")
        with pytest.raises(CouldNotLook, match="its owner has locked it"):
            jobstore.read(tmp_path)


def test_a_write_under_way_is_not_waited_for(owner: sqlite3.Connection, tmp_path: Path) -> None:
    """The owner's open transaction hides nothing that was there before, and we hold up no later one."""
    add(owner, tmp_path, "job-a")
    owner.execute("BEGIN IMMEDIATE")
    add(owner, tmp_path, "job-b")
    assert [job.id for job in jobstore.read(tmp_path).jobs] == ["job-a"]
    owner.execute("COMMIT")
    assert [job.id for job in jobstore.read(tmp_path).jobs] == ["job-a", "job-b"]


def test_a_write_while_it_is_read_as_it_lies_voids_the_look(
    owner: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that comes up meanwhile is noticed, and the second look goes through its log."""
    add(owner, tmp_path, "job-a")
    away = closed(tmp_path, tmp_path / "away")
    rows = ReadTransaction.rows
    came_up: list[sqlite3.Connection] = []

    def rows_before_it_starts(self: ReadTransaction, query: str, *parameters: str | int) -> object:
        seen = rows(self, query, *parameters)
        if "cron_jobs" in query and not came_up:
            came_up.append(sqlite3.connect(away / "state" / "openclaw.sqlite", isolation_level=None))
            add(came_up[0], away, "job-b", key=str(tmp_path / "cron" / "jobs.json"))
            came_up[0].execute("PRAGMA wal_checkpoint").fetchall()
        return seen

    monkeypatch.setattr(ReadTransaction, "rows", rows_before_it_starts)
    assert [job.id for job in jobstore.read(away).jobs] == ["job-a", "job-b"]
    came_up[0].close()


def test_marker_and_receipt_are_of_one_moment(
    owner: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends between two queries is still seen with its open receipt, not as a marker that nobody owns."""
    add(owner, tmp_path, runningAtMs=5, runningReceiptId="r1")
    key = str(tmp_path / "cron" / "jobs.json")
    owner.execute("INSERT INTO cron_run_receipts VALUES ('r1', ?, 'job-a', 'running', 42, 5, NULL)", (key,))
    rows = ReadTransaction.rows

    def rows_while_it_ends(self: ReadTransaction, query: str, *parameters: str | int) -> object:
        if "cron_run_receipts" in query:
            owner.execute("UPDATE cron_run_receipts SET status = 'ok'")
        return rows(self, query, *parameters)

    monkeypatch.setattr(ReadTransaction, "rows", rows_while_it_ends)
    assert [receipt.status for receipt in jobstore.read(tmp_path).receipts or ()] == ["running"]


def test_a_reading_that_takes_too_long_is_given_up(owner: sqlite3.Connection, tmp_path: Path) -> None:
    """The deadline interrupts a query under way."""
    owner.execute("BEGIN")
    for number in range(2000):
        add(owner, tmp_path, f"job-{number}")
    owner.execute("COMMIT")
    with pytest.raises(CouldNotLook, match="within 0 s"):
        jobstore.read(tmp_path, deadline_s=0.0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("ALTER TABLE cron_jobs RENAME COLUMN state_json TO runtime_json", "no such column: state_json"),
        ("ALTER TABLE task_runs RENAME COLUMN source_id TO job", "no such column: source_id"),
        ("ALTER TABLE cron_run_receipts RENAME COLUMN owner_pid TO owner", "no such column: owner_pid"),
        ("UPDATE cron_jobs SET job_json = '[]'", "cron job 'job-a' in the store is not a JSON object"),
        ("UPDATE cron_jobs SET state_json = '{\"a\":'", "state of cron job 'job-a' in the store is not a JSON object"),
        ("DROP TABLE cron_jobs", "there is no cron store"),
    ],
)
def test_another_schema_is_named(change: str, complaint: str, owner: sqlite3.Connection, tmp_path: Path) -> None:
    """A release that keeps its jobs otherwise could not be looked at; the message says what was missed."""
    add(owner, tmp_path)
    owner.execute(change)
    with pytest.raises(CouldNotLook, match=complaint):
        jobstore.read(tmp_path)


def test_tables_that_came_later_may_be_missing(owner: sqlite3.Connection, tmp_path: Path) -> None:
    """Without receipts and tasks the jobs are told all the same."""
    add(owner, tmp_path)
    owner.executescript("DROP TABLE task_runs; DROP TABLE cron_run_receipts")
    seen = jobstore.read(tmp_path)
    assert (len(seen.jobs), seen.runs, seen.receipts) == (1, {}, None)


def test_jobs_of_this_gateway_only(owner: sqlite3.Connection, tmp_path: Path) -> None:
    """One database may hold the jobs of several paths: ours count, also under another spelling of the path."""
    add(owner, tmp_path, "ours", key=str(tmp_path / "x" / ".." / "cron" / "jobs.json"))
    (tmp_path / "x").mkdir()
    add(owner, tmp_path, "theirs", key="/elsewhere/jobs.json")
    assert [job.id for job in jobstore.read(tmp_path).jobs] == ["ours"]
    assert [job.id for job in jobstore.read(tmp_path, Path("/elsewhere/jobs.json")).jobs] == ["theirs"]
    with pytest.raises(CouldNotLook, match="jobs of 2 gateways"):
        jobstore.read(tmp_path, Path("/nowhere/jobs.json"))


def test_a_store_seen_through_a_mount_is_ours(owner: sqlite3.Connection, tmp_path: Path) -> None:
    """In a container the path is another one; where there is but one, it is the one."""
    add(owner, tmp_path, key="/home/node/.openclaw/cron/jobs.json")
    assert len(jobstore.read(tmp_path).jobs) == 1


def test_two_stores_are_a_question(owner: sqlite3.Connection, tmp_path: Path) -> None:
    """A jobs.json younger than the database is that of a release gone back to: neither is taken for the truth."""
    add(owner, tmp_path)
    older_store(tmp_path)
    with pytest.raises(CouldNotLook, match="which of the two"):
        jobstore.read(tmp_path)
    os.utime(tmp_path / "cron" / "jobs.json", (0, 0))
    assert [job.id for job in jobstore.read(tmp_path).jobs] == ["job-a"]


@pytest.mark.parametrize(
    "content", [b"", b"SQLite format 3\0", b"{}", b"\0" * 4096], ids=["empty", "torn", "json", "zeros"]
)
def test_no_database(content: bytes, tmp_path: Path) -> None:
    """A file that is none is said to be none."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "openclaw.sqlite").write_bytes(content)
    with pytest.raises(CouldNotLook, match=r"openclaw\.sqlite"):
        jobstore.read(tmp_path)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with a sound database of twenty jobs, closed cleanly."""
    state_dir = tmp_path_factory.mktemp("sound")
    with contextlib.closing(database(state_dir)) as owner:
        owner.execute("BEGIN")
        for number in range(20):
            add(owner, state_dir, f"job-{number}", lastError="x" * 300)
        owner.execute("COMMIT")
    return state_dir


@settings(deadline=None)
@given(st.data())
def test_no_damage_crashes_the_reader(sound: Path, data: st.DataObject) -> None:
    """Whatever bytes of a database are others, it is read or could not be looked at."""
    content = bytearray((sound / "state" / "openclaw.sqlite").read_bytes())
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=20)):
        content[position] ^= data.draw(st.integers(1, 255))
    damaged = sound / "damaged" / "state" / "openclaw.sqlite"
    damaged.parent.mkdir(parents=True, exist_ok=True)
    damaged.write_bytes(content)
    with contextlib.suppress(CouldNotLook):
        jobstore.read(sound / "damaged")


# -- the files of older releases ------------------------------------------------------------------------------------


def older_store(state_dir: Path, states: Mapping[str, object] | None = None, **state: object) -> Path:
    """A store as 2026.2.26 keeps it; with `states` beside it, as 2026.5.28 does."""
    cron = state_dir / "cron"
    (cron / "runs").mkdir(parents=True, exist_ok=True)
    jobs = [{"id": "job-f", **DEFINITION, "state": state}]
    (cron / "jobs.json").write_text(json.dumps({"version": 1, "jobs": jobs}, indent=2), encoding="utf-8")
    if states is not None:
        (cron / "jobs-state.json").write_text(json.dumps({"version": 1, "jobs": states}), encoding="utf-8")
    return cron


def test_state_inside_the_definitions(tmp_path: Path) -> None:
    """2026.2.26 keeps both in one file."""
    older_store(tmp_path, runningAtMs=5)
    before = listing(tmp_path)
    seen = jobstore.read(tmp_path)
    assert [(job.id, job.running_ms) for job in seen.jobs] == [("job-f", 5)]
    assert (seen.source, seen.receipts) == ("store", None)
    assert listing(tmp_path) == before


def test_state_beside_the_definitions(tmp_path: Path) -> None:
    """2026.5.28 keeps the state in a file of its own, which wins over what is left in the definitions."""
    older_store(tmp_path, {"job-f": {"updatedAtMs": 9, "state": {"runningAtMs": 6}}}, runningAtMs=5)
    (job,) = jobstore.read(tmp_path).jobs
    assert (job.running_ms, job.updated_ms) == (6, 9)
    older_store(tmp_path, {}, runningAtMs=5)
    assert [job.running_ms for job in jobstore.read(tmp_path).jobs] == [5]


def test_run_logs_are_read_from_their_end(tmp_path: Path) -> None:
    """The latest runs of a long log, whatever its last line broke off at and whoever else wrote into it."""
    log = older_store(tmp_path) / "runs" / "job-f.jsonl"
    entries = [
        {"ts": number, "jobId": "job-f", "action": "finished", "status": "ok", "runAtMs": number, "durationMs": 1}
        for number in range(5000)
    ]
    lines = [
        json.dumps(each) for each in (*entries, {**entries[-1], "jobId": "job-g", "runAtMs": 9999}, ["no", "entry"])
    ]
    log.write_text("\n".join([*lines, '{"ts": 5001, "jobId": "jo']), encoding="utf-8")
    seen = jobstore.read(tmp_path).runs
    assert list(seen) == ["job-f"]
    assert seen["job-f"][0] == JobRun("ok", 4999, 1)
    assert len(seen["job-f"]) == KEPT_RUNS


def test_a_store_elsewhere(tmp_path: Path) -> None:
    """`cron.store` of the config moves definitions, state and run logs together."""
    cron = older_store(tmp_path / "elsewhere", {"job-f": {"state": {"runningAtMs": 6}}})
    (cron / "jobs.json").rename(cron / "mine")
    (cron / "jobs-state.json").rename(cron / "mine-state.json")
    assert [job.running_ms for job in jobstore.read(tmp_path, cron / "mine").jobs] == [6]


def test_an_id_is_no_path(tmp_path: Path) -> None:
    """An id that leads out of the folder of run logs is not followed."""
    cron = older_store(tmp_path)
    (cron / "jobs.json").write_text('{"jobs": [{"id": "../secret"}]}', encoding="utf-8")
    (cron / "secret.jsonl").write_text('{"jobId": "../secret", "status": "ok"}', encoding="utf-8")
    assert jobstore.read(tmp_path).runs == {}


def test_a_store_edited_by_hand(tmp_path: Path) -> None:
    """JSON5 is what OpenClaw takes, so it is what we take."""
    (older_store(tmp_path) / "jobs.json").write_text("// mine\n{jobs: [{id: 'job-f'},],}", encoding="utf-8")
    assert [job.id for job in jobstore.read(tmp_path).jobs] == ["job-f"]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("jobs.json", '{"version":1,"jobs":[{"id":"job-f","na', r"jobs\.json does not parse"),
        ("jobs.json", "", r"jobs\.json does not parse"),
        ("jobs.json", "[]", r"jobs\.json does not parse"),
        ("jobs.json", "{}", "no list of jobs"),
        ("jobs-state.json", '{"version":1', r"jobs-state\.json does not parse"),
        ("jobs-state.json", '{"jobs":[]}', "holds no states of jobs"),
    ],
)
def test_torn_files_are_named(name: str, content: str, complaint: str, tmp_path: Path) -> None:
    """A file that broke off or holds something else is no empty list of jobs."""
    (older_store(tmp_path) / name).write_text(content, encoding="utf-8")
    with pytest.raises(CouldNotLook, match=complaint):
        jobstore.read(tmp_path)


def test_no_store(tmp_path: Path) -> None:
    """Where there is none, that is said with the places that were looked at."""
    with pytest.raises(CouldNotLook, match="there is no cron store in"):
        jobstore.read(tmp_path)


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_file_crashes_the_reader(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Whatever stands in the older store, it is read or could not be looked at."""
    cron = older_store(tmp_path_factory.mktemp("any"))
    for name in ("jobs.json", "runs/job-f.jsonl"):
        (cron / name).write_bytes(content)
    with contextlib.suppress(CouldNotLook):
        jobstore.read(cron.parent)
    older_store(cron.parent)
    jobstore.read(cron.parent)
