"""Judges of the gateway's state: each names one fault or returns None; `cause` takes the first."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from oc_ops.judge import container, port
from oc_ops.judge.container import NEVER_RETRY
from oc_ops.judge.descriptors import fd_limit
from oc_ops.judge.finding import NO_UNIT, Finding, finds, none, restart, start, wait
from oc_ops.judge.lifecycle import body_of, failing_of, shut, starting
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.processes import GatewayProcess
from oc_ops.process.jsontext import at, number_at, text_at
from oc_ops.settings import Settings

RESTART = "openclaw gateway restart"
START = "openclaw gateway start"
BY_HAND = "start it as it was started before (openclaw gateway run)"
"""Without a service unit `gateway start` and `restart` are refused or do nothing (2026.9.6, 2026.5.28)."""


class Limits(Struct, frozen=True):
    """Limits that the judges measure against."""

    start_budget_s: float = 240.0
    late_answer_s: float = 1.0
    event_loop_delay_ms: float = 1000.0

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Those of the settings."""
        return cls(settings.start_budget_s, settings.late_answer_s, settings.event_loop_delay_ms)


LIMITS = Limits()


def cause(seen: GatewayProbe, limits: Limits) -> Finding | None:
    """The one finding that explains the gateway's state, or None when it is live, started and prompt."""
    if found := container.fault(seen, limits.start_budget_s) or container.at_port(seen, limits.start_budget_s):
        return found
    for judge in (port_taken, crash_loop, fd_limit, _starting, zombie, down, hung, draining, saturated):
        if finding := judge(seen, limits):
            return finding if seen.hidden else container.of_unit(finding, seen.service)
    return None


def _starting(seen: GatewayProbe, limits: Limits) -> Finding | None:
    return starting(seen, limits.start_budget_s)


def unseen(seen: GatewayProbe, found: Finding | None) -> str:
    """Say what we may not see, where the finding rests on it: then whether the gateway is down is not known."""
    if found is not None and seen.barred:
        rules = "a rule of this machine's firewall is in the way (sudo nft list ruleset, or iptables -S, shows them)"
        return f"{seen.barred}: {rules}, and says nothing of the gateway"
    if found is None or found.check not in ("gateway/down", "gateway/zombie") or not seen.hidden:
        return ""
    return f"nothing was seen to listen on port {seen.port}, and whether the gateway runs is not known: {seen.hidden}"


def port_taken(seen: GatewayProbe, _limits: Limits = LIMITS) -> Finding | None:
    """Somebody has the port and is not this gateway."""
    return None if shut(seen) else port.port_taken(seen)


@finds(
    "gateway/down",
    state="absent",
    checks=("gateway/live",),
    cure=start(
        "nothing runs, so nothing is lost by a start; newer releases refuse to restart what is down",
        proof="nothing listens, none of its processes lives, and the unit that owns it rests",
    ),
    means="nothing listens and no gateway process lives",
    helps="start",
)
def down(seen: GatewayProbe, _limits: Limits = LIMITS) -> Finding | None:
    """Nothing listens and no gateway process lives; or a forwarder has the port, and nobody answers behind it."""
    there = port.behind(seen)
    if there is not None and port.dead_behind(seen) and seen.listener is not None:
        fix = port.look_behind(seen, "start")
        return Finding(
            "gateway/down",
            "error",
            fact=f"{there.name} forwards port {seen.port}, and no gateway answers behind it",
            saw=f"{seen.listener.summary}; {(seen.again or seen.live).summary}",
            fix=fix,
        )
    if not shut(seen):
        return None
    service, proof = seen.service, ""
    if who := seen.hidden or ", ".join(f"pid {each.pid} may be this gateway" for each in seen.processes):
        fix = f"none automatic: {who}: see that it is none before you start one"
    elif _has_service(seen):
        fix = START if service.managed and not seen.external else service.command("start")
        proof = f"nothing listens on port {seen.port}, no process of it lives, {service.summary}"
    elif seen.external:
        fix = f"{port.EXTERNAL}: have that start it"
    else:
        fix = port.in_container(seen.behind, "start") if seen.behind else port.nobody_starts(seen, BY_HAND)
    owner = service.summary if _has_service(seen) else "; ".join(filter(None, ("no service unit seen", seen.unasked)))
    return Finding(
        "gateway/down",
        "error",
        fact=f"nothing listens on port {seen.port} and no gateway process lives",
        saw=f"{seen.live.summary}; {owner}",
        fix=fix,
        proof=proof,
    )


