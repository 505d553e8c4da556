"""The gateway's surroundings, looked at once a run, whether the gateway answers or not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from oc_ops import files
from oc_ops.doctor.jobs import WorkLook
from oc_ops.doctor.outcomes import Blocked, Memo, NotAsked, once
from oc_ops.errors import CouldNotLook
from oc_ops.judge import browser as judge_browser
from oc_ops.judge import cron, releases
from oc_ops.judge.finding import Finding
from oc_ops.judge.releases import shown
from oc_ops.locks import lock_dir
from oc_ops.observe import install
from oc_ops.process.jsontext import at
from oc_ops.record.memory import remember_release, told_releases

if TYPE_CHECKING:
    from oc_ops.doctor.observations import Doctor
    from oc_ops.judge.host import HostLimits
    from oc_ops.judge.watched_jobs import Verdict
    from oc_ops.observe.click import Walk
    from oc_ops.observe.host import HostView, Sample
    from oc_ops.observe.jobs import Jobs
    from oc_ops.observe.openclaw import Answer
    from oc_ops.observe.watchlist import Watched


_PROMPT = "Reply with exactly: fine"


class Surroundings:
    """The observations of one doctor beyond the gateway itself; they raise as its own do, and are fetched once."""

    def __init__(self, doctor: Doctor) -> None:
        self.doctor = doctor
        self.memo = Memo()
        self.work = WorkLook(doctor, self.judged_jobs, self.watchlist)

    # -- the release ----------------------------------------------------------------------------------------------

    @once
    def known_release(self) -> Finding | None:
        """The finding on what is known of the gateway's release, unless this machine's operator was told before."""
        from oc_ops.doctor.summary import gateway_version

        memory = self.doctor.settings.memory_dir
        number = install.release(gateway_version(self.doctor) or "")
        found = releases.known_release(number, told_releases(memory))
        if found is not None and number is not None:
            remember_release(memory, shown(number))
        return found

    # -- cron jobs ------------------------------------------------------------------------------------------------

    @once
    def watchlist(self) -> tuple[Watched, ...]:
        """The jobs that must never stop silently; raises OcOpsError for a line that cannot be understood."""
        from oc_ops.observe import watchlist

        return watchlist.read(watchlist.place(self.doctor.settings))

    @once
    def judged_jobs(self) -> tuple[Jobs, tuple[Verdict, ...]]:
        """All jobs as they were told, and the verdicts on them; beside a gateway in trouble by its store."""
        from oc_ops.doctor.jobs import verdicts_now

        return verdicts_now(self.doctor, self.watchlist())

    @once
    def verdicts(self) -> tuple[Verdict, ...]:
        """A verdict on each watched job, and on every marker."""
        return self.judged_jobs()[1]

    def watched_jobs(self) -> tuple[Finding, ...]:
        """The findings of the watched jobs, but for their markers; raises NotAsked when nothing is watched."""
        if not self.watchlist():
            raise NotAsked("no job is watched yet; oc-ops jobs lists them, oc-ops jobs watch NAME watches one")
        found = [each for each in self._of_jobs() if each.check != "cron/marker-stale"]
        return cron.beside_cause(found, cause=bool(found) and self.work.stalled() is not None)

    def all_jobs_judged(self) -> None:
        """Raise CouldNotLook when a watched job could not be judged; its other findings are said before."""
        if notes := [each.unseen for each in self.verdicts() if each.unseen]:
            raise CouldNotLook("; ".join(notes))

    def markers(self) -> tuple[Finding, ...]:
        """The stale markers of all jobs."""
        return tuple(each for each in self._of_jobs() if each.check == "cron/marker-stale")

    def _of_jobs(self) -> tuple[Finding, ...]:
        return tuple(replace(one, subject=each.subject) for each in self.verdicts() for one in each.findings)

    # -- the browser ----------------------------------------------------------------------------------------------

    @once
    def browser_down(self) -> Finding | None:
        """Why the browser is not as up as it should be: what keeps it down where that is seen, else that it is not."""
        doctor = self.doctor
        answer = doctor.browser_answer()
        from oc_ops.observe import browser

        seen = browser.look(doctor.target, answer.value)
        expected = doctor.settings.browser
        return judge_browser.kept_down(answer, seen, doctor.cli_release, expected) or judge_browser.not_running(
            answer, expected, seen
        )

    @once
    def walk(self) -> Walk:
        """A real click in the agent's browser; a browser that was not running is stopped again."""
        from oc_ops.observe import click

        if fault := self.browser_down():
            raise Blocked(fault)
        running = at(self.doctor.browser_answer().value, "running") is True
        return click.walk(self.doctor.openclaw(), running=running, limits=click.ClickLimits())

    # -- a model --------------------------------------------------------------------------------------------------

    @once
    def prompt(self) -> Answer:
        """One real prompt through the gateway, which costs what its provider asks; only ever where it was asked for."""
        doctor = self.doctor
        if cause := doctor.rpc_cause():
            raise Blocked(cause)
        answer = doctor.openclaw().model_run(_PROMPT, doctor.settings.model_s)
        if answer.not_offered:
            raise NotAsked("this release has no `infer model run`")
        return answer

    # -- the machine ----------------------------------------------------------------------------------------------

    @property
    def host_limits(self) -> HostLimits:
        """Limits that the machine's judges measure against."""
        from oc_ops.judge.host import HostLimits

        return HostLimits(**{name: getattr(self.doctor.settings, name) for name in HostLimits.__struct_fields__})

    @once
    def clock_off(self) -> Finding | None:
        """The machine's clock cannot be right, by itself or by the release that is installed."""
        from oc_ops.judge import host

        executable = self.doctor.found_executable
        package = install.package(executable) if executable is not None else None
        return host.clock_off(self.doctor.started_at.timestamp(), package)

    @once
    def host(self) -> HostView:
        """The machine around the gateway: needs no gateway, and uses the look at it where there was one."""
        from oc_ops.observe import host, processes

        doctor, seen = self.doctor, self.doctor.look.seen
        return host.look(
            doctor.target,
            seen.processes if seen else processes.gateway_processes(doctor.target),
            places={"reports": doctor.settings.report_dir, "memory": doctor.settings.memory_dir},
            log_files=doctor.log_files(),
            executable=doctor.found_executable,
        )

    def open_folders(self) -> dict[Path, Path]:
        """Our folders that others may put another in the place of, each with the folder in which they may."""
        settings = self.doctor.settings
        ours = (settings.report_dir, settings.memory_dir, lock_dir())
        return {each: above for each in ours if (above := files.exposed(each))}

    @once
    def memory_series(self) -> tuple[Sample, ...]:
        """The gateway's memory over the last day, this moment included."""
        from oc_ops.record.memory import memory_series as kept_samples

        return kept_samples(self.doctor.settings.memory_dir, self.doctor.key, self.host().sample)
