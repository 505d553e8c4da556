"""After the approval: whether the break helped, and a job that is never left off."""

from __future__ import annotations

import json
import signal

import pytest

from tests.support.stuck_machine import JOB, MARKER, NAME, PROMPT, StuckMachine, ended, machine, until

__all__ = ["machine"]

pytestmark = pytest.mark.timeout(180)

SIGNALS = [signal.SIGINT, *(pytest.param(each, marks=pytest.mark.nightly) for each in (signal.SIGTERM, signal.SIGHUP))]


# -- verification ------------------------------------------------------------------------------------------------------


def test_a_run_that_is_due_later_is_not_awaited_and_can_be_asked_for(machine: StuckMachine) -> None:
    """`cleared`, exit 2, with the due time and the command that tells later; which then tells."""
    machine.script(next_s=3600)
    done = machine.run("break", "--approve", machine.plan())
    assert done.returncode == 2, done.stdout + done.stderr
    assert "cleared: cleared; next run due at" in done.stderr
    assert f"oc-ops breaker show {MARKER}" in done.stderr
    asked = machine.run("show", MARKER)
    assert asked.returncode == 2
    assert "its next run is due at" in asked.stderr
    ahead_ms = machine.book[-1]["after"]["since_ms"] + 3_000_000
    machine.mark(runningAtMs=None, lastRunAtMs=ahead_ms, lastStatus="error")
    assert machine.run("show", MARKER).returncode == 2, "a run that is yet to come is none"
    machine.mark(runningAtMs=None, lastRunAtMs=machine.book[-1]["after"]["since_ms"] + 1000, lastStatus="ok")
    came = machine.run("show", MARKER)
    assert came.returncode == 0, came.stderr
    assert "ended as ok" in came.stdout


def test_an_awaited_run_that_never_came_is_told_later(machine: StuckMachine) -> None:
    """Once its time is over, `show` says ineffective."""
    machine.script(next_s=10, fires=False)
    done = machine.run("break", "--approve", machine.plan(), OC_OPS_BREAKER_AWAIT_S="0.01")
    assert done.returncode == 2, done.stderr
    due_ms = machine.book[-1]["after"]["next_run_ms"]
    asked = {"OC_OPS_BREAKER_LATE_S": "0.01"}
    until(lambda: machine.run("show", MARKER, **asked).returncode == 1)
    assert "did not come" in machine.run("show", MARKER, **asked).stderr
    assert due_ms == machine.job()["state"]["nextRunAtMs"]


def test_a_run_that_does_not_come_is_ineffective(machine: StuckMachine) -> None:
    """The marker is gone, and the scheduler does not fire: exit 1."""
    machine.script(fires=False)
    done = machine.run("break", "--approve", machine.plan(), OC_OPS_BREAKER_LATE_S="1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "ineffective: the run due at" in done.stderr
    assert machine.book[-1]["outcome"] == "ineffective"


def test_a_marker_that_stays_is_ineffective(machine: StuckMachine) -> None:
    """A gateway that does not take it away is told so, and the job is on."""
    machine.script(keeps_marker=True)
    done = machine.run("break", "--approve", machine.plan())
    assert done.returncode == 1
    assert "the marker is still there" in done.stderr
    assert machine.job()["enabled"] is True


def test_ctrl_c_while_waiting_leaves_the_run_to_be_asked_for(machine: StuckMachine) -> None:
    """The break is done; only the wait ends."""
    machine.script(next_s=300)
    child = machine.on_terminal("break", MARKER)
    child.expect(PROMPT)
    child.sendline(NAME)
    child.expect("waiting for its next run")
    child.sendintr()
    code, said = ended(child)
    assert code == 2, said
    assert machine.book[-1]["outcome"] == "cleared"
    assert machine.job()["enabled"] is True


# -- a job is never left off -------------------------------------------------------------------------------------------


def test_an_enable_that_fails_is_shouted_and_tried_again(machine: StuckMachine) -> None:
    """Twice refused, then through: verified, and the operator has heard that the job was off."""
    machine.script(enable=["refuse", "refuse", "ok"])
    done = machine.run("break", "--approve", machine.plan())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f'THE JOB "{NAME}" IS OFF') == 2
    assert machine.switches.count(f"enable {JOB}") == 3


