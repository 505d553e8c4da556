"""When the command line was last proven to work on a gateway that was well: a scheduled run need not prove it again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from oc_ops import files
from oc_ops.record import folder
from oc_ops.record.run import RunRecord


@dataclass(frozen=True, slots=True)
class CliProof:
    """`at` in seconds since the epoch; what was found beside it, and of which gateway process, for comparison."""

    at: float
    findings: tuple[str, ...] = ()
    pid: int | None = None

    @property
    def age_s(self) -> float:
        """Seconds since then; negative under a clock that was set back."""
        return time.time() - self.at

    def covers(self, findings: frozenset[str], pid: int | None, longest_s: float) -> bool:
        """True if it still speaks for a gateway that shows this now: the same process, and nothing new."""
        return 0 <= self.age_s < longest_s and findings <= set(self.findings) and pid == self.pid


def read(memory_dir: Path, key: str) -> CliProof | None:
    """The last proof; None where there is none, or none that can be read."""
    try:
        return msgspec.json.decode(files.read_bytes(_path(memory_dir, key), files.SMALL_BYTES), type=CliProof)
    except (OSError, msgspec.MsgspecError):
        return None


def note(record: RunRecord, memory_dir: Path) -> None:
    """Keep the proof of a whole run that was well, and drop it after one that was not; a run without it leaves it.

    One that cannot be written costs a proof next time, nothing else.
    """
    scope, path = record.scope, _path(memory_dir, record.scope.key)
    try:
        if record.verdict not in ("healthy", "degraded"):
            path.unlink(missing_ok=True)
        elif record.lanes.cli == "ok" and not (scope.quick or scope.left_out or scope.interrupted):
            serving = record.observed.probe.serving if record.observed.probe else None
            ids = tuple(sorted({each.check for each in record.findings}))
            folder.write(path, msgspec.json.encode(CliProof(time.time(), ids, serving.pid if serving else None)))
    except (OSError, ValueError):
        return


def _path(memory_dir: Path, key: str) -> Path:
    return memory_dir / f"cli-proof-{key}.json"
