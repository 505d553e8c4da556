"""The store of real gateways of three releases: what RPC said is what it says, and the gateway never notices."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from oc_ops.errors import CouldNotLook
from oc_ops.lab.install import DEFAULT_VERSION, RELEASES
from oc_ops.lab.lab import Lab
from oc_ops.observe import jobstore, listener, owners
from oc_ops.observe.config import Credential
from oc_ops.observe.jobs import Job, Jobs, jobs_of, more_of, runs_of
from oc_ops.observe.owners import Ownership
from oc_ops.observe.probe import GatewayProbe, look
from oc_ops.observe.rpc import RpcReply, connect
from oc_ops.observe.service import NO_SERVICE
from oc_ops.observe.target import locate
from tests.live.conftest import LabOf
from tests.support.faults import killed, stopped

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]

OLDER = [pytest.param(each, marks=pytest.mark.nightly) for each in RELEASES if each != DEFAULT_VERSION]
FOLDERS = ("state", "cron", "tasks")
DEADLINE_S = 150.0
READ_S = 1.0
"""A reading takes 1 to 7 ms; the machine of a test run has other work."""


def ask(lab: Lab, *requests: tuple[str, Mapping[str, object]]) -> list[RpcReply]:
    """The answers to some requests over one connection."""
    memory = lab.root / "memory"
    show = partial(listener.prove, locate(lab.environ), "127.0.0.1", lab.port)
    credential = Credential("token", lab.token)
    with connect("127.0.0.1", lab.port, credential, memory, show, connect_s=20, request_s=20) as client:
        return [client.request(method, params) for method, params in requests]


def told(lab: Lab) -> tuple[tuple[Job, ...], Mapping[str, object], RpcReply]:
    """Jobs and runs as RPC tells them, with its tasks asked first."""
    tasks, listed, runs = ask(
        lab,
        ("tasks.list", owners.TASKS_PARAMS),
        ("cron.list", {"includeDisabled": True, "limit": 200}),
        ("cron.runs", {"scope": "all", "limit": 200}),
    )
    assert more_of(listed.payload) is None
    return jobs_of(listed.payload), runs_of(runs.payload), tasks


def seen(lab: Lab) -> GatewayProbe:
    """The look that the doctor takes."""
    target = locate(lab.environ)
    return look(target, "127.0.0.1", lab.port, budget_s=1.0, delay_limit_ms=1e9, service_of=lambda _: NO_SERVICE)


def listing(lab: Lab) -> Mapping[str, tuple[int, int, str]]:
    """Size, modification time and content of everything in the folders of the store."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for folder in FOLDERS
        for path in sorted((lab.state_dir / folder).rglob("*"))
        if path.is_file()
    }


def await_jobs(lab: Lab, name: str, wanted: Callable[[Job], bool]) -> Jobs:
    """The store once the job of that name is as wanted."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            jobs = jobstore.read(lab.state_dir)
            if wanted(named(jobs, name)):
                return jobs
        except CouldNotLook:
            jobs = None
        assert time.monotonic() < deadline, f"{name} did not get there: {jobs and named(jobs, name)}"
        time.sleep(0.2)


def named(jobs: Jobs, name: str) -> Job:
    """The job of that name."""
    return next(each for each in jobs.jobs if each.name == name)


def run_once(lab: Lab, name: str) -> None:
    """Run a job now and wait until the store holds its end."""
    before = named(jobstore.read(lab.state_dir), name)
    lab.call("cron", "run", before.id)
    await_jobs(lab, name, lambda job: job.running_ms is None and job.last_run_ms not in (None, before.last_run_ms))


@pytest.mark.parametrize("version", [DEFAULT_VERSION, *OLDER])
def test_store_says_what_rpc_said(version: str, lab_of: LabOf) -> None:
    """Of a gateway that hangs the store tells every job and run as RPC had, in milliseconds, and nothing is written."""
    lab = lab_of(version)
    for name in ("lab-ok", "lab-failing"):
        run_once(lab, name)
    jobs, runs, _ = told(lab)
    with stopped(lab):
        before, started = listing(lab), time.monotonic()
        stored = jobstore.read(lab.state_dir)
        took_s = time.monotonic() - started
        assert listing(lab) == before
    assert stored.source == "store"
    assert {job.id: job for job in stored.jobs} == {job.id: job for job in jobs}
    assert {job.name: job.last_status for job in stored.jobs}["lab-failing"] == "error"
    there = {job.id for job in jobs}
    assert stored.runs == {id_: ended for id_, ended in runs.items() if id_ in there}, (
        "RPC tells runs of deleted jobs too"
    )
    assert took_s < READ_S


def test_readers_do_not_hold_up_the_gateway(lab: Lab) -> None:
    """While two threads read without a pause, runs are recorded as ever and no reading fails."""
    over, readings, failed = threading.Event(), [0, 0], []

    def keep_reading(number: int) -> None:
        while not over.is_set():
            try:
                jobstore.read(lab.state_dir)
                readings[number] += 1
            except CouldNotLook as error:
                failed.append(str(error))

    threads = [threading.Thread(target=keep_reading, args=(number,)) for number in range(2)]
    for each in threads:
        each.start()
    try:
        job_id = named(jobstore.read(lab.state_dir), "lab-ok").id
        before = len(jobstore.read(lab.state_dir).runs.get(job_id, ()))
        for _ in range(3):
            run_once(lab, "lab-ok")
        ended = jobstore.read(lab.state_dir).runs[job_id]
    finally:
        over.set()
        for each in threads:
            each.join()
    assert len(ended) == before + 3
    assert {run.status for run in ended[:3]} == {"ok"}
    assert failed == []
    assert min(readings) > 10


def owner_of(jobs: Jobs, name: str, lab: Lab, tasks: RpcReply | None = None) -> Ownership:
    """Who owns the marker of the job, by what there is to be seen now."""
    said = owners.ownership(named(jobs, name), owners.gather(seen(lab), tasks, jobstore.read(lab.state_dir)))
    assert said is not None
    return said


def test_a_run_under_way_is_owned_and_a_killed_gateways_is_not(lab: Lab) -> None:
    """A long job's marker is owned while it runs, also when the gateway hangs, and by nobody once it was killed."""
    await_jobs(lab, "lab-slow", lambda job: job.running_ms is None)
    lab.call("cron", "run", named(jobstore.read(lab.state_dir), "lab-slow").id)
    running = await_jobs(lab, "lab-slow", lambda job: job.running_ms is not None)
    said = owner_of(running, "lab-slow", lab, told(lab)[2])
    assert (said.owner, "live process" in said.proof) == ("live", True)
    with stopped(lab):
        assert owner_of(running, "lab-slow", lab).owner == "live"
    with killed(lab):
        before = listing(lab)
        left = jobstore.read(lab.state_dir)
        assert [receipt.status for receipt in left.receipts or ()] == ["running"]
        said = owner_of(left, "lab-slow", lab)
        assert (said.owner, "no gateway runs" in said.proof) == ("none", True)
        assert listing(lab) == before
    await_jobs(lab, "lab-slow", lambda job: job.running_ms is None)


