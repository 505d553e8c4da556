"""`oc-ops jobs`: the watchlist beside the jobs, readable and harmless, with the lines that are still to be added."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from oc_ops.cli import jobs as command
from oc_ops.cli import jobtable
from oc_ops.errors import CouldNotLook, SettingError
from oc_ops.judge.watched_jobs import Terms, Verdict, examine
from oc_ops.observe import watchlist
from oc_ops.observe.jobs import Job, Jobs, Schedule
from oc_ops.observe.watchlist import Watched
from oc_ops.record.redact import Redactor
from tests.support.machine import SECRET
from tests.support.stuck_machine import StuckMachine

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
HOUR = 3_600_000
NIGHTLY = Job(
    "d07b64cc-43cd-43e6-99d9-53421e59356a", "nightly backup", enabled=True,
    schedule=Schedule("cron", "0 3 * * *", "UTC"), last_run_ms=NOW_MS - 9 * HOUR + 20, last_status="ok",
    last_duration_ms=4000, next_run_ms=NOW_MS + 15 * HOUR,
)  # fmt: skip
HOSTILE = replace(NIGHTLY, id="h1", name="evil\x1b[2J\u202e[bold]name[/]\n" + "x" * 500)
OFF = replace(NIGHTLY, id="o1", name="old one", enabled=False)
FAILING = replace(NIGHTLY, id="f1", name="digest", last_status="error", last_error="exit 3", consecutive_errors=3)
LIST = (Watched("nightly backup", where="list line 1"), Watched("digest", where="list line 2"),
        Watched("gone", where="list line 3"))  # fmt: skip
Shown = Callable[..., str]


def judged(*jobs: Job, watched: tuple[Watched, ...] = LIST) -> tuple[Jobs, tuple[Verdict, ...]]:
    """Those jobs and the verdicts on the watched ones."""
    seen = Jobs(jobs, "rpc", NOW)
    return seen, examine(watched, seen, {}, Terms())


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    """What is printed of jobs and watchlist."""

    def of(*jobs: Job, watched: tuple[Watched, ...] = LIST) -> str:
        seen, verdicts = judged(*jobs, watched=watched)
        jobtable.show(seen, verdicts, jobtable.unwatched(seen, verdicts), Path("memory") / watchlist.FILE, "")
        return capsys.readouterr().out

    return of


def test_a_secret_in_a_jobs_name_is_not_shown(shown: Shown) -> None:
    """Neither there nor in its error, and its line for the watchlist goes by its id; other jobs stay as they are."""
    telling = replace(FAILING, id="t1", name=f"fetch {SECRET[::-1]}", last_error=f"401 for {SECRET.upper()}")
    seen, verdicts = judged(NIGHTLY, telling, watched=(Watched("t1", where="list line 1"),))
    seen, verdicts = jobtable.redacted(seen, verdicts, Redactor([SECRET], Path("/home/joe")))
    texts = json.dumps(jobtable.as_json(seen, verdicts, jobtable.unwatched(seen, verdicts)))
    assert SECRET not in texts.lower()
    assert SECRET[::-1] not in texts
    assert "fetch [redacted]" in texts
    assert jobtable.handle(seen.jobs[1], seen) == "t1"
    assert seen.jobs[0] == NIGHTLY


def test_plain_lines_where_there_is_no_terminal(shown: Shown) -> None:
    """One line a job with tabs between, watched ones first; then the findings; then the lines to paste."""
    lines = shown(OFF, FAILING, NIGHTLY, replace(NIGHTLY, id="n2", name="weekly")).splitlines()
    assert lines[0] == "4 jobs over RPC"
    assert [line.split("\t") for line in lines[1:7]] == [
        ["job", "on", "schedule", "last run", "next", "verdict"],
        ["nightly backup d07b64c…", "on", "cron 0 3 * * * UTC", "ok 9 h ago, took 4 s", "in 15 h", "ok"],
        ["digest f1", "on", "cron 0 3 * * * UTC", "error 9 h ago, took 4 s", "in 15 h", "job-failing"],
        ["gone", "-", "-", "-", "-", "job-missing"],
        ["old one o1", "off", "cron 0 3 * * * UTC", "ok 9 h ago, took 4 s", "in 15 h", "not watched"],
        ["weekly n2", "on", "cron 0 3 * * * UTC", "ok 9 h ago, took 4 s", "in 15 h", "not watched"],
    ]
    assert 'cron/job-failing: error: the watched job "digest" fails: its last 3 runs failed' in lines
    place = Path("memory") / watchlist.FILE
    assert lines[-2:] == [f"Not watched yet; oc-ops jobs watch JOB, or these lines, put them into {place}:", "weekly"]


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ({}, "not due yet"),
        ({"running_ms": NOW_MS - 1000}, "first run"),
        ({"last_status": "ok", "last_run_ms": NOW_MS - 9 * HOUR + 20}, "ok"),
        ({"last_status": "skipped", "last_run_ms": NOW_MS - 9 * HOUR + 20}, "last skipped"),
    ],
    ids=["never ran", "runs for the first time", "ran", "was skipped"],
)
def test_a_job_that_never_ran_is_not_called_ok(shown: Shown, state: dict[str, Any], verdict: str) -> None:
    """Nothing says yet that it works; its row says when it is due."""
    never = replace(NIGHTLY, last_run_ms=None, last_status="", last_duration_ms=None, created_ms=NOW_MS - HOUR)
    row = shown(replace(never, **state), watched=LIST[:1]).splitlines()[2].split("\t")
    assert (row[4], row[5]) == ("in 15 h", verdict)


def test_the_table_reads_at_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shown: Shown
) -> None:
    """On a terminal no line is wider than it, and no word of a name or a verdict is lost."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown(NIGHTLY, FAILING, replace(OFF, name="a-very-long-name-" * 3)))
    table = text.split("\n\n")[0].splitlines()
    assert max(map(len, table)) <= 80
    squeezed = re.sub(r"\s+", "", "".join(line[:24] for line in table))
    assert "nightlybackup" in squeezed
    assert "verdict" in table[2] or "verdict" in table[1]
    assert any("job-failing" in line for line in table)


