"""The authenticated reads of one run: one RPC connection, three requests, closed again."""

from __future__ import annotations

from dataclasses import dataclass

from oc_ops.observe import rpc
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.rpc import Hello, RpcRefused, RpcReply
from oc_ops.observe.target import Target
from oc_ops.settings import Settings


@dataclass(frozen=True, slots=True)
class RpcReads:
    """What the connection answered. After a silent `status` the others are not asked: they would only wait as well."""

    hello: Hello
    status: RpcReply
    cron_status: RpcReply
    cron_list: RpcReply
    notes: tuple[str, ...] = ()


def all_at_once(target: Target, config: GatewayConfig, port: int, settings: Settings) -> RpcReads | RpcRefused:
    """Connect as a read-only operator and read; a refusal comes back as what was observed, it is not raised.

    Silence is looked at twice before it is called that: one held event loop is no reason to restart a gateway.
    """
    first = _once(target, config, port, settings)
    return _once(target, config, port, settings) if _is_silent(first) else first


def _is_silent(seen: RpcReads | RpcRefused) -> bool:
    return seen.kind == "silent" if isinstance(seen, RpcRefused) else seen.status.outcome == "silent"


def _once(target: Target, config: GatewayConfig, port: int, settings: Settings) -> RpcReads | RpcRefused:
    try:
        client = rpc.connect_to(target, config, port, settings)
    except RpcRefused as refused:
        return refused
    with client:
        status = client.request("status")
        if status.outcome in ("silent", "closed"):
            return RpcReads(client.hello, status, status, status, client.notes)
        cron_status = client.request("cron.status")
        cron_list = client.request("cron.list", {"includeDisabled": True, "limit": 200})
        return RpcReads(client.hello, status, cron_status, cron_list, client.notes)
