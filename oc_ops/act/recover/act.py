"""The act and the waiting after it: one command, then the gateway, then the browser that it has not started yet."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from oc_ops.act import wake as stopped_process
from oc_ops.act.recover import steps
from oc_ops.act.recover.log import RecoveryLog
from oc_ops.act.recover.wait import Clock, Settled, cause_now, until_started
from oc_ops.gateway import Gateway
from oc_ops.judge.finding import Action, Finding
from oc_ops.observe.browser import profile_lock
from oc_ops.observe.openclaw import BROWSER_PROFILE

REFUSED_IDLE_S = 15.0
"""How long a gateway is watched whose restart was refused: the command may report a failure and the start succeed."""


def carry_out(
    gateway: Gateway,
    action: Action,
    cause: Finding,
    log: RecoveryLog,
    clock: Clock,
    say: Callable[[str], None],
    *,
    safe: bool,
    words: Sequence[str] = (),
    instead: Sequence[str] = (),
) -> tuple[Settled | None, str, str]:
    """Act once and wait; returns how the wait ended, why the command was not taken, where it was not, and which it was:
    `instead` where OpenClaw's own did nothing.

    Raises OcOpsError, before anything is done, when the act cannot be put on record or must never be done.
    """
    there = gateway.target.container
    command = steps.command(action, cause, there, safe=safe, words=words)
    fresh = action == "restart" and not (there and there.state == "paused")  # let go on, it is the one that was there
    wanted = _browser_wanted(gateway)
    say(f"act:   {command}")
    since, began = clock.now().timestamp(), clock.monotonic()
    with log.step("act", action=action, command=command) as result:
        done = steps.carry_out(gateway, action, cause, safe=safe, words=words, instead=instead)
        log.strict = False  # what has been done is seen through, also on a disk that is full by now
        result.update(accepted=done.accepted, said=done.said)
        if done.refused:
            command = steps.command(action, cause, there, words=instead)
            result.update(refused=done.refused, instead=command)
            say(f"act:   not accepted: {done.refused}; in its place: {command}")
    said = "" if done.accepted else done.said
    if said:
        say(f"act:   not accepted: {said}")
    if action == "browser-restart":
        return None, said, command
    if action == "channel-restart":
        return None, said or steps.until_heard(gateway, cause, log, clock, round(since * 1000)), command
    settings = gateway.settings
    patience_s = settings.drain_budget_s if safe else settings.start_budget_s
    idle_s = patience_s if done.accepted else REFUSED_IDLE_S
    settled = wait(gateway, log, clock, say, idle_s=idle_s, since=since if fresh else None)
    settled = replace(settled, took_s=clock.monotonic() - began)
    if settled.started and wanted:
        with log.step("browser", command="browser start") as result:
            browser = steps.start_browser(gateway)
            result.update(accepted=browser.accepted, said=browser.said)
    return settled, said, command


def wake(
    found: stopped_process.Stopped, gateway: Gateway, log: RecoveryLog, clock: Clock, say: Callable[[str], None]
) -> Settled:
    """Let a stopped gateway go on and wait until it answers, for REFUSED_IDLE_S where it does not; no restart."""
    command, began = stopped_process.command(found), clock.monotonic()
    say(f"act:   {command}")
    with log.step("wake", command=command) as result:
        said = stopped_process.let_go_on(found, gateway)
        result.update(sent=not said, said=said)
    if said:
        say(f"act:   not sent: {said}")
    settled = wait(gateway, log, clock, say, idle_s=REFUSED_IDLE_S)
    return replace(settled, took_s=clock.monotonic() - began)


def _browser_wanted(gateway: Gateway) -> bool:
    """True if the new gateway is to have its browser back: one is expected, or under `auto` one ran before the act.

    A browser that ended in an orderly way takes its profile's lock away; one that was ended with its gateway does not.
    """
    expected = gateway.settings.browser
    if not gateway.config.browser_enabled or expected not in ("auto", "running"):
        return False
    lock = profile_lock(gateway.target.state_dir / "browser" / BROWSER_PROFILE / "user-data")
    ran = lock is not None and lock.host == socket.gethostname() and (lock.holder is None or lock.holder.ours)
    return expected == "running" or ran


def wait(
    gateway: Gateway,
    log: RecoveryLog,
    clock: Clock,
    say: Callable[[str], None],
    *,
    idle_s: float,
    since: float | None = None,
) -> Settled:
    """Wait for the gateway to have started, and put it on record; see `wait.until_started`."""
    settings = gateway.settings
    with log.step("wait", start_budget_s=settings.start_budget_s) as result:
        settled = until_started(
            gateway.look,
            lambda seen: cause_now(gateway, seen),
            clock,
            start_s=settings.start_budget_s,
            drain_s=settings.drain_budget_s,
            idle_s=idle_s,
            since=since,
        )
        result.update(started=settled.started, cause=settled.cause.check if settled.cause else None)
    say(f"wait:  {'started' if settled.started else 'not started'} after {settled.took_s:.1f} s")
    return settled
