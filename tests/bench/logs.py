"""What a scan of a big log costs beside `rg` with the same patterns on the same file: `python -m tests.bench.logs`.

A 600 MB JSONL log is made up of a real gateway's wordings in a temporary folder. Each measurement is the best of
three, taken in turns, in a process of its own, start of the interpreter included. Memory is the resident size, looked
at each 2 ms, above that of the same process before its scan. `rg` is given the catalogue's literals
(`--fixed-strings`), which is the quickest it can do, and once the expressions themselves, for half a minute at most.
Measure on an idle machine: only the ratios travel.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psutil

from oc_ops.cli.logs import scanned
from oc_ops.judge.signature_catalogue import catalogue
from oc_ops.observe.logs import LogView, Needle, raw_shape, recent
from oc_ops.observe.logs.scan import Scan, finder
from oc_ops.settings import PROJECT
from tests.support import gateway_log

SIZE = 600_000_000
ROUNDS = 3
RG_S = 30.0
FLOOD = 1_000_000
MIB = 2**20


def main() -> int:
    """Measure, print the table with the goals, return 1 if one was missed."""
    if not shutil.which("rg"):
        print("rg (ripgrep) is not on PATH: there is nothing to compare with", file=sys.stderr)
        return 4
    with tempfile.TemporaryDirectory(prefix="oc-ops-bench-") as folder:
        return measured(Path(folder))


def measured(folder: Path) -> int:
    """All rows of the table."""
    log, flood = folder / "gateway.log", folder / "flood.log"
    seeds = tuple(gateway_log.faulty(each.sample) for each in catalogue())
    lines = gateway_log.write(log, SIZE, seeds=seeds)
    gateway_log.write_flood(flood, FLOOD, catalogue()[0].sample)
    literals = [literal for each in catalogue() for literal in each.literals]
    patterns = [for_rg(each.expression) for each in catalogue()]
    faults = lines // 50_000 * len(seeds)
    print(f"{log.stat().st_size / 1e6:.0f} MB, {lines:,} lines, {len(catalogue())} signatures, {faults:,} faults")
    rows: dict[str, Callable[[], object]] = {
        "rg": lambda: rg(folder, log, literals, "--fixed-strings"),
        "cold": lambda: child("cold", log),
        "logs scan": lambda: child("scan", log),
    }
    best = dict.fromkeys(rows, float("inf"))
    for _ in range(ROUNDS):
        for name, act in rows.items():
            best[name] = min(best[name], wall_s(act))
    expressions_s = wall_s(lambda: rg(folder, log, patterns))
    plain_s = float(child("plain", log)) * SIZE / (64 * MIB)
    peak, rescan_ms, kept = (float(each) for each in child("memory", log, folder / "state.json").split())
    flood_s, flood_peak, flood_kept, flood_all = (float(each) for each in child("flood", flood).split())
    told = (
        ("rg, literals", f"{best['rg']:.2f} s"),
        ("rg, expressions", f"{expressions_s:.1f} s{' and not done' if expressions_s >= RG_S else ''}"),
        ("cold scan into a view", f"{best['cold']:.2f} s, {best['cold'] / best['rg']:.2f} × rg"),
        ("oc-ops logs scan", f"{best['logs scan']:.2f} s, {best['logs scan'] / best['rg']:.2f} × rg"),
        ("without hyperscan", f"{plain_s:.2f} s (worked out from 64 MiB)"),
        ("memory of the cold scan", f"{peak:.1f} MiB over baseline"),
        ("re-scan, nothing new", f"{rescan_ms:.2f} ms, {kept:.0f} records kept"),
        (f"a flood of {FLOOD:,} lines", f"{flood_s:.2f} s of CPU, {flood_peak:.1f} MiB, {flood_kept:.0f} records kept"),
    )
    for what, figure in told:
        print(f"{what:28} {figure}")
    goals = {
        "cold scan ≤ 3 × rg": best["cold"] <= 3 * best["rg"],
        "logs scan ≤ 3 × rg": best["logs scan"] <= 3 * best["rg"],
        "memory ≤ 64 MiB over baseline": peak <= 64,
        "re-scan < 5 ms": rescan_ms < 5,
        "flood: memory ≤ 64 MiB, every line counted": flood_peak <= 64 and flood_all == FLOOD,
    }
    for goal, reached in goals.items():
        print(f"{'reached' if reached else 'MISSED '}  {goal}")
    return 0 if all(goals.values()) else 1


def for_rg(expression: str) -> str:
    """A pattern as ripgrep reads it: all are one expression there, so their groups cannot have names."""
    return re.sub(r"\(\?P<\w+>", "(?:", expression)


def rg(folder: Path, log: Path, patterns: list[str], *options: str) -> None:
    """Count the matching lines; given up after half a minute."""
    given = folder / "patterns"
    given.write_text("".join(f"{each}\n" for each in patterns), encoding="utf-8")
    argv = ["rg", "--no-config", "--count", *options, "--file", str(given), str(log)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=RG_S)
    except subprocess.TimeoutExpired:
        return
    if done.returncode:
        raise RuntimeError(f"rg found nothing: {done.stderr[:500]}")


def child(*words: str | Path) -> str:
    """One measurement in a fresh process."""
    argv = [sys.executable, "-m", "tests.bench.logs", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=True, cwd=PROJECT).stdout


def wall_s(act: Callable[[], object]) -> float:
    """Wall seconds of one act."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def needles() -> list[Needle]:
    """The whole catalogue."""
    return [Needle(each.id, each.literals, raw_shape(each.expression)) for each in catalogue()]


def view(log: Path, state: Path | None = None) -> LogView:
    """The whole file as a window."""
    since = gateway_log.BEGIN - timedelta(days=1)
    return recent([log], needles(), since=since, tail_bytes=10 * SIZE, remember=state)


def memory_mib(act: Callable[[], object]) -> float:
    """How much the resident size rises above what it is now while something runs."""
    process, over = psutil.Process(), threading.Event()
    before = peak = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.002):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        act()
    finally:
        over.set()
        watcher.join()
    return (peak - before) / MIB


def one(what: str, log: Path, *more: str) -> None:
    """One measurement, in a child."""
    match what:
        case "cold":
            view(log)
        case "scan":
            scanned([str(log)])
        case "plain":
            with log.open("rb", buffering=0) as file:
                part = io.BytesIO(file.read(64 * MIB))
            sought = needles()
            print(wall_s(lambda: sum(1 for _ in Scan(part, sought, finder(sought, 0)).hits())))
        case "memory":
            state = Path(more[0])
            peak = memory_mib(lambda: view(log, state))
            times = [wall_s(lambda: view(log, state)) for _ in range(20)]
            again = view(log, state)
            assert again.bytes_read == 0
            print(peak, 1000 * min(times), len(again.records))
        case "flood":
            seen: list[LogView] = []
            peak = memory_mib(lambda: seen.append(view(log)))
            began = time.process_time()
            view(log)
            print(time.process_time() - began)
            kept = len(seen[0].records)
            print(peak, kept, kept + sum(seen[0].left_out.values()))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
    else:
        raise SystemExit(main())
