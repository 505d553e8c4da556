"""Wires oc-ops' report parts into pytest-html as the doctor's conftest does; OC_TEST_PAGE picks the run."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from oc_ops.judge.finding import Finding
from oc_ops.record import folder
from oc_ops.record import run as record_run
from oc_ops.record.page import report
from oc_ops.record.page.report import Report
from oc_ops.record.redact import Redactor
from oc_ops.record.run import CallRecord, CheckRecord, Environment, Evidence, Lanes, OpenclawInfo, RunRecord

PAYLOAD = os.environ.get("OC_TEST_PAYLOAD", "")
REDACTOR = Redactor([os.environ.get("OC_TEST_SECRET", "")], Path("/home/joe"))
NOW = datetime(2026, 11, 22, 19, 41, 15, tzinfo=UTC)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    config.run = folder.open_run(Path(os.environ["OC_TEST_REPORTS"]), NOW)
    config.option.htmlpath = str(config.run.page_in_progress)
    config.option.self_contained_html = True


def pytest_html_results_table_header(cells):
    if not os.environ.get("OC_TEST_NO_CELLS"):
        cells[:] = report.header()


@pytest.hookimpl(trylast=True)
def pytest_html_results_table_row(report, cells):
    if not os.environ.get("OC_TEST_NO_CELLS"):
        from oc_ops.record.page.report import cells as ours

        check = CheckRecord("gateway/live", report.nodeid, "blocked", 0.0, blocked_by="gateway/hung")
        cells[1:] = ours(report.nodeid, report.duration, check if report.skipped else None, REDACTOR)


def pytest_html_results_summary(prefix, postfix, session):
    run = session.config.run
    session.config.page = Report(RECORDS[os.environ["OC_TEST_PAGE"]](run), REDACTOR, run.path)
    prefix.append(session.config.page.first_screen())
    postfix.append(session.config.page.evidence())


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session):
    yield
    config, run = session.config, session.config.run
    raw = run.page_in_progress
    folder.write(run.path / folder.REPORT_HTML, config.page.finish(raw.read_text("utf-8")))
    raw.unlink()
    record = RECORDS[os.environ["OC_TEST_PAGE"]](run)
    folder.write(run.path / folder.REPORT_JSON, record_run.to_json(record, REDACTOR))
    folder.publish(run)
    for plugin in config.pluginmanager.get_plugins():
        if type(plugin).__module__.startswith("pytest_html."):
            config.pluginmanager.unregister(plugin)  # it would name the file that is gone


def hostile(run):
    """Every string of the record is the payload, and some are enormous."""
    big = PAYLOAD + "A" * 500_000 + PAYLOAD
    (run.path / "calls").mkdir(exist_ok=True)
    for number in range(4):
        (run.path / f"calls/{number}.log").write_bytes((PAYLOAD + "\n" + big).encode() + b"\0\xff\xfe\x1b]52;c;x\x07")
    return RunRecord(
        verdict="unhealthy",
        cause=PAYLOAD,
        started_at=NOW,
        duration_s=3.1,
        since=NOW - timedelta(minutes=9),
        findings=(
            Finding(PAYLOAD, "error", PAYLOAD, big, PAYLOAD, PAYLOAD),
            Finding("logs/x", "warning", PAYLOAD, PAYLOAD, "none automatic: " + PAYLOAD),
        ),
        checks=tuple(
            CheckRecord(PAYLOAD, PAYLOAD, outcome, 0.1, blocked_by=PAYLOAD, claim=PAYLOAD, note=PAYLOAD)
            for outcome in ("failed", "blocked", "error", "passed", "skipped")
        ),
        lanes=Lanes(PAYLOAD, PAYLOAD, PAYLOAD),
        calls=tuple(CallRecord((PAYLOAD, big), PAYLOAD, 1, 0.9, 1.0, f"calls/{n}.log") for n in range(4)),
        openclaw=OpenclawInfo(PAYLOAD, PAYLOAD, PAYLOAD, 18789, (PAYLOAD,)),
        recovery={PAYLOAD: PAYLOAD},
        evidence=(Evidence(PAYLOAD, (PAYLOAD, big, "\0\x1b[31m\udcff")),),
        environment=Environment(((PAYLOAD, PAYLOAD),), (record_run.SettingRecord(PAYLOAD, PAYLOAD, PAYLOAD),)),
    )


def hung(run):
    """A run as an operator meets it at night."""
    (run.path / "calls").mkdir(exist_ok=True)
    (run.path / "calls/01-gateway-status.log").write_text(
        "$ openclaw gateway status --json --require-rpc --timeout 8000\nstart    2026-11-22 19:41:15.201348 UTC\n"
        "wall     20.004 s of at most 20 s\ncpu      2.610 s\noutcome  timed-out, exit -, 3 processes ended\n"
        "--- stdout (0 bytes) ---\n\n"
        '--- stderr (61 bytes) ---\n{"rpc":{"ok":false,"error":"timeout","timedOut":true}}\n'
    )
    log = "2026-11-22T19:3{}:12.551Z  {}  gateway/ws  {}"
    return RunRecord(
        verdict="unhealthy",
        cause="gateway/hung",
        started_at=NOW,
        duration_s=3.1,
        since=NOW - timedelta(minutes=9),
        findings=(
            Finding(
                "gateway/hung",
                "error",
                "the gateway accepts connections but does not answer; its process is stopped",
                "GET http://127.0.0.1:18789/healthz: connected in 0.4 ms, no byte in 2.0 s; pid 4242 openclaw-gateway"
                " is in state T (stopped) since 19:32:07",
                "kill -CONT 4242",
                "oc-ops doctor --check gateway/live",
            ),
            Finding(
                "host/disk-low",
                "warning",
                "the state directory's filesystem is nearly full",
                "/home/joe/.openclaw: 1.2 GB of 40 GB free (3 %)",
                "du -xh --max-depth=2 /home/joe/.openclaw | sort -h | tail",
            ),
        ),
        checks=(
            CheckRecord(
                "gateway/listens", "checks/test_gateway.py::test_listens", "passed", 0.004, claim="The port accepts."
            ),
            CheckRecord(
                "gateway/answers",
                "checks/test_gateway.py::test_gateway_answers",
                "failed",
                2.03,
                claim="The gateway answers /healthz within its budget; a listening port alone does not count.",
            ),
            CheckRecord(
                "logs/signatures", "t", "passed", 0.11, claim="No known error signature fired in the last 15 minutes."
            ),
            CheckRecord("host/disk", "t", "failed", 0.002, claim="State, temp and report filesystems have room."),
            CheckRecord("config/valid", "t", "passed", 0.02, claim="The config parses and validates."),
            *(
                CheckRecord(name, "t", "blocked", 0.0, blocked_by="gateway/hung", claim=claim)
                for name, claim in (
                    ("gateway/rpc", "An authenticated read succeeds."),
                    ("gateway/ready", "The gateway is ready for work."),
                    ("cron/list", "The scheduler lists its jobs by RPC."),
                    ("cron/list-cli", "`openclaw cron list` answers under a guard."),
                    ("cron/scheduler", "The scheduler is on."),
                    ("browser/status", "Browser control answers."),
                )
            ),
        ),
        lanes=Lanes("ok", "unavailable: no answer within 3.0 s", "ok"),
        calls=(
            CallRecord(
                ("openclaw", "gateway", "status", "--json", "--require-rpc", "--timeout", "8000"),
                "timed-out",
                None,
                20.0,
                2.61,
                "calls/01-gateway-status.log",
            ),
        ),
        openclaw=OpenclawInfo("2026.9.6", "2026.9.6", None, 18789, ("/tmp/openclaw/openclaw-2026-11-22.log",)),
        evidence=(
            Evidence(
                "Log lines around the fault",
                (
                    log.format(1, "INFO ", "⇄ res ✓ cron.list 12ms conn=7 id=19"),
                    log.format(1, "WARN ", "event loop delay p99 1843 ms"),
                    log.format(2, "ERROR", "gateway timeout after 30000ms"),
                ),
            ),
        ),
        environment=Environment(
            (
                ("oc-ops", "0.1.0"),
                ("python", "3.11.9"),
                ("os", "Debian GNU/Linux 12 Linux 6.1.0"),
                ("machine", "x86_64"),
            ),
            (record_run.SettingRecord("call_s", "20.0", "environment"),),
        ),
    )


def healthy(run):
    """The usual one."""
    from msgspec.structs import replace

    base = hung(run)
    checks = tuple(replace(each, outcome="passed", blocked_by=None) for each in base.checks)
    return replace(base, verdict="healthy", cause=None, findings=(), since=None, evidence=(), checks=checks, calls=())


def unknown(run):
    """One that could not look, and found a trifle."""
    from msgspec.structs import replace

    base = hung(run)
    note = "CouldNotLook: the config cannot be read: permission denied: /home/joe/.openclaw/openclaw.json"
    checks = (replace(base.checks[0], outcome="error", note=note), *base.checks[2:3])
    return replace(base, verdict="unknown", cause=None, findings=base.findings[1:], since=None, checks=checks)


RECORDS = {"hostile": hostile, "hung": hung, "healthy": healthy, "unknown": unknown}
