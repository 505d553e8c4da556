"""The gateway's log: found, read back from its end, and told apart from what others wrote into it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oc_ops.observe import logs
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.logs import LogView, files, from_cli, parse, places, recent, tail
from oc_ops.observe.target import locate

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WINDOW = NOW - timedelta(minutes=15)
LOG = Path("openclaw.log")
LOTS = 32 * 2**20


def line(
    *words: object,
    time: str = "2026-11-22T12:00:00.000Z",
    name: str = '{"subsystem":"gateway"}',
    level: str = "ERROR",
    **more: Any,
) -> str:
    """A record as OpenClaw writes it; the gateway's own loggers have a parent, a console has none."""
    numbered = {str(number): word for number, word in enumerate((name, *words) if name.startswith("{") else words)}
    meta: dict[str, object] = {"runtime": "node", "hostname": "unknown", "name": name}
    if name.startswith("{"):
        meta["parentNames"] = ["openclaw"]
    meta |= {"date": time, "logLevelId": 5, "logLevelName": level}
    return json.dumps({**numbered, "_meta": meta, "time": time, **more}, ensure_ascii=False, separators=(",", ":"))


def at(moment: datetime) -> str:
    """A moment as OpenClaw writes it."""
    return moment.isoformat(timespec="milliseconds")


def look(path: Path, *literals: str, since: datetime = WINDOW, tail_bytes: int = LOTS) -> LogView:
    """One look at one file."""
    return recent([path], literals, since=since, tail_bytes=tail_bytes)


def texts(view: LogView) -> list[str]:
    """The messages that were found."""
    return [record.text for record in view.records]


# -- where ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for /tmp/openclaw."""
    monkeypatch.setattr(places, "_LOG_FOLDER", tmp_path / "openclaw")
    (tmp_path / "openclaw").mkdir()
    return tmp_path / "openclaw"


def found(profile: str | None = None, config: GatewayConfig | None = None, **options: Any) -> list[str]:
    """The log files of a target, as text."""
    target = locate({"HOME": "/home/u", **options.pop("environ", {})}, profile)
    options.setdefault("platform", "linux")
    config = config or GatewayConfig(Path("/c"), exists=True)
    return [str(path) for path in files(target, config, datetime(2026, 11, 22, 0, 5), **options)]


def test_yesterday_and_today_are_read_in_order(folder: Path) -> None:
    """Just after midnight the last quarter of an hour is in two files."""
    for name in ("2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"):
        (folder / f"openclaw-{name}.log").touch()
    assert found() == [f"{folder}/openclaw-2026-11-21.log", f"{folder}/openclaw-2026-11-22.log"]


@pytest.mark.parametrize(
    ("profile", "word"), [("work", "work"), ("my-gw", "my--gw"), ("a_b", "a-0b"), ("Work", "-1work"), ("default", None)]
)
def test_a_profile_has_files_of_its_own(folder: Path, profile: str, word: str | None) -> None:
    """2026.9.6 puts the profile in the name, escaped so that no two profiles share one."""
    (folder / "openclaw-2026-11-22.log").touch()
    name = folder / (f"openclaw-{word}-2026-11-22.log" if word else "openclaw-2026-11-22.log")
    name.touch()
    assert found(profile) == [str(name)]


def test_the_fallback_folders_are_looked_at(folder: Path, tmp_path: Path) -> None:
    """Where /tmp/openclaw belongs to another user, OpenClaw writes to a folder with the user's id (#18274)."""
    own = f"openclaw-{os.getuid()}"
    places = [tmp_path / "t" / own, tmp_path / own, folder / str(os.getuid())]
    for place in places:
        place.mkdir(parents=True)
        (place / "openclaw-2026-11-22.log").touch()
    assert found(environ={"TMPDIR": str(tmp_path / "t")}) == [f"{place}/openclaw-2026-11-22.log" for place in places]


