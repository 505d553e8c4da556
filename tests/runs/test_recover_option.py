"""`--recover`: after the checks one recovery, then the failed and blocked ones again, in the same run."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.runs.test_faked_faults import IMPATIENT
from tests.support.machine import PROJECT, Operator, Run, closed_port, gateway

QUICKLY = {
    **IMPATIENT,
    "OC_OPS_CONFIRM_GAP_S": "0.2",
    "PYTHONPATH": str(PROJECT / "tests" / "fakes"),
    "PYTEST_ADDOPTS": "-p known_gateway",
}
RESTART = """
if words.startswith("gateway restart"):
    open(os.environ["FAKE_CALLS"] + ".restarted", "w").close()
    print(json.dumps({"ok": True, "result": "restarted"}))
    sys.exit()
"""


@contextmanager
def deaf_until_restarted(root: Path, *, cured: bool = True) -> Iterator[Operator]:
    """A gateway that lives and answers no authenticated read, and, if it is cured by that, does after a restart."""
    restarted = root / "calls.txt.restarted"

    def started() -> dict[str, Any]:
        up_s = time.time() - restarted.stat().st_mtime if restarted.exists() else 86_400.0
        return {"ok": True, "status": "started", "version": "2026.9.6", "uptimeMs": up_s * 1000}

    def change(answers: dict[str, Any]) -> None:
        answers["/startupz"] = started

    with gateway(change, silent=lambda method: method == "status" and not (cured and restarted.exists())) as port:
        operator = Operator(root, port)
        executable = root / "bin" / "openclaw"
        executable.write_text(executable.read_text().replace("answers = {", RESTART + "answers = {", 1))
        yield operator


def test_a_curable_cause_is_cured_once_and_the_run_ends_healthy(tmp_path: Path) -> None:
    """Exit 0; the report tells before, what was done, and after; one restart, one incident, green once."""
    with deaf_until_restarted(tmp_path) as operator:
        run = operator.run("--recover", **QUICKLY)
    assert run.code == 0, run.out
    assert [each for each in operator.calls if "restart" in each] == ["gateway restart --json"]
    latest = operator.latest()
    assert (latest["verdict"], latest["cause"], latest["findings"]) == ("healthy", None, [])
    assert {each["outcome"] for each in latest["checks"]} <= {"passed", "skipped"}
    recovery = latest["recovery"]
    assert (recovery["exit"], recovery["outcome"], recovery["cause"]) == (0, "recovered", "gateway/rpc-unanswered")
    assert recovery["before"]["verdict"] == "unhealthy"
    assert recovery["after"]["verdict"] == "healthy"
    assert [each["step"] for each in recovery["steps"] if each["state"] == "end"][-3:] == ["act", "wait", "observe"]
    assert (latest["incident"]["state"], latest["incident"]["id"]) == ("green once", recovery["incident"])
    told = [json.loads(line) for line in (tmp_path / "memory" / "incidents.jsonl").read_text().splitlines()]
    moments = [each["at"] for each in told if each["what"] in ("opened", "green")]
    assert len(set(moments)) == 2, "the look after the recovery has its own time"
    with sqlite3.connect(tmp_path / "memory" / "ops.sqlite") as history:
        verdicts = [row[0] for row in history.execute("SELECT verdict FROM runs ORDER BY at_ms")]
    assert (verdicts[0], verdicts[-1]) == ("unhealthy", "healthy")
    assert "recover: recovered in " in run.out
    assert run.last_line.startswith("doctor: healthy in ")
    assert run.last_line.endswith(" · recovered from gateway/rpc-unanswered")
    page = (operator.reports / "latest.html").read_text()
    tried = page.index('<p class="oc-tried">↻ recover: recovered in ')
    assert tried < page.index("<h2>"), "a tired person sees it without scrolling"
    assert "gateway/rpc-unanswered is gone after one `openclaw gateway restart`" in page[tried : tried + 200]
    assert "test_gateway.py::test_rpc_answers look 2" in page
    words = [words for _at, words in latest["around"]["timeline"]]
    assert [each.split(":")[0] for each in words[:2]] == ["first red", "evidence kept"]
    assert words[2] == "recovery openclaw gateway restart: begun"
    assert any(each.startswith("recovery openclaw gateway restart: recovered: ") for each in words)


def test_what_a_restart_does_not_cure_is_not_restarted_twice(tmp_path: Path) -> None:
    """Exit 1; the checks say what still stands, and so does the recovery."""
    with deaf_until_restarted(tmp_path, cured=False) as operator:
        run = operator.run("--recover", **QUICKLY, OC_OPS_START_BUDGET_S="3")
    assert run.code == 1, run.out
    assert len([each for each in operator.calls if "restart" in each]) == 1
    assert operator.latest()["recovery"]["outcome"] == "ineffective"
    assert operator.latest()["cause"] == "gateway/rpc-unanswered"
    assert run.last_line.startswith("doctor: unhealthy in ")


def test_nothing_is_recovered_that_is_well_or_that_no_restart_cures(tmp_path: Path) -> None:
    """Healthy: nothing done, exit 0. A gateway that is down and has no service: refused with its own fix, exit 1."""
    with gateway() as port:
        operator = Operator(tmp_path / "well", port)
        run = operator.run("--recover")
    assert run.code == 0, run.out
    assert (operator.latest()["recovery"]["outcome"], operator.latest()["recovery"]["acted"]) == ("healthy", False)
    operator = Operator(tmp_path / "down", closed_port())
    run = operator.run("--recover", "--quick", **{**QUICKLY, "PYTEST_ADDOPTS": ""})
    assert run.code == 1, run.out
    assert (operator.latest()["recovery"]["exit"], operator.latest()["cause"]) == (4, "gateway/down")


def test_what_cannot_be_put_on_record_is_not_done(tmp_path: Path) -> None:
    """One sentence and the verdict of the checks, no traceback and no restart."""
    with deaf_until_restarted(tmp_path) as operator:
        (tmp_path / "memory").mkdir()
        (tmp_path / "memory" / "recoveries").touch()
        run = operator.run("--recover", **QUICKLY)
    assert run.code == 1, run.out
    assert "recover: refused: " in run.out
    assert "INTERNALERROR" not in run.out
    assert [each for each in operator.calls if "restart" in each] == []
    assert run.last_line.startswith("doctor: unhealthy in ")


def test_ctrl_c_in_the_recovery_leaves_record_and_lock_in_order(tmp_path: Path) -> None:
    """Interrupted while it waits for the gateway: exit 2, the record says so, and the next one is not locked out."""
    with deaf_until_restarted(tmp_path, cured=False) as operator:
        process = operator.start(
            str(PROJECT / "checks"), "-m", "doctor", "--recover", **QUICKLY, OC_OPS_START_BUDGET_S="90"
        )
        end = time.monotonic() + 60
        while not (tmp_path / "calls.txt.restarted").exists():
            assert time.monotonic() < end, "no restart was tried"
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        run = Run.of(process)
        assert run.code == 2, run.out
        (record,) = (tmp_path / "memory" / "recoveries").glob("*.jsonl")
        assert '"outcome":"interrupted"' in record.read_text().splitlines()[-1]
        again = operator.run("--recover", **QUICKLY)
    assert "cool-down" in again.out
    assert operator.latest()["recovery"]["exit"] == 3
