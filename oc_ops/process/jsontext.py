"""The content of an output: the JSON value in it, whatever stands around, and the one line that a person can read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import cast

from oc_ops import files
from oc_ops.text import regex

_START = regex(r"""^[ \t]*([{\[])(?=\s*["\]}{\[\dtfn-])""", re.M)
"""A bracket that begins a line and may begin a value: `[plugins]` does not."""
_PATIENCE = 16
"""How often a text may be read over, in characters tried, before what is left of it is given up."""


def json_object(text: str) -> Mapping[str, object] | None:
    """The largest JSON object that begins a line of the text, or None when there is no complete one.

    stdout of many releases is not pure JSON (#84293, #37323): plugin lines stand before or after the value,
    2026.2.26 draws a box above it. What stands indented in a value that broke off is a part, not an answer.
    """
    stripped = text.strip()
    if stripped.startswith("{"):
        try:
            value = files.json_of(stripped)
            return cast("dict[str, object]", value) if isinstance(value, dict) else None
        except ValueError:
            pass
    decoder = json.JSONDecoder(parse_int=files.whole)
    best: dict[str, object] | None = None
    best_length, position, tried = 0, 0, 0
    broken: int | None = None
    while tried < _PATIENCE * len(text) and (start := _START.search(text, position)):
        begin, position = start.start(1), start.end()
        indent = begin - start.start()
        if broken is not None and indent > broken:
            continue
        try:
            value, end = decoder.raw_decode(text, begin)
        except json.JSONDecodeError as error:
            tried += error.pos - begin + error.pos // 32  # the error counts the lines before it
            broken = indent if "\n" in text[begin : error.pos] else None
            continue
        except (ValueError, RecursionError):
            tried += len(text)
            continue
        if isinstance(value, dict) and end - begin > best_length:
            best, best_length = value, end - begin
        position, broken = end, None
    return best


def at(value: object, *path: str) -> object:
    """Return the value at a path of keys in nested objects, or None."""
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


_MESSAGE = regex(r'"(?:message|error)"\s*:\s*"((?:[^"\\]|\\.)+)')
_FRAME = "".join(map(chr, range(0x2500, 0x2580))) + " \t*|+=_-◇"
"""Box drawing and what else plain programs draw lines with."""
_NOISE = regex(r"\(node:\d+\)|\(Use `node |\[openclaw\] The CLI command failed")
"""Lines that stand before the reason and tell nothing: Node's warnings, 2026.9.6's heading."""
_HEAD = regex(r"\[openclaw\] (?:Reason|Error): ")


def complaint(text: str) -> str:
    """The whole message of an error told in JSON, of several lines perhaps; also of one that was torn off."""
    value = json_object(text)
    for path in (("error", "message"), ("rpc", "error"), ("error",), ("message",)):
        if found := text_at(value, *path).strip():
            return found
    issues = at(value, "issues")
    if isinstance(issues, list) and (found := text_at(next(iter(issues), None), "message").strip()):
        return found
    torn = _MESSAGE.search(text) if value is None and _START.search(text) else None
    return torn[1].replace("\\n", "\n").replace('\\"', '"') if torn else ""


def telling_line(text: str) -> str:
    """The first line that tells a person something, whitespace collapsed: no brace, no JSON member, no drawn frame."""
    for line in (complaint(text) or _outside(text)).splitlines():
        words = _HEAD.sub("", " ".join(line.strip(_FRAME).split()))
        titled = "\u2500\u2500" in line  # the upper edge of a box, with its title in it
        if any(each.isalnum() for each in words) and not titled and not _NOISE.match(words):
            return words
    return ""


def _outside(text: str) -> str:
    """The lines that are no part of a JSON value, whole or torn."""
    kept, inside = [], False
    for line in text.splitlines():
        stripped = line.strip()
        inside = inside or bool(_START.match(line)) or stripped in ("{", "[")
        if not inside:
            kept.append(line)
        elif line[:1] in ("}", "]") or (line[:1] in ("{", "[") and stripped[-1:] in ("}", "]")):
            inside = False
    return "\n".join(kept)
