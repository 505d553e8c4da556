"""pytest wiring of the doctor: options, fixtures, and hooks that delegate; inert for every other test run."""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import pytest
from pytest_timeout import SESSION_EXPIRE_KEY

from checks import answer
from oc_ops import settings as oc_settings
from oc_ops.doctor import selection
from oc_ops.doctor.observations import Lane
from oc_ops.doctor.outcomes import Blocked
from oc_ops.doctor.run import DoctorRun
from oc_ops.errors import OcOpsError
from oc_ops.record.page import report as report_page
from oc_ops.record.run import CheckRecord, to_json

if TYPE_CHECKING:
    from oc_ops.act.recover.outcome import Observation

CHECKS = Path(__file__).parent / "checks"
LANES: tuple[Lane, ...] = ("http", "rpc", "files", "cli", "log")
"""The order of the checks: cheap lanes first, and the log last, since what it tells may follow from a cause."""
RUN = pytest.StashKey[DoctorRun]()
LOOK = pytest.StashKey[int]()
"""Which look at a check this is, from the second on."""

_LOOK = " look "
_DEEP, _PAID = "a deep check: --deep", "it costs money: --deep --deep-model"

Healthy = Callable[..., None]


# -- options ----------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare what `pytest checks/ -m doctor` takes; `oc-ops doctor` takes the same."""
    group = parser.getgroup("doctor", "health checks of an OpenClaw gateway (checks/)")
    group.addoption("--openclaw", metavar="PATH", help="the `openclaw` executable (else PATH and the usual places)")
    group.addoption("--oc-profile", metavar="NAME", help="the OpenClaw profile to look at")
    group.addoption("--target", metavar="T", help="the gateway to look at: local, profile:NAME, podman:NAME, …")
    group.addoption(
        "--check",
        action="append",
        metavar="ID",
        help="only the checks that look for this: the id of a check, of a finding, or an area (repeatable)",
    )
    group.addoption("--quick", action="store_true", help="HTTP and RPC lanes and logs only, no `openclaw` call")
    group.addoption("--deep", action="store_true", help="also the slow checks: a real click in the agent's browser")
    group.addoption(
        "--deep-model", action="store_true", help="with --deep: one real prompt through the gateway, which costs money"
    )
    group.addoption("--lab", action="store_true", help="look at a throwaway real gateway, started for this run")
    group.addoption("--recover", action="store_true", help="then recover once, if the cause can be cured")
    group.addoption("--tmux", action="store_true", help="see that the cockpit session is up first")
    parser.addini("oc_ops_tmux", "see that the cockpit session is up before every doctor run", "bool", default=False)
    group.addoption("--nagios", action="store_true", help="end with the line of a monitoring plugin, with its figures")
    group.addoption("--report-dir", metavar="DIR", help="where runs leave their reports")
    group.addoption("--answer", choices=answer.FORMS, help=argparse.SUPPRESS)  # in place of pytest's frame
    pluginmanager.register(answer.Answering())
    group.addoption("--result", type=Path, help=argparse.SUPPRESS)  # for a recovery in another process


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Open a doctor run when checks are what was asked for; a bad option or setting ends with exit code 4."""
    if not _is_doctor_run(config):
        return
    exits = ExitStack()
    exits.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _terminated))
    try:
        _refuse_nonsense(config)
        chosen = _chosen(config)
        run = _open_run(config, exits)
        config.stash[RUN] = run
        if overlapped := answer.not_alone(config, run, exits):
            config.pluginmanager.register(overlapped, "oc-ops doctor")
            return
        drawn = run.report.folder.page_in_progress
    except OcOpsError as error:
        exits.close()
        raise pytest.UsageError(str(error)) from None
    except KeyboardInterrupt:
        exits.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is ended: one more Ctrl-C would only spoil the exit code
        pytest.exit("interrupted before the first check", returncode=pytest.ExitCode.INTERRUPTED)
    run.report.still_asked = lambda plans: _still_asked(run, plans)
    run.report.wanted_page = config.option.htmlpath
    config.option.htmlpath, config.option.self_contained_html = str(drawn), True
    config.option.session_timeout = run.settings.run_s + run.settings.deep_s * config.getoption("deep")
    config.pluginmanager.register(Wiring(run, exits, _cockpit(config, run), chosen), "oc-ops doctor")
    gc.freeze()  # pytest collects garbage five times at its end: what was imported need not be looked through again


def _still_asked(run: DoctorRun, plans: Sequence[str]) -> list[str]:
    """The plans of the breaker that are still worth an approval, by one fresh look of the breaker's own."""
    from oc_ops.act.breaker import find, plan
    from oc_ops.act.breaker.carry_out import mutexes

    place = find.Workplace(run.settings, run.environ)
    return plan.still_asked(plans, place.book, run.settings.breaker_plan_s, lambda: mutexes(place.look(), place.book))


