"""The verdict over a run's findings, and the one finding that explains the others."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import pytest

from oc_ops.judge import findings as judge
from oc_ops.judge.finding import Finding, Severity


def finding(check: str, severity: Severity = "error") -> Finding:
    """A finding of which only id and severity matter."""
    return Finding(check, severity, "fact", "saw", "fix")


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        (["gateway/down", "config/invalid"], "config/invalid"),
        (["cron/list-unanswered", "gateway/hung", "logs/rpc.timeout"], "gateway/hung"),
        (["browser/unanswered", "cli/unusable"], "cli/unusable"),
        (["browser/not-running", "cron/scheduler-off"], "cron/scheduler-off"),
        (["gateway/not-ready", "gateway/rpc-unanswered"], "gateway/rpc-unanswered"),
        (["gateway/not-ready", "cron/list-unanswered"], "cron/list-unanswered"),
        (["gateway/not-ready", "cli/unusable"], "cli/unusable"),
        (["gateway/not-ready", "logs/op.timed_out"], "gateway/not-ready"),
        (["gateway/duplicate", "gateway/saturated"], "gateway/saturated"),
        (["logs/crash.epipe"], "logs/crash.epipe"),
        (["something/new", "logs/crash.epipe"], None),
        ([], None),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else str(value),
)
def test_the_cause_stands_nearest_to_the_root(checks: Sequence[str], expected: str | None) -> None:
    """Config before gateway before CLI before what rests on them; the log's past last, in whatever order they came."""
    for order in permutations(checks):
        cause = judge.cause(map(finding, order))
        if expected is None and checks:
            assert cause is not None
        else:
            assert (cause.check if cause else None) == expected


@pytest.mark.parametrize("ours", ["gateway/credential-missing", "cli/unpaired", "cli/misdirected", "cli/unusable"])
def test_what_our_own_side_lacks_is_no_verdict_on_the_gateway(ours: str) -> None:
    """Alone it leaves the gateway unknown, never green; beside a fault of the gateway that one counts."""
    assert judge.verdict([finding(ours)], ["failed", "blocked", "passed"]) == "unknown"
    assert judge.verdict([finding(ours), finding("cron/scheduler-off")], ["failed", "passed"]) == "unhealthy"
    assert judge.verdict([finding(ours, "warning")], ["passed", "skipped"]) == "degraded"
    cause = judge.cause([finding(ours), finding("gateway/hung")])
    assert cause is not None
    assert cause.check == "gateway/hung"


def test_a_warning_is_no_cause() -> None:
    """Only an error explains anything."""
    assert judge.cause([finding("gateway/version-drift", "warning"), finding("x/y", "info")]) is None


@pytest.mark.parametrize(
    ("severities", "outcomes", "cut_short", "expected"),
    [
        ([], ["passed", "passed"], False, "healthy"),
        ([], ["passed", "skipped"], False, "healthy"),
        (["info"], ["passed"], False, "healthy"),
        (["warning"], ["passed"], False, "degraded"),
        (["warning", "error"], ["passed", "failed"], False, "unhealthy"),
        (["error"], ["failed", "blocked"], False, "unhealthy"),
        (["error"], ["error"], False, "unhealthy"),
        (["error"], [], True, "unhealthy"),
        ([], [], False, "unknown"),
        ([], ["skipped"], False, "unknown"),
        ([], ["passed", "error"], False, "unknown"),
        (["warning"], ["passed", "error"], False, "unknown"),
        ([], ["passed", "blocked"], False, "unknown"),
        ([], ["passed", "failed"], False, "unknown"),
        ([], ["passed"], True, "unknown"),
        (["warning"], ["passed"], True, "unknown"),
    ],
)
def test_findings(severities: Sequence[Severity], outcomes: Sequence[str], cut_short: bool, expected: str) -> None:
    """Healthy takes a look at everything that was planned; what could not be looked at is never healthy."""
    findings = [finding(f"a/{index}", severity) for index, severity in enumerate(severities)]
    assert judge.verdict(findings, outcomes, cut_short=cut_short) == expected
