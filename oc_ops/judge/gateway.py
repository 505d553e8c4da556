"""Judges of the gateway's state: each names one fault or returns None; `cause` takes the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oc_ops.judge.finding import Finding
from oc_ops.judge.stranger import is_openclaw, is_stranger, proves_openclaw, speaks_openclaw
from oc_ops.observe import gateways
from oc_ops.observe.gateways import GatewayProcess
from oc_ops.observe.http import Probe
from oc_ops.observe.install import release
from oc_ops.observe.jsontext import at, number_at, text_at
from oc_ops.observe.look import GatewayLook
from oc_ops.observe.openclaw import Answer

_VERIFY = "pytest checks/ -m doctor -k test_gateway"
RESTART = "openclaw gateway restart"
START = "openclaw gateway start"
BY_HAND = "start it as it was started before (openclaw gateway run)"
"""Without a service unit `gateway start` and `restart` are refused or do nothing (2026.9.6, 2026.5.28)."""

NEVER_RETRY = 78
"""The gateway's exit code for a configuration or lock at fault: OpenClaw's own service units do not restart on it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the judges measure against; from the settings."""

    start_budget_s: float = 240.0
    late_answer_s: float = 1.0
    event_loop_delay_ms: float = 1000.0


def cause(seen: GatewayLook, limits: Limits) -> Finding | None:
    """The one finding that explains the gateway's state, or None when it is live, started and prompt."""
    for judge in (port_taken, crash_loop, starting, zombie, down, hung, draining, saturated):
        if finding := judge(seen, limits):
            return finding
    return None


NOT_LIVE = ("gateway/port-taken", "gateway/crash-loop", "gateway/zombie", "gateway/down", "gateway/hung")
NOT_STARTED = ("gateway/starting", "gateway/draining")
"""Which findings of `cause` belong to which claim: the gateway is live; it has started and takes work."""


def one_of(finding: Finding | None, *checks: str) -> Finding | None:
    """The finding when it is one of these, else None: another check owns it."""
    return finding if finding is not None and finding.check in checks else None


def port_taken(seen: GatewayLook, _limits: Limits = Limits()) -> Finding | None:
    """Somebody has the port and is not an OpenClaw gateway: `HTTP < 500` is not health (#110306)."""
    if _shut(seen):
        return None
    stranger = is_stranger(seen.listener, seen.processes)
    answer = seen.again if seen.again is not None and seen.again.kind == "answered" else seen.live
    if answer.kind == "answered":
        # A lookalike answers /healthz as we expect; the process behind the port and the other probes tell.
        proven = any(each is not None and proves_openclaw(each) for each in (seen.startup, seen.ready))
        ours = is_openclaw(seen.listener, seen.processes) or (speaks_openclaw(answer) and (proven or not stranger))
    else:
        ours = not stranger and (answer.kind == "silent" or bool(seen.processes))
    return None if ours else taken(seen, answer.summary)


def taken(seen: GatewayLook, evidence: str) -> Finding:
    """The finding for a stranger on the gateway's port."""
    who = seen.listener.summary if seen.listener else "a process that cannot be seen"
    return Finding(
        "gateway/port-taken",
        "error",
        fact=f"port {seen.port} answers, but it is not an OpenClaw gateway",
        saw=f"{who} listens; {evidence}",
        fix=f"none automatic: end that program or move it off port {seen.port}, then start the gateway",
        verify=_VERIFY,
    )


def down(seen: GatewayLook, _limits: Limits = Limits()) -> Finding | None:
    """Nothing listens and no gateway process lives."""
    if not _shut(seen):
        return None
    service = f"; {seen.service.summary}" if seen.service.manager != "none" else "; no service unit seen"
    return Finding(
        "gateway/down",
        "error",
        fact=f"nothing listens on port {seen.port} and no gateway process lives",
        saw=f"{seen.live.summary}{service}",
        fix=START if _has_service(seen) else f"none automatic: no service unit runs it; {BY_HAND}",
        verify=_VERIFY,
    )


def crash_loop(seen: GatewayLook, _limits: Limits = Limits()) -> Finding | None:
    """The supervisor keeps restarting it, or gave up: start limit, or exit 78 (config or lock, never to be retried)."""
    service = seen.service
    if not _shut(seen):
        return None
    often = (service.restarts or 0) >= 2 or service.exit_status == NEVER_RETRY
    looping = service.state == "restarting" and often
    gave_up = service.state == "failed" and (often or "limit" in service.result)
    if not (looping or gave_up):
        return None
    why = (
        "it exits with 78: its configuration or lock is at fault"
        if service.exit_status == NEVER_RETRY
        else "it does not stay up"
    )
    return Finding(
        "gateway/crash-loop",
        "error",
        fact=f"the service manager {'keeps restarting the gateway' if looping else 'gave up on the gateway'}: {why}",
        saw=service.summary,
        fix="none automatic: another restart ends the same way; read why it exits: openclaw config validate, "
        "then the log lines below",
        verify=_VERIFY,
    )


