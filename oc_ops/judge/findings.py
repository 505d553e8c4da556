"""All findings there are: every room of judges is imported here, so that the registry is complete."""

from __future__ import annotations

from oc_ops.judge import (
    access,
    browser,
    cli,
    container,
    cron,
    files,
    gateway,
    host,
    jobtimes,
    listener,
    port,
    service,
    state,
)
from oc_ops.judge.registry import KINDS, FindingKind

__all__ = ["JUDGES", "KINDS", "FindingKind"]

JUDGES = (access, browser, cli, container, cron, files, gateway, host, cron, jobtimes, listener, port, service, state)
"""The modules that declare findings."""
