"""Lock files whose holder is dead are moved aside, and those of the living are left alone."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from oc_ops import settings
from oc_ops.act.breaker.blockers import locks, move_aside
from oc_ops.act.breaker.scan import Blocker, BreakerView, Refused, Tools
from oc_ops.act.commands import Commands
from oc_ops.errors import OcOpsError
from oc_ops.observe.container import Container
from oc_ops.observe.http import Probe
from oc_ops.observe.lockfiles import LockFile, lock_files
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.processes import GatewayProcess
from oc_ops.observe.target import Target, locate

NOBODY = 2**22 + 1
"""A pid above what Linux and macOS give out."""
HERE = socket.gethostname()
DOWN = GatewayProbe(1, Probe("/healthz", "refused", 0.0))
FOUND = ("chrome-lock:openclaw", "session-lock:main/s1.jsonl.lock", "gateway-lock:gateway.0123abcd.lock")


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """A state directory whose three locks are held by nobody."""
    found = locate({"HOME": str(tmp_path), "TMPDIR": str(tmp_path / "tmp")})
    for folder in ("browser/openclaw/user-data", "agents/main/sessions", "tmp/openclaw-0"):
        (found.state_dir / folder).mkdir(parents=True)
    hold(found, NOBODY)
    return found


def hold(target: Target, pid: int | None, *, host: str = HERE) -> None:
    """Write all three as their holders do (2026.9.6; sessions: 2026.5.28)."""
    link = target.state_dir / "browser/openclaw/user-data/SingletonLock"
    link.unlink(missing_ok=True)
    link.symlink_to(f"{host}-{pid}")
    at = "2026-11-22T10:00:00.000Z"
    (target.state_dir / "agents/main/sessions/s1.jsonl.lock").write_text(json.dumps({"pid": pid, "createdAt": at}))
    told = {"pid": pid, "createdAt": at, "configPath": str(target.config_path), "startTime": 1}
    (target.state_dir / "tmp/openclaw-0/gateway.0123abcd.lock").write_text(json.dumps(told))


def sight(target: Target, look: GatewayProbe | None = DOWN) -> BreakerView:
    """One look at them."""
    return BreakerView("key", target, look=look, locks=lock_files(target))


def found(target: Target, look: GatewayProbe | None = DOWN) -> dict[str, Blocker]:
    """The mutexes by id."""
    return {each.id: each for each in locks(sight(target, look))}


def hands(target: Target, notes: list[str] | None = None) -> Tools:
    """Hands that look at the same place again."""

    def never() -> Commands:
        raise AssertionError("a lock file needs no call")

    note = notes.append if notes is not None else lambda _: None
    return Tools(settings.load({}, {}), lambda: sight(target), never, note=note, say=lambda _: None)


@pytest.fixture
def holder() -> Iterator[int]:
    """A process that lives."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


def test_dead_holders_are_proven_dead(target: Target) -> None:
    """Each kind is found with its pid and the proof, and may be broken; what is typed is the file's name."""
    mutexes = found(target)
    assert tuple(mutexes) == FOUND
    for each in mutexes.values():
        assert each.refused == ""
        assert each.evidence["pid"] == NOBODY
        assert each.evidence["proof"] == f"no process has pid {NOBODY}"
        assert each.fact.endswith("is locked by a process that is dead")
    assert [each.name for each in mutexes.values()] == ["SingletonLock", "s1.jsonl.lock", "gateway.0123abcd.lock"]


def test_a_living_holder_is_refused(target: Target, holder: int) -> None:
    """Whatever the holder is: its pid lives, and began before the lock."""
    time.sleep(max(0.0, psutil.Process(holder).create_time() + 0.1 - time.time()))
    hold(target, holder)
    for each in found(target).values():
        assert each.refused.endswith(f"live process {holder}")


