"""Bounded reading: what others may have put in a place costs neither the run, nor its memory, nor its answer."""

from __future__ import annotations

import ast
import json
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from oc_ops import files
from oc_ops.errors import CouldNotLook, OcOpsError, OtherAccount
from oc_ops.judge import host, signature_catalogue
from oc_ops.observe import config, install, jobstore
from oc_ops.observe.http import Probe
from oc_ops.observe.target import locate
from oc_ops.settings import PROJECT, Settings
from oc_ops.settings import load as load_settings
from tests.support.hostile import MOST_BYTES, MOST_S, bound_socket, circle, endless, folder, huge, pipe

HOSTILE = [pipe, endless, bound_socket, huge, circle, folder]


@pytest.fixture(params=HOSTILE, ids=lambda make: make.__name__)
def hostile(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    """One way of putting something hostile in a place."""
    return request.param  # type: ignore[no-any-return]


@pytest.mark.timeout(20)
def test_a_whole_read_refuses_it_with_a_reason(hostile: Callable[[Path], None], short_tmp: Path) -> None:
    """At once, as an OSError like any other, with words for the sentence."""
    place = short_tmp / "f"
    hostile(place)
    with pytest.raises(OSError) as refused:  # noqa: PT011 -- the reason is looked at below
        files.read_bytes(place, files.CONFIG_BYTES)
    assert refused.value.strerror


@pytest.fixture
def short_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder as a short relative path: a socket's name is at most 108 bytes long."""
    monkeypatch.chdir(tmp_path)
    return Path()


def test_a_file_that_grows_while_it_is_read_ends(tmp_path: Path) -> None:
    """A file of /proc says that it is empty and is not: the limit holds for what was read."""
    with pytest.raises(files.FileRefused, match="larger than 1 KiB"):
        files.read_bytes(Path("/proc/self/maps"), 1024)


def test_the_end_of_a_huge_file_is_read(tmp_path: Path) -> None:
    """A tail costs what it returns."""
    path = tmp_path / "log"
    huge(path)
    with path.open("ab") as file:
        file.write(b"the end")
    assert files.read_tail(path, 7) == b"the end"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's link")
def test_a_stranger_s_link_is_not_followed_to_a_file_that_is_not_theirs(tmp_path: Path) -> None:
    """A link of another user may not have root read what the user may not."""
    secret, link = tmp_path / "secret", tmp_path / "link"
    secret.write_text("x")
    link.symlink_to(secret)
    assert files.read_text(link, 10) == "x"
    os.lchown(link, 65534, 65534)
    with pytest.raises(files.FileRefused, match="a link of another user"):
        files.read_text(link, 10)
    os.chown(secret, 65534, 65534)
    assert files.read_text(link, 10) == "x"


@pytest.mark.parametrize(
    ("text", "deep"),
    [
        ("[" * files.MOST_DEPTH + "]" * files.MOST_DEPTH, None),
        ("[" * (files.MOST_DEPTH + 1), files.MOST_DEPTH),
        ('{"a": "' + "[" * 1000 + '"}', None),
        ("[]" * 1000, None),
    ],
    ids=["just deep enough", "too deep", "in a string", "side by side"],
)
def test_depth_is_counted_outside_of_strings(text: str, deep: int | None) -> None:
    """Nesting counts, length does not."""
    assert files.too_deep(text) == deep


def test_deep_json_from_a_server_is_no_json() -> None:
    """A body that no parser survives is an answer without JSON."""
    assert Probe("/healthz", "answered", 0.1, 200, "application/json", "", "[" * 60_000).json is None


def test_a_folder_of_ours_is_closed_to_others(tmp_path: Path) -> None:
    """0700 whatever the umask; one that others may write into is closed; a stranger's is refused."""
    before = os.umask(0)
    try:
        made = files.own_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert [each.stat().st_mode & 0o777 for each in (made, made.parent)] == [0o700, 0o700]
    made.chmod(0o777)
    files.own_folder(made)
    assert made.stat().st_mode & 0o077 == 0
    if os.geteuid() == 0:
        os.chown(made, 65534, 65534)
        with pytest.raises(files.FileRefused, match="belongs to another user"):
            files.own_folder(made)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can plant another user's link")
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_stranger_s_link_above_a_folder_is_refused(tmp_path: Path, level: int) -> None:
    """At no level of the path is a folder reached through what somebody else has put there; our own links lead on."""
    real = tmp_path / "real"
    (real / "a" / "b" / "c").mkdir(parents=True)
    path = tmp_path / "link" / "a" / "b" / "c"
    names = ["a", "b", "c"]
    planted = tmp_path / "link"
    if level:
        planted = tmp_path / "link" / Path(*names[:level])
        planted.parent.mkdir(parents=True)
    planted.symlink_to(real / Path(*names[:level]))
    assert files.own_folder(path) == path
    os.lchown(planted, 65534, 65534)
    with pytest.raises(files.FileRefused, match="is a link of another user"):
        files.own_folder(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can plant another user's link")
def test_a_stranger_s_link_behind_a_link_of_ours_is_refused(tmp_path: Path) -> None:
    """Where our link leads to theirs, they choose the folder, and the file, that is ours."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("x")
    for name, to in (("theirs", tmp_path / "real"), ("their-file", tmp_path / "real" / "file")):
        (tmp_path / name).symlink_to(to)
        os.lchown(tmp_path / name, 65534, 65534)
    (tmp_path / "ours").symlink_to("theirs")
    (tmp_path / "our-file").symlink_to("their-file")
    with pytest.raises(files.FileRefused, match="theirs is a link of another user"):
        files.own_folder(tmp_path / "ours" / "a")
    with pytest.raises(files.FileRefused, match="a link of another user"):
        files.read_text(tmp_path / "our-file", 10)


def test_a_folder_that_anybody_may_write_behind_a_link_is_seen(tmp_path: Path) -> None:
    """Not the link's place counts, but where it leads."""
    (tmp_path / "open" / "real").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "open" / "real")
    assert files.exposed(tmp_path / "link" / "a") is None
    (tmp_path / "open").chmod(0o777)
    assert files.exposed(tmp_path / "link" / "a") == tmp_path / "open"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can plant another user's file")
def test_a_stranger_s_file_in_a_folder_of_ours_is_refused(tmp_path: Path) -> None:
    """It was planted before the folder was closed, and they can write it as long as it stands; root's is let be."""
    ours = files.own_folder(tmp_path / "ours")
    planted = ours / "signatures.toml"
    planted.touch()
    assert files.own_folder(ours) == ours
    os.chown(planted, 65534, 65534)
    for refused in (files.own_folder, files.refuse_others):
        with pytest.raises(files.FileRefused, match=r"'signatures.toml' in it belongs to another user: remove it"):
            refused(ours)


@pytest.mark.parametrize(("mode", "open_to_all"), [(0o777, True), (0o1777, False), (0o775, False), (0o703, True)])
def test_a_folder_above_ours_that_everybody_may_write_is_seen(tmp_path: Path, mode: int, open_to_all: bool) -> None:
    """Without the sticky bit whoever writes there renames our folder and puts another in its place."""
    above = tmp_path / "data"
    (above / "a" / "oc-ops").mkdir(parents=True)
    above.chmod(mode)
    assert files.exposed(above / "a" / "oc-ops") == (above if open_to_all else None)
    assert files.exposed(above) is None
    found = host.folder_open({above / "a": above} if open_to_all else {})
    assert (f"chmod +t {above}" in found.fix) if found else not open_to_all


@pytest.mark.parametrize("mask", [0, 0o002, 0o022, 0o077, 0o777])
def test_each_new_level_is_closed_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    """A folder that was missing above ours is not left to others either; one that was there stays as it is."""
    there = tmp_path / "there"
    there.mkdir()
    there.chmod(0o755)
    before = os.umask(mask)
    try:
        files.new_folder(there / "x" / "y" / "z")
    finally:
        os.umask(before)
    levels = [there, there / "x", there / "x" / "y", there / "x" / "y" / "z"]
    assert [each.stat().st_mode & 0o777 for each in levels] == [0o755, 0o700, 0o700, 0o700]
    (there / "file").touch()
    with pytest.raises(FileExistsError):
        files.new_folder(there / "file")


# -- a whole run ------------------------------------------------------------------------------------------------------


class Cost:
    """What a doctor's quick run on a hostile home cost, and said."""

    def __init__(self, home: Path) -> None:
        environ = {"HOME": str(home), "PATH": "/usr/bin:/bin", "XDG_STATE_HOME": str(home / "xdg")}
        environ |= {"OC_OPS_MEMORY_DIR": str(home / "memory"), "OC_OPS_REPORT_DIR": str(home / "reports")}
        # The peak of a child is asked of a parent that has no other child.
        code = (
            "import resource, subprocess, sys\n"
            "done = subprocess.run(sys.argv[1:], capture_output=True, text=True)\n"
            "print(done.stdout + done.stderr)\n"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, done.returncode)"
        )
        argv = [sys.executable, "-c", code, sys.executable, "-m", "pytest", str(PROJECT / "checks"), "-m", "doctor"]
        began = time.monotonic()
        done = subprocess.run(
            [*argv, "--quick"], cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=120, check=True
        )
        self.wall_s = time.monotonic() - began
        *lines, figures = done.stdout.rstrip().splitlines()
        self.output = "\n".join(lines)
        peak, code_ = figures.split()
        self.peak_bytes, self.exit = int(peak) * (1 if sys.platform == "darwin" else 1024), int(code_)