def starting(seen: GatewayLook, limits: Limits = Limits()) -> Finding | None:
    """On its way up, within the start budget: a slow start (60 to 240 s, #119958) is not a failed one."""
    startup, process = _json(seen.startup), seen.serving
    stopped = process is not None and process.status == "stopped"
    if text_at(startup, "status") == "starting":
        saw = f"GET /startupz says starting, {text_at(startup, 'pendingReason') or 'no reason given'}"
    elif seen.live.kind == "answered" and _only_sidecars(seen.ready):
        saw = f"GET /readyz: {', '.join(_failing(seen.ready))}"
    elif process is not None and not stopped and seen.live.kind != "answered":
        saw = f"{process.summary}; {seen.live.summary}"
        saw += f"; {seen.service.summary}" if seen.service.restarts else ""
    elif process is None and seen.service.state == "restarting" and _shut(seen):
        saw = seen.service.summary
    else:
        return None
    age_s = up_s(seen)
    if age_s is None:
        return starting_now(saw, "")
    left_s = limits.start_budget_s - age_s
    if left_s <= 0:
        return None
    if _shut(seen) and process is not None and not process.certain:
        return starting_now(saw, f" {gateways.AMBIGUOUS_S:.0f} s and look again: it may also be a mere CLI call")
    return starting_now(saw, f", at most {left_s:.0f} s more")


def up_s(seen: GatewayLook) -> float | None:
    """Seconds since this start: by the gateway's own word, as a restart in place keeps the process (2026.9.6)."""
    for probe in (seen.startup, seen.ready):
        if (uptime_ms := number_at(_json(probe), "uptimeMs")) is not None:
            return uptime_ms / 1000
    return seen.serving.age_s if seen.serving else None


def starting_now(saw: str, left: str = "") -> Finding:
    """The finding for a gateway on its way up; `left` says how long it may take."""
    return Finding(
        "gateway/starting",
        "error",
        fact="the gateway is starting and not ready yet",
        saw=saw,
        fix=f"none automatic: wait{left}; a restart now would only begin again",
        verify=_VERIFY,
    )


def zombie(seen: GatewayLook, _limits: Limits = Limits()) -> Finding | None:
    """A gateway process lives beyond the start budget but does not listen."""
    process = next((each for each in seen.processes if each.certain), None)
    if not _shut(seen) or process is None:
        return None
    return Finding(
        "gateway/zombie",
        "error",
        fact=f"a gateway process lives but nothing listens on port {seen.port}",
        saw=f"{process.summary}; {seen.live.summary}",
        fix=RESTART if _has_service(seen) else f"none automatic: end pid {process.pid}, then {BY_HAND}",
        verify=_VERIFY,
    )


def hung(seen: GatewayLook, _limits: Limits = Limits()) -> Finding | None:
    """The port accepts and nobody answers, twice; says what the process is doing."""
    if not _mute(seen) or (seen.again is not None and seen.again.kind == "answered"):
        return None
    process = seen.serving
    if process is None:
        fix = f"none automatic: see who has the port first (lsof -nP -iTCP:{seen.port} -sTCP:LISTEN, as root)"
    elif process.status == "stopped":
        fix = f"kill -CONT {process.pid}"
    elif _has_service(seen):
        fix = RESTART
    else:
        fix = f"none automatic: no service unit runs it; end pid {process.pid}, then {BY_HAND}"
    return Finding(
        "gateway/hung",
        "error",
        fact=f"the gateway accepts connections on port {seen.port} and answers none{_doing(process, seen.busy)}",
        saw=f"{(seen.again or seen.live).summary}; {process.summary if process else 'its process cannot be seen'}",
        fix=fix,
        verify=_VERIFY,
    )


def _has_service(seen: GatewayLook) -> bool:
    return seen.service.manager != "none"


def draining(seen: GatewayLook, _limits: Limits = Limits()) -> Finding | None:
    """Live, and finishing its work before a restart or stop."""
    says = text_at(_json(seen.startup), "status")
    failing = _failing(seen.ready)
    if says != "draining" and not any("drain" in each for each in failing):
        return None
    probe = seen.startup if says == "draining" else seen.ready
    return Finding(
        "gateway/draining",
        "error",
        fact="the gateway is draining: it finishes running work and takes no new one",
        saw=probe.summary if probe else "",
        fix="none automatic: wait for the drain (300 s at most), then look again",
        verify=_VERIFY,
    )


