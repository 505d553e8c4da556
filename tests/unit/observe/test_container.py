"""Containers as podman and docker tell of them: recorded JSON, runtimes that are missing, silent, or say no."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from msgspec.structs import replace

from oc_ops.errors import CouldNotLook, SettingError
from oc_ops.judge import gateway as judge
from oc_ops.judge.gateway import Limits
from oc_ops.observe import container, http, inside, processes
from oc_ops.observe.container import Container, Runtime
from oc_ops.observe.http import Probe
from oc_ops.observe.inside import config_of, relay
from oc_ops.observe.port_container import publishing
from oc_ops.observe.target import choose, locate
from tests.support.containers import ID, TOKEN, calls, inspected, runtime
from tests.support.sights import LIVE, nothing, sight
from tests.support.survivors import eventually


def environ(tmp_path: Path) -> dict[str, str]:
    """An environment whose PATH holds our runtimes alone."""
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}


def seen(tmp_path: Path, *, kind: Runtime = "podman", **changes: Any) -> Container:
    """The container that a runtime tells of."""
    runtime(tmp_path / "bin", inspected(kind, **changes), name=kind)
    return container.named(kind, "cell", environ(tmp_path))


@pytest.mark.parametrize("kind", container.RUNTIMES)
def test_inspect_tells_the_gateway_s_container(tmp_path: Path, kind: Runtime) -> None:
    """Port, mount, address, limits and policy are read alike from both runtimes' JSON."""
    there = seen(tmp_path, kind=kind)
    assert (there.name, there.state, there.id, there.place) == ("cell", "running", ID, f"{kind}:cell")
    assert there.ports == {18789: ("127.0.0.1", 19100)}
    assert there.on_host(PurePosixPath("/home/node/.openclaw/state/openclaw.sqlite")) == Path(
        "/srv/cell/state/openclaw.sqlite"
    )
    assert there.on_host(PurePosixPath("/etc/passwd")) is None
    assert (there.address, there.memory_bytes, there.policy) == ("10.88.0.4", 2 * 2**30, "unless-stopped")
    assert container.runs_openclaw(there)


@pytest.mark.parametrize(("name", "output", "told"), [("Health", "curl: not found\n", "curl: not found"),
                                                      ("Healthcheck", "", "exit code 1")])  # fmt: skip
def test_a_health_check_is_told_with_its_last_words(tmp_path: Path, name: str, output: str, told: str) -> None:
    """Under docker's name and under podman's older one; what printed nothing has its exit code."""
    log = [{"ExitCode": 0, "Output": "fine"}, {"ExitCode": 1, "Output": output}]
    changes: dict[str, Any] = {name: {"Status": "unhealthy", "Log": log}}
    there = seen(tmp_path, **changes)
    assert (there.health, there.health_said) == ("unhealthy", told)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's log is read on Linux alone")
def test_memory_is_named_where_the_runtime_does_not_say_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """podman 4.3: `"OOMKilled": false` of a container whose end the kernel tells of."""
    asked: list[tuple[str, datetime | None]] = []

    def ended(group: str, end: datetime | None) -> bool:
        asked.append((group, end))
        return True

    monkeypatch.setattr("oc_ops.observe.limits.ended_for_memory", ended)
    at = "2026-11-20T12:57:00Z"
    runtime(tmp_path / "bin", inspected(Status="exited", ExitCode=137, FinishedAt=at))
    target = choose(environ(tmp_path), None, "podman:cell")
    found = judge.cause(inside.look(target, config_of(target), budget_s=1.0, delay_limit_ms=1000.0), Limits())
    assert getattr(found, "check", "") == "gateway/oom-killed"
    assert asked == [(ID, datetime.fromisoformat(at))]


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ("configured", "created"), ("initialized", "created"), ("created", "created"), ("stopped", "exited"),
        ("exited", "exited"), ("paused", "paused"), ("restarting", "restarting"), ("dead", "dead"),
        ("removing", "removing"), ("stopping", "stopping"),
    ],
)  # fmt: skip
def test_a_state_has_one_name(tmp_path: Path, told: str, state: str) -> None:
    """Both runtimes' words for a state become one."""
    assert seen(tmp_path, Status=told).state == state


