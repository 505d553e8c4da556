"""The machine around the gateway: told on folders and processes of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from oc_ops.observe import host, leftovers
from oc_ops.observe.host import HostView, LogFile
from oc_ops.observe.install import Package, package
from oc_ops.observe.processes import GatewayProcess
from oc_ops.observe.target import Target, locate

Start = Callable[..., "subprocess.Popen[bytes]"]
CAP = '{"level":"warn","subsystem":"logging","message":"log file size cap reached; suppressing writes file=x"}'


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """A state directory that no process on this machine but the test's own can name."""
    (tmp_path / ".openclaw").mkdir()
    return locate({"HOME": str(tmp_path), "TMPDIR": str(tmp_path)})


def gateway(pid: int = 0, age_s: float = 0.0, rss_bytes: int = 2**29, *, certain: bool = True) -> GatewayProcess:
    """A gateway process as the process list gives it."""
    return GatewayProcess(pid or os.getpid(), 1, age_s, "sleeping", 1.0, rss_bytes, "openclaw-gateway", "x", certain)


def seen(target: Target, *processes: GatewayProcess, **options: object) -> HostView:
    """One look without more places than the target's own."""
    return host.look(target, processes, places={}, **options)  # type: ignore[arg-type]  # options of look


# -- file systems, memory -----------------------------------------------------------------------------------------


def test_places_on_one_file_system_are_one(tmp_path: Path) -> None:
    """Each file system once, with every place on it and the figures of statvfs."""
    (only,) = host.filesystems({"state directory": tmp_path, "reports": tmp_path / "not" / "there" / "yet"})
    assert only.places == ("state directory", "reports")
    assert only.path == tmp_path
    assert only.total_bytes > 0
    assert abs(only.free_bytes - shutil.disk_usage(tmp_path).free) < 2**30
    assert not only.read_only


def test_a_read_only_file_system_is_seen_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag of statvfs is passed on, and a file system of no size (/proc) is none to run out of."""
    facts = os.statvfs(tmp_path)
    told = os.statvfs_result((*facts[:8], facts.f_flag | os.ST_RDONLY, facts.f_namemax))
    monkeypatch.setattr(os, "statvfs", lambda _path: told)
    assert host.filesystems({"logs": tmp_path})[0].read_only
    empty = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: empty)
    assert host.filesystems({"logs": tmp_path}) == ()


def test_memory_is_the_machine_s() -> None:
    """Some of it is available, and not more than there is."""
    told = host.memory()
    assert 0 < told.available_bytes <= told.total_bytes


def test_memory_is_told_where_swap_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may hide the swap's figures; the rest is told all the same."""

    def hidden() -> None:
        raise RuntimeError

    monkeypatch.setattr(psutil, "swap_memory", hidden)
    assert host.memory().swap_bytes == 0
    assert host.memory().total_bytes > 0


# -- the whole look -----------------------------------------------------------------------------------------------


def test_an_empty_machine_gives_an_empty_view(target: Target) -> None:
    """No gateway, no log, no database, no copy: nothing to say, and nothing raised."""
    view = seen(target)
    assert (view.gateway, view.sample, view.logs, view.wals, view.orphans, view.package) == (
        None,
        None,
        (),
        (),
        (),
        None,
    )
    assert view.copies == host.ConfigCopies(target.config_path)
    assert "state directory" in view.filesystems[0].places


def test_the_gateway_is_the_certain_one_that_takes_most(target: Target) -> None:
    """A launcher beside it is not the gateway, nor is a process that merely may be one."""
    view = seen(target, gateway(1, rss_bytes=5), gateway(2, rss_bytes=9), gateway(3, rss_bytes=99, certain=False))
    assert view.gateway is not None
    assert view.gateway.pid == 2


def test_a_sample_knows_its_process(target: Target) -> None:
    """Pid and start time say whose memory it is."""
    sample = seen(target, gateway(7, age_s=100, rss_bytes=3)).sample
    assert sample is not None
    assert (sample.pid, sample.rss_bytes) == (7, 3)
    assert sample.at_s - sample.started_s == pytest.approx(100)


