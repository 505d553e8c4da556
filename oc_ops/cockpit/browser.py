"""The browser's state: asked through the CLI, which is dear, and so only of a gateway that is well, and rarely."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from oc_ops.cockpit import state
from oc_ops.cockpit.background import Cli, Task
from oc_ops.cockpit.clock import Turn, WatchClock
from oc_ops.errors import OcOpsError

if TYPE_CHECKING:
    from oc_ops.cockpit.gateway import Port
    from oc_ops.settings import Settings


class Browsing:
    """When the browser is asked after, and what came of it."""

    def __init__(
        self, cli: Cli, settings: Settings, clock: WatchClock, clean: Callable[[str], str], port: Port
    ) -> None:
        self._cli, self._settings, self._clock, self._clean, self._port = cli, settings, clock, clean, port
        self._turn = Turn(settings.watch_slow_s)
        self.browser = state.Browser(settings.browser)

    @property
    def pending(self) -> bool:
        """True if its time has come."""
        return self._clock.steady() >= self._turn.due

    def due(self) -> Task | None:
        """The next look, when it is time and the gateway is well; else the part says why there is none."""
        enabled = self._port.config.browser_enabled
        if self._settings.browser == "off" or not enabled:
            why = "not looked at: the setting browser is off" if enabled else "switched off in the config"
            if self.browser.words != why:
                self.browser = state.Browser(
                    self._settings.browser, enabled, words=why, seen=state.Freshness(self._clock.now(), "files")
                )
            return None
        if not self._port.well:
            check = self._port.gateway.check
            if check:
                self._unseen(f"not asked while the gateway is in trouble ({check})")
            return None
        if self.browser.seen.problem.startswith("not asked"):
            self._turn.soon()
        if not self._turn.comes(self._clock.steady()):
            return None
        return Task("openclaw browser status", self._ask)

    def _ask(self) -> Callable[[], None]:
        try:
            found = self._cli.browser(self._port.config, self._clean, self._clock.now)
        except OcOpsError as error:
            why = self._clean(str(error))
            return lambda: self._unseen(why)
        return lambda: self._show(replace(found, seen=replace(found.seen, every_s=self._settings.watch_slow_s)))

    def _show(self, found: state.Browser) -> None:
        self.browser = found

    def _unseen(self, why: str) -> None:
        before = self.browser.seen
        if before.problem != why:
            seen = replace(before, problem=why, problem_since=self._clock.now())
            self.browser = replace(self.browser, enabled=self._port.config.browser_enabled, seen=seen)
