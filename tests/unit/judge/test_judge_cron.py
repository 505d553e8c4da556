"""The judges of the scheduler."""

from __future__ import annotations

import pytest

from oc_ops.errors import CouldNotLook
from oc_ops.judge import cron as judge
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.rpc import RpcReply
from tests.support.sights import answer, reply

WORDS = "cron list --json"
JOBS = {"jobs": [{"id": "a1", "name": "ok", "enabled": True, "state": {}}], "total": 1, "hasMore": False}


@pytest.mark.parametrize(
    ("seen", "saw"),
    [
        (reply("cron.list", JOBS), None),
        (reply("cron.list", {"jobs": []}), None),
        (answer(JOBS, WORDS), None),
        (answer({"jobs": []}, WORDS, "lingered"), None),
        (reply("cron.list", outcome="silent", message="no answer within 4 s", wall_s=4.0), "silent after 4.0 s"),
        (reply("cron.list", outcome="error", code="INTERNAL", message="database is locked"), "INTERNAL database is"),
        (reply("cron.list", outcome="closed"), "closed after"),
        (reply("cron.list", outcome="unsupported", message="this gateway has no cron.list"), "has no cron.list"),
        (reply("cron.list", {}), "without a list of jobs"),
        (reply("cron.list", {"jobs": None}), "without a list of jobs"),
        (reply("cron.list", {"jobs": {"a": 1}}), "without a list of jobs"),
        (reply("cron.list", None), "without a list of jobs"),
        (reply("cron.list", "jobs"), "without a list of jobs"),
        (answer(None, WORDS, "timed-out"), "timed out after"),
        (answer(None, WORDS, "refused", "GatewayTransportError: gateway timeout after 30000ms"), "gateway timeout"),
        (answer({"ok": False, "error": {"message": "no"}}, WORDS, "refused"), "exited 1"),
        (answer(JOBS, WORDS, "refused"), "exited 1"),
        (answer({"jobs": "none"}, WORDS), "without a list of jobs"),
        (answer(None, WORDS), "answered in"),
    ],
    ids=["RPC", "RPC, no jobs", "CLI", "CLI lingers", "RPC silent", "RPC error", "RPC closed", "RPC without method",
         "RPC, empty", "RPC, null jobs", "RPC, jobs an object", "RPC, null", "RPC, a text", "CLI timed out",
         "CLI 2026.5.28 hung", "CLI 2026.9.6 refused", "CLI jobs and exit 1", "CLI, jobs a text", "CLI, plain text"],
)  # fmt: skip
def test_list_unanswered(seen: RpcReply | Answer, saw: str | None) -> None:
    """Only a list of jobs is an answer, whichever way it was asked for."""
    finding = judge.list_unanswered(seen)
    assert (finding is None) == (saw is None)
    if finding is not None and saw is not None:
        assert finding.check == "cron/list-unanswered"
        assert saw in finding.saw
        assert "restart" not in finding.fix


def test_scheduler_on_and_off() -> None:
    """A scheduler that says it is disabled is a finding; one that says it is enabled is none."""
    status = {"storePath": "/home/joe/.openclaw/cron/jobs.json", "jobs": 3, "nextWakeAtMs": None}
    assert judge.scheduler_off({"enabled": True, **status}) is None
    finding = judge.scheduler_off({"enabled": False, **status})
    assert finding is not None
    assert finding.check == "cron/scheduler-off"


@pytest.mark.parametrize("status", [None, {}, [], "on", {"enabled": None}, {"enabled": "false"}, {"enabled": 1}])
def test_a_status_that_does_not_say_is_not_taken_for_on(status: object) -> None:
    """A reply that is missing or malformed could not be looked at; it is never green."""
    with pytest.raises(CouldNotLook, match="did not say whether"):
        judge.scheduler_off(status)