@finds(
    "gateway/crash-loop",
    state="absent",
    checks=("gateway/live",),
    cure=none(
        "the service manager has restarted it again and again, or it exits with 78; one more start ends the same way"
    ),
    means="the service manager keeps restarting it, or gave up (start limit, exit 78)",
    helps="read why it exits; no restart",
)
def crash_loop(seen: GatewayProbe, _limits: Limits = LIMITS) -> Finding | None:
    """The supervisor keeps restarting it, or gave up: start limit, or exit 78 (config or lock, never to be retried)."""
    service = seen.service
    if not shut(seen):
        return None
    often = (service.restarts or 0) >= 2 or service.exit_status == NEVER_RETRY
    between = service.state == "running" and seen.serving is None  # its program ends before it can be seen
    looping = often and (service.state == "restarting" or between)
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
    )


@finds(
    "gateway/zombie",
    state="mute",
    checks=("gateway/live",),
    cure=restart(
        "it lives beyond the start budget and does not listen",
        proof="the process is this gateway's for certain, and its sockets were seen to listen nowhere",
    ),
    means="a gateway process lives and its sockets show that it listens nowhere",
    helps="restart, or end that pid",
)
def zombie(seen: GatewayProbe, _limits: Limits = LIMITS) -> Finding | None:
    """A gateway process lives beyond the start budget and was seen to listen nowhere."""
    process = next((each for each in seen.processes if each.certain), None)
    if not shut(seen) or process is None:
        return None
    saw, proof = f"{process.summary}; {seen.live.summary}", ""
    if seen.hidden:
        fix = f"none automatic: {seen.hidden}"
    elif seen.listens:
        saw += f"; it listens on {seen.listens}"
        fix = f"none automatic: what it listens on answers as no gateway: read its log before you end pid {process.pid}"
    else:
        proof = f"pid {process.pid} ({process.evidence}) lives, and its sockets show that it listens nowhere"
        fix = _restart(seen, process, f"none automatic: end pid {process.pid}, then {BY_HAND}")
    return Finding(
        "gateway/zombie",
        "error",
        fact=f"a gateway process lives but nothing listens on port {seen.port}",
        saw=saw,
        fix=fix,
        proof=proof,
    )


@finds(
    "gateway/hung",
    state="mute",
    checks=("gateway/live",),
    cure=restart(
        "it accepts connections and answers none, twice: whatever it may still be doing is out of reach",
        proof="the process that holds the port is this gateway's for certain, and was silent twice",
    ),
    means="the port accepts connections and answers none, twice; says what its process does (stopped, spinning, idle)",
    helps="`kill -CONT` when stopped, else restart",
)
def hung(seen: GatewayProbe, _limits: Limits = LIMITS) -> Finding | None:
    """The port accepts and nobody answers, twice; says what the process is doing."""
    there = port.behind(seen)
    if there is not None and port.silent_behind(seen) and seen.listener is not None:
        fix = port.look_behind(seen, "restart")
        return Finding(
            "gateway/hung",
            "error",
            fact=f"{there.name} forwards port {seen.port}, and what is behind it answers no connection",
            saw=f"{seen.listener.summary}; {(seen.again or seen.live).summary}",
            fix=fix,
        )
    if not _mute(seen) or (seen.again is not None and seen.again.kind == "answered"):
        return None
    process, holder = seen.serving, seen.holder
    if holder is None and seen.behind is not None:
        fix = port.in_container(seen.behind, "restart", seen.stopped_inside)
    elif holder is None:
        fix = f"none automatic: see who has the port first (lsof -nP -iTCP:{seen.port} -sTCP:LISTEN, as root)"
    elif holder.status == "stopped":
        fix = f"kill -CONT {holder.pid}"
    elif not _silent(seen):
        fix = "none automatic: it answers something that is no HTTP: see whether gateway.tls is what it started with"
    else:
        by_hand = f"none automatic: {NO_UNIT}; end pid {holder.pid}, then {BY_HAND}"
        fix = _restart(seen, holder, by_hand)
    proof = ""
    if holder is not None and _silent(seen):
        proof = f"pid {holder.pid} ({holder.evidence}) holds port {seen.port} and answers no connection"
    return Finding(
        "gateway/hung",
        "error",
        fact=f"the gateway accepts connections on port {seen.port} and answers none{_doing(process, seen.busy)}",
        saw=f"{(seen.again or seen.live).summary}; {process.summary if process else _unseen_holder(seen)}",
        fix=fix,
        proof=proof,
    )


