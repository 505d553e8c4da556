"""The doctor's side of a guarded call: starts the warden, reads both streams, and decides when to give up."""

from __future__ import annotations

import importlib.util
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Literal

from msgspec import Struct

from oc_ops.process import guard


class Output(Struct, frozen=True):
    """One stream, capped; while nothing is left out, `head + tail` is exactly what was printed."""

    head: bytes = b""
    tail: bytes = b""
    total_bytes: int = 0

    @property
    def left_out_bytes(self) -> int:
        """How much was printed between head and tail and not kept."""
        return self.total_bytes - len(self.head) - len(self.tail)

    @property
    def text(self) -> str:
        """UTF-8 with U+FFFD for what is not; says so, on a line of its own, where bytes were left out."""
        if not self.left_out_bytes:
            return (self.head + self.tail).decode("utf-8", "replace")
        head, tail = (part.decode("utf-8", "replace") for part in (self.head, self.tail))
        return f"{head}\n… {self.left_out_bytes} bytes left out …\n{tail}"

    def first_line(self) -> str:
        """The first line that is not blank, its whitespace collapsed; empty if there is none."""
        return next((" ".join(line.split()) for line in self.text.splitlines() if line.strip()), "")


class Capture:
    """Collects one stream in at most `head_bytes` + `tail_bytes` and one chunk of memory."""

    def __init__(self, head_bytes: int, tail_bytes: int) -> None:
        self._head_bytes, self._tail_bytes = head_bytes, tail_bytes
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._in_tail = 0
        self.total_bytes = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        self.total_bytes += len(chunk)
        room = self._head_bytes - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        if chunk:
            self._tail.append(chunk)
            self._in_tail += len(chunk)
            while self._in_tail - len(self._tail[0]) >= self._tail_bytes:
                self._in_tail -= len(self._tail.popleft())

    def output(self) -> Output:
        """The output kept so far."""
        tail = b"".join(self._tail)
        return Output(bytes(self._head), tail[max(0, len(tail) - self._tail_bytes) :], self.total_bytes)


_CHUNK_BYTES = 1 << 16
_SLACK_S = 3.0
"""Time to end a tree beyond the grace (SIGKILL's own patience included) before the warden counts as stuck."""
_ADOPTS = sys.platform == "linux"
_TICK_S = 0.25
_PIPE_BYTES = 1 << 20
"""More than this is in no pipe: Linux caps an unprivileged one here, macOS far below."""


class GuardProcess(Struct, frozen=True):
    """A running warden, the marker of its call, and the pipe it reports on; closing `process.stdin` ends the call."""

    process: subprocess.Popen[bytes]
    marker: str
    status: IO[bytes]


def start(
    argv: Sequence[str], environ: Mapping[str, str], cwd: Path | None, kill_grace_s: float, *, survivors_allowed: bool
) -> GuardProcess:
    """Start a warden for `argv` in the call's own environment, so that both carry the marker; raises OSError."""
    marker = os.urandom(8).hex()
    heard, told = os.pipe()
    options = (told, int(_ADOPTS), int(survivors_allowed), kill_grace_s, _library(), environ.get("LC_CTYPE", ""))
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, *map(str, options), *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=(told,),
            start_new_session=True,  # Ctrl-C in the terminal must not reach it
            cwd=cwd,
            env={**environ, guard.MARKER: marker},
        )
    except OSError:
        os.close(heard)
        raise
    finally:
        os.close(told)
    return GuardProcess(process, marker, os.fdopen(heard, "rb", buffering=0))


@cache
def _library() -> str:
    """The folder psutil is imported from; the warden starts without site-packages."""
    spec = importlib.util.find_spec("psutil")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).absolute().parent.parent)


