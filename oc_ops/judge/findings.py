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
    state,
    work,
)
from oc_ops.judge.registry import KINDS, FindingKind

__all__ = ["JUDGES", "KINDS", "FindingKind"]

JUDGES = (
    *(access, advisories, browser, cli, container, cron, cronwork, descriptors, drain, files, gateway, host),
    *(jobtimes, lastwords, leftovers, listener, models, port, service, state, work),
)
"""The modules that declare findings."""
