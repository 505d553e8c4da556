"""How records of the log become findings."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from msgspec.structs import replace

from oc_ops.judge import signatures as judge
from oc_ops.judge.finding import Finding
from oc_ops.judge.signature_catalogue import Signature, catalogue, load
from oc_ops.observe.logs import LogView, Needle, Record, recent
from oc_ops.observe.work import Account
from oc_ops.settings import Settings

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LOG = Path("/tmp/openclaw/openclaw-2026-11-22.log")
CATALOGUE = {each.id: each for each in catalogue()}
EPIPE = CATALOGUE["crash.epipe"].sample
HUNG = Finding("gateway/hung", "error", "the gateway hangs", "nothing came", "openclaw gateway restart")


def record(text: str, at_s: float = 0.0) -> Record:
    """A record of the gateway, some seconds after noon."""
    return Record(LOG, NOON + timedelta(seconds=at_s), "ERROR", "gateway", text)


def view(*records: Record) -> LogView:
    """A look at these records."""
    return LogView((LOG,), NOON, records, 1000)


@pytest.mark.parametrize(("ago_s", "room", "told"), [(300, True, 0), (300, False, 1), (30, True, 1)])
def test_a_disk_that_has_room_again_is_not_full(ago_s: float, room: bool, told: int) -> None:
    """One old line is no present; what comes and goes between two looks may be so still."""
    seen = view(record(CATALOGUE["db.full"].sample, at_s=-ago_s))
    found = judge.findings(seen, now=NOON, past=("db.full",) if room else ())
    assert len([each for each in found if each.check == "logs/db.full"]) == told


@pytest.mark.parametrize("name", CATALOGUE)
def test_threshold(name: str) -> None:
    """One record fewer than the threshold is no finding; at the threshold one, with all that the entry says."""
    signature = CATALOGUE[name]
    records = [record(signature.sample, at_s=index * 5.0) for index in range(signature.threshold)]
    assert judge.findings(view(*records[1:])) == ()
    (finding,) = judge.findings(view(*records))
    assert (finding.check, finding.severity) == (f"logs/{name}", signature.severity)
    assert (finding.fact, finding.fix) == (signature.fact, signature.fix)


@pytest.mark.parametrize(("enabled", "told"), [(True, 0), (False, 1), (None, 1)])
def test_a_scheduler_that_is_on_again_is_not_called_off(enabled: bool | None, told: int) -> None:
    """Switched off and on within the window: the gateway's present word counts; without one the log's does."""
    seen = view(record(CATALOGUE["cron.disabled"].sample))
    assert len(judge.findings(seen, refuted=judge.refuted_now({"enabled": enabled}, None, 0))) == told


@pytest.mark.parametrize(
    ("accounts", "told"),
    [
        ((Account("telegram", "default", running=True, connected=True),), 0),
        ((Account("telegram", "default", running=False, connected=False, error="breaker tripped"),), 1),
        ((Account("telegram", "default", configured=False),), 1),
        ((), 1),
        (None, 1),
    ],
    ids=["up again", "still off", "not set up", "none", "not asked"],
)
def test_channels_that_are_up_again_do_not_stay_off(accounts: tuple[Account, ...] | None, told: int) -> None:
    """A crash loop kept them off, and somebody has started them: the line of ten minutes ago is no error any more."""
    seen = view(record(CATALOGUE["gw.breaker"].sample))
    assert len(judge.findings(seen, refuted=judge.refuted_now(None, accounts, 0))) == told


@pytest.mark.parametrize("name", ["cfg.invalid", "cfg.reload_skipped"])
@pytest.mark.parametrize(("accepted", "told"), [(True, 0), (False, 1)])
def test_a_config_that_was_put_right_is_not_called_invalid(name: str, accepted: bool, told: int) -> None:
    """The log still tells of it for a quarter of an hour, when the next start comes up again."""
    seen = view(record(CATALOGUE[name].sample))
    refuted = judge.refuted_now(None, None, 0, config_accepted=accepted)
    assert len(judge.findings(seen, refuted=refuted)) == told


def test_no_records_no_findings() -> None:
    """A quiet log has no finding, nor has one of benign lines."""
    benign = (Path(__file__).parents[2] / "data" / "benign.jsonl").read_text(encoding="utf-8").splitlines()
    assert judge.findings(view()) == ()
    assert judge.fired(view(*(record(json.loads(each)["text"]) for each in benign))) == {}


def test_every_sample_gets_through_the_reader(tmp_path: Path) -> None:
    """As the gateway writes it (JSON, quotes escaped) and as plain text, by the literals alone: all are recognised."""
    log, known = tmp_path / "openclaw.log", catalogue()
    rows: list[str] = []
    for second, each in enumerate(each for each in known for _ in range(2)):
        stamp = (NOON + timedelta(seconds=second)).isoformat(timespec="milliseconds")
        entry = {"0": '{"subsystem":"gateway"}', "1": each.sample, "_meta": {"name": '{"subsystem":"gateway"}'}}
        plain = f"{stamp} {each.sample}"
        rows.append(plain if second % 2 else json.dumps({**entry, "time": stamp}, ensure_ascii=False))
    log.write_text("\n".join(rows) + "\n", encoding="utf-8")
    needles = [Needle(each.id, each.literals) for each in known]
    look = recent([log], needles, since=NOON - timedelta(minutes=1), tail_bytes=10**7)
    counts = {each.id: len(records) for each, records in judge.fired(look).items()}
    assert counts == dict.fromkeys(CATALOGUE, 2)


def test_no_signatures_no_findings() -> None:
    """An empty catalogue is not the shipped one."""
    assert judge.findings(view(record(EPIPE)), ()) == ()


def test_a_record_counts_for_the_first_signature_alone() -> None:
    """One line is one fault, also where it quotes another: the browser's line claims the gateway timeout in it."""
    both = "Can't reach the OpenClaw browser control service. (Error: gateway timeout after 20000ms)"
    assert [each.check for each in judge.findings(view(record(both)))] == ["logs/br.control_timeout"]


