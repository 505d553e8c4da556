"""Containers as their runtime tells of them: `podman` and `docker`, asked within a deadline and never changed here."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Literal, cast

import psutil
from msgspec import Struct

from oc_ops import files
from oc_ops.errors import CouldNotLook, SettingError
from oc_ops.process.jsontext import at, number_at, text_at
from oc_ops.process.run import Call, run
from oc_ops.secrecy import secrets_in_table
from oc_ops.text import clock, one_line, read_moment, regex

Runtime = Literal["podman", "docker"]
RUNTIMES: tuple[Runtime, ...] = ("podman", "docker")

State = Literal[
    "created", "running", "paused", "restarting", "stopping", "exited", "dead", "removing", "gone", "unseen"
]
"""`gone`: the runtime has no such container; `unseen`: it cannot be asked, and `error` says why.

podman's `configured` and `initialized` are created, `stopped` exited.
"""

STOP_S = 330
"""Time for a gateway to drain before it is killed: OpenClaw's own units give it as much."""

PLACES = (
    "CONTAINER_CONNECTION", "CONTAINER_HOST", "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "DOCKER_CONFIG",
    "DOCKER_CONTEXT", "DOCKER_HOST", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR",
)  # fmt: skip
"""Variables that decide which containers a runtime knows of: a rootless one's lie in its user's own folders."""

_ASK_S = 10.0
"""One question to the runtime: 0.05 to 0.4 s were measured on podman 4.3."""
_MOST = 200
_NEVER = "0001-01-01"
_SAME: Mapping[str, State] = {"configured": "created", "initialized": "created", "stopped": "exited"}
_REQUEST = regex(r"(?:: )?Get \"[^\"]*\"(?=:)")
"""The request that failed, which says nothing beside the socket's name and the reason."""
_NONE_SUCH = ("no such container", "no such object", "no container with name or id")
_COMPOSE = ("com.docker.compose.service", "io.podman.compose.service")
_TENANT = "openclaw.fleet.tenant"
"""The label of `openclaw fleet` (2026.9.6), whose containers are called `openclaw-cell-TENANT`."""
_UNIT = "PODMAN_SYSTEMD_UNIT"
_POD = "io.kubernetes.pod.name"
_REMOTE = ("nfs", "cifs", "smb", "9p", "virtiofs", "ceph", "gluster", "lustre", "afs", "fuse.", "vboxsf", "vmhgfs")
_INIT = ("tini", "dumb-init", "catatonit", "docker-init", "docker-entrypoint.sh", "podman-init", "--", "-s", "-g")
"""Wrappers before the program in many images' command lines."""


_MOST_ERROR = 300


class Mount(Struct, frozen=True):
    """A folder of the host that stands somewhere in the container."""

    source: Path
    destination: PurePosixPath