def test_a_stranger_s_name_does_nothing(shown: Shown) -> None:
    """No escape, no override, no markup, no second line; and not the whole of a name without end."""
    text = shown(HOSTILE, watched=())
    assert not re.search(r"[\x1b\u202e]", text)
    assert "␛[2J" in text
    assert len(max(text.splitlines(), key=len)) < 300
    assert text.splitlines()[-1] == "h1"


@pytest.mark.parametrize(
    ("job", "line"),
    [
        (replace(NIGHTLY, name="plain"), "plain"),
        (replace(NIGHTLY, name="Report #3, weekly"), '"Report #3, weekly"'),
        (replace(NIGHTLY, name="sync a=b"), '"sync a=b"'),
        (replace(NIGHTLY, name=""), NIGHTLY.id),
        (replace(NIGHTLY, name=" padded "), '" padded "'),
        (replace(NIGHTLY, name="two\nlines"), NIGHTLY.id),
        (replace(NIGHTLY, name="f1"), NIGHTLY.id),
        (replace(NIGHTLY, name="digest"), NIGHTLY.id),
    ],
    ids=["plain", "hash", "like an option", "no name", "blanks", "lines", "another's id", "shared"],
)
def test_a_line_to_paste_means_that_very_job(job: Job, line: str) -> None:
    """The name where it is unique and can be written, else the id; either way it is found again."""
    seen = Jobs((job, FAILING), "rpc", NOW)
    first, _ = jobtable.unwatched(seen, ())
    assert first.line == line
    (verdict,) = examine(watchlist.parse(first.line, "list"), seen, {}, Terms())
    assert verdict.job is job


def test_json_holds_what_a_machine_needs() -> None:
    """Every job, every verdict with its findings, what could not be judged, and the lines to paste."""
    seen, verdicts = judged(NIGHTLY, FAILING, replace(FAILING, id="f2"))
    told: dict[str, Any] = json.loads(json.dumps(jobtable.as_json(seen, verdicts, jobtable.unwatched(seen, verdicts))))
    assert told["source"] == "rpc"
    assert [(each["job"], each["id"], each["verdict"]) for each in told["watched"]] == [
        ("nightly backup", NIGHTLY.id, "ok"),
        ("digest", None, "could not look"),
        ("gone", None, "job-missing"),
    ]
    assert told["watched"][1]["unseen"].startswith('two jobs are called "digest": f1 and f2')
    assert told["watched"][2]["findings"][0]["check"] == "cron/job-missing"
    assert [each["verdict"] for each in told["jobs"]] == ["ok", "not watched", "not watched"]
    assert told["jobs"][0]["schedule"]["expression"] == "0 3 * * *"
    assert told["not_watched"] == ["f1", "f2"]


def test_nothing_watched_says_where_the_list_is(shown: Shown) -> None:
    """An empty list beside no job at all is not silence."""
    assert (
        shown(watched=()).splitlines()[-1] == f"Nothing is watched; the watchlist is {Path('memory') / watchlist.FILE}"
    )