def test_a_reused_pid_is_not_the_holder(target: Target, holder: int) -> None:
    """A process that began after the lock was taken only has its pid."""
    hold(target, holder)
    before = time.time() - 3600
    for each in lock_files(target):
        os.utime(each.path, (before, before), follow_symlinks=False)
    for mutex in found(target).values():
        assert mutex.refused == ""
        assert "after the lock" in str(mutex.evidence["proof"])


def test_a_zombie_holds_nothing(target: Target) -> None:
    """A process that has ended and was not reaped is dead."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        while psutil.Process(ended.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        hold(target, ended.pid)
        assert {each.refused for each in found(target).values()} == {""}


def test_another_hosts_browser_cannot_be_proven_dead(target: Target) -> None:
    """Its pid says nothing here."""
    hold(target, NOBODY, host="elsewhere")
    assert "on host elsewhere" in found(target)["chrome-lock:openclaw"].refused


def test_a_browser_with_that_profile_holds_it(target: Target) -> None:
    """Whatever pid the lock names."""
    option = f"--user-data-dir={target.state_dir / 'browser/openclaw/user-data'}"
    with subprocess.Popen([sys.executable, "-c", "input()", option], stdin=subprocess.PIPE) as browser:
        assert f"pid {browser.pid}, a browser" in found(target)["chrome-lock:openclaw"].refused
        browser.kill()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": true}', '{"pid": -1}', '{"createdAt": "x"}'])
def test_a_lock_that_names_nobody_proves_nothing(target: Target, text: str) -> None:
    """Torn or foreign: nobody can be proven dead."""
    (target.state_dir / "agents/main/sessions/s1.jsonl.lock").write_text(text)
    assert "holds no pid" in found(target)["session-lock:main/s1.jsonl.lock"].refused


def test_another_gateways_lock_is_none_of_ours(target: Target) -> None:
    """TMPDIR is shared by all gateways of a user."""
    path = target.state_dir / "tmp/openclaw-0/gateway.0123abcd.lock"
    path.write_text(json.dumps({**json.loads(path.read_text()), "configPath": "/other/openclaw.json"}))
    assert not any(each.startswith("gateway-lock") for each in found(target))


def test_a_gateway_that_is_not_seen_here_may_hold_them(target: Target) -> None:
    """A container's pids mean nothing on this host; nor is anything broken where nothing could be seen."""
    answers = replace(DOWN, live=Probe("/healthz", "answered", 0.0, 200))
    assert all("may live where that runs" in each.refused for each in found(target, answers).values())
    assert all("could not be seen" in each.refused for each in found(target, None).values())
    process = GatewayProcess(1, 0, 60.0, "sleeping", 1.0, 1, "openclaw-gateway", "lock")
    assert all(each.refused == "" for each in found(target, replace(answers, processes=(process,))).values())


@pytest.mark.parametrize("name", FOUND)
def test_a_dead_holders_lock_is_moved_aside(target: Target, name: str) -> None:
    """It is gone from its place, lies beside it as it was, and nothing else is touched."""
    mutex, notes = found(target)[name], list[str]()
    before = {each.path: each.text for each in lock_files(target)}
    path = Path(str(mutex.evidence["path"]))
    result = move_aside(mutex, hands(target, notes))
    assert result.outcome == "verified", result.said
    aside = Path(str(result.after["moved_to"]))
    assert (aside.parent, aside.lstat().st_ino) == (path.parent, mutex.evidence["inode"])
    assert aside.name.startswith(f"{path.name}.oc-ops-")
    assert (str(aside.readlink()) if aside.is_symlink() else aside.read_text()) == before.pop(path)
    assert {each.path: each.text for each in lock_files(target)} == before
    assert notes == [f"mv {path} {aside}"]


def test_a_lock_that_was_replaced_stays(target: Target) -> None:
    """Another file of the same name is not what was approved."""
    mutex = found(target)["session-lock:main/s1.jsonl.lock"]
    path = Path(str(mutex.evidence["path"]))
    fresh = path.with_suffix(".new")
    fresh.write_text("{}")
    fresh.replace(path)
    with pytest.raises(Refused, match="another file now"):
        move_aside(mutex, hands(target))
    assert path.read_text() == "{}"
    path.unlink()
    with pytest.raises(Refused, match="is gone"):
        move_aside(mutex, hands(target))


