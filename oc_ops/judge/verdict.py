"""The verdict over all findings, and the one that explains the others."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

from oc_ops.judge.finding import Finding

Verdict = Literal["healthy", "degraded", "unhealthy", "unknown"]

_ORDER = ("config/", "gateway/", "cli/", "cron/", "browser/", "logs/", "host/")
_LEAST = ("gateway/not-ready", "gateway/duplicate", "gateway/version-drift")
"""Gateway findings that do not keep it from answering: they explain the others only when nothing else does."""


def cause(findings: Iterable[Finding]) -> Finding | None:
    """The error finding that explains the others: what stands nearest to the root comes first."""
    return min((each for each in findings if each.severity == "error"), key=_rank, default=None)


def verdict(findings: Iterable[Finding], outcomes: Collection[str], *, interrupted: bool = False) -> Verdict:
    """Sum a run up from its findings and the outcomes of its checks.

    unhealthy on an error finding; unknown when anything could not be looked at, was blocked by nothing named, or when
    nothing was looked at; degraded on warnings alone.
    """
    severities = {each.severity for each in findings}
    if "error" in severities:
        return "unhealthy"
    if interrupted or "passed" not in outcomes or {"error", "blocked", "failed"} & set(outcomes):
        return "unknown"
    return "degraded" if "warning" in severities else "healthy"


def _rank(finding: Finding) -> tuple[int, int]:
    area = next((index for index, area in enumerate(_ORDER) if finding.check.startswith(area)), len(_ORDER))
    return (area, int(finding.check in _LEAST))
