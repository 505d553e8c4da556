"""`oc-ops logs scan`: every signature, over any file."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from oc_ops.cli.logs import _print_table, app, scanned
from oc_ops.errors import OcOpsError
from oc_ops.judge.signature_catalogue import catalogue
from oc_ops.process.pty import plain
from tests.support.log_lines import line

SAMPLES = {each.id: each.sample for each in catalogue()}
EPIPE, TIMEOUT = SAMPLES["crash.epipe"], SAMPLES["rpc.timeout"]


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A memory directory of the test's own."""
    monkeypatch.setenv("OC_OPS_MEMORY_DIR", str(tmp_path / "memory"))
    (tmp_path / "memory").mkdir()
    return tmp_path / "memory"


def scan(*files: str | Path, stdin: bytes = b"") -> dict[str, Any]:
    """What `logs scan FILE… --json` prints."""
    result = CliRunner().invoke(app, ["scan", *map(str, files), "--json"], input=stdin)
    assert result.exit_code == 0, result.output
    said: dict[str, Any] = json.loads(result.output)
    return said


def test_each_signature_is_told_once_with_count_times_and_the_newest_line(tmp_path: Path) -> None:
    """In the catalogue's order; no window, no threshold."""
    log = tmp_path / "log"
    lines = [
        line(EPIPE, time="2020-01-01T10:00:00.000+01:00"),
        line(TIMEOUT, time="2026-01-01T10:00:00.000Z"),
        line("healthy"),
        line(f"{EPIPE} again", time="2026-11-22T10:00:00.000Z"),
    ]
    log.write_text("\n".join(lines) + "\n")
    said = scan(log)
    assert said["lines"] == 4
    assert said["bytes"] == log.stat().st_size
    assert [each for each in said["signatures"] if each["id"] == "crash.epipe"] == [
        {"id": "crash.epipe", "count": 2, "first": "2020-01-01T09:00:00Z", "last": "2026-11-22T10:00:00Z",
         "excerpt": f"{EPIPE} again"}
    ]  # fmt: skip
    order = [each.id for each in catalogue()]
    assert [order.index(each["id"]) for each in said["signatures"]] == sorted(
        order.index(each["id"]) for each in said["signatures"]
    )


def test_the_operator_s_own_signatures_are_looked_for(tmp_path: Path, memory: Path) -> None:
    """memory/signatures.toml counts here as it does in the doctor."""
    (memory / "signatures.toml").write_text(
        '[[signature]]\nid = "my.own"\nliterals = ["teapot"]\npattern = "teapot [0-9]+"\nseverity = "warning"\n'
        'fact = "the gateway is a teapot"\nfix = "none automatic: drink it"\nrestart = "useless"\n'
        'sample = "I am teapot 418"\n'
    )
    (tmp_path / "log").write_text("I am teapot 418\nteapot\n")
    (own,) = scan(tmp_path / "log")["signatures"]
    assert (own["id"], own["count"]) == ("my.own", 1)


def test_any_file_will_do(tmp_path: Path) -> None:
    """Plain text, gzip, standard input, several at once, a last line without its end."""
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    plain.write_text(EPIPE)
    packed.write_bytes(gzip.compress(f"{EPIPE}\n".encode() * 3))
    for given, stdin, lines in ((plain, b"", 1), (packed, b"", 3), ("-", f"{EPIPE}\n{EPIPE}".encode(), 2)):
        said = scan(given, stdin=stdin)
        assert ([each["count"] for each in said["signatures"]], said["lines"]) == ([lines], lines)
    (both,) = scan(plain, packed)["signatures"]
    assert both == {"id": "crash.epipe", "count": 4, "first": None, "last": None, "excerpt": EPIPE}


def test_a_cli_call_s_records_do_not_count(tmp_path: Path) -> None:
    """The same rule as in the doctor; the table says how many there were."""
    log = tmp_path / "log"
    log.write_text(line(TIMEOUT, name="openclaw") + "\n")
    assert scan(log)["signatures"] == []
    result = CliRunner().invoke(app, ["scan", str(log)])
    assert "no known signature in 1 lines" in result.output
    assert "1 records of CLI calls not counted" in result.output


