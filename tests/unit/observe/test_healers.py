"""Who else is at the gateway: by title, by command line, by whose state directory."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from oc_ops import files
from oc_ops.observe.container import Container
from oc_ops.observe.healers import _about, _commands_unit, _what, healers, install_of
from oc_ops.observe.processes import OWN_CALL
from oc_ops.observe.target import Target, locate


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("openclaw-update", "openclaw update"),
        ("openclaw-triage   ", "openclaw triage"),
        ("node /opt/node_modules/openclaw/openclaw.mjs --profile a update --yes", "openclaw update"),
        ("node /opt/node_modules/openclaw/dist/managed-handoff-runtime.mjs", "openclaw update"),
        ("node /opt/node_modules/openclaw/openclaw.mjs doctor --fix", "openclaw doctor"),
        ("/usr/bin/node /usr/bin/openclaw gateway restart", "openclaw gateway restart"),
        ("systemctl restart openclaw.service", "systemctl restart openclaw.service"),
        ("podman restart -t 330 openclaw-cell", "podman restart -t 330 openclaw-cell"),
        ("npm install -g openclaw@2026.9.6", "npm openclaw@2026.9.6"),
        ("node /usr/bin/npm i -g openclaw", "npm openclaw"),
        ("openclaw-gateway", ""),
        ("openclaw-cron", ""),
        ("node /opt/node_modules/openclaw/openclaw.mjs update status --json", ""),
        ("node /opt/node_modules/openclaw/openclaw.mjs doctor --lint --json", ""),
        ("node /opt/node_modules/openclaw/openclaw.mjs gateway run --port 1", ""),
        ("node /opt/node_modules/openclaw/openclaw.mjs gateway status", ""),
        ("systemctl --user show openclaw-gateway.service", ""),
        ("systemctl restart nginx.service", ""),
        ("journalctl -u openclaw.service -f", ""),
        ("npm install -g openclaw-doctor", ""),
        ("npm view openclaw", ""),
        ("vim /home/u/.openclaw/openclaw.json", ""),
    ],
)
def test_what_is_a_healer_by_its_command(command: str, what: str, tmp_path: Path) -> None:
    """What replaces, repairs or restarts a gateway is; what only looks is not."""
    assert _what(command.split(), locate({"HOME": str(tmp_path)})) == what


def test_a_container_s_own_name_counts(tmp_path: Path) -> None:
    """`podman restart cell` is about it, whatever it is called."""
    target = Target(
        {}, None, tmp_path, tmp_path, tmp_path, container=Container("podman", "cell", "running", id="0" * 64)
    )
    assert _what(["podman", "restart", "cell"], target) == "podman restart cell"
    assert _what(["podman", "restart", "cell"], locate({"HOME": str(tmp_path)})) == ""


@contextmanager
def running(tmp_path: Path, words: Sequence[str], **environ: str) -> Iterator[int]:
    """A process with that command line."""
    script = tmp_path / "node_modules" / "openclaw" / "openclaw.mjs"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text("print('up', flush=True); input()")
    given = {"PATH": os.defpath, "HOME": str(tmp_path / "home"), **environ}
    with started([sys.executable, str(script), *words], environ=given) as pid:
        yield pid


@contextmanager
def started(argv: list[str], cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> Iterator[int]:
    """A process from its first word on."""
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=cwd, env=environ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def test_an_update_of_this_gateway_is_seen(tmp_path: Path) -> None:
    """With its pid and its command; one of another state directory, and a call of our own, are none of its healers."""
    target = locate({"HOME": str(tmp_path / "home")})
    with running(tmp_path, ["update", "--yes"]) as pid:
        assert [(each.pid, each.what) for each in healers(target)] == [(pid, "openclaw update")]
        assert healers(locate({"HOME": str(tmp_path / "other")})) == ()
    with running(tmp_path, ["update"], **{OWN_CALL: "1"}):
        assert healers(target) == ()
    assert healers(target) == ()


def test_an_update_on_this_machine_is_none_in_a_container(tmp_path: Path) -> None:
    """Seen while a container was looked at: a neighbour's update was waited for. One that `exec` runs in it counts."""
    there = Container("podman", "cell", "exited", id="0" * 64)
    target = replace(locate({"HOME": str(tmp_path / "home")}), choice="podman:cell", container=there)
    with running(tmp_path, ["update", "--yes"]) as pid:
        assert pid not in [each.pid for each in healers(target)]
    own = psutil.Process()
    assert _about(own, ["podman", "exec", "cell", "openclaw", "update"], "openclaw update", target, None)
    assert not _about(own, ["podman", "exec", "other", "openclaw", "update"], "openclaw update", target, None)
    assert _about(own, ["podman", "restart", "cell"], "podman restart cell", target, None)
    for words, about in (
        ("podman restart -t 9 openclaw-cell-b", False),
        ("podman stop cell openclaw-cell-b", True),
        ("podman restart --all", True),
        ("podman start --filter=label=openclaw", True),
        ("docker compose -f /srv/openclaw/compose.yaml up", True),
        ("systemctl restart openclaw-compose.service", True),
    ):
        assert _about(own, words.split(), words, target, None) == about, words


