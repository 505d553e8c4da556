"""A gateway's word on its own work: channels, deliveries, plugins, models; anything unsaid stays None."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from msgspec import Struct

from oc_ops import files
from oc_ops.errors import CouldNotLook
from oc_ops.observe.database import STATE_DATABASE, snapshot
from oc_ops.observe.jobs import Job, jobs_of
from oc_ops.observe.rpc_reads import RpcReads
from oc_ops.process.jsontext import at, number_at, text_at

_STORE_S = 1.0
_MOST = 200
"""Entries of one kind that are looked at: more accounts, plugins or agents than that are not told apart."""
_PENDING = (
    "SELECT COALESCE(channel, ''), count(*), min(enqueued_at), max(retry_count), max(COALESCE(last_error, ''))"
    " FROM delivery_queue_entries WHERE status = 'pending' GROUP BY 1"
)
_BACKUPS = "SELECT created_at, status = 'ok' FROM backup_runs ORDER BY created_at DESC LIMIT 20"


class Account(Struct, frozen=True):
    """One account of a channel as `channels.status` has it. Times are epoch milliseconds, None is "not said"."""

    channel: str
    name: str
    enabled: bool = True
    configured: bool = True
    running: bool | None = None
    connected: bool | None = None
    lifecycle: str = ""
    mode: str = ""
    error: str = ""
    started_ms: int | None = None
    activity_ms: int | None = None
    """The last sign of life of its transport: for a polling one, the last poll that came to its end."""
    restarts: int = 0
    restart_pending: bool = False

    @property
    def label(self) -> str:
        """The channel, with the account where it is not the default one."""
        return self.channel if self.name in ("", "default") else f"{self.channel}:{self.name}"


class Letters(Struct, frozen=True):
    """Messages of one queue that were given up, or that wait. `since_ms` is the oldest."""

    queue: str
    count: int
    since_ms: int | None = None
    error: str = ""


class Plugin(Struct, frozen=True):
    """A plugin that does not work, and why."""

    id: str
    why: str
    wants_consent: bool = False


class Model(Struct, frozen=True):
    """One configured model. `available` is None where the release does not say."""

    provider: str
    id: str
    available: bool | None = None
    reason: str = ""
    until_ms: int | None = None


class Refusal(Struct, frozen=True):
    """A provider's refusal: OpenClaw's word for it (billing, auth, rate_limit, …) and when."""

    reason: str
    at_ms: int = 0
    until_ms: int | None = None
    times: int = 1


class Agent(Struct, frozen=True):
    """One agent and the models it asks, the first one first."""

    id: str
    models: tuple[str, ...] = ()
    database: Path | None = None
    recent: tuple[str, ...] = ()
    """The keys of its latest sessions."""


class WorkView(Struct, frozen=True):
    """One look at a gateway's work; a part that the release does not tell is None."""

    at_ms: int
    accounts: tuple[Account, ...] | None = None
    dead: tuple[Letters, ...] | None = None
    waiting: tuple[Letters, ...] | None = None
    plugins: tuple[Plugin, ...] | None = None
    stuck: Mapping[str, int] | None = None
    """Tasks that are of no use any more, by the gateway's own audit code."""
    agents: tuple[Agent, ...] | None = None
    default_agent: str = ""
    models: tuple[Model, ...] | None = None
    providers: tuple[str, ...] | None = None
    """Providers for which the gateway has any credential."""
    refusals: Mapping[str, Refusal] | None = None
    """The last refusal of each provider that nothing has made good since, by the agents' own stores."""
    config_ms: int = 0
    """When the config or its .env was written last: a refusal of before may be mended."""
    backups: tuple[tuple[int, bool], ...] = ()
    """Moment (epoch milliseconds) and success of the last backups, newest first."""
    left: tuple[Job, ...] = ()
    """Jobs in a jobs.json beside a gateway that keeps its jobs in its database."""


def look(reads: RpcReads, state_dir: Path, jobs_file: Path, config: Path | None = None) -> WorkView:
    """Put together what the connection answered and what the stores say; a part that fails is left out."""
    told = {method: reply.payload for method, reply in reads.work.items() if reply.outcome == "ok"}
    told |= {"status": reads.status.payload, "cron.status": reads.cron_status.payload}
    return view_of(told, state_dir, jobs_file, config)


