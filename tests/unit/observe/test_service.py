"""What systemd and launchd say, as recorded, and how they are asked."""

from __future__ import annotations

import getpass
import os
import plistlib
from pathlib import Path

import pytest

from oc_ops.observe import unitfiles
from oc_ops.observe.processes import GatewayProcess
from oc_ops.observe.service import NO_SERVICE, Service, _launchd, _systemd, service, stop_command, unit_of
from oc_ops.observe.target import locate

UNIT = "openclaw-gateway.service"
LABEL = "ai.openclaw.gateway"


def shown(**values: str) -> str:
    """`systemctl --user show` prints every property asked for, in an order of its own."""
    usual = {
        "Result": "success",
        "NRestarts": "0",
        "ExecMainStatus": "0",
        "MainPID": "0",
        "LoadState": "loaded",
        "ActiveState": "active",
        "SubState": "running",
    }
    return "".join(f"{name}={value}\n" for name, value in (usual | values).items())


@pytest.mark.parametrize(
    ("answer", "state", "pid", "summary"),
    [
        (shown(MainPID="4711"), "running", 4711, "is running (active/running)"),
        (
            shown(ActiveState="activating", SubState="auto-restart", Result="exit-code", MainPID="0", NRestarts="3"),
            "restarting",
            None,
            "is restarting, result exit-code, restarted 3 times (activating/auto-restart)",
        ),
        (
            shown(ActiveState="activating", SubState="auto-restart-queued", Result="signal", ExecMainStatus="9"),
            "restarting",
            None,
            "is restarting, result signal, last exit 9 (activating/auto-restart-queued)",
        ),
        (shown(ActiveState="activating", SubState="start", MainPID="12"), "running", 12, "(activating/start)"),
        (shown(ActiveState="deactivating", SubState="stop-sigterm", MainPID="12"), "running", 12, "stop-sigterm)"),
        (
            shown(ActiveState="failed", SubState="failed", Result="start-limit-hit", ExecMainStatus="1", NRestarts="5"),
            "failed",
            None,
            "is failed, result start-limit-hit, last exit 1, restarted 5 times (failed/failed)",
        ),
        (
            shown(ActiveState="failed", SubState="failed", Result="exit-code", ExecMainStatus="78"),
            "failed",
            None,
            "is failed, result exit-code, last exit 78 (failed/failed)",
        ),
        (shown(ActiveState="inactive", SubState="dead"), "stopped", None, "is stopped (inactive/dead)"),
        (shown(ActiveState="maintenance", SubState="x"), "unknown", None, "is unknown (maintenance/x)"),
        (shown(MainPID="[not set]", NRestarts=""), "running", None, "is running (active/running)"),
    ],
    ids=[
        "running", "auto-restart", "newer auto-restart", "starting", "stopping", "start limit", "exit 78", "inactive",
        "unknown", "unset",
    ],
)  # fmt: skip
def test_systemd_s_words_are_understood(answer: str, state: str, pid: int | None, summary: str) -> None:
    """Each recorded answer of `systemctl show` has one meaning."""
    found = _systemd(UNIT, answer)
    assert (found.manager, found.unit, found.state, found.pid) == ("systemd", UNIT, state, pid)
    assert found.summary.startswith(f"systemd unit {UNIT} ")
    assert found.summary.endswith(summary)


@pytest.mark.parametrize("answer", [None, "", shown(LoadState="not-found", ActiveState="inactive"), "garbage\n\n"])
def test_no_unit_is_absent(answer: str | None) -> None:
    """`show` exits 0 for a unit that does not exist: its LoadState tells."""
    assert _systemd(UNIT, answer) == NO_SERVICE


def printed(state: str, *lines: str) -> str:
    """`launchctl print` of an agent, with the nested blocks of the real thing."""
    own = "".join(f"\t{line}\n" for line in lines)
    return (
        f"gui/501/{LABEL} = {{\n\tactive count = 1\n\tpath = /Users/u/Library/LaunchAgents/{LABEL}.plist\n"
        f"\ttype = LaunchAgent\n\tstate = {state}\n\n\tprogram = /opt/homebrew/bin/node\n"
        "\targuments = {\n\t\t/opt/homebrew/bin/node\n\t\t/opt/openclaw.mjs\n\t\tgateway\n\t\tpid = 666\n\t}\n\n"
        "\tstdout path = /Users/u/.openclaw/logs/gateway.log\n"
        "\tinherited environment = {\n\t\tSSH_AUTH_SOCK => /private/tmp/com.apple.launchd.x/Listeners\n\t}\n\n"
        "\tdefault environment = {\n\t\tPATH => /usr/bin:/bin:/usr/sbin:/sbin\n\t}\n\n"
        "\tenvironment = {\n\t\tOPENCLAW_GATEWAY_PORT => 18789\n\t\tstate = running\n\t\truns = 99\n\t}\n\n"
        "\tdomain = gui/501 [100005]\n\tasid = 100005\n\tminimum runtime = 1\n\texit timeout = 20\n"
        f"{own}"
        "\n\tspawn type = daemon (3)\n\tjetsam priority = 40\n"
        "\tresource coalition = {\n\t\tID = 1170\n\t\ttype = resource\n\t\tstate = active\n\t\tactive count = 1\n"
        f"\t\tname = {LABEL}\n\t}}\n\n"
        "\tsockets = {\n\t\tlast exit code = 99\n\t}\n"
        "\tproperties = keepalive | runatload | inferred program\n}\n"
    )


