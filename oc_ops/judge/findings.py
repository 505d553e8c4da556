"""All findings there are, from every room of judges; and the verdict over those of a run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

from oc_ops.judge import (
    access,
    browser,
    cli,
    container,
    cron,
    descriptors,
    files,
    gateway,
    host,
    lifecycle,
    models,
    port,
    releases,
    service,
    state,
    watched_jobs,
    work,
)
from oc_ops.judge.finding import KINDS, Finding, FindingKind, State

__all__ = ["JUDGES", "KINDS", "FindingKind", "in_state", "of_check", "state_of"]

JUDGES = (
    *(access, browser, cli, container, cron, descriptors, files, gateway, host, lifecycle),
    *(models, port, releases, service, state, watched_jobs, work),
)
"""The modules that declare findings."""


def of_check(finding: Finding | None, check: str) -> Finding | None:
    """The finding when it is declared as this check's, else None: another check tells it."""
    kind = KINDS.get(finding.check) if finding else None
    return finding if kind and check in kind.checks else None


def state_of(check: str) -> State:
    """How the gateway stands when this finding is true; empty for one that does not say, or that is not known here."""
    kind = KINDS.get(check)
    return kind.state if kind else ""


def in_state(*states: State) -> frozenset[str]:
    """The ids of the findings that show the gateway in one of these states."""
    return frozenset(each.id for each in KINDS.values() if each.state in states)


Verdict = Literal["healthy", "degraded", "unhealthy", "unknown"]

_ORDER = ("state/", "config/", "gateway/", "cli/", "plugins/", "channels/", "models/", "cron/", "delivery/", "browser/")
_OURS = ("cli/", "gateway/credential-missing")
"""Beginnings of ids that speak of our own side: beside nothing worse, the gateway's state could not be told."""


def cause(findings: Iterable[Finding]) -> Finding | None:
    """The error finding that explains the others: what stands nearest to the root comes first."""
    return min((each for each in findings if each.severity == "error"), key=_rank, default=None)


def verdict(findings: Iterable[Finding], outcomes: Collection[str], *, cut_short: bool = False) -> Verdict:
    """Sum a run up from its findings and the outcomes of its checks.

    unhealthy on an error finding; unknown when all of those are about our own side, when anything could not be looked
    at, was blocked by nothing named, or when nothing was looked at; degraded on warnings alone.
    """
    findings = tuple(findings)
    severities = {each.severity for each in findings}
    if any(each.severity == "error" and not each.check.startswith(_OURS) for each in findings):
        return "unhealthy"
    if "error" in severities or cut_short or "passed" not in outcomes or {"error", "blocked", "failed"} & set(outcomes):
        return "unknown"
    return "degraded" if "warning" in severities else "healthy"


def _rank(finding: Finding) -> int:
    """Nearest to the root first; what the log tells of the past (`logs/`, `host/`) last.

    What leaves the gateway serving explains less than anything that was asked of it and failed.
    """
    if state_of(finding.check) == "serving":
        return len(_ORDER)
    if finding.check.startswith(_OURS):
        return _ORDER.index("cli/")
    return next((index for index, area in enumerate(_ORDER) if finding.check.startswith(area)), len(_ORDER) + 1)
