"""The scheduler and its jobs: is it on, does its list answer, do the jobs that must never stop run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oc_ops.doctor import Doctor
from oc_ops.judge import cron as judge
from oc_ops.surroundings import Surroundings

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


@pytest.mark.check("cron/watched", lane="files")
def test_cron_jobs_that_are_watched_run(surroundings: Surroundings, healthy: Callable[..., None]) -> None:
    """Every watched job exists, is on, runs when it is due, in its usual time, and succeeds."""
    healthy(*surroundings.watched_jobs())
    surroundings.all_jobs_judged()


@pytest.mark.check("cron/markers", lane="files")
def test_cron_markers_have_an_owner(surroundings: Surroundings, healthy: Callable[..., None]) -> None:
    """No job is marked as running that provably nobody runs."""
    healthy(*surroundings.markers())
