"""Judges of a gateway in a container: what its runtime says of it, and a gateway inside that answers nobody."""

from __future__ import annotations

import shlex

from msgspec.structs import replace

from oc_ops.judge import lifecycle
from oc_ops.judge.finding import Finding, finds, none, start
from oc_ops.observe.config import DEFAULT_PORT
from oc_ops.observe.container import Container
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.service import Service
from oc_ops.text import NO_COMMAND

NEVER_RETRY = 78
"""The gateway's exit code for a configuration or lock at fault: a restart policy brings it back to the same end."""

_OFTEN = 2
_CHECKED_S = 120.0
"""So long after a start its health check may still tell of before: three tries, 30 s apart, are usual."""
_STOPPED = (0, 143)
_ENDS = {0: "it ended by itself or was stopped", 137: "it was killed", 143: "it was stopped"}


def fault(seen: GatewayProbe, start_budget_s: float) -> Finding | None:
    """Why the gateway in a container does not answer, its runtime heard first; None for one that answers."""
    there = seen.container
    if there is None or (there.state == "running" and seen.live.kind == "answered"):
        return None
    match there.state:
        case "running":
            return _mute(seen, there, start_budget_s)
        case "paused":
            return _paused(there)
        case "restarting":
            return _restarting(there)
        case "stopping":
            return _stopping(there)
        case "exited" if there.exit_code == NEVER_RETRY:
            return _looping(there)
        case "exited" if there.oom_killed and there.exit_code not in _STOPPED:
            return out_of_memory(there, start_budget_s)
    return _down(there)


def at_port(seen: GatewayProbe, start_budget_s: float) -> Finding | None:
    """Why nobody answers at a port that a container publishes, by its runtime's word; never a command of ours.

    None where a gateway, a unit or a supervisor of this machine may be meant, and for one that runs and is silent: then
    what is seen of its process says more.
    """
    there, live = seen.behind, seen.live
    here = seen.processes or seen.service.manager != "none" or seen.external or seen.hidden
    if there is None or here or live.kind == "answered":
        return None
    if there.state != "running":
        found = fault(replace(seen, container=there), start_budget_s)
    elif live.kind == "silent" or there.age_s is None:
        return None
    elif there.age_s < start_budget_s:
        found = _young(replace(seen, container=there), there, f"{live.summary}; {there.summary}", start_budget_s)
    else:
        found = Finding(
            "gateway/down",
            "error",
            fact=f"container {there.name} runs and publishes port {seen.port}, and no answer comes from there",
            saw=f"{live.summary}; {_said(there)}",
            fix="none automatic: the gateway in it hangs, or serves another port than that",
        )
    if found is None:
        return None
    fix = found.fix.removeprefix(NO_COMMAND)
    return replace(found, fix=f"{NO_COMMAND}it is in container {there.name}: {fix}; {_inside(there)}", proof="")


@finds(
    "gateway/oom-killed",
    state="absent",
    cure=start(
        "nothing runs, so nothing is lost by a start; with the same limit it may end the same way",
        proof="its container's runtime or its unit says that it does not run, and that it ended for want of memory",
    ),
    means="its last end was the OOM killer's",
    helps="a higher memory limit, then start it",
    checks=("gateway/live",),
)
def out_of_memory(there: Container, start_budget_s: float = 0.0) -> Finding:
    """The kernel ended it for want of memory; one that did not live as long as a start may take ends so again."""
    limit = f", whose limit is {there.memory_bytes / 2**20:.0f} MiB" if there.memory_bytes else ""
    fix, proof = _cure(there, "start")
    began, ended = there.started_at, there.ended_at
    ends, more = "ended", f"{NO_COMMAND}give it more memory where its container is created (--memory)"
    if there.state != "exited":
        ends, proof = "again and again ends", ""
        fix = f"{more}; {there.runtime} starts it by itself, and with the same limit it ends the same way"
    elif began and ended and there.memory_bytes and (ended - began).total_seconds() < start_budget_s:
        fix, proof = f"{more}: with the same limit it ends before it has come up; then {fix}", ""
    return Finding(
        "gateway/oom-killed",
        "error",
        fact=f"the kernel {ends} the gateway in container {there.name} for want of memory{limit}",
        saw=_said(there),
        fix=fix,
        proof=proof,
    )


