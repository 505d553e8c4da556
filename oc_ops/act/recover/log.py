"""The step-by-step record of a recovery, and its link to the incident."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from oc_ops import files
from oc_ops.act.recover.wait import Clock
from oc_ops.errors import OcOpsError
from oc_ops.record.folder import sync_directory
from oc_ops.record.incidents import book, events
from oc_ops.record.journal import parsed
from oc_ops.text import file_stamp, regex, utc

if TYPE_CHECKING:
    from oc_ops.record.incidents.incident import Incident
    from oc_ops.record.redact import Json, Redactor

FOLDER = "recoveries"
"""Below the memory directory: `<stamp>.jsonl` and, beside it, the evidence in `<stamp>/`."""

_STAMP = regex(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(?:-\d\d)?")
_LOOKED_BACK = 50
"""Records that are looked through for one that tells the same."""
State = Literal["begin", "end", "note"]


class RecoveryLog:
    """One record. Without a path (`--dry-run`) the steps are only kept in memory.

    A step that was begun and not ended is where a recovery was killed. While `strict`, a line that cannot be written
    raises OcOpsError: what is not on record is not done.
    """

    def __init__(self, path: Path | None, redactor: Redactor, clock: Clock) -> None:
        self.path, self._redactor, self._clock = path, redactor, clock
        self.steps: list[dict[str, Json]] = []
        self.strict = True

    @classmethod
    def open(cls, memory_dir: Path, redactor: Redactor, clock: Clock) -> RecoveryLog:
        """A new record named after this second; raises OcOpsError when the folder cannot be written."""
        folder = memory_dir / FOLDER
        second = file_stamp(clock.now())
        try:
            files.own_folder(folder)
            for stamp in (second, *(f"{second}-{number:02d}" for number in range(2, 100))):
                with contextlib.suppress(FileExistsError):
                    os.close(os.open(folder / f"{stamp}.jsonl", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                    sync_directory(folder)
                    return cls(folder / f"{stamp}.jsonl", redactor, clock)
        except OSError as error:
            raise OcOpsError(f"{folder} cannot hold the record of a recovery: {error.strerror}") from error
        raise OcOpsError(f"{folder / second}: a hundred recoveries began in this second")

    @property
    def folder(self) -> Path | None:
        """Where this recovery's evidence goes; not made yet."""
        return self.path.with_suffix("") if self.path else None

    def note(self, step: str, state: State = "note", **facts: Json) -> None:
        """Write one line; texts are redacted."""
        self.told(step, facts, state)

    def told(self, step: str, facts: Mapping[str, Json], state: State = "note") -> None:
        """The same, of facts that have been gathered elsewhere."""
        told = self._redactor.json(facts)
        assert isinstance(told, Mapping)
        line: dict[str, Json] = {
            "v": 1,
            "at": utc(self._clock.now(), "milliseconds"),
            "step": step,
            "state": state,
            **told,
        }
        self.steps.append(line)
        if self.path is None:
            return
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                data = json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n"
                while data:
                    data = data[os.write(descriptor, data) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if self.strict:
                raise OcOpsError(f"{self.path} could not be written: {error.strerror}") from error

    @contextmanager
    def step(self, name: str, **facts: Json) -> Iterator[dict[str, Json]]:
        """Record a step as it begins and as it ends; the yielded facts go into the end, an exception is named there."""
        began = self._clock.monotonic()
        self.note(name, "begin", **facts)
        ending: dict[str, Json] = {}
        try:
            yield ending
        except BaseException as error:
            ending["error"] = f"{type(error).__name__}: {error}"
            raise
        finally:
            self.note(name, "end", took_s=round(self._clock.monotonic() - began, 3), **ending)


def lines(path: Path) -> list[Mapping[str, object]]:
    """The readable lines of a record, oldest first; a torn one is left out. No file is no lines."""
    try:
        raw = files.read_tail(path, files.DATA_BYTES).splitlines()
    except OSError:
        return []
    return [line for line in map(parsed, raw) if line is not None]


def records(memory_dir: Path) -> list[Path]:
    """Every record, oldest first; their names are their beginnings in UTC."""
    with contextlib.suppress(OSError):
        found = (each for each in (memory_dir / FOLDER).glob("*.jsonl") if _STAMP.fullmatch(each.stem))
        return sorted(found, key=lambda each: each.stem)
    return []


def begun_at(record: Path) -> datetime:
    """When a record was begun, by its name."""
    return datetime.strptime(f"{record.stem[:20]}+0000", "%Y-%m-%dT%H-%M-%SZ%z")


def refusal(record: Path) -> tuple[object, ...] | None:
    """The refusal in a record that tried nothing: incident, cause, exit code; None for one that acted or did not end.

    Two records of which this is the same tell the same.
    """
    told = lines(record)
    end = told[-1] if told else {}
    if (end.get("step"), end.get("state")) != ("recover", "end") or end.get("exit") not in (3, 4):
        return None
    if any(each.get("step") in ("act", "wake") for each in told):
        return None
    cause = next((each for each in reversed(told) if each.get("step") == "cause"), {})
    return cause.get("incident"), cause.get("cause"), end["exit"]


def told_before(memory_dir: Path, record: Path) -> Path | None:
    """An earlier record of the same refusal in the same incident, where there is one."""
    own = refusal(record)
    if own is None or own[0] is None:
        return None
    earlier = (each for each in reversed(records(memory_dir)) if each.stem < record.stem)
    return next((each for each in itertools.islice(earlier, _LOOKED_BACK) if refusal(each) == own), None)


def remove(record: Path) -> None:
    """Take a record away with its evidence; one that cannot be removed stays."""
    shutil.rmtree(record.with_suffix(""), ignore_errors=True)
    with contextlib.suppress(OSError):
        record.unlink(missing_ok=True)


def prune(memory_dir: Path, keep: int, before: datetime) -> None:
    """Remove all but the newest `keep` records with their evidence, and none that was begun after `before`.

    What tried nothing is counted for itself, so that no refusal pushes an act out. One that cannot be removed stays:
    the outcome of the recovery that has just ended is worth more.
    """
    found = records(memory_dir)
    if len(found) <= keep:
        return
    refused = [each for each in found if refusal(each) is not None]
    acted = [each for each in found if each not in refused]
    for record in (*acted[:-keep], *refused[:-keep]):
        if begun_at(record) < before:
            remove(record)


class IncidentLink:
    """The book of one memory directory. That it cannot be read or written keeps nobody from recovering."""

    def __init__(self, memory_dir: Path, redactor: Redactor) -> None:
        self._journal, self._redactor = book.journal(memory_dir), redactor

    def incident(self, name: str | None) -> Incident | None:
        """The incident of that id; one that cannot be read bounds nothing, the records still do."""
        if name is None:
            return None
        with contextlib.suppress(OcOpsError):
            return book.read_one(self._journal, name).incidents.get(name)
        return None

    def tell(
        self, name: str | None, log: RecoveryLog, command: str, outcome: events.Outcome, now: datetime, reason: str = ""
    ) -> None:
        """Add the attempt, or its next word, and with its first word where the evidence is."""
        if name is None or log.path is None:
            return
        # The path within the memory directory: the same wherever that is mounted.
        attempt = events.Attempt(f"{FOLDER}/{log.path.name}", command, outcome)
        try:
            if outcome == "begun":
                book.record_evidence(self._journal, name, str(log.folder), now, text="before the act")
            book.record_attempt(self._journal, name, attempt, now, reason=self._redactor.line(reason, 1000))
        except OcOpsError as error:
            log.note("incident", error=str(error))
