"""Planned restarts, as the gateway's own audit log tells of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oc_ops.observe.logs import planned_restarts, records

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LASTS_S = 60.0
CLI = "openclaw gateway lifecycle source=cli action=restart mode=systemd pid=7 interactive=1"


def windows(state: Path, *lines: str, since: datetime = NOON - timedelta(hours=1)) -> list[tuple[int, int]]:
    """The windows of a log with these lines, in seconds from noon."""
    (state / "logs").mkdir(exist_ok=True)
    (state / "logs" / "gateway-restart.log").write_text("".join(f"{each}\n" for each in lines))
    found = planned_restarts(state, since, lasts_s=LASTS_S)
    return [(round((begin - NOON).total_seconds()), round((end - NOON).total_seconds())) for begin, end in found]


def at(seconds: int, words: str) -> str:
    """A line of the audit log."""
    return f"[{NOON + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.000Z] {words}"


@pytest.mark.parametrize(
    "words",
    [
        CLI,
        "openclaw gateway lifecycle source=rpc action=stop mode=signal interactive=0",
        "openclaw restart attempt source=update target=openclaw-gateway.service",
        "openclaw restart done source=handoff mode=kickstart interactive=0",
        "openclaw restart failed source=update status=1",
    ],
)
def test_a_restart_on_purpose_is_a_window(tmp_path: Path, words: str) -> None:
    """It begins a little before its line and lasts as long as a restart may."""
    assert windows(tmp_path, at(0, words)) == [(-2, 60)]


def test_the_steps_of_one_restart_are_one_window(tmp_path: Path) -> None:
    """Attempt and end lie within one another's reach; a restart an hour later is another one."""
    lines = (at(0, CLI), at(30, "openclaw restart done source=update"), at(3000, CLI))
    assert windows(tmp_path, *lines) == [(-2, 90), (2998, 3060)]


def test_what_restarted_nothing_is_no_window(tmp_path: Path) -> None:
    """Blocked and skipped restarts, warnings, shell noise, bad times and lines of any other form."""
    noise = (
        at(0, "openclaw restart blocked source=handoff mode=kickstart reason=x interactive=0"),
        at(0, "openclaw restart skipped listener source=update pid=7"),
        at(0, "openclaw gateway restart-storm warning Gateway restart storm: 3 external CLI restarts"),
        at(0, "openclaw gateway lifecycle source=cli action=install mode=systemd interactive=0"),
        "launchctl: Could not find service",
        "[yesterday at ten] " + CLI,
        "\x00\ufffd",
    )
    assert windows(tmp_path, *noise) == []


def test_windows_before_the_time_in_question_are_left_out(tmp_path: Path) -> None:
    """The log is never cut by OpenClaw: what is over long since is passed over."""
    assert windows(tmp_path, at(-7000, CLI), at(0, CLI)) == [(-2, 60)]


def test_no_log_no_windows(tmp_path: Path) -> None:
    """Most gateways were never restarted by hand; a folder in its place is none either."""
    assert planned_restarts(tmp_path, NOON, lasts_s=LASTS_S) == ()
    (tmp_path / "logs" / "gateway-restart.log").mkdir(parents=True)
    assert planned_restarts(tmp_path, NOON, lasts_s=LASTS_S) == ()


def test_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    """Of megabytes the last 128 KiB count."""
    assert windows(tmp_path, at(-60, CLI), *["x" * 1000] * 500, at(0, CLI)) == [(-2, 60)]


@given(st.text(max_size=80))
def test_no_line_makes_the_reader_raise(text: str) -> None:
    """Scripts write into this log as well."""
    records._planned(text)
    records._planned(f"[{text}] {CLI}")
