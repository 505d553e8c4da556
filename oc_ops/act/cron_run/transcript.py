"""The transcript of a run: its file, and its text."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import getpass
import hashlib
import json
import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from oc_ops import files
from oc_ops.act.cron_run.lanes import KnownJob
from oc_ops.act.cron_run.request import RunResult
from oc_ops.errors import OcOpsError
from oc_ops.judge.finding import Finding
from oc_ops.judge.job_words import named, ran, schedule_words
from oc_ops.judge.schedule import moment
from oc_ops.observe.jobs import Job
from oc_ops.observe.probe import GatewayProbe
from oc_ops.process.pty import plain
from oc_ops.record.redact import Redactor
from oc_ops.text import clock, file_stamp, printable, regex, span

FOLDER = "cron_run_now"

_PLAIN = regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_NAME = regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}_(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ(?:-\d\d)?)\.log")
_QUIET_S = 0.2
"""A burst of output is taken as a whole, so that no secret is cut in two by the way it came."""
_BURST_CHARS = 1 << 16
_MOST_CHARS = 1 << 22
_LINE_CHARS = 4000


def slug(job_id: str) -> str:
    """A job's id as a part of a file name: itself where it is plain, else what is plain of it and a hash of it all."""
    if _PLAIN.fullmatch(job_id):
        return job_id
    digest = hashlib.sha256(job_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    kept = re.sub(r"[^A-Za-z0-9]+", "-", job_id[:200])[:40].strip("-")
    return f"{kept or 'job'}-{digest}"


class Transcript:
    """One such file, open from its first line to `close`. What cannot be written costs no run: see `trouble`."""

    def __init__(self, memory_dir: Path, job_id: str, redactor: Redactor, now: datetime | None = None) -> None:
        """Creates the file (0600) in `memory_dir`/cron_run_now (0700); raises OcOpsError when it cannot be."""
        self.trouble = ""
        self._redactor = redactor
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending, self._heard_at, self._written = "", 0.0, 0
        folder = memory_dir / FOLDER
        stamp = file_stamp(now or datetime.now(UTC))
        try:
            files.own_folder(folder)
            self.path, self._file = _created(folder, f"{slug(job_id)}_{stamp}")
        except OSError as error:
            raise OcOpsError(f"cannot write the run's transcript into {folder}: {error.strerror or error}") from error

    def line(self, text: str = "") -> None:
        """One line of our own, redacted, its controls visible, on the disk when this returns."""
        self._append(f"{self._shown(text)}\n")

    def head(self, title: str) -> None:
        """The head of a section."""
        self._append(f"\n--- {self._shown(title)} ---\n")

    def block(self, text: str) -> None:
        """Several lines, each marked as not our own."""
        shown = self._redactor.block(text, _BURST_CHARS, _LINE_CHARS)
        self._append("".join(f"| {line}\n" for line in shown.split("\n")))

    def output(self, chunk: bytes, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a call's terminal output; whole lines are written once it pauses, b"" tells that time passes."""
        if chunk:
            self._pending += self._decoder.decode(chunk)
            self._heard_at = clock()
        if len(self._pending) > _BURST_CHARS or (self._pending and clock() - self._heard_at >= _QUIET_S):
            whole, newline, rest = self._pending.rpartition("\n")
            if newline:
                self._pending = rest
                self._show(f"{whole}\n")
            elif len(rest) > 16 * _BURST_CHARS:
                self._pending = ""
                self._show(rest)

    def output_ended(self) -> None:
        """The call is over: a line that it did not end is written too."""
        rest, self._pending = self._pending + self._decoder.decode(b"", final=True), ""
        self._decoder.reset()
        self._show(rest.removesuffix("\r"))

    def close(self) -> None:
        """Have it all on the disk."""
        with self._on_disk():
            os.fsync(self._file)
        with contextlib.suppress(OSError):
            os.close(self._file)

    def _shown(self, text: str) -> str:
        return printable(self._redactor.text(text), _LINE_CHARS, breaks=False)

    def _show(self, text: str) -> None:
        text = plain(text).strip("\n")
        if not text or self._written > _MOST_CHARS:
            return
        self._written += len(text)
        self.block(text)
        if self._written > _MOST_CHARS:
            self.line(f"… more than {_MOST_CHARS:,} characters of output: the rest is left out …")

    def _append(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        with self._on_disk():
            while data:
                data = data[os.write(self._file, data) :]

    @contextlib.contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.trouble = self.trouble or f"{self.path} could not be written whole: {error.strerror or error}"


def prune(memory_dir: Path, keep: int, current: Path) -> None:
    """Remove the oldest transcripts beyond `keep`; never the current one, one still written, or another's file."""
    folder = memory_dir / FOLDER
    with contextlib.suppress(OSError):
        found = [(match[1], each) for each in folder.iterdir() if (match := _NAME.fullmatch(each.name))]
        surplus = sorted(found, reverse=True)[keep:]
        for _, path in surplus:
            if path.name != current.name:
                _remove_if_ended(path)


def _created(folder: Path, stem: str) -> tuple[Path, int]:
    """A new file, held by a lock for as long as it is open; of up to 100 in one second each gets its own."""
    for name in (stem, *(f"{stem}-{number:02d}" for number in range(2, 100))):
        path = folder / f"{name}.log"
        with contextlib.suppress(FileExistsError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
            with contextlib.suppress(OSError):  # a filesystem without locks: then the newest are kept all the same
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return path, descriptor
    raise FileExistsError(f"a hundred runs of {stem} began in this second")


def _remove_if_ended(path: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(descriptor)


def begin(
    log: Transcript,
    command: Sequence[str],
    job: Job,
    known: KnownJob,
    seen: GatewayProbe,
    cause: Finding | None,
    watched: str = "",
) -> None:
    """The head of the transcript; each line is on disk before the next thing is done. `watched`: see watcher_word."""
    log.line(f"asked    {shlex.join(command)}")
    log.line(f"at       {clock(datetime.now(UTC))}")
    log.line(f"by       {whom()}")
    log.line(f"job      {named(job.name)} {job.id}: {schedule_words(job.schedule)}{'' if job.enabled else ', off'}")
    log.line(f"         {ran(job, known.jobs.runs.get(job.id, ()), known.jobs.seen_at)}")
    if job.running_ms is not None:
        log.line(f"         marked as running since {clock(moment(job.running_ms))}")
    log.line(f"         told by {known.jobs.source}" + "".join(f"; {each}" for each in known.closed))
    log.head("the gateway before")
    for probe in (seen.live, seen.again, seen.startup, seen.ready):
        if probe is not None:
            log.line(probe.summary)
    if seen.serving is not None:
        log.line(seen.serving.summary)
    log.line(f"{cause.check}: {cause.fact}" if cause else "nothing is wrong with it, as far as HTTP tells")
    if watched:
        log.line(watched)


def end(log: Transcript, result: RunResult) -> None:
    """The run's record, its diagnostics, and the end."""
    record = result.record
    if record is not None:
        log.head("the run's record")
        log.block(json.dumps(record.raw, indent=1, ensure_ascii=False) if record.raw else str(record))
        if record.diagnostics:
            log.head("diagnostics")
            for each in record.diagnostics:
                log.line(each)
    log.head("end")
    log.line(f"outcome  {result.outcome}")
    log.line(f"said     {result.sentence}")
    if result.advice:
        log.line(f"fix      {result.advice}")
    if result.run_id:
        log.line(f"run      {result.run_id}")
    if record is not None and record.started_ms is not None:
        took = f", took {span(record.duration_ms / 1000)}" if record.duration_ms is not None else ""
        log.line(f"began    {clock(moment(record.started_ms))}{took}")
    log.line(f"waited   {result.waited_s:.1f} s")
    log.line(f"exit     {result.exit}")


def whom() -> str:
    """Describe the caller: user, host, terminal and process; behind sudo and ssh also from where."""
    return ", ".join(_whom())


def _whom() -> Iterator[str]:
    user = f"uid {os.getuid()}"
    with contextlib.suppress(OSError, KeyError, ImportError):
        user = f"{getpass.getuser()} (uid {os.getuid()})"
    yield f"{user} on {platform.node() or 'an unnamed host'}"
    yield _terminal()
    yield f"pid {os.getpid()}"
    if sudo := os.environ.get("SUDO_USER"):
        yield f"through sudo by {sudo}"
    if ssh := os.environ.get("SSH_CONNECTION", "").split():
        yield f"over ssh from {ssh[0]}"


def _terminal() -> str:
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            return os.ttyname(stream.fileno())
    return "no terminal"
