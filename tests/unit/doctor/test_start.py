"""Would it come up: each refusal by OpenClaw's own words, and what doctor and recovery make of it."""

from __future__ import annotations

import dataclasses
import json
import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from oc_ops.act.recover.policy import cure_of
from oc_ops.act.recover.preflight import by_hand
from oc_ops.act.recover.wait import cause_now
from oc_ops.doctor import start
from oc_ops.errors import CouldNotLook
from oc_ops.gateway import Gateway
from oc_ops.judge import cli as judge_cli
from oc_ops.judge import state as judge
from oc_ops.observe import install, state
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.state import StateView
from oc_ops.settings import Settings
from tests.support.containers import inspected, runtime
from tests.support.sights import answer, call, gateway_process, nothing, sight
from tests.support.stage import DOWN, HUNG, Stage, finding, saw

STATE = Path("/home/me/.openclaw")
CONFIG = GatewayConfig(STATE / "openclaw.json", exists=True)
STORE = "/home/me/.openclaw/state/openclaw.sqlite"
NEWER = (
    "This OpenClaw build cannot open your existing data.\nOpenClaw state database "
    f"{STORE} uses newer schema version 99; this build supports 18.\nRefused by OpenClaw 2026.9.6 (eb377ac)."
)
LACKING = (
    "Error: Cannot find module '@buape/carbon'\nRequire stack:\n- /opt/openclaw/dist/ui-7MjYF8PY.js\n"
    "    at Function._resolveFilename (node:internal/modules/cjs/loader:1383:15)"
)
"""2026.4.5 and 2026.4.8, whose packages are incomplete."""
LEASED = (
    "OpenClaw startup migrations are already running for this state directory; retry after the other OpenClaw process "
    "finishes or after 2026-11-28T09:22:18.908Z. (held by pid 4242)"
)
OLD = (
    "Refusing to run automatic gateway startup migrations because this OpenClaw binary (2026.9.6) is older than the "
    "config last written by OpenClaw 2026.12.1."
)


def view(**changes: object) -> StateView:
    """A state directory in which nothing is wrong."""
    sound = StateView(STATE, Path(STORE), at_s=time.time(), lives=False, runner="me", by="it is theirs")
    return replace(sound, **changes)


def read_failed(words: str) -> Mapping[str, object]:
    """How 2026.9.6 tells of whatever kept it from reading its config."""
    return {
        "ok": False,
        "error": {"type": "cli_error", "message": "OpenClaw config is invalid: ~/.openclaw/openclaw.json"},
        "valid": False,
        "issues": [{"path": "<root>", "message": f"read failed: {words}"}],
    }


def failed(words: str) -> Mapping[str, object]:
    """How 2026.9.6 tells of what ended the validation itself."""
    return {"ok": False, "error": {"type": "cli_error", "message": words}, "valid": False}


def refuses(value: Mapping[str, object] | None, stderr: str = "") -> Answer:
    """A `config validate` that exits 1."""
    return answer(value, "config validate --json", "refused", stderr)


REFUSALS = {
    "malformed": (read_failed("Error: database disk image is malformed"), "state/corrupt"),
    "not-a-database": (read_failed("Error: file is not a database"), "state/corrupt"),
    "integrity": (failed("SqliteIntegrityError: SQLite integrity_check failed for state"), "state/corrupt"),
    "newer": (failed(NEWER), "state/newer-schema"),
    "newer-at-start": (failed("Gateway refused: 1 OpenClaw database schema(s) are newer than this build."),
                       "state/newer-schema"),
    "newer-2026.5.28": (failed("Plugin state database schema version 4 is newer than supported version 3."),
                        "state/newer-schema"),
    "outdated": (failed(OLD), "cli/outdated"),
    "leased": (failed(LEASED), "state/migrating"),
    "EACCES-read": (read_failed(f"Error: SQLite read-only worker EACCES: permission denied, open '{STORE}'"),
                    "state/unreadable"),
    "EACCES-stat": (failed(f"EACCES: permission denied, stat '{STORE}'"), "state/unreadable"),
    "EPERM-chmod": (failed("EPERM: operation not permitted, chmod '/home/me/.openclaw/state'"), "state/unreadable"),
    "full": (read_failed("Error: database or disk is full"), "host/disk-low"),
    "ENOSPC": (failed("ENOSPC: no space left on device, write"), "host/disk-low"),
}  # fmt: skip


