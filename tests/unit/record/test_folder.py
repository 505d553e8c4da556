"""Run directories: private, whole, unique, pruned only where health was certain."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from oc_ops.process.run import Call
from oc_ops.process.supervise import Output
from oc_ops.record import folder
from oc_ops.record.redact import Redactor

NOW = datetime(2026, 11, 22, 19, 41, 15, tzinfo=UTC)
REDACTOR = Redactor(["hunter2-hunter2"], Path("/home/joe"))


def call(stdout: Output, argv: tuple[str, ...] = ("/usr/bin/openclaw", "gateway", "status", "--json")) -> Call:
    """A finished call that printed `stdout`."""
    return Call(
        argv=argv,
        outcome="refused",
        exit=1,
        signal=None,
        wall_s=0.9,
        cpu_s=1.1,
        started_at=NOW,
        stdout=stdout,
        stderr=printed(b"connect ECONNREFUSED"),
        killed=2,
        deadline_s=20.0,
    )


def printed(data: bytes) -> Output:
    """A stream of which nothing was left out."""
    return Output(data, b"", len(data))


def finished(report_dir: Path, number: int, report: str) -> folder.RunFolder:
    """A run of a later second for each number, with this report.json."""
    run = folder.open_run(report_dir, NOW + timedelta(seconds=number))
    folder.write(run.path / "report.html", "page")
    folder.write(run.path / "report.json", report)
    return run


def verdict(word: str) -> str:
    """A report of this verdict, in the form that the doctor writes."""
    return json.dumps({"schema": 1, "verdict": word, "cause": None}, indent=2)


def mode(path: Path) -> int:
    """Permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def test_stamp_is_utc_time_and_sorts(tmp_path: Path) -> None:
    """Runs are named by their UTC start; two in one second get two directories, and names sort as time does."""
    elsewhere = NOW.astimezone(datetime.strptime("+0300", "%z").tzinfo)
    stamps = [folder.open_run(tmp_path, elsewhere).stamp for _ in range(3)]
    stamps.append(folder.open_run(tmp_path, NOW + timedelta(seconds=1)).stamp)
    assert stamps[:2] == ["2026-11-22T19-41-15Z", "2026-11-22T19-41-15Z-02"]
    assert sorted(stamps) == stamps


def test_only_the_owner_can_read(tmp_path: Path) -> None:
    """Directories are 0700 and files 0600, also under a generous umask."""
    before = os.umask(0)
    try:
        run = folder.open_run(tmp_path / "reports")
        folder.write_transcript(run, 1, call(printed(b"x")), REDACTOR)
        folder.write(run.path / "report.json", verdict("unhealthy"))
        folder.publish(run)
    finally:
        os.umask(before)
    for path in (tmp_path / "reports").rglob("*"):
        assert mode(path) == (0o700 if path.is_dir() else 0o600), path


def test_existing_report_directory_keeps_its_permissions(tmp_path: Path) -> None:
    """A directory somebody else made is not ours to close."""
    tmp_path.chmod(0o755)
    folder.open_run(tmp_path)
    assert mode(tmp_path) == 0o755