@pytest.mark.parametrize(
    ("answer", "state", "pid", "restarts", "exit_status"),
    [
        (printed("running", "runs = 1", "pid = 4711", "last exit code = (never exited)"), "running", 4711, 0, None),
        (printed("running", "runs = 4", "pid = 4711", "last exit code = 1"), "running", 4711, 3, 1),
        (printed("spawn scheduled", "runs = 9", "last exit code = 1"), "restarting", None, 8, 1),
        (printed("not running", "runs = 3", "last exit code = 78: EX_CONFIG"), "failed", None, 2, 78),
        (printed("not running", "runs = 0", "last exit code = (never exited)"), "stopped", None, 0, None),
        (printed("not running", "runs = 1", "last exit code = 0"), "stopped", None, 0, 0),
        (printed("waiting", "runs = 1", "last exit code = 0"), "stopped", None, 0, 0),
        (printed("uninterruptible", "runs = 1", "pid = 4711"), "unknown", 4711, 0, None),
    ],
    ids=["running", "restarted", "throttled", "exit 78", "never started", "stopped", "waiting", "unknown word"],
)
def test_launchd_s_words_are_understood(
    answer: str, state: str, pid: int | None, restarts: int | None, exit_status: int | None
) -> None:
    """Only the agent's own lines count: nested blocks hold keys of the same name with other values."""
    found = _launchd(LABEL, answer)
    assert (found.state, found.pid, found.restarts, found.exit_status) == (state, pid, restarts, exit_status)
    assert found.summary.startswith(f"launchd unit {LABEL} is {state}")


def test_the_release_that_wrote_the_unit_is_read_off_its_environment() -> None:
    """As OpenClaw's own unit and agent carry it; another's name, or none, is no release."""
    unit = shown(Environment="HOME=/home/u OPENCLAW_SERVICE_VERSION=2026.9.6 OPENCLAW_GATEWAY_PORT=18789")
    assert _systemd(UNIT, unit).release == "2026.9.6"
    assert _systemd(UNIT, shown(Environment="HOME=/home/u MY_OPENCLAW_SERVICE_VERSION=1")).release == ""
    agent = printed("running", "environment = {", "\tOPENCLAW_SERVICE_VERSION => 2026.9.6", "}")
    assert _launchd(LABEL, agent).release == "2026.9.6"
    assert _launchd(LABEL, printed("running")).release == ""


def test_launchd_that_says_no_means_absent() -> None:
    """`launchctl print` fails for a label that is not loaded."""
    assert _launchd(LABEL, None) == NO_SERVICE


def manager(folder: Path, name: str, script: str) -> None:
    """A service manager that notes how it was asked."""
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "$0 $*" > {folder}/asked\necho "$XDG_RUNTIME_DIR" >> {folder}/asked\n{script}')
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("platform", "profile", "words"),
    [
        ("linux", None, "systemctl --user show openclaw-gateway.service --property=LoadState,ActiveState,"),
        ("linux", "work", "systemctl --user show openclaw-gateway-work.service --property=LoadState,ActiveState,"),
        ("darwin", None, f"launchctl print gui/{os.getuid()}/ai.openclaw.gateway"),
        ("darwin", "work", f"launchctl print gui/{os.getuid()}/ai.openclaw.work"),
    ],
)
def test_the_manager_is_asked_for_openclaw_s_own_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, profile: str | None, words: str
) -> None:
    """One read-only question, and under cron the user's manager is still found."""
    name = words.split()[0]
    manager(tmp_path, name, f"printf '{shown(MainPID='7') if name == 'systemctl' else printed('running', 'pid = 7')}'")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    found = service(locate({"HOME": str(tmp_path)}, profile), platform)
    assert (found.state, found.pid) == ("running", 7)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0].startswith(f"{tmp_path}/{words}")
    assert asked[1] == f"/run/user/{os.getuid()}"


