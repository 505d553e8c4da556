"""The cockpit on a real tmux server, driven as a person would: made, broken in every way, mended, attached to."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from oc_ops.cockpit.state import LogLine
from tests.support.desk import LATEST_S, PROJECT, WINDOWS, Desk, clients, watched
from tests.support.machine import Operator, closed_port
from tests.support.snapshots import sample
from tests.support.survivors import eventually

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk on which a healthy gateway is watched."""
    with watched(tmp_path) as desk:
        yield desk


# -- start, status, stop ----------------------------------------------------------------------------------------------


def test_it_comes_up_whole_says_so_and_goes(desk: Desk) -> None:
    """start makes five windows in their order, status exits 0, stop leaves no process, and both may be said twice."""
    assert desk.ops("status").code == 1
    assert desk.ops("stop").out == "cockpit: was not up\n"
    started = desk.start()
    assert "made the session oc-ops" in started.out
    assert desk.windows() == WINDOWS
    assert desk.sees("status", "READY")
    told = desk.ops("status")
    assert told.code == 0, told.out
    assert told.out.startswith("cockpit: up: session oc-ops on the tmux socket default")
    assert desk.status()["windows"] == dict.fromkeys(WINDOWS, "up")
    processes = [psutil.Process(pid) for pid in desk.panes().values()]
    processes += [desk.drawing(window) for window in WINDOWS[:-1]]
    assert desk.ops("stop").out == "cockpit: stopped\n"
    assert eventually(lambda: not any(each.is_running() for each in processes)), processes
    assert desk.ops("status").code == 1
    assert desk.ops("stop").code == 0


def test_a_second_start_touches_nothing(desk: Desk) -> None:
    """Started twice, every process is the same one, and the shell still knows what was typed into it."""
    desk.start()
    desk.tmux("send-keys", "-t", "=oc-ops:adhoc", "mine=$((40+2))", "Enter")
    before = desk.panes()
    again = desk.start("--json")
    assert desk.panes() == before
    assert json.loads(again.out)["done"] == []
    assert json.loads(again.out)["up"]
    desk.tmux("send-keys", "-t", "=oc-ops:adhoc", "echo it-is-$mine", "Enter")
    assert desk.sees("adhoc", "^it-is-42|\nit-is-42")


