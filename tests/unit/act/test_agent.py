"""Inside an agent or not: by variables, by ancestors, by the unit; a person's own shell is none."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oc_ops import files
from oc_ops.act import agent
from tests.support.machine import PROJECT

ASK = "import os; from oc_ops.act.agent import inside; print(inside(os.environ))"


def asked(*before: str, environ: dict[str, str] | None = None) -> str:
    """What a process of its own says of itself, started by those words."""
    plain = {"PATH": os.environ["PATH"], "HOME": "/", "PYTHONPATH": str(PROJECT), **(environ or {})}
    argv = [*before, sys.executable, "-c", ASK]
    return subprocess.run(argv, env=plain, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_a_person_s_shell_is_no_agent() -> None:
    """Not even with the variables that an operator exports to choose a gateway."""
    chosen = {"OPENCLAW_GATEWAY_PORT": "1", "OPENCLAW_STATE_DIR": "/s", "OPENCLAW_PROFILE": "p", "OPENCLAW_HOME": "/"}
    assert asked(environ=chosen) == ""
    assert asked("sh", "-c", 'exec "$@"', "-", environ=chosen) == ""


def test_the_variables_of_a_gateway_s_child_tell() -> None:
    """As a command job of 2026.9.6 has them."""
    assert asked(environ={"OPENCLAW_CLI": "1", "OPENCLAW_PATH_BOOTSTRAPPED": "1"}) == "$OPENCLAW_CLI is set"


def test_variables_that_were_cleared_are_seen_at_the_ancestors() -> None:
    """`env -i` empties the child's, not those its parent was started with."""
    cleared = f'env -i PATH="$PATH" PYTHONPATH="{PROJECT}" "$@" & wait'
    told = asked("sh", "-c", cleared, "-", environ={"OPENCLAW_SHELL": "exec"})
    assert told.endswith("was started with $OPENCLAW_SHELL")


def test_a_gateway_among_the_ancestors_tells(tmp_path: Path) -> None:
    """A shell that runs as `openclaw gateway run`, and clears everything for its child."""
    script = tmp_path / "openclaw.mjs"
    script.write_text(f'env -i PATH="$PATH" PYTHONPATH="{PROJECT}" "{sys.executable}" -c "$ASK" & wait\n')
    done = subprocess.run(
        ["/bin/sh", str(script), "gateway", "run"],
        env={"PATH": os.environ["PATH"], "ASK": ASK},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.strip().endswith("is a gateway")


@pytest.mark.parametrize(
    ("cgroup", "told"),
    [
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/openclaw-gateway.service\n", "openclaw-gateway"),
        ("0::/system.slice/openclaw.service/worker\n", "openclaw"),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", ""),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/oc-ops.service\n", ""),
    ],
)
def test_the_unit_of_a_gateway_tells(cgroup: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that was forked away from the process tree stays in the gateway's cgroup."""
    monkeypatch.setattr(files, "read_text", lambda *_, **__: cgroup)
    assert (told in agent.inside({})) if told else agent.inside({}) == ""


SSHD, INIT = (801, "sshd"), (1, "systemd")


@pytest.mark.parametrize(
    ("above", "left"),
    [
        ([(800, "sh"), INIT], True),
        ([INIT], True),
        ([(800, "sudo"), (801, "bash"), (1, "process_api")], True),
        ([(800, "sh"), (2, "systemd"), INIT], True),
        ([(800, "sh"), (3, "cron"), INIT], True),
        ([(800, "bash"), SSHD, INIT], False),
        ([(800, "bash"), (802, "tmux: server"), INIT], False),
        ([(800, "python3"), (803, "sh"), SSHD, INIT], False),
        ([(800, "sh")], False),
        ([], False),
    ],
    ids=["forked-twice", "itself", "sudo", "user-manager", "cron", "ssh", "tmux", "ansible", "exec-sh", "exec"],
)  # fmt: skip
def test_whoever_started_it_is_gone(above: list[tuple[int, str]], left: bool) -> None:
    """Without a terminal a shell that pid 1 or a scheduler has is nobody's; one by ssh or into a container is."""
    assert bool(agent.left_behind(above)) == left


@pytest.mark.parametrize(
    ("command", "is_it"),
    [
        (("openclaw-gateway", "", ""), True),
        (("openclaw",), True),
        (("/opt/node/bin/node", "/usr/lib/node_modules/openclaw/dist/process/spawn-broker/worker.js"), True),
        (("node", "--max-old-space-size=512", "/srv/openclaw/openclaw.mjs", "tui"), True),
        (("vim", "/srv/openclaw/dist/notes.js"), False),
        (("node", "/srv/n8n/bin/n8n"), False),
        (("/usr/bin/openclaw-gatewatch.sh",), False),
        ((), False),
    ],
    ids=lambda value: (value[-1] if value else "none") if isinstance(value, tuple) else None,
)  # fmt: skip
def test_openclaw_is_known_by_its_title_or_its_script(command: tuple[str, ...], is_it: bool) -> None:
    """A gateway's jobs hang below its spawn broker, on 2026.5.28 below a process titled `openclaw`."""
    assert agent.is_openclaw(command) is is_it


def test_a_real_process_that_was_left_behind_is_seen(tmp_path: Path) -> None:
    """Forked twice into a session of its own, its variables swept: nobody is there who could ask."""
    said = tmp_path / "said"
    code = (
        "import os, sys, time; from oc_ops.act import agent; time.sleep(0.5); "
        "open(sys.argv[1] + '.part', 'w').write(agent.inside({})); os.rename(sys.argv[1] + '.part', sys.argv[1])"
    )
    clean = {name: value for name, value in os.environ.items() if name not in agent.MARKS}
    script = '(setsid "$@" </dev/null >/dev/null 2>&1 &)'
    subprocess.run(["sh", "-c", script, "x", sys.executable, "-c", code, str(said)], env=clean, check=True, timeout=30)
    deadline = time.monotonic() + 30
    while not said.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "it has no terminal" in said.read_text()
