"""A gateway in a container: its config's address, one look at it from both sides, a way in, its output."""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from msgspec.structs import replace

from oc_ops.errors import CouldNotLook
from oc_ops.observe import container, http, lastwords, limits, listener, state
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.container import Container
from oc_ops.observe.http import Probe
from oc_ops.observe.logs.records import Record, moment, read
from oc_ops.observe.probe import RESTART_GAP_S, GatewayProbe, with_pages
from oc_ops.observe.processes import AMBIGUOUS_S, GatewayProcess, is_gateway_title, stopped_inside
from oc_ops.observe.target import Target
from oc_ops.observe.whereabouts import TcpAddress
from oc_ops.process import pty
from oc_ops.process.relay import Relay
from oc_ops.text import utc

_LOOPBACK = "127.0.0.1"
_RELAY = (
    "const [port,lasts,kind]=process.argv.slice(1);"
    'const s=require(kind).connect({port:+port,host:"127.0.0.1",rejectUnauthorized:false});'
    "setTimeout(()=>process.exit(3),+lasts*1000).unref();"
    's.on("error",e=>e.code==="ECONNREFUSED"?process.stdout.write("R",()=>process.exit(2))'
    ":(console.error(e.message),process.exit(4)));"
    's.on("connect",()=>{process.stdout.write("C");process.stdin.pipe(s);s.pipe(process.stdout)});'
    's.on("close",()=>process.exit(0));process.stdin.on("end",()=>process.exit(0));'
)
"""Leads to the gateway's own loopback, where it takes a reader as it does on a host; it ends by itself."""

_RELAY_S = 10.0
LASTS_S = 120.0
"""How long a way in lasts where it is not said otherwise."""
_LOGS_S = 10.0
_UNASKED = timedelta(seconds=30)


def config_of(target: Target) -> GatewayConfig:
    """The config of a gateway in a container, with the address it is reached at from this machine.

    The container's own environment fills it in, `--port` of its command line is the port inside; its secrets are the
    environment's as well. Where it publishes no port, the address is that of its network. Raises as `read_config`.
    """
    there = target.container
    assert there is not None
    read_config = state.read_config(target)
    inside = _inner_port(there, read_config)
    place = there.ports.get(inside) or (there.address or _LOOPBACK, inside)
    if there.network == "host":
        place = (_LOOPBACK, inside)
    secrets = (*read_config.secrets, *container.secrets(there))
    return dataclasses.replace(read_config, mode="local", host=place[0], port=place[1], secrets=secrets)


def inner_port(target: Target) -> int:
    """The port that the gateway serves inside its container."""
    assert target.container is not None
    return _inner_port(target.container, state.read_config(target))


def _inner_port(there: Container, told: GatewayConfig) -> int:
    words = [word for each in there.command for word in each.split("=", 1)]
    for name, value in itertools.pairwise(words):
        if name == "--port" and value.isdigit():
            return int(value)
    return told.port


def again(target: Target) -> Target:
    """The target with its container as it is now: the same name may be another container since.

    A runtime that could not be asked is not asked again within half a minute: each question may cost 10 s.
    """
    kind, _, name = target.choice.partition(":")
    there = target.container
    assert there is not None
    if there.state == "unseen" and datetime.now(UTC) - there.seen_at < _UNASKED:
        return target
    return dataclasses.replace(target, container=container.look(kind, name, there.host))


def relay(target: Target, port: int, lasts_s: float = LASTS_S, *, tls: bool = False) -> Relay:
    """A socket to the gateway's own loopback, through the runtime's `exec` and the Node that runs the gateway.

    With `tls` that Node encrypts: what we read and write is plain. It ends with us, and after `lasts_s` by itself.
    Raises ConnectionRefusedError where nothing listens inside, CouldNotLook where nothing can be run there.
    """
    there = target.container
    assert there is not None
    node = there.openclaw[0] if there.openclaw[0].endswith("node") else "node"
    words = [node, "-e", _RELAY, str(port), f"{lasts_s:.0f}", "tls" if tls else "net"]
    return Relay([there.runtime, "exec", "-i", there.id or there.name, *words], there.host, _RELAY_S)


