"""`oc-ops run` at the command line: exit codes, the words on both streams, JSON, and nothing harmful in them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from oc_ops.act import cron_run
from oc_ops.act.cron_run import EXITS, JobNotChosen, JobRequest, Outcome, RunResult
from oc_ops.act.cron_run.answer import record_of
from oc_ops.cli import app, run_output
from oc_ops.errors import OcOpsError
from oc_ops.observe.jobs import Job, Schedule
from oc_ops.record.redact import Redactor

JOB = Job("job-0001", "nightly", True, Schedule("every", every_ms=3_600_000))
SECRET = "s3cret-0123456789"


@dataclass
class Ran:
    """What the command was asked for and printed."""

    exit: int
    out: str
    err: str
    asked: JobRequest | None


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """The command, on a home with a config, over a run that ends as the test says."""
    for name in [each for each in os.environ if each.startswith("OC_OPS_")]:
        monkeypatch.delenv(name)
    state = tmp_path / ".openclaw"
    state.mkdir()
    (state / "openclaw.json").write_text(json.dumps({"gateway": {"port": 1, "auth": {"token": SECRET}}}))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OC_OPS_MEMORY_DIR", str(tmp_path / "memory"))

    def ran(
        *words: str, end: RunResult | BaseException | None = None, during: Callable[[Any], None] | None = None
    ) -> Ran:
        asked: list[JobRequest] = []

        def fake(question: JobRequest, _gateway: object, say: Any) -> RunResult:
            asked.append(question)
            if during:
                during(say)
            if isinstance(end, BaseException):
                raise end
            return end or RunResult("succeeded", JOB)

        monkeypatch.setattr(cron_run, "run_job", fake)
        got = CliRunner().invoke(app, ["run", *words])
        if got.exception is not None and not isinstance(got.exception, SystemExit):
            raise got.exception
        return Ran(got.exit_code, got.stdout, got.stderr, asked[0] if asked else None)

    return ran


@pytest.mark.parametrize("outcome", EXITS)
def test_every_outcome_has_its_exit_code(run: Run, outcome: Outcome) -> None:
    """In words and as JSON."""
    assert run("nightly", end=RunResult(outcome, JOB)).exit == EXITS[outcome]
    said = run("nightly", "--json", end=RunResult(outcome, JOB, "why"))
    told = json.loads(said.out)
    assert (said.exit, told["outcome"], told["exit"], told["why"]) == (EXITS[outcome], outcome, EXITS[outcome], "why")
    assert told["job"] == {"id": "job-0001", "name": "nightly"}


@pytest.mark.parametrize("words", [(), ("nightly", "0"), ("nightly", "-5"), ("nightly", "soon"), ("a", "5", "b")])
def test_bad_usage(run: Run, words: tuple[str, ...]) -> None:
    """Exit 2 before anything is looked at."""
    said = run(*words)
    assert (said.exit, said.asked) == (2, None)


def test_what_is_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is the one given, else the setting's; --due and --no-wait are handed on."""
    given = run("nightly", "2.5", "--due", "--no-wait").asked
    assert given is not None
    assert (given.word, given.limit_s, given.due, given.wait) == ("nightly", 2.5, True, False)
    plain = run("nightly").asked
    assert plain is not None
    assert (plain.limit_s, plain.due, plain.wait) == (180.0, False, True)
    monkeypatch.setenv("OC_OPS_JOB_RUN_S", "7")
    changed = run("nightly").asked
    assert changed is not None
    assert changed.limit_s == 7.0


def test_no_job_or_several(run: Run) -> None:
    """Exit 2, the candidates one a line, harmless and machine-readable."""
    odd = Job("j2", "evil\x1b[2J\u202ename", True, Schedule("unknown"))
    said = run("nigtly", end=JobNotChosen('no job has the id or name "nigtly"; near to it:', (JOB, odd)))
    assert (said.exit, said.out) == (2, "")
    assert said.err.splitlines() == [
        'oc-ops: no job has the id or name "nigtly"; near to it:',
        "  job-0001  nightly  (every 1 h)",
        "  j2  evil␛[2J\\u202ename  (not by the clock)",
    ]  # fmt: skip
    told = json.loads(run("nigtly", "--json", end=JobNotChosen("why", (JOB,))).out)
    assert told == {
        "outcome": "no-such-job",
        "exit": 2,
        "why": "why",
        "candidates": [{"id": "job-0001", "name": "nightly"}],
    }


