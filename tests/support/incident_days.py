"""Days of a gateway as the book of incidents sees them: runs one after another, and what they wrote."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from oc_ops.judge import findings as judge_findings
from oc_ops.judge.finding import Finding
from oc_ops.judge.findings import Verdict
from oc_ops.record.incidents import book
from oc_ops.record.incidents.book import IncidentUpdate
from oc_ops.record.incidents.events import Fault, GatewayName, Versions
from oc_ops.record.incidents.incident import Incident
from oc_ops.record.incidents.rules import RunSummary
from oc_ops.record.journal import Journal

START = datetime(2026, 11, 22, 19, 41, 15, 250_000, tzinfo=UTC)
MINE = GatewayName("a1b2c3d4e5f6", None, 18789)
OTHER = GatewayName("ffffffffffff", "work", 28789)
KNOWN = Versions("2026.9.6", "2026.9.6")
FOUND_BY = {
    "gateway/hung": "gateway/live",
    "gateway/down": "gateway/live",
    "gateway/crash-loop": "gateway/live",
    "gateway/starting": "gateway/started",
    "gateway/draining": "gateway/started",
    "gateway/saturated": "gateway/prompt",
    "gateway/not-ready": "gateway/ready",
    "config/invalid": "config/valid",
    "cli/missing": "cli/works",
    "cron/job-failing": "cron/jobs",
    "browser/not-running": "browser/running",
    "browser/unanswered": "browser/control",
    "browser/act-stalled": "browser/click",
    "logs/rpc.timeout": "logs/signatures",
    "logs/crash.epipe": "logs/signatures",
}
DEEP = "browser/click"
CHECKS = frozenset(FOUND_BY.values()) - {DEEP}


def finding(check: str, fact: str = "") -> Finding:
    """An error finding."""
    return Finding(check, "error", fact or f"the fact of {check}", "what was seen", "openclaw gateway restart")


def run(
    *red: str | Finding,
    verdict: Verdict | None = None,
    whole: bool = True,
    unseen: tuple[str, ...] = (),
    gateway: GatewayName = MINE,
    versions: Versions = KNOWN,
    sign: datetime | None = None,
    interrupted: bool = False,
) -> RunSummary:
    """A run that found these and looked at everything else but `unseen`."""
    found = tuple(finding(each) if isinstance(each, str) else each for each in red)
    failed = {FOUND_BY[each.check] for each in found}
    first = judge_findings.cause(found)
    outcomes = ["passed", *("blocked" for _ in unseen)]
    return RunSummary(
        verdict=verdict or judge_findings.verdict(found, outcomes),
        whole=whole,
        gateway=gateway,
        faults=tuple(Fault.of(each, found_by=FOUND_BY[each.check]) for each in found),
        cause=first.check if first else None,
        looked=CHECKS - failed - set(unseen),
        versions=versions,
        folder="reports/runs/2026-11-22T19-41-15Z",
        first_signature_at=sign,
        interrupted=interrupted,
    )


@dataclass
class Days:
    """A book and a clock: runs come one after the other, five minutes apart unless told otherwise."""

    book: Journal
    now: datetime = START

    def see(self, *looks: RunSummary, apart_s: float = 300) -> IncidentUpdate:
        """What the last of these runs changed."""
        for each in looks:
            update = book.observe_run(self.book, each, self.now)
            self.now += timedelta(seconds=apart_s)
        return update

    @property
    def all(self) -> list[Incident]:
        """Every incident, in the order of opening."""
        return list(book.read(self.book).incidents.values())

    @property
    def told(self) -> list[list[str]]:
        """What happened to each."""
        return [[each.what for each in incident.events] for incident in self.all]
