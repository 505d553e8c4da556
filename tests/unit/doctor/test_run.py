"""What one run gathers: checks, findings, the record, the last line."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from oc_ops.doctor.outcomes import Blocked, NotAsked
from oc_ops.doctor.run import DoctorRun
from oc_ops.errors import CouldNotLook, OtherAccount
from oc_ops.judge.finding import Finding
from oc_ops.observe import rpc_reads
from oc_ops.observe.rpc import RpcRefused
from oc_ops.settings import Settings
from tests.support.sights import call

SECRET = "s3cret-of-the-gateway-0123"
HUNG = Finding("gateway/hung", "error", "the gateway hangs", "no byte in 2.0 s", "openclaw gateway restart")
NOT_READY = Finding("gateway/not-ready", "error", "it is not ready", "503", "openclaw channels status --probe")
STARTING = Finding(
    "gateway/starting", "warning", "it is starting", "GET /startupz says starting", "none automatic: wait"
)
DRIFT = Finding("gateway/version-drift", "warning", "releases differ", "CLI 1, gateway 2", "openclaw gateway restart")

Begin = Callable[[], DoctorRun]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DoctorRun:
    """A run of an operator whose config holds a secret."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    config = tmp_path / ".openclaw" / "openclaw.json"
    config.parent.mkdir()
    log = tmp_path / "gateway.log"
    log.write_text(f"boot with {SECRET}\n")
    config.write_text(
        json.dumps(
            {"gateway": {"mode": "local", "port": 28789, "auth": {"token": SECRET}}, "logging": {"file": str(log)}}
        )
    )
    executable = tmp_path / "openclaw"
    executable.write_text("#!/bin/false\n")
    executable.chmod(0o755)
    settings = Settings(report_dir=tmp_path / "reports", memory_dir=tmp_path / "memory", openclaw=executable)
    return DoctorRun(settings, {"HOME": str(tmp_path), "PATH": "/nowhere"})


def end(
    run: DoctorRun, name: str = "a/b", error: BaseException | None = None, found: Finding | None = None
) -> tuple[str, str | None, str]:
    """End a check; its outcome, what blocked it, and its note."""
    nodeid = f"checks/test_a.py::{name}"
    if found is not None:
        run.found(found, nodeid)
    record = run.check_ended(name, nodeid, "The claim.", 0.1, error)
    return record.outcome, record.blocked_by, record.note


@pytest.mark.parametrize(
    ("error", "found", "expected"),
    [
        (None, None, ("passed", None, "")),
        (None, DRIFT, ("passed", None, "")),
        (AssertionError("gateway/hung: …"), HUNG, ("failed", None, "")),
        (Blocked(HUNG), None, ("blocked", "gateway/hung", "")),
        (Blocked(DRIFT), None, ("skipped", None, f"not asked: {DRIFT.check}: {DRIFT.fact}")),
        (NotAsked("--quick makes no CLI call"), None, ("skipped", None, "--quick makes no CLI call")),
        (CouldNotLook("no log"), None, ("error", None, "no log")),
        (OSError("disk full"), None, ("error", None, "disk full")),
        (ValueError(), None, ("error", None, "ValueError")),
        (AssertionError("Timeout >60.0s"), None, ("error", None, "Timeout >60.0s")),
        (CouldNotLook(f"token {SECRET}\nof old"), None, ("error", None, "token [redacted]␊of old")),
    ],
    ids=["passed", "warning", "failed", "blocked", "left out for a warning", "not asked", "could not look", "broke",
         "broke without words",
         "ran out of time", "secret in the reason"],
)  # fmt: skip
def test_how_a_check_ends(
    error: BaseException | None, found: Finding | None, expected: tuple[str, str | None, str], run: DoctorRun
) -> None:
    """Each way to end has its outcome; only a look that found nothing wrong has passed."""
    outcome, blocked_by, note = end(run, error=error, found=found)
    assert (outcome, blocked_by, note) == expected


def test_one_reason_that_could_not_be_looked_past_is_one_red_line(run: DoctorRun) -> None:
    """What is raised again from memory blocks the later checks by the first; the verdict stays unknown."""
    unseen = CouldNotLook("the listener cannot be seen")
    assert end(run, "a/one", unseen) == ("error", None, "the listener cannot be seen")
    assert end(run, "a/two", unseen) == ("blocked", "a/one", "the listener cannot be seen")
    assert end(run, "a/three", CouldNotLook("another"))[0] == "error"
    assert run.finish().verdict == "unknown"


