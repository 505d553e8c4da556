"""The browser's real click: a page of our own opened, read, pressed and closed through the gateway, each step timed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from oc_ops.errors import CouldNotLook
from oc_ops.observe.openclaw import Answer, Openclaw
from oc_ops.process.jsontext import at, text_at
from oc_ops.text import regex

if TYPE_CHECKING:  # a server is what only --deep needs
    from oc_ops.observe.click_page import Page

StepOutcome = Literal["done", "stalled", "failed", "unseen"]
"""stalled: no answer in time. failed: refused. unseen: answered, and what it should have done is not to be seen."""

MOST_TABS = 8
"""When a ninth tab opens, OpenClaw closes the oldest (2026.5.28, 2026.9.6): we would end somebody's work."""

_BLOCKED = regex(r"blocked by policy|[Nn]avigation blocked|Blocked.*(?:private|internal|hostname)")
_NO_SCRIPTS = regex(r"evaluate\w* is disabled|evaluateEnabled")
_IN_VAIN = regex(r"tim(?:ed|e) ?out|ETIMEDOUT|aborted", re.I)
_GONE = regex(r"[Gg]ateway not reachable|gateway closed|ECONNREFUSED|ECONNRESET")
_SAID_CHARS = 200
_BEACON_S = 2.0
"""How much later than the click its page's word may come: it takes milliseconds."""


class Step(Struct, frozen=True):
    """One step of the walk: how long it took with the call's own start, how it ended and what was said or seen."""

    name: str
    seconds: float
    outcome: StepOutcome
    said: str = ""


class Walk(Struct, frozen=True):
    """All steps in order. `page` is "served" by us, or "drawn" on a blank tab where policy forbids loopback pages.

    `cpu_s` is what the calls cost; `started` that the browser was not running, and was stopped again if nobody else
    had begun to use it.
    """

    steps: tuple[Step, ...]
    page: Literal["served", "drawn"] = "served"
    started: bool = False
    cpu_s: float = 0.0

    @property
    def failed(self) -> Step | None:
        """The first step that did not come through."""
        return next((each for each in self.steps if each.outcome != "done"), None)

    @property
    def seconds(self) -> float:
        """All steps together."""
        return sum(each.seconds for each in self.steps)


class ClickLimits(Struct, frozen=True):
    """Seconds that one step, a start of the browser, and all steps but the tidying up may take."""

    step_s: float = 15.0
    start_s: float = 45.0
    walk_s: float = 90.0


def walk(
    openclaw: Openclaw, *, running: bool, limits: ClickLimits, clock: Callable[[], float] = time.monotonic
) -> Walk:
    """Press a button in the agent's browser as an agent would, and see that it was pressed.

    `running` is what `browser status` says: a browser that was not is started and stopped again. The tab is closed
    whatever happens, Ctrl-C included, and no other tab is touched. Never call it for a browser that hangs: 2026.9.6
    restarts that when a tab is opened, with the loss of all others. Raises CouldNotLook where a click cannot be tried.
    """
    from oc_ops.observe.click_page import Page

    way = _Way(openclaw, limits, clock)
    with Page() as page:
        try:
            with suppress(_Ended):
                if not running:
                    way.step("start", openclaw.browser_start, limits.start_s)
                way.press(page)
        finally:
            if not running:
                way.stop()
    return Walk(tuple(way.steps), "drawn" if way.drawn else "served", started=not running, cpu_s=way.cpu_s)


class _Ended(Exception):
    """A step did not come through: what comes after it is not tried."""


