"""A stopped gateway is let go on before anything is restarted, by recovery as by the breaker."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from oc_ops.act.breaker import processes
from oc_ops.act.breaker.scan import Pid
from oc_ops.act.recover.outcome import Observation
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.processes import Listener
from oc_ops.observe.service import NO_SERVICE
from oc_ops.record.incidents import book
from tests.support.sights import gateway_process
from tests.support.stage import HUNG, RUNNING, WELL, Stage, finding, opened, saw
from tests.support.survivors import eventually


@pytest.fixture
def process() -> Iterator[psutil.Process]:
    """A process that was stopped."""
    with subprocess.Popen(["sleep", "600"]) as child:
        found = psutil.Process(child.pid)
        found.suspend()
        assert eventually(lambda: found.status() == psutil.STATUS_STOPPED, 10.0)
        yield found
        child.kill()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, process: psutil.Process) -> Stage:
    """A gateway under systemd whose process is stopped; it answers once it may go on."""
    made = Stage(tmp_path, monkeypatch)
    made.looks = [stopped(process.pid), WELL]
    made.seen = [hung(process.pid), hung(process.pid), saw()]
    return made


def stopped(pid: int) -> GatewayProbe:
    """The look at it."""
    held = replace(gateway_process(status="stopped"), pid=pid)
    assert HUNG.listener is not None
    return replace(HUNG, again=None, processes=(held,), listener=Listener(pid, HUNG.listener.title))


def hung(pid: int, incident: str | None = None) -> Observation:
    """What the doctor says of it."""
    found = replace(finding(), fix=f"kill -CONT {pid}")
    return Observation("unhealthy", found, (found,), None, incident)


def test_a_stopped_gateway_is_let_go_on_and_not_restarted(stage: Stage, process: psutil.Process) -> None:
    """Under a supervisor too: one signal, proved by the doctor, on record with its evidence; no restart is spent."""
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, outcome.acted, stage.acts) == (0, "recovered", True, [])
    assert f"gateway/hung is gone after one `kill -CONT {process.pid}`" in outcome.why
    assert process.status() != psutil.STATUS_STOPPED
    (record,) = stage.records()
    steps = [each["step"] for each in record if each["state"] == "begin"]
    assert steps == ["recover", "observe", "preflight", "evidence", "wake", "wait", "observe"]
    assert any("let it go on first" in line for line in stage.said)


def test_what_still_does_not_answer_is_restarted(stage: Stage, process: psutil.Process) -> None:
    """It was waited for; then one restart, in the same attempt of its incident."""
    name = opened(stage)
    stage.looks = [stopped(process.pid), *[HUNG] * 18, WELL]
    stage.seen = [hung(process.pid, name), saw("gateway/hung", incident=name), saw()]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, stage.acts) == (0, "recovered", ["gateway restart --json"]), stage.said
    assert stage.elapsed_s >= 15
    (attempt,) = book.read_one(book.journal(stage.memory), name).incidents[name].attempts
    assert attempt.attempt is not None
    assert (attempt.attempt.action, attempt.attempt.outcome) == ("openclaw gateway restart", "recovered")


def test_without_a_supervisor_it_is_let_go_on_as_well(stage: Stage, process: psutil.Process) -> None:
    """Nobody can restart it, and nobody needs to."""
    stage.looks = [replace(stopped(process.pid), service=NO_SERVICE), WELL]
    stage.services = [NO_SERVICE]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, stage.acts) == (0, "recovered", [])


def test_ending_it_is_offered_only_when_that_did_not_help(stage: Stage, process: psutil.Process) -> None:
    """Stopped again and again, and no supervisor: tried and still unhealthy, with TERM and KILL for a person."""
    name = opened(stage)
    stage.looks, stage.services = [replace(stopped(process.pid), service=NO_SERVICE)], [NO_SERVICE]
    stage.seen = [hung(process.pid, name)]
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, outcome.acted, stage.acts) == (1, "ineffective", True, [])
    assert f"`kill -CONT {process.pid}` did not help" in outcome.why
    assert f"by hand: kill {process.pid}, then kill -KILL {process.pid}" in outcome.why
    again = stage.recover()
    assert (again.exit, again.acted) == (3, False), "one attempt an incident"
    assert f"kill -CONT {process.pid}" in again.why


def test_a_dry_run_says_what_comes_first(stage: Stage, process: psutil.Process) -> None:
    """And leaves it stopped."""
    outcome = stage.recover(dry_run=True)
    assert (outcome.exit, outcome.word) == (1, "would act")
    assert f"it would run `kill -CONT {process.pid}` first" in outcome.why
    assert process.status() == psutil.STATUS_STOPPED


def test_a_hung_gateway_that_is_not_stopped_is_restarted_at_once(stage: Stage) -> None:
    """There is nothing to let go on: a process of its own that is idle or spins."""
    stage.looks, stage.seen = [HUNG, WELL], [saw("gateway/hung"), saw("gateway/hung"), saw()]
    assert stage.recover().exit == 0
    assert stage.acts == ["gateway restart --json"]


def test_only_the_very_process_is_signalled(process: psutil.Process) -> None:
    """A reused pid is another process: nothing is sent."""
    other = Pid(process.pid, process.create_time() - 100)
    assert processes.let_go_on(other) == f"pid {process.pid} is gone"
    assert process.status() == psutil.STATUS_STOPPED
    assert RUNNING.managed
    assert processes.stopped(HUNG) is None
    assert processes.stopped(None) is None
