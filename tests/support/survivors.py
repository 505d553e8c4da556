"""Finds what a fake left running: every process of a fake carries its test's token among its arguments."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil


def carrying(token: str) -> list[psutil.Process]:
    """The live processes with `token` among their arguments; zombies have none."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if token in process.cmdline():
                found.append(process)
    return found


def eventually(condition: Callable[[], object], within_s: float = 30.0) -> bool:
    """Whether `condition` comes true in time."""
    until = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def end(processes: list[psutil.Process]) -> None:
    """Kill these processes, so that a failing test leaves nothing behind."""
    for process in processes:
        with suppress(psutil.Error):
            process.kill()


@contextmanager
def none_left() -> Iterator[str]:
    """A word for the processes of a test to carry; none of them may survive it."""
    token = uuid.uuid4().hex
    yield token
    gone = eventually(lambda: not carrying(token))
    end(carrying(token))
    assert gone
