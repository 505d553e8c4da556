"""kill -9 at random moments: no process of a call, no copy of a secret, and the next run finds nothing in its way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.hostile.runs import dice, oc_ops
from tests.support.hostile import Measured
from tests.support.machine import CLI, PROJECT, SECRET, Operator, gateway
from tests.support.survivors import carrying, end, eventually

OLD_CLI = f"""#!{sys.executable}
import os, sys, time
words = " ".join(sys.argv[1:])
if words == "--version":
    sys.exit(print("OpenClaw 2026.2.26"))
time.sleep(0.3)
print("{{}}")
"""
"""A release whose log level cannot be lowered: its config is copied for the length of a call."""
RUN_S = 6.0


def left(root: Path, *, apart: tuple[str, ...] = ("home",)) -> list[Path]:
    """The files below a machine that hold the gateway's token, but for its own config."""
    found = []
    for each in root.rglob("*"):
        if each.is_file() and each.relative_to(root).parts[0] not in apart:
            with suppress(OSError):
                if SECRET.encode() in each.read_bytes():
                    found.append(each)
    return found


def killed(operator: Operator, moment_s: float, *, openclaw: str) -> None:
    """One whole doctor, killed at that moment; nothing that it started outlives it."""
    (operator.root / "bin" / "openclaw").write_text(openclaw)
    token = f"KILLED-{os.getpid()}-{time.monotonic_ns()}"
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", str(PROJECT / "checks"), "-m", "doctor"],
        cwd=operator.root / "cwd",
        env={**operator.environ, "SURVIVOR_TOKEN": token},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with suppress(subprocess.TimeoutExpired):
        run.wait(moment_s)
    run.send_signal(signal.SIGKILL)
    run.wait()
    eventually(lambda: not carrying(token), within_s=20)
    survivors = carrying(token)
    end(survivors)
    assert survivors == []


def _kills(tmp_path: Path, kills: int, salt: str, bounded: Callable[[Measured], None]) -> None:
    drawn = dice(salt)
    moments = [drawn.uniform(0.1, RUN_S) for _ in range(kills)]
    with gateway() as port:
        count = 2 if len(moments) > 10 else 1
        machines = [Operator(tmp_path / f"machine-{number}", port) for number in range(count)]

        def strike(number: int) -> None:
            for moment_s in moments[number::count]:
                killed(machines[number], moment_s, openclaw=OLD_CLI)

        with ThreadPoolExecutor(2) as threads:
            list(threads.map(strike, range(count)))
        for operator in machines:
            assert left(operator.root) == []
            assert not list((operator.root / "temp").glob("oc-ops-*")), "nothing of ours is in the shared folder"
            (operator.root / "bin" / "openclaw").write_text(CLI.replace("2026.9.6", "2026.2.26"))
            run = oc_ops(operator, "doctor")
            bounded(run)
            assert run.exit == 0, run.said
            assert not list(operator.reports.rglob(".*.part")), "half a file of a killed run is swept by the next"
            assert not list((operator.root / "memory").rglob(".*.part"))
            assert not list((operator.root / "state").rglob("scratch/*")), "nor is a copy of the config"


def test_a_killed_doctor_leaves_no_secret(tmp_path: Path, bounded: Callable[[Measured], None]) -> None:
    """Two kills; the next run is well."""
    _kills(tmp_path, 2, "kills", bounded)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_two_hundred_killed_doctors_leave_no_secret(tmp_path: Path, bounded: Callable[[Measured], None]) -> None:
    """At moments that the seed has drawn."""
    _kills(tmp_path, 200, "many kills", bounded)
