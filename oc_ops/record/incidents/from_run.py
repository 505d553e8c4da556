"""Update the incidents from a finished run, before anything is drawn."""

from __future__ import annotations

from pathlib import Path

from oc_ops.record.incidents import book as incidents_book
from oc_ops.record.incidents.events import Fault, GatewayName, Versions
from oc_ops.record.incidents.rules import RunSummary
from oc_ops.record.redact import Redactor
from oc_ops.record.run import SPARED, WARNED, CheckRecord, RunRecord
from oc_ops.settings import Settings


def note(record: RunRecord, settings: Settings, redactor: Redactor, folder: Path) -> incidents_book.IncidentUpdate:
    """Open, change or close what this run speaks of; raises JournalError when the book cannot be read or written.

    `folder` is the run's, for the incident to name.
    """
    book = incidents_book.journal(settings.memory_dir)
    summary = _summary(record, redactor.line(str(folder)))
    return incidents_book.observe_run(book, summary, record.started_at, settings.incident_flap_s)


def _summary(record: RunRecord, folder: str) -> RunSummary:
    about, scope, observed = record.openclaw, record.scope, record.observed
    return RunSummary(
        verdict=record.verdict,
        whole=record.whole,
        gateway=GatewayName(scope.key, about.profile, about.port),
        faults=tuple(
            Fault.of(each, each.subject, observed.found_by.get((each.check, each.subject), ""))
            for each in record.findings
        ),
        cause=record.cause,
        looked=frozenset(each.nodeid for each in record.checks if _looked(each, whole=record.whole)),
        versions=Versions(about.cli_version, about.gateway_version),
        folder=folder,
        first_signature_at=observed.first_signature_at,
        interrupted=scope.interrupted,
    )


def _looked(check: CheckRecord, *, whole: bool) -> bool:
    """True if it passed, or was left out by a setting of a whole run; one that was kept away or spared has not."""
    unasked = check.note.startswith((WARNED, SPARED))
    return check.outcome == "passed" or (whole and check.outcome == "skipped" and not unasked)
