"""`oc-ops --help`, `config`, `uninstall`: what there is, whose it is, and how to be rid of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from oc_ops.cli import app, frame
from oc_ops.settings import PROJECT, declared, environment_name, load


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An account of its own, with no crontab and no tmux."""
    for name, value in (
        ("HOME", tmp_path),
        ("XDG_STATE_HOME", tmp_path / "state"),
        ("XDG_CONFIG_HOME", tmp_path / "config"),
        ("OC_OPS_CONFIG_DIR", tmp_path / "config" / "oc-ops"),
        ("OC_OPS_LAB_DIR", tmp_path / "lab"),
        ("PATH", tmp_path / "bin"),
    ):
        monkeypatch.setenv(name, str(value))
    return tmp_path


def run(*arguments: str) -> str:
    """What a command that succeeds prints."""
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_every_command_stands_under_a_heading_with_its_line_whole() -> None:
    """Nobody has to guess what a clipped line meant."""
    named = {name for group in frame.GROUPS.values() for name in group}
    assert set(typer.main.get_command(app).commands) <= named  # type: ignore[attr-defined]
    text = run("--help")
    assert "Also" not in text
    assert "..." not in text.partition("Look (")[2]
    for lines in frame.GROUPS.values():
        assert all(line in text for name, line in lines.items() if f"  {name} " in text)


def test_config_tells_value_and_source(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting has its row; what the operator set is told to be theirs, and from where."""
    own = home / "config" / "oc-ops" / "settings.toml"
    own.parent.mkdir(parents=True)
    own.write_text("check_s = 70\nstart_budget_s = 90\n")
    monkeypatch.setenv("OC_OPS_START_BUDGET_S", "100")
    monkeypatch.setenv("OC_OPS_PING_URL", "https://hc.example/secret-id")
    rows = [line.split("\t") for line in run("config").splitlines()]
    table = {row[0]: row[1:3] for row in rows if len(row) == 4}
    assert {environment_name(each.name) for each in declared()} <= table.keys()
    assert table["OC_OPS_CHECK_S"] == ["70", f"{own} [tool.oc_ops]"]
    assert table["OC_OPS_START_BUDGET_S"] == ["100", "environment"]
    assert table["OC_OPS_RUN_S"] == ["180", "default"]
    assert "secret-id" not in run("config") + run("config", "--json")
    assert json.loads(run("config", "--json"))["settings"]["check_s"]["value"] == "70.0"


def test_the_operator_s_settings_win_over_the_checkout_s(home: Path) -> None:
    """They are apart from the code; a name that no setting has is refused there too."""
    own = home / "config" / "oc-ops" / "settings.toml"
    own.parent.mkdir(parents=True)
    own.write_text("[tool.oc_ops]\ncheck_s = 80\n")
    assert load().check_s == 80
    own.write_text("chekc_s = 80\n")
    assert "chekc_s" in str(CliRunner().invoke(app, ["config"]).exception)


def test_uninstall_prints_and_removes_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there has its size and its command; without --yes every file is still there afterwards."""
    kept = furnish(home, monkeypatch)
    text = run("uninstall")
    assert f"the lab and the releases it installed: {home / 'lab'} (" in text
    assert f"the skill: {home / '.openclaw' / 'skills' / 'oc-ops'} (" in text
    assert f"  rm -rf -- {home / '.openclaw' / 'skills' / 'oc-ops'}" in text
    assert "yours, it stays: " in text
    assert all(each.exists() for each in kept)


def test_uninstall_yes_removes_that_and_nothing_else(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenClaw's files, the operator's own, and a folder that they chose stay."""
    kept = furnish(home, monkeypatch)
    removed = CliRunner().invoke(app, ["uninstall", "--yes"])
    assert removed.exit_code == 0, removed.output
    gone = {each for each in kept if not each.exists()}
    assert gone == {home / ".openclaw" / "skills" / "oc-ops" / "SKILL.md", home / "lab" / "openclaw-1" / "file"}
    assert not (home / "state" / "oc-ops" / "locks").exists()


def furnish(home: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files of oc-ops, of the operator and of OpenClaw."""
    for name in ("memory", "reports"):
        monkeypatch.setenv(f"OC_OPS_{name.removesuffix('s').upper()}_DIR", str(home / name))
    names = (
        ".openclaw/openclaw.json", ".openclaw/skills/other/SKILL.md", ".openclaw/skills/oc-ops/SKILL.md",
        "lab/openclaw-1/file", "memory/incidents.jsonl", "memory/ops_critical_cron_jobs.txt", "reports/latest.json",
        "config/oc-ops/settings.toml",
    )  # fmt: skip
    for name in names:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("")
    return [home / name for name in names]


@pytest.mark.parametrize(("word", "near"), [("--targett", "--target"), ("--jsn", "--json"), ("--quik=1", "--quick")])
def test_a_misspelt_option_of_the_doctor_names_the_nearest(word: str, near: str) -> None:
    """Not pytest's usage, which knows nothing of ours."""
    done = CliRunner().invoke(app, ["doctor", word])
    assert done.exit_code == 4
    assert done.stderr == f"oc-ops: {word.partition('=')[0]}: there is no such option; nearest: {near}\n"


@pytest.mark.parametrize("shell", ['rmdir "$PWD"', "exec >&-", "exec >&- 2>&- <&-"], ids=["folder", "output", "all"])
def test_a_shell_that_lost_its_folder_or_its_streams_gets_the_same_exit_code(shell: str, home: Path) -> None:
    """A tool that ends in its own error there would be taken for an unhealthy gateway."""
    gone = home / "gone"
    gone.mkdir()
    command = f"{shell}; {sys.executable} -c 'from oc_ops.cli import main; main()' config --json"
    environ = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=gone, env=environ, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
