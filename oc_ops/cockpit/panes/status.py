"""The window `status`: the gateway, its lanes and limits, the last verdict, and what to do next."""

from __future__ import annotations

from rich.text import Text

from oc_ops.cockpit.panes.canvas import (
    SEVERE,
    Mood,
    View,
    about,
    ago,
    badge,
    clock,
    head,
    joined,
    row,
    shades,
    since,
    size,
    unseen,
    words,
)
from oc_ops.cockpit.state import GatewayPart, MemoryPart
from oc_ops.text import age, remedy, span

PARTS = ("gateway", "rpc", "event_loop", "memory", "scheduler", "service", "labour", "doctor", "incidents")
_GATEWAY: dict[str, Mood] = {
    "ready": "good",
    "live": "good",
    "starting": "busy",
    "draining": "busy",
    "not-ready": "warn",
    "saturated": "warn",
    "unknown": "unknown",
}
_VERDICT: dict[str, Mood] = {"healthy": "good", "degraded": "warn", "unhealthy": "bad", "unknown": "warn"}
_SHADES_SHOWN = 24
_LINES_BESIDE_FINDINGS = 26
_NOTES_SHOWN = 2


def draw(view: View) -> list[Text]:
    """The window's lines, most important first."""
    lines = head("status", view)
    if view.reading.problem:
        return lines
    return [*lines, *_gateway(view), *_inside(view), *_labour(view), *_verdict(view), *_watcher(view)]


def gist(view: View) -> object:
    """Return the values whose change makes the screen worth keeping at once."""
    state = view.state
    return (
        view.reading.stale,
        state.gateway.state,
        state.rpc.state,
        state.scheduler.enabled,
        state.labour.notes,
        state.doctor.at,
    )


def _gateway(view: View) -> list[Text]:
    """In what state it is; when something is wrong, what was seen and what helps."""
    gateway, now, width = view.state.gateway, view.now, view.width
    state = joined(badge(gateway.state, _GATEWAY.get(gateway.state, "bad")), since(gateway.since, now), by=" ")
    lines = row("gateway", state, width)
    if gateway.check:
        lines += row("", words(f"{gateway.check}: {gateway.fact}", "bold"), width, 2)
        lines += row("saw", words(gateway.saw), width, 2)
        lines += row("first aid", words(remedy(gateway.fix), "bold"), width, 2)
    lines += row("process", joined(*_process(gateway, now)), width)
    return lines + unseen("", gateway.seen, now, width)


def _process(gateway: GatewayPart, now: float) -> list[str]:
    return [
        f"pid {gateway.pid}" if gateway.pid else "no process seen",
        f"up {since(gateway.started_at, now)}" if gateway.started_at and gateway.pid else "",
        f"answered in {gateway.answer_ms:.0f} ms" if gateway.answer_ms is not None else "",
        f"restarted {gateway.restarts} times" if gateway.restarts else "",
    ]


def _inside(view: View) -> list[Text]:
    """RPC, event loop, memory, scheduler, service."""
    state, now, width = view.state, view.now, view.width
    rpc, loop, cron = state.rpc, state.event_loop, state.scheduler
    connection = joined(
        Text(rpc.state, "" if rpc.state in ("on", "off") else "bold"),
        since(rpc.since, now) or None,
        words(rpc.reason, most=200),
        f"last event {ago(rpc.last_event_at, now)}" if rpc.last_event_at and rpc.state == "on" else None,
        f"{rpc.events} events" if rpc.state == "on" else None,
        f"next attempt {ago(rpc.retry_at, now)}" if rpc.retry_at and rpc.state != "on" else None,
    )
    lines = row("RPC", connection, width, 2)
    turning = joined(
        f"{loop.delay_p99_ms:.0f} ms late (p99) of {loop.limit_ms or 0:.0f} ms"
        if loop.delay_p99_ms is not None
        else "",
        f"busy {loop.utilization:.0%}" if loop.utilization is not None else "",
        f"{loop.cpu_cores:.2f} cores" if loop.cpu_cores is not None else "",
        words(f"degraded: {', '.join(loop.reasons)}", "bold", 200) if loop.degraded else None,
    )
    if turning:
        lines += row("event loop", turning, width)
    lines += unseen("" if turning else "event loop", loop.seen, now, width)
    lines += row("memory", joined(*_memory(state.memory)), width) if state.memory.rss_bytes else []
    lines += unseen("" if state.memory.rss_bytes else "memory", state.memory.seen, now, width)
    if cron.enabled is not None or cron.jobs is not None:
        said = joined(
            "on" if cron.enabled else None if cron.enabled is None else badge("off", "bad"),
            f"{cron.jobs} jobs" if cron.jobs is not None else "",
            f"{cron.running} running",
            f"next {ago(cron.next_wake_at, now)}" if cron.next_wake_at else "nothing due",
        )
        lines += row("cron", said, width)
    lines += unseen("" if cron.enabled is not None or cron.jobs is not None else "cron", cron.seen, now, width)
    if state.service.words:
        lines += row("service", words(state.service.words), width)
    return lines


