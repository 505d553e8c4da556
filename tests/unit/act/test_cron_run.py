"""An ad-hoc run from question to exit code: triggered once at most, waited for, and written down whatever happens."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from oc_ops.act.cron_run import JobNotChosen, JobRequest, RunResult, run_job
from oc_ops.errors import OcOpsError
from oc_ops.gateway import Gateway
from oc_ops.observe.target import locate
from oc_ops.record import watcher_word
from oc_ops.settings import Settings
from tests.fakes.scripted_port import http, listening, request
from tests.support import proven
from tests.support.machine import HTTP
from tests.support.survivors import carrying, eventually

pytestmark = pytest.mark.timeout(120)

FAKE = Path(__file__).parents[2] / "fakes" / "running_openclaw"
TOKEN = "t0ken-of-the-gateway-0123456789"
ID = "job-0001"
ANSWER = {"ok": True, "enqueued": True, "runId": f"manual:{ID}:1:1"}
RUN = {"jobId": ID, "action": "finished", "runId": ANSWER["runId"], "runAtMs": 1, "durationMs": 70}


def waited(status: str, **more: object) -> list[object]:
    """The answer of `--wait` for a run that ended so."""
    run = {**RUN, "status": status, **more}
    return ["say", json.dumps({**ANSWER, "completed": True, "status": status, "run": run}, indent=2)]


@dataclass
class Teller:
    """Remembers what it was told; `stop_at` interrupts as Ctrl-C would when that is waited for."""

    told: list[str] = field(default_factory=list)
    stop_at: str = ""

    def begin(self, job: object, limit_s: float, log: str) -> None:
        """Once."""
        self.told.append("begin")

    def state(self, kind: str, text: str) -> None:
        """Each kind once."""
        if kind not in self.told:
            self.told.append(kind)
        if kind == self.stop_at:
            raise KeyboardInterrupt

    def warn(self, text: str) -> None:
        """Every one."""
        self.told.append(f"warning: {text}")


class Bench:
    """A home with a cron store and an `openclaw` that does as it is told, before a port that answers as a gateway."""

    def __init__(self, root: Path, port: int) -> None:
        self.root, self.port = root, port
        self.cron = root / "home" / ".openclaw" / "cron"
        self.cron.mkdir(parents=True)
        text = json.dumps({"gateway": {"mode": "local", "port": port, "auth": {"mode": "token", "token": TOKEN}}})
        (self.cron.parent / "openclaw.json").write_text(text)
        proven.lock(locate({"HOME": str(root / "home")}), port)
        self.executable = root / "openclaw"
        _, _, body = FAKE.read_text().partition("\n")
        self.executable.write_text(f"#!{sys.executable} -IS\n{body}")
        self.executable.chmod(0o755)
        (root / "package.json").write_text(json.dumps({"name": "openclaw", "version": "2026.9.6"}))
        self.environ = {
            "HOME": str(root / "home"),
            "PATH": os.environ["PATH"],
            "RUNNING_OPENCLAW": str(root / "table.json"),
        }
        self.memory = root / "memory"
        self.teller = Teller()
        self.jobs({"id": ID, "name": "nightly"}, {"id": "job-0002", "name": "twin"}, {"id": "job-0003", "name": "twin"})

    def jobs(self, *jobs: dict[str, Any]) -> None:
        """What the store holds."""
        whole = [
            {"enabled": True, "schedule": {"kind": "every", "everyMs": 3_600_000}, "state": {}, **each} for each in jobs
        ]
        (self.cron / "jobs.json").write_text(json.dumps({"jobs": whole}))

    def run(self, *steps: Any, word: str = "nightly", limit_s: float = 20.0, lacks: tuple[str, ...] = (),
            due: bool = False, wait: bool = True, **settings: Any) -> RunResult:  # fmt: skip
        """`oc-ops run WORD LIMIT` while `openclaw cron run` does those steps."""
        table = {"calls": str(self.root / "calls"), "lacks": lacks, "steps": steps}
        (self.root / "table.json").write_text(json.dumps(table))
        short = {"http_probe_s": 1.0, "linger_s": 0.3, "kill_grace_s": 0.2, **settings}
        limits = Settings(memory_dir=self.memory, rpc=False, openclaw=self.executable, **short)
        gateway = Gateway(limits, self.environ)
        self.lock = gateway.lock("cli")
        asked = JobRequest(word, limit_s, due, wait, ("oc-ops", "run", word))
        return run_job(asked, gateway, self.teller)

    def triggers(self) -> list[list[str]]:
        """The words of every `cron run`, in order."""
        calls = self.root / "calls"
        words = [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []
        return [each[2:] for each in words if each[:2] == ["cron", "run"]]


class Port:
    """A gateway's port that answers, until it is told to be silent or to stop."""

    def __init__(self) -> None:
        self.silent, self.slow = threading.Event(), 0

    def __call__(self, connection: socket.socket, over: threading.Event) -> None:
        """One connection."""
        path = request(connection).split(b" ")[1].decode()
        if self.slow > 0:
            self.slow -= 1
            over.wait(1.5)
        if self.silent.is_set():
            over.wait(30)
            return
        connection.sendall(http(json.dumps(HTTP.get(path, {}))))


