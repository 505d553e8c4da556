"""The gateway's work: do channels hear, do messages leave, do jobs tell somebody, can an agent answer."""

from __future__ import annotations

import pytest

from checks.check import check
from checks.report import Report
from oc_ops.doctor.surroundings import Surroundings
from oc_ops.judge import models


@check("channels/up", lane="rpc", by_clock=True)
def test_channels_are_up(surroundings: Surroundings, report: Report) -> None:
    """Every enabled channel account is connected, and what polls hears something."""
    report(*surroundings.work.channels())


@check("delivery/letters", lane="rpc", by_clock=True)
def test_messages_leave(surroundings: Surroundings, report: Report) -> None:
    """No message was given up since the last look, and none waits for long."""
    report(*surroundings.work.deliveries())


@check("cron/work", lane="rpc", by_clock=True)
def test_cron_jobs_do_their_work(surroundings: Surroundings, report: Report) -> None:
    """The scheduler moves, jobs tell whom they should, none fails unseen, none is gone; watched or not."""
    report(*surroundings.work.cron())


@check("models/answerable", lane="rpc", by_clock=True)
def test_the_default_agent_can_answer(surroundings: Surroundings, report: Report) -> None:
    """The default agent has a model with a credential that is not left alone; no model is called."""
    report(surroundings.work.agent())


@pytest.mark.deep
@pytest.mark.paid
@check("models/answers", lane="cli")
def test_a_model_answers_a_prompt(surroundings: Surroundings, report: Report) -> None:
    """A real prompt through the gateway is answered; asked with --deep-model only, as a provider is paid for it."""
    answer = surroundings.prompt()
    report(models.unanswered(answer), models.answered(answer))


@check("plugins/loaded", lane="rpc")
def test_plugins_are_loaded(surroundings: Surroundings, report: Report) -> None:
    """Every plugin that is switched on has loaded."""
    report(surroundings.work.plugins())


@check("tasks/moving", lane="rpc", by_clock=True)
def test_tasks_move(surroundings: Surroundings, report: Report) -> None:
    """No task stands in the gateway's queue, by its own audit."""
    report(surroundings.work.tasks())


@check("backup/fresh", lane="rpc", by_clock=True)
def test_backups_go_on(surroundings: Surroundings, report: Report) -> None:
    """Where backups were made in a rhythm, the last good one is not far older than that."""
    report(surroundings.work.backups())