LEDGER = """
CREATE TABLE update_runs (run_id TEXT PRIMARY KEY NOT NULL, created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL, phase TEXT NOT NULL, status TEXT NOT NULL, origin_json TEXT NOT NULL) STRICT
"""
"""The part of 2026.9.6's table that is read; it is made with the first update."""
HERE, GONE = socket.gethostname(), 2**22 - 7


def driver(pid: int, host: str = HERE, began: str | None = None) -> dict[str, object]:
    """A process as the ledger names it: its start is the kernel's own figure."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19] if began is None else began
    return {"host": host, "pid": pid, "startIdentity": ticks}


@pytest.mark.skipif(sys.platform != "linux", reason="the start identity of a process is read off Linux' /proc")
@pytest.mark.parametrize(
    ("status", "silent_s", "origin", "summary"),
    [
        ("running", 7200, {"driver": "alive"}, "pid {pid} runs `openclaw update` (activating), for 7200 s now"),
        ("running", 5, {"driver": "gone", "previousDrivers": ["alive"]}, "pid {pid} runs `openclaw update`"),
        ("running", 5, {"driver": "away"}, "OpenClaw's ledger has `openclaw update` (activating), for 5 s now"),
        ("running", 5, {}, "OpenClaw's ledger has `openclaw update`"),
        ("running", 5, {"driver": "gone"}, ""),
        ("running", 5, {"driver": "reused"}, ""),
        ("running", 1900, {"driver": "away"}, ""),
        ("running", 1900, {}, ""),
        ("failed", 5, {"driver": "alive"}, ""),
    ],
    ids=["led here", "handed over", "elsewhere", "unnamed", "dead", "a reused pid", "elsewhere and silent",
         "unnamed and silent", "over"],
)  # fmt: skip
def test_an_update_of_the_ledger_counts_while_its_process_may_live(
    status: str, silent_s: int, origin: dict[str, object], summary: str, tmp_path: Path
) -> None:
    """Whatever its process is called; one that has only died without a word keeps nobody waiting."""
    target = locate({"HOME": str(tmp_path)})
    (target.state_dir / "state").mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as child:
        kinds: dict[object, object] = {
            "alive": driver(child.pid),
            "gone": driver(GONE, began="1"),
            "reused": driver(child.pid, began="1"),
            "away": driver(1, host="another-host"),
        }
        told = {
            "driver": kinds.get(origin.get("driver")),
            "previousDrivers": [kinds["alive"]] * len(origin.keys() - {"driver"}),
        }
        at_ms = round((time.time() - silent_s) * 1000)
        with closing(sqlite3.connect(target.state_dir / "state" / "openclaw.sqlite")) as store, store:
            store.execute(LEDGER)
            row = ("run", at_ms, at_ms, "activating", status, json.dumps({k: v for k, v in told.items() if v}))
            store.execute("INSERT INTO update_runs VALUES (?, ?, ?, ?, ?, ?)", row)
        found = [each.summary for each in healers(target)]
        child.kill()
    assert len(found) == bool(summary)
    assert all(each.startswith(summary.format(pid=child.pid)) for each in found), found


@pytest.mark.parametrize("text", [None, "no database"])
def test_a_state_without_a_ledger_has_no_update(text: str | None, tmp_path: Path) -> None:
    """Older releases keep none, and a database that cannot be read says nothing."""
    target = locate({"HOME": str(tmp_path)})
    if text is not None:
        (target.state_dir / "state").mkdir(parents=True)
        (target.state_dir / "state" / "openclaw.sqlite").write_text(text)
    assert healers(target) == ()


def test_who_started_us_is_not_waited_for(tmp_path: Path) -> None:
    """A triage whose agent runs a recovery would wait for itself."""
    code = (
        "from oc_ops.observe.healers import healers; from oc_ops.observe.target import locate; import sys;"
        "print(len(healers(locate({'HOME': sys.argv[1]}))))"
    )
    script = tmp_path / "node_modules" / "openclaw" / "openclaw.mjs"
    script.parent.mkdir(parents=True)
    script.write_text(
        "import subprocess, sys; print(subprocess.run(sys.argv[2:], capture_output=True, text=True).stdout)"
    )
    home = str(tmp_path / "home")
    argv = [sys.executable, str(script), "triage", sys.executable, "-c", code, home]
    done = subprocess.run(argv, env={**os.environ, "HOME": home}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0", done.stderr


@pytest.mark.parametrize(
    ("command", "what"), [("install acpx@0.5.3", "npm install"), ("view acpx", "")], ids=["installs", "only asks"]
)
def test_a_package_manager_of_the_gateway_s_own(tmp_path: Path, command: str, what: str) -> None:
    """A start that fetches packages is seen by its child, for as long as that lives."""
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\nread line\n")
    npm.chmod(0o755)
    with subprocess.Popen([str(npm), *command.split()], stdin=subprocess.PIPE) as child:
        found = install_of(os.getpid())
        assert (found.what if found else "") == what
        assert found is None or found.pid == child.pid
        child.communicate(b"\n")
    assert install_of(os.getpid()) is None


@pytest.mark.parametrize(
    ("folder", "shown", "own"),
    [
        ("home/.openclaw/plugin-runtime-deps/openclaw-2026.4.29", True, True),
        ("lib/node_modules/openclaw/dist/extensions/codex", True, True),
        ("home/.openclaw/workspace", True, False),
        ("lib/node_modules/openclaw/dist/extensions/codex", False, False),
    ],
    ids=["state", "package", "an-agent-s", "not-shown"],
)
def test_an_installation_of_its_own_parts_is_known_by_its_folder(
    folder: str, shown: bool, own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that may not be seen hides no installation: only whose it is remains unknown."""

    def denied(_process: psutil.Process) -> str:
        raise psutil.AccessDenied

    if not shown:
        monkeypatch.setattr(psutil.Process, "cwd", denied)
    place = tmp_path / folder
    place.mkdir(parents=True)
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\nread line\n")
    npm.chmod(0o755)
    with subprocess.Popen([str(npm), "install", "acpx"], stdin=subprocess.PIPE, cwd=place) as child:
        found = install_of(os.getpid())
        child.communicate(b"\n")
    assert found is not None
    assert found.own is own