@pytest.fixture
def port() -> Port:
    """The port's manners."""
    return Port()


@pytest.fixture
def bench(tmp_path: Path, port: Port) -> Iterator[Bench]:
    """One gateway; no process of it is left."""
    with listening(port) as number:
        yield Bench(tmp_path, number)
    assert eventually(lambda: not carrying(str(tmp_path / "openclaw")))


def log_of(result: RunResult) -> str:
    """The transcript of a run."""
    assert result.log is not None
    return result.log.read_text(encoding="utf-8")


def test_a_run_that_succeeds(bench: Bench) -> None:
    """One call that waits; the transcript tells all of it and is readable by its owner alone."""
    result = bench.run(waited("ok", summary="fine"))
    assert (result.outcome, result.exit, result.why, result.run_id) == ("succeeded", 0, "fine", ANSWER["runId"])
    assert bench.triggers() == [["--timeout", "20000", "--wait", "--wait-timeout", "17s", "--poll-interval", "1s", ID]]
    log = log_of(result)
    parts = [
        r"asked    oc-ops run nightly\n", r"at       \d{4}-", r"by       .* on .*, pid \d+",
        'job      "nightly" job-0001', "--- the gateway before ---\nGET /healthz answered 200",
        r"--- openclaw cron run --timeout 20000 --wait .* job-0001", r'\| +"runId": "manual:job-0001:1:1"',
        "`openclaw cron run` ended with exit code 0", "--- the run's record ---", "outcome  succeeded\n", "exit     0",
    ]  # fmt: skip
    positions = [match.start() for each in parts if (match := re.search(each, log))]
    assert len(positions) == len(parts), log
    assert positions == sorted(positions)
    assert result.log is not None
    assert result.log.parent == bench.memory / "cron_run_now"
    assert re.fullmatch(r"job-0001_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ\.log", result.log.name)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (result.log, result.log.parent)] == [0o600, 0o700]


def test_what_the_watcher_saw_is_told_and_nothing_more(bench: Bench) -> None:
    """Its last word stands in the transcript beside our own look; a run does not wait or refuse because of it."""
    path = watcher_word.path_of(bench.memory, locate(bench.environ, None).key)
    path.parent.mkdir(parents=True)
    path.write_text(
        json.dumps({"written_at": time.time() - 60, "gateway": {"state": "hung"}, "rpc": {"state": "silent"}})
    )
    result = bench.run(waited("ok", summary="fine"))
    assert result.outcome == "succeeded"
    assert "\nthe cockpit's watcher wrote 1 min ago: hung, RPC silent\n" in log_of(result)


def test_a_run_that_fails(bench: Bench) -> None:
    """Its error is the reason, its diagnostics are written down; status ok is not enough where 2026.9.6 says more."""
    entry = {"severity": "error", "source": "exec", "message": "command error", "exitCode": 3}
    result = bench.run(waited("error", error="exited with 3", diagnostics={"entries": [entry]}), ["exit", 1])
    assert (result.outcome, result.exit, result.why) == ("failed", 1, "exited with 3")
    assert "--- diagnostics ---\nerror exec command error (exit code 3)\n" in log_of(result)
    assert bench.run(waited("ok", completionStatus="failed")).exit == 1


def test_a_release_that_does_not_wait(bench: Bench) -> None:
    """It refuses --wait before it does anything and is asked without; of the history only our run counts."""
    (bench.cron / "runs").mkdir()
    old = {
        "jobId": ID,
        "action": "finished",
        "status": "error",
        "error": "old",
        "runAtMs": round(time.time() * 1000) - 500,
    }
    (bench.cron / "runs" / f"{ID}.jsonl").write_text(json.dumps(old) + "\n")
    steps = [["mark"], ["sleep", 0.1], ["record", {"summary": "x"}], ["say", '{"ok": true, "ran": true}']]
    result = bench.run(*steps, lacks=("--wait",))
    assert (result.outcome, result.record and result.record.status) == ("succeeded", "ok")
    assert ["--wait" in each for each in bench.triggers()] == [True, False]
    assert "this release has no `cron run --wait`" in log_of(result)


