"""Where this target's gateway really listens: its lock's port and its own sockets, when they are not where we ask."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from oc_ops.observe import http
from oc_ops.observe.gatewaylocks import locked_ports
from oc_ops.observe.processes import GatewayProcess
from oc_ops.observe.sockets import Listener, sockets, user_name
from oc_ops.observe.target import Target

_BUDGET_S = 1.0
_MOST = 12
"""Probes of one look: a gateway listens on a few ports, one for its browser control among them."""


class TcpAddress(Struct, frozen=True):
    """A TCP address to look at."""

    host: str
    port: int


class Whereabouts(Struct, frozen=True):
    """Where the gateway was seen to listen instead; `place` is None when it is where we ask, or nowhere.

    `hidden` says whose sockets we may not see, `listens` where a gateway's process listens that is no gateway's port.
    """

    place: TcpAddress | None = None
    learnt: str = ""
    hidden: str = ""
    listens: str = ""


def elsewhere(
    target: Target,
    processes: Sequence[GatewayProcess],
    listener: Listener | None,
    asked: TcpAddress,
    *,
    tls: bool = False,
) -> Whereabouts:
    """Look for the gateway's own place when another process, or nobody, listens where it was asked.

    Only a process that is certain to be this target's gateway leads anywhere. The port that its lock names is believed,
    whether it answers or not; of its other sockets the one that answers as a gateway, else the one that is silent.
    """
    certain = [each for each in processes if each.certain]
    if not certain or (listener is not None and listener.pid in [each.pid for each in processes]):
        return Whereabouts()
    hidden, silent = "", Whereabouts()
    listens: list[str] = []
    for process in certain:
        locked = locked_ports(target).get(process.pid)
        found = sockets(process.pid)
        if found is None:
            hidden = hidden or f"the sockets of {process.summary} cannot be seen from this account; {_who_may(process)}"
            place = TcpAddress(asked.host, locked) if locked and locked != asked.port else None
            if place and _kind(place, tls) == "gateway":
                return Whereabouts(place, f"the lock of pid {process.pid} names it")
            continue
        places = [TcpAddress(host, each.port) for each in found for host in each.hosts]
        places.sort(key=lambda each: (each.port != locked, each.port != asked.port, each.host != asked.host, each.port))
        for place in places[:_MOST]:
            how = "its lock names the port" if place.port == locked else "by the sockets of its process"
            learnt = f"pid {process.pid}, {process.evidence}, listens on {place.host}:{place.port} ({how})"
            kind = _kind(place, tls)
            if kind == "gateway" or (place.port == locked and kind != "refused"):
                return Whereabouts(place, learnt)
            if kind == "silent" and silent.place is None:
                silent = Whereabouts(place, learnt)
        listens += map(str, found)
    return silent if silent.place else Whereabouts(hidden=hidden, listens=", ".join(listens))


def _kind(place: TcpAddress, tls: bool) -> str:
    """`gateway` for one that answers as OpenClaw does, else the kind of what came."""
    answer = http.probe(place.host, place.port, "/healthz", budget_s=_BUDGET_S, tls=tls)
    live = answer.json is not None and answer.json.get("status") == "live"
    return "gateway" if live or "<title>OpenClaw" in answer.body else answer.kind


def _who_may(process: GatewayProcess) -> str:
    return f"run the doctor as user {user_name(process.uid)}"
