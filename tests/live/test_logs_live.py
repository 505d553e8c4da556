"""The log of a real gateway: found, read on through rotation and truncation, free of what our own calls leave there."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from websockets.sync.client import connect

from oc_ops.judge import signature_catalogue
from oc_ops.lab.lab import Lab
from oc_ops.observe import config
from oc_ops.observe.logs import LogView, Needle, around, files, raw_shape, recent
from oc_ops.observe.target import locate
from tests.live.conftest import LabOf
from tests.live.examine import examine
from tests.support import faults

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]

DEADLINE_S = 90.0
VISIT = "closed before connect"
"""What every release logs when somebody opens a WebSocket and leaves without a word."""

numbers = itertools.count(1)


def log_files(lab: Lab) -> tuple[Path, ...]:
    """The lab's log files as the doctor finds them."""
    target = locate(lab.environ)
    return files(target, config.read(target), datetime.now())


def look(lab: Lab, folder: Path, *literals: str) -> LogView:
    """One look at the last hour that remembers."""
    since = datetime.now(UTC) - timedelta(hours=1)
    return recent(log_files(lab), literals, since=since, tail_bytes=2**25, remember=folder / "state.json")


def visit(lab: Lab) -> str:
    """Make the gateway log a line of its own; the visitor's name, which that line holds."""
    name = f"visitor-{os.getpid()}-{next(numbers)}"
    with connect(f"ws://127.0.0.1:{lab.port}", user_agent_header=name):
        return name


def visitors(view: LogView) -> list[str]:
    """The visitors the gateway's records tell of, each as often as it is told of."""
    words = [word for record in view.records for word in record.text.replace('"', " ").split()]
    return [word.removeprefix("ua=") for word in words if word.startswith("ua=visitor-")]


def awaited(seen: Callable[[], LogView], done: Callable[[LogView], bool]) -> LogView:
    """Look until it is there: the gateway writes its log when it finds the time."""
    end = time.monotonic() + DEADLINE_S
    while not done(view := seen()) and time.monotonic() < end:
        time.sleep(0.05)
    return view


def test_a_real_log_is_found_and_read(lab: Lab) -> None:
    """The gateway's own first words, in its log file, with time, level and logger."""
    assert lab.log_file in log_files(lab)
    since = datetime.now(UTC) - timedelta(days=1)
    view = recent(log_files(lab), ["starting HTTP server", "gateway ready"], since=since, tail_bytes=2**25)
    assert {record.source for record in view.records} == {"gateway"}
    assert {record.level for record in view.records} == {"INFO"}
    assert all(record.time and record.time > since for record in view.records)
    first = view.records[0]
    assert first in around(first)


def test_a_log_that_rotates_and_is_truncated_is_read_on(lab: Lab, tmp_path: Path) -> None:
    """Renamed as the gateway itself renames it and cut to nothing, while it writes: each line is found, and once."""
    log = lab.log_file
    archive = log.with_name(f"{log.stem}.1{log.suffix}")
    came = [visit(lab)]

    def seen() -> LogView:
        return look(lab, tmp_path, VISIT)

    def all_there(view: LogView) -> bool:
        return set(came) <= set(visitors(view))

    assert all_there(awaited(seen, all_there))
    came.append(visit(lab))
    log.rename(archive)
    came.append(visit(lab))
    assert all_there(awaited(seen, all_there))
    assert archive in log_files(lab)
    os.truncate(log, 0)
    came.append(visit(lab))
    view = awaited(seen, all_there)
    assert sorted(visitors(view)) == sorted(came)
    again = seen()
    assert visitors(again) == visitors(view)
    archive.rename(log)


def test_what_calls_append_does_not_count(lab: Lab, tmp_path: Path) -> None:
    """A failed command writes its complaint into the gateway's log; of it only the gateway's own line counts."""
    with faults.wrong_token(lab) as environ:
        lab.call("health", "--json", "--timeout", "3000", environ=environ)
    literals = ("The CLI command failed", "token mismatch", "Gateway target")

    def seen() -> LogView:
        return look(lab, tmp_path, *literals)

    view = awaited(seen, lambda view: bool(view.own_dropped and view.records))
    assert view.own_dropped > 0
    assert {record.source for record in view.records} == {"gateway/ws"}


def test_our_own_looks_leave_nothing_that_counts(lab: Lab, tmp_path: Path) -> None:
    """After a whole doctor run no signature finds anything that was not there before."""
    needles = [Needle(each.id, each.literals, raw_shape(each.expression)) for each in signature_catalogue.catalogue()]
    since = datetime.now(UTC) - timedelta(hours=1)
    before = recent(log_files(lab), needles, since=since, tail_bytes=2**25)
    assert examine(lab, tmp_path).report["calls"]
    after = recent(log_files(lab), needles, since=since, tail_bytes=2**25)
    assert (after.records, after.left_out) == (before.records, before.left_out)


@pytest.mark.nightly
@pytest.mark.parametrize("version", ["2026.5.28", "2026.2.26"])
def test_older_releases_write_what_we_read(lab_of: LabOf, version: str, tmp_path: Path) -> None:
    """Their records carry time and logger as well, and a visit is found once."""
    lab = lab_of(version)
    came = visit(lab)
    view = awaited(lambda: look(lab, tmp_path, VISIT), lambda view: came in visitors(view))
    assert visitors(view) == [came]
    assert {(record.source, record.time is not None) for record in view.records} == {("gateway/ws", True)}
