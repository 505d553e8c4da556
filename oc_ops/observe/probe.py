"""One look at the gateway through its port and its processes, cheapest first, twice where once would not be fair."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import psutil
from msgspec import Struct
from msgspec.structs import replace

from oc_ops.observe import http, sockets, whereabouts
from oc_ops.observe import processes as observe_processes
from oc_ops.observe.container import Container
from oc_ops.observe.healers import Healer, install_of
from oc_ops.observe.http import Probe
from oc_ops.observe.limits import Descriptors, descriptors
from oc_ops.observe.port_container import publishing
from oc_ops.observe.processes import GatewayProcess
from oc_ops.observe.service import NO_SERVICE, Service, unit_of
from oc_ops.observe.sockets import Listener, forwarder, lives_apart
from oc_ops.observe.target import Target
from oc_ops.observe.whereabouts import TcpAddress, Whereabouts
from oc_ops.process.jsontext import at, number_at, text_at

EVENT_LOOP_INTERVAL_S = 1.1
"""The gateway measures its event loop over the last second: a later look sees other figures."""

RESTART_GAP_S = 6.0
"""2026.9.6 restarts a foreground gateway in place: its port was closed for 3.7 s under the same pid."""
_LOOK_AGAIN_S = 0.25
_IDENTIFIED_S = 12.0
"""How long a process known by its title alone is watched: a starting gateway is named in its lock after 1 to 17 s."""
_READY_PATIENCE = 3
"""How many times longer the second question for readiness may take than the first."""
_RETRY_PATIENCE = 4
"""The same of a proxy: haproxy tries a dead backend four times, a second apart, before it hangs up (2.6)."""


class GatewayProbe(Struct, frozen=True):
    """The gateway by port, HTTP probes, processes and service manager. `again` is the second probe after a silent one.

    `port` and `host` are where it was looked at: where this target's gateway was seen to listen, `wanted` and `learnt`
    saying then what was asked for and how the place was learnt. `hidden` says what we may not see of its processes;
    `foreign` is the state directory of another gateway that has the port.
    """

    port: int
    live: Probe
    again: Probe | None = None
    startup: Probe | None = None
    ready: Probe | None = None
    ready_again: Probe | None = None
    listener: Listener | None = None
    processes: tuple[GatewayProcess, ...] = ()
    busy: float | None = None
    service: Service = NO_SERVICE
    host: str = "127.0.0.1"
    wanted: int | None = None
    learnt: str = ""
    hidden: str = ""
    listens: str = ""
    """Where its processes listen without answering as a gateway, in words."""
    foreign: Path | None = None
    runtimes: tuple[str, ...] = ()
    """The container runtimes whose commands are at hand; looked for when no answer came."""
    barred: str = ""
    """Why what the port says is not its listener's word: connections do not get to it; looked for when none came."""
    unasked: str = ""
    """Why there may be a container that publishes the port and is not seen from here; looked for with them."""
    installing: Healer | None = None
    """The package manager that the gateway itself runs; looked for when no answer came."""
    container: Container | None = None
    """The container that was chosen, as its runtime tells of it; then `live` is no more than that port's answer."""
    behind: Container | None = None
    """The container that publishes the port, where a gateway of this machine was looked for and does not answer."""
    stopped_inside: int | None = None
    """The gateway's pid in the container (chosen, or behind the port) where it answers nobody and is stopped there."""
    inside: str = ""
    """Where the answer came from, of a container: its `published` port, or only `inside`."""
    blind: str = ""
    """Why the gateway could not be asked inside its container, where that was tried."""
    external: bool = False
    """True if OPENCLAW_SUPERVISOR_MODE=external is told to it, or to us where it does not run; no answer came then."""
    descriptors: Descriptors | None = None
    """Open files of the port's holder, where that can be seen."""
    progress: str = ""
    """How a start whose age is not known moved on between two looks, in words."""

    @property
    def up_s(self) -> float | None:
        """Seconds since this start: by the gateway's own word, as a restart in place keeps the process (2026.9.6)."""
        for probe in (self.startup, self.ready):
            if (uptime_ms := number_at(probe.json if probe else None, "uptimeMs")) is not None:
                return uptime_ms / 1000
        born = self.serving or self.container
        return born.age_s if born else None

    @property
    def drifted(self) -> bool:
        """True if its gateway serves another port than config and environment say."""
        return self.wanted is not None and self.wanted != self.port

    def reached(self, target: Target) -> Target:
        """The target with the environment that leads an `openclaw` call to the port which the gateway serves."""
        if not self.drifted:
            return target
        return dataclasses.replace(target, environ={**target.environ, "OPENCLAW_GATEWAY_PORT": str(self.port)})

    @property
    def holder(self) -> GatewayProcess | None:
        """The process that is certain to be this target's gateway and was seen to hold the port."""
        held = self.listener.pid if self.listener else None
        return next((each for each in self.processes if each.certain and each.pid == held), None)

    @property
    def serving(self) -> GatewayProcess | None:
        """The gateway process that listens, else the likeliest one."""
        listening = [each for each in self.processes if self.listener and each.pid == self.listener.pid]
        return next(iter(listening or self.processes), None)

    @property
    def event_loop_delay_ms(self) -> float | None:
        """The p99 delay of the gateway's event loop: the smaller of two looks where two were taken."""
        delays = [_delay_ms(each) for each in (self.ready, self.ready_again) if each]
        return min((each for each in delays if each is not None), default=None)