# -- the command whole, beside a gateway that is down ---------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`oc-ops jobs` in a home of its own, whose gateway is down and whose store is that of an older release."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    state = tmp_path / ".openclaw"
    (state / "cron").mkdir(parents=True)
    (state / "openclaw.json").write_text(json.dumps({"gateway": {"mode": "local", "port": port}}))
    now_ms = round(time.time() * 1000)
    job = {"id": "a1", "name": "nightly backup", "enabled": True, "createdAtMs": now_ms - 9 * 24 * HOUR,
           "schedule": {"kind": "every", "everyMs": HOUR, "anchorMs": now_ms - 9 * 24 * HOUR},
           "payload": {"kind": "systemEvent"},
           "state": {"lastRunAtMs": now_ms - 3 * HOUR, "lastStatus": "ok"}}  # fmt: skip
    (state / "cron" / "jobs.json").write_text(json.dumps({"version": 1, "jobs": [job]}))
    (tmp_path / "memory").mkdir()
    for name, value in (("HOME", tmp_path), ("OC_OPS_MEMORY_DIR", tmp_path / "memory"), ("XDG_STATE_HOME", tmp_path),
                        ("OC_OPS_CONFIG_DIR", tmp_path / "own")):  # fmt: skip
        monkeypatch.setenv(name, str(value))

    def of(text: str, *options: str) -> Any:
        (tmp_path / "memory" / watchlist.FILE).write_text(text)
        return CliRunner().invoke(command.app, options)

    return of


def test_beside_a_gateway_that_is_down_the_store_tells(run: Callable[..., Any]) -> None:
    """The jobs and what they missed, said to be by the store, as warnings: the exit code is not theirs to set."""
    done = run("nightly backup")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "1 jobs by its own store: the gateway does not answer (gateway/down)"
    assert lines[2].startswith("nightly backup a1\ton\tevery 1 h\tok 3 h ago\t")
    assert lines[2].endswith("\trun-missed")
    assert any(each.startswith("cron/run-missed: warning: by the store, the watched job") for each in lines)


def test_json_beside_a_gateway_that_is_down(run: Callable[..., Any]) -> None:
    """The same for a machine."""
    told = json.loads(run("nightly backup", "--json").stdout)
    assert (told["source"], told["watched"][0]["verdict"]) == ("store", "run-missed")


def test_what_could_not_be_judged_is_not_exit_0(run: Callable[..., Any], tmp_path: Path) -> None:
    """Two jobs of one name: nobody can say that the watched one is well."""
    path = tmp_path / ".openclaw" / "cron" / "jobs.json"
    listed = json.loads(path.read_text())
    path.write_text(json.dumps({**listed, "jobs": [*listed["jobs"], {**listed["jobs"][0], "id": "b2"}]}))
    done = run("nightly backup")
    assert done.exit_code == 1
    assert 'nightly backup: could not look: two jobs are called "nightly backup": a1 and b2' in done.stdout


def test_a_bad_line_is_refused_before_anything_is_looked_at(run: Callable[..., Any]) -> None:
    """The error is the watchlist's, with its line."""
    assert isinstance(run("fine\nbad max-age=never\n").exception, SettingError)


def test_no_source_at_all_is_could_not_look(run: Callable[..., Any], tmp_path: Path) -> None:
    """Without a gateway and without a store nothing is claimed."""
    (tmp_path / ".openclaw" / "cron" / "jobs.json").unlink()
    assert isinstance(run("fine").exception, CouldNotLook)


