"""The RPC lane: one connection to a gateway as a read-only operator client of its documented WebSocket protocol."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from oc_ops.errors import CouldNotLook
from oc_ops.observe import listener
from oc_ops.observe.device import Device, keep_token, load
from oc_ops.observe.handshake import (
    Hello,
    RefusalKind,
    RpcRefused,
    connect_params,
    device_token_from,
    hello_from,
    refusal_from,
    refusal_from_close,
    table,
)
from oc_ops.observe.inside import LASTS_S, inner_port, relay
from oc_ops.observe.listener import Proven, Unproven
from oc_ops.observe.wire import MAX_FRAME_BYTES, Wire, open_wire

if TYPE_CHECKING:
    from websockets.exceptions import ConnectionClosed

    from oc_ops.observe.config import Credential, GatewayConfig
    from oc_ops.observe.target import Target
    from oc_ops.settings import Settings

__all__ = ["Hello", "Push", "RefusalKind", "RpcClient", "RpcRefused", "RpcReply", "connect", "connect_to"]

_CONNECT_ID = "connect"
_MOST_PUSHED = 256
_MOST_PUSHED_BYTES = 16 * 2**20
"""Pushed events kept for whoever asks later; of more the oldest go."""

_MOST_EVENT_NAME = 100


@dataclass(frozen=True, slots=True)
class Push:
    """One event that the gateway sent of its own accord (docs/gateway/protocol: cron, task, health, tick, …)."""

    event: str
    payload: object = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RpcReply:
    """The outcome of one request. `code` is the gateway's error code; a reply too large has the code `TOO_LARGE`."""

    method: str
    outcome: Literal["ok", "error", "silent", "closed", "unsupported"]
    payload: object = field(default=None, repr=False)
    code: str | None = None
    message: str = ""
    wall_s: float = 0.0
    details: object = field(default=None, repr=False)
    """Details that the gateway adds to an error."""


class RpcClient:
    """A connected, read-only client; use it as a context manager or close it."""

    def __init__(self, wire: Wire, hello: Hello, connect_s: float, request_s: float, notes: tuple[str, ...]) -> None:
        self.hello = hello
        self.connect_s = connect_s
        self.notes = notes
        """Notes for the operator on how we got in (a device key that had to be renewed, …)."""
        self._wire, self._request_s, self._asked = wire, request_s, 0
        self._pushed: deque[tuple[int, Push]] = deque(maxlen=_MOST_PUSHED)
        wire.on_event = self._take

    def has(self, method: str) -> bool:
        """True if this gateway offers the method; one that lists no methods is taken to offer every one."""
        return not self.hello.methods or method in self.hello.methods

    def request(
        self, method: str, params: Mapping[str, object] | None = None, *, deadline_s: float | None = None
    ) -> RpcReply:
        """Ask once and wait at most `deadline_s` (default: the `request_s` of connect); never raises for an answer.

        Late answers to earlier requests are passed over; events that arrive meanwhile are kept for `next_push`.
        """
        from websockets.exceptions import ConnectionClosed

        if not self.has(method):
            return RpcReply(method, "unsupported", message=f"this gateway has no {method}")
        started = time.monotonic()
        budget_s = self._request_s if deadline_s is None else deadline_s
        self._asked += 1
        sent = False
        try:
            self._wire.send(str(self._asked), method, params or {}, started + budget_s)
            sent = True
            answer = self._wire.answer(str(self._asked), started + budget_s)
        except TimeoutError:
            return RpcReply(
                method, "silent", message=f"no answer within {budget_s:g} s", wall_s=time.monotonic() - started
            )
        except ConnectionClosed as gone:
            return _cut_off(method, gone, sent, self._wire, time.monotonic() - started)
        return _reply(method, answer, self._wire, time.monotonic() - started)

    def requests(self, questions: Mapping[str, Mapping[str, object]], deadline_s: float) -> Mapping[str, RpcReply]:
        """Ask all of these at once and wait at most `deadline_s` for the answers, in whatever order they come.

        What the gateway looks up for one of them, it looks up while it answers another. Never raises for an answer.
        """
        from websockets.exceptions import ConnectionClosed

        started = time.monotonic()
        replies: dict[str, RpcReply] = {}
        asked: dict[str, str] = {}
        for method in questions:
            if not self.has(method):
                replies[method] = RpcReply(method, "unsupported", message=f"this gateway has no {method}")
        try:
            for method in [each for each in questions if each not in replies]:
                self._asked += 1
                asked[str(self._asked)] = method
                self._wire.send(str(self._asked), method, questions[method], started + deadline_s)
            while asked:
                id_, answer = self._wire.answer_to(asked, started + deadline_s)
                method = asked.pop(id_)
                replies[method] = _reply(method, answer, self._wire, time.monotonic() - started)
        except TimeoutError:
            wall_s, words = time.monotonic() - started, f"no answer within {deadline_s:g} s"
            replies |= {each: RpcReply(each, "silent", message=words, wall_s=wall_s) for each in asked.values()}
        except ConnectionClosed as gone:
            wall_s = time.monotonic() - started
            replies |= {each: _cut_off(each, gone, True, self._wire, wall_s) for each in asked.values()}
        return replies

    def next_push(self, wait_s: float) -> Push | None:
        """The next event the gateway pushed, waiting at most `wait_s`; None when none came.

        Raises RpcRefused of the kind `closed` (`starting` for a restart) when the connection has ended.
        """
        from websockets.exceptions import ConnectionClosed

        deadline = time.monotonic() + wait_s
        try:
            while not self._pushed:
                self._take(self._wire.receive(deadline))
        except TimeoutError:
            return None
        except ConnectionClosed as gone:
            code, reason = (gone.rcvd.code, gone.rcvd.reason) if gone.rcvd else (None, "")
            kind: RefusalKind = "starting" if code in (1012, 1013) else "closed"
            words = self._wire.shown(reason) or "no reason given"
            raise RpcRefused(kind, f"the gateway closed the connection ({code or 'no close frame'}): {words}") from None
        return self._pushed.popleft()[1]

    def _take(self, frame: Mapping[str, object]) -> None:
        event = frame.get("event")
        if frame.get("type") != "event" or not isinstance(event, str) or len(event) > _MOST_EVENT_NAME:
            return
        self._pushed.append((self._wire.frame_bytes, Push(event, frame.get("payload"))))
        while sum(size for size, _ in self._pushed) > _MOST_PUSHED_BYTES:
            self._pushed.popleft()

    def close(self) -> None:
        """Take leave; a gateway that does not answer the farewell is left after a quarter of a second."""
        self._wire.close()

    def __enter__(self) -> RpcClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


