"""What a machine shows of the agent's browser: its port, its profile's lock, its process and its program."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oc_ops.observe import browser as observe_browser
from oc_ops.observe.target import Target, locate

LISTEN = (
    "import socket, sys\nwith socket.create_server(('127.0.0.1', 0)) as server:\n"
    "    print(server.getsockname()[1], flush=True)\n    sys.stdin.read()\n"
)
NOBODY = 2**22 + 1
"""A pid above what Linux and macOS give out."""


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """A state directory with the profile's folder in it."""
    found = locate({"HOME": str(tmp_path)})
    user_data(found).mkdir(parents=True)
    return found


def user_data(target: Target) -> Path:
    """The folder of the agent's profile."""
    return target.state_dir / "browser" / "openclaw" / "user-data"


def started(*options: str) -> tuple[subprocess.Popen[str], int]:
    """A program that listens on a port, with these options on its command line."""
    child = subprocess.Popen(
        [sys.executable, "-c", LISTEN, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    return child, int(child.stdout.readline())


@pytest.fixture
def browser(target: Target) -> Iterator[tuple[int, int]]:
    """The pid and port of a program started as the profile's browser is."""
    child, port = started(f"--user-data-dir={user_data(target)}")
    yield child.pid, port
    child.communicate("")


@pytest.fixture
def stranger(target: Target) -> Iterator[tuple[int, int]]:
    """The pid and port of another program, which has to do with the folder in its own way."""
    child, port = started("--user-data-dir=/elsewhere", str(user_data(target)))
    yield child.pid, port
    child.communicate("")


def test_the_port_s_holder_is_told_from_the_profile_s_browser(
    target: Target, browser: tuple[int, int], stranger: tuple[int, int]
) -> None:
    """By the profile's folder on its command line, not by its name."""
    for (pid, port), ours in ((browser, True), (stranger, False)):
        holder = observe_browser.look(target, {"cdpPort": port}).port_holder
        assert holder is not None
        assert (holder.pid, holder.ours) == (pid, ours)
        assert 0 <= holder.age_s < 600
        assert f"pid {pid}" in holder.summary


def test_a_free_port_has_no_holder(target: Target) -> None:
    """Nobody listens, and nobody is named."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert observe_browser.look(target, {"cdpPort": port}).port_holder is None
    assert observe_browser.look(target, {}).port_holder is None


def test_the_gateway_s_own_browser_is_looked_at_by_its_pid(target: Target, browser: tuple[int, int]) -> None:
    """Alive, gone, or never there."""
    process = observe_browser.look(target, {"pid": browser[0]}).process
    assert process is not None
    assert (process.pid, process.ours, process.status != "") == (browser[0], True, True)
    assert observe_browser.look(target, {"pid": NOBODY}).process is None
    assert observe_browser.look(target, {"pid": None}).process is None


def test_a_zombie_holds_nothing(target: Target) -> None:
    """It has ended, and only its parent has not noticed."""
    with subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.read()  # its end closes the pipe; nobody has waited for it yet
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert observe_browser.look(target, {"pid": child.pid}).process is None


@pytest.mark.parametrize(
    ("text", "host", "pid"),
    [
        (f"{socket.gethostname()}-{NOBODY}", socket.gethostname(), NOBODY),
        ("a-host-with-dashes.local-4711", "a-host-with-dashes.local", 4711),
    ],
)
def test_a_lock_names_a_host_and_a_pid(target: Target, text: str, host: str, pid: int) -> None:
    """As Chromium writes it; nobody here has that pid."""
    link = user_data(target) / "SingletonLock"
    link.symlink_to(text)
    lock = observe_browser.look(target, {}).lock
    assert lock is not None
    assert (lock.path, lock.host, lock.pid, lock.holder) == (link, host, pid, None)


def test_a_lock_of_a_live_pid_names_its_holder(
    target: Target, browser: tuple[int, int], stranger: tuple[int, int]
) -> None:
    """The profile's browser, or whoever got that pid later; a pid of another host is nobody here."""
    link = user_data(target) / "SingletonLock"
    for (pid, _), ours in ((browser, True), (stranger, False)):
        link.symlink_to(f"{socket.gethostname()}-{pid}")
        lock = observe_browser.look(target, {}).lock
        assert lock is not None
        assert lock.holder is not None
        assert (lock.holder.pid, lock.holder.ours) == (pid, ours)
        link.unlink()
    link.symlink_to(f"elsewhere-{browser[0]}")
    elsewhere = observe_browser.look(target, {}).lock
    assert elsewhere is not None
    assert elsewhere.holder is None


@pytest.mark.parametrize("text", ["", "host", "host-", "host-pid", "-1", "host-12345678901"])
def test_a_lock_that_names_nobody_is_none(target: Target, text: str) -> None:
    """Chromium replaces such a one by itself."""
    link = user_data(target) / "SingletonLock"
    if text:
        link.symlink_to(text)
    else:
        link.write_text("host-1")
    assert observe_browser.look(target, {}).lock is None


def test_the_folder_that_a_running_browser_names_is_looked_into(target: Target, tmp_path: Path) -> None:
    """It is the gateway's word against a convention."""
    (tmp_path / "SingletonLock").symlink_to("other-1")
    seen = observe_browser.look(target, {"userDataDir": str(tmp_path)})
    assert seen.user_data == tmp_path
    assert seen.lock is not None
    assert observe_browser.look(target, {}).user_data == user_data(target)


@pytest.mark.parametrize(
    ("status", "managed"),
    [
        ({}, True),
        ({"driver": "openclaw", "transport": "cdp", "cdpUrl": "http://127.0.0.1:18800"}, True),
        ({"cdpUrl": "http://localhost:18800/"}, True),
        ({"attachOnly": False}, True),
        ({"attachOnly": True}, False),
        ({"driver": "extension"}, False),
        ({"driver": "existing-session", "transport": "chrome-mcp"}, False),
        ({"cdpUrl": "http://10.0.0.42:9222"}, False),
        ({"cdpUrl": "wss://browser.example.com?token=redacted"}, False),
    ],
)
def test_only_a_browser_that_openclaw_starts_itself_is_managed(
    target: Target, stranger: tuple[int, int], status: dict[str, object], managed: bool
) -> None:
    """Whose port and lock belong to another program on purpose is not looked into."""
    (user_data(target) / "SingletonLock").symlink_to("other-1")
    seen = observe_browser.look(target, {**status, "cdpPort": stranger[1]})
    assert seen.managed == managed
    assert (seen.port_holder is not None, seen.lock is not None) == (managed, managed)


def test_the_program_that_would_be_started(target: Target, tmp_path: Path) -> None:
    """By the gateway's own word, and whether the file it names can be executed by now."""
    plain = tmp_path / "chromium"
    plain.write_text("")

    def seen(**status: object) -> tuple[str, str]:
        look = observe_browser.look(target, status)
        return look.program, look.program_fault

    assert seen(detectedExecutablePath=sys.executable) == (sys.executable, "")
    assert seen(detectedExecutablePath=str(plain)) == (str(plain), f"{plain} cannot be executed")
    assert seen(detectedExecutablePath="/nowhere/chromium") == ("/nowhere/chromium", "/nowhere/chromium does not exist")
    assert seen(detectedExecutablePath=None) == ("", "OpenClaw detects no Chrome, Chromium, Brave or Edge")
    assert seen() == ("", "")
    said = "Error: browser.executablePath not found: /nowhere/chromium"
    assert seen(executablePath="/nowhere/chromium", detectedExecutablePath=None, detectError=said) == (
        "/nowhere/chromium",
        "browser.executablePath not found: /nowhere/chromium",
    )


@pytest.mark.parametrize("status", [None, [], "text", {"cdpPort": "18800", "pid": True, "cdpUrl": 7}])
def test_a_status_without_sense_shows_nothing(target: Target, status: object) -> None:
    """No port, no process, and no error."""
    seen = observe_browser.look(target, status)
    assert (seen.port, seen.port_holder, seen.process, seen.program_fault) == (None, None, None, "")
