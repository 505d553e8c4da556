"""Cron jobs from the gateway's own store, for when it does not answer; nothing is written and nobody has to wait."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from oc_ops import files
from oc_ops.errors import CouldNotLook
from oc_ops.observe import jobs as observe_jobs
from oc_ops.observe.database import STATE_DATABASE, ReadTransaction, Row, Unsteady, snapshot
from oc_ops.observe.jobs import MOST_JOBS, Job, JobRun, Jobs, Receipt

DEADLINE_S = 2.0
"""How long a reading of the database may take; 1 to 3 ms were measured on 2026.9.6."""

_TAIL_BYTES = 64 * 2**10
"""How much of a run log's end is read: 30 runs and more, with long error texts."""

_JOBS = (
    "SELECT store_key, job_id, job_json, state_json, runtime_updated_at_ms FROM cron_jobs"
    " ORDER BY sort_order, updated_at, job_id"
)
_RECEIPTS = (
    "SELECT receipt_id, job_id, status, owner_pid, started_at_ms FROM cron_run_receipts"
    " WHERE store_key = ? AND (status = 'running' OR receipt_id IN (SELECT value FROM json_each(?)))"
)
_RUNS = (
    "SELECT detail_json, status, started_at, ended_at, error FROM task_runs"
    " WHERE runtime = 'cron' AND source_id = ? AND ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT ?"
)
_ENDINGS = {"succeeded": "ok", "failed": "error"}
"""The task ledger's ends of a run, in the words of `cron.runs`."""


def read(state_dir: Path, cron_store: Path | None = None, *, deadline_s: float = DEADLINE_S) -> Jobs:
    """Every job as the store of this state directory holds it; `cron_store` is the config's `cron.store`, if set.

    2026.9.6 and later: state/openclaw.sqlite. Before: cron/jobs.json with cron/jobs-state.json (2026.5.28) or with the
    state inside (2026.2.26), and cron/runs. Raises CouldNotLook when there is no store, when it cannot be read without
    writing or waiting, and when it is not one that this version of oc-ops knows.
    """
    try:
        return _read(state_dir, cron_store or state_dir / "cron" / "jobs.json", deadline_s)
    except Unsteady:
        return _read(state_dir, cron_store or state_dir / "cron" / "jobs.json", deadline_s)


def _read(state_dir: Path, jobs_file: Path, deadline_s: float) -> Jobs:
    database, seen_at = state_dir / STATE_DATABASE, datetime.now(UTC)
    if files.is_file(database):
        with snapshot(database, deadline_s) as tables:
            if tables.has("cron_jobs"):
                _refuse_older(database, jobs_file)
                return _from_tables(tables, jobs_file, seen_at)
    if not files.is_file(jobs_file):
        raise CouldNotLook(f"there is no cron store in {state_dir}: neither {STATE_DATABASE} with jobs nor {jobs_file}")
    return _from_files(jobs_file, seen_at)


def _refuse_older(database: Path, jobs_file: Path) -> None:
    """A jobs.json written after the database is that of a release gone back to: nobody can say which one counts."""
    written = max(_mtime(database), _mtime(database.with_name(f"{database.name}-wal")))
    if _mtime(jobs_file) > written:
        raise CouldNotLook(f"{jobs_file} is newer than {database}: which of the two the gateway uses is not known")