def test_a_manager_that_refuses_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No user bus, or no manager at all: nobody supervises."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    target = locate({"HOME": str(tmp_path)})
    manager(tmp_path, "systemctl", "echo Failed to connect to bus >&2; exit 1")
    assert service(target, "linux") == NO_SERVICE
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert service(target, "linux") == NO_SERVICE


@pytest.mark.parametrize(
    ("platform", "name", "unit"), [("linux", "systemctl", UNIT), ("darwin", "launchctl", LABEL)], ids=["linux", "macos"]
)
def test_a_manager_that_hangs_has_not_said_that_there_is_no_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, name: str, unit: str
) -> None:
    """It is given up in time, and what it manages is not known."""
    monkeypatch.setattr("oc_ops.observe.service._DEADLINE_S", 0.5)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    manager(tmp_path, name, "sleep 60")
    found = service(locate({"HOME": str(tmp_path)}), platform)
    assert (found.unit, found.state, found.pid) == (unit, "silent", None)
    assert found.summary.endswith(f"unit {unit} is silent (no answer within 0.5 s)")


# -- units of other names and of the system ----------------------------------------------------------------------------

START = "{ path=/usr/bin/openclaw ; argv[]=/usr/bin/openclaw gateway run --port 18789 ; ignore_errors=no ; pid=0 }"


def systemctl(folder: Path, monkeypatch: pytest.MonkeyPatch, own: str = "", user: str = "", system: str = "") -> None:
    """A systemctl that knows OpenClaw's own unit, and what `show` says of others in either manager."""
    for name, text in (("own", own), ("user", user), ("system", system)):
        (folder / name).write_text(text)
    manager(
        folder,
        "systemctl",
        f"""
here=system; [ "$1" = --user ] && {{ here=user; shift; }}
case "$1 $2" in
  "list-unit-files "*) sed -n 's/^Id=\\(.*\\)/\\1 enabled enabled/p' {folder}/$here;;
  "show openclaw-gateway.service") cat {folder}/own;;
  show*) cat {folder}/$here;;
esac""",
    )
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def unit(target_home: Path, name: str = "openclaw.service", **values: str) -> str:
    """A system unit of our own account that runs the gateway of that home."""
    usual = {"Id": name, "User": getpass.getuser(), "Environment": f"HOME={target_home}", "ExecStart": START}
    return shown(**{**usual, **values})


def test_a_system_unit_that_failed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's manager is asked as well, and its words are understood as the user's are (#87577)."""
    failed = {"ActiveState": "failed", "SubState": "failed", "Result": "exit-code", "ExecMainStatus": "1"}
    systemctl(tmp_path, monkeypatch, system=unit(tmp_path, **failed))
    found = service(locate({"HOME": str(tmp_path)}), "linux")
    assert (found.unit, found.scope, found.state, found.managed) == ("openclaw.service", "system", "failed", False)
    assert found.summary.startswith("system systemd unit openclaw.service is failed")
    assert found.command("start") == "sudo systemctl start openclaw.service"
    assert stop_command(found) == ("systemctl", "--no-ask-password", "stop", "--no-block", "openclaw.service")


@pytest.mark.parametrize(
    ("values", "belongs"),
    [
        ({}, True),
        ({"Environment": "OPENCLAW_STATE_DIR={home}/.openclaw NODE_ENV=production"}, True),
        ({"Environment": '"HOME={home}" "MOTD=two words"'}, True),
        ({"EnvironmentFiles": "{home}/env (ignore_errors=no)", "Environment": ""}, True),
        ({"Environment": "HOME={home}/other"}, False),
        ({"Environment": "", "User": "nobody"}, False),
        ({"Environment": "", "User": "no-such-user-here"}, False),
        ({"ExecStart": START.replace("gateway run", "--profile work gateway run")}, False),
        ({"ExecStart": START.replace("gateway run --port 18789", "node run")}, False),
        ({"ExecStart": "{ path=/opt/start.sh ; argv[]=/opt/start.sh ; pid=0 }"}, True),
        ({"Id": "openclaw-backup.service", "ExecStart": "{ argv[]=/opt/backup.sh ; pid=0 }"}, False),
        ({"Id": "openclaw-anything.service"}, True),
        ({"Id": "openclaw-watch.service", "ExecStart": "{ argv[]=/bin/sh -c openclaw gateway status || x ; }"}, False),
        ({"ExecStart": "{ argv[]=/bin/sh -c exec openclaw gateway 2>&1 ; }"}, True),
        ({"ExecStart": "{ argv[]=/usr/bin/podman run --rm ghcr.io/openclaw/openclaw openclaw gateway ; }"}, True),
    ],
    ids=["its home", "its state directory", "quoted", "a file", "another home", "another account", "an unknown account",
         "another profile", "another part", "a wrapper", "another task", "another name", "a watchdog",
         "a shell", "a container"],
)  # fmt: skip
def test_a_unit_belongs_to_the_target_that_it_leads_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, str], belongs: bool
) -> None:
    """By account, environment and command, not by its name alone: on a machine of many users each has one."""
    (tmp_path / "env").write_text(f"# ours\nHOME={tmp_path}\n")
    said = unit(tmp_path, **{name: text.replace("{home}", str(tmp_path)) for name, text in values.items()})
    systemctl(tmp_path, monkeypatch, system=said)
    found = service(locate({"HOME": str(tmp_path)}), "linux")
    assert (found.manager == "systemd") == belongs


