"""A recovery's world, scripted: what each look shows, what the service manager says, what OpenClaw does and answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from oc_ops.act.recover.log import records
from oc_ops.act.recover.outcome import Observation, Outcome
from oc_ops.act.recover.run import recover
from oc_ops.act.recover.wait import Clock
from oc_ops.judge.finding import Finding
from oc_ops.observe.healers import Healer
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.service import Service
from oc_ops.observe.target import locate
from oc_ops.record.incidents import book as incidents_book
from oc_ops.record.incidents.events import Fault, GatewayName
from oc_ops.record.incidents.rules import RunSummary
from oc_ops.settings import Settings
from tests.support import sights

T = TypeVar("T")
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
RUNNING = Service("systemd", "openclaw-gateway.service", "running", pid=sights.PID)
STOPPED = Service("systemd", "openclaw-gateway.service", "stopped")

HUNG = sights.sight(sights.nothing("silent"), again=sights.nothing("silent"), service=RUNNING)
DOWN = sights.sight(sights.nothing("refused"), processes=(), service=STOPPED)
STARTING = sights.sight(startup=sights.said({"ok": False, "status": "starting", "uptimeMs": 5000}, "/startupz", 503))
WELL = sights.sight(startup=sights.said({"ok": True, "status": "started", "uptimeMs": 1000}, "/startupz"))

CLI = f"""#!{sys.executable}
import json, os, sys
words = " ".join(each for each in sys.argv[1:])
with open({{calls!r}}, "a") as file:
    file.write(words + "\\n")
if words == "--version":
    sys.exit(print("OpenClaw 2026.9.6"))
answers = json.load(open({{answers!r}}))
code, value = next((answers[each] for each in answers if words.startswith(each)), (1, {{{{}}}}))
print(json.dumps(value))
sys.exit(code)
"""


def finding(check: str = "gateway/hung", severity: str = "error") -> Finding:
    """A finding of that id, with the texts that tests look for, and proven."""
    texts = (f"the fact of {check}", f"what was seen of {check}", f"the fix of {check}")
    return Finding(check, severity, *texts, proof=f"the proof of {check}")  # type: ignore[arg-type]


def saw(*checks: str, incident: str | None = None, folder: Path | None = None) -> Observation:
    """What a doctor run found: the first check is the cause; without any it is healthy."""
    found = tuple(finding(each) for each in checks)
    return Observation("unhealthy" if found else "healthy", next(iter(found), None), found, folder, incident)


def saw_start() -> Observation:
    """What a doctor's report tells of a gateway on its way up, within its budget: a warning, and no error beside it."""
    starting = finding("gateway/starting", "warning")
    told = {name: getattr(starting, name) for name in ("check", "severity", "fact", "saw", "fix")}
    return Observation.of_report({"verdict": "degraded", "cause": None, "findings": [told]}, Path("run"))


class Stage:
    """Looks and services come in the order given, the last one again and again; so do observations."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.state = root / "home" / ".openclaw"
        self.state.mkdir(parents=True, exist_ok=True)
        self.log = root / "gateway.log"
        self.log.write_text('{"0":"a line with token-0123456789","time":"2026-11-22T11:59:00Z"}\n')
        self.memory = root / "memory"
        self.configure()
        self._calls, self._answers = root / "calls.txt", root / "answers.json"
        executable = root / "openclaw"
        executable.write_text(CLI.format(calls=str(self._calls), answers=str(self._answers)))
        executable.chmod(0o755)
        self.answers: dict[str, tuple[int, object]] = {
            "config validate": (0, {"valid": True, "issues": []}),
            "gateway restart": (0, {"action": "restart", "ok": True, "result": "restarted"}),
            "gateway start": (0, {"action": "start", "ok": True, "result": "started"}),
            "gateway call browser.request": (0, {"ok": True, "running": True}),
        }
        self.settings = Settings(
            openclaw=executable,
            memory_dir=self.memory,
            report_dir=root / "reports",
            rpc=False,
            browser="off",
            disk_low_bytes=5,
        )
        self.environ = {"HOME": str(root / "home"), "PATH": "/usr/bin:/bin"}
        self.looks: list[GatewayProbe] = [HUNG, WELL]
        self.services: list[Service] = [RUNNING]
        self.seen: list[Observation] = [saw("gateway/hung"), saw("gateway/hung"), saw()]
        self.unmanaged = False
        """Whether the machine has no system service manager."""
        self.healers: list[tuple[Healer, ...]] = []
        """Who else is at it, at each look."""
        self.observed = 0
        self.observe: Callable[[], Observation] = self._scripted
        self.said: list[str] = []
        self.elapsed_s = 0.0
        monkeypatch.setenv("XDG_STATE_HOME", str(root / "locks"))
        monkeypatch.setattr("oc_ops.observe.probe.look", lambda *_, **__: _next(self.looks))
        monkeypatch.setattr("oc_ops.observe.service.service", lambda _: _next(self.services))
        monkeypatch.setattr("oc_ops.act.recover.authority.no_system_manager", lambda _: self.unmanaged)
        monkeypatch.setattr("oc_ops.act.recover.run.healers", lambda *_of: self.healers.pop(0) if self.healers else ())

    def configure(self, text: str | None = None, **changes: object) -> None:
        """The gateway's config."""
        config = {"gateway": {"mode": "local", "port": sights.PORT, "auth": {"token": "token-0123456789"}}, **changes}
        told = json.dumps({"logging": {"file": str(self.log)}, **config})
        (self.state / "openclaw.json").write_text(told if text is None else text)

    def set(self, **changes: Any) -> None:
        """Change settings."""
        self.settings = replace(self.settings, **changes)

    @property
    def clock(self) -> Clock:
        """A clock on which waiting takes no time."""

        def wait(seconds: float) -> None:
            self.elapsed_s += seconds

        return Clock(lambda: NOON + timedelta(seconds=self.elapsed_s), lambda: self.elapsed_s, wait)

    def _scripted(self) -> Observation:
        self.observed += 1
        return _next(self.seen)

    def recover(self, **options: Any) -> Outcome:
        """One recovery."""
        self._answers.write_text(json.dumps(self.answers))

        return recover(self.settings, self.environ, self.observe, say=self.said.append, clock=self.clock, **options)

    @property
    def calls(self) -> list[str]:
        """Every `openclaw` call, but for the one that asks for its release."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        return [each for each in lines if each != "--version"]

    @property
    def acts(self) -> list[str]:
        """The calls that change something."""
        reads = ("config validate", "gateway status", "gateway call gateway.restart.preflight")
        return [each for each in self.calls if not each.startswith(reads)]

    def records(self) -> list[list[dict[str, Any]]]:
        """The lines of every record."""
        return [[json.loads(line) for line in each.read_text().splitlines()] for each in records(self.memory)]


def _next(script: list[T]) -> T:
    return script.pop(0) if len(script) > 1 else script[0]


def opened(stage: Stage, minutes_ago: float = 10, verdict: str = "unhealthy") -> str:
    """An incident of this gateway in the book, red for so many minutes; or a green run of it. Returns its id."""
    fault = Fault("gateway/hung", "error", "it hangs", "silence", "openclaw gateway restart")
    gateway = GatewayName(locate(stage.environ).key)
    red = verdict == "unhealthy"
    run = RunSummary(verdict, True, gateway, (fault,) if red else (), cause=fault.check if red else None)  # type: ignore[arg-type]
    book = incidents_book.journal(stage.memory)
    now = NOON - timedelta(minutes=minutes_ago)
    update = incidents_book.observe_run(book, run, now)
    assert update.incident is not None
    return update.incident.id
