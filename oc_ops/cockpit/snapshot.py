"""The state snapshot as a file: written whole or not at all, read without ever failing, and as old as it says."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from oc_ops import files
from oc_ops.cockpit.state import SCHEMA, Snapshot
from oc_ops.record.lastword import path_of as path_of

STALE_S = 15.0
"""The watcher writes at least every 5 s: an older snapshot means that it is gone, stopped, or cannot write."""

MOST_BYTES = 4 * 2**20
"""A file larger than this is none of ours."""

_MOST = 1e18
"""No moment, size or count is as large."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was in the file. `problem` says why there is nothing to show; then `snapshot` is an empty one."""

    snapshot: Snapshot
    age_s: float | None = None
    """Seconds since it was written; None when there is none."""
    problem: str = ""

    @property
    def stale(self) -> bool:
        """Whether the watcher has missed its time: what is shown is of then, not of now."""
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
        members = (f'"{each.name}":{self._text(each.name, getattr(stamped, each.name))}' for each in fields(stamped))
        _replace_file(self.path, f"{{{','.join(members)}}}")

    def _text(self, name: str, value: object) -> str:
        if not is_dataclass(value) or isinstance(value, type):
            return json.dumps(value)
        before = self._said.get(name)
        if before is None or before[0] is not value:
            before = self._said[name] = (value, json.dumps(value, default=_members, separators=(",", ":")))
        return before[1]


def _members(value: Any) -> dict[str, object]:
    """A record as JSON takes it; `asdict` would copy all that is in it."""
    return {each.name: getattr(value, each.name) for each in fields(value)}


def write(path: Path, snapshot: Snapshot, *, now: float | None = None, monotonic: float | None = None) -> None:
    """Write one snapshot, as a Writer does."""
    Writer(path).write(snapshot, now=now, monotonic=monotonic)


def _replace_file(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "w", encoding="ascii", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(text)
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
        self._said: dict[str, object] = {}
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
            said = json.loads(raw) if len(raw) <= MOST_BYTES else None
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            return Reading(Snapshot(), problem=f"{self.path.name} holds no snapshot")
        if said.get("schema") != SCHEMA:
            return Reading(Snapshot(), problem=f"{self.path.name} is of another version of oc-ops")
        fresh = {name: each for name, each in said.items() if name not in self._said or self._said[name] != each}
        kept = {each.name: getattr(self._reading.snapshot, each.name) for each in fields(Snapshot)}
        absent = {name: None for name in kept if name not in said}
        filled = _filled(Snapshot, fresh)
        unchanged = {name: each for name, each in kept.items() if name not in fresh and name not in absent}
        self._said = cast("dict[str, object]", said)
        return Reading(replace(filled, **unchanged))


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


# -- JSON to types ----------------------------------------------------------------------------------------------------

Converter = Callable[[Any], Any]
"""Makes a value of one kind from what JSON said, or raises _Unfit; made once for each kind."""


class _Unfit(Exception):
    """A value that is not of the field's kind."""


def _filled(kind: type[T], said: Mapping[str, object]) -> T:
    """A record from a JSON object; what is missing or of the wrong kind keeps its default."""
    return cast("T", _converter(cast("Any", kind))(said))


@cache
def _converter(kind: Any) -> Converter:
    origin, options = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        inner = _converter(next(each for each in options if each is not NoneType))
        return lambda said: None if said is None else inner(said)
    if origin is Literal:
        words = frozenset(options)
        return _fitting(lambda said: type(said) is str and said in words)
    if origin is tuple and options[-1] is Ellipsis:
        return _row(_converter(options[0]))
    if origin is tuple:
        return _pair(tuple(map(_converter, options)))
    if is_dataclass(kind):
        return _record(cast("type[object]", kind))
    if kind is float:
        return _number
    if kind is int:
        return _fitting(lambda said: type(said) is int and abs(said) < _MOST)
    return _fitting(lambda said: type(said) is kind)


def _fitting(fits: Callable[[Any], bool]) -> Converter:
    def checked(said: object) -> object:
        if not fits(said):
            raise _Unfit
        return said

    return checked


def _number(said: Any) -> float:
    """What is not a number fails the comparison as well."""
    if type(said) not in (int, float) or not abs(said) < _MOST:
        raise _Unfit
    return float(said)


def _record(kind: type[object]) -> Converter:
    hints = get_type_hints(kind)
    members = [(each.name, _converter(hints[each.name])) for each in fields(cast("Any", kind))]

    def record(said: object) -> object:
        if type(said) is not dict:
            raise _Unfit
        values = {}
        for name, convert in members:
            if name in said:
                try:
                    values[name] = convert(said[name])
                except _Unfit:
                    continue
        return kind(**values)

    return record


def _row(convert: Converter) -> Converter:
    """A list without what does not fit."""

    def row(said: object) -> tuple[object, ...]:
        if type(said) is not list:
            raise _Unfit
        fitting = []
        for each in said:
            try:
                fitting.append(convert(each))
            except _Unfit:
                continue
        return tuple(fitting)

    return row


def _pair(converters: tuple[Converter, ...]) -> Converter:
    """A list of fixed length, as a whole."""

    def pair(said: object) -> tuple[object, ...]:
        if type(said) is not list or len(said) != len(converters):
            raise _Unfit
        return tuple(convert(each) for convert, each in zip(converters, said, strict=True))

    return pair