def test_the_words_of_a_job_never_start_it_again(bench: Bench) -> None:
    """A job whose own error says `unknown option '--wait'` has run: it is asked for once."""
    result = bench.run(waited("error", error="error: unknown option '--wait'"), ["exit", 1])
    assert (result.outcome, len(bench.triggers())) == ("failed", 1)


def test_due_is_never_left_out(bench: Bench) -> None:
    """A release without --due starts nothing, since a run that is not due was not asked for; not due is no failure."""
    assert bench.run(waited("ok"), lacks=("--due",), due=True).why == "this release has no `cron run --due`"
    answer = bench.run(["say", '{"ok": true, "ran": false, "reason": "not-due"}'], due=True)
    assert (answer.outcome, answer.exit, answer.why) == ("not-started", 4, "it is not due, and --due was asked for")
    assert all("--due" in each for each in bench.triggers())


def test_no_job_or_more_than_one(bench: Bench) -> None:
    """Neither is asked for: what comes near, or the ids to choose from."""
    with pytest.raises(JobNotChosen, match=r'no job has the id or name "nigtly"; near to it:\n  job-0001  nightly'):
        bench.run(word="nigtly")
    with pytest.raises(JobNotChosen, match=r'2 jobs are called "twin"; take an id:\n  job-0002 .*\n  job-0003 '):
        bench.run(word="twin")
    assert bench.triggers() == []


def test_a_job_that_runs_already(bench: Bench) -> None:
    """By its marker it is not even asked for; by the gateway's word it is asked for once."""
    result = bench.run(["say", '{"ok": true, "ran": false, "reason": "already-running"}'], ["exit", 1])
    assert (result.outcome, result.exit, len(bench.triggers())) == ("already-running", 3, 1)
    bench.jobs({"id": ID, "name": "nightly", "state": {"runningAtMs": round(time.time() * 1000) - 90_000}})
    result = bench.run(waited("ok"))
    assert (result.exit, len(bench.triggers())) == (3, 1)
    assert re.match(r"since \d{4}-.* UTC, 1 min 3\d s ago; which process runs it is not known: ", result.why)


def test_out_of_time(bench: Bench) -> None:
    """A command that hangs is ended with all it started, at the limit and not later; the job is not said to be over."""
    began = time.monotonic()
    result = bench.run(["say", "connecting"], ["mark"], ["hang"], limit_s=3.0)
    assert (result.outcome, result.exit) == ("out-of-time", 124)
    assert time.monotonic() - began < 40
    assert "it may still be running, and is not started again: under way for" in result.sentence
    assert "| connecting\n" in log_of(result)
    assert len(bench.triggers()) == 1


def test_an_error_that_started_nothing(bench: Bench) -> None:
    """The command's own words say why nothing was started."""
    result = bench.run(["say", '{"ok": false, "error": {"message": "scope upgrade pending approval"}}'], ["exit", 1])
    assert (result.outcome, result.exit, result.why) == ("not-started", 4, "scope upgrade pending approval")
    gone = bench.run(["say", '{"ok": false, "error": {"message": "Automation not found: job-0001."}}'], ["exit", 1])
    assert (gone.outcome, gone.exit) == ("gone", 2)


@pytest.mark.parametrize("words", ["gateway timeout after 30000ms", "something nobody foresaw"])
def test_an_error_after_which_the_run_shows_all_the_same(bench: Bench, words: str) -> None:
    """2026.2.26 loses its patience with a run that goes on: what the history shows counts, not the command's word."""
    steps = [["mark"], ["say", f"Error: {words}"], ["record"], ["exit", 1]]
    result = bench.run(*steps)
    assert (result.outcome, len(bench.triggers())) == ("succeeded", 1)


def test_nobody_waits(bench: Bench) -> None:
    """With --no-wait the answer is the end; a release that runs the job before it answers is left once it has begun."""
    result = bench.run(["say", json.dumps(ANSWER)], wait=False)
    assert (result.outcome, result.exit, result.run_id) == ("triggered", 0, ANSWER["runId"])
    assert bench.triggers() == [["--timeout", "19000", ID]]
    result = bench.run(["mark"], ["hang"], wait=False, limit_s=60.0)
    assert (result.outcome, result.exit) == ("triggered", 0)
    assert result.waited_s < 30


def test_a_gateway_that_hangs_before(bench: Bench, port: Port) -> None:
    """The cause is named, the job found in the store, and `openclaw` not even called."""
    port.silent.set()
    result = bench.run(waited("ok"))
    assert (result.outcome, result.exit, bench.triggers()) == ("not-started", 4, [])
    assert result.why.startswith("gateway/")
    assert "outcome  not-started" in log_of(result)