def test_a_finding_is_recorded_once(run: DoctorRun) -> None:
    """The same fault met by two checks is one finding, the first; a cause met only by blocking is recorded as well."""
    end(run, "a/one", AssertionError(), HUNG)
    end(run, "a/two", AssertionError(), Finding("gateway/hung", "error", "again", "again", "none automatic: x"))
    end(run, "a/three", Blocked(NOT_READY))
    record = run.finish()
    assert [(each.check, each.fact) for each in record.findings] == [
        ("gateway/hung", "the gateway hangs"),
        ("gateway/not-ready", "it is not ready"),
    ]
    assert record.cause == "gateway/hung"
    assert record.blocked == {"gateway/not-ready": 1}


def test_findings_are_redacted_and_on_one_line(run: DoctorRun) -> None:
    """What strangers wrote cannot break the message, and no secret is in it."""
    dirty = Finding("x/y", "error", f"a\n{SECRET}", f"b\x1b[31m {SECRET}\r\nc", f"fix {SECRET}")
    clean = run.found(dirty)
    text = f"{clean.fact}{clean.saw}{clean.fix}"
    assert SECRET not in text
    assert not set(text) & set("\n\r\x1b")


@pytest.mark.parametrize(
    ("ends", "start", "words"),
    [
        ([("a", None, None), ("b", None, None)], "doctor: healthy in ", "2 checks passed, gateway of unknown release"),
        ([("a", None, DRIFT)], "doctor: degraded in ", "gateway/version-drift: releases differ · fix: openclaw"),
        ([("a", AssertionError(), NOT_READY), ("b", AssertionError(), HUNG)], "doctor: unhealthy in ",
         "gateway/hung: the gateway hangs · fix: openclaw gateway restart"),
        ([("a", CouldNotLook("no log"), None)], "doctor: unknown in ", "could not look: no log"),
        ([("a", None, None), ("b", CouldNotLook("no log"), None)], "doctor: unknown in ", "could not look: no log"),
        ([], "doctor: unknown in ", "could not look"),
    ],
    ids=["healthy", "degraded", "unhealthy", "could not look", "one could not", "nothing"],
)  # fmt: skip
def test_last_line(
    ends: list[tuple[str, BaseException | None, Finding | None]], start: str, words: str, run: DoctorRun
) -> None:
    """Each verdict has its sentence: the cause and its fix, or why nothing can be said."""
    for name, error, found in ends:
        end(run, name, error, found)
    line = run.report.last_line(run.finish())
    assert line.startswith(start)
    assert words in line
    assert "\n" not in line


def test_an_interrupted_run_says_so(run: DoctorRun) -> None:
    """What was looked at before the interruption does not make it healthy."""
    end(run)
    run.interrupted = True
    assert "interrupted" in run.report.last_line(run.finish())
    assert run.finish().verdict == "unknown"


def test_a_run_cut_short_is_not_healthy(run: DoctorRun) -> None:
    """A run that did not reach all of its checks does not speak for them."""
    run.planned = 3
    end(run)
    assert run.finish().verdict == "unknown"
    assert "2 checks were not reached" in run.report.last_line(run.finish())


@pytest.mark.parametrize("where", ["fact", "saw", "fix", "note"])
def test_no_secret_in_the_last_line(where: str, run: DoctorRun) -> None:
    """Wherever a secret slipped in, it is not printed."""
    if where == "note":
        end(run, "a/b", CouldNotLook(f"refused {SECRET}"))
    else:
        fields = {"fact": "fact", "saw": "saw", "fix": "fix", where: f"with {SECRET}"}
        end(run, "a/b", AssertionError(), Finding("x/y", "error", fields["fact"], fields["saw"], fields["fix"]))
    assert SECRET not in run.report.last_line(run.finish())
    assert "[redacted]" in run.report.last_line(run.finish()) or where == "saw"


def test_the_record_stands(run: DoctorRun) -> None:
    """Asked twice, a run says the same: the last line and the report agree."""
    end(run)
    first = run.finish()
    end(run, "late", AssertionError(), HUNG)
    assert run.finish() is first


def test_nothing_is_made_before_it_is_needed(run: DoctorRun) -> None:
    """A run that is refused leaves no directory."""
    assert not run.settings.report_dir.exists()
    assert run.report.folder.path.is_dir()
    assert run.report.folder is run.report.folder


