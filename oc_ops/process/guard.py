"""The process between the doctor and one call: starts it, waits for it, and leaves nothing of its tree behind.

`python -I -S guard.py STATUS ADOPTS SURVIVORS GRACE_S LIBRARY LOCALE ARGV…`, started by `process.run`. Standard input
is a pipe from the doctor that never carries a byte: when it closes, because the call was given up or because the doctor
is dead, however it died, the tree is ended. On Linux the warden is a child subreaper: whatever a descendant does, once
orphaned it becomes a child of the warden, so "no children" proves that nothing is left, and costs one system call.

It imports as little as it can: psutil only when there is something to end.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress

TYPE_CHECKING = False  # importing typing would cost as much as starting Python
if TYPE_CHECKING:
    from collections.abc import Callable

    from oc_ops.process.tree import Tree

MARKER = "OC_OPS_CALL"
"""The environment variable by which the processes of a call are found again; its value is unique per call."""
CONTROL = 0
SETTLE_S = 0.1
"""How long what a call started may take to follow it by itself."""
FIRST_LOOK_S, LAST_LOOK_S = 0.3, 10.0
"""Where orphans are not adopted, the tree is looked at this soon, then at doubling intervals up to the other."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


class Guard:
    """One call and what became of its processes."""

    def __init__(self, status: int, *, adopts: bool, library: str) -> None:
        self._status, self._library = status, library
        self._prctl = _prctl() if adopts else None
        self._adopts = self._prctl is not None and self._prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
        self._wake, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._poll = select.poll()
        self._poll.register(self._wake, select.POLLIN)
        self._known: Tree | None = None
        self._pid = 0
        self.exit: int | None = None
        self.childless = False
        self.cpu_s = 0.0

    def start(self, argv: list[str]) -> None:
        """Start the call in a session of its own; one that cannot be executed is told as `missing ERRNO`."""
        warden = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.setsid()
                if self._prctl:
                    self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                    if os.getppid() != warden:  # killed before we asked to follow it
                        os._exit(127)
                os.dup2(os.open(os.devnull, os.O_RDONLY), CONTROL)
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
                    signal.signal(number, signal.SIG_DFL)
                os.execvp(argv[0], argv)  # noqa: S606  no shell, on purpose
            except OSError as error:
                self.tell(f"missing {error.errno}")
            finally:
                os._exit(127)

    def tell(self, line: str) -> None:
        """One line to the doctor; that it is gone is no reason not to go on."""
        with suppress(OSError):
            os.write(self._status, line.encode() + b"\n")

    def pause(self, seconds: float) -> bool:
        """Wait until a child dies, the control pipe closes (true, while it is watched) or the time is over."""
        ready = {descriptor for descriptor, _ in self._poll.poll(max(1, round(seconds * 1000)))}
        if self._wake in ready:
            os.read(self._wake, 4096)
        self._reap()
        return CONTROL in ready

    def _reap(self) -> None:
        """Collect the dead: the call itself and its orphans; every child here is the call's."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self.childless = True
                return
            if pid == 0:
                return
            self.cpu_s += usage.ru_utime + usage.ru_stime
            if pid == self._pid:
                self.exit = os.waitstatus_to_exitcode(status)
                self.tell(f"exit {self.exit}")

    def watch(self) -> None:
        """Return when the call has exited, or when the doctor does not want it any longer."""
        self._poll.register(CONTROL, select.POLLIN)
        look_s = FIRST_LOOK_S
        look_at = time.monotonic() + look_s
        while self.exit is None:
            if self.pause(3600.0 if self._adopts else look_at - time.monotonic()):
                break
            if not self._adopts and time.monotonic() >= look_at:
                self._tree().members()
                look_s = min(2 * look_s, LAST_LOOK_S)
                look_at = time.monotonic() + look_s
        self._poll.unregister(CONTROL)

    def end(self, grace_s: float) -> int:
        """End what is left of the call; returns how many processes that were."""
        if self._adopts:
            until = time.monotonic() + (SETTLE_S if self.exit is not None else 0)
            while not self.childless and time.monotonic() < until:
                self.pause(until - time.monotonic())
            if self.childless:
                return 0
        ended = self._tree().end(grace_s, self.pause)
        self._reap()
        return ended

    def _tree(self) -> Tree:
        if self._known is None:
            project = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
            sys.path += [project, self._library]
            from oc_ops.process.tree import Tree

            self._known = Tree(os.getpid(), (MARKER, os.environ.get(MARKER, "")), adopts=self._adopts)
        return self._known


def _prctl() -> Callable[..., int] | None:
    import ctypes

    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), "prctl", None)
    return function


def main() -> None:
    """Guard one call from start to end, then say `done KILLED CPU_S`."""
    status, adopts, survivors = (int(word) for word in sys.argv[1:4])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with the doctor, not before
    os.set_inheritable(status, False)
    # Python sets LC_CTYPE in the C locale (PEP 538); the call gets what its caller gave.
    os.environ.pop("LC_CTYPE", None)
    if sys.argv[6]:
        os.environ["LC_CTYPE"] = sys.argv[6]
    warden = Guard(status, adopts=bool(adopts), library=sys.argv[5])
    warden.start(sys.argv[7:])
    warden.watch()
    ended = 0 if survivors and warden.exit is not None else warden.end(float(sys.argv[4]))
    warden.tell(f"done {ended} {warden.cpu_s:.6f}")
    os._exit(0)


if __name__ == "__main__":
    main()
