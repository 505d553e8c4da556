"""A recovery as the rows of a page: what was wrong, what was decided and done when, what stands now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from oc_ops.record.redact import Json

_STEP = ("v", "at", "step", "state", "report", "incident", "pid", "gateway")
"""What a step says of itself, or what stands elsewhere on the page."""


def sentence(told: Mapping[str, Json] | None) -> str:
    """What was tried, or why nothing was; empty where there was nothing to recover from."""
    return _text(told.get("sentence", "")) if told and told.get("outcome") != "healthy" else ""


def rows(told: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Name and text of each row of `Outcome.as_json`; whatever else is in it is shown as it is."""
    known = ("sentence", "before", "after", "steps", "exit", "outcome", "duration_s", "cause", "cure", "acted")
    if sentence := told.get("sentence"):
        yield "outcome", _text(sentence)
    yield from _look(told, "before")
    steps = told.get("steps")
    for each in steps if isinstance(steps, list) else ():
        if isinstance(each, Mapping) and each.get("state") != "begin":
            yield f"{_text(each.get('at'))[11:19]} {_text(each.get('step'))}", _facts(each)
    yield from _look(told, "after")
    yield from ((name, _text(value)) for name, value in told.items() if name not in known and value is not None)


def _look(told: Mapping[str, Json], name: str) -> Iterator[tuple[str, str]]:
    seen = told.get(name)
    if isinstance(seen, Mapping):
        words = (seen.get("verdict"), seen.get("cause"), seen.get("fact"))
        yield name, ": ".join(_text(each) for each in words if each)


def _facts(step: Mapping[str, Json]) -> str:
    facts = {name: value for name, value in step.items() if name not in _STEP and value not in (None, "", [])}
    return " · ".join(f"{name.replace('_', ' ')}: {_text(value)}" for name, value in facts.items())


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value)
