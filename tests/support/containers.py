"""Containers for tests: what `inspect` of podman and docker prints, a runtime that prints it, and a real podman."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from oc_ops.process.run import Call, run
from oc_ops.settings import PROJECT

TOKEN = "cell-token-0123456789abcdef"
ID = "2293dc50e953dbe3d452be68e1e0c7440a0f86af5437e2768b40387126ee6476"


EXAMPLES = PROJECT / "contrib" / "container"


def example(name: str) -> str:
    """How an example starts its gateway, as the shell of its container gets it; compose writes a $ twice."""
    found = re.search(r"- \|\n((?: +.*\n)+? +exec .*\n)", (EXAMPLES / name).read_text(encoding="utf-8"))
    assert found is not None
    told = textwrap.dedent(found[1])
    return told.replace("$$", "$") if name == "compose.yaml" else told


def inspected(runtime: str = "podman", **changes: Any) -> dict[str, Any]:
    """One element of `inspect`, of a container that runs a gateway; `changes` are of its `State`, else by name.

    podman 4.3 was seen to print this; docker's differs by the slash before the name and by what `docker` names here.
    """
    state = {
        "Status": "running",
        "Running": True,
        "Paused": False,
        "OOMKilled": False,
        "Pid": 0,
        "ExitCode": 0,
        "Error": "",
        "StartedAt": "2026-11-20T12:56:30.061517005Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
    }
    told: dict[str, Any] = {
        "Id": ID,
        "Name": "/cell" if runtime == "docker" else "cell",
        "Path": "docker-entrypoint.sh" if runtime == "docker" else "node",
        "Args": [*(["node"] if runtime == "docker" else []), "openclaw.mjs", "gateway", "--bind", "lan"],
        "RestartCount": 0,
        "State": state,
        "Mounts": [{"Type": "bind", "Source": "/srv/cell", "Destination": "/home/node/.openclaw", "RW": True}],
        "NetworkSettings": {
            "IPAddress": "10.88.0.4",
            "Ports": {"18789/tcp": [{"HostIp": "0.0.0.0", "HostPort": "19100"}]},
            "Networks": {"podman": {"IPAddress": "10.88.0.4"}},
        },
        "HostConfig": {
            "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
            "Memory": 2 * 2**30,
            "NetworkMode": "bridge",
            "PortBindings": {"18789/tcp": [{"HostIp": "0.0.0.0", "HostPort": "19100"}]},
        },
        "Config": {
            "Image": "ghcr.io/openclaw/openclaw:latest",
            "User": "node",
            "Env": ["PATH=/usr/bin:/bin", f"OPENCLAW_GATEWAY_TOKEN={TOKEN}", "HOSTNAME=2293dc50e953"],
            "Labels": None,
        },
    }
    for name, value in changes.items():
        if name in ("Env", "Hostname", "Labels", "Image", "User"):
            told["Config"][name] = value
        elif name in told:
            told[name] = value
        else:
            state[name] = value
    if "Status" in changes:
        state["Running"] = changes["Status"] in ("running", "paused")
    return told


def runtime(folder: Path, *told: dict[str, Any], name: str = "podman", extra: str = "") -> Path:
    """Put a command into a folder that knows these containers, and answers as the real one does; `extra` comes first.

    `ps` lists them, with a label filter those that carry it; what it is asked beyond that is an error.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(told), encoding="utf-8")
    path = folder / name
    script = folder / f"{name}.py"
    script.write_text(_RUNTIME.format(known=str(folder / f"{name}.json"), calls=str(folder / "calls"), extra=extra))
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(script))} "$@"\n')
    path.chmod(0o755)
    return path


def calls(folder: Path) -> list[str]:
    """What the command was asked, a call a line."""
    path = folder / "calls"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


