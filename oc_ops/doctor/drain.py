"""A gateway that drains, looked at more closely: since when by our own memory, by whom by its own word and log."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from oc_ops.errors import OcOpsError
from oc_ops.gateway import Gateway
from oc_ops.judge.drain import Drain, drain_stuck
from oc_ops.judge.finding import Finding
from oc_ops.observe.logs.restarts import planned_restarts
from oc_ops.observe.probe import GatewayProbe
from oc_ops.process.jsontext import number_at
from oc_ops.record import memory

_STATUS = "gateway.suspend.status"
_NOBODY = "oc-ops"
"""No suspension has this id, so that the gateway answers with the lease of the one that holds it (2026.9.6)."""

_RECENT = timedelta(hours=6)


def told(gateway: Gateway, seen: GatewayProbe, cause: Finding | None, now: datetime | None = None) -> Finding | None:
    """The cause, that of a gateway that drains with since when and by whom; forgets the drain of one that does not."""
    settings, key, now = gateway.settings, gateway.target.key, now or datetime.now(UTC)
    if cause is None or cause.check != "gateway/draining":
        memory.forget_drain(settings.memory_dir, key)
        return cause
    up_s = seen.up_s
    since = memory.drain_since(settings.memory_dir, key, None if up_s is None else now.timestamp() - up_s, now)
    if seen.container is not None and seen.live.kind != "answered":
        return drain_stuck(cause, Drain(since, now, stops=seen.container.runtime), settings.drain_budget_s)
    suspended, until = _suspension(gateway)
    begun = [begin for begin, _end in planned_restarts(gateway.target.state_dir, now - _RECENT, lasts_s=0.0)]
    drain = Drain(since, now, suspended, until, begun[-1] if begun else None)
    return drain_stuck(cause, drain, settings.drain_budget_s)


def _suspension(gateway: Gateway) -> tuple[str, datetime | None]:
    """The gateway's own word for a suspension and the end of its lease; nothing where it is none, or says nothing."""
    with suppress(OcOpsError), gateway.connect() as client:
        reply = client.request(_STATUS, {"suspensionId": _NOBODY})
        if reply.outcome == "error" and "suspension" in reply.message:
            ends_ms = number_at(reply.details, "expiresAtMs")
            return f"{_STATUS} says so", datetime.fromtimestamp(ends_ms / 1000, UTC) if ends_ms else None
    return "", None
