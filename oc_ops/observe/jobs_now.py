"""The gateway's jobs, now, by each lane that tells them: RPC, its own store, the command line."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from oc_ops.errors import CouldNotLook
from oc_ops.observe import jobstore
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.jobs import MOST_JOBS, Job, JobRun, Jobs, jobs_of, more_of, runs_of
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.rpc import RpcClient
from oc_ops.observe.target import Target
from oc_ops.observe.watchlist import Watched

_RUNS = 30
"""Runs of each watched job that are asked for: enough for its history."""


def by_rpc(client: RpcClient, watched: Sequence[Watched]) -> Jobs:
    """All pages of the list, then the history of each watched job; a release without `cron.runs` has none."""
    seen_at, offset = datetime.now(UTC), 0
    told: list[Job] = []
    while True:
        reply = client.request("cron.list", {"includeDisabled": True, "limit": 200, "offset": offset})
        if reply.outcome != "ok":
            raise CouldNotLook(f"cron.list: {reply.outcome}: {reply.message or reply.code or 'no reason given'}")
        told += jobs_of(reply.payload)
        following = more_of(reply.payload)
        if following is None or following <= offset or len(told) >= MOST_JOBS:
            break
        offset = following
    words = {each.job for each in watched}
    runs: dict[str, tuple[JobRun, ...]] = {}
    for each in told:
        if each.id in words or each.name in words:
            reply = client.request("cron.runs", {"id": each.id, "limit": _RUNS})
            if reply.outcome == "ok":
                runs.update(runs_of(reply.payload))
    return Jobs(tuple(told), "rpc", seen_at, runs, complete=following is None)


def by_cli(listed: Answer) -> Jobs:
    """What `openclaw cron list` said; without `--all` it keeps disabled jobs back: then none may be called missing.

    Raises CouldNotLook when it did not answer.
    """
    if not listed.came:
        raise CouldNotLook(listed.error or listed.call.summary)
    whole = "--all" in listed.call.argv and more_of(listed.value) is None
    return Jobs(jobs_of(listed.value), "cli", datetime.now(UTC), complete=whole)


def by_store(target: Target, config: GatewayConfig) -> Jobs:
    """What lies in the gateway's own store; raises CouldNotLook when that cannot be read."""
    return jobstore.read(target.state_dir, config.cron_store)
