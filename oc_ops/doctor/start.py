"""Would a gateway come up: its state directory, the age of the command, and OpenClaw's own validation."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

from oc_ops import files
from oc_ops.doctor.outcomes import Blocked, Memo, NotAsked, once
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.gateway import Gateway
from oc_ops.judge import access as judge_access
from oc_ops.judge import cli as judge_cli
from oc_ops.judge import container as judge_container
from oc_ops.judge import lifecycle as judge_lifecycle
from oc_ops.judge import port as judge_port
from oc_ops.judge import service as judge_service
from oc_ops.judge import state as judge_state
from oc_ops.judge.finding import Finding, Severity
from oc_ops.judge.findings import in_state
from oc_ops.judge.lifecycle import STARTING, Drain, again_and_again, drain_stuck
from oc_ops.observe import gateways, inside, install, lastwords, leases, logs, probe, state
from oc_ops.observe import processes as observe_processes
from oc_ops.observe import service as observe_service
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.container import Container, runs_openclaw
from oc_ops.observe.healers import healers
from oc_ops.observe.lastwords import LastWords
from oc_ops.observe.logs.records import Record, planned_restarts
from oc_ops.observe.logs.sharers import log_sharers
from oc_ops.observe.openclaw import Answer, Openclaw
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.rpc import RpcRefused
from oc_ops.observe.sockets import forwarder, user_name
from oc_ops.observe.state import StateView
from oc_ops.observe.target import Target
from oc_ops.process.jsontext import number_at
from oc_ops.record import memory
from oc_ops.text import listing, regex

_STATUS = "gateway.suspend.status"
_NOBODY = "oc-ops"
"""No suspension has this id, so that the gateway answers with the lease of the one that holds it (2026.9.6)."""

_RECENT = timedelta(hours=6)
_RECORDS = 200
_IN_PLACE = regex(r"received SIG\w+; restarting|restart mode: in-process")
"""A gateway's word for a start inside the process that it has (2026.2.26 to 2026.9.6): its port is closed meanwhile."""
_CAME_UP = regex(r"\bgateway ready\b|\blistening (?:on|\()")
"""Its word that such a start has ended well: what closed the port afterwards is something else."""
_SUSPENDED = regex(r"admission\]? closed: suspend")
_RESUMED = regex(r"admission\]? reopened: suspend|loading configuration")
"""Its words for a suspension, and for its end or a new start (2026.9.6): in its log file, and as it prints them."""


def with_restart(gateway: Gateway, cause: Finding | None, now: datetime | None = None) -> Finding | None:
    """The cause; a process that closed its port to start anew inside itself, by its log, is on its way up."""
    if cause is None or cause.check != "gateway/zombie":
        return cause
    now, budget_s = now or datetime.now(UTC), gateway.settings.start_budget_s
    begun = _restarted_in_place(gateway, now - timedelta(seconds=budget_s), now)
    return judge_lifecycle.restarting(cause, begun, now, budget_s) if begun else cause


def with_suspension(gateway: Gateway, cause: Finding | None) -> Finding | None:
    """The cause; a gateway that answers nobody and was suspended before, by its log, is frozen.

    `openclaw gateway suspend` (2026.9.6) prepares it for a freeze or a snapshot of its host; frozen it cannot be asked.
    """
    if cause is None or cause.check != "gateway/hung":
        return cause
    now = datetime.now(UTC)
    begun = _last(gateway, _SUSPENDED, _RESUMED, now)
    return judge_lifecycle.frozen(cause, begun) if begun is not None and begun <= now else cause


def _restarted_in_place(gateway: Gateway, since: datetime, now: datetime) -> datetime | None:
    begun = _last(gateway, _IN_PLACE, _CAME_UP, now)
    return begun if begun is not None and since < begun <= now else None


def _last(gateway: Gateway, opened: re.Pattern[str], closed: re.Pattern[str], now: datetime) -> datetime | None:
    """When the gateway's log told last of something that it has not told the end of since."""
    begun: datetime | None = None
    dated = sorted(((each.time, each.text) for each in _told(gateway, now) if each.time), key=lambda each: each[0])
    for time, text in dated:
        if opened.search(text):
            begun = time
        elif closed.search(text):
            begun = None
    return begun


def _told(gateway: Gateway, now: datetime) -> Iterator[Record]:
    """The end of the gateway's log; of one in a container what it printed within the last hours."""
    if there := gateway.target.container:
        with suppress(CouldNotLook):
            yield from inside.output(there, now - _RECENT)
        return
    today = now.astimezone().replace(tzinfo=None)  # the gateway names its files by the local date
    paths = logs.files(gateway.target, gateway.config, today)
    shared = log_sharers(gateway.target, paths, today)
    for path in paths:
        if path not in shared:
            yield from logs.tail(path, _RECORDS)


