"""A scheduled run proves the command line once an hour: when it is asked before that, and when it is not."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.support.machine import Operator, gateway

pytestmark = pytest.mark.timeout(180)

SCHEDULED = {"OC_OPS_SCHEDULED": "1"}
CLI_CHECKS = {"cli/works", "config/accepted", "gateway/status", "gateway/versions", "cron/list", "browser/control"}


def proof(operator: Operator) -> Path:
    """The one file that says when the command line was proven."""
    (path,) = (operator.root / "memory").glob("cli-proof-*.json")
    return path


def outcomes(operator: Operator) -> dict[str, str]:
    """What became of each check in the latest run."""
    return {each["id"]: each["outcome"] for each in operator.latest()["checks"]}


def test_a_scheduled_run_does_not_prove_the_command_line_again(tmp_path: Path) -> None:
    """The first proves it; the next one calls nothing, says how old the proof is, and is as green."""
    with gateway() as port:
        operator = Operator(tmp_path, port)
        assert operator.run(**SCHEDULED).code == 0
        before = list(operator.calls)
        assert len(before) > 2
        again = operator.run(**SCHEDULED)
        assert (again.code, operator.calls) == (0, before), again.out
        assert "· command line proven " in again.last_line
        assert operator.latest()["lanes"]["cli"].startswith("not asked: proven ")
        assert {each for each, word in outcomes(operator).items() if word == "skipped"} >= CLI_CHECKS
        by_hand = operator.run()
        assert by_hand.code == 0
        assert len(operator.calls) > len(before)
        assert set(outcomes(operator).values()) <= {"passed", "skipped"}


@pytest.mark.parametrize(
    "how",
    [
        "old",
        "another process",
        *(pytest.param(each, marks=pytest.mark.nightly) for each in ("news", "torn", "from a clock ahead")),
    ],
)
def test_a_proof_that_does_not_speak_for_now_is_renewed(tmp_path: Path, how: str) -> None:
    """Beyond the setting, of another gateway process, beside a finding it did not know, or one that cannot be read."""
    with gateway() as port:
        operator = Operator(tmp_path, port)
        operator.run(**SCHEDULED)
        before, path = len(operator.calls), proof(operator)
        told = json.loads(path.read_text())
        environ = dict(SCHEDULED)
        if how == "torn":
            path.write_text('{"at": ')
        elif how == "news":
            environ["OC_OPS_DISK_LOW_BYTES"] = str(2**60)
        else:
            changed = {
                "old": {"at": time.time() - 3601}, "another process": {"pid": 1},
                "from a clock ahead": {"at": time.time() + 86_400},
            }  # fmt: skip
            told.update(changed[how])
            path.write_text(json.dumps(told))
        operator.run(**environ)
        assert len(operator.calls) > before


def test_a_run_that_is_not_well_leaves_no_proof(tmp_path: Path) -> None:
    """After a fault the command line is proven anew with the first run that is well."""
    operator = Operator(tmp_path, 1)
    with gateway() as port:
        operator.configure(port)
        operator.run(**SCHEDULED)
        assert proof(operator).exists()
    operator.run(**SCHEDULED)
    assert not list((tmp_path / "memory").glob("cli-proof-*.json"))
