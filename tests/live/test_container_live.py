"""The doctor and the recovery on a gateway in a real container: every state of it, looked at from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from oc_ops.lab.config import free_ports
from oc_ops.lab.install import install
from oc_ops.observe import http
from oc_ops.observe.target import identify
from oc_ops.process.run import Call, run
from oc_ops.settings import PROJECT
from tests.live.examine import PATIENT, Examination, examine_in
from tests.support.containers import TOKEN, Docker, Podman, example
from tests.support.desk import Desk

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="containers run on Linux; elsewhere in a machine of their own"),
]

READY_S = 120.0
NAME = "oc-ops-cell"
BARE = "/usr/local/bin:/usr/bin:/bin"
"""Where runtimes are, and no OpenClaw."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A container with a gateway, and how it is looked at."""

    runtime: Podman
    port: int
    state: Path
    name: str = NAME
    budget_s: str = "240"
    """How long it may be starting: a young one that hangs is waited for."""

    @property
    def pid(self) -> int:
        """The gateway's pid on this machine."""
        return int(self.runtime("inspect", "-f", "{{.State.Pid}}", self.name))

    @property
    def command(self) -> str:
        """The runtime's command."""
        return self.runtime.command

    @property
    def place(self) -> str:
        """The container as a target."""
        return f"{self.command}:{self.name}"

    def ready(self) -> None:
        """Have it run, and wait until it says that it is ready."""
        state = self.runtime("inspect", "-f", "{{.State.Status}}", self.name)
        if state == "paused":
            self.runtime("unpause", self.name)
        elif state != "running":
            self.runtime("start", self.name)
        until = time.monotonic() + READY_S
        while http.probe("127.0.0.1", self.port, "/readyz", budget_s=2.0).body != '{"ready":true}':
            assert time.monotonic() < until, self.runtime("logs", "--tail", "20", self.name)
            time.sleep(0.5)  # the condition is another machine's, as it were: nothing tells of it

    def doctor(self, folder: Path, *options: str, target: str = "") -> Examination:
        """A doctor run from outside."""
        environ = {**self.runtime.environ, **PATIENT, "OC_OPS_START_BUDGET_S": self.budget_s}
        return examine_in(environ, folder, "--target", target or self.place, *options)

    def recover(self, folder: Path, *options: str) -> str:
        """A recovery from outside; its whole output."""
        own = {"OC_OPS_MEMORY_DIR": str(folder / "memory"), "OC_OPS_REPORT_DIR": str(folder / "reports")}
        own |= {"OC_OPS_BROWSER": "off", "OC_OPS_CONFIRM_GAP_S": "1", "OC_OPS_START_BUDGET_S": self.budget_s}
        argv = [sys.executable, "recover.py", "--force", "--target", self.place, *options]
        environ = {**self.runtime.environ, **PATIENT, **own, "XDG_STATE_HOME": str(folder / "state")}
        call = run(argv, environ=environ, deadline_s=400.0, cwd=PROJECT, survivors_allowed=True)
        return call.stdout.text + call.stderr.text


@pytest.fixture(
    scope="module",
    params=[Podman, pytest.param(Docker, marks=pytest.mark.nightly)],
    ids=lambda kind: kind.command,
)
def cell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    """One container of this module's own, made and not started; removed with all that its runtime kept of it."""
    kind: type[Podman] = request.param
    assert shutil.which(kind.daemon), f"no {kind.daemon} here: .ci/run installs podman; docker.io has dockerd"
    runtime = kind(tmp_path_factory.mktemp(kind.command), install())
    port = free_ports()
    try:
        yield Cell(runtime, port, runtime.create(NAME, port))
    finally:
        runtime.end()


@pytest.fixture(scope="module")
def ready(cell: Cell) -> Cell:
    """The same, ready."""
    cell.ready()
    return cell


@pytest.mark.nightly
def test_a_container_that_was_never_started_is_started_by_its_runtime(cell: Cell, tmp_path: Path) -> None:
    """Down, by its runtime's word; recovery starts it once and proves that the gateway in it is well."""
    seen = cell.doctor(tmp_path, "--quick")
    assert seen.errors == ["gateway/down"], seen.output
    assert seen.finding("gateway/down")["fix"] == f"{cell.command} start {NAME}"
    said = cell.recover(tmp_path)
    assert "recovered in" in said, said
    assert f"gone after one `{cell.command} start {NAME}`" in said, said


