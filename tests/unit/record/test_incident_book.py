"""The book of incidents: torn lines, foreign members, names, many writers, years; and an incident in words."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from oc_ops.record.incidents import book
from oc_ops.record.incidents.book import UnknownIncident
from oc_ops.record.incidents.events import Event, Fault, What, utc
from oc_ops.record.incidents.rules import new_id
from oc_ops.record.journal import JournalError
from tests.support.incident_days import MINE, START, Days, finding, run

PROJECT = Path(__file__).parents[3]


# -- the book ----------------------------------------------------------------------------------------------------------

GOOD = Event("20261122-194115-gateway-hung", START, "opened", Fault.of(finding("gateway/hung")), gateway=MINE).as_json()


@pytest.mark.parametrize(
    "broken",
    [
        {**GOOD, "v": 2},
        {**GOOD, "what": "teleported"},
        {**GOOD, "what": []},
        {**GOOD, "at": "yesterday"},
        {**GOOD, "at": "2026-11-22T19:41:15"},
        {**GOOD, "at": 1},
        {**GOOD, "id": ""},
        {**GOOD, "id": {}},
        {**GOOD, "fault": "hung"},
        {**GOOD, "fault": {"check": "gateway/hung", "severity": "loud"}},
        {**GOOD, "gateway": {"key": None}},
        {**GOOD, "versions": [1]},
        {**GOOD, "attempt": {"record": "x", "outcome": "won"}},
        {**GOOD, "first_sign": "9999-12-31T23:59:59-23:59"},
        {},
        {"v": 1},
    ],
    ids=lambda broken: json.dumps(broken)[-30:],
)
def test_a_line_that_is_no_event_is_counted_and_left_out(days: Days, broken: dict[str, object]) -> None:
    """Whoever wrote it: the incidents beside it are read, and the reader says how many lines were not."""
    days.see(run("gateway/hung"))
    with days.book.path.open("a") as file:
        file.write(json.dumps(broken) + "\n" + '{"v":1,"id":"torn')
    told = book.read(days.book)
    assert (len(told.incidents), told.skipped) == (1, 2)
    assert days.see(run("gateway/hung")).skipped == 2


def test_what_was_never_opened_is_no_incident(days: Days) -> None:
    """Events without their beginning are left out, and nobody can name them."""
    with days.book.writing() as append:
        append(Event("ghost", START, "noted", text="boo").as_json())
    assert not book.read(days.book).ids
    with pytest.raises(UnknownIncident):
        book.read_one(days.book, "ghost")


def test_times_are_kept_in_utc() -> None:
    """Whatever zone a moment was given in."""
    assert utc(datetime(2026, 11, 22, 21, 41, 15, tzinfo=timezone(timedelta(hours=2)))) == "2026-11-22T19:41:15.000Z"


def test_members_of_a_later_release_are_left_out() -> None:
    """Lines may gain members; a finding may lack some."""
    assert Event.parse({**GOOD, "mood": "bad"}) == Event.parse(GOOD)
    assert Event.parse({**GOOD, "fault": {"check": "a/b", "severity": "error"}})


def test_long_texts_are_cut() -> None:
    """No stranger's text makes a line of the book endless."""
    event = Event("x", START, "noted", Fault.of(finding("a/b", "y" * 10**6)), by="z" * 10**6, text="t" * 10**6)
    assert len(json.dumps(event.as_json())) < 10_000


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("20261122-194115-gateway-hung", "20261122-194115-gateway-hung"),
        ("20261122-1951", "20261122-195115-cron-job-failing"),
        ("last", "20261122-194115-gateway-hung"),
    ],
)
def test_found_by_name(days: Days, name: str, expected: str) -> None:
    """An id, its unique beginning, or the one that was last opened or reopened."""
    days.see(run("gateway/hung"), run(), run("cron/job-failing"), run("cron/job-failing"), run("gateway/hung"))
    assert list(book.read_one(days.book, name).incidents) == [expected]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("2026", "2 begin so: 20261122-194115-gateway-hung, 20261122-194615-cron-job-failing"),
        ("20261122-194115-gateway-hang", "no such id; nearest: 20261122-194115-gateway-hung"),
        ("\x1b[2J", "incident ␛[2J: no such id; nearest: 20261122-194115-gateway-hung"),
        ("", "no such id"),
    ],
)
def test_not_found_by_name(days: Days, name: str, said: str) -> None:
    """What is nobody's name, or not only one's, names those that come near."""
    days.see(run("gateway/hung"), run("cron/job-failing"))
    with pytest.raises(UnknownIncident, match=re.escape(said)):
        book.read_one(days.book, name)


def test_an_empty_book_has_no_last(days: Days) -> None:
    """Nothing to name."""
    with pytest.raises(UnknownIncident, match="incident last: no incident is on record"):
        book.read_one(days.book, "last")


