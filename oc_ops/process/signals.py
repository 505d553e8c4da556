"""Signals that would raise in the middle of an ending wait until it is done."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_RAISING = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
"""Ctrl-C, a service manager's stop, and the deadline of a check."""


@contextmanager
def held() -> Iterator[None]:
    """Keep them waiting for the duration of the block, which must be bounded and start no process.

    The kernel remembers them, each once, and they are delivered as the block is left. Another thread may still
    receive them; Python then raises in the main thread as ever.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, _RAISING)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