def test_a_healthy_container_is_healthy(ready: Cell, tmp_path: Path) -> None:
    """Exit 0 without a finding: through the published port, over RPC from inside, and by the CLI in it."""
    seen = ready.doctor(tmp_path)
    assert (seen.exit, seen.report["findings"]) == (0, []), seen.output
    assert seen.report["lanes"] == {"http": "ok", "rpc": "ok", "cli": "ok"}
    assert {each["id"] for each in seen.report["checks"] if each["outcome"] == "skipped"} == {
        "cron/watched", "state/readable", "gateway/install", "gateway/supervised",
    }  # fmt: skip
    assert seen.report["openclaw"]["port"] == ready.port
    inside = [each["argv"] for each in seen.report["calls"]]
    assert all(argv[:2] == [ready.command, "exec"] and "timeout" in argv for argv in inside)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in written if TOKEN.encode() in path.read_bytes()] == []


def test_the_bearer_goes_to_a_port_that_leads_into_the_container(ready: Cell) -> None:
    """The runtime's own forwarder is proven by its command line, and /readyz then says all that it knows."""
    from oc_ops.gateway import Gateway
    from oc_ops.settings import Settings

    gateway = Gateway(Settings(target=ready.place), ready.runtime.environ)
    seen = gateway.look()
    assert seen.ready is not None
    assert '"eventLoop"' in seen.ready.body
    assert seen.inside == "published"
    assert gateway.config.credential.value == TOKEN


def test_the_cockpit_shows_the_container(ready: Cell, tmp_path: Path) -> None:
    """Its release, its runtime's word and what it prints; paused it is hung, with the command that lets it go on."""
    desk = Desk(tmp_path)
    desk.environ |= ready.runtime.own | {"OC_OPS_RPC_CONNECT_S": "10"}
    desk.key = identify({}, None, ready.place).key
    try:
        desk.start("--target", ready.place)
        with desk.attached(OC_OPS_TARGET=ready.place) as terminal:
            terminal.expect("READY", timeout=90)
            assert desk.sees("status", rf"{ready.command}: container {NAME} is running", 30)
            assert desk.sees("status", r"RPC +on · ", 60), desk.screen("status")
            assert desk.sees("status", rf"port {ready.port}", 10)
            assert desk.sees("browser", r"\[gateway\] ready", 60), desk.screen("browser")
            ready.runtime("pause", NAME)
            assert desk.sees("status", " HUNG ", 30), desk.screen("status")
            assert f"{ready.command} unpause {NAME}" in desk.screen("status")
            ready.runtime("unpause", NAME)
            assert desk.sees("status", " READY ", 60), desk.screen("status")
        refused = desk.ops("status")
        assert (refused.code, "shows another gateway" in refused.err) == (4, True), refused.err
        desk.ops("stop", "--target", ready.place)
    finally:
        desk.close()
        ready.ready()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in written if TOKEN.encode() in path.read_bytes()] == []


