"""The watcher on a real gateway: a hang, a death, a restart and cron runs are shown in time, by one process."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from oc_ops.cockpit import snapshot
from oc_ops.cockpit.state import RunPart, Snapshot
from oc_ops.cockpit.watcher import HELD
from oc_ops.lab.lab import Lab
from oc_ops.observe.target import locate
from oc_ops.settings import PROJECT
from tests.support import faults

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]

SHOWN_S = 5.0
"""How soon a stopped gateway has to be shown."""
EVENT_S = 1.0
"""How soon the beginning and the end of a cron run have to be."""
PATIENCE_S = 120.0
"""For what has no bound of its own on a busy machine."""


class Eye:
    """A watcher of a lab, and what it writes down."""

    def __init__(self, lab: Lab, root: Path) -> None:
        self.lab, self.memory = lab, root / "memory"
        self.memory.mkdir(exist_ok=True)
        self.key = locate(lab.environ).key
        self.environ = {
            **lab.environ,
            "OC_OPS_MEMORY_DIR": str(self.memory),
            "OC_OPS_REPORT_DIR": str(root / "reports"),
            "OC_OPS_OPENCLAW": str(lab.openclaw),
            "XDG_STATE_HOME": str(root / "state"),
        }
        self.reader = snapshot.Reader(snapshot.path_of(self.memory, self.key))
        self.process: subprocess.Popen[str] | None = None
        self._over = threading.Event()

    @contextmanager
    def looked_through(self) -> Iterator[Eye]:
        """Somebody watches all the while, as panes do; at the end it is closed."""
        beat = threading.Thread(target=self._beats)
        beat.start()
        try:
            self.open()
            yield self
        finally:
            self._over.set()
            beat.join()
            self.close()

    def _beats(self) -> None:
        while not self._over.wait(1.0):
            snapshot.heartbeat(self.memory, self.key)

    def open(self) -> subprocess.Popen[str]:
        """Start a watcher; the first one is this object's own."""
        process = subprocess.Popen(
            [sys.executable, "-m", "oc_ops.cockpit.watcher"],
            env=self.environ,
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.process = self.process or process
        return process

    def until(self, wanted: Callable[[Snapshot], bool], within_s: float = PATIENCE_S) -> tuple[Snapshot, float]:
        """The first snapshot that shows it, and how long that took."""
        began = time.monotonic()
        while (waited_s := time.monotonic() - began) < within_s:
            reading = self.reader.read()
            if not reading.stale and wanted(reading.snapshot):
                return reading.snapshot, waited_s
            time.sleep(0.02)
        shown = self.reader.read().snapshot
        pytest.fail(f"not shown within {within_s:g} s: {shown.gateway} {shown.rpc} {shown.watcher} {shown.jobs.recent}")

    def close(self) -> None:
        """End it as a person would, whatever it does."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@pytest.fixture(scope="module")
def eye(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Eye]:
    """A watcher that has seen the lab's gateway ready and holds its connection."""
    eye = Eye(lab, tmp_path_factory.mktemp("eye"))
    (eye.memory / "ops_critical_cron_jobs.txt").write_text("lab-ok\nlab-failing\nlab-slow\n")
    with eye.looked_through():
        eye.until(watching)
        yield eye


def watching(shown: Snapshot) -> bool:
    """All is well, and the gateway pushes."""
    return shown.gateway.state == "ready" and shown.rpc.state == "on" and bool(shown.jobs.jobs)


def job_id(shown: Snapshot, name: str) -> str:
    """The id of a watched job."""
    return next(each.id for each in shown.jobs.jobs if each.name == name)


def in_time(late_s: Callable[[], float], bound_s: float) -> None:
    """The best of three: a machine with other work may be late once, what is too slow is late each time."""
    late: list[float] = []
    while len(late) < 3 and not any(each < bound_s for each in late):
        late.append(late_s())
    assert min(late) < bound_s, late


def run_of(shown: Snapshot, job: str, began_after: float) -> RunPart | None:
    """The newest run of a job that began after a moment."""
    return next((each for each in shown.jobs.recent if each.job == job and (each.started_at or 0) > began_after), None)


def test_the_snapshot_tells_what_the_windows_show(eye: Eye) -> None:
    """State, release, pid, memory, event loop, scheduler, digest, service, browser and log are those of the lab."""
    shown, _ = eye.until(
        lambda seen: (
            seen.browser.seen.at is not None and seen.service.seen.at is not None and seen.memory.rss_bytes is not None
        )
    )
    listener = eye.lab.listener()
    assert listener is not None
    assert (shown.gateway.pid, shown.gateway.port) == (listener.pid, eye.lab.port)
    assert shown.gateway.version == eye.lab.version
    assert shown.watcher.mode == "events"
    assert not shown.watcher.trouble
    assert abs((shown.memory.rss_bytes or 0) - listener.memory_info().rss) < 200 * 2**20
    assert shown.event_loop.delay_p99_ms is not None
    assert shown.scheduler.enabled is True
    assert ("release", eye.lab.version) in shown.digest.lines
    assert shown.service.state == "absent"
    assert shown.browser.running is eye.lab.browser_runs()
    assert [each.name for each in shown.jobs.jobs if each.watched] == ["lab-ok", "lab-failing", "lab-slow"]
    assert shown.log.lines
    assert not any(each.text.startswith("{") for each in shown.log.lines)
    assert eye.lab.token not in eye.reader.path.read_text()


@pytest.mark.parametrize(("name", "ends_as"), [("lab-ok", "ok"), ("lab-failing", "error")])
def test_a_cron_run_is_shown_as_it_begins_and_ends(eye: Eye, name: str, ends_as: str) -> None:
    """Beginning and end are in the file within a second of the moments that the gateway itself records."""

    def noticed_late_s() -> float:
        shown, _ = eye.until(watching)
        asked_at = time.time()
        eye.lab.call("cron", "run", job_id(shown, name), "--json")

        def over(seen: Snapshot) -> bool:
            run = run_of(seen, name, asked_at - 1)
            return run is not None and run.status == ends_as

        # The CLI has returned by now: what the watcher wrote meanwhile is told by `noticed_at`.
        shown, _ = eye.until(over)
        run = run_of(shown, name, asked_at - 1)
        assert run is not None
        assert run.ended_at is not None
        assert run.noticed_at is not None
        job = next(each for each in shown.jobs.jobs if each.name == name)
        assert job.runs[0].status == ends_as
        assert job.runs[0].started_at == run.started_at
        assert bool(job.notes) is (ends_as == "error")
        return run.noticed_at - run.ended_at

    in_time(noticed_late_s, EVENT_S)


def test_a_slow_run_is_shown_while_it_lasts(eye: Eye) -> None:
    """The beginning of a run is in the file as soon as it comes, and the job is marked as running."""
    shown, _ = eye.until(watching)
    asked_at = time.time()
    slow = job_id(shown, "lab-slow")
    call = subprocess.Popen(
        [str(eye.lab.openclaw), "cron", "run", slow, "--json"], env=eye.lab.environ, stdout=subprocess.DEVNULL
    )
    try:
        shown, _ = eye.until(lambda seen: run_of(seen, "lab-slow", asked_at - 1) is not None)
        seen_at = time.time()
    finally:
        call.wait(PATIENCE_S)
    run = run_of(shown, "lab-slow", asked_at - 1)
    assert run is not None
    assert run.status == "running"
    assert run.started_at is not None
    assert seen_at - run.started_at < SHOWN_S
    assert next(each for each in shown.jobs.jobs if each.name == "lab-slow").running_since is not None
    assert shown.scheduler.running == 1


def test_a_second_watcher_ends_at_once_and_names_the_first(eye: Eye) -> None:
    """One process however many start one: the second says who holds the lock, and leaves the snapshot alone."""
    eye.until(watching)
    assert eye.process is not None
    second = eye.open()
    _, said = second.communicate(timeout=PATIENCE_S)
    assert second.returncode == HELD
    assert f"process {eye.process.pid}" in said
    shown, _ = eye.until(watching)
    assert shown.watcher.pid == eye.process.pid


def test_a_stopped_gateway_is_shown_within_5_s_and_seen_to_come_back(eye: Eye) -> None:
    """SIGSTOP: hung, with the command that helps; no `openclaw` call is made meanwhile; SIGCONT: ready again."""

    def shown_late_s() -> float:
        eye.until(watching, 2 * PATIENCE_S)
        with faults.stopped(eye.lab) as pid:
            shown, late_s = eye.until(lambda seen: seen.gateway.state == "hung")
            assert shown.gateway.fix == f"kill -CONT {pid}"
            calls = shown.watcher.cli_calls
            shown, _ = eye.until(lambda seen: seen.rpc.state == "silent" and seen.browser.seen.problem != "")
            assert "gateway/hung" in shown.browser.seen.problem
            assert shown.watcher.mode == "polling"
            assert "store" in shown.watcher.words
            shown, _ = eye.until(lambda seen: seen.jobs.seen.lane == "files")
            assert [each.name for each in shown.jobs.jobs][:3] == ["lab-ok", "lab-failing", "lab-slow"]
            assert shown.watcher.cli_calls == calls
        return late_s

    in_time(shown_late_s, SHOWN_S)
    eye.until(watching, 2 * PATIENCE_S)


def test_a_restart_is_survived(eye: Eye) -> None:
    """SIGKILL is shown as down; the next gateway is found, connected to and listened to again."""
    before, _ = eye.until(watching)
    eye.lab.kill()
    shown, took_s = eye.until(lambda seen: seen.gateway.state == "down")
    assert took_s < 2 * SHOWN_S
    assert shown.gateway.pid is None
    eye.lab.start_gateway()
    shown, _ = eye.until(watching, 2 * PATIENCE_S)
    assert shown.gateway.pid != before.gateway.pid
    assert shown.gateway.restarts > before.gateway.restarts
    assert shown.rpc.connects > before.rpc.connects
    asked_at = time.time()
    eye.lab.call("cron", "run", job_id(shown, "lab-ok"), "--json")
    eye.until(lambda seen: run_of(seen, "lab-ok", asked_at - 1) is not None)


def test_a_killed_watcher_leaves_no_lock_and_shows_as_stale(eye: Eye) -> None:
    """kill -9: the snapshot grows old, the next watcher takes over at once, and it says goodbye when told to end."""
    assert eye.process is not None
    eye.until(watching)
    eye.process.kill()
    eye.process.wait()
    assert not eye.reader.read().stale
    assert eye.reader.read(monotonic=time.monotonic() + 20).stale
    first, eye.process = eye.process, None
    eye.open()
    assert eye.process is not None
    shown, _ = eye.until(lambda seen: seen.watcher.pid != first.pid and watching(seen))
    assert shown.watcher.pid == eye.process.pid
    eye.close()
    assert eye.process.returncode == 0
    assert "told to end" in eye.reader.read().snapshot.watcher.ended
    assert not psutil.pid_exists(eye.process.pid)


def eye_of(lab: Lab, root: Path, **environ: str) -> Eye:
    """A watcher of its own for one test, not yet open."""
    root.mkdir()
    eye = Eye(lab, root)
    eye.environ |= environ
    return eye


def test_without_the_rpc_lane_it_polls_and_says_so(lab: Lab, tmp_path: Path) -> None:
    """Off by the setting: jobs come from the gateway's own store, a run is still seen, and the reason is given."""
    with eye_of(lab, tmp_path / "off", OC_OPS_RPC="off", OC_OPS_BROWSER="off").looked_through() as eye:
        (eye.memory / "ops_critical_cron_jobs.txt").write_text("lab-ok\n")
        shown, _ = eye.until(lambda seen: seen.jobs.seen.lane == "files" and bool(seen.jobs.jobs[0].id))
        assert (shown.watcher.mode, shown.rpc.state) == ("polling", "off")
        assert "the setting rpc is off" in shown.watcher.words
        asked_at = time.time()
        lab.call("cron", "run", job_id(shown, "lab-ok"), "--json")
        eye.until(lambda seen: run_of(seen, "lab-ok", asked_at - 1) is not None)
        assert "not looked at" in shown.browser.words


def test_it_ends_when_no_session_lives(lab: Lab, tmp_path: Path) -> None:
    """Nobody touches the session's mark for as long as the setting says: it ends by itself and says why."""
    eye = eye_of(lab, tmp_path / "alone", OC_OPS_WATCH_IDLE_S="2", OC_OPS_BROWSER="off")
    try:
        _, said = eye.open().communicate(timeout=PATIENCE_S)
    finally:
        eye.close()
    assert eye.process is not None
    assert eye.process.returncode == 0
    assert "no session" in said
    assert "no session" in eye.reader.read().snapshot.watcher.ended
