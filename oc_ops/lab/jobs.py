"""The cron jobs of a lab: one that works, one that fails, one that takes its time."""

from __future__ import annotations

from collections.abc import Mapping

from oc_ops.lab.install import Release

NAMES = ("lab-ok", "lab-failing", "lab-slow")

_RARELY = ("--every", "6h")
"""None runs by itself while a test looks on, so that a test meets only the runs it asked for."""

_QUICK = (*_RARELY, "--session", "main", "--wake", "next-heartbeat", "--system-event")


def seeds(release: Release) -> Mapping[str, tuple[str, ...]]:
    """The options of `cron add` for each job. Releases without command jobs know no slow work that needs no model."""
    if release.command_jobs:
        commands = ("echo fine", "echo this job always fails >&2; exit 3", "sleep 45; echo done")
        return {name: (*_RARELY, "--no-deliver", "--command", line) for name, line in zip(NAMES, commands, strict=True)}
    failing = (*_RARELY, "--no-deliver", "--session", "isolated", "--message", "fails: the lab has no model")
    return dict(zip(NAMES, ((*_QUICK, "fine"), failing, (*_QUICK, "not slow in this release")), strict=True))