def test_a_gateway_that_is_merely_slow(bench: Bench, port: Port) -> None:
    """Two answers later than the first short look are no reason to refuse: it gets the whole budget then."""
    port.slow = 2
    assert bench.run(waited("ok"), http_probe_s=4.0).exit == 0


def test_a_gateway_that_hangs_during(bench: Bench, port: Port) -> None:
    """Noticed beside the wait, said, and at the limit out of time."""
    state = bench.teller.state

    def hang_once_under_way(kind: str, text: str) -> None:
        state(kind, text)
        if kind == "running":
            port.silent.set()

    bench.teller.state = hang_once_under_way  # type: ignore[method-assign]
    result = bench.run(["mark"], ["hang"], limit_s=7.0)
    assert bench.teller.told == ["begin", "asking", "running", "trouble"]
    assert result.exit == 124
    assert re.match(r"the gateway does not answer since \d+ s: GET /healthz: .*; the run was under way", result.why)


def test_a_run_that_is_not_waited_for_any_longer(bench: Bench) -> None:
    """Ctrl-C ends the command, keeps the transcript, and says that the job goes on."""
    bench.teller.stop_at = "running"
    result = bench.run(["mark"], ["hang"])
    assert (result.outcome, result.exit) == ("interrupted", 130)
    assert "Ctrl-C; the job goes on (under way for" in result.why
    assert log_of(result).endswith("exit     130\n")


def test_no_secret_and_no_control_in_the_transcript(bench: Bench) -> None:
    """The gateway's token is replaced however it comes; what would act upon a terminal shows as what it is."""
    half = len(TOKEN) // 2
    hostile = f"\x1b]52;c;aGk=\x07 \x1b[2J title\x1b]0;x\x07 {TOKEN} end\x1b[31mred"
    steps = [["say", hostile], ["say", f"key {TOKEN[:half]}"], waited("ok", summary=f"{TOKEN}\x1b[2J")]
    result = bench.run(*steps)
    log = log_of(result)
    assert TOKEN not in log
    assert "[redacted] end" in log
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", log)
    assert "␛]52;" in log


def test_what_is_printed_is_on_the_disk_before_the_end(bench: Bench) -> None:
    """The transcript has the question and the first output while the command still runs."""
    seen: list[str] = []

    def look(kind: str, text: str) -> None:
        if kind == "running":
            (log,) = (bench.memory / "cron_run_now").iterdir()
            seen.append(log.read_text())

    bench.teller.state = look  # type: ignore[method-assign]
    bench.run(["say", "first words"], ["mark"], ["hang"], limit_s=4.0)
    assert "asked    oc-ops run nightly\n" in seen[0]
    assert "| first words\n" in seen[-1]


def test_no_run_without_a_transcript(bench: Bench) -> None:
    """Where none can be written nothing is started."""
    bench.memory.mkdir()
    (bench.memory / "cron_run_now").write_text("in the way")
    with pytest.raises(OcOpsError, match=r"cannot write the run's transcript into .*cron_run_now: "):
        bench.run(waited("ok"))
    assert bench.triggers() == []


def test_others_may_call_while_a_run_is_waited_for(bench: Bench) -> None:
    """The one call at a time is given back once the run is under way: a doctor does not have to wait for the job."""
    free: list[bool] = []

    def look(kind: str, text: str) -> None:
        if kind == "running" and len(free) < 20:
            from filelock import FileLock, Timeout

            try:
                with FileLock(bench.lock, timeout=0):
                    free.append(True)
            except Timeout:
                free.append(False)

    bench.teller.state = look  # type: ignore[method-assign]
    bench.run(["mark"], ["hang"], limit_s=5.0)
    assert free[-1]


def test_an_id_that_looks_like_an_option(bench: Bench) -> None:
    """It is handed over as an id."""
    bench.jobs({"id": "--wait", "name": "odd"})
    bench.run(waited("ok"), word="odd")
    assert bench.triggers()[0][-2:] == ["--", "--wait"]


def test_old_transcripts_go(bench: Bench) -> None:
    """As many as the setting says are kept, this one among them; what is no transcript stays."""
    folder = bench.memory / "cron_run_now"
    folder.mkdir(parents=True)
    names = [f"job-{number}_2026-01-0{number}T00-00-00Z.log" for number in range(1, 6)]
    for name in (*names, "notes.log"):
        (folder / name).touch()
    result = bench.run(waited("ok"), keep_job_runs=3)
    assert result.log is not None
    assert sorted(each.name for each in folder.iterdir()) == sorted([result.log.name, *names[3:], "notes.log"])
