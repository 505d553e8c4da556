"""One function says the time of day: in the zone of who looks, with the offset; machines read UTC."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("oc_ops", "checks", "contrib")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
SOURCES += [ROOT / "conftest.py", ROOT / "recover.py"]
SHAPES = re.compile(r"%-?[HIMSTXcpr]|%d.?%b|%b.?%d")
CALLS = frozenset({"strftime", "isoformat", "ctime", "asctime", "localtime", "gmtime"})
NAMES = {
    "act/breaker/blockers.py": "the name of a lock that was put aside, to the microsecond",
    "record/history/database.py": "the name of a database that was put aside, to the microsecond",
    "record/incidents/rules.py": "an incident's id",
    "observe/logs/places.py": "the date in the name of a log file, which OpenClaw gives it",
}
"""Modules that put a moment into a name, in a form of their own."""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_says_a_time_of_day(path: Path) -> None:
    """No strftime, isoformat or `:%H` outside text.py; a place that has one says it in UTC or without the offset."""
    inside = str(path.relative_to(ROOT)).removeprefix("oc_ops/")
    found = list(_said(ast.parse(path.read_text(encoding="utf-8"))))
    assert bool(found) == (inside == "text.py" or inside in NAMES), found


@pytest.mark.parametrize("path", sorted((ROOT / "oc_ops").rglob("*.jinja2")), ids=lambda path: path.name)
def test_no_template_says_a_time_of_day(path: Path) -> None:
    """Templates have a filter for that; none calls the zone UTC, which is not that of who looks."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"strftime|isoformat|\bUTC\b", text)


def _said(tree: ast.AST) -> list[int]:
    """Lines that turn a moment into text: a call that does, or a format with hours, minutes or seconds in it."""
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
            lines.append(node.lineno)
        elif isinstance(node, ast.FormattedValue) and node.format_spec:
            parts = (each for each in ast.walk(node.format_spec) if isinstance(each, ast.Constant))
            if any(SHAPES.search(str(each.value)) for each in parts):
                lines.append(node.lineno)
    return lines
