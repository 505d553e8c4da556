"""The watcher's last word for those who look for themselves: a line with its age, and nothing that fails."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from oc_ops.cockpit import snapshot
from oc_ops.record.watcher_word import path_of, told
from tests.support.snapshots import sample

KEY = "0123456789ab"


def test_it_is_told_with_its_age(tmp_path: Path) -> None:
    """State, RPC and how long ago; a watcher that has ended says so."""
    hung = sample("hung")
    snapshot.Writer(path_of(tmp_path, KEY)).write(hung, now=time.time() - 130)
    assert told(tmp_path, KEY) == "the cockpit's watcher wrote 2 min 10 s ago: hung, RPC silent"
    over = replace(hung, watcher=replace(hung.watcher, ended="told\nto end"))
    snapshot.Writer(path_of(tmp_path, KEY)).write(over)
    assert told(tmp_path, KEY) == "the cockpit's watcher wrote 0 s ago: hung, RPC silent; it has ended: told to end"


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", '{"written_at": 1e300}', '{"written_at": "now"}', "[" * 100_000], ids=range(7)
)
def test_what_cannot_be_read_is_no_word(tmp_path: Path, text: str | None) -> None:
    """No watcher, or something else in the file's place: nothing is told, nothing is raised."""
    if text is not None:
        path_of(tmp_path, KEY).write_text(text)
    assert told(tmp_path, KEY) == ""


def test_parts_of_another_shape_are_left_out(tmp_path: Path) -> None:
    """A file of another version of oc-ops is no reason to fail."""
    path_of(tmp_path, KEY).write_text(f'{{"written_at": {time.time()}, "gateway": [], "rpc": {{"state": 1}}}}')
    assert told(tmp_path, KEY) == "the cockpit's watcher wrote 0 s ago: , RPC "
