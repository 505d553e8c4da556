"""The gateway's port as the watcher sees it: one cheap question again and again, a whole look when the answer turns."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, cast

from msgspec.structs import replace

from oc_ops.cockpit.background import Task
from oc_ops.cockpit.clock import Turn, WatchClock
from oc_ops.cockpit.state import EventLoop, Freshness, GatewayPart, ServicePart
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.gateway import Gateway
from oc_ops.judge import cli as judge_cli
from oc_ops.judge import gateway as judge
from oc_ops.judge import port as judge_port
from oc_ops.judge.finding import NO_UNIT, Finding
from oc_ops.judge.lifecycle import starting_now
from oc_ops.observe import http, listener
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.container import Container
from oc_ops.observe.http import Probe
from oc_ops.observe.probe import RESTART_GAP_S, GatewayProbe
from oc_ops.observe.service import Service
from oc_ops.observe.target import Target
from oc_ops.process.jsontext import at, number_at, text_at

QUICK_S = 1.0
"""Budget of the repeated probe; silence is looked at again before it is called a state."""
AGAIN_S = 1.5
"""Budget of that second look: with 2 s between looks a hang is shown within 5 s."""
WHOLE_LOOK_S = 10.0
"""Between whole looks at a gateway that stays in the same trouble: they list all processes and ask the manager."""
SERVICE_S = 10.0
_RESTARTED_S = 5.0
"""An uptime this much shorter than expected is another start."""
_PATIENCE_S = 1.2
"""How long one look may wait for another answer; the looks that follow see the rest."""


class PortWatch:
    """The gateway by its port, its processes and its config file. Nothing here raises for what is observed."""

    def __init__(
        self,
        gateway: Gateway,
        clock: WatchClock,
        clean: Callable[[str], str],
    ) -> None:
        """The service manager's word is asked of `gateway` less often than it is told."""
        settings = gateway.settings
        self.at, self._settings, self._clock, self._clean = gateway, settings, clock, clean
        self._service_of, gateway.service_of = gateway.service_of, self._service
        self._limits = judge.Limits.of(settings)
        self._config_stamp = _stamp(gateway)
        self.config_changed = False
        """Set when the config file has changed; whoever minds clears it."""
        self.last_look: GatewayProbe | None = None
        self._whole = Turn(WHOLE_LOOK_S)
        self._service_turn, self._service_rarely = Turn(SERVICE_S), Turn(settings.watch_slow_s)
        self._gap_began: float | None = None
        self._served: tuple[str, int] | None = None
        """Where the last whole look found it, when that is not where config and environment say."""
        self._told: Service | None = None
        self._kind: tuple[str, int | None] = ("", None)
        """The kind and status of the last quick answer."""
        self.gateway = GatewayPart(since=clock.now())
        self.event_loop = EventLoop(limit_ms=settings.event_loop_delay_ms)
        self.service = ServicePart()

    @property
    def config(self) -> GatewayConfig:
        """The config as it was read last."""
        return self.at.config

    @property
    def well(self) -> bool:
        """True if the gateway is in no trouble: only then is it asked for anything dear."""
        return self.gateway.state in ("ready", "live")

    @property
    def answers(self) -> bool:
        """True if a connection to it is worth a try."""
        return self.gateway.state in ("ready", "live", "not-ready")

    def look(self, every_s: float) -> None:
        """One look; takes milliseconds while all is well, up to 4 s when nobody answers."""
        self.read_config()
        try:
            port = self.at.wanted_port()
        except OcOpsError as error:
            self._take(judge_cli.invalid_config(self.config), None, str(error), every_s)
            return
        host, at_port = self._served or (self.config.host, port)
        quick = http.probe(host, at_port, "/readyz", budget_s=QUICK_S, tls=self.config.tls)
        kind = (quick.kind, quick.status)
        same, self._kind = kind == self._kind, kind
        if same and not self._whole_needed(quick):
            self._confirm(quick, every_s)
            return
        self._whole.due = self._clock.steady() + WHOLE_LOOK_S
        try:
            seen = self.at.look(
                min(AGAIN_S, self._settings.http_probe_s),
                live=quick if quick.kind in ("silent", "refused") and self._served is None else None,
                wait=_patience(),
            )
        except CouldNotLook as error:  # the container's runtime does not say
            self._take(None, None, str(error), every_s)
            return
        self.last_look = seen
        if seen.container is not None:
            self._show_container(seen.container, every_s)
        self._served = (seen.host, seen.port) if seen.wanted is not None else None
        found = self._judged(seen)
        if unseen := judge.unseen(seen, found):
            self._take(None, None, unseen, every_s)
            return
        self._take(found, seen, "", every_s)

    def read_config(self) -> None:
        """Read the config anew when its file has changed, or its container is another one."""
        stamp = _stamp(self.at)
        if stamp == self._config_stamp:
            return
        try:
            self.at.renew()
        except OcOpsError:
            return  # being written, or not ours: the next look tries again
        # The stamp of before the reading: what was written meanwhile is read again.
        self.config_changed, self._config_stamp, self._kind, self._served = True, stamp, ("", None), None

    def service_due(self) -> Task | None:
        """The service manager's word, asked aside: it may take 3 s; of a gateway in trouble each whole look asks it."""
        if self.at.target.container or not self.well or not self._service_rarely.comes(self._clock.steady()):
            return None

        def ask() -> Callable[[], None]:
            told = self._service_of(self.at.target)
            return lambda: self._show_service(told, self._service_rarely.every_s)

        return Task("service manager", ask)

    def _whole_needed(self, quick: Probe) -> bool:
        """True if the quick answer, the same as the last one, leaves a question open."""
        state = self.gateway.state
        if state in ("starting", "draining", "not-ready", "saturated", "unknown"):
            return True
        if (number_at(quick.json, "eventLoop", "delayP99Ms") or 0) > self._settings.event_loop_delay_ms:
            return True
        if state == "ready":
            return at(quick.json, "ready") is not True or self._another_start(quick)
        return self._whole.comes(self._clock.steady())

    def _another_start(self, probe: Probe) -> bool:
        up_ms, began = number_at(probe.json, "uptimeMs"), self.gateway.started_at
        return up_ms is not None and began is not None and self._clock.now() - up_ms / 1000 > began + _RESTARTED_S

    def _confirm(self, quick: Probe, every_s: float) -> None:
        now = self._clock.now()
        answer_ms = quick.wall_s * 1000 if quick.kind == "answered" else None
        self.gateway = replace(self.gateway, answer_ms=answer_ms, seen=Freshness(now, "http", every_s=every_s))
        self._show_loop(quick, every_s)

    def _judged(self, seen: GatewayProbe) -> Finding | None:
        if self.config.error is not None:
            return judge_cli.invalid_config(self.config, lives=seen.live.json is not None)
        if seen.listener and (error := listener.stranger(self.at.target, self.config.host, seen.port)):
            return judge_port.held_by_another(seen.port, error.why, str(error))
        found = judge.cause(seen, self._limits) or judge.not_ready(seen, self._limits)
        if found is None or found.check != "gateway/zombie":
            self._gap_began = None
            return found
        if self._gap_began is None:
            self._gap_began = self._clock.steady()
        if self._clock.steady() - self._gap_began < RESTART_GAP_S:
            return starting_now(found.saw)  # a restart in place closes the port under the same process
        return found

    def _take(self, finding: Finding | None, seen: GatewayProbe | None, problem: str, every_s: float) -> None:
        now, before = self._clock.now(), self.gateway
        state = _state(finding, seen)
        up_ms = next((_uptime_ms(each) for each in _probes(seen) if _uptime_ms(each) is not None), None)
        began = now - up_ms / 1000 if up_ms is not None else None
        again = began is not None and before.started_at is not None and began > before.started_at + _RESTARTED_S
        # One that was well before we came has been so since its start, not since we look.
        met_well, began_at = before.state == "unknown" and state in ("ready", "live"), began or now
        serving = seen.serving if seen else None
        listener = seen.listener if seen else None
        live = seen.live if seen else None
        version = next((text_at(each.json, "version") for each in _probes(seen) if text_at(each.json, "version")), "")
        self.gateway = GatewayPart(
            state=state,
            since=before.since if state == before.state and not again else began_at if met_well else now,
            fact=self._clean(finding.fact) if finding else "",
            saw=self._clean(finding.saw) if finding else "",
            fix=self._clean(finding.fix) if finding else "",
            check=finding.check if finding else "",
            version=self._clean(version) or before.version,
            port=seen.port if seen else None,
            pid=serving.pid if serving else listener.pid if listener else None,
            started_at=began if began is not None else before.started_at,
            restarts=before.restarts + again,
            answer_ms=live.wall_s * 1000 if live and live.kind == "answered" else None,
            seen=Freshness(now, "http", problem, self._problem_since(problem), every_s),
        )
        self._show_loop(seen.ready if seen else None, every_s)

    def _problem_since(self, problem: str) -> float | None:
        before = self.gateway.seen
        return None if not problem else before.problem_since if before.problem == problem else self._clock.now()

    def _show_loop(self, ready: Probe | None, every_s: float) -> None:
        loop, limit = at(ready.json if ready else None, "eventLoop"), self._settings.event_loop_delay_ms
        now, before = self._clock.now(), self.event_loop.seen
        if not isinstance(loop, dict):
            why = "the gateway does not answer" if not ready or ready.kind != "answered" else "it does not tell"
            since = before.problem_since if before.problem == why else now
            self.event_loop = replace(self.event_loop, seen=replace(before, problem=why, problem_since=since))
            return
        reasons = loop.get("reasons")
        self.event_loop = EventLoop(
            number_at(loop, "delayP99Ms"),
            limit,
            number_at(loop, "utilization"),
            number_at(loop, "cpuCoreRatio"),
            loop.get("degraded") is True,
            tuple(self._clean(str(each)) for each in reasons[:6]) if isinstance(reasons, list) else (),
            Freshness(now, "http", every_s=every_s),
        )

    def _service(self, target: Target) -> Service:
        """The manager's word for a look; a gateway that stays down is no reason to ask it every time."""
        if self._service_turn.comes(self._clock.steady()) or self._told is None:
            self._told = self._service_of(target)
            self._show_service(self._told, None)
        return self._told

    def _show_service(self, told: Service, every_s: float | None) -> None:
        self.service = ServicePart(
            told.manager,
            told.unit,
            told.state,
            told.restarts,
            self._clean(told.summary) if told.manager != "none" else NO_UNIT,
            Freshness(self._clock.now(), "service", every_s=every_s),
        )

    def _show_container(self, there: Container, every_s: float) -> None:
        """Its runtime stands where a service manager does."""
        self.service = ServicePart(
            there.runtime,
            there.name,
            there.state,
            there.restarts,
            self._clean(f"{there.runtime}: {there.summary}"),
            Freshness(self._clock.now(), "service", every_s=every_s),
        )