def config_with(home: Path, text: str) -> None:
    """An openclaw.json of that text."""
    (home / ".openclaw").mkdir(exist_ok=True)
    (home / ".openclaw" / "openclaw.json").write_text(text)


def fan_out(home: Path) -> None:
    """Each file includes ten that include ten."""
    config_with(home, json.dumps({"$include": [f"./a{n}.json" for n in range(10)]}))
    for level, following in (("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")):
        for n in range(10):
            part = {"$include": [f"./{following}{m}.json" for m in range(10)]} if following != "e" else {}
            (home / ".openclaw" / f"{level}{n}.json").write_text(json.dumps(part))


PLACES = {
    "config": ".openclaw/openclaw.json",
    "dotenv": ".openclaw/.env",
    "watchlist": "memory/ops_critical_cron_jobs.txt",
    "signatures": "memory/signatures.toml",
    "job store": ".openclaw/cron/jobs.json",
    "incidents": "memory/incidents.jsonl",
    "restart log": ".openclaw/logs/gateway-restart.log",
}
WORST = [(place, make) for place in ("config", "watchlist", "incidents") for make in (pipe, endless, huge)]
ALL = [(place, make) for place in PLACES for make in (pipe, endless, huge, folder)]


def planted(home: Path, place: str, make: Callable[[Path], None]) -> None:
    """Something hostile in one place of a home that is else well."""
    config_with(home, '{"gateway": {"mode": "local", "port": 9}}')
    path = home / PLACES[place]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    make(path)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("place", "make"), WORST, ids=lambda value: getattr(value, "__name__", value))
