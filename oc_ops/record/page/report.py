"""The parts of the report page that say what was found and how a recovery went, as HTML made from a run's record."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from oc_ops import files
from oc_ops.record.page import html as page_html
from oc_ops.record.redact import Redactor
from oc_ops.record.run import CallRecord, CheckRecord, RunRecord
from oc_ops.text import clock, printable, regex, span

if TYPE_CHECKING:
    from jinja2 import Environment

    from oc_ops.record.page.charts import Latency
    from oc_ops.record.redact import Json

# The page stays fit for a phone and a mail however much was printed.
_EVIDENCE_LINES = 400
_EVIDENCE_CHARS = 60_000
_TRANSCRIPT = 40_000
_TRANSCRIPTS = 400_000
_CHECKS = 1_000
_CALLS = 200
_FIRST, _EVIDENCE = "first.jinja2", "evidence.jinja2"
_CODE = regex(r"`([^`]+)`")

_VERDICT_MARKS = {"healthy": "✓", "degraded": "!", "unhealthy": "✗", "unknown": "?"}
_OUTCOME_MARKS = {"failed": "✗", "error": "?", "blocked": "⊘", "skipped": "–", "passed": "✓"}


class Report:
    """One run's page in parts; every string in them was redacted, made printable and escaped, in this order."""

    def __init__(
        self,
        record: RunRecord,
        redactor: Redactor,
        run: Path,
        chart: Latency | None = None,
        made: Environment | None = None,
    ) -> None:
        """Transcripts of `record.calls` are read from the run's directory `run`; a missing one shows as missing.

        `chart` is the gateway's latency around the run, `made` the templates where they were made before.
        """
        self._record = record
        self._redactor = redactor
        self._run = run
        self._chart = chart
        self._templates = made or templates(redactor)

    @property
    def title(self) -> str:
        """The page's title as plain text: `unhealthy: gateway/hung · oc-ops doctor`."""
        cause = f": {self._record.cause}" if self._record.cause else ""
        return self._redactor.line(f"{self._record.verdict}{cause} · oc-ops doctor", 120)

    def first_screen(self) -> str:
        """HTML of the top: verdict, cause, what was seen, the fix, since when, what is blocked, other findings."""
        record = self._record
        return page_html.mark(
            "first",
            self._templates.get_template(_FIRST).render(
                run=record,
                mark=_VERDICT_MARKS[record.verdict],
                headline=_headline(record),
                recovery=sentence(record.recovery),
                meta=list(_meta(record)),
            ),
        )

    def evidence(self) -> str:
        """HTML of the rest: checks, recovery, lines around the fault, calls with their transcripts, environment."""
        record = self._record
        order = list(_OUTCOME_MARKS)
        return page_html.mark(
            "evidence",
            self._templates.get_template(_EVIDENCE).render(
                run=record,
                around=list(_around(record)),
                chart=self._chart,
                checks=sorted(record.checks, key=lambda check: order.index(check.outcome))[:_CHECKS],
                marks=_OUTCOME_MARKS,
                calls=list(self._calls()),
                recovery=list(self._recovery()),
                environment=list(_environment(record)),
            ),
        )

    def finish(self, html: str) -> str:
        """Return the page to keep, made from the one pytest-html wrote (see `page.finish`)."""
        return page_html.finish(html, self.title, self._redactor)

    def _recovery(self) -> Iterator[tuple[str, str, str]]:
        told = self._redactor.json(self._record.recovery)
        for name, value in rows(told) if isinstance(told, Mapping) else ():
            yield name, value, ""

    def _calls(self) -> Iterator[tuple[CallRecord, str]]:
        budget = _TRANSCRIPTS
        for call in self._record.calls[:_CALLS]:
            try:
                text = files.read_text(self._run / call.transcript, files.DATA_BYTES, errors="replace")
            except OSError as error:
                text = f"{call.transcript}: {error.strerror}"
            text = printable(text, min(_TRANSCRIPT, budget))  # was redacted when written, so a cut halves no secret
            budget = max(budget - len(text), 300)
            yield call, text


def header() -> list[str]:
    """The header cells of pytest-html's own table, for `pytest_html_results_table_header`."""
    return [
        '<th class="sortable" data-column-type="result">Result</th>',
        '<th class="sortable" data-column-type="check">Check</th>',
        '<th class="sortable" data-column-type="testId">Test</th>',
        '<th class="sortable" data-column-type="duration">Duration</th>',
    ]


def cells(nodeid: str, duration_s: float, check: CheckRecord | None, redactor: Redactor) -> list[str]:
    """All cells but the first of one row of that table, for `pytest_html_results_table_row`.

    The first stays pytest-html's own: its script hides a row whose result is none of its words, so a blocked check
    is `Skipped` there and says `blocked` beside its id.
    """
    name = "" if check is None else check.id
    if check is not None and check.outcome == "blocked":
        name = f"{name} (blocked by {check.blocked_by or 'an earlier fault'})"
    shown = (("check", name), ("testId", nodeid), ("duration", f"{duration_s * 1000:.0f} ms"))
    return [f'<td class="col-{column}">{escape(redactor.line(text))}</td>' for column, text in shown]


def prepared(redactor: Redactor) -> Environment:
    """The templates with those of a run's page compiled, which costs 30 ms: for a thread beside one that waits."""
    made = templates(redactor)
    for name in (_FIRST, _EVIDENCE):
        made.get_template(name)
    return made


