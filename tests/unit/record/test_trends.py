"""The trends page and what a failing run lies in: what happened can be seen, followed by a click, and harms nobody."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from oc_ops.cli import app
from oc_ops.record.history import context
from oc_ops.record.history.database import reading
from oc_ops.record.history.entry import CheckEntry, CronRunEntry, Process
from oc_ops.record.history.query import History
from oc_ops.record.incidents import book
from oc_ops.record.incidents.events import Event, Fault, GatewayName, Versions
from oc_ops.record.incidents.incident import Incident, fold
from oc_ops.record.page import trends
from oc_ops.record.redact import Redactor
from oc_ops.record.run import Around
from tests.support import past
from tests.support.machine import Operator, closed_port

REDACTOR = Redactor(["s3cret-of-the-gateway"], Path("/home/joe"))
EVIL = "</title></style><script>alert(1)</script><img src=x onerror=alert(1)>\"'\x1b[2J\u202e"
HUNG = Fault("gateway/hung", "error", "the gateway hangs", "no answer in 2.0 s", "openclaw gateway restart")


def moment(at_ms: int) -> datetime:
    """A moment of the history."""
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def hung(opened_ms: int, fault: Fault = HUNG) -> tuple[Event, ...]:
    """An incident's events: signature, first red, another look."""
    opened = Event(
        "i1",
        moment(opened_ms),
        "opened",
        fault,
        GatewayName(past.KEY),
        first_sign=moment(opened_ms) - timedelta(minutes=2),
    )
    return opened, Event("i1", moment(opened_ms + past.STEP_MS), "seen", fault, GatewayName(past.KEY))


def drawn(memory: Path, reports: Path) -> str:
    """The page at the end of the past."""
    return trends.write(reports, memory, REDACTOR, now_ms=past.NOW_MS).read_text()


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    """A day of runs, a job's runs among them, and a hang at its end that is on record in the book."""
    job = past.job(*(CronRunEntry(past.NOW_MS - n * 3_600_000, "ok", 20_000 + n, False) for n in range(1, 20)))
    steps = range(288, 1, -1)
    green = [past.run(past.NOW_MS - n * past.STEP_MS, jobs=(job,) if n == 288 else ()) for n in steps]
    red = [past.hung(past.NOW_MS - n * past.STEP_MS, stamp=f"red-{n}") for n in (1, 0)]
    folder = past.remembered(tmp_path / "memory", *green, *red)
    with book.journal(folder).writing() as append:
        for each in hung(past.NOW_MS - past.STEP_MS):
            append(each.as_json())
    return folder


def test_the_first_screen_names_cause_and_fix(memory: Path, tmp_path: Path) -> None:
    """Verdict, fact, what was seen, the one thing to do, since when."""
    page = drawn(memory, tmp_path)
    first = page[page.index("<main>") : page.index("The last 48 hours")]
    for words in ("✗ unhealthy", "the gateway hangs", "no answer in 2.0 s", "openclaw gateway restart", "i1"):
        assert words in first


def test_a_red_cell_leads_to_its_run(memory: Path, tmp_path: Path) -> None:
    """Of both maps, also where a cause blocked the check; a run that was pruned has a cell and no link."""
    assert "<a href" not in drawn(memory, tmp_path)
    (tmp_path / "runs" / "red-0").mkdir(parents=True)
    page = drawn(memory, tmp_path)
    links = set(re.findall(r'<a href="([^"]+)">', page))
    assert links == {"runs/red-0/report.html"}
    for kind, check in (("failed", "gateway/live"), ("blocked", "cron/list")):
        cell = rf'<a href="runs/red-0/report.html"><rect class="oc-c-{kind}"[^>]*><title>{check}, '
        assert len(re.findall(cell, page)) == 2, check


def test_a_cell_leads_to_the_run_in_which_its_check_failed(tmp_path: Path) -> None:
    """Rather than to a later one of that hour in which something else hid it."""
    checks = (CheckEntry("cron/list", "failed", 0.01),)
    failed = past.hung(past.NOW_MS - 2, checks=checks, stamp="failed")
    memory = past.remembered(tmp_path / "memory", failed, past.hung(past.NOW_MS - 1, stamp="blocked"))
    for stamp in ("failed", "blocked"):
        (tmp_path / "runs" / stamp).mkdir(parents=True)
    page = drawn(memory, tmp_path)
    assert page.count('<a href="runs/failed/report.html"><rect class="oc-c-failed"') == 2
    assert page.count('<a href="runs/blocked/report.html"><rect class="oc-c-failed"') == 2  # gateway/live


