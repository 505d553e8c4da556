"""The windows as text: what each shows at 80×24 and 200×60, and how it is fitted."""

from __future__ import annotations

import importlib
import re
import time
from typing import cast

import pytest
from msgspec.structs import replace
from rich.text import Text

from oc_ops.cockpit.panes import WINDOWS, canvas, loop
from oc_ops.cockpit.panes.canvas import MOODS, View
from oc_ops.cockpit.panes.loop import ansi
from oc_ops.cockpit.snapshot import Reading
from oc_ops.cockpit.state import Freshness, JobPart, JobsPart, LogLine, Snapshot
from tests.support.snapshots import KINDS, sample

NOW = time.mktime((2026, 11, 23, 3, 0, 40, 0, 0, -1))
SIZES = {"80x24": (80, 24), "200x60": (200, 60), "20x5": (20, 5), "1x1": (1, 1)}


def module(window: str) -> loop.Window:
    """The module that draws a window."""
    return cast("loop.Window", importlib.import_module(f"oc_ops.cockpit.panes.{window}"))


def drawn(window: str, shown: Snapshot | str, width: int = 80, height: int = 24, age_s: float = 1.0) -> str:
    """A window's screen."""
    state = sample(shown, NOW) if isinstance(shown, str) else shown
    view = View(Reading(state, age_s), NOW, width, height)
    return "\n".join(each.plain for each in canvas.fitted(module(window).draw(view), width, height))


# -- every window -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("window", WINDOWS)
def test_every_window_fits_every_screen(window: str, kind: str, size: tuple[int, int]) -> None:
    """Whatever the snapshot holds, no line is wider, none is too many, and nothing in it is a control."""
    width, height = size
    view = View(Reading(sample(kind, NOW), 1.0), NOW, width, height)
    lines = canvas.fitted(module(window).draw(view), width, height)
    assert 1 <= len(lines) <= height
    assert max(each.cell_len for each in lines) <= width
    assert not re.search("[\0-\x1f\x7f-\x9f\u202a-\u202e]", "".join(each.plain for each in lines))


@pytest.mark.parametrize("window", WINDOWS)
def test_every_window_says_which_it_is_of_what_and_when(window: str) -> None:
    """The first line: the window, the release, the port, the clock at its right edge."""
    first = drawn(window, "healthy").split("\n")[0]
    assert first.startswith(f" {window} ")
    assert "OpenClaw 2026.9.6" in first
    assert "port 18789" in first
    assert first.endswith("03:00:40 UTC")
    assert len(first) == 80


@pytest.mark.parametrize("window", WINDOWS)
def test_a_watcher_that_does_not_write_is_said_on_top(window: str) -> None:
    """Old figures are never shown as if they were of now."""
    assert (
        drawn(window, "healthy", age_s=75.0)
        .split("\n")[1]
        .startswith(" STALE  the watcher does not write for 1 min, since 02:59:25 UTC")
    )
    good = sample("healthy", NOW)
    ended = replace(good, watcher=replace(good.watcher, ended="nobody watches"))
    assert "the watcher has ended, nobody watches" in drawn(window, ended)
    assert "STALE  the watcher" not in drawn(window, "healthy")


@pytest.mark.parametrize("window", WINDOWS)
def test_without_a_snapshot_the_window_says_why(window: str) -> None:
    """Nothing to show is not shown as nothing wrong."""
    view = View(Reading(Snapshot(), problem="no watcher has written anything yet"), NOW, note="being started")
    text = "\n".join(each.plain for each in module(window).draw(view))
    assert "NO DATA  no watcher has written anything yet\nbeing started" in text
    assert "all is well" not in text


@pytest.mark.parametrize("window", WINDOWS)
def test_colours_are_the_eight_and_never_alone(window: str) -> None:
    """Only the basic colours, in pairs that read on light and dark; everything coloured is a word as well."""
    for kind in KINDS:
        view = View(Reading(sample(kind, NOW), 60.0), NOW, 200, 60)
        for line in module(window).draw(view):
            assert line.style == "" or len(line.plain) < 60, f"a whole line is {line.style}: {line.plain}"
            for span in line.spans:
                assert span.style in {"", "bold", "bold underline", "reverse bold", *MOODS.values()}
                if span.style in MOODS.values():
                    assert re.search(r"\w", line.plain[span.start : span.end]), line.plain
            codes = re.findall(r"\x1b\[([0-9;]*)m", ansi(line, 200))
            allowed = {"", "0", "1", "4", "7", *map(str, (*range(30, 38), *range(40, 48)))}
            assert {each for code in codes for each in code.split(";")} <= allowed


