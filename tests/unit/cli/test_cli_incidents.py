"""`oc-ops incidents`: what people read and write; nothing a stranger wrote acts upon their terminal."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from oc_ops.cli.incidents import app, duration, moment
from oc_ops.errors import OcOpsError
from oc_ops.judge.finding import Finding
from oc_ops.record.incidents import book as incidents_book
from oc_ops.record.incidents.events import Attempt, Fault, GatewayName, Versions
from oc_ops.record.incidents.rules import RunSummary
from oc_ops.record.journal import Journal

NOW = datetime.now(UTC).replace(microsecond=0)
HUNG = Finding("gateway/hung", "error", "the gateway hangs", "no byte in 2.0 s", "openclaw gateway restart")
DOWN = Finding("gateway/down", "error", "nothing listens", "refused", "openclaw gateway start")
HOSTILE = Finding(
    "cron/job-failing", "error", "\x1b]52;c;aGk=\x07\nfine: healthy", "\x9b2J\u202e", "\rnone automatic: x"
)
GREEN = frozenset({"gateway/live", "cron/jobs"})
JOE = ["--by", "joe"]


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """The operator's book, empty."""
    monkeypatch.setenv("OC_OPS_MEMORY_DIR", str(tmp_path))
    return incidents_book.journal(tmp_path)


def look(book: Journal, minutes_ago: float, *found: Finding, looked: frozenset[str] = frozenset()) -> None:
    """A run at that time."""
    by = {"gateway/hung": "gateway/live", "gateway/down": "gateway/live", "cron/job-failing": "cron/jobs"}
    at = datetime.now(UTC) - timedelta(minutes=minutes_ago, seconds=20)
    sign = at - timedelta(seconds=41) if found else None
    run = RunSummary(
        verdict="unhealthy" if found else "healthy",
        whole=True,
        gateway=GatewayName("a1b2c3", "work", 28789),
        faults=tuple(Fault.of(each, found_by=by[each.check]) for each in found),
        looked=looked,
        versions=Versions("2026.9.6", "2026.9.6"),
        folder=f"~/reports/{minutes_ago:g}",
        first_signature_at=sign,
    )
    incidents_book.observe_run(book, run, at)


@pytest.fixture
def hung(book: Journal) -> str:
    """An incident that opened two hours ago and is down by now; its id."""
    look(book, 125, HUNG)
    look(book, 60, DOWN)
    return next(iter(incidents_book.read(book).incidents))


