"""A run as the one line of a monitoring plugin: Nagios, Icinga, Naemon, Checkmk, Sensu."""

from __future__ import annotations

from collections.abc import Mapping

from oc_ops.judge.findings import Verdict
from oc_ops.record.run import RunRecord
from oc_ops.text import one_line

STATES: Mapping[str, int] = {"OK": 0, "WARNING": 1, "CRITICAL": 2, "UNKNOWN": 3}
"""The words of a plugin and their exit codes (monitoring-plugins.org, development guidelines)."""

_OF: Mapping[Verdict, str] = {
    "healthy": "OK",
    "degraded": "WARNING",
    "unhealthy": "CRITICAL",
    "unknown": "UNKNOWN",
}


def line(record: RunRecord, sentence: str) -> str:
    """The plugin's line: state, the run in one (redacted) sentence, performance data."""
    return f"{said(_OF[record.verdict], sentence)} | {_measured(record)}"


def said(state: str, sentence: str) -> str:
    """The part in front of the performance data, which a `|` in it would begin."""
    return f"DOCTOR {state} - {one_line(sentence.removeprefix('doctor: '), 1000).replace('|', '¦')}"


def _measured(record: RunRecord) -> str:
    """`label=value[unit];warn;crit;min`: the limits are the judges', so none are given."""
    outcomes = [each.outcome for each in record.checks]
    severities = [each.severity for each in record.findings]
    incident = record.incident or {}
    still = incident.get("open")
    load = record.load
    values = {
        "time": f"{record.duration_s:.3f}s",
        "errors": severities.count("error"),
        "warnings": severities.count("warning"),
        "passed": outcomes.count("passed"),
        "blocked": outcomes.count("blocked"),
        "not_looked": outcomes.count("error"),
        "incidents": len(still) if isinstance(still, list | tuple) else 0,
        "calls": len(record.calls),
        "cpu": f"{load.calls_cpu_s + load.own_cpu_s:.3f}s" if load else "U",
    }
    return " ".join(f"{label}={value};;;0" for label, value in values.items())