def view_of(
    told: Mapping[str, object], state_dir: Path, jobs_file: Path | None = None, config: Path | None = None
) -> WorkView:
    """The same of the answers by method, however they were had; without `jobs_file` no old jobs are looked for."""
    health, status = told.get("health"), told.get("status")
    waiting, backups = _stored(state_dir)
    agents = tuple(_agents(told.get("agents.list"), health)) if "agents.list" in told else None
    models = tuple(_models(told["models.list"])) if "models.list" in told else None
    return WorkView(
        at_ms=_now_ms(),
        accounts=tuple(accounts_of(told["channels.status"])) if "channels.status" in told else None,
        dead=tuple(_dead(health)) if isinstance(health, Mapping) else None,
        waiting=(*(waiting or ()), *_pressure(health)) if waiting is not None or health else None,
        plugins=tuple(_plugins(health)) if isinstance(at(health, "plugins"), Mapping) else None,
        stuck=_stuck(status),
        agents=agents,
        default_agent=text_at(told.get("agents.list"), "defaultId") or text_at(health, "defaultAgentId"),
        models=models,
        providers=_providers(told.get("models.authStatus")),
        refusals=_refusals(agents) if agents is not None else None,
        config_ms=max(map(_written_ms, (config, state_dir / ".env"))),
        backups=backups,
        left=_left(jobs_file) if jobs_file and at(told.get("cron.status"), "storage") == "sqlite" else (),
    )


# -- what the connection answered -------------------------------------------------------------------------------------


def accounts_of(payload: object) -> Iterator[Account]:
    """The accounts in an answer of `channels.status`."""
    for channel, entries in list(_pairs(at(payload, "channelAccounts")))[:_MOST]:
        for entry in _entries(entries):
            yield Account(
                channel,
                text_at(entry, "accountId"),
                enabled=at(entry, "enabled") is not False,
                configured=at(entry, "configured") is not False,
                running=_flag(entry, "running"),
                connected=_flag(entry, "connected"),
                lifecycle=text_at(entry, "lifecycle"),
                mode=text_at(entry, "mode"),
                error=text_at(entry, "lastError"),
                started_ms=_whole(entry, "lastStartAt"),
                activity_ms=_whole(entry, "lastTransportActivityAt"),
                restarts=_whole(entry, "reconnectAttempts") or 0,
                restart_pending=at(entry, "restartPending") is True,
            )


def _dead(health: object) -> Iterator[Letters]:
    """Messages given up, out and in; a queue that is not named has none."""
    for entry in _entries(at(health, "deliveryQueues", "failed")):
        yield Letters(text_at(entry, "queueName"), _whole(entry, "count") or 0, _whole(entry, "oldestFailedAt"))
    for entry in _entries(at(health, "deliveryQueues", "ingressFailed")):
        queue = f"inbound {text_at(entry, 'channelId')}"
        yield Letters(queue, _whole(entry, "count") or 0, _whole(entry, "oldestFailedAt"))


def _pressure(health: object) -> Iterator[Letters]:
    for entry in _entries(at(health, "deliveryQueues", "ingressPressure")):
        count = (_whole(entry, "pendingCount") or 0) + (_whole(entry, "claimedCount") or 0)
        yield Letters(f"inbound {text_at(entry, 'channelId')}", count, _whole(entry, "oldestReceivedAt"))


def _plugins(health: object) -> Iterator[Plugin]:
    for kind in ("errors", "unavailable"):
        for entry in _entries(at(health, "plugins", kind)):
            why = next((text_at(entry, key) for key in ("error", "message", "reason") if text_at(entry, key)), "")
            name = text_at(entry, "id") or text_at(entry, "pluginId") or (entry if isinstance(entry, str) else "")
            yield Plugin(name or "unnamed", why, "consent" in json.dumps(entry).lower())


def _stuck(status: object) -> Mapping[str, int] | None:
    codes = at(status, "taskAudit", "byCode")
    if not isinstance(codes, Mapping):
        return None
    known = ("stale_running", "stale_queued", "lost")
    return {code: count for code in known if (count := _whole(codes, code))}


def _agents(payload: object, health: object) -> Iterator[Agent]:
    told = {text_at(entry, "agentId"): entry for entry in _entries(at(health, "agents"))}
    for entry in _entries(at(payload, "agents")):
        name, model = text_at(entry, "id"), at(entry, "model")
        first = model if isinstance(model, str) else text_at(model, "primary")
        others = [each for each in _entries(at(model, "fallbacks")) if isinstance(each, str)]
        sessions = at(told.get(name), "sessions")
        path = text_at(sessions, "path")
        database = Path(path) if path.endswith(".sqlite") else None
        recent = tuple(text_at(each, "key") for each in _entries(at(sessions, "recent")))
        yield Agent(name, tuple(filter(None, (first, *others))), database, recent)


