"""The breaker as an operator meets it: a stale marker shown, approved and cleared; and everything that does not do."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.machine import PROJECT, SECRET
from tests.stuck_machine import JOB, NAME, StuckMachine, ended, until

pytestmark = pytest.mark.timeout(180)

MARKER = f"marker:{JOB}"
PROMPT = "type its exact name"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[StuckMachine]:
    """A machine whose gateway runs and has a stuck job."""
    made = StuckMachine(tmp_path)
    with made.gateway():
        yield made


def words(machine: StuckMachine) -> list[str]:
    """What happened, by the book."""
    return [each["what"] for each in machine.book if each["what"] != "step"]


def untouched(machine: StuckMachine) -> None:
    """No switch was made, and the marker is what it was."""
    assert machine.switches == []
    assert machine.job()["state"]["runningAtMs"] == machine.marker_ms
    assert machine.job()["enabled"] is True


# -- looking ----------------------------------------------------------------------------------------------------------


def test_list_and_show_change_nothing(machine: StuckMachine) -> None:
    """The marker is listed with its id; shown with its evidence, a plan and its expiry; neither touches the job."""
    listed = machine.run("list")
    assert listed.returncode == 1, listed.stdout + listed.stderr
    assert MARKER in listed.stdout
    assert f'the job "{NAME}" is marked as running, and nobody runs it' in listed.stdout
    shown = machine.run("show", NAME)
    assert shown.returncode == 0, shown.stderr
    assert f"evidence: marker_ms = {machine.marker_ms}" in shown.stdout
    assert "proof: the gateway (pid" in shown.stdout
    assert "void if anything changes" in shown.stdout
    untouched(machine)
    (planned,) = machine.book
    assert (planned["what"], planned["target"], planned["evidence"]["marker_ms"]) == (
        "planned",
        MARKER,
        machine.marker_ms,
    )
    assert SECRET not in json.dumps(machine.book)


def test_what_could_not_be_looked_at_is_told_without_secrets(machine: StuckMachine) -> None:
    """An `openclaw` that fails may repeat the token: it reaches neither the terminal nor a pipe."""
    (machine.root / "bin" / "openclaw").write_text(
        f'#!/bin/sh\ncase "$1" in --version) echo OpenClaw 2026.2.26 ;; gateway) echo "{{\\"heartbeat\\": {{}}}}" ;; '
        f'*) echo "Error: no such device: {SECRET}" >&2; exit 1 ;; esac\n'
    )
    for words in (("list",), ("show", "marker:nobody")):
        told = machine.run(*words, OC_OPS_RPC="off")
        assert told.returncode == 2, told.stdout + told.stderr
        assert "no such device: [redacted]" in told.stderr


def test_json_for_a_machine(machine: StuckMachine) -> None:
    """list, show and an approved break speak JSON."""
    (one,) = json.loads(machine.run("list", "--json").stdout)["mutexes"]
    assert (one["id"], one["refused"]) == (MARKER, None)
    told = json.loads(machine.run("show", MARKER, "--json").stdout)
    assert len(told["sha256"]) == 64
    done = machine.run("break", "--approve", told["plan"], "--json")
    assert (done.returncode, json.loads(done.stdout)["outcome"]) == (0, "verified")


# -- breaking ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["2026.2.26", "2026.5.28"])
def test_the_typed_name_breaks_it(machine: StuckMachine, release: str) -> None:
    """On a terminal, after the evidence: off, on, and the next run comes; all of it is on record."""
    machine.script(release=release)
    machine.mark(apart=release == "2026.5.28")
    child = machine.on_terminal("break", MARKER)
    child.expect(PROMPT)
    assert f"evidence: marker_ms = {machine.marker_ms}" in str(child.before)
    untouched(machine)
    child.sendline(NAME)
    code, said = ended(child)
    assert code == 0, said
    assert "verified: " in said
    assert machine.switches == [f"disable {JOB}", f"enable {JOB}"]
    job = machine.job()
    assert job["enabled"] is True
    assert "runningAtMs" not in job["state"]
    assert job["state"]["lastStatus"] == "ok"
    assert words(machine) == ["planned", "approved", "begun", "done"]
    book = {each["what"]: each for each in machine.book}
    assert book["approved"]["how"] == "typed"
    assert book["approved"]["by"]["tty"].startswith("/dev/")
    assert book["begun"]["before"]["marker_ms"] == machine.marker_ms
    assert (book["done"]["outcome"], book["done"]["after"]["marker_ms"]) == ("verified", None)
    transcripts = sorted((machine.memory / "breaks" / book["done"]["plan"] / "calls").iterdir())
    assert any("cron-disable" in each.name for each in transcripts)


def test_an_approved_plan_breaks_it_unattended(machine: StuckMachine) -> None:
    """Without a terminal the plan's id is enough, once."""
    plan = machine.plan()
    done = machine.run("break", "--approve", plan)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verified: " in done.stdout
    again = machine.run("break", "--approve", plan)
    assert again.returncode == 4
    assert "carried out at" in again.stderr
    assert machine.switches == [f"disable {JOB}", f"enable {JOB}"]


