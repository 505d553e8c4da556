"""The cockpit on a real gateway: what its windows show in time, what it says of a hang, and what all of it takes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from oc_ops.lab.lab import Lab
from oc_ops.observe.target import locate
from tests.support import faults
from tests.support.desk import WINDOWS, Desk
from tests.support.survivors import eventually

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]

HUNG_S, RUN_S = 5.0, 1.0
"""How soon a stopped gateway, and the beginning and the end of a run, are to be on the screen."""
OFTEN = "lab-often"
"""A job that runs by itself: an `openclaw cron run` would keep a core busy at the very moment that counts."""
MOST_BYTES = 250 * 2**20


@pytest.fixture(scope="module")
def lab(lab_with_browser: Lab) -> Lab:
    """The lab with its browser, which has a window of its own."""
    return lab_with_browser


@pytest.fixture(scope="module")
def desk(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk whose gateway is the lab's, its three jobs watched, the cockpit up and somebody attached to it."""
    root = tmp_path_factory.mktemp("desk")
    desk = Desk(root)
    own = {name: desk.environ[name] for name in desk.environ if name not in ("HOME", "PATH")}
    desk.environ = {**lab.environ, **own, "OC_OPS_OPENCLAW": str(lab.openclaw)}
    desk.key = locate(desk.environ).key
    desk.memory.mkdir()
    (desk.memory / "ops_critical_cron_jobs.txt").write_text("lab-ok\nlab-failing\nlab-slow\n")
    try:
        desk.start()
        with desk.attached() as terminal:
            terminal.expect("READY", timeout=180)
            yield desk
    finally:
        desk.close()


def test_the_windows_show_the_gateway(desk: Desk, lab: Lab) -> None:
    """Release, port and process, the connection, the jobs, the browser and readable log lines; all of it up."""
    assert desk.sees("status", rf"OpenClaw {re.escape(lab.version)}  port {lab.port}")
    assert desk.sees("status", r"RPC +on · ", 60)
    listener = lab.listener()
    assert listener is not None
    assert f"pid {listener.pid}" in desk.screen("status")
    assert desk.sees("runs", r"lab-ok ")
    assert desk.sees("browser", r"\d\d:\d\d:\d\d (UTC|[+-]\d\d:\d\d) INFO  \S+ \S+")
    assert '{"' not in desk.screen("browser")
    assert desk.sees("incidents", "no open incident")
    assert desk.status()["up"]
    shown = "".join(desk.screen(window, "-S", "-") for window in WINDOWS)
    assert lab.token not in shown


def test_a_run_is_on_the_screen_as_it_begins_and_ends(desk: Desk, lab: Lab) -> None:
    """Within a second of both moments as the gateway records them: the middle one of three runs."""
    added = lab.call("cron", "add", "--name", OFTEN, "--every", "8s", "--no-deliver", "--command", "sleep 3", "--json")
    job_id = json.loads(added.stdout.text)["id"]
    watchlist = desk.memory / "ops_critical_cron_jobs.txt"
    watched = watchlist.read_text()
    watchlist.write_text(watched + f"{OFTEN}\n")
    try:
        assert desk.sees("runs", rf"{OFTEN} +(NO RUN|RUNNING|OK)", 60)
        seen = [(shown_at(desk, "RUNNING"), shown_at(desk, "OK")) for _ in range(3)]
        told = json.loads(lab.call("cron", "runs", "--id", job_id, "--json").stdout.text)["entries"]
    finally:
        watchlist.write_text(watched)
        lab.call("cron", "rm", job_id)
    late = []
    for begun_at, ended_at in seen:
        run = min(told, key=lambda each: abs(each["runAtMs"] / 1000 - begun_at))
        began = run["runAtMs"] / 1000
        late.append((begun_at - began, ended_at - began - run["durationMs"] / 1000))
    assert sorted(begun for begun, _ in late)[1] < RUN_S, late
    assert sorted(ended for _, ended in late)[1] < RUN_S, late


def shown_at(desk: Desk, word: str) -> float:
    """The moment at which the often run job is first seen to be so."""
    assert desk.sees("runs", rf"{OFTEN} +{word} ", 30)
    return time.time()


def test_a_hang_is_on_the_screen_with_what_helps_and_goes_again(desk: Desk, lab: Lab) -> None:
    """SIGSTOP: the word, the evidence, the command; what is not of now says so; SIGCONT: ready again."""
    assert desk.sees("status", " READY ", 180)
    with faults.stopped(lab) as pid:
        began = time.monotonic()
        assert desk.sees("status", " HUNG ", 60)
        assert time.monotonic() - began < 2 * HUNG_S  # the watcher's own tests hold it to 5 s
        assert f"kill -CONT {pid}" in desk.screen("status")
        assert desk.sees("status", "STALE +as of .* could not look", 60)
        assert desk.sees("runs", "jobs +read from the gateway's own files", 60)
    assert desk.sees("status", " READY ", 180)


def test_all_of_it_takes_little_memory_and_goes_with_the_session(desk: Desk, lab: Lab) -> None:
    """Windows, their shells and the watcher together; stop ends every one, and the gateway runs on."""
    watcher = psutil.Process(desk.status()["watcher_pid"])
    processes = [psutil.Process(pid) for window, pid in desk.panes().items() if window != "adhoc"]
    processes += [desk.drawing(window) for window in WINDOWS[:-1]]
    processes.append(watcher)
    taken = sum(each.memory_info().rss for each in processes)
    assert taken < MOST_BYTES, f"{taken / 2**20:.0f} MB"
    listener = lab.listener()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "checks", "-m", "doctor", "--quick", "--tmux", "-q"],
        env=desk.environ,
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    assert "\ncockpit: was up: session oc-ops" in done.stdout
    assert eventually(lambda: re.search("doctor +HEALTHY|doctor +DEGRADED", desk.screen("status")), 30)
    desk.ops("stop")
    assert eventually(lambda: not any(each.is_running() for each in processes), 30)
    assert lab.listener() == listener
