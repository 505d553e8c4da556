"""The commands of a cure: their words, whether OpenClaw took them, and what may outlive them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psutil
import pytest

from oc_ops.act.recover import steps
from oc_ops.gateway import Gateway
from oc_ops.judge.finding import Action
from tests.support.stage import Stage, finding


def carried_out(stage: Stage, action: str, answer: tuple[int, object], check: str = "gateway/hung") -> steps.Done:
    """The act with that answer of OpenClaw to everything."""
    (stage.root / "answers.json").write_text(json.dumps({"gateway ": answer}))
    site = Gateway(stage.settings, stage.environ, lambda _: None)
    return steps.carry_out(site, action, finding(check), safe=False)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "accepted", "said"),
    [
        ((0, {"ok": True, "result": "restarted"}), True, "restarted"),
        ((0, {"ok": True, "result": "deferred", "message": "after work drains"}), True, "after work drains"),
        (
            (0, {"ok": True, "result": "not-loaded", "message": "Gateway service disabled."}),
            False,
            "Gateway service dis",
        ),
        ((1, {"ok": False, "error": "Gateway start failed: no bus\nmore"}), False, "Gateway start failed: no bus"),
        ((1, {}), False, "exited 1"),
    ],
    ids=["done", "later", "nothing-done", "refused", "wordless"],
)
def test_a_command_is_taken_by_its_own_word(
    stage: Stage, answer: tuple[int, object], accepted: bool, said: str
) -> None:
    """Exit 0 alone proves nothing, and what OpenClaw says is kept to one line."""
    done = carried_out(stage, "restart", answer)
    assert done.accepted is accepted
    assert said in done.said
    assert "\n" not in done.said


@pytest.mark.parametrize(
    ("action", "cause", "safe", "command"),
    [
        ("restart", "gateway/hung", False, "openclaw gateway restart"),
        ("restart", "gateway/zombie", True, "openclaw gateway restart --safe"),
        ("start", "gateway/down", False, "openclaw gateway start"),
        ("browser-restart", "browser/not-running", False, "openclaw browser --browser-profile openclaw start"),
        (
            "browser-restart",
            "browser/unanswered",
            False,
            "openclaw browser --browser-profile openclaw stop && openclaw browser --browser-profile openclaw start",
        ),
    ],
)
def test_the_command_is_said_as_it_would_be_typed(action: Action, cause: str, safe: bool, command: str) -> None:
    """`--browser-profile`, not `--profile`: that would be another gateway to newer releases."""
    assert steps.command(action, finding(cause), safe=safe) == command


def test_a_command_that_is_missing_is_not_taken(stage: Stage) -> None:
    """No `openclaw` is a reason, not a crash."""
    assert stage.settings.openclaw is not None
    stage.settings.openclaw.write_text("#!/nowhere/python\n")
    done = carried_out(stage, "start", (0, {}), "gateway/down")
    assert not done.accepted
    assert done.said


@pytest.mark.timeout(60)
def test_what_a_restart_leaves_behind_on_purpose_lives_on(stage: Stage, tmp_path: Path) -> None:
    """A detached helper that carries out the restart is not ended with the command that started it."""
    script = stage.settings.openclaw
    assert script is not None
    lives = tmp_path / "lives"
    script.write_text(
        f"#!{sys.executable}\n"
        "import os, sys, time\n"
        "if '--version' in sys.argv: sys.exit(print('OpenClaw 2026.9.6'))\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    null = os.open(os.devnull, os.O_RDWR)\n"
        "    for each in (0, 1, 2): os.dup2(null, each)\n"
        f"    open({str(lives)!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(60)\n"
        f"while not os.path.exists({str(lives)!r}) or not open({str(lives)!r}).read(): time.sleep(0.01)\n"
        'print(\'{"ok": true, "result": "restarted"}\')\n'
    )
    assert carried_out(stage, "restart", (0, {})).accepted
    helper = psutil.Process(int(lives.read_text()))
    try:
        assert helper.is_running()
        assert helper.status() != psutil.STATUS_ZOMBIE
    finally:
        helper.kill()
