"""The state directory as it lies: who may use what, whether its database is sound, who migrates it; and its judges."""

from __future__ import annotations

import errno
import json
import os
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from oc_ops.errors import CouldNotLook
from oc_ops.judge import state as judge
from oc_ops.judge.finding import Finding
from oc_ops.observe import device, jobstore, state, work
from oc_ops.observe.target import Target, locate
from tests.support import hostile
from tests.support.sights import gateway_process

OTHER = os.geteuid() + 4711
"""A uid that is not ours and belongs to no group of ours."""
MUST_NOT = ("sudo openclaw", "as root", "rm ", "user_version")


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """A state directory as 2026.9.6 leaves it, stopped and sound; everybody may use everything in it."""
    root = tmp_path / "home" / ".openclaw"
    for folder in ("state", "agents/main/agent", "agents/main/sessions", "agents/main/workspace", "tmp", "extensions"):
        (root / folder).mkdir(parents=True)
    (root / "openclaw.json").write_text("{}")
    (root / "agents/main/sessions/one.jsonl").write_text("{}\n")
    database = root / "state" / "openclaw.sqlite"
    with closing(sqlite3.connect(database)) as made, made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("PRAGMA user_version=18")
        made.execute("CREATE TABLE schema_meta (meta_key TEXT, app_version TEXT)")
        made.execute("INSERT INTO schema_meta VALUES ('primary', '2026.9.6')")
        made.execute("CREATE TABLE state_leases (scope TEXT, expires_at INTEGER, payload_json TEXT)")
        made.execute("CREATE TABLE filler (value TEXT)")
        made.executemany("INSERT INTO filler VALUES (?)", [("x" * 500,)] * 500)
    for path in root.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    root.chmod(0o777)
    return locate({"HOME": str(tmp_path / "home")})


def fault(target: Target, *, lives: bool = False) -> Finding | None:
    """What the judges make of it."""
    return judge.fault(state.look(target, [gateway_process()] if lives else []))


def found(target: Target) -> Finding:
    """The finding that there must be; whatever it says harms nobody."""
    finding = fault(target)
    assert finding is not None
    assert finding.fix.startswith("none automatic: ")
    assert not [each for each in MUST_NOT if each in finding.fix]
    return finding