def test_what_openclaw_said_to_a_failure_is_harmless_and_without_secrets(tmp_path: Path) -> None:
    """Its error may hold the token and a terminal's commands: neither reaches the terminal."""
    machine = StuckMachine(tmp_path)
    (machine.root / "bin" / "openclaw").write_text(
        "#!/bin/sh\ncase $1 in --version) echo OpenClaw 2026.2.26 ;;\n"
        """gateway) echo '{"heartbeat": {}, "rpc": {"ok": true}}' ;;\n"""
        f'*) printf "Error: \\033[2J no such device: {SECRET}\\n" >&2; exit 1 ;; esac\n'
    )
    (machine.memory / "ops_critical_cron_jobs.txt").write_text("job-1\n")
    with machine.gateway():
        done = subprocess.run(
            [sys.executable, "-c", "from oc_ops.cli import main; main()", "jobs"],
            env={**machine.environ, "OC_OPS_RPC": "off"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 4, done.stdout
    assert "no such device: [redacted]" in done.stderr
    assert "\x1b" not in done.stderr


# -- watch and unwatch ------------------------------------------------------------------------------------------------

LISTED = '# those that matter\n\n"other job" max-age=8d  # weekly\nnightly backup   # ours\n'


def listed(tmp_path: Path) -> str:
    """The watchlist as it stands."""
    return (tmp_path / "memory" / watchlist.FILE).read_text()


def test_watch_adds_one_line(run: Callable[..., Any], tmp_path: Path) -> None:
    """By its name; comments, blank lines and what others are asked stay to the byte, an end without a newline too."""
    done = run("# mine\nother", "watch", "nightly backup", "--max-age", "26h", "--max-failures", "3")
    assert done.exit_code == 0, done.output
    assert listed(tmp_path) == "# mine\nother\nnightly backup max-age=26h max-failures=3\n"
    assert done.stdout.startswith("watching: nightly backup max-age=26h max-failures=3 (in ")


def test_watch_by_an_id_writes_the_name(run: Callable[..., Any], tmp_path: Path) -> None:
    """A job is found by its id as well; the list says what a person calls it."""
    assert run("", "watch", "a1").exit_code == 0
    assert listed(tmp_path) == "nightly backup\n"


def test_watch_again_changes_the_limits_alone(run: Callable[..., Any], tmp_path: Path) -> None:
    """A line that is there keeps its place and its comment; nothing given changes nothing."""
    assert run(LISTED, "watch", "a1", "--timeout", "15m").stdout.startswith("changed: nightly backup timeout=15m")
    assert listed(tmp_path) == LISTED.replace("nightly backup   # ours", "nightly backup timeout=15m  # ours")
    assert "watched already" in run(LISTED, "watch", "nightly backup").stdout
    assert listed(tmp_path) == LISTED


def test_unwatch_takes_its_line_out(run: Callable[..., Any], tmp_path: Path) -> None:
    """By whatever the list calls it, or by the other name of the same job."""
    for name in ("nightly backup", "a1"):
        assert run(LISTED, "unwatch", name).exit_code == 0
        assert listed(tmp_path) == LISTED.replace("nightly backup   # ours\n", "")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("watch", "nightly bakcup"), "there is no job 'nightly bakcup'; nearest: nightly backup"),
        (("unwatch", "other jb"), "'other jb' is not watched; nearest: other job"),
        (("watch", "nightly backup", "--max-age", "soon"), 'max-age="soon" in the options'),
    ],
    ids=["watch", "unwatch", "limit"],
)
def test_a_typo_changes_nothing(run: Callable[..., Any], tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    """A name that is near is told; the file stays as it is."""
    done = run(LISTED, *options)
    assert words in str(done.exception)
    assert listed(tmp_path) == LISTED


@pytest.mark.parametrize("options", [("watch", "fetch rep"), ("watch", "a1"), ("unwatch", "fetch rep")])
def test_a_secret_in_a_name_is_not_told_to_who_mistypes_it(
    run: Callable[..., Any], tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Neither as the nearest name nor in the line that is written, which goes by the job's id."""
    store = tmp_path / ".openclaw" / "cron" / "jobs.json"
    store.write_text(store.read_text().replace("nightly backup", "fetch reports token=hunter2bluemoon"))
    done = run('"fetch reports token=hunter2bluemoon"\n' if options[0] == "unwatch" else "", *options)
    said = f"{done.output}{done.exception}"
    assert "hunter2" not in said
    assert "fetch reports token=[redacted]" in said or "watching: a1" in said
    assert options[0] == "unwatch" or "hunter2" not in listed(tmp_path)


def test_a_line_keeps_its_windows_ending_and_its_mode(run: Callable[..., Any], tmp_path: Path) -> None:
    """An edit is an edit: endings and permissions are the operator's."""
    path = tmp_path / "memory" / watchlist.FILE
    run("other\r\n")
    path.chmod(0o640)
    path.write_bytes(b"other\r\n")
    CliRunner().invoke(command.app, ["watch", "a1"])
    assert path.read_bytes() == b"other\r\nnightly backup\r\n"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_to_a_watchlist_stays_a_link(run: Callable[..., Any], tmp_path: Path) -> None:
    """The operator's list may lie in a repository of theirs."""
    run("")
    path, real = tmp_path / "memory" / watchlist.FILE, tmp_path / "real.txt"
    path.rename(real)
    path.symlink_to(real)
    CliRunner().invoke(command.app, ["watch", "a1"])
    assert path.is_symlink()
    assert real.read_text() == "nightly backup\n"


def test_the_list_that_does_not_count_is_named(run: Callable[..., Any], tmp_path: Path) -> None:
    """In a checkout its own list counts as soon as it names a job; before that the operator's own does."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / watchlist.FILE).write_text("from my folder\n")
    assert f"{tmp_path / 'own' / watchlist.FILE} is not read" in run("nightly backup").stderr
    assert "from my folder" in run("# nothing yet\n").stdout
