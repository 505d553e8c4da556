"""The guarded run of one outside program: bounded in time and output, and nothing of it is left afterwards."""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from msgspec import Struct

from oc_ops.errors import CouldNotLook
from oc_ops.process.jsontext import complaint, telling_line
from oc_ops.process.supervise import Output, Watch, start
from oc_ops.settings import for_a_child

_RAISING = (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)
"""Ctrl-C, a service manager's stop, and the deadline of a check."""


@contextmanager
def signals_held() -> Iterator[None]:
    """Keep them waiting for the duration of the block, which must be bounded and start no process.

    The kernel remembers them, each once, and they are delivered as the block is left. Another thread may still
    receive them; Python then raises in the main thread as ever.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, _RAISING)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


__all__ = ["Call", "Outcome", "Output", "run"]

Outcome = Literal["answered", "lingered", "timed-out", "crashed", "refused", "missing"]
"""answered: exit 0. refused: any other exit. crashed: died of a signal that was not ours. missing: cannot be executed.

lingered: the complete answer was printed, but the process did not exit. timed-out: no complete answer by the deadline,
or by the moment it was cut short, which `Call.why` then tells.
"""

_SUMMARY_CHARS = 300


class Call(Struct, frozen=True):
    """One finished call of an outside program.

    `exit` and `signal` tell how it ended by itself, None when it had to be ended. `wall_s` runs until it exited or was
    given up, `cpu_s` is user and system time of all its processes that were waited for, `killed` counts those that
    had to be ended, at the deadline or because they outlived it. `answer_s` is when standard output last grew, None if
    it stayed empty. `why` says what made it missing, or what cut it short before its deadline.
    """

    argv: tuple[str, ...]
    outcome: Outcome
    exit: int | None
    signal: int | None
    wall_s: float
    cpu_s: float
    started_at: datetime
    stdout: Output
    stderr: Output
    killed: int
    deadline_s: float
    answer_s: float | None = None
    why: str = ""

    @property
    def summary(self) -> str:
        """The call on one line of at most 300 characters; not redacted."""
        command = _clipped(_named(self.argv), _SUMMARY_CHARS // 2)
        took = f"after {self.wall_s:.1f} s"
        return _clipped(f"`{command}` {self._ending(took)}", _SUMMARY_CHARS)

    def _ending(self, took: str) -> str:
        match self.outcome:
            case "answered":
                return f"answered in {self.wall_s:.1f} s"
            case "lingered":
                return f"answered in {self.answer_s or 0.0:.1f} s but did not exit"
            case "timed-out":
                return f"was {self.why}" if self.why else f"timed out {took}"
            case "crashed":
                return f"died of {_signal_name(self.signal or 0)} {took}"
            case "missing":
                return self.why
            case "refused":
                return f"exited {self.exit} {took}{': ' if self.said else ''}{self.said}"

    @property
    def said(self) -> str:
        """Why it was refused, in its own words on one line: the message of a JSON error before any other line."""
        for text in (self.stdout.text, self.stderr.text):
            if found := complaint(text):
                return telling_line(found)
        return telling_line(self.stderr.text) or telling_line(self.stdout.text)


def run(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str],
    deadline_s: float,
    kill_grace_s: float = 1.0,
    linger_s: float = 2.0,
    complete: Callable[[bytes], bool] | None = None,
    cwd: Path | None = None,
    head_bytes: int = 1 << 20,
    tail_bytes: int = 1 << 18,
    survivors_allowed: bool = False,
    on_terminal: bool = False,
    on_output: Callable[[bytes], None] | None = None,
    on_call: Callable[[Call], None] = lambda _call: None,
    clock: Callable[[], float] = time.monotonic,
) -> Call:
    """Run `argv` without a shell, standard input at its end, in a session of its own, and see it through.

    `environ` is the complete environment; its PATH finds `argv[0]`. `complete` tells whether a standard output is the
    whole answer: it is asked once the process has printed nothing for `linger_s`, and at the deadline.

    Whatever happens, an exception (KeyboardInterrupt included) or SIGKILL of this process too, every process the call
    started gets SIGTERM and, `kill_grace_s` later, SIGKILL; after an exit of its own those that outlive it do,
    unless `survivors_allowed`. Returns within deadline_s + kill_grace_s and about half a second. Raises CouldNotLook
    if no process can be started at all, or if somebody killed the warden.

    With `on_terminal` the call runs on a terminal of its own, as a person's does, and both its streams are `stdout`.
    `on_output` is handed what stdout prints as it comes, and b"" four times a second: what it raises then, and only
    then, cuts the call short.

    `on_call` is told of every call that was started, before this returns or the exception goes on: also of one that
    was cut short, with what it had printed. A second Ctrl-C, SIGTERM or SIGALRM waits until that is done.
    """
    started_at, began = datetime.now(UTC), clock()
    # A doctor that we start tells people itself; nobody else has to know where to.
    environ = environ if argv[0] == sys.executable else for_a_child(environ)
    try:
        warden = start(
            _on_terminal(argv) if on_terminal else argv, environ, cwd, kill_grace_s, survivors_allowed=survivors_allowed
        )
    except OSError as error:
        raise CouldNotLook(f"`{_named(argv)}` could not be started: {error}") from error
    watch = Watch(warden, head_bytes, tail_bytes, clock, on_output)
    given_up: Literal["lingered", "timed-out"] | None = "timed-out"
    why = ""
    try:
        given_up = watch.until_exit(began + deadline_s, linger_s, complete)
        wall_s = clock() - began
        lost = given_up is None and watch.exit is None
        if lost:
            given_up, why = "timed-out", f"lost after {wall_s:.1f} s: its warden was killed from outside"
    except BaseException as error:
        wall_s = clock() - began
        why = f"cut short after {wall_s:.1f} s by {_error(error)}"
        raise
    finally:
        with signals_held():
            watch.end(kill_grace_s)
            code = watch.exit if given_up is None and watch.missing is None else None
            call = Call(
                argv=tuple(argv),
                outcome=given_up or _outcome(code),
                exit=code if code is not None and code >= 0 else None,
                signal=-code if code is not None and code < 0 else None,
                wall_s=wall_s,
                cpu_s=watch.cpu_s,
                started_at=started_at,
                stdout=watch.stdout.output(),
                stderr=watch.stderr.output(),
                killed=watch.killed,
                deadline_s=deadline_s,
                answer_s=None if watch.answered_at is None else watch.answered_at - began,
                why=_why(watch.missing, argv[0], environ) if given_up is None and watch.missing is not None else why,
            )
            on_call(call)
    if lost:
        said = telling_line(call.stderr.text)
        raise CouldNotLook(f"the warden of `{_named(argv)}` was killed from outside{': ' if said else ''}{said}")
    return call


def _on_terminal(argv: Sequence[str]) -> list[str]:
    from oc_ops.process import pty

    return pty.command(argv)


def _outcome(code: int | None) -> Outcome:
    if code is None:
        return "missing"
    return "answered" if code == 0 else "refused" if code > 0 else "crashed"


def _why(number: int, program: str, environ: Mapping[str, str]) -> str:
    if number != errno.ENOENT:
        return f"cannot be executed: {os.strerror(number)}"
    if shutil.which(program, path=environ.get("PATH")):
        return "cannot be executed: the interpreter named in its first line is missing"
    return "not found"


def _error(error: BaseException) -> str:
    """An exception in words, as the last line of a traceback has it."""
    return ": ".join(filter(None, (type(error).__name__, str(error))))


def _named(argv: Sequence[str]) -> str:
    """The command as an operator would type it."""
    return " ".join([Path(argv[0]).name, shlex.join(argv[1:])]).strip()


def _clipped(text: str, chars: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= chars else f"{text[: chars - 1]}…"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