def _is_doctor_run(config: pytest.Config) -> bool:
    """True when tests below checks/ are going to run, not merely to be listed or explained."""
    if _only_shows(config):
        return False
    wanted = [Path(each.split("::")[0]).resolve() for each in config.args]
    whole = "doctor" in config.option.markexpr and any(each in CHECKS.parents for each in wanted)
    return whole or any(each == CHECKS or CHECKS in each.parents for each in wanted)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """`pytest .` without `-m doctor` is about the tests: a check has nothing to look through then."""
    return True if collection_path == CHECKS and RUN not in config.stash and not _only_shows(config) else None


def _terminated(signum: int, _frame: FrameType | None) -> None:
    """SIGTERM ends a run as Ctrl-C does: calls and lab are ended, the report is written."""
    raise KeyboardInterrupt(f"signal {signum}")


def _only_shows(config: pytest.Config) -> bool:
    shows = ("collectonly", "help", "version", "showfixtures", "show_fixtures_per_test", "markers")
    return any(getattr(config.option, each, False) for each in shows)


def _refuse_nonsense(config: pytest.Config) -> None:
    if config.getoption("lab") and any(config.getoption(each) for each in ("openclaw", "oc_profile", "target")):
        raise OcOpsError("--lab brings its own OpenClaw: leave out --openclaw, --oc-profile and --target")
    if config.getoption("quick") and config.getoption("deep"):
        raise OcOpsError("--quick makes no `openclaw` call and --deep needs some: leave one out")
    if config.getoption("deep_model") and not config.getoption("deep"):
        raise OcOpsError("--deep-model asks a model that costs money: say --deep as well")
    if config.getoption("lab") and config.getoption("tmux"):
        raise OcOpsError("--lab is gone after the run and --tmux shows a gateway that stays: leave one out")


def _chosen(config: pytest.Config) -> frozenset[str] | None:
    """The checks that --check names, None without one: a wrong word is said before a lab is started."""
    words = config.getoption("check")
    return selection.chosen(words, oc_settings.load()) if words else None


def _open_run(config: pytest.Config, exits: ExitStack) -> DoctorRun:
    environ = dict(os.environ)
    given = {
        "openclaw": config.getoption("openclaw"),
        "profile": config.getoption("oc_profile"),
        "target": config.getoption("target"),
        "report_dir": config.getoption("report_dir"),
    }
    if config.getoption("lab"):
        oc_settings.load(given)  # a wrong setting is said before a gateway is started, not after
        from oc_ops.lab.config import find_chromium
        from oc_ops.lab.visit import visit

        lab = exits.enter_context(visit())
        environ, given["openclaw"] = lab.environ, str(lab.openclaw)
        given["browser"] = None if find_chromium() else "off"
        return DoctorRun(_lab_settings(oc_settings.load(given)), environ, quick=config.getoption("quick"), lab=True)
    quick, deep = config.getoption("quick"), config.getoption("deep")
    return DoctorRun(oc_settings.load(given), environ, quick=quick, deep=deep)


def _cockpit(config: pytest.Config, run: DoctorRun) -> str:
    """See that the cockpit is up where that is wanted; what there is to say of it, in one line."""
    if config.getoption("lab") or not (config.getoption("tmux") or config.getini("oc_ops_tmux")):
        return ""
    from oc_ops.cockpit.session import ensure

    return ensure(run.settings, dict(os.environ))


def _lab_settings(settings: oc_settings.Settings) -> oc_settings.Settings:
    """The operator's own profile is not the lab's, nor are its verdicts and incidents those of their gateway."""
    apart = {
        name: getattr(settings, name) / "lab"
        for name in ("report_dir", "memory_dir")
        if settings.source(name) == "default"
    }
    return replace(settings, profile=None, target="local", **apart, config_dir=settings.memory_dir / "lab")


# -- hooks ------------------------------------------------------------------------------------------------------------


def _turn(item: pytest.Item) -> tuple[int, bool, bool]:
    """Cheap lanes first; in each the command last, as whether it is called follows from what the others saw, and the
    gateway before what it does: a reason for which neither can be looked at stands at the gateway.
    """
    mark = _mark(item)
    area = mark.args[0].partition("/")[0]
    return LANES.index(mark.kwargs["lane"]), area == "cli", area != "gateway"