def _silent(seen: GatewayProbe) -> bool:
    """Silent at both looks, or at the one look that a stopped process gets."""
    stopped = seen.holder is not None and seen.holder.status == "stopped"
    second = seen.again.kind if seen.again else "silent" if stopped else ""
    return (seen.live.kind, second) == ("silent", "silent")


def _unseen_holder(seen: GatewayProbe) -> str:
    who = f": {seen.listener.summary} has the port" if seen.listener else ""
    return f"its process cannot be seen{who}"


def _restart(seen: GatewayProbe, process: GatewayProcess, by_hand: str) -> str:
    """The command that restarts it: OpenClaw's own for the unit that it manages, the manager's for any other unit."""
    service = seen.service
    if seen.drifted:
        return f"none automatic: settle first whether it is to serve port {seen.port} or {seen.wanted}; then {RESTART}"
    others = service.pid is not None and service.pid not in (process.pid, process.parent)
    if service.manager == "none" or others or service.state in ("stopped", "failed"):
        return f"{port.EXTERNAL}: have that restart pid {process.pid}" if seen.external else by_hand
    return RESTART if service.managed and not seen.external else service.command("restart")


def _has_service(seen: GatewayProbe) -> bool:
    return seen.service.manager != "none"


@finds(
    "gateway/draining",
    state="passing",
    checks=("gateway/started",),
    cure=wait("it finishes its work before a restart that was already requested"),
    means="it finishes its work before a restart: a warning within the drain budget (330 s); beyond it "
    "`gateway/drain-stuck` says so",
    helps="wait",
)
def draining(seen: GatewayProbe, _limits: Limits = LIMITS) -> Finding | None:
    """Live, and finishing its work before a restart or stop."""
    says = text_at(body_of(seen.startup), "status")
    failing = failing_of(seen.ready)
    if says != "draining" and not any("drain" in each for each in failing):
        return None
    probe = seen.startup if says == "draining" else seen.ready
    return Finding(
        "gateway/draining",
        "warning",
        fact="the gateway is draining: it finishes running work and takes no new one",
        saw=probe.summary if probe else "",
        fix="none automatic: wait for the drain, then look again",
    )


@finds(
    "gateway/saturated",
    state="late",
    checks=("gateway/prompt",),
    cure=none(
        "a restart aborts the work that is under way and brings the load back",
        proof="its own event loop is late by its own measure",
    ),
    means="it answers late; its event loop is held up (utilization alone is no fault)",
    helps="less load; no restart",
)
def saturated(seen: GatewayProbe, limits: Limits = LIMITS) -> Finding | None:
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
    )


@finds(
    "gateway/not-ready",
    state="serving",
    checks=("gateway/ready",),
    cure=none("it is live; what it lists as failing (a channel account, an agent database) fails after a restart too"),
    means="live, with a list of what fails (a channel account, an agent database)",
    helps="see to what fails",
)
def not_ready(seen: GatewayProbe, limits: Limits = LIMITS) -> Finding | None:
    """Live, and /readyz says no or nothing: a channel account or an agent database fails, or the start never ended."""
    ready = seen.ready
    if ready is None or _starting(seen, limits) or draining(seen, limits):
        return None
    failing = ", ".join(failing_of(ready)) or "it does not say why"
    if ready.kind != "answered":
        fact, saw = "the gateway is live, and whether it is ready cannot be learnt", ready.summary
    elif ready.status == 503 or at(body_of(ready), "ready") is False:
        fact, saw = f"the gateway is live but not ready: {failing}", f"GET /readyz answered {ready.status}: {failing}"
        if (delay_ms := number_at(body_of(ready), "eventLoop", "delayP99Ms")) is not None:
            saw += f", event-loop delay p99 {delay_ms:.0f} ms"
    else:
        return None
    return Finding("gateway/not-ready", "error", fact, saw, fix="openclaw channels status --probe")


@finds(
    "gateway/duplicate",
    state="serving",
    checks=("gateway/single",),
    cure=none("which of the two is to stay is not for a program to decide"),
    means="two gateways of one state directory",
    helps="end one",
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
    )


def _mute(seen: GatewayProbe) -> bool:
    """The port accepts, and no HTTP answer came of it at the first look."""
    return seen.live.kind != "answered" and not shut(seen)


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