def test_the_unit_that_runs_counts_before_one_that_rests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A left-over unit of the user, stopped, does not hide the system's; awake, it is the one that OpenClaw manages."""
    stopped, target = shown(ActiveState="inactive", SubState="dead"), locate({"HOME": str(tmp_path)})
    systemctl(tmp_path, monkeypatch, own=stopped, system=unit(tmp_path, MainPID="7"))
    assert service(target, "linux").unit == "openclaw.service"
    systemctl(tmp_path, monkeypatch, own=stopped)
    found = service(target, "linux")
    assert (found.unit, found.state, found.managed) == (UNIT, "stopped", True)
    systemctl(tmp_path, monkeypatch, own=shown(MainPID="9"), system=unit(tmp_path, MainPID="7"))
    assert service(target, "linux").pid == 9


def test_a_user_unit_of_another_name_is_not_openclaw_s_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quadlet, or a unit by hand: a person's command, not `openclaw gateway start`."""
    systemctl(tmp_path, monkeypatch, user=unit(tmp_path, ActiveState="inactive", SubState="dead", User=""))
    found = service(locate({"HOME": str(tmp_path)}), "linux")
    assert (found.scope, found.managed) == ("user", False)
    assert found.command("start") == "systemctl --user start openclaw.service"


def test_a_unit_of_any_name_is_found_where_people_put_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that rests is in no list of the manager's by what it runs: its own text says it, or a drop-in's."""
    folder = tmp_path / "config" / "systemd" / "user"
    for name, text in (
        ("claw.service", "[Service]\nExecStart=/usr/bin/openclaw gateway run\n"),
        ("mail.service", "[Service]\nExecStart=/usr/bin/mail gateway\n"),
        ("house.service.d/run.conf", "[Service]\nExecStart=\nExecStart=/opt/openclaw/run gateway\n"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    os.mkfifo(folder / "pipe.service")
    (folder / "masked.service").symlink_to("/dev/null")
    assert unitfiles.mentioning((folder, tmp_path / "nowhere")) == ("claw.service", "house.service")
    rests = unit(tmp_path, "claw.service", ActiveState="inactive", SubState="dead", User="")
    manager(
        tmp_path,
        "systemctl",
        f"""
case "$*" in
  "--user show --property=UnitPath") echo 'UnitPath=/nowhere {folder}';;
  "--user show openclaw"*claw.service*house.service*) echo '{rests}';;
esac""",
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = service(locate({"HOME": str(tmp_path)}), "linux")
    assert (found.unit, found.state, found.scope) == ("claw.service", "stopped", "user")
    assert found.command("start") == "systemctl --user start claw.service"


def process(pid: int = os.getpid(), parent: int = os.getppid()) -> GatewayProcess:
    """A gateway process."""
    return GatewayProcess(pid, parent, 9.0, "sleeping", 0.0, 1, "openclaw-gateway", "named in the gateway lock")


@pytest.mark.parametrize(
    ("cgroup", "main", "scope", "name"),
    [
        ("0::/system.slice/openclaw.service\n", os.getpid(), "system", "openclaw.service"),
        ("0::/system.slice/my-bot.service\n", os.getppid(), "system", "my-bot.service"),
        (
            "0::/user.slice/user-1000.slice/user@1000.service/app.slice/openclaw-gateway.service\n",
            os.getpid(), "user", UNIT,
        ),
        ("0::/system.slice/cron.service\n", 1, None, ""),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", os.getpid(), None, ""),
        ("0::/\n", os.getpid(), None, ""),
    ],
    ids=["system unit", "its launcher", "user unit", "started by cron", "a login", "no unit"],
)  # fmt: skip
def test_the_unit_of_a_process_is_read_off_its_cgroup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cgroup: str, main: int, scope: str | None, name: str
) -> None:
    """Only where the unit's main process is that very process, or its parent: cron does not run a gateway."""
    said = shown(MainPID=str(main))
    systemctl(tmp_path, monkeypatch, own=said, user=said, system=said)
    read = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda self, **words: cgroup if self.name == "cgroup" else read(self, **words)
    )
    found = unit_of(process(), locate({"HOME": str(tmp_path)}))
    assert (found.scope if found else None) == scope
    if found is not None:
        assert (found.unit, found.managed) == (name, name == UNIT)


