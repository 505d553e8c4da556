"""Somebody's machine whose gateway has a stuck job, and the breaker on it: with a terminal and without."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest
from typer.testing import CliRunner

from oc_ops.cli import app
from tests.support.machine import PROJECT, SECRET

FAKE = PROJECT / "tests" / "fakes" / "breakable_gateway.py"
BREAKER = "from oc_ops.cli import main; main()"
JOB = "job-1"
MARKER = f"marker:{JOB}"
NAME = "nightly backup"
PROMPT = "type its exact name"
TOO_LONG_S = 60
SCRIPT = {
    "release": "2026.2.26", "fires": True, "keeps_marker": False, "tasks": [], "next_s": 0.5,
    "disable": ["ok"], "enable": ["ok"],
}  # fmt: skip


class StuckMachine:
    """A home with a running gateway, a job whose marker is three hours old, and places for what oc-ops leaves."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root, root / "home"
        self.state = self.home / ".openclaw"
        self.memory = root / "memory"
        for folder in (self.state / "cron", self.state / "identity", root / "bin", root / "temp", root / "state"):
            folder.mkdir(parents=True)
        self.memory.mkdir()
        (self.state / "identity" / "device-auth.json").write_text("{}")
        self.script()
        self.executable = root / "bin" / "openclaw.mjs"
        shutil.copy(FAKE, self.executable)
        launcher = root / "bin" / "openclaw"
        launcher.write_text(f'#!/bin/sh\nexec {sys.executable} {self.executable} "$@"\n')
        launcher.chmod(0o755)
        self.environ = {
            "PATH": f"{root / 'bin'}{os.pathsep}{os.defpath}",
            "HOME": str(self.home),
            "TMPDIR": str(root / "temp"),
            "XDG_STATE_HOME": str(root / "state"),
            "OC_OPS_MEMORY_DIR": str(self.memory),
            "PYTHONPATH": str(PROJECT),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
        }
        self.marker_ms = round((time.time() - 3 * 3600) * 1000)
        self.mark()

    def script(self, **changes: object) -> None:
        """What gateway and CLI do from now on."""
        path = self.home / "script.json"
        before = json.loads(path.read_text()) if path.exists() else SCRIPT
        _put(path, {**before, **changes})

    def mark(self, *, name: str = NAME, apart: bool = False, **state: object) -> None:
        """Write the cron store of 2026.2.26, or of 2026.5.28 with its states apart: one job, stuck."""
        now_ms = round(time.time() * 1000)
        told = {"runningAtMs": self.marker_ms, "lastRunAtMs": self.marker_ms, "lastStatus": "error", **state}
        job: dict[str, Any] = {
            "id": JOB, "name": name, "enabled": True, "createdAtMs": now_ms - 9 * 86_400_000,
            "schedule": {"kind": "every", "everyMs": 3_600_000, "anchorMs": now_ms - 9 * 86_400_000},
            "payload": {"kind": "systemEvent"}, "state": {} if apart else told,
        }  # fmt: skip
        cron = self.state / "cron"
        _put(cron / "jobs.json", {"version": 1, "jobs": [job]})
        if apart:
            _put(cron / "jobs-state.json", {"version": 1, "jobs": {JOB: {"state": told}}})

    def job(self) -> dict[str, Any]:
        """The job as the gateway has it now."""
        cron = self.state / "cron"
        (job,) = json.loads((cron / "jobs.json").read_text())["jobs"]
        if (cron / "jobs-state.json").exists():
            job["state"] = json.loads((cron / "jobs-state.json").read_text())["jobs"][JOB]["state"]
        assert isinstance(job, dict)
        return job

    @property
    def switches(self) -> list[str]:
        """The calls that change a job, in their order."""
        path = self.home / "calls.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [" ".join(each.split()[1:3]) for each in lines if each.startswith("cron ")]

    @property
    def book(self) -> list[dict[str, Any]]:
        """The lines of memory/approvals.jsonl."""
        path = self.memory / "approvals.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @contextmanager
    def gateway(self) -> Iterator[subprocess.Popen[str]]:
        """The gateway runs, and the config names its port."""
        with subprocess.Popen(
            [sys.executable, str(self.executable), "gateway"], env=self.environ, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            config = {"gateway": {"mode": "local", "port": port, "auth": {"mode": "token", "token": SECRET}}}
            (self.state / "openclaw.json").write_text(
                json.dumps({**config, "logging": {"file": str(self.root / "gateway.log")}})
            )
            try:
                yield process
            finally:
                process.kill()

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """`oc-ops breaker …` in this very process, which spares the start of one; it has no terminal there."""
        return self.oc_ops("breaker", *words, **environ)

    def oc_ops(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Any command, in the same way."""
        bare: dict[str, str | None] = dict.fromkeys(each for each in os.environ if each.startswith("O"))
        done = CliRunner().invoke(app, words, env={**bare, **self.environ, **environ})
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)

    def run_apart(self, *words: str, given: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
        """The same in a process of its own, with its input from a pipe."""
        return subprocess.run(
            [sys.executable, "-c", BREAKER, "breaker", *words],
            env={**self.environ, **environ}, cwd=self.root, input=given, capture_output=True, text=True,
            timeout=TOO_LONG_S, check=False,
        )  # fmt: skip

    def start(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        """The same, left running, its input at an end."""
        return subprocess.Popen(
            [sys.executable, "-c", BREAKER, "breaker", *words],
            env={**self.environ, **environ}, cwd=self.root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def on_terminal(self, *words: str, **environ: str) -> pexpect.spawn:
        """The same on a terminal."""
        return pexpect.spawn(
            sys.executable, ["-c", BREAKER, "breaker", *words],
            env={**self.environ, **environ}, cwd=str(self.root), encoding="utf-8", timeout=TOO_LONG_S,
            dimensions=(50, 200),
        )  # fmt: skip

    def plan(self, target: str = f"marker:{JOB}", **environ: str) -> str:
        """The id of a plan that `show` made."""
        shown = self.run("show", target, **environ)
        assert shown.returncode == 0, shown.stdout + shown.stderr
        found = re.search(r"break --approve (\S+)", shown.stdout)
        assert found is not None
        return found[1]


def _put(path: Path, value: object) -> None:
    """Write a file whole: the gateway reads it at any moment."""
    fresh = path.with_name(f"{path.name}.fresh")
    fresh.write_text(json.dumps(value))
    fresh.replace(path)


def until(holds: Callable[[], object]) -> None:
    """Wait for what must come."""
    deadline = time.monotonic() + TOO_LONG_S
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def ended(child: pexpect.spawn) -> tuple[int, str]:
    """Exit code and everything that stood on the terminal."""
    child.expect(pexpect.EOF)
    child.close()
    assert isinstance(child.exitstatus, int)
    return child.exitstatus, str(child.before)


def words(machine: StuckMachine) -> list[str]:
    """What happened, by the book."""
    return [each["what"] for each in machine.book if each["what"] != "step"]


def untouched(machine: StuckMachine) -> None:
    """No switch was made, and the marker is what it was."""
    assert machine.switches == []
    assert machine.job()["state"]["runningAtMs"] == machine.marker_ms
    assert machine.job()["enabled"] is True


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[StuckMachine]:
    """A machine whose gateway runs and has a stuck job."""
    made = StuckMachine(tmp_path)
    with made.gateway():
        yield made
