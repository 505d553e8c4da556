"""The schedule under the real cron daemon and a real `systemd --user`, each with nothing but its own, on a gateway."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from oc_ops.lab.lab import Lab
from oc_ops.settings import PROJECT
from tests.live.systemd import user_manager
from tests.support import faults

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(sys.platform != "linux", reason="a cron with its own spool needs Linux's mount namespaces"),
]

OTHERS = 'MAILTO = ""\n# somebody\'s own\n7  7\t* * *  true # untouched\n'
DAEMON = """
mount -t tmpfs -o mode=755 none /run
mount -t tmpfs -o mode=755 none /etc/cron.d
mount -t tmpfs -o mode=755 none /var/spool/cron
mkdir -m 1730 /var/spool/cron/crontabs
chgrp crontab /var/spool/cron/crontabs
: > /run/ready
exec cron -f
"""
PATIENCE = {"CLI_TIMEOUT_S": "40", "CALL_S": "60", "CLI_LOCK_S": "60", "CHECK_S": "150", "RUN_S": "240"}
ROOM_S = 300.0
"""What a minute that has just begun, a slow machine and a whole doctor run may take."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron daemon that sees a spool, a /run and an /etc/cron.d of its own; nothing of it is the machine's."""

    pid: int
    environ: dict[str, str]

    def sees(self, *words: str, environ: dict[str, str] | None = None, text: str | None = None) -> str:
        """Run a command where the daemon lives; its output."""
        argv = ["nsenter", "--target", str(self.pid), "--mount", f"--wd={PROJECT}", *words]
        done = subprocess.run(
            argv, env=environ or self.environ, input=text, capture_output=True, text=True, timeout=ROOM_S, check=False
        )
        return done.stdout + done.stderr


def shell(lab: Lab, folder: Path) -> dict[str, str]:
    """The environment of an operator who installs the schedule of that lab."""
    return {
        **lab.environ,
        "OC_OPS_MEMORY_DIR": str(folder / "memory"),
        "OC_OPS_REPORT_DIR": str(folder / "reports, 100% of them"),
        "XDG_STATE_HOME": str(folder / "state"),
        # A machine that runs other tests is slow: what is proven here is that a scheduled run finds everything.
        "OC_OPS_BROWSER": "off",
        **{f"OC_OPS_{name}": value for name, value in PATIENCE.items()},
    }


@pytest.fixture
def cron(lab: Lab, tmp_path: Path) -> Iterator[Cron]:
    """The daemon, started as root's own in a mount namespace, and ended with everything it started."""
    daemon = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-ec", DAEMON])
    try:
        ready = ["nsenter", "--target", str(daemon.pid), "--mount", "test", "-e", "/run/ready"]
        until(lambda: subprocess.run(ready, check=False, timeout=20).returncode == 0, 60.0)
        until(lambda: psutil.Process(daemon.pid).name() == "cron", 60.0)
        yield Cron(daemon.pid, shell(lab, tmp_path))
    finally:
        started = psutil.Process(daemon.pid).children(recursive=True)
        daemon.terminate()
        daemon.wait(20)
        for each in started:
            if each.is_running():
                each.kill()


def until(holds: Callable[[], bool], budget_s: float = ROOM_S) -> None:
    """Wait for it."""
    end = time.monotonic() + budget_s
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.1)


def next_second() -> None:
    """cron tells a changed table by whole seconds: what changes within the second of its last reading goes unseen."""
    now = int(time.time())
    until(lambda: int(time.time()) > now, 5.0)


def runs_of(log: Path) -> int:
    """How many scheduled runs have come to an end, as their log has it."""
    return sum(log.read_text().count(each) for each in (" ran: ", " lost: ")) if log.exists() else 0


