"""A visit to the lab: whoever began to bring it up takes it down, whatever happens in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from oc_ops.lab import sweep, visit
from oc_ops.lab.install import Progress
from oc_ops.settings import PROJECT
from tests.support.survivors import eventually

pytestmark = pytest.mark.timeout(60)

RESIDENT = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: print("told", flush=True))
print("lives", flush=True)
while True:
    signal.pause()
"""
DOWN = """
import signal, sys
from pathlib import Path
from oc_ops.lab.lab import Lab
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    Lab(Path(sys.argv[1])).down()
except KeyboardInterrupt:
    sys.exit(130)
"""


class FakeLab:
    """A lab that notes what is done to it; `fails` is what its way up ends with."""

    def __init__(self, *, found_up: bool = False, fails: BaseException | None = None) -> None:
        self.begun, self.downs = False, 0
        self._found_up, self._fails = found_up, fails

    def up(self, _say: Progress, *, mend: bool) -> None:
        """Begin, unless it is up already."""
        assert not mend, "a drill that freezes the lab is looked at, not waited for"
        self.begun = not self._found_up
        if self._fails:
            raise self._fails

    def down(self) -> None:
        """Count."""
        self.downs += 1


@pytest.mark.parametrize(
    ("lab", "downs"),
    [
        (FakeLab(), 1),
        (FakeLab(fails=KeyboardInterrupt()), 1),
        (FakeLab(found_up=True), 0),
        (FakeLab(found_up=True, fails=KeyboardInterrupt()), 0),
    ],
    ids=["down before", "down before, interrupted", "up before", "up before, interrupted"],
)
def test_a_lab_is_left_as_it_was_found(lab: FakeLab, downs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab that was up, or that another process is bringing up, is not taken from whoever wants it."""
    monkeypatch.setattr(visit, "open_lab", lambda: lab)
    try:
        with visit.visit():
            assert lab.downs == 0
    except KeyboardInterrupt:
        pass
    assert lab.downs == downs


def test_an_impatient_ctrl_c_waits_until_the_lab_is_down(tmp_path: Path) -> None:
    """An interrupt in the middle of `down` does not leave behind what was not ended yet."""
    environ = {**os.environ, "HOME": str(tmp_path / "home")}
    argv = [sys.executable, "-c", RESIDENT]
    with subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE) as resident:
        assert resident.stdout is not None
        assert resident.stdout.readline() == b"lives\n"
        with subprocess.Popen([sys.executable, "-c", DOWN, str(tmp_path)], cwd=PROJECT) as down:
            assert resident.stdout.readline() == b"told\n"
            down.send_signal(signal.SIGINT)
            code = down.wait(30)
        gone = eventually(lambda: not sweep.residents(tmp_path), within_s=0.5)
        resident.kill()
    assert gone
    assert code == 130