def test_a_container_that_is_not_there_is_gone(tmp_path: Path) -> None:
    """An unknown name is an observation, not a failure to look."""
    runtime(tmp_path / "bin")
    assert container.named("podman", "nobody", environ(tmp_path)).state == "gone"


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("time.sleep(60)", "does not answer"),
        ("sys.exit(print('Cannot connect to the daemon', file=sys.stderr) or 1)", "cannot be asked"),
        ("sys.exit(print('permission denied while trying to connect', file=sys.stderr) or 1)", "permission denied"),
        ("sys.exit(print('{'))", "no JSON"),
        ("sys.exit(print('[]'))", "said nothing"),
    ],
    ids=["hangs", "no daemon", "not allowed", "torn", "empty"],
)  # fmt: skip
def test_a_runtime_that_cannot_be_asked_is_said_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: str, words: str
) -> None:
    """A runtime that hangs or refuses is no container that is down."""
    monkeypatch.setattr(container, "_ASK_S", 1.0)
    runtime(tmp_path / "bin", inspected(), extra=extra)
    with pytest.raises(CouldNotLook, match=words) as caught:
        container.named("podman", "cell", environ(tmp_path))
    assert "\n" not in str(caught.value)
    there = choose(environ(tmp_path), choice="podman:cell").container
    assert there is not None
    assert (there.state, words in there.error) == ("unseen", True)


