"""What a run means for the book of incidents, written down before anything is drawn."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from oc_ops.judge.signatures import fired
from oc_ops.observe.logs import LogView
from oc_ops.record import incidents
from oc_ops.record.events import Fault, Gateway, Versions
from oc_ops.record.incident_rules import RunSummary

if TYPE_CHECKING:
    from oc_ops.record.document import RunRecord
    from oc_ops.run import DoctorRun


def note(run: DoctorRun, record: RunRecord) -> incidents.IncidentUpdate:
    """Open, change or close what this run speaks of; raises JournalError when the book cannot be read or written."""
    book = incidents.journal(run.settings.memory_dir)
    return incidents.observe_run(book, _summary(run, record), record.started_at, run.settings.incident_flap_s)


def _summary(run: DoctorRun, record: RunRecord) -> RunSummary:
    about = record.openclaw
    whole = not (run.left_out or run.cut_short or run.doctor.quick)
    looked = ("passed", "skipped") if whole else ("passed",)
    return RunSummary(
        verdict=record.verdict,
        whole=whole,
        gateway=Gateway(run.doctor.key, about.profile, about.port),
        faults=tuple(
            Fault.of(each, each.subject, run.found_by.get((each.check, each.subject), "")) for each in record.findings
        ),
        cause=record.cause,
        looked=frozenset(each.nodeid for each in record.checks if each.outcome in looked),
        versions=Versions(about.cli_version, about.gateway_version),
        folder=run.redactor.line(str(run.report.folder.path)),
        first_signature_at=_first_sign(run),
        interrupted=run.interrupted,
    )


def _first_sign(run: DoctorRun) -> datetime | None:
    """When the first log signature of the window fired."""
    doctor = run.doctor
    view = doctor.kept.get("log_view")
    if not isinstance(view, LogView):
        return None
    hits = fired(view, doctor.signatures(), now=doctor.started_at).values()
    return min((each.time for records in hits for each in records if each.time), default=None)