Prove = Callable[[], Sequence[Proven]]
"""Shows whose port it is at this moment: `listener.prove` of a target, or Unproven."""


def connect(
    host: str,
    port: int,
    credential: Credential,
    memory_dir: Path,
    prove: Prove,
    *,
    connect_s: float,
    request_s: float,
    tls: bool = False,
    through: Callable[[], socket.socket] | None = None,
    known_as: str = "",
) -> RpcClient:
    """Connect, pair and shake hands within `connect_s` altogether; `request_s` is the default budget of a request.

    Raises RpcRefused for every reason the lane cannot be used. Nothing secret is sent before `prove` has shown the
    listener to be the gateway and our connection to have ended there. The token a gateway issues to our device is kept
    in `memory_dir`, and used where the shared secret cannot be resolved; it never stands in for a wrong secret.
    `through` makes the connection instead of TCP and TLS, to the gateway's own loopback: it is the proof of where it
    leads, and `known_as` then names the gateway to our device.
    """
    started = time.monotonic()
    deadline = started + connect_s
    gateway = f"{'wss' if tls else 'ws'}://{f'[{host}]' if ':' in host else host}:{port}"
    known_as = known_as or gateway
    try:
        device = load(memory_dir)
    except CouldNotLook as error:
        raise RpcRefused("device", str(error)) from error
    auth = _auth(credential, device.tokens.get(known_as))
    proven = None if through else _shown(prove)
    sock = _through(through) if through else None
    deadline = time.monotonic() + connect_s if through else deadline  # the way in is no fault of the gateway's
    wire = open_wire(gateway, (host, port), deadline, auth.values(), sock, tls=tls)
    try:
        payload = _shake_hands(wire, device, auth, proven if proven is None else proven or _shown(prove), deadline)
        hello = hello_from(payload)
        if hello is None:
            raise RpcRefused("protocol", "the gateway answered connect with something other than hello-ok")
    except RpcRefused as refused:
        wire.close()
        raise _explained(refused, wire, credential, device, known_as) from refused.__cause__
    except BaseException:
        wire.close()
        raise
    issued = device_token_from(payload)
    notes = _keep(device, known_as, issued) if issued else _noted(device)
    return RpcClient(wire, hello, time.monotonic() - started, request_s, notes)


def connect_to(
    target: Target, config: GatewayConfig, port: int, settings: Settings, lasts_s: float = LASTS_S
) -> RpcClient:
    """`connect` to the gateway of a config, with the limits of the settings; `port` is where it really listens."""
    there, inside = target.container, port
    if there is not None:
        inside = inner_port(target)
    return connect(
        "127.0.0.1" if there else config.host,
        inside,
        config.credential,
        settings.memory_dir,
        lambda: listener.prove(target, config.host, port),
        connect_s=settings.rpc_connect_s,
        request_s=settings.rpc_request_s,
        tls=config.tls and not there,
        through=(lambda: relay(target, inside, lasts_s, tls=config.tls)) if there else None,
        known_as=there.place if there else "",
    )


