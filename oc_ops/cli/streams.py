"""What a command prints on, whatever the locale."""

from __future__ import annotations

import io
import sys


def lenient() -> None:
    """A locale that lacks a character costs neither an answer nor an act: it is printed as its escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
