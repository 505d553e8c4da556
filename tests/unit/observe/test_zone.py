"""The machine's time zone: by name where there is one, and never a guess."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo

import pytest

from oc_ops.errors import CouldNotLook
from oc_ops.observe.jobs_now import gateway_zone, local_zone

SUMMER = datetime(2026, 7, 1, tzinfo=UTC)
DATA = next((Path(each) / "Europe" / "Vienna" for each in TZPATH if (Path(each) / "Europe" / "Vienna").is_file()), None)


def test_tz_names_the_zone(tmp_path: Path) -> None:
    """TZ wins over the machine's own file; a colon before the name is POSIX."""
    for name in ("Europe/Vienna", ":Europe/Vienna", " Europe/Vienna "):
        assert local_zone({"TZ": name}, tmp_path / "none") == ZoneInfo("Europe/Vienna")


def test_without_tz_the_machine_s_file_counts(tmp_path: Path) -> None:
    """The link's target names the zone; a copy has its rules all the same; no file is UTC."""
    import zoneinfo

    raw = Path(DATA) if DATA else Path(zoneinfo.__file__)
    if DATA is None:
        pytest.fail("this machine has no time zone data to test with")
    link, copy = tmp_path / "localtime", tmp_path / "copy"
    link.symlink_to(raw)
    copy.write_bytes(raw.read_bytes())
    assert str(local_zone({}, link)) == "Europe/Vienna"
    assert SUMMER.astimezone(local_zone({"TZ": ""}, copy)).hour == 2
    assert local_zone({}, tmp_path / "none") == ZoneInfo("UTC")


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "/etc/hostname", "EST5EDT4,M3"])
def test_a_zone_that_is_not_known_is_no_other_zone(name: str) -> None:
    """What the gateway makes of such a TZ cannot be told from here."""
    with pytest.raises(CouldNotLook, match="is not known here"):
        local_zone({"TZ": name})


def test_a_file_that_is_no_zone_is_not_taken_for_one(tmp_path: Path) -> None:
    """Broken zone data is not UTC."""
    (tmp_path / "localtime").write_text("nonsense")
    with pytest.raises(CouldNotLook, match="cannot read the machine's time zone"):
        local_zone({}, tmp_path / "localtime")


def test_the_gateway_s_own_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The zone is that of the process that runs the jobs, not of the shell that looks."""
    import psutil

    monkeypatch.setattr(psutil.Process, "environ", lambda _self: {"TZ": "Asia/Tokyo"})
    assert gateway_zone(os.getpid(), {"TZ": "Europe/Vienna"}) == ZoneInfo("Asia/Tokyo")
    assert gateway_zone(None, {"TZ": "Europe/Vienna"}) == ZoneInfo("Europe/Vienna")

    def refused(_self: psutil.Process) -> dict[str, str]:
        raise psutil.AccessDenied(1)

    monkeypatch.setattr(psutil.Process, "environ", refused)
    assert gateway_zone(os.getpid(), {"TZ": "Europe/Vienna"}) == ZoneInfo("Europe/Vienna")
