"""A run that is cut short in the middle of an `openclaw` call: what was printed is kept, and nothing of it lives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.machine import CLI, PROJECT, Operator, Run, gateway
from tests.support.survivors import carrying, eventually, none_left

pytestmark = pytest.mark.timeout(120)

STUBBORN_CLI = CLI.replace(
    "answers = {",
    """
if words.startswith(os.environ.get("FAKE_HANGS", "never")):
    import signal
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            signal.pause()
    def told(*_):
        open(os.environ["FAKE_CALLS"] + ".told", "w").close()
    signal.signal(signal.SIGTERM, told)
    print("half of the answer", flush=True)
    open(os.environ["FAKE_CALLS"] + ".hangs", "w").close()
    while True:
        signal.pause()
import time
time.sleep(float(os.environ.get("FAKE_TAKES_S", "0")))
answers = {""",
)
"""Answers late, or prints half, ignores SIGTERM, has a child that ignores it too, and hangs."""

CHECK = """
import json
import os

import pytest

from oc_ops.process.run import run


@pytest.mark.timeout(2)
def test_of_a_call_without_a_budget():
    def keep(call):
        with open("kept.json", "w") as file:
            json.dump([call.outcome, call.stdout.text, call.summary, call.killed], file)

    run(["openclaw", "cron", "list"], environ=os.environ, deadline_s=60, kill_grace_s=0.5, on_call=keep)
"""


@pytest.fixture
def token() -> Iterator[str]:
    """A word in the path of the test's `openclaw`; no process that carries it may survive the test."""
    with none_left() as word:
        yield word


@pytest.fixture
def operator(tmp_path: Path, token: str) -> Iterator[Operator]:
    """Somebody with a healthy gateway and an `openclaw` that can be told to hang or to take its time."""
    with gateway() as port:
        made = Operator(tmp_path / token, port)
        executable = made.root / "bin" / "openclaw"
        executable.write_text(STUBBORN_CLI)
        yield made


def marks(operator: Operator, what: str) -> bool:
    """Whether the fake has left a mark: that it hangs, or that it was told to end."""
    return Path(f"{operator.environ['FAKE_CALLS']}.{what}").exists()


def cut_call(operator: Operator) -> tuple[dict[str, Any], str]:
    """The last call in the report, and its transcript."""
    call = operator.latest()["calls"][-1]
    (folder,) = (operator.reports / "runs").iterdir()
    return call, (folder / call["transcript"]).read_text()


@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGTERM,),
        (signal.SIGINT, signal.SIGINT),
        pytest.param((signal.SIGINT,), marks=pytest.mark.nightly),
        pytest.param((signal.SIGTERM, signal.SIGINT), marks=pytest.mark.nightly),
    ],
    ids=lambda numbers: " ".join(each.name for each in numbers),
)
def test_a_signal_in_the_middle_of_a_call(operator: Operator, token: str, numbers: tuple[signal.Signals, ...]) -> None:
    """The report has the call, its transcript has what was printed; a second signal in the ending changes nothing."""
    process = operator.start(str(PROJECT / "checks"), "-m", "doctor", FAKE_HANGS="cron list", OC_OPS_KILL_GRACE_S="1.5")
    assert eventually(lambda: marks(operator, "hangs"), within_s=60)
    began = time.monotonic()
    for number in numbers:
        process.send_signal(number)
        assert eventually(lambda: marks(operator, "told"))
    run = Run.of(process)
    assert time.monotonic() - began < 15
    assert not carrying(token)
    assert run.code == 2, run.out + run.err
    assert "interrupted" in run.last_line
    call, transcript = cut_call(operator)
    assert (call["argv"][:3], call["outcome"], call["exit"]) == (["openclaw", "cron", "list"], "timed-out", None)
    assert 0 < call["wall_s"] < 60
    assert "half of the answer" in transcript
    assert "2 processes ended" in transcript
    assert "\nwhy      cut short after " in transcript
    assert operator.latest()["verdict"] == "unknown"


def test_the_deadline_of_a_check_keeps_the_call_too(operator: Operator, token: str, tmp_path: Path) -> None:
    """A call that nothing else bounds is ended and kept when pytest-timeout interrupts the test that made it."""
    (tmp_path / "test_it.py").write_text(CHECK)
    argv = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(tmp_path), "test_it.py"]
    environ = {**operator.environ, "PYTHONPATH": str(PROJECT), "FAKE_HANGS": "cron list"}
    done = subprocess.run(argv, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    outcome, stdout, summary, killed = json.loads((tmp_path / "kept.json").read_text())
    assert (outcome, stdout, killed) == ("timed-out", "half of the answer\n", 2)
    assert " was cut short after " in summary
    assert "pytest-timeout" in summary
    assert not carrying(token)


# -- innermost fires first: one check that makes several calls --------------------------------------------------------

BOUNDS = {"OC_OPS_HTTP_PROBE_S": "0.5", "OC_OPS_CLI_LOCK_S": "0.5", "OC_OPS_KILL_GRACE_S": "0.2"}
ACCEPTED = f"{PROJECT / 'checks' / 'test_gateway.py'}::test_config_is_accepted"
"""Run alone, it asks for the version first."""


def test_a_check_begins_no_call_that_it_cannot_end(operator: Operator) -> None:
    """Where every call takes long, the check itself says what it had no time for; pytest-timeout is not needed."""
    bounds = {**BOUNDS, "OC_OPS_CLI_TIMEOUT_S": "5", "OC_OPS_CALL_S": "8", "OC_OPS_CHECK_S": "9.8"}
    run = Run.of(operator.start(ACCEPTED, FAKE_TAKES_S="4", **bounds))
    assert run.code == 1, run.out + run.err
    assert "Timeout" not in run.out
    (check,) = operator.latest()["checks"]
    assert check["outcome"] == "error"
    assert check["duration_s"] < 9
    assert operator.calls == ["--version"]
    assert "could not look: no time left for `openclaw config validate`: its check ends in " in run.last_line


def test_a_call_ends_before_the_check_that_makes_it(operator: Operator) -> None:
    """A call that hangs in what is left of a check is ended within it, kept, and accuses nobody."""
    bounds = {**BOUNDS, "OC_OPS_CLI_TIMEOUT_S": "1", "OC_OPS_CALL_S": "4.5", "OC_OPS_CHECK_S": "6.3"}
    run = Run.of(operator.start(ACCEPTED, FAKE_HANGS="config", FAKE_TAKES_S="1.5", **bounds))
    assert run.code == 1, run.out + run.err
    assert "Timeout" not in run.out
    (check,) = operator.latest()["checks"]
    assert check["outcome"] == "error"
    assert check["duration_s"] < 6
    assert operator.latest()["findings"] == []
    assert "its check had no more time for it" in run.last_line
    call, transcript = cut_call(operator)
    assert (call["outcome"], call["wall_s"] < 4.5) == ("timed-out", True)
    assert "half of the answer" in transcript