def test_records_of_one_second_count_once() -> None:
    """One fault is often logged several times within a second."""
    nonfatal = CATALOGUE["crash.nonfatal"]
    burst = [record(nonfatal.sample, at_s=index / 10) for index in range(9)]
    assert judge.findings(view(*burst)) == ()
    assert len(judge.fired(view(*burst))[nonfatal]) == 1


def test_records_without_a_time_count_by_their_text() -> None:
    """Where the log has no clock, the same text is the same fault."""
    timeless = Record(LOG, None, "", "", EPIPE)
    other = Record(LOG, None, "", "", EPIPE + " on stdout")
    (finding,) = judge.findings(view(timeless, timeless, other), now=NOON)
    assert finding.saw.startswith("2× at an unknown time: ")


def test_a_finding_tells_count_times_and_excerpt() -> None:
    """The evidence: how often, from when to when, and one line that fits a terminal, the newest."""
    (finding,) = judge.findings(view(record(EPIPE, 33), record(EPIPE, 0), record(f"{EPIPE}\n  at x {'y' * 500}", 61)))
    assert finding.saw.startswith(
        "3× 12:00:00 UTC to 12:01:01 UTC: [openclaw] Uncaught exception: Error: write EPIPE at x yy"
    )
    assert "\n" not in finding.saw
    assert len(finding.saw) < 250
    (single,) = judge.findings(view(record(EPIPE)))
    assert single.saw.startswith("1× 12:00:00 UTC: ")


def test_the_excerpt_shows_the_match() -> None:
    """In a long message the interesting words may stand far behind its beginning."""
    (finding,) = judge.findings(view(record("stack " * 500 + EPIPE + " tail" * 500)))
    assert "Uncaught exception: Error: write EPIPE tail" in finding.saw
    assert finding.saw.startswith("1× 12:00:00 UTC: …")
    assert len(finding.saw) < 250