def test_ids_are_short_plain_and_of_their_own() -> None:
    """An id pastes into a shell and a file name, whatever the finding is called."""
    assert new_id("logs/br.control_timeout", START) == "20261122-194115-logs-br-control-timeout"
    hostile = new_id("cron/job-failing:$(reboot) `x` ../../" + "y" * 500, START, {"a"})
    assert re.fullmatch(r"20261122-194115-[a-z0-9-]{1,40}", hostile)
    assert new_id("a/b", START, {"20261122-194115-a-b", "20261122-194115-a-b-2"}) == "20261122-194115-a-b-3"


def test_a_full_disk_costs_the_incident_and_is_said(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller gets one sentence to say beside the verdict; the next run with room writes what is still so."""

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.write", full)
        with pytest.raises(JournalError, match=r"incidents\.jsonl could not be written: No space left on device"):
            days.see(run("gateway/hung"))
    days.see(run("gateway/hung"))
    assert days.told == [["opened"]]


OBSERVE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from oc_ops.judge.finding import Finding
from oc_ops.record.incidents import book as incidents
from oc_ops.record.incidents.events import Fault, GatewayName as Gateway
from oc_ops.record.incidents.rules import RunSummary
hung = Finding("gateway/hung", "error", "it hangs", "nothing", "openclaw gateway restart")
look = RunSummary("unhealthy", True, Gateway("a1b2c3d4e5f6"), (Fault.of(hung),))
book = incidents.journal(Path(sys.argv[2]))
book.wait_s = 30
sys.stdin.read()
print(incidents.observe_run(book, look, datetime.now(UTC)).what)
"""


@pytest.mark.timeout(60)
def test_eight_runs_at_once_open_one_incident(tmp_path: Path) -> None:
    """What one of them opens, the others find open."""
    argv = [sys.executable, "-I", "-c", OBSERVE, str(PROJECT), str(tmp_path)]
    runs = [subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    for each in runs:
        assert each.stdin is not None
        each.stdin.close()
    said = sorted(each.stdout.read().strip() for each in runs if each.stdout)
    assert [each.wait() for each in runs] == [0] * 8
    assert said == ["lasts"] * 7 + ["opened"]
    assert len(book.read(book.journal(tmp_path)).incidents) == 1


def year(path: Path, lines: int) -> None:
    """A book of incidents that were opened, changed, green and closed, one after the other."""
    path.parent.mkdir()
    red = Fault.of(finding("gateway/hung"))
    whats: tuple[tuple[What, Fault | None], ...] = (
        ("opened", red), ("changed", red), ("green", None), ("closed", None)
    )  # fmt: skip
    events = [Event("ID", START, what, each, gateway=MINE, evidence="~/reports/runs/2026") for what, each in whats]
    story = "".join(json.dumps(each.as_json(), separators=(",", ":")) + "\n" for each in events)
    with path.open("w") as file:
        for number in range(lines // 4):
            at = START + timedelta(minutes=20 * number)
            name = f"{at:%Y%m%d-%H%M%S}-gateway-hung"
            file.write(story.replace('"ID"', f'"{name}"').replace(utc(START), utc(at)))


@pytest.mark.timeout(120)
def test_years_of_incidents_are_read_fast(days: Days) -> None:
    """100,000 lines cost a run a fraction of a second: what was closed long ago is not parsed."""
    year(days.book.path, 100_000)
    days.now = START + timedelta(days=365)
    began = time.process_time()
    update = days.see(run())
    took_s = time.process_time() - began
    assert update.changed == ()
    assert took_s < 1
    assert days.see(run("gateway/hung")).what == "opened"


# -- in words ----------------------------------------------------------------------------------------------------------


def test_the_sentence_beside_the_verdict(days: Days) -> None:
    """Opened, since when, green, closed, back: in one line, with who cares for it and what else is open."""
    said = []
    looks = [run("gateway/hung"), run("gateway/hung"), run(), run(), run("gateway/hung")]
    for number, each in enumerate(looks):
        said.append(days.see(each).sentence(days.now))
        if number == 0:
            book.tell(days.book, "last", Event("", days.now, "acknowledged", by="anna"))
    name = "incident 20261122-194115-gateway-hung"
    assert said == [
        f"{name}, opened by this run",
        f"{name}, since 2026-11-22 19:41:15 UTC (10 min); acknowledged by anna",
        f"{name}, green once after 10 min; the next green run closes it; acknowledged by anna",
        f"{name}, closed after 10 min; acknowledged by anna",
        f"{name}, reopened, 1× back after green, first red 25 min ago; acknowledged by anna",
    ]


def test_what_report_json_holds(days: Days) -> None:
    """Id, cause, state, since when, what this run did; null without an incident."""
    assert days.see(run()).as_json() is None
    days.see(run("gateway/hung", sign=START - timedelta(seconds=3)))
    told = days.see(run("gateway/hung")).as_json()
    assert told == {
        "id": "20261122-194615-gateway-hung",
        "cause": "gateway/hung",
        "state": "red",
        "since": "2026-11-22T19:46:15.250Z",
        "red_since": "2026-11-22T19:46:15.250Z",
        "this_run": "lasts",
        "flaps": 0,
        "time_to_detect_s": 303.0,
        "time_to_recover_s": None,
        "open": ["20261122-194615-gateway-hung"],
    }
