"""Whom recovery commands a unit through: its own manager, root's where that costs no password, and nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from oc_ops.act.recover import authority
from oc_ops.judge import gateway as judge
from oc_ops.observe.healers import Healer
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.service import NO_SERVICE, Service
from tests.support import sights
from tests.support.stage import DOWN, HUNG, STOPPED, WELL, Stage, saw

SYSTEM = Service("systemd", "openclaw.service", "failed", scope="system", standard=False)
OTHER = replace(STOPPED, unit="my-bot.service", standard=False)

LISTED = """\
Matching Defaults entries for joe on vm:
    env_reset, mail_badpass,
    use_pty

User joe may run the following commands on vm:
    (root) NOPASSWD: /usr/bin/systemctl restart openclaw.service,
        /bin/systemctl start openclaw.service
    (root) /usr/bin/systemctl stop openclaw.service
"""
"""As sudo 1.9.13 lists it: `sudo -n -l COMMAND` says yes to all three, also to the one that wants a password."""


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A gateway of a system unit that is down, and up after one start."""
    made = Stage(tmp_path, monkeypatch)
    made.looks, made.services = [replace(DOWN, service=SYSTEM), WELL], [SYSTEM]
    made.seen = [saw("gateway/down"), saw("gateway/down"), saw()]
    return made