@pytest.mark.parametrize(("value", "check"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_that_is_not_the_config_s_is_its_own_finding(value: Mapping[str, object], check: str) -> None:
    """Real texts: none is an invalid config, none says to repair it, none lets anything be started or deleted."""
    said = refuses(value)
    assert judge_cli.rejected_config(said, CONFIG) is None
    finding = judge.refused(said, view())
    assert finding is not None
    assert (finding.check, finding.severity) == (check, "error")
    assert finding.fix.startswith("none automatic: ")
    for word in ("repair", "openclaw.json", "sudo openclaw", "as root", "gateway run"):
        assert word not in finding.fix
    assert "{" not in finding.saw


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (refuses(read_failed("Error: the moon is in the wrong house")), "the moon is in the wrong house"),
        (refuses(failed("Something new\nwith a second line")), "Something new with a second line"),
        (refuses(None, "TypeError: x is not a function\n    at y.mjs:3"), "TypeError: x is not a function at y.mjs:3"),
        (refuses({"valid": False, "issues": []}), "it says nothing"),
        (Answer(call("config validate --json", "crashed", stderr="FATAL ERROR: heap"), None), "FATAL ERROR: heap"),
        (refuses(read_failed("Error: EROFS: read-only file system, open 'x'")), "EROFS: read-only file system"),
    ],
    ids=["read-failed", "its-own-error", "a-trace", "no-word", "crashed", "read-only"],
)
def test_an_unknown_refusal_is_quoted_whole_and_no_finding(said: Answer, words: str) -> None:
    """Nothing is guessed: neither the config nor anything else is accused."""
    assert judge_cli.rejected_config(said, CONFIG) is None
    assert judge.refused(said, view()) is None
    assert words in judge.unsaid(said)
    assert "\n" not in judge.unsaid(said)


def test_a_quoted_refusal_is_bounded() -> None:
    """A thousand characters say enough."""
    assert len(judge.unsaid(refuses(failed("x" * 100_000)))) < 1100


@pytest.mark.parametrize(
    "said",
    [
        answer({"valid": True, "issues": []}, "config validate --json"),
        answer(None, "config validate --json", "refused", "error: unknown command 'validate'"),
        answer(None, "config validate --json", "timed-out"),
        refuses({"valid": False, "issues": [{"path": "gateway.port", "message": "expected number"}]}),
    ],
    ids=["valid", "not-offered", "timed-out", "invalid"],
)
def test_what_refuses_nothing_or_names_the_config_is_not_quoted(said: Answer) -> None:
    """Valid, not offered, not ended; and the config's own fault, which is another finding."""
    assert judge.unsaid(said) == ""
    assert judge.refused(said, view()) is None


@pytest.mark.parametrize(
    "words",
    ["JSON5 parse failed: invalid character", "read failed: ConfigIncludeError: include file not found: a.json5",
     "read failed: MissingEnvVarError: environment variable X is missing"],
)  # fmt: skip
def test_what_is_wrong_with_the_config_s_text_stays_an_invalid_config(words: str) -> None:
    """Also where the release calls it a failed read."""
    finding = judge_cli.rejected_config(
        refuses({"valid": False, "issues": [{"path": "<root>", "message": words}]}), CONFIG
    )
    assert finding is not None
    assert (finding.check, words in finding.saw) == ("config/invalid", True)


def test_the_second_issue_may_be_the_config_s() -> None:
    """The first that speaks of the config is named."""
    issues = [{"path": "<root>", "message": "read failed: Error: x"}, {"path": "gateway.mode", "message": "is missing"}]
    finding = judge_cli.rejected_config(refuses({"valid": False, "issues": issues}), CONFIG)
    assert finding is not None
    assert "gateway.mode: is missing" in finding.saw


def test_a_permission_that_only_we_lack_says_nothing_of_the_gateway() -> None:
    """Whoever looks is not whoever runs it."""
    said = refuses(failed(f"EACCES: permission denied, stat '{STORE}'"))
    assert judge.refused(said, view(is_ours=False)) is None
    assert "EACCES" in judge.unsaid(said)


def test_beside_a_gateway_that_lives_it_is_the_command_that_is_too_old() -> None:
    """The data is the living gateway's own."""
    finding = judge.refused(refuses(failed(NEWER)), view(lives=True), [(Path("/opt/new/openclaw"), "2026.12.1")])
    assert finding is not None
    assert finding.check == "cli/outdated"
    assert "/opt/new/openclaw 2026.12.1" in finding.saw


def test_what_the_files_say_stands_beside_the_words() -> None:
    """Which build wrote it, by which schema, what else is installed and which backup is newest."""
    seen = view(schema=99, writer="2026.12.1", backups=((time.time() - 3600 * 30, STATE / "x.bak"),))
    finding = judge.refused(refuses(failed(NEWER)), seen, [(Path("/opt/openclaw"), "2026.9.6")])
    assert finding is not None
    for word in ("schema 99, last written by build 2026.12.1", "/opt/openclaw 2026.9.6", "x.bak, 30 h old"):
        assert word in finding.saw