def test_report_on_disk(run: DoctorRun) -> None:
    """report.json and latest.json are whole, say the same, and hold the call, its transcript and the log's end."""
    run.doctor.gateway.on_call(call("cron list --json", "timed-out", stdout=f"token {SECRET}"))
    end(run, "a/b", AssertionError(), HUNG)
    run.report.save(run.finish())
    report = json.loads((run.report.folder.path / "report.json").read_text())
    assert report == json.loads((run.settings.report_dir / "latest.json").read_text())
    assert (report["schema"], report["verdict"], report["cause"]) == (1, "unhealthy", "gateway/hung")
    assert report["openclaw"]["port"] == 28789
    (made,) = report["calls"]
    assert made["argv"] == ["openclaw", "cron", "list", "--json"]
    assert made["outcome"] == "timed-out"
    assert (run.report.folder.path / made["transcript"]).is_file()
    (evidence,) = report["evidence"]
    assert "boot with [redacted]" in evidence["lines"][0]
    for path in run.settings.report_dir.rglob("*"):
        assert not path.is_file() or SECRET not in path.read_text(), path


def test_page_on_disk(run: DoctorRun) -> None:
    """The page that pytest-html drew is finished, published as the latest, and old healthy runs are pruned."""
    end(run)
    run.report.save(run.finish())
    run.report.folder.page_in_progress.write_text(
        "<!DOCTYPE html><html><head><title>x</title></head><body>"
        f"{run.report.page_parts(run.finish()).first_screen()}{run.report.page_parts(run.finish()).evidence()}</body></html>"
    )
    run.report.publish(run.finish())
    latest = (run.settings.report_dir / "latest.html").read_text()
    assert latest == (run.report.folder.path / "report.html").read_text()
    assert "healthy" in latest


def test_a_page_that_was_prepared_for_is_the_same(run: DoctorRun) -> None:
    """What is made beside the checks, once and however early, is what the page is drawn with."""
    end(run)
    record = run.finish()
    plain = run.report.page_parts(record)
    run.report.prepare()
    run.report.prepare()
    parts = run.report.page_parts(record)
    assert not [each for each in threading.enumerate() if each.name.startswith("oc-ops")]
    assert parts._templates is run.report.page_parts(record)._templates is not plain._templates
    assert (parts.first_screen(), parts.evidence()) == (plain.first_screen(), plain.evidence())


