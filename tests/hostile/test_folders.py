"""Our folders: of wrong modes and owners, behind links, below what others write; and plans that were planted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.runs import dice, doctor, oc_ops
from tests.support.hostile import STRANGER_UID, Measured
from tests.support.machine import Operator, gateway
from tests.support.stuck_machine import MARKER, StuckMachine, untouched

AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
OURS = ("memory", "reports", "state", "state/oc-ops", "state/oc-ops/locks", "memory/recoveries")
Spoil = Callable[[Path, Path], None]


def open_to_all(folder: Path, elsewhere: Path) -> None:
    """Ours, and everybody may write into it."""
    folder.chmod(0o777)


def a_file(folder: Path, elsewhere: Path) -> None:
    """A file where the folder should be."""
    folder.rmdir()
    folder.write_text("in the way")


def dangling(folder: Path, elsewhere: Path) -> None:
    """A link of our own that leads nowhere."""
    folder.rmdir()
    folder.symlink_to(folder.parent / "nowhere" / "at" / "all")


def circular(folder: Path, elsewhere: Path) -> None:
    """A link to itself."""
    folder.rmdir()
    folder.symlink_to(folder)


def of_a_stranger(folder: Path, elsewhere: Path) -> None:
    """Another user's folder."""
    os.chown(folder, STRANGER_UID, STRANGER_UID)


def strangers_link(folder: Path, elsewhere: Path) -> None:
    """Another user's link to a folder of ours that is meant for something else."""
    folder.rmdir()
    folder.symlink_to(elsewhere)
    os.lchown(folder, STRANGER_UID, STRANGER_UID)


def strangers_entry(folder: Path, elsewhere: Path) -> None:
    """Ours, with a link of another user in it to a file of ours."""
    planted = folder / "incidents.jsonl"
    planted.symlink_to(elsewhere / "precious")
    os.lchown(planted, STRANGER_UID, STRANGER_UID)


SPOILS: tuple[Spoil, ...] = (open_to_all, a_file, dangling, circular)
BY_OTHERS: tuple[Spoil, ...] = (of_a_stranger, strangers_link, strangers_entry)


def _holds(tmp_path: Path, place: str, spoil: Spoil, bounded: Callable[[Measured], None]) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "precious").write_text("what root must not append to\n")
    with gateway() as port:
        operator = Operator(tmp_path / "machine", port)
        folder = operator.root / place
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        spoil(folder, elsewhere)
        run = doctor(operator)
        again = oc_ops(operator, "jobs")
    bounded(run)
    bounded(again)
    assert (elsewhere / "precious").read_text() == "what root must not append to\n"
    assert [each.name for each in elsewhere.iterdir()] == ["precious"]
    # What lies above ours is its owner's: who may rename ours there can put in its place only what is refused by owner.
    above = place == "state" and spoil is not strangers_link
    if spoil in BY_OTHERS and place != "memory/recoveries" and not above:
        assert "doctor: healthy" not in run.sentence, run.said
        assert "another user" in run.said, run.said
    for each in operator.root.rglob("*"):
        ours = each.relative_to(operator.root).parts[0] in ("memory", "reports", "state") and not each.is_symlink()
        if ours and each.is_file() and each.stat().st_uid == os.geteuid():
            assert each.stat().st_mode & 0o077 == 0 or spoil is a_file, each


@pytest.mark.parametrize(
    ("place", "spoil"),
    [
        pytest.param("state/oc-ops", of_a_stranger, marks=AS_ROOT),
        pytest.param("memory", strangers_entry, marks=AS_ROOT),
    ],
    ids=["a stranger's", "a stranger's link in it"],
)
def test_a_folder_of_ours_is_ours(
    place: str, spoil: Spoil, tmp_path: Path, bounded: Callable[[Measured], None]
) -> None:
    """Closed where it is merely open, refused in one sentence where another user has had a hand in it."""
    _holds(tmp_path, place, spoil, bounded)


@pytest.mark.nightly
@pytest.mark.parametrize(
    "spoil", [*SPOILS, *(pytest.param(each, marks=AS_ROOT) for each in BY_OTHERS)], ids=lambda each: each.__name__
)
@pytest.mark.parametrize("place", OURS)
def test_each_folder_of_ours_is_ours(
    place: str, spoil: Spoil, tmp_path: Path, bounded: Callable[[Measured], None]
) -> None:
    """Each of them, each way."""
    _holds(tmp_path, place, spoil, bounded)


def test_a_folder_above_that_everybody_may_write_is_said(tmp_path: Path, bounded: Callable[[Measured], None]) -> None:
    """A warning that names the folder and the command; with the sticky bit nothing is said."""
    with gateway() as port:
        operator = Operator(tmp_path / "open" / "machine", port)
        (tmp_path / "open").chmod(0o777)
        run = doctor(operator)
        (tmp_path / "open").chmod(0o1777)
        closed = doctor(operator, "--check", "host/folders")
    bounded(run)
    assert f"chmod +t {tmp_path / 'open'}" in run.said
    assert "degraded" in run.sentence
    assert "host/folder-open" not in closed.said


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(40))
def test_a_plan_that_was_planted_approves_nothing(
    number: int, tmp_path: Path, bounded: Callable[[Measured], None]
) -> None:
    """A plan made by this installation, with parts of it changed as the seed has drawn, or with another key."""
    drawn = dice(f"plans {number}")
    machine = StuckMachine(tmp_path)
    with machine.gateway():
        made = machine.plan()
        book = machine.memory / "approvals.jsonl"
        lines = [json.loads(each) for each in book.read_text().splitlines()]
        (plan,) = [each for each in lines if each["what"] == "planned"]
        names = drawn.sample(
            ["at", "plan", "gateway", "kind", "target", "name", "act", "digest", "expires_at", "seal"],
            drawn.randint(1, 3),
        )
        other = drawn.choice(["", "2099-01-01T00:00:00.000000Z", "x" * 64, None, 7, {"a": 1}, MARKER + "x"])
        book.write_text(json.dumps(plan | dict.fromkeys(names, other)) + "\n")
        done = machine.run("break", "--approve", str(other) if "plan" in names and other else made)
        assert done.returncode == 4, (names, other, done.stderr)
        assert "Traceback" not in done.stderr
        untouched(machine)