def test_a_launch_daemon_of_the_target_is_found_by_its_property_list(tmp_path: Path) -> None:
    """Label, account and command stand in the file; one that is broken, or another part of OpenClaw, is passed over."""
    target = locate({"HOME": str(tmp_path)})
    words = {"EnvironmentVariables": {"HOME": str(tmp_path)}, "UserName": getpass.getuser()}
    run = ["/opt/homebrew/bin/openclaw", "gateway", "run"]
    for name, said in (
        ("com.example.openclaw", {"Label": "com.example.openclaw", "ProgramArguments": run, **words}),
        ("com.other.openclaw", {"Label": "com.other.openclaw", "ProgramArguments": run, "UserName": "nobody"}),
        ("com.example.claw", {"Label": "com.example.claw", "ProgramArguments": run, **words}),
        ("com.example.mail", {"Label": "com.example.mail", "ProgramArguments": ["/bin/mail", "gateway"], **words}),
        ("ai.openclaw.node", {"Label": "ai.openclaw.node", "ProgramArguments": [*run[:1], "node", "run"], **words}),
    ):
        (tmp_path / f"{name}.plist").write_bytes(plistlib.dumps(said))
    (tmp_path / "broken.openclaw.plist").write_text("<plist")
    os.mkfifo(tmp_path / "pipe.openclaw.plist")
    assert list(unitfiles.labels(tmp_path, target)) == ["com.example.claw", "com.example.openclaw"]


def test_launchd_s_daemons_are_root_s_to_restart() -> None:
    """The domain is the system's, and it takes root."""
    daemon = Service("launchd", "com.example.openclaw", "failed", scope="system", standard=False)
    assert daemon.command("restart") == "sudo launchctl kickstart -k system/com.example.openclaw"
    assert stop_command(daemon)[-1] == "system/com.example.openclaw"
    assert Service("launchd", LABEL, "failed").command("start") == f"launchctl kickstart gui/{os.getuid()}/{LABEL}"


@pytest.mark.parametrize(
    ("lines", "dropin", "paths"),
    [
        ("StandardOutput=append:/var/log/openclaw.log\nStandardError=inherit", "", ["/var/log/openclaw.log"]),
        ("StandardOutput = file:/a b/out\nStandardError=truncate:/e", "", ["/a b/out", "/e"]),
        ("StandardOutput=append:%h/gw.log", "", ["HOME/gw.log"]),
        ("StandardOutput=append:/old", "[Service]\nStandardOutput=append:/new\n", ["/new"]),
        ("StandardOutput=append:/var/log/%i.log", "", []),
        ("#StandardOutput=append:/x", "", []),
    ],
    ids=["append", "two files", "home", "drop-in", "specifier", "comment"],
)
def test_the_files_a_unit_writes_to_are_read_off_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, dropin: str, paths: list[str]
) -> None:
    """systemctl shows `append` and no path (252): unit file and drop-ins say it, the last word counts."""
    monkeypatch.setenv("HOME", str(tmp_path))
    unit, more = tmp_path / "u.service", tmp_path / "more.conf"
    unit.write_text(f"[Service]\nExecStart=/bin/true\n{lines}\n")
    more.write_text(dropin)
    told = {"StandardOutput": "append", "StandardError": "inherit", "FragmentPath": str(unit), "DropInPaths": str(more)}
    found = _systemd(UNIT, shown(**told))
    assert [str(each) for each in found.outputs] == [each.replace("HOME", str(tmp_path)) for each in paths]
    assert _systemd(UNIT, shown(**{**told, "StandardOutput": "journal"})).outputs == ()


def test_a_quote_without_an_end_ends_no_look() -> None:
    """The path of a drop-in may hold any character; what systemctl prints of it is no shell's."""
    assert unitfiles.words('/etc/a.conf "/etc/b c.conf"') == ["/etc/a.conf", "/etc/b c.conf"]
    assert unitfiles.words("/etc/it's.conf") == ["/etc/it's.conf"]