def test_a_configured_file_is_the_only_one(folder: Path, tmp_path: Path) -> None:
    """`logging.file` wins; what was told besides is added once."""
    (folder / "openclaw-2026-11-22.log").touch()
    own, other = tmp_path / "own.log", tmp_path / "other.log"
    own.touch()
    config = GatewayConfig(Path("/c"), exists=True, log_file=own)
    assert found(config=config) == [str(own)]
    other.touch()
    assert found(config=config, told=(str(own), str(other))) == [str(own), str(other)]


def test_rotated_archives_come_before_their_file(folder: Path, tmp_path: Path) -> None:
    """2026.5.28 and 2026.9.6 rename `x.log` to `x.1.log` and so on up to 5, the oldest."""
    day = "openclaw-2026-11-22"
    for number in ("", ".1", ".2", ".5", ".6"):
        (folder / f"{day}{number}.log").touch()
    assert found() == [f"{folder}/{day}{number}.log" for number in (".5", ".2", ".1", "")]
    own = tmp_path / "gateway.jsonl"
    for path in (own, tmp_path / "gateway.1.jsonl"):
        path.touch()
    config = GatewayConfig(Path("/c"), exists=True, log_file=own)
    assert found(config=config) == [f"{tmp_path}/gateway.1.jsonl", str(own)]


@pytest.mark.parametrize("name", ["openclaw-YYYY-MM-DD.log", "openclaw-2026-01-01.log"])
def test_a_configured_file_with_a_date_is_written_under_the_days_date(tmp_path: Path, name: str) -> None:
    """2026.9.6 takes such a `logging.file` for the rolling one."""
    (tmp_path / name).touch()
    for day in ("20", "21", "22"):
        (tmp_path / f"openclaw-2026-11-{day}.log").touch()
    config = GatewayConfig(Path("/c"), exists=True, log_file=tmp_path / name)
    assert found(config=config) == [f"{tmp_path}/openclaw-2026-11-21.log", f"{tmp_path}/openclaw-2026-11-22.log"]


def test_what_the_supervisor_kept_of_the_output_is_read(folder: Path, tmp_path: Path) -> None:
    """`logs/gateway.err.log` of the state directory, and on macOS what launchd writes below ~/Library/Logs."""
    (folder / "openclaw-2026-11-22.log").touch()
    state, library = tmp_path / ".openclaw" / "logs", tmp_path / "Library" / "Logs" / "openclaw"
    for place in (state, library):
        place.mkdir(parents=True)
        for name in ("gateway.log", "gateway.err.log", "gateway-work.log"):
            (place / name).touch()
    home = {"HOME": str(tmp_path)}
    dated, ours = f"{folder}/openclaw-2026-11-22.log", [f"{state}/gateway.log", f"{state}/gateway.err.log"]
    assert found(environ=home, platform="linux") == [dated, *ours]
    mac = [f"{library}/gateway.log", f"{library}/gateway.err.log"]
    assert found(environ=home, platform="darwin") == [dated, *ours, *mac]
    assert found("work", environ=home, platform="darwin") == [f"{library}/gateway-work.log"]


@pytest.mark.parametrize("now", [datetime(2026, 3, 29, 0, 30), datetime(2026, 10, 25, 0, 30)], ids=["spring", "autumn"])
def test_a_day_is_a_calendar_day(folder: Path, now: datetime) -> None:
    """Half past midnight of a day that has 23 or 25 hours: yesterday is the day before, not 24 hours ago."""
    days = [now.replace(day=now.day - 1), now]
    for day in days:
        (folder / f"openclaw-{day:%Y-%m-%d}.log").touch()
    given = files(locate({"HOME": "/home/u"}), GatewayConfig(Path("/c"), exists=True), now)
    assert [path.name for path in given] == [f"openclaw-{day:%Y-%m-%d}.log" for day in days]


