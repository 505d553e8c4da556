"""The last words of a gateway that is down: of its last start, by whoever kept them, and whether they still hold."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from oc_ops.judge import lastwords as judge
from oc_ops.judge.finding import Finding
from oc_ops.observe import config, lastwords
from oc_ops.observe.lastwords import LastWords
from oc_ops.observe.service import NO_SERVICE
from oc_ops.observe.target import locate

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


@pytest.mark.parametrize(
    ("line", "fact"), [(LAN, "without a credential"), (SECRETS, "secrets"), (MIGRATION, "migrated")]
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


def test_an_address_that_may_come_back_forbids_no_start(home: Home) -> None:
    """A tailnet's address is there once its interface is."""
    home.logged(BEGIN, (BARE, "ERROR", "Gateway failed to start: listen EADDRNOTAVAIL: address not available"))
    assert judge.refused(home.words()) is None
    assert "EADDRNOTAVAIL" in judge.with_words(DOWN, home.words()).saw


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