def test_write_replaces_and_leaves_no_temporary(tmp_path: Path) -> None:
    """A second write replaces the first whole; a lone surrogate cannot stop it."""
    folder.write(tmp_path / "a", "first, longer")
    folder.write(tmp_path / "a", "b\udcff")
    assert (tmp_path / "a").read_text() == "b?"
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses, the old content stays, the error is raised and no temporary remains."""
    folder.write(tmp_path / "a", "old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        folder.write(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_killed_writer_leaves_no_torn_file_and_the_next_run_cleans_up(tmp_path: Path) -> None:
    """After kill -9 in the middle of a write the old file is whole, and the next run removes what lies about."""
    run = folder.open_run(tmp_path, NOW)
    for directory in (run.path, run.path / "calls", tmp_path):
        folder.write(directory / "a", "old")
        script = (
            "import os, signal, sys, pathlib; from oc_ops.record import folder as artifacts\n"
            "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
            "artifacts.write(pathlib.Path(sys.argv[1]), 'new')"
        )
        project = Path(folder.__file__).parents[2]
        code = subprocess.run([sys.executable, "-c", script, str(directory / "a")], cwd=project, check=False).returncode
        assert code == -signal.SIGKILL
        assert (directory / "a").read_text() == "old"
        assert len(list(directory.glob(".a.*.part"))) == 1
    folder.open_run(tmp_path, NOW)
    assert not list(tmp_path.rglob(".*.part"))
    assert (tmp_path / "a").read_text() == "old"


def test_cleaning_spares_a_writer_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that starts while another one writes does not take its temporary file away."""
    run = folder.open_run(tmp_path, NOW)
    real = os.fsync

    def start_another(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", real)
        folder.open_run(tmp_path, NOW)

    monkeypatch.setattr(os, "fsync", start_another)
    folder.write(run.path / "report.html", "whole")
    assert (run.path / "report.html").read_text() == "whole"


def test_latest_is_a_copy_of_the_run(tmp_path: Path) -> None:
    """latest.html and latest.json are files of their own with the run's content; a run without a page has only JSON."""
    run = finished(tmp_path, 0, verdict("unhealthy"))
    folder.publish(run)
    assert (tmp_path / "latest.html").read_text() == "page"
    assert not (tmp_path / "latest.html").is_symlink()
    (run.path / "report.html").unlink()
    folder.publish(run)
    assert json.loads((tmp_path / "latest.json").read_text())["verdict"] == "unhealthy"


@pytest.mark.parametrize(
    "report",
    [
        pytest.param(verdict("unhealthy"), id="unhealthy"),
        pytest.param(verdict("degraded"), id="degraded"),
        pytest.param(verdict("unknown"), id="unknown"),
        pytest.param('{"schema": 1, "verdict": "healthy"', id="torn"),
        pytest.param('{"schema": 2, "verdict": "healthy"}', id="of another schema"),
        pytest.param('["healthy"]', id="not an object"),
        pytest.param("", id="empty"),
    ],
)
def test_whatever_is_not_certainly_healthy_stays(tmp_path: Path, report: str) -> None:
    """Failing runs and unreadable ones are evidence: no bound on healthy runs takes them."""
    run = finished(tmp_path, 0, report)
    assert folder.prune(tmp_path, 0, 1000) == ()
    assert run.path.exists()


def test_surplus_healthy_runs_go_oldest_first(tmp_path: Path) -> None:
    """The newest healthy runs stay, whatever failed between them stays, the rest goes."""
    runs = [finished(tmp_path, n, verdict("unhealthy" if n % 3 == 0 else "healthy")) for n in range(9)]
    removed = folder.prune(tmp_path, 2, 1000)
    assert sorted(removed) == [runs[n].stamp for n in (1, 2, 4, 5)]
    assert sorted(run.stamp for run in runs if run.path.exists()) == [runs[n].stamp for n in (0, 3, 6, 7, 8)]


def test_surplus_failing_runs_go_oldest_first(tmp_path: Path) -> None:
    """A monitor must not fill the disk: beyond the bound the oldest failing runs go, and no healthy one with them."""
    runs = [finished(tmp_path, n, verdict("healthy" if n == 0 else "unhealthy")) for n in range(6)]
    assert sorted(folder.prune(tmp_path, 1, 3)) == [runs[n].stamp for n in (1, 2)]
    assert runs[0].path.exists()


def test_runs_of_a_clock_that_was_ahead_push_nothing_out(tmp_path: Path) -> None:
    """They are the oldest once the clock is right again; else no run of today would stay for 75 years."""
    for year in (2101, 2102, 2103, 2025, 2026):
        run = folder.open_run(tmp_path, datetime(year, 6, 1, tzinfo=UTC))
        folder.write(run.path / folder.REPORT_JSON, '{"schema":1,"verdict":"healthy"}')
    folder.prune(tmp_path, 2, 1000, datetime(2026, 6, 1, tzinfo=UTC))
    assert sorted(each.name[:4] for each in (tmp_path / "runs").iterdir()) == ["2025", "2026"]


def test_only_run_directories_are_removed(tmp_path: Path) -> None:
    """A folder with another name, a file and a link with a run's name are left alone."""
    runs = finished(tmp_path, 0, verdict("unhealthy")).path.parent
    outside = tmp_path / "outside"
    for directory in (outside, runs / "my-notes"):
        directory.mkdir()
        (directory / "report.json").write_text(verdict("healthy"))
    (runs / "2026-01-01T00-00-00Z").symlink_to(outside)
    (runs / "2026-01-01T00-00-01Z").write_text("a file")
    assert folder.prune(tmp_path, 0, 1000) == ()
    assert (outside / "report.json").exists()
    assert (runs / "my-notes" / "report.json").exists()


def test_a_link_inside_a_run_is_not_followed(tmp_path: Path) -> None:
    """Removing a run removes a link in it, not what the link points at."""
    run = finished(tmp_path, 0, verdict("healthy"))
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    (run.path / "link").symlink_to(tmp_path / "precious")
    assert folder.prune(tmp_path, 0, 1000) == (run.stamp,)
    assert (tmp_path / "precious" / "file").exists()
    assert not run.path.exists()


def test_two_pruners_at_once_agree(tmp_path: Path) -> None:
    """Two runs that prune at the same time both succeed and leave exactly what one would have left."""
    for number in range(40):
        finished(tmp_path, number, verdict("healthy"))
    errors: list[BaseException] = []

    def prune() -> None:
        try:
            folder.prune(tmp_path, 5, 1000)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=prune) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(list((tmp_path / "runs").iterdir())) == 5


