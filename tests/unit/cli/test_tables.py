"""Every command in a pipe: its tables have their header and a row a line, and no width of a terminal counts."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from oc_ops.cli import app
from tests.support.log_lines import line
from tests.support.machine import Operator, gateway

LONG = "a backup of everything that matters to anybody, with a name that no terminal is wide enough for, " * 2
HEADS = {
    "jobs": ("job", "on", "schedule", "last run", "next", "verdict"),
    "targets": ("target", "port", "place", "state"),
    "config": ("setting", "value", "from", "meaning"),
    "logs scan LOG": ("signature", "count", "first", "last", "newest line"),
}
"""Commands that print a table, and its header."""
OTHERS = (
    "incidents list", "incidents list --all", "incidents show last", "breaker list", "breaker list --all", "history",
    "metrics", "schedule show", "schedule install --dry-run", "uninstall",
    "lab status", "tmux status", "run nosuch",
)  # fmt: skip
"""Commands that print lines; what becomes of them is not asked here."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A machine with an incident, a history, jobs with long names, and a log with two signatures."""
    root = tmp_path_factory.mktemp("machine")
    with gateway() as port:
        operator = Operator(root, port)
        store = root / "home" / ".openclaw" / "cron" / "jobs.json"
        store.parent.mkdir()
        every = {"kind": "every", "everyMs": 3_600_000}
        jobs = [{"id": f"job-{each}", "name": f"{each} {LONG}", "enabled": True, "schedule": every} for each in "ab"]
        store.write_text(json.dumps({"version": 1, "jobs": jobs}))
        (root / "memory").mkdir()
        (root / "memory" / "ops_critical_cron_jobs.txt").write_text("gone\n")
        operator.run("--quick")
        (root / "gateway.log").write_text(
            line("Error: write EPIPE " + LONG) + line("[openclaw] Unhandled promise rejection: x")
        )
        yield operator


def printed(machine: Operator, monkeypatch: pytest.MonkeyPatch, command: str, columns: int) -> list[str]:
    """The lines of a command whose output goes into a pipe."""
    for name, value in {
        **machine.environ,
        "COLUMNS": str(columns),
        "OC_OPS_LAB_DIR": str(machine.root / "lab"),
    }.items():
        monkeypatch.setenv(name, value)
    words = [str(machine.log) if each == "LOG" else each for each in command.split()]
    done = CliRunner().invoke(app, words)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.output.splitlines()


@pytest.mark.parametrize("command", HEADS)
def test_a_table_has_its_header_and_a_row_a_line(
    machine: Operator, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Also where COLUMNS says 40: cells are apart by tabs, so that `cut`, `awk` and a person find them."""
    rows = [each.split("\t") for each in printed(machine, monkeypatch, command, 40) if "\t" in each]
    assert tuple(rows[0]) == HEADS[command]
    assert len(rows) > 1
    assert {len(each) for each in rows} == {len(HEADS[command])}


@pytest.mark.parametrize("command", [*HEADS, *OTHERS])
def test_no_width_of_a_terminal_counts_in_a_pipe(
    machine: Operator, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """The same number of lines at 40 columns as at 400."""
    narrow, wide = (printed(machine, monkeypatch, command, columns) for columns in (40, 400))
    assert len(narrow) == len(wide)
    assert narrow
