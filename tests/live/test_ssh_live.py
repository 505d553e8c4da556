"""The cockpit over a real ssh connection: shown, cut off without a word, and still there."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pexpect
import psutil
import pytest

from tests.support.desk import WINDOWS, Desk, clients, watched
from tests.support.machine import closed_port
from tests.support.survivors import eventually

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]

PRIVSEP = Path("/run/sshd")
"""A root's sshd insists on it; elsewhere the service manager makes it."""


@dataclass(frozen=True, slots=True)
class Sshd:
    """An sshd of the test's own on a loopback port, and the words by which somebody reaches it."""

    process: psutil.Process
    ssh: tuple[str, ...]

    def connections(self) -> list[psutil.Process]:
        """What serves those who are logged in."""
        return self.process.children()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk on which a healthy gateway is watched."""
    with watched(tmp_path) as desk:
        yield desk


@pytest.fixture
def sshd(desk: Desk, tmp_path: Path) -> Iterator[Sshd]:
    """One that lets this very user in by a key, into the desk's environment."""
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "person"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    port = closed_port()
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    environ = {name: each for name, each in desk.environ.items() if name not in ("TERM", "SHELL")}
    config = folder / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder / 'host'}\nAuthorizedKeysFile {folder / 'person.pub'}\n"
        "PidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
        f"KbdInteractiveAuthentication no\nSetEnv {' '.join(f'{name}={each}' for name, each in environ.items())}\n"
    )
    options = ["-F", "none", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={known}", "-o", "IdentitiesOnly=yes"]
    ssh = ("ssh", *options, "-i", str(folder / "person"), "-p", str(port), f"{getpass.getuser()}@127.0.0.1")
    with ExitStack() as ending:
        ending.enter_context(_privileges_apart())
        with (folder / "log").open("wb") as said:
            process = subprocess.Popen([_program(), "-D", "-e", "-f", str(config)], stderr=said, cwd=folder)
        ending.callback(process.wait, 20)
        ending.callback(process.terminate)
        assert eventually(lambda: process.poll() is not None or _listens(port)), (folder / "log").read_text()
        assert process.poll() is None, (folder / "log").read_text()
        yield Sshd(psutil.Process(process.pid), ssh)


def _program() -> str:
    found = shutil.which("sshd", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin{os.pathsep}/usr/local/sbin")
    assert found, "this test needs sshd: apt-get install openssh-server"
    return found


@contextmanager
def _privileges_apart() -> Iterator[None]:
    made = os.getuid() == 0 and not PRIVSEP.exists()
    if made:
        PRIVSEP.mkdir(mode=0o755)
    try:
        yield
    finally:
        if made:
            with suppress(OSError):
                PRIVSEP.rmdir()


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def far(desk: Desk, sshd: Sshd, *words: str) -> Iterator[pexpect.spawn]:
    """A terminal at which somebody typed `ssh -tt HOST WORDS`."""
    with desk.terminal(sshd.ssh[0], "-tt", *sshd.ssh[1:], *words) as terminal:
        yield terminal


@pytest.mark.parametrize(
    "cut", ["the connection breaks", pytest.param("the client is killed", marks=pytest.mark.nightly)]
)
def test_a_session_outlives_the_connection_that_started_it(desk: Desk, sshd: Sshd, cut: str) -> None:
    """attach over ssh starts and shows it; after the cut every process is the same one, and it is shown again."""
    with far(desk, sshd, "oc-ops", "tmux", "attach") as terminal:
        terminal.expect("READY", timeout=60)
        assert eventually(lambda: clients(desk) == 1)
        before = desk.panes()
        assert list(before) == WINDOWS
        if cut == "the client is killed":
            os.kill(terminal.pid, signal.SIGKILL)
        else:
            for each in sshd.connections():
                with suppress(psutil.NoSuchProcess):  # one that served the other may end with it
                    each.kill()
        terminal.expect(pexpect.EOF, timeout=30)
        assert eventually(lambda: clients(desk) == 0)
    assert desk.panes() == before
    assert desk.status()["up"]
    with far(desk, sshd, "oc-ops", "tmux", "attach") as terminal:
        terminal.expect("READY", timeout=60)
        assert desk.panes() == before
        terminal.send("\x02d")
        terminal.expect("detached", timeout=30)
    assert desk.panes() == before


def test_start_over_ssh_needs_no_terminal(desk: Desk, sshd: Sshd) -> None:
    """`ssh HOST oc-ops tmux start` comes back at once, and what it started stays."""
    done = subprocess.run(
        [*sshd.ssh, "oc-ops", "tmux", "start"], env=desk.environ, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "made the session oc-ops" in done.stdout
    assert eventually(lambda: not sshd.connections())
    assert desk.status()["up"]
