"""Judges of the gateway's state: each names one fault or returns None; `cause` takes the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oc_ops.judge.finding import Finding
from oc_ops.observe.gateways import GatewayProcess, is_gateway_title
from oc_ops.observe.http import Probe
from oc_ops.observe.install import release
from oc_ops.observe.jsontext import at, number_at, text_at
from oc_ops.observe.look import GatewayLook
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.rpc import RpcRefused, RpcReply

_VERIFY = "pytest checks/ -m doctor -k test_gateway"
RESTART = "openclaw gateway restart"
START = "openclaw gateway start"


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
    if seen.live.kind in ("refused", "unreachable"):
        return None
    stranger = seen.listener is not None and _is_stranger(seen)
    if seen.live.kind == "silent":
        if not stranger:
            return None
    elif seen.live.kind == "answered" and _speaks_openclaw(seen.live):
        # A lookalike answers /healthz as we expect; the process behind the port and the other probes tell.
        if not stranger or any(each is not None and _speaks_openclaw(each) for each in (seen.startup, seen.ready)):
            return None
    elif seen.live.kind == "garbled" and not stranger and seen.processes:
        return None
    return taken(seen, seen.live.summary)


def taken(seen: GatewayLook, evidence: str) -> Finding:
    """The finding for a stranger on the gateway's port."""
    who = seen.listener.summary if seen.listener else "a process that cannot be seen"
    return Finding(
        "gateway/port-taken",
        "error",
        fact=f"port {seen.port} answers, but it is not an OpenClaw gateway",
        saw=f"{who} listens; {evidence}",
        fix=f"none automatic: end that program or move it off port {seen.port}, then `{START}`",
        verify=_VERIFY,
    )


def down(seen: GatewayLook, _limits: Limits = Limits()) -> Finding | None:
    """Nothing listens and no gateway process lives."""
    if seen.live.kind not in ("refused", "unreachable"):
        return None
    service = f"; {seen.service.summary}" if seen.service.manager != "none" else "; no service unit"
    return Finding(
        "gateway/down",
        "error",
        fact=f"nothing listens on port {seen.port} and no gateway process lives",
        saw=f"{seen.live.summary}{service}",
        fix=START,
        verify=_VERIFY,
    )


