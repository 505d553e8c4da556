"""Whether an installed release still has the text of a signature, over small releases made here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from oc_ops.judge.signature_catalogue import catalogue
from tests import signatures as tool

CATALOGUE = {each.id: each for each in catalogue()}


def installed(folder: Path, **files: str) -> Path:
    """A folder that looks like one installed release."""
    dist = folder / "node_modules" / "openclaw" / "dist"
    dist.mkdir(parents=True)
    for name, text in files.items():
        (dist / f"{name}.mjs").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("throw Error(`boom at dawn (${reason})`)", "whole"),
        ("throw Error(`other`)", None),
    ],
)
def test_a_text_is_found_where_the_code_has_it(tmp_path: Path, code: str, told: str | None) -> None:
    """As it stands in the catalogue; a code that has another text has it not."""
    wanted = replace(CATALOGUE["db.full"], literals=("boom at dawn",))
    assert tool.looked_at(installed(tmp_path, a=code), [wanted]).get(wanted.id) == told


def test_a_text_put_together_at_run_time_is_found_in_pieces(tmp_path: Path) -> None:
    """What stands around the hole has to be in one file; spread over two it proves nothing."""
    wanted = replace(CATALOGUE["db.full"], literals=("code=1006 lastFrame of the socket",))
    near, far = "`lastFrame of the socket`", "`unlike it`"
    assert tool.looked_at(installed(tmp_path / "a", a=near), [wanted]) == {wanted.id: "pieces"}
    assert tool.looked_at(installed(tmp_path / "b", a=far), [wanted]) == {}


def test_what_bundlers_escape_is_found(tmp_path: Path) -> None:
    """Beyond ASCII a bundler may write the number of the character."""
    wanted = CATALOGUE["rpc.slow"]
    assert tool.looked_at(installed(tmp_path, a="`\\u21c4 res \\u2713 ${method}`"), [wanted]) == {wanted.id: "whole"}


def test_every_signature_has_its_line_in_the_table() -> None:
    """A signature that came since the last look is missing here: run `python -m tests.signatures`."""
    assert [name for name, _ in tool.table()] == sorted(CATALOGUE)
    assert json.loads(tool.SEEN.read_text(encoding="utf-8"))["releases"]
