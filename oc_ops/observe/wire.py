"""One WebSocket to a gateway, opened and read against deadlines; it knows frames, not what they mean."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from oc_ops import files
from oc_ops.observe.handshake import (
    USER_AGENT,
    Challenge,
    RefusalKind,
    RpcRefused,
    challenge_in,
    one_line,
    table,
)

if TYPE_CHECKING:
    from websockets.client import ClientProtocol
    from websockets.frames import Frame

    from oc_ops.observe.tls import TlsSocket

MAX_FRAME_BYTES = 8 * 2**20
"""The largest answer taken; `cron.list` and `logs.tail` of a big installation stay well below."""

_CLOSE_S = 0.25
_CHUNK_BYTES = 4 * 2**10
"""Read at once: two thousand empty frames fit in, each of which takes some 30 µs before the clock is looked at."""

_WRITTEN_BYTES = 64 * 2**10
_MOST_UNSENT_BYTES = 2**20
"""Bytes that may wait for an end that does not read, mostly pongs to its pings; beyond, it is not read either."""


class Wire:
    """One WebSocket, read frame by frame against deadlines on the monotonic clock.

    Nothing runs beside it: no thread reads or writes, so whatever the other end does ends at the deadline of who asks.
    """

    def __init__(self, sock: socket.socket | TlsSocket, protocol: ClientProtocol, secrets: Iterable[str]) -> None:
        self._sock, self._protocol = sock, protocol
        self._secrets = tuple(each for each in secrets if each)
        self._frames: deque[Frame] = deque()
        self._message, self._unsent = bytearray(), bytearray()
        self._poll = select.poll()
        self.babbled = False
        self.frame_bytes = 0
        """The size of the frame that was received last."""
        self.on_event: Callable[[Mapping[str, object]], None] = lambda _frame: None
        """Takes the event frames that arrive while an answer is waited for; the default lets them pass by."""

    @property
    def ends(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Our address and port, and those of the other end. Raises OSError when the other end is gone."""
        ours, theirs = self._sock.getsockname(), self._sock.getpeername()
        return (ours[0], ours[1]), (theirs[0], theirs[1])

    def upgrade(self, deadline: float) -> None:
        """Shake hands as a WebSocket client; raises what the protocol has against the answer, or TimeoutError."""
        from websockets.protocol import State

        request = self._protocol.connect()
        request.headers["User-Agent"] = USER_AGENT
        self._protocol.send_request(request)
        while self._protocol.state is State.CONNECTING and self._protocol.handshake_exc is None:
            self._turn(deadline)
        if self._protocol.handshake_exc is not None:
            raise self._protocol.handshake_exc
        self._take()

    def send(self, request_id: str, method: str, params: Mapping[str, object], deadline: float) -> None:
        """Send one request frame; raises ConnectionClosed or TimeoutError."""
        from websockets.protocol import State

        if self._protocol.state is not State.OPEN:
            raise self._gone()
        frame = {"type": "req", "id": request_id, "method": method, "params": params}
        self._protocol.send_text(json.dumps(frame).encode())
        self._collect()
        while self._unsent and self._protocol.state is State.OPEN:
            self._turn(deadline)

    def receive(self, deadline: float) -> Mapping[str, object]:
        """The next frame; empty for one that is not a JSON object. Raises TimeoutError or ConnectionClosed."""
        from websockets.frames import Opcode
        from websockets.protocol import State

        if time.monotonic() >= deadline:
            raise TimeoutError
        while True:
            while self._frames:
                frame = self._frames.popleft()
                if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                    self._message += frame.data
                    if frame.fin:
                        return self._whole()
            if self._protocol.state is not State.OPEN:
                raise self._gone()
            self._turn(deadline)

    def _whole(self) -> Mapping[str, object]:
        message, self._message = bytes(self._message), bytearray()
        self.frame_bytes = len(message)
        try:
            return table(files.json_of(message))
        except ValueError:
            return {}

    def challenge(self, deadline: float) -> Challenge:
        """The gateway's challenge; whatever comes before it is remembered as babble."""
        while True:
            challenge = challenge_in(self.receive(deadline))
            if challenge is not None:
                self.babbled = False
                return challenge
            self.babbled = True

    def answer(self, request_id: str, deadline: float) -> Mapping[str, object]:
        """The response to one request; events that come before it go to `on_event`."""
        return self.answer_to({request_id}, deadline)[1]

    def answer_to(self, request_ids: Collection[str], deadline: float) -> tuple[str, Mapping[str, object]]:
        """The first response to any of these requests, with its id."""
        while True:
            frame = self.receive(deadline)
            id_ = frame.get("id")
            if frame.get("type") == "res" and isinstance(id_, str) and id_ in request_ids:
                return id_, frame
            if frame.get("type") == "event":
                self.on_event(frame)

    def shown(self, text: str) -> str:
        """A text from the other end as one line in which none of our secrets appears."""
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        return one_line(text)

    def close(self) -> None:
        """Say goodbye and be gone within a quarter of a second, answered or not."""
        from websockets.protocol import State

        if self._sock.fileno() < 0:
            return
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            self._gone()
        self._sock.close()

    def _gone(self) -> Exception:
        """Why the connection is over, once the other end has gone too or has had a quarter of a second for it."""
        from websockets.protocol import State

        deadline = time.monotonic() + _CLOSE_S
        self._collect()
        with contextlib.suppress(TimeoutError):
            while self._protocol.state is not State.CLOSED:
                self._turn(deadline)
        self._protocol.receive_eof()
        return self._protocol.close_exc

    def _turn(self, deadline: float) -> None:
        """Write and read what the socket takes and has, after waiting for it; raises TimeoutError at the deadline."""
        self._collect()
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError
        if self._pending():
            self._read()
            return
        reads = select.POLLIN if len(self._unsent) < _MOST_UNSENT_BYTES else 0
        self._poll.register(self._sock, reads | (select.POLLOUT if self._unsent else 0))
        ready = self._poll.poll(remaining_s * 1000)
        if not ready:
            raise TimeoutError
        if ready[0][1] & select.POLLOUT:
            self._write()
        if ready[0][1] & ~select.POLLOUT:
            self._read()

    def _pending(self) -> bool:
        return not isinstance(self._sock, socket.socket) and self._sock.fileno() >= 0 and self._sock.pending()

    def _collect(self) -> None:
        for data in self._protocol.data_to_send():
            self._unsent += data

    def _write(self) -> None:
        try:
            del self._unsent[: self._sock.send(self._unsent[:_WRITTEN_BYTES])]
        except BlockingIOError:
            return
        except OSError:
            self._unsent.clear()  # what the other end still had to say is read to its end

    def _read(self) -> None:
        try:
            data = self._sock.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        self._take()

    def _take(self) -> None:
        from websockets.frames import Frame

        self._frames.extend(each for each in self._protocol.events_received() if isinstance(each, Frame))