_RUNTIME = """\
import json, sys, time
words = sys.argv[1:]
with open({calls!r}, "a") as file:
    file.write(" ".join(words) + "\\n")
{extra}
known = json.load(open({known!r}))
def called(each):
    return (each["Id"], each["Name"].lstrip("/"))
if words[0] == "ps":
    wanted = words[words.index("--filter") + 1].removeprefix("label=") if "--filter" in words else ""
    name, _, value = wanted.partition("=")
    for each in known:
        labels = each["Config"]["Labels"] or {{}}
        if not wanted or labels.get(name) == value:
            print(each["Id"])
    sys.exit(0)
if words[0] == "inspect":
    asked = words[words.index("container") + 1:]
    found = [each for each in known if set(asked) & set(called(each))]
    print(json.dumps(found))
    if not found:
        sys.exit(print("Error: no such container: " + asked[0], file=sys.stderr) or 1)
    sys.exit(0)
sys.exit(print("Error: unknown command", file=sys.stderr) or 125)
"""


# -- a real podman, a real docker ------------------------------------------------------------------------------------


class Podman:
    """A podman of its own: storage, settings and state in one folder, containers without any image.

    vfs, runc and cgroupfs work also inside a container, as in CI. `own` makes a plain `podman` use it, `environ` is
    ours with that.
    """

    command = daemon = "podman"

    def __init__(self, root: Path, openclaw: Path) -> None:
        self.root, self.openclaw = root, openclaw
        root.mkdir(parents=True, exist_ok=True)
        self.own = self._begin()
        self.environ = {**os.environ, **self.own}
        self._names: list[str] = []

    def __call__(self, *words: str, deadline_s: float = 60.0) -> str:
        """Run one command of the runtime; raises AssertionError with its words when it fails."""
        call = run([self.command, *words], environ=self.environ, deadline_s=deadline_s, survivors_allowed=True)
        assert call.outcome == "answered", call.summary
        return call.stdout.text.strip()

    def create(
        self, name: str, port: int, *options: str, command: Sequence[str] = (), state: Path | None = None
    ) -> Path:
        """Create, not start, a container with a gateway; return its state directory on this machine.

        It has a state of its own, or that of another one.
        """
        if state is None:
            state = self.root / name / "state"
            state.mkdir(parents=True)
            heartbeat = {"agents": {"defaults": {"heartbeat": {"every": "6h"}}}}
            auth = {"token": "${OPENCLAW_GATEWAY_TOKEN}"}
            log = {"logging": {"file": "/home/node/.openclaw/logs/gateway.log"}}
            config = {"gateway": {"mode": "local", "port": 18789, "bind": "lan", "auth": auth}, **heartbeat, **log}
            (state / "openclaw.json").write_text(json.dumps(config))
        self._names.append(name)
        self(
            "create", "--name", name, "-p", f"127.0.0.1:{port}:18789", *self._options(state), *options,
            *self._system(name, ()),
            *(command or (str(self.openclaw), "gateway", "run", "--bind", "lan", "--port", "18789")),
        )  # fmt: skip
        return state

    def beside(self, name: str, state: Path, environ: Mapping[str, str], *command: str) -> Call:
        """Run a command in a container that shares network, processes and state with that one, as a sidecar does."""
        ours = {PROJECT, Path(sys.prefix), *([] if sys.base_prefix.startswith("/usr") else [Path(sys.base_prefix)])}
        mounts = [word for each in sorted(ours) for word in ("-v", f"{each}:{each}:ro")]
        given = [word for key, value in environ.items() for word in ("-e", f"{key}={value}")]
        shared = ["--pid", f"container:{name}", "--network", f"container:{name}"]
        places = (str(PROJECT).lstrip("/"), sys.base_prefix.lstrip("/"))
        system = self._system(f"{name}-beside", places)
        argv = [self.command, "run", "--rm", *shared, *self._options(state), *mounts, *given, *system]
        return run([*argv, *command], environ=self.environ, deadline_s=180.0, survivors_allowed=True)

    def remove(self, name: str) -> None:
        """Remove a container at once, whatever it does; its state stays."""
        run([self.command, "rm", "-f", *self._at_once, name], environ=self.environ, deadline_s=60.0)

    def end(self) -> None:
        """Remove every container that was made here."""
        for name in dict.fromkeys(self._names):
            self.remove(name)
        self._stop()
        shutil.rmtree(self.root, ignore_errors=True)

    _at_once: tuple[str, ...] = ("-t", "0")

    def _begin(self) -> dict[str, str]:
        storage, settings = self.root / "storage.conf", self.root / "containers.conf"
        graph, runroot = self.root / "graph", self.root / "run"
        storage.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{graph}"\nrunroot = "{runroot}"\n')
        settings.write_text('[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n')
        return {"CONTAINERS_STORAGE_CONF": str(storage), "CONTAINERS_CONF": str(settings)}

    def _stop(self) -> None:
        """Nothing of podman's own runs on."""

    def _system(self, name: str, more: Sequence[str]) -> Sequence[str]:
        """The words for what the container's file system is: a bare folder, with `/usr` mounted into it."""
        root = self.root / name / "root"
        for each in (*_FOLDERS, *more):
            (root / each).mkdir(parents=True, exist_ok=True)
        for each in _LINKS:
            (root / each).unlink(missing_ok=True)
            (root / each).symlink_to(f"usr/{each}")
        return ("--rootfs", str(root))

    def _options(self, state: Path) -> list[str]:
        parts = {self.openclaw.parents[1], (self.openclaw.parent / "node").resolve().parents[2]}
        mounts = [word for each in sorted(parts) for word in ("-v", f"{each}:{each}:ro")]
        path = f"{self.openclaw.parent}:/usr/bin:/bin"
        given = ["HOME=/home/node", f"PATH={path}", f"OPENCLAW_GATEWAY_TOKEN={TOKEN}"]
        limits = ["--ulimit", "nofile=20000:20000", "--ulimit", "nproc=4096:4096"]
        own = ["-v", "/usr:/usr:ro", *mounts, "-v", f"{state}:/home/node/.openclaw"]
        return [*limits, *own, *(word for each in given for word in ("-e", each))]


