"""Tells an OpenClaw gateway's answer from that of another program on its port."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oc_ops.observe.http import Probe
from oc_ops.observe.processes import GatewayProcess, Listener, is_gateway_title
from oc_ops.process.jsontext import at


def is_openclaw(listener: Listener | None, gateways: Sequence[GatewayProcess]) -> bool:
    """True when the process behind the port is known to be a gateway, whatever it answers."""
    if listener is None or listener.pid is None:
        return False
    return listener.pid in {each.pid for each in gateways} or is_gateway_title(listener.title)


def is_stranger(listener: Listener | None, gateways: Sequence[GatewayProcess]) -> bool:
    """True when the process behind the port can be seen and its program is nothing of OpenClaw's.

    A folder of that name proves nothing: `python3 /home/openclaw/server.py` is a stranger.
    """
    if listener is None or listener.pid is None or is_openclaw(listener, gateways):
        return False
    program = listener.title.split()[:2]
    return not any("openclaw" in Path(word).name or "/node_modules/openclaw/" in word for word in program)


def speaks_openclaw(probe: Probe) -> bool:
    """The answer of a gateway's /healthz: the exact JSON (#110306), or the Control UI page of releases without it."""
    answer = probe.json
    if answer is not None:
        return isinstance(answer.get("ok"), bool) and answer.get("status") == "live"
    return _control_ui(probe)


def proves_openclaw(probe: Probe) -> bool:
    """An answer of /startupz or /readyz that a program which answers every path alike does not give."""
    answer = probe.json
    if answer is not None:
        return answer.get("status") in ("started", "starting", "draining") or isinstance(at(answer, "failing"), list)
    return _control_ui(probe)


def _control_ui(probe: Probe) -> bool:
    return probe.status == 200 and ("<title>OpenClaw" in probe.body or "<openclaw-app" in probe.body)