# -- status -----------------------------------------------------------------------------------------------------------


def test_status_of_a_gateway_that_is_well() -> None:
    """State and since when, RPC, event loop, memory, scheduler, verdict and what to do: all on one small screen."""
    text = drawn("status", "healthy")
    for words in (
        "gateway     READY  for 3 d, since 20 Nov 03:00 UTC",
        "pid 1042 · up for 3 d",
        "RPC        on · for 1 h 59 min, since 01:00:50 UTC · last event 11 s ago (03:00:29 UTC)",
        "event loop 21 ms late (p99) of 1000 ms · busy 1%",
        "memory     612 MB of 3.0 GB",
        "cron       on · 7 jobs · 1 running · next in 6 min (03:07:00 UTC)",
        "doctor      DEGRADED  30 min ago (02:30:40 UTC) · took 14 s",
        " WARNING  host/disk-low: the report file system has 7 % free",
        "next       df -h",
        "watcher    the gateway pushes events",
    ):
        assert " ".join(words.split()) in " ".join(text.split()), text
    assert "STALE" not in text


def test_status_shows_work_beside_life() -> None:
    """Channels, messages, models and due times on one small screen, each figure with its age."""
    text = drawn("status", "healthy")
    for words in (
        "channels   2 of 2 up · heard 12 s ago (03:00:28 UTC) · 40 s old",
        "messages   none waits · 0 given up · 40 s old",
        "model      openai/gpt-6 · not left alone · 3 min 20 s old",
        "due times  none of 7 overdue · 40 s old",
    ):
        assert words in text, text


def test_status_of_a_gateway_that_lives_and_does_no_work() -> None:
    """Green gateway, and below it what does not work; all of it fits on 80 by 24, with what to do next."""
    text = drawn("status", "idle")
    for words in (
        "gateway     READY ",
        "channels    1 OF 2 UP  · heard 11 min",
        "messages   3 wait since 02:35:40 UTC · 4 given up · 40 s old",
        "model      openai/gpt-6 · left alone until 03:10:40 UTC · 3 min 20 s old",
        "due times  3 of 7 overdue, the first since 02:00:40 UTC · 40 s old",
        " ERROR  channels/deaf: the channel telegram says connected and",
        " ERROR  models/parked: ",
        "and 1 more of its work",
        "next ",
    ):
        assert words in text, text
    assert "do not fit" not in text


def test_a_gateway_that_is_not_asked_has_one_line_of_work() -> None:
    """What was told before the hang is not of now, and leaves room for what is wrong."""
    text = drawn("status", "hung")
    assert "channels   2 of 2 up" not in text
    assert "work        STALE  as of 1 min ago (02:59:05 UTC)" in text


def test_status_of_a_gateway_that_hangs() -> None:
    """What is wrong, what was seen, what helps; what cannot be looked at says since when and why."""
    text = drawn("status", "hung")
    for words in (
        "gateway     HUNG  for 1 min, since 02:59:08 UTC",
        "gateway/hung: the gateway does not answer",
        "saw        GET /healthz: the port accepts, no answer in 2.0 s",
        "first aid  kill -CONT 1042",
        "RPC        silent · for 1 min",
        "STALE  as of 1 min ago (02:59:05 UTC); could not look for 1 min, since 02:59:08 UTC",
        "not asked while the gateway is in trouble (gate…",
        "incidents  2 open",
        "next       kill -CONT 1042",
    ):
        assert " ".join(words.split()) in " ".join(text.split()), text


def test_status_of_an_old_release_says_what_it_lacks() -> None:
    """Polling is said, and a figure that a release does not tell is not shown as zero."""
    text = drawn("status", "polling")
    assert "no RPC lane: jobs and status are asked for through the CLI every 5 min" in " ".join(text.split())
    assert "event loop could not look for 1 h 59 min, since 01:00:50 UTC: this release does not tell" in " ".join(
        text.split()
    )
    assert "late (p99)" not in text


def test_a_scheduler_that_is_not_told_is_not_called_on() -> None:
    """The gateway's store tells jobs and when the next is due, and not whether the scheduler is on."""
    good = sample("healthy", NOW)
    text = drawn("status", replace(good, scheduler=replace(good.scheduler, enabled=None)))
    assert "cron       7 jobs · 1 running · next in 6 min (03:07:00 UTC)" in text


