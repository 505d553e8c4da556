"""The authenticated reads of one run: one RPC connection, a handful of requests, closed again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from oc_ops.observe.rpc import Hello, RpcClient, RpcRefused, RpcReply

WORK: Mapping[str, Mapping[str, object]] = {
    "health": {},
    "channels.status": {},
    "agents.list": {},
    "models.list": {"view": "configured"},
    "models.authStatus": {},
}
"""Questions about the gateway's own work; of an answer that was there before, 10 to 60 ms in all on 2026.9.6."""
WORK_S = 2.0
"""How long all of them may take together: what is not told in time is not judged, and keeps nothing else from being."""


@dataclass(frozen=True, slots=True)
class RpcReads:
    """Answers over the connection. After a silent `status` the others are not asked: they would only wait as well."""

    hello: Hello
    status: RpcReply
    cron_status: RpcReply
    cron_list: RpcReply
    notes: tuple[str, ...] = ()
    work: Mapping[str, RpcReply] = field(default_factory=dict)
    """The answers to WORK, by method, asked all at once; a release that lacks one says so."""


def all_at_once(connect: Callable[[], RpcClient]) -> RpcReads | RpcRefused:
    """Connect as a read-only operator and read; a refusal comes back as what was observed, it is not raised.

    Silence is looked at twice before it is called that: one held event loop is no reason to restart a gateway.
    """
    first = _once(connect)
    return _once(connect) if _is_silent(first) else first


def _is_silent(seen: RpcReads | RpcRefused) -> bool:
    return seen.kind == "silent" if isinstance(seen, RpcRefused) else seen.status.outcome == "silent"


def _once(connect: Callable[[], RpcClient]) -> RpcReads | RpcRefused:
    try:
        client = connect()
    except RpcRefused as refused:
        return refused
    with client:
        status = client.request("status")
        if status.outcome in ("silent", "closed"):
            return RpcReads(client.hello, status, status, status, client.notes)
        cron_status = client.request("cron.status")
        cron_list = client.request("cron.list", {"includeDisabled": True, "limit": 200})
        return RpcReads(client.hello, status, cron_status, cron_list, client.notes, client.requests(WORK, WORK_S))
