"""A real gateway that is down and cannot start: the doctor names what it would die of, and recovery starts nothing."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from oc_ops.judge.state import reason
from oc_ops.lab.lab import Lab
from oc_ops.settings import PROJECT
from tests.live.examine import examine
from tests.live.recovered import PATIENT

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def stopped(lab: Lab) -> Iterator[Lab]:
    """The lab's gateway is down while this module lasts."""
    lab.stop_gateway()
    yield lab
    lab.start_gateway()


@pytest.fixture
def down(stopped: Lab, tmp_path: Path) -> Iterator[Lab]:
    """The lab's gateway is down; afterwards state and config are put back."""
    lab, kept = stopped, tmp_path / "kept"
    shutil.copytree(lab.state_dir / "state", kept)
    config = lab.config_path.read_text("utf-8")
    try:
        yield lab
    finally:
        shutil.rmtree(lab.state_dir / "state")
        shutil.copytree(kept, lab.state_dir / "state")
        lab.config_path.write_text(config, "utf-8")


def store(lab: Lab) -> Path:
    """The state database."""
    return lab.state_dir / "state" / "openclaw.sqlite"


def damaged(lab: Lab) -> None:
    """A hole in the database, its side files gone."""
    with store(lab).open("r+b") as file:
        file.seek(12288)
        file.write(os.urandom(160_000))
    for end in ("-wal", "-shm"):
        store(lab).with_name(f"{store(lab).name}{end}").unlink(missing_ok=True)


def newer(lab: Lab) -> None:
    """A schema that no build has yet."""
    with closing(sqlite3.connect(store(lab))) as written, written:
        written.execute("PRAGMA user_version = 99")


def leased(lab: Lab) -> None:
    """A container's predecessor left its migration unfinished, for five minutes more."""
    now_ms = round(time.time() * 1000)
    payload = json.dumps({"version": "2026.9.1", "owner": {"pid": 4242, "host": "oldhost", "startedAt": 1}})
    with closing(sqlite3.connect(store(lab))) as written, written:
        written.execute("UPDATE schema_meta SET app_version = '2026.9.1' WHERE meta_key LIKE '%-migrations'")
        written.execute(
            "INSERT INTO state_leases (scope, lease_key, owner, expires_at, heartbeat_at, payload_json, created_at,"
            " updated_at) VALUES ('startup-migrations', 'global', 'other', ?, ?, ?, ?, ?)",
            (now_ms + 300_000, now_ms, payload, now_ms, now_ms),
        )


def outdated(lab: Lab) -> None:
    """A newer release wrote the config."""
    written = {**json.loads(lab.config_path.read_text("utf-8")), "meta": {"lastTouchedVersion": "2027.1.1"}}
    lab.config_path.write_text(json.dumps(written), "utf-8")


def recover(lab: Lab, folder: Path) -> subprocess.CompletedProcess[str]:
    """`recover.py --force`, to its end."""
    places = {"OC_OPS_OPENCLAW": str(lab.openclaw), "OC_OPS_MEMORY_DIR": str(folder / "memory")}
    places |= {"OC_OPS_REPORT_DIR": str(folder / "reports"), "XDG_STATE_HOME": str(folder / "state")}
    return subprocess.run(
        [sys.executable, str(PROJECT / "recover.py"), "--force"],
        env={**lab.environ, **places, **PATIENT},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("prepare", "check"),
    [
        (damaged, "state/corrupt"),
        (newer, "state/newer-schema"),
        (leased, "state/migrating"),
        (outdated, "cli/outdated"),
    ],
)
def test_what_it_would_die_of_is_the_one_cause(
    prepare: Callable[[Lab], None], check: str, down: Lab, tmp_path: Path
) -> None:
    """The gateway's own last words are those of the finding; nothing is started, and the files stay as they are."""
    prepare(down)
    died = down.call("gateway", "run", "--port", str(down.port))
    assert died.exit not in (0, None)
    assert reason(died.stderr.text) == check, died.stderr.text
    before = store(down).read_bytes()
    seen = examine(down, tmp_path)
    assert (seen.errors, seen.report["cause"]) == ([check], check), seen.output
    assert seen.finding(check)["fix"].startswith("none automatic: ")
    assert "openclaw.json" not in seen.finding(check)["fix"]
    refused = recover(down, tmp_path)
    assert refused.returncode == 4, refused.stdout + refused.stderr
    assert f"{check} is not cured by recovery" in refused.stdout
    assert store(down).read_bytes() == before
    assert not down.status().up


def test_a_sound_state_that_is_down_is_only_down(down: Lab, tmp_path: Path) -> None:
    """The healthy twin: nothing but the gateway that does not run."""
    seen = examine(down, tmp_path)
    assert seen.errors == ["gateway/down"], seen.output
