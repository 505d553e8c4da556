"""A stopped gateway is let go on before anything is restarted, by recovery as by the breaker."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from oc_ops.act import wake
from oc_ops.act.breaker.scan import Pid
from oc_ops.act.recover.outcome import Observation
from oc_ops.gateway import Gateway
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.processes import stopped_inside
from oc_ops.observe.service import NO_SERVICE
from oc_ops.observe.sockets import Listener
from oc_ops.record.incidents import book
from oc_ops.settings import Settings
from tests.support.containers import calls, inspected, runtime
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
    assert wake.resume(other) == f"pid {process.pid} is gone"
    assert process.status() == psutil.STATUS_STOPPED
    assert RUNNING.managed
    assert wake.stopped(HUNG) is None
    assert wake.stopped(None) is None


@pytest.fixture
def cell(tmp_path: Path) -> Gateway:
    """A gateway in a container whose process 6 is stopped, until CONT is sent to it there."""
    told = f"marker = {str(tmp_path / 'awake')!r}\nimport os\n"
    told += "if words[0] == 'exec' and 'kill -CONT' in words[-1]:\n    open(marker, 'w').close()\n    sys.exit(0)\n"
    told += "if words[0] == 'exec':\n    sys.exit(0 if os.path.exists(marker) else print('6 openclaw-gateway') or 0)\n"
    runtime(tmp_path / "bin", inspected(), extra=told)
    environ = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path)}
    return Gateway(Settings(target="podman:cell", memory_dir=tmp_path / "memory"), environ)


def test_in_a_container_it_is_let_go_on_inside(cell: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the runtime's exec and the pid there, once: one that goes on already gets nothing."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "locks"))
    there = cell.target.container
    assert there is not None
    silent = replace(HUNG, container=there, stopped_inside=stopped_inside(there))
    found = wake.stopped(silent)
    assert found is not None
    assert wake.command(found) == "podman exec cell sh -c 'kill -CONT 6'"
    assert wake.by_force(found, "") == "podman restart -t 330 cell"
    assert wake.let_go_on(found, cell) == ""
    assert "exec cell sh -c kill -CONT 6" in calls(tmp_path / "bin")
    assert wake.let_go_on(found, cell) == "pid 6 in container cell is not stopped any more"
    assert wake.stopped(replace(silent, stopped_inside=None)) is None
