"""State snapshots to draw and to test with: `python -m tests.support.snapshots KIND FILE`, or `sample(KIND)`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from msgspec.structs import replace

from oc_ops.cockpit import snapshot as files
from oc_ops.cockpit.state import (
    Browser,
    Digest,
    DoctorPart,
    EventLoop,
    Firing,
    Freshness,
    GatewayPart,
    IncidentPart,
    Incidents,
    JobPart,
    JobsPart,
    Labour,
    LogLine,
    LogPart,
    MemoryPart,
    Note,
    Rpc,
    RunPart,
    Scheduler,
    ServicePart,
    Snapshot,
    TranscriptPart,
    Watcher,
)

KEY = "0123456789ab"
HOSTILE = "␛]52;c;cm0gLXJmIH4=␇ [red]bold[/red] \\u202eevil ␛[2J </script> " + "A" * 500
"""What the watcher makes of a hostile line: controls are pictures, but it is long, and looks like rich's markup."""


def sample(kind: str, now: float | None = None) -> Snapshot:
    """One snapshot: healthy, hung, down, starting, polling (no RPC), empty (a watcher that just came up), idle,
    hostile.
    """
    return {
        "healthy": healthy,
        "hung": hung,
        "down": down,
        "starting": starting,
        "polling": polling,
        "empty": empty,
        "idle": idle,
        "hostile": hostile,
    }[kind](time.time() if now is None else now)


def healthy(now: float) -> Snapshot:
    """All is well; one job is running, one signature fired below its threshold."""
    http, rpc = Freshness(now - 1.2, "http", every_s=2.0), Freshness(now - 40, "rpc", every_s=300.0)
    return Snapshot(
        key=KEY,
        state_dir="~/.openclaw",
        written_at=now,
        written_monotonic=time.monotonic(),
        number=1234,
        watcher=Watcher(4711, now - 7200, "events", looked_at=True, rss_bytes=41 * 2**20, cpu_s=9.4, cli_calls=24),
        gateway=GatewayPart(
            "ready",
            now - 86_400 * 3,
            version="2026.9.6",
            port=18789,
            pid=1042,
            started_at=now - 86_400 * 3,
            answer_ms=2.1,
            seen=http,
        ),
        rpc=Rpc("on", now - 7190, last_event_at=now - 11, tick_s=30.0, events=418, connects=1),
        event_loop=EventLoop(21.4, 1000.0, 0.012, 0.02, seen=http),
        memory=MemoryPart(
            612 * 2**20,
            3 * 2**30,
            tuple((now - 60 * age, (600 + age % 7) * 2**20) for age in range(60, 0, -1)),
            Freshness(now - 4, "processes", every_s=10.0),
        ),
        scheduler=Scheduler(True, 7, now + 380, 1, rpc),
        doctor=DoctorPart(
            "degraded",
            now - 1800,
            14.2,
            findings=(Note("host/disk-low", "warning", "the report file system has 7 % free", "df -h"),),
            next_action="df -h",
            report="reports/latest.html",
            seen=Freshness(now - 3, "files"),
        ),
        jobs=JobsPart(_jobs(now), recent=_recent(now), transcripts=_transcripts(now), seen=rpc),
        labour=Labour(
            2,
            2,
            now - 12,
            0,
            0,
            None,
            "openai/gpt-6",
            None,
            now - 200,
            7,
            0,
            None,
            seen=Freshness(now - 40, "rpc", every_s=60.0),
        ),
        browser=Browser("running", True, True, 2211, "openclaw", "pid 2211, 3 tabs", seen=Freshness(now - 200, "cli")),
        service=ServicePart(
            "systemd",
            "openclaw-gateway.service",
            "running",
            0,
            "systemd unit openclaw-gateway.service is running",
            Freshness(now - 60, "service"),
        ),
        digest=Digest(
            (
                ("runtime", "2026.9.6"),
                ("sessions", "4, 1 active"),
                ("channels", "telegram ok, slack ok"),
                ("tasks", "1 running, 0 queued, 2 failed of 118"),
                ("model runtime", "ok"),
            ),
            rpc,
        ),
        incidents=Incidents((), Freshness(now - 3, "files")),
        log=LogPart(
            _lines(now),
            ("/tmp/openclaw/openclaw-2026-11-23.log",),
            (
                Firing(
                    "gateway.slow_fetch",
                    "warning",
                    1,
                    3,
                    now - 320,
                    now - 320,
                    "a fetch of a channel took long",
                    "openclaw channels status --probe",
                    "useless",
                    "fetch timeout after 10000ms",
                ),
            ),
            Freshness(now - 1, "files"),
        ),
    )


