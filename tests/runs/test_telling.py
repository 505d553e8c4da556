"""Runs that tell people: what they send, to whom, and that no notifier, however bad, costs a run anything."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from oc_ops import settings as oc_settings
from oc_ops.notify import after_run, news
from tests.runs.test_recover_option import QUICKLY, deaf_until_restarted
from tests.support.machine import PROJECT, SECRET, Operator, closed_port, gateway, silent_port
from tests.support.post import SECRET_PATH, post_office

NOBODY = 2**22 + 1
"""A pid above what Linux and macOS give out."""
TOKEN = "xoxb-1234567890-abcdefghij"


def test_a_run_tells_and_beats(tmp_path: Path) -> None:
    """Start, then the end: fail with a message where the gateway is down; nothing secret in what it leaves."""
    with post_office() as post:
        ping, urls = f"http://127.0.0.1:{post.port}/{SECRET_PATH}", f"json://127.0.0.1:{post.port}/{SECRET_PATH}"
        operator = Operator(tmp_path, closed_port())
        run = operator.run("--quick", OC_OPS_NOTIFY_URLS=urls, OC_OPS_PING_URL=ping)
        post.until(3)
    assert run.code == 1
    assert sorted(post.paths) == [f"/{SECRET_PATH}", f"/{SECRET_PATH}/fail", f"/{SECRET_PATH}/start"]
    assert [title for title in post.titles if title.startswith("PROBLEM: gateway/down on ")]
    assert [text for path, _, text in post.came if path.endswith("/fail")] == [run.last_line]
    shown = {each["name"]: each["value"] for each in operator.latest()["environment"]["settings"]}
    assert (shown["notify_urls"], shown["ping_url"]) == ("[redacted]", "[redacted]")
    for path in [each for each in tmp_path.rglob("*") if each.is_file()]:
        assert SECRET_PATH.encode() not in path.read_bytes(), path
    assert SECRET_PATH not in run.out + run.err


def test_a_healthy_run_beats_ok_and_a_part_of_one_does_not(tmp_path: Path) -> None:
    """Three green checks are no healthy gateway; a file may hold the address."""
    file = tmp_path / "ping"
    with post_office() as post, gateway() as port:
        file.write_text(f"http://127.0.0.1:{post.port}/x\n")
        operator = Operator(tmp_path, port)
        part = operator.run("--quick", "-k", "test_gateway", OC_OPS_PING_URL=str(file))
        assert part.code == 0, part.out
        operator.run("--quick", OC_OPS_PING_URL=str(file))
        post.until(2)
    assert post.paths == ["/x/start", "/x"]
    assert operator.latest()["environment"]["settings"][-1]["value"] == str(file)


def test_a_notifier_that_hangs_costs_the_run_nothing(tmp_path: Path) -> None:
    """The verdict and the end of the process come as without it, and what hangs ends itself."""
    operator = Operator(tmp_path, closed_port())
    began = time.monotonic()
    plain = operator.run("--quick")
    plain_s = time.monotonic() - began
    with silent_port() as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        run = operator.run(
            "--quick", OC_OPS_NOTIFY_URLS=f"json://{address}/x?rto=60&cto=60", OC_OPS_PING_URL=f"http://{address}/x",
            OC_OPS_NOTIFY_S="12",
        )  # fmt: skip
        assert time.monotonic() - began < plain_s + 10
        assert (run.code, plain.code) == (1, 1)
        until(lambda: len(delivering(tmp_path)) == 0)


def test_a_scheduled_run_waits_for_what_it_sends(tmp_path: Path) -> None:
    """A scheduler ends what a run leaves behind, so such a run is over when people were told."""
    with post_office() as post:
        operator = Operator(tmp_path, closed_port())
        operator.run("--quick", OC_OPS_NOTIFY_URLS=f"json://127.0.0.1:{post.port}/x", OC_OPS_SCHEDULED="1")
        assert len(post.came) == 1
    assert delivering(tmp_path) == []


def test_a_file_that_is_not_there_costs_the_run_nothing(tmp_path: Path) -> None:
    """`oc-ops notify test` says so; the doctor goes on."""
    run = Operator(tmp_path, closed_port()).run("--quick", OC_OPS_NOTIFY_URLS="/nowhere/urls")
    assert run.code == 1
    assert "gateway/down" in run.last_line


def test_the_next_run_says_that_nobody_was_told(tmp_path: Path) -> None:
    """Beside the report's place, without the address."""
    operator = Operator(tmp_path, closed_port())
    url = f"json://127.0.0.1:{closed_port()}/{SECRET_PATH}"
    operator.run("--quick", OC_OPS_NOTIFY_URLS=url)
    until(lambda: bool(news.read(tmp_path / "memory").failed))
    second = operator.run("--quick", OC_OPS_NOTIFY_URLS=url)
    assert "the last message was not accepted: json: " in second.out
    assert SECRET_PATH not in second.out


def test_who_wants_nothing_told_pays_nothing() -> None:
    """Nothing of it is imported by a run that has nobody to tell."""
    code = "import sys, oc_ops.doctor.run; print([m for m in sys.modules if 'notify' in m or m == 'apprise'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_process_that_cannot_be_started_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No memory, no python: the run goes on."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    after_run.start_delivery(oc_settings.Settings(memory_dir=tmp_path), {"urls": "x"}, wait=True)


