"""Which gateway it is, and the ways to it: target, config, credential, command, redactor, where a look found it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from oc_ops import files
from oc_ops.errors import CouldNotLook, SettingError
from oc_ops.locks import lock_dir
from oc_ops.observe import credential, gatewaylocks, inside, install, probe, processes, rpc
from oc_ops.observe import service as observe_service
from oc_ops.observe.config import GatewayConfig, elsewhere
from oc_ops.observe.http import Probe
from oc_ops.observe.openclaw import Openclaw
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.rpc import RpcClient
from oc_ops.observe.service import Service
from oc_ops.observe.target import Target, choose
from oc_ops.process.run import Call
from oc_ops.record.redact import Redactor
from oc_ops.secrecy import secrets_in
from oc_ops.settings import Settings, environment_name

AnyCli = TypeVar("AnyCli", bound=Openclaw)


def _refuse_others(settings: Settings) -> None:
    """Files in our folders are believed, so no other user may have put them there."""
    for name in ("memory_dir", "config_dir", "report_dir"):
        try:
            files.refuse_others(folder := getattr(settings, name))
        except OSError as error:
            remedy = f"; another place: {environment_name(name)}"
            raise CouldNotLook(f"{folder} is not used: {error.strerror}{remedy}") from error


class Gateway:
    """One gateway, for whoever looks at it or acts on it: doctor, recovery, breaker, ad-hoc run, command line.

    `target`, `config` and `held` (who has the credential) are as they were when it was made; every look, connection and
    service question is a new one, and of a look only the place where it found the gateway is remembered.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        on_call: Callable[[Call], None] = lambda _call: None,
        *,
        blind: bool = False,
    ) -> None:
        """`on_call` hears of every `openclaw` call. Raises SettingError for a profile or executable that cannot be,
        CouldNotLook for a config that cannot be read (`blind` takes one that is no file of a bearable size) or that
        points to a gateway on another machine, and for a folder of ours in which another user has had a hand.
        """
        self.settings, self.environ, self.on_call = settings, environ, on_call
        _refuse_others(settings)
        self.target, self.config, self.held = credential.complete(choose(environ, settings.profile, settings.target))
        if self.config.unread and not blind:
            raise CouldNotLook(self.config.unread)
        if away := elsewhere(self.config):
            raise CouldNotLook(
                f"{away}: run oc-ops there; a gateway of this machine is named with --target (oc-ops targets)"
            )
        profile = settings.profile or (self.target.choice.partition(":")[2] if self.target.container is None else "")
        if profile and not self.target.state_dir.is_dir():
            name = "profile" if settings.profile else "target"
            need = f"a profile that exists: there is no {self.target.state_dir}"
            raise SettingError(name, profile, settings.source(name), need)
        self.executable = self.command()
        self.seen: GatewayProbe | None = None
        """The last look, for where it found the gateway."""
        self.service_of: Callable[[Target], Service] = observe_service.service
        """The function that is asked for the service manager's word of a target."""
        self._clis: dict[tuple[type[Openclaw], int | None, str], Openclaw] = {}

    def renew(self) -> None:
        """Resolve target, config and credential anew, as they are now; raises what making one raises."""
        chosen = choose(self.environ, self.settings.profile, self.settings.target)
        self.target, self.config, self.held = credential.complete(chosen)
        if self.config.unread:
            raise CouldNotLook(self.config.unread)
        self.__dict__.pop("redactor", None)

    def command(self) -> Path | None:
        """The `openclaw` to call, of our own places or of this account's running gateway; of a container its runtime's
        command, which calls the one inside.
        """
        there, settings = self.target.container, self.settings
        if there is None:
            found = install.find(settings.openclaw, settings.source("openclaw"), self.environ, self.target.home)
            return found or self._of_the_running()
        return Path(shutil.which(there.runtime, path=self.environ.get("PATH", os.defpath)) or there.runtime)

    def _of_the_running(self) -> Path | None:
        """The command by the process of this gateway: another account's programs are not ours to run."""
        ours = (
            each.pid for each in processes.gateway_processes(self.target) if each.certain and each.uid == os.geteuid()
        )
        return next(filter(None, map(install.beside, ours)), None)

    @property
    def key(self) -> str:
        """A short name for the gateway, the same in every process that looks at it."""
        return self.target.key

    @cached_property
    def redactor(self) -> Redactor:
        """Takes this gateway's secrets, and those of the looker's environment and settings, out of any text."""
        secrets = (*self.config.secrets, *secrets_in(self.target.environ), *self.settings.secrets)
        return Redactor(secrets, Path.home(), [self.target.home])

    def lock(self, name: str) -> Path:
        """The lock of one kind of work on this gateway: `doctor`, `cli` or `recovery`."""
        return lock_dir() / f"{name}-{self.key}.lock"

    # -- looking --------------------------------------------------------------------------------------------------

    def wanted_port(self) -> int:
        """Where the gateway should listen; from its lock file when the config does not parse, else CouldNotLook."""
        if self.config.error and "OPENCLAW_GATEWAY_PORT" not in self.target.environ:
            if port := gatewaylocks.locked_port(self.target):
                return port
            raise CouldNotLook("the config is broken, so the gateway's port is not known")
        return self.config.port

    def look(
        self,
        budget_s: float | None = None,
        *,
        live: Probe | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> GatewayProbe:
        """The port, the probes, the processes and the service manager, now; see `probe.look` for what it costs.

        `budget_s` is the longest wait for one answer, else the setting http_probe_s; `live` is a probe that was just
        taken. Raises CouldNotLook where nothing tells the port.
        """
        if self.target.container is not None:
            self.target = inside.again(self.target)
            self.seen = inside.look(
                self.target,
                self.config,
                budget_s=budget_s or self.settings.http_probe_s,
                delay_limit_ms=self.settings.event_loop_delay_ms,
                wait=wait,
            )
            return self.seen
        self.seen = probe.look(
            self.target,
            self.config.host,
            self.wanted_port(),
            tls=self.config.tls,
            budget_s=budget_s or self.settings.http_probe_s,
            delay_limit_ms=self.settings.event_loop_delay_ms,
            service_of=self.service_of,
            wait=wait,
            live=live,
        )
        return self.seen

    @property
    def served(self) -> GatewayConfig:
        """The config with the address where the last look found the gateway, if there was one."""
        return replace(self.config, host=self.seen.host, port=self.seen.port) if self.seen else self.config

    def service(self) -> Service:
        """The service manager's word on the gateway's unit, now."""
        return observe_service.NO_SERVICE if self.target.container else self.service_of(self.target)

    # -- asking ---------------------------------------------------------------------------------------------------

    def connect(self, lasts_s: float = inside.LASTS_S) -> RpcClient:
        """A new RPC connection to where the last look found it; raises RpcRefused, CouldNotLook where `rpc` is off.

        `lasts_s` bounds one that leads into a container: its way in ends by itself then.
        """
        if not self.settings.rpc:
            raise CouldNotLook("the setting rpc is off")
        served = self.served
        return rpc.connect_to(self.target, served, served.port, self.settings, lasts_s=lasts_s)

    def cli(self, kind: type[AnyCli]) -> AnyCli:
        """The `openclaw` command, told where the gateway serves; `kind` is Openclaw or what may change something.

        Raises CouldNotLook where there is no command.
        """
        if self.executable is None:
            raise CouldNotLook("there is no `openclaw` command on PATH or in the usual places")
        astray = self.seen.port if self.seen and self.seen.drifted else None
        within = self.target.container.id if self.target.container else ""
        found = self._clis.get((kind, astray, within))
        if not isinstance(found, kind):
            target = self.seen.reached(self.target) if self.seen else self.target
            found = kind(self.executable, target, self.settings, self.lock("cli"), self.on_call)
            self._clis[kind, astray, within] = found
        return found