# -- nothing else approves --------------------------------------------------------------------------------------------


def test_another_name_is_no_approval(machine: StuckMachine) -> None:
    """What is not its name leaves it alone."""
    child = machine.on_terminal("break", MARKER)
    child.expect(PROMPT)
    child.sendline("yes")
    code, said = ended(child)
    assert code == 4, said
    assert "that is not its name" in said
    untouched(machine)
    assert words(machine) == ["planned", "refused"]


def test_only_the_exact_name_will_do(tmp_path: Path) -> None:
    """Case, blanks, parts and the id are other names."""
    asks = f"from oc_ops.act.breaker.approval import typed\ntyped({NAME!r})"
    for answer in ("nightly", NAME.upper(), f"{NAME} ", f" {NAME}", f"{NAME}{NAME}", "", JOB, NAME):
        child = pexpect.spawn(sys.executable, ["-c", asks], cwd=str(PROJECT), encoding="utf-8", timeout=60)
        child.expect(PROMPT)
        child.sendline(answer)
        code, said = ended(child)
        assert (code == 0) is (answer == NAME), said


@pytest.mark.parametrize("key", ["d", "c"], ids=["end of input", "Ctrl-C"])
def test_leaving_the_prompt_is_no_approval(machine: StuckMachine, key: str) -> None:
    """Ctrl-D and Ctrl-C leave it alone."""
    child = machine.on_terminal("break", MARKER)
    child.expect(PROMPT)
    child.sendcontrol(key)
    code, said = ended(child)
    assert code == 4, said
    untouched(machine)
    assert words(machine) == ["planned", "refused"]


def test_what_was_typed_before_the_evidence_does_not_count(machine: StuckMachine) -> None:
    """A name in the terminal's buffer was typed by somebody who has read nothing."""
    child = machine.on_terminal("break", MARKER)
    child.send(f"{NAME}\n")
    child.expect(PROMPT)
    child.sendcontrol("d")
    code, said = ended(child)
    assert code == 4, said
    untouched(machine)


def test_without_a_terminal_only_a_plan_approves(machine: StuckMachine) -> None:
    """A piped name, variables that elsewhere mean yes, --json: exit 4, and words that say how."""
    yes = {"CI": "1", "YES": "1", "OPENCLAW_YES": "1", "DEBIAN_FRONTEND": "noninteractive"}
    tries = (
        machine.run("break", MARKER),
        machine.run("break", MARKER, "--json"),
        machine.run_apart("break", MARKER, given=f"{NAME}\n"),
        machine.run_apart("break", MARKER, given=f"{NAME}\n", **yes),
    )
    for done in tries:
        assert done.returncode == 4
        assert "break --approve PLAN" in done.stderr
    untouched(machine)


