"""The gateway that is recovered: where it is, its command, and a fresh look at it whenever one is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from oc_ops.act.commands import Commands
from oc_ops.errors import CouldNotLook
from oc_ops.judge import gateway as judge
from oc_ops.judge.catalogue import Signature, load
from oc_ops.judge.finding import Finding
from oc_ops.locks import lock_dir
from oc_ops.observe import credential, install
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.probe import GatewayProbe, look
from oc_ops.observe.service import Service, service
from oc_ops.observe.target import locate
from oc_ops.process.run import Call
from oc_ops.record.redact import Redactor, secrets_in
from oc_ops.settings import Settings


class Site:
    """One target. Every look is a new one; nothing is remembered but where things are."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], on_call: Callable[[Call], None]) -> None:
        """Raises SettingError for a profile or executable that cannot be, CouldNotLook for an unreadable config."""
        self.settings = settings
        self.target, self.config, _ = credential.complete(locate(environ, settings.profile))
        self.redactor = Redactor((*self.config.secrets, *secrets_in(environ)), Path.home(), [self.target.home])
        self.limits = judge.Limits(settings.start_budget_s, settings.late_answer_s, settings.event_loop_delay_ms)
        self._environ, self._on_call = environ, on_call
        self._place = self.config.host, self.config.port

    @property
    def lock(self) -> Path:
        """Whoever holds it is the one owner of this gateway's recovery on this machine."""
        return lock_dir() / f"recovery-{self.target.key}.lock"

    @cached_property
    def openclaw(self) -> Commands:
        """The command; raises CouldNotLook when there is none."""
        settings = self.settings
        found = install.find(settings.openclaw, settings.source("openclaw"), self._environ, self.target.home)
        if found is None:
            raise CouldNotLook("there is no `openclaw` command to recover with")
        return Commands(found, self.target, settings, lock_dir() / f"cli-{self.target.key}.lock", self._on_call)

    @cached_property
    def signatures(self) -> tuple[Signature, ...]:
        """The log signatures, the operator's own among them."""
        return load(self.settings.memory_dir)

    def look(self) -> GatewayProbe:
        """The port, the probes, the processes and the service manager, now."""
        seen = look(
            self.target,
            self.config.host,
            self.config.port,
            tls=self.config.tls,
            budget_s=self.settings.http_probe_s,
            delay_limit_ms=self.settings.event_loop_delay_ms,
            service_of=service,
        )
        self._place = seen.host, seen.port
        return seen

    def cause(self, seen: GatewayProbe) -> Finding | None:
        """What keeps the gateway from being live, started and prompt, by the doctor's own judge.

        Raises CouldNotLook when it rests on what we may not see.
        """
        found = judge.cause(seen, self.limits)
        if words := judge.unseen(seen, found):
            raise CouldNotLook(words)
        return found

    @property
    def served(self) -> GatewayConfig:
        """The config with the address where the last look saw the gateway listen."""
        return replace(self.config, host=self._place[0], port=self._place[1])

    def service(self) -> Service:
        """What the service manager says of the gateway's unit, now."""
        return service(self.target)
