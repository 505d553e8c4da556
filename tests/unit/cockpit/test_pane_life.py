"""One window's life: its terminal, what it keeps of what it showed, when it draws and whom it wakes, what it costs."""

from __future__ import annotations

import importlib
import os
import pty
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from rich.text import Text

from oc_ops import settings
from oc_ops.cockpit import snapshot
from oc_ops.cockpit.panes import WINDOWS, loop
from oc_ops.cockpit.panes.canvas import View
from oc_ops.cockpit.panes.log import ARCHIVES, EVERY_S, WindowLog, log_of
from oc_ops.cockpit.panes.loop import Screen, ansi
from oc_ops.errors import OcOpsError
from tests.support.snapshots import KEY, sample

NOW = time.mktime((2026, 11, 23, 3, 0, 40, 0, 0, -1))


def module(window: str) -> loop.Window:
    """The module that draws a window."""
    return cast("loop.Window", importlib.import_module(f"oc_ops.cockpit.panes.{window}"))


# -- the terminal -----------------------------------------------------------------------------------------------------


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of a pseudo-terminal: what was written comes out of the first."""
    outer, inner = pty.openpty()
    os.set_blocking(outer, False)
    try:
        yield outer, inner
    finally:
        os.close(outer)
        os.close(inner)


def taken(outer: int) -> str:
    """What was written to the terminal."""
    try:
        return os.read(outer, 2**20).decode()
    except BlockingIOError:
        return ""


def test_only_what_changed_is_written(terminal: tuple[int, int]) -> None:
    """No clearing, no flicker: an unchanged screen writes nothing, one changed line writes that line."""
    outer, inner = terminal
    with Screen(inner) as screen:
        taken(outer)
        screen.draw([Text("one"), Text("two"), Text("three")], (80, 24))
        first = taken(outer)
        assert "\x1b[2J" not in first
        assert first.index("one") < first.index("two") < first.index("three")
        screen.draw([Text("one"), Text("two"), Text("three")], (80, 24))
        assert taken(outer) == ""
        screen.draw([Text("one"), Text("2"), Text("three")], (80, 24))
        assert taken(outer) == "\x1b[2;1H2\x1b[K"
        screen.draw([Text("one")], (80, 24))
        assert taken(outer) == "\x1b[2;1H\x1b[J"
        screen.draw([Text("one")], (40, 24))
        assert "one" in taken(outer)
        screen.forget()
        screen.draw([Text("one")], (40, 24))
        assert "one" in taken(outer)


def test_a_styled_text_is_styled() -> None:
    """Also one that is styled as a whole."""
    assert ansi(Text("x", "bold"), 80) == "\x1b[1mx\x1b[0m\x1b[K"
    assert ansi(Text.assemble(("x", "black on green"), "y"), 80) == "\x1b[30;42mx\x1b[0my\x1b[K"


def test_a_full_row_keeps_its_last_column(terminal: tuple[int, int]) -> None:
    """Behind it the cursor stands on the last column: clearing to the end would eat the character there."""
    assert ansi(Text("x" * 10), 10) == "x" * 10
    assert ansi(Text("x" * 9), 10) == "x" * 9 + "\x1b[K"


def test_no_control_passes_the_last_gate() -> None:
    """Whatever a window let through: escapes are written by the screen alone."""
    assert ansi(Text("a\x1b]52;c;AA\x07b\x9b2Jc\ud800d\te"), 80) == "a�]52;c;AAb�2Jc�d�e\x1b[K"


def test_the_terminal_is_as_it_was_afterwards(terminal: tuple[int, int]) -> None:
    """No echo, no signals from keys while it is drawn; all of that back at the end."""
    import termios

    outer, inner = terminal
    before = termios.tcgetattr(inner)
    with Screen(inner):
        during = termios.tcgetattr(inner)
        assert not during[3] & (termios.ECHO | termios.ISIG | termios.ICANON)
    assert termios.tcgetattr(inner)[:4] == before[:4]
    assert taken(outer).rstrip().endswith("\x1b[?7h\x1b[?25h")


# -- what it showed ---------------------------------------------------------------------------------------------------


def test_a_screen_is_kept_when_something_turned(tmp_path: Path) -> None:
    """At once when it tells something new, else now and then, and never twice the same."""
    path = log_of(tmp_path, "status")
    log = WindowLog(path, 2**20)
    log.keep(["READY", "p99 1 ms"], "ready", NOW)
    log.keep(["READY", "p99 2 ms"], "ready", NOW + 1)
    log.keep(["HUNG", "p99 2 ms"], "hung", NOW + 2)
    log.keep(["HUNG", "p99 3 ms"], "hung", NOW + 2 + EVERY_S)
    log.keep(["HUNG", "p99 3 ms"], "hung", NOW + 2 + 2 * EVERY_S)
    text = path.read_text()
    assert text.count("=== 2026-11-23 03:0") == 3
    assert [line for line in text.splitlines() if "===" not in line] == [
        "READY", "p99 1 ms", "HUNG", "p99 2 ms", "HUNG", "p99 3 ms",
    ]  # fmt: skip
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_log_is_rotated(tmp_path: Path) -> None:
    """It never takes more than its size and three of its like; the newest is in the youngest."""
    path = log_of(tmp_path, "runs")
    log = WindowLog(path, 1000)
    for number in range(100):
        log.keep([f"screen {number} " + "x" * 100], number, NOW + number)
    files = sorted(path.parent.iterdir())
    assert [each.name for each in files] == ["runs.log", *(f"runs.log.{number}" for number in range(1, ARCHIVES + 1))]
    assert max(each.stat().st_size for each in files) < 1200
    assert "screen 99 " in "".join(each.read_text() for each in files[:2])
    assert "screen 0 " not in "".join(each.read_text() for each in files)


# -- one window's life ------------------------------------------------------------------------------------------------


class Starts:
    """Counts what would start a watcher."""

    def __init__(self, error: Exception | None = None) -> None:
        self.times: list[None] = []
        self.error = error

    def __call__(self) -> None:
        """Start one."""
        self.times.append(None)
        if self.error:
            raise self.error


def pane(tmp_path: Path, window: str, start: Starts) -> loop.Pane:
    """One window that reads in a folder of its own."""
    loaded = settings.load({"memory_dir": tmp_path}, {})
    return loop.Pane(window, loaded, KEY, start)


def screen_of(pane: loop.Pane, now: float) -> str:
    """What it draws."""
    return "\n".join(each.plain for each in pane.lines(now, (80, 24)))


def test_a_window_draws_what_is_new_and_nothing_else(tmp_path: Path) -> None:
    """An unchanged snapshot is no news; a new one is, and so is one that has grown old."""
    path = snapshot.path_of(tmp_path, KEY)
    window = pane(tmp_path, "status", Starts())
    now = time.time()
    assert window.look(now)
    snapshot.Writer(path).write(sample("healthy"))
    assert window.look(now)
    assert not window.look(now)
    assert "READY" in screen_of(window, now)
    snapshot.Writer(path).write(sample("hung"), now=now - 60, monotonic=time.monotonic() - 60)
    assert window.look(now)
    assert " STALE  the watcher does not write" in screen_of(window, now)
    path.write_text("{ no snapshot")
    assert window.look(now)
    assert "NO DATA" in screen_of(window, now)


def test_the_windows_start_a_watcher_one_after_the_other(tmp_path: Path) -> None:
    """The first after some patience, then not more often than every 10 s; the next only where that did not help."""
    first, second = Starts(), Starts()
    status, runs = pane(tmp_path, "status", first), pane(tmp_path, "runs", second)
    for tenth in range(0, 301):
        status.look(NOW + tenth / 10)
        runs.look(NOW + tenth / 10)
    assert len(first.times) == 3  # at 5, 15 and 25 s
    assert len(second.times) == 2  # at 15 and 25 s
    assert "the watcher was started again at" in screen_of(status, NOW + 30)
    snapshot.Writer(snapshot.path_of(tmp_path, KEY)).write(sample("healthy"))
    status.look(NOW + 60)
    assert "started again" not in screen_of(status, NOW + 60)
    assert len(first.times) == 3


def test_a_watcher_that_cannot_be_started_is_said(tmp_path: Path) -> None:
    """Why, in words, on the window."""
    window = pane(tmp_path, "status", Starts(OcOpsError("there is no room")))
    window.look(NOW)
    window.look(NOW + 6)
    assert "the watcher cannot be started: there is no room" in screen_of(window, NOW + 6)


def test_a_log_that_cannot_be_written_costs_no_window(tmp_path: Path) -> None:
    """The screen is drawn, and the next one says that none is kept."""
    (tmp_path / "panes").write_text("in the way")
    snapshot.Writer(snapshot.path_of(tmp_path, KEY)).write(sample("healthy"))
    window = pane(tmp_path, "incidents", Starts())
    window.look(NOW)
    assert "no open incident" in screen_of(window, NOW)
    assert "this screen is not kept" in screen_of(window, NOW)


def test_whether_somebody_looks_is_read_off_the_socket(tmp_path: Path) -> None:
    """tmux sets its x bit while a client is attached; where that cannot be seen, somebody may be looking."""
    socket = tmp_path / "socket"
    socket.touch(mode=0o660)
    assert not loop.attached(str(socket))
    socket.chmod(0o770)
    assert loop.attached(str(socket))
    assert loop.attached("")
    assert loop.attached(str(tmp_path / "nowhere"))


def test_who_comes_to_look_is_told_to_the_watcher_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: tuple[int, int]
) -> None:
    """A client that attaches does not wait for the next heartbeat: until then the gateway is looked at rarely."""
    _, inner = terminal
    window = pane(tmp_path, "status", Starts())
    looked = iter([False, False, True, True, True])
    beats: list[tuple[float, bool]] = []
    clock = [100.0]

    def attached(_socket: str) -> bool:
        return next(looked)

    def pressed(_wake: int, seconds: float) -> bool:
        clock[0] += 0.5
        if clock[0] >= 102.5:
            raise OSError("the terminal is gone")
        return False

    monkeypatch.setattr(loop, "attached", attached)
    monkeypatch.setattr(loop, "_pressed", pressed)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(window, "heartbeat", lambda *, watched: beats.append((clock[0], watched)))
    with Screen(inner) as screen, pytest.raises(OSError, match="the terminal is gone"):
        loop._draw_on(window, screen, 0, "")
    assert beats == [(100.0, False), (101.0, True)]


def test_a_drawing_that_fails_says_so_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: tuple[int, int]
) -> None:
    """An error of ours is one line on the screen, not the end of the window."""
    outer, inner = terminal
    window = pane(tmp_path, "status", Starts())
    clock = iter(range(0, 1000))
    looks: list[float] = []

    def fails(_view: View) -> list[Text]:
        looks.append(0)
        raise KeyError("p99")

    def pressed(_wake: int, _seconds: float) -> bool:
        if len(looks) == 3:
            raise OSError("the terminal is gone")
        return False

    monkeypatch.setattr(module("status"), "draw", fails)
    monkeypatch.setattr(loop, "_pressed", pressed)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    with Screen(inner) as screen, pytest.raises(OSError, match="the terminal is gone"):
        loop._draw_on(window, screen, 0, "")
    shown = taken(outer)
    assert "FAILED " in shown
    assert "this window could not be drawn: KeyError: 'p99'; next try in 1 s" in shown
    assert "next try in 4 s" in shown


def test_a_drawing_process_imports_next_to_nothing() -> None:
    """Four of them run at all times: neither the gateway's lanes nor what lists processes is loaded in one."""
    heavy = (
        "psutil",
        "websockets",
        "typer",
        "libtmux",
        "cryptography",
        "pytest",
        "asyncio",
        "oc_ops.doctor.observations",
        "hyperscan",
    )
    source = f"""
import sys
import oc_ops.cockpit.panes.__main__
for window in {WINDOWS!r}:
    __import__("oc_ops.cockpit.panes." + window)
print([each for each in {heavy!r} if each in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
