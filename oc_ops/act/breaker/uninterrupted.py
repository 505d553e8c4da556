"""What must not be left half done: Ctrl-C, SIGTERM and a closed terminal wait until it is whole."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_WAITING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def uninterrupted() -> Iterator[list[int]]:
    """Collect those signals instead of being ended by them; what came is in the list. The block must be bounded.

    Unlike `signals.held` it may start processes: nothing is blocked that a child would inherit.
    """
    came: list[int] = []

    def later(signum: int, _frame: FrameType | None) -> None:
        came.append(signum)

    before = {each: signal.getsignal(each) for each in _WAITING}
    heard = [each for each, handler in before.items() if handler is not signal.SIG_IGN]
    try:
        for each in heard:
            signal.signal(each, later)
        yield came
    finally:
        for each in heard:
            signal.signal(each, before[each])
