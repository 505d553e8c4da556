"""The last words of a gateway that is down: of its last start, by whoever kept them, and whether they still hold."""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from oc_ops.judge import lifecycle as judge
from oc_ops.judge.finding import Finding
from oc_ops.observe import config, lastwords
from oc_ops.observe.container import Container
from oc_ops.observe.lastwords import LastWords
from oc_ops.observe.logs import journal, parse
from oc_ops.observe.service import NO_SERVICE, Service
from oc_ops.observe.target import locate
from oc_ops.process.run import Call
from oc_ops.record.redact import Redactor
from tests.support.sights import call

NOW = datetime(2026, 11, 28, 14, 0, tzinfo=UTC)
DOWN = Finding("gateway/down", "error", "nothing listens", "refused", "openclaw gateway start", proof="it rests")
GATEWAY, BARE = '{"subsystem":"gateway"}', "openclaw"
BEGIN = (GATEWAY, "INFO", "loading configuration…")
# As 2026.9.6 wrote each of these when it was made to end so.
LAN = (BARE, "ERROR", "Refusing to bind gateway to lan without auth.\nSet OPENCLAW_GATEWAY_TOKEN or …")
SECRETS = (BARE, "ERROR", "Gateway failed to start: Startup failed: required secrets are unavailable.. Run openclaw …")
MIGRATION = (GATEWAY, "ERROR", "gateway requires state migration. Stop the service with openclaw gateway stop …")
IN_USE = (BARE, "ERROR", "Gateway failed to start: another gateway instance is already listening | EADDRINUSE")
STOPPED = (GATEWAY, "INFO", "received SIGTERM; shutting down")
CLEANLY = (GATEWAY, "INFO", "completed cleanly in 526ms")
OF_A_COMMAND = (BARE, "ERROR", "gateway closed (1006 abnormal closure (no close frame)): no close reason")

BLANK = (
    BARE, "ERROR",
    "Gateway failed to start: Invalid config: gateway auth token is blank, a published example placeholder, or the "
    "literal string undefined/null. Generate a real secret …",
)  # fmt: skip
NO_CERT = (BARE, "ERROR", "Gateway failed to start: gateway tls: cert/key missing. Run openclaw gateway status …")
NO_ADDRESS = (
    BARE, "ERROR",
    "Gateway failed to start: gateway bind=custom requested {} but resolved 0.0.0.0; refusing fallback. Run …",
)  # fmt: skip
FUNNEL = (BARE, "ERROR", "Gateway failed to start: tailscale funnel requires gateway auth mode=password (set …)")
NOT_ITS_OWN = (
    BARE, "ERROR", "Gateway failed to start: Doctor cannot repair this state: shared state database is unreadable at "
    "/home/node/.openclaw/state/openclaw.sqlite: EACCES: permission denied, stat '/home/node/.openclaw/state/open'",
)  # fmt: skip
NO_TEMP = (BARE, "ERROR", "Gateway failed to start: Unable to create fallback OpenClaw temp dir: /tmp/openclaw-0")
LOW_PORT = (BARE, "ERROR", "Gateway failed to start: listen EACCES: permission denied 127.0.0.1:80. Run …")

Line = tuple[str, str, str]


class Home:
    """A home whose gateway is down and has logged that, a second a line, the last one a minute ago."""

    def __init__(self, root: Path) -> None:
        self.log = root / "gateway.log"
        self.state = root / ".openclaw"
        self.state.mkdir()
        self.config = self.state / "openclaw.json"
        self.config.write_text(json.dumps({"logging": {"file": str(self.log)}}))
        os.utime(self.config, ((NOW - timedelta(days=1)).timestamp(),) * 2)
        self.target = locate({"HOME": str(root)})

    def logged(self, *lines: Line, ago_s: float = 60.0) -> None:
        """Write the log."""
        with self.log.open("a") as file:
            for number, (name, level, text) in enumerate(lines):
                at = NOW - timedelta(seconds=ago_s + len(lines) - number)
                parents = {} if name == BARE else {"parentNames": ["openclaw"]}
                meta = {"name": name, "logLevelName": level, "date": at.isoformat(), **parents}
                words = {"0": text} if name == BARE else {"0": name, "1": text}
                file.write(json.dumps({**words, "_meta": meta, "time": at.isoformat(), "message": text}) + "\n")

    def words(self) -> LastWords | None:
        """What is found."""
        return lastwords.look(self.target, config.read(self.target), NO_SERVICE, None, NOW)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """One that has said nothing yet."""
    return Home(tmp_path)


