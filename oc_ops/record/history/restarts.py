"""The starts of the gateway that the history knows: told by somebody, or seen by the age of its process."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from oc_ops.record.history.entry import RunEntry

_SAME_MS = 10_000
"""A process' age is known to about a second: a start that differs by less is the same one."""
_LASTS_MS = 300_000
"""How long a restart that somebody tells of may take until its new process is there: a drain has 300 s."""
_TOLD_LATE_MS = 60_000
"""A script writes its last line up to this long after the new process began."""
_LATELY = 300
"""Runs that are searched for a process' own word: releases that say nothing would have all of them searched."""


def new_restarts(connection: sqlite3.Connection, gateway: int, entry: RunEntry) -> Iterator[tuple[int, str]]:
    """When and by whom; to be written down one by one, as the last one is judged by those before it."""
    starts = _Starts(connection, gateway, entry)
    for at_ms, by in entry.restarts:
        if not starts.known(at_ms) and not starts.signed(at_ms, by):
            yield at_ms, by
    if seen := starts.seen():
        before_ms, began_ms = seen
        told = starts.near(began_ms - _LASTS_MS, began_ms + _TOLD_LATE_MS)
        if told is None or told <= before_ms:
            yield began_ms, "unseen"


class _Starts:
    """The starts on record, and the gateway's process then and now."""

    def __init__(self, connection: sqlite3.Connection, gateway: int, entry: RunEntry) -> None:
        self.connection, self.gateway, self.entry = connection, gateway, entry

    def known(self, at_ms: int) -> bool:
        """True when this very start is on record."""
        return self.near(at_ms, at_ms) is not None

    def signed(self, at_ms: int, by: str) -> bool:
        """Give an unseen start its author, where one that is told of late was counted as its process was seen."""
        unseen = self.near(at_ms - _TOLD_LATE_MS, at_ms + _LASTS_MS, "unseen")
        if unseen is not None:
            change = "UPDATE restarts SET by = ? WHERE gateway = ? AND at_ms = ?"
            self.connection.execute(change, (by, self.gateway, unseen))
        return unseen is not None

    def near(self, first_ms: int, last_ms: int, by: str = "") -> int | None:
        """The latest start on record between two moments, of one author or of any."""
        row = self.connection.execute(
            "SELECT max(at_ms) FROM restarts WHERE gateway = ? AND at_ms BETWEEN ? AND ? AND ? IN ('', by)",
            (self.gateway, first_ms, last_ms, by),
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def seen(self) -> tuple[int, int] | None:
        """When the gateway began before and now, if that differs: another process, or the same that serves anew."""
        now = self.entry.process
        if now is None:
            return None
        born = self._one(
            "SELECT started_ms FROM runs WHERE gateway = ? AND at_ms < ? AND started_ms IS NOT NULL "
            "ORDER BY at_ms DESC LIMIT 1"
        )
        if born is not None and now.started_ms > born + _SAME_MS:
            # What somebody told of before the old process served anew is its restart, not this one's.
            return max(born, self._served(born) or born), now.started_ms
        served = self._served(now.started_ms)
        if served is not None and now.serving_ms is not None and now.serving_ms > served + _SAME_MS:
            return served, now.serving_ms
        return None

    def _served(self, born_ms: int) -> int | None:
        """Since when the process that was born then served, as it said within the last runs."""
        return self._one(
            "SELECT serving_ms FROM (SELECT started_ms, serving_ms FROM runs WHERE gateway = ? AND at_ms < ? "
            "ORDER BY at_ms DESC LIMIT ?) WHERE serving_ms IS NOT NULL AND started_ms BETWEEN ? AND ? LIMIT 1",
            _LATELY,
            born_ms - _SAME_MS,
            born_ms + _SAME_MS,
        )

    def _one(self, query: str, *values: int) -> int | None:
        """The answer to a query of this gateway's runs before this one."""
        row = self.connection.execute(query, (self.gateway, self.entry.at_ms, *values)).fetchone()
        return None if row is None else int(row[0])