# -- logs ---------------------------------------------------------------------------------------------------------


def test_the_logs_are_the_gateway_s_own_and_those_of_its_output(target: Target) -> None:
    """Named ones, the state directory's, and launchd's of this profile; not another profile's, nor what is no log."""
    main, library = target.home / "main.log", target.home / "Library" / "Logs" / "openclaw"
    other = (target.state_dir / "logs" / "gateway.err.log", target.state_dir / "logs" / "commands.jsonl")
    unnamed = (target.state_dir / "logs" / "note.txt", library / "gateway-work.log", library / "gateway.old")
    for path in (main, *other, library / "gateway.log", *unnamed):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("12345\n")
    found = {each.path: each for each in seen(target, log_files=[main, target.home / "gone.log"]).logs}
    assert set(found) == {main, *other, library / "gateway.log"}
    assert found[main] == LogFile(main, 6, current=True)
    assert not found[other[0]].current


@pytest.mark.parametrize(
    ("text", "suppressed"),
    [("a\n" + CAP + "\n", True), (CAP + "\nlater\n", False), ("x" * 9000 + "\n" + CAP + "\n\n", True), ("", False)],
)
def test_a_log_that_says_it_is_at_its_cap_is_suppressed(target: Target, text: str, suppressed: bool) -> None:
    """Only as its last word: after a rotation it goes on."""
    log = target.home / "main.log"
    log.write_text(text)
    assert seen(target, gateway(), log_files=[log]).logs[0].suppressed is suppressed


def test_whether_a_log_may_be_written_is_asked_for_the_gateway_s_own_user(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a gateway, or with one of another user, our own rights say nothing."""
    log = target.home / "main.log"
    log.touch()
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    assert seen(target, log_files=[log]).logs[0].writable is None
    assert seen(target, gateway(), log_files=[log]).logs[0].writable is False
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    assert seen(target, gateway(), log_files=[log]).logs[0].writable is None


def test_write_ahead_logs_are_those_of_every_database(target: Target) -> None:
    """The shared store's, the agents' and older releases'; a real one is as long as what is not written back yet."""
    for place in ("state/openclaw.sqlite", "agents/main/agent/openclaw-agent.sqlite", "tasks/runs.sqlite"):
        (target.state_dir / place).parent.mkdir(parents=True)
        (target.state_dir / f"{place}-wal").write_bytes(b"123")
    (target.state_dir / "state" / "openclaw.sqlite-wal").unlink()
    database = sqlite3.connect(target.state_dir / "state" / "openclaw.sqlite")
    database.execute("pragma journal_mode=wal")
    database.execute("create table t as select zeroblob(1000000)")
    database.commit()
    sizes = {each.path.name: each.size_bytes for each in seen(target).wals}
    database.close()
    assert sizes["openclaw.sqlite-wal"] > 1_000_000
    assert sizes["openclaw-agent.sqlite-wal"] == sizes["runs.sqlite-wal"] == 3


def test_a_huge_folder_is_not_listed_to_its_end(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory may hold anything: the look stays short."""
    monkeypatch.setattr(host, "_MOST_ENTRIES", 5)
    (target.state_dir / "logs").mkdir()
    for number in range(20):
        (target.state_dir / "logs" / f"{number}.log").touch()
    assert len(seen(target).logs) == 5


# -- config copies and the package --------------------------------------------------------------------------------


def test_config_copies_are_told_apart_by_their_names(target: Target) -> None:
    """What was put aside carries its time in its name; a backup goes by its file time; newest first."""
    names = ("clobbered.2026-09-20T07-08-09-123Z", "clobbered.2026-09-20T07-08-10-000Z-01", "clobbered.odd", "bak")
    for name in (*names, "bak.2", "last-good", "rejected.2026-09-20T07-08-09-123Z", "bakery"):
        (target.state_dir / f"openclaw.json.{name}").touch()
    os.utime(target.state_dir / "openclaw.json.bak", (0, 0))
    found = host.copies(target.config_path)
    assert [path.name.removeprefix("openclaw.json.") for _, path in found.clobbered][1:] == [names[1], names[0]]
    assert found.clobbered[2][0] == datetime(2026, 9, 20, 7, 8, 9, 123000, tzinfo=UTC)
    assert {path.name for _, path in found.backups} == {
        f"openclaw.json.{each}" for each in ("bak", "bak.2", "last-good")
    }
    assert found.backups[-1] == (datetime(1970, 1, 1, tzinfo=UTC), target.state_dir / "openclaw.json.bak")


def installed(tmp_path: Path) -> Path:
    """A package as npm unpacks it, written five seconds after the epoch."""
    folder = tmp_path / "lib" / "node_modules" / "openclaw"
    folder.mkdir(parents=True)
    (folder / "openclaw.mjs").touch()
    (folder / "package.json").write_text(json.dumps({"name": "openclaw", "version": "2026.9.6"}))
    os.utime(folder / "package.json", (5, 5))
    return folder


def test_the_package_is_found_through_links(tmp_path: Path) -> None:
    """npm links `openclaw` to the package's script."""
    folder, command = installed(tmp_path), tmp_path / "openclaw"
    command.symlink_to(folder / "openclaw.mjs")
    assert package(command) == Package(folder / "package.json", "2026.9.6", 5.0)


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ('#!/bin/sh\nexec node {folder}/openclaw.mjs "$@"\n', True),
        ('#!/bin/sh\nbasedir=x\nexec node  "$basedir/../lib/node_modules/openclaw/openclaw.mjs" "$@"\n', True),
        ("#!/bin/sh\nexec volta-shim\n", False),
        ("\x7fELF {folder}/openclaw.mjs", False),
    ],
    ids=["absolute", "pnpm", "hides it", "program"],
)
def test_the_package_is_found_through_shell_shims(tmp_path: Path, text: str, is_found: bool) -> None:
    """A shim names the script that it runs; what names none hides it."""
    folder, command = installed(tmp_path), tmp_path / "bin" / "openclaw"
    command.parent.mkdir()
    command.write_text(text.replace("{folder}", str(folder)))
    found = package(command)
    assert (found.version if found else None) == ("2026.9.6" if is_found else None)