def _mtime(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0


# -- the database ---------------------------------------------------------------------------------------------------


def _from_tables(tables: ReadTransaction, jobs_file: Path, seen_at: datetime) -> Jobs:
    count = int(str(tables.rows("SELECT count(*) FROM cron_jobs")[0][0]))
    if count > MOST_JOBS:
        raise CouldNotLook(f"the cron store holds {count:,} jobs, more than the {MOST_JOBS:,} that are looked at")
    rows = tables.rows(_JOBS)
    key = _partition({str(row[0]) for row in rows}, jobs_file)
    jobs = tuple(_job(row) for row in rows if row[0] == key)
    runs: dict[str, tuple[JobRun, ...]] = {}
    if tables.has("task_runs"):
        for job in jobs:
            if ended := tables.rows(_RUNS, job.id, observe_jobs.KEPT_RUNS):
                runs[job.id] = tuple(_run(job.id, row) for row in ended)
    receipts = _receipts(tables, key, jobs) if tables.has("cron_run_receipts") else None
    return Jobs(jobs, "store", seen_at, runs, receipts=receipts)


def _partition(keys: set[str], jobs_file: Path) -> str:
    """Which jobs are this gateway's: rows are kept under the path that jobs.json once had, as the gateway saw it."""
    own = os.path.realpath(jobs_file)
    if found := [key for key in sorted(keys) if os.path.realpath(key) == own]:
        return found[0]
    if len(keys) > 1:
        raise CouldNotLook(f"the cron store holds jobs of {len(keys)} gateways, and none under {jobs_file}")
    return next(iter(keys), str(jobs_file))


def _job(row: Row) -> Job:
    _, job_id, definition, state, updated_ms = row
    where = f"cron job {str(job_id)[:80]!r} in the store"
    table = dict(_object(definition, where))
    table["id"], table["state"] = job_id, _object(state, f"state of {where}")
    table["updatedAtMs"] = updated_ms if updated_ms is not None else table.get("updatedAtMs")
    return observe_jobs.job_of(table, where)


def _receipts(tables: ReadTransaction, key: str, jobs: tuple[Job, ...]) -> tuple[Receipt, ...]:
    named = json.dumps([job.receipt_id for job in jobs if job.receipt_id])
    return tuple(_receipt(row) for row in tables.rows(_RECEIPTS, key, named))


def _receipt(row: Row) -> Receipt:
    id_, job_id, status, owner_pid, started_ms = row
    if not isinstance(owner_pid, int) or not isinstance(started_ms, int):
        raise CouldNotLook("a cron run receipt in the store names its owner in a way that oc-ops does not know")
    return Receipt(str(id_), str(job_id), str(status), owner_pid, started_ms)


def _run(job_id: str, row: Row) -> JobRun:
    """One ended task of the ledger; its details say what `cron.runs` says, its columns stand in where they do not."""
    detail, status, started_ms, ended_ms, error = row
    where = f"a run of cron job {job_id[:80]!r}"
    told = {} if detail is None else dict(_object(detail, where))
    lasted_ms = ended_ms - started_ms if isinstance(ended_ms, int) and isinstance(started_ms, int) else None
    found = observe_jobs.run_of(
        {
            "jobId": job_id,
            "status": told.get("status") or _ENDINGS.get(str(status), status),
            "runAtMs": told.get("runAtMs") or started_ms,
            "durationMs": told.get("durationMs") if told.get("durationMs") is not None else lasted_ms,
            "error": told.get("error") or error,
        },
        where,
    )
    assert found is not None
    return found[1]


def _object(text: object, where: str) -> Mapping[str, object]:
    with contextlib.suppress(ValueError):
        value = files.json_of(text) if isinstance(text, str) else None
        if isinstance(value, dict):
            return cast("dict[str, object]", value)
    raise CouldNotLook(f"{where} is not a JSON object")


# -- the files of older releases ------------------------------------------------------------------------------------


def _from_files(jobs_file: Path, seen_at: datetime) -> Jobs:
    store = _file(jobs_file)
    name = jobs_file.name
    state_file = jobs_file.with_name(f"{name.removesuffix('.json')}-state.json")
    if state_file.exists() or state_file.is_symlink():
        store = {"jobs": list(_with_state(store, _file(state_file)))}
    jobs = observe_jobs.jobs_of(store)
    if len(jobs) > MOST_JOBS:
        raise CouldNotLook(f"{jobs_file} holds {len(jobs):,} jobs, more than the {MOST_JOBS:,} that are looked at")
    runs = observe_jobs.newest_first(
        found for job in jobs for found in _logged(jobs_file.parent / "runs" / f"{job.id}.jsonl", job.id)
    )
    return Jobs(jobs, "store", seen_at, runs)


def _with_state(store: Mapping[str, object], states: Mapping[str, object]) -> Iterator[object]:
    """The definitions with the state that 2026.5.28 keeps apart."""
    entries = states.get("jobs")
    listed = store.get("jobs")
    if not isinstance(entries, dict):
        raise CouldNotLook("the cron state file holds no states of jobs")
    if not isinstance(listed, list):
        raise CouldNotLook("the cron store holds no list of jobs")
    for job in listed:
        entry = entries.get(job.get("id")) if isinstance(job, dict) else None
        if isinstance(entry, dict):
            job = {**job, "state": entry.get("state") or {}, "updatedAtMs": entry.get("updatedAtMs")}
        yield job


def _file(path: Path) -> Mapping[str, object]:
    """A store file, written by OpenClaw as JSON and perhaps by hand as JSON5."""
    try:
        text = files.read_text(path, files.DATA_BYTES, errors="replace")
    except OSError as error:
        raise CouldNotLook(f"cannot read {path}: {error.strerror}") from error
    value = _json5(text)
    if not isinstance(value, dict):
        raise CouldNotLook(f"{path} does not parse: it is torn, or not a cron store")
    return cast("dict[str, object]", value)


def _json5(text: str) -> object:
    if files.too_deep(text) is not None:
        return None
    try:
        return files.json_of(text)
    except ValueError:
        import pyjson5

        with contextlib.suppress(pyjson5.Json5DecoderException, RecursionError):
            return files.as_javascript(pyjson5.decode(text))
    return None


def _logged(path: Path, job_id: str) -> Iterator[tuple[str, JobRun]]:
    """The runs at the end of a run log; lines that are torn or of another job are passed over."""
    if Path(job_id).name != job_id:
        return
    try:
        lines = files.read_tail(path, _TAIL_BYTES).splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise CouldNotLook(f"cannot read {path}: {error.strerror}") from error
    for line in lines:
        with contextlib.suppress(ValueError, CouldNotLook):
            found = observe_jobs.run_of(files.json_of(line))
            if found and found[0] == job_id:
                yield found
