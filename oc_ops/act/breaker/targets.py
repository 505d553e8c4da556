"""Everything that could be broken, in the order in which it keeps other things from working, and how each is."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from oc_ops.act.breaker.book import Book
from oc_ops.act.breaker.locks import locks, move_aside
from oc_ops.act.breaker.marker import left_off, markers
from oc_ops.act.breaker.mutex import Kind, Mutex
from oc_ops.act.breaker.outcome import Result
from oc_ops.act.breaker.processes import end, processes
from oc_ops.act.breaker.sight import Hands, Sight
from oc_ops.act.breaker.switching import switch

BREAKS: Mapping[Kind, Callable[[Mutex, Hands], Result]] = {
    "marker": switch,
    "left-off": switch,
    "chrome-lock": move_aside,
    "session-lock": move_aside,
    "gateway-lock": move_aside,
    "zombie": end,
    "hung": end,
}
"""How each kind is broken; each looks afresh afterwards."""


def mutexes(sight: Sight, book: Book) -> tuple[Mutex, ...]:
    """All of them, those that must be left alone too. Raises JournalError when the book cannot be read."""
    return (*processes(sight), *left_off(sight, book), *markers(sight), *locks(sight))