@pytest.mark.parametrize("text", ["{", "[]", '{"name":"other","version":"1"}', None])
def test_another_program_s_package_is_none(tmp_path: Path, text: str | None) -> None:
    """Nor is one that is torn, or gone with the command itself."""
    folder = installed(tmp_path)
    (folder / "package.json").unlink()
    if text:
        (folder / "package.json").write_text(text)
    assert package(folder / "openclaw.mjs") is None
    assert package(tmp_path / "nowhere" / "openclaw") is None


# -- who outlived their gateway -----------------------------------------------------------------------------------

_SLEEPER = "import signal, sys; signal.pause()"
_LISTENER = "import signal, socket; kept = socket.create_server(('127.0.0.1', 0)); signal.pause()"


@pytest.fixture
def outlive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a process and take its parent for init, as if whoever had started it were dead."""
    monkeypatch.setattr(leftovers, "_FOSTER", (psutil.Process().name(),))
    with ExitStack() as stack:

        def of(*words: str, code: str = _SLEEPER, cwd: Path = tmp_path, **environ: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", code, *words]
            process = subprocess.Popen(command, cwd=cwd, env={"HOME": str(tmp_path), **environ})
            stack.callback(process.wait)
            stack.callback(process.kill)
            end = time.monotonic() + 60
            while psutil.Process(process.pid).cmdline() != command:
                assert time.monotonic() < end
            return process

        yield of


def test_a_browser_without_a_gateway_is_an_orphan(target: Target, outlive: Start) -> None:
    """It shows with what it takes; the browser of another state directory does not, nor does a crash handler."""
    own = outlive(f"--user-data-dir={target.state_dir}/browser/openclaw/user-data")
    outlive("--user-data-dir=/home/other/.openclaw/browser/openclaw/user-data")
    (found,) = leftovers.orphans(target, ())
    assert (found.pid, found.kind, found.processes) == (own.pid, "browser", 1)
    assert found.rss_bytes > 2**20
    assert 0 <= found.age_s < 60


def test_a_browser_that_listens_beside_a_living_gateway_is_in_use(target: Target, outlive: Start) -> None:
    """A new gateway takes it over; one that does not listen, or has no gateway, is left over."""
    data = f"--user-data-dir={target.state_dir}/browser/openclaw/user-data"
    listening = outlive(data, code=_LISTENER)
    end = time.monotonic() + 60
    while not psutil.Process(listening.pid).net_connections(kind="tcp"):
        assert time.monotonic() < end
    assert [each.pid for each in leftovers.orphans(target, ())] == [listening.pid]
    assert leftovers.orphans(target, [gateway(age_s=0)]) == ()
    mute = outlive(data)
    assert [each.pid for each in leftovers.orphans(target, [gateway(age_s=-1)])] == [mute.pid]


def test_what_a_living_gateway_started_is_not_an_orphan(target: Target, outlive: Start) -> None:
    """Whatever is younger than the eldest gateway may be its own, wherever it hangs."""
    outlive(f"--user-data-dir={target.state_dir}/browser")
    assert leftovers.orphans(target, [gateway(age_s=0), gateway(age_s=3600)]) == ()


def test_children_of_a_living_parent_are_not_orphans(
    target: Target, outlive: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what was handed over to init is without an owner."""
    outlive(f"--user-data-dir={target.state_dir}/browser")
    monkeypatch.setattr(leftovers, "_FOSTER", ("systemd",))
    assert leftovers.orphans(target, ()) == ()