def look(
    target: Target,
    config: GatewayConfig,
    *,
    budget_s: float,
    delay_limit_ms: float,
    wait: Callable[[float], None] = time.sleep,
) -> GatewayProbe:
    """Ask the runtime, then the published port, then, where that is not answered, the gateway's loopback inside.

    The bearer token goes to a port only whose holder was proven to be this container's forwarder. Raises CouldNotLook
    where the runtime cannot be asked.
    """
    now = again(target)
    there = now.container
    assert there is not None
    if there.state == "unseen":
        raise CouldNotLook(there.error)
    inside, place = inner_port(now), TcpAddress(config.host, config.port)
    shut = GatewayProbe(place.port, Probe("/healthz", "refused", 0.0), host=place.host, container=there)
    if there.state != "running":
        return replace(shut, container=_with_its_past(there))
    bearer = config.credential.value if config.credential.kind in ("token", "password") else ""

    def from_inside(path: str) -> Probe:
        try:
            connection = relay(now, inside, tls=config.tls)
        except ConnectionRefusedError:
            return Probe(path, "refused", 0.0)
        return http.probe(_LOOPBACK, inside, path, budget_s=budget_s, through=lambda: connection)

    published = _published(now, place, bearer, budget_s, tls=config.tls)
    seen = replace(shut, live=published("/healthz"), inside="published")
    if seen.live.kind != "answered":
        seen = _from_both_sides(seen, published, from_inside, wait)
        after = again(now).container
        if after is not None:  # it may have ended, or have been paused, while it was looked at
            seen = replace(seen if after.state == "running" else shut, container=(there := _with_its_past(after)))
        if there.state != "running":
            return seen
    seen = replace(seen, processes=_processes(there))
    if seen.live.kind == "answered":
        return with_pages(seen, from_inside if seen.inside == "inside" else published, delay_limit_ms, wait)
    if seen.live.kind == "silent" and not seen.blind:
        seen = replace(seen, stopped_inside=stopped_inside(there))
    return seen


def _with_its_past(there: Container) -> Container:
    """The container with how its last life ended, where it was killed or was restarted again and again.

    The runtime says of no life but the one that it shows, and does not always say that memory ran out (podman 4.3).
    """
    killed = there.state == "exited" and there.exit_code == 137
    if not killed and not there.restarts:
        return there
    end = there.started_at if there.state == "running" else there.ended_at
    words = lastwords.of_container(there) if there.state == "running" else None
    lived_s = None
    if words and words.begun and there.started_at:
        lived_s = (there.started_at - words.begun).total_seconds()
    return dataclasses.replace(
        there, lived_s=lived_s, oom_killed=there.oom_killed or limits.ended_for_memory(there.id, end)
    )


_Ask = Callable[[str], Probe]


def _from_both_sides(
    seen: GatewayProbe, published: _Ask, from_inside: _Ask, wait: Callable[[float], None]
) -> GatewayProbe:
    """The loopback inside, where the published port did not answer: what comes from there counts.

    Where nothing can be asked inside, a silent port is asked a second time, as a gateway on a host is. One that closed
    its port is waited for: 2026.9.6 restarts inside its process for some seconds, and its container goes on.
    """
    try:
        found = from_inside("/healthz")
        if found.kind == "refused" and seen.container and (seen.container.age_s or 0.0) > AMBIGUOUS_S:
            for _ in range(round(RESTART_GAP_S)):
                wait(1.0)
                if published("/healthz").kind == "answered":
                    break
            found = from_inside("/healthz")
    except CouldNotLook as error:
        second = published("/healthz") if seen.live.kind == "silent" else None
        return replace(seen, again=second, blind=str(error))
    if found.kind == "answered":  # its published port may have opened between the two
        return replace(seen, live=found, inside="published" if published("/healthz").kind == "answered" else "inside")
    return replace(seen, live=found, again=found)


def _published(target: Target, place: TcpAddress, bearer: str, budget_s: float, *, tls: bool) -> Callable[[str], Probe]:
    def probe(path: str) -> Probe:
        told = ""
        if bearer and path == "/readyz":  # only this one tells more to who is known
            try:
                told = bearer if listener.prove(target, place.host, place.port) else ""
            except CouldNotLook:
                told = ""
        return http.probe(place.host, place.port, path, budget_s=budget_s, tls=tls, bearer=told)

    return probe


def _processes(there: Container) -> tuple[GatewayProcess, ...]:
    """The gateway's process as this machine sees it; none where the runtime runs in another machine."""
    if not listener.in_container(there.pid, there):
        return ()
    try:
        first = psutil.Process(there.pid)
        family = (first, *first.children(recursive=True))
        own = next((each for each in family if is_gateway_title(" ".join(each.cmdline()))), first)
        cpu = own.cpu_times()
        return (
            GatewayProcess(
                own.pid,
                own.ppid(),
                max(0.0, time.time() - own.create_time()),
                own.status(),
                cpu.user + cpu.system,
                own.memory_info().rss,
                " ".join(own.cmdline())[:200],
                f"in container {there.name}",
                uid=own.uids().real,
            ),
        )
    except psutil.Error:
        return ()


def output(there: Container, since: datetime) -> Iterator[Record]:
    """Lines that the gateway printed since a moment, oldest first, of the last 4 MiB; raises CouldNotLook."""
    if there.state == "unseen":
        raise CouldNotLook(there.error)
    call = there.ask("logs", "--timestamps", "--since", utc(since), there.id or there.name,
                     deadline_s=_LOGS_S)  # fmt: skip
    if call.outcome != "answered":
        raise CouldNotLook(f"`{there.runtime} logs` told nothing: {call.summary}")
    place = Path(f"{there.runtime} logs {there.name}")
    for text in (call.stdout.text, call.stderr.text):
        for line in text.splitlines():
            stamp, _, words = line.partition(" ")
            said, writer = read(pty.plain(words).encode("utf-8", "replace"), place)
            if said is not None and writer == "gateway":
                yield replace(said, time=said.time or moment(stamp))