@pytest.mark.parametrize(("ago_s", "asked"), [(5, 0), (60, 1)])
def test_a_runtime_that_does_not_answer_is_not_asked_at_once_again(
    ago_s: int, asked: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question costs ten seconds, and a run has several: what it said of itself stands for half a minute."""
    runtime(tmp_path / "bin", inspected())
    told = Container(
        "podman", "cell", "unseen", error="podman does not answer", host=environ(tmp_path),
        seen_at=datetime.now(UTC) - timedelta(seconds=ago_s),
    )  # fmt: skip
    target = dataclasses.replace(locate(environ(tmp_path)), choice="podman:cell", container=told)
    again = inside.again(target).container
    assert again is not None
    assert (again.state, len(calls(tmp_path / "bin"))) == ("running" if asked else "unseen", asked)
    with pytest.raises(CouldNotLook, match="podman does not answer"):
        list(inside.output(told, datetime.now(UTC)))
    assert len(calls(tmp_path / "bin")) == asked


def test_a_runtime_that_is_missing_is_said(tmp_path: Path) -> None:
    """Without podman on PATH nothing is known of a container of it."""
    there = choose(environ(tmp_path), choice="podman:cell").container
    assert there is not None
    assert there.state == "unseen"
    assert there.error == "podman cannot be asked: the command not found"


@pytest.mark.parametrize("label", ["com.docker.compose.service", "io.podman.compose.service"])
def test_a_compose_service_is_found_by_its_label(tmp_path: Path, label: str) -> None:
    """Docker's compose and podman's label a service's container."""
    runtime(tmp_path / "bin", inspected(Labels={label: "gateway"}), name="docker")
    assert container.find("compose", "gateway", environ(tmp_path)).name == "cell"
    assert container.find("compose", "other", environ(tmp_path)).state == "gone"


def test_a_cell_is_found_by_its_tenant(tmp_path: Path) -> None:
    """`openclaw fleet` labels the container of a tenant (2026.9.6)."""
    runtime(tmp_path / "bin", inspected(Labels={"openclaw.fleet.tenant": "acme"}))
    assert container.find("cell", "acme", environ(tmp_path)).name == "cell"


def test_a_service_with_two_containers_is_not_guessed(tmp_path: Path) -> None:
    """Which of two is meant is for the operator to say, by name."""
    labels = {"com.docker.compose.service": "gateway"}
    runtime(tmp_path / "bin", inspected(Labels=labels), inspected(Labels=labels, Name="cell-2", Id="f" * 64))
    with pytest.raises(SettingError, match="podman:cell, podman:cell-2"):
        choose(environ(tmp_path), choice="compose:gateway")


@pytest.mark.parametrize("choice", ["podman", "podman:", "podman:-v", "nerdctl:x", "local:x", "cell:a b", "profile:"])
def test_a_target_of_no_known_form_is_refused(tmp_path: Path, choice: str) -> None:
    """A mistyped target is a wrong setting, and no option reaches a runtime as a name."""
    with pytest.raises(SettingError, match="podman:NAME"):
        choose(environ(tmp_path), choice=choice)


def test_a_profile_can_be_a_target(tmp_path: Path) -> None:
    """`--target profile:NAME` is `--oc-profile NAME`; two different ones at once are refused."""
    assert choose(environ(tmp_path), choice="profile:work").state_dir == tmp_path / ".openclaw-work"
    with pytest.raises(SettingError, match="same profile"):
        choose(environ(tmp_path), "home", "profile:work")


def test_the_container_s_environment_decides(tmp_path: Path) -> None:
    """Config, port and token are those that the gateway inside was given; ours say nothing."""
    state = tmp_path / "state"
    state.mkdir()
    (state / "openclaw.json").write_text(json.dumps({"gateway": {"auth": {"token": "${OPENCLAW_GATEWAY_TOKEN}"}}}))
    mounts = [{"Type": "bind", "Source": str(state), "Destination": "/home/node/.openclaw"}]
    runtime(tmp_path / "bin", inspected(Mounts=mounts))
    ours = {**environ(tmp_path), "OPENCLAW_GATEWAY_TOKEN": "ours", "OPENCLAW_GATEWAY_PORT": "1"}
    read = config_of(choose(ours, choice="podman:cell"))
    assert (read.exists, read.host, read.port) == (True, "127.0.0.1", 19100)
    assert read.credential.value == TOKEN
    assert TOKEN in read.secrets
    assert "2293dc50e953" not in read.secrets


def test_a_call_inside_ends_inside(tmp_path: Path) -> None:
    """The runtime's client does not end what it started: `timeout` inside does, before our own deadline."""
    there = seen(tmp_path, kind="docker")
    argv = there.inside((*there.openclaw, "cron", "list"), {"NO_COLOR": "1"}, 20.0)
    assert argv[:4] == ["docker", "exec", "-e", "NO_COLOR=1"]
    assert argv[4:] == [ID, "timeout", "-k", "1", "18", "node", "openclaw.mjs", "cron", "list"]


@pytest.mark.parametrize(
    ("command", "openclaw"),
    [
        (("tini", "-s", "--", "node", "dist/index.js", "gateway", "--bind", "lan"), ("node", "dist/index.js")),
        (("docker-entrypoint.sh", "node", "openclaw.mjs", "gateway"), ("node", "openclaw.mjs")),
        (("/opt/oc/bin/openclaw", "gateway", "run"), ("/opt/oc/bin/openclaw",)),
        (("sh", "-c", "openclaw gateway run"), ("openclaw",)),
        (("supervisord",), ("openclaw",)),
    ],
    ids=lambda value: " ".join(value),
)
def test_the_command_inside_is_the_one_that_runs_the_gateway(
    command: tuple[str, ...], openclaw: tuple[str, ...]
) -> None:
    """An image starts its gateway in some way of its own; its CLI is started the same way."""
    assert Container("docker", "cell", "running", command=command).openclaw == openclaw


def test_every_container_survives_one_that_goes(tmp_path: Path) -> None:
    """A container that is removed between list and inspect takes no other out of sight."""
    runtime(tmp_path / "bin", inspected(), inspected(Name="other", Id="e" * 64))
    assert [each.name for each in container.every("podman", environ(tmp_path))] == ["cell", "other"]
    assert calls(tmp_path / "bin")[0] == "ps -aq --no-trunc"


HOST = {"NetworkMode": "host", "PortBindings": {}, "RestartPolicy": {"Name": ""}}
NO_PORTS = {"IPAddress": "", "Ports": {}, "Networks": {}}


@pytest.mark.parametrize(
    ("args", "port", "pid", "state_pid", "found"),
    [
        (["gateway", "--port", "28789"], 28789, None, 0, True),
        (["gateway", "--port", "28789"], 28790, None, 0, False),
        (["gateway"], 18789, None, 0, True),
        (["gateway", "--port", "28789"], 18789, None, 0, False),
        (["gateway"], 28789, "own", "own", True),
        (["gateway"], 28789, "own", "parent", True),
        (["gateway"], 18789, "own", 7, False),
    ],
    ids=["its command names it", "another port", "the default", "not the default", "its process", "a child of its "
         "process", "another process has it"],
)  # fmt: skip
def test_a_container_in_the_machine_s_own_network_is_found(
    args: list[str], port: int, pid: str | None, state_pid: int | str, found: bool, tmp_path: Path
) -> None:
    """`--network host` publishes nothing: its process tells while it lives, then its command (podman 4.3)."""
    pids = {"own": os.getpid(), "parent": os.getppid()}
    told = inspected(
        Args=["openclaw.mjs", *args],
        Pid=pids.get(str(state_pid), state_pid),
        HostConfig=HOST,
        NetworkSettings=NO_PORTS,
    )
    runtime(tmp_path / "bin", told)
    there, _ = publishing(port, environ(tmp_path), pids.get(str(pid)))
    assert (there is not None) == found


def test_the_port_of_a_pod_leads_to_its_gateway(tmp_path: Path) -> None:
    """podman 4.3: its infra container publishes it; the gateway's, which names that network, is the one to start."""
    pause: dict[str, Any] = {"Path": "/catatonit", "Args": ["-P"], "Image": "", "Env": [], "Mounts": []}
    infra = inspected(Id="1f" * 32, Name="pp-infra", **pause)
    other = inspected(Id="2f" * 32, Name="other", Path="sleep", Args=["9"], Env=[], Image="", NetworkSettings=NO_PORTS,
                      HostConfig={**HOST, "NetworkMode": f"container:{infra['Id']}"})  # fmt: skip
    own = inspected(Status="exited", NetworkSettings=NO_PORTS,
                    HostConfig={**HOST, "NetworkMode": f"container:{infra['Id']}"})  # fmt: skip
    runtime(tmp_path / "bin", infra, other, own)
    there, _ = publishing(19100, environ(tmp_path))
    assert there is not None
    assert (there.name, there.words("start")) == ("cell", ("podman", "start", "cell"))


def test_of_several_that_want_a_port_the_one_that_runs_has_it(tmp_path: Path) -> None:
    """One that was replaced and kept, or could not start beside it (docker: port is already allocated)."""
    taken = "driver failed programming external connectivity on endpoint new (126a): " + "x" * 400
    taken += "Bind for 127.0.0.1:19100 failed: port is already allocated"
    new = inspected(Id="1f" * 32, Name="new", Status="created", Error=taken)
    runtime(tmp_path / "bin", inspected(Id="2f" * 32, Name="old", Status="exited"), new, inspected())
    there, _ = publishing(19100, environ(tmp_path))
    assert there is not None
    assert there.name == "cell"
    beside = container.named("podman", "new", environ(tmp_path))
    found = judge.cause(sight(nothing("refused"), processes=(), container=beside), Limits())
    assert found is not None
    assert (found.check, found.proof, "could not start it" in found.fact) == ("gateway/down", "", True)
    assert "port is already allocated" in found.saw
    assert found.fix.startswith("none automatic: mend what podman says of its last start, then podman start new")


def test_a_container_that_this_account_may_not_see_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """podman shows each user its own containers, and a socket may be closed to us: both are said, on one short line."""
    runtime(tmp_path / "bin", extra="")
    refusal = (
        "permission denied while trying to connect to the Docker daemon socket at unix:///run/d.sock: "
        'Get "http://x/y": dial unix /run/d.sock: connect: permission denied'
    )
    runtime(tmp_path / "bin", name="docker", extra=f"sys.exit(print({refusal!r}, file=sys.stderr) or 1)")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    there, why = publishing(18789, environ(tmp_path))
    assert there is None
    assert why == (
        "root's containers are not seen from this account (sudo podman ps -a lists them); docker cannot be asked: "
        "permission denied while trying to connect to the Docker daemon socket at unix:///run/d.sock: dial unix "
        "/run/d.sock: connect: permission denied; look as root or as the account whose containers they are"
    )
    assert publishing(18789, environ(tmp_path), forwarder="docker-proxy")[1] == why.partition("; ")[2]
    finding = judge.cause(sight(nothing("refused"), processes=(), unasked=why, runtimes=("podman",)), Limits())
    assert finding is not None
    assert (finding.check, finding.proof, why in finding.saw) == ("gateway/down", "", True)


def test_a_docker_without_a_daemon_hides_no_container(tmp_path: Path) -> None:
    """Docker Desktop that is off is no reason for a gateway that is down."""
    off = "Cannot connect to the Docker daemon at unix:///run/d.sock. Is the docker daemon running?"
    runtime(tmp_path / "bin", name="docker", extra=f"sys.exit(print({off!r}, file=sys.stderr) or 1)")
    assert publishing(18789, environ(tmp_path)) == (None, "")


def test_a_container_of_another_user_is_not_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its monitor's command line says whose it is: our blindness is no gateway that is down."""
    monitor = SimpleNamespace(
        name=lambda: "conmon",
        cmdline=lambda: ["/usr/bin/conmon", "--api-version", "1", "-n", "mine"],
        uids=lambda: SimpleNamespace(real=os.geteuid() + 1),
        username=lambda: "joe",
    )
    monkeypatch.setattr(psutil, "process_iter", lambda: iter([monitor]))
    runtime(tmp_path / "bin")
    with pytest.raises(CouldNotLook, match="container mine belongs to user joe: look as that user"):
        container.named("podman", "mine", environ(tmp_path))
    assert container.named("podman", "another", environ(tmp_path)).state == "gone"


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node here: the way in is a script of Node's")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_a_stopped_gateway_inside_is_silent_and_not_out_of_reach(tmp_path: Path, tls: bool) -> None:
    """The way in is open as soon as the port takes the connection: whoever is hung shakes no hands."""
    runtime(tmp_path / "bin", inspected(Args=["openclaw.mjs", "gateway"]), extra=_EXEC)
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    node = Path(str(shutil.which("node")))
    (tmp_path / "bin" / "node").symlink_to(node)
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = choose(environ(tmp_path), choice="podman:cell")
        port = server.getsockname()[1]
        probe = http.probe("127.0.0.1", port, "/healthz", budget_s=0.5, through=lambda: relay(target, port, tls=tls))
    assert probe.kind == "silent"
    with pytest.raises(ConnectionRefusedError):
        relay(target, port, tls=tls)


@pytest.mark.parametrize("opens", ["while it is waited for", "between two looks"])
def test_a_restart_inside_its_process_is_no_gateway_that_takes_no_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opens: str
) -> None:
    """2026.9.6 closes its port for seconds and its container goes on: a restart now would only do it again, and its
    published port is not called astray for having opened last.
    """
    runtime(tmp_path / "bin", inspected())
    opened = [] if opens == "while it is waited for" else [1.0]
    asked = itertools.count()

    def probe(_host: str, _port: int, path: str, **_: object) -> Probe:
        closed = not opened or (len(opened) == 1 and next(asked) == 0)
        return Probe(path, "refused", 0.0) if closed else replace(LIVE, path=path)

    def into(*_: object, **__: object) -> object:
        if not opened:
            raise ConnectionRefusedError
        return object()

    monkeypatch.setattr(http, "probe", probe)
    monkeypatch.setattr(inside, "relay", into)
    target = choose(environ(tmp_path), choice="podman:cell")
    wait = opened.append
    found = inside.look(target, config_of(target), budget_s=1.0, delay_limit_ms=1000.0, wait=wait)
    assert (found.live.kind, found.inside) == ("answered", "published")