def test_an_mcp_server_is_known_by_mark_place_or_configuration(target: Target, outlive: Start, tmp_path: Path) -> None:
    """By the gateway's mark, by running inside the state directory, or by its configured command line."""
    marked = outlive("mcp-server-files", OPENCLAW_CLI="1")
    inside = outlive("@modelcontextprotocol/server-memory", cwd=target.state_dir)
    configured = outlive("weather-service", "/srv/data")
    outlive("mcp-server-files")
    outlive("mcp-server-files", OPENCLAW_CLI="1", OPENCLAW_STATE_DIR=str(tmp_path / "else"))
    outlive("weather-service", "/srv/data", HOME="/home/other")
    outlive("mcp-server-files", cwd=target.state_dir, OC_OPS_CALL="abc")
    found = leftovers.orphans(target, (), [("npx", "-y", "weather-service", "/srv/data"), ()])
    assert {each.pid for each in found} == {marked.pid, inside.pid, configured.pid}
    assert {each.kind for each in found} == {"MCP server"}


def test_what_an_agent_put_into_the_background_is_its_own_affair(target: Target, outlive: Start) -> None:
    """A dev server or tmux carries the gateway's mark too, and nobody called it an MCP server."""
    outlive("dev-server", cwd=target.state_dir, OPENCLAW_CLI="1")
    assert leftovers.orphans(target, ()) == ()


def test_a_call_and_a_gateway_are_no_orphans(target: Target, outlive: Start) -> None:
    """Service managers start gateways under init; those are looked at elsewhere."""
    outlive("/opt/openclaw/openclaw.mjs", code=f"{_SLEEPER}  # mcp", cwd=target.state_dir, OPENCLAW_CLI="1")
    assert leftovers.orphans(target, ()) == ()


def test_processes_that_vanish_or_hide_are_passed_over(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS hides other users' processes, and any process may end while it is looked at."""

    class Hidden:
        pid = 4_000_000

        def cmdline(self) -> list[str]:
            return ["mcp-server"]

        def ppid(self) -> int:
            raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil, "process_iter", lambda: iter([Hidden()]))
    assert leftovers.orphans(target, ()) == ()
