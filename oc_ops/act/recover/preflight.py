"""Before the act: would it come up again, has it room, what would be aborted, and does somebody else act already."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil
from msgspec import Struct

from oc_ops.act.commands import Commands
from oc_ops.act.recover import authority, steps
from oc_ops.act.recover.outcome import Observation
from oc_ops.act.recover.policy import standing_against
from oc_ops.act.recover.wait import REAL, Clock, cause_now
from oc_ops.act.wake import Stopped, stopped
from oc_ops.doctor import start
from oc_ops.errors import CouldNotLook
from oc_ops.gateway import Gateway
from oc_ops.judge import cli as judge_cli
from oc_ops.judge import service as judge_service
from oc_ops.judge import state as judge_state
from oc_ops.judge.container import NEVER_RETRY
from oc_ops.judge.finding import Cure, Finding
from oc_ops.judge.findings import in_state, state_of
from oc_ops.judge.host import ERROR_PART
from oc_ops.judge.port import behind
from oc_ops.judge.signature_catalogue import load
from oc_ops.observe import jobs_now, listener, rpc, state
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.jobs import jobs_of
from oc_ops.observe.owners import TASKS_PARAMS
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.rpc import RpcClient
from oc_ops.observe.service import Service, holds
from oc_ops.observe.state import StateView
from oc_ops.process.jsontext import at, text_at
from oc_ops.text import listing, one_line

IN_PLACE_SINCE = (2026, 9, 6)
"""From here on `gateway restart` reaches a gateway without a service, by SIGUSR2; on 2026.5.28 it exits 0 and does
nothing, on 2026.2.26 it is refused. A gateway that answers nobody takes no signal either."""

_SEEN_BY_LOOK = {"gateway/down"} | in_state("mute")
"""Causes that the last look before the act has to show still: nothing is done about what has passed meanwhile.
Of the others it must show nothing: what it shows then explains them, and may be what a restart never cures."""
_AT_IT = ("activating", "deactivating")
"""How systemd's detail begins while somebody's start or stop of the unit is under way; a stop may take 330 s."""

_FEW = 5


class Clearance(Struct, frozen=True):
    """The preflight's answer: `refusal` says why nothing may be done, `fix` what helps instead.

    `safe` asks for a drained restart; `elsewhere` says what moves without us, such as a supervisor that restarts it:
    then that is waited for, not raced.
    """

    refusal: str = ""
    fix: str = ""
    elsewhere: str = ""
    safe: bool = False
    aborts: tuple[str, ...] = ()
    service: Service | None = None
    seen: GatewayProbe | None = None
    stopped: Stopped | None = None
    """The gateway's process, which is merely stopped: it is let go on before anything else is thought of."""
    words: tuple[str, ...] = ()
    """The service manager's own command, where OpenClaw's does not act on that unit."""
    instead: tuple[str, ...] = ()
    """The same, where OpenClaw's acts on it and may find that it cannot."""


def by_hand(cure: Cure, cause: Finding) -> str:
    """Why recovery could not do that cure here, as far as the finding itself tells; nothing where it might.

    Known before anything is waited for: the gateway answers nobody, and the finding's own fix is a person's.
    """
    if cure.action == "channel-restart" and not cause.proof:
        return "its own last error, or its own next try, decides: another start would meet the same"
    mute = cause.check in _SEEN_BY_LOOK and cure.action in ("restart", "start")
    if not mute or not cause.for_a_person or cause.attended:
        return ""
    if cause.frozen:
        return "it was suspended for a freeze of its host, and a suspension is its owner's to end"
    if cause.without_unit:
        return f"no service unit runs this gateway, so nothing here can {cure.action} it"
    return f"nothing on this side may {cure.action} it"


