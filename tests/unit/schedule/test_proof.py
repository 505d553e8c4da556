"""`oc-ops schedule show` says whether cron would run the line: with the real shells, and with what stands around it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from oc_ops.schedule import crontab, plan, proof
from oc_ops.schedule.crontab import Crontab
from oc_ops.settings import load


class Process:
    """One process of a table that a test makes up."""

    def __init__(self, pid: int, *command: str) -> None:
        self.pid, self._command = pid, command

    def name(self) -> str:
        """The program's name."""
        return self._command[0]

    def cmdline(self) -> list[str]:
        """The command line."""
        return list(self._command)


def running(monkeypatch: pytest.MonkeyPatch, *processes: Process) -> None:
    """Have the machine run these processes and no others."""
    monkeypatch.setattr(psutil, "process_iter", lambda: iter(processes))


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A line as `install` writes it, with an `openclaw` to be found; a cron runs."""
    monkeypatch.setattr(proof, "_GENERATOR", tmp_path / "none")
    running(monkeypatch, Process(1, "init"), Process(7, "cron"))
    for name in ("openclaw", "node"):
        program = tmp_path / "100% mine" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    environ = {"PATH": f"{tmp_path / '100% mine'}:/usr/bin:/bin", "HOME": os.path.expanduser("~")}  # noqa: PTH111
    monkeypatch.delenv("OC_OPS_OPENCLAW", raising=False)
    return crontab.line(plan.make(load(environ=environ), environ, 300, ()))


def troubles(line: str, before: str = "", after: str = "\n") -> str:
    """What is wrong with a line in a crontab of these surroundings."""
    return "; ".join(proof.troubles(Crontab(f"{before}{line}{after}".encode()), line))


@pytest.mark.parametrize(
    "before",
    [
        "",
        "SHELL=/bin/bash\nMAILTO=\n",
        '"SHELL" = "/bin/sh"\n',
        "PATH=/nowhere\n",
        "# SHELL=/bin/false\n# HOME=/x\n",
        f"HOME={os.path.expanduser('~')}\n",  # noqa: PTH111
    ],
    ids=["alone", "bash", "quoted", "a foreign PATH", "commented out", "the same home"],
)
def test_a_line_that_runs_is_let_be(line: str, before: str) -> None:
    """The shell is started as cron starts it, up to our program; nothing is found against it."""
    assert troubles(line, before) == ""


@pytest.mark.parametrize("shell", ["fish", "zsh"])
def test_another_shell_that_takes_the_line_is_let_be(line: str, shell: str) -> None:
    """What runs is not a matter of its name."""
    found = shutil.which(shell)
    if found is None:
        pytest.fail(f"there is no {shell} here: .ci/run brings it")
    assert troubles(line, f"SHELL={found}\n") == ""


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ("SHELL=/bin/false\n", "SHELL=/bin/false above it in the crontab is no shell"),
        ("SHELL=bash\n", "is no shell that runs it"),
        ("SHELL=/usr/bin/python3\n", "is no shell that runs it"),
        ("SHELL=/gone/bin/bash\n", "cron's /gone/bin/bash does not run it as it stands"),
        ("HOME=/somewhere\n", "HOME= above it in the crontab decides what it looks at"),
        ("OPENCLAW_STATE_DIR=/x\n", "OPENCLAW_STATE_DIR= above it"),
        ("OC_OPS_RPC=off\n", "OC_OPS_RPC= above it"),
        ("PYTHONHOME=/gone\n", "does not run it as it stands"),
    ],
)
def test_what_stands_above_it_is_told(line: str, before: str, said: str) -> None:
    """Variables of the crontab are those of its lines."""
    assert said in troubles(line, before)


def test_variables_below_it_are_not_its_own(line: str) -> None:
    """cron reads from above."""
    assert troubles(line, after="\nSHELL=/bin/false\nHOME=/x\n") == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda line: f"# {line}", "it is commented out"),
        (lambda line: line.replace(sys.executable, "/gone/python"), "does not run it as it stands"),
        (lambda line: line.replace("cd ", "cd /gone", 1), "does not run it as it stands"),
        (lambda line: line.replace("schedule run", "schedule walk"), "changed by hand"),
        (lambda line: line.replace(" cd ", " touch /tmp/x; cd ", 1), "changed by hand"),
        (lambda line: line.replace("\\%", "%"), "cuts it at a %"),
        (lambda line: line.replace("\\%", "\\\\%"), "read otherwise by other kinds of cron"),
    ],
    ids=["out", "no python", "no folder", "another command", "more than ours", "percent", "backslashes"],
)
def test_a_line_that_was_changed_is_told(line: str, change: Callable[[str], str], said: str) -> None:
    """By hand, by an upgrade of Python, by a checkout that was moved."""
    assert said in troubles(change(line))


def test_an_openclaw_that_is_gone_is_told(line: str, tmp_path: Path) -> None:
    """As after an upgrade of Node under nvm: the folder of the old one is no longer there."""
    (tmp_path / "100% mine" / "openclaw").unlink()
    assert "openclaw is not to be found on its PATH any more" in troubles(line)


def test_a_last_line_without_an_end_is_told(line: str) -> None:
    """cron takes it for none."""
    assert "has no end" in troubles(line, after="")


@pytest.mark.parametrize(
    ("processes", "runs"),
    [
        ([(1, "init"), (7, "cron")], True),
        ([(1, "systemd"), (7, "crond")], True),
        ([(1, "init"), (7, "busybox", "crond")], True),
        ([(1, "sh"), (7, "busybox", "httpd")], False),
        ([(1, "init"), (7, "crontab")], False),
    ],
)
def test_a_cron_that_does_not_run_is_told(
    line: str, processes: list[tuple[int, str]], runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crontab alone runs nothing."""
    running(monkeypatch, *(Process(pid, *command) for pid, *command in processes))
    if sys.platform == "linux":
        assert ("no cron daemon runs" in troubles(line)) is not runs


def test_a_cron_that_may_be_hidden_is_not_missed(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With hidepid a user sees no process of root's; a timer of systemd-cron is none."""
    running(monkeypatch, Process(400, "bash"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert proof.no_daemon() == ""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert (proof.no_daemon() == "") is (sys.platform == "darwin")
    monkeypatch.setattr(proof, "_GENERATOR", Path("/"))
    assert proof.no_daemon() == ""