_EXEC = 'import os; words[0] == "exec" and os.execvp(words[3], words[3:])'


def test_a_start_is_the_runtime_s(tmp_path: Path) -> None:
    """A paused container is let go on; a restart lets the gateway drain for as long as its own units would."""
    assert seen(tmp_path, Status="exited").words("start") == ("podman", "start", "cell")
    assert seen(tmp_path).words("restart") == ("podman", "restart", "-t", "330", "cell")
    assert seen(tmp_path, Status="paused").words("restart") == ("podman", "unpause", "cell")


@pytest.mark.parametrize(
    ("unit", "command"),
    [("oc.service", "systemctl start oc.service"), ("podman-compose@oc.service", "podman start cell")],
)
def test_a_unit_that_podman_compose_merely_names_commands_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: str, command: str
) -> None:
    """Its label names a unit whether there is one or not: `systemctl start` of it fails, and spends a recovery."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    there = seen(tmp_path, Status="exited", Labels={"PODMAN_SYSTEMD_UNIT": unit})
    assert " ".join(there.words("start")) == command


@pytest.mark.parametrize(
    ("fstype", "local"), [("ext4", True), ("overlay", True), ("nfs4", False), ("fuse.sshfs", False)]
)
def test_a_store_over_a_network_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fstype: str, local: bool
) -> None:
    """The config is read through such a mount, the database is not."""
    mounts = [{"Type": "bind", "Source": str(tmp_path / "state"), "Destination": "/home/node/.openclaw"}]
    runtime(tmp_path / "bin", inspected(Mounts=mounts))
    partition = SimpleNamespace(mountpoint=str(tmp_path), fstype=fstype)
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [partition])
    target = choose(environ(tmp_path), choice="podman:cell")
    assert (target.state_dir == tmp_path / "state") == local
    assert target.config_path == tmp_path / "state" / "openclaw.json"


STOPPED = r"print('3 sh\t-c\topenclaw gateway run &'); print('6 openclaw-gateway')"


@pytest.mark.parametrize(
    ("said", "pid"),
    [
        (STOPPED, 6),
        (r"print('9 node\t/opt/openclaw/openclaw.mjs\tgateway\t--bind\tlan\t')", 9),
        ("print('4 openclaw'); print('9 openclaw-gateway\t')", 9),
        ("print('4 openclaw')", 4),
        ("print('12 sleep 600')", None),
        ("print('')", None),
        ("sys.exit(print('sh: not found', file=sys.stderr) or 127)", None),
    ],
    ids=[
        "beside its shell",
        "by its command line",
        "beside a call",
        "2026.5.28",
        "another program",
        "none",
        "no shell inside",
    ],
)
def test_only_a_stopped_gateway_inside_counts(tmp_path: Path, said: str, pid: int | None) -> None:
    """What else is stopped there is no gateway, and a container without a shell is not said to have one."""
    runtime(tmp_path / "bin", inspected(), extra=f"if words[0] == 'exec':\n    {said}\n    sys.exit(0)")
    there = container.named("podman", "cell", environ(tmp_path))
    assert processes.stopped_inside(there) == pid


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="what runs inside a container is Linux")
def test_the_script_inside_names_stopped_processes_alone() -> None:
    """Tried with the shell that is here: one that sleeps is not told, and is told once it is stopped."""
    with subprocess.Popen(["sleep", "600"]) as child:
        found = psutil.Process(child.pid)

        def told() -> str:
            ran = subprocess.run(["sh", "-c", processes._STOPPED], capture_output=True, text=True, check=False)
            return next((each for each in ran.stdout.splitlines() if each.split()[0] == str(child.pid)), "")

        assert told() == ""
        found.suspend()
        assert eventually(lambda: found.status() == psutil.STATUS_STOPPED, 10.0)
        assert told().strip() == f"{child.pid} sleep\t600"
        child.kill()