def clear(gateway: Gateway, cure: Cure, first: Observation, clock: Clock = REAL, *, woken: bool = False) -> Clearance:
    """Decide, cheapest reasons first; nothing is changed. Raises CouldNotLook when something cannot be learnt.

    `woken`: a stopped process was let go on in this run already.
    """
    cause = first.cause
    assert cause is not None
    seen = _look_at_a_hang(gateway, cause)
    if not woken and (found := _merely_stopped(gateway, cause, seen)):
        return Clearance(stopped=found)
    if short := _no_room(gateway):
        return Clearance(short, "none automatic: make room first (df -h names the file systems)")
    if cure.action == "browser-restart":
        return _browser(gateway.config)
    if cure.action == "channel-restart":
        return _channel(gateway, cause, clock)
    if against := standing_against(first.findings, load(gateway.settings)):
        finding, why = against
        return Clearance(f"{finding.check} stands against it: {why}: {finding.fact}", finding.fix)
    if bad := judge_cli.invalid_config(gateway.config):
        return Clearance(f"{bad.fact}: {bad.saw}", bad.fix)
    # Nothing is done about a port whose listener is not shown to be the gateway: CouldNotLook.
    listener.guard(gateway.target)
    return _as_it_is_now(gateway, cure, cause, seen or gateway.look())


def _look_at_a_hang(gateway: Gateway, cause: Finding) -> GatewayProbe | None:
    """A look at a gateway that hangs, which may be merely stopped; None for every other cause."""
    if cause.check == "gateway/hung":
        with contextlib.suppress(CouldNotLook):
            return gateway.look()
    return None


def _merely_stopped(gateway: Gateway, cause: Finding, seen: GatewayProbe | None) -> Stopped | None:
    """The process of a gateway that hangs for no other reason than that it is stopped."""
    found = stopped(seen)
    if not found or seen is None:
        return None
    now = cause_now(gateway, seen)
    return found if now is not None and now.check == cause.check and now.proof else None


def _as_it_is_now(gateway: Gateway, cure: Cure, cause: Finding, seen: GatewayProbe) -> Clearance:
    """Decide by the last look before the act, by whoever runs the gateway, and by what a start would meet."""
    service = gateway.service()
    now = cause_now(gateway, seen)
    if service.state == "restarting" or service.detail.startswith(_AT_IT):
        return Clearance(elsewhere=service.summary)
    if now is not None and state_of(now.check) == "passing":
        return Clearance(elsewhere=now.saw)
    if now.check != cause.check if now else cause.check in _SEEN_BY_LOOK:
        return Clearance(elsewhere=f"the last look before the act shows {now.check if now else 'a live gateway'}")
    words, why = _hand(gateway, cure, seen, service)
    fix = (now or cause).fix
    if why:
        return Clearance(why, fix)
    if service.exit_status == NEVER_RETRY and not seen.processes:
        why = f"{service.summary}: it exits with {NEVER_RETRY}, its configuration or lock is at fault"
        return Clearance(why, "none automatic: openclaw config validate, then read its log; a start ends the same way")
    if why := _nobody_to_ask(gateway, cure, cause, service):
        return Clearance(why, fix)
    if cure.proof and not (now or cause).proof:
        return Clearance(f"no positive proof: it takes that {cure.proof}", fix)
    if bad := _start_fault(gateway, seen):
        return Clearance(f"{bad.fact}: {bad.saw}", bad.fix)
    aborts, safe = _work(gateway, seen) if cure.action == "restart" else ((), False)
    instead = _instead(cure, cause, seen, service) if not (words or safe) else ()
    return Clearance(safe=safe and not words, aborts=aborts, service=service, seen=seen, words=words, instead=instead)


def _instead(cure: Cure, cause: Finding, seen: GatewayProbe, service: Service) -> tuple[str, ...]:
    """The manager's command for a gateway that answers nobody, whose process was seen to be that of its unit."""
    mute = cure.action == "restart" and state_of(cause.check) == "mute"
    if mute and service.managed and seen.holder is not None and holds(service, seen.holder):
        return authority.command(service, "restart")
    return ()


