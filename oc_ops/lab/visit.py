"""A visit to the lab: what `--lab` does before and after a doctor run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from oc_ops.lab.install import Progress
from oc_ops.lab.lab import Lab, open_lab


@contextmanager
def visit() -> Iterator[Lab]:
    """The machine's own lab: as it is where it runs, whatever ails it; else up, and down again afterwards.

    Raises LabError.
    """
    lab = open_lab()
    try:
        with progress() as say:
            lab.up(say, mend=False)
        yield lab
    finally:
        if lab.begun:
            lab.down()


@contextmanager
def progress() -> Iterator[Progress]:
    """Where long work says what it is at: one moving line on a terminal's stderr, nothing where none is."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    with Console(stderr=True).status("the lab") as status:
        yield lambda what: status.update(f"the lab: {what}")
