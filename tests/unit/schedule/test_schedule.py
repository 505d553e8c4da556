"""`oc-ops schedule`: what stands in the crontab, what launchd and systemd are told, and one scheduled run."""

from __future__ import annotations

import configparser
import json
import os
import plistlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cronsim import CronSim
from typer.testing import CliRunner, Result

from oc_ops.act.recover.run import longest_s
from oc_ops.act.recover.steps import BROWSER_START_S, HEAR_S
from oc_ops.cli import main, schedule
from oc_ops.errors import OcOpsError
from oc_ops.locks import single_flight
from oc_ops.schedule import crontab, plan, run
from oc_ops.schedule.crontab import Crontab
from oc_ops.schedule.plan import PERIODS_S, SchedulePlan
from oc_ops.settings import PROJECT, Settings, load
from tests.support import containers

OTHERS = (
    b'# my jobs, \xff not even text\nMAILTO=joe@example.org\nPATH = "/opt/bin:/usr/bin"\n\n'
    b"*/5  *\t* * *   /usr/bin/backup   --x  # oc-ops schedule is not the end of this line\n"
    b"@daily  foo %in%put\n  7 7 * * 7 indented\nno line at all\n"
)
BLOCKED = ("OPENCLAW_CLI", "OPENCLAW_SHELL", "OPENCLAW_PATH_BOOTSTRAPPED", "OPENCLAW_SERVICE_MARKER")


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator's shell: a home, an `openclaw` beside its own Node, a crontab command; returns the crontab."""
    for name in ("home", "memory", "node/bin"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("openclaw", "node"):
        (tmp_path / "node" / "bin" / name).write_text("#!/bin/sh\n")
        (tmp_path / "node" / "bin" / name).chmod(0o755)
    for name in list(os.environ):
        if name.startswith(("OPENCLAW_", "OC_OPS_", "XDG_")) or name == "TMPDIR":
            monkeypatch.delenv(name)
    fakes = PROJECT / "tests" / "fakes"
    crontabs = tmp_path / "bin"
    crontabs.mkdir()
    shutil.copy(fakes / "crontab", crontabs)
    monkeypatch.setenv("PATH", f"{tmp_path / 'node' / 'bin'}:{crontabs}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("OC_OPS_MEMORY_DIR", str(tmp_path / "memory"))
    monkeypatch.setenv("FAKE_CRONTAB", str(tmp_path / "crontab"))
    return tmp_path / "crontab"


def oc_ops(*words: str) -> Result:
    """One `oc-ops schedule …`; an error that is meant is raised."""
    done = CliRunner().invoke(schedule.app, words)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def made(every_s: int = 300, *options: str, **environ: str) -> SchedulePlan:
    """The plan of this shell."""
    return plan.make(load(environ={**os.environ, **environ}), {**os.environ, **environ}, every_s, options)


# -- the crontab ------------------------------------------------------------------------------------------------------


def test_installed_is_one_line_and_every_other_byte_stays(shell: Path) -> None:
    """Comments, variables, odd spacing, invalid lines and bytes that are no text: all as before, in their order."""
    shell.write_bytes(OTHERS)
    assert oc_ops("install").exit_code == 0
    after = shell.read_bytes()
    assert after.startswith(OTHERS)
    (own,) = after.removeprefix(OTHERS).splitlines()
    assert own.startswith(b"*/5 * * * * cd ")
    assert own.endswith(b" schedule run # oc-ops schedule default")


def test_again_changes_nothing_and_another_period_replaces_the_line(shell: Path) -> None:
    """Idempotent; the line stays in its place, and one that was doubled or commented out becomes one again."""
    shell.write_bytes(OTHERS)
    oc_ops("install")
    first = shell.read_bytes()
    assert "installed already" in oc_ops("install").output
    assert shell.read_bytes() == first
    line = first.removeprefix(OTHERS)
    shell.write_bytes(OTHERS + b"# " + line + b"A=1\n" + line + b"B=2\n")
    oc_ops("install", "--every", "1h", "--recover")
    text = shell.read_bytes()
    assert text.count(b"# oc-ops schedule default\n") == 1
    head, _, tail = text.removeprefix(OTHERS).partition(b"A=1\nB=2\n")
    assert head.startswith(b"0 * * * * cd ")
    assert b"schedule run --recover #" in head
    assert tail == b""


def test_a_dry_run_changes_nothing_and_says_what_would(shell: Path) -> None:
    """The line that would stand there is printed; the crontab is the same to the byte, before and after an install."""
    before = shell.read_bytes() if shell.exists() else b""
    said = oc_ops("install", "--dry-run").stdout
    assert said.startswith("would be added to your crontab")
    assert (shell.read_bytes() if shell.exists() else b"") == before
    oc_ops("install")
    assert said.splitlines()[1] in shell.read_text()
    assert oc_ops("install", "--dry-run").stdout.startswith("installed already")
    other = oc_ops("install", "--dry-run", "--every", "1h").stdout
    assert other.startswith("would replace */5 ")


def test_removed_leaves_what_was_there_before(shell: Path) -> None:
    """Byte for byte; where there was no crontab there is none again, and removing twice says so."""
    shell.write_bytes(OTHERS)
    oc_ops("install")
    assert oc_ops("remove").output == "removed\n"
    assert shell.read_bytes() == OTHERS
    assert "nothing to remove" in oc_ops("remove").output
    shell.unlink()
    oc_ops("install")
    oc_ops("remove")
    assert not shell.exists()


def test_a_last_line_without_an_end_gets_one(shell: Path) -> None:
    """Our line does not grow together with somebody's."""
    assert Crontab(b"A=1").with_line("default", "x # oc-ops schedule default").text == (
        b"A=1\nx # oc-ops schedule default\n"
    )


def test_a_crontab_that_cannot_be_read_is_not_written(shell: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not allowed, or not there: nothing is changed, and the error says which call failed."""
    shell.write_bytes(OTHERS)
    monkeypatch.setenv("FAKE_CRONTAB_FAULT", "1")
    with pytest.raises(OcOpsError, match=r"nothing is changed.*not allowed"):
        oc_ops("install")
    assert shell.read_bytes() == OTHERS
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(OcOpsError, match=r"no `crontab` command here: take --"):
        oc_ops("install")


def test_two_profiles_have_a_line_each(shell: Path) -> None:
    """The schedule of one gateway is not that of another."""
    oc_ops("install")
    oc_ops("install", "--oc-profile", "work", "--every", "10m")
    lines = shell.read_text().splitlines()
    assert [each.rpartition(" ")[2] for each in lines] == ["default", "work"]
    assert "--oc-profile work" in lines[1]
    oc_ops("remove")
    assert shell.read_text().splitlines() == lines[1:]


@pytest.mark.parametrize("period_s", PERIODS_S)
def test_the_crontab_keeps_the_period(period_s: int) -> None:
    """Each period that is accepted is one that an independent reader of cron expressions finds to be even."""
    text = crontab.line(SchedulePlan("default", period_s, ("x",), Path("/"), {}))
    times = CronSim(text.partition(" cd ")[0], datetime(2026, 11, 22, 0, 0, 30, tzinfo=UTC))
    first = next(times)
    found = [next(times) for _ in range(1500)]
    assert {(b - a).total_seconds() for a, b in zip([first, *found], found, strict=False)} == {period_s}


@pytest.mark.parametrize(("text", "seconds"), [("5m", 300), ("1H", 3600), ("1d", 86400), ("60m", 3600)])
def test_periods(text: str, seconds: int) -> None:
    """Minutes, hours, a day."""
    assert plan.every(text) == seconds


@pytest.mark.parametrize("text", ["7m", "0m", "5", "", "5s", "90m", "2d", "-5m", "5m\n* * * * * evil", "٥m"])
def test_periods_that_no_crontab_can_keep(text: str) -> None:
    """Refused with what is needed, never rounded."""
    with pytest.raises(OcOpsError, match="need minutes that divide the hour"):
        plan.every(text)


# -- what runs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/a\\%b", "/a\\\\b", "/100\\\\%"])
def test_what_crons_read_otherwise_is_refused(shell: Path, path: str) -> None:
    """A line that silently never runs, or runs as something else, is not written."""
    with pytest.raises(OcOpsError, match="cannot stand in a crontab"):
        crontab.line(made(OC_OPS_REPORT_DIR=path))


@pytest.mark.parametrize("path", ["/a\\b", "/100%", "/%%d", "/it's 5 % of $HOME", "/c\\'d"])
def test_what_every_cron_reads_alike_is_written(shell: Path, path: str) -> None:
    """Both ways of reading an escape give back the command, and the shell the path."""
    line = crontab.line(made(OC_OPS_REPORT_DIR=path))
    assert crontab.trouble(line) == ""
    (command,) = crontab.readings(line.split(" ", 5)[5])
    assert f"OC_OPS_REPORT_DIR={path}" in shlex.split(command, comments=True)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("0 * * * * cd /100% && oc-ops # oc-ops schedule default", "cuts it at a %"),
        ("0 * * * * cd '/a\\\\b' && oc-ops # oc-ops schedule default", "backslashes"),
        ("# 0 * * * * oc-ops # oc-ops schedule default", "commented out"),
        ("0 * * * * cd '/a\\b' && oc-ops # oc-ops schedule default", ""),
    ],
)
def test_a_line_that_does_not_run_is_told(line: str, why: str) -> None:
    """Written by hand, or by an oc-ops before this one."""
    assert (why in crontab.trouble(line)) if why else crontab.trouble(line) == ""


@pytest.mark.parametrize("by", ["option", "environment"])
def test_the_line_keeps_the_target(shell: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """A container's schedule is one of its own, looks inside again, and finds the runtime that knows the container."""
    podman = containers.runtime(tmp_path / "podmans", containers.inspected())
    monkeypatch.setenv("PATH", f"{podman.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CONTAINERS_CONF", "/srv/containers.conf")
    oc_ops("install")
    words = ["--target", "podman:cell.one"] if by == "option" else []
    if by == "environment":
        monkeypatch.setenv("OC_OPS_TARGET", "podman:cell.one")
    done = oc_ops("install", "--quick", *words)
    assert (done.exit_code, done.stderr) == (0, "")
    first, second = shell.read_text().splitlines()
    assert first.endswith("# oc-ops schedule default")
    assert second.endswith("# oc-ops schedule podman:cell.one")
    assert (" --target podman:cell.one " in second) is (by == "option")
    assert (" OC_OPS_TARGET=podman:cell.one " in second) is (by == "environment")
    assert f"PATH={podman.parent}:" in second
    assert " CONTAINERS_CONF=/srv/containers.conf " in second
    assert "podman:cell.one" in oc_ops("show", *words).stdout
    assert "podmans" in oc_ops("install", "--systemd", *words).stdout
    assert oc_ops("remove", *words).output == "removed\n"
    assert shell.read_text().splitlines() == [first]


def test_a_container_s_schedule_needs_no_openclaw_here(
    shell: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is inside, and so is the token: neither is missed; a runtime that is missing is."""
    monkeypatch.setenv("OPENCLAW_GATEWAY_TOKEN", "not-the-container-s")
    monkeypatch.setenv("PATH", str(containers.runtime(tmp_path / "podmans").parent))
    assert made(OC_OPS_TARGET="podman:cell").notes == ()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "neither podman nor docker" in made(OC_OPS_TARGET="podman:cell").notes[0]


_UNITS = ("service", "timer")


@pytest.mark.parametrize("name", ["podman:cell.one", "work"])
def test_a_unit_s_name_holds_no_colon(name: str) -> None:
    """What a container is called is no file name of a unit."""
    made_for = plan.SchedulePlan(name, 300, ("oc-ops",), Path("/"), {})
    slug = name.replace(":", "-").replace(".", "-")
    assert [each for each, _ in plan.systemd(made_for)] == [
        f"oc-ops-doctor-{slug}.{kind}" for kind in ("service", "timer")
    ]


@pytest.mark.parametrize("bad", ["/a\nb", "/a\rb", "/a\x1b[2Jb", "/a\u2028b"])
def test_a_control_character_goes_into_no_schedule(shell: Path, bad: str) -> None:
    """Not into a crontab, and not into a unit or a property list, where it would begin another line."""
    with pytest.raises(OcOpsError, match="holds a control character"):
        made(OC_OPS_REPORT_DIR=bad)


def test_the_line_runs_in_cron_s_bare_environment(shell: Path, tmp_path: Path) -> None:
    """With nothing but HOME and a PATH of two folders the command is found, and it finds `openclaw` and Node."""
    strange = tmp_path / "100% of it's here"
    strange.mkdir()
    line = crontab.line(made(OC_OPS_REPORT_DIR=str(strange)))
    # As crontab(5) has it: a bare % is a line break, an escaped one itself.
    command = re.sub(r"(?<!\\)%", "\n", line.split(" ", 5)[5]).replace("\\%", "%")
    probe = command.replace(f"{sys.executable} -m oc_ops schedule run", "env; command -v node; pwd")
    bare = {"HOME": "/", "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
    words = probe.partition("&& ")[2].partition(" env; ")[0]
    done = subprocess.run(
        ["/bin/sh", "-c", probe.replace(f"{words} env; ", f"export {words}; env; ")],
        env=bare, capture_output=True, text=True, check=True,
    )  # fmt: skip
    seen = dict(each.split("=", 1) for each in done.stdout.splitlines() if "=" in each)
    assert seen["OC_OPS_REPORT_DIR"] == str(strange)
    assert seen["HOME"] == str(tmp_path / "home")
    assert seen["XDG_STATE_HOME"] == str(tmp_path / "state")
    assert done.stdout.splitlines()[-2:] == [str(tmp_path / "node" / "bin" / "node"), str(PROJECT)]
    asked = subprocess.run(
        ["/bin/sh", "-c", command.replace("schedule run", "schedule run --help")],
        env=bare, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert asked.returncode == 0, asked.stderr
    assert "One scheduled run" in asked.stdout


def test_secrets_do_not_go_into_a_crontab(shell: Path) -> None:
    """A literal notify URL is refused without being shown; a file's path is taken; a token is only spoken of."""
    with pytest.raises(OcOpsError, match="OC_OPS_NOTIFY_URLS holds a secret") as caught:
        made(OC_OPS_NOTIFY_URLS="slack://AAAA/BBBB/CCCC")
    assert "AAAA" not in str(caught.value)
    assert made(OC_OPS_NOTIFY_URLS="/etc/urls").environ["OC_OPS_NOTIFY_URLS"] == "/etc/urls"
    told = made(OPENCLAW_GATEWAY_TOKEN="s3cret-s3cret", OPENCLAW_GATEWAY_PORT="28789")
    assert "s3cret" not in crontab.line(told)
    assert told.environ["OPENCLAW_GATEWAY_PORT"] == "28789"
    assert [each for each in told.notes if each.startswith("OPENCLAW_GATEWAY_TOKEN is set here")]


def test_a_line_that_cron_would_not_take_is_refused(shell: Path) -> None:
    """Too long, or with a line break in a path."""
    with pytest.raises(OcOpsError, match="need at most 998 bytes"):
        crontab.line(made(OC_OPS_REPORT_DIR="/" + "x" * 1000))
    with pytest.raises(OcOpsError, match="control character"):
        crontab.line(made(OC_OPS_REPORT_DIR="/a\n* * * * * evil"))


@pytest.mark.parametrize("mark", BLOCKED)
@pytest.mark.parametrize("words", [("install",), ("install", "--systemd"), ("run",)], ids=" ".join)
def test_openclaw_s_own_cron_is_refused(
    mark: str, words: tuple[str, ...], shell: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a gateway hands down to its cron jobs and agents ends it, with the reason."""
    monkeypatch.setenv(mark, "1")
    with pytest.raises(OcOpsError, match=f"{mark} is set, so this runs inside an OpenClaw gateway.*#22652"):
        oc_ops(*words)
    assert not shell.exists()


def test_the_refusal_is_one_sentence_and_exit_4(
    shell: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As for every error that oc-ops means."""
    monkeypatch.setenv("OPENCLAW_CLI", "1")
    monkeypatch.setattr(sys, "argv", ["oc-ops", "schedule", "install"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 4
    assert capsys.readouterr().err.startswith("oc-ops: OPENCLAW_CLI is set")


# -- launchd and systemd ----------------------------------------------------------------------------------------------

ODD = SchedulePlan(
    "work", 900,
    ("/opt/a b/python", "-m", "oc_ops", "schedule", "run", "--oc-profile", "work"), Path("/opt/100% $HOME"),
    {"PATH": "/opt/a b/bin:/usr/bin", "OC_OPS_REPORT_DIR": '/x/"y"\\z $A %h'},
)  # fmt: skip


def test_launchd_is_told_the_same(shell: Path) -> None:
    """A property list that the standard library reads back: label, argv, folder, environment, period."""
    told = plistlib.loads(plan.launchd(ODD).encode())
    assert told["Label"] == "org.oc-ops.oc-ops-doctor-work"
    assert tuple(told["ProgramArguments"]) == ODD.argv
    assert told["WorkingDirectory"] == "/opt/100% $HOME"
    assert told["EnvironmentVariables"] == ODD.environ
    assert (told["StartInterval"], told["RunAtLoad"]) == (900, True)
    printed = oc_ops("install", "--launchd")
    assert plistlib.loads(printed.stdout.encode())["ProgramArguments"][1:] == ["-m", "oc_ops", "schedule", "run"]
    assert "launchctl bootstrap gui/$(id -u) " in printed.stderr
    assert not shell.exists()


def test_systemd_is_told_the_same(shell: Path) -> None:
    """A service and a timer, quoted as systemd unquotes; nothing is installed by printing them."""
    (service_name, service), (timer_name, timer) = plan.systemd(ODD)
    assert (service_name, timer_name) == ("oc-ops-doctor-work.service", "oc-ops-doctor-work.timer")
    assert '\nExecStart="/opt/a b/python" "-m" "oc_ops" "schedule" "run" "--oc-profile" "work"\n' in service
    assert "\nWorkingDirectory=/opt/100%% $HOME\n" in service
    assert '\nEnvironment="OC_OPS_REPORT_DIR=/x/\\"y\\"\\\\z $A %%h"\n' in service
    parsed = configparser.ConfigParser(strict=False, interpolation=None)
    parsed.read_string(timer)
    assert (parsed["Timer"]["OnUnitInactiveSec"], parsed["Timer"]["AccuracySec"]) == ("900s", "5s")
    assert "# oc-ops-doctor.timer" in oc_ops("install", "--systemd").stdout
    assert not shell.exists()
    with pytest.raises(OcOpsError, match="need one of the two"):
        oc_ops("install", "--systemd", "--launchd")


@pytest.mark.skipif(sys.platform != "linux", reason="systemd exists on Linux only")
def test_systemd_itself_finds_nothing_wrong(shell: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` reads both units without a word."""
    for name, text in plan.systemd(made()):
        (tmp_path / name).write_text(text)
    files = [str(tmp_path / name) for name in ("oc-ops-doctor.service", "oc-ops-doctor.timer")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", *files],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "oc-ops-doctor" in line]
    assert (done.returncode, said) == (0, []), done.stderr


@pytest.mark.parametrize(("platform", "instead"), [("darwin", "--launchd"), ("linux", "--systemd")])
def test_what_to_take_without_cron(platform: str, instead: str) -> None:
    """Each platform has its own way."""
    assert plan.without_cron(platform).startswith(instead)


# -- one scheduled run ------------------------------------------------------------------------------------------------


@pytest.fixture
def fake_doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Instead of the doctor the shell script runs that is written into the file returned."""
    script = tmp_path / "doctor.sh"
    monkeypatch.setattr(run, "DOCTOR", ("/bin/sh", str(script)))
    return script


def take(tmp_path: Path, *options: str, **settings: float) -> run.ScheduledRun:
    """One scheduled run."""
    environ: Mapping[str, str] = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home")}
    return run.take(Settings(memory_dir=tmp_path / "memory", **settings), environ, options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("script", "outcome", "why"),
    [
        ("echo a; echo 'doctor: healthy in 3.1 s'", "ran", "doctor: healthy in 3.1 s"),
        ("echo 'doctor: unhealthy in 2.5 s: x'; exit 1", "ran", "doctor: unhealthy in 2.5 s: x"),
        ("echo no such option >&2; exit 4", "lost", "the doctor exited 4: no such option"),
        ("kill -9 $$", "lost", "died of SIGKILL"),
        ("trap '' TERM; while :; do sleep 1; done", "lost", "timed out after 1."),
    ],
    ids=["healthy", "unhealthy", "usage", "killed", "hangs"],
)
def test_what_comes_of_a_scheduled_run(
    script: str, outcome: str, why: str, shell: Path, fake_doctor: Path, tmp_path: Path
) -> None:
    """A verdict, good or bad, is a run; anything else is lost, and the log says which and what was printed."""
    fake_doctor.write_text(script)
    taken = take(tmp_path, schedule_s=1.0, kill_grace_s=0.1)
    assert taken.outcome == outcome
    assert why in taken.why
    log = tmp_path / "memory" / "schedule.log"
    assert f" {outcome}: " in log.read_text().splitlines()[0]
    assert run.last(Settings(memory_dir=tmp_path / "memory")) == log.read_text().splitlines()[0]
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_recovery_has_its_time_beside_the_run_s(shell: Path, fake_doctor: Path, tmp_path: Path) -> None:
    """The deadline of a run that may recover lies beyond the worst case of that, whatever the settings are."""
    fake_doctor.write_text("sleep 1.5; echo 'doctor: healthy in 1.5 s · recovered from gateway/hung'")
    assert take(tmp_path, schedule_s=1.0, kill_grace_s=0.1).outcome == "lost"
    assert take(tmp_path, "--recover", schedule_s=1.0, kill_grace_s=0.1).outcome == "ran"
    some = Settings(start_budget_s=1.0, drain_budget_s=10.0, recover_act_s=100.0, run_s=1000.0, check_s=10_000.0)
    assert longest_s(some) == 3 * 11 + 100 + max(BROWSER_START_S, HEAR_S) + 4 * 11_000


def test_options_and_mark_reach_the_doctor(shell: Path, fake_doctor: Path, tmp_path: Path) -> None:
    """--recover only if asked; the doctor is told that nobody watches."""
    fake_doctor.write_text('echo "$@" $OC_OPS_SCHEDULED')
    assert take(tmp_path).why == "1"
    assert take(tmp_path, "--recover", "--quick").why == "--recover --quick 1"


def test_a_run_beside_another_one_is_skipped(shell: Path, fake_doctor: Path, tmp_path: Path) -> None:
    """After a sleep or a clock change a scheduler may start two: the second says so and looks at nothing."""
    fake_doctor.write_text("echo looked")
    with single_flight(tmp_path / "state" / "oc-ops" / "locks" / "schedule-default.lock", 0):
        taken = take(tmp_path)
    assert taken.outcome == "skipped"
    assert "is held by process" in taken.why
    assert take(tmp_path).outcome == "ran"


def test_the_log_is_rotated(shell: Path, fake_doctor: Path, tmp_path: Path) -> None:
    """It never grows past its limit by more than one run, and the newest three are kept."""
    fake_doctor.write_text("echo $(seq 100)")
    for _ in range(8):
        take(tmp_path, schedule_log_bytes=600)
    kept = {path.name: path.stat().st_size for path in (tmp_path / "memory").glob("schedule.log*")}
    assert set(kept) == {"schedule.log", "schedule.log.1", "schedule.log.2"}
    assert max(kept.values()) < 1400


def test_a_full_disk_costs_the_log_alone(shell: Path, fake_doctor: Path, tmp_path: Path) -> None:
    """The run is made, and its outcome stands."""
    fake_doctor.write_text("echo looked")
    (tmp_path / "memory").rmdir()
    (tmp_path / "memory").write_text("in the way")
    assert take(tmp_path).outcome == "ran"


def test_show_says_what_is_scheduled_and_how_it_went(shell: Path, fake_doctor: Path, tmp_path: Path) -> None:
    """As text and as JSON, before and after."""
    assert "nothing is scheduled" in oc_ops("show").output
    fake_doctor.write_text("echo 'doctor: healthy \x1b[31m'")
    oc_ops("install")
    take(tmp_path)
    shown = oc_ops("show").output
    assert "schedule run # oc-ops schedule default\n" in shown
    assert " ran: doctor: healthy ␛[31m" in shown
    told = json.loads(oc_ops("show", "--json").output)
    assert len(told["lines"]) == 1
    assert "ran: doctor" in told["last"]


def test_only_a_lost_run_says_something_to_cron(shell: Path, fake_doctor: Path) -> None:
    """What cron mails is worth reading: nothing for a verdict, one line and exit 1 for none."""
    fake_doctor.write_text("echo 'doctor: unhealthy'; exit 1")
    assert (oc_ops("run").exit_code, oc_ops("run").output) == (0, "")
    fake_doctor.write_text("exit 3")
    done = oc_ops("run")
    assert done.exit_code == 1
    assert done.stderr.startswith("oc-ops: the scheduled doctor gave no verdict: ")


def test_the_scheduled_command_is_the_one_that_exists() -> None:
    """`python -m oc_ops schedule run` is what the line calls, and shlex reads it back."""
    text = crontab.line(
        SchedulePlan("default", 300, (sys.executable, "-m", "oc_ops", "schedule", "run"), PROJECT, {"A": "b c"})
    )
    assert shlex.split(text, comments=True)[5:] == [
        "cd", str(PROJECT), "&&", "A=b c", sys.executable, "-m", "oc_ops", "schedule", "run",
    ]  # fmt: skip
