"""A terminal drawn line by line: only what changed is written, nothing blinks, and no key typed into it does harm."""

from __future__ import annotations

import contextlib
import os
import re
import termios
from collections.abc import Sequence
from typing import Any, Self

from rich.color import ColorSystem
from rich.console import Console
from rich.text import Text

_CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
_RENDERING = Console(file=open(os.devnull, "w"), force_terminal=True, color_system="standard")  # noqa: SIM115, PTH123
_START = "\x1b[?25l\x1b[?7l\x1b[0m"
"""No cursor; no wrapping, so that a character wider than thought costs a column and not a line."""

_END = "\x1b[0m\x1b[?7h\x1b[?25h\r\n"


class Screen:
    """The terminal behind a descriptor, for as long as the block lasts; what is no terminal counts as 80×24."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._before: list[Any] | None = None
        self._shown: list[object] = []
        self._size = (0, 0)

    def __enter__(self) -> Self:
        with contextlib.suppress(termios.error):
            self._before = termios.tcgetattr(self._descriptor)
            quiet = termios.tcgetattr(self._descriptor)
            quiet[0] &= ~(termios.IXON | termios.ICRNL)
            quiet[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN)
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, quiet)
        self._write(_START)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._write(_END)
        if self._before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def size(self) -> tuple[int, int]:
        """Columns and lines; a terminal that says 0 does not know."""
        try:
            columns, lines = os.get_terminal_size(self._descriptor)
        except OSError:
            return 80, 24
        return columns or 80, lines or 24

    def forget(self) -> None:
        """Have the next drawing write every line: somebody else may have written here."""
        self._shown = []

    def draw(self, lines: Sequence[Text], size: tuple[int, int]) -> None:
        """Show these lines, as many as fit; raises OSError when the terminal is gone."""
        width, height = size
        if size != self._size:
            self._size = size
            self.forget()
        new = [(each.plain, each.style, tuple(each.spans)) for each in lines[:height]]
        out = []
        for number, line in enumerate(new):
            if number >= len(self._shown) or line != self._shown[number]:
                out.append(f"\x1b[{number + 1};1H{ansi(lines[number], width)}")
        if len(new) < height and len(new) != len(self._shown):
            out.append(f"\x1b[{len(new) + 1};1H\x1b[J")
        self._shown = [*new]
        if out:
            self._write("".join(out))

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        while data:
            data = data[os.write(self._descriptor, data) :]


def ansi(line: Text, width: int) -> str:
    """A line as a terminal takes it, the rest of its row cleared; no control of anybody else's is left in it."""
    said = "".join(
        each.style.render(text, color_system=ColorSystem.STANDARD) if each.style else text
        for each in Text("").join([line]).render(_RENDERING)  # a text that is styled as a whole renders plain by itself
        if (text := _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", each.text))
    )
    # Behind a full row the cursor still stands on its last column: clearing from there would eat it.
    return said if line.cell_len >= width else f"{said}\x1b[K"