def templates(redactor: Redactor) -> Environment:
    """The templates of all pages: whatever they print is redacted, made printable and escaped, in this order."""
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    def shown(value: object) -> object:
        return value if isinstance(value, Markup | int | float) else redactor.line(str(value))

    def block(text: str, limit: int = _TRANSCRIPT) -> Markup:
        return Markup(escape(redactor.block(text, limit)))  # noqa: S704 -- escaped in this very line

    def code(text: str) -> Markup:
        return Markup(_CODE.sub(r"<code>\1</code>", escape(redactor.line(text))))  # noqa: S704 -- escaped here

    def lines(given: Sequence[str]) -> Markup:
        left_out = len(given) - _EVIDENCE_LINES
        if left_out > 0:
            half = _EVIDENCE_LINES // 2
            given = (*given[:half], f"[…{left_out:,} lines left out…]", *given[-half:])
        return block("\n".join(given), _EVIDENCE_CHARS)

    # finalize sees every expression of every template before autoescape does: no string can go round the redactor.
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=shown,
    )
    made.filters |= {
        "block": block,
        "code": code,
        "lines": lines,
        "clock": clock,
        "duration": lambda seconds: _seconds(seconds),
        "command": lambda argv: shlex.join(redactor.argv(argv)),
    }
    return made


def _headline(record: RunRecord) -> str:
    if record.cause_finding is not None:
        return record.cause_finding.fact
    passed = sum(check.outcome == "passed" for check in record.checks)
    if record.verdict == "healthy":
        return f"all {passed} checks passed" if passed != 1 else "the one check passed"
    if missed := len(record.could_not_look):
        return f"{missed} checks could not look" if missed != 1 else "one check could not look"
    if record.findings:
        return record.other_findings[0].fact
    return "nothing was looked at"


def _meta(record: RunRecord) -> Iterator[str]:
    ended = record.started_at + timedelta(seconds=record.duration_s)
    if record.since is not None:
        yield f"since {clock(record.since)} ({span((ended - record.since).total_seconds())})"
    info = record.openclaw
    if info.gateway_version or info.port:
        port = f", port {info.port}" if info.port else ""
        yield f"gateway {info.gateway_version or 'of unknown version'}{port}"
    if info.cli_version and info.cli_version != info.gateway_version:
        yield f"CLI {info.cli_version}"
    if info.profile:
        yield f"profile {info.profile}"
    yield f"looked {clock(record.started_at)} for {_seconds(record.duration_s)}"


def _around(record: RunRecord) -> Iterator[tuple[str, str, str]]:
    """The incident's timeline, each step with its distance from the one before."""
    before: datetime | None = None
    for at, words in record.around.timeline if record.around else ():
        later_s = (at - before).total_seconds() if before else 0.0
        yield clock(at), f"+{span(later_s)}" if later_s >= 1 else "", words
        before = at


def _environment(record: RunRecord) -> Iterator[tuple[str, str, str]]:
    info = record.openclaw
    yield ("gateway", info.gateway_version or "unknown", "")
    yield ("openclaw CLI", info.cli_version or "unknown", "")
    if (load := record.load) is not None:
        calls = f"{load.calls} openclaw calls, {load.calls_cpu_s:.1f} s" if load.calls else "no openclaw call"
        yield ("CPU used", f"{calls}; the doctor itself {load.own_cpu_s:.1f} s", "")
    for path in info.log_files:
        yield ("gateway log", path, "")
    if record.environment is not None:
        yield from ((name, value, "") for name, value in record.environment.versions)
        yield from ((each.name, each.value, each.source) for each in record.environment.settings)


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 0.95 else f"{seconds:.1f} s"


_STEP = ("v", "at", "step", "state", "report", "incident", "pid", "gateway")
"""A step's own words, or a pointer to elsewhere on the page."""


def sentence(told: Mapping[str, Json] | None) -> str:
    """The attempt, or why there was none; empty where there was nothing to recover from."""
    return _text(told.get("sentence", "")) if told and told.get("outcome") != "healthy" else ""


def rows(told: Mapping[str, Json]) -> Iterator[tuple[str, str]]:
    """Name and text of each row of `Outcome.as_json`; whatever else is in it is shown as it is."""
    known = ("sentence", "before", "after", "steps", "exit", "outcome", "duration_s", "cause", "cure", "acted")
    if sentence := told.get("sentence"):
        yield "outcome", _text(sentence)
    yield from _look(told, "before")
    steps = told.get("steps")
    for each in steps if isinstance(steps, list) else ():
        if isinstance(each, Mapping) and each.get("state") != "begin":
            yield f"{_time(each.get('at'))} {_text(each.get('step'))}", _facts(each)
    yield from _look(told, "after")
    yield from ((name, _text(value)) for name, value in told.items() if name not in known and value is not None)


def _time(at: Json) -> str:
    """The time of day of a step, for who reads the page; the text itself where it is no moment."""
    try:
        return clock(datetime.fromisoformat(_text(at)), "time")
    except ValueError:
        return _text(at)


def _look(told: Mapping[str, Json], name: str) -> Iterator[tuple[str, str]]:
    seen = told.get(name)
    if isinstance(seen, Mapping):
        words = (seen.get("verdict"), seen.get("cause"), seen.get("fact"))
        yield name, ": ".join(_text(each) for each in words if each)


def _facts(step: Mapping[str, Json]) -> str:
    facts = {name: value for name, value in step.items() if name not in _STEP and value not in (None, "", [])}
    return " · ".join(f"{name.replace('_', ' ')}: {_text(value)}" for name, value in facts.items())


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value)