def look(
    target: Target,
    host: str,
    port: int,
    *,
    tls: bool = False,
    budget_s: float,
    delay_limit_ms: float,
    service_of: Callable[[Target], Service],
    wait: Callable[[float], None] = time.sleep,
    live: Probe | None = None,
) -> GatewayProbe:
    """Probe, list the processes, and look a second time before calling silence or a slow event loop a state.

    A stopped process (T) needs no second probe: it cannot answer one. Takes 5 ms on a healthy gateway, at most twice
    `budget_s` on a silent one, five times on a silent proxy or on one that is live and mute about its readiness,
    RESTART_GAP_S more where a gateway lives beside a closed port, and 12 s more where what lives there may be a
    starting gateway or a mere CLI call. `live` is a probe that was just taken, of whatever path, and brought no answer:
    it stands for the first one.
    """
    here = _Look(target, TcpAddress(host, port), tls, budget_s, service_of, wait)
    seen, met = here.at_once(live), None
    moved = here.elsewhere(seen)
    if moved.place is None and seen.live.kind == "refused" and _lives_on(seen):
        again, met = _reopened(seen, here.probe, wait)
        seen = here.at_once(again)
        moved = here.elsewhere(seen)
    if moved.place:
        here.place = moved.place
        seen = here.at_once()
    seen = _settled(here, seen)
    seen = replace(seen, listens=moved.listens, hidden=moved.hidden or _hidden(target, seen))
    if moved.place:
        seen = replace(seen, wanted=port, learnt=moved.learnt)
    if holder := seen.holder:
        seen = replace(seen, descriptors=descriptors(holder.pid))
    if seen.live.kind != "answered":
        return replace(_unanswered(target, seen, met), barred=_barred(seen, here.probe))
    patient = partial(here.probe, patience=_READY_PATIENCE)
    seen = with_pages(replace(seen, again=None, busy=None), here.probe, delay_limit_ms, wait, patient)
    return _dated(seen, here.probe, wait)


class _Look(Struct):
    """A look under way: the place that is asked, how long each answer may take, and how to wait in between."""

    target: Target
    place: TcpAddress
    tls: bool
    budget_s: float
    service_of: Callable[[Target], Service]
    wait: Callable[[float], None]

    def probe(self, path: str, patience: float = 1.0) -> Probe:
        """One page of whoever listens at the place."""
        place, budget_s = self.place, patience * self.budget_s
        return http.probe(place.host, place.port, path, budget_s=budget_s, tls=self.tls)

    def elsewhere(self, seen: GatewayProbe) -> Whereabouts:
        """Where the gateway listens instead, if it does."""
        return whereabouts.elsewhere(self.target, seen.processes, seen.listener, self.place, tls=self.tls)

    def at_once(self, live: Probe | None = None, service: Service | None = None) -> GatewayProbe:
        """The processes beside one probe; the service manager is asked only when no HTTP answer came.

        What is known already, `live` and `service`, is not asked for again.
        """
        target, place, live = self.target, self.place, live or self.probe("/healthz")
        listener = sockets.listener(place.port, place.host) if live.kind != "refused" else None
        service = NO_SERVICE if live.kind == "answered" else service or self.service_of(target)
        listening_pid = listener.pid if listener else None
        processes = observe_processes.gateway_processes(target, service_pid=service.pid, listening_pid=listening_pid)
        foreign = None
        if listening_pid and listening_pid not in [each.pid for each in processes]:
            foreign = observe_processes.foreign_state_dir(listening_pid, target)
        if live.kind != "answered" and (own := next((each for each in processes if each.certain), None)):
            service = unit_of(own, target) or service
        external = live.kind != "answered" and _is_external(target, processes)
        return GatewayProbe(
            place.port,
            live,
            listener=listener,
            processes=processes,
            service=service,
            host=place.host,
            foreign=foreign,
            external=external,
        )