@dataclass(frozen=True, slots=True)
class Container:
    """One container by its runtime's `inspect`. `environ` is its own environment, `host` the one we ask from.

    `ports` are the published ones, the port inside first; `pid` is that of its first process on this machine, 0 where
    the runtime names none; sizes are bytes, 0 for no limit. `oom_killed` and `lived_s` are of the life that ended last;
    the second is how long that was, where the container's log tells.
    """

    runtime: Runtime
    name: str
    state: State
    id: str = ""
    pid: int = 0
    exit_code: int | None = None
    oom_killed: bool = False
    restarts: int = 0
    policy: str = ""
    health: str = ""
    health_said: str = ""
    error: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    command: tuple[str, ...] = ()
    user: str = ""
    image: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    ports: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    address: str = ""
    network: str = ""
    hostname: str = ""
    memory_bytes: int = 0
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    host: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    seen_at: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)
    lived_s: float | None = None

    @property
    def place(self) -> str:
        """The target that it is, as `--target` takes it."""
        return f"{self.runtime}:{self.name}"

    @property
    def unit(self) -> str:
        """The systemd unit that owns it (a quadlet, `podman generate systemd`); empty where none does.

        podman-compose 1.6 writes that label on whatever it makes, and such a unit is there for few.
        """
        named = self.labels.get(_UNIT, "")
        return "" if named.startswith("podman-compose@") else named

    @property
    def pod(self) -> str:
        """The Kubernetes pod that it belongs to, whose kubelet starts and restarts it; empty where there is none."""
        return self.labels.get(_POD, "")

    @property
    def summary(self) -> str:
        """Its state in words, as evidence."""
        words = [f"container {self.name} is {self.state}"]
        if self.state in ("exited", "dead", "restarting") and self.exit_code is not None:
            words.append(f"its last exit code is {self.exit_code}{' (out of memory)' if self.oom_killed else ''}")
        if self.state in ("running", "paused") and self.started_at:
            words.append(f"started {clock(self.started_at)}")
        elif self.ended_at:
            words.append(f"ended {clock(self.ended_at)}")
        if self.restarts:
            times = "once" if self.restarts == 1 else f"{self.restarts} times"
            why = ", the last time out of memory" if self.oom_killed and self.state == "running" else ""
            words.append(f"restarted {times}{why}")
        if self.policy not in ("", "no"):
            words.append(f"restart policy {self.policy}")
        if self.health:
            words.append(f"its health check says {self.health}")
        if self.error:
            words.append(self.error)
        return ", ".join(words)

    @property
    def age_s(self) -> float | None:
        """How long it had run when it was asked, in seconds; None where it has never been started."""
        return max(0.0, (self.seen_at - self.started_at).total_seconds()) if self.started_at else None

    def on_host(self, inside: PurePosixPath) -> Path | None:
        """Where a path of the container lies on this machine, by its mounts; None where it is not mounted."""
        for mount in sorted(self.mounts, key=lambda each: -len(each.destination.parts)):
            if inside.is_relative_to(mount.destination):
                return mount.source / inside.relative_to(mount.destination)
        return None

    def words(self, action: Literal["start", "restart"]) -> tuple[str, ...]:
        """The command for a cure: its unit's where one owns it (a quadlet), else the runtime's."""
        if self.state == "paused":
            return (self.runtime, "unpause", self.name)
        if self.unit:
            return ("systemctl", *(["--user"] if os.geteuid() else []), action, self.unit)
        if action == "restart":
            return (self.runtime, "restart", "-t", str(STOP_S), self.name)
        return (self.runtime, "start", self.name)

    def wake(self, pid: int) -> tuple[str, ...]:
        """The command that lets a stopped process inside go on, by its pid there.

        `docker kill --signal CONT` would do for pid 1 alone, and takes the container's restart policy from it.
        """
        return (self.runtime, "exec", self.name, "sh", "-c", f"kill -CONT {pid}")

    def inside(self, words: Sequence[str], environ: Mapping[str, str], deadline_s: float) -> list[str]:
        """The command line that runs `words` inside, under a deadline of its own there.

        Ending the runtime's client leaves the process inside (measured), so its own `timeout` has to end it.
        """
        given = [word for name, value in environ.items() for word in ("-e", f"{name}={value}")]
        limit = f"{max(1.0, deadline_s - 2.0):.0f}"
        return [self.runtime, "exec", *given, self.id or self.name, "timeout", "-k", "1", limit, *words]

    @property
    def openclaw(self) -> tuple[str, ...]:
        """The `openclaw` command inside: as its own command line starts the gateway, else by name."""
        words = [each for each in self.command if PurePosixPath(each).name not in _INIT]
        if "gateway" not in words:
            return ("openclaw",)
        own = tuple(words[: words.index("gateway")])
        told = own and (PurePosixPath(own[-1]).name in ("openclaw", "openclaw.mjs", "index.js", "entry.js"))
        return own if told else ("openclaw",)

    def ask(self, *words: str, deadline_s: float = _ASK_S) -> Call:
        """One command of its runtime, such as `logs`; the call is not recorded, as an answer may hold secrets."""
        return _ask(self.runtime, words, self.host, deadline_s)


def installed(environ: Mapping[str, str]) -> tuple[Runtime, ...]:
    """The runtimes whose commands are on PATH; docker's name for podman (podman-docker) counts once."""
    found: dict[str, Runtime] = {}
    for each in RUNTIMES:
        if path := shutil.which(each, path=environ.get("PATH", os.defpath)):
            found.setdefault(os.path.realpath(path), each)
    return tuple(found.values())


def named(runtime: Runtime, name: str, environ: Mapping[str, str]) -> Container:
    """The container of that name or id, now; its state is `gone` where the runtime has none.

    Raises CouldNotLook, in one sentence, for a runtime that is missing, silent, or says something else.
    """
    call = _ask(runtime, ("inspect", "--type", "container", name), environ, _ASK_S)
    if call.outcome == "refused" and any(each in call.stderr.text.lower() for each in _NONE_SUCH):
        if owner := _owner(name):
            raise CouldNotLook(f"container {name} belongs to user {owner}: look as that user")
        return Container(runtime, name, "gone", host=environ)
    found = _parsed(call, runtime, environ)
    if not found:
        raise CouldNotLook(f"{runtime} said nothing of container {name}: {call.summary}")
    return found[0]


def _owner(name: str) -> str:
    """The other user who runs a container of that name, by its monitor's command line: podman shows each user its own.

    Nothing where there is none to be seen.
    """
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ValueError, IndexError):
            words = process.cmdline() if process.name() == "conmon" else []
            if words and process.uids().real != os.geteuid() and words[words.index("-n") + 1] == name:
                return process.username()
    return ""


