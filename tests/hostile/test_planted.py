"""Planted files: whatever stands in the place of an input, a run ends in time, in one sentence, not green."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from oc_ops.observe.target import locate
from tests.hostile.runs import dice, doctor, oc_ops
from tests.support import hostile
from tests.support.hostile import PLANTS, Measured, Plant
from tests.support.machine import Operator, gateway

INPUTS = {
    "config": "home/.openclaw/openclaw.json",
    "include": "home/.openclaw/included.json",
    "dotenv": "home/.openclaw/.env",
    "watchlist": "memory/ops_critical_cron_jobs.txt",
    "signatures": "memory/signatures.toml",
    "database": "home/.openclaw/state/openclaw.sqlite",
    "device": "memory/device.json",
}
"""What a verdict rests on: with none of these that cannot be read it is green."""
MEMORY = {
    "incidents": "memory/incidents.jsonl",
    "approvals": "memory/approvals.jsonl",
    "history": "memory/ops.sqlite",
    "work": "memory/work-KEY.json",
    "drain": "memory/drain-KEY.json",
    "trend": "memory/trend-KEY.json",
    "log cursor": "memory/logs-KEY.json",
    "cli proof": "memory/cli-proof-KEY.json",
    "snapshot": "memory/state-KEY.json",
    "recovery": "memory/recoveries/2026-11-28T12-00-00Z.jsonl",
    "schedule log": "memory/schedule.log",
    "told": "memory/notify.json",
    "latest": "reports/latest.json",
    "earlier run": "reports/runs/2026-11-28T12-00-00Z/report.json",
    "lock's note": "state/oc-ops/locks/doctor-KEY.lock.holder",
    "lock": "state/oc-ops/locks/doctor-KEY.lock",
    "key": "state/oc-ops/installation.key",
    "notify file": "urls.txt",
}
"""What a verdict does not rest on: the run goes on without it, and says so where it costs something."""
GATEWAYS = {
    "job store": "home/.openclaw/cron/jobs.json",
    "job states": "home/.openclaw/cron/jobs-state.json",
    "run log": "home/.openclaw/cron/runs/a.jsonl",
    "session lock": "home/.openclaw/agents/main/sessions/s.jsonl.lock",
    "gateway lock": "home/.openclaw/tmp/openclaw-UID/gateway.other.lock",
    "restart log": "home/.openclaw/logs/gateway-restart.log",
    "gateway log": "gateway.log",
    "stability": "home/.openclaw/logs/stability/a.json",
    "singleton": "home/.openclaw/browser/openclaw/user-data/SingletonLock",
    "npmrc": "home/.npmrc",
}
"""What the gateway and its tools leave, and a look may need."""
PLACES = {**INPUTS, **MEMORY, **GATEWAYS}
HARMLESS = {
    ("dotenv", "folder"), ("dotenv", "nested"), ("dotenv", "no_text"), ("dotenv", "cut_off"), ("dotenv", "other_types"),
    ("dotenv", "breaks"), ("dotenv", "strangers"),
    ("include", "other_types"), ("include", "strangers"), ("watchlist", "breaks"), ("signatures", "breaks"),
    *(("device", each) for each in ("huge", "nested", "no_text", "cut_off", "other_types", "blanks", "breaks")),
}  # fmt: skip
"""Inputs that are read and mean nothing, or something a person may mean; a damaged device key is set aside and said."""

UNREADABLE = ("pipe", "endless", "bound_socket", "huge", "circle", "folder", "no_text", "strangers_link")


def plant(operator: Operator, place: str, make: Plant) -> dict[str, str]:
    """Put something hostile in one place of a machine that is else well; the variables that point to it."""
    key = locate({"HOME": str(operator.root / "home")}).key
    path = operator.root / PLACES[place].replace("KEY", key).replace("UID", str(os.getuid()))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if place == "include":
        config = json.loads(operator.config.read_text())
        operator.config.write_text(json.dumps({**config, "$include": f"./{path.name}"}))
    path.unlink(missing_ok=True)
    with _inside(path.parent):  # a socket's name is at most 108 bytes long
        make(Path(path.name))
    return {"OC_OPS_NOTIFY_URLS": str(path)} if place == "notify file" else {}


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def holds(
    tmp_path: Path, place: str, make: Plant, bounded: Callable[[Measured], None], *command: str
) -> tuple[Operator, Measured]:
    """One run on such a machine: bounded, not green where a verdict rests on it, and nothing is sent anywhere."""
    with gateway() as port:
        operator = Operator(tmp_path / "machine", port)
        environ = plant(operator, place, make)
        run = oc_ops(operator, *command, **environ) if command else doctor(operator, **environ)
    bounded(run)
    if not command and place in INPUTS and (place, make.__name__) not in HARMLESS:
        assert run.exit in (1, 4), run.said
        if place in ("config", "dotenv"):
            assert (run.exit, (operator.reports / "latest.json").is_file()) == (1, True), run.said
        assert "doctor: healthy" not in run.sentence, run.said
    if not command and place == "notify file" and make.__name__ in UNREADABLE:
        assert "no message can be sent: notify file=" in run.said
    return operator, run


SHORT = [
    ("config", hostile.endless), ("config", hostile.nested), ("include", hostile.pipe), ("signatures", hostile.huge),
    ("database", hostile.folder), ("incidents", hostile.pipe), ("job store", hostile.no_text),
]  # fmt: skip


@pytest.mark.parametrize(("place", "make"), SHORT, ids=lambda each: getattr(each, "__name__", each))
def test_a_planted_file_is_one_sentence(
    place: str, make: Plant, tmp_path: Path, bounded: Callable[[Measured], None]
) -> None:
    """One of each kind of place."""
    holds(tmp_path, place, make, bounded)


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("place", PLACES)
def test_every_place_holds(place: str, number: int, tmp_path: Path, bounded: Callable[[Measured], None]) -> None:
    """Each place with eight things in it, one after the other, in the order that the seed has drawn."""
    make = dice(place).sample(PLANTS, 8)[number]
    print(make.__name__)  # noqa: T201 -- what was drawn, beside a case that fails
    holds(tmp_path, place, make, bounded)


COMMANDS = [
    ("jobs",), ("breaker", "list"), ("recover", "--dry-run"), ("incidents", "list"), ("metrics",), ("history",),
    ("schedule", "show"), ("config",), ("logs",), ("targets",), ("doctor", "--json", "--quick"), ("doctor", "--nagios"),
]  # fmt: skip


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(60))
def test_other_commands_hold_too(number: int, tmp_path: Path, bounded: Callable[[Measured], None]) -> None:
    """A place, a thing and a command, drawn by the seed; several at once."""
    drawn = dice(f"planted {number}")
    with gateway() as port:
        operator = Operator(tmp_path / "machine", port)
        environ: dict[str, str] = {}
        named = [(drawn.choice(sorted(PLACES)), drawn.choice(PLANTS)) for _ in range(drawn.randint(1, 3))]
        for place, make in dict(named).items():
            environ |= plant(operator, place, make)
        command = drawn.choice(COMMANDS)
        run = oc_ops(operator, *command, **environ)
    print(named, command, run.sentence)  # noqa: T201 -- what was drawn, beside a case that fails
    bounded(run)
