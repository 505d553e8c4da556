"""A recovery in a scripted world that stands still at one step: `recovering.py ROOT STEP STATE`, to be killed there."""

import signal
import sys
from pathlib import Path

import pytest

from oc_ops.act.recover.log import RecoveryLog
from tests.support.stage import Stage, saw

root, step, state = sys.argv[1:]
incident = (Path(root) / "incident").read_text()
written = RecoveryLog.told


def told(self, name, facts, kind="note"):
    written(self, name, facts, kind)
    if (name, kind) == (step, state):
        print("here", flush=True)
        signal.pause()


RecoveryLog.told = told
stage = Stage(Path(root), pytest.MonkeyPatch())
stage.seen = [saw("gateway/hung", incident=incident), saw(incident=incident)]
stage.recover()