def every(
    runtime: Runtime, environ: Mapping[str, str], *, label: str = "", deadline_s: float | None = None
) -> tuple[Container, ...]:
    """All containers of a runtime, running or not, at most 200; with `label` (`name=value`) those that carry it."""
    limit_s = deadline_s or _ASK_S
    only = ("--filter", f"label={label}") if label else ()
    listed = _ask(runtime, ("ps", "-aq", "--no-trunc", *only), environ, limit_s)
    if listed.outcome != "answered":
        raise CouldNotLook(_trouble(runtime, listed))
    ids = listed.stdout.text.split()[:_MOST]
    if not ids:
        return ()
    # One that is removed meanwhile makes the answer an error, and leaves the others in it.
    return _parsed(
        _ask(runtime, ("inspect", "--type", "container", *ids), environ, limit_s), runtime, environ, some=True
    )


def look(kind: str, name: str, environ: Mapping[str, str]) -> Container:
    """The container that a target names, as `find` finds it; `unseen` where no runtime can be asked."""
    try:
        return find(kind, name, environ)
    except CouldNotLook as error:
        runtime: Runtime = "docker" if kind == "docker" else "podman"
        return Container(runtime, name, "unseen", error=str(error), host=environ)


def find(kind: str, name: str, environ: Mapping[str, str]) -> Container:
    """The container that a target names: podman:NAME, docker:NAME, compose:SERVICE or cell:TENANT.

    Raises SettingError where several are meant, CouldNotLook where no runtime can be asked.
    """
    if kind in RUNTIMES:
        return named(kind, name, environ)
    runtimes = installed(environ)
    if not runtimes:
        raise CouldNotLook("neither podman nor docker is on PATH, so no container can be looked for")
    labels = (_TENANT,) if kind == "cell" else _COMPOSE
    found: dict[str, Container] = {}
    silent: list[str] = []
    for runtime in runtimes:
        try:
            for label in labels:
                found |= {each.id: each for each in every(runtime, environ, label=f"{label}={name}")}
        except CouldNotLook as error:
            silent.append(str(error))
    if len(found) > 1:
        names = ", ".join(each.place for each in found.values())
        raise SettingError("target", f"{kind}:{name}", "option or setting", f"one container; these are it: {names}")
    if not found and silent:
        raise CouldNotLook(f"{kind}:{name} was not found: {'; '.join(silent)}")
    called = f"openclaw-cell-{name}" if kind == "cell" else f"of service {name}"
    return next(iter(found.values()), Container(runtimes[0], called, "gone", host=environ))


def is_local(path: Path) -> bool:
    """True if a path lies on a file system of this very kernel: SQLite's locks and its index hold nowhere else."""
    if not sys.platform.startswith("linux"):
        return False  # the containers run in a machine of their own
    mounts = [each for each in psutil.disk_partitions(all=True) if path.is_relative_to(each.mountpoint)]
    kind = max(mounts, key=lambda each: len(each.mountpoint), default=None)
    return kind is None or not kind.fstype.startswith(_REMOTE)


def secrets(there: Container) -> tuple[str, ...]:
    """The secrets in its environment, which no report may show."""
    return tuple(secrets_in_table({name: value for name, value in there.environ.items() if name != "HOSTNAME"}))


def runs_openclaw(container: Container) -> bool:
    """True if a container is an OpenClaw gateway's, by what its runtime says: labels, command, image, environment."""
    words = " ".join(container.command)
    return (
        _TENANT in container.labels
        or ("openclaw" in words and "gateway" in words)
        or ("openclaw" in container.image and "gateway" in words)
        or ("gateway" in words and any(each.startswith("OPENCLAW_") for each in container.environ))
    )


def _ask(runtime: Runtime, words: Sequence[str], environ: Mapping[str, str], deadline_s: float) -> Call:
    return run([runtime, *words], environ=environ, deadline_s=deadline_s, head_bytes=8 << 20)


def _trouble(runtime: Runtime, call: Call) -> str:
    """Why the runtime did not say, in one sentence."""
    match call.outcome:
        case "missing":
            return f"{runtime} cannot be asked: the command {call.why}"
        case "timed-out":
            return f"{runtime} does not answer: `{runtime} {call.argv[1]}` was silent for {call.wall_s:.0f} s"
    said = call.stderr.text.strip().splitlines()
    words = _REQUEST.sub("", said[-1])[:200] if said else call.summary
    who = "; look as root or as the account whose containers they are" if "permission denied" in words else ""
    return f"{runtime} cannot be asked: {words}{who}"


