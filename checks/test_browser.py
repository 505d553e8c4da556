"""The browser that the agent drives: does its control answer, is it as up as it should be, does a click land."""

from __future__ import annotations

import pytest

from checks.check import check
from checks.report import Report
from oc_ops.doctor.observations import Doctor
from oc_ops.doctor.surroundings import Surroundings
from oc_ops.judge import browser as judge


@check("browser/control", lane="cli")
def test_browser_control_answers(doctor: Doctor, report: Report) -> None:
    """The gateway's browser control answers for the agent's profile."""
    report(doctor.browser_fault())


@check("browser/running", lane="cli")
def test_browser_runs(surroundings: Surroundings, report: Report) -> None:
    """The browser is as up as the setting `browser` expects it to be."""
    report(surroundings.browser_down())


@pytest.mark.deep
@check("browser/acts", lane="cli")
def test_browser_click_lands(surroundings: Surroundings, report: Report) -> None:
    """A real click on a page of our own lands in time, through the gateway, as an agent's would."""
    report(judge.act_stalled(surroundings.walk()))
