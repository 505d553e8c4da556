"""`oc-ops doctor` answers: findings and verdict, no frame of pytest's; `--json` is the report and nothing else."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.machine import SECRET, Operator, Run, closed_port, gateway


def oc_ops(operator: Operator, *arguments: str) -> Run:
    """One `oc-ops` command of the operator's, to its end."""
    return Run.of(operator.start(*arguments, module="oc_ops"))


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """An operator whose gateway is down."""
    return Operator(tmp_path, closed_port())


def test_the_finding_comes_first_and_whole(operator: Operator) -> None:
    """The first line is the fault; no header, dots, or short summary stands before or after it."""
    run = oc_ops(operator, "doctor")
    assert run.code == 1
    lines = run.out.splitlines()
    assert lines[0].startswith("gateway/down: error: nothing listens on port ")
    assert [each.split(":")[0] for each in lines[1:4]] == ["  saw", "  fix", "  verify"]
    assert run.last_line.startswith("doctor: unhealthy in ")
    assert not re.search(r"====|plugins:|rootdir|collected|\[100%\]|FAILED|Traceback", run.out)
    assert run.err == ""


def test_every_warning_is_told_whole(tmp_path: Path) -> None:
    """A degraded run shows what was seen and what helps."""
    with gateway(lambda http: http["/startupz"].update(version="2026.5.28")) as port:
        run = oc_ops(Operator(tmp_path, port), "doctor")
    assert run.code == 0
    assert run.out.startswith("gateway/version-drift: warning: ")
    assert "\n  saw:    CLI 2026.9.6, gateway 2026.5.28\n  fix:    " in run.out


@pytest.mark.parametrize("arguments", [(), ("--quick",), ("--check", "host")], ids=["all", "quick", "an area"])
def test_how_many_looked_adds_up(operator: Operator, arguments: tuple[str, ...]) -> None:
    """The parts sum up to the whole, and what was not asked or left out has its name or its reason."""
    run = oc_ops(operator, "doctor", *arguments)
    total, parts = re.findall(r"^(\d+) checks: (.+)$", run.out, re.MULTILINE)[0]
    assert sum(int(each) for each in re.findall(r"(?:^|, )(\d+) ", parts)) == int(total)
    left_out = re.findall(r"^  left out: (.+) \((.+)\)$", run.out, re.MULTILINE)
    deep = [("browser/acts, models/answers", "a deep check: --deep")]
    assert left_out == (deep if "host" not in arguments else left_out)
    for count, word in re.findall(r"(\d+) (not asked|left out)", parts):
        said = re.findall(rf"^  {word}: (.+) \(", run.out, re.MULTILINE)
        numbers = (re.match(r"(\d+) checks$", each) for each in said)
        named = sum(
            int(number[1]) if number else each.count(",") + 1 for number, each in zip(numbers, said, strict=True)
        )
        assert named == int(count)


def test_pytest_is_what_v_shows(operator: Operator) -> None:
    """`-v` keeps pytest's own frame, for who wants it."""
    run = oc_ops(operator, "doctor", "-v", "--check", "gateway/live")
    assert "test session starts" in run.out
    assert "test_gateway_is_live FAILED" in run.out
    assert run.code == 1


def test_json_is_the_report_and_nothing_else(operator: Operator) -> None:
    """What stands on stdout is report.json; the exit code is the doctor's."""
    run = oc_ops(operator, "doctor", "--json")
    assert run.code == 1
    assert json.loads(run.out) == operator.latest()
    assert run.err == ""
    assert SECRET not in run.out


def test_json_of_a_run_that_could_not_begin(operator: Operator) -> None:
    """A wrong option is one sentence on stderr, exit 4, and no half of a report."""
    run = oc_ops(operator, "doctor", "--json", "--check", "host/nothing")
    assert (run.code, run.out) == (4, "")
    assert "no such check or finding" in run.err


def on_a_terminal(operator: Operator, **environ: str) -> str:
    """What a doctor of the host's checks shows on a terminal, every character of it."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "oc_ops", "doctor", "--check", "host"],
        env={**operator.environ, **environ},
        cwd=operator.root / "cwd",
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    text = ""
    try:
        while chunk := os.read(ours, 4096):
            text += chunk.decode(errors="replace")
    except OSError:
        pass  # the terminal is closed when its last program ends
    finally:
        os.close(ours)
    assert process.wait(60) == 0, text
    return text


def test_a_terminal_that_cannot_clear_a_line_shows_no_progress(operator: Operator) -> None:
    """TERM=dumb: the answer alone, without an escape."""
    text = on_a_terminal(operator, TERM="dumb")
    assert "looking" not in text
    assert "\x1b" not in text
    assert " checks: " in text


def test_progress_is_one_line_however_narrow_the_terminal_is(operator: Operator) -> None:
    """What breaks at the edge would stay above the answer."""
    shown = re.findall(r"\r\x1b\[K(looking: [^\r\x1b\n]*)", on_a_terminal(operator, TERM="xterm", COLUMNS="24"))
    assert shown
    assert max(map(len, shown)) <= 23


def test_a_terminal_shows_what_is_looked_at(operator: Operator) -> None:
    """On a terminal one line moves, and is gone before the answer stands there."""
    text = on_a_terminal(operator, TERM="xterm", COLUMNS="100")
    looked_at = re.findall(r"\r\x1b\[Klooking: (host/[a-z-]+) \((\d+) of (\d+)\)", text)
    assert [int(number) for _check, number, _of in looked_at] == list(range(1, len(looked_at) + 1))
    assert "host/disk" in [check for check, _number, _of in looked_at]
    answer = text.rpartition("\r\x1b[K")[2]
    assert "looking" not in answer
    assert f" checks: {looked_at[-1][2]} passed, " in answer


def test_a_check_that_cannot_be_read_is_told(operator: Operator) -> None:
    """A broken file of checks is no silence: its error stands in the answer, and the run is not green."""
    broken = operator.root / "test_broken.py"
    broken.write_text("import nothing_of_the_kind\n")
    run = oc_ops(operator, "doctor", "--check", "host/disk", str(broken))
    assert run.code not in (0, 5)
    assert "nothing_of_the_kind" in run.out


def test_a_test_beside_the_checks_that_fails_is_told(operator: Operator) -> None:
    """Whatever runs beside the checks has its failure shown."""
    beside = operator.root / "test_beside.py"
    beside.write_text("def test_it():\n    assert 1 == 2\n")
    run = oc_ops(operator, "doctor", "-m", "", "-k", "test_it", str(beside))
    assert "assert 1 == 2" in run.out
    assert run.code == 1
