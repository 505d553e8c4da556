"""A gateway that cannot be reached: its service manager is asked, then TERM, then KILL, and only that very process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from oc_ops import settings
from oc_ops.act.breaker.processes import end
from oc_ops.act.breaker.scan import Blocker, BreakerView, Pid, Refused, Tools
from oc_ops.act.commands import Commands
from oc_ops.observe.http import Probe
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.service import Service
from oc_ops.observe.target import locate
from oc_ops.record.redact import Json
from tests.support.machine import PROJECT, closed_port
from tests.support.stuck_machine import StuckMachine, ended, until

pytestmark = pytest.mark.timeout(120)

FAKE = PROJECT / "tests" / "fakes" / "mute_gateway.py"
LIMITS = {"OC_OPS_START_BUDGET_S": "0.05", "OC_OPS_BREAKER_STOP_S": "0.5", "OC_OPS_HTTP_PROBE_S": "0.3"}

SYSTEMCTL = f"""#!{sys.executable}
import json, os, signal, sys
from pathlib import Path
unit = json.loads(Path({{path!r}}).read_text())
with Path({{path!r}}).with_name("systemctl.txt").open("a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
if "show" in sys.argv:
    print("LoadState=loaded\\nActiveState=" + unit["active"] + "\\nSubState=" + unit["sub"] + "\\nResult=success")
    print(f"NRestarts=0\\nMainPID={{{{unit['pid']}}}}\\nExecMainStatus=0")
elif unit["stops"]:
    os.kill(unit["pid"], signal.SIGKILL)
"""


class MuteMachine(StuckMachine):
    """A machine whose gateway lives and cannot be reached; without a service manager, unless one is put there."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.port = closed_port()
        self.environ |= LIMITS
        self.fake = root / "mute" / "openclaw.mjs"
        self.fake.parent.mkdir()
        self.fake.write_text(FAKE.read_text())
        (root / "bin" / "systemctl").write_text("#!/bin/sh\nexit 1\n")
        (root / "bin" / "systemctl").chmod(0o755)
        config = {"gateway": {"mode": "local", "port": self.port}, "logging": {"file": str(root / "gateway.log")}}
        (self.state / "openclaw.json").write_text(json.dumps(config))

    @contextmanager
    def mute(self, *options: str) -> Iterator[subprocess.Popen[str]]:
        """Such a gateway."""
        argv = [sys.executable, str(self.fake), "gateway", *options]
        with subprocess.Popen(argv, env=self.environ, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                yield process
            finally:
                process.kill()

    def manage(self, pid: int, *, stops: bool, active: str = "active", sub: str = "running") -> None:
        """A service manager that has it as its own, and can stop it or not."""
        path = self.root / "unit.json"
        path.write_text(json.dumps({"pid": pid, "stops": stops, "active": active, "sub": sub}))
        (self.root / "bin" / "systemctl").write_text(SYSTEMCTL.format(path=str(path)))

    @property
    def asked(self) -> list[str]:
        """What the service manager was asked to change."""
        path = self.root / "systemctl.txt"
        return [each for each in path.read_text().splitlines() if " show " not in each] if path.exists() else []

    @property
    def steps(self) -> list[str]:
        """What was done, by the book."""
        return [each["did"] for each in self.book if each["what"] == "step"]


@pytest.fixture
def machine(tmp_path: Path) -> MuteMachine:
    """The machine; its gateway is not started yet."""
    return MuteMachine(tmp_path)


def test_a_zombie_ends_on_sigterm(machine: MuteMachine) -> None:
    """Shown with pid and start time; ended; and the next thing to do is said."""
    with machine.mute() as process:
        plan = machine.plan(f"zombie:{process.pid}")
        started = psutil.Process(process.pid).create_time()
        assert process.poll() is None
        done = machine.run("break", "--approve", plan)
        assert done.returncode == 0, done.stdout + done.stderr
        assert process.wait(10) == -15
    assert "ended on SIGTERM; now gateway/down, fix: " in done.stdout
    (before,) = [each["before"] for each in machine.book if each["what"] == "begun"]
    assert (before["pid"], before["finding"]) == (process.pid, "gateway/zombie")
    assert before["started"] == pytest.approx(started, abs=0.1)
    assert [each.split(",")[0] for each in machine.steps] == [f"terminate pid {process.pid}"]


def test_a_hung_one_that_ignores_sigterm_is_killed(machine: MuteMachine) -> None:
    """TERM first, KILL after the wait."""
    with machine.mute("--hung", str(machine.port), "--deaf") as process:
        done = machine.run("break", "--approve", machine.plan(f"hung:{process.pid}"))
        assert done.returncode == 0, done.stdout + done.stderr
        assert process.wait(10) == -9
    assert "was killed; now gateway/down" in done.stdout
    assert [each.split()[0] for each in machine.steps] == ["terminate", "kill"]


def test_a_stopped_one_is_let_go_on_and_ended_only_if_that_does_not_help(machine: MuteMachine) -> None:
    """CONT first, said before it is approved; this one does not answer then either, so TERM follows."""
    with machine.mute("--hung", str(machine.port)) as process:
        psutil.Process(process.pid).suspend()
        until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        shown = machine.run("show", f"hung:{process.pid}").stdout
        assert f"kill -CONT {process.pid}; only if it still does not answer, SIGTERM" in shown
        done = machine.run("break", "--approve", machine.plan(f"hung:{process.pid}"))
        assert done.returncode == 0, done.stdout + done.stderr
        assert process.wait(10) == -15
    assert f"pid {process.pid} was let go on and still does not answer" in done.stdout
    assert [each.split()[0] for each in machine.steps] == ["resume", "terminate"]


def test_the_process_name_is_what_is_typed(machine: MuteMachine) -> None:
    """On a terminal; another name leaves it alive."""
    with machine.mute() as process:
        name = Path(sys.executable).name
        for answer, code in (("openclaw", 4), (name, 0)):
            child = machine.on_terminal("break", f"zombie:{process.pid}")
            child.expect("type its exact name")
            assert f"name: {name}" in str(child.before)
            assert process.poll() is None
            child.sendline(answer)
            assert ended(child)[0] == code
        assert process.wait(10) == -15


def test_the_service_manager_is_asked_first(machine: MuteMachine) -> None:
    """One that can end it does, and nobody else signals it."""
    with machine.mute("--hung", str(machine.port), "--deaf") as process:
        machine.manage(process.pid, stops=True)
        done = machine.run("break", "--approve", machine.plan(f"hung:{process.pid}"))
        assert done.returncode == 0, done.stdout + done.stderr
        assert process.wait(10) == -9
    assert f"the service manager ended pid {process.pid}" in done.stdout
    assert machine.asked == ["--user stop --no-block openclaw-gateway.service"]
    assert not [each for each in machine.steps if each.startswith(("terminate", "kill"))]


def test_a_service_manager_that_cannot_stop_it(machine: MuteMachine) -> None:
    """It is asked, and only when that does not help the process is signalled."""
    with machine.mute("--hung", str(machine.port), "--deaf") as process:
        machine.manage(process.pid, stops=False)
        done = machine.run("break", "--approve", machine.plan(f"hung:{process.pid}"))
        assert process.wait(10) == -9
    assert "its service manager does not end it" in done.stdout
    verbs = [each.split()[0] for each in machine.steps]
    assert verbs == ["systemctl", "`systemctl", "terminate", "kill"]


def test_a_stop_that_is_under_way_is_not_asked_for_again(machine: MuteMachine) -> None:
    """That would forget the start that is to follow."""
    with machine.mute("--hung", str(machine.port), "--deaf") as process:
        machine.manage(process.pid, stops=False, active="deactivating", sub="stop-sigterm")
        done = machine.run("break", "--approve", machine.plan(f"hung:{process.pid}"))
        assert process.wait(10) == -9
    assert done.returncode == 0, done.stdout + done.stderr
    assert machine.asked == []


def test_a_plan_is_for_that_very_process(machine: MuteMachine) -> None:
    """Its successor is not what was approved, even with the same state."""
    with machine.mute() as first:
        plan = machine.plan(f"zombie:{first.pid}")
    with machine.mute() as second:
        done = machine.run("break", "--approve", plan)
        assert done.returncode == 4
        assert second.poll() is None


def test_a_gateway_on_its_way_up_is_left_alone(machine: MuteMachine) -> None:
    """Within the start budget nothing is to break."""
    machine.environ["OC_OPS_START_BUDGET_S"] = "240"
    with machine.mute() as process:
        done = machine.run("show", f"zombie:{process.pid}")
        assert done.returncode == 4
        assert process.poll() is None


def test_a_broken_config_is_the_cause(machine: MuteMachine) -> None:
    """A gateway that is ended could not come up again: it is left alone."""
    with machine.mute() as process:
        (machine.state / "openclaw.json").write_text("{,")
        done = machine.run("list", "--all", OPENCLAW_GATEWAY_PORT=str(machine.port))
        assert f"zombie:{process.pid}" not in done.stdout
        assert process.poll() is None


def test_a_service_is_not_stopped_for_a_process_that_is_gone(tmp_path: Path) -> None:
    """It ended between the approval and the act: its successor, which the unit runs now, is nobody's business."""
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        started = psutil.Process(gone.pid).create_time()
    evidence: dict[str, Json] = {"pid": gone.pid, "started": started, "finding": "gateway/hung"}
    mutex = Blocker("hung", f"hung:{gone.pid}", "openclaw", "a fact", "an act", evidence)
    unit = Service("systemd", "oc-ops-test-of-nobody.service", "running", pid=os.getpid())
    look = GatewayProbe(1, Probe("/healthz", "answered", 0.0, 200), service=unit)
    notes: list[str] = []

    def never() -> Commands:
        raise AssertionError("ending a process needs no call")

    seen = BreakerView("key", locate({"HOME": str(tmp_path)}), look=look)
    hands = Tools(settings.load({}, {}), lambda: seen, never, note=notes.append, say=lambda _: None)
    with pytest.raises(Refused, match=f"pid {gone.pid} is gone: nothing was done"):
        end(mutex, hands)
    assert notes == []


def test_a_reused_pid_is_never_signalled() -> None:
    """Pid and start time together name a process."""
    own = Pid.of(os.getpid())
    assert own is not None
    assert own.living() is not None
    assert Pid(own.pid, own.started - 5).living() is None
    assert Pid(own.pid, own.started - 5).gone(0)
    assert not own.gone(0.05)
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
        of = Pid.of(process.pid)
        assert of is None or of.living() is None


def test_a_gateway_that_was_not_seen_afterwards_is_not_said_to_answer(tmp_path: Path) -> None:
    """The process is gone, which is all that is known: nothing is claimed of its port."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        found = Pid.of(process.pid)
        assert found is not None
        evidence: dict[str, Json] = {"pid": found.pid, "started": found.started, "finding": "gateway/hung"}
        mutex = Blocker("hung", f"hung:{found.pid}", "openclaw", "a fact", "an act", evidence)

        def never() -> Commands:
            raise AssertionError("ending a process needs no call")

        blind = BreakerView("key", locate({"HOME": str(tmp_path)}), unseen=("the gateway could not be looked at",))
        hands = Tools(settings.load({}, {}), lambda: blind, never, note=lambda _: None, say=lambda _: None)
        result = end(mutex, hands)
        assert process.wait(10) == -15
    assert "could not be looked at" in result.said
    assert "answers" not in result.said
