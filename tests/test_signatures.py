"""The log signature catalogue, and how records become findings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from oc_ops.errors import OcOpsError
from oc_ops.judge import signatures as judge
from oc_ops.judge.signatures import Signature
from oc_ops.observe.logs import LogView, Record

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LOG = Path("/tmp/openclaw/openclaw-2026-11-22.log")

BENIGN = (
    "[gateway] update available (latest): v2026.9.6",
    "cron: started, jobs:42, nextWakeAtMs:1999999999999",
    "Browser control service ready (profiles=2)",
    '{"ok":true,"status":"live"}',
    "[health-monitor] started (interval: 300s, grace: 60s)",
    "lane task done: lane=main durationMs=12 active=0 queued=0",
    "⇄ res ✓ cron.list 61ms",
    "received SIGTERM; shutting down",
    "draining active work before restart with timeout 300000ms: queueSize=1 cronRuns=1",
    "request timed out after 900ms; retrying",
    "EPIPE is handled",
    "gateway timeout is 30000ms",
)


def record(text: str, at_s: float = 0.0) -> Record:
    """A record of the gateway, some seconds after noon."""
    return Record(LOG, NOON + timedelta(seconds=at_s), "ERROR", "gateway", text)


def view(*records: Record) -> LogView:
    """A look at these records."""
    return LogView((LOG,), NOON, records, 1000)


CATALOGUE = {each.id: each for each in judge.catalogue()}


def test_the_five_seeds_are_there() -> None:
    """What operators met first is what the doctor knows first."""
    samples = "\n".join(each.sample for each in CATALOGUE.values())
    for seed in ("gateway timeout", "OpenClaw browser control service", "timed out after 20000ms", "EPIPE",
                 "Non-fatal unhandled rejection"):  # fmt: skip
        assert seed in samples


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_sample_is_claimed_by_its_own_signature_alone(name: str) -> None:
    """Of all signatures the right one claims a sample, and the fast filter lets it through."""
    signature = CATALOGUE[name]
    assert list(judge.fired(view(record(signature.sample)))) == [signature]
    assert signature.literal in signature.sample


@pytest.mark.parametrize("name", CATALOGUE)
def test_no_benign_line_is_claimed(name: str) -> None:
    """Lines that a healthy gateway logs match no pattern."""
    for line in BENIGN:
        assert not CATALOGUE[name].pattern.search(line), line


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_match_holds_the_literal(name: str) -> None:
    """The pattern never matches a line that the fast filter has thrown away: its sample without the literal is none."""
    signature = CATALOGUE[name]
    assert not signature.pattern.search(signature.sample.replace(signature.literal, "…"))


@pytest.mark.parametrize("name", CATALOGUE)
def test_threshold(name: str) -> None:
    """One record fewer than the threshold is no finding; at the threshold there is one."""
    signature = CATALOGUE[name]
    records = [record(signature.sample, at_s=index * 5.0) for index in range(signature.threshold)]
    assert judge.findings(view(*records[1:])) == ()
    (finding,) = judge.findings(view(*records))
    assert (finding.check, finding.severity) == (f"logs/{name}", signature.severity)
    assert (finding.fact, finding.fix) == (signature.fact, signature.fix)


def test_no_records_no_findings() -> None:
    """A quiet log has no finding."""
    assert judge.findings(view()) == ()
    assert judge.findings(view(*map(record, BENIGN))) == ()


EPIPE = CATALOGUE["crash.epipe"].sample


def test_records_of_one_second_count_once() -> None:
    """One fault is often logged several times within a second."""
    nonfatal = CATALOGUE["crash.nonfatal"]
    burst = [record(nonfatal.sample, at_s=index / 10) for index in range(9)]
    assert judge.findings(view(*burst)) == ()
    assert len(judge.fired(view(*burst))[nonfatal]) == 1


def test_records_without_a_time_count_by_their_text() -> None:
    """Where the log has no clock, the same text is the same fault."""
    timeless = Record(LOG, None, "", "", EPIPE)
    other = Record(LOG, None, "", "", EPIPE + " on stdout")
    (finding,) = judge.findings(view(timeless, timeless, other))
    assert finding.saw.startswith("2× at an unknown time: ")


def test_a_finding_tells_count_times_and_excerpt() -> None:
    """The evidence: how often, from when to when, and one line that fits a terminal, the newest."""
    (finding,) = judge.findings(view(record(EPIPE, 61), record(EPIPE, 0), record(f"{EPIPE}\n  at x {'y' * 500}", 33)))
    assert finding.saw.startswith("3× 12:00:00 to 12:01:01: [openclaw] Uncaught exception: Error: write EPIPE at x yy")
    assert "\n" not in finding.saw
    assert len(finding.saw) < 250
    (single,) = judge.findings(view(record(EPIPE)))
    assert single.saw.startswith("1× 12:00:00: ")


def test_times_of_several_zones_are_ordered_as_moments() -> None:
    """A log that crosses a change of the clock is still told from its first to its last record."""
    summer = record(EPIPE).time
    assert summer is not None
    early = Record(LOG, summer.astimezone(timezone(timedelta(hours=5))), "", "", EPIPE)
    (finding,) = judge.findings(view(record(EPIPE, 10), early))
    assert finding.saw.startswith("2× 17:00:00 to 12:00:10: ")


ENTRY = """
[[signature]]
id = "my.id"
literal = "boom"
pattern = "boom"
severity = "error"
threshold = 2
fact = "it went boom"
fix = "none automatic: duck"
issues = [1, 2]
sample = "boom"
"""


def test_a_good_entry() -> None:
    """All fields arrive; threshold is one and issues are none unless told."""
    (signature,) = judge.parse(ENTRY, "my.toml")
    assert isinstance(signature, Signature)
    assert (signature.id, signature.threshold, signature.issues) == ("my.id", 2, (1, 2))
    (plain,) = judge.parse(ENTRY.replace("threshold = 2", "").replace("issues = [1, 2]", ""), "my.toml")
    assert (plain.threshold, plain.issues) == (1, ())
    assert judge.parse("", "my.toml") == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id = "my.id"', "", "my.toml: entry 1: id=None: need a non-empty text"),
        ('literal = "boom"', "", "my.toml: my.id: literal=None: need a non-empty text"),
        ('pattern = "boom"', 'pattern = ""', "my.toml: my.id: pattern='': need a non-empty text"),
        ('pattern = "boom"', 'pattern = "bo(m"', "my.toml: my.id: pattern: missing )"),
        ('"error"', '"fatal"', "my.toml: my.id: severity='fatal': need info, warning or error"),
        ("threshold = 2", "threshold = 0", "my.toml: my.id: threshold=0: need a whole number > 0"),
        ("threshold = 2", "threshold = true", "my.toml: my.id: threshold=True: need a whole number > 0"),
        ("threshold = 2", "threshold = 1.5", "my.toml: my.id: threshold=1.5: need a whole number > 0"),
        ('fix = "none automatic: duck"', "fix = 3", "my.toml: my.id: fix=3: need a non-empty text"),
        ("issues = [1, 2]", 'issues = "1"', "my.toml: my.id: issues='1': need a list of issue numbers"),
        ("issues = [1, 2]", 'issues = ["1"]', "my.toml: my.id: issues=['1']: need a list of issue numbers"),
        ("[[signature]]", "[[signature]", "my.toml: "),
        ("[[signature]]", "[signature]", "my.toml: signature: need [[signature]] tables"),
    ],
)  # fmt: skip
def test_a_bad_entry_is_named(old: str, new: str, message: str) -> None:
    """The message names file, entry and field, so that whoever edited the catalogue finds the place."""
    with pytest.raises(OcOpsError) as caught:
        judge.parse(ENTRY.replace(old, new, 1), "my.toml")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("text", ["signature = 3", "signature = [1]"])
def test_entries_that_are_no_tables(text: str) -> None:
    """A catalogue of another shape is refused in the same words."""
    with pytest.raises(OcOpsError, match=r"my.toml: signature: need \[\[signature\]\] tables"):
        judge.parse(text, "my.toml")


def test_two_entries_of_one_id() -> None:
    """An id is a contract: the second entry that claims it is refused."""
    with pytest.raises(OcOpsError, match=r"my.toml: my.id: id='my.id': need an id of its own"):
        judge.parse(ENTRY + ENTRY, "my.toml")
