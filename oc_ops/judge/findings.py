"""All findings there are: every room of judges is imported here, so that the registry is complete."""

from __future__ import annotations

from oc_ops.judge import (
    access,
    advisories,
    browser,
    cli,
    container,
    cron,
    cronwork,
    descriptors,
    drain,
    files,
    gateway,
    host,
    jobtimes,
    lastwords,
    leftovers,
    listener,
    models,
    port,
    service,
    startup,
    state,
    work,
)
from oc_ops.judge.finding import Finding
from oc_ops.judge.registry import KINDS, FindingKind, State

__all__ = ["JUDGES", "KINDS", "FindingKind", "in_state", "of_check", "state_of"]

JUDGES = (
    *(access, advisories, browser, cli, container, cron, cronwork, descriptors, drain, files, gateway, host),
    *(jobtimes, lastwords, leftovers, listener, models, port, service, startup, state, work),
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
