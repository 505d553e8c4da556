"""Small files in memory/ that one look leaves for the next; losing one costs a comparison, nothing else."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from oc_ops import files
from oc_ops.judge.cron import KeptJob
from oc_ops.judge.work import Silence
from oc_ops.observe.host import Sample
from oc_ops.process.jsontext import number_at
from oc_ops.record import folder
from oc_ops.record.run import RunRecord

_CONFIG = "config-accepted.txt"


def config_fingerprint(config: Path, release: tuple[int, ...] | None) -> str | None:
    """A digest of what the validation depends on: the file's bytes and the release that judged them.

    None when a digest would not cover it: includes and environment references are read from elsewhere.
    """
    try:
        content = files.read_bytes(config, files.CONFIG_BYTES)
    except OSError:
        return None
    if release is None or b"$include" in content or b"${" in content:
        return None
    return hashlib.sha256(repr((release, content)).encode()).hexdigest()


def config_is_known(memory_dir: Path, mark: str | None) -> bool:
    """True when this very config was accepted by this very release before."""
    if mark is None:
        return False
    try:
        return files.read_text(memory_dir / _CONFIG, files.SMALL_BYTES).strip() == mark
    except (OSError, ValueError):
        return False


def remember_config(memory_dir: Path, mark: str | None) -> None:
    """Keep the digest of an accepted config; one that cannot be kept costs a validation next time, nothing else."""
    if mark is not None:
        try:
            folder.write(memory_dir / _CONFIG, mark + "\n")
        except OSError:
            return


_MOST_BYTES = 2 * 2**20
_RELEASES, _MOST_RELEASES = "releases-told.json", 50


class LastLook(Struct, frozen=True):
    """One look at a gateway's work; a part is None until it was looked at. Jobs are by id, the others by name."""

    at_ms: int = 0
    jobs: dict[str, KeptJob] | None = None
    letters: dict[str, int] | None = None
    silent: dict[str, Silence] = {}
    channels: tuple[str, ...] = ()
    """The channel accounts that were set up."""


def last_look(memory_dir: Path, key: str) -> LastLook:
    """The last look at the gateway `key`; one that is missing or broken tells nothing."""
    try:
        return msgspec.json.decode(files.read_bytes(memory_dir / f"work-{key}.json", _MOST_BYTES), type=LastLook)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return LastLook()


def remember_look(memory_dir: Path, key: str, look: LastLook) -> None:
    """Replace it; a look that cannot be kept costs the comparison next time, nothing else."""
    try:
        # ASCII: what strangers call their jobs acts on no terminal that shows the file.
        folder.write(memory_dir / f"work-{key}.json", json.dumps(msgspec.to_builtins(look)) + "\n")
    except OSError:
        return


def told_releases(memory_dir: Path) -> tuple[str, ...]:
    """The releases that were spoken of on this machine."""
    try:
        return msgspec.json.decode(files.read_bytes(memory_dir / _RELEASES, files.SMALL_BYTES), type=tuple[str, ...])
    except (OSError, msgspec.MsgspecError, RecursionError):
        return ()


def remember_release(memory_dir: Path, release: str) -> None:
    """Do not speak of it again; where that cannot be kept, the next run does."""
    told = (*told_releases(memory_dir), release)[-_MOST_RELEASES:]
    try:
        folder.write(memory_dir / _RELEASES, msgspec.json.encode(told).decode() + "\n")
    except OSError:
        return


SPACING_S = 300.0
"""A sample this soon after the last one is not kept: a cockpit that looks every 5 s must not push out the day."""

_SAMPLES = 288
"""One day at one sample in SPACING_S; the file stays below 32 KB."""

_FIELDS = 5


def memory_series(memory_dir: Path, key: str, sample: Sample | None) -> tuple[Sample, ...]:
    """The series of the gateway `key` (a short name for the target) with the new sample at its end, oldest first.

    The file is replaced as a whole and only when the sample is due; one that is broken, or cannot be read or written,
    costs the history and nothing else. Samples of a clock that was set back are dropped.
    """
    path = memory_dir / f"trend-{key}.json"
    kept = _series(path)
    if sample is None:
        return kept
    kept = tuple(each for each in kept if each.at_s < sample.at_s)
    series = (*kept, sample)[-_SAMPLES:]
    if not kept or sample.at_s - kept[-1].at_s >= SPACING_S:
        try:
            folder.write(path, json.dumps([structs.astuple(each) for each in series]) + "\n")
        except OSError:
            return series
    return series


def _series(path: Path) -> tuple[Sample, ...]:
    try:
        rows: object = json.loads(files.read_text(path, files.SMALL_BYTES))
    except (OSError, ValueError, RecursionError):
        return ()
    if not isinstance(rows, list):
        return ()
    samples = [_sample(each) for each in rows[-_SAMPLES:]]
    return tuple(sorted((each for each in samples if each is not None), key=lambda each: each.at_s))


