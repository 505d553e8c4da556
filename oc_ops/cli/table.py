"""One form for every table: folded to the width of a terminal; elsewhere a row a line, cells apart by tabs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

Row = Sequence[str]
Styles = Callable[[Row], Sequence[str]]
"""The style of each cell of a row, as rich names it."""


def show(head: Row, rows: Sequence[Row], styles: Styles = lambda row: [""] * len(row)) -> None:
    """Print it, its header first; no cell is cut, and none breaks a line of a pipe, however narrow COLUMNS is."""
    if not sys.stdout.isatty():
        for row in (head, *rows):
            print("\t".join(" ".join(cell.splitlines()).replace("\t", " ") for cell in row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table: Table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for title in head:
        table.add_column(title, overflow="fold", no_wrap=len(title) < 3)
    for row in rows:
        table.add_row(*(Text(cell, style=style) for cell, style in zip(row, styles(row), strict=True)))
    Console().print(table)