def open_wire(
    gateway: str,
    address: tuple[str, int],
    deadline: float,
    secrets: Iterable[str],
    sock: socket.socket | None = None,
    *,
    tls: bool = False,
) -> Wire:
    """TCP, unless `sock` is connected already, and the WebSocket upgrade; no proxy or redirect comes in between."""
    import logging

    from websockets.client import ClientProtocol
    from websockets.uri import parse_uri

    try:
        sock = sock or socket.create_connection(address, timeout=max(0.001, deadline - time.monotonic()))
    except TimeoutError:
        raise RpcRefused("silent", f"nothing took the connection to {gateway} in time") from None
    except OSError as error:
        raise RpcRefused("unreachable", f"cannot connect to {gateway}: {error.strerror or error}") from None
    plain, encrypted = sock, None
    try:
        if tls:
            from oc_ops.observe.tls import TlsSocket

            encrypted = TlsSocket(sock, deadline)
        (encrypted or sock).setblocking(False)
        # Its frame log would hold the token; a logger of our own that takes nothing keeps it out of any report.
        logger = logging.Logger("oc_ops.rpc", logging.CRITICAL + 1)
        wire = Wire(
            encrypted or sock, ClientProtocol(parse_uri(gateway), max_size=MAX_FRAME_BYTES, logger=logger), secrets
        )
        wire.upgrade(deadline)
    except BaseException as error:
        (encrypted or plain).close()
        if isinstance(error, Exception):
            raise _upgrade_refusal(gateway, error) from None
        raise
    return wire


def _upgrade_refusal(gateway: str, error: Exception) -> RpcRefused:
    from websockets.exceptions import InvalidStatus

    for each in (error, error.__cause__, error.__context__):
        if isinstance(each, InvalidStatus):  # also behind the complaint about a redirect that is not followed
            return _http_refusal(each.response.status_code, bytes(each.response.body or b""))
    if isinstance(error, TimeoutError):
        return RpcRefused("silent", f"{gateway} took the connection and did not answer the upgrade in time")
    if isinstance(error, EOFError | OSError) or isinstance(error.__cause__, EOFError | OSError):
        return RpcRefused("closed", f"{gateway} closed the connection before answering the upgrade")
    return RpcRefused("stranger", f"{gateway} does not answer as a WebSocket server: {one_line(str(error))}")


def _http_refusal(status: int, body: bytes) -> RpcRefused:
    said = one_line(body[:2000].decode("utf-8", "replace"), 120)
    kinds: Mapping[int, RefusalKind] = {401: "auth", 403: "auth", 429: "auth", 503: "starting"}
    kind = kinds.get(status, "stranger")
    return RpcRefused(kind, f"the port answers the WebSocket upgrade with HTTP {status}: {said}", str(status))
