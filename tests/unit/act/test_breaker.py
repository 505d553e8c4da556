"""The breaker as an operator meets it: a stale marker shown, approved and cleared; nothing else approves."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pexpect
import pytest

from tests.support.machine import PROJECT, SECRET
from tests.support.stuck_machine import (
    JOB,
    MARKER,
    NAME,
    PROMPT,
    StuckMachine,
    ended,
    machine,
    until,
    untouched,
    words,
)

__all__ = ["machine"]

pytestmark = pytest.mark.timeout(180)


# -- looking -----------------------------------------------------------------------------------------------------------


def marked(machine: StuckMachine) -> str:
    """When the job's marker was set, as a person reads it."""
    return f"{datetime.fromtimestamp(machine.marker_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def test_list_and_show_change_nothing(machine: StuckMachine) -> None:
    """The marker is listed with its id; shown with its evidence, a plan and its expiry; neither touches the job."""
    listed = machine.run("list")
    assert listed.returncode == 1, listed.stdout + listed.stderr
    assert MARKER in listed.stdout
    assert f'the job "{NAME}" is marked as running, and no process runs it' in listed.stdout
    shown = machine.run("show", NAME)
    assert shown.returncode == 0, shown.stderr
    assert f"evidence: marker = {marked(machine)}" in shown.stdout
    assert not re.search(r"(?<!\w)\d{13}(?!\w)|None|= *$", shown.stdout, re.M), "no epoch, nothing empty"
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
        "#!/bin/sh\ncase $1 in --version) echo OpenClaw 2026.2.26 ;;\n"
        """gateway) echo '{"heartbeat": {}, "rpc": {"ok": true}}' ;;\n"""
        f'*) echo "Error: no such device: {SECRET}" >&2; exit 1 ;; esac\n'
    )
    for command in (("list",), ("show", "marker:nobody")):
        told = machine.run(*command, OC_OPS_RPC="off")
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


# -- breaking ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["2026.2.26", "2026.5.28"])
def test_the_typed_name_breaks_it(machine: StuckMachine, release: str) -> None:
    """On a terminal, after the evidence: off, on, and the next run comes; all of it is on record."""
    machine.script(release=release)
    machine.mark(apart=release == "2026.5.28")
    child = machine.on_terminal("break", MARKER)
    child.expect(PROMPT)
    assert f"evidence: marker = {marked(machine)}" in str(child.before)
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


# -- nothing else approves ---------------------------------------------------------------------------------------------


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
    asks = f"from oc_ops.act.breaker.plan import typed\ntyped({NAME!r})"
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


# -- one at a time -----------------------------------------------------------------------------------------------------


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
