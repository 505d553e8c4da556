"""README and docs/ speak of what there is: drawn pages are current, links lead somewhere, the front door is short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from oc_ops.judge import findings
from oc_ops.settings import PROJECT
from tests import docs

README = (PROJECT / "README.md").read_text(encoding="utf-8")
PAGES = sorted((PROJECT / "docs").glob("*.md"))
TEXTS = [PROJECT / "README.md", PROJECT / "SECURITY.md", *PAGES]


@pytest.mark.parametrize("name", docs.pages())
def test_a_drawn_page_is_current(name: str) -> None:
    """`python -m tests.docs` was run after the last change of what it draws from."""
    assert (docs.DOCS / name).read_text(encoding="utf-8") == docs.pages()[name]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file_of_ours(path: Path) -> None:
    """A relative link names a file that is there."""
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / link).exists(), link


def test_every_page_stands_in_the_index() -> None:
    """Whoever looks for a page finds it by a question."""
    index = (docs.DOCS / "index.md").read_text(encoding="utf-8")
    assert [each.name for each in PAGES if each.name != "index.md" and f"({each.name})" not in index] == []


def test_the_front_door_is_short() -> None:
    """The README is read in one sitting."""
    assert len(README.splitlines()) <= 150


def test_the_failing_message_is_in_the_form_of_a_finding() -> None:
    """The example on the first screen has the lines of the one message, in their order."""
    example = README.split("```")[3]
    assert re.search(r"^gateway/hung: error: .+\n  saw:    .+\n  fix:    .+\n  verify: .+$", example, re.MULTILINE)
    assert example.rstrip().splitlines()[-1].startswith("doctor: unhealthy in ")


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_ids_in_the_texts_exist(path: Path) -> None:
    """A finding that a page speaks of is declared, or is a check."""
    areas = {each.partition("/")[0] for each in findings.KINDS} - {"logs"}
    named = re.findall(rf"`((?:{'|'.join(sorted(areas))})/[a-z-]+)`", path.read_text(encoding="utf-8"))
    known = set(findings.KINDS) | {check for check, _lane, _claim in docs.checks()}
    assert set(named) - known == set()