def _through(opened: Callable[[], socket.socket]) -> socket.socket:
    """The connection that somebody else makes; that it cannot be made closes the lane and says nothing more."""
    try:
        return opened()
    except (CouldNotLook, ConnectionRefusedError) as error:
        raise RpcRefused("off", f"there is no way into the container: {error or 'nothing listens inside'}") from error


def _shown(prove: Prove) -> Sequence[Proven]:
    try:
        return prove()
    except Unproven as error:
        raise RpcRefused("unproven", str(error), error.why) from error


def _auth(credential: Credential, issued: str | None) -> dict[str, str]:
    """The content of `auth`: the shared secret first, a token issued to our device where there is none to be had."""
    if credential.kind in ("token", "password"):
        return {credential.kind: credential.value}
    if credential.kind == "none":
        return {}
    if issued is None:
        raise RpcRefused("secret-unresolved", credential.why or "the gateway's secret cannot be resolved")
    return {"token": issued}


def _shake_hands(
    wire: Wire, device: Device, auth: Mapping[str, str], proven: Sequence[Proven] | None, deadline: float
) -> object:
    """The payload of the gateway's answer to our connect, which a server that is not the proven one never gets."""
    from websockets.exceptions import ConnectionClosed

    try:
        challenge = wire.challenge(deadline)
        if proven is not None:
            listener.confirm(proven, *wire.ends)
        wire.send(_CONNECT_ID, "connect", connect_params(device, auth, challenge), deadline)
        answer = wire.answer(_CONNECT_ID, deadline)
    except TimeoutError:
        if wire.babbled:
            raise RpcRefused("stranger", "the port speaks WebSocket, but not the gateway's protocol") from None
        raise RpcRefused("silent", "the gateway took the connection and did not finish the handshake in time") from None
    except Unproven as error:
        raise RpcRefused("unproven", str(error), error.why) from error
    except OSError as error:
        raise RpcRefused("closed", f"the connection ended during the handshake: {error.strerror or error}") from None
    except ConnectionClosed as gone:
        raise refusal_from_close(*((gone.rcvd.code, gone.rcvd.reason) if gone.rcvd else (None, ""))) from None
    if answer.get("ok") is not True:
        raise refusal_from(table(answer.get("error")))
    return answer.get("payload")


def _explained(refused: RpcRefused, wire: Wire, credential: Credential, device: Device, gateway: str) -> RpcRefused:
    """The refusal without secrets. A stale issued token is forgotten: the secret we could not resolve is the reason."""
    kind, reason = refused.kind, wire.shown(refused.reason)
    if credential.kind == "unresolved" and kind in ("auth", "pairing"):
        _keep(device, gateway, None)
        kind, reason = "secret-unresolved", f"{credential.why}; the token issued to our device is no longer accepted"
    if device.note:
        reason = f"{reason} ({device.note})"
    return RpcRefused(kind, reason, refused.code, refused.retry_after_ms)


def _keep(device: Device, gateway: str, token: str | None) -> tuple[str, ...]:
    """Remember or forget an issued token; failing to is worth a note, not the lane."""
    try:
        keep_token(device, gateway, token)
    except CouldNotLook as error:
        return (*_noted(device), str(error))
    return _noted(device)


def _noted(device: Device) -> tuple[str, ...]:
    return (device.note,) if device.note else ()


def _reply(method: str, answer: Mapping[str, object], wire: Wire, wall_s: float) -> RpcReply:
    if answer.get("ok") is True:
        return RpcReply(method, "ok", answer.get("payload"), wall_s=wall_s)
    error = table(answer.get("error"))
    message = wire.shown(str(error.get("message") or "no message"))
    code = table(error.get("details")).get("code") or error.get("code")
    outcome: Literal["unsupported", "error"] = "unsupported" if message.startswith("unknown method") else "error"
    shown = wire.shown(str(code)) if code else None
    return RpcReply(method, outcome, None, shown, message, wall_s, error.get("details"))


def _cut_off(method: str, gone: ConnectionClosed, asked: bool, wire: Wire, wall_s: float) -> RpcReply:
    if asked and gone.sent is not None and gone.sent.code == 1009:
        message = f"the answer is larger than {MAX_FRAME_BYTES // 2**20} MiB"
        return RpcReply(method, "error", code="TOO_LARGE", message=message, wall_s=wall_s)
    code = str(gone.rcvd.code) if gone.rcvd else None
    reason = wire.shown(gone.rcvd.reason) if gone.rcvd else ""
    message = f"the connection was closed: {reason or 'no reason given'}"
    return RpcReply(method, "closed", code=code, message=message, wall_s=wall_s)
