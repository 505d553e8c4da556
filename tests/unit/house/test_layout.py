"""The house as a graph: who imports whom has no circles, and a name means one thing."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

PROJECT = next(each for each in Path(__file__).resolve().parents if (each / "pyproject.toml").is_file())
PACKAGE = PROJECT / "oc_ops"

PARTICIPLES: frozenset[str] = frozenset()
"""Modules that are still named by a participle; the list may only shrink."""
SHARED: frozenset[str] = frozenset()
"""Public classes whose name still stands for two things or more; the list may only shrink."""
_NO_PARTICIPLES = (
    "news",
    "breaker",
    "seed",
    "feed",
    "thing",
    "string",
    "setting",
    "settings",
    "finding",
    "findings",
    "pairing",
)


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name; a package goes by its own."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PROJECT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """The modules that a module names in an import, wherever in it: `if TYPE_CHECKING` and functions as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in known)
        elif isinstance(node, ast.ImportFrom):
            for each in node.names:
                full = f"{node.module}.{each.name}"
                yield full if full in known else str(node.module)


def circles(arrows: Mapping[str, set[str]]) -> list[str]:
    """What is left of a graph when everything that rests on nothing else in it is taken away, again and again."""
    left = {name: {each for each in to if each in arrows and each != name} for name, to in arrows.items()}
    while free := {name for name, to in left.items() if not to}:
        left = {name: to - free for name, to in left.items() if name not in free}
    return sorted(left)


def test_a_circle_is_found() -> None:
    """The test below can fail: two that need each other are found, with whatever rests on them."""
    assert circles({"a": {"b"}, "b": {"a"}, "c": {"a"}, "d": set()}) == ["a", "b", "c"]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_imports_have_no_circles() -> None:
    """No module needs, even in a function or for a type, what needs it."""
    known = modules()
    assert circles({name: set(imported(path, known)) for name, path in known.items()}) == []


def test_a_class_has_a_name_of_its_own() -> None:
    """One noun, one meaning: no two public classes share a name, but for those that are still to be renamed."""
    names: Counter[str] = Counter()
    for path in modules().values():
        classes = (each for each in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(each, ast.ClassDef))
        names.update(each.name for each in classes if not each.name.startswith("_"))
    assert {name for name, count in names.items() if count > 1} == SHARED


def test_modules_are_named_by_nouns() -> None:
    """No module is named by a participle, but for those that are still to be renamed."""
    irregular = ("kept", "told", "seen", "stuck", "shown", "known", "found", "said")
    found = set()
    for path in modules().values():
        name = path.stem
        if name in irregular or (name.endswith(("ed", "ing")) and name not in _NO_PARTICIPLES):
            found.add(path.relative_to(PACKAGE).with_suffix("").as_posix())
    assert found == PARTICIPLES


def test_the_package_holds_nothing_stray() -> None:
    """Everything that a wheel would carry is a module, a table of data, a template or a style."""
    there = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert {path.suffix for path in there} == {".py", ".toml", ".jinja2", ".css"}