def test_the_page_is_prepared_while_the_gateway_is_asked(run: DoctorRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the one wait of a healthy run, and not where nothing is asked."""
    told: list[str] = []
    monkeypatch.setattr(run.report, "prepare", lambda: told.append("prepared"))
    monkeypatch.setattr(run.doctor, "http_cause", lambda: None)
    refused = RpcRefused("off", "not asked")

    def asked(*_: object, **__: object) -> RpcRefused:
        told.append("asked")
        return refused

    monkeypatch.setattr(rpc_reads, "all_at_once", asked)
    assert run.doctor.rpc_lane() is refused
    assert told == ["prepared", "asked"]


def test_one_run_at_a_time(run: DoctorRun, tmp_path: Path) -> None:
    """The doctor lock is the gateway's: a second run of the same one is refused at once, and free again afterwards."""
    other = DoctorRun(run.settings, run.doctor.target.environ)
    with run.alone(), pytest.raises(CouldNotLook, match="is held by process"), other.alone():
        pass
    with other.alone():
        pass


def test_a_fix_reaches_the_gateway_that_was_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a profile, pasting the fix or the verification must not touch the default gateway."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".openclaw-work").mkdir()
    settings = Settings(report_dir=tmp_path / "reports", memory_dir=tmp_path / "memory", profile="work")
    found = DoctorRun(settings, {"HOME": str(tmp_path), "PATH": "/nowhere"}).found(HUNG)
    assert found.fix == "openclaw --profile work gateway restart"
    assert found.verify == "oc-ops doctor --check gateway/hung --oc-profile work"


def test_a_fix_for_the_lab_does_not_paste_onto_the_own_gateway(tmp_path: Path) -> None:
    """A finding of a lab run is not repaired on the operator's own gateway."""
    settings = Settings(report_dir=tmp_path / "reports", memory_dir=tmp_path / "memory")
    found = DoctorRun(settings, {"HOME": str(tmp_path), "PATH": "/nowhere"}, lab=True).found(HUNG)
    assert found.fix.startswith("none automatic: this is the lab, in ")
    assert found.verify.endswith(" --lab")


@pytest.mark.parametrize(("left_out", "latest"), [(0, True), (14, False)], ids=["whole", "part"])
def test_a_part_of_the_doctor_does_not_speak_for_the_whole(run: DoctorRun, left_out: int, latest: bool) -> None:
    """Three green checks are no healthy gateway: a run of `-k` keeps its report and is not the latest."""
    end(run)
    run.left_out = left_out
    run.report.save(run.finish())
    assert run.finish().verdict == "healthy"
    assert (run.settings.report_dir / "latest.json").exists() is latest
    assert (run.report.folder.path / "report.json").exists()


def test_a_quick_run_is_healthy_as_far_as_it_looked(run: DoctorRun) -> None:
    """`--quick` says how many of how many looked, and does not take the place of the latest whole run."""
    run.quick = True
    end(run, "a/b")
    end(run, "c/d", NotAsked("--quick makes no CLI call"))
    run.report.save(run.finish())
    assert "as far as looked: 1 of 2 checks passed" in run.report.last_line(run.finish())
    latest = run.settings.report_dir / "latest.json"
    assert json.loads(latest.read_text())["whole"] is False  # better than none
    for there in ('{"whole": true}', "{}", "torn"):
        latest.write_text(there)
        run.report.save(run.finish())
        assert latest.read_text() == there
    latest.write_text('{"whole": false, "verdict": "unhealthy"}')
    run.report.save(run.finish())
    assert json.loads(latest.read_text())["verdict"] == "healthy"


def test_the_last_line_says_that_there_are_more_warnings(run: DoctorRun) -> None:
    """Each has its block above; who reads one line alone knows that there is more to read."""
    end(run, "a/b", found=DRIFT)
    assert "more warning" not in run.report.last_line(run._summed_up())
    end(run, "c/d", found=replace(DRIFT, check="host/leftovers"))
    assert run.report.last_line(run._summed_up()).endswith(" · 1 more warning")
    end(run, "e/f", found=replace(DRIFT, check="host/wal-large"))
    end(run, "g/h", AssertionError(), HUNG)
    assert run.report.last_line(run.finish()).endswith(" · 3 more warnings")


def test_a_warning_does_not_hide_what_could_not_be_looked_at(run: DoctorRun) -> None:
    """The last line of an unknown run says what could not be looked at, not what is merely worth a warning."""
    end(run, "a/b", found=DRIFT)
    end(run, "c/d", CouldNotLook("cannot read the log"))
    assert run.report.last_line(run.finish()).endswith("could not look: cannot read the log")


def test_all_that_another_account_keeps_from_us_is_one_reason(run: DoctorRun) -> None:
    """A gateway, its database and its log of one user are one red line; what a third user owns is another."""
    assert end(run, "gateway/live", OtherAccount("its process is hidden", 1001))[:2] == ("error", None)
    database = OtherAccount("cannot read the database", 1001)
    assert end(run, "state/readable", database)[:2] == ("blocked", "gateway/live")
    assert end(run, "logs/clean", OtherAccount("cannot read the log", 0))[:2] == ("error", None)


@pytest.mark.parametrize(("source", "mode"), [("default", 0o700), ("--report-dir", 0o755)], ids=["ours", "theirs"])
def test_the_checkouts_own_report_folder_is_private(run: DoctorRun, source: str, mode: int) -> None:
    """git makes reports/ readable by everybody; a folder that the operator chose keeps its mode."""
    run.report.settings = dataclasses.replace(run.settings, sources={"report_dir": source})
    run.settings.report_dir.mkdir()
    run.settings.report_dir.chmod(0o755)
    assert run.report.folder.path.is_dir()
    assert run.settings.report_dir.stat().st_mode & 0o777 == mode


def test_a_start_that_was_waited_for_is_looked_at_again(run: DoctorRun) -> None:
    """What told of the start and what it kept from being asked look again after the wait; what passed does not."""
    end(run, "host/disk")
    end(run, "gateway/started", found=STARTING)
    assert end(run, "gateway/rpc", Blocked(STARTING))[0] == "skipped"
    end(run, "host/swap", NotAsked("no swap here"))
    again = run.begin_again()
    assert again == {"checks/test_a.py::gateway/started", "checks/test_a.py::gateway/rpc"}
    assert not run.findings
