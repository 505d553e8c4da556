"""Recovery on a real gateway under a real service manager: each fault real, each act counted."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pexpect
import psutil
import pytest

from oc_ops.act.recover import log
from oc_ops.lab.config import free_ports
from oc_ops.lab.install import DEFAULT_VERSION, install, lab_dir, launcher
from oc_ops.locks import holder
from oc_ops.observe.http import probe
from oc_ops.observe.service import Service, service
from oc_ops.observe.target import locate
from oc_ops.settings import PROJECT
from tests.live.recovered import PATIENT, Recovered
from tests.live.systemd import Manager, system_manager, user_manager
from tests.support import faults
from tests.support.survivors import eventually

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]
systemd_only = pytest.mark.skipif(sys.platform != "linux", reason="systemd exists on Linux only")

PATIENCE_S = 240.0
TOKEN = "not-a-secret-0123456789"


@dataclass
class Installed:
    """A real gateway as a user's service, under a profile of its own, and recovery's memory of it."""

    manager: Manager
    profile: str
    port: int
    folder: Path
    openclaw: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        """The profile's state directory, in the account's home as OpenClaw wants it."""
        return Path(self.environ["HOME"]) / f".openclaw-{self.profile}"

    @property
    def unit_file(self) -> Path:
        """Where OpenClaw reads the unit."""
        return Path(self.environ["HOME"]) / ".config" / "systemd" / "user" / self.manager.unit

    def configure(self, **gateway: object) -> None:
        """Write the config."""
        table = {"mode": "local", "port": self.port, "auth": {"mode": "token", "token": TOKEN}, **gateway}
        config = {
            "gateway": {name: value for name, value in table.items() if value is not None},
            "browser": {"enabled": False},
            "logging": {"file": str(self.folder / "gateway.log")},
        }
        path = self.state / "openclaw.json"
        path.write_text(json.dumps(config))
        path.chmod(0o600)

    def install(self, *, delay_s: int = 0, restart: str = "always") -> None:
        """The unit as OpenClaw's own installer writes it, but for a start that takes `delay_s` longer."""
        run = f"{self.openclaw} gateway --port {self.port}"
        tmp, path = self.environ["TMPDIR"], self.environ["PATH"]
        named = {
            "OPENCLAW_PROFILE": self.profile,
            "OPENCLAW_STATE_DIR": str(self.state),
            "OPENCLAW_CONFIG_PATH": str(self.state / "openclaw.json"),
            "OPENCLAW_GATEWAY_PORT": str(self.port),
            "OPENCLAW_SYSTEMD_UNIT": self.manager.unit,
            "OPENCLAW_SERVICE_MARKER": "openclaw",
            "OPENCLAW_SERVICE_KIND": "gateway",
        }
        unit = self.manager.install(
            f"/bin/sh -c 'sleep {delay_s}; exec {run}'" if delay_s else run,
            f"Restart={restart}",
            "RestartSec=5",
            "RestartPreventExitStatus=78",
            "TimeoutStopSec=330",
            "KillMode=mixed",
            f"Environment=HOME={self.environ['HOME']} PATH={path} TMPDIR={tmp}",
            "Environment=" + " ".join(f"{name}={value}" for name, value in named.items()),
        )
        self.unit_file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(unit, self.unit_file)

    @property
    def service(self) -> Service:
        """What the manager says now."""
        return service(locate(self.environ, self.profile))

    @property
    def pid(self) -> int:
        """The gateway's process."""
        pid = self.service.pid
        assert pid is not None, self.service
        return pid

    def die(self) -> None:
        """SIGKILL, under a unit that does not bring it back."""
        psutil.Process(self.pid).kill()
        self.manager.await_(lambda: self.service.state == "failed")

    def stop_between_writes(self) -> None:
        """SIGSTOP at a moment when it writes nothing: 2026.9.6 restarts no gateway that keeps its store locked."""
        process, path = psutil.Process(self.pid), self.state / "state" / "openclaw.sqlite"

        def stopped() -> bool:
            process.suspend()
            with closing(sqlite3.connect(path, timeout=0.2)) as store, suppress(sqlite3.OperationalError):
                store.execute("BEGIN IMMEDIATE")
                store.rollback()
                return True
            process.resume()
            return False

        assert eventually(stopped, PATIENCE_S)

    def ready(self) -> bool:
        """Its own word."""
        return (probe("127.0.0.1", self.port, "/readyz", budget_s=2.0).json or {}).get("ready") is True

    def up(self) -> None:
        """Running, ready, of a unit that restarts it."""
        self.install()
        if not self.ready():
            self.manager.systemctl("restart", "--no-block", self.manager.unit)
            assert eventually(self.ready, PATIENCE_S), self.service

    def recover(self, *options: str, **environ: str) -> Recovered:
        """`python recover.py --json`."""
        done = self.begin(*options, **environ)
        out, err = done.communicate(timeout=500)
        assert out.strip(), err
        return Recovered(done.returncode, json.loads(out), err)

    def begin(self, *options: str, **environ: str) -> subprocess.Popen[str]:
        """The same, not waited for."""
        return subprocess.Popen(
            [sys.executable, str(PROJECT / "recover.py"), "--json", *options],
            env={**self.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def restarts(self) -> list[str]:
        """The lines of OpenClaw's own audit log: every start and restart by whomever."""
        path = self.state / "logs" / "gateway-restart.log"
        return [each for each in path.read_text().splitlines() if "action=" in each] if path.exists() else []

    def forget(self) -> None:
        """An hour later, as far as budget and cool-down go."""
        shutil.rmtree(self.folder / "memory", ignore_errors=True)
        (self.state / "logs" / "gateway-restart.log").unlink(missing_ok=True)

    def records(self) -> list[Path]:
        """Recovery's records."""
        return log.records(self.folder / "memory")

    def acting(self) -> bool:
        """Whether a recovery has begun a restart."""
        return any(each["step"] == "act" for record in self.records() for each in log.lines(record))


@contextmanager
def gateway_service(root: Path) -> Iterator[Installed]:
    """2026.9.6 manages services only in the account's own home: a profile of its own there, removed afterwards."""
    home, profile = Path(pwd.getpwuid(os.getuid()).pw_dir), f"oc-ops-{os.getpid()}"
    install(DEFAULT_VERSION, cache=lab_dir())
    openclaw = launcher(DEFAULT_VERSION, lab_dir())
    with ExitStack() as ending:
        manager = ending.enter_context(user_manager(root, home, profile))
        ending.enter_context(system_manager(root))
        made = Installed(manager, profile, free_ports(), root, openclaw)
        (root / "tmp").mkdir()
        made.environ = {
            **manager.environ,
            "PATH": os.pathsep.join([str(openclaw.parent), os.environ["PATH"]]),
            "TMPDIR": str(root / "tmp"),
            "XDG_STATE_HOME": str(root / "state"),
            "OC_OPS_OPENCLAW": str(openclaw),
            "OC_OPS_PROFILE": profile,
            "OC_OPS_BROWSER": "off",
            "OC_OPS_MEMORY_DIR": str(root / "memory"),
            "OC_OPS_REPORT_DIR": str(root / "reports"),
            "OC_OPS_RESTART_COOL_DOWN_S": "1",
            "OC_OPS_CONFIRM_GAP_S": "1",
            **PATIENT,
        }
        made.state.mkdir()
        ending.callback(shutil.rmtree, made.state, ignore_errors=True)
        ending.callback(made.unit_file.unlink, missing_ok=True)
        made.configure()
        made.up()
        yield made
        manager.stop()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """One service for the module."""
    with gateway_service(tmp_path_factory.mktemp("service")) as made:
        yield made


@pytest.fixture
def gateway(installed: Installed) -> Installed:
    """The gateway up and well, and nothing of earlier tests on recovery's record."""
    installed.configure()
    installed.up()
    installed.forget()
    return installed


def assert_no_lock(gateway: Installed) -> None:
    """Nobody holds the recovery's lock."""
    for lock in (gateway.folder / "state").rglob("recovery-*.lock"):
        assert holder(lock) is None


@systemd_only
def test_a_stopped_gateway_is_let_go_on_and_not_restarted(gateway: Installed) -> None:
    """SIGSTOP under systemd: CONT comes first, the same process answers again, and no restart is spent."""
    pid = gateway.pid
    psutil.Process(pid).suspend()
    seen = gateway.recover()
    assert seen.exit == 0, seen.progress
    assert (seen.outcome["outcome"], seen.outcome["acted"]) == ("recovered", True)
    assert f"gateway/hung is gone after one `kill -CONT {pid}`" in seen.sentence
    assert gateway.pid == pid
    assert gateway.restarts() == []
    assert_no_lock(gateway)


@systemd_only
def test_the_doctor_restarts_a_hung_gateway_once_while_a_second_recovery_is_refused(gateway: Installed) -> None:
    """`pytest checks/ -m doctor --recover`: let go on in vain, one restart, healthy, exit 0, and the report tells
    before, the steps, and after; a `recover.py` beside it ends at once with 3 and names who is at it.
    """
    pid = gateway.pid
    gateway.stop_between_writes()
    argv = [sys.executable, "-m", "pytest", str(PROJECT / "checks"), "-m", "doctor", "--recover"]
    with (
        faults.held(psutil.Process(pid), gateway.acting),
        subprocess.Popen(
            argv, env=gateway.environ, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as first,
    ):
        try:
            assert eventually(lambda: gateway.records(), PATIENCE_S)
            second = gateway.recover()
            assert second.exit == 3
            assert f"is held by process {first.pid}" in second.sentence
            said, _ = first.communicate(timeout=500)
        finally:
            first.kill()
    assert first.returncode == 0, said
    report = json.loads((gateway.folder / "reports" / "latest.json").read_text())
    assert report["verdict"] in ("healthy", "degraded")
    recovery = report["recovery"]
    assert (recovery["outcome"], recovery["cause"]) == ("recovered", "gateway/hung")
    assert recovery["before"]["cause"] == "gateway/hung"
    assert recovery["after"]["verdict"] in ("healthy", "degraded")
    assert [each["id"] for each in report["checks"] if each["outcome"] in ("failed", "blocked", "error")] == []
    assert len(gateway.restarts()) == 1
    assert gateway.pid != pid
    (record,) = gateway.records()
    kept = {each.name for each in record.with_suffix("").iterdir()}
    assert {"report.json", "log.txt", "store.sqlite", "calls"} <= kept
    assert TOKEN not in record.read_text() + (record.with_suffix("") / "log.txt").read_text()
    assert_no_lock(gateway)


@systemd_only
@pytest.mark.nightly
def test_a_gateway_that_hangs_with_its_store_locked_is_restarted_by_its_manager(gateway: Installed) -> None:
    """`openclaw gateway restart` of 2026.9.6 wants to write into that store first, and does nothing where it cannot."""
    pid = gateway.pid
    gateway.stop_between_writes()
    with (
        faults.held(psutil.Process(pid), gateway.acting),
        closing(sqlite3.connect(gateway.state / "state" / "openclaw.sqlite", isolation_level=None)) as store,
    ):
        store.execute("BEGIN IMMEDIATE")  # as the gateway itself would hold it, stopped within a write
        recovering = gateway.begin()
        assert eventually(lambda: not psutil.pid_exists(pid), 500), recovering.communicate(timeout=5)
        store.rollback()
        out, err = recovering.communicate(timeout=500)
    assert recovering.returncode == 0, err
    assert f"gateway/hung is gone after one `systemctl --user restart {gateway.manager.unit}`" in out, out + err
    assert "GATEWAY_RESTART_PREPARATION_REFUSED" in err
    (record,) = gateway.records()
    ends = [each for each in log.lines(record) if (each["step"], each["state"]) == ("act", "end")]
    assert [each["accepted"] for each in ends] == [True]
    assert_no_lock(gateway)


@systemd_only
@pytest.mark.nightly
def test_a_killed_gateway_that_starts_slowly_is_left_to_its_supervisor(gateway: Installed) -> None:
    """SIGKILL: systemd brings it back. Recovery waits for that, and within the budget of a start for one that takes
    much longer than usual: it starts nothing itself.
    """
    gateway.install(delay_s=15)
    before = gateway.service.restarts or 0
    psutil.Process(gateway.pid).kill()
    gateway.manager.await_(lambda: gateway.service.state == "restarting")
    seen = gateway.recover()
    assert seen.exit == 0, seen.progress
    assert seen.outcome["acted"] is False
    assert "came up by itself" in seen.sentence
    assert gateway.restarts() == []
    assert gateway.service.restarts == before + 1


@systemd_only
@pytest.mark.nightly
def test_a_flapping_gateway_is_restarted_three_times_an_hour_by_whomever(gateway: Installed) -> None:
    """It dies after every good start; with one restart by somebody else half an hour ago recovery starts it twice."""
    half_an_hour_ago = datetime.now(UTC) - timedelta(minutes=30)
    audit = gateway.state / "logs" / "gateway-restart.log"
    audit.parent.mkdir(exist_ok=True)
    words = "openclaw gateway lifecycle source=cli action=restart mode=systemctl-restart interactive=1"
    audit.write_text(f"[{half_an_hour_ago:%Y-%m-%dT%H:%M:%S}.000Z] {words}\n")
    gateway.install(restart="no")
    gateway.manager.stop()
    typed = pexpect.spawn(
        sys.executable, [str(PROJECT / "recover.py")], env=gateway.environ, timeout=400, encoding="utf-8"
    )
    typed.expect("cure:  start: ")
    typed.expect("act:   openclaw gateway start\r\n")
    typed.expect(r"recover: recovered in [\d.]+ s: gateway/down is gone after one `openclaw gateway start`")
    typed.expect(pexpect.EOF)
    typed.close()
    assert typed.exitstatus == 0
    gateway.die()
    assert gateway.recover().exit == 0
    gateway.die()
    for _ in range(2):
        last = gateway.recover()
        assert last.exit == 3, last.progress
        assert "the budget of 3 restarts of the gateway an hour is spent" in last.sentence
        assert "1 by others, by gateway-restart.log, 2 by oc-ops recover" in last.sentence
    assert len(gateway.restarts()) == 3


@systemd_only
def test_exit_78_is_refused(gateway: Installed) -> None:
    """A config without gateway.mode ends the real gateway with 78: nothing is started, --force or not."""
    gateway.configure(mode=None)
    gateway.manager.systemctl("restart", "--no-block", gateway.manager.unit)
    gateway.manager.await_(lambda: gateway.service.state == "failed", PATIENCE_S)
    assert gateway.service.exit_status == 78
    for options in ((), ("--force",)):
        seen = gateway.recover(*options)
        assert seen.exit == 4, seen.progress
        assert seen.outcome["acted"] is False
    assert gateway.restarts() == []
    assert gateway.service.state == "failed"


@systemd_only
def test_a_broken_config_and_a_wrong_token_leave_the_gateway_running(gateway: Installed, tmp_path: Path) -> None:
    """Exit 4 for both, with the finding's own fix, and the same process goes on."""
    pid, path = gateway.pid, gateway.state / "openclaw.json"
    good = path.read_text()
    path.write_text('{"gateway": {"mode": "local",, "port": }\n')
    broken = gateway.recover("--force")
    path.write_text(good)
    assert broken.exit == 4, broken.progress
    assert "config/invalid is not cured by recovery" in broken.sentence
    other = tmp_path / "openclaw.json"
    other.write_text(good.replace(TOKEN, TOKEN[::-1]))
    refused = gateway.recover("--force", OPENCLAW_CONFIG_PATH=str(other), OPENCLAW_STATE_DIR=str(gateway.state))
    assert refused.exit == 4, refused.progress
    assert "gateway/auth-rejected is not cured by recovery" in refused.sentence
    assert gateway.pid == pid
    assert eventually(gateway.ready, PATIENCE_S)
    assert gateway.restarts() == []


@systemd_only
@pytest.mark.nightly
def test_a_recovery_killed_in_its_act_leaves_no_lock_and_no_double(gateway: Installed) -> None:
    """kill -9 while the restart is under way: the next one waits for what was begun, and restarts nothing again."""
    with faults.held(psutil.Process(gateway.pid), gateway.acting):
        first = gateway.begin()
        assert eventually(gateway.acting, PATIENCE_S)
        first.send_signal(signal.SIGKILL)
        first.communicate()
    assert_no_lock(gateway)
    second = gateway.recover()
    assert second.exit in (0, 3), second.progress
    assert len(gateway.restarts()) <= 1
    if second.exit == 3:
        assert "was cut off in the middle" in second.sentence or "cool-down" in second.sentence
        with psutil.Process(gateway.pid).oneshot():
            psutil.Process(gateway.pid).resume()
    assert eventually(gateway.ready, PATIENCE_S)
    assert_no_lock(gateway)
