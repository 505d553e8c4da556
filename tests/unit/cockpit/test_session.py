"""The session's plain parts: which tmux, how to get one, what a window runs, and the shell that keeps it running."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from oc_ops import settings
from oc_ops.cockpit import session, tmux
from oc_ops.cockpit.session import Cockpit, Session
from oc_ops.cockpit.tmux import KEEP
from oc_ops.errors import SettingError
from tests.support.survivors import eventually


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    """A program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


# -- which tmux -------------------------------------------------------------------------------------------------------


def test_tmux_is_found_on_path_then_in_the_usual_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's PATH first; Homebrew's folders, which cron does not know, after it."""
    first, usual = executable(tmp_path / "a" / "tmux"), executable(tmp_path / "b" / "tmux")
    monkeypatch.setattr(tmux, "_PLACES", (str(usual.parent),))
    assert tmux.find({"PATH": str(first.parent)}) == first
    assert tmux.find({"PATH": "/nowhere"}) == usual
    monkeypatch.setattr(tmux, "_PLACES", ())
    with pytest.raises(tmux.NoTmux, match=r"^the cockpit needs tmux 3\.2 or newer, and there is none: \S+"):
        tmux.find({"PATH": "/nowhere"})


@pytest.mark.parametrize(
    ("said", "good"),
    [
        ("tmux 3.3a", True),
        ("tmux 3.2", True),
        ("tmux 3.10", True),
        ("tmux next-3.6", True),
        ("tmux master", True),
        ("tmux openbsd-7.4", True),
        ("tmux 3.1c", False),
        ("tmux 2.9a", False),
        ("tmux 1.8", False),
    ],
)
def test_the_oldest_tmux_that_will_do(said: str, good: bool) -> None:
    """3.2 and later, by number and not by letter; a build without a number is taken to be new."""
    if good:
        tmux.check_version(said, Path("/usr/bin/tmux"))
    else:
        with pytest.raises(tmux.NoTmux, match=r"needs tmux 3\.2 or newer, and /usr/bin/tmux is"):
            tmux.check_version(said, Path("/usr/bin/tmux"))


@pytest.mark.parametrize(
    ("program", "line"),
    [
        ("apt-get", "sudo apt-get install tmux"),
        ("dnf", "sudo dnf install tmux"),
        ("pacman", "sudo pacman -S tmux"),
        ("apk", "sudo apk add tmux"),
        ("zypper", "sudo zypper install tmux"),
    ],
)
def test_the_install_line_is_this_system_s(program: str, line: str, tmp_path: Path) -> None:
    """By the package manager that is there."""
    executable(tmp_path / program)
    assert tmux.install_line("linux", str(tmp_path)) == line


def test_the_install_line_elsewhere(tmp_path: Path) -> None:
    """Homebrew on a Mac; where nothing is known, words instead of a wrong command."""
    assert tmux.install_line("darwin", str(tmp_path)) == "brew install tmux"
    assert "package manager" in tmux.install_line("linux", str(tmp_path))


# -- names, states ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../x", "a b", "-L", "", " ", "a" * 65, "é"])
def test_a_socket_s_name_is_a_plain_one(name: str) -> None:
    """It becomes a file's name and an argument: anything else is refused by value, source and need."""
    with pytest.raises(SettingError, match="tmux_socket="):
        Cockpit(settings.load({"tmux_socket": name}, {}), os.environ, "0123456789ab")


@pytest.mark.parametrize(
    ("listed", "age_s", "exists", "up"),
    [
        ("up up up up up", 1.0, True, True),
        ("up up up up up", None, True, False),
        ("up up up up up", 60.0, True, False),
        ("up dead up up up", 1.0, True, False),
        ("up missing up up up", 1.0, True, False),
        ("missing missing missing missing missing", 1.0, False, False),
    ],
)
def test_up_is_all_of_it(listed: str, age_s: float | None, exists: bool, up: bool) -> None:
    """Every window and a watcher that writes; less is not up."""
    states = dict(zip(session.ALL, listed.split(), strict=True))
    found = Session("default", states, watcher_age_s=age_s)  # type: ignore[arg-type]
    assert (found.exists, found.up) == (exists, up)


def test_oc_ops_is_looked_for_beside_this_python_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command of this very installation, not another one's."""
    ours, other = executable(tmp_path / "a" / "oc-ops"), executable(tmp_path / "b" / "oc-ops")
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(ours.parent))
    assert tmux.command_dir({"PATH": str(other.parent)}) == str(ours.parent)
    ours.unlink()
    assert tmux.command_dir({"PATH": str(other.parent)}) == str(other.parent)
    assert tmux.command_dir({"PATH": "/nowhere"}) == str(ours.parent)


# -- the shell that keeps a drawing alive -----------------------------------------------------------------------------


def kept(tmp_path: Path, program: str) -> subprocess.Popen[str]:
    """A window's shell around a program of ours, its pauses recorded instead of waited for."""
    executable(tmp_path / "bin" / "sleep", f'#!/bin/sh\necho "$1" >>{tmp_path}/pauses\n/bin/sleep 0.01\n')
    executable(tmp_path / "bin" / "draw", f"#!/bin/sh\n{program}\n")
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.defpath}"
    return subprocess.Popen(
        ["/bin/sh", "-c", KEEP, "oc-ops", str(tmp_path / "log dir" / "w.log"), "draw"],
        env={"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> None:
    """End it and what it started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=10)


def test_a_drawing_that_dies_is_started_again_ever_later(tmp_path: Path) -> None:
    """The pause begins with a second, doubles, and stops growing at a minute; each end is on the screen and on disk."""
    process = kept(tmp_path, "exit 7")
    pauses = tmp_path / "pauses"
    try:
        assert eventually(lambda: pauses.exists() and len(pauses.read_text().split()) > 8)
    finally:
        ended(process)
    assert pauses.read_text().split()[:9] == ["1", "2", "4", "8", "16", "32", "60", "60", "60"]
    log = (tmp_path / "log dir" / "w.log").read_text()
    assert "this window ended: exit code 7; it starts again in 1 s\n" in log


def test_a_signal_is_named(tmp_path: Path) -> None:
    """Killed is not the same as failed."""
    process = kept(tmp_path, "kill -SEGV $$")
    log = tmp_path / "log dir" / "w.log"
    try:
        assert eventually(lambda: log.exists() and "this window ended: signal 11" in log.read_text())
    finally:
        ended(process)


def test_an_interrupt_does_not_end_it(tmp_path: Path) -> None:
    """Ctrl-C in the pause between two drawings is no reason to leave the window empty."""
    process = kept(tmp_path, f"echo $$ >{tmp_path}/drawing.new; mv {tmp_path}/drawing.new {tmp_path}/drawing; "
                   "exec /bin/sleep 30")  # fmt: skip
    try:
        # The shell has other children, each for an instant: the drawing says itself which one it is.
        assert eventually((tmp_path / "drawing").exists)
        drawing = int((tmp_path / "drawing").read_text())
        os.killpg(process.pid, signal.SIGINT)
        os.killpg(process.pid, signal.SIGTSTP)
        os.kill(drawing, signal.SIGKILL)
        assert eventually((tmp_path / "pauses").exists)
        assert psutil.Process(process.pid).status() != psutil.STATUS_STOPPED
    finally:
        ended(process)
