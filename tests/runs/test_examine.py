"""The doctor as recovery asks it: a whole run in a process of its own, judged by its report."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from oc_ops.act.recover import outcome as act_examine
from oc_ops.act.recover.outcome import Observation, examine
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.settings import Settings, load
from tests.support.machine import Operator, closed_port, gateway

REPORT = {
    "verdict": "unhealthy",
    "cause": "gateway/hung",
    "findings": [
        {"check": "logs/rpc.timeout", "severity": "warning", "fact": "f", "saw": "s", "fix": "x", "verify": "v"},
        {"check": "gateway/hung", "severity": "error", "fact": "it hangs", "saw": "s", "fix": "x", "subject": ""},
    ],
    "checks": [{"outcome": "passed", "note": ""}, {"outcome": "error", "note": "no room"}],
    "incident": {"id": "20261122-194115-gateway-hung"},
}


def test_a_report_is_an_observation(tmp_path: Path) -> None:
    """Verdict, cause, findings, incident and why something could not be looked at."""
    seen = Observation.of_report(REPORT, tmp_path)
    assert (seen.verdict, seen.incident, seen.folder) == ("unhealthy", "20261122-194115-gateway-hung", tmp_path)
    assert seen.cause is not None
    assert (seen.cause.check, seen.cause.fact, len(seen.findings)) == ("gateway/hung", "it hangs", 2)
    assert seen.note == "no room"


@pytest.mark.parametrize("report", [{}, {"verdict": "splendid"}, {"findings": "none", "incident": None}])
def test_what_is_no_report_is_never_green(report: dict[str, object], tmp_path: Path) -> None:
    """Without a verdict that is known, nothing is known."""
    seen = Observation.of_report(report, tmp_path)
    assert (seen.verdict, seen.cause, seen.healthy) == ("unknown", None, False)


@pytest.mark.parametrize(
    ("checks", "echoes"),
    [
        (("logs/rpc.timeout",), True),
        (("logs/rpc.timeout", "logs/crash.epipe"), True),
        (("logs/rpc.timeout", "gateway/hung"), False),
        (("logs/silent",), False),
        ((), False),
    ],
)
def test_lines_in_the_log_are_echoes_only_by_themselves(checks: tuple[str, ...], echoes: bool) -> None:
    """A single finding of the state among them, and it is no echo."""
    findings = [{"check": each, "severity": "error"} for each in checks]
    seen = Observation.of_report({"verdict": "unhealthy" if checks else "healthy", "findings": findings}, Path())
    assert bool(seen.echoes) is echoes


@pytest.mark.timeout(120)
def test_a_real_run_s_own_report_is_read(tmp_path: Path) -> None:
    """The report of this very run, not the latest of somebody else's; healthy and down."""
    with gateway() as port:
        operator = Operator(tmp_path, port)
        settings = load(environ=operator.environ)
        seen = examine(settings, operator.environ)
        assert seen.verdict == "healthy"
    operator.configure(closed_port())
    (operator.reports / "latest.json").write_text("{}")
    seen = examine(settings, operator.environ)
    assert seen.cause is not None
    assert (seen.verdict, seen.cause.check) == ("unhealthy", "gateway/down")
    assert seen.folder is not None
    assert json.loads((seen.folder / "report.json").read_text())["cause"] == "gateway/down"
    assert seen.incident is not None


@pytest.mark.timeout(120)
def test_a_run_that_refuses_is_an_error_and_one_that_cannot_look_is_not(tmp_path: Path) -> None:
    """A wrong option raises OcOpsError in the doctor's words; another run under way raises CouldNotLook."""
    operator = Operator(tmp_path, closed_port())
    with pytest.raises(OcOpsError, match="nowhere") as caught:
        examine(Settings(report_dir=operator.reports), operator.environ, ["--openclaw", "/nowhere"])
    assert not isinstance(caught.value, CouldNotLook)
    from oc_ops.locks import single_flight
    from oc_ops.observe.target import locate

    lock = Path(operator.environ["XDG_STATE_HOME"]) / "oc-ops" / "locks" / f"doctor-{locate(operator.environ).key}.lock"
    with single_flight(lock, 0), pytest.raises(CouldNotLook, match="another doctor run is under way"):
        examine(Settings(report_dir=operator.reports), {**operator.environ, "OC_OPS_OVERLAP_S": "0.2"})


def test_outside_a_checkout_the_wheel_s_own_suite_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks and settings that lie in the package, and no bytecode of pytest's written beside them."""
    monkeypatch.setattr(act_examine, "CHECKOUT", None)
    monkeypatch.setattr(act_examine, "SUITE", tmp_path)
    argv = act_examine.argv(["--quick"])
    assert argv[3:] == [
        str(tmp_path / "checks"), "-m", "doctor", "-c", str(tmp_path / "pyproject.toml"),
        "--rootdir", str(tmp_path), "--assert=plain", "--quick",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (None, "doctor: unknown in 0.1 s: words of its own"),
        ("{", "cannot be read"),
        ("[]", "is not one"),
        ("{}", "cannot be read"),
        ('{"report": "/nowhere/runs/2026/report.json"}', "/nowhere/runs/2026/report.json cannot be read"),
    ],
    ids=["none", "torn", "no object", "no place", "place without a report"],
)
def test_a_result_is_data_or_none(
    result: str | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the doctor prints is no result, even where it looks like one; nor is a file that is not whole."""
    code = (
        "import sys, pathlib\nplace, text = sys.argv[-1], sys.argv[1]\n"
        "print('report: /x/runs/2026-11-22T10-00-00Z/report.html\\ndoctor: unknown in 0.1 s: words of its own')\n"
        "if text: pathlib.Path(place).write_text(text)\nsys.exit(1)"
    )
    monkeypatch.setattr(act_examine, "argv", lambda options: [sys.executable, "-c", code, result or "", *options])
    folder = tmp_path / "runs" / "2026-11-22T10-00-00Z"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps(REPORT))
    with pytest.raises(CouldNotLook, match=why):
        examine(Settings(report_dir=tmp_path), {"PATH": "/usr/bin:/bin"})