def hung(now: float) -> Snapshot:
    """The gateway does not answer: an open incident, stale parts that say since when."""
    good, since = healthy(now), now - 92
    gone = Freshness(since - 3, "rpc", "not asked while the gateway is in trouble (gateway/hung)", since, 300.0)
    return replace(
        good,
        gateway=replace(
            good.gateway,
            state="hung",
            since=since,
            check="gateway/hung",
            fact="the gateway does not answer: its process is stopped (SIGSTOP or a debugger)",
            saw="GET /healthz: the port accepts, no answer in 2.0 s; pid 1042 (listens), 3 days old, stopped",
            fix="kill -CONT 1042",
        ),
        rpc=replace(good.rpc, state="silent", since=since, reason="two ticks were missed", retry_at=now + 20),
        event_loop=replace(good.event_loop, seen=replace(good.event_loop.seen, problem="no answer", at=since - 2)),
        scheduler=replace(good.scheduler, seen=gone),
        jobs=replace(good.jobs, seen=gone),
        labour=replace(good.labour, seen=gone),
        digest=replace(good.digest, seen=gone),
        browser=replace(good.browser, seen=replace(gone, lane="cli")),
        doctor=replace(
            good.doctor,
            verdict="unhealthy",
            at=now - 60,
            cause="gateway/hung",
            findings=(Note("gateway/hung", "error", "the gateway does not answer", "kill -CONT 1042"),),
            next_action="kill -CONT 1042",
        ),
        incidents=Incidents(
            (
                IncidentPart(
                    "2026-11-23-gateway-hung-7f3a",
                    "gateway/hung",
                    "error",
                    "the gateway does not answer",
                    "red",
                    since,
                    now - 60,
                    "kill -CONT 1042",
                    "",
                    1,
                    0,
                ),
                IncidentPart(
                    "2026-11-22-cron-job-failing-11c0",
                    "cron/job-failing",
                    "error",
                    "the watched job nightly-report fails: its last 3 runs failed",
                    "red",
                    now - 40_000,
                    now - 1800,
                    "none automatic: read openclaw cron runs --id b7, mend the cause",
                    "ana",
                    0,
                    0,
                ),
            ),
            Freshness(now - 2, "files"),
        ),
    )


def down(now: float) -> Snapshot:
    """Nothing listens."""
    bad = hung(now)
    return replace(
        bad,
        gateway=replace(
            bad.gateway,
            state="down",
            check="gateway/down",
            pid=None,
            fact="nothing listens on port 18789 and no gateway process lives",
            saw="GET /healthz: connection refused",
            fix="openclaw gateway start",
        ),
        rpc=replace(bad.rpc, state="lost", reason="cannot connect to ws://127.0.0.1:18789: Connection refused"),
        memory=replace(bad.memory, rss_bytes=None, seen=replace(bad.memory.seen, problem="no process", at=now - 92)),
    )


def starting(now: float) -> Snapshot:
    """On its way up."""
    bad = down(now)
    return replace(
        bad,
        gateway=replace(
            bad.gateway,
            state="starting",
            check="gateway/starting",
            since=now - 8,
            fact="the gateway is starting and not ready yet",
            saw="GET /startupz says starting, startup-sidecars",
            fix="none automatic: wait, at most 232 s more; a restart now would only begin again",
        ),
    )


def polling(now: float) -> Snapshot:
    """An old release, or the lane is off: everything comes later, and it says so."""
    good = healthy(now)
    slow = Freshness(now - 140, "cli", every_s=300.0)
    return replace(
        good,
        gateway=replace(good.gateway, state="live", version="2026.2.26"),
        rpc=Rpc("refused", now - 7190, "the gateway refuses us: unauthorized: device token mismatch", now + 200),
        event_loop=EventLoop(
            limit_ms=1000.0, seen=Freshness(problem="this release does not tell", problem_since=now - 7190)
        ),
        watcher=replace(
            good.watcher, mode="polling", words="no RPC lane: jobs and status are asked for through the CLI every 5 min"
        ),
        scheduler=replace(good.scheduler, seen=slow),
        jobs=replace(good.jobs, seen=slow),
        digest=replace(good.digest, seen=slow),
    )


def empty(now: float) -> Snapshot:
    """A watcher that has only just come up, beside nothing."""
    return Snapshot(key=KEY, written_at=now, written_monotonic=time.monotonic(), watcher=Watcher(4711, now))


def idle(now: float) -> Snapshot:
    """The gateway lives and does no work: a deaf channel, messages that wait, a parked provider, jobs overdue."""
    good = healthy(now)
    notes = (
        Note("channels/deaf", "error", "the channel telegram says connected and receives nothing", "openclaw x"),
        Note("models/parked", "error", "the agent main gets no answer of openai/gpt-6: its account has no credit", "x"),
        Note("delivery/backlog", "warning", "3 messages wait for 25 min in the queue telegram", "openclaw channels"),
    )
    return replace(
        good,
        labour=replace(
            good.labour,
            up=1,
            heard_at=now - 700,
            given_up=4,
            waiting=3,
            waiting_since=now - 1500,
            parked_until=now + 600,
            overdue=3,
            overdue_since=now - 3600,
            notes=notes,
        ),
    )