def test_nothing_could_be_started(run: Run) -> None:
    """Exit 4 and one sentence, without a secret."""
    said = run("nightly", end=OcOpsError(f"the store is gone: {SECRET}"))
    assert (said.exit, said.err) == (4, "oc-ops: the store is gone: [redacted]\n")
    assert json.loads(run("nightly", "--json", end=OcOpsError("gone")).out)["outcome"] == "not-started"
    assert run("nightly", end=KeyboardInterrupt()).exit == 130


def test_the_result_in_words(run: Run, tmp_path: Path) -> None:
    """One sentence, then what helps; a stranger's text is shown, not obeyed."""
    entry = {"severity": "error", "source": "exec", "message": f"boom\x1b[2J {SECRET}", "exitCode": 3}
    record = record_of({"status": "error", "durationMs": 95, "diagnostics": {"entries": [entry]}})
    result = RunResult("failed", JOB, f"exit 3\x1b]52;c;x\x07 {SECRET}", record=record, log=tmp_path / "x.log")
    lines = run("nightly", end=result).out.splitlines()
    assert lines == [
        '"nightly" failed after 95 ms: exit 3␛]52;c;x␇ [redacted]',
        "  diag:  error exec boom␛[2J [redacted] (exit code 3)",
        "  log:   ~/x.log",
    ]
    assert SECRET not in run("nightly", "--json", end=result).out
    late = RunResult("out-of-time", JOB, "under way for 8 s", waited_s=10.0)
    (tmp_path / ".openclaw-work").mkdir()
    assert run("nightly", "--oc-profile", "work", end=late).out.splitlines() == [
        '"nightly" has not ended in 10 s; it may still be running, and is not started again: under way for 8 s',
        "  see:   openclaw --profile work cron runs --id job-0001",
    ]


def test_plain_lines_where_there_is_no_terminal(run: Run) -> None:
    """On stderr, one whenever something else is waited for; stdout is the result's alone."""

    def during(say: Any) -> None:
        say.begin(JOB, 180.0, "/x.log")
        for seconds in range(3):
            say.state("running", f"the run is under way, {seconds}")
        say.state("trouble", "the gateway\x1b[2J is silent")
        say.warn("a disk is full")

    said = run("nightly", during=during)
    assert said.err.splitlines() == [
        'Running "nightly" (job-0001) once; waiting up to 180 s',
        "transcript: /x.log",
        "0:00  the run is under way, 0",
        "0:00  the gateway␛[2J is silent",
        "warning: a disk is full",
    ]
    assert said.out == '"nightly" succeeded\n'


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_live_line(width: int) -> None:
    """How long, of how long, and what for; it fits the terminal, and nothing in it acts upon it."""
    from rich.console import Console

    console = Console(width=width, force_terminal=True, color_system=None, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    screen = run_output.ProgressLine(Redactor((), Path("/nowhere")), console)
    screen.begin(JOB, 3700.0, "/x.log")
    screen.state("running", f"the run [bold]is[/bold] under way\x1b[2J {'x' * 50}")
    console.print(screen.line())
    console.file.close()
    lines = console.export_text().splitlines()
    shown = " ".join(lines[2:])
    assert "0:00 of 1:01:40" in shown
    assert "[bold]" in shown.replace(" ", "")
    assert "\x1b" not in shown
    assert all(len(each) <= width for each in lines[2:])


def test_the_help_tells_the_exit_codes() -> None:
    """Every one of them."""
    text = CliRunner().invoke(app, ["run", "--help"]).stdout
    for code in sorted({*EXITS.values()}):
        assert f"  {code} " in text