def with_drain(gateway: Gateway, seen: GatewayProbe, cause: Finding | None) -> Finding | None:
    """The cause, that of a gateway that drains with since when and by whom; forgets the drain of one that does not."""
    settings, key, now = gateway.settings, gateway.target.key, datetime.now(UTC)
    if cause is None or cause.check != "gateway/draining":
        memory.forget_drain(settings.memory_dir, key)
        return cause
    up_s = seen.up_s
    since = memory.drain_since(settings.memory_dir, key, None if up_s is None else now.timestamp() - up_s, now)
    if seen.container is not None and seen.live.kind != "answered":
        return drain_stuck(cause, Drain(since, now, stops=seen.container.runtime), settings.drain_budget_s)
    suspended, until = _suspension(gateway)
    begun = [begin for begin, _end in planned_restarts(gateway.target.state_dir, now - _RECENT, lasts_s=0.0)]
    drain = Drain(since, now, suspended, until, begun[-1] if begun else None)
    return drain_stuck(cause, drain, settings.drain_budget_s)


def _suspension(gateway: Gateway) -> tuple[str, datetime | None]:
    """The gateway's own word for a suspension and the end of its lease; nothing where it is none, or says nothing."""
    with suppress(OcOpsError), gateway.connect() as client:
        reply = client.request(_STATUS, {"suspensionId": _NOBODY})
        if reply.outcome == "error" and "suspension" in reply.message:
            ends_ms = number_at(reply.details, "expiresAtMs")
            return f"{_STATUS} says so", datetime.fromtimestamp(ends_ms / 1000, UTC) if ends_ms else None
    return "", None


DOWN = in_state("absent")
"""Causes of a gateway that does not live: only then is it asked why it would not come up."""

_UP = ("gateway/draining", "gateway/drain-stuck", "gateway/saturated")
"""Causes of a gateway that has come up."""

_UNSTARTABLE = ("state/", "service/", "config/mode-missing", "gateway/start-refused", "gateway/state-held")
"""Beginnings of the causes that stand in the place of those."""


def is_down(cause: Finding) -> bool:
    """True for the cause of a gateway that does not live, or what keeps one from being started."""
    return cause.check in DOWN or cause.check.startswith(_UNSTARTABLE)


def bounded(gateway: Gateway, seen: GatewayProbe, cause: Finding | None) -> Finding | None:
    """The cause, that of a start as an error where one start has followed the other beyond the budget of one."""
    settings, key, now = gateway.settings, gateway.target.key, datetime.now(UTC)
    if cause is None or cause.check in _UP:
        memory.forget_starts(settings.memory_dir, key)
        return cause
    if cause.check != STARTING:
        return cause
    spell = memory.start_seen(settings.memory_dir, key, None if seen.up_s is None else now.timestamp() - seen.up_s, now)
    return again_and_again(cause, spell.first, now, spell.starts, settings.start_budget_s)


def unshown(target: Target, words: str, why: str | None = "unseen") -> CouldNotLook:
    """The error for a gateway that did not show itself, in these words; `unseen` if this account may not see it."""
    return files.barred(target.state_dir, words) if why == "unseen" else CouldNotLook(words)


_MOVERS = ("OPENCLAW_STATE_DIR", "OPENCLAW_HOME")


class GatewayFacts(Protocol):
    """The part of a doctor that is needed here."""

    target: Target
    config: GatewayConfig
    quick: bool
    found_executable: Path | None

    @property
    def cli_release(self) -> tuple[int, ...] | None:
        """The command's release, where that is known."""

    @property
    def look(self) -> Callable[[], GatewayProbe]:
        """The gateway from outside."""

    @property
    def openclaw(self) -> Callable[[], Openclaw]:
        """The command, ready to be called."""


