"""Who owns a running marker: one sign of life is enough, and nobody is only said with proof."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime

import psutil
import pytest
from msgspec.structs import replace

from oc_ops.errors import CouldNotLook
from oc_ops.observe.container import Container, State
from oc_ops.observe.http import Probe
from oc_ops.observe.jobs import Job, Jobs, Receipt, Schedule
from oc_ops.observe.owners import OwnerEvidence, active_jobs, gather, ownership
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.processes import GatewayProcess
from oc_ops.observe.rpc import RpcReply
from oc_ops.observe.sockets import Listener

BOOT, MARK = 1_000_000, 2_000_000
JOB = Job("job-a", "backup", True, Schedule("unknown"), running_ms=MARK, receipt_id="receipt-1")
OPEN = Receipt("receipt-1", "job-a", "running", 42, MARK)
ENDED = replace(OPEN, status="error")
LIVES = OwnerEvidence("lives", 42, BOOT, alive={42: BOOT})


def stored(*receipts: Receipt, job: Job = JOB) -> Jobs:
    """The store of a release that keeps receipts."""
    return Jobs((job,), "store", datetime.now(UTC), receipts=receipts)


OLD = Jobs((JOB,), "store", datetime.now(UTC))
NOBODY: frozenset[str] = frozenset()
OWN, OTHER = frozenset({"job-a"}), frozenset({"job-b"})


@pytest.mark.parametrize(
    ("evidence", "owner", "proof"),
    [
        (replace(LIVES, tasks=OWN), "live", "tasks.list shows its run under way"),
        (replace(LIVES, tasks=OWN, stored=stored(OPEN)), "live", "held by the live process 42"),
        (replace(LIVES, stored=stored(OPEN)), "live", "held by the live process 42"),
        (replace(LIVES, gateway="gone", stored=stored(OPEN)), "live", "held by the live process 42"),
        (replace(LIVES, tasks=OTHER, stored=stored(OPEN)), "unknown", "but tasks.list shows no run of the job"),
        (replace(LIVES, gateway="gone", gateway_started_ms=None), "none", "no gateway runs"),
        (replace(LIVES, gateway_started_ms=MARK + 60_000), "none", "started at 1970-01-01 00:34:20 UTC, after"),
        (replace(LIVES, gateway_started_ms=MARK + 60_000, tasks=OWN), "live", "tasks.list"),
        (replace(LIVES, gateway_started_ms=MARK + 1000), "unknown", "did not tell its tasks"),
        (replace(LIVES, stored=stored(ENDED)), "none", "its run receipt receipt- has ended as error"),
        (replace(LIVES, stored=stored(OPEN), alive={}), "none", "held by pid 42, which is gone"),
        (replace(LIVES, stored=stored(OPEN), alive={42: MARK + 60_000}), "none", "held by pid 42, which is gone"),
        (replace(LIVES, stored=stored()), "none", "no run receipt is open for it"),
        (replace(LIVES, stored=stored(), tasks=OTHER), "none", "tasks.list shows no run of the job"),
        (replace(LIVES, stored=stored(replace(OPEN, id="2", job_id="job-b"))), "none", "no run receipt is open for it"),
        (replace(LIVES, stored=stored(job=replace(JOB, running_ms=MARK + 1))), "unknown", "it changed while"),
        (replace(LIVES, stored=stored(), gateway="unknown"), "unknown", "not seen for certain"),
        (replace(LIVES, stored=OLD, tasks=NOBODY), "none", "tasks.list shows no cron run under way"),
        (replace(LIVES, stored=OLD, tasks=OTHER), "unknown", "waiting for its turn"),
        (replace(LIVES, stored=OLD), "unknown", "did not tell its tasks"),
        (replace(LIVES, tasks=NOBODY), "unknown", "the store could not be read"),
        (OwnerEvidence(), "unknown", "not seen for certain"),
    ],
)
def test_what_proves_what(evidence: OwnerEvidence, owner: str, proof: str) -> None:
    """Each kind of evidence leads to its own word, and the proof says which it was."""
    said = ownership(JOB, evidence)
    assert said is not None
    assert said.owner == owner
    assert proof in said.proof


def test_no_marker_has_no_owner() -> None:
    """A job that does not claim to run is not asked about."""
    assert ownership(replace(JOB, running_ms=None), LIVES) is None


def test_a_marker_in_the_future_is_no_proof() -> None:
    """A clock set back leaves such a marker beside a run that lives: that alone proves nothing."""
    said = ownership(replace(JOB, running_ms=10**15), replace(LIVES, stored=OLD))
    assert said is not None
    assert said.owner == "unknown"


# -- tasks.list -----------------------------------------------------------------------------------------------------

RUN = {"runtime": "cron", "status": "running", "sourceId": "job-a", "runId": "cron:job-a:2000000"}


@pytest.mark.parametrize(
    ("tasks", "jobs"),
    [
        ([], NOBODY),
        ([RUN], OWN),
        ([{**RUN, "status": "queued"}], OWN),
        ([{**RUN, "status": "completed"}], NOBODY),
        ([{**RUN, "runtime": "subagent", "sourceId": None}], NOBODY),
        ([{**RUN, "sourceId": None}], None),
    ],
    ids=["none", "running", "queued", "over", "another kind", "nobody's"],
)
def test_tasks_under_way(tasks: Sequence[object], jobs: frozenset[str] | None) -> None:
    """The jobs with a task under way, or None where one cannot be told."""
    assert active_jobs({"tasks": tasks}) == jobs


def test_half_a_list_is_none() -> None:
    """A list with a next page says nothing of who is not on it."""
    assert active_jobs({"tasks": [], "nextCursor": "2"}) is None


@pytest.mark.parametrize("payload", [None, [], {}, {"tasks": {}}, {"tasks": [7]}])
def test_no_list_of_tasks(payload: object) -> None:
    """An answer of another shape could not be looked at."""
    with pytest.raises(CouldNotLook, match=r"tasks\.list"):
        active_jobs(payload)


# -- gathering ------------------------------------------------------------------------------------------------------

OWN_START_MS = round(psutil.Process().create_time() * 1000)


def gateway(*, certain: bool = True) -> GatewayProcess:
    """A gateway process: our own, as it is one that lives."""
    return GatewayProcess(os.getpid(), 1, 60.0, "running", 1.0, 1, "openclaw-gateway", "lock", certain)


def seen(kind: str, *processes: GatewayProcess, listener: Listener | None = None) -> GatewayProbe:
    """A look at a gateway whose port answered so."""
    return GatewayProbe(1, Probe("/healthz", kind, 0.0), listener=listener, processes=processes)  # type: ignore[arg-type]


def test_a_gateway_that_lives() -> None:
    """Its pid, its start, its tasks and the receipts' owners are gathered."""
    receipt = replace(OPEN, owner_pid=os.getpid())
    reply = RpcReply("tasks.list", "ok", {"tasks": [RUN]})
    evidence = gather(seen("answered", gateway()), reply, stored(receipt))
    assert (evidence.gateway, evidence.gateway_pid, evidence.tasks) == ("lives", os.getpid(), OWN)
    assert evidence.gateway_started_ms == OWN_START_MS
    assert evidence.alive == {os.getpid(): OWN_START_MS}


