"""Telling people what changed, out of band: in a process of its own, which no run waits for and none depends on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress

from oc_ops.settings import Settings, for_a_child, start_folder

_STARTED: list[subprocess.Popen[bytes]] = []
"""Kept, so that none is collected, and warned of, while it is still delivering."""


def start(settings: Settings, request: Mapping[str, object], *, wait: bool = False) -> None:
    """Have `request` (see deliver.Request) carried out by a process of its own; that it cannot costs nobody anything.

    It ends itself after `notify_s` seconds. Waits for it only when asked to: a scheduler may end what a run leaves
    behind.
    """
    limits = {
        "memory_dir": str(settings.memory_dir),
        "again_s": settings.notify_again_s,
        "deadline_s": settings.notify_s,
    }
    said = json.dumps({**limits, **request}).encode()
    with suppress(OSError, subprocess.TimeoutExpired):
        # Addresses are secrets: by a pipe, since everybody may read a command line.
        child = subprocess.Popen(
            [sys.executable, "-m", "oc_ops.notify.deliver"],
            cwd=start_folder(),
            env={name: value for name, value in for_a_child(os.environ).items() if name != "OC_OPS_CALL"},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        _STARTED.append(child)
        assert child.stdin is not None
        with child.stdin as pipe:
            pipe.write(said)
        if wait:
            child.wait(settings.notify_s + 1.0)
