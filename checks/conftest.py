"""Fixtures of the checks: each observation of the run, and how a check says what it thinks of it."""

from __future__ import annotations

from typing import cast

import pytest

from checks.report import Report
from oc_ops.doctor.observations import Doctor, Lane
from oc_ops.doctor.outcomes import Blocked
from oc_ops.doctor.run import DoctorRun
from oc_ops.doctor.surroundings import Surroundings
from oc_ops.judge import findings
from oc_ops.judge.finding import Finding
from oc_ops.judge.gateway import Limits
from oc_ops.judge.lifecycle import on_its_way
from oc_ops.observe.probe import GatewayProbe


@pytest.fixture(scope="session")
def run(pytestconfig: pytest.Config) -> DoctorRun:
    """The doctor run under way."""
    return cast("DoctorRun", vars(pytestconfig.pluginmanager.get_plugin("oc-ops doctor"))["run"])


@pytest.fixture
def doctor(run: DoctorRun) -> Doctor:
    """The run's doctor: each of its observations is fetched once, when a check first needs it."""
    run.doctor.sighted()
    return run.doctor


@pytest.fixture
def surroundings(run: DoctorRun) -> Surroundings:
    """The surroundings of the gateway: its watched jobs, the machine."""
    run.doctor.sighted()
    return run.surroundings


@pytest.fixture
def named_cause(run: DoctorRun) -> Finding | None:
    """The cause that the checks so far have named; a start is one, though it is no error."""
    return findings.cause(run.findings.values()) or on_its_way(run.findings.values())


@pytest.fixture
def limits(doctor: Doctor) -> Limits:
    """Limits that the gateway's judges measure against."""
    return doctor.limits


@pytest.fixture
def gateway(doctor: Doctor) -> GatewayProbe:
    """The gateway's port, HTTP probes and processes; blocked when the config already explains everything."""
    if cause := doctor.config_cause():
        raise Blocked(cause)
    return doctor.look()


@pytest.fixture
def report(request: pytest.FixtureRequest, run: DoctorRun, doctor: Doctor, surroundings: Surroundings) -> Report:
    """Take a judge's findings: an error fails the check; none counts only if nothing kept it from looking."""
    mark = request.node.get_closest_marker("check")
    lane: Lane = mark.kwargs["lane"]
    if mark.kwargs["by_clock"] and (off := surroundings.clock_off()):
        raise Blocked(off)

    def said(*findings: Finding | None) -> None:
        recorded = [run.found(each, request.node.nodeid) for each in findings if each is not None]
        recorded.sort(key=lambda each: each.severity != "error")
        if recorded and recorded[0].severity == "error":
            pytest.fail("\n".join(map(str, recorded)), pytrace=False)
        cause = None if recorded else doctor.cause_before(lane)
        if cause is not None and (cause.severity == "error" or on_its_way((cause,))):
            raise Blocked(cause)

    return said
