"""The state snapshot as a file: written whole or not at all, read without ever failing, and as old as it says."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import get_type_hints

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from oc_ops import files
from oc_ops.cockpit.state import SCHEMA, Snapshot
from oc_ops.record.watcher_word import path_of as path_of

STALE_S = 15.0
"""The watcher writes at least every 5 s: an older snapshot means that it is gone, stopped, or cannot write."""

MOST_BYTES = 4 * 2**20
"""A file larger than this is none of ours."""

_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_DECODERS = {name: msgspec.json.Decoder(kind) for name, kind in get_type_hints(Snapshot).items()}
"""One for each part, so that a part which has not changed is not read again."""


class Reading(Struct, frozen=True):
    """The file's content. `problem` says why there is nothing to show; then `snapshot` is an empty one."""

    snapshot: Snapshot
    age_s: float | None = None
    """Seconds since it was written; None when there is none."""
    problem: str = ""

    @property
    def stale(self) -> bool:
        """True if the watcher has missed its time: what is shown is of then, not of now."""
        return self.age_s is None or self.age_s > STALE_S


class Writer:
    """Writes one gateway's snapshots; a part that is the same object as last time is not put into words again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._said: dict[str, tuple[object, str]] = {}

    def write(self, snapshot: Snapshot, *, now: float | None = None, monotonic: float | None = None) -> None:
        """Replace the file in one step, readable by its owner alone; raises OSError. Stamps it with both clocks.

        Not synced: after a power cut its age would be wrong anyway.
        """
        stamped = replace(
            snapshot,
            written_at=time.time() if now is None else now,
            written_monotonic=time.monotonic() if monotonic is None else monotonic,
        )
        members = (f'"{name}":{self._text(name, part)}' for name, part in asdict(stamped).items())
        _replace_file(self.path, f"{{{','.join(members)}}}")

    def _text(self, name: str, value: object) -> str:
        if not isinstance(value, Struct):
            return _json(value)
        before = self._said.get(name)
        if before is None or before[0] is not value:
            before = self._said[name] = (value, _json(value))
        return before[1]


def _json(value: object) -> str:
    return json.dumps(value, default=asdict, separators=(",", ":"), ensure_ascii=False)


def _replace_file(path: Path, text: str) -> None:
    files.own_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        data = text.encode("utf-8", "replace")  # what is no text, such as half of a surrogate pair, is read by nobody
        with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(data)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


class Reader:
    """Reads one gateway's snapshots again and again: an unchanged file costs one stat, an unchanged part nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: object = None
        self._said: Mapping[str, bytes] = {}
        self._reading = Reading(Snapshot())

    def read(self, *, now: float | None = None, monotonic: float | None = None) -> Reading:
        """The snapshot in the file, and its age; whatever stands there, this does not raise."""
        try:
            found = self.path.stat()
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
            if stamp != self._stamp:
                with files.open_regular(self.path) as file:
                    self._reading = self._parsed(file.read(MOST_BYTES + 1))
                self._stamp = stamp
        except FileNotFoundError:
            self._stamp = None
            return Reading(Snapshot(), problem="no watcher has written anything yet")
        except OSError as error:
            self._stamp = None
            return Reading(Snapshot(), problem=f"cannot read {self.path.name}: {error.strerror or error}")
        if self._reading.problem:
            return self._reading
        return replace(self._reading, age_s=age_s(self._reading.snapshot, now=now, monotonic=monotonic))

    def _parsed(self, raw: bytes) -> Reading:
        try:
            if len(raw) > MOST_BYTES:
                raise msgspec.DecodeError("it is too large")
            said = {name: bytes(part) for name, part in _PARTS.decode(raw).items()}
            if said.get("schema") != str(SCHEMA).encode():
                return Reading(Snapshot(), problem=f"{self.path.name} is of another version of oc-ops")
            kept = {name: getattr(self._reading.snapshot, name) for name in said if name in _DECODERS}
            fresh = {name: _DECODERS[name].decode(said[name]) for name in kept if self._said.get(name) != said[name]}
        except (msgspec.MsgspecError, RecursionError) as error:
            return Reading(Snapshot(), problem=f"{self.path.name} holds no snapshot: {error}")
        self._said = said
        return Reading(Snapshot(**{**kept, **fresh}))


def read(path: Path, *, now: float | None = None, monotonic: float | None = None) -> Reading:
    """One reading, as a Reader does."""
    return Reader(path).read(now=now, monotonic=monotonic)


def age_s(snapshot: Snapshot, *, now: float | None = None, monotonic: float | None = None) -> float:
    """Seconds since a snapshot was written, never negative.

    A clock set back makes the wall clock's answer too small, a reboot the monotonic one's: the larger counts.
    """
    wall = (time.time() if now is None else now) - snapshot.written_at
    steady = (time.monotonic() if monotonic is None else monotonic) - snapshot.written_monotonic
    return max(wall, steady, 0.0)


# -- who watches ------------------------------------------------------------------------------------------------------


def session_mark(memory_dir: Path, key: str) -> Path:
    """Touched while a session lives, watched or not: the watcher ends when it no longer is."""
    return memory_dir / f"state-{key}.session"


def watching_mark(memory_dir: Path, key: str) -> Path:
    """Touched while somebody may see a pane: the watcher looks at the port every 2 s while it is."""
    return memory_dir / f"state-{key}.watching"


def heartbeat(memory_dir: Path, key: str, *, watched: bool = True) -> None:
    """To be called by every pane about every 2 s; `watched` is False when it knows that nobody is attached.

    Does not raise: a memory directory that cannot be written shows in the watcher's own words.
    """
    for mark in (session_mark(memory_dir, key), *((watching_mark(memory_dir, key),) if watched else ())):
        with contextlib.suppress(OSError):
            mark.touch(mode=0o600)
