"""A gateway process that does not answer: let go on if it is stopped, else its manager is asked, then TERM, KILL."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psutil

from oc_ops.act import wake
from oc_ops.act.breaker.scan import Blocker, BreakerView, BreakResult, Pid, Refused, Tools
from oc_ops.errors import CouldNotLook
from oc_ops.judge.finding import NO_UNIT, Finding
from oc_ops.judge.findings import state_of
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.processes import GatewayProcess
from oc_ops.observe.service import Service, ask, stop_command

_ASK_S = 10.0
_KILLED_S = 10.0
_LOOK_S = 0.5


def processes(sight: BreakerView) -> Iterator[Blocker]:
    """The gateway process that `gateway/zombie` or `gateway/hung` is about, if it is known for certain."""
    cause, look = sight.cause, sight.look
    if look is None or cause is None or state_of(cause.check) != "mute":
        return
    kind: str = cause.check.partition("/")[2]
    process = _process(kind, look)
    found = Pid.of(process.pid) if process else None
    if process is None or found is None:
        return
    service = look.service
    yield Blocker(
        "zombie" if kind == "zombie" else "hung",
        f"{kind}:{process.pid}",
        _name(process),
        fact=cause.fact,
        act=_way(look, process, service),
        evidence={
            "pid": found.pid,
            "started": found.started,
            "title": process.title.strip(),
            "port": look.port,
            "finding": cause.check,
            "manager": service.manager,
            "unit": service.unit,
            "unit_pid": service.pid,
        },
        shown=(
            cause.saw,
            f"the doctor's fix: {cause.fix}",
            service.summary if service.manager != "none" else _unsupervised(look),
        ),
        refused=_refusal(sight, process, cause),
    )


def _unsupervised(look: GatewayProbe) -> str:
    return f"{look.container.runtime} runs it" if look.container else NO_UNIT


def _refusal(sight: BreakerView, process: GatewayProcess, cause: Finding) -> str:
    if (there := sight.target.container) is not None:
        return f"it is the process of container {there.name}, which its runtime ends and starts: {cause.fix}"
    if not (process.certain and cause.proof):
        return "it is not proven that this process is the gateway that fails"
    return ""


def end(mutex: Blocker, hands: Tools) -> BreakResult:
    """Ask, wait, TERM, wait, KILL, each only while the very process of the evidence lives; then look afresh.

    A stopped process is let go on first, and is ended only if it still does not answer.
    """
    found = _evidenced(mutex)
    look = hands.look().look
    if found.living() is None:
        # Its unit may run a healthy successor by now, which a stop would end.
        raise Refused(f"pid {found.pid} is gone: nothing was done")
    if wake.stopped(look) == found and (woken := _woken(found, hands)):
        return woken
    service = look.service if look else None
    patience_s = hands.settings.breaker_stop_s
    if service is not None and service.manager != "none":
        _ask(service, hands)
        if found.gone(patience_s):
            return _after(mutex, f"the service manager ended pid {found.pid}", hands)
        hands.say(f"pid {found.pid} is still there after {patience_s:g} s: its service manager does not end it")
    if not _signal(found, "terminate", hands) or found.gone(patience_s):
        return _after(mutex, f"pid {found.pid} ended on SIGTERM", hands)
    if not _signal(found, "kill", hands) or found.gone(_KILLED_S):
        return _after(mutex, f"pid {found.pid} was killed", hands)
    return BreakResult("ineffective", f"pid {found.pid} survives SIGKILL: it is blocked in the kernel", {"lives": True})


def _process(kind: str, look: GatewayProbe) -> GatewayProcess | None:
    if kind == "hung":
        return look.serving
    return next((each for each in look.processes if each.certain), None)


def _name(process: GatewayProcess) -> str:
    """The process' exact name: the first word of its command line without its folder, as it shows in `ps`."""
    words = process.title.split()
    return words[0].rpartition("/")[2] if words else str(process.pid)


def _way(look: GatewayProbe, process: GatewayProcess, service: Service) -> str:
    """The steps in their order; a stopped process is let go on before anything ends it."""
    found, there = wake.stopped(look), look.container
    first = f"{wake.command(found)}; only if it still does not answer, " if found else ""
    if there is not None:
        return first + " ".join(there.words("restart"))
    return f"{first}{_request(service)}SIGTERM to pid {process.pid}, then SIGKILL"


def _woken(found: Pid, hands: Tools) -> BreakResult | None:
    """Let it go on and wait until it answers; None where it does not, however often it was looked at."""
    hands.note(f"resume pid {found.pid}, started {found.started}")
    if why := wake.resume(found):
        raise Refused(f"{why}: nothing was done")
    until = hands.clock() + hands.settings.breaker_stop_s
    while True:
        sight = hands.look()
        if sight.look is not None and (sight.cause is None or state_of(sight.cause.check) in ("late", "serving")):
            now = f"now {sight.cause.check}, fix: {sight.cause.fix}" if sight.cause else "the gateway answers"
            said = f"pid {found.pid} was stopped and has been let go on: {now}; nothing was ended"
            return BreakResult("verified", said, {"lives": True, "finding": sight.cause.check if sight.cause else None})
        if hands.clock() >= until:
            hands.say(f"pid {found.pid} was let go on and still does not answer")
            return None
        hands.wait(_LOOK_S)


def _request(service: Service) -> str:
    return "" if service.manager == "none" else f"{' '.join(stop_command(service))}, then "


def _ask(service: Service, hands: Tools) -> None:
    """The one who is to end it; not again while it is at it: that would forget what it has to do afterwards."""
    if service.detail.startswith("deactivating"):
        hands.note(f"{service.unit} is being stopped already")
        return
    argv = stop_command(service)
    hands.note(" ".join(argv))
    try:
        hands.note(ask(argv, os.environ, _ASK_S).summary)
    except CouldNotLook as error:
        hands.note(str(error))


def _signal(found: Pid, verb: str, hands: Tools) -> bool:
    """Send it if the very process lives; False when it does not any more."""
    process = found.living()
    if process is None:
        return False
    hands.note(f"{verb} pid {found.pid}, started {found.started}")
    try:
        process.terminate() if verb == "terminate" else process.kill()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        raise Refused(f"pid {found.pid} belongs to another user: it cannot be signalled from here") from None
    return True


def _after(mutex: Blocker, said: str, hands: Tools) -> BreakResult:
    """Gone is gone; what stands in the way now is told, with its fix."""
    sight = hands.look()
    cause = sight.cause
    if cause is not None and cause.check == mutex.evidence["finding"] and str(mutex.evidence["pid"]) in cause.saw:
        return BreakResult("ineffective", f"{said}, and is found again: {cause.saw}", {"finding": cause.check})
    well = "; the gateway answers" if sight.look else "; what runs now could not be looked at"
    now = f"; now {cause.check}, fix: {cause.fix}" if cause else well
    return BreakResult("verified", said + now, {"lives": False, "finding": cause.check if cause else None})


def _evidenced(mutex: Blocker) -> Pid:
    pid, started = mutex.evidence["pid"], mutex.evidence["started"]
    assert isinstance(pid, int)
    assert isinstance(started, float)
    return Pid(pid, started)
