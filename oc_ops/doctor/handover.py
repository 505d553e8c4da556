"""What a whole run leaves for those that waited for its end: its verdict, so that they need not look again."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from oc_ops import files
from oc_ops.judge.verdict import Verdict
from oc_ops.record import folder


@dataclass(frozen=True, slots=True)
class Handover:
    """The last whole run of a gateway: when it ended (seconds since the epoch), whose it was, and what it came to."""

    ended_at: float
    pid: int
    verdict: Verdict
    sentence: str
    report: Path
    plugin_line: str = ""

    @property
    def healthy(self) -> bool:
        """True if it ended with exit code 0."""
        return self.verdict in ("healthy", "degraded")


def leave(lock: Path, verdict: Verdict, sentence: str, plugin_line: str, report: Path) -> None:
    """Put it beside the run's lock, which is still held; one that cannot be written costs the others a run."""
    left = Handover(time.time(), os.getpid(), verdict, sentence, report, plugin_line)
    try:
        folder.write(_beside(lock), msgspec.json.encode(left, enc_hook=str))
    except (OSError, ValueError):  # a path that is no UTF-8 is no JSON
        return


def take(lock: Path, since: float) -> Handover | None:
    """What a run left that ended after `since` (seconds since the epoch); None where there is none such."""
    try:
        data = files.read_bytes(_beside(lock), files.SMALL_BYTES)
        found = msgspec.json.decode(data, type=Handover, dec_hook=lambda kind, said: kind(said))
    except (OSError, msgspec.MsgspecError):
        return None
    return found if since <= found.ended_at <= time.time() else None


def _beside(lock: Path) -> Path:
    return lock.with_suffix(".last.json")
