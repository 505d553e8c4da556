"""What one stream of a call printed, kept within bounds: its head, its tail, and how much there was."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Output:
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
        """What has been kept so far."""
        tail = b"".join(self._tail)
        return Output(bytes(self._head), tail[max(0, len(tail) - self._tail_bytes) :], self.total_bytes)
