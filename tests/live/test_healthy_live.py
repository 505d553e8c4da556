"""A gateway that is well is found well, a hundred times in a row, however it came to be: no finding of any kind."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from oc_ops.lab.config import find_chromium
from oc_ops.lab.lab import Lab
from tests.live.examine import examine
from tests.live.labs import TestLab

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(3600)]

RUNS = 25
SETTLED_S = 60.0


class Onboarded(TestLab):
    """A lab whose config and workspace come from OpenClaw's own onboarding; no job is added, no option is ours."""

    def _prepare(self) -> None:
        super()._prepare()
        if not self.config_path.with_suffix(".json.bak").exists():
            self.config_path.unlink()
            words = "onboard --non-interactive --accept-risk --mode local --auth-choice skip --gateway-auth token"
            port, token = ("--gateway-port", str(self.port)), ("--gateway-token", self.token)
            call = self.call(*words.split(), *port, *token, "--skip-daemon", "--skip-health", timeout_s=180)
            assert call.exit == 0, call.summary

    def _seed(self, say: object) -> None:
        return


class Unused(TestLab):
    """A lab that no command line was ever used with."""

    def _seed(self, say: object) -> None:
        return


@contextmanager
def control_ui(lab: Lab, folder: Path) -> Iterator[None]:
    """The gateway's own page, open in a browser that has signed in."""
    chromium = find_chromium()
    assert chromium
    words = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
    page = f"http://127.0.0.1:{lab.port}/#token={lab.token}"
    with subprocess.Popen(
        [*words, f"--user-data-dir={folder / 'chromium'}", page],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as browser:
        try:
            until = time.monotonic() + SETTLED_S
            while "⇄ res ✓" not in lab.log_file.read_text(encoding="utf-8"):
                assert time.monotonic() < until, "the page did not sign in"
                time.sleep(0.2)
            yield
        finally:
            browser.terminate()


@pytest.mark.parametrize("how", ["new", "onboarded", "control-ui", "restarted"])
def test_a_gateway_that_is_well_has_no_finding(how: str, tmp_path: Path) -> None:
    """25 whole runs of each, with the browser as the default has it: exit 0, and nothing is found."""
    kind = {"onboarded": Onboarded, "control-ui": Unused}.get(how, TestLab)
    lab = kind(tmp_path / "lab")
    try:
        lab.up()
        if how == "restarted":
            lab.stop_gateway()
            lab.start_gateway()
        with control_ui(lab, tmp_path) if how == "control-ui" else nullcontext():
            seen = [examine(lab, tmp_path, browser="auto") for _ in range(RUNS)]
    finally:
        lab.down()
    assert [each.exit for each in seen] == [0] * RUNS
    assert [one for each in seen for one in each.report["findings"]] == []
