"""pytest plugin: a fake gateway lives in the test process, whose title is not OpenClaw's; its lock alone counts."""

from __future__ import annotations

from oc_ops.observe import processes

_by_title = processes._evidence


def _by_lock(pid, command, service_pid, locked):
    return processes._PROOF[1] if locked else _by_title(pid, command, service_pid, locked)


processes._evidence = _by_lock
