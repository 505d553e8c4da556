"""The watcher as a process: it is one, it is found and ended, and what it cannot watch is one sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from oc_ops.cockpit import snapshot, watcher
from oc_ops.cockpit.state import Snapshot
from oc_ops.settings import PROJECT, load
from tests.support.machine import SECRET, TOO_LONG_S, Operator, gateway
from tests.support.survivors import eventually


@contextmanager
def operator(root: Path) -> Iterator[Operator]:
    """Somebody's machine with a healthy gateway; every watcher that was started there is ended."""
    with gateway() as port:
        machine = Operator(root / "machine", port)
        try:
            yield machine
        finally:
            for each in watchers(machine):
                each.kill()


def watchers(machine: Operator) -> list[psutil.Process]:
    """The watchers of that machine."""
    found = []
    for each in psutil.process_iter():
        try:
            ours = "oc_ops.cockpit.watcher" in each.cmdline()
            if ours and each.environ().get("OC_OPS_MEMORY_DIR") == machine.environ["OC_OPS_MEMORY_DIR"]:
                found.append(each)
        except psutil.Error:
            continue
    return found


def begin(machine: Operator) -> subprocess.Popen[str]:
    """A watcher in the foreground."""
    return subprocess.Popen(
        [sys.executable, "-m", "oc_ops.cockpit.watcher"],
        cwd=PROJECT, env={**machine.environ, "OC_OPS_BROWSER": "off"}, stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def until(machine: Operator, wanted: Callable[[Snapshot], bool]) -> Snapshot:
    """The first snapshot that shows it."""
    memory = Path(machine.environ["OC_OPS_MEMORY_DIR"])
    deadline = time.monotonic() + TOO_LONG_S
    while time.monotonic() < deadline:
        for path in memory.glob("state-*.json"):
            reading = snapshot.read(path)
            if not reading.stale and wanted(reading.snapshot):
                return reading.snapshot
        time.sleep(0.05)
    raise AssertionError("not shown in time")


def well(shown: Snapshot) -> bool:
    """Ready, and connected."""
    return shown.gateway.state == "ready" and shown.rpc.state == "on"


def test_two_watchers_are_one(tmp_path: Path) -> None:
    """The second ends at once with its own code and names the first; kill -9 leaves no lock; SIGTERM says goodbye."""
    with operator(tmp_path) as machine:
        first = begin(machine)
        until(machine, well)
        second = begin(machine)
        _, said = second.communicate(timeout=TOO_LONG_S)
        assert second.returncode == watcher.HELD
        assert f"is held by process {first.pid} since" in said
        first.kill()
        first.communicate()
        third = begin(machine)
        shown = until(machine, lambda seen: seen.watcher.pid == third.pid and well(seen))
        third.send_signal(signal.SIGTERM)
        _, said = third.communicate(timeout=TOO_LONG_S)
        assert third.returncode == watcher.ENDED
        assert "told to end" in said
        until(machine, lambda seen: "told to end" in seen.watcher.ended)
        assert shown.key == watcher_key(machine)
        assert not list(Path(machine.environ["OC_OPS_MEMORY_DIR"]).glob(".*.part"))


def watcher_key(machine: Operator) -> str:
    """The key of the machine's gateway."""
    from oc_ops.observe.target import locate

    return locate(machine.environ).key


def test_start_is_detached_and_stop_ends_what_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in a session of its own, with the settings of whoever started it; stop ends the holder, once."""
    with operator(tmp_path) as machine:
        monkeypatch.setenv("XDG_STATE_HOME", machine.environ["XDG_STATE_HOME"])
        environ = {name: each for name, each in machine.environ.items() if not name.startswith("OC_OPS_")}
        settings = load({"memory_dir": machine.environ["OC_OPS_MEMORY_DIR"], "browser": "off"}, {})
        pid = watcher.start(settings, environ)
        shown = until(machine, well)
        second = psutil.Process(watcher.start(settings, environ))
        assert eventually(lambda: second.status() == psutil.STATUS_ZOMBIE, TOO_LONG_S), "it ends beside the first"
        assert "not looked at" in shown.browser.words
        assert os.getsid(shown.watcher.pid or 0) == shown.watcher.pid
        process = psutil.Process(pid)
        key = watcher_key(machine)
        assert watcher.stop(key)
        ended = time.monotonic() + TOO_LONG_S
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < ended:
            time.sleep(0.05)
        until(machine, lambda seen: "told to end" in seen.watcher.ended)
        assert not watcher.stop(key)
        said = watcher.said_path(settings.memory_dir)
        assert "told to end" in said.read_text()
        assert said.stat().st_mode & 0o777 == 0o600
        assert SECRET not in said.read_text()


def test_starting_one_needs_nothing_heavy(tmp_path: Path) -> None:
    """A pane that only starts a watcher does not import what the watcher needs."""
    heavy = "psutil websockets cryptography rich oc_ops.observe oc_ops.judge"
    code = (
        "import sys, oc_ops.cockpit.watcher, oc_ops.cockpit.snapshot\n"
        f"print([name for name in {heavy.split()!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_cannot_be_watched_is_one_sentence(tmp_path: Path) -> None:
    """A bad setting ends with the usage code and the setting's own words."""
    environ = {"HOME": str(tmp_path), "PATH": os.defpath, "OC_OPS_WATCH_LOOK_S": "often"}
    done = subprocess.run(
        [sys.executable, "-m", "oc_ops.cockpit.watcher"],
        cwd=PROJECT, env=environ, capture_output=True, text=True, check=False, timeout=TOO_LONG_S,
    )  # fmt: skip
    assert done.returncode == watcher.UNUSABLE
    assert 'OC_OPS_WATCH_LOOK_S="often" in environment: need seconds > 0' in done.stderr
    assert len(done.stderr.splitlines()) == 1