def test_a_profile_name_too_long_for_a_file_is_hashed(folder: Path) -> None:
    """An escaped profile beyond 220 characters stands in the name as its SHA-256 (2026.9.6)."""
    profile = "A" * 111
    word = "-3" + hashlib.sha256(profile.encode()).hexdigest()
    (folder / f"openclaw-{word}-2026-11-22.log").touch()
    target = replace(locate({"HOME": "/home/u"}), profile=profile)
    (path,) = files(target, GatewayConfig(Path("/c"), exists=True), datetime(2026, 11, 22))
    assert word in path.name


def test_what_is_no_file_is_left_out(folder: Path, tmp_path: Path) -> None:
    """A folder, a missing file, and a name that no file can have."""
    (folder / "openclaw-2026-11-22.log").mkdir()
    assert found(told=(str(tmp_path / "gone.log"), "/tmp/" + "x" * 300)) == []


# -- records ----------------------------------------------------------------------------------------------------


def test_the_records_of_three_releases_are_understood() -> None:
    """2026.2.26 has neither `message` nor zone offsets, 2026.5.28 and 2026.9.6 have both."""
    old = parse(line("gateway timeout", name='{"subsystem":"gateway/ws"}', level="WARN").encode(), LOG)
    assert old == logs.Record(LOG, NOW, "WARN", "gateway/ws", "gateway timeout")
    middle = line({"ms": 5}, "slow", name='{"module":"cron","storePath":"/x"}', time="2026-11-22T13:00:00.000+01:00")
    assert parse(middle.encode(), LOG) == logs.Record(LOG, NOW, "ERROR", "cron", "slow")
    new = line("ignored", message="the message", hostname="h", traceId="t", time="2026-11-22T12:00:00.000+00:00")
    assert parse(new.encode(), LOG) == logs.Record(LOG, NOW, "ERROR", "gateway", "the message")
    console = parse(
        line("[openclaw] Non-fatal unhandled rejection (continuing):", "why", name="openclaw").encode(), LOG
    )
    assert console is not None
    assert (console.source, console.text) == ("openclaw", "[openclaw] Non-fatal unhandled rejection (continuing): why")


def test_a_console_that_speaks_json_is_understood() -> None:
    """`logging.consoleStyle` json: the payload's fields stand beside the message; other JSON is plain text."""
    said = {"body": "EPIPE", "error": "EACCES", "time": "2026-11-22T12:00:00.000Z", "level": "warn",
            "subsystem": "gateway/ws", "message": "closed"}  # fmt: skip
    assert parse(json.dumps(said).encode(), LOG) == logs.Record(LOG, NOW, "WARN", "gateway/ws", "closed error=EACCES")
    other = b'{"ok": true, "reason": "already-running"}'
    assert parse(other, LOG) == logs.Record(LOG, None, "", "", other.decode())


@pytest.mark.parametrize(
    ("stamp", "moment"),
    [
        ("2026-11-22T12:00:00.000Z", NOW),
        ("[2026-11-22T13:00:00+01:00]", NOW),
        ("12:00:00", None),
        ("2026-13-01T00:00:00Z", None),
    ],
)
def test_plain_text_may_begin_with_its_time(stamp: str, moment: datetime | None) -> None:
    """As the console and the supervisor's copies of it write it."""
    record = parse(f"{stamp} [gateway] ready".encode(), LOG)
    assert record is not None
    assert record.time == moment


@pytest.mark.parametrize(
    "raw",
    [b"plain words", b'{"torn": "rec', b"[1, 2]", b"null", b'{"_meta": 7, "time": 3}', b"{" * 100_000, b"\x00\xff"],
)
def test_a_line_of_any_other_kind_is_text(raw: bytes) -> None:
    """Raw stack traces, torn lines and garbage are records too, without level or source."""
    record = parse(raw, LOG)
    assert record is not None
    assert (record.level, record.source, record.time) == ("", "", None)
    assert len(record.text) <= 256 * 1024


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_no_bytes_make_the_reader_raise(raw: bytes) -> None:
    """Log text is hostile."""
    parse(raw, LOG)
    from_cli(raw)


