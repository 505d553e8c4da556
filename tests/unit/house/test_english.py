"""The English of the source: what it says begins with a verb or a noun, and an operator would say it aloud."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from oc_ops.judge.findings import KINDS
from oc_ops.judge.signature_catalogue import catalogue

PROJECT = Path(__file__).resolve().parents[3]
SOURCES = [
    *sorted((PROJECT / "oc_ops").rglob("*.py")),
    *sorted((PROJECT / "checks").glob("*.py")),
    PROJECT / "conftest.py",
]

CLEFT = re.compile(r"(?:That|Who|Whose|Whoever|Whatever|Whether|What)\b")
"""How no sentence begins: with a clause in the place of a verb or a noun."""
NOBODY = re.compile(r"\b(?:nobody|somebody|whoever|anybody|afresh|anew|to and fro|come to rest|goes by)\b", re.I)
"""Words that `brew doctor` would not print: the agent is named (the gateway, a program, a person)."""


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Every text that stands alone: docstrings of modules, classes, functions, and of what is assigned above them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value


def spoken(path: Path) -> Iterator[tuple[int, str]]:
    """Every text that can reach a person: all strings that are no docstring and hold more than one word."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in alone
            and " " in node.value
        ):
            yield node.lineno, node.value


@pytest.mark.parametrize(
    ("text", "held"),
    [("Whether it runs.", False), ("Who asked.", False), ("True if it runs.", True), ("Whatsapp is a channel.", True)],
)
def test_a_cleft_is_found(text: str, held: bool) -> None:
    """The tests below can fail."""
    assert (CLEFT.match(text) is None) is held


def test_a_docstring_begins_with_a_verb_or_a_noun() -> None:
    """Rule one of the house: never with That, Who, Whose, Whoever, Whatever, Whether or What."""
    found = [f"{path}:{line}: {text}" for path in SOURCES for line, text in docstrings(path) if CLEFT.match(text)]
    assert found == []


def test_what_a_person_reads_begins_with_no_clause() -> None:
    """Nor does a fact, a fix, a help text or a message begin so, and none names nobody."""
    texts = [(f"{path}:{line}", text) for path in SOURCES for line, text in spoken(path)]
    texts += [
        (each.id, text) for each in KINDS.values() for text in (each.means, each.helps, each.cure.why, each.cure.proof)
    ]
    texts += [(each.id, text) for each in catalogue() for text in (each.fact, each.fix)]
    assert [f"{where}: {text}" for where, text in texts if NOBODY.search(text)] == []
    begun = [f"{where}: {text}" for where, text in texts if re.match(r"(?:Whoever|Whose|Whether) ", text)]
    assert begun == []