NPM_LOG = """0 verbose cli /usr/bin/node /usr/bin/npm
1 info using npm@11.19.1
2 info using node@v24.19.0
3 silly config load:file:/usr/lib/node_modules/npm/npmrc
{configs}
6 verbose title npm install openclaw@2026.9.6
7 verbose argv "install" {options} "openclaw@2026.9.6"
"""
"""npm 11.19's own log, whose title hides every option."""


@contextmanager
def installing(tmp_path: Path, log: str, cwd: Path, manager: str = "npm") -> Iterator[int]:
    """A package manager at work, under its title, with its own log open."""
    path = tmp_path / ".npm" / "_logs" / "2026-11-29T11_40_39_564Z-debug-0.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(log)
    cwd.mkdir(parents=True, exist_ok=True)
    code = f"log = open({str(path)!r}); print('up', flush=True); input()" if log else "print('up', flush=True); input()"
    script = tmp_path / "bin" / manager
    script.parent.mkdir()
    script.write_text(code)
    argv = [sys.executable, str(script), "install", "openclaw@2026.9.6"]
    with started(argv, cwd=cwd) as pid:
        yield pid


def packaged(prefix: Path) -> Path:
    """The command of a package that is installed under that prefix."""
    package = prefix / "lib" / "node_modules" / "openclaw"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "openclaw", "version": "2026.9.6"}')
    (package / "openclaw.mjs").write_text("")
    command = prefix / "bin" / "openclaw"
    command.parent.mkdir()
    command.symlink_to(package / "openclaw.mjs")
    return command


