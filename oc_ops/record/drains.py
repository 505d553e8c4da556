"""Since when a gateway is seen to drain, or to start: small files, as the gateway itself does not say it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from oc_ops import files
from oc_ops.process.jsontext import number_at
from oc_ops.record import folder

_SAME_START_S = 5.0
_SAME_SPELL_S = 1200.0
"""Starts seen with a longer time between have nothing to do with each other."""


@dataclass(frozen=True, slots=True)
class StartSpell:
    """One start after the other, and no gateway that was up between: the first look, and how many starts."""

    first: datetime
    starts: int


def since(memory_dir: Path, key: str, started_s: float | None, now: datetime) -> datetime:
    """When the gateway `key` was first seen in the drain that it is in now; this very moment where that is not known.

    `started_s` (seconds since the epoch) is when this start of it began: another start's drain is another one.
    """
    path = _path(memory_dir, key)
    first, start = _read(path)
    same = started_s is None or start is None or abs(start - started_s) <= _SAME_START_S
    if first is not None and same and first <= now.timestamp():
        return datetime.fromtimestamp(first, UTC)
    with suppress(OSError):
        folder.write(path, json.dumps({"first_s": now.timestamp(), "started_s": started_s}) + "\n")
    return now


def forget(memory_dir: Path, key: str) -> None:
    """The drain is over."""
    with suppress(OSError):
        _path(memory_dir, key).unlink(missing_ok=True)


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


def is_up(memory_dir: Path, key: str) -> None:
    """The gateway has come up: the next start is the first one again."""
    with suppress(OSError):
        _start_path(memory_dir, key).unlink(missing_ok=True)


def _path(memory_dir: Path, key: str) -> Path:
    return memory_dir / f"drain-{key}.json"


def _start_path(memory_dir: Path, key: str) -> Path:
    return memory_dir / f"start-{key}.json"


def _read(path: Path) -> tuple[float | None, float | None]:
    kept = _kept(path)
    return number_at(kept, "first_s"), number_at(kept, "started_s")


def _kept(path: Path) -> object:
    try:
        return json.loads(files.read_text(path, files.SMALL_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