def test_every_check_has_a_row_and_every_chart_its_words(memory: Path, tmp_path: Path) -> None:
    """Two heat maps, the calls of each lane and the watched job, availability by day."""
    page = drawn(memory, tmp_path)
    for check in past.CHECKS:
        assert page.count(f'<span class="oc-check">{check}</span>') == 2
    for chart in ("http /healthz", "rpc status", "cli gateway call status", "nightly"):
        assert f"<b>{chart}</b>" in page
    assert "median 20.0 s" in page
    assert re.search(r"9[89]\.\d\d % of 28\d runs</b> green, since 2026-11-2\d \d\d:\d\d", page)
    assert "90 days" not in page[: page.index("The last 48 hours")]


def test_hostile_words_are_words(tmp_path: Path) -> None:
    """Jobs, profiles and incidents may be called anything: nothing of it acts, nothing secret is shown."""
    fault = replace(HUNG, fact=EVIL, saw="token s3cret-of-the-gateway", fix=EVIL)
    job = past.job(CronRunEntry(past.NOW_MS - 1000, "ok", 20_000, False), name=EVIL, id=EVIL)
    state = {"gateway": EVIL}
    red = past.hung(profile=EVIL, cause=EVIL, jobs=(job,), state=state, stamp='x"/><script>alert(1)</script>')
    memory = past.remembered(tmp_path / "memory", red)
    with book.journal(memory).writing() as append:
        append(hung(past.NOW_MS, fault)[0].as_json())
    page = drawn(memory, tmp_path)
    assert "alert(1)" in page, "the words are there"
    assert "<script" not in page
    assert "<img" not in page
    assert "s3cret-of-the-gateway" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "script-src 'none'" in page


def test_no_history_is_a_page_too(tmp_path: Path) -> None:
    """Before the first run it says so, and nothing is made of it."""
    assert "No run is on record yet" in drawn(tmp_path / "memory", tmp_path)
    assert not (tmp_path / "memory").exists()


def test_the_command_draws_it(memory: Path, tmp_path: Path) -> None:
    """And says where; a profile that was never looked at is one sentence."""
    environ = {"OC_OPS_MEMORY_DIR": str(memory), "OC_OPS_REPORT_DIR": str(tmp_path / "reports")}
    done = CliRunner().invoke(app, ["history"], env=environ)
    assert done.stdout == f"history: {tmp_path}/reports/index.html\n"
    assert "gateway hangs" in (tmp_path / "reports" / "index.html").read_text()
    refused = CliRunner().invoke(app, ["history", "--oc-profile", "work"], env=environ)
    assert "profile work: no run of it is on record" in str(refused.exception)


def test_a_run_draws_it_when_an_incident_changed(tmp_path: Path) -> None:
    """The first red draws it anew; a run that sees the same leaves it as it is."""
    operator = Operator(tmp_path, closed_port())
    page = operator.reports / "index.html"
    operator.run("--quick")
    assert "gateway/down" in page.read_text()
    assert '<a href="runs/' in page.read_text(), "its own report is there when it is drawn"
    before = page.stat().st_mtime_ns
    operator.run("--quick")
    assert page.stat().st_mtime_ns == before


# -- what a failing run lies in --------------------------------------------------------------------------------------


def told(folder: Path, incident: Incident) -> tuple[Around, object]:
    """The surroundings of the last run."""
    with reading(folder) as connection:
        assert connection is not None
        return context.around(History(connection), past.KEY, past.NOW_MS, incident)


def incident() -> Incident:
    """The hang that was first seen a step before now."""
    return fold(hung(past.NOW_MS - past.STEP_MS))["i1"]


