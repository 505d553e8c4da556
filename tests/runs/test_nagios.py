"""`oc-ops doctor --nagios`: one line and an exit code that a monitoring system understands, whatever happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from oc_ops.judge.finding import Finding
from oc_ops.locks import single_flight
from oc_ops.record import nagios
from oc_ops.record.run import CheckRecord, Lanes, Load, OpenclawInfo, RunRecord
from tests.support.machine import PROJECT, TOO_LONG_S, Operator, Run, closed_port, gateway

# monitoring-plugins.org, development guidelines: 'label'=value[UOM];[warn];[crit];[min];[max]
FIGURE = re.compile(r"([a-z_]+)=(U|-?[0-9]+(?:\.[0-9]+)?(?:s|ms|us|%|[KMGT]?B|c)?);([^;]*);([^;]*);([^;]*)")


def plugin(operator: Operator, *options: str, **environ: str) -> Run:
    """One call as a monitoring system makes it: from anywhere, its output to a pipe."""
    process = subprocess.Popen(
        [sys.executable, "-m", "oc_ops", "doctor", "--nagios", *options],
        cwd=operator.root / "cwd",
        env={**operator.environ, "PYTHONPATH": str(PROJECT), **environ},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    out, err = process.communicate(timeout=TOO_LONG_S)
    return Run(process.returncode, out, err)


def figures(line: str) -> Mapping[str, str]:
    """The performance data of the line, each of the documented form."""
    text, _, data = line.partition(" | ")
    assert "|" not in text
    assert data
    found = [FIGURE.fullmatch(each) for each in data.split()]
    assert all(found), data
    return {each[1]: each[2] for each in found if each}


def one(run: Run) -> str:
    """The one line; there is nothing else, on either stream."""
    assert run.err == ""
    assert run.out.count("\n") == 1, run.out
    return run.out


def test_ok(tmp_path: Path) -> None:
    """A healthy gateway: exit 0, what was looked at, and figures."""
    with gateway() as port:
        run = plugin(Operator(tmp_path, port))
    line = one(run)
    assert run.code == 0
    assert re.match(r"DOCTOR OK - healthy in \d+\.\d s: \d+ checks passed, gateway 2026\.9\.6 on port \d+ \| ", line)
    seen = figures(line.strip())
    assert list(seen) == [
        "time", "errors", "warnings", "passed", "blocked", "not_looked", "incidents", "calls", "cpu",
    ]  # fmt: skip
    assert (seen["errors"], seen["warnings"], seen["blocked"], seen["not_looked"]) == ("0", "0", "0", "0")
    assert int(seen["passed"]) > 15
    assert float(seen["cpu"].rstrip("s")) > 0


def test_warning(tmp_path: Path) -> None:
    """A degraded gateway is a warning, though the doctor itself exits with 0."""
    with gateway(lambda http: http["/startupz"].update(version="2026.5.28")) as port:
        run = plugin(Operator(tmp_path, port))
    assert run.code == 1
    assert one(run).startswith("DOCTOR WARNING - degraded in ")
    assert figures(run.out.strip())["warnings"] == "1"


def test_critical(tmp_path: Path) -> None:
    """A gateway that is down: exit 2, cause and fix; the incident is counted."""
    run = plugin(Operator(tmp_path, closed_port()), "--quick")
    assert run.code == 2
    line = one(run)
    assert line.startswith("DOCTOR CRITICAL - unhealthy in ")
    assert ": gateway/down: nothing listens" in line
    seen = figures(line.strip())
    assert (seen["errors"], seen["incidents"], seen["calls"]) == ("1", "1", "0")
    assert int(seen["blocked"]) > 5


@pytest.mark.parametrize(
    ("options", "environ", "words"),
    [
        (["--no-such-option"], {}, "unrecognized arguments: --no-such-option"),
        ([], {"OC_OPS_RUN_S": "soon"}, 'OC_OPS_RUN_S="soon" in environment: need seconds > 0'),
        (["--quick", "--deep"], {}, "--quick makes no `openclaw` call and --deep needs some"),
        (["-k", "no_such_check"], {}, "could not look: no check was selected"),
    ],
    ids=["unknown option", "wrong setting", "nonsense", "nothing selected"],
)
def test_unknown(options: list[str], environ: dict[str, str], words: str, tmp_path: Path) -> None:
    """What keeps the doctor from looking is exit 3 and said in one line, never pytest's own code."""
    run = plugin(Operator(tmp_path, closed_port()), *options, **environ)
    assert run.code == 3
    assert one(run).startswith("DOCTOR UNKNOWN - ")
    assert words in run.out


