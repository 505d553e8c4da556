"""What is seen of a job beside its run: RPC while it answers, then the store; a closed lane is not knocked at again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from oc_ops.act.cron_run.lanes import Beside, JobLanes, JobView
from oc_ops.errors import CouldNotLook
from oc_ops.gateway import Gateway
from oc_ops.observe.target import locate
from oc_ops.settings import Settings
from tests.fakes.fake_gateway import Talk, gateway, hello
from tests.support import proven
from tests.support.sights import sight as healthy

pytestmark = pytest.mark.timeout(60)

ID = "job-0001"
JOB = {"id": ID, "name": "nightly", "enabled": True, "schedule": {"kind": "every", "everyMs": 3_600_000}, "state": {}}
RUN = {"jobId": ID, "action": "finished", "status": "ok", "runId": "manual:1", "runAtMs": 5, "durationMs": 7}
ANSWERS: dict[str, object] = {
    "cron.list": {"jobs": [JOB], "hasMore": False},
    "cron.get": {**JOB, "state": {"runningAtMs": 9}},
    "cron.runs": {"entries": [RUN]},
    "tasks.list": {"tasks": []},
}


def gateway_of(settings: Settings, home: Path) -> Gateway:
    """The gateway of that home, without a command: these looks never call it while a cheaper lane tells."""
    return Gateway(settings, {"HOME": str(home), "PATH": str(home / "nowhere")})


@contextmanager
def lanes_of(
    root: Path, script: Callable[[Talk], None], **changes: Any
) -> Iterator[tuple[JobLanes, list[dict[str, Any]]]]:
    """The lanes of a scripted gateway whose store holds the job without its runs."""
    cron = root / ".openclaw" / "cron"
    cron.mkdir(parents=True)
    (cron / "jobs.json").write_text(json.dumps({"jobs": [JOB]}))
    with gateway(script) as (port, asked):
        (cron.parent / "openclaw.json").write_text(json.dumps({"gateway": {"port": port, "auth": {"token": "t" * 20}}}))
        target = locate({"HOME": str(root)}, None)
        proven.lock(target, port)
        settings = Settings(memory_dir=root / "memory", rpc_request_s=1.0)
        lanes = JobLanes(gateway_of(settings, root))
        try:
            yield lanes, asked
        finally:
            lanes.close()


def answers(talk: Talk, times: int = 1000, methods: tuple[str, ...] = tuple(ANSWERS)) -> None:
    """Let it in and answer so many requests, then leave."""
    talk.challenge()
    welcome = hello()
    welcome["features"] = {"methods": list(methods), "events": []}
    talk.answer(talk.take(), welcome)
    for _ in range(times):
        frame = talk.take()
        talk.answer(frame, ANSWERS[frame["method"]])


def test_one_connection_for_all_looks(tmp_path: Path) -> None:
    """Job and runs over RPC, by cron.get where the gateway has it; the handshake is made once."""
    with lanes_of(tmp_path, answers) as (lanes, asked):
        for _ in range(3):
            seen = lanes.sight(ID)
            assert (seen.source, seen.job and seen.job.running_ms) == ("rpc", 9)
            assert [each.run_id for each in seen.records] == ["manual:1"]
    assert [each["method"] for each in asked] == ["connect", *["cron.runs", "cron.get"] * 3]


def test_an_older_release_without_cron_get(tmp_path: Path) -> None:
    """The job is picked from the list."""
    with lanes_of(tmp_path, lambda talk: answers(talk, methods=("cron.list", "cron.runs"))) as (lanes, _):
        seen = lanes.sight(ID)
        assert (seen.source, seen.job and seen.job.name) == ("rpc", "nightly")
        assert lanes.sight("another").job is None


def test_a_connection_that_is_lost_is_made_again(tmp_path: Path) -> None:
    """In between the store tells, and says why."""
    with lanes_of(tmp_path, lambda talk: answers(talk, times=2)) as (lanes, asked):
        seen = [lanes.sight(ID) for _ in range(3)]
    assert [each.source for each in seen] == ["rpc", "store", "rpc"]
    assert "cron.runs: closed" in seen[1].closed[0]
    assert [each["method"] for each in asked].count("connect") == 2


def test_a_refusal_is_not_asked_again(tmp_path: Path) -> None:
    """A credential that is not taken would fill the gateway's log once a second."""

    def refuse(talk: Talk) -> None:
        talk.challenge()
        talk.refuse(talk.take(), code="INVALID_REQUEST", message="unauthorized: token mismatch")

    with lanes_of(tmp_path, refuse) as (lanes, asked):
        assert [lanes.sight(ID).source for _ in range(3)] == ["store"] * 3
    assert len(asked) == 1


def test_all_jobs_by_the_cheapest_lane(tmp_path: Path) -> None:
    """RPC; a gateway that does not answer is not asked, its store is read; where nothing tells, it says why."""
    with lanes_of(tmp_path, answers) as (lanes, asked):
        assert lanes.known(healthy(), answers=True).jobs.source == "rpc"
        count = len(asked)
        assert lanes.known(healthy(), answers=False).jobs.source == "store"
        assert len(asked) == count
        (tmp_path / ".openclaw" / "cron" / "jobs.json").unlink()
        with pytest.raises(CouldNotLook, match=r"the gateway's jobs cannot be seen: store: there is no cron store"):
            lanes.known(healthy(), answers=False)


def test_what_a_look_dies_of_is_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that fails in a way nobody foresaw is one that saw nothing; the next one is taken."""

    def broken(_self: JobLanes, _job_id: str) -> JobView:
        raise ZeroDivisionError("odd")

    with lanes_of(tmp_path, answers) as (lanes, _):
        monkeypatch.setattr(JobLanes, "sight", broken)
        hidden = lanes._gateway
        monkeypatch.setattr(
            "oc_ops.act.cron_run.lanes.http.probe", lambda *_, **__: replace(healthy().live, kind="answered")
        )
        with Beside(hidden, ID, None) as beside:
            first = beside.wait(None, 10)
            second = beside.wait(first, 10)
    assert first is not None
    assert second is not None
    assert second.number > first.number
    assert second.sight.closed == ("ZeroDivisionError: odd",)
