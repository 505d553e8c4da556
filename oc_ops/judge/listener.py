"""Judge of the port's listener: a process of another user is on the gateway's port."""

from __future__ import annotations

from oc_ops.judge.finding import Finding
from oc_ops.judge.registry import finds, none


@finds(
    "gateway/port-taken",
    state="kept-out",
    checks=("gateway/live",),
    cure=none(
        "another program has the port; a gateway that starts now ends at once",
        proof="the process that holds the port is named, and is not this gateway",
    ),
    means="another program or another gateway has the port, even one that answers HTTP 200",
    helps="move it, or give the gateway another port",
)
def held_by_another(port: int, why: str, reason: str) -> Finding | None:
    """Another user's process listens there, and was sent nothing; None for whatever else kept it from being shown."""
    if why != "foreign":
        return None
    return Finding(
        "gateway/port-taken",
        "error",
        fact=f"port {port} is held by another user's process, not by this gateway",
        saw=reason,
        fix=f"none automatic: if that is your gateway, look as the account that runs it; else move it off port {port}",
    )
