"""What stands beside the gateway and is looked at once a run, whether the gateway answers or not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from oc_ops.judge.finding import Finding
from oc_ops.once import NotAsked, once

if TYPE_CHECKING:
    from oc_ops.doctor import Doctor
    from oc_ops.judge.jobs import Verdict
    from oc_ops.observe.watchlist import Watched


class Surroundings:
    """The observations of one doctor beyond the gateway itself; they raise as its own do, and are fetched once."""

    def __init__(self, doctor: Doctor) -> None:
        self.doctor = doctor
        self.kept: dict[str, object] = {}
        self.failed: dict[str, BaseException] = {}

    # -- cron jobs ------------------------------------------------------------------------------------------------

    @once
    def watchlist(self) -> tuple[Watched, ...]:
        """The jobs that must never stop silently; raises OcOpsError for a line that cannot be understood."""
        from oc_ops.observe import watchlist

        return watchlist.read(self.doctor.settings.memory_dir)

    @once
    def verdicts(self) -> tuple[Verdict, ...]:
        """What is to be said of each watched job, and of every marker; beside a gateway in trouble by its store."""
        from oc_ops.watched import verdicts_now

        return verdicts_now(self.doctor, self.watchlist())[1]

    def watched_jobs(self) -> tuple[Finding, ...]:
        """The findings of the watched jobs, but for their markers; raises NotAsked when nothing is watched."""
        if not self.watchlist():
            raise NotAsked("no job is watched: `oc-ops jobs` prints the lines for memory/ops_critical_cron_jobs.txt")
        return tuple(each for each in self._of_jobs() if each.check != "cron/marker-stale")

    def markers(self) -> tuple[Finding, ...]:
        """The stale markers of all jobs."""
        return tuple(each for each in self._of_jobs() if each.check == "cron/marker-stale")

    def _of_jobs(self) -> tuple[Finding, ...]:
        return tuple(replace(one, subject=each.subject) for each in self.verdicts() for one in each.findings)