def test_what_a_flood_left_out_is_told() -> None:
    """The reader keeps a part of a flood; the count says that there was more."""
    flood = LogView((LOG,), NOON, (record(EPIPE), record(EPIPE, 1)), 1000, left_out={"crash.epipe": 98000})
    (finding,) = judge.findings(flood)
    assert finding.saw.startswith("2× and more 12:00:00 UTC to 12:00:01 UTC: ")


def test_times_of_several_zones_are_ordered_as_moments() -> None:
    """A log that crosses a change of the clock is still told from its first to its last record."""
    summer = record(EPIPE).time
    assert summer is not None
    early = Record(LOG, summer.astimezone(timezone(timedelta(hours=5))), "", "", EPIPE)
    (finding,) = judge.findings(view(record(EPIPE, 10), early))
    assert finding.saw.startswith("2× 12:00:00 UTC to 12:00:10 UTC: ")


def test_each_signature_looks_back_its_own_window() -> None:
    """What lies before the window does not count: not for the threshold, not for the evidence."""
    loop, channel = CATALOGUE["loop.liveness"], CATALOGUE["ch.hm_restart"]
    assert (loop.window_s, channel.window_s) == (300, 3600)
    records = [record(each.sample, at_s) for each in (loop, channel) for at_s in (0, 200, 400)]
    now = NOON + timedelta(seconds=450)
    assert [each.check for each in judge.findings(view(*records), now=now)] == ["logs/ch.hm_restart"]
    assert len(judge.fired(view(*records), now=now)[loop]) == 2
    assert len(judge.findings(view(*records))) == 2
    assert judge.window_s(catalogue()) == 3600
    assert judge.window_s(()) == 0


@pytest.mark.parametrize(
    ("name", "release", "words"),
    [
        ("br.cdp_start", (2026, 3, 8), " (known in 2026.3.8, upgrade)"),
        ("br.cdp_start", (2026, 4, 2), " (known in 2026.4.2, upgrade)"),
        ("br.cdp_start", (2026, 9, 6), ""),
        ("br.cdp_start", None, ""),
        ("br.singleton", (2026, 3, 8), " (known in 2026.3.8, upgrade to 2026.4.24 or newer)"),
        ("br.singleton", (2026, 4, 24), ""),
        ("rpc.timeout", (2026, 5, 28), " (known in 2026.5.28, upgrade)"),
        ("rpc.slow", (2026, 2, 2, 3), " (known in 2026.2.2-3, upgrade)"),
        ("db.full", (2026, 3, 8), ""),
    ],
)
def test_an_affected_release_is_told_to_upgrade(name: str, release: tuple[int, ...] | None, words: str) -> None:
    """Where the running release is one of those it was reported on, the finding says so; else nothing is claimed."""
    signature = CATALOGUE[name]
    (finding,) = judge.findings(view(record(signature.sample)), release=release)
    assert finding.fact == signature.fact + words


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ch.tg409", "Telegram getUpdates conflict: Conflict: terminated by other getUpdates request; make sure"),
        ("db.corrupt", "Failed to open the plugin state database. | database disk image is malformed"),
        ("db.corrupt", "SqliteIntegrityError: SQLite integrity_check failed"),
        ("gw.shutdown_timeout", "shutdown deadline reached; abandoning unfinished cleanup and active work before exit"),
        ("db.corrupt", "Error: file is not a database"),
        ("fd.exhausted", "Error: spawn EBADF"),
        ("ui.origin", "gateway closed (1008): origin not allowed"),
        ("gw.draining", "gateway is draining for restart"),
        ("gw.draining", "Gateway is draining for restart; new tasks are not accepted"),
        ("mem.oom_kill", "Memory cgroup out of memory: Killed process 77 (node) total-vm:9000000kB"),
        ("model.no_key", "No route-compatible authentication source is configured for openai."),
        (
            "model.billing",
            'Inline API key for provider "x" is temporarily disabled after a provider auth/billing failure.',
        ),
        ("model.rate_limit", "No available auth profile for openai (all in cooldown or unavailable)."),
        ("model.overflow", "Context overflow: prompt too large for the model (precheck)."),
        ("plug.consent", 'error: Plugin "a/b" requires capability consent; rerun with --accept-capabilities.'),
    ],
)
def test_the_same_fault_in_other_words_is_known(name: str, text: str) -> None:
    """What another release, or another part of the same one, writes for the same fault."""
    assert [each.id for each in judge.fired(view(record(text)))] == [name]


