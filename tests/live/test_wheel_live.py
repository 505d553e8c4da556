"""The built wheel, installed away from the checkout, does on a real gateway what a checkout does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from oc_ops.lab.lab import Lab
from oc_ops.settings import PROJECT

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


class Installed:
    """A fresh virtual environment with the wheel in it, called from an empty folder with the lab's HOME."""

    def __init__(self, venv: Path, empty: Path, environ: dict[str, str]) -> None:
        self.venv, self.empty, self.environ = venv, empty, environ
        self.state = Path(environ["XDG_STATE_HOME"]) / "oc-ops"

    def run(self, *words: str, exits: int = 0) -> str:
        """What one command of the environment prints; it must end with that exit code."""
        argv = [str(self.venv / "bin" / words[0]), *words[1:]]
        done = subprocess.run(
            argv,
            cwd=self.empty,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == exits, done.stdout
        return done.stdout

    def files(self) -> set[Path]:
        """Every file of the installed package but Python's own caches."""
        package = next(self.venv.glob("lib/python*/site-packages/oc_ops"))
        return {each for each in package.rglob("*") if each.is_file() and each.suffix != ".pyc"}


@pytest.fixture(scope="module")
def installed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build the wheel as a release would and let pip resolve what it declares."""
    root = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", str(root), str(PROJECT)], check=True, timeout=300)
    (wheel,) = root.glob("*.whl")
    venv, empty = root / "venv", root / "empty"
    empty.mkdir()
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, timeout=120)
    own_pip = [str(venv / "bin" / "pip"), "--disable-pip-version-check"]
    subprocess.run([*own_pip, "install", "-q", str(wheel)], check=True, timeout=400)
    taken_out = ("PYTHONPATH", "XDG_CONFIG_HOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")
    environ = {name: value for name, value in lab.environ.items() if name not in taken_out}
    environ["XDG_STATE_HOME"] = str(root / "state")  # another module's runs may have left theirs in the lab's home
    environ |= {"OC_OPS_OPENCLAW": str(lab.openclaw), "PATH": f"{venv / 'bin'}{os.pathsep}{environ['PATH']}"}
    return Installed(venv, empty, environ)


def test_the_wheel_looks_and_keeps_its_files_in_the_state_directory(installed: Installed) -> None:
    """The first run says where things go; site-packages and the folder it was called from stay as they are."""
    before = installed.files()
    said = installed.run("oc-ops", "doctor")
    assert f"oc-ops: reports and memory go to {installed.state}" in said
    assert said.rstrip().splitlines()[-1].startswith("doctor: healthy in "), said
    report = json.loads((installed.state / "reports" / "latest.json").read_text(encoding="utf-8"))
    assert report["verdict"] == "healthy"
    assert all(each["nodeid"].startswith("checks/") for each in report["checks"])
    assert (installed.state / "memory" / "ops.sqlite").is_file()
    assert "reports and memory go to" not in installed.run("oc-ops", "doctor", "--quick")
    assert installed.files() == before
    assert not any(installed.empty.iterdir())


def test_every_command_works_without_a_checkout(installed: Installed) -> None:
    """Recovery, history, metrics, schedule and the cockpit find their parts in the package."""
    assert "nothing was done" in installed.run("oc-ops", "recover")
    assert str(installed.state / "reports" / "index.html") in installed.run("oc-ops", "history")
    assert "oc_ops_history_readable 1.0" in installed.run("oc-ops", "metrics")
    assert installed.run("oc-ops", "--version").startswith("oc-ops ")
    socket = ("--socket", f"oc-ops-wheel-{os.getpid()}")
    try:
        assert "made the session" in installed.run("oc-ops", "tmux", "start", *socket)
    finally:
        installed.run("oc-ops", "tmux", "stop", *socket)


def test_the_installed_skill_is_what_openclaw_shows(installed: Installed, lab: Lab) -> None:
    """`oc-ops skill install` puts it where the real CLI finds it, with the command that is there."""
    installed.run("oc-ops", "skill", "install")
    call = lab.call("skills", "info", "oc-ops", "--json", timeout_s=120.0)
    assert call.outcome == "answered", call.summary
    skill = Path(json.loads(call.stdout.text)["filePath"])
    assert f"`oc-ops` below is `{installed.venv / 'bin' / 'oc-ops'}`." in skill.read_text(encoding="utf-8")


def test_another_pytest_run_beside_it_notices_nothing(installed: Installed) -> None:
    """No option, no plugin and no marker of the doctor stands in another project's pytest."""
    (installed.empty / "test_theirs.py").write_text("def test_theirs():\n    assert True\n", encoding="utf-8")
    try:
        assert "--oc-profile" not in installed.run("pytest", "--help")
        said = installed.run("pytest", "-q", "-p", "no:cacheprovider", "test_theirs.py")
        assert "1 passed" in said
        assert "oc-ops" not in said
    finally:
        (installed.empty / "test_theirs.py").unlink()
