"""Finds every process of one call and ends it, also those that left their parent, their group or their session."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

KILL_PATIENCE_S = 2.0
"""How long SIGKILL may take: a process in uninterruptible sleep does not die before its system call returns."""


_MONITOR = "conmon"
"""podman's monitor of a container, or of one command inside. It and what it runs are the container's: where it was
killed, the next `podman stop` waits 5 s for its word and may refuse (exit 125; seen on podman 4.3)."""


class Tree:
    """The processes of one call, without `root`, which stands above them, and without those that are a container's.

    With `adopts`, orphans become children of `root` (Linux), so its descendants are all there is. Without, those ever
    seen among the descendants and those that carry the marker (a variable of their environment and its value) are
    looked for too. Every signal goes through psutil, which compares the start time first: a pid that was reused in the
    meantime is never hit.
    """

    def __init__(self, root: int, marker: tuple[str, str], *, adopts: bool) -> None:
        self._root, self._marker, self._adopts = root, marker, adopts
        self._seen: set[psutil.Process] = set()

    def members(self) -> set[psutil.Process]:
        """The live processes of the call (zombies do not count), remembered for the next look."""
        found = _descendants(self._root)
        if not self._adopts:
            for process in self._seen:
                found |= {process} | _descendants(process.pid) if process.is_running() else set()
            found |= self._marked()
            self._seen = found
        return {process for process in found - _of_containers(found) if alive(process)}

    def _marked(self) -> set[psutil.Process]:
        found, (variable, value) = set(), self._marker
        for process in psutil.process_iter():
            # Strangers' environments are not ours to read, and macOS hides those of protected programs.
            with suppress(psutil.Error, OSError):
                if process.pid not in (self._root, os.getpid()) and process.environ().get(variable) == value:
                    found.add(process)
        return found

    def end(self, grace_s: float, pause: Callable[[float], object] = time.sleep) -> int:
        """SIGTERM to all, SIGKILL after `grace_s` to what is left; returns how many processes were signalled.

        `pause` waits at most the given seconds and may return early. Gives up KILL_PATIENCE_S after SIGKILL.
        """
        ended: set[psutil.Process] = set()
        for number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, KILL_PATIENCE_S)):
            until, nap_s = time.monotonic() + patience_s, 0.01
            told: set[psutil.Process] = set()
            while living := self.members():
                for process in living - told:
                    with suppress(psutil.Error):
                        process.send_signal(number)
                told |= living
                if (left_s := until - time.monotonic()) <= 0:
                    break
                pause(min(nap_s, left_s))
                nap_s = min(2 * nap_s, 0.25)
            ended |= told
        return len(ended)


def _descendants(pid: int) -> set[psutil.Process]:
    with suppress(psutil.Error):
        return set(psutil.Process(pid).children(recursive=True))
    return set()


def _of_containers(found: set[psutil.Process]) -> set[psutil.Process]:
    monitors = set()
    for process in found:
        with suppress(psutil.Error):
            if process.name() == _MONITOR:
                monitors.add(process)
    return monitors.union(*(_descendants(process.pid) for process in monitors))


def alive(process: psutil.Process) -> bool:
    """True while it runs; a zombie has ended, and a reused pid is another process."""
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