class _Way:
    """A walk under way."""

    def __init__(self, openclaw: Openclaw, limits: ClickLimits, clock: Callable[[], float]) -> None:
        self.openclaw, self.limits, self.clock = openclaw, limits, clock
        self.steps: list[Step] = []
        self.cpu_s = 0.0
        self.drawn = False
        self._until = clock() + limits.walk_s
        self._others: frozenset[str] | None = None

    def press(self, page: Page) -> None:
        """Open, snapshot, click, snapshot, close."""
        self._count_tabs()
        tab = ""
        try:
            tab = self._open(page)
            if self.drawn:
                self._draw(tab, page)
            ref = page.button(self._snapshot("snapshot", tab))
            if ref is None:
                self._unseen("the snapshot does not show the page's button")
            self.step("click", lambda s: self.openclaw.browser_click(tab, str(ref), s))
            if not page.shows_press(self._snapshot("second snapshot", tab)):
                self._unseen("the page looks as it did before the click")
            if not self.drawn and not page.pressed.wait(_BEACON_S):
                self._unseen("the page did not tell its server of the click")
        finally:
            self._close(tab, page)

    def stop(self) -> None:
        """Stop the browser that the walk started, unless somebody else has a tab in it by now."""
        if self._others is not None:
            now = _tabs(self._tidy("look for others", self.openclaw.browser_tabs))
            if now.keys() - self._others:
                return
        self._tidy("stop", self.openclaw.browser_stop)

    def step(self, name: str, ask: Callable[[float], Answer], limit_s: float | None = None) -> Answer:
        """One step under its own deadline, or what is left of the walk's; raises _Ended when it does not come."""
        left_s = self._until - self.clock()
        if left_s <= 1.0:
            self.steps.append(Step(name, 0.0, "stalled", f"the {self.limits.walk_s:.0f} s of the walk are used up"))
            raise _Ended
        answer = self._timed(name, ask, min(limit_s or self.limits.step_s, left_s))
        if not answer.came:
            raise _Ended
        return answer

    def _timed(self, name: str, ask: Callable[[float], Answer], limit_s: float) -> Answer:
        began = self.clock()
        answer = ask(limit_s)
        seconds = self.clock() - began
        self.cpu_s += answer.call.cpu_s
        said = answer.error if not answer.came else ""
        if _GONE.search(said):
            raise CouldNotLook(f"the gateway went away while the click was tried ({name}): {said[:_SAID_CHARS]}")
        outcome: StepOutcome = "done"
        if not answer.came:
            silent = answer.call.outcome == "timed-out" or _IN_VAIN.search(said)
            outcome = "stalled" if silent else "failed"
            said = said or f"no answer in {seconds:.0f} s"
        self.steps.append(Step(name, seconds, outcome, said[:_SAID_CHARS]))
        return answer

    def _count_tabs(self) -> None:
        tabs = _tabs(self.step("list tabs", self.openclaw.browser_tabs))
        if len(tabs) >= MOST_TABS:
            raise CouldNotLook(
                f"{len(tabs)} tabs are open in the agent's browser, and OpenClaw closes the oldest when one more "
                "opens: close one that is not needed, then look again"
            )
        self._others = frozenset(tabs)

    def _open(self, page: Page) -> str:
        answer = self._timed("open", lambda s: self.openclaw.browser_open(page.url, s), self.limits.step_s)
        if not answer.came and _BLOCKED.search(answer.error):
            # 2026.5.28 and newer forbid private addresses unless told otherwise; a blank page is always allowed.
            refused = self.steps.pop()
            self.steps.append(Step("ask for a loopback page", refused.seconds, "done", refused.said))
            self.drawn = True
            answer = self._timed("open", lambda s: self.openclaw.browser_open("about:blank", s), self.limits.step_s)
        tab = text_at(answer.value, "targetId")
        if answer.came and not tab:
            self._unseen("the answer names no tab")
        if not answer.came:
            raise _Ended
        return tab

    def _draw(self, tab: str, page: Page) -> None:
        try:
            self.step("draw", lambda s: self.openclaw.browser_evaluate(tab, page.drawing, s))
        except _Ended:
            if _NO_SCRIPTS.search(self.steps[-1].said):
                raise CouldNotLook(
                    "OpenClaw's navigation policy forbids a page on 127.0.0.1, and browser.evaluateEnabled is false: "
                    "to have a click tried, add 127.0.0.1 to browser.ssrfPolicy.allowedHostnames"
                ) from None
            raise

    def _snapshot(self, name: str, tab: str) -> str:
        return text_at(self.step(name, lambda s: self.openclaw.browser_snapshot(tab, s)).value, "snapshot")

    def _unseen(self, said: str) -> None:
        """The last step was answered, and did nothing."""
        last = self.steps.pop()
        self.steps.append(Step(last.name, last.seconds, "unseen", said))
        raise _Ended

    def _close(self, tab: str, page: Page) -> None:
        """Close our tab; after an open that did not come through, the one that shows our page, if there is one."""
        if not tab and not self.drawn:
            found = _tabs(self._tidy("look for our tab", self.openclaw.browser_tabs))
            tab = next((name for name, url in found.items() if url == page.url), "")
        if tab:
            self._tidy("close", lambda s: self.openclaw.browser_close(tab, s))

    def _tidy(self, name: str, ask: Callable[[float], Answer]) -> Answer | None:
        """A step that is owed to the operator whatever came before; the walk's own end is not replaced by it."""
        try:
            return self._timed(name, ask, self.limits.step_s)
        except CouldNotLook as error:
            self.steps.append(Step(name, 0.0, "failed", str(error)[:_SAID_CHARS]))
            return None


def _tabs(answer: Answer | None) -> Mapping[str, str]:
    """Target and URL of each page in the browser."""
    listed = at(answer.value, "tabs") if answer else None
    pages = [each for each in listed if text_at(each, "type") in ("", "page")] if isinstance(listed, list) else []
    return {text_at(each, "targetId"): text_at(each, "url") for each in pages}
