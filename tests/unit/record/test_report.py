"""The report page's parts: complete, escaped, redacted, and pytest-html's page made safe around them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from datetime import UTC, datetime, timedelta
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from oc_ops.judge.finding import Finding
from oc_ops.record.page import html as page_html
from oc_ops.record.page import report
from oc_ops.record.redact import Redactor
from oc_ops.record.run import (
    CallRecord,
    CheckRecord,
    Environment,
    Evidence,
    Lanes,
    OpenclawInfo,
    RunRecord,
    SettingRecord,
)

REDACTOR = Redactor(["hunter2-hunter2"], Path("/home/joe"))
NOW = datetime(2026, 11, 22, 19, 41, 15, tzinfo=UTC)
HUNG = Finding(
    "gateway/hung", "error", "the gateway hangs", "no byte in 2.0 s", "openclaw gateway restart", "pytest -k x"
)
RUN = RunRecord(
    verdict="unhealthy",
    cause="gateway/hung",
    started_at=NOW,
    duration_s=3.1,
    since=NOW - timedelta(minutes=72),
    lanes=Lanes("ok", "unavailable: silent", "not needed"),
    openclaw=OpenclawInfo("2026.9.6", "2026.9.6", "work", 18789, ("/home/joe/gw.log",)),
    findings=(Finding("host/disk-low", "warning", "nearly full", "3 % free", "none automatic: make room"), HUNG),
    checks=(
        CheckRecord("config/valid", "a::b", "passed", 0.004, claim="The config parses."),
        CheckRecord("gateway/live", "a::c", "failed", 2.0, claim="The gateway answers."),
        *(CheckRecord(f"cron/{n}", f"a::{n}", "blocked", 0.0, blocked_by="gateway/hung") for n in range(6)),
    ),
    calls=(CallRecord(("openclaw", "cron", "list"), "timed-out", None, 20.0, 2.6, "calls/01-cron-list.log"),),
    evidence=(Evidence("Log lines around the fault", ("line one", "line two")),),
    environment=Environment((("python", "3.11.9"),), (SettingRecord("call_s", "19.0", "environment"),)),
)


def parts(tmp_path: Path, **changes: Any) -> tuple[str, str]:
    """First screen and evidence of the run with these changes."""
    made = report.Report(replace(RUN, **changes), REDACTOR, tmp_path)
    return made.first_screen(), made.evidence()


def generated(prefix: str = "", postfix: str = "", data: object = None, script: str = "alert(1)\n") -> str:
    """A page of the shape that pytest-html writes."""
    blob = escape(json.dumps({"environment": {}, "tests": {}} if data is None else data))
    return (
        '<!DOCTYPE html>\n<html>\n  <head>\n    <meta charset="utf-8"/>\n    <title id="head-title">x</title>\n'
        '<style type="text/css">body { min-width: 800px }</style>\n  </head>\n  <body>\n    <h1 id="title">x</h1>\n'
        '    <p>Report by <a href="https://pypi.python.org/pypi/pytest-html">pytest-html</a></p>\n'
        "    <p>Report generated on 29-Nov-2026 at 03:33:40 by pytest-html\n        v4.2.0</p>\n"
        f'<div class="prefix">{prefix}</div><div onclick="location.reload()"></div>{postfix}\n  <footer>\n'
        f'    <div id="data-container" data-jsonblob="{blob}"></div>\n    <script>{script}</script>\n'
        "  </footer>\n  </body>\n</html>"
    )


def blob(html: str) -> Any:
    """pytest-html's data in a page."""
    found = re.search(r'data-jsonblob="([^"]*)"', html)
    assert found
    return json.loads(unescape(found[1]))


def test_first_screen_has_what_a_tired_person_needs(tmp_path: Path) -> None:
    """Verdict, cause, what was seen, the fix, since when, which gateway, what is blocked, what else: in this order."""
    first, _ = parts(tmp_path)
    wanted = ["unhealthy", "gateway/hung", "the gateway hangs", "no byte in 2.0 s", "openclaw gateway restart"]
    wanted += [
        "pytest -k x",
        "since 2026-11-22 18:29:15 UTC (1 h 12 min)",
        "gateway 2026.9.6, port 18789",
        "profile work",
    ]
    wanted += ["for 3.1 s", "blocked by gateway/hung: 6 checks", "host/disk-low", "by hand: make room"]
    places = [first.index(each) for each in wanted]
    assert places == sorted(places)


def test_the_page_has_no_time_without_its_zone() -> None:
    """pytest-html says when it wrote by a clock of no zone; the first screen has the moment with its offset."""
    page = page_html.finish(generated(), "t", REDACTOR)
    assert "03:33:40" not in page
    assert "Report by" in page


