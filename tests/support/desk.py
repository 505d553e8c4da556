"""Somebody's desk: a tmux server of their own in a throwaway place, `oc-ops` as they type it, and what they see."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pexpect
import psutil

from oc_ops.cockpit import snapshot
from oc_ops.cockpit.state import Snapshot
from tests.support import bytecode
from tests.support.snapshots import sample
from tests.support.survivors import eventually

PROJECT = Path(__file__).resolve().parents[2]
WINDOWS = ["status", "runs", "browser", "incidents", "adhoc"]
LATEST_S = 90.0
FRESH_S = 3600.0
"""A snapshot stamped so far ahead stays fresh for the whole test, and nobody starts a watcher."""


class Ran:
    """A command that has ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


class Desk:
    """One person's home, tmux server and cockpit."""

    def __init__(self, root: Path) -> None:
        # The path of a Unix socket holds about a hundred bytes: fewer than a test's own folder takes.
        self.sockets = Path(tempfile.mkdtemp(prefix="oc-desk-", dir="/tmp"))
        self.home = root / "home"
        self.home.mkdir()
        self.memory = root / "memory"
        (root / "bin").mkdir()
        command = root / "bin" / "oc-ops"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "from oc_ops.cli import main; main()" "$@"\n')
        command.chmod(0o755)
        self.environ = {
            "PATH": f"{root / 'bin'}{os.pathsep}{os.defpath}",
            "HOME": str(self.home),
            "PYTHONPATH": str(PROJECT),
            "TMUX_TMPDIR": str(self.sockets),
            "XDG_STATE_HOME": str(root / "state"),
            "OC_OPS_MEMORY_DIR": str(self.memory),
            "OC_OPS_REPORT_DIR": str(root / "reports"),
            "SHELL": "/bin/bash",
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            **bytecode.environ(),
        }
        self.key = hashlib.sha256(os.fsencode(self.home.resolve() / ".openclaw")).hexdigest()[:12]

    @property
    def state(self) -> Path:
        """Where the snapshot lies."""
        return snapshot.path_of(self.memory, self.key)

    def show(self, shown: Snapshot | str) -> None:
        """Have a watcher say this, now and for the next hour."""
        said = sample(shown) if isinstance(shown, str) else shown
        snapshot.Writer(self.state).write(said, now=time.time() + FRESH_S, monotonic=time.monotonic() + FRESH_S)

    def ops(self, *words: str, **environ: str) -> Ran:
        """`oc-ops tmux …` as typed."""
        done = subprocess.run(
            [sys.executable, "-c", "from oc_ops.cli import main; main()", "tmux", *words],
            env={**self.environ, **environ},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LATEST_S,
            start_new_session=True,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str, **environ: str) -> Ran:
        """`oc-ops tmux start`, which has to succeed."""
        ran = self.ops("start", *words, **environ)
        assert ran.code == 0, ran.out + ran.err
        return ran

    def status(self, *words: str) -> dict[str, Any]:
        """What `oc-ops tmux status --json` says."""
        value = json.loads(self.ops("status", "--json", *words).out)
        assert isinstance(value, dict)
        return value

    def tmux(self, *words: str, socket: str = "default", check: bool = True) -> str:
        """What tmux itself says."""
        done = subprocess.run(
            ["tmux", "-L", socket, *words], env=self.environ, capture_output=True, text=True, timeout=LATEST_S
        )
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout.rstrip("\n")

    def screen(self, window: str, *words: str) -> str:
        """What a window shows."""
        return self.tmux("capture-pane", "-p", *words, "-t", f"=oc-ops:{window}", check=False)

    def sees(self, window: str, pattern: str, within_s: float = 45.0) -> bool:
        """Whether a window comes to show something."""
        return eventually(lambda: re.search(pattern, self.screen(window)), within_s)

    def windows(self) -> list[str]:
        """The session's windows, in their order."""
        return self.tmux("list-windows", "-t", "=oc-ops:", "-F", "#{window_name}", check=False).splitlines()

    def panes(self) -> dict[str, int]:
        """The process of each window's pane."""
        lines = self.tmux("list-panes", "-s", "-t", "=oc-ops:", "-F", "#{window_name} #{pane_pid}").splitlines()
        return {name: int(pid) for name, pid in (line.split() for line in lines)}

    def drawing(self, window: str) -> psutil.Process:
        """The process that draws a window."""

        drawings: list[psutil.Process] = []

        def found() -> bool:
            drawings.clear()
            for each in psutil.Process(self.panes()[window]).children():
                # The window's shell has other children, which may be gone before they are asked.
                with suppress(psutil.Error):
                    drawings.extend([each] if "oc_ops.cockpit.panes" in each.cmdline() else [])
            return bool(drawings)

        assert eventually(found)
        return drawings[0]

    @contextmanager
    def terminal(self, *argv: str, lines: int = 24, columns: int = 80, **environ: str) -> Iterator[pexpect.spawn]:
        """A terminal in which somebody types `argv`; gone afterwards."""
        child = pexpect.spawn(
            argv[0],
            list(argv[1:]),
            env={**self.environ, **environ},
            cwd=str(self.home),
            dimensions=(lines, columns),
            timeout=LATEST_S,
            encoding="utf-8",
            codec_errors="replace",
        )
        try:
            yield child
        finally:
            child.close(force=True)

    def attached(self, **more: Any) -> Any:
        """A terminal that typed `oc-ops tmux attach`."""
        return self.terminal(sys.executable, "-c", "from oc_ops.cli import main; main()", "tmux", "attach", **more)

    def close(self) -> None:
        """End what was started here: the watcher, every tmux server."""
        lock = Path(self.environ["XDG_STATE_HOME"]) / "oc-ops" / "locks" / f"watcher-{self.key}.lock.holder"
        with suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(int(lock.read_text().split()[0]))
            if "oc_ops.cockpit.watcher" in process.cmdline():
                process.kill()
        for path in self.sockets.glob("tmux-*/*"):
            with suppress(AssertionError, subprocess.TimeoutExpired):
                self.tmux("kill-server", socket=path.name, check=False)
        shutil.rmtree(self.sockets, ignore_errors=True)


@contextmanager
def watched(root: Path) -> Iterator[Desk]:
    """A desk on which a healthy gateway is watched."""
    desk = Desk(root)
    desk.show("healthy")
    try:
        yield desk
    finally:
        desk.close()


def clients(desk: Desk, session: str = "oc-ops") -> int:
    """How many terminals show a session."""
    return len(desk.tmux("list-clients", "-t", f"={session}", check=False).splitlines())