def says(*argv: str) -> str:
    """What the command prints."""
    result = CliRunner().invoke(app, list(argv), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refuses(*argv: str) -> str:
    """The one sentence of a command that refuses: raised, or said with exit code 4 where `oc-ops` guards it."""
    try:
        result = CliRunner().invoke(app, list(argv), catch_exceptions=False)
    except OcOpsError as error:
        return str(error)
    assert result.exit_code == 4, result.output
    return result.stderr.removeprefix("oc-ops: ").rstrip("\n")


def read(*argv: str) -> Any:
    """What the command prints for a machine."""
    return json.loads(says(*argv, "--json"))


def test_lists_what_is_open(book: Journal, hung: str) -> None:
    """State, since when, how long, what is wrong, what helps."""
    opened_at = incidents_book.read(book).incidents[hung].opened_at
    assert says("list").splitlines() == [
        f"{hung}  red, since {opened_at:%Y-%m-%d %H:%M:%S} UTC, for 2 h 5 min, now gateway/down",
        "  gateway/hung: the gateway hangs",
        "  fix: openclaw gateway restart",
        "1 open, 0 closed",
    ]


def test_lists_what_is_closed_when_asked(book: Journal, hung: str) -> None:
    """Closed incidents are counted, and shown with --all."""
    look(book, 20, looked=GREEN)
    assert "green once, since" in says("list")
    look(book, 10, looked=GREEN)
    assert says("list") == "0 open, 1 closed (--all shows them)\n"
    assert "closed, since" in says("list", "--all")
    assert "lasted 1 h 45 min" in says("list", "--all")
    assert read("list") == {"incidents": [], "skipped_lines": 0}
    (listed,) = read("list", "--all")["incidents"]
    assert (listed["state"], listed["time_to_detect_s"]) == ("closed", 41)
    assert listed["time_to_recover_s"] == pytest.approx(105 * 60, abs=60)


def test_an_empty_book(book: Journal) -> None:
    """Nothing on record is said as such, and nothing is made."""
    assert says("list") == "0 open, 0 closed\n"
    assert refuses("show", "last") == "incident last: no incident is on record"
    assert not book.path.exists()


def test_shows_one_whole(book: Journal, hung: str) -> None:
    """Cause, times, people, and a timeline with clock and age, by an id, its beginning or `last`."""
    says("ack", hung, "--by", "anna")
    tried = Attempt("memory/recoveries/1.jsonl", "restart", "ineffective")
    incidents_book.record_attempt(book, hung, tried, datetime.now(UTC), reason="still hung")
    shown = says("show", hung)
    assert shown == says("show", hung[:15]) == says("show", "last")
    lines = shown.splitlines()
    assert lines[:8] == [
        f"{hung}: red for 2 h 5 min",
        "  gateway/hung: error: the gateway hangs",
        "  saw:     no byte in 2.0 s",
        "  fix:     openclaw gateway restart",
        "  gateway: profile work, port 28789; CLI 2026.9.6, gateway 2026.9.6",
        "  time to detect: 41 s after its first log signature",
        "  recover: not yet",
        "  status:  now gateway/down, acknowledged by anna, recovery tried 1×, last ineffective",
    ]
    assert [line.partition("UTC")[2].strip() for line in lines[9:12]] == [
        "2 h 6 min ago  first log signature",
        "2 h 5 min ago  first red: gateway/hung: the gateway hangs",
        "1 h ago  now gateway/down: nothing listens",
    ]
    assert lines[12].endswith(" ago  acknowledged by anna")
    assert lines[13].endswith(" ago  recovery restart: ineffective: still hung")
    assert lines[-2:] == ["  ~/reports/125 (no longer kept)", "  ~/reports/60 (no longer kept)"]


def test_shows_one_to_a_machine(book: Journal, hung: str) -> None:
    """Everything it carries."""
    says("note", "last", "called", "the", "provider", *JOE)
    told = read("show", "last")
    assert told["id"] == hung
    assert told["cause"] == {
        "check": "gateway/hung", "severity": "error", "fact": "the gateway hangs",
        "saw": "no byte in 2.0 s", "fix": "openclaw gateway restart",
    }  # fmt: skip
    assert told["states"] == ["gateway/hung", "gateway/down"]
    assert told["gateway"] == {"key": "a1b2c3", "profile": "work", "port": 28789}
    assert [(each["by"], each["text"]) for each in told["notes"]] == [("joe", "called the provider")]
    assert [each["what"] for each in told["timeline"]] == ["opened", "changed", "noted"]
    assert told["evidence"] == ["~/reports/125", "~/reports/60"]


def test_acknowledges(book: Journal, hung: str) -> None:
    """By the user's name unless another is given."""
    assert says("ack", "last", *JOE) == f"{hung}: acknowledged by joe\n"
    assert read("ack", "last")["acknowledged"]["by"] not in ("", "joe")


def test_mutes(book: Journal, hung: str) -> None:
    """For a while, until a time, or no longer; exactly one of them."""
    assert says("mute", "last", "--for", "2h").startswith(f"{hung}: muted until ")
    until = datetime.fromisoformat(read("show", "last")["muted_until"])
    assert timedelta(hours=2) - (until - datetime.now(UTC)) < timedelta(minutes=1)
    assert "muted until" in says("list")
    assert says("mute", "last", "--off") == f"{hung}: no longer muted\n"
    assert read("show", "last")["muted_until"] is None
    assert read("mute", "last", "--until", "2099-01-01T00:00Z")["muted_until"] == "2099-01-01T00:00:00.000Z"
    for wrong in ([], ["--for", "2h", "--off"], ["--for", "2h", "--until", "18:00"]):
        assert refuses("mute", "last", *wrong) == "mute: need one of --for TIME, --until WHEN and --off"


def test_notes_keep_no_secret(book: Journal, hung: str) -> None:
    """What looks like a secret does not reach the file; a note needs words."""
    says("note", "last", "restarted with token=abcdefghijklmnop1234 in hand")
    text = book.path.read_text()
    assert "abcdefghijklmnop1234" not in text
    assert "restarted with token=[redacted] in hand" in text
    assert refuses("note", "last", " ") == "note: need a text"


def test_closes(book: Journal, hung: str) -> None:
    """By hand, once, with a reason; while it is red it says what the next run will do; closed, it takes notes only."""
    said = says("close", "last", "--reason", "nobody needs it", *JOE)
    assert said.splitlines()[0] == f"{hung}: closed by joe"
    assert "a run that finds it again reopens it" in said
    assert "closed by joe: nobody needs it" in says("show", "last")
    for argv in (["close", "last"], ["ack", "last"], ["mute", "last", "--for", "1h"]):
        assert refuses(*argv).startswith(f"incident {hung} was closed at ")
    says("note", "last", "it was the disk")
    look(book, 0, HUNG)
    assert "back 1× after green" in says("list")


def test_a_stranger_s_text_acts_on_no_terminal(book: Journal) -> None:
    """Control characters of a log, a job's name or a colleague show as pictures, one line a line."""
    look(book, 5, HOSTILE)
    says("note", "last", "\x1b[2J\x07\u202e\nred", "--by", "\x1b[31mjoe\r")
    out = says("show", "last") + says("list") + refuses("show", "\x1b[2J") + says("ack", "last", "--by", "\x1b[2J")
    assert not [each for each in out if unicodedata.category(each) in ("Cc", "Cf") and each != "\n"]
    assert "\nfine: healthy" not in out
    assert "\nred" not in out


def test_says_what_it_could_not_read(book: Journal, hung: str) -> None:
    """Lines that are no events are counted beside the list, not in it."""
    with book.path.open("a") as file:
        file.write('{"torn\n\0\0\n')
    result = CliRunner().invoke(app, ["list"])
    assert "2 lines were no event and left out" in result.stderr
    assert "1 open, 0 closed" in result.stdout
    assert read("list")["skipped_lines"] == 2


@pytest.mark.parametrize(
    ("text", "seconds"), [("45m", 2700), ("2h", 7200), ("1d12h", 129_600), ("90S", 90), (" 1d2h3m4s ", 93_784)]
)
def test_lengths_of_time(text: str, seconds: int) -> None:
    """Days, hours, minutes and seconds, in this order."""
    assert duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "2", "0h", "-2h", "2 hours", "h", "2h1d", "9999d", "1.5h", "\x1b[2J"])