def _hand(gateway: Gateway, cure: Cure, seen: GatewayProbe, service: Service) -> tuple[tuple[str, ...], str]:
    """The service manager's words, where they are needed instead of OpenClaw's, or why it is not ours to act."""
    if there := behind(seen):
        return (), f"{there.name} only forwards the port: the gateway runs {there.place}"
    if seen.drifted:
        return (), f"it listens on port {seen.port} and is wanted on {seen.wanted}: a restart may leave it on either"
    verb: authority.Verb = "start" if cure.action == "start" else "restart"
    units = (each for each in (seen.service, service) if each.manager != "none")
    unit = next((each for each in units if seen.external or not each.managed), None)
    if unit is None:
        alone = verb == "start" and service.manager == "systemd" and authority.no_system_manager(gateway.environ)
        return authority.command(service, verb) if alone else (), ""
    words = authority.allowed(unit, verb, gateway.environ)
    if not words:
        return (), f"its {unit.summary}: this account may not {verb} that unit without a password"
    if verb == "restart" and seen.holder is not None and not holds(unit, seen.holder):
        return (), f"its {unit.summary}, and that unit does not run pid {seen.holder.pid}, which has the port"
    return words, ""


def _no_room(gateway: Gateway) -> str:
    """Obstacles that keep a starting gateway from writing its state, or us from keeping evidence."""
    least = gateway.settings.disk_low_bytes / ERROR_PART
    for place in (gateway.target.state_dir, gateway.settings.memory_dir):
        there = next((each for each in (place, *place.parents) if each.exists()), Path("/"))
        free = psutil.disk_usage(str(there)).free
        if free < least:
            return (
                f"the file system of {there} is full: {free / 2**20:.0f} MiB free of the {least / 2**20:.0f} it needs"
            )
    return ""


def _browser(config: GatewayConfig) -> Clearance:
    if config.browser_enabled:
        return Clearance(aborts=("the browser's open tabs",))
    return Clearance(
        f"browser.enabled is false in {config.path}: no start brings it up",
        "openclaw config set browser.enabled true, or OC_OPS_BROWSER=off when none is wanted",
    )


def _channel(gateway: Gateway, cause: Finding, clock: Clock) -> Clearance:
    gateway.look()
    if words := steps.lacking(gateway):
        return Clearance(words, "none automatic: switch the account off and on in the config (channels.…enabled)")
    if not steps.ails(gateway, cause, clock):
        return Clearance(elsewhere=f"the channel {cause.subject} has come back by itself")
    return Clearance(aborts=("what this channel is just sending",))


def _nobody_to_ask(gateway: Gateway, cure: Cure, cause: Finding, service: Service) -> str:
    """Why no command of OpenClaw can do it: without a service it cannot start what is down, nor wake what hangs."""
    if gateway.target.container is not None:
        return ""  # its runtime is asked
    if service.state == "silent":
        raise CouldNotLook(f"whether a service unit runs this gateway could not be learnt: {service.summary}")
    if service.manager != "none":
        return ""
    if cure.action == "start":
        return "no service unit runs this gateway, so `openclaw gateway start` has nothing to start"
    if state_of(cause.check) == "mute":
        return "no service unit runs this gateway, and a gateway that does not answer takes no restart request either"
    release = gateway.cli(Commands).release
    if release is not None and release < IN_PLACE_SINCE:
        shown = ".".join(map(str, release))
        return f"no service unit runs this gateway, and `openclaw gateway restart` of {shown} then restarts nothing"
    return ""


def _start_fault(gateway: Gateway, look: GatewayProbe) -> Finding | None:
    """Why it would not come up again: its state, the command's age, its config; raises CouldNotLook without a word."""
    there = gateway.target.container
    if there is not None:
        return _contained_fault(gateway) if there.state == "running" else None
    seen = state.look(gateway.target, look.processes)
    if found := judge_state.fault(seen):
        return found
    if not seen.is_ours and seen.runner:
        raise CouldNotLook(f"the gateway's user is {seen.runner} ({seen.by}): recover it as that user, no other")
    if not look.processes and (found := judge_service.cannot_start(look.service, gateway.config)):
        return found
    if look.processes and (found := judge_service.exec_missing(look.service)):
        return found
    cli = gateway.cli(Commands)
    if not look.processes and (found := start.outdated(gateway.target, gateway.config, cli.executable, cli.release)):
        return found
    return _config_fault(gateway, seen)