def shut(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have this account be kept from seeing what is in a folder, as in another user's 0700."""
    own = Path.stat

    def stat(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if folder in self.parents:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return own(self, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", stat)


@pytest.mark.parametrize(
    "look",
    [
        lambda target: state.look(target, []),
        lambda target: state.look(target, [gateway_process(uid=OTHER)]),
        lambda target: jobstore.read(target.state_dir),
    ],
    ids=["the state", "the state of one that lives", "the job store"],
)
def test_a_state_that_is_closed_to_us_could_not_be_looked_at(
    look: Callable[[Target], object], target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's gateway, from an account that may not enter its folders: one sentence, no crash, and not sound."""
    run_by(monkeypatch, OTHER)
    shut(monkeypatch, target.state_dir / "state")
    with pytest.raises(CouldNotLook, match=r"^cannot read \S+/state/openclaw\.sqlite: Permission denied$"):
        look(target)


def test_what_is_closed_to_us_is_not_missing(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairings and letters of such a state are unseen, not none; and a config that we may not read says so itself."""
    run_by(monkeypatch, OTHER)
    shut(monkeypatch, target.state_dir / "state")
    assert device.pairing(target.state_dir) == "unseen"
    assert work._stored(target.state_dir) == (None, ())
    shut(monkeypatch, target.state_dir)
    assert device.pairing(target.state_dir) == "unseen"


# -- sound ------------------------------------------------------------------------------------------------------------


def test_a_sound_state_is_silent_and_cheap(target: Target) -> None:
    """Nothing is said of it, nothing is left in it, and a look at some hundred files takes less than 30 ms."""
    for number in range(300):
        (target.state_dir / "agents/main/sessions" / f"{number}.jsonl").touch()
    before = sorted(target.state_dir.rglob("*"))
    took_s = []
    for _ in range(5):
        started = time.perf_counter()
        assert fault(target) is None
        took_s.append(time.perf_counter() - started)
    assert min(took_s) < 0.03
    assert sorted(target.state_dir.rglob("*")) == before


def test_no_state_at_all_is_silent(tmp_path: Path) -> None:
    """A gateway that was never started has none."""
    assert fault(locate({"HOME": str(tmp_path)})) is None


# -- who may use what -------------------------------------------------------------------------------------------------


def run_by(monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    """The gateway's user is known to be this one."""
    monkeypatch.setattr(state, "_runner", lambda *_: (uid, "it runs as pid 1"))


@pytest.mark.parametrize(
    ("pieces", "repaired"),
    [
        (("agents",), ("agents",)),
        (("agents", "agents/main", "agents/main/agent"), ("agents",)),
        (("state/openclaw.sqlite",), ("state/openclaw.sqlite",)),
        (("state",), ("state",)),
        (("openclaw.json",), ("openclaw.json",)),
        (("agents/main/sessions/one.jsonl",), ("agents/main/sessions/one.jsonl",)),
        (("tmp", "openclaw.json"), ("openclaw.json", "tmp")),
        (("",), ("",)),
    ],
    ids=["agents", "agents-deep", "database", "state", "config", "a-session", "two", "whole"],
)
@pytest.mark.parametrize("lives", [False, True])
def test_what_another_user_owns_is_named_with_the_command_that_gives_it_back(
    pieces: tuple[str, ...], repaired: tuple[str, ...], lives: bool, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while the gateway lives and answers: no agent of it can write. A restart is said to change nothing."""
    run_by(monkeypatch, OTHER)
    assert fault(target, lives=lives) is None
    for name in pieces:
        path = target.state_dir / name
        path.chmod(0o700 if path.is_dir() else 0o600)
    finding = fault(target, lives=lives)
    assert finding is not None
    assert (finding.check, finding.severity) == ("state/unreadable", "error")
    paths = " ".join(str(target.state_dir / name) for name in repaired)
    assert f"sudo chown -R {OTHER} {paths};" in finding.fix
    assert f"the gateway's user is {OTHER}" in finding.saw
    assert "restart changes nothing" in finding.fix
    assert not [each for each in MUST_NOT if each in finding.fix]


@pytest.mark.parametrize(
    "name",
    [
        "lost+found/", "extensions/", "openclaw.json.bak", "agents/main/workspace/", "openclaw.sqlite.bak-2026",
        "agents/main/sessions/two.jsonl.deleted.2026-01-01", "state/openclaw.sqlite.bak", ".git/", "notes.txt",
        "old.bak/",
    ],
)  # fmt: skip
def test_what_a_gateway_does_not_use_may_be_anybody_s(
    name: str, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plugins that root installed, copies that somebody put aside, what an agent works on."""
    run_by(monkeypatch, OTHER)
    path = target.state_dir / name
    path.mkdir(exist_ok=True) if name.endswith("/") else path.touch()
    path.chmod(0o700)
    assert fault(target) is None


def test_a_config_that_may_only_be_read_is_enough(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mounted or declared config belongs to root and is readable."""
    run_by(monkeypatch, OTHER)
    target.config_path.chmod(0o644)
    assert fault(target) is None


def test_a_group_and_an_access_list_give_access_too(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mode of others is not the only way in."""
    run_by(monkeypatch, OTHER)
    (target.state_dir / "agents").chmod(0o770)
    assert found(target).check == "state/unreadable"
    with monkeypatch.context() as group:
        group.setattr(state, "_groups", lambda *_: {(target.state_dir / "agents").stat().st_gid})
        assert fault(target) is None
    monkeypatch.setattr(os, "getxattr", lambda *_: b"an access list", raising=False)
    assert fault(target) is None


def test_a_mode_that_shuts_its_own_user_out_is_opened_by_that_user(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the owner is right, no owner is changed."""
    run_by(monkeypatch, os.geteuid() or 1)
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(state, "_may", lambda facts, *_: facts.st_mode & 0o777 != 0)
    (target.state_dir / "agents").chmod(0)
    seen = state.look(target, [])
    (target.state_dir / "agents").chmod(0o777)
    assert [each.path.name for each in seen.barred] == ["agents"]
    finding = judge.unreadable(seen)
    assert finding is not None
    command = "chmod -R u+rwX" if os.geteuid() else "sudo chown -R"
    assert f"none automatic: {command} " in finding.fix


@pytest.mark.parametrize(
    ("owner", "home", "ran", "sudo", "runner"),
    [
        (1000, 1000, (), "", 1000),
        (1000, 1000, (1000,), "", 1000),
        (1000, 1000, (0, 1000), "", 1000),
        (0, 0, (0,), "", 0),
        (0, 1000, (1000,), "", 1000),
        (0, 1000, (0, 1000), "", 1000),
        (0, 1000, (0,), "", 0),
        (0, 1000, (), "1000", 1000),
        (0, 1000, (), "", 0),
        (1000, 1000, (0,), "", 0),
        (1000, 1000, (998,), "", 998),
        (1000, 0, (0, 998), "", 0),
    ],
    ids=[
        "older-release", "own", "a-sudo-once", "root-s-own", "all-became-root-s", "all-became-root-s-by-sudo",
        "root-in-a-home", "seen-through-sudo", "nothing-to-tell", "a-container-s-root", "a-service-account", "unclear",
    ],
)  # fmt: skip
def test_whose_gateway_it_is(
    owner: int,
    home: int,
    ran: tuple[int, ...],
    sudo: str,
    runner: int,
    target: Target,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By who ran it, the owner of the folder, and of the home that it lies in; no guess where root may be right."""
    owners = {target.state_dir: owner, target.state_dir.parent: home}
    monkeypatch.setattr(state, "_owner", lambda path: owners[path])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for uid in ran:
        (target.state_dir / "tmp" / f"openclaw-{uid}").mkdir()
    seen = locate({**target.environ, "SUDO_UID": sudo})
    assert state._runner(seen, [])[0] == runner


def test_a_live_gateway_s_own_process_says_whose_it_is(target: Target) -> None:
    """Before anything that lies on the disk."""
    uid, by = state._runner(target, [gateway_process(pid=os.getpid())])
    assert (uid, by) == (os.geteuid(), f"it runs as pid {os.getpid()}")


def test_a_config_that_its_gateway_may_not_read_is_an_observation(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that only we may not read stays a failure to look."""

    def denied(_: Target) -> None:
        try:
            raise PermissionError(13, "Permission denied")
        except PermissionError as error:
            raise CouldNotLook("cannot read it") from error

    monkeypatch.setattr("oc_ops.observe.config.read", denied)
    with pytest.raises(CouldNotLook, match="cannot read it"):
        state.read_config(target)
    run_by(monkeypatch, OTHER)
    target.config_path.chmod(0o600)
    assert state.read_config(target).error == "it cannot be read: Permission denied"


# -- the database -----------------------------------------------------------------------------------------------------


def database(target: Target) -> Path:
    """Where it lies."""
    return target.state_dir / "state" / "openclaw.sqlite"


def overwrite(path: Path) -> None:
    """A hole of nonsense in the middle."""
    with path.open("r+b") as file:
        file.seek(12288)
        file.write(os.urandom(160_000))


def truncate(path: Path) -> None:
    """Half of it is gone."""
    os.truncate(path, path.stat().st_size // 2)


def replace(path: Path) -> None:
    """Something else under its name."""
    path.write_bytes(b"hello world" * 500)


@pytest.mark.parametrize("damage", [overwrite, truncate, replace])
def test_a_damaged_database_is_named_with_its_newest_backup(damage: Callable[[Path], None], target: Target) -> None:
    """It is restored by hand; nothing is started, repaired or deleted, and every command of the CLI is stopped."""
    damage(database(target))
    for name, age_h in (("openclaw.sqlite.bak-old", 400), ("openclaw.sqlite.bak", 5)):
        path = target.state_dir / "state" / name
        path.touch()
        os.utime(path, (time.time() - age_h * 3600,) * 2)
    finding = found(target)
    assert (finding.check, finding.severity) == ("state/corrupt", "error")
    assert str(database(target)) in finding.saw
    assert "\n" not in finding.saw
    assert f"newest backup seen: {target.state_dir}/state/openclaw.sqlite.bak, 5 h old" in finding.saw
    for word in ("stop every openclaw command", "verified backup", "no start, no restart", "doctor --fix", "-wal"):
        assert word in finding.fix


def test_an_archive_of_openclaw_backup_is_a_backup(target: Target) -> None:
    """Where `openclaw backup create` leaves it; and without any, that is said."""
    overwrite(database(target))
    assert "no backup lies beside it" in found(target).saw
    archive = target.home / "2026-03-09T08-00-00.000+08-00-openclaw-backup.tar.gz"
    archive.touch()
    os.utime(archive, (time.time() - 72 * 3600,) * 2)
    assert f"newest backup seen: {archive}, 3 days old" in found(target).saw


@pytest.mark.parametrize("lives", [True, False])
@pytest.mark.parametrize(
    "make",
    [hostile.pipe, hostile.endless, hostile.folder, hostile.circle, hostile.bound_socket],
    ids=lambda make: make.__name__,
)
def test_what_can_be_no_database_is_named(
    make: Callable[[Path], None], lives: bool, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that lives has the old one open, and no other will come up; nothing is opened to see that."""
    path = target.state_dir / "state" / "openclaw.sqlite"
    path.unlink()
    monkeypatch.chdir(path.parent)  # a socket's name is at most 108 bytes long
    make(Path(path.name))
    finding = fault(target, lives=lives)
    assert finding is not None
    assert finding.check == "state/corrupt"
    assert "not a regular file" in finding.saw or "leads nowhere" in finding.saw


def test_an_empty_database_is_a_new_one(target: Target) -> None:
    """2026.9.6 starts with it."""
    database(target).write_bytes(b"")
    assert fault(target) is None


def test_nothing_of_ours_stands_beside_a_gateway_that_lives(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its database is not opened, whatever it looks like."""
    overwrite(database(target))
    monkeypatch.setattr(state, "snapshot", lambda *_: pytest.fail("opened beside a gateway"))
    assert fault(target, lives=True) is None


def test_a_database_that_is_written_to_or_locked_meanwhile_is_not_called_damaged(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be looked at says nothing."""

    def busy(*_: object) -> None:
        raise CouldNotLook("cannot read it: its owner has locked it")

    monkeypatch.setattr(state, "snapshot", busy)
    assert fault(target) is None


def test_side_files_that_were_deleted_under_a_gateway(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held open and gone, twice: what is written there is lost. One that is being closed is no fault."""
    path = target.state_dir / "state" / "openclaw.sqlite-wal"
    with path.open("w") as held:
        path.unlink()
        mine = [gateway_process(pid=os.getpid())]
        seen = state.look(target, mine)
        finding = judge.fault(seen)
        assert finding is not None
        assert finding.check == "state/corrupt"
        assert f"pid {os.getpid()} has {os.path.realpath(path)} (deleted) open" in finding.saw
        monkeypatch.setattr(time, "sleep", lambda _: held.close())
        assert judge.fault(state.look(target, mine)) is None


@pytest.mark.parametrize("how", ["moved", "deleted", "in its place"])
def test_a_database_that_was_taken_from_under_a_gateway(how: str, target: Target, tmp_path: Path) -> None:
    """It goes on in the file that it has open; a restart, which its unanswered reads ask for, begins without that."""
    path = target.state_dir / "state" / "openclaw.sqlite"
    with path.open("r+b"):
        if how == "moved":
            path.parent.rename(tmp_path / "kept")
        elif how == "deleted":
            path.unlink()
        finding = judge.fault(state.look(target, [gateway_process(pid=os.getpid())]))
    assert (finding is not None) == (how != "in its place")
    if finding is not None:
        assert (finding.check, "another start begins without" in finding.fact) == ("state/corrupt", True)
        assert f"pid {os.getpid()} has " in finding.saw
        assert "move them back if they were moved" in finding.fix


def lease(target: Target, *, host: str, pid: int, seconds: float = 300, began: int | None = None) -> float:
    """A start-up migration that somebody holds; returns until when."""
    until = time.time() + seconds
    owner = json.dumps({"version": "2026.9.1", "owner": {"pid": pid, "host": host, "startedAt": began}})
    with closing(sqlite3.connect(database(target))) as store, store:
        store.execute("DELETE FROM state_leases")
        store.execute("INSERT INTO state_leases VALUES ('startup-migrations', ?, ?)", (round(until * 1000), owner))
    return until


def test_a_migration_that_another_process_holds_is_waited_for(target: Target) -> None:
    """Its owner and the time it is free are named; here a container's predecessor with a name of its own."""
    until = lease(target, host="oldhost", pid=4242)
    finding = found(target)
    assert (finding.check, finding.severity) == ("state/migrating", "error")
    assert "pid 4242 on host oldhost" in finding.saw
    clock = time.strftime("%H:%M:%S UTC", time.gmtime(until))
    assert clock in finding.fact
    assert f"wait until {clock}, then start it once" in finding.fix
    lease(target, host=socket.gethostname(), pid=os.getpid())
    assert found(target).check == "state/migrating"


@pytest.mark.parametrize("case", ["expired", "dead", "reused"])
def test_a_migration_that_nobody_holds_any_more_is_none(case: str, target: Target) -> None:
    """2026.9.6 takes it over at the next start: past its time, of a dead process, of a pid that is another's now."""
    host, pid = socket.gethostname(), os.getpid() if case == "reused" else 2**22 + 1
    host = "oldhost" if case == "expired" else host
    lease(target, host=host, pid=pid, seconds=-1 if case == "expired" else 300, began=1)
    assert fault(target) is None


def test_what_wrote_the_database_is_known(target: Target) -> None:
    """Schema and build, for whoever refuses it."""
    seen = state.look(target, [])
    assert (seen.schema, seen.writer) == (18, "2026.9.6")
