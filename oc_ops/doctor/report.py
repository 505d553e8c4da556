"""The way of a finished run: incidents, history, its folder and files, its page, messages, its last lines."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from oc_ops import files
from oc_ops.doctor import summary
from oc_ops.errors import SettingError
from oc_ops.judge.findings import Verdict
from oc_ops.judge.signature_catalogue import catalogue
from oc_ops.process.run import Call
from oc_ops.record import folder, memory
from oc_ops.record.incidents import book
from oc_ops.record.journal import JournalError
from oc_ops.record.page import report
from oc_ops.record.redact import Redactor
from oc_ops.record.run import RunRecord, to_json
from oc_ops.settings import Settings
from oc_ops.text import clock_trouble

if TYPE_CHECKING:
    from jinja2 import Environment

    from oc_ops.record.incidents.book import IncidentUpdate
    from oc_ops.record.page.charts import Latency


_TURN_S = 0.0005
"""An answer that has come is read within this time, whatever is prepared beside it; Python's own 5 ms add up."""


class Handover(Struct, frozen=True):
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


def leave_handover(lock: Path, verdict: Verdict, sentence: str, plugin_line: str, report: Path) -> None:
    """Put it beside the run's lock, which is still held; one that cannot be written costs the others a run."""
    left = Handover(time.time(), os.getpid(), verdict, sentence, report, plugin_line)
    try:
        folder.write(_beside(lock), msgspec.json.encode(left, enc_hook=str))
    except (OSError, ValueError):  # a path that is no UTF-8 is no JSON
        return


def take_handover(lock: Path, since: float) -> Handover | None:
    """The handover of a run that ended after `since` (seconds since the epoch); None where there is none such."""
    try:
        data = files.read_bytes(_beside(lock), files.SMALL_BYTES)
        found = msgspec.json.decode(data, type=Handover, dec_hook=lambda kind, said: kind(said))
    except (OSError, msgspec.MsgspecError):
        return None
    return found if since <= found.ended_at <= time.time() else None


def _beside(lock: Path) -> Path:
    return lock.with_suffix(".last.json")