def test_two_starts_at_once_make_one_session(desk: Desk) -> None:
    """Cron and a person at the same moment: both are told that it is up, and there are five windows."""
    argv = [sys.executable, "-c", "from oc_ops.cli import main; main()", "tmux", "start"]
    both = [subprocess.Popen(argv, env=desk.environ, cwd=desk.home, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [each.wait(LATEST_S) for each in both] == [0, 0, 0]
    assert desk.windows() == WINDOWS
    assert desk.tmux("list-sessions", "-F", "#{session_name}") == "oc-ops"


def test_a_socket_of_its_own(desk: Desk) -> None:
    """--socket and OC_OPS_TMUX_SOCKET name the same other server; the user's own is left alone."""
    desk.start("--socket", "ops")
    assert desk.ops("status").code == 1
    assert desk.ops("status", "--socket", "ops").code == 0
    assert desk.ops("status", OC_OPS_TMUX_SOCKET="ops").code == 0
    assert desk.tmux("list-sessions", check=False) == ""
    refused = desk.ops("start", "--socket", "../x")
    assert refused.code == 4
    assert refused.err.startswith('oc-ops: tmux_socket="../x" in --socket: need a name')


# -- what breaks ------------------------------------------------------------------------------------------------------


def test_a_killed_drawing_comes_back_and_says_why(desk: Desk) -> None:
    """The process that draws dies: the window says of what, draws again, and its log keeps both."""
    desk.start()
    assert desk.sees("runs", "sync-mail")
    desk.drawing("runs").kill()
    assert desk.sees("runs", "this window ended: signal 9; it starts again in 1 s")
    assert desk.sees("runs", "sync-mail")
    log = (desk.memory / "panes" / "runs.log").read_text()
    assert "this window ended: signal 9; it starts again in 1 s" in log
    assert log.count("sync-mail") >= 2


def test_a_killed_pane_comes_back_by_itself(desk: Desk) -> None:
    """Whatever runs in a pane is killed whole: tmux starts it again."""
    desk.start()
    before = desk.panes()["browser"]
    os.kill(before, signal.SIGKILL)
    assert eventually(lambda: desk.panes().get("browser") not in (None, before))
    assert desk.sees("browser", "Browser control service ready")


def test_a_dead_pane_is_started_again_at_once(desk: Desk) -> None:
    """start does not wait for tmux to do it."""
    desk.start()
    pane = desk.tmux("display-message", "-p", "-t", "=oc-ops:status", "#{pane_id}")
    desk.tmux("set-hook", "-u", "-w", "-t", pane, "pane-died")
    os.kill(desk.panes()["status"], signal.SIGKILL)
    assert eventually(lambda: desk.status()["windows"]["status"] == "dead")
    assert desk.ops("status").code == 1
    assert "started the window status again" in desk.start().out
    assert desk.status()["up"]


def test_killed_windows_come_back_in_their_place(desk: Desk) -> None:
    """Any window is put back where it was; the others go on, and nobody's view is changed."""
    desk.start()
    kept = desk.panes()
    desk.tmux("select-window", "-t", "=oc-ops:browser")
    for window in ("status", "incidents", "adhoc"):
        desk.tmux("kill-window", "-t", f"=oc-ops:{window}")
    assert desk.ops("status").code == 1
    desk.start()
    assert desk.windows() == WINDOWS
    assert {name: desk.panes()[name] for name in ("runs", "browser")} == {
        name: kept[name] for name in ("runs", "browser")
    }
    assert desk.tmux("display-message", "-p", "-t", "=oc-ops:", "#{window_name}") == "browser"
    assert desk.tmux("list-windows", "-t", "=oc-ops:", "-F", "#{window_index}").split() == list("01234")


def test_a_killed_server_is_started_again(desk: Desk) -> None:
    """The whole tmux server is gone: status says so, start makes everything anew."""
    desk.start()
    drawing = desk.drawing("status")
    os.kill(int(desk.tmux("display-message", "-p", "#{pid}")), signal.SIGKILL)
    assert eventually(lambda: not drawing.is_running())
    assert desk.ops("status").code == 1
    desk.start()
    assert desk.windows() == WINDOWS


def test_what_the_user_did_to_the_session_is_left_alone(desk: Desk) -> None:
    """A renamed window, a split and a window of their own are neither undone nor doubled."""
    desk.start()
    desk.tmux("rename-window", "-t", "=oc-ops:adhoc", "my shell")
    desk.tmux("split-window", "-d", "-t", "=oc-ops:status", "sleep", "600")
    desk.tmux("new-window", "-d", "-t", "=oc-ops:", "-n", "mine", "sleep", "600")
    before = desk.tmux("list-panes", "-s", "-t", "=oc-ops:", "-F", "#{window_name} #{pane_pid}")
    desk.start()
    assert desk.tmux("list-panes", "-s", "-t", "=oc-ops:", "-F", "#{window_name} #{pane_pid}") == before


# -- whose session ----------------------------------------------------------------------------------------------------


def test_a_foreign_session_is_refused_and_left_alone(desk: Desk) -> None:
    """A session oc-ops that somebody else made is not taken over, not repaired, not killed."""
    desk.tmux("new-session", "-d", "-s", "oc-ops", "-n", "theirs", "sleep", "600")
    for command in ("start", "status", "stop"):
        ran = desk.ops(command)
        assert ran.code == 4
        assert ran.err.startswith(
            "oc-ops: there is a tmux session oc-ops on the socket default that oc-ops did not make: rename it "
        )
        assert len(ran.err.strip().splitlines()) == 1
    assert desk.windows() == ["theirs"]


def test_a_session_of_a_longer_name_is_not_taken_for_it(desk: Desk) -> None:
    """tmux finds sessions by the beginning of a name; oc-ops does not."""
    desk.tmux("new-session", "-d", "-s", "oc-ops-2", "-n", "theirs", "sleep", "600")
    assert desk.ops("status").code == 1
    desk.start()
    desk.ops("stop")
    assert desk.tmux("list-sessions", "-F", "#{session_name}") == "oc-ops-2"


def test_another_gateway_s_cockpit_is_refused(desk: Desk) -> None:
    """One name, two gateways: the second is told, and told what helps."""
    desk.start()
    ran = desk.ops("start", OPENCLAW_STATE_DIR=str(desk.home / "other"))
    assert ran.code == 4
    assert "shows another gateway" in ran.err
    assert "--socket NAME" in ran.err


# -- where it has to work ---------------------------------------------------------------------------------------------

CONFS = {
    "indices": "set -g base-index 1\nsetw -g pane-base-index 1\nset -g renumber-windows on\nset -g prefix C-a\n",
    "bare": "set -g status off\nsetw -g automatic-rename on\nsetw -g allow-rename on\nsetw -g remain-on-exit on\n",
    "unattached": "set -g destroy-unattached on\n",
    "default command": "set -g default-command 'exec bash --norc'\n",
    "hooks": "set-hook -g after-new-window 'split-window -d sleep 600'\nset -g mouse on\nset -g window-size smallest\n",
    "broken": "set -g no-such-option on\nthis is no command\n",
}


ALL_AT_ONCE = "".join(CONFS[each] for each in ("indices", "bare", "default command", "hooks", "broken"))


@pytest.mark.parametrize(
    "conf",
    [
        pytest.param(ALL_AT_ONCE, id="all at once"),
        pytest.param(CONFS["unattached"], id="unattached"),
        *(pytest.param(CONFS[each], id=each, marks=pytest.mark.nightly) for each in CONFS if each != "unattached"),
    ],
)
def test_the_user_s_own_tmux_conf(conf: str, desk: Desk) -> None:
    """Numbering, prefix, names, shells and what is switched off: it comes up and is mended."""
    (desk.home / ".tmux.conf").write_text(conf)
    desk.start()
    assert desk.windows() == WINDOWS
    assert desk.sees("status", "READY")
    desk.tmux("kill-window", "-t", "=oc-ops:runs")
    desk.start()
    assert desk.windows() == WINDOWS
    assert desk.status()["up"]


def test_a_tmux_conf_that_ends_every_session_is_named(desk: Desk) -> None:
    """Nothing can stay up there: one sentence, and where to look."""
    (desk.home / ".tmux.conf").write_text("set -g exit-unattached on\n")
    ran = desk.ops("start")
    assert ran.code == 4
    assert "exit-unattached" in ran.err
    assert len(ran.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "shell", ["/bin/bash", pytest.param("/bin/sh", marks=pytest.mark.nightly), "/usr/bin/zsh", "/usr/bin/fish"]
)
def test_the_shell_is_the_user_s_own_with_oc_ops_on_path(shell: str, desk: Desk) -> None:
    """Their default-shell, in the project, `oc-ops` found although the login files set PATH anew."""
    resets = "export PATH=/usr/bin:/bin\n"
    for name in (".profile", ".bash_profile", ".zprofile"):
        (desk.home / name).write_text(resets)
    (desk.home / ".zshrc").write_text("PS1='zsh> '\n")
    (desk.home / ".config" / "fish").mkdir(parents=True)
    (desk.home / ".config" / "fish" / "config.fish").write_text("if status is-login\nset -gx PATH /usr/bin /bin\nend\n")
    (desk.home / ".tmux.conf").write_text(f"set -g default-shell {shell}\n")
    desk.start()
    pid = "$fish_pid" if shell.endswith("fish") else "$$"
    desk.tmux("send-keys", "-t", "=oc-ops:adhoc", f"command -v oc-ops; pwd; ps -o comm= -p {pid}", "Enter")
    seen = rf"\n/[^\n]+/oc-ops\n{re.escape(str(PROJECT))}\n{Path(shell).name}\n"
    assert desk.sees("adhoc", seen), desk.screen("adhoc")


def test_cron_s_bare_environment(desk: Desk) -> None:
    """No terminal, no locale, next to no PATH: it comes up, and its characters are whole."""
    bare = {"PATH": "/usr/bin:/bin", "HOME": str(desk.home), "PYTHONPATH": str(PROJECT)}
    bare |= {name: desk.environ[name] for name in ("TMUX_TMPDIR", "XDG_STATE_HOME", "OC_OPS_MEMORY_DIR")}
    desk.environ = bare
    desk.start()
    assert desk.sees("status", "pid 1042 · up for 3 d")


def test_a_server_that_somebody_else_s_shell_started(desk: Desk) -> None:
    """The settings are the caller's, not those of the shell that happened to start the tmux server."""
    theirs = {**desk.environ, "OC_OPS_MEMORY_DIR": "/nowhere", "OPENCLAW_STATE_DIR": "/nowhere"}
    argv = ["tmux", "-L", "default", "new-session", "-d", "-s", "work", "sleep", "600"]
    subprocess.run(argv, env=theirs, check=True, timeout=LATEST_S)
    desk.start()
    assert desk.sees("status", "READY")


def test_no_secret_is_handed_to_tmux(desk: Desk) -> None:
    """A token in the environment is neither in the session's environment nor in an argument of a process."""
    (desk.home / ".tmux.conf").write_text("")
    desk.tmux("new-session", "-d", "-s", "work", "sleep", "600")
    desk.start(OPENCLAW_GATEWAY_TOKEN="very-secret-0123456789")
    assert "very-secret" not in desk.tmux("show-environment", "-t", "=oc-ops:")
    assert "OC_OPS_MEMORY_DIR" in desk.tmux("show-environment", "-t", "=oc-ops:")


def test_a_stopped_tmux_server_is_no_hang(desk: Desk) -> None:
    """A server that does not answer is named within the deadline; nothing waits for it for ever."""
    desk.start()
    server = int(desk.tmux("display-message", "-p", "#{pid}"))
    os.kill(server, signal.SIGSTOP)
    try:
        began = time.monotonic()
        ran = desk.ops("start", OC_OPS_TMUX_S="1")
        assert time.monotonic() - began < 40
    finally:
        os.kill(server, signal.SIGCONT)
    assert ran.code == 4
    assert "the tmux server on the socket default does not answer in 1 s" in ran.err


@pytest.mark.parametrize(
    ("said", "words"), [("tmux 2.8", "is 2.8: "), ("tmux 3.1c", "is 3.1: ")], ids=["ancient", "just too old"]
)
def test_a_tmux_that_is_too_old(said: str, words: str, desk: Desk, tmp_path: Path) -> None:
    """One sentence with the version, the need and the line that installs a newer one."""
    old = tmp_path / "bin" / "tmux"
    old.write_text(f"#!/bin/sh\necho {said}\n")
    old.chmod(0o755)
    ran = desk.ops("start")
    assert ran.code == 4
    assert ran.err.startswith(f"oc-ops: the cockpit needs tmux 3.2 or newer, and {old} {words}")
    assert len(ran.err.strip().splitlines()) == 1


def test_work_stands_beside_life_on_the_smallest_screen(desk: Desk) -> None:
    """What lives and does nothing is seen through tmux at 80 by 24, below the green word."""
    desk.start()
    with desk.attached() as terminal:
        terminal.setwinsize(24, 80)
        desk.show("idle")
        assert eventually(lambda: len(desk.screen("status").split("\n")[0]) == 80)
        assert desk.sees("status", "channels +1 OF 2 UP +· heard 11 min"), desk.screen("status")
        shown = desk.screen("status")
    assert max(map(len, shown.split("\n"))) <= 80
    for words in (" READY ", "messages   3 wait since", "left alone until", "3 of 7 overdue", "channels/deaf", "next "):
        assert words in shown, shown


# -- attach -----------------------------------------------------------------------------------------------------------


def test_attach_detach_and_resize(desk: Desk) -> None:
    """attach starts what is not there and shows it; a detached session goes on; every size is drawn to its edges."""
    with desk.attached() as terminal:
        assert eventually(lambda: clients(desk) == 1)
        assert desk.sees("status", "READY")
        for lines, columns in ((60, 200), (24, 80), (10, 40), (30, 100)):
            terminal.setwinsize(lines, columns)

            def drawn(lines: int = lines, columns: int = columns) -> bool:
                shown = desk.screen("status").split("\n")
                right = re.search(r"\d\d:\d\d:\d\d (UTC|[+-]\d\d:\d\d)$", shown[0])
                return right is not None and len(shown[0]) == columns and len(shown) <= lines

            assert eventually(drawn), desk.screen("status")
        assert desk.status()["attached"] == 1
        terminal.send("\x02d")
        terminal.expect("detached")
    assert eventually(lambda: clients(desk) == 0)
    assert desk.status()["up"]


def test_attach_needs_a_terminal(desk: Desk) -> None:
    """Without one it says so, and starts nothing."""
    ran = desk.ops("attach")
    assert ran.code == 4
    assert ran.err == "oc-ops: attach needs a terminal: `oc-ops tmux status` looks without one\n"
    assert desk.tmux("list-sessions", check=False) == ""


@pytest.mark.parametrize("server", [pytest.param("default", marks=pytest.mark.nightly), "work"])
def test_attach_from_inside_tmux(server: str, desk: Desk) -> None:
    """On the same server the terminal changes over to it; on another one it shows inside."""
    desk.start()
    with desk.terminal("tmux", "-L", server, "new-session", "-s", "here", "bash --norc") as terminal:
        assert eventually(lambda: desk.tmux("list-clients", "-t", "=here", socket=server, check=False))
        command = f"{sys.executable} -c 'from oc_ops.cli import main; main()' tmux attach"
        desk.tmux("send-keys", "-t", "=here:", command, "Enter", socket=server)
        assert eventually(lambda: clients(desk) == 1, 20)
        terminal.expect("READY")


def test_keys_typed_into_a_window_do_no_harm(desk: Desk) -> None:
    """Ctrl-C, Ctrl-Z, Ctrl-S and a line of text neither end a drawing nor stand on its screen."""
    desk.start()
    assert desk.sees("status", "READY")
    drawing = desk.drawing("status")
    desk.tmux("send-keys", "-t", "=oc-ops:status", "C-c", "C-z", "C-\\", "C-s", "rm -rf nothing", "Enter", "C-d")
    desk.show("hung")
    assert desk.sees("status", "HUNG")
    assert drawing.is_running()
    assert "rm -rf" not in desk.screen("status", "-S", "-")


# -- what a stranger may write ----------------------------------------------------------------------------------------

HOSTILE = (
    "\x1b]52;c;cm0gLXJmIH4=\x07",
    "\x1b]0;owned\x07",
    "\x1b[2J\x1b[1;1Howned",
    "\x9b31mC1\x9d0;owned\x9c",
    "\x1bPtmux;\x1b\x1b]52;c;AAAA\x07\x1b\\",
    "\x1b[?1049h\x1b[?1000h",
    "ab\u202egpj.exe",
    "A" * 2**20,
    "broken \udcff\udcfe utf-8",
    "[red]markup[/red]",
    "zwj 👩‍👩‍👧‍👦 combining " + "e\u0301" * 40,
)
ALLOWED = re.compile(r"\x1b\[[0-9;]*[mHKJ]|\x1b\[\?(?:25|7)[hl]|\r\n")


def test_hostile_lines_never_reach_the_terminal_raw(desk: Desk, tmp_path: Path) -> None:
    """Even from a snapshot that nobody cleaned: what a window writes is text, colours and places, and nothing else."""
    good = sample("hung")
    lines = tuple(LogLine(good.written_at, "ERROR", each[:9], each) for each in HOSTILE[:7] + HOSTILE[8:])
    bad = replace(good, log=replace(good.log, lines=lines), gateway=replace(good.gateway, fact="".join(HOSTILE[:6])))
    desk.start()
    raw = tmp_path / "raw"
    desk.tmux("pipe-pane", "-t", "=oc-ops:browser", f"cat >>{raw}")
    desk.tmux("pipe-pane", "-t", "=oc-ops:status", f"cat >>{raw}")
    desk.show(bad)
    assert desk.sees("browser", r"gpj\.exe"), desk.screen("browser")
    assert desk.sees("status", "␛]52"), desk.screen("status")
    desk.show(replace(good, log=replace(good.log, lines=(LogLine(None, "WARN", HOSTILE[7], HOSTILE[7]),))))
    assert desk.sees("browser", "characters left out")
    written = raw.read_bytes().decode("utf-8")
    left = ALLOWED.sub("", written)
    assert not re.search("[\0-\x1f\x7f-\x9f\u202e]", left), left
    assert len(written) < 100_000
    assert desk.tmux("display-message", "-p", "-t", "=oc-ops:browser", "#{window_name} #{alternate_on}") == "browser 0"


# -- the watcher and the cost -----------------------------------------------------------------------------------------


def test_a_window_without_a_watcher_says_so_and_starts_one(desk: Desk) -> None:
    """Nothing was ever written: the window says it; within seconds a watcher of its own looks, and finds no gateway."""
    desk.state.unlink()
    desk.environ["OPENCLAW_GATEWAY_PORT"] = str(closed_port())
    desk.start()
    first = desk.status()
    assert first["up"], first
    assert desk.sees("status", "DOWN|CONFIG-INVALID")
    psutil.Process(first["watcher_pid"]).kill()
    assert desk.sees("status", "STALE", 90)
    assert eventually(
        lambda: "the watcher was started again at" in (desk.memory / "panes" / "status.log").read_text(), 30
    )
    assert eventually(lambda: desk.status()["watcher_pid"] != first["watcher_pid"], 30)
    assert eventually(lambda: desk.status()["up"], 30)
    watcher = psutil.Process(desk.status()["watcher_pid"])
    desk.ops("stop")
    assert eventually(lambda: not watcher.is_running())


def test_the_windows_cost_little_memory(desk: Desk) -> None:
    """All windows together take less than half of what the cockpit may: 250 MB with its watcher."""
    desk.start()
    assert all(desk.sees(window, r"\d\d:\d\d:\d\d") for window in WINDOWS[:-1])
    processes = [desk.drawing(window) for window in WINDOWS[:-1]]
    processes += [psutil.Process(pid) for pid in desk.panes().values()]
    assert sum(each.memory_info().rss for each in processes) < 125 * 2**20


# -- pytest --tmux ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["option", pytest.param("ini", marks=pytest.mark.nightly)])
def test_a_doctor_run_sees_that_it_is_up(asked: str, desk: Desk, tmp_path: Path) -> None:
    """--tmux, or oc_ops_tmux in the ini file, brings it up before the checks and says so; the verdict is its own."""
    operator = Operator(tmp_path / "machine", closed_port())
    operator.environ |= {"TMUX_TMPDIR": str(desk.sockets)}
    words = ["--tmux"] if asked == "option" else ["-o", "oc_ops_tmux=true"]
    run = operator.run("--quick", *words)
    assert run.code == 1
    assert run.last_line.startswith("doctor: unhealthy in ")
    assert "\ncockpit: made the session oc-ops: " in run.out
    try:
        assert desk.windows() == WINDOWS
        server = psutil.Process(int(desk.tmux("display-message", "-p", "#{pid}")))
        assert "OC_OPS_CALL" not in server.environ()  # it outlives the run, and is no call of it
        if asked == "option":
            assert "\ncockpit: was up: " in operator.run("--quick", *words).out
    finally:
        subprocess.run(
            [sys.executable, "-c", "from oc_ops.cli import main; main()", "tmux", "stop"],
            env={**operator.environ, "PYTHONPATH": str(PROJECT)},
            timeout=LATEST_S,
            check=True,
            stdout=subprocess.DEVNULL,
        )


def test_a_cockpit_that_cannot_come_up_costs_no_verdict(desk: Desk, tmp_path: Path) -> None:
    """It is one line of the summary; the exit code is the checks'."""
    operator = Operator(tmp_path / "machine", closed_port())
    run = operator.run("--quick", "--tmux", OC_OPS_TMUX_SOCKET="a/b")
    assert run.code == 1
    assert run.last_line.startswith("doctor: unhealthy in ")
    assert '\ncockpit: not up: tmux_socket="a/b" in environment: need a name' in run.out


def test_a_socket_file_that_nobody_serves(desk: Desk) -> None:
    """What a crashed server left behind is no server, and no obstacle."""
    folder = desk.sockets / f"tmux-{os.getuid()}"
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "default"))
    assert desk.ops("status").code == 1
    desk.start()
    assert desk.windows() == WINDOWS
