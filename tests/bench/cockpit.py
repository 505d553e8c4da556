"""What the cockpit costs beside the plain shell loops it replaces, on one lab gateway: `python -m tests.bench.cockpit`.

CPU seconds are those of the started processes with all their children, and what the gateway spends beyond its idling.
Measure on an idle machine, 5 minutes each side (`--seconds` to shorten): only the ratio travels.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pexpect
import psutil

from oc_ops.cockpit import snapshot
from oc_ops.cockpit.panes import WINDOWS as PANES
from oc_ops.cockpit.state import Snapshot
from oc_ops.lab.lab import Lab
from oc_ops.observe import watchlist
from oc_ops.observe.target import locate
from oc_ops.settings import PROJECT, environment_name, load
from tests.bench.doctor import gateway_cpu_s
from tests.support import faults
from tests.support.desk import Desk

LOOPS = ((("gateway", "status"), ("cron", "list")), (("status",),))
"""The two panes of the plain design: each runs its commands, waits 5 s, and begins again."""

WATCHED = ("lab-failing", "lab-ok", "lab-slow")
APART_S = 5.0
IDLE_S = 60.0
MOST_RATIO, MOST_BYTES, SHOWN_S, EVENT_S = 0.03, 250 * 2**20, 5.0, 1.0


@dataclass(frozen=True, slots=True)
class Rate:
    """CPU seconds a second: of the processes started, and of the gateway beyond its idling."""

    own: float
    gateway: float

    @property
    def all(self) -> float:
        """What the machine pays."""
        return self.own + self.gateway


class Cockpit:
    """The processes that somebody who watches has running (watcher, windows, tmux), and the file that they read."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.settings = load(
            {"memory_dir": str(folder / "memory"), "report_dir": str(folder / "reports"), "openclaw": str(lab.openclaw)}
        )
        self.settings.memory_dir.mkdir()
        (self.settings.memory_dir / watchlist.FILE).write_text("\n".join(WATCHED))
        self.key = locate(lab.environ).key
        self.desk = Desk(folder)
        mine = {name: self.desk.environ[name] for name in ("TMUX_TMPDIR", "TERM", "LANG", "SHELL", "PYTHONPATH")}
        self.environ = {**lab.environ, **mine, "XDG_STATE_HOME": str(folder / "state")}
        for name in ("memory_dir", "report_dir", "openclaw"):
            self.environ[environment_name(name)] = str(getattr(self.settings, name))
        self.desk.environ, self.desk.key = self.environ, self.key
        self.reader = snapshot.Reader(snapshot.path_of(self.settings.memory_dir, self.key))
        self.processes: list[psutil.Process] = []

    @contextmanager
    def up(self) -> Iterator[None]:
        """The session with all its windows and its watcher, somebody attached to it; ended again."""
        try:
            self.desk.start()
            with self.desk.attached() as terminal:
                reading = threading.Thread(target=_read, args=(terminal,), daemon=True)
                reading.start()
                self.until(lambda seen: seen.rpc.state == "on", 60)
                server = int(self.desk.tmux("display-message", "-p", "#{pid}"))
                self.processes = [psutil.Process(self.reader.read().snapshot.watcher.pid), psutil.Process(server)]
                for window, pid in self.desk.panes().items():
                    if window in PANES:
                        self.processes += [psutil.Process(pid), self.desk.drawing(window)]
                yield
            self.desk.ops("stop")
        finally:
            self.desk.close()

    def cpu_s(self) -> float:
        """Seconds of all processes and of their children that have ended."""
        times = [each.cpu_times() for each in self.processes]
        return sum(each.user + each.system + each.children_user + each.children_system for each in times)

    def rss_bytes(self) -> int:
        """Resident memory of them all."""
        return sum(each.memory_info().rss for each in self.processes)

    def until(self, wanted: Callable[[Snapshot], bool], within_s: float) -> float:
        """Seconds until the snapshot shows it; raises TimeoutError."""
        began = time.monotonic()
        while (waited_s := time.monotonic() - began) < within_s:
            if wanted(self.reader.read().snapshot):
                return waited_s
            time.sleep(0.02)
        raise TimeoutError(f"not shown within {within_s:g} s: {self.reader.read()}")


def _read(terminal: pexpect.spawn) -> None:
    """What is drawn has to be taken, as a terminal does."""
    with suppress(OSError, ValueError):  # it was closed
        terminal.expect(pexpect.EOF, timeout=None)


