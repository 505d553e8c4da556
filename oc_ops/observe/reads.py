"""The authenticated reads of one run: one RPC connection, three requests, closed again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from oc_ops.observe.rpc import Hello, RpcClient, RpcRefused, RpcReply


@dataclass(frozen=True, slots=True)
class RpcReads:
    """What the connection answered. After a silent `status` the others are not asked: they would only wait as well."""

    hello: Hello
    status: RpcReply
    cron_status: RpcReply
    cron_list: RpcReply
    notes: tuple[str, ...] = ()


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
        return RpcReads(client.hello, status, cron_status, cron_list, client.notes)