def test_the_table_is_readable_and_harmless(tmp_path: Path) -> None:
    """Control characters, markup and secrets of a log line never reach the terminal."""
    log = tmp_path / "log"
    log.write_text(line(f"{EPIPE} \x1b[2J [bold]token=sk-0123456789abcdefABCDEF") + "\n")
    result = CliRunner().invoke(app, ["scan", str(log)], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "crash.epipe" in result.output
    assert "[bold]" in result.output
    assert "\x1b" not in result.output
    assert "0123456789abcdef" not in result.output


def test_an_empty_file_has_no_signature(tmp_path: Path) -> None:
    """It was read, and that is said."""
    (tmp_path / "log").touch()
    assert scan(tmp_path / "log") == {"signatures": [], "lines": 0, "bytes": 0}


def unreadable(folder: Path) -> dict[str, Path]:
    """What cannot be read."""
    (folder / "torn.gz").write_bytes(gzip.compress(b"x" * 9999)[:-9])
    (folder / "bad.gz").write_bytes(b"\x1f\x8b" + b"\xff" * 99)
    return {"gone": folder / "gone", "a folder": folder, "torn": folder / "torn.gz", "bad": folder / "bad.gz"}


@pytest.mark.parametrize("name", ["gone", "a folder", "torn", "bad"])
def test_what_cannot_be_read_is_an_error(tmp_path: Path, name: str) -> None:
    """In one sentence that names it."""
    path = unreadable(tmp_path)[name]
    result = CliRunner().invoke(app, ["scan", str(path)])
    assert isinstance(result.exception, OcOpsError)
    assert str(result.exception).startswith(f"cannot read {path}: ")


def test_standard_input_may_be_long() -> None:
    """It is read in pieces: a million healthy lines and one that is not."""
    stdin = io.BytesIO()
    stdin.write(b"healthy\n" * 1_000_000 + EPIPE.encode() + b"\n")
    said = scan("-", stdin=stdin.getvalue())
    assert ([each["count"] for each in said["signatures"]], said["lines"]) == ([1], 1_000_001)


@pytest.mark.parametrize("option", ["--json", ""], ids=["json", "table"])
def test_a_terminal_that_knows_no_utf_8_gets_the_whole_answer(tmp_path: Path, option: str) -> None:
    """An arrow or an umlaut in a log line costs no answer in a locale of 128 or 256 characters."""
    log = tmp_path / "log"
    log.write_text(line(f"{SAMPLES['rpc.slow']} \u2026 m\u00fcde") + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "oc_ops", "logs", "scan", str(log), *filter(None, [option])]
    environ = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "COLUMNS": "80"}
    done = subprocess.run(command, env=environ, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert b"rpc.slow" in done.stdout
    if option:
        assert json.loads(done.stdout)["signatures"][0]["excerpt"].endswith("\u2026 m\u00fcde")


def test_a_narrow_table_cuts_neither_a_time_nor_an_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells fold: at 80 columns when a signature fired can still be read."""
    monkeypatch.setenv("COLUMNS", "80")
    log = tmp_path / "log"
    log.write_text(line(SAMPLES["ws.1000_handshake"], time="2026-11-22T10:11:12.000Z") + "\n")
    tally = scanned([str(log)])
    with pytest.MonkeyPatch.context() as terminal:
        shown = io.StringIO()
        terminal.setattr(shown, "isatty", lambda: True)
        terminal.setattr("sys.stdout", shown)
        _print_table(tally)
    lines = [each for each in plain(shown.getvalue()).splitlines() if each.strip()]
    head, rows = lines[0], lines[2:-1]
    first, last = head.index("first"), head.index("last")
    assert " ".join(row[first:last].strip() for row in rows).strip() == "2026-11-22 10:11:12 UTC"
    assert "".join(row[: head.index("count")].strip() for row in rows) == "ws.1000_handshake"