def crash_loop(seen: GatewayLook, _limits: Limits = Limits()) -> Finding | None:
    """The supervisor keeps restarting it, or gave up: start limit, or exit 78 (config or lock, never to be retried)."""
    service = seen.service
    if seen.live.kind not in ("refused", "unreachable"):
        return None
    looping = service.state == "restarting" and (service.restarts or 0) >= 2
    gave_up = service.state == "failed" and (
        service.exit_status == 78 or "limit" in service.result or (service.restarts or 0) >= 2
    )
    if not (looping or gave_up):
        return None
    why = (
        "it exits with 78: its configuration or lock is at fault"
        if service.exit_status == 78
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
    says = text_at(_json(seen.startup), "status")
    process = seen.serving
    silent = seen.live.kind == "silent" and (seen.again is None or seen.again.kind == "silent")
    young = process is not None and process.age_s < limits.start_budget_s and process.status != "stopped"
    if says == "starting":
        saw = f"GET /startupz says starting, {text_at(_json(seen.startup), 'pendingReason') or 'no reason given'}"
    elif seen.live.kind == "answered" and _only_sidecars(seen.ready):
        saw = f"GET /readyz: {', '.join(_failing(seen.ready))}"
    elif process is not None and young and (seen.live.kind in ("refused", "unreachable") or silent):
        saw = f"{process.summary}; {seen.live.summary}"
    elif seen.service.state == "restarting" and seen.live.kind == "refused":
        saw = seen.service.summary
    else:
        return None
    return _starting(saw, f", at most {limits.start_budget_s - process.age_s:.0f} s more" if process and young else "")


def _starting(saw: str, left: str) -> Finding:
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
    if seen.live.kind not in ("refused", "unreachable") or process is None:
        return None
    return Finding(
        "gateway/zombie",
        "error",
        fact=f"a gateway process lives but nothing listens on port {seen.port}",
        saw=f"{process.summary}; {seen.live.summary}",
        fix=RESTART if seen.service.manager != "none" else f"none automatic: end pid {process.pid}, then `{START}`",
        verify=_VERIFY,
    )


def hung(seen: GatewayLook, _limits: Limits = Limits()) -> Finding | None:
    """The port accepts and nobody answers, twice; says what the process is doing."""
    if seen.live.kind != "silent" or (seen.again is not None and seen.again.kind != "silent"):
        return None
    process = seen.serving
    return Finding(
        "gateway/hung",
        "error",
        fact=f"the gateway accepts connections on port {seen.port} and answers none{_doing(process, seen.busy)}",
        saw=f"{seen.live.summary}; {process.summary if process else 'its process cannot be seen'}",
        fix=f"kill -CONT {process.pid}" if process is not None and process.status == "stopped" else RESTART,
        verify=_VERIFY,
    )


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
    late = seen.again or seen.live
    slow = late.kind == "answered" and (seen.live.kind == "silent" or late.wall_s > limits.late_answer_s)
    if not slow and not (delay_ms is not None and delay_ms > limits.event_loop_delay_ms):
        return None
    parts = [f"event-loop delay p99 {delay_ms:.0f} ms, limit {limits.event_loop_delay_ms:.0f} ms"] if delay_ms else []
    if slow:
        parts.insert(0, f"{seen.live.summary}; {late.summary}" if seen.again else late.summary)
    return Finding(
        "gateway/saturated",
        "error",
        fact="the gateway answers, but late: its event loop is held up",
        saw="; ".join(parts),
        fix="none automatic: a restart aborts the work and brings the load back; "
        "stop status loops and stagger cron jobs, then look again",
        verify=_VERIFY,
    )


def not_ready(seen: GatewayLook) -> Finding | None:
    """Live and started, yet /readyz says 503: a channel account or an agent database fails."""
    failing = _failing(seen.ready)
    if seen.ready is None or seen.ready.status != 503 or not failing:
        return None
    delay_ms = number_at(_json(seen.ready), "eventLoop", "delayP99Ms")
    return Finding(
        "gateway/not-ready",
        "error",
        fact=f"the gateway is live but not ready: {', '.join(failing)}",
        saw=f"GET /readyz answered 503, failing: {', '.join(failing)}"
        + (f", event-loop delay p99 {delay_ms:.0f} ms" if delay_ms is not None else ""),
        fix="openclaw channels status --probe",
        verify=_VERIFY,
    )


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
    return Finding(
        "gateway/version-drift",
        "warning",
        fact="the CLI and the running gateway are of different releases",
        saw=", ".join(f"{name} {each}" for name, each in versions.items() if each),
        fix=f"{RESTART}  # after checking with `which -a openclaw` that one install is meant",
        verify=_VERIFY,
    )


def read_unanswered(read: RpcReply | RpcRefused | Answer, seen: GatewayLook) -> Finding | None:
    """HTTP is live, and a `status` read is refused or not answered: `openclaw status`'s claim, by content."""
    if isinstance(read, RpcRefused):
        return _refused(read, seen)
    if isinstance(read, Answer):
        return None if read.came and _is_status(read.value) else _by_error(read.error, read.call.summary)
    if read.outcome == "ok" and _is_status(read.payload):
        return None
    words = f"{read.code or ''} {read.message}".strip() or "an answer without a status"
    return _by_error(words, f"RPC {read.method}: {read.outcome} after {read.wall_s:.1f} s: {words}")


def _refused(refused: RpcRefused, seen: GatewayLook) -> Finding | None:
    saw = f"RPC connect: {refused.reason}"
    match refused.kind:
        case "auth":
            return _rejected(saw)
        case "silent" | "closed" | "unreachable":
            return _unanswered(saw)
        case "stranger":
            return taken(seen, saw)
        case "starting":
            return _starting(saw, "")
    return None


def _is_status(payload: object) -> bool:
    """A status has the gateway's own version or its heartbeat table; `{}` or an echo has neither."""
    return at(payload, "runtimeVersion") is not None or at(payload, "heartbeat") is not None


def _by_error(error: str, saw: str) -> Finding:
    return _rejected(saw) if is_credential_error(error) else _unanswered(saw)


def status_answered(answer: Answer) -> Finding | None:
    """`openclaw gateway status` by content: its exit code is 0 in every bad state of every release measured."""
    if at(answer.value, "rpc", "ok") is True:
        return None
    error = text_at(answer.value, "rpc", "error") or answer.error or "no JSON answer"
    kind = text_at(answer.value, "rpc", "connectFailure", "kind")
    return _by_error(f"{kind} {error}", f"{answer.call.summary}: {error}")


def is_credential_error(text: str) -> bool:
    """True for the CLI's words (2026.2.26 to 2026.9.6) for a refused token, device, pairing or scope."""
    words = (
        "unauthorized",
        "token mismatch",
        "AUTH_",
        "pairing required",
        "scope upgrade",
        "missing scope",
        "auth-rejected",
    )
    return any(each in text for each in words)


def _unanswered(saw: str) -> Finding:
    return Finding(
        "gateway/rpc-unanswered",
        "error",
        fact="the gateway does not answer an authenticated read",
        saw=saw,
        fix=RESTART,
        verify="pytest checks/ -m doctor -k test_rpc_answers",
    )


def _rejected(saw: str) -> Finding:
    return Finding(
        "gateway/auth-rejected",
        "error",
        fact="the gateway is up and refuses the credential from the config",
        saw=saw,
        fix="none automatic: a restart does not help; compare gateway.auth with what the gateway was started with, "
        "then `openclaw devices list`",
        verify="pytest checks/ -m doctor -k test_rpc_answers",
    )


def _is_stranger(seen: GatewayLook) -> bool:
    who = seen.listener
    if who is None or who.pid is None:
        return False
    return (
        who.pid not in {each.pid for each in seen.processes}
        and not is_gateway_title(who.title)
        and ("openclaw" not in who.title)
    )


def _speaks_openclaw(probe: Probe) -> bool:
    """A JSON health answer, or the Control UI page with which releases before the probes answer every path."""
    answer = probe.json
    if answer is not None:
        return {"ok", "status"} <= answer.keys() or "ready" in answer
    return probe.status == 200 and ("<title>OpenClaw" in probe.body or "<openclaw-app" in probe.body)


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