def _contained_fault(gateway: Gateway) -> Finding | None:
    """The objection of a container's own validation to another start; raises CouldNotLook without a word."""
    answer = gateway.cli(Commands).config_validate()
    if found := judge_cli.rejected_config(answer, gateway.config):
        return found
    if at(answer.value, "valid") is not True:
        raise CouldNotLook(f"whether the config is valid could not be learnt: {answer.call.summary}")
    return None


def _config_fault(gateway: Gateway, seen: StateView) -> Finding | None:
    """The objection of OpenClaw's own validation to a start; raises CouldNotLook when there is no word on it."""
    if found := judge_cli.missing_config(gateway.config):
        return found
    answer = gateway.cli(Commands).config_validate()
    if found := start.refused(answer, gateway.target, gateway.config, seen):
        return found
    if answer.not_offered:
        status = gateway.cli(Commands).gateway_status()
        if found := judge_cli.rejected_config(status, gateway.config):
            return found
        if status.value is None:
            raise CouldNotLook(f"whether the config is valid could not be learnt: {status.call.summary}")
    elif at(answer.value, "valid") is not True:
        raise CouldNotLook(f"whether the config is valid could not be learnt: {answer.call.summary}")
    return None


# -- what would be aborted ---------------------------------------------------------------------------------------------


def _work(gateway: Gateway, seen: GatewayProbe) -> tuple[tuple[str, ...], bool]:
    """Return what is under way, and whether the gateway can still be asked to let it end."""
    if seen.live.kind == "answered":
        with contextlib.suppress(rpc.RpcRefused, CouldNotLook):
            with gateway.connect() as client:
                found = tuple(_told(client))
                knows = "gateway.restart.preflight" in client.hello.methods
            drains = knows and gateway.cli(Commands).restart_preflight()
            return (*found, *(_blockers(drains.value) if drains else ())), bool(drains and drains.came)
    return tuple(_stored(gateway)), False


def _told(client: RpcClient) -> Iterator[str]:
    """Running cron jobs and tasks, by the gateway's own word; a silent read raises CouldNotLook."""
    listed = client.request("cron.list", {"includeDisabled": True, "limit": 200})
    if listed.outcome != "ok":
        raise CouldNotLook(f"cron.list: {listed.outcome}")
    yield from (
        f"cron job {one_line(each.name, 80)}" for each in jobs_of(listed.payload) if each.running_ms is not None
    )
    tasks = at(client.request("tasks.list", TASKS_PARAMS).payload, "tasks")
    for each in tasks if isinstance(tasks, list) else ():
        if text_at(each, "runtime") != "cron":
            yield f"task {one_line(text_at(each, 'label') or text_at(each, 'taskId'), 80)}"


def _blockers(preflight: object) -> Iterator[str]:
    """The gateway's own list, but for what is a cron run or a task: those have been named."""
    found = at(preflight, "blockers")
    for each in found if isinstance(found, list) else ():
        if text_at(each, "kind") not in ("cron-run", "task"):
            yield one_line(text_at(each, "message"), 120)


def _stored(gateway: Gateway) -> Iterator[str]:
    """Running cron jobs by the gateway's own store, since it answers nobody."""
    with contextlib.suppress(CouldNotLook):
        for each in jobs_now.by_store(gateway.target, gateway.config).jobs:
            if each.running_ms is not None:
                yield f"cron job {one_line(each.name, 80)}"


def shown(aborts: tuple[str, ...]) -> str:
    """The list in words, the first five by name."""
    return listing(aborts, _FEW) or "nothing is known to be under way"
