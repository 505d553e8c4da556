"""Judges of a gateway at the limit of its open files, which no restart cures for long."""

from __future__ import annotations

from oc_ops.judge.finding import Finding, finds, none
from oc_ops.observe.limits import Watches
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.service import Service

_NEAR = 0.9
_SPARE = 2
"""Node keeps some for itself: with less than this to spare, what it accepts next it closes at once (EMFILE)."""
_SYSCTL = "fs.inotify.max_user_instances"
_WATCHES = "fs.inotify.max_user_watches"


@finds(
    "gateway/fd-limit",
    state="kept-out",
    checks=("gateway/live", "gateway/descriptors"),
    cure=none("a restart frees its descriptors for a while, and they run out again"),
    means="the gateway is at its limit of open files, or near it (a warning), or its user at that of inotify instances "
    "or watches",
    helps="a higher LimitNOFILE, or fewer connections",
)
def fd_limit(seen: GatewayProbe, _limits: object = None) -> Finding | None:
    """It answers nobody because it has no descriptor left, which a restart would hide for a while."""
    left = seen.descriptors
    if left is None or seen.live.kind not in ("garbled", "silent") or left.used < left.limit - _SPARE:
        return None
    return Finding(
        "gateway/fd-limit",
        "error",
        fact="the gateway has no file descriptor left, so it answers no new connection",
        saw=f"{left.summary}; {(seen.again or seen.live).summary}",
        fix=f"none automatic: {_raise(seen.service)}; lsof -nP -p {left.pid} shows what it has open; "
        "a restart alone helps for a while",
    )


def near(seen: GatewayProbe, watches: Watches | None) -> Finding | None:
    """It answers still, and has 90 % of its descriptors open; or its user has hardly an inotify instance left."""
    left = seen.descriptors
    if seen.live.kind != "answered":
        return None
    if left is not None and left.used >= left.limit * _NEAR:
        return Finding(
            "gateway/fd-limit",
            "warning",
            fact="the gateway is near its limit of open files",
            saw=left.summary,
            fix=f"none automatic: {_raise(seen.service)}; lsof -nP -p {left.pid} shows what it has open",
        )
    if watches is not None and watches.used >= watches.limit - _SPARE:
        return Finding(
            "gateway/fd-limit",
            "warning",
            fact="the gateway's user is at the limit of inotify instances: it cannot watch another folder",
            saw=f"{watches.used} of at most {watches.limit} inotify instances of uid {watches.uid} are in use",
            fix=f"none automatic: sudo sysctl {_SYSCTL}={max(512, 2 * watches.limit)} (and in /etc/sysctl.d to keep "
            "it), or end what holds them",
        )
    if watches is not None and watches.most and watches.watched >= watches.most * _NEAR:
        return Finding(
            "gateway/fd-limit",
            "warning",
            fact="the gateway's user is at the limit of inotify watches, or near it: what it cannot watch passes it by",
            saw=f"{watches.watched} of at most {watches.most} inotify watches of uid {watches.uid} are in use",
            fix=f"none automatic: sudo sysctl {_WATCHES}={max(524288, 2 * watches.most)} (and in /etc/sysctl.d to keep "
            "it), or end what holds them",
        )
    return None


def _raise(service: Service) -> str:
    """Where its limit is set, by who started it."""
    if service.manager == "systemd":
        manager = "sudo systemctl" if service.scope == "system" else "systemctl --user"
        return f"raise LimitNOFILE ({manager} edit {service.unit}), then {service.command('restart')}"
    if service.manager == "launchd":
        return "raise NumberOfFiles in its plist (SoftResourceLimits), and load it again"
    return "start it with a higher limit (ulimit -n; LimitNOFILE of a unit)"