def test_nothing_known_is_not_well() -> None:
    """A watcher that has only just come up claims nothing."""
    text = drawn("status", "empty")
    assert " UNKNOWN " in text
    assert "READY" not in text
    assert "not looked at yet" in text


# -- runs -------------------------------------------------------------------------------------------------------------


def test_runs_shows_each_job_with_its_history_and_what_is_due() -> None:
    """Running, last runs and how long, due, overdue, failing, missing, disabled; what just ran; the transcript."""
    text = drawn("runs", "healthy", 120, 40)
    for words in (
        r"sync-mail +RUNNING  for 12 s, since 03:00:28 UTC, at most 10 min · next in 6 min \(03:07:00 UTC\)",
        r"every 1 h · last: ok 31 s, ok 32 s, ok 33 s, ok 34 s · usually 34 s · steady",
        r"nightly-report +OVERDUE  11 min  ERROR  2× in a row, 23 h 59 min ago",
        r"WARNING  cron/job-failing: the watched job nightly-report fails: its last 2 runs failed",
        r"backup-db +MISSING",
        r"old-digest +DISABLED   NO RUN",
        r" RUNNING  sync-mail for 12 s, since 03:00:28 UTC",
        r" ERROR  nightly-report 1 h 22 min ago \(01:38:02 UTC\) · took 42 s · command exited with code 3",
        r"transcript memory/cron_run_now/a1_2026-11-23T02-10-00Z.log 40 min ago",
        r"  finished: ok in 31.0 s",
    ):
        assert re.search(words, text), text


def test_many_jobs_lose_detail_before_they_vanish() -> None:
    """On a small screen a job keeps its state; what does not fit at all is counted, and what just ran stays."""
    good = sample("healthy", NOW)
    many = tuple(replace(good.jobs.jobs[0], id=f"j{each}", name=f"job-{each}") for each in range(12))
    text = drawn("runs", replace(good, jobs=replace(good.jobs, jobs=many)))
    assert all(f"job-{each} " in text for each in range(12))
    assert "every 1 h" not in text
    assert "just now" in text
    text = drawn("runs", replace(good, jobs=replace(good.jobs, jobs=many * 4)))
    assert re.search(r"… \d+ more lines of jobs: `oc-ops jobs` shows them all", text)
    assert "just now" in text


def test_jobs_that_the_gateway_did_not_tell_itself_say_where_they_are_from() -> None:
    """From its store while it does not answer, from the CLI without an RPC lane."""
    assert "jobs       read from `openclaw cron list` 2 min ago (02:58:20 UTC)" in drawn("runs", "polling")
    assert "read from" not in drawn("runs", "healthy")


def test_no_watched_job_is_said() -> None:
    """An empty window would look like a broken one."""
    good = sample("healthy", NOW)
    assert "none is watched" in drawn("runs", replace(good, jobs=JobsPart(seen=good.jobs.seen)))
    assert "not looked at yet" in drawn("runs", replace(good, jobs=JobsPart()))


def test_a_job_that_could_not_be_judged_says_so() -> None:
    """It is not shown as well."""
    good = sample("healthy", NOW)
    job = JobPart("a", "alone", unseen="the schedule cannot be read")
    text = drawn("runs", replace(good, jobs=replace(good.jobs, jobs=(job,))))
    assert "WARNING  could not be judged: the schedule cannot be read" in text


# -- browser ----------------------------------------------------------------------------------------------------------


def test_browser_shows_the_digest_the_browser_and_the_log_s_end() -> None:
    """Readable lines, the newest last; a complaint may take a second line."""
    text = drawn("browser", "healthy")
    lines = text.split("\n")
    assert lines[1].startswith("browser     RUNNING  pid 2211, 3 tabs · seen 3 min ago")
    assert "sessions      4, 1 active" in lines
    assert lines[-1] == "03:00:13 UTC INFO  browser/service Browser control service ready (profiles=2)"
    assert "               exited with code 3" in lines
    assert "{" not in text
    assert len(lines) == 24


def test_a_browser_that_is_not_looked_at() -> None:
    """Switched off by the setting is neither well nor wrong."""
    good = sample("healthy", NOW)
    text = drawn("browser", replace(good, browser=replace(good.browser, expected="off")))
    assert "browser    not looked at: the setting browser is off" in text
    without = replace(
        good, browser=replace(good.browser, running=None, enabled=False, words="switched off in the config")
    )
    assert "browser    switched off in the config\n" in drawn("browser", without)
    down = replace(good, browser=replace(good.browser, running=False, words=""))
    assert " NOT RUNNING  seen " in drawn("browser", down)


