"""Judges of the scheduler: does it run, and does its list answer."""

from __future__ import annotations

from oc_ops.errors import CouldNotLook
from oc_ops.judge.finding import Finding
from oc_ops.judge.registry import finds, none
from oc_ops.observe.jsontext import at
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.rpc import RpcReply

_VERIFY = "pytest checks/ -m doctor -k test_cron"


@finds(
    "cron/list-unanswered",
    cure=none("the gateway lives; a long run holds its scheduler, and a restart would abort it"),
    means="the scheduler does not list its jobs",
    helps="its log; a long run",
)
def list_unanswered(reply: RpcReply | Answer) -> Finding | None:
    """`cron.list` gives no list of jobs, over RPC or through the operator's own `openclaw cron list`."""
    if isinstance(reply, Answer):
        jobs, saw = at(reply.value, "jobs"), reply.call.summary
        if reply.came and isinstance(jobs, list):
            return None
        if reply.came:
            saw = f"{saw}, without a list of jobs"
    else:
        jobs, saw = at(reply.payload, "jobs"), _reply(reply)
        if reply.outcome == "ok" and isinstance(jobs, list):
            return None
        if reply.outcome == "ok":
            saw = f"{saw}, without a list of jobs"
    return Finding(
        "cron/list-unanswered",
        "error",
        fact="the scheduler does not list its jobs",
        saw=saw,
        fix="none automatic: the gateway lives; look at its event loop and a long run first (openclaw tasks list)",
        verify=_VERIFY,
    )


@finds(
    "cron/scheduler-off",
    cure=none("it is switched off by the config or the environment, and stays so over a restart"),
    means="no job will run by itself",
    helps="switch it on",
)
def scheduler_off(status: object) -> Finding | None:
    """The scheduler itself is disabled: no job runs, and nothing else says so. `status` is a cron.status payload.

    Raises CouldNotLook for anything that does not say whether it is enabled.
    """
    enabled = at(status, "enabled")
    if not isinstance(enabled, bool):
        raise CouldNotLook("cron.status did not say whether the scheduler is enabled")
    if enabled:
        return None
    return Finding(
        "cron/scheduler-off",
        "error",
        fact="the cron scheduler is off: no job will run by itself",
        saw="cron.status answers enabled: false: cron.enabled in the config, or OPENCLAW_SKIP_CRON in its environment",
        fix="openclaw config set cron.enabled true && openclaw gateway restart",
        verify=_VERIFY,
    )


def _reply(reply: RpcReply) -> str:
    words = f"{reply.code or ''} {reply.message}".strip()
    return f"RPC {reply.method}: {reply.outcome} after {reply.wall_s:.1f} s{': ' + words if words else ''}"
