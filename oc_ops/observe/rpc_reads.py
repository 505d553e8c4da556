"""The authenticated reads of one run: one RPC connection, a handful of requests, closed again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from oc_ops.observe.install import release
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
_OF_PROVIDERS = ("models.list", "models.authStatus")
_PROMPT_SINCE = (2026, 5, 7)
"""The first release seen to tell of its models at once. One such question made 2026.4.20 install what every provider's
plugin needs and stand still for 302 s, 2026.4.29 for 135 s, 2026.5.2 for 14 s: it answers nobody meanwhile."""


def questions(version: str | None) -> Mapping[str, Mapping[str, object]]:
    """The part of WORK that does not make a gateway of this release stand still; one that is not known is a new one."""
    known = release(version or "")
    old = known is not None and known < _PROMPT_SINCE
    return {method: params for method, params in WORK.items() if not (old and method in _OF_PROVIDERS)}


class RpcReads(Struct, frozen=True):
    """Answers over the connection. After a silent `status` the others are not asked: they would only wait as well."""

    hello: Hello
    status: RpcReply
    cron_status: RpcReply
    cron_list: RpcReply
    notes: tuple[str, ...] = ()
    work: Mapping[str, RpcReply] = {}
    """The answers to `questions`, by method, asked all at once; a release that lacks one says so."""
    log: RpcReply | None = None
    """The answer to `logs.tail`, where it was wanted: it names the file that the gateway writes."""


def all_at_once(connect: Callable[[], RpcClient], *, log: bool = False) -> RpcReads | RpcRefused:
    """Connect as a read-only operator and read; a refusal comes back as what was observed, it is not raised.

    Silence is looked at twice before it is called that: one held event loop is no reason to restart a gateway.
    With `log` it is asked where it logs, too.
    """
    first = _once(connect, log)
    return _once(connect, log) if _is_silent(first) else first


def _is_silent(seen: RpcReads | RpcRefused) -> bool:
    return seen.kind == "silent" if isinstance(seen, RpcRefused) else seen.status.outcome == "silent"


def _once(connect: Callable[[], RpcClient], log: bool) -> RpcReads | RpcRefused:
    try:
        client = connect()
    except RpcRefused as refused:
        return refused
    with client:
        status = client.request("status")
        if status.outcome in ("silent", "closed"):
            return RpcReads(client.hello, status, status, status, client.notes)
        named = client.request("logs.tail", {"limit": 1}) if log else None
        cron_status = client.request("cron.status")
        cron_list = client.request("cron.list", {"includeDisabled": True, "limit": 200})
        work = client.requests(questions(client.hello.server_version), WORK_S)
        return RpcReads(client.hello, status, cron_status, cron_list, client.notes, work, named)