@pytest.mark.parametrize("by", ["its line", pytest.param("the minute", marks=pytest.mark.nightly)])
def test_cron_runs_the_doctor(lab: Lab, cron: Cron, tmp_path: Path, by: str) -> None:
    """Installed in an operator's shell, run by cron with HOME and two folders on the PATH: healthy, then hung; gone.

    On a push nobody waits for the minute: the line that the real `crontab` keeps is run as crontab(5) says cron does.
    """
    oc_ops = (sys.executable, "-m", "oc_ops", "schedule")
    others = tmp_path / "others"
    others.write_text(OTHERS)
    next_second()
    cron.sees("crontab", str(others))
    next_second()
    said = cron.sees(*oc_ops, "install", "--every", "1m")
    assert said.startswith("installed: * * * * * cd "), said
    assert "installed already: " in cron.sees(*oc_ops, "install", "--every", "1m")
    assert cron.sees("crontab", "-l").startswith(OTHERS)

    log = tmp_path / "memory" / "schedule.log"

    def fires() -> None:
        """cron runs the line once more; the next minute may find a slow run still under way: it is then skipped."""
        before = runs_of(log)
        if by == "its line":
            (line,) = [each for each in cron.sees("crontab", "-l").splitlines() if each.startswith("* * * * * cd ")]
            bare = ["env", "-i", f"HOME={lab.home}", "LOGNAME=root", "SHELL=/bin/sh", "PATH=/usr/bin:/bin"]
            cron.sees(*bare, "/bin/sh", "-c", line.removeprefix("* * * * * ").replace(r"\%", "%"))
        until(lambda: runs_of(log) > before)

    fires()
    assert " ran: doctor: healthy in " in log.read_text()
    assert "last run: 20" in cron.sees(*oc_ops, "show")
    with faults.stopped(lab):
        while " ran: doctor: unhealthy in " not in log.read_text():
            fires()
    assert "gateway/hung" in log.read_text()
    assert len(list((tmp_path / "reports, 100% of them" / "runs").glob("*/report.html"))) >= 2

    assert cron.sees(*oc_ops, "remove") == "removed\n"
    assert cron.sees("crontab", "-l") == OTHERS
    assert shutil.which("openclaw", path="/usr/bin:/bin") is None, "the bare PATH of cron would have found it anyway"
    assert os.environ.get("OPENCLAW_CLI") is None


def saved(printed: str, folder: Path) -> list[str]:
    """Save what was printed under the names that stand above it, as a person would; those names."""
    folder.mkdir(parents=True)
    names = []
    for part in printed.split("# oc-ops-doctor.")[1:]:
        kind, _, text = part.partition("\n")
        names.append(f"oc-ops-doctor.{kind}")
        (folder / names[-1]).write_text(text)
    return names


@pytest.mark.parametrize("by", ["its service", pytest.param("the minute", marks=pytest.mark.nightly)])
def test_systemd_s_timer_starts_the_doctor(lab: Lab, tmp_path: Path, by: str) -> None:
    """The printed units, saved and enabled: the timer waits and fires within its minute, the run is healthy, and it
    goes on. On a push nobody waits for the minute: the service is started in its place.
    """
    (tmp_path / "sd").mkdir()
    with user_manager(tmp_path / "sd", home=lab.home) as manager:
        argv = [sys.executable, "-m", "oc_ops", "schedule", "install", "--systemd", "--every", "1m"]
        printed = subprocess.run(
            argv, cwd=PROJECT, env=shell(lab, tmp_path), capture_output=True, text=True, timeout=60, check=True
        ).stdout
        units = manager.root / "config" / "systemd" / "user"
        assert saved(printed, units) == ["oc-ops-doctor.service", "oc-ops-doctor.timer"]

        def asked(*words: str) -> str:
            done = subprocess.run(
                ["systemctl", "--user", *words],
                env=manager.environ, capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            return done.stdout.strip()

        asked("daemon-reload")
        asked("enable", "--now", "oc-ops-doctor.timer")
        assert (units / "timers.target.wants" / "oc-ops-doctor.timer").is_symlink(), "a reboot would end it"
        assert asked("show", "-P", "ActiveState", "oc-ops-doctor.timer") == "active"
        if by == "its service":
            asked("start", "--no-block", "oc-ops-doctor.service")
        log = tmp_path / "memory" / "schedule.log"
        until(lambda: runs_of(log) > 0)
        assert " ran: doctor: healthy in " in log.read_text()
        until(lambda: asked("show", "-P", "ActiveState", "oc-ops-doctor.service") == "inactive")
        assert asked("show", "-P", "Result", "oc-ops-doctor.service") == "success"
        until(lambda: asked("show", "-P", "NextElapseUSecMonotonic", "oc-ops-doctor.timer") not in ("", "infinity"))
        asked("disable", "--now", "oc-ops-doctor.timer")
        assert asked("show", "-P", "ActiveState", "oc-ops-doctor.timer") == "inactive"


def test_a_gateway_s_own_cron_is_refused(lab: Lab, tmp_path: Path) -> None:
    """A real command job of the real gateway cannot schedule the doctor nor run it as scheduled; it says why."""
    said = tmp_path / "said.txt"
    command = f"cd {PROJECT} && for each in 'install --systemd' run; do {sys.executable} -m oc_ops schedule $each; done"
    added = lab.call("cron", "add", "--name", "watchdog", "--every", "24h", "--command", f"({command}) > {said} 2>&1",
                     "--no-deliver", "--json")  # fmt: skip
    assert added.outcome == "answered", added.summary
    job = added.stdout.text.split('"id": "')[1].split('"')[0]
    try:
        lab.call("cron", "run", job, "--wait", "--wait-timeout", "60s")
        until(said.exists)
    finally:
        lab.call("cron", "rm", job)
    lines = said.read_text().splitlines()
    assert len(lines) == 2, lines
    assert all("is set, so this runs inside an OpenClaw gateway" in line and "#22652" in line for line in lines)