def test_an_empty_log_is_said() -> None:
    """No line is a line."""
    good = sample("healthy", NOW)
    assert "nothing was logged lately" in drawn("browser", replace(good, log=replace(good.log, lines=())))


# -- incidents --------------------------------------------------------------------------------------------------------


def test_open_incidents_come_first_with_who_has_them_and_what_helps() -> None:
    """Then the signatures, each with how often, its first aid, and whether a restart helps."""
    text = drawn("incidents", "hung")
    places = [
        text.index(each)
        for each in (
            "2 open incidents",
            " ERROR  gateway/hung red · for 1 min, since 02:59:08 UTC",
            "  first aid kill -CONT 1042",
            "  not acknowledged · came back 1× · 2026-11-23-gateway-hung-7f3a",
            "cron/job-failing",
            "  acknowledged by ana",
            "log signatures that fired",
            " WARNING  gateway.slow_fetch 1× of the 3 that count",
            "  first aid openclaw channels status --probe (restart: useless)",
            "  fetch timeout after 10000ms",
        )
    ]
    assert places == sorted(places)


def test_no_incident_is_said() -> None:
    """Quiet is a statement."""
    good = sample("healthy", NOW)
    text = drawn("incidents", replace(good, log=replace(good.log, signatures=())))
    assert "no open incident" in text
    assert "no known error signature in the log lately" in text


# -- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (None, "never"),
        (NOW, "0 s ago (03:00:40 UTC)"),
        (NOW - 59, "59 s ago (02:59:41 UTC)"),
        (NOW - 3600, "1 h ago (02:00:40 UTC)"),
        (NOW - 86_400 * 2, "2 d ago (21 Nov 03:00 UTC)"),
        (NOW + 61, "in 1 min (03:01:41 UTC)"),
        (NOW + 86_400 * 3, "in 3 d (26 Nov 03:00 UTC)"),
        (1e17, "in 1157407386627 d 7 h (an impossible time)"),
    ],
)
def test_moments_are_age_and_clock_time(at: float | None, words: str) -> None:
    """Both, since an age alone is wrong once the screen is a photograph."""
    assert canvas.ago(at, NOW) == words


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([5], ""),
        ([100, 101, 102], ""),
        ([0, 50, 100], "▁▄█"),
        ([1, 2, 3, 4] * 10, "▁▃▅█▁▃▅█"),
    ],
    ids=["none", "one", "flat", "rising", "cut"],
)
def test_a_line_of_blocks(values: list[float], line: str) -> None:
    """As high as the values; a little noise is no mountain."""
    assert canvas.shades(values, 8) == line


def test_a_long_text_ends_in_an_ellipsis() -> None:
    """Cut by columns, not by characters: a wide character counts two."""
    lines = canvas.wrapped(Text("word " * 40 + "漢字" * 40), 20, 3)
    assert len(lines) == 3
    assert all(each.cell_len <= 20 for each in lines)
    assert lines[-1].plain.endswith("…")
    assert canvas.wrapped(Text("x" * 100), 10, 1)[0].plain == "x" * 9 + "…"


def test_stale_parts_are_told_by_their_own_clock() -> None:
    """A part that is looked at every 2 s and was not for a minute is stale, whatever else is fresh."""
    assert canvas.unseen("x", Freshness(NOW - 1, "http", every_s=2.0), NOW, 80) == []
    assert canvas.unseen("x", Freshness(NOW - 7, "files", every_s=1.0), NOW, 80) == []  # nothing new: written 5 s ago
    (line,) = canvas.unseen("x", Freshness(NOW - 60, "http", every_s=2.0), NOW, 80)
    assert line.plain == "x           STALE  as of 1 min ago (02:59:40 UTC); no news in time"
    (line,) = canvas.unseen("x", Freshness(problem="no key", problem_since=NOW - 5), NOW, 80)
    assert line.plain == "x          could not look for 5 s, since 03:00:35 UTC: no key"


def test_a_log_line_of_an_impossible_time_is_a_line() -> None:
    """A record may carry any date, or none."""
    good = sample("healthy", NOW)
    lines = (
        LogLine(-1e15, "WARN", "a", "first"),
        LogLine(None, "", "", "second"),
        LogLine(1e15, "X" * 50, "b", "third"),
    )
    text = drawn("browser", replace(good, log=replace(good.log, lines=lines)))
    assert "an impossible time WARN  a first" in text
    assert "--:--:--       second" in text
