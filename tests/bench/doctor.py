"""What a doctor run costs beside the four commands it replaces, on one lab gateway: `python -m tests.bench.doctor`.

Wall and CPU seconds are those of the started processes with all their children; the gateway's own share is printed
beside them. Measure on an idle machine: only the ratios travel.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from oc_ops.lab.lab import Lab
from oc_ops.process.run import run
from oc_ops.settings import PROJECT, SCHEDULED
from tests.live.examine import examine
from tests.support import faults

FOUR = (("gateway", "status"), ("status",), ("cron", "list"), ("browser", "status"))
ROUNDS = 3
CHEAP = ("doctor, scheduled", "doctor --quick", "doctor, nothing to call")
TIMES = 3
"""How often a round has each of these: under a second each, they feel the machine's moods most."""
DAY_RATIO = 0.06
"""The goal of a scheduled run's share of the four commands, averaged over a day of one run in five minutes."""
NO_CALL_RATIO = 0.05
"""The goal of 0.7 CPU seconds without any call, on a machine where the four commands take 14."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one round: wall, CPU of the processes started, CPU the gateway spent meanwhile."""

    wall_s: float
    cpu_s: float
    gateway_s: float


def main() -> int:
    """Measure, print one table with the goals, return 1 if one was missed."""
    with tempfile.TemporaryDirectory(prefix="oc-ops-bench-") as folder:
        lab = Lab(Path(folder) / "lab")
        try:
            lab.up(lambda what: print(f"lab: {what}", file=sys.stderr))
            return measured(lab, Path(folder))
        finally:
            lab.down()


def measured(lab: Lab, folder: Path) -> int:
    """All rows of the table, each row's rounds interleaved with the others' so that a noisy minute hits them all."""
    idle = {**lab.environ, "HOME": str(folder), "OPENCLAW_GATEWAY_PORT": "1", "PATH": str(folder)}
    rows: dict[str, Callable[[], object]] = {
        "four commands": lambda: four(lab),
        "doctor": lambda: examine(lab, folder, browser="running", patient=False),
        "doctor, scheduled": lambda: examine(
            lab, folder, browser="running", patient=False, environ={**lab.environ, SCHEDULED: "1"}
        ),
        "doctor --quick": lambda: examine(lab, folder, "--quick", patient=False),
        "doctor, nothing to call": lambda: examine(lab, folder, "--quick", patient=False, environ=idle),
    }
    for act in rows.values():
        act()
    costs = {name: [] for name in rows}  # type: dict[str, list[Cost]]
    for _ in range(ROUNDS):
        for name in (*rows, *(CHEAP * (TIMES - 1))):
            costs[name].append(cost(lab, rows[name]))
    base = typical(costs["four commands"])
    print(f"{'':28} {'wall s':>8} {'CPU s':>8} {'gateway':>8} {'wall':>7} {'CPU':>7}")
    for name, each in costs.items():
        one = typical(each)
        ratios = f"{one.wall_s / base.wall_s:6.3f}× {one.cpu_s / base.cpu_s:6.3f}×"
        print(f"{name:28} {one.wall_s:8.2f} {one.cpu_s:8.2f} {one.gateway_s:8.2f} {ratios}")
    full, scheduled, quick, nothing = (typical(costs[name]) for name in list(rows)[1:])
    # One run an hour proves the command line (OC_OPS_CLI_EVERY_S), the eleven others take its word.
    day_s = (full.cpu_s + 11 * scheduled.cpu_s) / 12
    print(f"{'a day of scheduled runs, each':28} {'':8} {day_s:8.2f} {'':8} {'':7} {day_s / base.cpu_s:6.3f}×")
    with faults.stopped(lab):
        seen = examine(lab, folder, browser="running", patient=False)
        stuck = cost(lab, lambda: four(lab))
    print(f"{'hung: four commands':28} {stuck.wall_s:8.2f}\n{'hung: doctor':28} {seen.wall_s:8.2f}  {seen.last_line}")
    goals = {
        "healthy ≤ 0.30 × wall": full.wall_s <= 0.30 * base.wall_s,
        "healthy ≤ 0.25 × CPU": full.cpu_s <= 0.25 * base.cpu_s,
        "--quick ≤ 0.04 × wall": quick.wall_s <= 0.04 * base.wall_s,
        "--quick ≤ 0.04 × CPU": quick.cpu_s <= 0.04 * base.cpu_s,
        f"a day of scheduled runs: ≤ {DAY_RATIO} × CPU": day_s <= DAY_RATIO * base.cpu_s,
        "hung: verdict within 3 s": seen.report["duration_s"] <= 3 and seen.report["cause"] == "gateway/hung",
        "hung: the four take over a minute": stuck.wall_s > 60,
        f"no call: ≤ {NO_CALL_RATIO} × CPU (0.7 s where the four take 14)": nothing.cpu_s <= NO_CALL_RATIO * base.cpu_s,
    }
    for goal, reached in goals.items():
        print(f"{'reached' if reached else 'MISSED '}  {goal}")
    return 0 if all(goals.values()) else 1


def four(lab: Lab, environ: Mapping[str, str] | None = None) -> None:
    """The plain doctor script: four commands, one after the other, as an operator types them."""
    for words in FOUR:
        run([str(lab.openclaw), *words], environ=environ or lab.environ, deadline_s=180, cwd=lab.home)


def cost(lab: Lab, act: Callable[[], object]) -> Cost:
    """Wall and CPU of one act, children that were waited for included."""
    gateway = lab.listener()
    before, began, own = os.times(), time.monotonic(), gateway_cpu_s(gateway)
    act()
    wall_s, after = time.monotonic() - began, os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(wall_s, cpu_s, gateway_cpu_s(gateway) - own)


def gateway_cpu_s(gateway: psutil.Process | None) -> float:
    """User and system seconds of the gateway process."""
    times = gateway.cpu_times() if gateway else None
    return times.user + times.system if times else 0.0


def typical(costs: list[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(
        median(each.wall_s for each in costs),
        median(each.cpu_s for each in costs),
        median(each.gateway_s for each in costs),
    )


if __name__ == "__main__":
    os.chdir(PROJECT)
    raise SystemExit(main())
