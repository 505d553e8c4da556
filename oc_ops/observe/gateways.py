"""The gateways of this machine: state directories and profiles, service units, containers; none of them is asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.observe import config, container, gatewaylocks, inside, processes
from oc_ops.observe.container import Container
from oc_ops.observe.service import service
from oc_ops.observe.sockets import forwarder, listener
from oc_ops.observe.target import STATE_FOLDER, Target, choose, locate

_MOST_FOLDERS = 1000
_QUICKLY_S = 3.0


class KnownGateway(Struct, frozen=True):
    """One gateway: what `--target` takes, where it should listen, and what is seen of it in words."""

    target: str
    port: int
    state: str
    place: str
    lives: bool


def gateways(environ: Mapping[str, str], profile: str | None = None) -> tuple[tuple[KnownGateway, ...], dict[str, str]]:
    """Every gateway that can be seen from this account, the environment's own first, and which runtime could not be
    asked, with why.

    Costs one process list a profile and one `inspect` a runtime; no gateway is asked anything.
    """
    found = [_local(choose(environ, profile), "local" if profile is None else f"profile:{profile}")]
    for name in _profiles(locate(environ).home):
        with contextlib.suppress(OcOpsError):
            there = _local(_of_profile(environ, name), f"profile:{name}")
            if all(there.place != each.place for each in found):
                found.append(there)
    for pid, place in processes.elsewhere(locate(environ)):
        if place and all(place != each.place for each in found):
            found.append(KnownGateway(f"OPENCLAW_STATE_DIR={place}", 0, f"pid {pid} runs", place, lives=True))
    contained, notes = containers(environ)
    found += [_contained(each) for each in contained]
    return tuple(found), notes


def containers(
    environ: Mapping[str, str], deadline_s: float | None = None
) -> tuple[tuple[Container, ...], dict[str, str]]:
    """The containers that run OpenClaw, of every runtime on PATH, and by its name why one could not be asked.

    `deadline_s` is for each of its two answers, 10 s where none is given.
    """
    found: list[Container] = []
    notes: dict[str, str] = {}
    for runtime in container.installed(environ):
        try:
            known = {each.id for each in found}  # podman-docker is a script of docker's name
            there = container.every(runtime, environ, deadline_s=deadline_s)
            found += [each for each in there if container.runs_openclaw(each) and each.id not in known]
        except CouldNotLook as error:
            notes[runtime] = str(error)
    return tuple(found), notes


def choices(target: Target) -> tuple[str, ...]:
    """Names of the other gateways that may be meant, running or not, where nothing is set up at the target.

    Containers and profiles as options, other state directories as a variable. Takes up to 6 s for a runtime that hangs.
    """
    contained, _ = containers(target.environ, _QUICKLY_S)
    names = [f"--target {each.place}" for each in contained]
    for name in _profiles(target.home):
        with contextlib.suppress(OcOpsError):
            if name != target.profile and _of_profile(target.environ, name).config_path.is_file():
                names.append(f"--target profile:{name}")
    places = dict.fromkeys(place for _, place in processes.elsewhere(target) if place)
    return (*names, *(f"OPENCLAW_STATE_DIR={place}" for place in places))


def beside(target: Target, meant: Sequence[int] = ()) -> tuple[str, ...]:
    """The other gateways that run on this machine, in a few words each; costs one process list, asks nobody.

    `meant` are pids of the gateway that is looked at, where it runs in a container behind the target's port.
    """
    words = [
        f"pid {pid} of {place}" if place else f"pid {pid} in a container"
        for pid, place in processes.elsewhere(target)
        if pid not in meant
    ]
    return tuple(words)


def _of_profile(environ: Mapping[str, str], name: str) -> Target:
    """A profile of that home, whatever our own environment says of state directory and config."""
    moved = ("OPENCLAW_STATE_DIR", "OPENCLAW_CONFIG_PATH", "OPENCLAW_PROFILE", "OPENCLAW_GATEWAY_PORT")
    return locate({key: value for key, value in environ.items() if key not in moved}, name)


def _profiles(home: Path) -> Iterator[str]:
    """The profiles with a state directory in that home."""
    with contextlib.suppress(OSError):
        names = sorted(each.name for each in home.iterdir() if each.is_dir())
        for name in names[:_MOST_FOLDERS]:
            told = STATE_FOLDER.fullmatch(name)
            if told and told["profile"]:
                yield told["profile"]


def _local(target: Target, choice: str) -> KnownGateway:
    seen = [each for each in processes.gateway_processes(target) if each.certain]
    unit = service(target)
    try:
        read = config.read(target)
        port, known, away = gatewaylocks.locked_port(target) or read.port, read.exists, config.elsewhere(read)
    except CouldNotLook:
        port, known, away = config.DEFAULT_PORT, True, ""
    if away and not seen:
        return KnownGateway(choice, 0, away, str(target.state_dir), lives=False)
    words = [f"pid {each.pid} runs" for each in seen] or ["does not run" if known else "not set up here"]
    if not seen and known and (hidden := processes.hidden_gateway(target)):
        words = [f"whether it runs is not known: {hidden}"]
    if not seen and (holder := listener(port)):
        there = forwarder(holder.title, holder.program)
        words = [f"is not seen from here: {there.name} forwards its port"] if there else words
        words = ["whether it runs is not known"] if words == ["does not run"] and holder.pid is None else words
        words.append(f"its port is held by {holder.summary}")
    if unit.manager != "none":
        words.append(unit.summary)
    return KnownGateway(choice, port, ", ".join(words), str(target.state_dir), bool(seen))


def _contained(there: Container) -> KnownGateway:
    tenant = there.labels.get("openclaw.fleet.tenant")
    target = choose(there.host, choice=there.place)
    port = config.DEFAULT_PORT
    with contextlib.suppress(CouldNotLook):
        port = inside.config_of(target).port
    words = there.summary.removeprefix(f"container {there.name} is ")
    place = f"cell:{tenant}" if tenant else there.image or "container"
    return KnownGateway(there.place, port, words, place, there.state == "running")