def test_a_run_ends_in_time_and_memory_and_is_not_green(
    place: str, make: Callable[[Path], None], tmp_path: Path
) -> None:
    """Eight seconds, 250 MB, one sentence; verdict not green."""
    planted(tmp_path, place, make)
    cost = Cost(tmp_path)
    assert cost.exit in (1, 4), cost.output
    assert cost.peak_bytes < MOST_BYTES
    assert cost.wall_s < MOST_S * 4, "the bound is of a machine at rest; under load it is a bound against a hang"
    assert "Traceback" not in cost.output


@pytest.mark.nightly
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("place", "make"), ALL, ids=lambda value: getattr(value, "__name__", value))
def test_every_place_holds(place: str, make: Callable[[Path], None], tmp_path: Path) -> None:
    """The same in every place that others may fill."""
    test_a_run_ends_in_time_and_memory_and_is_not_green(place, make, tmp_path)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "text",
    ['{"a":' * 700 + "1" + "}" * 700, "[" * 100_000, '{"$include": "/dev/zero"}', "{" + " " * 20_000_000 + "}"],
    ids=["700 deep", "100,000 deep", "include of a device", "20 MB of nothing"],
)
def test_a_hostile_config_is_one_sentence(text: str, tmp_path: Path) -> None:
    """No recursion error, no internal error, no endless read."""
    config_with(tmp_path, text)
    cost = Cost(tmp_path)
    assert cost.exit in (1, 4), cost.output
    assert cost.peak_bytes < MOST_BYTES
    assert "Recursion" not in cost.output
    assert "INTERNALERROR" not in cost.output
    assert "Traceback" not in cost.output