def _stamp(gateway: Gateway) -> object:
    """Return what decides that the config is another one: its file, and the container that it is about."""
    there = gateway.target.container
    contained = (there.id, tuple(there.ports.items()), there.mounts) if there else None
    try:
        found = gateway.target.config_path.stat()
    except OSError as error:
        return contained, error.errno
    return contained, found.st_mtime_ns, found.st_size, found.st_ino


_STATES = frozenset(
    ("starting", "draining", "not-ready", "saturated", "hung", "down", "crash-loop", "zombie", "port-taken")
)
State = Literal[
    "unknown", "ready", "live", "starting", "draining", "not-ready", "saturated",
    "hung", "down", "crash-loop", "zombie", "port-taken", "config-invalid",
]  # fmt: skip


def _patience() -> Callable[[float], None]:
    """A wait that sleeps for so long in all and no longer."""
    left_s = _PATIENCE_S

    def wait(seconds: float) -> None:
        nonlocal left_s
        seconds, left_s = min(seconds, left_s), max(0.0, left_s - seconds)
        time.sleep(seconds)

    return wait


def _state(finding: Finding | None, seen: GatewayProbe | None) -> State:
    if finding is None:
        if seen is None:
            return "unknown"
        ready = seen.ready.json if seen.ready else None
        return "ready" if at(ready, "ready") is True else "live"
    if finding.check == "config/invalid":
        return "config-invalid"
    word = finding.check.partition("/")[2]
    if word == "oom-killed":
        return "down"
    return cast("State", word) if word in _STATES else "unknown"


def _probes(seen: GatewayProbe | None) -> tuple[Probe, ...]:
    return tuple(each for each in (seen.startup, seen.ready) if each) if seen else ()


def _uptime_ms(probe: Probe) -> float | None:
    return number_at(probe.json, "uptimeMs")
