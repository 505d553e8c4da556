"""Finds and ends every process of a lab, also those that left its gateway's tree."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import psutil

from oc_ops.process.tree import alive

_PROFILE = "--user-data-dir="


def recorded(pid: int, started: float) -> psutil.Process | None:
    """The live process of that pid and start time (seconds since the epoch), or None."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        # The start time is derived from the boot time, which moves a little when the clock is set.
        if abs(process.create_time() - started) < 1.0 and alive(process):
            return process
    return None


def residents(root: Path) -> list[psutil.Process]:
    """Every live process whose HOME is under `root`, and its browsers; never this process or its ancestors."""
    own = {os.getpid()}
    with suppress(psutil.Error):
        own |= {parent.pid for parent in psutil.Process().parents()}
    processes = (each for each in psutil.process_iter() if each.pid not in own)
    return [each for each in processes if (_at_home(each, str(root)) or _browses(each, str(root))) and alive(each)]


def browsers(root: Path) -> list[psutil.Process]:
    """Every live Chromium process with its profile under `root`; its renderers have no environment left to read."""
    return [each for each in psutil.process_iter() if _browses(each, str(root)) and alive(each)]


def _at_home(process: psutil.Process, root: str) -> bool:
    # Strangers' environments are not ours to read, and a process may end while it is looked at.
    with suppress(psutil.Error, OSError):
        return _under(process.environ().get("HOME", ""), root)
    return False


def _browses(process: psutil.Process, root: str) -> bool:
    with suppress(psutil.Error, OSError):
        return any(_under(word.removeprefix(_PROFILE), root) for word in process.cmdline() if word.startswith(_PROFILE))
    return False


def _under(path: str, root: str) -> bool:
    return path == root or path.startswith(root + os.sep)


def listens(process: psutil.Process, port: int) -> bool:
    """True if that process listens on the TCP port."""
    with suppress(psutil.Error):
        connections = process.net_connections(kind="tcp")
        return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)
    return False


def tree(process: psutil.Process) -> list[psutil.Process]:
    """The process and its descendants, children last."""
    with suppress(psutil.Error):
        return [process, *process.children(recursive=True)]
    return []


def end(processes: Collection[psutil.Process], grace_s: float) -> list[psutil.Process]:
    """SIGTERM, after `grace_s` SIGKILL; stopped ones are woken to hear it. Returns those that are still alive."""
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
            process.resume()
    if left := wait_gone(processes, grace_s):
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        left = wait_gone(left, 5.0)
    return left


def wait_gone(processes: Collection[psutil.Process], budget_s: float) -> list[psutil.Process]:
    """Wait until all have ended; returns those that are still alive after `budget_s`."""
    deadline = time.monotonic() + budget_s
    while (left := [each for each in processes if alive(each)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left