@pytest.mark.timeout(120)
def test_includes_are_bounded_altogether(tmp_path: Path) -> None:
    """Ten files that include ten that include ten end after a hundred, with a sentence."""
    fan_out(tmp_path)
    cost = Cost(tmp_path)
    assert cost.exit == 1, cost.output
    assert "more than 100 files are included" in cost.output


# -- many jobs --------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
def test_a_store_of_200_000_jobs_is_one_sentence(tmp_path: Path) -> None:
    """It is counted, not read."""
    state = tmp_path / ".openclaw"
    (state / "state").mkdir(parents=True)
    with sqlite3.connect(state / "state" / "openclaw.sqlite") as database:
        database.execute(
            "CREATE TABLE cron_jobs "
            "(store_key, job_id, job_json, state_json, runtime_updated_at_ms, sort_order, updated_at)"
        )
        rows = (("k", f"j{n}", "{}", "{}", 1, n, 1) for n in range(200_000))
        database.executemany("INSERT INTO cron_jobs VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    database.close()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    with pytest.raises(CouldNotLook, match="holds 200,000 jobs, more than the 5,000"):
        jobstore.read(locate({"HOME": str(tmp_path)}).state_dir)
    assert time.monotonic() - began < MOST_S
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_BYTES // 1024


# -- nothing else opens such files ------------------------------------------------------------------------------------

OWN_READS = {
    "files": "the bounded reader itself",
    "observe/state": "/proc of a process",
    "observe/listener": "/proc of the system",
    "observe/service": "/proc of a process",
    "observe/gatewaylocks": "/proc of a process",
    "observe/sockets": "/proc of the system",
    "doctor/report": "its own page, just drawn",
    "observe/jobs_now": "the system's time zone",
    "process/pty": "our own terminal",
    "cockpit/panes/log": "appends to a log of its own",
    "cockpit/panes/loop": "/dev/null",
    "schedule/run": "appends to a log of its own",
    "judge/releases": "package data",
    "judge/signature_catalogue": "package data, and the operator's by the bounded reader",
    "record/page/html": "package data",
    "record/folder": "its own files, just written",
    "cli/setup": "package data",
    "cli/logs": "a file that the operator names, also a pipe",
    "cockpit/watcher": "appends to a log of its own",
    "cockpit/snapshot": "writes its own snapshot",
    "observe/logs/cursor": "writes its own place",
}


def opens(path: Path) -> bool:
    """Whether a module opens a file by itself: open(), Path.open, read_text or read_bytes of a path."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id == "open":
                return True
            if isinstance(called, ast.Attribute) and called.attr in ("read_text", "read_bytes", "open"):
                owner = ast.unparse(called.value)
                if owner not in ("files", "os", "RecoveryLog", "self.openclaw"):
                    return True
    return False


def test_only_the_bounded_reader_opens_what_others_may_have_written() -> None:
    """Every other place is listed with its reason; the lab runs on files of its own making."""
    package = PROJECT / "oc_ops"
    found = {
        path.relative_to(package).with_suffix("").as_posix() for path in sorted(package.rglob("*.py")) if opens(path)
    }
    found = {each for each in found if not each.startswith("lab/")}
    assert found - set(OWN_READS) == set()
    assert set(OWN_READS) - found - {"files", "process/pty"} == set()


@pytest.mark.timeout(30)
def test_settings_and_signatures_that_nest_without_end_are_a_sentence(tmp_path: Path) -> None:
    """The TOML parser recurses: what it cannot survive is refused like any other bad file."""
    deep = "a = " + "[" * 5000
    (tmp_path / "pyproject.toml").write_text(deep)
    with pytest.raises(OcOpsError):
        load_settings(environ={}, pyproject=tmp_path / "pyproject.toml")
    (tmp_path / "signatures.toml").write_text(deep)
    with pytest.raises(OcOpsError):
        signature_catalogue.load(Settings(memory_dir=tmp_path))


@pytest.mark.timeout(30)
def test_blanks_in_npmrc_cost_nothing(tmp_path: Path) -> None:
    """A quarter of a megabyte of them took minutes."""
    (tmp_path / ".npmrc").write_text(" \n" * 120_000 + "prefix = ~/npm\n")
    began = time.monotonic()
    assert install._npmrc_prefix(tmp_path) == "~/npm"
    assert time.monotonic() - began < 2


def test_a_state_file_that_is_a_pipe_is_not_passed_over(tmp_path: Path) -> None:
    """Jobs without their state would look as if they had never run."""
    cron = tmp_path / ".openclaw" / "cron"
    cron.mkdir(parents=True)
    (cron / "jobs.json").write_text('{"jobs": []}')
    os.mkfifo(cron / "jobs-state.json")
    with pytest.raises(CouldNotLook, match="a pipe"):
        jobstore.read(locate({"HOME": str(tmp_path)}).state_dir)


HUGE = "9" * 4_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9007199254740993", 9007199254740993),
        ("-1732752000000", -1732752000000),
        ("1" + "0" * 20, 1e20),
        (HUGE, float("inf")),
        (f"-{HUGE}", float("-inf")),
        (b"\xff\xfe1\x002\x00", 12),
    ],
    ids=["an id", "a time", "twenty-one digits", "four thousand", "and below zero", "UTF-16"],
)
def test_a_strangers_number_is_what_javascript_makes_of_it(text: str | bytes, value: float) -> None:
    """What is reckoned with it ends as with any number that is too large, and in no OverflowError."""
    found = files.json_of(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5_000 + "x", ""])
def test_what_is_no_json_is_a_value_error(text: str) -> None:
    """Also where Python says that it recursed too deeply: who reads a stranger's text has one thing to catch."""
    with pytest.raises(ValueError, match=r"nested|Extra data|Expecting value|Exceeds"):
        files.json_of(text)


@pytest.mark.parametrize("number", ["0x" + "f" * 5_000, HUGE], ids=["hexadecimal", "decimal"])
def test_a_config_of_huge_numbers_is_read(number: str, tmp_path: Path) -> None:
    """JSON5 knows hexadecimal ones of any length; the redactor writes each number down, and Python refuses that."""
    target = locate({"HOME": str(tmp_path)})
    target.state_dir.mkdir()
    target.config_path.write_text(f"{{gateway: {{port: 4711}}, channels: {{x: {{password: {number}}}}}}}")
    read = config.read(target)
    assert (read.port, read.error) == (4711, None)


def test_strangers_json_is_parsed_in_one_place() -> None:
    """What parses JSON itself reads what this installation wrote, or a text whose numbers it passes over."""
    own = {
        "oc_ops/secrecy.py", "oc_ops/notify/deliver.py", "oc_ops/observe/device.py",
        "oc_ops/observe/logs/cursor.py", "oc_ops/act/recover/outcome.py", "oc_ops/cockpit/files.py",
    }  # fmt: skip
    sources = ((each.relative_to(PROJECT).as_posix(), each.read_text()) for each in (PROJECT / "oc_ops").rglob("*.py"))
    found = {path for path, text in sources if "json.loads(" in text and not path.startswith(_OWN_ROOMS)}
    assert found == own


_OWN_ROOMS = ("oc_ops/record/", "oc_ops/lab/")


def test_a_file_of_another_account_says_whose_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the nearest folder that shows itself; what our own account has closed to itself is no other account's."""
    refused = PermissionError(13, "Permission denied")
    path = tmp_path / "state" / "openclaw.sqlite"
    (tmp_path / "state").mkdir()
    stat = Path.stat

    def closed(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if self == path:
            raise refused
        return stat(self, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", closed)
    assert type(files.unreadable(path, refused)) is CouldNotLook
    monkeypatch.setattr("oc_ops.files.os.geteuid", lambda: 4_000_000)
    error = files.unreadable(path, refused)
    assert isinstance(error, OtherAccount)
    assert (str(error), error.uid) == (f"cannot read {path}: Permission denied", os.getuid())
    assert not isinstance(files.unreadable(path, OSError(5, "Input/output error")), OtherAccount)
