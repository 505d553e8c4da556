"""The browser that the agent drives: does its control answer, is it as up as it should be, does a click land."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oc_ops.doctor import Doctor
from oc_ops.judge import browser as judge
from oc_ops.surroundings import Surroundings

pytestmark = pytest.mark.doctor


@pytest.mark.check("browser/control", lane="cli")
def test_browser_control_answers(doctor: Doctor, healthy: Callable[..., None]) -> None:
    """The gateway's browser control answers for the agent's profile."""
    healthy(doctor.browser_fault())


@pytest.mark.check("browser/running", lane="cli")
def test_browser_runs(surroundings: Surroundings, healthy: Callable[..., None]) -> None:
    """The browser is as up as the setting `browser` expects it to be."""
    healthy(surroundings.browser_down())


@pytest.mark.deep
@pytest.mark.check("browser/acts", lane="cli")
def test_browser_click_lands(surroundings: Surroundings, healthy: Callable[..., None]) -> None:
    """A real click on a page of our own lands in time, through the gateway, as an agent's would."""
    healthy(judge.act_stalled(surroundings.walk()))