class Wiring:
    """The hooks of a doctor run; each hands over to the run."""

    def __init__(
        self, run: DoctorRun, exits: ExitStack, cockpit: str = "", chosen: frozenset[str] | None = None
    ) -> None:
        self.run, self.exits, self.cockpit, self.chosen, self.took_s = run, exits, cockpit, chosen, 0.0
        self.left_out: list[tuple[str, str]] = []
        """The checks that were left out, and why."""
        self._why = "-k or -m names others"

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """`-k` knows a check by its id, too."""
        if mark := item.get_closest_marker("check"):
            item.extra_keyword_matches.add(mark.args[0])

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Cheap lanes first, every check under its deadline; tests that were asked for beside the checks come last."""
        settings = self.run.settings
        if self.chosen is not None:
            self._leave_out(config, items, lambda item: not self._asked_for(item), "--check names others")
            if any(item.get_closest_marker("deep") for item in items) and not config.getoption("deep"):
                config.stash[SESSION_EXPIRE_KEY] += settings.deep_s
        elif not config.getoption("deep"):
            self._leave_out(config, items, lambda item: item.get_closest_marker("deep") is not None, _DEEP)
        if not config.getoption("deep_model"):
            self._leave_out(config, items, lambda item: item.get_closest_marker("paid") is not None, _PAID)
        checks = [item for item in items if item.get_closest_marker("doctor")]
        for item in checks:
            deadline_s = settings.deep_s if item.get_closest_marker("deep") else settings.check_s
            item.add_marker(pytest.mark.timeout(deadline_s), append=True)
        checks.sort(key=_turn)
        items[:] = checks + [item for item in items if item not in checks]

    def _leave_out(
        self, config: pytest.Config, items: list[pytest.Item], unwanted: Callable[[pytest.Item], bool], why: str
    ) -> None:
        self._why = why
        left_out = [item for item in items if unwanted(item)]
        items[:] = [item for item in items if not unwanted(item)]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
        self._why = "-k or -m names others"

    def _asked_for(self, item: pytest.Item) -> bool:
        mark = item.get_closest_marker("check")
        return self.chosen is not None and mark is not None and mark.args[0] in self.chosen

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """A part of the doctor does not speak for the whole, which is everything but the deep checks."""
        checks = [item for item in items if item.get_closest_marker("doctor")]
        self.left_out += [(_mark(item).args[0], self._why) for item in checks]
        self.run.left_out += 0 if self._why in (_DEEP, _PAID) else len(checks)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """The checks that the run means to look at; a check that is not reached must not go unnoticed."""
        self.run.planned = len([item for item in session.items if item.get_closest_marker("doctor")])
        if not (self.run.lab or self.run.left_out):
            self.run.report.announce(self.run.doctor.key)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """After the checks, outside of any check's deadline: one recovery, where it was asked for."""
        ran = yield
        if session.config.getoption("recover"):
            self._recover(session)
        return ran

    def _recover(self, session: pytest.Session) -> None:
        from oc_ops.act.recover.run import recover

        terminal = session.config.pluginmanager.getplugin("terminalreporter")
        first = self._observation()
        if isinstance(terminal, answer.Answer):
            terminal.tell(self.run.finish(), self.run.redactor.line)
        terminal.write_sep("=", "recovery")
        try:
            outcome = recover(
                self.run.settings,
                self.run.environ,
                lambda: self._look_again(session),
                first=first,
                say=terminal.write_line,
            )
        except OcOpsError as error:  # what cannot be put on record is not done; the verdict stands
            terminal.write_line(self.run.redactor.line(f"recover: refused: {error}", 1000))
            return
        terminal.write_line(self.run.redactor.line(outcome.sentence, 1000))
        self.run.recovered(outcome.as_json())

    def _look_again(self, session: pytest.Session) -> Observation:
        """Run the failed and blocked checks again, on fresh observations, and say what stands now."""
        again = self.run.begin_again()
        terminal = session.config.pluginmanager.getplugin("terminalreporter")
        for reports in terminal.stats.values():
            reports[:] = [each for each in reports if getattr(each, "nodeid", "").partition(_LOOK)[0] not in again]
        session.config.stash[SESSION_EXPIRE_KEY] = time.time() + session.config.option.session_timeout
        items = [item for item in session.items if item.nodeid in again]
        for item, following in itertools.zip_longest(items, items[1:]):
            item.stash[LOOK] = item.stash.get(LOOK, 1) + 1
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return self._observation()

    def _observation(self) -> Observation:
        """The run so far, for a recovery to go by; its report.json is on disk then."""
        from oc_ops.act.recover.outcome import Observation

        record, report = self.run.finish(), self.run.report
        report.save(record)
        return Observation.of_record(record, report.folder.path)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport | None:
        """Record how a check ended; expected ends are reported without the traceback that costs most of a run."""
        report = self._ended(item, call)
        if look := item.stash.get(LOOK, 0):
            report = report or pytest.TestReport.from_item_and_call(item, call)
            report.nodeid += f"{_LOOK}{look}"  # a row of its own on the page: before and after
        return report

    def _ended(self, item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport | None:
        error = call.excinfo.value if call.excinfo else None
        self.took_s = call.duration + (self.took_s if call.when == "call" else 0.0)
        if isinstance(error, KeyboardInterrupt) or (call.when != "call" and error is None):
            return None
        if not item.get_closest_marker("doctor"):
            return None
        claim = (getattr(item, "function", item).__doc__ or "").strip().split("\n")[0]
        check = self.run.check_ended(_mark(item).args[0], item.nodeid, claim, self.took_s, error)
        report = _report(item, call, check, error)
        if report.failed:
            report.longrepr = self.run.redactor.block(str(report.longrepr))
        vars(report)["check"] = check
        return report

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """A blocked check has neither passed nor failed, and nobody chose to skip it."""
        check = _check(report)
        if check is None or check.outcome != "blocked":
            return None
        return "blocked", "b", f"BLOCKED by {check.blocked_by}"

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> Generator[None, None, None]:
        """Sum up, set the exit status, let pytest-html draw the page, publish it."""
        self.run.interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            sick = self.run.finish().verdict in ("unhealthy", "unknown")
            session.exitstatus = pytest.ExitCode.TESTS_FAILED if sick else pytest.ExitCode.OK
        self.run.report.save(self.run.finish())
        if result := session.config.getoption("result"):
            self.run.report.point_to(result)
        with self.run.report.drawing():
            yield
        self.run.report.publish(self.run.finish())
        for plugin in list(session.config.pluginmanager.get_plugins()):
            # pytest-html would name the page's temporary place as the report.
            if type(plugin).__module__.startswith("pytest_html."):
                session.config.pluginmanager.unregister(plugin)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        """Say what was found, how many looked, whether the cockpit is up, which incident it is, where the report is."""
        record = self.run.finish()
        if isinstance(terminalreporter, answer.Answer):
            terminalreporter.tell(record, self.run.redactor.line)
        if not record.empty:
            for line in answer.tally(record, self.left_out, self.run.redactor.line):
                terminalreporter.write_line(line)
        if self.cockpit:
            terminalreporter.write_line(self.cockpit)
        if record.empty and (words := config.option.keyword):
            terminalreporter.write_line(f"-k {words!r} selects no check; {selection.near(words, self.run.settings)}")
        for line in filter(None, (self.run.report.incident_line(), self.run.others())):
            terminalreporter.write_line(line)
        terminalreporter.write_line(self.run.report.where_it_is(record))

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """The last line on the terminal is the run in one sentence."""
        report, record = self.run.report, self.run.finish()
        answer.say(config, report.plugin_line(record) if config.getoption("nagios") else report.last_line(record))
        if config.getoption("answer") == "json":
            sys.stdout.write(to_json(record, self.run.redactor))
        report.hand_over(record, self.run.lock)
        self.exits.close()

    # pytest-html draws the page; oc_ops.record.page.report says what is on it.

    def pytest_html_report_title(self, report: Any) -> None:
        """A neutral title: the verdict is not known when pytest-html asks."""
        report.title = "oc-ops doctor"

    def pytest_html_results_summary(self, prefix: list[str], postfix: list[str]) -> None:
        """Verdict, cause and fix above the table of checks; calls, log lines and versions below it."""
        parts = self.run.report.page_parts(self.run.finish())
        prefix.append(parts.first_screen())
        postfix.append(parts.evidence())

    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        """Our columns beside pytest-html's own result."""
        cells[:] = report_page.header()

    def pytest_html_results_table_row(self, report: pytest.TestReport, cells: list[str]) -> None:
        """One row, escaped: pytest-html puts cells into the page as they are, and shows no setup that passed."""
        shown = report.when == "call" or not report.passed or report.sections
        row = report_page.cells(report.nodeid, report.duration, _check(report), self.run.redactor) if shown else []
        cells[:] = [*cells[:1], *row] if shown else []


def _mark(item: pytest.Item) -> pytest.Mark:
    mark = item.get_closest_marker("check")
    if mark is None:
        raise pytest.UsageError(f"{item.nodeid} has no check marker: it needs an id and a lane")
    return mark


def _report(
    item: pytest.Item, call: pytest.CallInfo[None], check: CheckRecord, error: BaseException | None
) -> pytest.TestReport:
    """pytest's own report, but for Blocked, NotAsked and CouldNotLook: those are one sentence."""
    if not isinstance(error, (Blocked, OcOpsError)) or call.when == "collect":
        return pytest.TestReport.from_item_and_call(item, call)
    left_out = check.outcome in ("blocked", "skipped")
    return pytest.TestReport(
        item.nodeid,
        item.location,
        dict.fromkeys(item.keywords, 1),
        "skipped" if left_out else "failed",
        (str(item.path), 0, check.note or str(error)) if left_out else f"{check.id}: could not look: {check.note}",
        call.when,
        duration=call.duration,
        start=call.start,
        stop=call.stop,
    )


def _check(report: Any) -> CheckRecord | None:
    return getattr(report, "check", None)
