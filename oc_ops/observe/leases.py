"""Leases in the state database: a start-up migration, or a gateway's own claim, keeps another start out until its end.

A gateway renews its claim every 30 s for five minutes ahead, and gives it back when it stops. One that was killed
leaves it; the next start takes it over where its owner is proven dead, and that it can prove on a host of the same name
alone: a container that is created anew has another name (2026.9.6).
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Collection, Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from oc_ops import files
from oc_ops.errors import CouldNotLook
from oc_ops.observe import container
from oc_ops.observe.container import Container
from oc_ops.observe.database import STATE_DATABASE, ReadTransaction, snapshot
from oc_ops.observe.gatewaylocks import is_gone
from oc_ops.observe.target import Target

LEASE_S = 300.0
"""How long a lease holds after it was renewed (2026.9.6)."""
_READ_S, _RUNTIME_S = 1.0, 3.0
_LEASES = "SELECT scope, expires_at, payload_json FROM state_leases WHERE scope IN (?, ?) AND expires_at > ?"

Scope = Literal["startup-migrations", "gateway-owner"]
MIGRATION: Scope = "startup-migrations"
CLAIM: Scope = "gateway-owner"


class Lease(Struct, frozen=True):
    """One that is in force. `until_s` in seconds since the epoch, `place` where it was read.

    `holder` is the container whose name the host is, if a runtime shows one.
    """

    scope: Scope
    until_s: float
    pid: int | None
    host: str
    place: str
    holder: Container | None = None

    @property
    def summary(self) -> str:
        """The lease in words, as evidence."""
        who = f"pid {self.pid}" if self.pid else "a process"
        return f"lease {self.scope} in {self.place}: {who} on host {self.host}"


def of(tables: ReadTransaction, scopes: Collection[Scope], place: str, within: Container | None = None) -> Lease | None:
    """The lease that would refuse a start, a migration's first; one that the next start takes over is none.

    `within` is the container that would start: what it held itself it takes over, as its name stays.
    """
    asked = (MIGRATION, CLAIM)
    rows = tables.rows(_LEASES, *asked, round(time.time() * 1000)) if tables.has("state_leases") else ()
    for scope in asked:
        for named, until_ms, payload in rows:
            if scope in scopes and named == scope and isinstance(until_ms, int):
                pid, host, began = _owner(payload)
                own = host in _names(within)
                if not (own and (within or (pid is not None and is_gone(pid, began)))):
                    return Lease(scope, until_ms / 1000, pid, host, place)
    return None


def keeping_out(target: Target) -> Lease | None:
    """The lease that keeps the target's gateway from starting, where it is another gateway's, or a container's.

    Raises CouldNotLook or OSError where the database is not to be read from here. 5 ms, and up to 3 s for each runtime
    that is asked who the holder is.
    """
    there, database = target.container, target.state_dir / STATE_DATABASE
    with snapshot(database, _READ_S) as tables:
        found = of(tables, (MIGRATION, CLAIM) if there else (CLAIM,), str(database), there)
    environ = there.host if there else target.environ
    return replace(found, holder=_holder(found.host, environ)) if found else None


def _owner(payload: object) -> tuple[int | None, str, object]:
    """Pid, host and start of whoever holds it, as far as the lease says."""
    owner: object = None
    with contextlib.suppress(ValueError):
        told = files.json_of(str(payload))
        owner = told.get("owner") if isinstance(told, dict) else None
    pid, host, began = (owner.get(name) if isinstance(owner, dict) else None for name in ("pid", "host", "startedAt"))
    return (pid if isinstance(pid, int) else None), str(host or "unknown"), began


def _names(within: Container | None) -> tuple[str, ...]:
    """Names of the host that would start: ours, or the container's own."""
    if within is None or within.network == "host":
        return (socket.gethostname(), *([within.hostname] if within else []))
    return (within.hostname or within.id[:12],)


def _holder(host: str, environ: Mapping[str, str]) -> Container | None:
    for runtime in container.installed(environ):
        with contextlib.suppress(CouldNotLook):
            for each in container.every(runtime, environ, deadline_s=_RUNTIME_S):
                if host in (each.hostname, each.id[:12]):
                    return each
    return None
