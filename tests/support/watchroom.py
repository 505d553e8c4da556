"""A watcher's loop in a test's hands: its clocks, its connection and the gateway it looks at, without a process."""

from __future__ import annotations

import copy
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from oc_ops.cockpit import snapshot
from oc_ops.cockpit.loop import Loop
from oc_ops.cockpit.state import Snapshot
from oc_ops.observe.rpc import RpcClient, RpcRefused
from oc_ops.observe.service import NO_SERVICE
from oc_ops.record.redact import Redactor
from oc_ops.settings import Settings
from tests.fakes.fake_line import FakeClient, Hands, job
from tests.support.machine import HTTP, SECRET, gateway

ANSWERS = {
    "cron.list": {"jobs": [job(1), job(2)]},
    "cron.status": {"enabled": True, "jobs": 2, "nextWakeAtMs": 1_795_000_060_000},
    "cron.runs": {"entries": []},
    "status": {"runtimeVersion": "2026.9.6", "sessions": {"count": 1, "recent": []}},
}


def clean(text: str, limit: int = 300) -> str:
    """As the watcher cleans what strangers say."""
    return Redactor((SECRET,), Path("/home/operator")).line(text, limit)


class Room:
    """A loop beside a gateway that answers HTTP for real, on a connection and clocks that the test holds."""

    def __init__(self, root: Path, port: int, *outcomes: RpcRefused, **settings: Any) -> None:
        self.hands, self.outcomes, self.answers = Hands(), list(outcomes), copy.deepcopy(HTTP)
        self.began = self.hands.now
        self.client = FakeClient(self.hands, ANSWERS)
        self.home, self.log = root / "home", root / "gateway.log"
        self.config = self.home / ".openclaw" / "openclaw.json"
        self.config.parent.mkdir(parents=True)
        self.configure()
        (root / "memory").mkdir()
        (root / "memory" / "ops_critical_cron_jobs.txt").write_text("name-1\n")
        changed = {"memory_dir": root / "memory", "report_dir": root / "reports", "browser": "off", **settings}
        self.settings = Settings(**changed)
        environ = {"HOME": str(self.home), "OPENCLAW_GATEWAY_PORT": str(port), "SOME_TOKEN": SECRET, "PATH": ""}
        self.loop = Loop(
            self.settings, environ, self.hands.clock, connect=self._connect, service_of=lambda _: NO_SERVICE
        )
        self.loop._wake.wait = self._waited  # type: ignore[method-assign]
        self.path = snapshot.path_of(self.settings.memory_dir, self.loop.key)

    @classmethod
    @contextmanager
    def beside(cls, root: Path, *outcomes: RpcRefused, **settings: Any) -> Iterator[Room]:
        """One beside a healthy gateway, whose uptime grows with the test's clocks."""
        answers: list[dict[str, Any]] = []
        with gateway(answers.append) as port:
            room = cls(root, port, *outcomes, **settings)
            (room.answers,) = answers
            try:
                yield room
            finally:
                room.loop.line.close()

    def configure(self, **more: object) -> None:
        """Write the config."""
        self.config.write_text(json.dumps({"logging": {"file": str(self.log)}, **more}))

    def _connect(self) -> RpcClient:
        outcome = self.outcomes.pop(0) if self.outcomes else self.client
        if isinstance(outcome, RpcRefused):
            raise outcome
        return outcome.client

    def _waited(self, timeout: float | None = None) -> bool:
        self.hands.pass_s(timeout or 0.0)
        return False

    def run(self, seconds: float) -> Snapshot:
        """Let so much time pass for the loop; what it has written then."""
        until = self.hands.steady + seconds
        while self.hands.steady < until:
            self.answers["/readyz"]["uptimeMs"] = 86_400_000 + (self.hands.now - self.began) * 1000
            self.loop.step()
        return self.shown

    @property
    def shown(self) -> Snapshot:
        """What stands in the file."""
        return snapshot.read(self.path).snapshot

    def watch(self) -> None:
        """Somebody looks at a pane."""
        self.hands.pass_s(0.0)
        snapshot.heartbeat(self.settings.memory_dir, self.loop.key)
        os.utime(snapshot.watching_mark(self.settings.memory_dir, self.loop.key), ns=(0, time.time_ns()))