def test_an_empty_line_is_nothing() -> None:
    """Blank lines are no records."""
    assert parse(b"  \r\n", LOG) is None


@pytest.mark.parametrize(
    ("stamp", "moment"),
    [
        ("2026-11-22T12:00:00.000Z", NOW),
        ("2026-11-22T14:00:00.000+02:00", NOW),
        ("2026-11-22T07:00:00.000-05:00", NOW),
        ("2026-10-25T02:30:00.000+02:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ("2026-10-25T02:30:00.000+01:00", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),
        ("yesterday, maybe", None),
        ("2026-13-45T99:00:00Z", None),
    ],
    ids=["Z", "east", "west", "before the clock goes back", "after", "words", "no such day"],
)
def test_times_compare_whatever_their_zone(stamp: str, moment: datetime | None) -> None:
    """The hour that comes twice in autumn is told apart by its offset."""
    record = parse(line("x", time=stamp).encode(), LOG)
    assert record is not None
    assert record.time == moment


def test_a_time_without_zone_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenClaw's older local stamps mean this machine's clock."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        record = parse(line("x", time="2026-11-22T21:00:00.000").encode(), LOG)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert record is not None
    assert record.time == NOW


# -- whose ------------------------------------------------------------------------------------------------------

CLI_RECORDS = {
    "2026.2.26 error": line("Error: gateway timeout after 30000ms\nGateway target: ws://x", name="openclaw"),
    "2026.2.26 answer": line('{\n  "jobs": [{"lastError": "gateway timeout"}]\n}', name="openclaw", level="INFO"),
    "2026.5.28": line("x", name="openclaw", message="GatewayTransportError: gateway timeout after 30000ms"),
    "2026.9.6": line("x", name="openclaw", message="Gateway not reachable: gateway timeout (ETIMEDOUT)."),
    "huge answer": line("gateway timeout" + "x" * 400_000, name="openclaw", level="INFO"),
}


@pytest.mark.parametrize("record", CLI_RECORDS.values(), ids=CLI_RECORDS)
def test_what_a_cli_call_appended_does_not_count(tmp_path: Path, record: str) -> None:
    """Another pane's `openclaw` says nothing about the gateway, however long its answer; it is counted apart."""
    log = tmp_path / "l"
    log.write_text(record + "\n")
    view = look(log, "gateway timeout")
    assert (texts(view), view.own_dropped) == ([], 1)


def test_a_cli_record_with_broken_utf8_does_not_count(tmp_path: Path) -> None:
    """A bad byte or a control character in a job's name does not make the record the gateway's."""
    log = tmp_path / "l"
    raw = line("gateway timeout in job QX", name="openclaw").encode()
    log.write_bytes(raw.replace(b"Q", b"\xff").replace(b"X", b"\x00") + b"\n")
    assert look(log, "gateway timeout").own_dropped == 1


GATEWAY_RECORDS = {
    "subsystem": line("gateway timeout after 5 ms", name='{"subsystem":"gateway/ws"}'),
    "module": line("gateway timeout", name='{"module":"cron","storeKey":"x"}'),
    "console": line("[openclaw] Unhandled promise rejection: gateway timeout", name="openclaw"),
    "plain": "Error: gateway timeout\n    at node:internal",
    "another name": line("gateway timeout", name="other"),
}


@pytest.mark.parametrize("record", GATEWAY_RECORDS.values(), ids=GATEWAY_RECORDS)
def test_what_the_gateway_wrote_counts(tmp_path: Path, record: str) -> None:
    """Its loggers, its `[openclaw]` console lines, and whatever reached the file raw."""
    log = tmp_path / "l"
    log.write_text(record + "\n")
    view = look(log, "gateway timeout")
    assert (len(view.records), view.own_dropped) == (1, 0)


FAILED_COMMAND = (
    "[openclaw] The CLI command failed.",
    "[openclaw] Reason: gateway timeout",
    "[openclaw] Try: gateway timeout",
)


@pytest.mark.parametrize("said", FAILED_COMMAND)
def test_a_failed_command_s_lines_do_not_count(said: str) -> None:
    """2026.9.6 begins them with the same `[openclaw]` as the gateway's own console lines."""
    assert from_cli(line(said, name="openclaw").encode())


CHATS = {
    "payload": line({"body": "my build says EPIPE", "from": "+49"}, "inbound message", name='{"module":"web-inbound"}'),
    "message field": line({"body": "EPIPE"}, "inbound message", message="inbound message"),
    "inbound": line("Inbound body: what does EPIPE mean", name='{"subsystem":"gateway/channels/whatsapp"}'),
    "reply": line("Reply body: EPIPE means a closed pipe"),
    "preview": line('slack inbound: channel=C1 from=U1 preview="why EPIPE?"'),
    "quoted reply": line('telegram reply-context: replyToId=7 replyToSender=x replyToBody="EPIPE"'),
    "agent event": line("→ event agent run=1 stream=assistant aseq=2 text=EPIPE is a closed pipe", level="DEBUG"),
    "agent event in colour": line("→ event agent run=1 \x1b[2mtext\x1b[22m=EPIPE is a closed pipe", level="DEBUG"),
    "nested": line({"payload": {"error": "EPIPE"}, "prompt": "EPIPE", "text": "EPIPE"}, "run started"),
}


@pytest.mark.parametrize("record", CHATS.values(), ids=CHATS)
def test_what_is_quoted_from_a_chat_does_not_count(tmp_path: Path, record: str) -> None:
    """Somebody who asks the agent about an error has not caused one."""
    log = tmp_path / "l"
    log.write_text(record + "\n")
    assert texts(look(log, "EPIPE")) == []


FAULTS = {
    "error": (line({"jobId": "j", "error": "write EPIPE"}, "job failed"), "job failed error=write EPIPE"),
    "beside a message": (line({"err": "write EPIPE"}, "x", message="job failed"), "job failed err=write EPIPE"),
    "a logged Error": (line({"name": "Error", "message": "write EPIPE"}), "message=write EPIPE"),
    "its cause": (line({"error": {"message": "write EPIPE", "stack": []}}, "failed"), "failed error=write EPIPE"),
    "said twice": (line({"error": "write EPIPE"}, "failed: write EPIPE"), "failed: write EPIPE"),
}


@pytest.mark.parametrize(("record", "text"), FAULTS.values(), ids=FAULTS)
def test_of_a_payload_what_names_a_fault_counts(tmp_path: Path, record: str, text: str) -> None:
    """The gateway logs the reason beside the message, in a few well-known fields."""
    log = tmp_path / "l"
    log.write_text(record + "\n")
    assert texts(look(log, "EPIPE")) == [text]


RPC_RECORDS = {
    "2026.2.26": line("unauthorized conn=1 remote=127.0.0.1 client=oc-ops cli v0.1.0 reason=token_mismatch"),
    "2026.2.26 closed": line({"userAgent": "oc-ops/0.1.0"}, "closed before connect conn=1 ua=oc-ops/0.1.0 code=1000"),
    "2026.9.6": line("x", message="unauthorized client=oc-ops cli v0.1.0 ua=oc-ops/0.1.0 reason=token_mismatch"),
    "console": f"{at(NOW)} [ws] unauthorized client=oc-ops cli v0.1.0 reason=token_mismatch",
}


@pytest.mark.parametrize("record", RPC_RECORDS.values(), ids=RPC_RECORDS)
def test_what_our_own_connection_caused_does_not_count(tmp_path: Path, record: str) -> None:
    """The gateway writes of our refused connections too: rule 9 holds for these as well."""
    log = tmp_path / "l"
    others = record.replace("oc-ops", "control-ui")
    log.write_text(f"{record}\n{others}\n")
    view = look(log, "unauthorized", "closed before connect")
    assert (len(view.records), view.own_dropped) == (1, 1)
    assert "control-ui" in view.records[0].text


# -- the window -------------------------------------------------------------------------------------------------


def test_only_the_window_counts(tmp_path: Path) -> None:
    """Older records are left out, the edge counts, and what has no readable time counts as recent."""
    log = tmp_path / "l"
    times = [at(WINDOW - timedelta(seconds=1)), at(WINDOW), at(NOW), "no time at all"]
    log.write_text("".join(line(f"EPIPE {number}", time=each) + "\n" for number, each in enumerate(times)))
    view = look(log, "EPIPE")
    assert texts(view) == ["EPIPE 1", "EPIPE 2", "EPIPE 3"]
    assert (view.files, view.since, view.newest) == ((log,), WINDOW, None)


def test_the_newest_record_is_known(tmp_path: Path) -> None:
    """Also where nothing matches: a log that went silent shows by it."""
    log = tmp_path / "l"
    log.write_text(line("a", time=at(WINDOW)) + "\n" + line("b", time=at(NOW)) + "\n")
    view = look(log, "EPIPE")
    assert (view.records, view.newest) == ((), NOW)
    assert view.bytes_read == log.stat().st_size


def test_literals_stand_as_they_are(tmp_path: Path) -> None:
    """Case, quotes, backslashes, dots and letters beyond ASCII are compared as written."""
    log = tmp_path / "l"
    said = ['a "quoted" word', "back\\slash", "dot.", "größer", "EPIPE"]
    log.write_text("".join(line(each) + "\n" for each in [*said, "dotx", "epipe"]))
    for each in said:
        assert texts(look(log, each)) == [each]
    assert texts(look(log, *said)) == said
    assert len(texts(look(log))) == 7


def test_a_line_counts_once(tmp_path: Path) -> None:
    """Two literals, or one twice, in the same record make one record."""
    log = tmp_path / "l"
    log.write_text(line("EPIPE EPIPE timed out") + "\n" + line("EPIPE") + "\n")
    assert texts(look(log, "EPIPE", "timed out")) == ["EPIPE EPIPE timed out", "EPIPE"]


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 MB: a day of a busy gateway, one record each 0.7 s, every one with the literal."""
    log = tmp_path_factory.mktemp("big") / "l"
    padding = "x" * 160
    with log.open("w") as file:
        begin = NOW - timedelta(days=1)
        for number in range(123_000):
            file.write(line(f"EPIPE {number} {padding}", time=at(begin + timedelta(seconds=0.7 * number))) + "\n")
    assert log.stat().st_size > 40_000_000
    return log


@pytest.mark.parametrize("tail_bytes", [2**20 * 50, 2**20 * 8])
def test_a_big_file_is_bisected(big: Path, tail_bytes: int) -> None:
    """A minute's window of 40 MB: exactly its records, little read, well below half a second."""
    last = NOW - timedelta(days=1) + timedelta(seconds=0.7 * 122_999)
    began = time.process_time()
    view = look(big, "EPIPE", since=last - timedelta(seconds=70), tail_bytes=tail_bytes)
    assert time.process_time() - began < 0.5
    assert len(view.records) == 101
    assert view.bytes_read < 1_000_000


def test_at_most_the_tail_is_read(big: Path) -> None:
    """A window longer than the tail ends where the tail begins, at a whole line."""
    view = look(big, "EPIPE", since=NOW - timedelta(days=9), tail_bytes=2**20)
    assert view.bytes_read <= 2**20
    assert view.records[0].text.startswith("EPIPE 1")
    assert view.records[-1].text.startswith("EPIPE 122999 ")


def test_a_huge_line_in_the_way_hides_nothing(tmp_path: Path) -> None:
    """5 MB of payload in one record: the records round it are found, and of it a bounded part."""
    log = tmp_path / "l"
    old = [line(f"EPIPE old {number}", time=at(NOW - timedelta(hours=2))) for number in range(9)]
    new = [line(f"EPIPE new {number}", time=at(NOW)) for number in range(3)]
    huge = line("EPIPE huge " + "x" * 5_000_000, time=at(NOW - timedelta(minutes=1)))
    log.write_text("\n".join([*old, new[0], huge, *new[1:]]) + "\n")
    began = time.process_time()
    found = texts(look(log, "EPIPE"))
    assert time.process_time() - began < 1
    assert [each[:10] for each in found] == ["EPIPE huge", "EPIPE new ", "EPIPE new ", "EPIPE new "]
    assert max(map(len, found)) <= 256 * 1024


def test_torn_and_dirty_lines_hide_nothing(tmp_path: Path) -> None:
    """NULs after a power cut, broken UTF-8, blank lines, a record torn for ever, and plain text without its end."""
    log = tmp_path / "l"
    whole = line("EPIPE whole").encode()
    dirty = line("EPIPE Q").encode().replace(b"Q", b"\xff")
    log.write_bytes(b"\n".join((b"\x00" * 5000, whole, b"", dirty, whole[:-30], b"FATAL: EPIPE at the end")))
    assert texts(look(log, "EPIPE")) == ["EPIPE whole", "EPIPE \ufffd", whole[:-30].decode(), "FATAL: EPIPE at the end"]


def test_a_record_that_is_still_being_written_waits(tmp_path: Path) -> None:
    """Whose it is shows at its end: half a record of a CLI call must not look like the gateway's."""
    log = tmp_path / "l"
    log.write_text(line("EPIPE") + "\n" + line("EPIPE half", name="openclaw")[:30])
    assert texts(look(log, "EPIPE")) == ["EPIPE"]


def test_an_empty_file_is_a_file_without_records(tmp_path: Path) -> None:
    """It was looked at, and that is said."""
    log = tmp_path / "l"
    log.touch()
    view = look(log, "EPIPE")
    assert (view.files, view.records, view.newest, view.bytes_read) == ((log,), (), None, 0)


def test_what_cannot_be_read_is_not_said_to_have_been(tmp_path: Path) -> None:
    """A file that vanished and a folder are left out of `files`; the others are read."""
    log = tmp_path / "l"
    log.write_text(line("EPIPE") + "\n")
    view = recent([tmp_path / "gone", tmp_path, log], ["EPIPE"], since=WINDOW, tail_bytes=LOTS)
    assert (view.files, texts(view)) == ((log,), ["EPIPE"])


def test_files_are_read_in_the_order_given(tmp_path: Path) -> None:
    """Oldest first over midnight; the newest time is that of all."""
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_text(line("EPIPE 1", time=at(NOW - timedelta(minutes=5))) + "\n")
    two.write_text(line("EPIPE 2", time=at(NOW)) + "\n")
    view = recent([one, two], ["EPIPE"], since=WINDOW, tail_bytes=LOTS)
    assert (texts(view), view.newest) == (["EPIPE 1", "EPIPE 2"], NOW)


# -- for evidence -----------------------------------------------------------------------------------------------


def test_the_last_records_are_shown(tmp_path: Path) -> None:
    """The last few, oldest first, blank lines not counted; fewer when there are fewer; none of what is gone."""
    log = tmp_path / "l"
    log.write_text("".join(line(str(number)) + "\n" for number in range(50)) + "\n")
    assert [record.text for record in tail(log, 3)] == ["47", "48", "49"]
    assert len(tail(log, 500)) == 50
    assert tail(tmp_path / "gone", 3) == ()
    assert tail(tmp_path, 3) == ()


def test_the_tail_is_bounded(big: Path, tmp_path: Path) -> None:
    """Of a big file a few hundred kilobytes are read, and a torn first line is not taken for a record."""
    shown = tail(big, 10_000, most_bytes=4096)
    assert 0 < len(shown) < 20
    assert all(record.text.startswith("EPIPE ") for record in shown)
    (tmp_path / "l").write_bytes(b"x" * 2_000_000)
    assert sum(len(record.text) for record in tail(tmp_path / "l", 3)) <= 256 * 1024