def main(argv: list[str]) -> int:
    """Measure, print one table with the goals, return 1 if one was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.cockpit", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long each side runs (default: 300)")
    seconds = parser.parse_args(argv).seconds
    with tempfile.TemporaryDirectory(prefix="oc-ops-bench-") as folder:
        lab = Lab(Path(folder) / "lab")
        try:
            lab.up(lambda what: print(f"lab: {what}", file=sys.stderr))
            return measured(lab, Path(folder), seconds)
        finally:
            lab.down()


def measured(lab: Lab, folder: Path, seconds: float) -> int:
    """Idle, then the cockpit, then the plain loops, on the same gateway."""
    idle = idling(lab, min(seconds, IDLE_S))
    cockpit = Cockpit(lab, folder)
    gateway, began = gateway_cpu_s(lab.listener()), time.monotonic()
    with cockpit.up():
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        lasted_s = time.monotonic() - began
        spent = gateway_cpu_s(lab.listener()) - gateway
        ours = Rate(cockpit.cpu_s() / lasted_s, max(0.0, spent / lasted_s - idle))
        rss_bytes = cockpit.rss_bytes()
        begun_s, ended_s = run_shown(lab, cockpit)
        with faults.stopped(lab):
            stopped_s = cockpit.until(lambda seen: seen.gateway.state == "hung", 30)
    theirs = plain(lab, seconds, idle)
    ratio = ours.all / theirs.all
    print(f"{'CPU s a second':28} {'own':>8} {'gateway':>8} {'all':>8}")
    print(f"{'idle gateway':28} {'':8} {idle:8.4f}")
    for name, rate in (("cockpit", ours), ("plain loops", theirs)):
        print(f"{name:28} {rate.own:8.4f} {rate.gateway:8.4f} {rate.all:8.4f}")
    print(f"{'cockpit / plain loops':28} {'':17} {ratio:8.4f}")
    print(f"{'memory of the cockpit':28} {rss_bytes / 2**20:8.1f} MB in {len(cockpit.processes)} processes")
    print(f"{'a stopped gateway shown':28} {stopped_s:8.2f} s")
    print(f"{'a run: beginning, end shown':28} {begun_s:8.2f} s {ended_s:8.2f} s")
    goals = {
        f"CPU ≤ {MOST_RATIO} ×": ratio <= MOST_RATIO,
        f"memory ≤ {MOST_BYTES // 2**20} MB": rss_bytes <= MOST_BYTES,
        f"a stopped gateway shown within {SHOWN_S:g} s": stopped_s <= SHOWN_S,
        f"a run's beginning and end within {EVENT_S:g} s": max(begun_s, ended_s) <= EVENT_S,
    }
    for goal, reached in goals.items():
        print(f"{'reached' if reached else 'MISSED '}  {goal}")
    return 0 if all(goals.values()) else 1


def idling(lab: Lab, seconds: float) -> float:
    """CPU seconds a second of a gateway that nobody asks anything; it settles for a while first."""
    time.sleep(min(20.0, seconds))
    before, began = gateway_cpu_s(lab.listener()), time.monotonic()
    time.sleep(seconds)
    return (gateway_cpu_s(lab.listener()) - before) / (time.monotonic() - began)


def plain(lab: Lab, seconds: float, idle: float) -> Rate:
    """The plain loops, side by side, as two panes ran them."""
    until = time.monotonic() + seconds
    before, began, gateway = children_cpu_s(), time.monotonic(), gateway_cpu_s(lab.listener())
    panes = [threading.Thread(target=pane, args=(lab, words, until)) for words in LOOPS]
    for each in panes:
        each.start()
    for each in panes:
        each.join()
    lasted_s = time.monotonic() - began
    spent = gateway_cpu_s(lab.listener()) - gateway
    return Rate((children_cpu_s() - before) / lasted_s, max(0.0, spent / lasted_s - idle))


def pane(lab: Lab, commands: tuple[tuple[str, ...], ...], until: float) -> None:
    """`while true; do openclaw …; sleep 5; done`, until its time is over."""
    while time.monotonic() < until:
        for words in commands:
            subprocess.run([str(lab.openclaw), *words], env=lab.environ, capture_output=True, check=False)
        time.sleep(max(0.0, min(APART_S, until - time.monotonic())))


def children_cpu_s() -> float:
    """CPU of the children that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_shown(lab: Lab, cockpit: Cockpit) -> tuple[float, float]:
    """Seconds from the beginning and from the end of a run, as the gateway records them, until they are in the file."""
    asked_at = time.time()
    job = next(each for each in cockpit.reader.read().snapshot.jobs.jobs if each.name == WATCHED[0])
    begun: list[float] = []
    ended: list[float] = []

    def over(seen: Snapshot) -> bool:
        for run in seen.jobs.recent:
            if run.job_id == job.id and run.started_at and run.started_at > asked_at:
                begun[:] = begun or [time.time() - run.started_at]
                ended[:] = ended or ([time.time() - run.ended_at] if run.ended_at else [])
        return bool(ended)

    asking = threading.Thread(target=lambda: lab.call("cron", "run", job.id, "--json"))
    asking.start()
    cockpit.until(over, 60)
    asking.join()
    return begun[0], ended[0]


if __name__ == "__main__":
    os.chdir(PROJECT)
    raise SystemExit(main(sys.argv[1:]))