def test_a_log_that_another_gateway_writes_as_well_holds_nobody_s_last_words(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal of another home's gateway is not the reason for which this one is down."""
    home.logged(BEGIN, LAN)
    assert home.words() is not None
    monkeypatch.setattr("oc_ops.observe.lastwords.log_sharers", lambda *_of: {home.log: "pid 7 of /home/u/.openclaw"})
    assert home.words() is None


@pytest.mark.parametrize(
    ("line", "fact"),
    [
        (LAN, "without a credential"),
        (SECRETS, "secrets"),
        (MIGRATION, "migrated"),
        (BLANK, "empty or a placeholder"),
        (NO_CERT, "TLS certificate"),
        (FUNNEL, "contradict each other"),
        (LOW_PORT, "may not listen"),
        (NOT_ITS_OWN, "may not use files of its own"),
        (NO_TEMP, "no folder for temporary files"),
    ],
)
def test_a_known_refusal_is_the_cause(home: Home, line: Line, fact: str) -> None:
    """Every start ends the same way, so none is advised; the words stand in the evidence with their time."""
    home.logged(BEGIN, line)
    found = judge.refused(home.words())
    assert found is not None
    assert (found.check, found.severity, found.proof) == ("gateway/start-refused", "error", "")
    assert fact in found.fact
    assert "2026-11-28 13:58:59 UTC" in found.saw
    assert "gateway start" not in found.fix


def test_a_database_that_cannot_be_opened_is_not_repaired(home: Home) -> None:
    """On a full file system 2026.9.6 asks for a migration as well: repairing then is the worst that one can do."""
    words = "Gateway failed to start: database is not open | gateway.maintenance_required | ERR_INVALID_STATE"
    home.logged(BEGIN, MIGRATION, (BARE, "ERROR", words))
    found = judge.refused(home.words())
    assert found is not None
    assert "cannot open" in found.fact
    assert "doctor --fix" not in found.fix


@pytest.mark.parametrize(
    "why",
    [
        "database or disk is full (SQLite errcode=13); snapshot staging root /home/me/.cache/openclaw: free disk space",
        "Unsafe fallback OpenClaw temp dir: /home/me/.cache/openclaw-0 | EROFS: read-only file system, access",
    ],
)
def test_a_full_or_read_only_file_system_asks_for_no_migration(home: Home, why: str) -> None:
    """2026.9.6 on a full tmpfs, and on one mounted read-only: its last words tell to run `openclaw doctor --fix`."""
    cannot = "Doctor cannot repair this state: shared state database is unreadable at /home/me/.openclaw/state/x"
    home.logged(BEGIN, MIGRATION, (BARE, "ERROR", f"Gateway failed to start: {cannot}.sqlite: {why}"))
    found = judge.refused(home.words())
    assert found is not None
    assert "cannot open its state database" in found.fact
    assert "read-only (df -h, mount)" in found.fix
    assert "doctor --fix" not in found.fix


def test_a_file_that_it_could_not_use_while_it_ran_forbids_no_start(home: Home) -> None:
    """A plugin's folder, say: the gateway came up with it, and what ended it was something else."""
    home.logged(BEGIN, (GATEWAY, "WARN", "skill x: EACCES: permission denied, open '/home/me/.openclaw/skills/x'"))
    assert judge.refused(home.words()) is None


@pytest.mark.parametrize("own", [True, False])
def test_a_shared_log_whose_last_failure_is_another_gateway_s_says_nothing(own: bool, home: Home) -> None:
    """Without `logging.file` all of a user's gateways write one log: the bundle's place tells whose failure it was."""
    state = home.state if own else Path("/srv/other/.openclaw")
    bundle = f"wrote stability bundle: {state}/logs/stability/openclaw-stability-2026-11-28T13-58-52-1-x.json"
    home.logged(BEGIN, (GATEWAY, "WARN", bundle), LAN)
    assert (home.words() is not None) == own


def test_a_command_s_reason_is_quoted_with_its_failure(home: Home) -> None:
    """2026.9.6 in a container that is read-only: the first line alone tells nothing."""
    out = "[openclaw] The CLI command failed.\n[openclaw] Reason: Unable to create fallback OpenClaw temp dir: /tmp/x\n"
    records = [each for line in out.splitlines() if (each := parse(line.encode(), home.log))]
    words = lastwords.of_output(records, "its output", NOW)
    assert words is not None
    assert words.said[-1] == "Reason: Unable to create fallback OpenClaw temp dir: /tmp/x"
    assert judge.refused(words) is not None


def test_an_address_that_may_come_back_forbids_no_start(home: Home) -> None:
    """A tailnet's address is there once its interface is."""
    home.logged(BEGIN, (BARE, "ERROR", "Gateway failed to start: listen EADDRNOTAVAIL: address not available"))
    assert judge.refused(home.words()) is None
    assert "EADDRNOTAVAIL" in judge.with_words(DOWN, home.words()).saw


@pytest.mark.parametrize("known", [*judge.REFUSALS, judge.HEAP], ids=lambda each: each.fact[:30])
def test_no_advice_looks_like_a_secret(known: judge.StartRefusal) -> None:
    """A word behind a flag that is called a token is taken for one: what helps would not be printed."""
    assert Redactor((), Path("/home/me")).line(f"{known.fact} {known.fix}") == f"{known.fact} {known.fix}"


@pytest.mark.parametrize(("address", "forbidden"), [("192.0.2.77", True), ("127.0.0.1", False)])
def test_an_address_that_this_machine_does_not_have_is_named(home: Home, address: str, forbidden: bool) -> None:
    """No start helps before its interface is up; one that has come back since forbids nothing."""
    name, level, text = NO_ADDRESS
    home.logged(BEGIN, (name, level, text.format(address)))
    found = judge.refused(home.words())
    assert (found is not None) is forbidden
    if found is not None:
        assert f"listen on {address}, an address that this machine does not have" in found.fact
        assert "ip address" in found.fix


def test_an_unknown_reason_is_quoted_and_judged_by_nobody(home: Home) -> None:
    """The finding stays what it was, its cure and proof too."""
    home.logged(BEGIN, (GATEWAY, "ERROR", "the moon is in the wrong house"))
    words = home.words()
    assert judge.refused(words) is None
    told = judge.with_words(DOWN, words)
    assert (told.check, told.fix, told.proof) == (DOWN.check, DOWN.fix, DOWN.proof)
    assert "| " not in told.saw
    assert "the moon is in the wrong house" in told.saw


def test_only_the_last_start_counts(home: Home) -> None:
    """What an earlier start complained of was mended since, or it would not have started again."""
    home.logged(BEGIN, LAN, BEGIN, (GATEWAY, "INFO", "ready"), (GATEWAY, "ERROR", "boom"))
    words = home.words()
    assert words is not None
    assert words.said == ("boom",)
    assert judge.refused(words) is None


def test_what_a_command_logged_is_no_gateway_s_word(home: Home) -> None:
    """Each `openclaw status` at a gateway that is down leaves an error in the same file."""
    home.logged(BEGIN, LAN)
    home.logged(OF_A_COMMAND, OF_A_COMMAND, ago_s=5)
    words = home.words()
    assert words is not None
    assert words.said == ("Refusing to bind gateway to lan without auth. Set OPENCLAW_GATEWAY_TOKEN or …",)


@pytest.mark.parametrize("what", ["openclaw.json", ".env"])
def test_words_that_something_has_answered_since_are_not_believed(home: Home, what: str) -> None:
    """The config or .env was changed after that: they are quoted with that, and forbid nothing."""
    home.logged(BEGIN, LAN)
    path = home.state / what
    path.touch()
    os.utime(path, (NOW.timestamp() - 1,) * 2)
    words = home.words()
    assert judge.refused(words) is None
    assert "were changed since" in judge.with_words(DOWN, words).saw


def test_one_that_was_stopped_is_told_as_that(home: Home) -> None:
    """By SIGTERM, as a service manager and a person do; nobody looks for a fault then."""
    home.logged(BEGIN, (GATEWAY, "WARN", "Config warnings"), STOPPED, CLEANLY)
    words = home.words()
    assert words is not None
    assert words.stopped
    assert judge.with_words(DOWN, words).saw.endswith("it was told to stop at 2026-11-28 13:58:59 UTC")


def test_one_that_ends_cleanly_after_it_failed_was_not_stopped(home: Home) -> None:
    """A port in use is a start that failed; whether it still is, the next look at the port says."""
    home.logged(BEGIN, CLEANLY, IN_USE)
    words = home.words()
    assert words is not None
    assert not words.stopped
    assert judge.refused(words) is None
    assert "EADDRINUSE" in judge.with_words(DOWN, words).saw


def test_the_stability_bundle_speaks_where_no_log_does(home: Home) -> None:
    """OpenClaw leaves one when a start fails."""
    folder = home.state / "logs" / "stability"
    folder.mkdir(parents=True)
    told = {
        "reason": "gateway.startup_failed", "generatedAt": "2026-11-28T13:50:00.000Z",
        "error": {"message": "Startup failed: required secrets are unavailable."},
    }  # fmt: skip
    (folder / "openclaw-stability-2026-11-28.json").write_text(json.dumps(told))
    words = home.words()
    assert words is not None
    assert words.said == ("gateway.startup_failed: Startup failed: required secrets are unavailable.",)
    assert judge.refused(words) is not None
    (folder / "openclaw-stability-2026-11-29.json").write_text("[" * 5000)
    home.words()


def test_without_a_word_nothing_is_added(home: Home) -> None:
    """No log, or one of another clock."""
    assert judge.with_words(DOWN, home.words()) == DOWN
    home.logged(BEGIN, LAN, ago_s=-86_400)
    assert home.words() is None


# -- what stands elsewhere than in its log file ----------------------------------------------------------------------


def said(text: str) -> Call:
    """A call that printed that."""
    return call("", stdout=text)


PRINTED = """\
2026-11-28T13:58:50.371+00:00 [gateway] loading configuration…
2026-11-28T13:58:52.703+00:00 [gateway] resolving authentication…
2026-11-28T13:58:52.817+00:00 Refusing to bind gateway to lan without auth.
Set OPENCLAW_GATEWAY_TOKEN or OPENCLAW_GATEWAY_PASSWORD
"""
"""As 2026.9.6 printed it."""


def of_launchd(home: Home, printed: str) -> LastWords | None:
    """What is found where launchd writes the gateway's output, and no log file is left."""
    path = home.state / "logs" / "gateway.err.log"
    path.parent.mkdir(exist_ok=True)
    path.write_text(printed)
    os.utime(path, ((NOW - timedelta(seconds=30)).timestamp(),) * 2)
    service = Service("launchd", "ai.openclaw.gateway", "failed", outputs=(path,))
    return lastwords.look(home.target, config.read(home.target), service, None, NOW)


def test_a_database_that_cannot_be_opened_is_no_migration(home: Home) -> None:
    """2026.9.6 with 40 descriptors says both in one breath: to migrate what cannot be opened is the wrong advice."""
    words = of_launchd(
        home,
        "[gateway] requires state migration. Stop the service with openclaw gateway stop, then openclaw doctor --fix.\n"
        "Gateway failed to start: unable to open database file | gateway.maintenance_required | ERR_SQLITE_ERROR.\n",
    )
    assert words is not None
    found = judge.refused(words)
    assert found is not None
    assert "cannot open its state database" in found.fact
    assert "ulimit -n" in found.fix
    assert "doctor --fix" not in found.fix


def test_launchd_s_output_speaks(home: Home) -> None:
    """A line without a time has that of the one before, or of the file; the known refusal is the cause."""
    words = of_launchd(home, PRINTED)
    assert words is not None
    found = judge.refused(words)
    assert found is not None
    assert "without a credential" in found.fact
    assert "gateway.err.log" in found.saw


def test_only_this_death_s_words_count_in_an_output_that_is_appended_to(home: Home) -> None:
    """An earlier start's refusal stands above, and was mended."""
    later = "2026-11-28T13:59:00.000+00:00 [gateway] loading configuration…\n"
    words = of_launchd(home, PRINTED + later + "2026-11-28T13:59:09.000+00:00 [gateway] out of memory: killed\n")
    assert words is not None
    assert words.said == ("out of memory: killed",)
    assert judge.refused(words) is None


def test_a_program_that_stamps_nothing_is_quoted_by_the_file_s_time(home: Home) -> None:
    """Node's own crash, before OpenClaw says anything."""
    words = of_launchd(home, "node:internal/modules\nError: Cannot find module 'openclaw.mjs'\n")
    assert words is not None
    assert words.at == NOW - timedelta(seconds=30)
    found = judge.refused(words)
    assert found is not None
    assert "installation is missing" in found.fact


HEAP = """\

<--- Last few GCs --->

[2658:0x707d000]     2663 ms: Mark-Compact (reduce) 38.0 (43.9) -> 37.8 (40.9) MB, pooled: 0 MB, 27.60 / 0.00 ms
FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory
----- Native stack trace -----

 1: 0x74f963 node::OOMErrorHandler(char const*, v8::OOMDetails const&) [openclaw]
 2: 0xc32640  [openclaw]
"""
"""As Node 24.19 printed it, without a stamp."""
OLD_NODE = """\
openclaw: Node 20.20.2: node:sqlite is unavailable; use 24.16+/26.1+ or a build with the fix.
If you use nvm, run:
  nvm install 26
"""


@pytest.mark.parametrize("lives", [1, 8])
@pytest.mark.parametrize("before", ["", PRINTED.splitlines()[0].replace("13:58:50", "04:11:09") + "\n"])
def test_a_full_heap_is_the_last_word_with_what_helps(home: Home, before: str, lives: int) -> None:
    """Hours after its last stamped line, said once however often it ended so; the start stays what is advised first."""
    words = of_launchd(home, before + HEAP * lives)
    assert words is not None
    assert words.said == ("FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory",)
    assert judge.refused(words) is None
    told = judge.with_words(DOWN, words)
    assert told.fact.endswith("its JavaScript heap was full")
    assert told.fix == DOWN.fix
    assert "--max-old-space-size=4096 where it starts), if it ends so again" in told.saw
    looping = judge.with_words(replace(DOWN, check="gateway/crash-loop", fix="none automatic: read why"), words)
    assert looping.fix.startswith("none automatic: another start ends the same way: give it more heap")


def test_a_node_that_is_too_old_says_so_itself(home: Home) -> None:
    """The launcher of 2026.9.6 under Node 20: no start helps."""
    found = judge.refused(of_launchd(home, OLD_NODE))
    assert found is not None
    assert "Node.js" in found.fact
    assert "use 24.16+" in found.saw
    retried = 'openclaw: Retrying with "/opt/node/bin/node" (PATH; current Node failed runtime admission).\n'
    assert judge.refused(of_launchd(home, retried + PRINTED.splitlines()[0])) is None


def test_an_output_of_a_gateway_that_was_stopped_is_no_complaint(home: Home) -> None:
    """The benign twin: told to stop, ended cleanly."""
    words = of_launchd(
        home,
        PRINTED.replace("Refusing to bind gateway to lan without auth.", "[gateway] received SIGTERM; shutting down"),
    )
    assert words is not None
    assert words.stopped
    assert judge.refused(words) is None


def test_a_system_unit_s_journal_is_asked_as_that(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--unit` for the system's manager, `--user-unit` for a user's; what it prints has no level of its own."""
    asked: list[str] = []

    def answer(argv: list[str], **_: object) -> Call:
        asked.append(argv[2])
        lines = PRINTED.splitlines()
        stamps = [round((NOW - timedelta(seconds=60 - each)).timestamp() * 1e6) for each in range(len(lines))]
        entries = [
            json.dumps({"MESSAGE": line, "PRIORITY": "6", "__REALTIME_TIMESTAMP": str(stamp)})
            for line, stamp in zip(lines, stamps, strict=True)
        ]
        return said("\n".join(entries))

    monkeypatch.setattr(journal, "run", answer)
    monkeypatch.setattr("shutil.which", lambda name, **_: f"/usr/bin/{name}")
    for scope in ("system", "user"):
        service = Service("systemd", "openclaw.service", "failed", scope=scope)
        words = lastwords.look(home.target, config.read(home.target), service, None, NOW)
        assert words is not None
        assert judge.refused(words) is not None
    assert asked == ["--unit=openclaw.service", "--user-unit=openclaw.service"]


BEGUN = NOW - timedelta(minutes=2)


def contained(
    home: Home, monkeypatch: pytest.MonkeyPatch, printed: str, **changes: Any
) -> tuple[LastWords | None, list[str]]:
    """What is found of a container that ended, and how its runtime was asked."""
    asked: list[str] = []

    def answer(_self: Container, *words: str, **_: object) -> Call:
        asked.extend(words)
        return said(
            "\n".join(
                f"2026-11-28T13:58:5{number}.123456789+00:00 {line}" for number, line in enumerate(printed.splitlines())
            )
        )

    monkeypatch.setattr(Container, "ask", answer)
    there = dataclasses.replace(Container("podman", "oc", "exited", exit_code=1, started_at=BEGUN), **changes)
    target = dataclasses.replace(home.target, container=there)
    return lastwords.look(target, config.read(home.target), NO_SERVICE, None, NOW), asked


def test_a_container_s_log_speaks_of_its_last_life(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded in lines, and asked only for what came after its last start; the runtime's stamps are its times."""
    words, asked = contained(home, monkeypatch, PRINTED)
    assert asked == ["logs", "--timestamps", "--tail", "300", "--since", "2026-11-28T13:58:00Z", "oc"]
    found = judge.refused(words)
    assert found is not None
    assert "the log of container oc" in found.saw


def test_a_container_that_was_restarted_tells_of_the_life_before(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a loop it is caught running: what its last life said stands before its start."""
    began = datetime(2026, 11, 28, 13, 58, 59, tzinfo=UTC)
    words, asked = contained(home, monkeypatch, PRINTED, state="running", restarts=3, started_at=began)
    assert asked == ["logs", "--timestamps", "--tail", "300", "oc"]
    assert judge.refused(words) is not None
    before = began - timedelta(minutes=5)
    assert contained(home, monkeypatch, PRINTED, state="running", restarts=3, started_at=before)[0] is None


@pytest.mark.parametrize("state", ["running", "created", "paused", "gone", "unseen"])
def test_a_container_that_has_not_ended_has_no_last_words(
    home: Home, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """Nor one that was never begun: its runtime is not asked."""
    assert contained(home, monkeypatch, PRINTED, state=state) == (None, [])


def test_a_container_that_logs_json_is_read_as_that(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """`logging.consoleStyle` json: the level stands in the line."""
    line = json.dumps(
        {"level": "error", "subsystem": "gateway", "message": "Gateway failed to start: database is not open"}
    )
    words, _ = contained(home, monkeypatch, line)
    found = judge.refused(words)
    assert found is not None
    assert "state database" in found.fact