class Docker(Podman):
    """A docker daemon of its own, its data, socket and one bare image in a folder; needs root, and Debian's docker.io.

    Its bridge and its rules for packets are the machine's: one such daemon at a time.
    """

    command, daemon = "docker", "dockerd"
    _at_once = ()
    _image = "bare:1"

    def _begin(self) -> dict[str, str]:
        # A path of a socket has 108 bytes at most.
        self._short = Path(tempfile.mkdtemp(prefix="oc-ops-docker-"))
        socket, data = f"unix://{self._short / 'd.sock'}", self.root / "data"
        places = ["--data-root", str(data), "--exec-root", str(self._short / "exec"), "-p", str(self._short / "pid")]
        ours = ["--storage-driver", "vfs", "--exec-opt", "native.cgroupdriver=cgroupfs"]
        with (self.root / "daemon.log").open("wb") as log:
            self._daemon = subprocess.Popen(["dockerd", "-H", socket, *places, *ours], stdout=log, stderr=log)
        own = {"DOCKER_HOST": socket}
        until = time.monotonic() + 60
        while run(["docker", "version"], environ={**os.environ, **own}, deadline_s=10.0).outcome != "answered":
            assert self._daemon.poll() is None, (self.root / "daemon.log").read_text()[-2000:]
            assert time.monotonic() < until, "no docker daemon within 60 s"
            time.sleep(0.2)  # the condition is another program's: nothing tells of it
        bare = self.root / "bare.tar"
        with tarfile.open(bare, "w") as archive:
            for each in (*_FOLDERS, *_LINKS):
                entry = tarfile.TarInfo(each)
                linked = each in _LINKS
                entry.type, entry.linkname = (tarfile.SYMTYPE, f"usr/{each}") if linked else (tarfile.DIRTYPE, "")
                entry.mode = 0o1777 if each in ("tmp", "var/tmp") else 0o755
                archive.addfile(entry)
        done = run(["docker", "import", str(bare), self._image], environ={**os.environ, **own}, deadline_s=60.0)
        assert done.outcome == "answered", done.summary
        return own

    def _stop(self) -> None:
        self._daemon.terminate()
        self._daemon.wait(60)
        shutil.rmtree(self._short, ignore_errors=True)

    def _system(self, name: str, more: Sequence[str]) -> Sequence[str]:
        return (self._image,)


_FOLDERS = (
    "proc", "sys", "dev", "tmp", "root", "etc", "usr", "run", "var/tmp", "home/node", "opt", "work",
)  # fmt: skip
_LINKS = ("bin", "lib", "lib64", "sbin")
