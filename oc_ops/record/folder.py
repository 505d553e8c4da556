"""Where a run leaves its evidence: a directory per run, whole files only, readable by nobody else."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from oc_ops import files
from oc_ops.text import clock, file_stamp, regex

if TYPE_CHECKING:
    from oc_ops.process.run import Call, Output
    from oc_ops.record.redact import Redactor

REPORT_HTML = "report.html"
REPORT_JSON = "report.json"

_STAMP = regex(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(?:-\d\d)?")
_TEMPORARY = regex(r"\..{1,100}\.[0-9a-f]{16}\.part")
_STREAM_CHARACTERS = 2**21


class RunFolder(Struct, frozen=True):
    """One run's directory, `<report_dir>/runs/<stamp>`."""

    path: Path

    @property
    def stamp(self) -> str:
        """The run's name: its start in UTC, so that sorting by name is sorting by time."""
        return self.path.name

    @property
    def report_dir(self) -> Path:
        """The directory that holds `runs/` and the latest report."""
        return self.path.parent.parent

    @property
    def page_in_progress(self) -> Path:
        """Where pytest-html may write its page; whatever a killed run leaves there, the next run removes."""
        return self.path / f".{REPORT_HTML}.{0:016x}.part"


def open_run(report_dir: Path, now: datetime | None = None) -> RunFolder:
    """Create the directory of a new run (0700), after clearing what a killed run left half-written.

    Of up to 100 runs in one second each gets its own. Raises OSError when `report_dir` cannot be written.
    """
    runs = report_dir / "runs"
    for directory in (report_dir, runs):
        files.own_folder(directory)
    _clear_leftovers(report_dir)
    second = file_stamp(now or datetime.now(UTC))
    for stamp in (second, *(f"{second}-{number:02d}" for number in range(2, 100))):
        with contextlib.suppress(FileExistsError):
            (runs / stamp).mkdir(mode=0o700)
            return RunFolder(runs / stamp)
    raise FileExistsError(f"{runs / second}: a hundred runs began in this second")


