"""One window's life: read the snapshot when it changed, draw what changed, keep it, see that a watcher lives."""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import signal
import stat
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self, cast

from rich.color import ColorSystem
from rich.console import Console
from rich.text import Text

from oc_ops.cockpit import snapshot
from oc_ops.cockpit.panes import WINDOWS
from oc_ops.cockpit.panes.canvas import View, badge, clock, fitted, joined, words, wrapped
from oc_ops.cockpit.panes.log import WindowLog, log_of
from oc_ops.cockpit.state import Snapshot
from oc_ops.errors import OcOpsError
from oc_ops.settings import Settings
from oc_ops.text import regex

_CONTROLS = regex("[\0-\x1f\x7f-\x9f\ud800-\udfff]")
_RENDERING = Console(file=open(os.devnull, "w"), force_terminal=True, color_system="standard")  # noqa: SIM115, PTH123
_START = "\x1b[?25l\x1b[?7l\x1b[0m"
"""No cursor; no wrapping, so that a character wider than thought costs a column and not a line."""

_END = "\x1b[0m\x1b[?7h\x1b[?25h\r\n"


class Screen:
    """The terminal behind a descriptor, for as long as the block lasts; what is no terminal counts as 80×24."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._before: list[Any] | None = None
        self._shown: list[object] = []
        self._size = (0, 0)

    def __enter__(self) -> Self:
        with contextlib.suppress(termios.error):
            self._before = termios.tcgetattr(self._descriptor)
            quiet = termios.tcgetattr(self._descriptor)
            quiet[0] &= ~(termios.IXON | termios.ICRNL)
            quiet[3] &= ~(termios.ECHO | termios.ICANON | termios.ISIG | termios.IEXTEN)
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, quiet)
        self._write(_START)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._write(_END)
        if self._before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)

    def size(self) -> tuple[int, int]:
        """Columns and lines; a terminal that says 0 does not know."""
        try:
            columns, lines = os.get_terminal_size(self._descriptor)
        except OSError:
            return 80, 24
        return columns or 80, lines or 24

    def forget(self) -> None:
        """Have the next drawing write every line: somebody else may have written here."""
        self._shown = []

    def draw(self, lines: Sequence[Text], size: tuple[int, int]) -> None:
        """Show these lines, as many as fit; raises OSError when the terminal is gone."""
        width, height = size
        if size != self._size:
            self._size = size
            self.forget()
        new = [(each.plain, each.style, tuple(each.spans)) for each in lines[:height]]
        out = []
        for number, line in enumerate(new):
            if number >= len(self._shown) or line != self._shown[number]:
                out.append(f"\x1b[{number + 1};1H{ansi(lines[number], width)}")
        if len(new) < height and len(new) != len(self._shown):
            out.append(f"\x1b[{len(new) + 1};1H\x1b[J")
        self._shown = [*new]
        if out:
            self._write("".join(out))

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        while data:
            data = data[os.write(self._descriptor, data) :]


def ansi(line: Text, width: int) -> str:
    """A line as a terminal takes it, the rest of its row cleared; no control of anybody else's is left in it."""
    said = "".join(
        each.style.render(text, color_system=ColorSystem.STANDARD) if each.style else text
        for each in Text("").join([line]).render(_RENDERING)  # a text that is styled as a whole renders plain by itself
        if (text := _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", each.text))
    )
    # Behind a full row the cursor still stands on its last column: clearing from there would eat it.
    return said if line.cell_len >= width else f"{said}\x1b[K"


LOOK_S, IDLE_LOOK_S = 0.4, 1.0
"""How often the snapshot's file is looked at: while somebody is attached, and while nobody is."""

REDRAW_S, IDLE_REDRAW_S = 2.0, 30.0
"""How often ages are drawn anew where nothing else changes, in the same two cases."""

HEARTBEAT_S = 2.0
WHOLE_S = 60.0
"""How often every line is written again, whatever stood there."""

PATIENCE_S, AGAIN_S = 5.0, 10.0
"""How long a window waits for a watcher before it starts one, and how long until it tries again."""

FAILED_S = 60.0
"""The longest wait after drawing failed; it begins with a second and doubles."""


class Window(Protocol):
    """A module of this room that draws one window."""

    PARTS: tuple[str, ...]
    """The parts of the snapshot whose news it draws at once; the rest it draws when its ages are due."""

    def draw(self, view: View) -> list[Text]:
        """The lines, most important first; `fitted` cuts them."""

    def gist(self, view: View) -> object:
        """Return the values whose change makes the screen worth keeping at once."""


class Pane:
    """One window between two moments; the clock is Unix time."""

    def __init__(self, window: str, settings: Settings, key: str, start_watcher: Callable[[], None]) -> None:
        self._window = cast("Window", importlib.import_module(f"oc_ops.cockpit.panes.{window}"))
        self._memory_dir, self._key = settings.memory_dir, key
        self._reader = snapshot.Reader(snapshot.path_of(settings.memory_dir, key))
        self._kept = WindowLog(log_of(settings.memory_dir, window), settings.pane_log_bytes)
        self._start_watcher = start_watcher
        # Not all windows at once: the first starts it, the others only where that did not help.
        self._patience_s = PATIENCE_S + AGAIN_S * WINDOWS.index(window)
        self._reading = snapshot.Reading(Snapshot(), problem="nothing was read yet")
        self._blind_since: float | None = None
        self._started_at = 0.0
        self._trouble = self._unkept = ""

    def look(self, now: float) -> bool:
        """Read the snapshot if its file changed, and see that somebody writes it; whether there is news to draw."""
        before, trouble = self._reading, self._trouble
        self._reading = self._reader.read()
        self._see_to_a_watcher(now)
        now_is, was = self._reading, before
        if now_is.problem != was.problem or now_is.stale != was.stale or self._trouble != trouble:
            return True
        return any(getattr(now_is.snapshot, each) is not getattr(was.snapshot, each) for each in self._window.PARTS)

    def lines(self, now: float, size: tuple[int, int]) -> list[Text]:
        """The lines of the screen at this moment; keeps them."""
        width, height = size
        view = View(self._reading, now, width, height, self._trouble or self._unkept)
        drawn = fitted(self._window.draw(view), width, height)
        try:
            self._kept.keep([each.plain for each in drawn[1:]], (view.note, self._window.gist(view)), now)
            self._unkept = ""
        except OSError as error:
            self._unkept = f"this screen is not kept: {self._kept.path}: {error.strerror or error}"
        return drawn

    def heartbeat(self, *, watched: bool) -> None:
        """Tell the watcher that a session lives, and whether anybody looks."""
        snapshot.heartbeat(self._memory_dir, self._key, watched=watched)

    def _see_to_a_watcher(self, now: float) -> None:
        reading = self._reading
        if not (reading.stale or reading.problem or reading.snapshot.watcher.ended):
            self._blind_since, self._trouble = None, ""
            return
        if self._blind_since is None or now < self._blind_since:
            self._blind_since = now
        if now - self._blind_since < self._patience_s or 0 <= now - self._started_at < AGAIN_S:
            return
        self._started_at = now
        try:
            self._start_watcher()
            self._trouble = f"the watcher was started again at {clock(now, now)}"
        except (OcOpsError, OSError) as error:
            self._trouble = f"the watcher cannot be started: {error}"


def live(window: str, settings: Settings, key: str, environ: Mapping[str, str], start: Callable[[], None]) -> None:
    """Draw one window until the terminal is gone or SIGTERM comes; a drawing that fails is tried again, ever later."""
    wake, waker = os.pipe()
    for end in (wake, waker):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGWINCH, lambda *_: None)
    pane = Pane(window, settings, key, start)
    socket = environ.get("TMUX", "").partition(",")[0]
    with Screen() as screen, contextlib.suppress(OSError):  # the terminal is gone: so are we
        _draw_on(pane, screen, wake, socket)


