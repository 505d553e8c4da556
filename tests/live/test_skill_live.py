"""SKILL.md as the real `openclaw skills` sees it, when the repository lies in a workspace's skills/."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oc_ops.lab.lab import Lab
from oc_ops.settings import PROJECT

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def checkout(lab: Lab) -> Iterator[Path]:
    """What a clone of the repository is: its tracked files, in the skills folder of the agent's workspace."""
    folder = lab.state_dir / "workspace" / "skills" / "oc-ops"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=PROJECT, capture_output=True, check=True,
    ).stdout.decode().split("\0")  # fmt: skip
    for name in filter(None, listed):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    yield folder
    shutil.rmtree(folder)


def skills(lab: Lab, *words: str) -> Any:
    """What `openclaw skills …` answers."""
    call = lab.call("skills", *words, "--json", timeout_s=120.0)
    assert call.outcome == "answered", call.summary
    return json.loads(call.stdout.text)


def test_the_skill_is_listed_as_ready(lab: Lab, checkout: Path) -> None:
    """The real CLI accepts it: found once, eligible, visible to the model, nothing missing; its words arrive whole."""
    (found,) = [each for each in skills(lab, "list")["skills"] if each["name"] == "oc-ops"]
    assert found["eligible"] is True, found
    assert found["modelVisible"] is True
    assert found["disabled"] is found["blockedByAllowlist"] is False
    assert not any(found["missing"].values()), found["missing"]
    assert found["source"] == "openclaw-workspace"
    assert found["emoji"] == "🩺"
    assert found["description"].startswith("Find out what is wrong with this OpenClaw gateway, ")
    assert found["description"].endswith("a bounded recovery that a person has to approve.")


def test_nothing_else_of_the_repository_is_taken_for_a_skill(lab: Lab, checkout: Path) -> None:
    """`skills check` finds the one, ready, and no complaint about what lies beside it."""
    told = skills(lab, "check")
    assert "oc-ops" in json.dumps(told["eligible"])
    assert [each for each in json.dumps(told).split('"') if each.startswith("oc-ops")] != []
    info = skills(lab, "info", "oc-ops")
    assert Path(info["filePath"]).resolve() == (checkout / "SKILL.md").resolve()