class Watch:
    """Both streams and the warden's reports, read as they come."""

    def __init__(
        self,
        guard: GuardProcess,
        head_bytes: int,
        tail_bytes: int,
        clock: Callable[[], float],
        on_output: Callable[[bytes], None] | None = None,
    ) -> None:
        self._warden, self._clock, self._on_output = guard, clock, on_output
        self.stdout, self.stderr = Capture(head_bytes, tail_bytes), Capture(head_bytes, tail_bytes)
        self.exit: int | None = None
        self.missing: int | None = None
        self.killed, self.cpu_s = 0, 0.0
        self._done = self._lost = False
        self._unread = b""
        self._last_output = clock()
        self.answered_at: float | None = None
        self._selector = selectors.DefaultSelector()
        process = guard.process
        for pipe, sink in ((process.stdout, self.stdout), (process.stderr, self.stderr), (guard.status, None)):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, selectors.EVENT_READ, sink)

    def until_exit(
        self, deadline: float, linger_s: float, complete: Callable[[bytes], bool] | None
    ) -> Literal["lingered", "timed-out"] | None:
        """Read until the call has exited (or its warden is lost); otherwise say why to give it up."""
        judged_bytes = 0  # the same output is not judged twice
        while self.exit is None and not self._lost:
            now, quiet_at = self._clock(), self._last_output + linger_s
            if complete and self.stdout.total_bytes != judged_bytes and now >= min(quiet_at, deadline):
                judged_bytes = self.stdout.total_bytes
                output = self.stdout.output()
                if not output.left_out_bytes and complete(output.head + output.tail):
                    return "lingered"
            if now >= deadline:
                return "timed-out"
            unjudged = complete and self.stdout.total_bytes != judged_bytes
            until = min(quiet_at, deadline) if unjudged else deadline
            if self._on_output:
                self._on_output(b"")
                until = min(until, now + _TICK_S)
            self._wait(until - now)
        return None

    def end(self, kill_grace_s: float) -> None:
        """Have the tree ended, await the warden's last word, and read what was printed until then."""
        process = self._warden.process
        assert process.stdin is not None
        process.stdin.close()  # from here on the tree is ended, even if the next line is never reached
        until = time.monotonic() + kill_grace_s + _SLACK_S
        try:
            while not self._done and not self._lost and (left_s := until - time.monotonic()) > 0:
                self._wait(left_s)
            if not self._done:
                self._end_alone()
            self._drain()
            process.wait()
        finally:
            self._selector.close()
            for pipe in (process.stdout, process.stderr, self._warden.status):
                assert pipe is not None
                pipe.close()

    def _end_alone(self) -> None:
        """The warden was killed or stopped by somebody: find the tree by its marker, then end the warden as well."""
        from oc_ops.process.tree import Tree

        self.killed = Tree(self._warden.process.pid, (guard.MARKER, self._warden.marker), adopts=False).end(0)
        self._warden.process.kill()

    def _wait(self, seconds: float) -> None:
        for key, _ in self._selector.select(max(0, seconds)):
            self._read(key)

    def _drain(self) -> None:
        """Take what is still in the pipes; a survivor may hold them open, so never wait for their end."""
        for key in tuple(self._selector.get_map().values()):
            for _ in range(_PIPE_BYTES // _CHUNK_BYTES):
                if not self._read(key):
                    break

    def _read(self, key: selectors.SelectorKey) -> bool:
        """Read one chunk; false when there is nothing, or nothing any more."""
        try:
            chunk = os.read(key.fd, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._selector.unregister(key.fileobj)
            self._lost |= key.data is None and not self._done
        elif key.data is None:
            self._hear(chunk)
        else:
            key.data.feed(chunk)
            self._last_output = self._clock()
            if key.data is self.stdout:
                self.answered_at = self._last_output
                if self._on_output:
                    self._on_output(chunk)
        return bool(chunk)

    def _hear(self, chunk: bytes) -> None:
        """The warden's reports: `missing ERRNO`, `exit CODE` (a signal is negative), `done KILLED CPU_S`."""
        *lines, self._unread = (self._unread + chunk).split(b"\n")
        for word, *values in (line.decode().split() for line in lines):
            match word:
                case "missing":
                    self.missing = int(values[0])
                case "exit":
                    self.exit = int(values[0])
                case "done":
                    self._done, self.killed, self.cpu_s = True, int(values[0]), float(values[1])
