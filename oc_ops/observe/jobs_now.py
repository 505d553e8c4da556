"""The gateway's jobs now, by each lane that tells them; and the time zone in which it reads their expressions."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

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
    """The answer of `openclaw cron list`; without `--all` it keeps disabled jobs back: then none may be called missing.

    Raises CouldNotLook when it did not answer.
    """
    if not listed.came:
        raise CouldNotLook(listed.error or listed.call.summary)
    whole = "--all" in listed.call.argv and more_of(listed.value) is None
    return Jobs(jobs_of(listed.value), "cli", datetime.now(UTC), complete=whole)


def by_store(target: Target, config: GatewayConfig) -> Jobs:
    """The jobs in the gateway's own store; raises CouldNotLook when that cannot be read."""
    return jobstore.read(target.state_dir, config.cron_store)


_LOCALTIME = Path("/etc/localtime")


def local_zone(environ: Mapping[str, str], localtime: Path = _LOCALTIME) -> tzinfo:
    """The zone that Node.js takes for its own: TZ, else what /etc/localtime holds, else UTC.

    `environ` is that of the gateway where it can be read. Raises CouldNotLook for a TZ that no one knows: what the
    gateway makes of it cannot be told.
    """
    if name := environ.get("TZ", "").strip().removeprefix(":"):
        try:
            if name.startswith("/"):
                return _of_file(Path(name))
            return ZoneInfo(name)
        except (OSError, ValueError, KeyError) as error:
            raise CouldNotLook(f"the time zone TZ={name!r} of the environment is not known here") from error
    try:
        return _of_file(localtime)
    except FileNotFoundError:
        return ZoneInfo("UTC")
    except (OSError, ValueError) as error:
        raise CouldNotLook(f"cannot read the machine's time zone: {localtime}") from error


def gateway_zone(pid: int | None, environ: Mapping[str, str]) -> tzinfo:
    """The zone of the gateway with that pid, by its own environment where that can be read, else by `environ`."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        if pid is not None:
            environ = psutil.Process(pid).environ()
    return local_zone(environ)


def _of_file(path: Path) -> ZoneInfo:
    """By its name in the zone data where the path tells it: a file of its own has no key to show."""
    name = path.resolve(strict=True).as_posix().rpartition("/zoneinfo/")[2]
    with path.open("rb") as data:
        return ZoneInfo.from_file(data, key=name.removeprefix("posix/") or None)
