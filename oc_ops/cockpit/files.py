"""The parts that come from files: the last doctor report, the book of incidents, transcripts of ad-hoc runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import cast, get_args

from msgspec.structs import replace

from oc_ops import files
from oc_ops.cockpit import state
from oc_ops.errors import OcOpsError
from oc_ops.judge.findings import Verdict
from oc_ops.process.jsontext import number_at, text_at
from oc_ops.record.incidents import book
from oc_ops.record.incidents.incident import Incident
from oc_ops.text import read_moment, remedy

RUN_FOLDER = "cron_run_now"
"""Where `oc-ops run` leaves its transcripts, in the memory directory."""

_FINDINGS, _TRANSCRIPTS, _TAIL_LINES, _TAIL_BYTES = 12, 5, 6, 8192
_MOST_BYTES = 8 * 2**20
_SEVERITIES: Mapping[str, state.Severity] = {"error": "error", "warning": "warning", "info": "info"}

Stamp = tuple[int, int, int] | None


class FilesWatch:
    """Each file is read again only when it has changed."""

    def __init__(self, memory_dir: Path, report_dir: Path, key: str, clean: Callable[[str], str]) -> None:
        self._memory, self._reports, self._key, self._clean = memory_dir, report_dir, key, clean
        self._stamps: dict[Path, Stamp] = {}
        self.doctor = state.DoctorPart()
        self.incidents = state.Incidents()
        self.transcripts: tuple[state.TranscriptPart, ...] = ()
        self._shown: tuple[Path, ...] = ()

    def look(self, now: float, every_s: float) -> bool:
        """Look at all of them; True when something has changed."""
        seen = state.Freshness(now, "files", every_s=every_s)
        before = (self.doctor, self.incidents, self.transcripts)
        self._doctor(seen)
        self._incidents(seen, now)
        if self._changed(self._memory / RUN_FOLDER) or self._grew():
            self.transcripts = self._read_transcripts()
        after = (self.doctor, self.incidents, self.transcripts)
        return any(_shows(one) != _shows(other) for one, other in zip(before, after, strict=True))

    def _changed(self, path: Path) -> bool:
        found = _stamp(path)
        if path in self._stamps and self._stamps[path] == found:
            return False
        self._stamps[path] = found
        return True

    # -- the last doctor run ------------------------------------------------------------------------------------------

    def _doctor(self, seen: state.Freshness) -> None:
        path = self._reports / "latest.json"
        if not self._changed(path):
            self.doctor = replace(self.doctor, seen=_again(self.doctor.seen, seen))
            return
        try:
            said = _object(path)
        except FileNotFoundError:
            self.doctor = state.DoctorPart(next_action="oc-ops doctor", seen=seen)
        except (OSError, ValueError, RecursionError) as error:
            why = f"cannot read {path.name}: {_reason(error)}"
            self.doctor = replace(self.doctor, seen=replace(seen, problem=why, problem_since=seen.at))
        else:
            self.doctor = self._said(said, seen)

    def _said(self, said: Mapping[str, object], seen: state.Freshness) -> state.DoctorPart:
        listed = said.get("findings")
        found = [self._note(each) for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        found.sort(key=lambda each: each.severity != "error")
        verdict, cause = text_at(said, "verdict"), self._clean(text_at(said, "cause"))
        first = next((each for each in found if each.check == cause), found[0] if found else None)
        page = self._reports / "latest.html"
        return state.DoctorPart(
            verdict=cast("Verdict", verdict) if verdict in get_args(Verdict) else "unknown",
            at=_moment(text_at(said, "started_at")),
            duration_s=number_at(said, "duration_s"),
            cause=cause,
            findings=tuple(found[:_FINDINGS]),
            next_action=remedy(first.fix) if first else "",
            report=self._clean(str(page)) if page.is_file() else "",
            seen=seen,
        )

    def _note(self, entry: Mapping[str, object]) -> state.Note:
        check, fact, fix = (self._clean(text_at(entry, name)) for name in ("check", "fact", "fix"))
        return state.Note(check, _SEVERITIES.get(text_at(entry, "severity"), ""), fact, fix)

    # -- the book of incidents ----------------------------------------------------------------------------------------

    def _incidents(self, seen: state.Freshness, now: float) -> None:
        journal = book.journal(self._memory)
        if not self._changed(self._memory / book.FILE):
            self.incidents = replace(self.incidents, seen=_again(self.incidents.seen, seen))
            return
        try:
            still = book.open_incidents(journal, datetime.fromtimestamp(now, UTC), self._key)
        except OcOpsError as error:
            why = self._clean(str(error))
            self.incidents = replace(self.incidents, seen=replace(seen, problem=why, problem_since=now))
        else:
            self.incidents = state.Incidents(tuple(map(self._incident, still)), seen)

    def _incident(self, one: Incident) -> state.IncidentPart:
        shows, taken_on = one.shows or one.cause, one.acknowledged
        return state.IncidentPart(
            id=self._clean(one.id),
            check=self._clean(one.cause.check),
            severity="error",
            fact=self._clean(shows.fact),
            state=one.state,
            since=one.red_since.timestamp(),
            last_seen_at=one.seen_at.timestamp(),
            fix=self._clean(shows.fix),
            acknowledged_by=self._clean(taken_on.by) if taken_on else "",
            flaps=one.flaps,
            attempts=len(one.attempts),
        )

    # -- transcripts of ad-hoc runs -----------------------------------------------------------------------------------

    def _grew(self) -> bool:
        changed = [path for path in self._shown if self._changed(path)]
        return bool(changed)

    def _read_transcripts(self) -> tuple[state.TranscriptPart, ...]:
        folder = self._memory / RUN_FOLDER
        found: list[tuple[float, Path, int]] = []
        with suppress(OSError), os.scandir(folder) as entries:
            for each in entries:
                with suppress(OSError):
                    if each.name.endswith(".log") and each.is_file(follow_symlinks=False):
                        stat = each.stat(follow_symlinks=False)
                        found.append((stat.st_mtime, folder / each.name, stat.st_size))
        newest = sorted(found, reverse=True)[:_TRANSCRIPTS]
        for path in self._shown:
            self._stamps.pop(path, None)
        self._shown = tuple(path for _, path, _ in newest)
        for path in self._shown:
            self._changed(path)
        return tuple(
            state.TranscriptPart(self._clean(str(path)), at, size, self._last_lines(path, size))
            for at, path, size in newest
        )

    def _last_lines(self, path: Path, size: int) -> tuple[str, ...]:
        try:
            with files.open_regular(path) as file:
                file.seek(max(0, size - _TAIL_BYTES))
                lines = file.read(_TAIL_BYTES).decode("utf-8", "replace").splitlines()
        except OSError:
            return ()
        return tuple(self._clean(each) for each in [each for each in lines if each.strip()][-_TAIL_LINES:])


def _again(before: state.Freshness, seen: state.Freshness) -> state.Freshness:
    """An unchanged file was looked at again: what kept it from being read still does."""
    return seen if not before.problem else replace(before, at=seen.at)


def _shows(part: object) -> object:
    return replace(part, seen=state.Freshness()) if isinstance(part, state.DoctorPart | state.Incidents) else part


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _object(path: Path) -> Mapping[str, object]:
    with files.open_regular(path) as file:
        said = json.loads(file.read(_MOST_BYTES))
    if not isinstance(said, dict):
        raise ValueError("it holds no object")
    return said


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it does not parse"


def _moment(text: str) -> float | None:
    with suppress(ValueError, OverflowError):
        moment = read_moment(text)
        return moment.timestamp() if moment else None
    return None