def saturated(seen: GatewayLook, limits: Limits = Limits()) -> Finding | None:
    """It answers, but late: event-loop delay above the limit. Utilization alone is a false alarm (#79017, #81082)."""
    delay_ms = seen.event_loop_delay_ms
    # The probes after the first are the second look: one late answer among prompt ones is a passing pause.
    probes = (seen.again or seen.live, seen.startup, seen.ready)
    answered_s = [each.wall_s for each in probes if each is not None and each.kind == "answered"]
    slow = bool(answered_s) and (_mute(seen) or min(answered_s) > limits.late_answer_s)
    if not slow and not (delay_ms is not None and delay_ms > limits.event_loop_delay_ms):
        return None
    parts = [f"event-loop delay p99 {delay_ms:.0f} ms, limit {limits.event_loop_delay_ms:.0f} ms"] if delay_ms else []
    if slow:
        parts.insert(0, f"{seen.live.summary}; {seen.again.summary}" if seen.again else seen.live.summary)
    return Finding(
        "gateway/saturated",
        "error",
        fact="the gateway answers, but late: its event loop is held up",
        saw="; ".join(parts),
        fix="none automatic: a restart aborts the work and brings the load back; "
        "stop status loops and stagger cron jobs, then look again",
        verify=_VERIFY,
    )


def not_ready(seen: GatewayLook, limits: Limits = Limits()) -> Finding | None:
    """Live, and /readyz says no or nothing: a channel account or an agent database fails, or the start never ended."""
    ready = seen.ready
    if ready is None or starting(seen, limits) or draining(seen, limits):
        return None
    failing = ", ".join(_failing(ready)) or "it does not say why"
    if ready.kind != "answered":
        fact, saw = "the gateway is live, and whether it is ready cannot be learnt", ready.summary
    elif ready.status == 503 or at(_json(ready), "ready") is False:
        fact, saw = f"the gateway is live but not ready: {failing}", f"GET /readyz answered {ready.status}: {failing}"
        if (delay_ms := number_at(_json(ready), "eventLoop", "delayP99Ms")) is not None:
            saw += f", event-loop delay p99 {delay_ms:.0f} ms"
    else:
        return None
    return Finding("gateway/not-ready", "error", fact, saw, fix="openclaw channels status --probe", verify=_VERIFY)


def duplicate(processes: Sequence[GatewayProcess]) -> Finding | None:
    """Two gateways of one state directory; the launcher of a gateway is not a second one."""
    parents = {each.parent for each in processes}
    gateways = [each for each in processes if each.certain and each.pid not in parents]
    if len(gateways) < 2:
        return None
    return Finding(
        "gateway/duplicate",
        "error",
        fact=f"{len(gateways)} gateways run for the same state directory",
        saw="; ".join(each.summary for each in gateways),
        fix="none automatic: keep the one the service manager owns (openclaw gateway status --deep) and end the other",
        verify=_VERIFY,
    )


def version_drift(cli: tuple[int, ...] | None, gateway: str | None, status: Answer | None = None) -> Finding | None:
    """CLI, service and running gateway are not of one release; None as well when one of them is not known."""
    service = text_at(status.value, "service", "command", "environment", "OPENCLAW_SERVICE_VERSION") if status else ""
    running = release(gateway or "")
    if running is None or cli is None or (cli == running and not service):
        return None
    versions = {"CLI": ".".join(map(str, cli)), "gateway": gateway or "", "service": service}
    if len({release(each) for each in versions.values() if each}) == 1:
        return None
    stale_service = bool(service) and release(service) != cli
    return Finding(
        "gateway/version-drift",
        "warning",
        fact="the CLI, the service and the running gateway are not of one release",
        saw=", ".join(f"{name} {each}" for name, each in versions.items() if each),
        fix=f"openclaw gateway install --force && {RESTART}" if stale_service else RESTART,
        verify=_VERIFY,
    )


def _shut(seen: GatewayLook) -> bool:
    """Nothing listens; a network error beside a listener (a failed TLS handshake) is no such proof."""
    return seen.live.kind == "refused" or (seen.live.kind == "unreachable" and seen.listener is None)


def _mute(seen: GatewayLook) -> bool:
    """The port accepts, and no HTTP answer came of it at the first look."""
    return seen.live.kind != "answered" and not _shut(seen)


def _json(probe: Probe | None) -> object:
    return probe.json if probe is not None else None


def _failing(ready: Probe | None) -> list[str]:
    failing = at(_json(ready), "failing")
    return [str(each) for each in failing] if isinstance(failing, list) else []


def _only_sidecars(ready: Probe | None) -> bool:
    failing = _failing(ready)
    return bool(failing) and all(each.startswith("startup") for each in failing)


def _doing(process: GatewayProcess | None, busy: float | None) -> str:
    if process is None:
        return ""
    if process.status == "stopped":
        return ": its process is stopped (SIGSTOP or a debugger)"
    if process.status == "disk-sleep":
        return ": its process is blocked in the kernel (disk or network file system)"
    if busy is not None and busy > 0.7:
        return f": its process is spinning ({busy * 100:.0f} % of a core)"
    return ": its process is idle" if busy is not None else ""