def _models(payload: object) -> Iterator[Model]:
    for entry in _entries(at(payload, "models")):
        yield Model(
            text_at(entry, "provider"),
            text_at(entry, "id"),
            _flag(entry, "available"),
            text_at(entry, "unavailableReason"),
            _whole(entry, "unavailableUntil"),
        )


def _providers(payload: object) -> tuple[str, ...] | None:
    """None where the gateway cannot say yet (`unavailable`) as well."""
    entries = at(payload, "providers")
    if not isinstance(entries, list) or at(payload, "unavailable"):
        return None
    having = [
        entry
        for entry in _entries(entries)
        if text_at(entry, "status") != "missing" and (at(entry, "profiles") or at(entry, "apiKey"))
    ]
    return tuple({text_at(entry, key) for entry in having for key in ("provider", "authProvider")})


# -- what the stores say ----------------------------------------------------------------------------------------------


def _stored(state_dir: Path) -> tuple[tuple[Letters, ...] | None, tuple[tuple[int, bool], ...]]:
    """Messages that wait to go out (None where no store tells), and the last backups."""
    database = state_dir / STATE_DATABASE
    try:
        if not files.is_file(database):
            return None, ()
        with snapshot(database, _STORE_S) as tables:
            rows = tables.rows(_PENDING) if tables.has("delivery_queue_entries") else ()
            backups = tables.rows(_BACKUPS) if tables.has("backup_runs") else ()
    except CouldNotLook:
        return None, ()
    letters = tuple(
        Letters(str(channel) or "outbound", count, since, str(error))
        for channel, count, since, _, error in rows
        if isinstance(count, int) and isinstance(since, int)
    )
    return letters, tuple((made, well == 1) for made, well in backups if isinstance(made, int))


def _refusals(agents: Sequence[Agent]) -> Mapping[str, Refusal]:
    """The providers' last refusals, by the agents' own stores; an answer makes OpenClaw forget it there."""
    found: dict[str, Refusal] = {}
    for agent in agents:
        if agent.database is None:
            continue
        with contextlib.suppress(CouldNotLook, ValueError, RecursionError):
            if not files.is_file(agent.database):
                continue
            with snapshot(agent.database, _STORE_S) as tables:
                rows = tables.rows("SELECT * FROM auth_profile_state") if tables.has("auth_profile_state") else ()
            for row in rows:
                text = next((cell for cell in row if isinstance(cell, str) and cell.startswith("{")), "{}")
                for profile, stats in _pairs(at(files.json_of(text), "usageStats")):
                    provider = profile.removeprefix("inline-api-key:").partition(":")[0]
                    last = _refusal(stats)
                    if last and (provider not in found or found[provider].at_ms < last.at_ms):
                        found[provider] = last
    return found


def _refusal(stats: object) -> Refusal | None:
    for kind in ("disabled", "blocked", "cooldown"):
        if reason := text_at(stats, f"{kind}Reason"):
            times = _whole(at(stats, "failureCounts"), reason) or 1
            return Refusal(reason, _whole(stats, "lastFailureAt") or 0, _whole(stats, f"{kind}Until"), times)
    return None


def _written_ms(path: Path | None) -> int:
    try:
        return path.stat().st_mtime_ns // 1_000_000 if path else 0
    except OSError:
        return 0


def _left(jobs_file: Path) -> tuple[Job, ...]:
    try:
        return jobs_of(files.json_of(files.read_text(jobs_file, files.CONFIG_BYTES)))
    except (OSError, ValueError, CouldNotLook):
        return ()


# -- JSON -------------------------------------------------------------------------------------------------------------


def _entries(value: object) -> Sequence[object]:
    return cast("list[object]", value)[:_MOST] if isinstance(value, list) else ()


def _pairs(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield str(key), each


def _flag(value: object, key: str) -> bool | None:
    found = at(value, key)
    return found if isinstance(found, bool) else None


def _whole(value: object, key: str) -> int | None:
    number = number_at(value, key)
    return None if number is None or not abs(number) < 2**53 else round(number)


def _now_ms() -> int:
    return round(datetime.now(UTC).timestamp() * 1000)
