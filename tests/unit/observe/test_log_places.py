"""Where a gateway's log files lie: by day, by profile, by config, archives and fallbacks."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.logs import files
from oc_ops.observe.logs import places as logs_places
from oc_ops.observe.target import locate
from tests.support.log_lines import found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for /tmp/openclaw."""
    monkeypatch.setattr(logs_places, "_LOG_FOLDER", tmp_path / "openclaw")
    (tmp_path / "openclaw").mkdir()
    return tmp_path / "openclaw"


def test_yesterday_and_today_are_read_in_order(folder: Path) -> None:
    """Just after midnight the last quarter of an hour is in two files."""
    for name in ("2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"):
        (folder / f"openclaw-{name}.log").touch()
    assert found() == [f"{folder}/openclaw-2026-11-21.log", f"{folder}/openclaw-2026-11-22.log"]


@pytest.mark.parametrize(
    ("profile", "word"), [("work", "work"), ("my-gw", "my--gw"), ("a_b", "a-0b"), ("Work", "-1work"), ("default", None)]
)
def test_a_profile_has_files_of_its_own(folder: Path, profile: str, word: str | None) -> None:
    """2026.9.6 puts the profile in the name, escaped so that no two profiles share one."""
    (folder / "openclaw-2026-11-22.log").touch()
    name = folder / (f"openclaw-{word}-2026-11-22.log" if word else "openclaw-2026-11-22.log")
    name.touch()
    assert found(profile) == [str(name)]


def test_the_fallback_folders_are_looked_at(folder: Path, tmp_path: Path) -> None:
    """Where /tmp/openclaw belongs to another user, OpenClaw writes to a folder with the user's id (#18274)."""
    own = f"openclaw-{os.getuid()}"
    places = [tmp_path / "t" / own, tmp_path / own, folder / str(os.getuid())]
    for place in places:
        place.mkdir(parents=True)
        (place / "openclaw-2026-11-22.log").touch()
    assert found(environ={"TMPDIR": str(tmp_path / "t")}) == [f"{place}/openclaw-2026-11-22.log" for place in places]


def test_a_configured_file_is_the_only_one(folder: Path, tmp_path: Path) -> None:
    """`logging.file` wins over the files of the day."""
    (folder / "openclaw-2026-11-22.log").touch()
    own = tmp_path / "own.log"
    own.touch()
    config = GatewayConfig(Path("/c"), exists=True, log_file=own)
    assert found(config=config) == [str(own)]


def test_rotated_archives_come_before_their_file(folder: Path, tmp_path: Path) -> None:
    """2026.5.28 and 2026.9.6 rename `x.log` to `x.1.log` and so on up to 5, the oldest."""
    day = "openclaw-2026-11-22"
    for number in ("", ".1", ".2", ".5", ".6"):
        (folder / f"{day}{number}.log").touch()
    assert found() == [f"{folder}/{day}{number}.log" for number in (".5", ".2", ".1", "")]
    own = tmp_path / "gateway.jsonl"
    for path in (own, tmp_path / "gateway.1.jsonl"):
        path.touch()
    config = GatewayConfig(Path("/c"), exists=True, log_file=own)
    assert found(config=config) == [f"{tmp_path}/gateway.1.jsonl", str(own)]


@pytest.mark.parametrize("name", ["openclaw-YYYY-MM-DD.log", "openclaw-2026-01-01.log"])
def test_a_configured_file_with_a_date_is_written_under_the_days_date(tmp_path: Path, name: str) -> None:
    """2026.9.6 takes such a `logging.file` for the rolling one."""
    (tmp_path / name).touch()
    for day in ("20", "21", "22"):
        (tmp_path / f"openclaw-2026-11-{day}.log").touch()
    config = GatewayConfig(Path("/c"), exists=True, log_file=tmp_path / name)
    assert found(config=config) == [f"{tmp_path}/openclaw-2026-11-21.log", f"{tmp_path}/openclaw-2026-11-22.log"]


def test_what_the_supervisor_kept_of_the_output_is_read(folder: Path, tmp_path: Path) -> None:
    """`logs/gateway.err.log` of the state directory, and on macOS what launchd writes below ~/Library/Logs."""
    (folder / "openclaw-2026-11-22.log").touch()
    state, library = tmp_path / ".openclaw" / "logs", tmp_path / "Library" / "Logs" / "openclaw"
    for place in (state, library):
        place.mkdir(parents=True)
        for name in ("gateway.log", "gateway.err.log", "gateway-work.log"):
            (place / name).touch()
    home = {"HOME": str(tmp_path)}
    dated, ours = f"{folder}/openclaw-2026-11-22.log", [f"{state}/gateway.log", f"{state}/gateway.err.log"]
    assert found(environ=home, platform="linux") == [dated, *ours]
    mac = [f"{library}/gateway.log", f"{library}/gateway.err.log"]
    assert found(environ=home, platform="darwin") == [dated, *ours, *mac]
    assert found("work", environ=home, platform="darwin") == [f"{library}/gateway-work.log"]


@pytest.mark.parametrize("now", [datetime(2026, 3, 29, 0, 30), datetime(2026, 10, 25, 0, 30)], ids=["spring", "autumn"])
def test_a_day_is_a_calendar_day(folder: Path, now: datetime) -> None:
    """Half past midnight of a day that has 23 or 25 hours: yesterday is the day before, not 24 hours ago."""
    days = [now.replace(day=now.day - 1), now]
    for day in days:
        (folder / f"openclaw-{day:%Y-%m-%d}.log").touch()
    given = files(locate({"HOME": "/home/u"}), GatewayConfig(Path("/c"), exists=True), now)
    assert [path.name for path in given] == [f"openclaw-{day:%Y-%m-%d}.log" for day in days]


def test_a_profile_name_too_long_for_a_file_is_hashed(folder: Path) -> None:
    """An escaped profile beyond 220 characters stands in the name as its SHA-256 (2026.9.6)."""
    profile = "A" * 111
    word = "-3" + hashlib.sha256(profile.encode()).hexdigest()
    (folder / f"openclaw-{word}-2026-11-22.log").touch()
    target = replace(locate({"HOME": "/home/u"}), profile=profile)
    (path,) = files(target, GatewayConfig(Path("/c"), exists=True), datetime(2026, 11, 22))
    assert word in path.name


def test_what_is_no_file_is_left_out(folder: Path, tmp_path: Path) -> None:
    """A folder, a missing file, and a name that no file can have."""
    (folder / "openclaw-2026-11-22.log").mkdir()
    assert found() == []
    for name in (tmp_path / "gone.log", Path("/tmp/" + "x" * 300)):
        assert found(config=GatewayConfig(Path("/c"), exists=True, log_file=name)) == []