def test_wrong_lengths_of_time(text: str) -> None:
    """What is needed is said, and nothing else is taken."""
    with pytest.raises(OcOpsError, match="need a length of time such as 45m, 2h or 1d12h") as caught:
        duration(text)
    assert "\x1b" not in str(caught.value)


def test_a_time_of_day_is_the_next_one() -> None:
    """Today's if that is to come, else tomorrow's, in local time."""
    local = NOW.astimezone().replace(hour=12, minute=0, second=0)
    noon = local.astimezone(UTC)
    assert moment("12:30", noon) == noon + timedelta(minutes=30)
    assert noon < moment("11:30", noon) <= noon + timedelta(hours=24, minutes=30)
    assert moment("2099-01-01T00:00+02:00", noon) == datetime(2098, 12, 31, 22, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "yesterday", "25:00", "2020-01-01T00:00", "9999-12-31T23:59:59-23:59", "\x1b"])
def test_wrong_times(text: str) -> None:
    """A time that is over, or none at all, is refused."""
    with pytest.raises(OcOpsError, match="need a time to come such as 2026-11-22T18:00 or 18:00"):
        moment(text, NOW)


def book_of(book: Journal, minutes_ago: float, cause: str, key: str) -> str:
    """An incident of some gateway, opened then; its id."""
    at = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    fault = Fault(cause, "error", f"the fact of {cause}", "seen", "none automatic: look")
    run = RunSummary("unhealthy", True, GatewayName(key), (fault,), cause)
    update = incidents_book.observe_run(book, run, at)
    assert update.incident is not None
    return update.incident.id


def test_another_home_s_incident_does_not_stand_among_ours(
    book: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told apart, above ours, and `last` is the last row."""
    from oc_ops.cli import incidents

    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    mine = book_of(book, 60, "gateway/hung", incidents._this_gateway())
    theirs = book_of(book, 5, "cli/missing", "other0")
    lines = says("list").splitlines()
    heads = [line.split()[0] for line in lines if not line.startswith("   ") and "fact of" not in line]
    assert heads[0] == "another"
    assert lines[0] == "another gateway (other0, profile default, port unknown):"
    assert lines[1].startswith(f"  {theirs}  red")
    assert lines[lines.index("this gateway:") + 1].startswith(f"{mine}  red")
    assert says("show", "last").startswith(f"{mine}: red")


def test_last_is_the_last_row_of_the_list(book: Journal) -> None:
    """One that is open, though another was opened after it and is over; a reopened one stands last as well."""
    look(book, 125, HUNG)
    look(book, 120, HUNG, HOSTILE)
    first, *_ = incidents_book.read(book).incidents
    look(book, 60, looked=GREEN)
    look(book, 50, looked=GREEN)
    look(book, 40, HOSTILE)
    look(book, 30, HOSTILE)
    look(book, 20, HUNG)
    for options in ((), ("--all",)):
        rows = [line.split()[0] for line in says("list", *options).splitlines() if line.startswith("20")]
        assert says("show", "last").startswith(f"{rows[-1]}: ")
    assert rows[-1] == first, "it was reopened last"
