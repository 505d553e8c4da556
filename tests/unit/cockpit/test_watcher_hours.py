"""The cockpit left up for hours: whatever comes, it holds no more than it held after the first minutes."""

from __future__ import annotations

import gc
import json
import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType

import pytest

from oc_ops.cockpit.panes import WINDOWS
from oc_ops.cockpit.panes.log import ARCHIVES
from oc_ops.cockpit.panes.loop import Pane
from oc_ops.observe.rpc import Push, RpcRefused
from tests.fakes.fake_line import finished, job, started
from tests.support.watchroom import Room

FIRST = 5_000
"""Events after which all that is kept is full."""
MOST_GROWN_BYTES = 512 * 1024
MOST_SNAPSHOT_BYTES = 256 * 1024
PANE_LOG_BYTES = 50_000
_NOT_HELD = (type, ModuleType, FunctionType, BuiltinFunctionType)


class Hours:
    """What hours bring: runs, jobs that come and go, a log that grows and is rotated, reports, lost connections."""

    def __init__(self, room: Room) -> None:
        self.room, self.largest = room, 0
        self.panes = [Pane(each, room.settings, room.loop.key, _nothing) for each in WINDOWS]
        self._numbers = count(10)

    def pass_by(self, events: int) -> None:
        """So many events, and beside them all the rest."""
        for turn in range(events // 4):
            self._runs()
            if turn % 25 == 0:
                self._log(turn)
            if turn % 250 == 0:
                self._papers(turn)
            if turn % 500 == 499:
                self.room.client.pushes.append(RpcRefused("closed", f"gateway closed: turn {turn}"))
            while self.room.client.pushes:
                self.room.hands.pass_s(0.02)
                self.room.loop.step()
            if turn % 10 == 0:
                self._drawn()
            self.largest = max(self.largest, self.room.path.stat().st_size)

    def _drawn(self) -> None:
        """All windows, as somebody sees them who looks now and then."""
        for each in self.panes:
            if each.look(self.room.hands.now):
                each.lines(self.room.hands.now, (80, 24))

    def _runs(self) -> None:
        """A job that stays runs and fails, each time for another reason; a one-shot comes, runs and is removed."""
        number, at_ms = next(self._numbers), round(self.room.hands.now * 1000)
        pushes = self.room.client.pushes
        pushes += [started(1, at_ms), finished(1, at_ms, 700, "error", f"error {number} " + "e" * 200)]
        pushes += [finished(number, at_ms, 700), Push("cron", {"jobId": job(number)["id"], "action": "removed"})]

    def _log(self, turn: int) -> None:
        if turn % 1000 == 0 and self.room.log.exists():
            self.room.log.replace(self.room.log.with_suffix(".log.1"))
        with self.room.log.open("a") as file:
            moment = datetime.fromtimestamp(self.room.hands.now, UTC).isoformat()
            for line in range(40):
                file.write(
                    f"{moment} WARN host timing gap detected: process was frozen ~{line}ms {turn} " + "x" * 300 + "\n"
                )

    def _papers(self, turn: int) -> None:
        reports, adhoc = self.room.settings.report_dir, self.room.settings.memory_dir / "cron_run_now"
        for each in (reports, adhoc):
            each.mkdir(exist_ok=True)
        findings = [{"check": f"cron/a-{turn}-{n}", "severity": "error", "fact": "f" * 300} for n in range(50)]
        (reports / "latest.json").write_text(json.dumps({"verdict": "unhealthy", "findings": findings}))
        (adhoc / f"job-1_{turn}.log").write_text(f"line of {turn}\n" * 500)


def _nothing() -> None:
    """No watcher is started: one writes."""


def held_bytes(root: object) -> int:
    """All that can be reached from an object, program text left out."""
    seen, waiting, total = {id(root)}, [root], 0
    while waiting:
        one = waiting.pop()
        total += sys.getsizeof(one)
        for each in gc.get_referents(one):
            if id(each) not in seen and not isinstance(each, _NOT_HELD):
                seen.add(id(each))
                waiting.append(each)
    return total


@pytest.mark.parametrize("events", [6_000, pytest.param(20_000, marks=pytest.mark.nightly)])
def test_it_does_not_grow(tmp_path: Path, events: int) -> None:
    """20,000 events of a night, 10 lost connections, 8,000 lines of a rotated log, 20 reports: watcher, windows and
    files. On a push it is less than a third of that.
    """
    with Room.beside(tmp_path, pane_log_bytes=PANE_LOG_BYTES) as room:
        hours = Hours(room)
        room.run(70)
        hours.pass_by(FIRST)
        gc.collect()
        held, objects = held_bytes((room.loop, hours.panes)), len(gc.get_objects())
        hours.pass_by(events - FIRST)
        room.run(70)
        gc.collect()
        assert held_bytes((room.loop, hours.panes)) - held < MOST_GROWN_BYTES
        assert len(gc.get_objects()) - objects < 5_000
        assert hours.largest < MOST_SNAPSHOT_BYTES
        kept = list((room.settings.memory_dir / "panes").iterdir())
        assert len(kept) <= len(WINDOWS) * (1 + ARCHIVES)
        assert max(each.stat().st_size for each in kept) < PANE_LOG_BYTES + 10_000
        shown = room.shown
        assert [(each.id, each.count > 3) for each in shown.log.signatures] == [("loop.frozen", True)]
        assert shown.rpc.events >= events
        assert shown.rpc.connects >= events // 2_000
        assert len(shown.log.lines) == 60
        assert len(shown.jobs.recent) == 30
        assert len(shown.jobs.transcripts) == 5
        assert len(shown.doctor.findings) == 12