@pytest.mark.parametrize(
    ("options", "configs", "counts"),
    [
        ('"--global"', "4 silly config load:file:{own}/etc/npmrc", True),
        ('"--global" "--prefix" "/x"', "4 silly config load:file:{other}/etc/npmrc", False),
        ('"--ignore-scripts"', "4 silly config load:file:{own}/lib/.npmrc\n5 silly config load:file:/etc/npmrc", True),
        (
            '"--ignore-scripts"',
            "4 silly config load:file:{other}/.npmrc\n5 silly config load:file:{own}/etc/npmrc",
            False,
        ),
        ('"--ignore-scripts"', "4 silly config load:file:{state}/.npmrc", True),
    ],
    ids=["everywhere, here", "everywhere, elsewhere", "a folder of its own, here", "a project of somebody's", "state"],
)
def test_an_installation_counts_where_it_replaces_this_gateway_s_package(
    options: str, configs: str, counts: bool, tmp_path: Path
) -> None:
    """npm's own log says where it works; an unrelated project's `npm install openclaw` is nobody's healer."""
    own, target = tmp_path / "prefix", locate({"HOME": str(tmp_path / "home")})
    command = packaged(own)
    target.state_dir.mkdir(parents=True)
    told = configs.format(own=own, other=tmp_path / "project", state=target.state_dir)
    with installing(tmp_path, NPM_LOG.format(configs=told, options=options), tmp_path / "project") as pid:
        assert [each.pid for each in healers(target, command)] == [pid] * counts


@pytest.mark.parametrize(("owner", "counts"), [(4711, True), (4712, False)])
def test_an_installation_that_hides_its_place_counts_where_it_may_write(
    owner: int, counts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root's does from everybody else: to be told by it would come too late, it changes the package at its end."""
    target, command = locate({"HOME": str(tmp_path / "home")}), packaged(tmp_path / "prefix")
    works = Path(os.path.realpath(tmp_path / "prefix" / "lib" / "node_modules"))
    monkeypatch.setattr(files, "owner", lambda path: owner if path == works else 4711)
    monkeypatch.setattr(psutil.Process, "uids", lambda _self: SimpleNamespace(real=4711))
    with installing(tmp_path, "", tmp_path / "project") as pid:
        assert [each.pid for each in healers(target, command)] == [pid] * counts


@pytest.mark.parametrize(("folder", "counts"), [("pnpm/global/5", True), ("npm-global", False)])
def test_another_package_manager_counts_for_what_it_installed(folder: str, counts: bool, tmp_path: Path) -> None:
    """pnpm, bun and Homebrew keep packages in folders of their own name."""
    target, command = locate({"HOME": str(tmp_path / "home")}), packaged(tmp_path / folder)
    with installing(tmp_path, "", tmp_path / "project", "pnpm"):
        assert bool(healers(target, command)) is counts


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        ("--user restart openclaw-gateway.service", True),
        ("--user restart openclaw-gateway", True),
        ("--user stop openclaw*", True),
        ("--user restart openclaw-gateway-work.service", False),
        ("restart openclaw-exporter.service", False),
    ],
)
def test_a_manager_s_command_counts_for_this_gateway_s_unit(words: str, counts: bool, tmp_path: Path) -> None:
    """Another profile's unit, and what else has OpenClaw in its name, keeps nobody waiting."""
    target = locate({"HOME": str(tmp_path / "home")})
    assert _commands_unit(["systemctl", *words.split()], target) is counts
    podman = ["podman", "restart", "openclaw-gateway"]
    assert not _about(psutil.Process(), podman, " ".join(podman), target, None)


def test_a_process_of_an_account_that_may_not_touch_the_gateway_is_no_healer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's `openclaw update`, whose environment is hidden, is about another gateway."""
    hidden = psutil.AccessDenied()

    def denied(_process: psutil.Process) -> dict[str, str]:
        raise hidden

    target = locate({"HOME": str(tmp_path / "home")})
    with running(tmp_path, ["update"]) as pid:
        monkeypatch.setattr(psutil.Process, "environ", denied)
        assert [each.pid for each in healers(target)] == [pid]
        monkeypatch.setattr("oc_ops.observe.healers.os.getuid", lambda: 4_000_000)
        monkeypatch.setattr(psutil.Process, "uids", lambda _process: SimpleNamespace(real=4_000_001))
        assert healers(target) == ()