@pytest.mark.parametrize(
    ("version", "wrote", "environ", "old"),
    [
        ("2026.9.6", "2026.12.1", {}, True),
        ("2026.9.6", "2027.1.0", {}, True),
        ("2026.7.1-2", "2026.9.2", {}, True),
        ("2026.9.6", "2026.9.6", {}, False),
        ("2026.9.6", "2026.9.6-1", {}, False),
        ("2026.9.6", "2026.5.28", {}, False),
        ("2026.9.6", "", {}, False),
        ("2026.9.6", "unknown", {}, False),
        ("", "2026.12.1", {}, False),
        ("2026.2.26", "2026.9.6", {}, False),
        ("2026.9.6", "2026.12.1", {"OPENCLAW_ALLOW_OLDER_BINARY_DESTRUCTIVE_ACTIONS": "1"}, False),
        ("2026.9.6", "2026.12.1", {"OPENCLAW_ALLOW_OLDER_BINARY_DESTRUCTIVE_ACTIONS": "0"}, True),
    ],
)
def test_a_command_older_than_the_config_s_last_writer(
    version: str, wrote: str, environ: Mapping[str, str], old: bool
) -> None:
    """By the numbers that lie on the disk; a release that starts all the same, and a wanted downgrade, are let be."""
    config = dataclasses.replace(CONFIG, written_by=wrote)
    finding = judge.outdated(config, Path("/usr/bin/openclaw"), version, (), environ)
    assert (finding is not None) == old
    if finding is not None:
        assert finding.check == "cli/outdated"
        assert f"/usr/bin/openclaw is {version}" in finding.saw


def test_every_openclaw_here_is_listed_once(tmp_path: Path) -> None:
    """Also behind links and shims, without starting any."""
    folders = []
    for name, version in (("a", "2026.9.6"), ("b", "2026.12.1")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "package.json").write_text(f'{{"name": "openclaw", "version": "{version}"}}')
        (folder / "openclaw").write_text("#!/bin/false\n")
        (folder / "openclaw").chmod(0o755)
        folders.append(folder)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "openclaw").symlink_to(folders[0] / "openclaw")
    path = os.pathsep.join(map(str, (folders[0], tmp_path / "link", folders[1], tmp_path / "none")))
    seen = list(install.everywhere({"PATH": path}, tmp_path))
    assert [each for each in seen if each[0].is_relative_to(tmp_path)] == [
        (folders[0] / "openclaw", "2026.9.6"),
        (folders[1] / "openclaw", "2026.12.1"),
    ]


# -- what recovery does about it --------------------------------------------------------------------------------------


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A gateway that is down, with a unit that could start it."""
    made = Stage(tmp_path, monkeypatch)
    made.looks, made.seen = [DOWN], [saw("gateway/down")]
    return made


def test_a_start_is_refused_while_the_database_is_damaged(stage: Stage) -> None:
    """By the files, before any command is called."""
    (stage.state / "state").mkdir()
    (stage.state / "state" / "openclaw.sqlite").write_bytes(b"no database" * 99)
    outcome = stage.recover(force=True)
    assert (outcome.exit, outcome.acted, stage.calls) == (4, False, [])
    assert "state database is damaged" in outcome.why


def test_a_start_is_refused_while_a_migration_is_under_way(stage: Stage) -> None:
    """Until its lease ends."""
    (stage.state / "state").mkdir()
    with closing(sqlite3.connect(stage.state / "state" / "openclaw.sqlite")) as store, store:
        store.execute("CREATE TABLE state_leases (scope TEXT, expires_at INTEGER, payload_json TEXT)")
        until_ms = round(time.time() * 1000) + 200_000
        store.execute("INSERT INTO state_leases VALUES ('startup-migrations', ?, '{}')", (until_ms,))
    outcome = stage.recover(force=True)
    assert (outcome.exit, outcome.acted, stage.calls) == (4, False, [])
    assert "a start-up migration holds the state until" in outcome.why


@pytest.mark.parametrize(("look", "cause"), [(DOWN, "gateway/down"), (HUNG, "gateway/hung")], ids=["start", "restart"])
def test_nothing_is_started_that_could_not_use_its_state(
    look: object, cause: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor restarted: the exact command that gives the pieces back is what helps."""
    stage.looks, stage.seen = [look], [saw(cause)]  # type: ignore[list-item]
    monkeypatch.setattr(state, "_runner", lambda *_: (os.geteuid() + 4711, "it is theirs"))
    stage.state.chmod(0o700)
    outcome = stage.recover(force=True)
    assert (outcome.exit, outcome.acted, stage.calls) == (4, False, [])
    assert "sudo chown -R" in outcome.why


