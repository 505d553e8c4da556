"""Log files that more than one running gateway writes: nothing in such a file is one gateway's for certain."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

import psutil

from oc_ops import files
from oc_ops.errors import OcOpsError
from oc_ops.observe import config, processes
from oc_ops.observe.logs import places
from oc_ops.observe.target import STATE_FOLDER, Target, locate


def log_sharers(target: Target, paths: Collection[Path], today: datetime) -> dict[Path, str]:
    """The log files among these that another running gateway writes as well, and in a few words which one.

    OpenClaw names its default file by the profile alone: the gateways of two homes write into one, and no record says
    whose it is (2026.9.6).
    """
    found: dict[Path, str] = {}
    for pid, place in processes.elsewhere(target) if paths else ():
        named = STATE_FOLDER.fullmatch(Path(place).name)
        environ = {"HOME": str(Path(place).parent), "OPENCLAW_STATE_DIR": place}
        with contextlib.suppress(psutil.Error, OSError, OcOpsError):
            other = locate(environ, named["profile"] if named else None)
            theirs = places.files(other, config.read(other), today) if place else ()
            for path in {*theirs} & {*paths}:
                if files.owner(path) == psutil.Process(pid).uids().real:
                    found[path] = f"pid {pid} of {place}"
    return found