def programs(stage: Stage, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> Path:
    """Put commands before all others on PATH; each writes down what it was asked."""
    folder, said = stage.root / "bin", stage.root / "asked"
    folder.mkdir(exist_ok=True)
    for name, script in scripts.items():
        (folder / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{said}\n{script}\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    stage.environ["PATH"] = f"{folder}:/usr/bin:/bin"
    said.touch()
    return said


def sudo(listed: str = LISTED) -> str:
    """A sudo that knows these rules and has no password for anybody."""
    return (
        f"cat >/dev/null <<'E'\nE\nif [ \"$2\" = -l ] && [ $# = 2 ]; then cat <<'E'\n{listed}\nE\nexit 0; fi\n"
        'if [ "$2" = -l ]; then echo "/usr/bin/systemctl $4 $5"; exit 0; fi\nshift; exec "$@"'
    )


def test_root_commands_a_system_unit(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manager's own start, once, in the same budget and with the same proof; OpenClaw's is not asked."""
    monkeypatch.setattr("oc_ops.act.recover.authority._uid", lambda: 0)
    said = programs(stage, monkeypatch, systemctl="exit 0")
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, stage.acts) == (0, "recovered", []), outcome.sentence
    assert "systemctl --no-ask-password start openclaw.service" in said.read_text().splitlines()
    assert "one `systemctl start openclaw.service`" in outcome.why


def test_who_needs_a_password_is_told_the_exact_command(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whom sudo gives nothing for nothing: refused, nothing is run, and the fix pastes and runs."""
    monkeypatch.setattr("oc_ops.act.recover.authority._uid", lambda: 1000)
    said = programs(stage, monkeypatch, systemctl="exit 0", sudo="exit 1")
    found = judge.cause(stage.looks[0], judge.Limits())
    assert found is not None
    refused = stage.recover(force=True)
    assert (refused.exit, stage.acts) == (4, [])
    assert "may not start that unit without a password" in refused.why
    assert refused.why.endswith("fix: sudo systemctl start openclaw.service")
    assert not [each for each in said.read_text().splitlines() if each.startswith("systemctl ") and " start " in each]


def test_a_user_whom_sudo_lets_commands_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sudo -n`, for exactly the command that its rules give without a password."""
    monkeypatch.setattr("oc_ops.act.recover.authority._uid", lambda: 1000)
    said = programs(stage, monkeypatch, systemctl="exit 0", sudo=sudo())
    outcome = stage.recover()
    assert outcome.exit == 0, outcome.sentence
    assert "sudo -n systemctl start openclaw.service" in said.read_text().splitlines()
    assert "one `sudo systemctl start openclaw.service`" in outcome.why


@pytest.mark.parametrize(
    ("rules", "words", "free"),
    [
        (LISTED, "/usr/bin/systemctl restart openclaw.service", True),
        (LISTED, "/usr/bin/systemctl stop openclaw.service", False),
        ("    (root) NOPASSWD: ALL", "/usr/bin/systemctl restart x.service", True),
        ("    (ALL : ALL) ALL", "/usr/bin/systemctl restart x.service", False),
        (
            "    (ALL) NOPASSWD: /usr/bin/systemctl restart openclaw*",
            "/usr/bin/systemctl restart openclaw.service",
            True,
        ),
        ("    (www) NOPASSWD: ALL", "/usr/bin/systemctl restart x.service", False),
        ("    (root) NOPASSWD: /bin/ls, PASSWD: /usr/bin/systemctl", "/usr/bin/systemctl restart x.service", False),
        ("    (root) SETENV: NOPASSWD: /usr/bin/systemctl", "/usr/bin/systemctl restart x.service", True),
        ("", "/usr/bin/systemctl restart x.service", False),
    ],
)
def test_what_sudo_gives_for_nothing(rules: str, words: str, free: bool) -> None:
    """A rule for this very command, as root, whose last tag asks no password."""
    assert authority._for_nothing(rules, words.split()) is free


def test_a_user_s_own_unit_of_another_name_needs_nobody(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """`openclaw gateway start` does not know it; its own manager does."""
    stage.looks, stage.services = [replace(DOWN, service=OTHER), WELL], [OTHER]
    said = programs(stage, monkeypatch, systemctl="exit 0")
    outcome = stage.recover()
    assert (outcome.exit, stage.acts) == (0, []), outcome.sentence
    assert said.read_text().splitlines() == ["systemctl --user start my-bot.service"]


def test_a_unit_that_does_not_run_the_process_is_not_restarted(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway was started by hand beside a unit that runs something else: nobody's restart helps."""
    monkeypatch.setattr("oc_ops.act.recover.authority._uid", lambda: 0)
    beside = replace(SYSTEM, state="running", pid=7)
    stage.looks, stage.services = [HUNG], [beside]
    stage.seen = [saw("gateway/hung")]
    said = programs(stage, monkeypatch, systemctl="exit 0")
    refused = stage.recover(force=True)
    assert (refused.exit, stage.acts) == (4, [])
    assert "does not run pid" in refused.why
    assert not [each for each in said.read_text().splitlines() if "restart" in each]


def test_without_a_system_manager_the_user_s_own_starts_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """`openclaw gateway start` asks the system's manager for an owner and gives up without one (2026.9.6)."""
    stage.looks, stage.services, stage.unmanaged = [DOWN, WELL], [STOPPED], True
    said = programs(stage, monkeypatch, systemctl="exit 0")
    assert stage.recover().exit == 0
    assert stage.acts == []
    assert said.read_text().splitlines() == ["systemctl --user start openclaw-gateway.service"]


# -- a supervisor of its own, a second healer --------------------------------------------------------------------------


@pytest.mark.parametrize("look", [HUNG, DOWN], ids=["hung", "down"])
def test_an_external_supervisor_restarts_its_own(look: GatewayProbe) -> None:
    """Without a unit that is theirs to do; a unit that is the supervisor is commanded by its manager."""
    own = replace(look, service=NO_SERVICE, external=True)
    found = judge.cause(own, judge.Limits())
    assert found is not None
    assert "OPENCLAW_SUPERVISOR_MODE=external" in found.fix
    unit = replace(look, external=True)
    found = judge.cause(unit, judge.Limits())
    assert found is not None
    assert found.fix == f"systemctl --user {'start' if look is DOWN else 'restart'} {look.service.unit}"


UPDATE = Healer(71, "openclaw update", 12.0)


def test_a_second_healer_is_waited_for(stage: Stage) -> None:
    """An update brings the gateway up by itself: nothing is started beside it."""
    stage.looks, stage.services, stage.seen = [WELL], [STOPPED], [saw("gateway/down"), saw()]
    stage.healers = [(UPDATE,)] * 40
    outcome = stage.recover()
    assert (outcome.exit, outcome.word, stage.acts) == (0, "healthy", [])
    assert any("pid 71 runs `openclaw update`" in each for each in stage.said)
    assert stage.elapsed_s >= 38


def test_what_a_healer_left_down_is_started_afterwards(stage: Stage) -> None:
    """It is gone and the gateway still down: the one start of this recovery is made."""
    stage.looks, stage.services = [DOWN] * 20 + [WELL], [STOPPED]
    stage.seen, stage.healers = [saw("gateway/down"), saw("gateway/down"), saw("gateway/down"), saw()], [(UPDATE,)] * 3
    assert stage.recover().exit == 0
    assert stage.acts == ["gateway start --json"]


def test_a_healer_that_comes_to_no_end_is_not_raced(stage: Stage) -> None:
    """Refused after both budgets, and a dry run says that it would wait."""
    stage.looks, stage.services, stage.seen = [DOWN], [STOPPED], [saw("gateway/down")]
    stage.healers = [(UPDATE,)] * 2000
    refused = stage.recover(force=True)
    assert (refused.exit, stage.acts) == (3, [])
    assert "still at it after 570 s" in refused.why
    assert "it would wait up to 570 s" in stage.recover(dry_run=True).why


def test_the_fake_world_is_as_the_judge_has_it() -> None:
    """The looks of these tests are what they say they are."""
    assert HUNG.service.pid == sights.PID
