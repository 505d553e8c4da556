"""A conversation through an outside program, as a socket: what it reads and prints is the other end's word."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence

from oc_ops.errors import CouldNotLook

CONNECTED, REFUSED = b"C", b"R"
"""The first byte that the program prints: it is through to the other end, or nobody takes the connection there."""

_END_S = 1.0
_WORDS_BYTES = 300


class Relay(socket.socket):
    """A socket whose other end is a program's standard input and output; closing it ends the program.

    The program ends by itself too when its input ends: nothing of it outlives us, kill -9 included.
    """

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str], deadline_s: float) -> None:
        """Start it and wait for its first byte; raises ConnectionRefusedError, CouldNotLook where it does not run."""
        ours, theirs = socket.socketpair()
        super().__init__(fileno=ours.detach())
        try:
            self._process = subprocess.Popen(
                list(argv),
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.PIPE,
                env=dict(environ),
                start_new_session=True,
            )
        except OSError as error:
            super().close()
            raise CouldNotLook(f"`{argv[0]}` could not be started: {error.strerror}") from error
        finally:
            theirs.close()
        try:
            self._await_first(" ".join(argv[:2]), deadline_s)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close our end, and see the program gone within a second."""
        super().close()
        process = self._process
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        finally:
            if process.stderr:
                process.stderr.close()

    def _await_first(self, command: str, deadline_s: float) -> None:
        self.settimeout(deadline_s)
        try:
            first = self.recv(1)
        except TimeoutError:
            raise CouldNotLook(f"`{command}` was not through within {deadline_s:g} s") from None
        if first == REFUSED:
            raise ConnectionRefusedError
        if first != CONNECTED:
            raise CouldNotLook(f"`{command}` ended without a connection: {self._words() or 'it said nothing'}")

    def _words(self) -> str:
        """Its words about its failure, as far as that comes within a quarter of a second."""
        pipe, said, until = self._process.stderr, b"", time.monotonic() + 0.25
        assert pipe is not None
        while len(said) < _WORDS_BYTES and (left_s := until - time.monotonic()) > 0:
            if not select.select([pipe], [], [], left_s)[0] or not (chunk := os.read(pipe.fileno(), _WORDS_BYTES)):
                break
            said += chunk
        lines = [each for each in said.decode("utf-8", "replace").splitlines() if each.strip()]
        return lines[-1].strip() if lines else ""
