"""`oc-ops run` on real gateways, watched as a person watches it: every way a run can go, and what is left of it."""

from __future__ import annotations

import io
import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import pytest

from oc_ops import settings
from oc_ops.doctor.jobs import sight
from oc_ops.doctor.observations import Doctor
from oc_ops.lab.lab import Lab
from oc_ops.observe.jobs import Job, Jobs
from oc_ops.process.pty import plain
from oc_ops.settings import PROJECT
from tests.live.conftest import LabOf
from tests.support.faults import killed, stopped

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]

PATIENCE_S = 300.0
COMMAND = "from oc_ops.cli import main; main()"


@dataclass(frozen=True, slots=True)
class Run:
    """One `oc-ops run` that has ended: its exit code, what its terminal showed, and its transcript."""

    exit: int
    shown: str
    log: str
    wall_s: float


class Person:
    """Somebody at an 80-column terminal beside one lab."""

    def __init__(self, lab: Lab, memory: Path) -> None:
        self.lab, self.memory = lab, memory

    @contextmanager
    def runs(self, *words: str) -> Iterator[pexpect.spawn]:
        """`oc-ops run WORDS` on a terminal; whatever happens it is ended."""
        environ = {
            **self.lab.environ,
            "OC_OPS_MEMORY_DIR": str(self.memory),
            "PYTHONPATH": str(PROJECT),
            "TERM": "xterm",
        }
        child = pexpect.spawn(
            sys.executable,
            ["-c", COMMAND, "run", *words],
            env={
                **environ,
                "OC_OPS_MEMORY_DIR": str(self.memory),
                "OC_OPS_HTTP_PROBE_S": "5",
                "OC_OPS_RPC_CONNECT_S": "15",
                "OC_OPS_RPC_REQUEST_S": "15",
            },
            timeout=PATIENCE_S,
            dimensions=(24, 80),
            encoding="utf-8",
        )
        child.logfile_read = io.StringIO()
        try:
            yield child
        finally:
            child.close(force=True)

    def run(self, *words: str) -> Run:
        """The same, seen to its end."""
        began = time.monotonic()
        with self.runs(*words) as child:
            return self.seen_out(child, began)

    def seen_out(self, child: pexpect.spawn, began: float) -> Run:
        """What is left when the command has ended by itself."""
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus is not None, f"died of signal {child.signalstatus}"
        shown = plain(child.logfile_read.getvalue())
        assert "Traceback" not in shown, shown
        logs = sorted((self.memory / "cron_run_now").iterdir(), key=lambda each: each.stat().st_mtime_ns)
        return Run(child.exitstatus, shown, logs[-1].read_text() if logs else "", time.monotonic() - began)

    def jobs(self) -> Jobs:
        """All jobs as the gateway or its store tells them."""
        options = {"openclaw": self.lab.openclaw, "memory_dir": self.memory, "rpc_connect_s": 15, "rpc_request_s": 15}
        return sight(Doctor(settings.load(options, {}), self.lab.environ), ())[0]

    def job(self, word: str) -> Job:
        """One of them, by id or name."""
        (found,) = [each for each in self.jobs().jobs if word in (each.id, each.name)]
        return found

    def history(self, job_id: str) -> list[dict[str, Any]]:
        """The gateway's own record of a job's runs."""
        call = self.lab.call("cron", "runs", "--id", job_id)
        entries: list[dict[str, Any]] = json.loads(call.stdout.text[call.stdout.text.index("{") :])["entries"]
        return entries

    def add(self, name: str, command: str) -> str:
        """A job that never runs by itself while a test looks on, and its id."""
        options = ("--name", name, "--every", "6h", "--no-deliver", "--command", command)
        return str(json.loads(self.lab.call("cron", "add", *options, "--json").stdout.text)["id"])

    def until_idle(self, job_id: str) -> None:
        """Wait until a job that goes on has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while self.job(job_id).running_ms is not None:
            assert time.monotonic() < deadline, "the job does not end"
            time.sleep(0.5)


@pytest.fixture(scope="module")
def person(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Person:
    """The person of this module, whose device is paired once."""
    return Person(lab, tmp_path_factory.mktemp("memory"))


@pytest.fixture(scope="module")
def slow(person: Person) -> str:
    """The id of a job that takes its time."""
    return person.add("slow", "sleep 20; echo done at last")


def test_a_run_that_succeeds_and_one_that_fails(person: Person) -> None:
    """The result in one line with its reason, 0 and 1; the record, the diagnostics and the state before on disk."""
    ok = person.run("lab-ok", "90")
    assert ok.exit == 0
    assert re.search(r'^"lab-ok" succeeded after .*: fine$', ok.shown, re.M), ok.shown
    assert re.search(r"--- the gateway before ---\nGET /healthz answered 200 .*\nGET /startupz .*\nGET /readyz", ok.log)
    assert re.search(r'^\| +"runId": "manual:', ok.log, re.M)
    assert ok.log.endswith("exit     0\n")
    failing = person.run("lab-failing", "90")
    assert failing.exit == 1
    assert re.search(r'^"lab-failing" failed after .*: command exited with code 3$', failing.shown, re.M)
    assert re.search(r"--- diagnostics ---\nerror exec command error: .* \(exit code 3\)\n", failing.log)
    assert re.search(r"^run      manual:", failing.log, re.M)
    for each in (ok, failing):
        assert person.lab.token not in each.log + each.shown
    assert len(person.history(person.job("lab-failing").id)) == 1


def test_a_run_slower_than_the_limit(person: Person, slow: str) -> None:
    """124 at the limit, and it says that the job may go on; another run is refused with 3; the job ran exactly once."""
    late = person.run("slow", "7")
    assert late.exit == 124
    assert late.wall_s < 60
    shown = " ".join(late.shown.split())
    assert re.search(
        r'"slow" has not ended in 7(\.\d)? s; it may still be running, and is not started again: under way', shown
    )
    assert f"see: openclaw cron runs --id {slow}" in shown
    again = person.run("slow", "7")
    assert again.exit == 3
    assert "is running already, nothing was started: since 20" in " ".join(again.shown.split())
    assert "its marker is valid" in " ".join(again.shown.split())
    assert "openclaw cron run" not in again.log.replace("`openclaw cron run`", "").split("--- end ---")[0]
    person.until_idle(slow)
    assert [each["status"] for each in person.history(slow)] == ["ok"]


def test_ctrl_c_ends_the_waiting_only(person: Person, slow: str) -> None:
    """The live line tells elapsed time and what it waits for; after Ctrl-C the log is whole and the job goes on."""
    before, began = len(person.history(slow)), time.monotonic()
    with person.runs("slow", "90") as child:
        child.expect(r"0:\d\d of 1:30.*the run is under way")
        child.sendintr()
        stopped_ = person.seen_out(child, began)
    assert stopped_.exit == 130
    assert "Ctrl-C; the job goes on (under way for" in " ".join(stopped_.shown.split())
    assert stopped_.log.endswith("exit     130\n")
    assert person.job(slow).running_ms is not None
    person.until_idle(slow)
    assert [each["status"] for each in person.history(slow)] == ["ok"] * (before + 1)


def test_a_job_that_nobody_has_and_one_that_two_have(person: Person) -> None:
    """Exit 2 with what comes near, or with the ids to choose from; not one call is made."""
    before = person.run("lab-ok", "90").log
    unknown = person.run("lab-faling")
    assert unknown.exit == 2
    assert re.search(r'no job has the id or name "lab-faling"; near to it:\s+\S+ +lab-failing', unknown.shown)
    ids = {person.add("twin", "echo 1"), person.add("twin", "echo 2")}
    twins = person.run("twin")
    assert twins.exit == 2
    assert '2 jobs are called "twin"; take an id:' in twins.shown
    assert all(each in twins.shown for each in ids)
    assert (unknown.log, twins.log) == (before, before)


def test_a_gateway_that_hangs_before(person: Person) -> None:
    """Refused by the HTTP lane with the cause and its cure, and nothing runs when the gateway goes on."""
    job_id = person.job("lab-ok").id
    before = len(person.history(job_id))
    with stopped(person.lab) as pid:
        refused = person.run("lab-ok")
    assert refused.exit == 4
    shown = " ".join(refused.shown.split())
    assert '"lab-ok" was not started: gateway/hung: the gateway accepts connections' in shown
    assert f"fix: kill -CONT {pid}" in shown
    assert refused.wall_s < 30
    assert "outcome  not-started" in refused.log
    assert len(person.history(job_id)) == before


def test_a_gateway_that_hangs_during(person: Person, slow: str) -> None:
    """Seen within seconds beside the wait; out of time at the limit; nothing of ours in the gateway's log."""
    logged, began = person.lab.log_file.stat().st_size, time.monotonic()
    with person.runs("slow", "16") as child:
        child.expect("the run is under way")
        with stopped(person.lab) as pid:
            hung_at = time.monotonic()
            child.expect("the gateway does not answer since")
            noticed_s = time.monotonic() - hung_at
            late = person.seen_out(child, began)
    assert noticed_s < 12  # a probe of 5 s and its margin on a machine under load
    assert late.exit == 124
    shown = " ".join(late.shown.split())
    assert f"its process is stopped (`kill -CONT {pid}` lets it go on); the run was under way when it last did" in shown
    written = person.lab.log_file.read_bytes()[logged:]
    assert b"gateway timeout" not in written
    person.until_idle(slow)


