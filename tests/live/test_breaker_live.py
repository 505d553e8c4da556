"""The breaker on a real gateway: a leaked marker, a live run, a hung process, and the locks that its death leaves."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pexpect
import pytest

from oc_ops import settings
from oc_ops.doctor.jobs import sight
from oc_ops.doctor.observations import Doctor
from oc_ops.lab import sweep
from oc_ops.lab.lab import Lab
from oc_ops.observe.jobs import Job
from oc_ops.settings import PROJECT
from oc_ops.text import clock
from tests.live.examine import examine
from tests.support import faults

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]

BREAKER = "from oc_ops.cli import main; main()"
PATIENCE_S = 240
NAME = "leaky report"


class Operator:
    """Somebody beside one lab, with a memory of their own."""

    def __init__(self, lab: Lab, root: Path) -> None:
        self.lab, self.root = lab, root
        self.environ = {
            **lab.environ,
            "OC_OPS_OPENCLAW": str(lab.openclaw),
            "OC_OPS_MEMORY_DIR": str(root / "memory"),
            "OC_OPS_RPC_CONNECT_S": "15",
            "OC_OPS_RPC_REQUEST_S": "15",
            "XDG_STATE_HOME": str(root / "state"),
            "PYTHONPATH": str(PROJECT),
            "TERM": "dumb",
        }

    def breaker(self, *words: str, code: int | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
        """`oc-ops breaker …` without a terminal."""
        done = subprocess.run(
            [sys.executable, "-c", BREAKER, "breaker", *words],
            env={**self.environ, **environ},
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert code in (None, done.returncode), done.stdout + done.stderr
        return done

    def plan(self, target: str, **environ: str) -> str:
        """The id of a plan for it."""
        found = re.search(r"break --approve (\S+)", self.breaker("show", target, code=0, **environ).stdout)
        assert found is not None
        return found[1]

    def breakable(self) -> dict[str, str]:
        """What `list` says can be broken: id and fact."""
        return {each["id"]: each["fact"] for each in json.loads(self.breaker("list", "--json").stdout)["mutexes"]}

    def job(self, job_id: str) -> Job:
        """The job by the gateway's own word."""
        options = {"openclaw": self.lab.openclaw, "memory_dir": self.root, "rpc_connect_s": 15, "rpc_request_s": 15}
        jobs = sight(Doctor(settings.load(options, {}), self.lab.environ), ())[0].jobs
        return next(each for each in jobs if each.id == job_id)

    def add(self, name: str, every: str) -> str:
        """A job of its own, and its id."""
        options = ("--every", every, "--timeout-seconds", "30", "--no-deliver", "--command", "echo fine", "--json")
        return str(json.loads(self.lab.call("cron", "add", "--name", name, *options).stdout.text)["id"])

    def leak(self, job_id: str, age_s: int) -> int:
        """Leave a marker that nobody owns, as a lost run does, and have the gateway meet it; returns it.

        2026.9.6 looks for such markers itself once a minute: the first one is for that look, so that the one which
        stays has nearly a minute until the next.
        """
        self.mark(job_id, age_s)
        until(lambda: self.job(job_id).running_ms is None, "the gateway's own look")
        return self.mark(job_id, age_s)

    def mark(self, job_id: str, age_s: int) -> int:
        """Leave a marker that nobody owns, which the gateway's own look may take away at any moment; returns it."""
        marker_ms = round((time.time() - age_s) * 1000)
        with closing(sqlite3.connect(self.lab.state_dir / "state" / "openclaw.sqlite", timeout=30)) as store, store:
            query = "SELECT state_json FROM cron_jobs WHERE job_id = ?"
            state = json.loads(store.execute(query, (job_id,)).fetchone()[0])
            state["runningAtMs"] = marker_ms
            store.execute("UPDATE cron_jobs SET state_json = ? WHERE job_id = ?", (json.dumps(state), job_id))
        assert '"already-running"' in self.lab.call("cron", "run", job_id).stdout.text
        return marker_ms

    def runs(self, job_id: str) -> int:
        """How many runs of a job are on record."""
        told = json.loads(self.lab.call("cron", "runs", "--id", job_id, "--json").stdout.text)
        return len(told["entries"])