def of_unit(found: Finding, service: Service) -> Finding:
    """The finding of a gateway that is down, named for its end where systemd says that memory ran out."""
    if found.check != "gateway/down" or service.result != "oom-kill":
        return found
    fact = f"the kernel ended the gateway of {service.unit} for want of memory"
    fix = found.fix if found.proof else f"{found.fix}; with the same memory (MemoryMax) it may end the same way"
    return replace(found, check="gateway/oom-killed", fact=fact, fix=fix, verify="")


def _down(there: Container) -> Finding:
    """It does not run; what its runtime has given up is not for a start."""
    fix, proof = _cure(there, "start")
    match there.state:
        case "created" | "exited" if there.error:
            fact = f"container {there.name} does not run: {there.runtime} could not start it"
            fix, proof = f"{NO_COMMAND}mend what {there.runtime} says of its last start, then {fix}", ""
        case "exited":
            why = _ENDS.get(there.exit_code or 0, f"it exited with {there.exit_code}")
            fact = f"container {there.name} does not run: {why}"
        case "created":
            fact = f"container {there.name} was created and never started"
        case "gone":
            fact, proof = f"{there.runtime} has no container {there.name}", ""
            fix = (
                f"none automatic: {there.runtime} ps -a lists what this account has; look as the account whose "
                "container it is, or create it as it was created before"
            )
        case _:
            fact, proof = f"container {there.name} is {there.state} and cannot be started", ""
            fix = f"none automatic: its runtime gave it up ({there.runtime} inspect {there.name}); create it again"
    return Finding("gateway/down", "error", fact=fact, saw=_said(there), fix=fix, proof=proof)


def _paused(there: Container) -> Finding:
    fix, proof = _cure(there, "restart")
    return Finding(
        "gateway/hung",
        "error",
        fact=f"container {there.name} is paused: a person or a backup froze it, no runtime does that on its own",
        saw=_said(there),
        fix=fix,
        proof=proof,
    )


def _restarting(there: Container) -> Finding:
    if there.exit_code == NEVER_RETRY or there.restarts >= _OFTEN:
        return _looping(there)
    return lifecycle.starting_now(f"container {there.name} is being restarted; {_said(there)}")


def _stopping(there: Container) -> Finding:
    return Finding(
        "gateway/draining",
        "warning",
        fact=f"container {there.name} is being stopped: the gateway in it finishes its work",
        saw=_said(there),
        fix="none automatic: wait until it has stopped, then look again",
    )


def _looping(there: Container) -> Finding:
    config = there.exit_code == NEVER_RETRY
    if there.oom_killed and not config:
        return out_of_memory(there)
    why = "it exits with 78: its configuration or lock is at fault" if config else "it does not stay up"
    logs = f"{there.runtime} logs --tail 50 {there.name}"
    return Finding(
        "gateway/crash-loop",
        "error",
        fact=f"container {there.name} does not come up: {why}",
        saw=_said(there),
        fix=f"none automatic: another start ends the same way; read why it exits: {logs}",
    )


def _mute(seen: GatewayProbe, there: Container, start_budget_s: float) -> Finding:
    """A container that runs, and its gateway takes no connection or answers none: within the budget it is starting."""
    answer = seen.again or seen.live
    silent = seen.live.kind == "silent" and answer.kind == "silent"
    processes = (each.summary for each in seen.processes)
    saw = "; ".join(filter(None, (answer.summary, there.summary, *processes, seen.blind)))
    stopped = silent and seen.stopped_inside is not None
    if not stopped and seen.up_s is not None and seen.up_s < start_budget_s:
        return _young(seen, there, saw, start_budget_s)
    fix, proof = _cure(there, "restart")
    what = "answers no connection" if silent else "takes no connection"
    # Through the port alone it may be the forwarder that is at fault: then nothing is done about the gateway.
    proof = f"{proof}, and it {what}, asked inside it as well" if proof and not seen.blind else ""
    fact = f"container {there.name} runs, and the gateway in it {what}"
    if stopped:
        assert seen.stopped_inside is not None
        fact, fix = f"{fact}: its process is stopped (SIGSTOP)", shlex.join(there.wake(seen.stopped_inside))
    if silent:
        return Finding("gateway/hung", "error", fact=fact, saw=saw, fix=fix, proof=proof)
    return Finding("gateway/zombie", "error", fact=fact, saw=saw, fix=fix, proof=proof)


