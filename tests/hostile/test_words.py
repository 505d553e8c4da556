"""Hostile names and logs: nothing acts in terminal, page, panes, incidents, metrics and crontab."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from oc_ops.cockpit.panes import WINDOWS, canvas
from oc_ops.cockpit.panes.canvas import View
from oc_ops.cockpit.panes.loop import ansi
from oc_ops.cockpit.snapshot import Reading
from oc_ops.errors import OcOpsError
from oc_ops.schedule import crontab
from oc_ops.schedule.plan import SchedulePlan
from tests.hostile.runs import dice, doctor, oc_ops
from tests.support import machine
from tests.support.hostile import HOSTILE_WORDS, Measured, acts, hostile_name
from tests.support.log_lines import line
from tests.support.machine import Operator, gateway
from tests.support.snapshots import sample
from tests.unit.cockpit.test_panes import module

_LOOSE = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Page(HTMLParser):
    """Every tag of a page, with what could make it act."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]


def named(monkeypatch: pytest.MonkeyPatch, words: Callable[[], str]) -> None:
    """Have the gateway give everything such a name."""
    now_ms = round(time.time() * 1000)
    jobs = [
        {
            "id": f"{words()}-{number}", "name": words(), "enabled": True, "updatedAtMs": now_ms,
            "schedule": {"kind": "every", "everyMs": 3_600_000, "anchorMs": now_ms - 9_000_000},
            "state": {
                "runningAtMs": now_ms - 8 * 3_600_000 if number == 0 else None, "lastRunAtMs": now_ms - 8 * 3_600_000,
                "lastStatus": "error", "lastError": words(), "consecutiveErrors": 9,
            },
        }
        for number in range(4)
    ]  # fmt: skip
    said = {
        "cron.list": {"jobs": jobs},
        "status": {"runtimeVersion": words(), "heartbeat": {}, "taskAudit": {"byCode": {words(): 3}}},
        "health": {
            "ok": True, "defaultAgentId": words(),
            "plugins": {"loaded": [words()], "errors": [{"id": words(), "error": words()}], "unavailable": [words()]},
        },
        "channels.status": {
            "channelAccounts": {
                words(): [{"accountId": words(), "enabled": True, "running": False, "lastError": words()}]
            },
            "statusIssues": [{"channel": words(), "message": words()}],
        },
        "agents.list": {"defaultId": words(), "agents": [{"id": words(), "model": {"primary": words()}}]},
    }  # fmt: skip
    for method, payload in said.items():
        monkeypatch.setitem(machine.RPC, method, payload)


def _run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, salt: str, bounded: Callable[[Measured], None]) -> None:
    drawn = dice(salt)
    named(monkeypatch, lambda: hostile_name(drawn))
    with gateway() as port:
        operator = Operator(tmp_path / "machine", port)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        operator.log.write_text(
            "".join(f"{line(f'EPIPE {hostile_name(drawn)}', time=now)}\n" for _ in range(50)), errors="replace"
        )
        (operator.root / "memory").mkdir()
        (operator.root / "memory" / "ops_critical_cron_jobs.txt").write_text("a job that is not there\n")
        run = doctor(operator)
        others = [oc_ops(operator, *words) for words in (("jobs",), ("incidents", "list"), ("metrics",))]
    for each in (run, *others):
        bounded(each)
        assert not acts(each.said), each.said
    assert run.exit == 1
    page = Page((operator.reports / "latest.html").read_text(encoding="utf-8"))
    assert page.handlers == []
    assert not {"iframe", "object", "embed", "form", "base"} & set(page.tags)
    assert "x" not in page.links, "the picture that a name asked for"
    assert not [each for each in page.links if each.lower().lstrip().startswith(("javascript:", "data:text"))]
    list(text_string_to_metric_families(others[2].out))
    for path in operator.root.glob("m*/**/*.json*"):
        for text in path.read_text(encoding="utf-8").splitlines():
            json.loads(text) if path.suffix == ".jsonl" else None
            assert not _LOOSE.search(text), path


def test_hostile_words_act_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bounded: Callable[[Measured], None]
) -> None:
    """A gateway whose every name is hostile."""
    _run(tmp_path, monkeypatch, "words", bounded)


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(20))
def test_other_hostile_words_act_nowhere(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bounded: Callable[[Measured], None]
) -> None:
    """Names that the seed has drawn."""
    _run(tmp_path, monkeypatch, f"words {number}", bounded)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_pane_shows_them_and_obeys_none(window: str) -> None:
    """Even where a snapshot was written by somebody else: every text of it is a hostile one."""
    now = time.time()
    good = sample("healthy", now)
    for word in HOSTILE_WORDS:
        jobs = tuple(replace(each, name=word, schedule=word) for each in good.jobs.jobs)
        transcripts = tuple(replace(each, path=word, tail=(word,)) for each in good.jobs.transcripts)
        evil = replace(good, state_dir=word, jobs=replace(good.jobs, jobs=jobs, transcripts=transcripts))
        for width, height in ((80, 24), (200, 60)):
            lines = canvas.fitted(module(window).draw(View(Reading(evil, 1.0), now, width, height)), width, height)
            assert not acts("".join(each.plain for each in lines)), word
            assert max(each.cell_len for each in lines) <= width
            drawn = "".join(ansi(each, width) for each in lines)
            assert not re.search(r"\x1b(?!\[[0-9;]*[mK])", drawn), "only colours of our own"


def _printable(text: str) -> str:
    return "".join(
        each for each in text if each.isprintable() and each not in "/\0" and not "\ud800" <= each <= "\udfff"
    )


@pytest.mark.parametrize("number", range(40))
def test_a_crontab_line_is_what_it_says_or_is_refused(number: int, tmp_path: Path) -> None:
    """A folder of any name: what cron hands to the shell is the same folder, to the letter; else there is no line."""
    drawn = dice(f"crontab {number}")
    pieces = [
        *map(_printable, HOSTILE_WORDS[:20]),
        "%",
        "\\",
        "\\%",
        "'",
        '"',
        " ",
        "$HOME",
        "`id`",
        "*",
        "~",
        "#",
        "=",
        "é",
    ]
    name = "".join(drawn.choice(pieces) for _ in range(drawn.randint(1, 6)))[:60].strip(".") or "x"
    folder = tmp_path / name
    folder.mkdir(parents=True, exist_ok=True)
    plan = SchedulePlan("default", 300, ("/bin/pwd", "-L"), folder, {"NAME": name})
    try:
        written = crontab.line(plan)
    except OcOpsError as error:
        assert "backslash" in str(error)  # noqa: PT017 -- a refusal is as good as a line
        return
    assert not acts(written)
    (read,) = crontab.readings(written.split(" ", 5)[5])
    said = subprocess.run(["/bin/sh", "-c", read.replace("/bin/pwd -L", 'sh -c \'pwd -L; printf "%s\\n" "$NAME"\'')],
        capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"})  # fmt: skip
    assert said.stdout == f"{folder}\n{name}\n"
    assert shlex.split(read, comments=True)[1] == str(folder)
    assert crontab.trouble(written) == ""