@pytest.mark.parametrize(
    ("changes", "headline"),
    [
        ({"verdict": "healthy", "cause": None, "findings": (), "checks": RUN.checks[:1]}, "the one check passed"),
        ({"verdict": "degraded", "cause": None, "findings": RUN.findings[:1]}, "nearly full"),
        ({"verdict": "unknown", "cause": None, "findings": (), "checks": ()}, "nothing was looked at"),
        (
            {"verdict": "unknown", "cause": None, "checks": (CheckRecord("a/b", "x", "error", 0.0, note="denied"),)},
            "one check could not look",
        ),
    ],
)
def test_every_verdict_has_its_headline(tmp_path: Path, changes: dict[str, Any], headline: str) -> None:
    """A run without a cause still says in one sentence what came out."""
    assert f"<h1>{headline}</h1>" in parts(tmp_path, **changes)[0]


def test_evidence_holds_the_rest(tmp_path: Path) -> None:
    """Checks worst first, log lines, each call with its transcript, lanes, versions, changed settings."""
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "01-cron-list.log").write_text("what it printed")
    _, evidence = parts(tmp_path)
    wanted = ["gateway/live", "cron/0", "config/valid", "line one\nline two", "openclaw cron list", "timed-out"]
    wanted += ["what it printed", "unavailable: silent", "~/gw.log", "3.11.9", "call_s", "19.0", "from environment"]
    places = [evidence.index(each) for each in wanted]
    assert places == sorted(places)


def test_missing_transcript_is_said(tmp_path: Path) -> None:
    """A transcript that cannot be read does not cost the report."""
    assert "calls/01-cron-list.log: No such file" in parts(tmp_path)[1]


def test_a_command_in_a_claim_is_shown_as_one(tmp_path: Path) -> None:
    """Backticks are for the reader of the source; what stands in them is escaped all the same."""
    check = CheckRecord("cron/list", "a::d", "passed", 0.1, claim="`cron list` and `<b>` answer, ` alone does not.")
    evidence = parts(tmp_path, checks=(check,))[1]
    assert "<code>cron list</code> and <code>&lt;b&gt;</code> answer, ` alone" in evidence


def test_a_command_in_a_fact_is_shown_as_one_everywhere(tmp_path: Path) -> None:
    """In the headline and among the other findings; no backtick is left for the reader."""
    missing = replace(HUNG, fact="no `openclaw` command", fix="none automatic: type `openclaw doctor`")
    first = parts(tmp_path, findings=(missing, *(replace(each, fact="`x` is low") for each in RUN.findings[:1])))[0]
    assert "<h1>no <code>openclaw</code> command</h1>" in first
    assert "<code>x</code> is low" in first
    assert "type <code>openclaw doctor</code>" in first


def test_a_step_of_a_recovery_has_the_time_of_who_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not UTC without a word; what is no moment stands as it is."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    steps = [{"at": "2026-11-22T19:41:15.120Z", "step": "act"}, {"at": "soon", "step": "wait"}]
    try:
        evidence = parts(tmp_path, recovery={"sentence": "done", "steps": steps})[1]
    finally:
        monkeypatch.undo()
        time.tzset()
    assert "01:11:15 +05:30 act" in evidence
    assert "soon wait" in evidence


def test_every_string_is_redacted_printable_and_escaped(tmp_path: Path) -> None:
    """A payload in each field of the record comes out as text, without the secret, the home and the escape sequence."""
    evil = "<i onload=x>\"'&\x1b]52;c;x\x07 hunter2-hunter2 /home/joe \u202e\udcff\0"
    (tmp_path / "evil.log").write_text(evil, errors="replace")
    check = CheckRecord(evil, evil, "error", 0.1, blocked_by=evil, claim=evil, note=evil)
    made = report.Report(
        replace(
            RUN,
            cause=evil,
            findings=(Finding(evil, "error", evil, evil, evil, evil), Finding("x", "info", evil, evil, evil)),
            checks=(check, replace(check, outcome="blocked")),
            lanes=Lanes(evil, evil, evil),
            openclaw=OpenclawInfo(evil, evil, evil, 1, (evil,)),
            calls=(CallRecord((evil, "--token", "geheim"), evil, 1, 0.1, 0.1, "evil.log"),),
            recovery={evil: evil, "sentence": evil, "steps": [evil, {"step": evil, evil: evil, "token": "geheim"}]},
            evidence=(Evidence(evil, (evil,)),),
            environment=Environment(((evil, evil),), (SettingRecord(evil, evil, evil),)),
        ),
        REDACTOR,
        tmp_path,
    )
    html = made.first_screen() + made.evidence() + escape(made.title)
    for live in ("<i ", "\x1b", "\x07", "\0", "\u202e", "\udcff", "hunter2", "/home/joe", "geheim"):
        assert live not in html
    assert html.count("&lt;i onload=x&gt;") > 30