@pytest.mark.parametrize(
    ("look", "word"),
    [
        (seen("refused"), "gone"),
        (seen("refused", gateway()), "lives"),
        (seen("refused", gateway(certain=False)), "unknown"),
        (seen("refused", listener=Listener(None)), "unknown"),
        (seen("silent", listener=Listener(None)), "unknown"),
        (seen("answered"), "unknown"),
    ],
    ids=["gone", "port closed", "perhaps one", "another user's", "silent", "not seen"],
)
def test_whether_a_gateway_lives(look: GatewayProbe, word: str) -> None:
    """Gone is said only of a closed port with no process near it, lives only of a process that is certain."""
    assert gather(look, None, None).gateway == word


@pytest.mark.parametrize("outcome", ["silent", "error", "closed", "unsupported"])
def test_tasks_that_were_not_told(outcome: str) -> None:
    """Anything but an answer is no list of tasks."""
    reply = RpcReply("tasks.list", outcome)  # type: ignore[arg-type]
    assert gather(seen("answered", gateway()), reply, None).tasks is None


def test_a_pid_that_is_gone_is_not_alive() -> None:
    """The owner of a receipt that no longer runs is not gathered."""
    with psutil.Popen(["true"]) as gone:
        pid = gone.pid
    assert gather(seen("answered", gateway()), None, stored(replace(OPEN, owner_pid=pid))).alive == {}


@pytest.mark.parametrize(("state", "word"), [("paused", "unknown"), ("restarting", "unknown"), ("exited", "gone")])
def test_a_container_that_takes_no_connection(state: State, word: str) -> None:
    """A paused gateway goes on with its run when it is let: it is not gone, and its markers are not nobody's."""
    look = replace(seen("refused"), container=Container("podman", "cell", state))
    assert gather(look, None, None).gateway == word