def _sample(row: object) -> Sample | None:
    if not isinstance(row, Sequence) or len(row) != _FIELDS:
        return None
    if not all(isinstance(each, int | float) and math.isfinite(each) and each >= 0 for each in row):
        return None
    at_s, pid, started_s, rss_bytes, swapped_out_bytes = row
    return Sample(float(at_s), int(pid), float(started_s), int(rss_bytes), int(swapped_out_bytes))


_SAME_START_S = 5.0
_SAME_SPELL_S = 1200.0
"""Starts seen with a longer time between have nothing to do with each other."""


class StartSpell(Struct, frozen=True):
    """One start after the other, and no gateway that was up between: the first look, and how many starts."""

    first: datetime
    starts: int


def drain_since(memory_dir: Path, key: str, started_s: float | None, now: datetime) -> datetime:
    """When the gateway `key` was first seen in the drain that it is in now; this very moment where that is not known.

    `started_s` (seconds since the epoch) is when this start of it began: another start's drain is another one.
    """
    path = _drain_path(memory_dir, key)
    first, start = _drain(path)
    same = started_s is None or start is None or abs(start - started_s) <= _SAME_START_S
    if first is not None and same and first <= now.timestamp():
        return datetime.fromtimestamp(first, UTC)
    with suppress(OSError):
        folder.write(path, json.dumps({"first_s": now.timestamp(), "started_s": started_s}) + "\n")
    return now


def forget_drain(memory_dir: Path, key: str) -> None:
    """The drain is over."""
    with suppress(OSError):
        _drain_path(memory_dir, key).unlink(missing_ok=True)


def start_seen(memory_dir: Path, key: str, started_s: float | None, now: datetime) -> StartSpell:
    """Remember that the gateway `key` was seen on its way up; `started_s` since the epoch is when that start began."""
    path, moment = _start_path(memory_dir, key), now.timestamp()
    kept = _kept(path)
    first, last, count = (number_at(kept, name) for name in ("first_s", "last_s", "starts"))
    if first is None or last is None or count is None or not last <= moment <= last + _SAME_SPELL_S:
        first, count = moment, 1
    elif started_s is not None and (before := number_at(kept, "started_s")) is not None:
        count += started_s - before > _SAME_START_S
    said = {"first_s": first, "last_s": moment, "started_s": started_s, "starts": count}
    with suppress(OSError):
        folder.write(path, json.dumps(said) + "\n")
    return StartSpell(datetime.fromtimestamp(first, UTC), round(count))


def forget_starts(memory_dir: Path, key: str) -> None:
    """The gateway has come up: the next start is the first one again."""
    with suppress(OSError):
        _start_path(memory_dir, key).unlink(missing_ok=True)


def _drain_path(memory_dir: Path, key: str) -> Path:
    return memory_dir / f"drain-{key}.json"


def _start_path(memory_dir: Path, key: str) -> Path:
    return memory_dir / f"start-{key}.json"


def _drain(path: Path) -> tuple[float | None, float | None]:
    kept = _kept(path)
    return number_at(kept, "first_s"), number_at(kept, "started_s")


def _kept(path: Path) -> object:
    try:
        return json.loads(files.read_text(path, files.SMALL_BYTES))
    except (OSError, ValueError, RecursionError):
        return None


class CliProof(Struct, frozen=True):
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


def cli_proof(memory_dir: Path, key: str) -> CliProof | None:
    """The last proof; None where there is none, or none that can be read."""
    try:
        return msgspec.json.decode(files.read_bytes(_proof_path(memory_dir, key), files.SMALL_BYTES), type=CliProof)
    except (OSError, msgspec.MsgspecError):
        return None


def keep_cli_proof(record: RunRecord, memory_dir: Path) -> None:
    """Keep the proof of a whole run that was well, and drop it after one that was not; a run without it leaves it.

    One that cannot be written costs a proof next time, nothing else.
    """
    scope, path = record.scope, _proof_path(memory_dir, record.scope.key)
    try:
        if record.verdict not in ("healthy", "degraded"):
            path.unlink(missing_ok=True)
        elif record.lanes.cli == "ok" and not (scope.quick or scope.left_out or scope.interrupted):
            serving = record.observed.probe.serving if record.observed.probe else None
            ids = tuple(sorted({each.check for each in record.findings}))
            folder.write(path, msgspec.json.encode(CliProof(time.time(), ids, serving.pid if serving else None)))
    except (OSError, ValueError):
        return


def _proof_path(memory_dir: Path, key: str) -> Path:
    return memory_dir / f"cli-proof-{key}.json"
