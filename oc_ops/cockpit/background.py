"""Slow questions that only the CLI can answer: asked rarely, beside the loop, never of a gateway in trouble."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from oc_ops.cockpit import state
from oc_ops.cockpit.ledger import note
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.gateway import Gateway
from oc_ops.judge import access, browser
from oc_ops.judge import cli as judge_cli
from oc_ops.observe import browser as observe_browser
from oc_ops.observe.openclaw import BROWSER_PROFILE, Answer, Openclaw
from oc_ops.process.jsontext import at, number_at, text_at
from oc_ops.process.run import Call

if TYPE_CHECKING:
    from oc_ops.observe.config import GatewayConfig
    from oc_ops.settings import Settings


class Task(Struct, frozen=True):
    """One slow question: its answer is handed over between two turns of the loop, on the loop's own thread."""

    name: str
    ask: Callable[[], Callable[[], None]]
    """Looks, in the other thread, and returns what takes over the answer, for the loop's thread."""


class Aside:
    """One slow question at a time, in a thread that lives only as long as the question."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self._wake = wake
        self._thread: threading.Thread | None = None
        self._answer: Callable[[], None] | None = None
        self.trouble = ""

    @property
    def busy(self) -> bool:
        """True if a question is under way or its answer still waits to be taken."""
        return self._thread is not None

    def begin(self, task: Task) -> None:
        """Start asking; only when not busy."""
        assert self._thread is None

        def ask() -> None:
            try:
                self._answer = task.ask()
            except Exception as error:
                self.trouble = f"{task.name}: {type(error).__name__}: {error}"
            self._wake()

        self._thread = threading.Thread(target=ask, name=task.name, daemon=True)
        self._thread.start()

    def finish(self) -> bool:
        """Take over an answer that has come; True when there was one."""
        if self._thread is None or self._thread.is_alive():
            return False
        self._thread = None
        answer, self._answer = self._answer, None
        if answer is not None:
            answer()
        return True


class Cli:
    """The `openclaw` command of one gateway, looked for when it is first needed."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self.gateway = Gateway(settings, environ, self._count)
        self.calls = 0

    def _ready(self) -> Openclaw:
        """Raises CouldNotLook when there is no such command, or when it must not be called."""
        if self.gateway.executable is None:
            self.gateway.executable = self.gateway.command()
        openclaw = self.gateway.cli(Openclaw)
        if why := openclaw.refusal():
            raise CouldNotLook(why)
        return openclaw

    def _count(self, _call: Call) -> None:
        self.calls += 1

    def browser(self, config: GatewayConfig, clean: Callable[[str], str], now: Callable[[], float]) -> state.Browser:
        """The browser's state; raises OcOpsError when it cannot be had."""
        openclaw = self._ready()
        answer = openclaw.browser_status()
        if why := judge_cli.said_nothing(answer):
            raise CouldNotLook(why)
        expected = self.gateway.settings.browser
        if finding := access.cli_rejected(answer) or browser.unanswered(answer, expected):
            return state.Browser(
                expected,
                config.browser_enabled,
                words=clean(finding.fact),
                note=note(finding, clean),
                seen=state.Freshness(now(), "cli"),
            )
        seen = observe_browser.look(self.gateway.target, answer.value)
        finding = browser.kept_down(answer, seen, openclaw.release, expected) or browser.not_running(
            answer, expected, seen
        )
        pid = number_at(answer.value, "pid")
        running = at(answer.value, "running")
        return state.Browser(
            expected,
            config.browser_enabled,
            running if isinstance(running, bool) else None,
            round(pid) if pid is not None else None,
            clean(text_at(answer.value, "profile") or BROWSER_PROFILE),
            clean(_words(answer)),
            note(finding, clean) if finding else None,
            state.Freshness(now(), "cli"),
        )

    def status(self) -> object:
        """The payload of the `status` method, through the CLI; raises OcOpsError when it cannot be had."""
        answer = self._ready().status()
        if not answer.came:
            raise OcOpsError(answer.call.summary)
        return answer.value


def _words(answer: Answer) -> str:
    """Words about the browser beside whether it runs, in one line."""
    value = answer.value
    pid = number_at(value, "pid")
    parts = []
    if pid is not None:
        parts.append(f"pid {pid:.0f}")
    if (port := number_at(value, "cdpPort")) is not None:
        parts.append(f"debugging port {port:.0f}" + ("" if at(value, "cdpReady") is not False else ", which is mute"))
    if kind := text_at(value, "chosenBrowser") or text_at(value, "detectedBrowser"):
        parts.append(kind)
    if at(value, "headless") is True:
        parts.append("headless")
    return ", ".join(parts)
