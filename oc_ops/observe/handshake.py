"""The words of the gateway's connect handshake: our frame, its hello, and every way it says no."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, cast

from msgspec import Struct

from oc_ops import __version__
from oc_ops.errors import OcOpsError

if TYPE_CHECKING:
    from oc_ops.observe.device import Device

SCOPE = "operator.read"
"""The one scope we ask for; nothing that changes a gateway is within it (docs/gateway/operator-scopes.md)."""

DISPLAY_NAME = "oc-ops"
"""How `openclaw devices list` shows us. It also keeps 2026.9.6 from taking us for the CLI: a newly paired client
retires silent pairings with the same id, mode and display name."""

USER_AGENT = f"oc-ops/{__version__}"
"""The gateway's log lines about an unfinished connection end in `ua=…`: by this we know our own."""

_CLIENT = "cli"  # id and mode are closed lists; this pair is accepted and kept out of presence by every release
_ROLE = "operator"

RefusalKind = Literal[
    "off", "secret-unresolved", "tls", "device", "protocol", "pairing", "auth",
    "starting", "silent", "closed", "unreachable", "stranger", "unproven",
]  # fmt: skip
"""`unproven` says nothing of a gateway: the port's listener was not shown to be one, and was sent no credential."""

_MOST_TOKEN = 4096
_MOST_NAMES = 10_000
_MOST_NAME = 200
"""2026.9.6 issues tokens of 43 characters and names 466 methods; what is longer is not a gateway's."""


class RpcRefused(OcOpsError):
    """The RPC lane cannot be used; `reason` is one sentence fit for a report, without secrets."""

    def __init__(
        self, kind: RefusalKind, reason: str, code: str | None = None, retry_after_ms: int | None = None
    ) -> None:
        self.kind: RefusalKind = kind
        self.reason, self.code, self.retry_after_ms = reason, code, retry_after_ms
        super().__init__(reason)


class Hello(Struct, frozen=True):
    """The gateway's word on itself in hello-ok. `conn_id` is the `conn=` of its log lines about this connection."""

    server_version: str | None
    protocol: int
    methods: frozenset[str]
    events: frozenset[str]
    scopes: tuple[str, ...]
    tick_interval_ms: int | None
    conn_id: str | None = None


class Challenge(Struct, frozen=True):
    """The nonce to sign and the gateway's own time (ms), which the signature carries."""

    nonce: str
    ts: int


def challenge_in(frame: Mapping[str, object]) -> Challenge | None:
    """The challenge when this frame is `connect.challenge`, else None."""
    if frame.get("event") != "connect.challenge":
        return None
    payload = table(frame.get("payload"))
    nonce, ts = payload.get("nonce"), payload.get("ts")
    if not isinstance(nonce, str) or not 0 < len(nonce) <= _MOST_NAME or "|" in nonce:
        return None
    return Challenge(nonce, ts) if isinstance(ts, int) and ts.bit_length() < 64 else None


def connect_params(device: Device, auth: Mapping[str, str], challenge: Challenge) -> dict[str, object]:
    """The parameters of `connect`: a read-only operator, signed in the v2 form that every release accepts.

    Source: docs/gateway/protocol/handshake.md and auth.md. `auth` is {"token": …}, {"password": …} or empty.
    """
    device_id, public_key = device.identify()
    signed = (
        "v2",
        device_id,
        _CLIENT,
        _CLIENT,
        _ROLE,
        SCOPE,
        str(challenge.ts),
        auth.get("token", ""),
        challenge.nonce,
    )
    return {
        "minProtocol": 3,
        "maxProtocol": 4,
        "client": {
            "id": _CLIENT,
            "mode": _CLIENT,
            "displayName": DISPLAY_NAME,
            "version": __version__,
            "platform": sys.platform,
        },
        "role": _ROLE,
        "scopes": [SCOPE],
        "caps": [],
        "userAgent": USER_AGENT,
        "auth": dict(auth),
        "device": {
            "id": device_id,
            "publicKey": public_key,
            "signature": device.sign("|".join(signed)),
            "signedAt": challenge.ts,
            "nonce": challenge.nonce,
        },
    }


def hello_from(payload: object) -> Hello | None:
    """The hello of a connect answer's payload; None when it is not one."""
    hello = table(payload)
    if hello.get("type") != "hello-ok":
        return None
    server, features = table(hello.get("server")), table(hello.get("features"))
    return Hello(
        server_version=_label(server.get("version")),
        protocol=_whole(hello.get("protocol")) or 0,
        methods=frozenset(_texts(features.get("methods"))),
        events=frozenset(_texts(features.get("events"))),
        scopes=_texts(table(hello.get("auth")).get("scopes")),
        tick_interval_ms=_whole(table(hello.get("policy")).get("tickIntervalMs")),
        conn_id=_label(server.get("connId")),
    )


def device_token_from(payload: object) -> str | None:
    """The device token that hello-ok hands out, when it does; one beyond all measure or not printable is none."""
    token = _text(table(table(payload).get("auth")).get("deviceToken"))
    fits = token is not None and len(token) <= _MOST_TOKEN and token.isascii() and token.isprintable()
    return token if fits else None


def refusal_from(error: Mapping[str, object]) -> RpcRefused:
    """The meaning of a `connect` answered with an error (codes: connect-error-details of the published protocol)."""
    details = table(error.get("details"))
    message = one_line(_text(error.get("message")) or "the gateway refused the connection")
    code = _label(details.get("code")) or _label(details.get("reason")) or _label(error.get("code"))
    kind = _kind(code or "", _text(error.get("code")) or "", message)
    return RpcRefused(kind, f"the gateway refuses us: {message}", code, _whole(error.get("retryAfterMs")))


def refusal_from_close(code: int | None, reason: str) -> RpcRefused:
    """The meaning of a connection closed before hello: 1008 policy, 1013 starting, 1012 restarting, 1002 protocol."""
    shown = one_line(reason) or "no reason given"
    if code in (1012, 1013):
        kind: RefusalKind = "starting"
    elif code in (1002, 1008):
        kind = _kind("", "", shown)
    else:
        kind = "closed"
    return RpcRefused(kind, f"the gateway closed the connection before hello ({code or 'no close frame'}): {shown}")


def _kind(code: str, outer: str, message: str) -> RefusalKind:
    text = message.lower()
    if outer == "UNAVAILABLE" or "starting" in text:
        return "starting"
    if code == "PAIRING_REQUIRED" or outer == "NOT_PAIRED" or "pairing required" in text:
        return "pairing"
    if code.startswith("DEVICE_") or text.startswith("device "):
        return "device"  # what is wrong is our own identity, not the operator's credential
    if code.startswith("AUTH") or outer == "FORBIDDEN" or text.startswith("unauthorized"):
        return "auth"
    return "protocol"


def table(value: object) -> Mapping[str, object]:
    """The JSON object a value is, or an empty one."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def one_line(text: str, most: int = 300) -> str:
    """A stranger's text as one printable line of bounded length."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text[: 4 * most]).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _label(value: object) -> str | None:
    text = _text(value)
    return one_line(text, 80) if text else None


def _texts(value: object) -> tuple[str, ...]:
    names = value[:_MOST_NAMES] if isinstance(value, list) else ()
    return tuple(each for each in names if isinstance(each, str) and len(each) <= _MOST_NAME)


def _whole(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
