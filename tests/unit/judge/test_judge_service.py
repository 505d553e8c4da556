"""Judges of a unit that cannot start its gateway: the program that is gone, and the config that no start accepts."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from oc_ops.act.recover.policy import never
from oc_ops.judge import gateway as judge_gateway
from oc_ops.judge import service as judge
from oc_ops.judge.finding import Finding
from oc_ops.judge.gateway import Limits
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.service import NO_SERVICE, Service, _systemd
from tests.support.sights import gateway_process, nothing, sight

UNIT = Service("systemd", "openclaw-gateway.service", "failed", exit_status=1, argv=("/opt/openclaw", "gateway"))
CONFIG = GatewayConfig(Path("/home/me/.openclaw/openclaw.json"), exists=True)


def shown(command: str) -> str:
    """What systemctl shows of a failed unit with that ExecStart."""
    path = command.split(" ; ")[0] if " ; " in command else command.split()[0]
    argv = command.split(" ; ")[-1]
    start = f"{{ path={path} ; argv[]={argv} ; ignore_errors=no ; start_time=[n/a] }}"
    return f"LoadState=loaded\nActiveState=failed\nSubState=failed\nExecMainStatus=1\nExecStart={start}\n"


def test_a_program_that_is_gone_is_named(tmp_path: Path) -> None:
    """An update that moved the program, or the script that node runs, leaves a unit that no start helps."""
    node, script = tmp_path / "node", tmp_path / "openclaw.mjs"
    node.touch()
    unit = _systemd("openclaw-gateway.service", shown(f"{node} --no-warnings {script} gateway --port 1"))
    assert unit.gone == str(script)
    finding = judge.exec_missing(unit)
    assert finding is not None
    assert str(script) in finding.fact
    assert finding.fix.startswith("none automatic: ")
    script.touch()
    unit = _systemd("openclaw-gateway.service", shown(f"{node} --no-warnings {script} gateway --port 1"))
    assert judge.exec_missing(unit) is None


def test_a_path_with_a_space_is_not_taken_for_another(tmp_path: Path) -> None:
    """systemctl quotes no word of a command: what may be half a path is not judged."""
    folder = tmp_path / "my app"
    folder.mkdir()
    node, script = folder / "node", folder / "openclaw.mjs"
    node.touch()
    unit = _systemd("openclaw-gateway.service", shown(f"{node} ; {node} {script} gateway"))
    assert unit.gone == ""


@pytest.mark.parametrize(("state", "found"), [("failed", True), ("restarting", True), ("running", False)])
def test_systemd_s_own_word_counts(state: str, found: bool) -> None:
    """Exit 203 of a unit that failed is an ExecStart that could not be executed, whatever we see of the path."""
    unit = replace(UNIT, state=state, exit_status=judge.NO_PROGRAM)
    assert (judge.exec_missing(unit) is not None) is found


@pytest.mark.parametrize("service", [UNIT, NO_SERVICE, replace(UNIT, manager="launchd", exit_status=78)])
def test_a_config_without_a_mode_is_no_plain_down(service: Service) -> None:
    """OpenClaw blocks every start of it, so none is advised."""
    finding = judge.cannot_start(service, dataclasses.replace(CONFIG, mode=""))
    assert finding is not None
    assert finding.check == "config/mode-missing"
    assert finding.fix.startswith("none automatic: openclaw config set gateway.mode local")
    assert never(finding.check)
    assert never("service/exec-missing")


@pytest.mark.parametrize(
    ("service", "config"),
    [
        (UNIT, CONFIG),
        (replace(UNIT, argv=(*UNIT.argv, "--allow-unconfigured")), dataclasses.replace(CONFIG, mode="")),
        (UNIT, dataclasses.replace(CONFIG, mode="", exists=False)),
        (UNIT, dataclasses.replace(CONFIG, mode="", error="JSON5: invalid character")),
        (replace(UNIT, manager="launchd", exit_status=0), dataclasses.replace(CONFIG, mode="")),
    ],
)
def test_what_starts_all_the_same_stays_silent(service: Service, config: GatewayConfig) -> None:
    """A mode, a unit that allows for none, and what other findings tell: no finding of this kind."""
    assert judge.cannot_start(service, config) is None


def broken(tmp_path: Path, **says: str) -> Finding | None:
    """The finding of a unit that systemctl shows so, whose file was written ten seconds before it ended."""
    unit = tmp_path / "openclaw-gateway.service"
    unit.touch()
    os.utime(unit, (time.time() - 10,) * 2)
    usual = {"LoadState": "loaded", "ActiveState": "failed", "SubState": "failed", "Result": "exit-code",
             "ExecMainStatus": "0", "ConditionResult": "yes", "FragmentPath": str(unit),
             "StateChangeTimestampMonotonic": str(round(time.monotonic() * 1e6))}  # fmt: skip
    told = "".join(f"{name}={value}\n" for name, value in {**usual, **says}.items())
    return judge.unit_broken(_systemd("openclaw-gateway.service", told))


FOLDER = {"ExecMainStatus": "200", "WorkingDirectory": "/gone/folder"}
FILES = "/gone/other (ignore_errors=yes)\nEnvironmentFiles=/gone/env (ignore_errors=no)"
STOPPED = {"ActiveState": "inactive", "SubState": "dead", "Result": "success"}


@pytest.mark.parametrize(
    ("says", "words"),
    [
        (FOLDER, "its WorkingDirectory /gone/folder is not there"),
        ({**FOLDER, "ActiveState": "activating", "SubState": "auto-restart"}, "its WorkingDirectory /gone/folder"),
        ({"ExecMainStatus": "217", "User": "nosuchuser"}, "the account nosuchuser"),
        ({"ExecMainStatus": "209"}, "its StandardOutput cannot be opened"),
        ({"Result": "resources", "EnvironmentFiles": FILES}, "its EnvironmentFile /gone/env is not there"),
        ({**STOPPED, "ConditionResult": "no", "ConditionTimestampMonotonic": "9999999999999"}, "a condition of it"),
        ({**STOPPED, "ConditionResult": "no", "LoadState": "masked"}, "it is masked"),
        ({**STOPPED, "ConditionResult": "no", "LoadState": "bad-setting"}, "does not accept its file"),
    ],
    ids=["folder", "folder again and again", "account", "output", "file", "condition", "masked", "bad"],
)
def test_a_unit_that_begins_nothing_is_no_plain_down(says: dict[str, str], words: str, tmp_path: Path) -> None:
    """By systemd's own words, as systemd 252 showed each of them: no start is advised, and recovery makes none."""
    found = broken(tmp_path, **says)
    assert found is not None
    assert (found.check, found.severity) == ("service/unit-broken", "error")
    assert words in found.fact
    assert found.fix.startswith("none automatic: ")
    assert never("service/unit-broken")


