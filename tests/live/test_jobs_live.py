"""Watched jobs on a real gateway: each fault is made for real and found as itself, with no second error beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from oc_ops import settings
from oc_ops.doctor.jobs import sight, verdicts_now, zone
from oc_ops.doctor.observations import Doctor
from oc_ops.judge.finding import Finding
from oc_ops.judge.watched_jobs import Terms, Verdict, examine
from oc_ops.lab.lab import Lab
from oc_ops.observe import watchlist
from oc_ops.observe.jobs import Job, Jobs
from tests.live.examine import examine as examine_lab
from tests.support.faults import killed, stopped

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]

T = TypeVar("T")
PATIENCE_S = 300.0


class Watch:
    """An operator with a watchlist beside one lab."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder, self.memory = lab, folder, folder / "memory"

    def doctor(self) -> Doctor:
        """A fresh look: nothing of an earlier one is kept."""
        options = {"openclaw": self.lab.openclaw, "memory_dir": self.memory, "rpc_connect_s": 15, "rpc_request_s": 15}
        return Doctor(settings.load(options, {}), self.lab.environ)

    def look(self, *lines: str, grace_s: float = 300.0, beside_cause: bool = False) -> tuple[Verdict, ...]:
        """What the judges say of these lines, by whatever source answers."""
        doctor, watched = self.doctor(), watchlist.parse("\n".join(lines), "list")
        seen, owners = sight(doctor, watched)
        return examine(watched, seen, owners, Terms(zone(doctor), grace_s, beside_cause))

    def whole(self, *lines: str) -> list[tuple[str, str]]:
        """A doctor run with these lines as its watchlist: every error finding by subject."""
        self.memory.mkdir(exist_ok=True)
        (self.memory / watchlist.FILE).write_text("\n".join(lines) + "\n")
        seen = examine_lab(self.lab, self.folder, "--quick", environ={**self.lab.environ, "OC_OPS_JOB_GRACE_S": "5"})
        return [(each["subject"], each["check"]) for each in seen.report["findings"] if each["severity"] == "error"]

    def jobs(self) -> dict[str, Job]:
        """Every job by name."""
        return {each.name: each for each in self.seen().jobs}

    def seen(self) -> Jobs:
        """Every job, by whatever source answers."""
        return sight(self.doctor(), ())[0]

    def cli(self, *words: str) -> str:
        """An operator's own command."""
        call = self.lab.call(*words)
        assert call.outcome in ("answered", "lingered", "refused"), call.summary
        return call.stdout.text

    def add(self, name: str, *when: str, command: str = "echo fine") -> str:
        """A job of its own, and its id."""
        added = self.cli("cron", "add", "--name", name, *when, "--no-deliver", "--command", command, "--json")
        return str(json.loads(added)["id"])

    def fail(self, job_id: str, times: int) -> None:
        """Run a job until so many runs in a row have failed."""
        while {each.id: each for each in self.jobs().values()}[job_id].consecutive_errors < times:
            self.cli("cron", "run", job_id, "--wait", "--wait-timeout", "60s")

    def until(self, what: Callable[[], T | None], words: str) -> T:
        """Wait for something that must come."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := what()) is None:
            assert time.monotonic() < deadline, f"waited in vain for {words}"
            time.sleep(0.5)
        return found


@pytest.fixture(scope="module")
def watch(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Watch:
    """The operator of this module, whose device is paired once."""
    return Watch(lab, tmp_path_factory.mktemp("watch"))


@pytest.fixture(scope="module")
def broken(watch: Watch) -> str:
    """The id of a job called `broken` that fails whenever it is run."""
    return watch.add("broken", "--every", "6h", command="echo it is broken >&2; exit 3")


def errors(verdicts: tuple[Verdict, ...]) -> list[tuple[str, str]]:
    """Every error finding by subject."""
    assert [each.unseen for each in verdicts if each.unseen] == []
    return [(each.subject, one.check) for each in verdicts for one in each.findings if one.severity == "error"]


def only(verdicts: tuple[Verdict, ...]) -> Finding:
    """The one finding of any weight."""
    ((finding,),) = [each.findings for each in verdicts if each.findings]
    return finding


def test_jobs_that_work_are_well(watch: Watch) -> None:
    """The lab's own jobs and those that OpenClaw brings, all watched: nothing is said of any, over RPC."""
    assert watch.seen().source == "rpc"
    lines = [watchlist.Watched(each.id).line for each in watch.seen().jobs]
    assert len(lines) >= 3
    assert [each.findings for each in watch.look(*lines)] == [()] * len(lines)


