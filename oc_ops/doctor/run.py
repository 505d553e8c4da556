"""One doctor run as it gathers findings, checks, calls, and the record made of them."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from oc_ops.doctor import summary
from oc_ops.doctor.advice import Advice
from oc_ops.doctor.observations import Doctor
from oc_ops.doctor.outcomes import Blocked, NotAsked
from oc_ops.doctor.report import Reporting
from oc_ops.doctor.surroundings import Surroundings
from oc_ops.errors import OtherAccount
from oc_ops.judge import findings as judge_findings
from oc_ops.judge.finding import Finding
from oc_ops.judge.lifecycle import on_its_way
from oc_ops.locks import single_flight
from oc_ops.observe import gateways, processes
from oc_ops.process.run import Call
from oc_ops.record import memory
from oc_ops.record.run import (
    SPARED,
    WARNED,
    CallRecord,
    CheckOutcome,
    CheckRecord,
    Lanes,
    Load,
    Observations,
    RunRecord,
    Scope,
    environment,
)
from oc_ops.settings import SCHEDULED, Settings
from oc_ops.text import listing, span

if TYPE_CHECKING:
    from oc_ops.record.redact import Json


class DoctorRun:
    """One run from its first look to its report."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        quick: bool = False,
        deep: bool = False,
        lab: bool = False,
    ) -> None:
        """Raises SettingError or CouldNotLook for what cannot be used at all; touches nothing yet."""
        self._began = time.monotonic()
        self.settings, self.environ = settings, environ
        self.quick, self.deep = quick, deep
        self.findings: dict[tuple[str, str], Finding] = {}
        self.doctor = self._look()
        self.surroundings = Surroundings(self.doctor)
        self.redactor = self.doctor.gateway.redactor
        self.advice = Advice(self.doctor.gateway, lab=lab)
        self.checks: dict[str, CheckRecord] = {}
        self.found_by: dict[tuple[str, str], str] = {}
        """The check, by nodeid, that found each: by its id and subject."""
        self.said: dict[str, Finding] = {}
        """Findings of each check by nodeid: an error where it found one."""
        self.before: RunRecord | None = None
        """The run as it stood before a recovery."""
        self._unseen: dict[object, tuple[str, BaseException]] = {}
        """Errors that kept a check from looking, with the first check that met each: held, so that no id is reused."""
        self.calls: list[CallRecord] = []
        self.lab = lab
        self.planned = 0
        self.left_out = 0
        """Checks that were deselected: a part of the doctor does not speak for the whole."""
        self.interrupted = False
        self.record: RunRecord | None = None
        self.report = Reporting(settings, self.redactor, self.doctor.started_at)

    def _look(self) -> Doctor:
        doctor = Doctor(self.settings, self.environ, quick=self.quick, on_call=self._call_ended, blind=True)
        doctor.spared = self._spared
        doctor.meanwhile = lambda: self.report.prepare()
        return doctor

    def _spared(self) -> str:
        """Why a scheduled run need not prove the command line: it was proven lately, and no cheaper lane saw news."""
        if SCHEDULED not in self.environ or self.deep:
            return ""
        proof, seen = memory.cli_proof(self.settings.memory_dir, self.doctor.key), self.doctor.look.seen
        found = frozenset(each.check for each in self.findings.values())
        pid = seen.serving.pid if seen and seen.serving else None
        if proof is None or not proof.covers(found, pid, self.settings.cli_every_s):
            return ""
        return f"{SPARED}{span(proof.age_s)} ago"

    def others(self) -> str:
        """The other gateways of this machine, in one line, where nobody said which is meant; else nothing."""
        chosen = self.settings.profile or self.settings.target != "local"
        seen = self.doctor.look.seen
        there = self.doctor.start.behind.seen or (seen.behind if seen else None)
        meant = processes.gateways_in(there) if there else ()
        if self.lab or chosen or not (found := gateways.beside(self.doctor.target, meant)):
            return ""
        line = f"other gateways run here: {listing(found, 3)}; `oc-ops targets` names them for --target"
        return self.redactor.line(line, 500)

    @property
    def lock(self) -> Path:
        """The lock of the one doctor that looks at this gateway."""
        return self.doctor.gateway.lock("doctor")

    def alone(self, wait_s: float = 0) -> AbstractContextManager[None]:
        """Hold that lock; entering raises CouldNotLook, naming the run that has it, once `wait_s` are over."""
        return single_flight(self.lock, wait_s)

    # -- while the checks run -----------------------------------------------------------------------------------

    def found(self, finding: Finding, nodeid: str = "") -> Finding:
        """Record a finding once, redacted and on one line a field; the first of an id and subject stands."""
        clean = self.advice.on(finding)
        clean = replace(
            clean,
            fact=self.redactor.line(clean.fact),
            saw=self.redactor.line(clean.saw),
            fix=self.redactor.line(clean.fix),
            subject=self.redactor.line(clean.subject),
        )
        key = (clean.check, clean.subject)
        first = self.findings.setdefault(key, clean)
        if nodeid:
            self.found_by.setdefault(key, nodeid)
            if nodeid not in self.said or first.severity == "error":
                self.said[nodeid] = first
        return first

    def check_ended(
        self,
        check: str,
        nodeid: str,
        claim: str,
        duration_s: float,
        error: BaseException | None,
    ) -> CheckRecord:
        """Record one check by what ended it: an error finding, a cause, an order not to look, or a failure to look."""
        outcome: CheckOutcome = "passed"
        blocked_by, note, found = None, "", self.said.get(nodeid)
        if isinstance(error, Blocked):
            cause = self.found(error.cause, nodeid if error.cause.severity != "error" else "")
            if cause.severity == "error":
                outcome, blocked_by = "blocked", cause.check
            else:
                outcome, note = "skipped", f"{WARNED}{cause.check}: {cause.fact}"
        elif isinstance(error, NotAsked):
            outcome, note = "skipped", self.redactor.line(str(error))
        elif found is not None and found.severity == "error":
            outcome = "failed"
        elif error is not None:
            outcome, note = "error", self.redactor.line(str(error) or type(error).__name__)
            if (first := self._unseen.setdefault(_reason(error), (check, error))[0]) != check:
                outcome, blocked_by = "blocked", first  # one reason is one red line
        record = CheckRecord(check, nodeid, outcome, duration_s, blocked_by, claim, note)
        self.checks[nodeid] = record
        return record

    def _call_ended(self, call: Call) -> None:
        self.calls.append(CallRecord.of(call, self.report.transcript(len(self.calls) + 1, call)))

    @property
    def cut_short(self) -> bool:
        """True when not every planned check came to its end: interrupted, out of time, or stopped by an option."""
        return self.interrupted or len(self.checks) < self.planned

    # -- a recovery ---------------------------------------------------------------------------------------------

    def begin_again(self) -> frozenset[str]:
        """Forget what failed or could not be looked at, to look at it afresh; returns those checks' nodeids."""
        self.before, self.record = self.before or self.finish(), None
        again = {each.nodeid for each in self.checks.values() if each.outcome in ("failed", "blocked", "error")}
        if way := on_its_way(self.findings.values()):
            again |= {each.nodeid for each in self.checks.values() if each.note.startswith(f"{WARNED}{way.check}")}
            again |= {nodeid for nodeid, said in self.said.items() if said.check == way.check}
        self.checks = {nodeid: each for nodeid, each in self.checks.items() if nodeid not in again}
        self.findings = {
            key: each
            for key, each in self.findings.items()
            if each.severity != "error" and self.found_by.get(key) not in again
        }
        self.said = {nodeid: each for nodeid, each in self.said.items() if nodeid not in again}
        self.found_by = {key: nodeid for key, nodeid in self.found_by.items() if key in self.findings}
        self.doctor = self._look()
        self.advice = Advice(self.doctor.gateway, lab=self.lab)
        self.surroundings = Surroundings(self.doctor)
        return frozenset(again)

    def recovered(self, outcome: Mapping[str, Json]) -> None:
        """Put what came of a recovery, as report.json has it, into the record."""
        record = self.report.retell(self.finish())
        cured = self.before.cause if self.before and outcome.get("outcome") == "recovered" else None
        self.record = replace(
            record,
            recovery=outcome,
            duration_s=time.monotonic() - self._began,
            load=self._load(),
            scope=replace(record.scope, cured=cured),
        )

    # -- afterwards ---------------------------------------------------------------------------------------------

    def finish(self) -> RunRecord:
        """Sum the run up and have it kept: the same record every time, but for an interruption that came later."""
        if self.record is None:
            looked = self._summed_up()
            # Incidents and history know each look by its own time; the report is of the run from its beginning.
            self.record = replace(self.report.keep(looked), started_at=(self.before or looked).started_at)
        elif self.interrupted and not self.record.scope.interrupted:
            self.record = replace(self.record, scope=replace(self.record.scope, interrupted=True))
        return self.record

    def _summed_up(self) -> RunRecord:
        doctor, findings = self.doctor, tuple(self.findings.values())
        cause = judge_findings.cause(findings)
        outcomes = [each.outcome for each in self.checks.values()]
        return RunRecord(
            verdict=judge_findings.verdict(findings, outcomes, cut_short=self.cut_short),
            cause=cause.check if cause else None,
            started_at=doctor.started_at,
            duration_s=time.monotonic() - self._began,
            lanes=Lanes(**summary.lanes(doctor)),
            openclaw=summary.about(doctor),
            findings=findings,
            checks=tuple(self.checks.values()),
            calls=tuple(self.calls),
            load=self._load(),
            evidence=summary.excerpts(doctor, failed=bool(findings)),
            environment=environment(self.settings),
            scope=Scope(doctor.key, self.planned, self.left_out, self.quick, self.interrupted, self.lab),
            observed=self._observed(),
        )

    def _observed(self) -> Observations:
        doctor, judged = self.doctor, self.surroundings.judged_jobs.seen
        jobs, verdicts = judged or (None, ())
        return Observations(
            config=doctor.config.path,
            state_dir=doctor.target.state_dir,
            probe=doctor.look.seen,
            rpc=doctor.rpc_lane.seen,
            jobs=jobs,
            watched=frozenset(each.job.id for each in verdicts if each.watched and each.job),
            first_signature_at=summary.first_sign(doctor),
            found_by=dict(self.found_by),
        )

    def _load(self) -> Load:
        own = os.times()
        return Load(len(self.calls), sum(each.cpu_s for each in self.calls), own.user + own.system)


def _reason(error: BaseException) -> object:
    """The same for each failure to look that has one reason: one error, or one account that alone may see it all."""
    return ("account", error.uid) if isinstance(error, OtherAccount) else id(error)