@pytest.fixture(scope="module")
def operator(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """The operator of this module."""
    return Operator(lab, tmp_path_factory.mktemp("operator"))


def until(holds: Callable[[], object], words: str) -> None:
    """Wait for something that must come."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain for {words}"
        time.sleep(0.2)


def test_a_leaked_marker_is_the_doctors_only_error_and_a_break_clears_it(operator: Operator, tmp_path: Path) -> None:
    """Under a gateway that runs and answers, on a job that nobody watches; from a clock that was turned back.

    `--quick` leaves out the operator's own path alone, which has nothing to do with it and is slower than the marker.
    The next run lies hours ahead and is not awaited.
    """
    job_id = operator.add("unwatched", "6h")
    for _ in range(5):
        marker_ms = operator.mark(job_id, -3600)
        seen = examine(operator.lab, tmp_path, "--quick")
        shown = operator.breaker("show", f"marker:{job_id}")
        if operator.job(job_id).running_ms == marker_ms:
            plan = re.search(r"break --approve (\S+)", shown.stdout)
            assert plan is not None, shown.stdout + shown.stderr
            done = operator.breaker("break", "--approve", plan[1])
            if done.returncode == 2:
                break
        # The gateway looks for such markers itself, and has taken this one away meanwhile.
    assert seen.errors == ["cron/marker-stale"], seen.output
    assert seen.exit == 1
    finding = seen.finding("cron/marker-stale")
    assert "no process runs it" in finding["fact"]
    assert "in the future" in finding["saw"]
    assert "no run receipt is open for it" in finding["saw"]
    assert done.returncode == 2, done.stdout + done.stderr
    assert "cleared; next run due at" in done.stderr, "the time of the leaked marker is no run that came"
    job = operator.job(job_id)
    assert (job.enabled, job.running_ms) == (True, None)
    assert job.last_status != "ok", "a break runs nothing itself"
    operator.lab.call("cron", "rm", job_id)


@pytest.mark.nightly
def test_a_leaked_marker_is_broken_and_the_next_run_fires(operator: Operator, tmp_path: Path) -> None:
    """Named by its doctor, approved by its typed name, cleared by off and on; its next run comes; no second start."""
    job_id = operator.add(NAME, "2m")
    marker_ms = operator.leak(job_id, 3600)
    before = operator.runs(job_id)
    child = pexpect.spawn(
        sys.executable,
        ["-c", BREAKER, "breaker", "break", f"marker:{job_id}"],
        env=operator.environ,
        cwd=str(operator.root),
        encoding="utf-8",
        timeout=PATIENCE_S,
        dimensions=(60, 250),
    )
    child.expect("type its exact name")
    assert f"evidence: marker = {clock(datetime.fromtimestamp(marker_ms / 1000, UTC))}" in str(child.before)
    assert operator.job(job_id).running_ms == marker_ms
    approved_ms = time.time() * 1000
    child.sendline(NAME)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    assert "verified: the marker is gone, and its next run" in str(child.before)
    until(lambda: operator.job(job_id).running_ms is None, "the run's end")
    job = operator.job(job_id)
    assert (job.enabled, job.last_status) == (True, "ok")
    assert (job.last_run_ms or 0) > approved_ms
    assert operator.runs(job_id) == before + 1, "the scheduled run alone: a break runs nothing itself"
    book = [json.loads(line) for line in (operator.root / "memory" / "approvals.jsonl").read_text().splitlines()]
    done = next(each for each in book if each["what"] == "done")
    assert (done["outcome"], done["after"]["marker_ms"] == marker_ms) == ("verified", False)
    assert operator.lab.token not in json.dumps(book)
    operator.lab.call("cron", "rm", job_id)


def test_a_live_run_is_refused(operator: Operator) -> None:
    """A run that sleeps has its receipt and its task: no plan is made for it, and it comes to its end."""
    jobs = json.loads(operator.lab.call("cron", "list", "--json").stdout.text)["jobs"]
    slow = next(str(each["id"]) for each in jobs if each["name"] == "lab-slow")
    operator.lab.call("cron", "run", slow)
    until(lambda: operator.job(slow).running_ms, "the slow run to begin")
    shown = operator.breaker("show", "lab-slow", code=4)
    assert "its owner lives: " in shown.stderr
    assert "plan:" not in shown.stdout
    assert operator.job(slow).running_ms is not None


@pytest.fixture
def mended(lab: Lab) -> Iterator[None]:
    """Whatever was ended is up again afterwards."""
    yield
    if not lab.status().up:
        lab.start_gateway()


def test_a_hung_gateway_ends_and_its_lock_goes(operator: Operator, lab: Lab, mended: None) -> None:
    """Held stopped it ends by KILL, after its own plan; the locks that it leaves are moved aside; it starts again."""
    listener = lab.listener()
    assert listener is not None
    with faults.held(listener):
        plan = operator.plan(f"hung:{listener.pid}")
        done = operator.breaker("break", "--approve", plan, code=0, OC_OPS_BREAKER_STOP_S="2")
    assert f"pid {listener.pid} was killed; now gateway/down" in done.stdout
    assert not listener.is_running() or listener.status() == "zombie"
    until(lambda: not sweep.listens(listener, lab.port), "the port to be free")
    left = operator.breakable()
    assert {each.partition(":")[0] for each in left} == {"gateway-lock"}
    for name in left:
        broken(operator, name)
    assert operator.breakable() == {}
    lab.start_gateway()


@pytest.mark.nightly
def test_a_stopped_gateway_is_let_go_on(operator: Operator, lab: Lab, mended: None) -> None:
    """A plan for one that is merely stopped ends nothing."""
    listener = lab.listener()
    assert listener is not None
    listener.suspend()
    done = operator.breaker("break", "--approve", operator.plan(f"hung:{listener.pid}"), code=0)
    assert f"pid {listener.pid} was stopped and has been let go on: " in done.stdout
    assert lab.status().up


@pytest.mark.nightly
def test_the_lock_of_a_browser_that_died_is_moved(operator: Operator, lab_with_browser: Lab, mended: None) -> None:
    """A browser outlives its gateway and keeps its lock as long as it lives; a new one then makes its own."""
    lab = lab_with_browser
    lab.kill()
    browsers = sweep.browsers(lab.root)
    assert browsers, "the browser outlives its gateway"
    assert not any(each.startswith("chrome-lock") for each in operator.breakable())
    for each in browsers:
        each.kill()
    until(lambda: not sweep.browsers(lab.root), "the browser's end")
    left = operator.breakable()
    assert sorted({each.partition(":")[0] for each in left}) == ["chrome-lock", "gateway-lock"]
    for name in left:
        broken(operator, name)
    assert operator.breakable() == {}
    link = lab.state_dir / "browser" / "openclaw" / "user-data" / "SingletonLock"
    (aside,) = link.parent.glob("SingletonLock.oc-ops-*")
    assert re.search(r"-[0-9]+$", str(aside.readlink()))
    lab.start_gateway()
    lab.start_browser()
    assert link.is_symlink(), "the new browser has its own lock"


def broken(operator: Operator, name: str) -> None:
    """Approve and move a lock, by its id."""
    moved = operator.breaker("break", "--approve", operator.plan(name), code=0)
    assert "the lock is gone; it was moved to " in moved.stdout