@pytest.mark.parametrize(
    "says",
    [
        {"ExecMainStatus": "1"},
        {"ExecMainStatus": "200", "WorkingDirectory": "/"},
        {"ExecMainStatus": "200", "Result": "signal"},
        {**FOLDER, "StateChangeTimestampMonotonic": str(round((time.monotonic() - 20) * 1e6))},
        {"Result": "resources", "EnvironmentFiles": "/gone/other (ignore_errors=yes)"},
        {"Result": "resources", "EnvironmentFiles": "/etc/passwd (ignore_errors=no)"},
        {**STOPPED, "ConditionResult": "no", "ConditionTimestampMonotonic": "0"},
        STOPPED,
    ],
    ids=["its own exit", "folder is back", "a signal", "unit mended since", "may be gone", "file is back", "new", "ok"],
)
def test_a_unit_that_can_begin_is_left_to_the_others(says: dict[str, str], tmp_path: Path) -> None:
    """What is its program's own, what was mended since, and what was never started."""
    assert broken(tmp_path, **says) is None


RUNNING = replace(UNIT, state="running", pid=7, exit_status=0, file_state="enabled")
SYSTEM = replace(RUNNING, unit="openclaw.service", scope="system", standard=False)
OURS = gateway_process(pid=7)


@pytest.mark.parametrize(
    ("state", "found"), [("disabled", True), ("enabled", False), ("static", False), ("generated", False), ("", False)]
)
def test_a_unit_that_no_boot_starts_is_told(state: str, found: bool) -> None:
    """Disabled is the one state in which nothing starts it; a quadlet's unit is generated."""
    finding = judge.not_enabled(replace(RUNNING, file_state=state))
    assert (finding is not None and "enable openclaw-gateway.service" in finding.fix) is found
    assert judge.not_enabled(None) is None


@pytest.mark.parametrize(
    ("owner", "lingers", "found"),
    [(RUNNING, False, True), (RUNNING, True, False), (RUNNING, None, False), (SYSTEM, False, False)],
)
def test_a_user_s_unit_without_lingering_is_told(owner: Service, lingers: bool | None, found: bool) -> None:
    """It is nothing to a system unit, and nothing is said where logind cannot be asked."""
    assert (judge.no_linger(owner, lingers, "me") is not None) is found
    assert judge.no_linger(None, False, "me") is None


@pytest.mark.parametrize(
    ("other", "severity"),
    [
        (replace(SYSTEM, state="restarting"), "error"),
        (replace(SYSTEM, state="running"), "warning"),
        (replace(SYSTEM, state="failed"), "warning"),
        (replace(SYSTEM, state="stopped", file_state="disabled"), None),
        (RUNNING, None),
    ],
    ids=["tries again and again", "runs", "failed but enabled", "rests", "is the same unit"],
)
def test_a_second_unit_is_told_by_its_harm(other: Service, severity: str | None) -> None:
    """A unit that fights for the gateway is an error, one that will after a boot a warning, one that rests nothing."""
    finding = judge.two_owners([RUNNING, other], RUNNING, OURS)
    assert (finding.severity if finding else None) == severity


def test_a_gateway_by_hand_beside_its_unit() -> None:
    """Beside a gateway that no unit started, a unit that rests is no second owner; one that keeps trying is."""
    assert judge.two_owners([replace(RUNNING, state="stopped")], None, OURS) is None
    finding = judge.two_owners([replace(RUNNING, state="restarting")], None, OURS)
    assert finding is not None
    assert finding.severity == "error"


@pytest.mark.parametrize(("result", "check"), [("oom-kill", "oom-killed"), ("signal", "down"), ("success", "down")])
def test_a_unit_s_gateway_that_memory_ended_is_named_so(result: str, check: str) -> None:
    """systemd's own Result is what counts; its proof and cure are those of a gateway that is down."""
    unit = replace(UNIT, result=result)
    finding = judge_gateway.cause(sight(nothing("refused"), listener=None, processes=(), service=unit), Limits())
    assert finding is not None
    assert finding.check == f"gateway/{check}"
    assert finding.fix == judge_gateway.START
    assert finding.proof
