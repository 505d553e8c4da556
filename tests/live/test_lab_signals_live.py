"""A run with `--lab` that is told to stop while its lab is on the way up: nothing of the lab is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from oc_ops.lab import install, sweep
from oc_ops.process.tree import alive
from oc_ops.settings import PROJECT
from tests.support.survivors import eventually

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]

ENDS_S = 180.0
STARTS_S = 300.0
TWICE = (signal.SIGINT, signal.SIGINT)
ONCE = pytest.param((signal.SIGINT,), marks=pytest.mark.nightly)
"""On a push only what is more than this: another signal, and an impatient operator."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A lab folder of the test's own; what still lives in it afterwards is ended."""
    made = tmp_path / "labs"
    made.mkdir()
    yield made
    sweep.end(inhabitants(made), 1.0)


def inhabitants(folder: Path) -> list[psutil.Process]:
    """Every live process that lives or works below that folder."""
    found = {each.pid: each for each in sweep.residents(folder)}
    for each in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(each.cwd()).is_relative_to(folder):
                found[each.pid] = each
    return list(found.values())


def start(folder: Path, **environ: str) -> subprocess.Popen[str]:
    """`pytest checks/ -m doctor --lab` in that lab folder."""
    places = {"OC_OPS_LAB_DIR": "labs", "OC_OPS_REPORT_DIR": "reports", "OC_OPS_MEMORY_DIR": "memory"}
    ours = {name: str(folder.parent / place) for name, place in {**places, "XDG_STATE_HOME": "state"}.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", str(PROJECT / "checks"), "-m", "doctor", "--lab"],
        env={**os.environ, **ours, **environ},
        cwd=folder.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def stop(process: subprocess.Popen[str], numbers: tuple[signal.Signals, ...], ending: Callable[[], object]) -> str:
    """Send the signals, each further one once `ending` shows, and return what was said."""
    for count, number in enumerate(numbers):
        assert count == 0 or eventually(ending, within_s=ENDS_S)
        process.send_signal(number)
    try:
        said, _ = process.communicate(timeout=ENDS_S)
    finally:
        process.kill()
        process.wait()
    return said


def assert_nothing_left(process: subprocess.Popen[str], said: str, folder: Path) -> None:
    """Exit code 2, one sentence, no process, no report of a run that never looked."""
    assert process.returncode == 2, said
    assert len(said.strip().splitlines()) == 1, said
    assert "interrupted" in said
    assert inhabitants(folder) == []
    assert not (folder.parent / "reports").exists()


@pytest.mark.parametrize(
    "numbers", [(signal.SIGTERM,), ONCE, TWICE], ids=lambda numbers: " ".join(each.name for each in numbers)
)
def test_while_npm_installs(folder: Path, numbers: tuple[signal.Signals, ...]) -> None:
    """A real npm in the middle of its work is ended, and nothing is left that looks installed."""
    with socket.create_server(("127.0.0.1", 0)) as registry:
        registry.settimeout(STARTS_S)
        silent = f"http://127.0.0.1:{registry.getsockname()[1]}/"
        _share(folder, install.lab_dir() / f"node-{install.release(install.DEFAULT_VERSION).node_wheel}")
        process = start(folder, npm_config_registry=silent, npm_config_cache=str(folder.parent / "npm"))
        with registry.accept()[0]:
            assert inhabitants(folder)
            said = stop(process, numbers, lambda: True)
    assert_nothing_left(process, said, folder)
    assert list(folder.glob("openclaw-*")) == []


@pytest.mark.parametrize("numbers", [ONCE, TWICE], ids=lambda numbers: " ".join(each.name for each in numbers))
def test_while_the_gateway_starts(folder: Path, numbers: tuple[signal.Signals, ...]) -> None:
    """A gateway on its way up is taken down again, also when the operator is impatient about that."""
    shared = install.install().parent.parent
    _share(folder, install.lab_dir() / f"node-{install.release(install.DEFAULT_VERSION).node_wheel}")
    own = folder / shared.name
    own.mkdir()
    for name in ("node_modules", "compiled"):
        (own / name).symlink_to(shared / name)
    process = start(folder)
    assert eventually(lambda: sweep.residents(folder), within_s=STARTS_S)
    gateways = sweep.residents(folder)
    said = stop(process, numbers, lambda: not all(map(alive, gateways)))
    assert_nothing_left(process, said, folder)


def _share(folder: Path, installed: Path) -> None:
    if installed.exists():
        (folder / installed.name).symlink_to(installed)
