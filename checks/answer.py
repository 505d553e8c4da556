"""Output of `oc-ops doctor` in place of pytest's frame: the check under way, then the findings and the verdict."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, suppress
from typing import Any, Literal

import pytest

from oc_ops import files
from oc_ops.doctor.report import Handover, take_handover
from oc_ops.doctor.run import DoctorRun
from oc_ops.errors import CouldNotLook
from oc_ops.locks import LockHeld, held_by
from oc_ops.record.run import SCHEMA, WARNED, RunRecord

Form = Literal["text", "json"]
FORMS: tuple[Form, ...] = ("text", "json")
_MOST_NAMED = 5
_OUTCOMES = (("passed", "passed"), ("failed", "failed"), ("error", "could not look"), ("blocked", "blocked"))


class Answering:
    """Puts the answer in pytest's reporter's place, once that is there; `-v` keeps pytest's own."""

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Swap the reporters, where `oc-ops doctor` asks for it."""
        form: Form | None = config.getoption("answer", None)
        usual = config.pluginmanager.getplugin("terminalreporter")
        if form is None or usual is None or (config.option.verbose > 0 and form != "json"):
            return
        config.pluginmanager.unregister(usual)
        config.pluginmanager.register(Answer(config, silent=form == "json"), "terminalreporter")


class Answer(pytest.TerminalReporter):  # type: ignore[misc]  # "final" there, and yet how plugins replace it
    """Prints a line that moves while it looks, on a terminal alone; what was found is told by `tell`."""

    def __init__(self, config: pytest.Config, *, silent: bool) -> None:
        super().__init__(config)
        self.silent = silent
        self._names: dict[str, str] = {}
        self._moving = False
        self._said: set[str] = set()

    # -- pytest's own words, left unsaid -------------------------------------------------------------------------

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Print no header."""
        self._session = session

    def pytest_collection(self) -> None:
        """Print nothing: the checks are found in no time."""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what could not be read of the checks, to say so at the end."""
        if report.failed:
            self.stats.setdefault("error", []).append(report)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Take the moving line away after the last check."""
        try:
            return (yield)
        finally:
            self._clear()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count, print nothing."""
        category, _letter, _word = self.config.hook.pytest_report_teststatus(report=report, config=self.config)
        self.stats.setdefault(category, []).append(report)

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(
        self,
        session: pytest.Session,  # noqa: ARG002 -- the signature is pytest's
        exitstatus: int | pytest.ExitCode,
    ) -> Generator[None, Any, Any]:
        """Have the run's own hooks say their lines; no sums of pytest's."""
        result = yield
        self._clear()
        for report in self.stats.get("error", []):
            if isinstance(report, pytest.CollectReport):
                self.write_line(f"a check could not be read: {report.nodeid}\n{report.longrepr}")
        self.config.hook.pytest_terminal_summary(terminalreporter=self, exitstatus=exitstatus, config=self.config)
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_terminal_summary(self) -> Generator[None, Any, Any]:
        """Print the failures of tests that are no checks: the answer does not hold those."""
        for report in (*self.stats.get("failed", ()), *self.stats.get("error", ())):
            if isinstance(report, pytest.TestReport) and not hasattr(report, "check"):
                self.write_line(f"{report.nodeid} {report.outcome} ({report.when})\n{report.longreprtext}")
        return (yield)

    def pytest_unconfigure(self) -> None:
        """An interruption is told by the run's last line."""
        self._clear()

    # -- what is said --------------------------------------------------------------------------------------------

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Learn what the checks are called."""
        marks = ((item.nodeid, item.get_closest_marker("check")) for item in session.items)
        self._names = {nodeid: mark.args[0] for nodeid, mark in marks if mark is not None}

    def pytest_runtest_logstart(
        self,
        nodeid: str,
        location: tuple[str, int | None, str],  # noqa: ARG002 -- the signature is pytest's
    ) -> None:
        """Say which check looks, where somebody sits in front of a terminal that can clear a line."""
        if nodeid in self._names and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            number, columns = list(self._names).index(nodeid) + 1, shutil.get_terminal_size().columns
            told = f"looking: {self._names[nodeid]} ({number} of {len(self._names)})"
            sys.stderr.write(f"\r\x1b[K{told[: columns - 1]}")  # a line that breaks is not cleared whole
            sys.stderr.flush()
            self._moving = True

    def write_line(self, line: str | bytes, **markup: bool) -> None:
        """Print a line, unless only JSON was asked for."""
        if not self.silent:
            self._clear()
            super().write_line(line, **markup)

    def write_sep(
        self,
        sep: str,  # noqa: ARG002 -- the signature is pytest's
        title: str | None = None,
        fullwidth: int | None = None,  # noqa: ARG002
        **markup: bool,  # noqa: ARG002
    ) -> None:
        """Print a title as a line of its own."""
        self.write_line(f"{title}:" if title else "")

    def tell(self, record: RunRecord, redact: Callable[[str], str]) -> None:
        """Print the findings, the worst first, and what could not be looked at; nothing twice."""
        cause = record.cause_finding
        for finding in (*((cause,) if cause else ()), *record.other_findings):
            colour = {"error": {"red": True}, "warning": {"yellow": True}}.get(finding.severity, {})
            self._once(str(finding), **colour)
        for check in record.could_not_look:
            self._once(redact(f"{check.id}: could not look: {check.note}"), red=True)

    def _once(self, text: str, **markup: bool) -> None:
        if text not in self._said:
            self._said.add(text)
            head, *rest = text.split("\n")
            self.write_line(head, bold=True, **markup)
            for line in rest:
                self.write_line(line)

    def _clear(self) -> None:
        if self._moving:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._moving = False


def tally(record: RunRecord, left_out: Iterable[tuple[str, str]], redact: Callable[[str], str]) -> Iterator[str]:
    """How many checks there are, what became of them, and which were not asked or left out, by their names."""
    unasked = [(each.id, each.note) for each in record.checks if each.outcome == "skipped"]
    not_reached = record.scope.planned - len(record.checks)
    out = sorted(left_out)
    counts = [(sum(each.outcome == outcome for each in record.checks), word) for outcome, word in _OUTCOMES]
    counts += [(len(unasked), "not asked"), (not_reached, "not reached"), (len(out), "left out")]
    total = sum(count for count, _word in counts)
    parts = [f"{count} {_by(record) if word == 'blocked' else word}" for count, word in counts if count > 0]
    yield redact(f"{total} checks: {', '.join(parts)}")
    for word, named in (("not asked", unasked), ("left out", out)):
        for why in dict.fromkeys(each for _id, each in named):
            ids = [id for id, reason in named if reason == why]
            named_ids = ", ".join(ids) if len(ids) <= _MOST_NAMED else f"{len(ids)} checks"
            yield "  " + redact(f"{word}: {named_ids} ({why.removeprefix(WARNED)})")


def _by(record: RunRecord) -> str:
    causes = list(record.blocked)
    return f"blocked by {', '.join(causes)}" if len(causes) <= _MOST_NAMED else "blocked"


class Overlapping:
    """The hooks of a run that cannot have the gateway to itself: it looks at nothing, and says why.

    With what the other run left it gives that verdict as its own; else it could not look, and exits with 1.
    """

    def __init__(self, why: str, exits: ExitStack, taken: Handover | None = None) -> None:
        self.why, self.exits, self.taken = why, exits, taken

    def pytest_runtestloop(self) -> bool:
        """Run no check: a second run would only double the load."""
        return True

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Could-not-look is never green."""
        well = self.taken is not None and self.taken.healthy
        session.exitstatus = pytest.ExitCode.OK if well else pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """The last line says why, or what the other run found."""
        if self.taken is not None:
            self._give(config, self.taken)
        else:
            say(config, f"doctor: unknown in 0.0 s: could not look: {self.why}")
            if config.getoption("answer") == "json":
                told = {"schema": SCHEMA, "verdict": "unknown", "cause": None, "why": self.why}
                sys.stdout.write(f"{json.dumps(told)}\n")
        self.exits.close()

    def _give(self, config: pytest.Config, taken: Handover) -> None:
        if config.getoption("answer") == "json":
            with suppress(OSError):
                sys.stdout.write(files.read_text(taken.report, files.DATA_BYTES))
        say(config, f"the run of process {taken.pid} has just ended; its report: {taken.report.parent}")
        say(config, taken.plugin_line if config.getoption("nagios") else taken.sentence)


def not_alone(config: pytest.Config, run: DoctorRun, exits: ExitStack) -> Overlapping | None:
    """Have the gateway to ourselves, or the fresh verdict of the run that had it; None when we are to look."""
    since = time.time()
    try:
        try:
            exits.enter_context(run.alone())
            return None
        except LockHeld:
            sys.stderr.write(f"another doctor run is under way ({held_by(run.lock)}): waiting for it\n")
            exits.enter_context(run.alone(run.settings.overlap_s))
    except CouldNotLook as error:
        why = f"another doctor run is under way: {error}" if isinstance(error, LockHeld) else str(error)
        return Overlapping(why, exits)
    # What a recovery wants to know is how the gateway is now, after its act; a part wants its own checks.
    ours = ("check", "quick", "deep", "recover", "result")
    whole = not config.option.keyword and not any(config.getoption(each) for each in ours)
    found = take_handover(run.lock, since) if whole else None
    return Overlapping(found.sentence, exits, found) if found else None


def say(config: pytest.Config, line: str) -> None:
    """Print a line through whichever reporter there is."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(line)