def test_enormous_texts_make_a_small_page(tmp_path: Path) -> None:
    """A hundred megabyte-long transcripts and lines stay far below what a mail takes."""
    (tmp_path / "big.log").write_text("<" * 1_000_000)
    calls = tuple(CallRecord(("openclaw",), "answered", 0, 1.0, 1.0, "big.log") for _ in range(100))
    evidence = (Evidence("log", tuple("<" * 5000 for _ in range(1000))),)
    first, rest = parts(tmp_path, calls=calls, evidence=evidence)
    assert len(first) + len(rest) < 2_000_000


def test_rendering_is_cheap(tmp_path: Path) -> None:
    """Both parts, templates compiled, cost well under a tenth of a CPU second."""
    parts(tmp_path)
    began = time.process_time()
    parts(tmp_path)
    assert time.process_time() - began < 0.1


def test_finish_puts_our_parts_first(tmp_path: Path) -> None:
    """The verdict comes first in the body, then the evidence, then pytest-html's own part, folded."""
    made = report.Report(RUN, REDACTOR, tmp_path)
    html = made.finish(generated(made.first_screen(), made.evidence()))
    wanted = [
        "<body>",
        '"oc oc-first',
        "<h2>Checks</h2>",
        '<details class="tests">',
        "Report by",
        "</details>",
        "<footer>",
    ]
    places = [html.index(each) if each != "</details>" else html.rindex(each) for each in wanted]
    assert places == sorted(places)
    assert "<title>unhealthy: gateway/hung · oc-ops doctor</title>" in html
    assert html.count('"oc oc-first') == html.count("<h1>") == 1


def test_finish_closes_every_way_out() -> None:
    """A policy before anything else, hashing pytest-html's script only; no link outside, no handler."""
    html = page_html.finish(generated(script="\r\n  run()\r\n"), "t", REDACTOR)
    digest = base64.b64encode(hashlib.sha256(b"\n  run()\n").digest()).decode()
    head = html[: html.index("</head>")]
    assert head.index("Content-Security-Policy") < head.index("<title>")
    for part in ("default-src 'none'", f"script-src 'sha256-{digest}'", "base-uri 'none'", "form-action 'none'"):
        assert part in head
    assert 'name="viewport"' in head
    assert "min-width: 800px" not in html
    assert "https://" not in html
    assert "onclick" not in html


def test_only_the_last_script_is_admitted() -> None:
    """A script that came in with a part of the page gets no hash."""
    html = page_html.finish(generated(prefix="<script>evil()</script>"), "t", REDACTOR)
    assert base64.b64encode(hashlib.sha256(b"evil()").digest()).decode() not in html
    assert html.count("sha256-") == 1


def test_finish_disarms_what_the_script_would_take_for_html() -> None:
    """Environment values, extras, cells and logs of pytest-html's data cannot bring markup, secrets or 5 MB along."""
    evil = "<img src=x onerror=y>"
    test = {
        "result": evil,
        "extras": [{"format_type": "html", "content": evil}],
        "log": escape(evil) + "\x1b]8;;javascript:x\x07 hunter2-hunter2 " + "x" * 5_000_000,
        "resultsTableRow": ['<td class="col-result">Failed</td>', f'<td class="col-testId">{evil}</td>', evil],
    }
    data = {
        "environment": {"CI": evil},
        "tests": {evil: [test]},
        "renderCollapsed": ["passed"],
        "initialSort": "result",
    }
    html = page_html.finish(generated(data=data), "t", REDACTOR)
    found = blob(html)
    [[cleaned]] = found["tests"].values()
    assert found["environment"] == {}
    assert cleaned["extras"] == []
    assert cleaned["result"] == "Error"
    assert "<img" not in json.dumps(found)
    assert "hunter2" not in html
    assert "\x1b" not in cleaned["log"]
    assert cleaned["resultsTableRow"][0] == '<td class="col-result">Failed</td>'
    assert cleaned["resultsTableRow"][1] == f'<td class="col-testId">{escape(evil)}</td>'
    assert len(html) < 100_000


@pytest.mark.parametrize("strange", ["", "<p>hello", "<html><body>x</body></html>", generated(data=[1, 2])])
def test_unknown_page_still_gets_the_policy(strange: str) -> None:
    """A page that pytest-html never wrote is finished all the same."""
    html = page_html.finish(strange, "t", REDACTOR)
    assert "default-src 'none'" in html
    assert "<body>" in html


def test_cells_are_text_and_say_blocked() -> None:
    """A row has id, test and duration as text; a blocked check says so, since pytest-html only knows Skipped."""
    check = CheckRecord("cron/list", "x", "blocked", 0.0, blocked_by="gateway/hung")
    assert report.cells("a::b[<i>]", 0.25, check, REDACTOR) == [
        '<td class="col-check">cron/list (blocked by gateway/hung)</td>',
        '<td class="col-testId">a::b[&lt;i&gt;]</td>',
        '<td class="col-duration">250 ms</td>',
    ]
    assert len(report.header()) == 4
