"""Real faults for a running lab, each a context manager that undoes itself and waits until the lab is well again."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import psutil

from oc_ops.lab import sweep
from oc_ops.lab.config import write_private
from oc_ops.lab.install import LabError
from oc_ops.lab.lab import CALL_S, START_S, Lab
from oc_ops.observe.http import probe
from tests.support import stranger

_SETTLE_S = 15.0
_BROKEN = '{"gateway": {"mode": "local",, "port": }\n'


@contextmanager
def stopped(lab: Lab) -> Iterator[int]:
    """SIGSTOP the process that listens: the port accepts and nobody answers. Yields its pid."""
    process = _listener(lab)
    with _mended(lab):
        process.suspend()
        try:
            yield process.pid
        finally:
            process.resume()


@contextmanager
def held(process: psutil.Process, until: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """A process that is stopped anew whenever it is let go on, as by a debugger's script, until that holds."""
    over = threading.Event()

    def hold() -> None:
        with suppress(psutil.NoSuchProcess):
            while not over.wait(0.002) and not until():
                if process.status() != psutil.STATUS_STOPPED:
                    process.suspend()

    process.suspend()
    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with suppress(psutil.NoSuchProcess):
            process.resume()


@contextmanager
def killed(lab: Lab) -> Iterator[int]:
    """SIGKILL the gateway; Chromium survives it, as it does in life. Yields the pid that was."""
    pid = _listener(lab).pid
    with _mended(lab):
        lab.kill()
        yield pid


@contextmanager
def port_held(port: int, kind: stranger.Kind = "html") -> Iterator[int]:
    """Another program listens on a port that is free; it ends with us, even if we are killed. Yields its pid."""
    argv = [sys.executable, "-I", stranger.__file__, str(port), kind]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            if not (child.stdout and child.stdout.readline()):
                raise LabError(f"no stranger could take port {port}; another program may hold it")
            yield child.pid
        finally:
            child.kill()


@contextmanager
def port_taken(lab: Lab, kind: stranger.Kind = "html") -> Iterator[int]:
    """The gateway is down and another program has its port. Yields the other's pid."""
    _listener(lab)
    with _mended(lab):
        lab.stop_gateway()
        with port_held(lab.port, kind) as pid:
            yield pid


@contextmanager
def wrong_token(lab: Lab) -> Iterator[dict[str, str]]:
    """Yields an environment whose config has a token that the running gateway does not accept."""
    path = lab.root / "wrong-token.json"
    write_private(path, lab.config({"gateway": {"auth": {"token": lab.token[::-1]}}}))
    try:
        yield {**lab.environ, "OPENCLAW_CONFIG_PATH": str(path)}
    finally:
        path.unlink()


@contextmanager
def broken_config(lab: Lab, kind: Literal["syntax", "schema"] = "syntax") -> Iterator[None]:
    """A running gateway's openclaw.json stops parsing, or parses and does not validate."""
    good = lab.config_path.read_text(encoding="utf-8")
    with _mended(lab):
        write_private(lab.config_path, _BROKEN if kind == "syntax" else lab.config({"gateway": {"mode": "sideways"}}))
        try:
            yield
        finally:
            write_private(lab.config_path, good)


@contextmanager
def browser_stopped(lab: Lab) -> Iterator[None]:
    """The browser is enabled and was stopped by the operator's own command."""
    with _mended(lab):
        lab.stop_browser()
        yield


@contextmanager
def held_up(lab: Lab, *, held_s: float = 1.4, free_s: float = 0.35) -> Iterator[int]:
    """The gateway's event loop is held up again and again: it answers, but late. Yields its pid."""
    process, over = _listener(lab), threading.Event()

    def hold() -> None:
        while not over.is_set():
            process.suspend()
            over.wait(held_s)
            process.resume()
            over.wait(free_s)

    with _mended(lab):
        holding = threading.Thread(target=hold)
        holding.start()
        try:
            yield process.pid
        finally:
            over.set()
            holding.join()
            process.resume()


@contextmanager
def draining(lab: Lab, *, wait_s: int = 20) -> Iterator[None]:
    """A restart is under way and waits for a running cron job, for at most `wait_s` seconds; 2026.9.6 only."""
    jobs = json.loads(lab.call("cron", "list", "--json").stdout.text)["jobs"]
    slow = next(str(each["id"]) for each in jobs if each["name"] == "lab-slow")
    with _mended(lab):
        lab.call("cron", "run", slow)
        argv = [str(lab.openclaw), "gateway", "restart", "--wait", f"{wait_s}s"]
        with _in_background(lab, argv):
            deadline = time.monotonic() + START_S
            while (probe("127.0.0.1", lab.port, "/startupz", budget_s=1.0).json or {}).get("status") != "draining":
                if time.monotonic() > deadline:
                    raise LabError(f"the lab's gateway did not drain in {START_S:.0f} s")
                time.sleep(0.05)
            yield


@contextmanager
def _in_background(lab: Lab, argv: list[str]) -> Iterator[None]:
    """A command beside the block; afterwards it may come to its end for CALL_S, after an error it is ended at once."""
    child = subprocess.Popen(argv, env=lab.environ, cwd=lab.home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
        with suppress(subprocess.TimeoutExpired):
            child.wait(CALL_S)
    finally:
        if child.poll() is None:
            sweep.end(sweep.tree(psutil.Process(child.pid)), 2.0)
            child.wait()


@contextmanager
def started_anew(lab: Lab) -> Iterator[None]:
    """The gateway is down, and may be started with another config or environment; afterwards it runs with its own."""
    _listener(lab)
    with _mended(lab):
        lab.stop_gateway()
        try:
            yield
        finally:
            if lab.config_path.read_text(encoding="utf-8") != lab.config({}):
                lab.stop_gateway()
                lab.write_config({})


@contextmanager
def _mended(lab: Lab) -> Iterator[None]:
    """Whatever happened inside, afterwards the gateway is ready, and its browser runs if it did before."""
    browser = lab.browser_runs()
    try:
        yield
    finally:
        if not lab.status().up:
            sweep.end(sweep.browsers(lab.root), 2.0)
            lab.start_gateway()
        lab.wait_ready()
        if browser and not lab.browser_runs():
            lab.start_browser()
        _settle(lab)


def _settle(lab: Lab) -> None:
    """Wait until the event loop no longer shows the fault's trace, or a loaded machine has had its chance to."""
    deadline = time.monotonic() + _SETTLE_S
    while time.monotonic() < deadline:
        page = probe("127.0.0.1", lab.port, "/readyz", budget_s=1.0)
        loop = (page.json or {}).get("eventLoop")
        if not (isinstance(loop, dict) and loop.get("degraded")):
            return
        time.sleep(0.2)


def _listener(lab: Lab) -> psutil.Process:
    process = lab.listener()
    if process is None:
        raise LabError(f"no gateway listens on port {lab.port} in the lab {lab.root}; run `oc-ops lab up` first")
    return process
