"""The compiled templates: kept between runs, and never the reason that a report is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import DictLoader, Environment

from oc_ops.record.compiled import compiled_templates


def _drawn(folder: Path, source: str = "{{ 6 * 7 }}") -> str:
    templates = Environment(
        loader=DictLoader({"page": source}), autoescape=True, bytecode_cache=compiled_templates(folder)
    )
    return templates.get_template("page").render()


def test_compiled_template_is_taken_from_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second environment compiles nothing."""
    folder = tmp_path / "templates"
    assert _drawn(folder) == "42"
    monkeypatch.setattr(Environment, "_compile", lambda *_: pytest.fail("compiled again"))
    assert _drawn(folder) == "42"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_changed_template_is_compiled_anew(tmp_path: Path) -> None:
    """An upgrade of oc-ops does not draw with yesterday's template."""
    assert _drawn(tmp_path, "old") == "old"
    assert _drawn(tmp_path, "new") == "new"


def test_torn_cache_file_is_compiled_anew(tmp_path: Path) -> None:
    """A file that a full disk cut off does no harm."""
    assert _drawn(tmp_path) == "42"
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:30])
    assert _drawn(tmp_path) == "42"


@pytest.mark.parametrize("what", ["a file", "a folder that went"])
def test_report_is_drawn_where_nothing_can_be_kept(tmp_path: Path, what: str) -> None:
    """No folder, no room: the page is drawn all the same."""
    folder = tmp_path / "templates"
    if what == "a file":
        folder.write_text("in the way")
        assert _drawn(folder) == "42"
        return
    cache = compiled_templates(folder)
    folder.rmdir()
    templates = Environment(loader=DictLoader({"page": "{{ 6 * 7 }}"}), autoescape=True, bytecode_cache=cache)
    assert templates.get_template("page").render() == "42"
