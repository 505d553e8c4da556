"""Blockers of one gateway as one doctor sees them, and the tools that the breaker works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from oc_ops.act.breaker.plan import ApprovalBook
from oc_ops.act.breaker.scan import BreakerView, Tools
from oc_ops.act.commands import Commands
from oc_ops.doctor.jobs import not_asked, zone
from oc_ops.doctor.jobs import sight as jobs_now
from oc_ops.doctor.observations import Doctor
from oc_ops.doctor.outcomes import Blocked
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.gateway import Gateway
from oc_ops.judge import gateway as judge_gateway
from oc_ops.judge.finding import Finding
from oc_ops.judge.watched_jobs import Terms, examine
from oc_ops.observe import lockfiles, watchlist
from oc_ops.observe.jobs import Jobs
from oc_ops.observe.owners import Ownership
from oc_ops.process.run import Call
from oc_ops.record import folder
from oc_ops.settings import Settings
from oc_ops.text import clock_trouble


def look(doctor: Doctor) -> BreakerView:
    """One look at gateway, jobs and locks; what could not be looked at is told beside what could."""
    wrong = clock_trouble(doctor.started_at.timestamp())
    unseen = [f"no marker's age is known: {wrong}"] if wrong else []
    seen, cause = None, None
    try:
        seen = doctor.look()
        cause = doctor.config_cause() or judge_gateway.cause(seen, doctor.limits)
    except OcOpsError as error:
        unseen.append(f"the gateway could not be looked at: {error}")
    jobs: Jobs | None = None
    owners: Mapping[str, Ownership] = {}
    stale: dict[str, Finding] = {}
    watched = watchlist.read(watchlist.place(doctor.settings))
    try:
        jobs, owners = jobs_now(doctor, watched)
        verdicts = () if wrong else examine(watched, jobs, owners, Terms(zone(doctor)))
        found = ((each.job, one) for each in verdicts for one in each.findings if one.check == "cron/marker-stale")
        stale = {job.id: one for job, one in found if job}
    except Blocked as blocked:
        unseen.append(f"the jobs could not be looked at: {blocked.cause.sentence}")
    except CouldNotLook as error:
        unseen.append(f"the jobs could not be looked at: {error}")
    if jobs is not None and (why := not_asked(doctor)):
        unseen.append(f"the gateway was not asked: {why}")
    return BreakerView(
        doctor.key,
        doctor.target,
        look=seen,
        cause=cause,
        jobs=jobs,
        owners=owners,
        stale=stale,
        locks=lockfiles.lock_files(doctor.target),
        unseen=tuple(unseen),
    )


@dataclass
class Workplace:
    """One command's breaker: fresh looks, calls with their transcripts, and the book. Nothing is written by a look."""

    settings: Settings
    environ: Mapping[str, str]

    def __post_init__(self) -> None:
        """Raises SettingError and CouldNotLook as a doctor does."""
        gateway = Gateway(self.settings, self.environ)
        self.redactor = gateway.redactor
        self.book = ApprovalBook(self.settings.memory_dir, gateway.key, self.redactor)
        self._calls: list[Call] = []
        self._folder: Path | None = None

    def look(self) -> BreakerView:
        """A fresh one: nothing of an earlier look is kept. What an `openclaw` said to a failure is redacted here."""
        seen = look(Doctor(self.settings, self.environ, on_call=self._ended))
        return replace(seen, unseen=tuple(self.redactor.line(each, 1000) for each in seen.unseen))

    def hands(self, plan_id: str, say: Callable[[str], None]) -> Tools:
        """The tools for that plan; transcripts of its calls go to `memory/breaks/<plan>/calls/`."""
        self._folder = self.settings.memory_dir / "breaks" / plan_id
        return Tools(self.settings, self.look, self._openclaw, note=lambda _: None, say=say)

    def _openclaw(self) -> Commands:
        return Gateway(self.settings, self.environ, self._ended).cli(Commands)

    def _ended(self, call: Call) -> None:
        if self._folder is None:
            return
        self._calls.append(call)
        # A transcript that cannot be written must not end a break half-way: the book holds every step as well.
        try:
            folder.write_transcript(folder.RunFolder(self._folder), len(self._calls), call, self.redactor)
        except OSError:
            return