def _labour(view: View) -> list[Text]:
    """The rows of its work: channels, messages, models, due times, each figure with its age."""
    labour, now, width = view.state.labour, view.now, view.width
    if labour.seen.at is None or labour.seen.stale(now):  # one line: what is wrong with its life comes first
        return unseen("work", labour.seen, now, width)[:1]
    seen = f"{age(now - labour.seen.at)} old"
    rows: list[tuple[str, str | Text, str]] = []
    if labour.channels:
        up = f"{labour.up} of {labour.channels} up"
        heard = f"heard {ago(labour.heard_at, now)}" if labour.heard_at else ""
        rows.append(("channels", joined(up if labour.up == labour.channels else badge(up, "bad"), heard), seen))
    elif labour.channels == 0:
        rows.append(("channels", "none is set up", seen))
    if labour.given_up is not None:
        since_ = f" since {clock(labour.waiting_since, now)}" if labour.waiting_since else ""
        waits = f"{labour.waiting} wait{since_}" if labour.waiting else "none waits"
        rows.append(("messages", joined(waits, f"{labour.given_up} given up"), seen))
    if labour.model and labour.models_at is not None:
        parked = f"left alone until {clock(labour.parked_until, now)}" if labour.parked_until else "not left alone"
        rows.append(("model", joined(words(labour.model, most=40), parked), f"{age(now - labour.models_at)} old"))
    if labour.jobs is not None:
        first = f", the first since {clock(labour.overdue_since, now)}" if labour.overdue_since else ""
        late = (
            f"{labour.overdue} of {labour.jobs} overdue{first}" if labour.overdue else f"none of {labour.jobs} overdue"
        )
        rows.append(("due times", late, seen))
    lines = [line for label, said, age in rows for line in row(label, joined(said, age), width)]
    for each in labour.notes[:_NOTES_SHOWN]:
        said = joined(
            badge(each.severity or "info", SEVERE[each.severity]), words(f"{each.check}: {each.fact}"), by=" "
        )
        lines += row("", said, width, 2)
    if len(labour.notes) > _NOTES_SHOWN:
        lines += row("", f"and {len(labour.notes) - _NOTES_SHOWN} more of its work: oc-ops doctor names them", width)
    return lines


def _memory(memory: MemoryPart) -> list[str]:
    said = [f"{size(memory.rss_bytes)}" + (f" of {size(memory.limit_bytes)}" if memory.limit_bytes else "")]
    if len(memory.history) > 1:
        (first_at, first), (last_at, last) = memory.history[0], memory.history[-1]
        sign = "+" if last >= first else "-"
        said.append(f"{sign}{size(abs(last - first))} in {about(last_at - first_at)}")
        said.append(shades([each for _, each in memory.history], _SHADES_SHOWN))
    return said


def _verdict(view: View) -> list[Text]:
    """The last doctor run, what it found, and the one thing to do."""
    doctor, now, width = view.state.doctor, view.now, view.width
    if doctor.verdict:
        took = f"took {span(doctor.duration_s)}" if doctor.duration_s is not None else ""
        when = joined(ago(doctor.at, now), took)
        lines = row("doctor", joined(badge(doctor.verdict, _VERDICT[doctor.verdict]), when, by=" "), width)
    else:
        lines = row("doctor", "has not run yet", width)
    shown = max(3, view.height - _LINES_BESIDE_FINDINGS)
    for each in doctor.findings[:shown]:
        found = joined(
            badge(each.severity or "info", SEVERE[each.severity]), words(f"{each.check}: {each.fact}"), by=" "
        )
        lines += row("", found, width)
    if len(doctor.findings) > shown:
        lines += row("", words(f"and {len(doctor.findings) - shown} more findings: {doctor.report}"), width)
    lines += unseen("", doctor.seen, now, width)
    open_ = len(view.state.incidents.open)
    if open_:
        lines += row("incidents", Text(f"{open_} open, see the window incidents", "bold"), width)
    action = remedy(view.state.gateway.fix) or remedy(doctor.next_action or "") or "nothing: all is well"
    return lines + row("next", words(action, "bold"), width, 2)


def _watcher(view: View) -> list[Text]:
    """The watcher, its lanes, and what it cost."""
    watcher, now = view.state.watcher, view.now
    said = joined(
        {"events": "the gateway pushes events", "polling": "polling", "": ""}[watcher.mode],
        words(watcher.words, most=200),
        f"pid {watcher.pid}" if watcher.pid else "",
        size(watcher.rss_bytes) if watcher.rss_bytes else "",
        f"{watcher.cpu_s:.0f} s CPU in {about(now - watcher.started_at)}"
        if watcher.cpu_s is not None and watcher.started_at
        else "",
        f"{watcher.cli_calls} openclaw calls",
    )
    lines = row("watcher", said, view.width, 2, style="")
    if watcher.trouble:
        lines += row("", joined(badge("trouble", "warn"), words(watcher.trouble), by=" "), view.width, 2)
    return lines