def _settled(here: _Look, seen: GatewayProbe) -> GatewayProbe:
    """Looked at until it is known what is there: a mere CLI call, silence, or a gateway that is just dying."""
    service = seen.service
    seen = _identified(seen, lambda: here.at_once(service=service), here.wait)
    if seen.live.kind == "silent":
        if _is_proxied(seen):
            return _second_look(seen, partial(here.probe, patience=_RETRY_PATIENCE))
        seen = _second_look(seen, here.probe)
    if (seen.again or seen.live).wordless:  # one that dies cuts what its port had accepted, and is gone after it
        here.wait(_LOOK_AGAIN_S)
        seen = here.at_once()
    return seen


def _barred(seen: GatewayProbe, probe: Callable[[str], Probe]) -> str:
    """Evidence that a rule of this machine's network is between us and the gateway's own socket; else nothing.

    A hung gateway's connections wait at its socket, as many as its backlog holds; where a rule drops packets none does.
    A forwarder's socket tells nothing: podman leads its port into the container by such rules.
    """
    host, port, live = seen.host, seen.port, seen.live
    own = [each.pid for each in seen.processes if each.certain]
    if not any(sockets.listens(pid, host, port) for pid in own):
        return ""
    if live.untaken and seen.again is not None and seen.again.untaken and sockets.waiting(port) == 0:
        return f"no connection to port {port} comes about, and none waits at the gateway's socket"
    if live.kind in ("refused", "unreachable"):
        again = probe("/healthz")
        if again.kind == live.kind and any(sockets.listens(pid, host, port) for pid in own):
            words = "are refused" if again.kind == "refused" else f"fail ({again.detail})"
            return f"the gateway listens on port {port}, and connections to it {words}"
    return ""


def _unanswered(target: Target, seen: GatewayProbe, met: Healer | None) -> GatewayProbe:
    """With what may stand behind the port, or be at work on the gateway; `met` is who was seen at it before."""
    runtimes = tuple(each for each in ("podman", "docker") if shutil.which(each))
    there, closed = published(target, seen) if runtimes else (None, "")
    asleep = observe_processes.stopped_inside(there) if there and seen.live.kind == "silent" else None
    met = _install_of(seen) or met
    return replace(seen, installing=met, runtimes=runtimes, behind=there, unasked=closed, stopped_inside=asleep)


def with_pages(
    seen: GatewayProbe,
    probe: Callable[[str], Probe],
    delay_limit_ms: float,
    wait: Callable[[float], None],
    patient: Callable[[str], Probe] | None = None,
) -> GatewayProbe:
    """With the gateway's own pages on its start and its readiness, the second one asked again where its loop is late.

    `patient` asks for readiness once more where it is not said in time: it asks channels and agents before it answers,
    and on a busy machine that takes longer than a sign of life.
    """
    startup, ready = probe("/startupz"), probe("/readyz")
    if patient and ready.kind == "silent":
        ready = patient("/readyz")
    ready_again = None
    if (_delay_ms(ready) or 0) > delay_limit_ms:
        wait(EVENT_LOOP_INTERVAL_S)
        ready_again = probe("/readyz")
    return replace(seen, startup=startup, ready=ready, ready_again=ready_again)


def _install_of(seen: GatewayProbe) -> Healer | None:
    certain = next((each for each in seen.processes if each.certain), None)
    return install_of(certain.pid) if certain else None


def _dated(seen: GatewayProbe, probe: Callable[[str], Probe], wait: Callable[[float], None]) -> GatewayProbe:
    """A start that nothing dates, looked at once more: what changed meanwhile shows that it goes on."""
    before = _pending(seen)
    if not before or seen.up_s is not None:
        return seen
    wait(EVENT_LOOP_INTERVAL_S)
    later = replace(seen, startup=probe("/startupz"), ready=probe("/readyz"))
    after = _pending(later)
    moved = f"it went on from {before} to {after} within {EVENT_LOOP_INTERVAL_S} s"
    return replace(later, progress=moved if after and after != before else "")


