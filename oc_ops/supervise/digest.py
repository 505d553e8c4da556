"""What `openclaw status` would tell, in a few lines, from the answer of the gateway's `status` method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from oc_ops.judge.jobwords import span
from oc_ops.observe.jsontext import at, number_at, text_at

_MOST_CHANNELS = 6

Clean = Callable[[str], str]


def lines(payload: object, clean: Clean, now: float) -> tuple[tuple[str, str], ...]:
    """(label, words), in the order of what matters; a release that does not say a thing has no line for it."""
    return tuple((label, clean(words)) for label, words in _said(payload, now) if words)


def _said(payload: object, now: float) -> Iterator[tuple[str, str]]:
    yield "release", text_at(payload, "runtimeVersion")
    yield "channels", _channels(at(payload, "channelSummary"))
    yield "sessions", _sessions(payload, now)
    yield "tasks", _tasks(payload)
    yield "audit", _audit(payload)
    yield "models", _degraded(at(payload, "modelRuntime"))
    for label, key in (("plugins", "degradedPlugins"), ("secrets", "degradedSecretOwners")):
        broken = at(payload, key)
        if isinstance(broken, list) and broken:
            yield label, f"{len(broken)} degraded"
    yield "heartbeat", ", ".join(_heartbeats(at(payload, "heartbeat", "agents")))
    queued = at(payload, "queuedSystemEvents")
    if isinstance(queued, list) and queued:
        yield "queued", f"{len(queued)} system events wait"


def _channels(summary: object) -> str:
    if not isinstance(summary, list):
        return ""
    told = [" ".join(each.split()) for each in summary if isinstance(each, str) and each.strip()]
    more = f"; {len(told) - _MOST_CHANNELS} more lines" if len(told) > _MOST_CHANNELS else ""
    return "; ".join(told[:_MOST_CHANNELS]) + more if told else "none configured"


def _sessions(payload: object, now: float) -> str:
    count = number_at(payload, "sessions", "count")
    if count is None:
        return ""
    recent = at(payload, "sessions", "recent")
    last = number_at(recent[0], "updatedAt") if isinstance(recent, list) and recent else None
    return f"{count:.0f}" + (f", the last active {span(max(0.0, now - last / 1000))} ago" if last else "")


def _tasks(payload: object) -> str:
    total = number_at(payload, "tasks", "total")
    if total is None:
        return ""
    active, failures = number_at(payload, "tasks", "active") or 0, number_at(payload, "tasks", "failures") or 0
    return f"{active:.0f} active, {failures:.0f} failed of {total:.0f}"


def _audit(payload: object) -> str:
    errors, warnings = number_at(payload, "taskAudit", "errors"), number_at(payload, "taskAudit", "warnings")
    codes = at(payload, "taskAudit", "byCode")
    if not (errors or warnings) or not isinstance(codes, Mapping):
        return ""
    named = [f"{str(code).replace('_', ' ')} {count}" for code, count in codes.items() if count]
    return f"{errors or 0:.0f} errors, {warnings or 0:.0f} warnings: {', '.join(named)}"


def _degraded(runtime: object) -> str:
    known = at(runtime, "degraded")
    return "" if not isinstance(known, bool) else "degraded" if known else "ok"


def _heartbeats(agents: object) -> Iterator[str]:
    for each in agents[:4] if isinstance(agents, list) else []:
        if name := text_at(each, "agentId"):
            off = at(each, "enabled") is False
            yield f"{name} off" if off else f"{name} every {text_at(each, 'every') or '?'}"
