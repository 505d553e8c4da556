"""The verdict over all findings, and the one that explains the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

from oc_ops.judge.finding import Finding

Verdict = Literal["healthy", "degraded", "unhealthy", "unknown"]

_ORDER = ("state/", "config/", "gateway/", "cli/", "cron/", "browser/")
_LEAST = ("gateway/not-ready", "gateway/duplicate", "gateway/version-drift")
"""Gateway findings that do not keep it from answering: whatever was asked and failed explains more than they do."""


def cause(findings: Iterable[Finding]) -> Finding | None:
    """The error finding that explains the others: what stands nearest to the root comes first."""
    return min((each for each in findings if each.severity == "error"), key=_rank, default=None)


def verdict(findings: Iterable[Finding], outcomes: Collection[str], *, cut_short: bool = False) -> Verdict:
    """Sum a run up from its findings and the outcomes of its checks.

    unhealthy on an error finding; unknown when anything could not be looked at, was blocked by nothing named, or when
    nothing was looked at; degraded on warnings alone.
    """
    severities = {each.severity for each in findings}
    if "error" in severities:
        return "unhealthy"
    if cut_short or "passed" not in outcomes or {"error", "blocked", "failed"} & set(outcomes):
        return "unknown"
    return "degraded" if "warning" in severities else "healthy"


def _rank(finding: Finding) -> int:
    """Nearest to the root first; what the log tells of the past (`logs/`, `host/`) last."""
    if finding.check in _LEAST:
        return len(_ORDER)
    return next((index for index, area in enumerate(_ORDER) if finding.check.startswith(area)), len(_ORDER) + 1)
