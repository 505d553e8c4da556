"""Records of a log: three releases, consoles, plain text, any bytes, and times in any zone."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oc_ops.observe import logs
from oc_ops.observe.logs import parse
from tests.support.log_lines import NOW, line

LOG = Path("openclaw.log")


def test_the_records_of_three_releases_are_understood() -> None:
    """2026.2.26 has neither `message` nor zone offsets, 2026.5.28 and 2026.9.6 have both."""
    old = parse(line("gateway timeout", name='{"subsystem":"gateway/ws"}', level="WARN").encode(), LOG)
    assert old == logs.Record(LOG, NOW, "WARN", "gateway/ws", "gateway timeout")
    middle = line({"ms": 5}, "slow", name='{"module":"cron","storePath":"/x"}', time="2026-11-22T13:00:00.000+01:00")
    assert parse(middle.encode(), LOG) == logs.Record(LOG, NOW, "ERROR", "cron", "slow")
    new = line("ignored", message="the message", hostname="h", traceId="t", time="2026-11-22T12:00:00.000+00:00")
    assert parse(new.encode(), LOG) == logs.Record(LOG, NOW, "ERROR", "gateway", "the message")
    console = parse(
        line("[openclaw] Non-fatal unhandled rejection (continuing):", "why", name="openclaw").encode(), LOG
    )
    assert console is not None
    assert (console.source, console.text) == ("openclaw", "[openclaw] Non-fatal unhandled rejection (continuing): why")


def test_a_console_that_speaks_json_is_understood() -> None:
    """`logging.consoleStyle` json: the payload's fields stand beside the message; other JSON is plain text."""
    said = {"body": "EPIPE", "error": "EACCES", "time": "2026-11-22T12:00:00.000Z", "level": "warn",
            "subsystem": "gateway/ws", "message": "closed"}  # fmt: skip
    assert parse(json.dumps(said).encode(), LOG) == logs.Record(LOG, NOW, "WARN", "gateway/ws", "closed error=EACCES")
    other = b'{"ok": true, "reason": "already-running"}'
    assert parse(other, LOG) == logs.Record(LOG, None, "", "", other.decode())


@pytest.mark.parametrize(
    ("stamp", "moment"),
    [
        ("2026-11-22T12:00:00.000Z", NOW),
        ("[2026-11-22T13:00:00+01:00]", NOW),
        ("12:00:00", None),
        ("2026-13-01T00:00:00Z", None),
    ],
)
def test_plain_text_may_begin_with_its_time(stamp: str, moment: datetime | None) -> None:
    """As the console and the supervisor's copies of it write it."""
    record = parse(f"{stamp} [gateway] ready".encode(), LOG)
    assert record is not None
    assert record.time == moment


@pytest.mark.parametrize(
    "raw",
    [b"plain words", b'{"torn": "rec', b"[1, 2]", b"null", b'{"_meta": 7, "time": 3}', b"{" * 100_000, b"\x00\xff"],
)
def test_a_line_of_any_other_kind_is_text(raw: bytes) -> None:
    """Raw stack traces, torn lines and garbage are records too, without level or source."""
    record = parse(raw, LOG)
    assert record is not None
    assert (record.level, record.source, record.time) == ("", "", None)
    assert len(record.text) <= 256 * 1024


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_no_bytes_make_the_reader_raise(raw: bytes) -> None:
    """Log text is hostile."""
    parse(raw, LOG)


def test_an_empty_line_is_nothing() -> None:
    """Blank lines are no records."""
    assert parse(b"  \r\n", LOG) is None


@pytest.mark.parametrize(
    ("stamp", "moment"),
    [
        ("2026-11-22T12:00:00.000Z", NOW),
        ("2026-11-22T14:00:00.000+02:00", NOW),
        ("2026-11-22T07:00:00.000-05:00", NOW),
        ("2026-10-25T02:30:00.000+02:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("2026-10-25T02:30:00.000+01:00", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
        ("yesterday, maybe", None),
        ("2026-13-45T99:00:00Z", None),
    ],
    ids=["Z", "east", "west", "before the clock goes back", "after", "words", "no such day"],
)
def test_times_compare_whatever_their_zone(stamp: str, moment: datetime | None) -> None:
    """The hour that comes twice in autumn is told apart by its offset."""
    record = parse(line("x", time=stamp).encode(), LOG)
    assert record is not None
    assert record.time == moment


def test_a_time_without_zone_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenClaw's older local stamps mean this machine's clock."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        record = parse(line("x", time="2026-11-22T21:00:00.000").encode(), LOG)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert record is not None
    assert record.time == NOW