def _draw_on(pane: Pane, screen: Screen, wake: int, socket: str) -> None:
    drawn_at = beat_at = whole_at = retry_at = float("-inf")
    failed_s = 0.5
    size, was = (0, 0), False
    while True:
        now, watched = time.monotonic(), attached(socket)
        if now - beat_at >= HEARTBEAT_S or watched > was:  # who comes to look has the gateway looked at now
            pane.heartbeat(watched=watched)
            beat_at = now
        was = watched
        if now - whole_at >= WHOLE_S:
            screen.forget()
            whole_at = now
        due = now - drawn_at >= (REDRAW_S if watched else IDLE_REDRAW_S)
        if now >= retry_at and (pane.look(time.time()) or due or screen.size() != size):
            size, drawn_at = screen.size(), now
            try:
                lines = pane.lines(time.time(), size)
                failed_s = 0.5
            except Exception as error:  # whatever it is: the window says it and goes on
                failed_s = min(2 * failed_s, FAILED_S)
                retry_at = now + failed_s
                lines = _failure(error, failed_s, size)
            screen.draw(lines, size)
        if _pressed(wake, LOOK_S if watched else IDLE_LOOK_S):
            screen.forget()
            drawn_at = float("-inf")


def attached(socket: str) -> bool:
    """True if anybody may be looking: tmux sets the x bit of its socket while a client is attached."""
    try:
        return bool(os.stat(socket).st_mode & stat.S_IXUSR) if socket else True  # noqa: PTH116 - four times a second
    except OSError:
        return True


def _failure(error: Exception, again_s: float, size: tuple[int, int]) -> list[Text]:
    said = words(f"this window could not be drawn: {type(error).__name__}: {error}; next try in {again_s:.0f} s")
    return fitted(wrapped(joined(badge("failed", "bad"), said, by=" "), size[0], 4), *size)


def _pressed(wake: int, seconds: float) -> bool:
    """Wait; whether a key was pressed, which asks for a fresh screen. A change of size ends the wait as well."""
    ready, _, _ = select.select([wake, 0], [], [], seconds)
    if wake in ready:
        os.read(wake, 4096)
    return 0 in ready and bool(os.read(0, 4096) or _ended())


def _ended() -> bool:
    raise OSError("standard input has ended: the terminal is gone")