def test_a_lock_that_was_made_anew_stays(target: Target) -> None:
    """The new file may get the inode of the one that was removed (ext4 and tmpfs give it at once): its time tells."""
    mutex = found(target)["session-lock:main/s1.jsonl.lock"]
    path = Path(str(mutex.evidence["path"]))
    path.write_text(json.dumps({"pid": os.getpid()}))
    os.utime(path, ns=(0, int(str(mutex.evidence["changed_ns"])) + 1))
    assert path.stat().st_ino == mutex.evidence["inode"]
    with pytest.raises(Refused, match="another file now"):
        move_aside(mutex, hands(target))
    assert json.loads(path.read_text()) == {"pid": os.getpid()}


@pytest.mark.parametrize("name", FOUND)
def test_a_lock_that_is_replaced_at_the_last_moment_is_put_back(
    target: Target, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the last look and the rename a living holder took it: it has it again."""
    mutex = found(target)[name]
    path = Path(str(mutex.evidence["path"]))
    rename = Path.rename

    def late(self: Path, to: Path) -> Path:
        self.replace(self.with_name("old"))
        hold(target, os.getpid())
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", late)
    with pytest.raises(Refused, match="put back"):
        move_aside(mutex, hands(target))
    monkeypatch.undo()
    (now,) = [each for each in lock_files(target) if each.path == path]
    assert now.pid == os.getpid()


def test_a_folder_that_cannot_be_written_is_said(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, and the lock is where it was."""

    def full(self: Path, to: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    mutex = found(target)["chrome-lock:openclaw"]
    with pytest.raises(OcOpsError, match="could not be moved aside: No space left on device"):
        move_aside(mutex, hands(target))
    assert Path(str(mutex.evidence["path"])).is_symlink()


def test_a_dead_lock_that_comes_back_is_ineffective(target: Target) -> None:
    """Somebody puts it there again, for a holder that is dead as well."""
    mutex, working = found(target)["chrome-lock:openclaw"], hands(target)

    def look() -> BreakerView:
        hold(target, NOBODY)
        return sight(target)

    assert move_aside(mutex, replace(working, look=look)).outcome == "ineffective"


def test_a_new_holder_is_what_it_was_broken_for(target: Target, holder: int) -> None:
    """The lock is there again, and its holder lives."""
    mutex, working = found(target)["session-lock:main/s1.jsonl.lock"], hands(target)

    def look() -> BreakerView:
        hold(target, holder)
        return sight(target)

    result = move_aside(mutex, replace(working, look=look))
    assert result.outcome == "verified"
    assert f"held again, by live process {holder}" in result.said


def test_the_evidence_is_the_file_itself(target: Target) -> None:
    """Another inode, another time, another text: each is another digest; a second look at the same is the same."""
    first = found(target)["chrome-lock:openclaw"]
    assert found(target)["chrome-lock:openclaw"].digest == first.digest
    (lock,) = [each for each in lock_files(target) if each.kind == "chrome-lock"]
    changes: tuple[dict[str, object], ...] = (
        {"inode": 1},
        {"changed_ns": 1},
        {"digest": "x"},
        {"pid": 1},
        {"proof": "x"},
    )
    for change in changes:
        other: LockFile = replace(lock, **change)  # each names a field
        (changed,) = locks(BreakerView("key", target, look=DOWN, locks=(other,)))
        assert changed.digest != first.digest


def test_no_lock_of_a_container_is_broken_from_outside(target: Target) -> None:
    """Its holders' pids are the container's own: that none of them lives on this machine proves nothing."""
    contained = dataclasses.replace(target, container=Container("podman", "cell", "exited"))
    assert set(found(contained)) == set(FOUND)
    assert all("container cell" in each.refused for each in found(contained).values())
    assert not any(each.refused for each in found(target).values())