def test_there_is_no_option_that_says_yes(machine: StuckMachine) -> None:
    """--yes and --force are usage errors, on a terminal too."""
    for option in ("--yes", "-y", "--force"):
        code, said = ended(machine.on_terminal("break", MARKER, option))
        assert code == 2, said
    untouched(machine)


def test_a_name_read_from_a_terminal_by_a_piped_output_is_not_asked_for(machine: StuckMachine) -> None:
    """Where the output goes elsewhere, nobody has read the evidence."""
    command = f'"$0" -c "from oc_ops.cli import main; main()" breaker break {MARKER} >{machine.root}/out'
    child = pexpect.spawn(
        "/bin/sh",
        ["-c", command, sys.executable],
        env=machine.environ,
        encoding="utf-8",
        timeout=60,
    )
    code, said = ended(child)
    assert code == 4, said
    untouched(machine)


# -- plans that are void ----------------------------------------------------------------------------------------------


def test_an_expired_plan_is_void(machine: StuckMachine) -> None:
    """After its time it approves nothing."""
    plan = machine.plan(OC_OPS_BREAKER_PLAN_S="0.001")
    done = machine.run("break", "--approve", plan)
    assert done.returncode == 4
    assert "expired at" in done.stderr
    untouched(machine)
    assert words(machine) == ["planned", "refused"]


def test_a_prompt_that_stood_too_long_is_void(machine: StuckMachine) -> None:
    """The right name, typed after the plan's time, approves nothing."""
    child = machine.on_terminal("break", MARKER, OC_OPS_BREAKER_PLAN_S="0.01")
    child.expect(PROMPT)
    child.sendline(NAME)
    code, said = ended(child)
    assert (code, "expired at" in said) == (4, True), said
    untouched(machine)


def test_changed_evidence_voids_a_plan(machine: StuckMachine) -> None:
    """Another marker of the same job is another break."""
    plan = machine.plan()
    machine.marker_ms -= 60_000
    machine.mark()
    done = machine.run("break", "--approve", plan)
    assert done.returncode == 4
    assert "its evidence changed" in done.stderr
    untouched(machine)


def test_evidence_that_changes_at_the_prompt_voids_it(machine: StuckMachine) -> None:
    """What is broken is what was read."""
    child = machine.on_terminal("break", MARKER)
    child.expect(PROMPT)
    machine.marker_ms -= 60_000
    machine.mark()
    child.sendline(NAME)
    code, said = ended(child)
    assert (code, "its evidence changed" in said) == (4, True), said
    untouched(machine)


def test_another_gateway_process_voids_a_plan(tmp_path: Path) -> None:
    """After a restart nothing is what it was."""
    machine = StuckMachine(tmp_path)
    with machine.gateway():
        plan = machine.plan()
    with machine.gateway():
        done = machine.run("break", "--approve", plan)
        assert done.returncode == 4
        assert "its evidence changed" in done.stderr
        untouched(machine)


def test_a_marker_that_is_gone_is_nothing_to_break(machine: StuckMachine) -> None:
    """The gateway has cleared it itself meanwhile."""
    plan = machine.plan()
    machine.mark(runningAtMs=None)
    done = machine.run("break", "--approve", plan)
    assert done.returncode == 4
    assert "nothing to break any more" in done.stderr
    assert machine.switches == []


@pytest.mark.parametrize("plan", ["nobody-knows", "", "../../x"])
def test_no_such_plan(machine: StuckMachine, plan: str) -> None:
    """An id that was never given approves nothing."""
    done = machine.run("break", "--approve", plan)
    assert done.returncode == 4
    assert "no plan" in done.stderr
    untouched(machine)


def test_a_plan_is_for_its_target(machine: StuckMachine) -> None:
    """A plan beside the name of another thing is a mistake."""
    done = machine.run("break", "marker:other", "--approve", machine.plan())
    assert done.returncode == 4
    assert "is not about marker:other" in done.stderr
    untouched(machine)


# -- what must be left alone ------------------------------------------------------------------------------------------


