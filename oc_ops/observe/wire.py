"""One WebSocket to a gateway, opened and read against deadlines; it knows frames, not what they mean."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

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
    from websockets.sync.client import ClientConnection

MAX_FRAME_BYTES = 8 * 2**20
"""The largest answer taken; `cron.list` and `logs.tail` of a big installation stay well below."""

_CLOSE_S = 0.25


class Wire:
    """One WebSocket, read frame by frame against deadlines on the monotonic clock."""

    def __init__(self, connection: ClientConnection, closing: ExitStack, secrets: tuple[str, ...]) -> None:
        self._connection, self._closing = connection, closing
        self._secrets = tuple(each for each in secrets if each)
        self.babbled = False
        self.on_event: Callable[[Mapping[str, object]], None] = lambda _frame: None
        """Takes the event frames that arrive while an answer is waited for; the default lets them pass by."""

    def send(self, request_id: str, method: str, params: Mapping[str, object]) -> None:
        """Send one request frame; raises ConnectionClosed."""
        self._connection.send(json.dumps({"type": "req", "id": request_id, "method": method, "params": params}))

    def receive(self, deadline: float) -> Mapping[str, object]:
        """The next frame; empty for one that is not a JSON object. Raises TimeoutError or ConnectionClosed."""
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError
        try:
            return table(json.loads(self._connection.recv(timeout=remaining_s)))
        except (ValueError, RecursionError):
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
        while True:
            frame = self.receive(deadline)
            if frame.get("type") == "res" and frame.get("id") == request_id:
                return frame
            if frame.get("type") == "event":
                self.on_event(frame)

    def shown(self, text: str) -> str:
        """A text from the other end as one line in which none of our secrets appears."""
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        return one_line(text)

    def close(self) -> None:
        """Say goodbye and be gone within a quarter of a second, answered or not; no thread stays."""
        self._closing.close()


def open_wire(gateway: str, address: tuple[str, int], deadline: float, secrets: Iterable[str]) -> Wire:
    """TCP and the WebSocket upgrade; our own socket keeps proxies and redirects out of it."""
    import logging

    from websockets.sync.client import connect as upgrade

    try:
        sock = socket.create_connection(address, timeout=max(0.001, deadline - time.monotonic()))
    except TimeoutError:
        raise RpcRefused("silent", f"nothing took the connection to {gateway} in time") from None
    except OSError as error:
        raise RpcRefused("unreachable", f"cannot connect to {gateway}: {error.strerror or error}") from None
    stack = ExitStack()
    try:
        sock.settimeout(None)
        stack.callback(sock.close)
        connection = stack.enter_context(
            upgrade(
                gateway,
                sock=sock,
                compression=None,
                proxy=None,
                user_agent_header=USER_AGENT,
                open_timeout=max(0.001, deadline - time.monotonic()),
                ping_interval=None,
                close_timeout=_CLOSE_S,
                max_size=MAX_FRAME_BYTES,
                max_queue=4,
                # Its frame log would hold the token; a logger of our own that takes nothing keeps it out of any report.
                logger=logging.Logger("oc_ops.rpc", logging.CRITICAL + 1),
            )
        )
    except BaseException as error:
        stack.close()
        if isinstance(error, Exception):
            raise _upgrade_refusal(gateway, error) from None
        raise
    return Wire(connection, stack, tuple(secrets))


def _upgrade_refusal(gateway: str, error: Exception) -> RpcRefused:
    from websockets.exceptions import InvalidMessage, InvalidStatus

    for each in (error, error.__cause__, error.__context__):
        if isinstance(each, InvalidStatus):  # also behind the complaint about a redirect that is not followed
            return _http_refusal(each.response.status_code, bytes(each.response.body or b""))
    if isinstance(error, TimeoutError):
        return RpcRefused("silent", f"{gateway} took the connection and did not answer the upgrade in time")
    if isinstance(error.__cause__ if isinstance(error, InvalidMessage) else error, EOFError | OSError):
        return RpcRefused("closed", f"{gateway} closed the connection before answering the upgrade")
    return RpcRefused("stranger", f"{gateway} does not answer as a WebSocket server: {one_line(str(error))}")


def _http_refusal(status: int, body: bytes) -> RpcRefused:
    said = one_line(body[:2000].decode("utf-8", "replace"), 120)
    kinds: Mapping[int, RefusalKind] = {401: "auth", 403: "auth", 429: "auth", 503: "starting"}
    kind = kinds.get(status, "stranger")
    return RpcRefused(kind, f"the port answers the WebSocket upgrade with HTTP {status}: {said}", str(status))
