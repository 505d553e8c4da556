"""What one doctor run leaves behind: its folder and files, its page, and the lines about it on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from oc_ops import told
from oc_ops.errors import SettingError
from oc_ops.observe.process import Call
from oc_ops.record import artifacts, report
from oc_ops.record.document import CheckRecord, to_json

if TYPE_CHECKING:
    from oc_ops.record.charts import Latency
    from oc_ops.run import DoctorRun


class Reporting:
    """The report of one run. What cannot be written is said beside its place, and costs no verdict."""

    def __init__(self, run: DoctorRun) -> None:
        """Touches nothing yet."""
        self.run = run
        self.wanted_page: str | None = None
        """Where the operator wants a copy of the page (pytest's own `--html`)."""
        self.chart: Latency | None = None
        self._folder: artifacts.Run | None = None
        self._trouble = ""

    @property
    def folder(self) -> artifacts.Run:
        """The run's directory, made when it is first needed; raises SettingError when `report_dir` cannot hold it."""
        if self._folder is None:
            settings = self.run.settings
            try:
                self._folder = artifacts.open_run(settings.report_dir, self.run.doctor.started_at)
                if settings.source("report_dir") == "default":
                    settings.report_dir.chmod(0o700)  # git left it open to all; a folder of the operator's is theirs
            except OSError as error:
                need = f"a folder that can be written ({error.strerror})"
                raise SettingError("report_dir", settings.report_dir, settings.source("report_dir"), need) from error
        return self._folder

    def transcript(self, number: int, call: Call) -> str:
        """Write what a call did and printed; its place inside the folder, nothing when it could not be written."""
        with self._on_disk():
            return artifacts.write_transcript(self.folder, number, call, self.run.redactor)
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

    @property
    def page_parts(self) -> report.Report:
        """The report page's parts."""
        return report.Report(self.run.conclude(), self.run.redactor, self.folder.path, self.chart)

    def header(self) -> list[str]:
        """The header cells of pytest-html's own table."""
        return report.header()

    def row(self, nodeid: str, duration_s: float, check: CheckRecord | None) -> list[str]:
        """The cells of one row of that table after pytest-html's own first one."""
        return report.cells(nodeid, duration_s, check, self.run.redactor)

    def save(self) -> None:
        """Write report.json, before anything that could fail draws a page; makes it the latest."""
        if self.run.empty:
            return
        with self._on_disk():
            artifacts.write(self.folder.path / artifacts.REPORT_JSON, to_json(self.run.conclude(), self.run.redactor))
            self._make_latest()

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """While pytest-html draws its page: one that was not drawn whole is taken away, and said to be missing."""
        with self._on_disk():
            try:
                yield
            except OSError:
                self.folder.page_in_progress.unlink(missing_ok=True)
                raise

    def publish(self) -> None:
        """Make report.html of the page that pytest-html drew, make it the latest, and prune."""
        drawn, settings = self.folder.page_in_progress, self.run.settings
        if self.run.empty:
            artifacts.discard(self.folder)
            return
        with self._on_disk():
            if drawn.exists():
                page = self.page_parts.finish(drawn.read_text(encoding="utf-8"))
                for place in (self.folder.path / artifacts.REPORT_HTML, self.wanted_page):
                    if place:
                        artifacts.write(Path(place), page)
                drawn.unlink()
            self._make_latest()
            artifacts.prune(settings.report_dir, settings.keep_healthy_runs, settings.keep_failing_runs)
            from oc_ops import remembered

            self.tell(remembered.draw(self.run))
        if settings.notify_urls or settings.ping_url:
            from oc_ops import telling

            self.tell(telling.people(self.run))

    def announce(self) -> None:
        """Tell the dead-man service, where there is one, that a run begins."""
        if self.run.settings.ping_url:
            from oc_ops import telling

            telling.of_the_start(self.run)

    def _make_latest(self) -> None:
        """A whole run becomes the latest, or one that found something: three green checks are no healthy gateway."""
        if not self.run.left_out or self.run.conclude().verdict != "healthy":
            artifacts.publish(self.folder)

    def where_it_is(self) -> str:
        """Where the report is, or why it is not all there."""
        if self.run.empty:
            return "report: none, no check was selected"
        where = f"report: {self.folder.path / artifacts.REPORT_HTML}"
        return self.run.redactor.line(f"{where} ({self._trouble})" if self._trouble else where)

    def incident_line(self) -> str:
        """The incident in one sentence; empty when nothing is or was wrong."""
        return self.run.redactor.line(self.run.incidents.sentence(datetime.now(UTC))) if self.run.incidents else ""

    def last_line(self) -> str:
        """The run in one sentence, the last thing on the terminal."""
        return self.run.redactor.line(told.sentence(self.run), 1000)

    def plugin_line(self) -> str:
        """The same as the line of a monitoring plugin."""
        from oc_ops.record import nagios

        return nagios.line(self.run.conclude(), self.last_line())