def test_a_start_by_another_account_than_the_gateway_s_is_not_tried(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command as another user leaves files that the gateway cannot use: the fault that it would have to mend."""
    monkeypatch.setattr(state, "_runner", lambda *_: (os.geteuid() + 4711, "it is theirs"))
    monkeypatch.setattr(state, "_may", lambda *_: True)
    outcome = stage.recover(force=True)
    assert (outcome.exit, outcome.acted, stage.calls) == (2, False, [])
    assert "recover it as that user" in outcome.why


def test_a_start_by_an_older_command_is_refused(stage: Stage) -> None:
    """By the numbers on the disk."""
    stage.configure(meta={"lastTouchedVersion": "2027.1.1"})
    (stage.root / "package.json").write_text('{"name": "openclaw", "version": "2026.9.6"}')
    outcome = stage.recover(force=True)
    assert (outcome.exit, outcome.acted, stage.calls) == (4, False, [])
    assert "meta.lastTouchedVersion" in outcome.why


@pytest.mark.parametrize(
    ("value", "exit_", "words"),
    [
        (failed(NEWER), 4, "written by a newer OpenClaw"),
        (read_failed(LACKING), 2, "Cannot find module '@buape/carbon' at Function._resolveFilename"),
        (
            read_failed("Error: the moon"),
            2,
            "whether a start can succeed is not known: `openclaw config validate` fails",
        ),
    ],
    ids=["known", "incomplete", "unknown"],
)
def test_a_start_is_refused_by_openclaw_s_own_words(
    value: Mapping[str, object], exit_: int, words: str, stage: Stage
) -> None:
    """A reason that is not known is no leave to try it."""
    stage.answers["config validate"] = (1, value)
    outcome = stage.recover(force=True)
    assert (outcome.exit, outcome.acted, stage.acts) == (exit_, False, [])
    assert words in outcome.why
    assert "Require stack" not in outcome.why


def test_a_sound_gateway_that_is_down_is_started(stage: Stage) -> None:
    """The healthy twin: the files are sound, the validation accepts, and the one start is made."""
    (stage.state / "state").mkdir()
    with closing(sqlite3.connect(stage.state / "state" / "openclaw.sqlite")) as store, store:
        store.execute("CREATE TABLE state_leases (scope TEXT, expires_at INTEGER, payload_json TEXT)")
    stage.seen = [saw("gateway/down"), saw("gateway/down"), saw()]
    stage.recover()
    assert stage.acts == ["gateway start --json"]


def test_could_not_look_is_what_it_raises() -> None:
    """The doctor's verdict of an unknown refusal is unknown."""
    from oc_ops.doctor import start
    from oc_ops.observe.target import locate

    with pytest.raises(CouldNotLook, match="the moon"):
        start.refused(refuses(failed("the moon")), locate({"HOME": "/home/me"}), CONFIG, view())


def test_a_refusal_that_another_account_got_says_so() -> None:
    """What would let us see is to look as the gateway's user."""
    from oc_ops.doctor import start
    from oc_ops.observe.target import locate

    said = refuses(read_failed("Error: Unsafe fallback OpenClaw temp dir: /home/u/.cache/openclaw-0"))
    with pytest.raises(CouldNotLook, match="the gateway's user is me, another than ours"):
        start.refused(said, locate({"HOME": "/home/me"}), CONFIG, view(is_ours=False))


def with_log(home: Path, *lines: str) -> Gateway:
    """A gateway whose own log ends with these lines."""
    log = home / "gateway.log"
    log.write_text("".join(f"{line}\n" for line in lines))
    folder = home / ".openclaw"
    folder.mkdir()
    (folder / "openclaw.json").write_text(json.dumps({"logging": {"file": str(log)}}))
    return Gateway(Settings(memory_dir=home / "memory"), {"HOME": str(home), "PATH": "/usr/bin:/bin"})


def line(time: datetime, message: str) -> str:
    """A record as 2026.9.6 writes it."""
    return json.dumps({"time": time.isoformat(), "message": message, "_meta": {"logLevelName": "INFO"}})


@pytest.mark.parametrize(
    ("ago_s", "message", "check"),
    [
        (20, "received SIGUSR2; restarting", "gateway/starting"),
        (20, "restart mode: in-process restart (OPENCLAW_NO_RESPAWN)", "gateway/starting"),
        (400, "restart mode: in-process restart (OPENCLAW_NO_RESPAWN)", "gateway/zombie"),
        (-400, "received SIGUSR2; restarting", "gateway/zombie"),
        (20, "all operations and replies completed", "gateway/zombie"),
    ],
    ids=["a signal", "its mode", "beyond the start budget", "from the future", "another word"],
)
def test_a_process_that_starts_anew_inside_itself_is_no_zombie(
    ago_s: float, message: str, check: str, tmp_path: Path
) -> None:
    """Its port is closed meanwhile, 4 to 5 s on a quiet machine: to end that pid would harm a gateway that is well."""
    now = datetime.now(UTC)
    zombie = finding("gateway/zombie")
    gateway = with_log(tmp_path, line(now - timedelta(seconds=ago_s), message))
    found = start.with_restart(gateway, zombie, now)
    assert found is not None
    assert found.check == check
    if check == "gateway/starting":
        assert (found.severity, "at most 220 s more" in found.fix) == ("warning", True), found
        assert "restart in place at" in found.saw
    assert start.with_restart(gateway, None, now) is None


SUSPENDED, RESUMED = "admission closed: suspend phase", "admission reopened: suspend phase"


@pytest.mark.parametrize(
    ("said", "frozen"),
    [
        ((SUSPENDED,), True),
        ((SUSPENDED, RESUMED), False),
        ((SUSPENDED, "loading configuration…"), False),
        ((RESUMED, SUSPENDED), True),
        (("admission closed: restart-signal fence",), False),
    ],
    ids=["suspended", "resumed", "started since", "again", "a restart's fence"],
)
@pytest.mark.parametrize("status", ["stopped", "sleeping"])
def test_a_suspended_gateway_that_is_frozen_is_left_to_who_froze_it(
    said: tuple[str, ...], frozen: bool, status: str, tmp_path: Path
) -> None:
    """`openclaw gateway suspend` and then SIGSTOP, as seen on 2026.9.6: neither let go on nor restarted, by the log."""
    now = datetime.now(UTC)
    lines = [line(now - timedelta(seconds=60 - number), word) for number, word in enumerate(said)]
    gateway, process = with_log(tmp_path, *lines), gateway_process(status=status)
    mute = nothing("silent")
    found = cause_now(gateway, sight(mute, again=mute, processes=(process,)))
    assert found is not None
    assert (found.check, bool(found.proof)) == ("gateway/hung", not frozen)
    assert found.fix.startswith("none automatic: end the freeze") == frozen
    refused = by_hand(cure_of(found.check), found)
    assert ("a suspension is its owner's to end" in refused) == frozen
    assert found.fix.endswith(f"kill -CONT {process.pid}") == (status == "stopped")


@pytest.mark.parametrize(
    "word", ["gateway ready", "http server listening (14 plugins)", "listening on ws://127.0.0.1:1"]
)
def test_a_restart_that_came_up_explains_no_port_that_closed_afterwards(word: str, tmp_path: Path) -> None:
    """It lives and listens nowhere, as before; the restart was over by its own word."""
    now = datetime.now(UTC)
    lines = [line(now - timedelta(seconds=90), "received SIGUSR1; restarting"), line(now - timedelta(seconds=80), word)]
    found = start.with_restart(with_log(tmp_path, *lines), finding("gateway/zombie"), now)
    assert found is not None
    assert found.check == "gateway/zombie"


@pytest.mark.parametrize(
    ("words", "check"),
    [
        ("received SIGUSR2; restarting", "gateway/starting"),
        ("http server listening (14 plugins)", "gateway/zombie"),
    ],
)
def test_a_restart_in_place_is_seen_in_what_a_container_prints(words: str, check: str, tmp_path: Path) -> None:
    """Seen on 2026.9.6 in podman, on a busy machine: closed for longer than a look waits, and up 4 s after it."""
    now = datetime.now(UTC)
    stamp = (now - timedelta(seconds=12)).isoformat()
    printed = f"{stamp} \x1b[90m{stamp}\x1b[39m \x1b[36m[gateway]\x1b[39m \x1b[36m{words}\x1b[39m"
    extra = f"if words[0] == 'logs': sys.exit(print({printed!r}) or 0)"
    runtime(tmp_path / "bin", inspected(), extra=extra)
    environ = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    gateway = Gateway(Settings(memory_dir=tmp_path / "memory", target="podman:cell"), environ)
    found = start.with_restart(gateway, finding("gateway/zombie"), now)
    assert found is not None
    assert (found.check, found.fix.startswith("none automatic: wait")) == (check, check == "gateway/starting")