def write(path: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Write a file so that readers see the old content or the new one, never a part, even after a power cut.

    Readable by nobody else, unless `mode` says otherwise. Text is UTF-8; lone surrogates become `?`. Creates missing
    parent directories (0700).
    """
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    files.new_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with open(temporary, "xb", opener=files.private) as file:
            # Whoever clears leftovers cannot take this lock while we live; the kernel drops it when we die.
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_transcript(run: RunFolder, number: int, call: Call, redactor: Redactor) -> str:
    """Write what a call did and printed, redacted, its controls made visible; return the path inside the run."""
    argv = redactor.argv(call.argv)
    name = f"calls/{number:02d}-{_slug(argv)}.log"
    ending = f"signal {call.signal}" if call.signal is not None else f"exit {'-' if call.exit is None else call.exit}"
    head = (
        f"$ {redactor.line(' '.join(argv), 4000)}",
        f"start    {clock(call.started_at)}",
        f"wall     {call.wall_s:.3f} s of at most {call.deadline_s:g} s",
        f"cpu      {call.cpu_s:.3f} s",
        f"outcome  {call.outcome}, {ending}" + (f", {call.killed} processes ended" if call.killed else ""),
        *([f"why      {redactor.line(call.why, 4000)}"] if call.why else []),
    )
    streams = (
        f"--- {stream} ({output.total_bytes:,} bytes) ---\n{_shown(output, redactor)}"
        for stream, output in (("stdout", call.stdout), ("stderr", call.stderr))
    )
    write(run.path / name, "\n".join((*head, *streams)) + "\n")
    return name


def publish(run: RunFolder) -> None:
    """Make this run's report the latest: copies, since a link would not survive the mail or the phone."""
    for name, latest in ((REPORT_HTML, "latest.html"), (REPORT_JSON, "latest.json")):
        with contextlib.suppress(FileNotFoundError):
            write(run.report_dir / latest, (run.path / name).read_bytes())


def latest_kind(run: RunFolder) -> Literal["none", "part", "whole"]:
    """The scope of the latest report; one of an older oc-ops, or a torn one, is taken for a whole run's."""
    try:
        latest = json.loads(files.read_text(run.report_dir / "latest.json", files.DATA_BYTES))
    except FileNotFoundError:
        return "none"
    except (OSError, ValueError, RecursionError):
        return "whole"
    return "part" if isinstance(latest, dict) and latest.get("whole") is False else "whole"


def discard(run: RunFolder) -> None:
    """Remove a run that looked at nothing; the latest report stays what it was."""
    shutil.rmtree(run.path, ignore_errors=True)


def prune(report_dir: Path, keep_healthy: int, keep_failing: int, now: datetime | None = None) -> tuple[str, ...]:
    """Remove all but the newest `keep_healthy` healthy runs and `keep_failing` others; return the removed stamps.

    Runs of a clock that was ahead of `now` are the oldest: they would push out all that come until then.

    A run whose report cannot be read or does not exist counts as failing; a directory that is not named as a run is
    never touched. Safe beside another pruner.
    """
    latest = f"{file_stamp(now or datetime.now(UTC))}~"
    runs = sorted(_runs(report_dir), key=lambda run: (run.name <= latest, run.name), reverse=True)
    healthy = [run for run in runs if _is_healthy(run)]
    failing = [run for run in runs if run not in healthy] if len(runs) - len(healthy) > keep_failing else []
    surplus = healthy[keep_healthy:] + failing[keep_failing:]
    for run in surplus:
        _remove(run)
    return tuple(run.name for run in surplus)


def _runs(report_dir: Path) -> list[Path]:
    try:
        with os.scandir(report_dir / "runs") as entries:
            return [
                Path(entry.path)
                for entry in entries
                if _STAMP.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
    except FileNotFoundError:
        return []


def _is_healthy(run: Path) -> bool:
    try:
        with files.open_regular(run / REPORT_JSON) as file:
            # The verdict is the second member: the many failing runs that pile up are not read whole to be kept.
            head = file.read(200)
            report = json.loads(head + file.read()) if b'"healthy"' in head else None
    except (OSError, ValueError):
        return False
    return isinstance(report, dict) and report.get("schema") == 1 and report.get("verdict") == "healthy"


def _remove(run: Path) -> None:
    # The verdict goes last: a removal that is killed half-way is finished by the next pruner.
    for entry in [each for each in _entries(run) if each.name != REPORT_JSON]:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    (run / REPORT_JSON).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        run.rmdir()


def _entries(directory: Path) -> Sequence[Path]:
    try:
        return list(directory.iterdir())
    except FileNotFoundError:
        return ()


def _clear_leftovers(report_dir: Path) -> None:
    # report.html is a run's last file: a run that has it has nothing half-written.
    unfinished = [run for run in _runs(report_dir) if not (run / REPORT_HTML).exists()]
    for directory in (report_dir, *unfinished, *(run / "calls" for run in unfinished)):
        for entry in _entries(directory):
            if _TEMPORARY.fullmatch(entry.name):
                _remove_if_orphaned(entry)


def _remove_if_orphaned(temporary: Path) -> None:
    with contextlib.suppress(OSError), temporary.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        temporary.unlink()


def sync_directory(directory: Path) -> None:
    """Have what was created, renamed or removed in a folder on the disk, where its filesystem can."""
    # Some filesystems refuse to sync a directory; the file itself is already whole.
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _slug(argv: Sequence[str]) -> str:
    words = [word for word in argv[1:6] if re.fullmatch(r"[a-z][a-z-]{1,19}", word)]
    return "-".join(words[:3]) or "call"


_HALF = regex(r"[\w.~+/=-]{1,256}")


def _shown(output: Output, redactor: Redactor) -> str:
    kept = len(output.head) + len(output.tail)
    if output.total_bytes <= kept:
        return redactor.block(
            (output.head + output.tail).decode("utf-8", "replace"), _STREAM_CHARACTERS, _STREAM_CHARACTERS
        )
    head = output.head.decode("utf-8", "replace")
    tail = output.tail.decode("utf-8", "replace")
    # A word torn by the cut may be one half of a secret, which no pattern recognises: it goes.
    head = head[:-256] + re.sub(rf"{_HALF.pattern}\Z", "", head[-256:])
    tail = _HALF.sub("", tail[:256], count=1) + tail[256:] if _HALF.match(tail) else tail
    left_out = f"… {output.total_bytes - kept:,} bytes left out …"
    return "\n".join(redactor.block(part, _STREAM_CHARACTERS, _STREAM_CHARACTERS) for part in (head, left_out, tail))
