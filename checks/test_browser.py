"""The browser that the agent drives: does its control answer, is it as up as it should be."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oc_ops.doctor import Doctor
from oc_ops.judge import browser as judge

pytestmark = pytest.mark.doctor


@pytest.mark.check("browser/control", lane="cli")
def test_browser_control_answers(doctor: Doctor, healthy: Callable[..., None]) -> None:
    """The gateway's browser control answers for the agent's profile."""
    healthy(doctor.browser_fault())


@pytest.mark.check("browser/running", lane="cli")
def test_browser_runs(doctor: Doctor, healthy: Callable[..., None]) -> None:
    """The browser is as up as the setting `browser` expects it to be."""
    healthy(judge.not_running(doctor.browser_answer(), doctor.settings.browser))