def test_prune_of_nothing(tmp_path: Path) -> None:
    """A report directory without runs has nothing to prune."""
    assert folder.prune(tmp_path, 1, 1000) == ()


def test_transcript_says_what_was_done(tmp_path: Path) -> None:
    """A transcript has the arguments, times, CPU, outcome, exit and both streams, without secrets or live escapes."""
    run = folder.open_run(tmp_path)
    said = b"token=abc hunter2-hunter2 /home/joe/x \x1b[31mred\x1b[0m \xff"
    argv = ("/home/joe/bin/openclaw", "--token", "geheim", "gateway", "status")
    name = folder.write_transcript(run, 1, call(printed(said), argv), REDACTOR)
    text = (run.path / name).read_text()
    assert name == "calls/01-gateway-status.log"
    for part in (
        "$ ~/bin/openclaw --token [redacted] gateway status",
        "2026-11-22 19:41:15",
        "0.900 s of at most 20 s",
        "1.100 s",
        "refused, exit 1, 2 processes ended",
        "connect ECONNREFUSED",
        "token=[redacted] [redacted] ~/x ␛[31mred␛[0m \ufffd",
    ):
        assert part in text
    assert "geheim" not in text


@pytest.mark.parametrize(
    ("argv", "slug"),
    [
        (("openclaw", "cron", "list", "--json", "--timeout", "8000"), "cron-list"),
        (("node", "/opt/openclaw.mjs", "browser", "--json", "status"), "browser-status"),
        (("openclaw", "--version"), "call"),
        (("openclaw", "../../etc/passwd", "x" * 500), "call"),
    ],
)
def test_transcript_name_is_plain(tmp_path: Path, argv: tuple[str, ...], slug: str) -> None:
    """The file is named after the subcommand, and never after anything that could leave the directory."""
    name = folder.write_transcript(folder.open_run(tmp_path), 7, call(printed(b""), argv), REDACTOR)
    assert name == f"calls/07-{slug}.log"


def test_secret_torn_by_the_cap_leaves_no_half(tmp_path: Path) -> None:
    """Where output was left out, the torn words on both sides of the gap go too."""
    run = folder.open_run(tmp_path)
    output = Output(b"first words hunter2-hun", b"ter2-hunter2 last words", 10_000_000)
    text = (run.path / folder.write_transcript(run, 1, call(output), REDACTOR)).read_text()
    assert "hun" not in text
    assert "ter2" not in text
    assert "first words" in text
    assert "last words" in text
    assert "9,999,954 bytes left out" in text


def test_long_output_is_kept_whole_in_the_transcript(tmp_path: Path) -> None:
    """Up to what a call keeps, the transcript keeps too: a long line is not shortened there."""
    run = folder.open_run(tmp_path)
    name = folder.write_transcript(run, 1, call(printed(b"x" * 1_000_000)), REDACTOR)
    assert "x" * 1_000_000 in (run.path / name).read_text()
