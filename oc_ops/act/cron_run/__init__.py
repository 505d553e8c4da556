"""The safe ad-hoc run of a cron job: started once, waited for within a limit, written down from the first byte."""

from __future__ import annotations

from oc_ops.act.cron_run.request import EXITS, NO_SUCH_JOB, JobNotChosen, JobRequest, Outcome, RunResult, Say
from oc_ops.act.cron_run.run import run_job

__all__ = ["EXITS", "NO_SUCH_JOB", "JobNotChosen", "JobRequest", "Outcome", "RunResult", "Say", "run_job"]
