"""SKILL.md speaks of what there is: its commands exist, and what needs a person is said."""

from __future__ import annotations

import re

from oc_ops.settings import PROJECT
from tests import docs

TEXT = (PROJECT / "SKILL.md").read_text(encoding="utf-8")


def test_every_command_it_names_exists() -> None:
    """As docs/commands.md lists them; what is named as a group is one."""
    exist = set(re.findall(r"^## (oc-ops .+)$", docs.pages()["commands.md"], re.MULTILINE))
    named = set(re.findall(r"oc-ops ([a-z]+(?: (?:list|scan|ack|install))?)", TEXT))
    assert {each for each in named if not any(known.startswith(f"oc-ops {each}") for known in exist)} == set()


def test_it_says_what_needs_a_person_and_what_must_not_be() -> None:
    """Recovery, runs and the breaker wait for a person; the doctor is never scheduled through OpenClaw's cron."""
    change = TEXT.split("\n## Change")[1].split("\n## ")[0]
    assert "only when the user says so" in change
    assert all(f"oc-ops {act}" in change for act in ("run JOB", "recover", "incidents ack"))
    assert "#22652" in TEXT.split("\n## Never")[1]
    assert "oc-ops breaker" in TEXT.split("\n## Leave to a person")[1].split("\n## ")[0]