def test_a_line_of_a_log_that_another_gateway_writes_as_well_is_no_error_of_this_one() -> None:
    """No record says whose it is, so it accuses nobody for certain."""
    shared = replace(view(record(EPIPE)), shared_with="pid 7 of /home/u/.openclaw")
    (found,) = judge.findings(shared)
    assert found.severity == "warning"
    assert found.fact.endswith("; perhaps of another gateway, which writes the same log (pid 7 of /home/u/.openclaw)")


def test_beside_a_cause_the_log_is_no_second_error() -> None:
    """When the gateway is known to hang, what its log says explains it or follows from it."""
    scope = CATALOGUE["auth.scope"]
    error, warning = judge.findings(view(record(EPIPE), record(scope.sample)), beside=HUNG)
    assert (error.check, error.severity) == ("logs/crash.epipe", "warning")
    assert error.fact.endswith("; beside gateway/hung")
    assert (warning.severity, warning.fact) == ("warning", scope.fact)


def forbidding(*records: Record, now: datetime | None = None) -> list[str]:
    """The ids that forbid a restart."""
    found = [each.check.removeprefix("logs/") for each in judge.findings(view(*records), now=now)]
    return [each for each in found if CATALOGUE[each].restart == "forbidden"]


def test_config_and_credentials_forbid_a_restart() -> None:
    """Recovery asks: a latent fault must not become an outage; what a restart may cure forbids nothing."""
    names = ("cfg.reload_skipped", "auth.device_token", "crash.epipe", "br.cdp_start")
    records = [record(CATALOGUE[each].sample) for each in names]
    assert forbidding(*records) == ["cfg.reload_skipped", "auth.device_token"]
    assert forbidding(*records[2:]) == []


def test_a_restart_is_forbidden_from_the_threshold_on_and_inside_the_window() -> None:
    """One stale gateway killed is a restart; two within the hour are a cascade; yesterday's are history."""
    kills = [record(CATALOGUE["gw.stale_kill"].sample, at_s) for at_s in (0, 60)]
    assert forbidding(kills[0]) == []
    assert forbidding(*kills) == ["gw.stale_kill"]
    assert forbidding(*kills, now=NOON + timedelta(hours=2)) == []


def test_the_operator_s_own_signatures_are_judged_like_any_other(tmp_path: Path) -> None:
    """From the file to the finding."""
    (tmp_path / "signatures.toml").write_text(
        "[[signature]]\nid = 'my.boom'\nliterals = ['boom']\npattern = 'boom [0-9]+'\nseverity = 'error'\n"
        "fact = 'it goes boom'\nfix = 'none automatic: duck'\nrestart = 'forbidden'\nsample = 'boom 1'\n",
        encoding="utf-8",
    )
    known: tuple[Signature, ...] = load(Settings(memory_dir=tmp_path, config_dir=tmp_path))
    (finding,) = judge.findings(view(record("boom 7")), known)
    assert str(finding).splitlines()[:2] == ["logs/my.boom: error: it goes boom", "  saw:    1× 12:00:00 UTC: boom 7"]