class Reporting:
    """Keep and print one run. A file that cannot be written is named beside the report, at no other cost."""

    def __init__(self, settings: Settings, redactor: Redactor, started_at: datetime) -> None:
        """Touches nothing yet."""
        self.settings, self.redactor = settings, redactor
        self.wanted_page: str | None = None
        """Where the operator wants a copy of the page (pytest's own `--html`)."""
        self.still_asked: Callable[[Sequence[str]], Iterable[str]] = lambda _plans: ()
        """Which of the breaker's plans wait for a person: the breaker says it, which this room may not ask."""
        self.incidents: IncidentUpdate | None = None
        self._chart: Latency | None = None
        self._started_at = started_at
        self._folder: folder.RunFolder | None = None
        self._trouble = ""
        self._ahead: Thread | None = None
        self._templates: Environment | None = None

    @property
    def folder(self) -> folder.RunFolder:
        """The run's directory, made when it is first needed; raises SettingError when `report_dir` cannot hold it."""
        if self._folder is None:
            settings = self.settings
            try:
                self._folder = folder.open_run(settings.report_dir, self._started_at)
                if settings.source("report_dir") == "default":
                    settings.report_dir.chmod(0o700)  # git left it open to all; a folder of the operator's is theirs
            except OSError as error:
                need = f"a folder that can be written ({error.strerror})"
                raise SettingError("report_dir", settings.report_dir, settings.source("report_dir"), need) from error
        return self._folder

    def transcript(self, number: int, call: Call) -> str:
        """Write what a call did and printed; its place inside the folder, nothing when it could not be written."""
        with self._on_disk():
            return folder.write_transcript(self.folder, number, call, self.redactor)
        return ""

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        """A full disk costs the report, never the verdict: what could not be written is said beside it."""
        try:
            yield
        except OSError as error:
            self.tell(f"the report could not be written whole: {error.strerror or error}")

    def tell(self, trouble: str) -> None:
        """Have something said beside the report's place that costs no verdict."""
        if trouble and trouble not in self._trouble:
            self._trouble = "; ".join(filter(None, (self._trouble, trouble)))

    # -- a finished record: what is kept of it, each of which may add to it ------------------------------------------

    def keep(self, record: RunRecord) -> RunRecord:
        """Update the incidents, then the history; returns the record with what they add to it."""
        if record.empty:
            return record
        if self._clock_is_off(record):
            self.tell("neither incidents nor history take a run of a clock that is off")
            return record
        for sink in (self._into_incidents, self._into_history):
            record = sink(record)
        memory.keep_cli_proof(record, self.settings.memory_dir)
        return record

    @staticmethod
    def _clock_is_off(record: RunRecord) -> bool:
        said = any(each.check == "host/clock-off" for each in record.findings)
        return said or bool(clock_trouble(record.started_at.timestamp()))

    def _into_incidents(self, record: RunRecord) -> RunRecord:
        """If incidents.jsonl cannot be written, the run goes on without an incident."""
        try:
            self.incidents = book.note(record, self.settings, self.redactor, self.folder.path)
        except (JournalError, OSError, SettingError) as error:
            self.tell(f"no incident was recorded: {error}")
            return record
        incident = self.incidents.incident
        if incident is None:
            return record
        return replace(record, incident=self.incidents.as_json(), since=incident.red_since)

    def _into_history(self, record: RunRecord) -> RunRecord:
        """Write the run into the history, and take from it what led to the incident."""
        from oc_ops.record.history import from_run

        around, self._chart, trouble = from_run.note(
            record, self.incidents, self.settings, self.redactor, self.folder.stamp
        )
        self.tell(trouble)
        return replace(record, around=around)

    def retell(self, record: RunRecord) -> RunRecord:
        """The record with its incident's timeline as it stands after a recovery."""
        from oc_ops.record.history import from_run

        return from_run.retold(record, self.incidents, self.settings.memory_dir)

    # -- files and page ------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make beside the checks what the run needs later: while the gateway is waited for, it costs no time."""
        if self._ahead is None:
            sys.setswitchinterval(_TURN_S)
            self._ahead = Thread(target=self._look_ahead, name="oc-ops: the page's templates", daemon=True)
            self._ahead.start()

    def _look_ahead(self) -> None:
        catalogue()
        self._templates = report.prepared(self.redactor)
        from oc_ops.record.history import from_run  # noqa: F401 -- its database's library takes a while to load

    def page_parts(self, record: RunRecord) -> report.Report:
        """The report page's parts."""
        if self._ahead:
            self._ahead.join()
        return report.Report(record, self.redactor, self.folder.path, self._chart, self._templates)

    def save(self, record: RunRecord) -> None:
        """Write report.json, before anything that could fail draws a page; makes it the latest."""
        if record.empty:
            return
        with self._on_disk():
            folder.write(self.folder.path / folder.REPORT_JSON, to_json(record, self.redactor))
            self._make_latest(record)

    def point_to(self, result: Path) -> None:
        """Write where report.json is, as JSON, for the program that has started this run."""
        with self._on_disk():
            folder.write(result, json.dumps({"report": str(self.folder.path / folder.REPORT_JSON)}) + "\n")

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """While pytest-html draws its page: one that was not drawn whole is taken away, and said to be missing."""
        with self._on_disk():
            try:
                yield
            except OSError:
                self.folder.page_in_progress.unlink(missing_ok=True)
                raise

    def publish(self, record: RunRecord) -> None:
        """Make report.html of the page that pytest-html drew, make it the latest, and prune; then send messages."""
        drawn, settings = self.folder.page_in_progress, self.settings
        if record.empty:
            folder.discard(self.folder)
            return
        with self._on_disk():
            if drawn.exists():
                page = self.page_parts(record).finish(drawn.read_text(encoding="utf-8"))
                for place in (self.folder.path / folder.REPORT_HTML, self.wanted_page):
                    if place:
                        folder.write(Path(place), page)
                drawn.unlink()
            self._make_latest(record)
            if not self._clock_is_off(record):
                folder.prune(
                    settings.report_dir, settings.keep_healthy_runs, settings.keep_failing_runs, record.started_at
                )
            from oc_ops.record.history import from_run

            changed = self.incidents is not None and bool(self.incidents.changed)
            self.tell(from_run.draw(record.scope.key, settings, self.redactor, changed=changed))
        if settings.notify_urls or settings.ping_url:
            from oc_ops.notify import after_run

            self.tell(after_run.people(record, settings, self.last_line(record), self.still_asked))

    def announce(self, gateway: str) -> None:
        """Tell the dead-man service, where there is one, that a run of the whole doctor begins."""
        if self.settings.ping_url:
            from oc_ops.notify import after_run

            after_run.of_the_start(self.settings, gateway)

    def _make_latest(self, record: RunRecord) -> None:
        """A whole run becomes the latest, and a part that found something; a green part takes no whole run's place."""
        scope, well = record.scope, record.verdict in ("healthy", "degraded")
        latest = folder.latest_kind(self.folder) if well and (scope.left_out or scope.quick) else "none"
        if latest == "part" or (latest == "none" and not (scope.left_out and well)):
            folder.publish(self.folder)

    # -- lines on the terminal -----------------------------------------------------------------------------------------

    def where_it_is(self, record: RunRecord) -> str:
        """Where the report is, or why it is not all there."""
        if record.empty:
            return "report: none, no check was selected"
        where = f"report: {self.folder.path / folder.REPORT_HTML}"
        return self.redactor.line(f"{where} ({self._trouble})" if self._trouble else where)

    def incident_line(self) -> str:
        """The incident in one sentence; empty when nothing is or was wrong."""
        return self.redactor.line(self.incidents.sentence(datetime.now(UTC))) if self.incidents else ""

    def last_line(self, record: RunRecord) -> str:
        """The run in one sentence, the last thing on the terminal."""
        return self.redactor.line(summary.sentence(record), 1000)

    def hand_over(self, record: RunRecord, lock: Path) -> None:
        """Leave the verdict of a whole run to those that wait for its end."""
        scope = record.scope
        if not (record.empty or scope.quick or scope.left_out or scope.interrupted or scope.lab):
            line, place = self.last_line(record), self.folder.path / folder.REPORT_JSON
            leave_handover(lock, record.verdict, line, self.plugin_line(record), place)

    def plugin_line(self, record: RunRecord) -> str:
        """The same as the line of a monitoring plugin."""
        from oc_ops.record import nagios

        return nagios.line(record, self.last_line(record))
