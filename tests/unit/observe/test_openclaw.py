"""The CLI as methods: what is called, how quietly, how often, and what is made of the answer."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import shutil
import signal
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from oc_ops.errors import CouldNotLook
from oc_ops.locks import single_flight
from oc_ops.observe.openclaw import Openclaw, alarm_s
from oc_ops.observe.target import locate
from oc_ops.process.run import Call
from oc_ops.settings import ENDING_S, Settings

FAKE = Path(__file__).parents[2] / "fakes" / "scripted_openclaw"
TOKEN = "t0ken-of-the-gateway"
OK = {"stdout": '{"ok": true}'}
NEW, MIDDLE, OLD = "2026.9.6", "2026.5.28", "2026.2.26"


class Bench:
    """An installed release that answers by a table, on a state directory of its own."""

    def __init__(self, folder: Path, release: str | None, answers: list[dict[str, object]], **environ: str) -> None:
        package = folder / "package"
        package.mkdir()
        self.executable = package / "openclaw"
        shutil.copy(FAKE, self.executable)
        if release:
            (package / "package.json").write_text(json.dumps({"name": "openclaw", "version": release}))
        self._calls = folder / "calls"
        table = folder / "table.json"
        table.write_text(json.dumps({"calls": str(self._calls), "answers": answers}))
        (folder / "temp").mkdir()
        self.environ = {
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "SCRIPTED_OPENCLAW": str(table),
            **environ,
        }
        (folder / ".openclaw").mkdir()
        self.settings = Settings(call_s=10.0, linger_s=0.3, cli_timeout_s=4.0)
        self.lock = folder / "locks" / "cli.lock"
        self.told: list[Call] = []
        self.left_s = math.inf

    def openclaw(self, profile: str | None = None) -> Openclaw:
        """The room under test."""
        target = locate(self.environ, profile)
        return Openclaw(self.executable, target, self.settings, self.lock, self.told.append, lambda: self.left_s)

    def calls(self) -> list[dict[str, Any]]:
        """What the fake was called with, in order."""
        return [json.loads(line) for line in self._calls.read_text().splitlines()] if self._calls.exists() else []

    def argvs(self) -> list[list[str]]:
        """The command lines, in order."""
        return [each["argv"] for each in self.calls()]


Make = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Set one up; temporary files go where the test can look for what is left of them."""

    def make(*answers: dict[str, object], release: str | None = NEW, **environ: str) -> Bench:
        made = Bench(tmp_path, release, list(answers), **environ)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "temp"))
        return made

    return make


BROWSER = json.dumps({"method": "GET", "path": "/", "query": {"profile": "openclaw"}})


@pytest.mark.parametrize(
    ("ask", "argv"),
    [
        (Openclaw.gateway_status, ["gateway", "status", "--json", "--require-rpc", "--timeout", "4000"]),
        (Openclaw.cron_list, ["cron", "list", "--json", "--all", "--timeout", "4000"]),
        (Openclaw.cron_status, ["cron", "status", "--json", "--timeout", "4000"]),
        (Openclaw.status, ["gateway", "call", "status", "--json", "--timeout", "4000"]),
        (
            Openclaw.browser_status,
            ["gateway", "call", "browser.request", "--params", BROWSER, "--json", "--timeout", "4000"],
        ),
        (Openclaw.config_validate, ["config", "validate", "--json"]),
    ],
)
def test_each_method_is_one_call(bench: Make, ask: Callable[[Openclaw], Any], argv: list[str]) -> None:
    """The exact words, in milliseconds and with a time limit wherever the command has one."""
    made = bench(OK)
    answer = ask(made.openclaw())
    assert made.argvs() == [argv]
    assert (answer.came, answer.value) == (True, {"ok": True})


def test_the_version_is_asked_and_kept(bench: Make) -> None:
    """`--version` wins over the package, which may have been updated under a running gateway."""
    made = bench({"when": ["--version"], "stdout": "OpenClaw 2026.7.1-2 (abc)\n"})
    openclaw = made.openclaw()
    before = openclaw.release
    assert openclaw.version().outcome == "answered"
    assert (before, openclaw.release) == ((2026, 9, 6), (2026, 7, 1, 2))
    assert made.argvs() == [["--version"]]