def test_what_changed_since_the_last_green_run(tmp_path: Path) -> None:
    """Releases, config, jobs added, removed and switched off, and the process; what is unknown now is no change."""
    jobs = {"jobs": "2", "job a": "a: every 60 s, on", "job b": "b: every 60 s, on"}
    later = {"jobs": "2", "job a": "a: every 60 s, off", "job c": "c: every 60 s, on"}
    green = {"CLI": "2026.9.6", "gateway": "2026.9.6", "config": "aa", **jobs}
    red = {"CLI": "2026.9.7", "config": "bb", **later}
    born = past.NOW_MS - 10**8
    past.remembered(
        tmp_path,
        past.run(past.NOW_MS - 3 * past.STEP_MS, state=green, process=Process(1, born, 1)),
        past.run(past.NOW_MS - 2 * past.STEP_MS, state={"CLI": "part of a run"}, whole=False),
        past.hung(past.NOW_MS, state=red, process=Process(2, past.NOW_MS - 10**6, 1)),
    )
    around, _ = told(tmp_path, incident())
    assert around.green_at == moment(past.NOW_MS - 3 * past.STEP_MS)
    assert {each.what: (each.before, each.now) for each in around.changes if each.what != "gateway's process"} == {
        "CLI": ("2026.9.6", "2026.9.7"),
        "config (digest)": ("aa", "bb"),
        "cron job a": ("a: every 60 s, on", "a: every 60 s, off"),
        "cron job b": ("b: every 60 s, on", "not there"),
        "cron job c": ("not there", "c: every 60 s, on"),
    }
    assert "gateway's process" in {each.what for each in around.changes}


def test_nothing_changed(tmp_path: Path) -> None:
    """The same state and process is no change, and without a green run there is nothing to compare with."""
    past.remembered(tmp_path, past.run(past.NOW_MS - 2 * past.STEP_MS), past.hung())
    around, chart = told(tmp_path, incident())
    assert around.changes == ()
    assert around.green_at
    assert chart
    past.remembered(tmp_path / "red", past.hung())
    assert told(tmp_path / "red", incident())[0].green_at is None


def test_the_timeline_begins_with_the_first_signature(tmp_path: Path) -> None:
    """Then the first red, then what followed; of a long story the middle is left out."""
    past.remembered(tmp_path, past.hung())
    steps = told(tmp_path, incident())[0].timeline
    assert [words for _at, words in steps] == [
        "first log signature",
        "first red: gateway/hung: the gateway hangs",
        "still gateway/hung: the gateway hangs",
    ]
    opened, seen = hung(past.NOW_MS)
    long = fold([opened, *(replace(seen, versions=Versions(f"{n}")) for n in range(500))])["i1"]
    assert len(told(tmp_path, long)[0].timeline) == 61


def test_a_failing_run_s_report_tells_it(tmp_path: Path) -> None:
    """In the page and in the JSON: since when it was green, the incident so far."""
    operator = Operator(tmp_path, closed_port())
    operator.run("--quick")
    page = (operator.reports / "latest.html").read_text()
    assert "Timeline of the incident" in page
    assert "first red: gateway/down: nothing listens" in page
    [(at, words)] = operator.latest()["around"]["timeline"]
    assert at.endswith("Z")
    assert words.startswith("first red: gateway/down")


def test_an_open_incident_tells_its_present_stretch(tmp_path: Path) -> None:
    """Red, green once, red again: the time between counts nowhere, and how often it came back is said."""
    hour = 3_600_000
    runs = [past.hung(past.NOW_MS - n * past.STEP_MS) for n in (2, 1, 0)]
    folder = past.remembered(tmp_path / "memory", *runs)
    opened, _ = hung(past.NOW_MS - 9 * hour)
    back = replace(opened, at=moment(past.NOW_MS - 10 * 60_000), what="red")
    with book.journal(folder).writing() as append:
        for each in (opened, replace(opened, at=moment(past.NOW_MS - 8 * hour), what="green", fault=None), back):
            append(each.as_json())
    page = drawn(folder, tmp_path)
    first = page[page.index("<main>") : page.index("The last 48 hours")]
    assert f"{back.at:%Y-%m-%d %H:%M:%S} UTC (red for 10 min; back 1× after green, first red" in " ".join(first.split())
    assert "open for 9 h" not in page


@pytest.mark.parametrize(("ago_ms", "told"), [(20_000, "1"), (None, "0")], ids=["a start was seen", "nothing was"])
def test_a_gateway_that_was_just_started_has_one_start(tmp_path: Path, ago_ms: int | None, told: str) -> None:
    """The first run tells of no restart, and yet a start was seen; since when is said."""
    process = Process(7, past.NOW_MS - ago_ms, 2**20) if ago_ms else None
    run = past.run(past.NOW_MS, process=process)
    page = drawn(past.remembered(tmp_path / "memory", run), tmp_path)
    since = moment(past.NOW_MS - (ago_ms or 0))
    assert f"<b>{told}</b> starts, since {since:%Y-%m-%d %H:%M}" in page