class StartLook:
    """Reasons for which a gateway does not come up, cheapest first, each looked at once."""

    def __init__(self, doctor: GatewayFacts) -> None:
        self._doctor = doctor
        self._no_starter: Finding | None = None
        """Our command's own fault, where nothing else could start the gateway."""
        self.memo = Memo()

    @once
    def seen(self) -> StateView:
        """The state directory: who may use what of it, and what its database says while no gateway lives."""
        try:
            processes = self._doctor.look().processes
        except CouldNotLook:
            processes = observe_processes.gateway_processes(self._doctor.target)
        return state.look(self._doctor.target, processes)

    @once
    def fault(self) -> Finding | None:
        """The finding on the state directory, as far as its files tell."""
        if self._doctor.target.container is not None:
            raise NotAsked("the users of a container are others than this machine's: who owns its files says nothing")
        return judge_state.fault(self.seen())

    def over(self, unanswered: Finding | None) -> Finding | None:
        """The finding on a read that was not answered, or the one on the database that the gateway has lost."""
        if unanswered is None or unanswered.check != "gateway/rpc-unanswered":
            return unanswered
        with suppress(CouldNotLook, NotAsked):
            if (fault := self.fault()) and fault.check == "state/corrupt":
                return fault
        return unanswered

    @once
    def hindrance(self) -> Finding | None:
        """Why a gateway that is down would not come up either; no command is called where files say so.

        Raises CouldNotLook for a refusal of OpenClaw's that is not known.
        """
        doctor = self._doctor
        if doctor.target.container is not None:
            return self.held()  # its runtime says why it does not run, and nothing can be asked inside what does not
        if found := self.fault():
            return found
        seen = doctor.look()
        if judge_port.behind(seen):
            return None  # it runs elsewhere, by another command and in other files
        here = seen.listener is None and seen.behind is None
        if here and (found := self.held()):
            return found
        if here and (found := judge_service.cannot_start(seen.service, doctor.config)):
            return found
        contained = seen.behind is not None and seen.service.manager == "none"  # by its runtime, with files inside
        if doctor.found_executable is None:
            # With a config a gateway is set up here, perhaps in a container: that it is down is what is known.
            if doctor.config.exists or contained:
                return None
            return judge_cli.missing_config(doctor.config) if seen.service.manager != "none" else self.no_command()
        if not contained and (found := judge_cli.missing_config(doctor.config)):
            self._refuse_a_wrong_place(seen)
            return found
        found = outdated(doctor.target, doctor.config, doctor.found_executable, doctor.cli_release)
        if found or doctor.quick or not self.seen().is_ours:
            return found  # a command of another account than the gateway's leaves files that the gateway cannot use
        try:
            answer = doctor.openclaw().config_validate()
        except (Blocked, OcOpsError):
            return None
        words = judge_state.unsaid(answer)
        alone = here and seen.service.manager == "none"  # no unit starts it by another package than our command's
        if alone and (found := judge_lifecycle.refused_by(words, words, (judge_lifecycle.INCOMPLETE,))):
            return found
        if alone and words and (fault := judge_cli.unstarted(answer.call)):
            self._no_starter = fault
            return None
        return refused(answer, doctor.target, doctor.config, self.seen())

    @once
    def held(self) -> Finding | None:
        """The finding where another process' lease on the state keeps a start out."""
        there = self._doctor.target.container
        then = judge_container.revival(there) if there else "start it once"
        try:
            lease = leases.keeping_out(self._doctor.target)
        except (CouldNotLook, OSError):  # a container's own output tells as well; a log may be several gateways'
            return judge_state.held_by(self.last_words(), then, datetime.now(UTC)) if there else None
        if lease is None:
            return judge_state.no_longer_held(self.last_words(), there) if there else None
        if judge_lifecycle.refused(self.last_words()):
            return None  # it ended before it asked for the state: no wait helps
        return judge_state.held(lease, then, there)

    def _refuse_a_wrong_place(self, seen: GatewayProbe) -> None:
        """Raise CouldNotLook where nothing was ever set up at the target, and gateways of other places run here.

        Our side most likely lacks OPENCLAW_STATE_DIR or OPENCLAW_HOME then, and a setup would make a second gateway.
        """
        place = self._doctor.target.state_dir
        used = any((place / name).exists() for name in ("state", "agents", "cron"))
        if seen.service.manager == "none" and not used and (others := gateways.choices(self._doctor.target)):
            moved = (name for name in _MOVERS if self._doctor.target.environ.get(name))
            by = f" (by ${name})" if (name := next(moved, "")) else ""
            raise CouldNotLook(
                f"there is no OpenClaw in {place}{by}, and there are other gateways here: name the one that is meant, "
                f"{listing(others, 3)} (oc-ops targets lists them)"
            )

    @once
    def last_words(self) -> LastWords | None:
        """The last words of a gateway that is down, by its log, its journal or its stability bundle."""
        doctor = self._doctor
        service = doctor.look().service
        return lastwords.look(doctor.target, doctor.config, service, doctor.found_executable, datetime.now(UTC))

    def told(self, cause: Finding) -> Finding:
        """The cause of a gateway that is down: what its own last words say of every start, else with those words.

        Behind a forwarder or in a container they are another's: the log of this machine is not that of such a gateway.
        """
        seen = self._doctor.look()
        if seen.behind is not None or judge_port.behind(seen):
            return cause
        words = self.last_words()
        if self._no_starter:
            cause = judge_lifecycle.without_starter(cause, self._no_starter)
        found = judge_lifecycle.refused(words) or judge_lifecycle.with_words(cause, words)
        at_it = healers(self._doctor.target, self._doctor.found_executable)
        return judge_lifecycle.attended(found, at_it[0].summary) if at_it else found

    def no_command(self) -> Finding | None:
        """The finding for a command that is not there."""
        doctor = self._doctor
        if doctor.found_executable is not None:
            return None
        holder = None
        if closed := self.closed():
            raise closed
        with suppress(CouldNotLook):
            if there := self.behind():
                return judge_access.by_port_alone(there, "there is no `openclaw` command here, but in the container")
            holder = doctor.look().holder
        own = install.beside(holder.pid) if holder else None
        path = doctor.target.environ.get("PATH", os.defpath).split(os.pathsep)
        others = () if holder or doctor.config.exists else gateways.choices(doctor.target)
        return judge_cli.missing(None, doctor.config, path, runs=holder is not None, own=own, others=others)

    @once
    def behind(self) -> Container | None:
        """The container that has the gateway, where it is looked at by a port of this machine.

        None where a unit of this machine runs the target's gateway: then the container has another one, on its port.
        """
        target, seen = self._doctor.target, self._doctor.look()
        if target.container is not None:
            return None
        there = seen.behind or probe.published(target, seen)[0]
        if there is None or not (runs_openclaw(there) or observe_processes.gateways_in(there)):
            return None
        return there if observe_service.service(target).manager == "none" else None

    @once
    def closed(self) -> CouldNotLook | None:
        """Why nothing more is seen of a container whose forwarder has the port: its runtime does not let us look."""
        seen = self._doctor.look() if self._doctor.target.container is None else None
        there = forwarder(seen.listener.title, seen.listener.program) if seen and seen.listener else None
        if seen is None or there is None or there.kind != "container":
            return None
        found, why = probe.published(self._doctor.target, seen)
        if not why and seen.listener and seen.listener.uid not in (None, 0, os.geteuid()):
            why = f"look as user {user_name(seen.listener.uid)}, whose container it is"
        leads = f"{there.name} leads port {seen.port} into a container"
        return CouldNotLook(f"{leads}: {why}") if why and not found else None

    def shut_out(self, lane: RpcRefused) -> Finding | None:
        """The finding where the gateway in a container lets nobody in who asks at its port: our side is outside.

        Raises CouldNotLook where its runtime does not show the container.
        """
        if lane.kind not in ("secret-unresolved", "pairing", "auth", "unproven"):
            return None
        if closed := self.closed():
            raise closed
        if there := self.behind():
            ours = lane.kind == "auth" and self._doctor.config.credential.kind in ("token", "password")
            severity: Severity = "error" if ours else "warning"
            return judge_access.by_port_alone(there, f"RPC connect: {lane.reason}", severity)
        return None

    def is_refusal(self, cause: Finding) -> bool:
        """True if the cause of a gateway that is down is OpenClaw's own refusal, which no other check tells."""
        if cause.check.startswith("state/"):
            return self.fault() is None
        return cause.check in ("config/invalid", "cli/outdated", "host/disk-low")


def outdated(target: Target, config: GatewayConfig, command: Path, known: tuple[int, ...] | None) -> Finding | None:
    """The finding for a command older than what last wrote the config; `known` is its release where that was learnt."""
    version = install.version(command, known)
    return judge_state.outdated(config, command, version, _installed(target), target.environ)


def refused(
    answer: Answer, target: Target, config: GatewayConfig, seen: StateView, *, lives: bool = False
) -> Finding | None:
    """The objection to a start in an answer of `config validate`; None where there is none.

    Raises CouldNotLook for a refusal that is not known: nobody can say then that a start helps, or what would.
    """
    if found := judge_cli.rejected_config(answer, config, lives=lives):
        return found
    if found := judge_state.refused(answer, seen, _installed(target)):
        return found
    if words := judge_state.unsaid(answer):
        whose = "" if seen.is_ours or not seen.runner else f"; the gateway's user is {seen.runner}, another than ours"
        raise CouldNotLook(f"whether a start can succeed is not known: {words}{whose}")
    return None


def _installed(target: Target) -> tuple[tuple[Path, str], ...]:
    return tuple(install.everywhere(target.environ, target.home))
