"""Judges of the port: whose it is, who only forwards it, and whether it is the one that was meant."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from oc_ops.judge.finding import NO_UNIT, Finding, finds, none
from oc_ops.observe.container import Container
from oc_ops.observe.http import Probe
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.processes import GatewayProcess, is_gateway_title
from oc_ops.observe.sockets import Forwarder, Listener, forwarder
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


_DEAD, _SILENT = (502, 503), (504, 522, 524)
"""Status codes of a reverse proxy for a backend that is gone, and for one that does not answer."""


EXTERNAL = "none automatic: a supervisor of its own runs this gateway (OPENCLAW_SUPERVISOR_MODE=external)"


def behind(seen: GatewayProbe) -> Forwarder | None:
    """The forwarder that holds the port; None when a gateway holds it, somebody else, or nobody that can be seen."""
    if seen.listener is None or is_openclaw(seen.listener, seen.processes):
        return None
    return forwarder(seen.listener.title, seen.listener.program)


def dead_behind(seen: GatewayProbe) -> bool:
    """True if a forwarder finds nobody to forward to: it hangs up without a word, or says 502."""
    answer = seen.again or seen.live
    return behind(seen) is not None and (answer.wordless or answer.status in _DEAD) and not _ours(answer)


def silent_behind(seen: GatewayProbe) -> bool:
    """True if whoever stands behind a forwarder takes the connection and answers nothing."""
    answer = seen.again or seen.live
    return behind(seen) is not None and (answer.kind == "silent" or answer.status in _SILENT)


def _ours(answer: Probe) -> bool:
    return answer.kind == "answered" and speaks_openclaw(answer)


def look_behind(seen: GatewayProbe, verb: str) -> str:
    """The fix for a gateway that runs behind a forwarder: never by us, and never by ending the forwarder."""
    there = behind(seen)
    assert there is not None
    assert seen.listener is not None
    if seen.behind is not None:
        return in_container(seen.behind, verb, seen.stopped_inside)
    sudo = "" if seen.listener.own else "sudo "
    where = f"ps -fp {seen.listener.pid} shows where it leads"
    if there.kind == "container" and seen.runtimes:
        runtime = next((each for each in seen.runtimes if each in seen.listener.title), seen.runtimes[0])
        where = {
            "docker": f"{sudo}docker ps -a --filter publish={seen.port} finds it",
            "podman": f"{sudo}podman ps -a | grep {seen.port} finds it",
        }[runtime]
    elif there.kind == "proxy":
        where = f"the configuration of {there.name} says where port {seen.port} leads"
    return f"none automatic: the gateway runs {there.place} and is not seen from here: {verb} it there; {where}"


def in_container(there: Container, verb: str, stopped: int | None = None) -> str:
    """The fix for a gateway of a container that is looked at from outside: its runtime's command, and how to see in.

    `stopped` is its pid inside where that process is merely stopped.
    """
    if stopped is not None:
        stopped_there = f"its process in container {there.name} is stopped: {shlex.join(there.wake(stopped))}"
        return f"none automatic: {stopped_there}; --target {there.place} looks inside"
    command = " ".join(there.words("restart" if verb == "restart" and there.state == "running" else "start"))
    return f"none automatic: it runs in container {there.name}: {command}; --target {there.place} looks inside"


def nobody_starts(seen: GatewayProbe, by_hand: str) -> str:
    """The fix for a gateway that is down and whose supervisor was not found."""
    own = f"start its container if it has one ({seen.runtimes[0]} ps -a), else " if seen.runtimes else ""
    return f"none automatic: {NO_UNIT}; {own}{by_hand}"


def port_taken(seen: GatewayProbe) -> Finding | None:
    """Somebody has the port and is not an OpenClaw gateway: `HTTP < 500` is not health (#110306)."""
    if seen.foreign is not None:
        return _of_another(seen)
    if dead_behind(seen) or silent_behind(seen):
        return None
    stranger = is_stranger(seen.listener, seen.processes) and behind(seen) is None
    answer = seen.again if seen.again is not None and seen.again.kind == "answered" else seen.live
    if answer.kind == "answered":
        # A lookalike answers /healthz as we expect; the process behind the port and the other probes tell.
        proven = any(each is not None and proves_openclaw(each) for each in (seen.startup, seen.ready))
        ours = is_openclaw(seen.listener, seen.processes) or (speaks_openclaw(answer) and (proven or not stranger))
    else:
        ours = not stranger and (answer.kind == "silent" or bool(seen.processes))
    return None if ours else taken(seen, answer.summary)


def taken(seen: GatewayProbe, evidence: str) -> Finding:
    """The finding for a stranger on the gateway's port. To end it is advised of a program of our own account alone, and
    only where it has shown by an answer that it is something else: one that is silent may lead to a gateway that hangs,
    and one that hangs up on plain HTTP may want TLS and lead to one that is well.
    """
    answer = seen.again or seen.live
    silent = seen.live.kind == "silent" or answer.wordless
    who = seen.listener.summary if seen.listener else "a process that cannot be seen"
    there = behind(seen)
    then = f"move it off port {seen.port}, then start the gateway"
    if there is not None:
        fix = f"none automatic: {there.name} only forwards the port: see where it leads, {who}"
    elif seen.listener is not None and seen.listener.own and is_stranger(seen.listener, seen.processes):
        end = "" if silent else "end that program or "
        fix = f"none automatic: see whether it leads to the gateway, and look there then; else {end}{then}"
    else:
        fix = f"none automatic: see who has it (sudo lsof -nP -iTCP:{seen.port} -sTCP:LISTEN); {then}"
    return Finding(
        "gateway/port-taken",
        "error",
        fact=f"port {seen.port} is held by a program that answers nothing and is not shown to be an OpenClaw gateway"
        if silent
        else f"port {seen.port} answers, but it is not an OpenClaw gateway",
        saw=f"{who} listens; {evidence}",
        fix=fix,
    )


def _of_another(seen: GatewayProbe) -> Finding:
    who = seen.listener.summary if seen.listener else ""
    return Finding(
        "gateway/port-taken",
        "error",
        fact=f"port {seen.port} is served by the gateway of another state directory",
        saw=f"{who} listens and has {seen.foreign} open; {seen.live.summary}",
        fix="none automatic: leave that gateway alone; give this one a port of its own (openclaw config set "
        "gateway.port PORT), or look at that one with its --profile or OPENCLAW_STATE_DIR",
    )


@finds(
    "gateway/port-drift",
    state="serving",
    checks=("gateway/live",),
    cure=none(
        "it works where it is; which of the two ports is meant is not for a program to decide",
        proof="its own socket listens on the other port, and answers there",
    ),
    means="the gateway serves another port than config or environment say (a warning): it is looked at where it serves",
    helps="put the port back, or reinstall the service and restart at a quiet time",
)
def port_drift(seen: GatewayProbe, wanted_by: str) -> Finding | None:
    """The gateway serves another port than `wanted_by` names: it is looked at where it is.

    A port that nothing names is a guess of ours: the config is gone, and to set one thing in it would write a new one.
    """
    if not seen.drifted or not wanted_by:
        return None
    back = f"openclaw config set gateway.port {seen.port}"
    if wanted_by.startswith("OPENCLAW_GATEWAY_PORT"):
        away = "unset it where you look from" if wanted_by.endswith("the environment") else "take it out there"
        back = f"set OPENCLAW_GATEWAY_PORT to {seen.port}, or {away}"
    return Finding(
        "gateway/port-drift",
        "warning",
        fact=f"the gateway serves port {seen.port}, and {wanted_by} says {seen.wanted}",
        saw=f"{seen.learnt}; {seen.live.summary}",
        fix=f"none automatic: put the port back ({back}), or have the gateway move: openclaw gateway install --force "
        "where a service unit runs it, and a restart at a quiet time",
        proof=f"{seen.learnt}; {seen.live.summary}",
    )


@finds(
    "gateway/http-broken",
    state="serving",
    checks=("gateway/live", "gateway/ready"),
    cure=none("it works over its other lane, and a restart brings the same release up again"),
    means="the gateway answers every HTTP request with an error of its own (a warning), as 2026.3.31 does",
    helps="another release of OpenClaw; until then it is judged by its RPC alone",
)
def http_broken(seen: GatewayProbe) -> Finding | None:
    """Its HTTP answers 500 to whatever is asked: nothing can be learnt there, and RPC alone tells how it is."""
    asked = [each for each in (seen.live, seen.startup, seen.ready) if each is not None]
    broken = all(each.kind == "answered" and _is_fault(each) for each in asked)
    if not broken or behind(seen) is not None or not is_openclaw(seen.listener, seen.processes):
        return None
    return Finding(
        "gateway/http-broken",
        "warning",
        fact="the gateway answers every HTTP request with an error of its own, so only its RPC tells how it is",
        saw="; ".join(each.summary for each in asked),
        fix="none automatic: its pages and its Control UI do not work either: move to another release of OpenClaw",
    )


def _is_fault(answer: Probe) -> bool:
    return answer.status is not None and answer.status >= 500 and not speaks_openclaw(answer)