def test_a_gateway_that_dies_during(person: Person, slow: str) -> None:
    """It is said that it is gone; when it is back, the record of the run that died with it is what counts."""
    began = time.monotonic()
    with person.runs("slow", "280") as child:
        child.expect("the run is under way")
        with killed(person.lab):
            child.expect("the gateway does not answer since")
            person.lab.start_gateway()
            lost = person.seen_out(child, began)
    assert lost.exit == 1, lost.log
    assert "its port refuses connections: it is down, or restarting" in lost.log
    assert "interrupted by gateway restart" in " ".join(lost.shown.split())


@pytest.mark.nightly
@pytest.mark.parametrize("version", ["2026.5.28", "2026.2.26"])
def test_older_releases(lab_of: LabOf, tmp_path: Path, version: str) -> None:
    """One that waits and one that neither waits nor gives an id: both runs are found, and told from older ones."""
    person = Person(lab_of(version), tmp_path)
    for name, code in (("lab-ok", 0), ("lab-failing", 1), ("lab-ok", 0)):
        ran = person.run(name, "100")
        assert ran.exit == code, ran.log
        assert ("has no `cron run --wait`" in ran.log) is (version == "2026.2.26")
        assert person.lab.token not in ran.log
    not_due = person.run("lab-ok", "60", "--due")
    assert not_due.exit == 4
    assert "it is not due, and --due was asked for" in not_due.shown