def test_a_watched_job_that_is_gone_or_off(watch: Watch) -> None:
    """Removed and disabled are two findings with two names; back on, neither is left of the second."""
    gone, off = watch.add("gone soon", "--every", "6h"), watch.add("off soon", "--every", "6h")
    assert errors(watch.look("gone soon", "off soon max-age=1h", "lab-ok")) == []
    watch.cli("cron", "rm", gone)
    watch.cli("cron", "disable", off)
    verdicts = watch.look("gone soon", "off soon max-age=1h", "lab-ok")
    assert errors(verdicts) == [("gone soon", "cron/job-missing"), ("off soon", "cron/job-disabled")]
    assert sorted(watch.whole("gone soon", "off soon max-age=1h", "lab-ok")) == errors(verdicts)
    assert 'near to it: "off soon"' in verdicts[0].findings[0].saw
    fix = verdicts[1].findings[0].fix
    assert fix == f"openclaw cron enable {off}"
    watch.cli(*fix.split()[1:])
    assert errors(watch.look("off soon", "lab-ok")) == []
    watch.cli("cron", "rm", off)


def test_a_job_that_fails_three_times(watch: Watch, broken: str) -> None:
    """One failure is a warning, the third in a row an error where three are allowed; its runs are the evidence."""
    for failures, severity in ((1, "warning"), (3, "error")):
        watch.fail(broken, failures)
        verdicts = watch.look("broken max-failures=3", "lab-ok")
        finding = only(verdicts)
        assert (finding.check, finding.severity) == ("cron/job-failing", severity)
        assert finding.saw.count("exited with code 3") == failures
    assert errors(verdicts) == [("broken", "cron/job-failing")]


def test_in_a_hang_the_store_tells(watch: Watch, broken: str) -> None:
    """Beside the hang the same facts come from the gateway's store, say so, and are no second error."""
    watch.fail(broken, 2)
    with stopped(watch.lab):
        watched = watchlist.parse("broken\nnobody knows it\nlab-ok", "list")
        seen, verdicts = verdicts_now(watch.doctor(), watched)
    assert seen.source == "store"
    assert errors(verdicts) == []
    found = [one for each in verdicts for one in each.findings]
    assert [each.check for each in found] == ["cron/job-failing", "cron/job-missing"]
    assert {each.severity for each in found} == {"warning"}
    assert all(each.fact.startswith("by the store, the watched job ") for each in found)
    assert "exited with code 3" in found[0].saw


@pytest.mark.nightly
def test_what_passed_while_the_gateway_was_down(watch: Watch) -> None:
    """A gateway dies in a run and misses two due times; the store tells all three, each with its evidence.

    Told to skip what it missed (cron.skipMissedJobs), it starts again, catches up with the one-shot all the same, and
    not with the daily job, whose next run is silently tomorrow's: that alone is an error then.
    """
    lab = watch.lab
    slow = watch.jobs()["lab-slow"].id
    due = (datetime.now(UTC) + timedelta(seconds=120)).replace(second=0, microsecond=0)
    missed = watch.add("once a day", "--cron", f"{due.minute} {due.hour} * * *", "--tz", "UTC", "--exact")
    watch.add("one-shot", "--at", due.strftime("%Y-%m-%dT%H:%M:%SZ"), "--keep-after-run")
    watch.cli("cron", "run", slow)
    watch.until(lambda: watch.jobs()["lab-slow"].running_ms, "the slow run to begin")
    lines = ("once a day", "one-shot", "lab-slow timeout=1s", "lab-ok")
    with killed(lab):
        watch.until(lambda: datetime.now(UTC) > due + timedelta(seconds=6) or None, "the due time to pass")
        down = watch.look(*lines, grace_s=5.0, beside_cause=True)
        lab.write_config({"cron": {"skipMissedJobs": True}})
    assert errors(down) == []
    found = {each.subject: [one.check for one in each.findings] for each in down}
    assert found == {
        "once a day": ["cron/run-missed"],
        "one-shot": ["cron/run-missed"],
        "lab-slow": ["cron/marker-stale"],
        "lab-ok": [],
    }
    assert "proof: no gateway runs: its port refuses connections" in down[2].findings[0].saw
    try:
        watch.until(lambda: watch.jobs()["one-shot"].last_run_ms, "the one-shot to be caught up with")
        up = watch.look(*lines, grace_s=5.0)
        assert errors(up) == watch.whole(*lines) == [("once a day", "cron/run-missed")]
        finding = next(each for each in up if each.subject == "once a day").findings[0]
        assert f"was due at {due:%Y-%m-%d %H:%M}:00 UTC and did not run" in finding.fact
        assert f"its next run is set to {due + timedelta(days=1):%Y-%m-%d %H:%M}:00 UTC" in finding.saw
        assert finding.fix.endswith(f"openclaw cron run {missed}")
        watch.cli("cron", "run", missed, "--wait", "--wait-timeout", "60s")
        assert errors(watch.look(*lines, grace_s=5.0)) == []
    finally:
        with killed(lab):
            lab.write_config({})