def _young(seen: GatewayProbe, there: Container, saw: str, start_budget_s: float) -> Finding:
    """One on its way up; a loop where it was restarted again and again, and its last life was no long one."""
    if there.restarts >= _OFTEN and (there.lived_s is None or there.lived_s < start_budget_s):
        return _looping(there)
    return lifecycle.within(saw, seen, start_budget_s)


def unreached(seen: GatewayProbe) -> Finding | None:
    """The gateway answers inside its container, and the published port does not lead to it: a warning."""
    there = seen.container
    if there is None or seen.live.kind != "answered":
        return None
    if (place := there.ports.get(DEFAULT_PORT)) and seen.host == there.address:
        return Finding(
            "gateway/port-drift",
            "warning",
            fact=f"the gateway in container {there.name} serves port {seen.port}, which is not published",
            saw=f"{there.runtime}: port {place[1]} of this machine leads to {DEFAULT_PORT} inside; {seen.live.summary}",
            fix=f"none automatic: have it serve {DEFAULT_PORT} (--port, gateway.port), or publish {seen.port}",
        )
    if seen.inside != "inside":
        return None
    return Finding(
        "gateway/port-drift",
        "warning",
        fact=f"the gateway answers in container {there.name}, and not at {seen.host}:{seen.port} on this machine",
        saw=f"{there.runtime} exec: {seen.live.summary}",
        fix="none automatic: have it listen on its container's network (gateway run --bind lan), and publish that port",
    )


@finds(
    "gateway/health-check",
    state="serving",
    checks=("gateway/live",),
    cure=none("the gateway is well: what fails is the check that its container was given"),
    means="the container's own health check says unhealthy while the gateway in it is live and ready (a warning)",
    helps="correct the health check; no restart",
)
def unhealthy(seen: GatewayProbe) -> Finding | None:
    """Its runtime holds a gateway for ill that is well, and others may act on that: a healer, an orchestrator."""
    there, ready = seen.container, seen.ready
    well = seen.live.kind == "answered" and ready is not None and ready.status == 200
    if there is None or there.health != "unhealthy" or not well or (seen.up_s or 0.0) < _CHECKED_S:
        return None
    told = f": {there.health_said}" if there.health_said else ""
    return Finding(
        "gateway/health-check",
        "warning",
        fact=f"the health check of container {there.name} says unhealthy, and the gateway in it is live and ready",
        saw=f"{there.runtime}: its health check says {there.health}{told}; {ready.summary if ready else ''}",
        fix="none automatic: correct that check where the container is created (HEALTHCHECK, --health-cmd); a restart "
        "is useless, and whatever restarts unhealthy containers (--health-on-failure, autoheal) would do it in vain",
    )


def revival(there: Container) -> str:
    """How it comes up once what keeps it out is gone: by whatever restarts it, else by the command that starts it."""
    if there.pod:
        return "its kubelet starts it by itself"
    if there.state == "restarting" or (there.state == "running" and there.policy not in ("", "no")):
        return f"{there.runtime} starts it by itself"
    return _cure(there, "start")[0]


def _inside(there: Container) -> str:
    return f"--target {there.place} looks inside"


def _said(there: Container) -> str:
    return f"{there.runtime}: {there.summary}"


def _cure(there: Container, action: str) -> tuple[str, str]:
    """The command of whoever owns the container, and the proof where recovery may run it: its runtime's own alone."""
    verb = "restart" if action == "restart" else "start"
    if there.pod:
        return f"none automatic: its pod is its kubelet's: kubectl delete pod {there.pod} recreates it", ""
    return " ".join(there.words("restart" if verb == "restart" else "start")), f"{there.runtime} says: {there.summary}"
