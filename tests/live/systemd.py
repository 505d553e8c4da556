"""A user service manager of the tests' own: a D-Bus and a `systemd --user` in a folder, ended with all they started."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from oc_ops.observe.service import service
from oc_ops.observe.target import locate

UNIT = "openclaw-gateway.service"
SYSTEMD = Path("/lib/systemd/systemd")
_BOOTED = Path("/run/systemd/system")
_SYSTEM_MANAGER = Path("/run/systemd/private")


@dataclass(frozen=True, slots=True)
class Manager:
    """A user service manager of the test's own: nothing of it is the machine's."""

    root: Path
    environ: dict[str, str]
    unit: str = UNIT

    def start(self, exec_start: str, *settings: str) -> None:
        """Install the gateway's unit with these [Service] lines and start it."""
        self.install(exec_start, *settings)
        self.systemctl("restart", "--no-block", self.unit)

    def install(self, exec_start: str, *settings: str) -> Path:
        """Write the unit, without starting it."""
        unit = self.root / "config" / "systemd" / "user" / self.unit
        unit.parent.mkdir(parents=True, exist_ok=True)
        lines = ["[Unit]", "StartLimitIntervalSec=0", "[Service]", f"ExecStart={exec_start}", *settings]
        unit.write_text("\n".join(lines) + "\n")
        self.systemctl("daemon-reload")
        return unit

    def stop(self) -> None:
        """Stop the unit and forget that it failed."""
        self.systemctl("stop", self.unit)
        self.systemctl("reset-failed")

    def until(self, state: str, restarts: int = 0) -> None:
        """Wait for what the doctor's own room says of the unit."""
        target = locate(self.environ)
        self.await_(lambda: (seen := service(target)).state == state and (seen.restarts or 0) >= restarts)

    def systemctl(self, *words: str) -> None:
        """Ask this manager, whatever it answers."""
        subprocess.run(["systemctl", "--user", *words], env=self.environ, check=False, capture_output=True, timeout=60)

    def await_(self, holds: Callable[[], bool], within_s: float = 180) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < end, service(locate(self.environ))
            time.sleep(0.05)


@contextmanager
def user_manager(root: Path, home: Path | None = None, profile: str = "") -> Iterator[Manager]:
    """A D-Bus and a `systemd --user` for that home, whose own enabled units it does not start."""
    with ExitStack() as ending:
        # systemd wants to see that it booted the machine; a container or CI box may lack the folder that says so.
        ending.enter_context(_booted())
        runtime = root / "run"
        runtime.mkdir(mode=0o700)
        environ = {
            "HOME": str(home or root),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(runtime),
            "XDG_CONFIG_HOME": str(root / "config"),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={runtime}/bus",
        }
        bus = shutil.which("dbus-daemon") or "dbus-daemon"
        ending.enter_context(_daemon([bus, "--session", f"--address=unix:path={runtime}/bus", "--nofork"], environ))
        ending.enter_context(_daemon([str(SYSTEMD), "--user"], environ))
        made = Manager(root, environ, f"openclaw-gateway-{profile}.service" if profile else UNIT)
        asked = ["systemctl", "--user", "is-system-running", "--wait"]
        made.await_(lambda: b"running" in subprocess.run(asked, env=environ, check=False, capture_output=True).stdout)
        ending.callback(made.stop)
        yield made


@contextmanager
def system_manager(root: Path) -> Iterator[None]:
    """Where systemd did not boot the machine, a second manager that knows no unit answers for the system's.

    2026.9.6 starts a user's unit only after the system's manager has said that it has none of that name.
    """
    if os.path.lexists(_SYSTEM_MANAGER):
        yield
        return
    runtime = root / "system"
    runtime.mkdir(mode=0o700)
    environ = {"HOME": str(runtime), "PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(runtime)}
    private = runtime / "systemd" / "private"
    with _daemon([str(SYSTEMD), "--user"], environ):
        end = time.monotonic() + 120
        while not private.exists():
            assert time.monotonic() < end, "the second manager did not come up"
            time.sleep(0.05)
        _SYSTEM_MANAGER.symlink_to(private)
        try:
            yield
        finally:
            _SYSTEM_MANAGER.unlink()


@contextmanager
def _booted() -> Iterator[None]:
    """The folder is there; who made it takes it away again once no other test process needs it."""
    with (Path(tempfile.gettempdir()) / f"oc-ops-tests-systemd-{os.getuid()}").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        made = not _BOOTED.exists()
        _BOOTED.mkdir(parents=True, exist_ok=True)
        if made:
            (_BOOTED / "oc-ops-tests").touch()
        try:
            yield
        finally:
            with suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if (_BOOTED / "oc-ops-tests").exists():
                    shutil.rmtree(_BOOTED, ignore_errors=True)


@contextmanager
def _daemon(argv: Sequence[str], environ: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(argv, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)
