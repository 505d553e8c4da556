"""A real Chromium opens the trends page: hostile words act on nothing, and every screen shows more than emptiness."""

from __future__ import annotations

from pathlib import Path

import pytest

from oc_ops.record.history.entry import CronRunEntry
from oc_ops.record.page import trends
from oc_ops.record.redact import Redactor
from tests.runs.test_report_in_chromium import Elements, Listener, chromium, dom, listener
from tests.support import past

__all__ = ["listener"]

pytestmark = pytest.mark.live


def page(folder: Path, name: str) -> Path:
    """The trends of a day with a hang in it, its job and profile called `name`."""
    job = past.job(*(CronRunEntry(past.NOW_MS - n * 3_600_000, "ok", 20_000, False) for n in range(1, 20)), name=name)
    runs = [past.run(past.NOW_MS - n * past.STEP_MS, profile=name) for n in range(288, 1, -1)]
    memory = past.remembered(folder / "memory", *runs, past.hung(profile=name, cause=name, jobs=(job,), stamp="red"))
    (folder / "reports" / "runs" / "red").mkdir(parents=True)
    return trends.write(folder / "reports", memory, Redactor([], folder), now_ms=past.NOW_MS)


def test_hostile_words_show_and_do_nothing(tmp_path: Path, listener: Listener) -> None:
    """With the payload as the name of a job, a profile and a cause, nothing executes or fetches; links stay local."""
    shown = dom(tmp_path, page(tmp_path, listener.payload))
    elements = Elements(shown)
    assert "<title>pwned" not in shown
    assert listener.requests == []
    assert not {"script", "iframe", "img", "link", "base", "form"} & elements.tags.keys()
    assert elements.tags["style"] == 1
    assert set(elements.acting) == {"a href=runs/red/report.html"}
    assert "&lt;/textarea&gt;" in shown


def test_pictures_on_every_screen_and_on_paper(tmp_path: Path) -> None:
    """Phone and laptop, light and dark, make pictures; nothing sticks out of a phone's width; it prints."""
    html = page(tmp_path, "nightly")
    for device, size in (("phone", "390,844"), ("laptop", "1280,800")):
        for scheme, preferred in (("light", 1), ("dark", 0)):
            picture = tmp_path / f"{device}-{scheme}.png"
            look = f"--blink-settings=preferredColorScheme={preferred}"
            chromium(tmp_path, look, f"--window-size={size}", f"--screenshot={picture}", html.as_uri())
            assert picture.stat().st_size > 10_000
    paper = tmp_path / "paper.pdf"
    chromium(tmp_path, f"--print-to-pdf={paper}", "--no-pdf-header-footer", html.as_uri())
    assert paper.read_bytes().startswith(b"%PDF")
    assert paper.stat().st_size > 10_000
