"""Single flight: one holder at a time across processes, a bounded wait, and a message that names the holder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from oc_ops import locks
from oc_ops.errors import CouldNotLook
from oc_ops.locks import single_flight

PROJECT = Path(__file__).parents[3]
HOLD = """
import sys
from pathlib import Path
from oc_ops.locks import single_flight
with single_flight(Path(sys.argv[1]), 10):
    print("held", flush=True)
    sys.stdin.read()
"""

pytestmark = pytest.mark.timeout(30)


@contextmanager
def holder(lock: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock until its input ends."""
    argv = [sys.executable, "-c", HOLD, str(lock)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def refusal(lock: Path, wait_s: float = 0.1) -> str:
    """What somebody who does not get the lock is told."""
    with pytest.raises(CouldNotLook) as caught, single_flight(lock, wait_s):
        pass
    return str(caught.value)


def test_a_pipe_in_the_place_of_the_note_holds_nobody(tmp_path: Path) -> None:
    """The note is made anew, whatever stood there, and names its holder."""
    lock = tmp_path / "cli.lock"
    os.mkfifo(lock.with_name("cli.lock.holder"))
    with single_flight(lock, 1.0):
        assert f"process {os.getpid()} since" in locks.held_by(lock)


def test_names_the_holder(tmp_path: Path) -> None:
    """The one who waits in vain is told who holds the lock, since when, and how long it waited."""
    lock = tmp_path / "cli.lock"
    with holder(lock) as process:
        said = refusal(lock)
        since = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
        assert re.fullmatch(rf"cli\.lock is held by process {process.pid} since {since}; waited 0\.1 s for it", said)


def test_waits_no_longer_than_told(tmp_path: Path) -> None:
    """The wait is bounded, also within one process."""
    lock = tmp_path / "cli.lock"
    with holder(lock):
        began = time.monotonic()
        refusal(lock, wait_s=0.5)
        assert 0.5 <= time.monotonic() - began < 10


def test_had_as_soon_as_it_is_free(tmp_path: Path) -> None:
    """A released lock is had by the one who waits for it, and its note is gone."""
    lock = tmp_path / "cli.lock"
    with holder(lock) as process:
        assert process.stdin is not None
        process.stdin.close()
        with single_flight(lock, 10):
            assert (tmp_path / "cli.lock.holder").read_text().startswith(f"{os.getpid()} ")
    assert not (tmp_path / "cli.lock.holder").exists()


def test_a_killed_holder_frees_it(tmp_path: Path) -> None:
    """A holder that is killed holds nothing any more, whatever its note says."""
    lock = tmp_path / "cli.lock"
    with holder(lock) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert (tmp_path / "cli.lock.holder").exists()
        with single_flight(lock, 10):
            pass


@pytest.mark.parametrize(
    "note",
    ["{dead} {now}", "{alive} 1000000000", "{alive}", "", "{alive} nan", "{alive} 1e300", "-1 {now}", "x y", "\x00"],
)
def test_a_stale_note_names_nobody(tmp_path: Path, note: str) -> None:
    """A note of a dead process, of one whose pid was given away since, or a broken one does not name the holder."""
    lock = tmp_path / "cli.lock"
    with subprocess.Popen(["true"]) as dead:
        pass
    with holder(lock) as process:
        text = note.format(dead=dead.pid, alive=process.pid, now=time.time())
        (tmp_path / "cli.lock.holder").write_text(text)
        assert refusal(lock) == "cli.lock is held by a process that left no note; waited 0.1 s for it"


def test_freed_by_an_exception(tmp_path: Path) -> None:
    """An exception inside passes through and frees the lock."""
    with pytest.raises(KeyboardInterrupt), single_flight(tmp_path / "cli.lock", 1):
        raise KeyboardInterrupt
    with single_flight(tmp_path / "cli.lock", 1):
        pass


def test_makes_its_folder(tmp_path: Path) -> None:
    """The folder of the lock is made, for its owner only."""
    with single_flight(tmp_path / "memory" / "cli.lock", 1):
        assert (tmp_path / "memory").stat().st_mode & 0o777 == 0o700


def test_cannot_lock(tmp_path: Path) -> None:
    """A place where no lock can be is named with the reason."""
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file" / "cli.lock").startswith(f"cannot lock {tmp_path}/file/cli.lock: ")


def test_the_holder_is_told_without_touching_the_lock(tmp_path: Path) -> None:
    """By its note alone: nobody waits, nothing is made, and a dead holder's note names nobody."""
    lock = tmp_path / "cli.lock"
    assert locks.holder(lock) is None
    assert list(tmp_path.iterdir()) == []
    with holder(lock) as process:
        assert re.match(rf"process {process.pid} since ", locks.held_by(lock))
    assert (tmp_path / "cli.lock.holder").exists()
    assert locks.holder(lock) is None


def test_a_holder_is_seen_after_a_jump_of_the_clock(tmp_path: Path) -> None:
    """Every process then seems younger than its note: the kernel still knows who holds the lock."""
    lock = tmp_path / "cli.lock"
    with holder(lock) as process:
        note = lock.with_name("cli.lock.holder")
        note.write_text(f"{process.pid} 86400.0\n")
        assert locks.holder(lock) is None
        assert locks.is_held(lock)
        process.kill()
        process.wait()
        assert not locks.is_held(lock), "a note that a killed holder left is none"
    assert not locks.is_held(tmp_path / "never.lock")


def test_a_killed_process_leaves_nothing_of_its_own_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had in its folder is swept by the next, and nothing of one that lives."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    code = (
        "import sys\nfrom oc_ops.locks import scratch\n"
        "with scratch() as folder:\n    (folder / 'config').write_text('x')\n    print(folder, flush=True)\n"
        "    sys.stdin.read()"
    )
    argv = [sys.executable, "-c", code]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT, text=True) as process:
        assert process.stdout is not None
        theirs = Path(process.stdout.readline().strip())
        with locks.scratch() as ours:
            assert (theirs / "config").exists()
            assert ours.stat().st_mode & 0o777 == 0o700
            process.kill()
            process.wait()
            with locks.scratch():
                assert not theirs.exists()
            assert ours.exists()
    assert list(ours.parent.iterdir()) == []
