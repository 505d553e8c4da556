"""The screens of a window, as plain text in memory/panes/<window>.log: at every turn of events, else now and then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from oc_ops import files
from oc_ops.text import clock

EVERY_S = 300.0
"""How often a screen is kept on which only figures changed."""

ARCHIVES = 3
"""Older files beside the one that is written: `<window>.log.1` is the youngest."""


def log_of(memory_dir: Path, window: str) -> Path:
    """Where a window's screens are kept."""
    return memory_dir / "panes" / f"{window}.log"


class WindowLog:
    """One window's log."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        """`most_bytes` is the size at which the file is moved aside."""
        self.path, self._most_bytes = path, most_bytes
        self._gist: object = None
        self._lines: Sequence[str] = ()
        self._at = 0.0

    def keep(self, lines: Sequence[str], gist: object, now: float) -> None:
        """Append a screen if it tells something new; `now` is Unix time. Raises OSError when it cannot be written."""
        if gist == self._gist and (0 <= now - self._at < EVERY_S or lines == self._lines):
            return
        self._gist, self._lines, self._at = gist, lines, now
        stamp = clock(datetime.fromtimestamp(now, UTC))
        self._append("\n".join((f"=== {stamp}", *(line.rstrip() for line in lines), "")))

    def _append(self, text: str) -> None:
        files.own_folder(self.path.parent)
        with open(self.path, "ab", opener=files.private) as file:
            file.write(text.encode("utf-8", "replace"))
            full = file.tell() > self._most_bytes
        if full:
            self._rotate()

    def _rotate(self) -> None:
        files = [self.path, *(self.path.with_name(f"{self.path.name}.{number}") for number in range(1, ARCHIVES + 1))]
        for older, newer in zip(reversed(files), reversed(files[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)
