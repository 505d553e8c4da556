"""The systemd journal as a log: what journalctl printed, recorded from a real user manager."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_ops.observe.logs import LogView, Needle, Record
from oc_ops.observe.logs.journal import added, journal, matching, records, wanted
from oc_ops.observe.target import locate

UNIT = "openclaw-gateway.service"
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MICRO = int(NOON.timestamp()) * 1_000_000
NEEDLES = (Needle("start_limit", ("Start request repeated too quickly",)), Needle("epipe", ("EPIPE",)))


def entry(message: object, priority: str = "6", identifier: str = "node", second: int = 0) -> str:
    """One line of `journalctl --user-unit=UNIT -o json`, with the fields that systemd 252 and 257 print."""
    return json.dumps(
        {
            "__CURSOR": "s=0f;i=1;b=7a;m=1;t=64;x=1", "__REALTIME_TIMESTAMP": str(MICRO + second * 1_000_000),
            "__MONOTONIC_TIMESTAMP": "3421", "_BOOT_ID": "7a", "_TRANSPORT": "stdout", "PRIORITY": priority,
            "SYSLOG_IDENTIFIER": identifier, "_PID": "4711", "_SYSTEMD_USER_UNIT": UNIT, "MESSAGE": message,
        }
    )  # fmt: skip


PRINTED = "\n".join(
    [
        entry("Started openclaw-gateway.service - OpenClaw Gateway.", identifier="systemd"),
        entry("2026-11-22T11:59:58.000Z [gateway] ready", second=1),
        entry("\x1b[31m[openclaw]\x1b[39m Uncaught exception: Error: write EPIPE", priority="3", second=2),
        entry(list(b"bytes \xff EPIPE"), second=3),
        entry(None, second=4),
        entry("openclaw-gateway.service: Start request repeated too quickly.", "4", "systemd", second=5),
        entry("2026-11-22T12:00:06.000Z [ws] unauthorized conn=1 EPIPE client=oc-ops cli v0.1.0", second=6),
        "-- Boot 7a --",
        '{"MESSAGE": "torn',
    ]
)


def test_what_journalctl_prints_becomes_records() -> None:
    """Text, bytes as numbers, entries without a message, our own visits, boot marks and a torn end."""
    found = list(records(PRINTED, UNIT))
    assert [(each.level, each.source, (each.time or NOON) - NOON) for each in found] == [
        ("INFO", "systemd", timedelta(0)),
        ("INFO", "node", timedelta(seconds=1)),
        ("ERROR", "node", timedelta(seconds=2)),
        ("INFO", "node", timedelta(seconds=3)),
        ("WARN", "systemd", timedelta(seconds=5)),
    ]
    assert found[3].text == "bytes \ufffd EPIPE"
    assert {each.file for each in found} == {Path(f"journal:{UNIT}")}


def test_only_records_with_a_needle_are_kept() -> None:
    """The same filter as for files."""
    found = list(matching(records(PRINTED, UNIT), NEEDLES))
    assert [each.text.split()[-1] for each in found] == ["EPIPE", "EPIPE", "quickly."]


FIELDS = st.sampled_from(["MESSAGE", "PRIORITY", "__REALTIME_TIMESTAMP"])
VALUES = st.recursive(
    st.none() | st.text(max_size=9) | st.integers(),
    lambda each: st.lists(each) | st.dictionaries(FIELDS, each),
    max_leaves=8,
)


@given(VALUES)
def test_no_entry_makes_the_reader_raise(value: object) -> None:
    """Whatever stands in a journal."""
    list(records(json.dumps(value), UNIT))


@pytest.fixture
def journalctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journalctl that prints what was recorded and notes how it was asked."""
    program = tmp_path / "bin" / "journalctl"
    program.parent.mkdir()
    (tmp_path / "printed").write_text(PRINTED)
    program.write_text(f'#!/bin/sh\necho "$@" "$XDG_RUNTIME_DIR" > {tmp_path}/asked\nexec cat {tmp_path}/printed\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program


def test_the_unit_s_journal_is_asked_for_the_window(journalctl: Path, tmp_path: Path) -> None:
    """The user's own journal, as JSON, from the window's start, without a pager."""
    target = locate({"HOME": "/home/u", "XDG_RUNTIME_DIR": "/run/user/7"})
    found = journal(UNIT, target, NEEDLES, NOON)
    assert found is not None
    assert len(found) == 3
    asked = (tmp_path / "asked").read_text().split()
    assert asked == ["--quiet", f"--user-unit={UNIT}", "--output=json", "--no-pager", "--lines=5000",
                     f"--since=@{MICRO // 1_000_000}", "/run/user/7"]  # fmt: skip


def test_a_journal_that_cannot_be_asked_is_none(journalctl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No journalctl, or one that refuses: that is not an empty journal."""
    target = locate({"HOME": "/home/u"})
    journalctl.write_text("#!/bin/sh\necho 'No journal files were found.' >&2\nexit 1\n")
    assert journal(UNIT, target, NEEDLES, NOON) is None
    monkeypatch.setenv("PATH", "/nonexistent")
    assert journal(UNIT, target, NEEDLES, NOON) is None


def test_it_is_wanted_where_the_file_is_near_empty(tmp_path: Path) -> None:
    """A gateway that logs to its file needs no call of journalctl."""
    log = tmp_path / "log"
    assert wanted([])
    assert wanted([log])
    log.write_bytes(b"x" * 4095)
    assert wanted([log])
    assert not wanted([log, log])


def test_a_view_takes_the_journal_in() -> None:
    """In order of time, with the journal among what was looked at."""
    log = Path("/tmp/log")
    view = LogView((log,), NOON, (Record(log, NOON + timedelta(seconds=3), "", "", "EPIPE"),), 10)
    found = list(matching(records(PRINTED, UNIT), NEEDLES))
    both = added(view, UNIT, found)
    assert [each.time for each in both.records] == sorted(each.time for each in both.records if each.time)
    assert len(both.records) == 4
    assert both.files == (log, Path(f"journal:{UNIT}"))
    assert both.newest == NOON + timedelta(seconds=5)


def test_what_a_planned_restart_printed_into_the_journal_counts_no_more_than_in_a_file() -> None:
    """Left out and counted, both ends of the window included; what was printed before and after stays."""
    view = LogView((), NOON, (), 0, planned_dropped=7)
    found = list(matching(records(PRINTED, UNIT), NEEDLES))
    both = added(view, UNIT, found, [(NOON + timedelta(seconds=3), NOON + timedelta(seconds=4, microseconds=1))])
    assert [each.time for each in both.records] == [NOON + timedelta(seconds=2), NOON + timedelta(seconds=5)]
    assert both.planned_dropped == 8
    assert both.newest == NOON + timedelta(seconds=5)