def test_a_check_that_could_not_look_is_unknown_unless_something_is_wrong(tmp_path: Path) -> None:
    """Three where nothing else is known to be wrong, two where a cause is: the worse news is not hidden."""
    (tmp_path / "memory" / "ops_critical_cron_jobs.txt").mkdir(parents=True)
    with gateway() as port:
        operator = Operator(tmp_path, port)
        run = plugin(operator, "--quick")
    assert run.code == 3
    assert one(run).startswith("DOCTOR UNKNOWN - unknown in ")
    assert "could not look: cannot read the watchlist" in run.out
    assert (figures(run.out.strip())["not_looked"], figures(run.out.strip())["errors"]) == ("1", "0")
    operator.config.write_text("{")
    run = plugin(operator, "--quick")
    assert run.code == 2
    assert one(run).startswith("DOCTOR CRITICAL - unhealthy in ")


def test_another_run_under_way_is_unknown(tmp_path: Path) -> None:
    """The load is not doubled, and nobody is told that all is well."""
    operator = Operator(tmp_path, closed_port())
    plugin(operator, "--quick")
    (lock,) = (tmp_path / "state").rglob("doctor-*.lock")
    with single_flight(lock, 0):
        run = plugin(operator, "--quick", OC_OPS_OVERLAP_S="0.2")
    assert run.code == 3
    assert "another doctor run is under way" in one(run)


def test_a_killed_run_is_unknown(tmp_path: Path) -> None:
    """A doctor that hangs past its deadline is ended with all it started, and said to be so."""
    operator = Operator(tmp_path, closed_port())
    (tmp_path / "hang").mkdir()
    # An import of pytest that never returns, as on a file system that is gone.
    (tmp_path / "hang" / "pytest.py").write_text("import time\nwhile True: time.sleep(1)\n")
    limits = {"HTTP_PROBE_S": "0.1", "CLI_TIMEOUT_S": "0.2", "CALL_S": "0.3", "CLI_LOCK_S": "0.1", "CHECK_S": "2.6",
              "RUN_S": "2.7"}  # fmt: skip
    environ = {f"OC_OPS_{name}": value for name, value in limits.items()}
    run = plugin(operator, PYTHONPATH=os.pathsep.join((str(tmp_path / "hang"), str(PROJECT))), **environ)
    assert run.code == 3
    assert "timed out after 5." in one(run)


def test_strangers_text_cannot_break_the_line() -> None:
    """A `|` would begin the figures, a line break another line."""
    found = Finding("cron/job-failing", "error", "job a | time=0s\nDOCTOR OK - x", "", "none automatic: x")
    record = RunRecord(
        "unhealthy", "cron/job-failing", datetime.now(UTC), 1.5, Lanes("ok", "ok", "ok"), OpenclawInfo(), (found,),
        (CheckRecord("cron/watched", "n", "failed", 0.1),), load=Load(0, 0.0, 0.25),
    )  # fmt: skip
    line = nagios.line(record, f"doctor: unhealthy in 1.5 s: {found.sentence}")
    assert "\n" not in line
    assert line.startswith("DOCTOR CRITICAL - unhealthy in 1.5 s: cron/job-failing: job a ¦ time=0s␊DOCTOR OK - x")
    assert figures(line)["time"] == "1.500s"
    assert figures(line)["cpu"] == "0.250s"


def test_pytest_s_own_command_line_ends_with_the_same_line(tmp_path: Path) -> None:
    """`pytest checks/ -m doctor --nagios`: pytest's exit code, the plugin's line last."""
    run = Operator(tmp_path, closed_port()).run("--quick", "--nagios")
    assert run.code == 1
    assert run.last_line.startswith("DOCTOR CRITICAL - unhealthy in ")