def _pending(seen: GatewayProbe) -> str:
    """The thing that a starting gateway waits for, by its own word; nothing where it says no such thing."""
    startup, ready = seen.startup.json if seen.startup else None, seen.ready.json if seen.ready else None
    failing = at(ready, "failing")
    named = [str(each) for each in failing] if isinstance(failing, list) else []
    starts = text_at(startup, "status") == "starting"
    if not starts and not (named and all(each.startswith("startup") for each in named)):
        return ""
    return ", ".join(dict.fromkeys(filter(None, (text_at(startup, "pendingReason"), *named)))) or "an unnamed step"


def published(target: Target, seen: GatewayProbe) -> tuple[Container | None, str]:
    """The container behind a port that a forwarder of container runtimes holds, or a process in one, or nobody; where
    none is found, the reasons for which it may be one that is not seen from here.
    """
    there = forwarder(seen.listener.title, seen.listener.program) if seen.listener else None
    pid = seen.listener.pid if seen.listener else None
    forwarded = there is not None and there.kind == "container"
    if seen.holder or (seen.listener and not forwarded and not (pid and lives_apart(pid))):
        return None, ""
    name = there.name if there and forwarded else ""
    return publishing(seen.port, target.environ, None if forwarded else pid, name)


def _is_external(target: Target, processes: Sequence[GatewayProcess]) -> bool:
    """True if a supervisor of the operator's own starts and stops it: OpenClaw's service commands refuse then."""
    environs: list[Mapping[str, str]] = [] if processes else [target.environ]
    for each in processes:
        with contextlib.suppress(psutil.Error, OSError):
            environs.append(psutil.Process(each.pid).environ())
    return any(each.get("OPENCLAW_SUPERVISOR_MODE", "").strip().lower() == "external" for each in environs)


def _hidden(target: Target, seen: GatewayProbe) -> str:
    """A gateway that may be the target's and that we may not look at, where nothing of it answers."""
    if seen.live.kind not in ("refused", "unreachable") or any(each.certain for each in seen.processes):
        return ""
    return observe_processes.hidden_gateway(target)


def _lives_on(seen: GatewayProbe) -> bool:
    """True when a gateway process that is no longer young lives beside a closed port."""
    return any(each.certain and each.age_s > observe_processes.AMBIGUOUS_S for each in seen.processes)


def _reopened(
    seen: GatewayProbe, probe: Callable[[str], Probe], wait: Callable[[float], None]
) -> tuple[Probe, Healer | None]:
    """The first probe that is not refused, or the last one: a restart in place closes the port meanwhile.

    With it the package manager that was at work in between: a start that fetches one package after the other leaves
    seconds between two (2026.4.24).
    """
    closed, met = seen.live, _install_of(seen)
    for _ in range(round(RESTART_GAP_S / _LOOK_AGAIN_S)):
        wait(_LOOK_AGAIN_S)
        closed, met = probe("/healthz"), _install_of(seen) or met
        if closed.kind != "refused":
            break
    return closed, met


def _identified(
    seen: GatewayProbe, look_again: Callable[[], GatewayProbe], wait: Callable[[float], None]
) -> GatewayProbe:
    """Looked at until a process that may be a gateway on its way up is certain, or gone as a mere CLI call is."""
    for _ in range(round(_IDENTIFIED_S)):
        if seen.live.kind not in ("refused", "unreachable") or not seen.processes or seen.processes[0].certain:
            break
        wait(1.0)
        seen = look_again()
    return seen


def _is_proxied(seen: GatewayProbe) -> bool:
    """True if a proxy holds the port: it may try its backend again and again before it says that there is none."""
    there = forwarder(seen.listener.title, seen.listener.program) if seen.listener and not seen.holder else None
    return there is not None and there.kind == "proxy"


def _second_look(seen: GatewayProbe, probe: Callable[[str], Probe]) -> GatewayProbe:
    process = seen.serving
    if process is not None and process.status == "stopped":
        return seen
    again = probe("/healthz")
    later = observe_processes.again(process) if process else None
    busy = None
    if process and later and later.age_s > process.age_s:
        busy = (later.cpu_s - process.cpu_s) / (later.age_s - process.age_s)
    return replace(seen, again=again, busy=busy)


def _delay_ms(ready: Probe) -> float | None:
    return number_at(ready.json, "eventLoop", "delayP99Ms")
