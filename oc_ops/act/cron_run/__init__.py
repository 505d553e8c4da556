"""The safe ad-hoc run of a cron job: started once, waited for within a limit, written down from the first byte."""

from __future__ import annotations

from oc_ops.act.cron_run.adhoc import run_job
from oc_ops.act.cron_run.asked import Asked, Say
from oc_ops.act.cron_run.choose import NO_SUCH_JOB, JobNotChosen
from oc_ops.act.cron_run.result import EXITS, Outcome, Result
from oc_ops.act.cron_run.sights import Gateway

__all__ = ["EXITS", "NO_SUCH_JOB", "Asked", "Gateway", "JobNotChosen", "Outcome", "Result", "Say", "run_job"]
