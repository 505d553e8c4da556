"""The JSON value inside an output that also holds other lines: plugin noise before it, notices after it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import cast

_START = re.compile(r"^[ \t]*([{\[])", re.M)
_MOST_STARTS = 200
"""Attempts per text: real noise has a handful of lines that begin with a bracket."""


def json_object(text: str) -> Mapping[str, object] | None:
    """The largest JSON object that begins a line of the text, or None when there is no complete one.

    stdout of many releases is not pure JSON (#84293, #37323): plugin lines stand before or after the value,
    2026.2.26 draws a box above it.
    """
    stripped = text.strip()
    if stripped.startswith("{"):
        try:
            value = json.loads(stripped)
            return cast("dict[str, object]", value) if isinstance(value, dict) else None
        except (ValueError, RecursionError):
            pass
    decoder = json.JSONDecoder()
    best: dict[str, object] | None = None
    best_length, position = 0, 0
    for _ in range(_MOST_STARTS):
        start = _START.search(text, position)
        if start is None:
            break
        position = start.end()
        try:
            value, end = decoder.raw_decode(text, start.start(1))
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict) and end - start.start(1) > best_length:
            best, best_length = value, end - start.start(1)
        position = end
    return best


def at(value: object, *path: str) -> object:
    """What stands at a path of keys in nested objects, or None."""
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def text_at(value: object, *path: str) -> str:
    """The string at a path, or an empty one."""
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def number_at(value: object, *path: str) -> float | None:
    """The number at a path, or None; true and false are no numbers."""
    found = at(value, *path)
    return float(found) if isinstance(found, (int, float)) and not isinstance(found, bool) else None
