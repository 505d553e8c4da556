"""The scheduler and its jobs: is it on, does its list answer, do the jobs that must never stop run."""

from __future__ import annotations

from checks.check import check
from checks.report import Report
from oc_ops.doctor.observations import Doctor
from oc_ops.doctor.surroundings import Surroundings
from oc_ops.judge import cron as judge


@check("cron/scheduler", lane="rpc")
def test_scheduler_is_on(doctor: Doctor, report: Report) -> None:
    """The scheduler is enabled, so that jobs run by themselves."""
    report(judge.scheduler_off(doctor.cron_status()))


@check("cron/list-rpc", lane="rpc")
def test_cron_list_answers_over_rpc(doctor: Doctor, report: Report) -> None:
    """`cron.list` answers with the jobs."""
    report(judge.list_unanswered(doctor.cron_list_read()))


@check("cron/list", lane="cli")
def test_cron_list_answers(doctor: Doctor, report: Report) -> None:
    """`openclaw cron list` answers with the jobs, within its guard."""
    report(judge.list_unanswered(doctor.cron_list()))


@check("cron/watched", lane="files", by_clock=True)
def test_cron_jobs_that_are_watched_run(surroundings: Surroundings, report: Report) -> None:
    """Every watched job exists, is on, runs when it is due, in its usual time, and succeeds."""
    report(*surroundings.watched_jobs())
    surroundings.all_jobs_judged()


@check("cron/markers", lane="files", by_clock=True)
def test_cron_markers_have_an_owner(surroundings: Surroundings, report: Report) -> None:
    """No job is marked as running that provably nobody runs."""
    report(*surroundings.markers())