def mark(lab: Lab, job: Job, marked_ms: int | None) -> None:
    """Leave a marker in the store, or take it away: the gateway looks for such markers itself once a minute."""
    with closing(sqlite3.connect(lab.state_dir / "state" / "openclaw.sqlite", timeout=10)) as store, store:
        (text,) = store.execute("SELECT state_json FROM cron_jobs WHERE job_id = ?", (job.id,)).fetchone()
        state = {**json.loads(text), "runningAtMs": marked_ms}
        kept = {name: value for name, value in state.items() if value is not None}
        store.execute("UPDATE cron_jobs SET state_json = ? WHERE job_id = ?", (json.dumps(kept), job.id))


def test_a_marker_that_leaked_is_owned_by_nobody(lab: Lab) -> None:
    """A marker without a run makes 2026.9.6 refuse the job as already running; the proof is that it has no receipt."""
    await_jobs(lab, "lab-ok", lambda job: job.running_ms is None)
    job = named(jobstore.read(lab.state_dir), "lab-ok")
    marked_ms = round(time.time() * 1000) - 10_000
    mark(lab, job, marked_ms)
    refused = lab.call("cron", "run", job.id)
    assert '"already-running"' in refused.stdout.text
    jobs, _, tasks = told(lab)
    assert {each.name: each.running_ms for each in jobs}["lab-ok"] == marked_ms
    said = owner_of(jobstore.read(lab.state_dir), "lab-ok", lab, tasks)
    assert (said.owner, said.proof) == (
        "none",
        "no run receipt is open for it, and tasks.list shows no run of the job",
    )
    mark(lab, job, None)


@pytest.mark.parametrize("version", OLDER)
def test_a_marker_left_behind_in_files(version: str, lab_of: LabOf) -> None:
    """A marker in the files of a stopped gateway is nobody's; the start that follows clears it, in every release."""
    lab = lab_of(version)
    lab.stop_gateway()
    try:
        path = lab.state_dir / "cron" / ("jobs-state.json" if version == "2026.5.28" else "jobs.json")
        left = json.loads(path.read_text(encoding="utf-8"))
        job_id = named(jobstore.read(lab.state_dir), "lab-slow").id
        entries = left["jobs"].values() if isinstance(left["jobs"], dict) else left["jobs"]
        ids = left["jobs"] if isinstance(left["jobs"], dict) else [each["id"] for each in entries]
        for id_, entry in zip(ids, entries, strict=True):
            if id_ == job_id:
                entry["state"]["runningAtMs"] = round(time.time() * 1000) - 600_000
        path.write_text(json.dumps(left), encoding="utf-8")
        said = owner_of(jobstore.read(lab.state_dir), "lab-slow", lab)
        assert (said.owner, "no gateway runs" in said.proof) == ("none", True)
    finally:
        lab.start_gateway()
    await_jobs(lab, "lab-slow", lambda job: job.running_ms is None)
    assert {job.name: job.running_ms for job in told(lab)[0]}["lab-slow"] is None


def test_a_store_that_cannot_be_written_is_read(lab: Lab, tmp_path: Path) -> None:
    """A copy whose folder and files are read-only is read all the same, and stays as it was."""
    with stopped(lab):
        (tmp_path / "state").mkdir()
        for each in (lab.state_dir / "state").glob("openclaw.sqlite*"):
            (tmp_path / "state" / each.name).write_bytes(each.read_bytes())
            (tmp_path / "state" / each.name).chmod(0o400)
        (tmp_path / "state").chmod(0o500)
        names = sorted(each.name for each in (tmp_path / "state").iterdir())
        assert jobstore.read(tmp_path).jobs == jobstore.read(lab.state_dir).jobs
        assert sorted(each.name for each in (tmp_path / "state").iterdir()) == names
        (tmp_path / "state").chmod(0o700)