def hostile(now: float) -> Snapshot:
    """Every text a stranger can choose is as bad as the watcher lets it through."""
    bad = hung(now)
    job = replace(bad.jobs.jobs[0], name=HOSTILE, schedule=HOSTILE, notes=(Note("cron/x", "error", HOSTILE, HOSTILE),))
    return replace(
        bad,
        gateway=replace(bad.gateway, version=HOSTILE, fact=HOSTILE, saw=HOSTILE, fix=HOSTILE),
        rpc=replace(bad.rpc, reason=HOSTILE),
        jobs=replace(
            bad.jobs,
            jobs=(job,),
            recent=(RunPart("x", HOSTILE, HOSTILE, now, now, 0.0, HOSTILE, now),),
            transcripts=(TranscriptPart(HOSTILE, now, 2**40, (HOSTILE,) * 6),),
            watchlist_problem=HOSTILE,
        ),
        labour=replace(bad.labour, model=HOSTILE, notes=(Note("channels/down", "error", HOSTILE, HOSTILE),) * 9),
        browser=replace(bad.browser, words=HOSTILE),
        service=replace(bad.service, words=HOSTILE),
        digest=replace(bad.digest, lines=((HOSTILE, HOSTILE),) * 40),
        incidents=replace(bad.incidents, open=tuple(replace(bad.incidents.open[0], fact=HOSTILE) for _ in range(80))),
        log=LogPart(
            tuple(LogLine(now - 1e9 * (each % 2), "ERROR", HOSTILE, HOSTILE) for each in range(60)),
            (HOSTILE,),
            tuple(
                Firing(f"x.{each}", "error", 10**9, 1, None, None, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
                for each in range(60)
            ),
            bad.log.seen,
        ),
    )


def _jobs(now: float) -> tuple[JobPart, ...]:
    runs = tuple(
        RunPart("b7", "nightly-report", status, now - 86_400 * day, now - 86_400 * day + 42, 42.0, error)
        for day, status, error in ((1, "error", "command exited with code 3"), (2, "error", "timeout"), (3, "ok", ""))
    )
    hourly = tuple(
        RunPart("a1", "sync-mail", "ok", now - 3600 * n, now - 3600 * n + 30 + n, 30.0 + n) for n in range(1, 9)
    )
    return (
        JobPart("a1", "sync-mail", True, True, "every 1 h", now - 12, 600.0, now + 380, None, hourly, 34.5, "steady"),
        JobPart(
            "b7",
            "nightly-report",
            True,
            True,
            "0 6 * * * (Europe/Berlin)",
            None,
            900.0,
            now - 700,
            700.0,
            runs,
            42.0,
            "steady",
            2,
            (
                Note(
                    "cron/job-failing",
                    "warning",
                    "the watched job nightly-report fails: its last 2 runs failed",
                    "none automatic: read openclaw cron runs --id b7, mend the cause",
                ),
            ),
        ),
        JobPart(
            "", "backup-db", notes=(Note("cron/job-missing", "error", "the watched job backup-db does not exist", ""),)
        ),
        JobPart("d9", "old-digest", True, False, "every 1 d"),
    )


def _recent(now: float) -> tuple[RunPart, ...]:
    return (
        RunPart("a1", "sync-mail", "running", now - 12, noticed_at=now - 11.98),
        RunPart("c3", "heartbeat-main", "ok", now - 900, now - 899, 1.0, noticed_at=now - 899),
        RunPart(
            "b7", "nightly-report", "error", now - 5000, now - 4958, 42.0, "command exited with code 3", now - 4958
        ),
    )


def _transcripts(now: float) -> tuple[TranscriptPart, ...]:
    return (
        TranscriptPart(
            "memory/cron_run_now/a1_2026-11-23T02-10-00Z.log",
            now - 2400,
            1810,
            ("asked: openclaw cron run a1", "run manual:a1:1795400000000:1 enqueued", "finished: ok in 31.0 s"),
        ),
    )


def _lines(now: float) -> tuple[LogLine, ...]:
    said = (
        ("INFO", "gateway/ws", "⇄ res ✓ cron.list 12ms conn=197d6052…1e1e id=4"),
        ("INFO", "cron", "cron: job started jobId=a1"),
        ("WARN", "channels/telegram", "fetch timeout after 10000ms (elapsed 10012ms) https://api.telegram.org/…"),
        ("ERROR", "cron", "cron: job run returned error status jobId=b7 command exited with code 3"),
        ("INFO", "browser/service", "Browser control service ready (profiles=2)"),
    )
    return tuple(LogLine(now - 300 + 7 * n, *said[n % len(said)]) for n in range(40))


KINDS = ("healthy", "hung", "down", "starting", "polling", "empty", "idle", "hostile")

if __name__ == "__main__":
    files.Writer(Path(sys.argv[2])).write(sample(sys.argv[1]))