def test_a_job_that_stays_off_is_the_last_word_and_is_listed(machine: StuckMachine) -> None:
    """Exit 1 with the command to run; the next list offers to enable it, and that works after an approval."""
    machine.script(enable=["refuse"])
    done = machine.run("break", "--approve", machine.plan(), OC_OPS_BREAKER_ENABLE_S="0.5")
    assert done.returncode == 1
    assert f"openclaw cron enable {JOB}" in done.stderr
    assert machine.job()["enabled"] is False
    machine.script(enable=["ok"])
    listed = machine.run("list")
    assert listed.returncode == 1
    assert f'the job "{NAME}" was left disabled by an unfinished break of' in listed.stdout
    left = machine.run("break", "--approve", machine.plan(f"left-off:{JOB}"))
    assert left.returncode == 0, left.stdout + left.stderr
    assert machine.job()["enabled"] is True
    assert machine.run("list").returncode == 0


def test_killed_between_off_and_on(machine: StuckMachine) -> None:
    """kill -9: the next list says that the job was left disabled and by what, and offers to enable it."""
    machine.script(disable=["wait"])
    plan = machine.plan()
    running = machine.start("break", "--approve", plan)
    until((machine.home / "waits").exists)
    assert machine.run("list").returncode == 0, "a break that is under way is not an unfinished one"
    running.send_signal(signal.SIGKILL)
    running.communicate()
    (machine.home / "waits").unlink()
    assert machine.job()["enabled"] is False
    listed = machine.run("list", "--json")
    (left,) = json.loads(listed.stdout)["mutexes"]
    assert (left["kind"], left["evidence"]["broken_by"]) == ("left-off", plan)
    (machine.memory / "ops_critical_cron_jobs.txt").write_text(NAME)
    assert "cron/job-disabled: error" in machine.oc_ops("jobs").stdout
    child = machine.on_terminal("break", f"left-off:{JOB}")
    child.expect(PROMPT)
    child.sendline(NAME)
    code, said = ended(child)
    assert code == 0, said
    assert machine.switches == [f"disable {JOB}", f"enable {JOB}"]
    assert machine.run("list").returncode == 0


@pytest.mark.parametrize("number", SIGNALS, ids=lambda each: each.name)
def test_interrupted_while_the_next_run_is_awaited(machine: StuckMachine, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and a closed terminal: the break is on record as done; a later look says what became of it."""
    machine.script(next_s=300)
    running = machine.start("break", "--approve", machine.plan())
    until(lambda: f"enable {JOB}" in machine.switches)
    assert running.stdout is not None
    until(lambda: "waiting for its next run" in running.stdout.readline())  # type: ignore[union-attr]
    running.send_signal(number)
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 2, said
    assert "not awaited" in said
    assert [each["outcome"] for each in machine.book if each["what"] == "done"] == ["cleared"]
    assert "its next run is due" in machine.run("show", MARKER).stderr


@pytest.mark.parametrize("number", SIGNALS, ids=lambda each: each.name)
def test_interrupted_between_off_and_on(machine: StuckMachine, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and a closed terminal: the job is switched on first."""
    machine.script(disable=["wait"], next_s=300)
    running = machine.start("break", "--approve", machine.plan())
    until((machine.home / "waits").exists)
    running.send_signal(number)
    (machine.home / "waits").unlink()
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 2, said
    assert "interrupted: the job is on again" in said
    assert machine.switches == [f"disable {JOB}", f"enable {JOB}"]
    assert machine.job()["enabled"] is True
    assert machine.book[-1]["outcome"] == "cleared"


def test_a_pipe_that_nobody_reads_leaves_no_job_off(machine: StuckMachine) -> None:
    """What cannot be said any more does not end the trying."""
    machine.script(enable=["refuse", "ok"], next_s=3600)
    running = machine.start("break", "--approve", machine.plan())
    assert running.stdout is not None
    running.stdout.close()
    running.wait(60)
    assert machine.switches == [f"disable {JOB}", f"enable {JOB}", f"enable {JOB}"]
    assert machine.job()["enabled"] is True
    assert machine.book[-1]["outcome"] == "cleared"


def test_a_disable_that_is_refused_leaves_the_job_on(machine: StuckMachine) -> None:
    """Nothing got through: ineffective, and the job is seen to be on."""
    machine.script(disable=["refuse"], keeps_marker=True)
    done = machine.run("break", "--approve", machine.plan())
    assert done.returncode == 1
    assert "cron disable did not get through" in done.stdout
    assert machine.job()["enabled"] is True


def test_a_disable_that_hangs_is_ended_and_the_job_is_on(machine: StuckMachine) -> None:
    """The call is cut at its deadline; whatever came of it, enabling follows."""
    machine.script(disable=["hang"], keeps_marker=True)
    limits = {"OC_OPS_CALL_S": "3", "OC_OPS_CLI_TIMEOUT_S": "2.5"}
    done = machine.run("break", "--approve", machine.plan(), **limits)
    assert done.returncode == 1, done.stdout + done.stderr
    assert machine.switches == [f"disable {JOB}", f"enable {JOB}"]
    assert machine.job()["enabled"] is True
