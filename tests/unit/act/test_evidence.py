"""What is kept before the act: whole, private, redacted where it is text, and a reason for what is missing."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from oc_ops.act.recover import evidence
from oc_ops.errors import OcOpsError
from oc_ops.gateway import Gateway
from oc_ops.record import watcher_word
from tests.support.stage import Stage


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """A target with a config, a log and nothing else."""
    stage = Stage(tmp_path, monkeypatch)
    return Gateway(stage.settings, stage.environ, lambda _: None)


def database(site: Gateway) -> sqlite3.Connection:
    """The gateway's database in WAL mode, held open as a living gateway does."""
    folder = site.target.state_dir / "state"
    folder.mkdir()
    connection = sqlite3.connect(folder / "openclaw.sqlite")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE cron_jobs (job_id TEXT)")
    connection.execute("INSERT INTO cron_jobs VALUES ('nightly')")
    connection.commit()
    return connection


def rows(copy: Path) -> list[tuple[str]]:
    """The jobs in a copy."""
    with closing(sqlite3.connect(copy)) as connection:
        return connection.execute("SELECT job_id FROM cron_jobs").fetchall()


def test_a_live_store_is_kept_as_one_moment_of_it(site: Gateway, tmp_path: Path) -> None:
    """What only stands in the write-ahead log is in the copy; the original is not touched; everything is 0600."""
    with closing(database(site)):
        folder = site.target.state_dir / "state"
        # The index beside the log is shared memory: readers mark their place in it.
        before = {each.name: each.read_bytes() for each in folder.iterdir() if not each.name.endswith("-shm")}
        kept = evidence.keep(tmp_path / "kept", site, None)
        after = {each.name: each.read_bytes() for each in folder.iterdir() if not each.name.endswith("-shm")}
    assert before == after
    assert kept["store"] == "store.sqlite"
    assert rows(tmp_path / "kept" / "store.sqlite") == [("nightly",)]
    assert {stat.S_IMODE(each.stat().st_mode) for each in (tmp_path / "kept").iterdir()} == {0o600}


def test_a_dead_gateway_s_store_is_copied_as_it_lies(site: Gateway, tmp_path: Path) -> None:
    """A log whose index is gone is copied beside its database: SQLite reads both together."""
    connection = database(site)
    folder = site.target.state_dir / "state"
    files = {each.name: each.read_bytes() for each in folder.iterdir()}
    connection.close()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "openclaw.sqlite-shm").unlink()
    kept = evidence.keep(tmp_path / "kept", site, None)
    assert kept["store"].startswith("store.sqlite")
    assert rows(tmp_path / "kept" / "store.sqlite") == [("nightly",)]


def test_the_newest_stability_bundle_is_kept(site: Gateway, tmp_path: Path) -> None:
    """Of several the youngest."""
    folder = site.target.state_dir / "logs" / "stability"
    folder.mkdir(parents=True)
    for age_s, name in ((0, "b.json"), (60, "a.json")):
        (folder / name).write_text(name)
        os.utime(folder / name, (1e9 - age_s, 1e9 - age_s))
    assert evidence.keep(tmp_path / "kept", site, None)["stability"] == "stability.json"
    assert (tmp_path / "kept" / "stability.json").read_text() == "b.json"


def test_the_watcher_s_last_word_is_kept(site: Gateway, tmp_path: Path) -> None:
    """The snapshot as it lies, for its owner alone."""
    lies = watcher_word.path_of(site.settings.memory_dir, site.target.key)
    lies.parent.mkdir(parents=True, exist_ok=True)
    lies.write_text('{"number": 7}')
    assert evidence.keep(tmp_path / "kept", site, None)["watcher"] == "state.json"
    assert (tmp_path / "kept" / "state.json").read_text() == '{"number": 7}'
    assert (tmp_path / "kept" / "state.json").stat().st_mode & 0o777 == 0o600


def test_what_is_not_there_is_said(site: Gateway, tmp_path: Path) -> None:
    """Each missing piece has its reason, and none of them keeps the others back."""
    kept = evidence.keep(tmp_path / "kept", site, tmp_path / "no-run")
    assert kept["log"] == "log.txt"
    assert [name for name, said in kept.items() if said.startswith("none: ")] == [
        "report",
        "store",
        "watcher",
        "stability",
    ]


def test_no_place_for_evidence_is_no_act(site: Gateway, tmp_path: Path) -> None:
    """A folder that cannot be made raises: nothing is restarted without evidence."""
    (tmp_path / "file").touch()
    with pytest.raises(OcOpsError, match="cannot hold the evidence"):
        evidence.keep(tmp_path / "file" / "kept", site, None)


def test_a_store_too_large_is_left(site: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway is not kept waiting for a copy of gigabytes."""
    monkeypatch.setattr(evidence, "_MOST_BYTES", 10)
    database(site).close()
    assert "MiB large" in evidence.keep(tmp_path / "kept", site, None)["store"]
