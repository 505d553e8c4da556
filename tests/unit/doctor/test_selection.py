"""`--check`: which checks a word of a report means."""

from __future__ import annotations

from pathlib import Path

import pytest

from oc_ops.doctor import selection
from oc_ops.errors import OcOpsError
from oc_ops.settings import Settings


@pytest.mark.parametrize(
    ("word", "checks"),
    [
        ("host/leftovers", {"host/leftovers"}),
        ("host/orphans", {"host/leftovers"}),
        ("gateway/version-drift", {"gateway/versions", "gateway/install"}),
        ("logs/signatures", {"logs/signatures"}),
        ("logs/rpc.timeout", {"logs/signatures"}),
    ],
)
def test_a_word_of_a_report_is_a_check(word: str, checks: set[str], settings: Settings) -> None:
    """The id of a check means itself; that of a finding, or of a log signature, those that can find it."""
    assert selection.chosen([word], settings) == checks


def test_an_area_is_all_its_checks(settings: Settings) -> None:
    """`--check host` looks at everything that is called host/…; several words add up."""
    assert selection.chosen(["host"], settings) == {each for each in selection.check_ids() if each.startswith("host/")}
    assert selection.chosen(["host/disk", "host/wal"], settings) == {"host/disk", "host/wal"}


def test_the_operator_s_own_signature_is_known(settings: Settings) -> None:
    """A finding of memory/signatures.toml is verified by its id, too."""
    settings.memory_dir.mkdir()
    own = settings.memory_dir / "signatures.toml"
    own.write_text(
        "[[signature]]\nid = 'our.thing'\nliterals = ['it broke']\npattern = 'it broke'\nseverity = 'warning'\n"
        "fact = 'it broke'\nfix = 'none automatic: call us'\nrestart = 'useless'\nsample = 'it broke'\n"
    )
    assert selection.chosen(["logs/our.thing"], settings) == {"logs/signatures"}


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("host/leftover", "host/leftovers"),
        ("leftovers", "host/leftovers"),
        ("hung", "gateway/hung"),
        ("test_rpc_answer", "gateway/rpc"),
        ("gateway/hang", "gateway/hung"),
        ("rpc.timeuot", "logs/rpc.timeout"),
        ("cronn", "cron"),
        ("descriptors", "gateway/descriptors"),
        ("nosuch", "AREA looks at all of one area: .*gateway"),
    ],
)
def test_a_wrong_word_is_told_what_is_near(word: str, near: str, settings: Settings) -> None:
    """A typo, or half a name, is answered with ids that paste."""
    with pytest.raises(OcOpsError, match=f"--check {near}"):
        selection.chosen([word], settings)


def test_a_word_near_nothing_is_told_where_all_stand(settings: Settings) -> None:
    """No id is guessed from nothing."""
    with pytest.raises(OcOpsError, match="--check AREA"):
        selection.chosen(["zzzzzz"], settings)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a memory of their own."""
    return Settings(memory_dir=tmp_path / "memory")
