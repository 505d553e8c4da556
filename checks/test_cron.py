"""The scheduler: is it on, and does its list answer, over RPC and by the operator's own path."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oc_ops.doctor import Doctor
from oc_ops.judge import cron as judge

pytestmark = pytest.mark.doctor


@pytest.mark.check("cron/scheduler", lane="rpc")
def test_scheduler_is_on(doctor: Doctor, healthy: Callable[..., None]) -> None:
    """The scheduler is enabled, so that jobs run by themselves."""
    healthy(judge.scheduler_off(doctor.cron_status()))


@pytest.mark.check("cron/list-rpc", lane="rpc")
def test_cron_list_answers_over_rpc(doctor: Doctor, healthy: Callable[..., None]) -> None:
    """`cron.list` answers with the jobs."""
    healthy(judge.list_unanswered(doctor.cron_list_read()))


@pytest.mark.check("cron/list", lane="cli")
def test_cron_list_answers(doctor: Doctor, healthy: Callable[..., None]) -> None:
    """`openclaw cron list` answers with the jobs, within its guard."""
    healthy(judge.list_unanswered(doctor.cron_list()))