def test_the_option_that_a_release_lacks_is_dropped_once(bench: Make) -> None:
    """2026.2.26 has no --require-rpc: asked again without it, remembered, and every call is told."""
    made = bench(
        {"when": ["--require-rpc"], "exit": 1, "stderr": "error: unknown option '--require-rpc'\n"},
        {"stdout": '{"rpc": {"ok": true}}'},
        release=OLD,
    )
    openclaw = made.openclaw()
    assert openclaw.gateway_status().came
    assert openclaw.gateway_status().came
    assert ["--require-rpc" in argv for argv in made.argvs()] == [True, False, False]
    assert [call.outcome for call in made.told] == ["refused", "answered", "answered"]


def test_another_refusal_is_not_asked_again(bench: Make) -> None:
    """A gateway in trouble is not burdened twice."""
    made = bench({"exit": 1, "stdout": '{"rpc": {"ok": false, "error": "timeout\\nmore"}}', "stderr": "noise\n"})
    answer = made.openclaw().gateway_status()
    assert len(made.calls()) == 1
    assert (answer.came, answer.error) == (False, "timeout")


@pytest.mark.parametrize(
    ("answer", "came", "error"),
    [
        ({"stdout": "│ box\n{\n  \"ok\": true\n}\n[plugins] bye\n"}, True, ""),
        ({"stderr": '[plugins] x\n{"ok": true}\n'}, True, "[plugins] x"),
        ({"stdout": "no json"}, False, ""),
        ({"exit": 1, "stderr": "\n  Error: gateway timeout after 30000ms\nGateway target: x\n"}, False,
         "Error: gateway timeout after 30000ms"),
        ({"exit": 1, "stdout": '{"ok":false,"error":{"type":"cli_error","message":"Gateway not reachable"}}'}, False,
         "Gateway not reachable"),
        ({"stdout": '{"ok": true}', "then": "hang"}, True, ""),
        ({"stdout": '{\n  "jobs": [\n  {"id": 1},\n', "then": "hang"}, False, ""),
    ],
    ids=["polluted", "on stderr", "none", "plain error", "json error", "lingers", "torn, then hangs"],
)  # fmt: skip
def test_the_answer_is_judged_by_its_content(bench: Make, answer: dict[str, object], came: bool, error: str) -> None:
    """JSON wherever it stands counts, an error is the CLI's own words, and half an answer is none."""
    made = bench(answer)
    made.settings = Settings(call_s=1.5, linger_s=0.3)
    found = made.openclaw().cron_list()
    assert (found.came, found.error) == (came, error)


@pytest.mark.parametrize(
    ("stdout", "outcome"), [('{"ok": true}', "lingered"), ('{\n  "jobs": [\n  {"id": 1},\n', "timed-out")]
)
def test_answered_and_lingered_is_not_timed_out(bench: Make, stdout: str, outcome: str) -> None:
    """Only a whole answer lets a call that does not exit count as answered."""
    made = bench({"stdout": stdout, "then": "hang"})
    made.settings = Settings(call_s=1.5, linger_s=0.3)
    assert made.openclaw().cron_list().call.outcome == outcome


def test_a_missing_executable_is_an_outcome(bench: Make) -> None:
    """It may vanish under a running doctor, in the middle of an update."""
    made = bench(OK)
    openclaw = made.openclaw()
    made.executable.unlink()
    answer = openclaw.cron_list()
    assert (answer.came, answer.value, answer.call.outcome) == (False, None, "missing")
    assert made.told[-1] is answer.call


# -- profile and environment ------------------------------------------------------------------------------------


def test_a_chosen_profile_is_on_the_command_line(bench: Make) -> None:
    """First, as a root option, where every release takes it; its folders are in the environment as well."""
    made = bench(OK)
    made.openclaw("work").cron_list()
    call = made.calls()[0]
    assert call["argv"][:4] == ["--profile", "work", "cron", "list"]
    assert call["environ"]["OPENCLAW_STATE_DIR"].endswith("/.openclaw-work")


def test_an_inherited_profile_is_not_made_an_option(bench: Make) -> None:
    """OPENCLAW_PROFILE alone moves no folder, `--profile` would."""
    made = bench(OK, OPENCLAW_PROFILE="work")
    made.openclaw().cron_list()
    call = made.calls()[0]
    assert call["argv"][0] == "cron"
    assert call["environ"]["OPENCLAW_PROFILE"] == "work"


