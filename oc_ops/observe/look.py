"""One look at the gateway through its port and its processes, cheapest first, twice where once would not be fair."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from oc_ops.observe import gateways, http
from oc_ops.observe.gateways import GatewayProcess, Listener
from oc_ops.observe.http import Probe
from oc_ops.observe.jsontext import number_at
from oc_ops.observe.service import NO_SERVICE, Service
from oc_ops.observe.target import Target

EVENT_LOOP_INTERVAL_S = 1.1
"""The gateway measures its event loop over the last second: a later look sees other figures."""

RESTART_GAP_S = 6.0
"""2026.9.6 restarts a foreground gateway in place: its port was closed for 3.7 s under the same pid."""
_LOOK_AGAIN_S = 0.25


@dataclass(frozen=True, slots=True)
class GatewayLook:
    """What port, HTTP probes, processes and service manager show. `again` is the second probe after a silent one."""

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
) -> GatewayLook:
    """Probe, list the processes, and look a second time before calling silence or a slow event loop a state.

    A stopped process (T) needs no second probe: it cannot answer one. Takes 5 ms on a healthy gateway, at most twice
    `budget_s` on a silent one, and RESTART_GAP_S more where a gateway lives beside a closed port. `live` is a probe
    that was just taken, of whatever path, and brought no answer: it stands for the first one.
    """

    def probe(path: str) -> Probe:
        return http.probe(host, port, path, budget_s=budget_s, tls=tls)

    seen = _at_once(target, port, live or probe("/healthz"), service_of)
    if seen.live.kind == "refused" and _lives_on(seen):
        seen = _at_once(target, port, _reopened(seen.live, probe, wait), service_of)
    if seen.live.kind == "silent":
        seen = _second_look(seen, probe)
    if _cut(seen.again or seen.live):
        wait(_LOOK_AGAIN_S)
        seen = _at_once(target, port, probe("/healthz"), service_of)
    live, listener, processes, service = seen.live, seen.listener, seen.processes, seen.service
    if live.kind != "answered":
        return seen
    startup, ready = probe("/startupz"), probe("/readyz")
    ready_again = None
    if (_delay_ms(ready) or 0) > delay_limit_ms:
        wait(EVENT_LOOP_INTERVAL_S)
        ready_again = probe("/readyz")
    return GatewayLook(
        port, live, None, startup, ready, ready_again, listener=listener, processes=processes, service=service
    )


def _at_once(target: Target, port: int, live: Probe, service_of: Callable[[Target], Service]) -> GatewayLook:
    """The processes beside one probe; the service manager is asked only when no HTTP answer came."""
    listener = gateways.listener(port) if live.kind != "refused" else None
    service = service_of(target) if live.kind != "answered" else NO_SERVICE
    listening_pid = listener.pid if listener else None
    processes = gateways.gateway_processes(target, service_pid=service.pid, listening_pid=listening_pid)
    return GatewayLook(port, live, listener=listener, processes=processes, service=service)


def _lives_on(seen: GatewayLook) -> bool:
    """True when a gateway process that is no longer young lives beside a closed port."""
    return any(each.certain and each.age_s > gateways.AMBIGUOUS_S for each in seen.processes)


def _reopened(closed: Probe, probe: Callable[[str], Probe], wait: Callable[[float], None]) -> Probe:
    """The first probe that is not refused, or the last one: a restart in place closes the port meanwhile."""
    for _ in range(round(RESTART_GAP_S / _LOOK_AGAIN_S)):
        wait(_LOOK_AGAIN_S)
        closed = probe("/healthz")
        if closed.kind != "refused":
            break
    return closed


def _cut(probe: Probe) -> bool:
    """True when it ended without a word: a gateway that dies cuts what its port had accepted, and is gone after it."""
    return probe.kind == "garbled" and not probe.body


def _second_look(seen: GatewayLook, probe: Callable[[str], Probe]) -> GatewayLook:
    process = seen.serving
    if process is not None and process.status == "stopped":
        return seen
    again = probe("/healthz")
    later = gateways.again(process) if process else None
    busy = None
    if process and later and later.age_s > process.age_s:
        busy = (later.cpu_s - process.cpu_s) / (later.age_s - process.age_s)
    return GatewayLook(
        seen.port, seen.live, again, listener=seen.listener, processes=seen.processes, busy=busy, service=seen.service
    )


def _delay_ms(ready: Probe) -> float | None:
    return number_at(ready.json, "eventLoop", "delayP99Ms")