def test_a_schedule_and_its_figures_keep_the_target(ready: Cell, tmp_path: Path) -> None:
    """The line for the crontab, run as cron runs it: its figures are the container's, and its name is its own."""
    own = {"OC_OPS_MEMORY_DIR": str(tmp_path / "memory"), "OC_OPS_REPORT_DIR": str(tmp_path / "reports"), **PATIENT}
    environ = {**ready.runtime.environ, **own, "XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}

    def oc_ops(*words: str, given: Mapping[str, str] = environ) -> Call:
        return run([sys.executable, "-m", "oc_ops", *words], environ=given, deadline_s=120.0, cwd=PROJECT)

    target = ("--target", ready.place)
    line = oc_ops("schedule", "install", "--dry-run", "--quick", *target).stdout.text.splitlines()[-1]
    assert line.endswith(f"# oc-ops schedule {ready.place}"), line
    command = line.split(maxsplit=5)[5].replace("\\%", "%")
    bare = {"HOME": str(tmp_path), "PATH": BARE, "SHELL": "/bin/sh", "LOGNAME": "root"}
    call = run(
        ["/bin/sh", "-c", command], environ={**bare, "XDG_STATE_HOME": str(tmp_path / "state")}, deadline_s=120.0
    )
    log = (tmp_path / "memory" / "schedule.log").read_text()
    assert (call.exit, " ran: doctor: healthy" in log) == (0, True), log
    assert f'gateway="{ready.place}"' in oc_ops("metrics", *target).stdout.text
    assert 'gateway="' not in oc_ops("metrics", "--target", f"{ready.command}:nobody").stdout.text
    jobs = oc_ops("jobs", "--json", given={**environ, "OC_OPS_TARGET": ready.place})
    assert '"jobs"' in jobs.stdout.text, jobs.stdout.text + jobs.stderr.text
    locks = oc_ops("breaker", "list", "--all", *target)
    assert (locks.exit, locks.stdout.text) == (0, "0 to break\n"), locks.stdout.text + locks.stderr.text
    assert oc_ops("incidents", "list", *target).stdout.text == "0 open, 0 closed\n"


def test_a_paused_container_is_let_go_on(ready: Cell, tmp_path: Path) -> None:
    """It is said who pauses, and recovery unpauses: the gateway goes on as the one that it was."""
    ready.runtime("pause", NAME)
    seen = ready.doctor(tmp_path, "--quick")
    assert seen.errors == ["gateway/hung"], seen.output
    assert "is paused" in seen.finding("gateway/hung")["fact"]
    said = ready.recover(tmp_path)
    assert f"gone after one `{ready.command} unpause {NAME}`" in said, said


@pytest.mark.nightly
def test_a_gateway_that_is_stopped_in_its_container_is_let_go_on(ready: Cell, tmp_path: Path) -> None:
    """Inside, by its pid there: nothing is restarted, and the forwarder in front is not blamed. A look at the published
    port from a host's config, without a target, names the container to look into.
    """
    home = tmp_path / "home"
    (home / ".openclaw").mkdir(parents=True)
    config = f'{{"gateway": {{"mode": "local", "port": {ready.port}, "auth": {{"token": "{TOKEN}"}}}}}}'
    (home / ".openclaw" / "openclaw.json").write_text(config)
    gateway, wake = psutil.Process(ready.pid), f"{ready.command} exec {NAME} sh -c 'kill -CONT 1'"
    gateway.suspend()
    try:
        seen = ready.doctor(tmp_path, "--quick")
        host = examine_in({**ready.runtime.environ, **PATIENT, "HOME": str(home)}, tmp_path / "host", "--quick")
        said = ready.recover(tmp_path)
        assert gateway.status() != psutil.STATUS_STOPPED
    finally:
        gateway.send_signal(signal.SIGCONT)
    assert seen.errors == ["gateway/hung"], seen.output
    assert seen.finding("gateway/hung")["fix"] == wake
    assert "conmon" not in seen.output
    assert f"gone after one `{wake}`" in said, said
    assert gateway.pid == ready.pid
    fix = host.finding("gateway/hung")["fix"]
    assert wake in fix, host.output
    assert f"--target {ready.place}" in fix


def test_an_unknown_container_is_said(ready: Cell, tmp_path: Path) -> None:
    """A name that its runtime does not know is no healthy gateway, nor a wrong option."""
    seen = ready.doctor(tmp_path, "--quick", target=f"{ready.command}:nobody")
    assert (seen.exit, seen.errors) == (1, ["gateway/down"]), seen.output
    assert f"{ready.command} has no container nobody" in seen.last_line


def test_a_healthy_container_by_its_port_alone_has_one_warning(ready: Cell, tmp_path: Path) -> None:
    """On a host without OpenClaw, or with the same token outside: nothing is wrong, and the target is named once."""
    environ = {
        **ready.runtime.own,
        **PATIENT,
        "PATH": BARE,
        "HOME": str(tmp_path),
        "OPENCLAW_GATEWAY_PORT": str(ready.port),
    }
    for options in ((), ("--quick",)):
        seen = examine_in(environ, tmp_path, *options)
        assert (seen.exit, seen.report["verdict"], seen.errors) == (0, "degraded", []), seen.output
        (only,) = seen.report["findings"]
        assert only["check"] == "gateway/credential-missing"
        assert f"--target {ready.place}" in only["fix"]
        assert f"pid {ready.pid} in a container" not in seen.output
    unmet = examine_in({**environ, "OPENCLAW_GATEWAY_PORT": str(free_ports())}, tmp_path / "unmet", "--quick")
    assert (unmet.exit, unmet.report["verdict"]) == (1, "unknown"), unmet.output
    assert f"--target {ready.place}" in unmet.finding("cli/missing")["fix"]
    (tmp_path / ".openclaw").mkdir()
    told = {"gateway": {"mode": "local", "port": ready.port, "auth": {"token": TOKEN}}}
    (tmp_path / ".openclaw" / "openclaw.json").write_text(json.dumps(told))
    seen = examine_in({**environ, "PATH": ready.runtime.environ["PATH"]}, tmp_path)
    assert (seen.exit, [each["check"] for each in seen.report["findings"]]) == (0, ["gateway/credential-missing"])
    assert f"--target {ready.place}" in seen.finding("gateway/credential-missing")["fix"]


def test_the_container_is_among_the_targets(ready: Cell, tmp_path: Path) -> None:
    """`oc-ops targets` names it as --target takes it."""
    argv = [sys.executable, "-m", "oc_ops", "targets"]
    call = run(argv, environ={**ready.runtime.environ, "HOME": str(tmp_path)}, deadline_s=60.0, cwd=PROJECT)
    assert ready.place in call.stdout.text, call.stdout.text + call.stderr.text
    assert str(ready.port) in call.stdout.text


def test_a_container_that_was_stopped_is_down_and_one_that_refuses_to_start_says_why(
    ready: Cell, tmp_path: Path
) -> None:
    """Down: its runtime starts it, and never `openclaw gateway run` on the host beside it; by its port alone as well. A
    gateway that then refuses to start is told by its runtime's log of its last life: the refusal is the cause and no
    start is advised, until it was mended.
    """
    config = ready.state / "openclaw.json"
    good = config.read_text(encoding="utf-8")
    ready.runtime("stop", "-t", "30", NAME)
    down = ready.doctor(tmp_path)
    assert down.errors == ["gateway/down"], down.output
    assert down.finding("gateway/down")["fix"] == f"{ready.command} start {NAME}"
    assert down.wall_s < 20
    bare = {**ready.runtime.own, **PATIENT, "PATH": BARE, "OPENCLAW_GATEWAY_PORT": str(ready.port)}
    here = examine_in({**bare, "HOME": str(tmp_path)}, tmp_path / "by-port")
    assert here.errors == ["gateway/down"], here.output  # nothing of it is set up here, and it is not well for that
    assert f"{ready.command} start {NAME}" in here.finding("gateway/down")["fix"]
    told = json.loads(good)
    told["gateway"]["auth"] = {"mode": "none"}
    try:
        config.write_text(json.dumps(told), encoding="utf-8")
        ready.runtime("start", NAME)
        ready.runtime("wait", NAME)
        seen = ready.doctor(tmp_path, "--quick")
        assert seen.errors == ["gateway/start-refused"], seen.output
        found = seen.finding("gateway/start-refused")
        assert "without a credential" in found["fact"]
        assert f"the log of container {NAME}" in found["saw"]
        assert "Refusing to bind gateway" in found["saw"]
    finally:
        config.write_text(good, encoding="utf-8")
    later = time.time() + 2  # a second or less after its last words says nothing of which came first
    os.utime(config, (later, later))
    mended = ready.doctor(tmp_path, "--quick")
    assert mended.errors == ["gateway/crash-loop"], mended.output  # it ended with 78, and nobody has tried since
    assert "were changed since" in mended.finding("gateway/crash-loop")["saw"]


@pytest.mark.nightly
def test_the_example_starts_as_it_stands(cell: Cell, tmp_path: Path) -> None:
    """Its start command on an empty volume, with a real gateway: ready, and well to the oc-ops beside it, a container
    that shares network and processes and needs no target: the gateway is this machine's to it.
    """
    name, port = f"{NAME}-example", free_ports()
    told = example("compose.yaml").replace("node dist/index.js", str(cell.runtime.openclaw))
    state = cell.runtime.create(name, port, command=("sh", "-c", told))
    (state / "openclaw.json").unlink()
    Cell(cell.runtime, port, state, name).ready()
    where = {"OC_OPS_MEMORY_DIR": "/tmp/memory", "OC_OPS_REPORT_DIR": "/tmp/reports"}
    environ = {**PATIENT, **where, "PYTHONDONTWRITEBYTECODE": "1"}
    suite = ("-m", "pytest", str(PROJECT / "checks"), "-m", "doctor", "-p", "no:cacheprovider")
    call = cell.runtime.beside(name, state, environ, sys.executable, *suite)
    cell.runtime.remove(name)
    assert call.exit == 0, call.stdout.text
    assert call.stdout.text.rstrip().splitlines()[-1].startswith("doctor: healthy in "), call.stdout.text
    assert (state / "logs" / "gateway.log").stat().st_size


@pytest.mark.nightly
def test_a_container_created_anew_waits_for_the_claim_of_the_killed_one(cell: Cell, tmp_path: Path) -> None:
    """`compose up` after a kill: OpenClaw refuses the state that another host's gateway claimed until its lease ends.
    The doctor says when that is, and recovery spends no start on it.
    """
    name, port = f"{NAME}-anew", free_ports()
    state = cell.runtime.create(name, port)
    first = Cell(cell.runtime, port, state, name)
    first.ready()
    cell.runtime("kill", name)
    cell.runtime.remove(name)
    cell.runtime.create(name, port, state=state)
    cell.runtime("start", name)
    cell.runtime("wait", name)
    seen = first.doctor(tmp_path)
    said = first.recover(tmp_path)
    cell.runtime.remove(name)
    assert seen.errors == ["gateway/state-held"], seen.output
    found = seen.finding("gateway/state-held")
    assert "gateway-owner" in found["saw"]
    assert f"then {cell.command} start {name}; if that time moves on" in found["fix"]
    assert "gateway/state-held is not cured by recovery" in said, said