def delivering(memory: Path) -> list[str]:
    """The processes that deliver for runs below that folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        words, environ = process.info["cmdline"] or [], process.info["environ"] or {}
        if words[-1:] == ["oc_ops.notify.deliver"] and str(memory) in environ.get("OC_OPS_MEMORY_DIR", ""):
            found.append(" ".join(words))
    return found


def until(holds: Callable[[], bool]) -> None:
    """Wait for it."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


# -- recovery and breaker ---------------------------------------------------------------------------------------------


def restarted_by_others(operator: Operator, *minutes_ago: float) -> None:
    """What OpenClaw writes down when somebody restarts its gateway."""
    log = operator.root / "home" / ".openclaw" / "logs" / "gateway-restart.log"
    log.parent.mkdir()
    moments = (datetime.now(UTC) - timedelta(minutes=each) for each in minutes_ago)
    words = "openclaw gateway lifecycle source=cli action=restart mode=systemctl-restart"
    log.write_text("".join(f"[{at:%Y-%m-%dT%H:%M:%S}.000Z] {words}\n" for at in moments))


def planned_by_an_agent(operator: Operator, lock: str) -> str:
    """The real `oc-ops breaker show`, by somebody without a terminal, of a session's lock whose holder is dead."""
    path = operator.root / "home" / ".openclaw" / "agents" / "main" / "sessions" / lock
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"pid": NOBODY, "createdAt": "2026-11-22T10:00:00.000Z"}))
    shown = subprocess.run(
        [sys.executable, "-m", "oc_ops", "breaker", "show", f"session-lock:main/{lock}", "--json"],
        cwd=operator.root / "cwd", env={**operator.environ, "PYTHONPATH": str(PROJECT)}, stdin=subprocess.DEVNULL,
        start_new_session=True, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return str(json.loads(shown.stdout)["plan"])


def test_a_spent_budget_and_an_approval_that_is_wanted(tmp_path: Path) -> None:
    """Real refusals and plans, each told once, over a messenger beside one that hangs and one that is not there."""
    with post_office() as post, silent_port() as silent:
        bad = f"json://127.0.0.1:{silent.getsockname()[1]}/x?rto=3&cto=3 json://127.0.0.1:{closed_port()}/x"
        telling = {"OC_OPS_NOTIFY_URLS": f"{bad} json://127.0.0.1:{post.port}/{SECRET_PATH}", "OC_OPS_NOTIFY_S": "45"}

        def told_by(*options: str) -> list[tuple[str, str]]:
            before = len(post.came)
            alone = {} if "--recover" in options else {"PYTEST_ADDOPTS": ""}  # this process is no gateway that died
            assert operator.run(*options, **{**QUICKLY, **alone, **telling}).code == 1
            until(lambda: delivering(tmp_path) == [])
            return [(title, text) for _, title, text in post.came[before:]]

        with deaf_until_restarted(tmp_path) as operator:
            restarted_by_others(operator, 40, 30, 20)
            [(title, text)] = told_by("--recover")
            assert title.startswith("NOT RECOVERED, the budget is spent: gateway/rpc-unanswered on ")
            assert "the budget of 3 restarts of the gateway an hour is spent until " in text
            assert told_by("--recover") == []
            assert operator.latest()["recovery"]["outcome"] == "refused"
            assert [each for each in operator.calls if "restart" in each] == []
        # Then it dies, and leaves a lock behind.
        [(title, _)] = told_by("--quick")
        assert title.startswith("PROBLEM: gateway/down on ")
        plan = planned_by_an_agent(operator, f"{TOKEN}.jsonl.lock")
        [(title, text)] = told_by("--quick")
        assert title.startswith("APPROVAL WANTED: session-lock:main/[redacted].jsonl.lock on ")
        assert f"plan {plan}, void after " in text
        assert told_by("--quick") == []
        planned_by_an_agent(operator, "gone.jsonl.lock")
        next(operator.root.rglob("gone.jsonl.lock")).unlink()
        assert told_by("--quick") == [], "what it was about is over: nobody is to decide anything"
    assert not re.search(rf"{TOKEN}|{SECRET}|{SECRET_PATH}", "".join(f"{title}{text}" for _, title, text in post.came))


def test_what_recovery_did_is_told_with_the_problem(tmp_path: Path) -> None:
    """Found and cured within one run: people hear that it was there, what was done, and then that it is over."""
    with post_office() as post, deaf_until_restarted(tmp_path) as operator:
        urls = f"json://127.0.0.1:{post.port}/x"
        for options in (("--recover",), ("--quick",), ("--quick",)):
            operator.run(*options, **QUICKLY, OC_OPS_NOTIFY_URLS=urls)
            until(lambda: delivering(tmp_path) == [])
    first, second = (title.partition(":")[0] for title in post.titles)
    assert first.startswith("PROBLEM, green again after ")
    assert second.startswith("RECOVERED after ")
    assert "recovery openclaw gateway restart: recovered: gateway/rpc-unanswered is gone" in post.came[0][2]
