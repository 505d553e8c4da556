"""An incident on a real gateway, from the first red to the green that held, through whole doctor runs."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from oc_ops.lab.gateway import Lab
from oc_ops.record import incidents
from tests.live.examine import examine
from tests.support import faults

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


def test_a_hang_is_one_incident(lab: Lab, tmp_path: Path) -> None:
    """Hung, hung, healthy, healthy: one incident, with its times, on the terminal, in the report and in the book."""
    with faults.stopped(lab):
        first, second = examine(lab, tmp_path), examine(lab, tmp_path)
    looks = (examine(lab, tmp_path) for _ in range(6))
    # On a loaded machine a call may run out of time: such a run is neither green nor red.
    green, closed = itertools.islice((each for each in looks if each.report["verdict"] != "unknown"), 2)
    told = [each.report["incident"] for each in (first, second, green, closed)]
    assert [each["this_run"] for each in told] == ["opened", "lasts", "green", "closed"], told
    assert {each["cause"] for each in told} == {"gateway/hung"}
    (incident,) = incidents.read(incidents.journal(tmp_path / "memory")).incidents.values()
    assert not incident.is_open
    assert f"incident {incident.id}: opened by this run" in first.output
    assert f"incident {incident.id}: closed after" in closed.output
    assert incident.time_to_recover_s is not None
    assert 0 < incident.time_to_recover_s < 600