def test_the_call_gets_the_target_s_environment_and_no_more(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor's own environment stays with it; what is added makes the call cheaper and its text plain."""
    monkeypatch.setenv("DOCTOR_S_OWN", "1")
    made = bench(OK)
    made.openclaw().cron_list()
    environ = made.calls()[0]["environ"]
    assert "DOCTOR_S_OWN" not in environ
    assert (environ["NO_COLOR"], environ["OPENCLAW_NO_RESPAWN"]) == ("1", "1")
    assert str(made.executable.parent) in environ["PATH"].split(os.pathsep)


def test_no_token_is_on_a_command_line(bench: Make) -> None:
    """Command lines are seen by every user of the machine."""
    made = bench(OK, OPENCLAW_GATEWAY_TOKEN=TOKEN)
    (Path(made.environ["HOME"]) / ".openclaw/openclaw.json").write_text(
        json.dumps({"gateway": {"auth": {"token": TOKEN}}})
    )
    openclaw = made.openclaw()
    for ask in (Openclaw.gateway_status, Openclaw.cron_list, Openclaw.status, Openclaw.browser_status):
        ask(openclaw)
    assert TOKEN not in json.dumps(made.argvs())
    assert TOKEN not in repr([call.argv for call in made.told])


# -- quiet in the gateway's log ---------------------------------------------------------------------------------


def paired(made: Bench) -> None:
    """Leave what a paired CLI leaves in the state directory."""
    identity = Path(made.environ["HOME"]) / ".openclaw" / "identity"
    identity.mkdir(parents=True)
    (identity / "device-auth.json").write_text("{}")


def in_database(made: Bench, *statements: str) -> None:
    """Leave a state database with what these statements make of it."""
    path = Path(made.environ["HOME"]) / ".openclaw" / "state" / "openclaw.sqlite"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as database:
        for each in (
            "CREATE TABLE device_auth_tokens (device_id TEXT, role TEXT, token TEXT)",
            "CREATE TABLE device_identities (identity_key TEXT, device_id TEXT)",
            "CREATE TABLE device_pairing_paired (device_id TEXT)",
            *statements,
        ):
            database.execute(each)
        database.commit()


@pytest.mark.parametrize(
    ("statements", "asked"),
    [((), True), (("DROP TABLE device_auth_tokens", "DROP TABLE device_pairing_paired"), False)],
    ids=["pairings in the database", "no such tables"],
)
@pytest.mark.parametrize("release", ["2026.7.1-2", "2026.8.2", MIDDLE])
def test_where_the_database_keeps_pairings_a_first_call_binds_nothing(
    bench: Make, release: str, statements: tuple[str, ...], asked: bool
) -> None:
    """Seen by its tables, not by the release: a CLI with the gateway's token is not paired there at all."""
    made = bench(OK, release=release)
    in_database(made, *statements)
    openclaw = made.openclaw()
    assert (openclaw.refusal() is None) == asked
    if asked:
        assert openclaw.cron_list().came
    else:
        with pytest.raises(CouldNotLook, match="never paired"):
            openclaw.cron_list()
        assert made.argvs() == []


def test_a_pairing_that_cannot_be_seen_is_not_denied(bench: Make) -> None:
    """A damaged database says nothing of it: asked nothing, and told as that."""
    made = bench(OK, release="2026.8.2")
    (Path(made.environ["HOME"]) / ".openclaw" / "state").mkdir()
    (Path(made.environ["HOME"]) / ".openclaw" / "state" / "openclaw.sqlite").write_text("no database")
    assert "cannot be seen to be paired" in (made.openclaw().refusal() or "")


def test_what_asks_no_gateway_is_never_refused(bench: Make) -> None:
    """The config is validated by the command itself, paired or not."""
    made = bench({"stdout": '{"valid": true}'}, release="2026.8.2")
    assert made.openclaw().config_validate().came
    assert made.openclaw().version().outcome == "answered"


def test_our_calls_go_to_the_gateway_looked_at(bench: Make) -> None:
    """A URL in this shell or in the state directory's .env would send them to another one: an empty one hides both."""
    made = bench(OK, OPENCLAW_GATEWAY_URL="ws://192.0.2.2:1")
    made.openclaw().cron_list()
    assert made.calls()[0]["environ"]["OPENCLAW_GATEWAY_URL"] == ""


@pytest.mark.parametrize("release", [NEW, MIDDLE, "2026.10.1"])
def test_newer_releases_are_silenced_by_their_log_level(bench: Make, release: str) -> None:
    """From 2026.5.28 on; the operator's own config file is used."""
    made = bench(OK, release=release)
    paired(made)
    made.openclaw().cron_list()
    environ = made.calls()[0]["environ"]
    assert environ["OPENCLAW_LOG_LEVEL"] == "silent"
    assert "OPENCLAW_CONFIG_PATH" not in environ


def test_older_releases_log_elsewhere_through_a_private_copy(bench: Make, tmp_path: Path) -> None:
    """2026.2.26 crashes on the log level: it gets a 0600 copy of the config, and nothing of it is left."""
    made = bench(OK, release=OLD)
    (tmp_path / ".openclaw/openclaw.json").write_text(json.dumps({"gateway": {"auth": {"token": TOKEN}}, "x": [1]}))
    made.openclaw().cron_list()
    call = made.calls()[0]
    assert "OPENCLAW_LOG_LEVEL" not in call["environ"]
    assert call["environ"]["OPENCLAW_STATE_DIR"] == str(tmp_path / ".openclaw")
    assert call["config"]["mode"] == stat.S_IRUSR | stat.S_IWUSR
    copy = json.loads(call["config"]["text"])
    assert Path(copy.pop("logging")["file"]).parent == Path(call["environ"]["OPENCLAW_CONFIG_PATH"]).parent
    assert copy == {"gateway": {"auth": {"token": "${OC_OPS_SECRET_0}"}}, "x": [1]}
    assert call["environ"]["OC_OPS_SECRET_0"] == TOKEN
    assert TOKEN not in call["config"]["text"]
    assert list((tmp_path / "temp").rglob("scratch/*")) == []


def test_where_nothing_can_be_written_an_older_release_is_not_asked(
    bench: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full or missing folder is one sentence, not a traceback in the middle of a recovery."""
    made = bench(OK, release=OLD)
    (tmp_path / "in-the-way").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "in-the-way"))
    with pytest.raises(CouldNotLook, match=r"for a call that is silent in the gateway's log: .*Not a directory"):
        made.openclaw().config_validate()
    assert made.argvs() == []


def test_a_broken_config_is_asked_about_as_it_is(bench: Make, tmp_path: Path) -> None:
    """No copy can mean the same: the call sees the operator's own file."""
    made = bench(OK, release=OLD)
    (tmp_path / ".openclaw/openclaw.json").write_text("{,")
    made.openclaw().cron_list()
    assert "OPENCLAW_CONFIG_PATH" not in made.calls()[0]["environ"]
    assert list((tmp_path / "temp").rglob("scratch/*")) == []


# -- the pairing trap -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", [MIDDLE, "2026.4.1", "2026.9.5"])
def test_a_virgin_install_is_not_paired_by_us(bench: Make, release: str) -> None:
    """On these releases the first call decides the CLI's scopes for ever: no process is started."""
    made = bench(OK, release=release)
    openclaw = made.openclaw()
    with pytest.raises(CouldNotLook, match="never paired with this gateway"):
        openclaw.cron_list()
    assert (made.calls(), made.told) == ([], [])


@pytest.mark.parametrize("release", [NEW, OLD])
def test_releases_without_the_trap_are_asked(bench: Make, release: str) -> None:
    """2026.2.26 and 2026.9.6 do not pair by a read."""
    made = bench(OK, release=release)
    openclaw = made.openclaw()
    assert openclaw.refusal() is None
    assert openclaw.cron_list().came


def test_a_paired_install_is_asked(bench: Make) -> None:
    """The operator's own first write paired it."""
    made = bench(OK, release=MIDDLE)
    paired(made)
    assert made.openclaw().cron_list().came


def test_a_shim_that_hides_the_release_is_asked_for_it_first(bench: Make) -> None:
    """Without a package.json the trap must not be stepped into unseen; `--version` pairs nothing."""
    made = bench({"when": ["--version"], "stdout": "2026.5.28\n"}, OK, release=None)
    openclaw = made.openclaw()
    for _ in range(2):
        with pytest.raises(CouldNotLook, match="never paired"):
            openclaw.cron_list()
    assert made.argvs() == [["--version"]]


def test_a_shim_that_does_not_tell_is_asked_once(bench: Make) -> None:
    """A version that cannot be had costs one call, not one before each."""
    made = bench({"when": ["--version"], "exit": 1}, OK, release=None)
    openclaw = made.openclaw()
    assert openclaw.cron_list().came
    assert openclaw.cron_list().came
    assert [argv[0] for argv in made.argvs()] == ["--version", "cron", "cron"]


# -- one at a time ----------------------------------------------------------------------------------------------


def ask_for_cron(made: Bench) -> None:
    """In a process of its own."""
    made.openclaw().cron_list()


def test_calls_of_two_processes_do_not_overlap(bench: Make) -> None:
    """Single flight: the second call begins when the first has ended."""
    made = bench({**OK, "wait_s": 0.5})
    made.told = []
    others = [multiprocessing.get_context("fork").Process(target=ask_for_cron, args=(made,)) for _ in range(2)]
    for each in others:
        each.start()
    for each in others:
        each.join(30)
    assert [each.exitcode for each in others] == [0, 0]
    first, second = sorted(made.calls(), key=lambda call: float(call["began"]))
    assert first["ended"] <= second["began"]


def test_a_flight_that_does_not_end_is_could_not_look(bench: Make) -> None:
    """Another's call that holds the lock too long is named; no call of ours is started."""
    made = bench(OK)
    made.settings = Settings(cli_lock_s=0.2)
    with single_flight(made.lock, 5), pytest.raises(CouldNotLook, match=f"held by process {os.getpid()}"):
        made.openclaw().cron_list()
    assert made.calls() == []


def test_every_call_is_handed_over(bench: Make) -> None:
    """Transcripts and costs rest on this: also a failed call, also the version."""
    made = bench({"when": ["cron"], "exit": 1}, OK)
    openclaw = made.openclaw()
    openclaw.version()
    openclaw.cron_list()
    openclaw.status()
    assert [(call.argv[1], call.outcome) for call in made.told] == [
        ("--version", "answered"),
        ("cron", "refused"),
        ("gateway", "answered"),
    ]


def test_a_call_that_is_cut_short_is_handed_over(bench: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever interrupts a call, its transcript is kept before the exception goes on."""

    def interrupt(_output: str) -> None:
        raise KeyboardInterrupt

    made = bench({"stdout": "so far", "then": "hang"})
    monkeypatch.setattr("oc_ops.observe.openclaw.json_object", interrupt)
    with pytest.raises(KeyboardInterrupt):
        made.openclaw().cron_list()
    (call,) = made.told
    assert (call.outcome, call.stdout.text, call.deadline_s) == ("timed-out", "so far", made.settings.call_s)
    assert "was cut short after " in call.summary
    with single_flight(made.lock, 0):
        pass


# -- within the check that asks -----------------------------------------------------------------------------------


def test_the_alarm_of_the_process_is_what_is_left() -> None:
    """pytest-timeout's timer is the one that would cut a check short; without one there is no end."""
    before = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        assert alarm_s() == math.inf
        signal.setitimer(signal.ITIMER_REAL, 50)
        assert 49 < alarm_s() <= 50
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)


@pytest.mark.parametrize("left_s", [5.99, 0.0, -1.0])
def test_no_call_is_begun_that_has_no_time(bench: Make, left_s: float) -> None:
    """A gateway is not asked by a check that could not hear the answer: could not look, and says what for."""
    made = bench(OK)
    made.left_s = left_s
    assert made.settings.cli_timeout_s + made.settings.kill_grace_s + ENDING_S == 6
    with pytest.raises(CouldNotLook, match=r"no time left for `openclaw cron list`: its check ends in -?\d\.\d s"):
        made.openclaw().cron_list()
    assert (made.calls(), made.told, made.lock.exists()) == ([], [], False)


def test_a_call_gets_what_its_check_has_left(bench: Make) -> None:
    """The whole deadline where there is time for it, else what is left after the ending; never beyond the check."""
    made = bench(OK)
    openclaw = made.openclaw()
    for left_s in (math.inf, 60.0, 12.0, 8.0):
        made.left_s = left_s
        assert openclaw.cron_list().came
    assert [call.deadline_s for call in made.told] == [10.0, 10.0, 10.0, 6.0]


def test_a_call_that_had_too_little_time_accuses_nobody(bench: Make) -> None:
    """Timed out before its whole deadline is could-not-look, with a transcript; after it, it is an outcome."""
    made = bench({"stdout": "so far", "then": "hang"})
    made.settings = Settings(call_s=4.0, linger_s=0.1, cli_timeout_s=1.5, kill_grace_s=0.2)
    made.left_s = 1.5 + 0.2 + ENDING_S + 0.2
    with pytest.raises(CouldNotLook, match=r"timed out after \d\.\d s: its check had no more time for it"):
        made.openclaw().cron_list()
    made.left_s = 60.0
    assert made.openclaw().cron_list().call.outcome == "timed-out"
    assert [call.stdout.text for call in made.told] == ["so far", "so far"]


def test_another_s_call_is_waited_for_within_the_check(bench: Make) -> None:
    """The wait for the lock leaves time for the call that it is for."""
    made = bench(OK)
    made.left_s = 6.2
    with single_flight(made.lock, 5), pytest.raises(CouldNotLook, match=r"waited 0\.2 s for it"):
        made.openclaw().cron_list()
    assert made.calls() == []