def test_a_live_owner_is_refused(machine: StuckMachine) -> None:
    """A run that tasks.list shows is never broken, by plan or by name; a plan made before it is void."""
    plan = machine.plan()
    machine.script(tasks=[JOB])
    shown = machine.run("show", MARKER)
    assert shown.returncode == 4
    assert "its owner lives: tasks.list shows its run under way" in shown.stderr
    assert machine.run("break", "--approve", plan).returncode == 4
    code, said = ended(machine.on_terminal("break", MARKER))
    assert (code, PROMPT in said) == (4, False), said
    untouched(machine)
    assert machine.run("list").returncode == 0
    assert "left alone: its owner lives" in machine.run("list", "--all").stdout


def test_a_young_marker_is_refused(machine: StuckMachine) -> None:
    """Nobody's, but not older than its timeout and grace."""
    machine.marker_ms = machine.marker_ms + (3 * 3600 - 400) * 1000
    machine.mark()
    done = machine.run("show", MARKER)
    assert done.returncode == 4
    assert "younger than" in done.stderr


def test_a_gateway_that_is_down_clears_it_itself(tmp_path: Path) -> None:
    """By the store alone nothing is broken."""
    machine = StuckMachine(tmp_path)
    with machine.gateway():
        pass
    done = machine.run("show", MARKER)
    assert done.returncode == 4
    assert "its next start clears the marker" in done.stderr


def test_nothing_goes_by_that_name(machine: StuckMachine) -> None:
    """Exit 4, and where to look."""
    done = machine.run("show", "nobody")
    assert done.returncode == 4
    assert "breaker list --all" in done.stderr


def test_a_strangers_name_is_harmless_and_typed_as_its_id(machine: StuckMachine) -> None:
    """A job's name may hold anything: none of it reaches the terminal, and the id approves instead."""
    machine.mark(name="evil\x1b[2J\u202ename")
    child = machine.on_terminal("break", MARKER)
    child.expect(PROMPT)
    assert "\x1b[2J" not in str(child.before)
    assert f"name: {JOB}" in str(child.before)
    child.sendline(JOB)
    code, said = ended(child)
    assert code == 0, said


# -- verification -----------------------------------------------------------------------------------------------------


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
    machine.mark(runningAtMs=None, lastRunAtMs=machine.book[-1]["after"]["since_ms"] + 1000, lastStatus="ok")
    came = machine.run("show", MARKER)
    assert came.returncode == 0, came.stderr
    assert "ended as ok" in came.stdout


def test_an_awaited_run_that_never_came_is_told_later(machine: StuckMachine) -> None:
    """Once its time is over, `show` says ineffective."""
    machine.script(next_s=2, fires=False)
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


# -- a job is never left off ------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda each: each.name)
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


# -- one at a time ----------------------------------------------------------------------------------------------------


def test_one_break_at_a_time(machine: StuckMachine) -> None:
    """A second one is refused with exit 3 and the holder's name, and does nothing."""
    machine.script(disable=["wait"])
    first, second = machine.plan(), machine.plan()
    running = machine.start("break", "--approve", first)
    until((machine.home / "waits").exists)
    done = machine.run("break", "--approve", second)
    assert done.returncode == 3, done.stderr
    assert f"held by process {running.pid}" in done.stderr
    (machine.home / "waits").unlink()
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 0, said
    assert machine.switches == [f"disable {JOB}", f"enable {JOB}"]
    done = machine.run("break", "--approve", second)
    assert done.returncode == 4


def test_an_approval_that_cannot_be_written_down_breaks_nothing(machine: StuckMachine) -> None:
    """Without a record there is no break."""
    plan = machine.plan()
    book = machine.memory / "approvals.jsonl"
    kept = book.read_bytes()
    book.unlink()
    book.mkdir()
    done = machine.run("break", "--approve", plan)
    assert done.returncode == 4, done.stdout + done.stderr
    book.rmdir()
    book.write_bytes(kept)
    untouched(machine)
