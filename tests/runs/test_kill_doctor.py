"""Doctors killed in the middle of a call, a hundred a night: not one process of their calls survives."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.survivors import carrying, end, eventually

FAKES = Path(__file__).parents[1] / "fakes"
PROJECT = Path(__file__).parents[2]
KILLS = (
    [(signal.SIGKILL,)] * 40
    + [(signal.SIGTERM,)] * 25
    + [(signal.SIGINT,)] * 25
    + [(signal.SIGINT, signal.SIGINT)] * 10
)
LATEST_S = 0.6
"""The call has all its grandchildren after about 0.2 s; the kills fall before, during and after their birth."""


def strike_all(doctor: subprocess.Popen[bytes]) -> None:
    """Ctrl-C: the terminal sends it to the doctor's whole process group."""
    with suppress(ProcessLookupError):
        os.killpg(doctor.pid, signal.SIGINT)


def killed(openclaw: Path, signals: tuple[signal.Signals, ...], moment_s: float) -> list[str]:
    """Kill one doctor at a moment of its call; returns the command lines that survived it."""
    token = uuid.uuid4().hex
    argv = [sys.executable, "-I", str(FAKES / "doctor.py"), str(PROJECT), str(openclaw), token]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True) as doctor:
        assert doctor.stdout is not None
        doctor.stdout.readline()
        for number in signals:
            with suppress(subprocess.TimeoutExpired):
                doctor.wait(moment_s)
            if number == signal.SIGINT:
                strike_all(doctor)
            else:
                doctor.send_signal(number)
            moment_s = 0.05  # a second Ctrl-C falls into the cleanup
        with suppress(subprocess.TimeoutExpired):
            doctor.wait(20)
        hung = doctor.poll() is None
        doctor.kill()
    eventually(lambda: not carrying(token), within_s=20)
    left = carrying(token)
    words = [" ".join(process.cmdline()) for process in left if process.is_running()]
    end(left)
    return [*words, "the doctor hung"] if hung else words


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [20, pytest.param(100, marks=pytest.mark.nightly)])
def test_no_process_survives_a_kill(tmp_path: Path, number: int) -> None:
    """SIGKILL, SIGTERM, SIGINT and a double Ctrl-C at random moments leave no process of a call behind."""
    openclaw = tmp_path / "openclaw"
    openclaw.write_text(f"#!{sys.executable} -IS\n" + (FAKES / "openclaw").read_text().partition("\n")[2])
    openclaw.chmod(0o755)
    dice = random.Random(20)
    kills = random.Random(30).sample(KILLS, number)
    with ThreadPoolExecutor(4) as threads:
        survived = list(threads.map(lambda kill: killed(openclaw, kill, dice.uniform(0, LATEST_S)), kills))
    assert [found for found in survived if found] == []
    assert len(survived) == number