def _parsed(call: Call, runtime: Runtime, environ: Mapping[str, str], *, some: bool = False) -> tuple[Container, ...]:
    if call.outcome != "answered" and not (some and call.outcome == "refused"):
        raise CouldNotLook(_trouble(runtime, call))
    try:
        listed = files.json_of(call.stdout.text)
    except ValueError:
        raise CouldNotLook(f"{runtime} inspect printed no JSON: {call.summary}") from None
    each_of = listed if isinstance(listed, list) else ()
    return tuple(_container(each, runtime, environ) for each in each_of if isinstance(each, dict))


def _container(told: object, runtime: Runtime, environ: Mapping[str, str]) -> Container:
    """One element of `inspect`; docker and podman agree on its shape but for a few places."""
    status = text_at(told, "State", "Status").lower()
    pairs = [each.partition("=") for each in _texts(at(told, "Config", "Env"))]
    labels = at(told, "Config", "Labels")
    networks = at(told, "NetworkSettings", "Networks")
    addresses = [text_at(told, "NetworkSettings", "IPAddress")]
    addresses += [text_at(each, "IPAddress") for each in (networks.values() if isinstance(networks, dict) else ())]
    ended = at(told, "State", "Running") is False or status in ("exited", "stopped", "dead", "restarting")
    return Container(
        runtime=runtime,
        name=text_at(told, "Name").lstrip("/"),
        state=_SAME.get(status, cast("State", status)),
        id=text_at(told, "Id"),
        pid=int(number_at(told, "State", "Pid") or 0),
        exit_code=int(number_at(told, "State", "ExitCode") or 0) if ended else None,
        oom_killed=at(told, "State", "OOMKilled") is True,
        restarts=int(number_at(told, "RestartCount") or 0),
        policy=text_at(told, "HostConfig", "RestartPolicy", "Name"),
        health=_health(told),
        health_said=_health_said(told),
        error=_error(text_at(told, "State", "Error")),
        started_at=_moment(text_at(told, "State", "StartedAt")),
        ended_at=_moment(text_at(told, "State", "FinishedAt")),
        command=(text_at(told, "Path"), *_texts(at(told, "Args"))),
        user=text_at(told, "Config", "User"),
        image=text_at(told, "Config", "Image") or text_at(told, "ImageName"),
        labels={str(name): str(value) for name, value in labels.items()} if isinstance(labels, dict) else {},
        mounts=tuple(_mounts(at(told, "Mounts"))),
        ports=dict(_ports(told)),
        address=next(filter(None, addresses), ""),
        network=text_at(told, "HostConfig", "NetworkMode"),
        hostname=text_at(told, "Config", "Hostname"),
        memory_bytes=int(number_at(told, "HostConfig", "Memory") or 0),
        environ={name: value for name, _, value in pairs},
        host=environ,
    )


def _error(text: str) -> str:
    """A runtime's error on one line; a long one without its middle, as it names the cause last."""
    line = one_line(text, 2000)
    return line if len(line) <= _MOST_ERROR else f"{line[:60]} … {line[60 - _MOST_ERROR :]}"


def _health(told: object) -> str:
    for name in ("Health", "Healthcheck"):
        status = text_at(told, "State", name, "Status")
        if status and status != "none":
            return status
    return ""


def _health_said(told: object) -> str:
    """The last words of its health check, on one line."""
    for name in ("Health", "Healthcheck"):
        entries = at(told, "State", name, "Log")
        if isinstance(entries, list) and entries:
            code, said = number_at(entries[-1], "ExitCode"), one_line(text_at(entries[-1], "Output"), 120)
            return said or (f"exit code {code:.0f}" if code is not None else "")
    return ""


def _mounts(told: object) -> Iterator[Mount]:
    for each in told if isinstance(told, list) else ():
        source, destination = text_at(each, "Source"), text_at(each, "Destination")
        if source.startswith("/") and destination:
            yield Mount(Path(source), PurePosixPath(destination))


def _ports(told: object) -> Iterator[tuple[int, tuple[str, int]]]:
    """Published TCP ports; of one that is published at several addresses the one on loopback, else the first."""
    for source in (at(told, "HostConfig", "PortBindings"), at(told, "NetworkSettings", "Ports")):
        for inside, places in source.items() if isinstance(source, dict) else ():
            number, _, protocol = str(inside).partition("/")
            found = [(text_at(each, "HostIp"), text_at(each, "HostPort")) for each in places or ()]
            known = [(_reached(host), int(port)) for host, port in found if port.isdigit() and int(port)]
            if number.isdigit() and protocol in ("", "tcp") and known:
                yield int(number), min(known, key=lambda each: (not each[0].startswith("127."), ":" in each[0]))


def _reached(host: str) -> str:
    """Where a port that was published at `host` is reached from this machine."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- read, not bound


def _texts(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _moment(text: str) -> datetime | None:
    return None if text.startswith(_NEVER) else read_moment(text)
