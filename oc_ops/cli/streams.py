"""What every command rests on: streams that take any character, and a clock that can be read."""

from __future__ import annotations

import io
import sys
import time

from oc_ops.text import clock_trouble


def lenient() -> None:
    """A locale that lacks a character costs neither an answer nor an act: it is printed as its escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def need_clock() -> None:
    """End in one sentence, with exit code 4, where this machine's clock is beyond what Python can read (2262).

    One that is merely wrong is told, and the command goes on: what it looks at says whether it can.
    """
    try:
        wrong = clock_trouble(time.time())
        if wrong:
            print(f"oc-ops: {wrong}: ages, due times and expiries mean nothing", file=sys.stderr)
    except OverflowError:
        print("oc-ops: this machine's clock is beyond the year 2262: set it right first (see `date`)", file=sys.stderr)
        sys.exit(4)
