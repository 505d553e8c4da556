"""One doctor run: every observation fetched once, in cost order, and what each cause keeps from being looked at."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from oc_ops.doctor import log, start
from oc_ops.doctor.outcomes import Blocked, Memo, NotAsked, once
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.gateway import Gateway
from oc_ops.judge import access as judge_access
from oc_ops.judge import browser as judge_browser
from oc_ops.judge import cli as judge_cli
from oc_ops.judge import container as judge_container
from oc_ops.judge import cron as judge_cron
from oc_ops.judge import gateway as judge_gateway
from oc_ops.judge import lifecycle as judge_lifecycle
from oc_ops.judge import port as judge_port
from oc_ops.judge import state as judge_state
from oc_ops.judge.finding import Finding
from oc_ops.judge.port import http_broken
from oc_ops.judge.signature_catalogue import Signature
from oc_ops.observe import config, listener, rpc_reads
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.logs import LogView
from oc_ops.observe.openclaw import Answer, Openclaw
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.rpc import RpcRefused, RpcReply
from oc_ops.observe.rpc_reads import RpcReads
from oc_ops.process.jsontext import at, text_at
from oc_ops.process.run import Call
from oc_ops.record import memory
from oc_ops.settings import Settings

Lane = Literal["http", "rpc", "cli", "files", "log"]
"""How a check looks: each lane rests on the ones before it, but `files` (config, processes) and `log` on none."""

_SPOKEN = ("auth", "silent", "closed", "unreachable", "starting", "stranger", "unproven")
"""RPC refusals that say something about the gateway; every other one only closes the lane."""


class Doctor:
    """Looks at one gateway. Observations, had once, have no verb in front; raise Blocked, NotAsked or CouldNotLook."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        quick: bool = False,
        on_call: Callable[[Call], None] = lambda _call: None,
        blind: bool = False,
    ) -> None:
        """Raises what Gateway raises."""
        self.settings, self.quick = settings, quick
        self.gateway = Gateway(settings, environ, on_call, blind=blind)
        self.target, self.config, self.held = self.gateway.target, self.gateway.config, self.gateway.held
        self.found_executable = self.gateway.executable
        self.started_at = datetime.now(UTC)
        self.limits = judge_gateway.Limits.of(settings)
        self.memo = Memo()
        self.spared: Callable[[], str] = lambda: ""
        """Why the command line need not be asked in this run; nothing where it is."""
        self.meanwhile: Callable[[], None] = lambda: None
        """Work that can be done while the gateway is waited for."""
        self.start = start.StartLook(self)

    @once
    def sighted(self) -> None:
        """Raise CouldNotLook where the config is not read: its secrets are not known, so nothing else is shown."""
        if self.config.unread:
            raise CouldNotLook(self.config.unread)

    # -- the operator's tools -----------------------------------------------------------------------------------

    @once
    def executable(self) -> Path:
        """The `openclaw` command; raises Blocked when there is none."""
        if self.found_executable is None and (finding := self.cli_fault()):
            raise Blocked(finding)
        assert self.found_executable is not None
        return self.found_executable

    @once
    def openclaw(self) -> Openclaw:
        """The CLI, ready to be called."""
        self.executable()
        return self.gateway.cli(Openclaw)

    @once
    def version(self) -> Call:
        """`openclaw --version`, unless a cheaper lane has named a cause already."""
        self._asked()
        if cause := self.rpc_cause():
            raise Blocked(cause)
        return self.version_said()

    @once
    def version_said(self) -> Call:
        """`openclaw --version`, whatever the gateway does."""
        return self.openclaw().version()

    @once
    def cli_fault(self) -> Finding | None:
        """The finding on the command itself: it is not there, or it does not work."""
        if self.found_executable is not None:
            return judge_cli.unusable(self.version(), self.target.environ)
        with contextlib.suppress(OcOpsError):
            cause = self.http_cause()
            if cause and (start.is_down(cause) or self.start.behind()):
                raise Blocked(cause)
        return self.start.no_command()

    @property
    def cli_release(self) -> tuple[int, ...] | None:
        """The CLI's release as far as it is known without a call of its own."""
        with contextlib.suppress(Blocked, OcOpsError):
            return self.openclaw().release
        return None

    @property
    def key(self) -> str:
        """A short name for the target, the same in every process that looks at it."""
        return self.target.key

    # -- the gateway from outside -------------------------------------------------------------------------------

    def port(self) -> int:
        """The port that the gateway serves, by its process and sockets; else the one it should."""
        return self.look().port

    def served(self) -> GatewayConfig:
        """The config with the address where the gateway really listens."""
        self.look()
        return self.gateway.served

    @once
    def look(self) -> GatewayProbe:
        """The gateway's port, probes and processes."""
        return self.gateway.look()

    def port_drift(self) -> Finding | None:
        """The gateway serves another port than config or environment say; it is looked at where it serves."""
        if self.target.container is not None:
            return judge_container.unreached(self.look())
        return judge_port.port_drift(self.look(), config.port_named_by(self.config))

    @once
    def readiness(self) -> GatewayProbe:
        """The look, of a release that says whether it is ready; NotAsked where /readyz is not offered yet."""
        ready = (seen := self.look()).ready
        if ready is not None and ready.kind == "answered" and not isinstance(at(ready.json, "ready"), bool):
            if ready.status == 200 and ready.json is None:
                raise NotAsked("this release has no /readyz: it answers every path with its Control UI")
            if http_broken(seen):
                raise NotAsked(f"its HTTP answers nothing else: {ready.summary}")
            if cause := self.http_cause():
                raise Blocked(cause)
            said = text_at(ready.json, "error", "message") or ready.summary
            raise CouldNotLook(f"/readyz says nothing of readiness: {said}")
        return seen

    @once
    def config_cause(self) -> Finding | None:
        """The config does not parse, or its gateway may not read it: the root of whatever else is wrong."""
        if self.config.error is None:
            return None
        if fault := judge_state.unreadable(self.start.seen()):
            return fault
        with contextlib.suppress(OcOpsError):
            return judge_cli.invalid_config(self.config, lives=self.look().live.json is not None)
        return judge_cli.invalid_config(self.config)

    @once
    def http_cause(self) -> Finding | None:
        """The finding that keeps the gateway from answering, as far as HTTP and the process list tell."""
        if cause := self.config_cause():
            return cause
        cause = start.with_restart(self.gateway, judge_gateway.cause(self.look(), self.limits))
        cause = start.with_suspension(self.gateway, cause)
        cause = start.with_drain(self.gateway, self.look(), cause)
        cause = start.bounded(self.gateway, self.look(), cause)
        if cause is not None and (another := self._held_by_another()):
            return another
        if unseen := judge_gateway.unseen(self.look(), cause):
            raise start.unshown(self.target, unseen)
        if cause is not None and judge_lifecycle.comes_and_goes(cause, self.look()):
            return self.start.told(cause)
        if cause is None or cause.check not in start.DOWN:
            return cause
        return self.start.hindrance() or self.start.told(cause)

    def _held_by_another(self) -> Finding | None:
        """Another user's process on the port: what ails it is not this gateway's state."""
        error = listener.stranger(self.target, self.config.host, self.port())
        return judge_port.held_by_another(self.port(), error.why, str(error)) if error else None

    # -- the RPC lane -------------------------------------------------------------------------------------------

    @once
    def rpc_lane(self) -> RpcReads | RpcRefused:
        """One connection, every read of the run, closed again; or why there is none."""
        if cause := self.http_cause():
            raise Blocked(cause)
        if not self.settings.rpc:
            return RpcRefused("off", "the setting rpc is off")
        self.meanwhile()
        asks_where = not (self.target.container or log.files(self.target, self.config))
        return rpc_reads.all_at_once(self.gateway.connect, log=asks_where)

    @once
    def status_read(self) -> RpcReply | RpcRefused | Answer:
        """An authenticated `status` read: over RPC, or through the CLI where that lane is closed."""
        lane = self.rpc_lane()
        if not isinstance(lane, RpcRefused):
            return lane.status
        if lane.kind == "unproven" and lane.code != "foreign":
            raise start.unshown(self.target, lane.reason, lane.code)
        if lane.kind in _SPOKEN:
            return lane
        return self._by_cli(lane, Openclaw.status)

    @once
    def rpc_cause(self) -> Finding | None:
        """The finding that keeps an authenticated read from being answered."""
        if cause := self.http_cause():
            return cause
        return self.rpc_fault()

    @once
    def rpc_fault(self) -> Finding | None:
        """Why no authenticated read is answered, by a lane that HTTP leaves open; raises Blocked where it does not."""
        lane, asked = self.rpc_lane(), (self.config.credential, self.held)
        if isinstance(lane, RpcRefused):
            closed = judge_access.lane_closed(lane, *asked) if self.quick else None
            if closed := self.start.shut_out(lane) or closed:
                return closed
        return self.start.over(judge_access.read_unanswered(self.status_read(), self.look(), self.limits, *asked))

    @once
    def cron_status(self) -> object:
        """The `cron.status` payload."""
        lane = self._through_rpc()
        if isinstance(lane, RpcRefused):
            return self._by_cli(lane, Openclaw.cron_status).value
        reply = lane.cron_status
        if reply.outcome != "ok":
            raise CouldNotLook(f"cron.status: {reply.outcome}: {reply.message or reply.code or 'no reason given'}")
        return reply.payload

    @once
    def cron_list_read(self) -> RpcReply:
        """The `cron.list` reply over RPC; NotAsked where that lane is closed."""
        lane = self._through_rpc()
        if isinstance(lane, RpcRefused):
            raise NotAsked(f"the RPC lane is closed ({lane.reason}); `openclaw cron list` is looked at instead")
        return lane.cron_list

    def _through_rpc(self) -> RpcReads | RpcRefused:
        if cause := self.rpc_cause():
            raise Blocked(cause)
        return self.rpc_lane()

    def _by_cli(self, refused: RpcRefused, ask: Callable[[Openclaw], Answer]) -> Answer:
        """The same question through the CLI, when the RPC lane is closed for a reason of its own."""
        if self.quick and refused.kind == "off":
            raise NotAsked("rpc is off and --quick makes no CLI call")
        if self.quick:
            raise CouldNotLook(f"the RPC lane is closed ({refused.reason}) and --quick makes no CLI call")
        if fault := judge_cli.unusable(self.version_said(), self.target.environ):
            raise Blocked(fault)
        if why := self.openclaw().refusal():
            raise Blocked(
                judge_access.lane_closed(refused, self.config.credential, self.held)
                or judge_access.unpaired(f"{why}; the RPC lane is closed: {refused.reason}", "error")
            )
        return ask(self.openclaw())

    # -- the CLI lane -------------------------------------------------------------------------------------------

    @once
    def cli_status(self) -> Answer:
        """The gateway's status by the operator's own path; the answer that was read by it already, where it was."""
        if unpaired := self.cli_unpaired():
            raise Blocked(unpaired)
        read = self.status_read()
        return read if isinstance(read, Answer) else self.openclaw().status()

    @once
    def cli_unpaired(self) -> Finding | None:
        """A CLI that was never paired is asked nothing on a release where that would bind it: a warning."""
        self._asked()
        if cause := self.rpc_cause() or self.cli_fault():
            raise Blocked(cause)
        why = self.openclaw().refusal()
        return judge_access.unpaired(why, "warning") if why else None

    @once
    def cli_cause(self) -> Finding | None:
        """The finding that keeps the operator's own commands from being answered."""
        if cause := self.rpc_cause():
            return cause
        if finding := self.cli_fault():
            return finding
        with contextlib.suppress(CouldNotLook):  # a validation that does not answer keeps nothing else from being asked
            if finding := self.config_rejected():
                return finding
        return self.status_fault()

    @once
    def status_fault(self) -> Finding | None:
        """The finding that keeps the operator's own `openclaw` from reaching the gateway."""
        if unpaired := self.cli_unpaired():
            return unpaired
        listed = self.cron_listed()
        if listed and listed.came:
            return None
        answer = self.cli_status() if listed is None or judge_cli.said_nothing(listed) else listed
        read = self.rpc_cause() is None
        return judge_access.status_answered(answer, read=read, credential=self.config.credential, held=self.held)

    @once
    def cron_listed(self) -> Answer | None:
        """`openclaw cron list`, which proves the operator's own path as well; None where RPC's list did not come."""
        lane = self._through_rpc()
        if isinstance(lane, RpcRefused) or judge_cron.list_unanswered(lane.cron_list):
            return None
        return self.openclaw().cron_list()

    @once
    def config_rejected(self) -> Finding | None:
        """The objection of OpenClaw's own validation to the config; one that it accepted before is not validated again.

        `gateway status` calls a config valid that `config validate` rejects (seen on 2026.9.6), so it is not asked.
        """
        self._asked()
        cause = self.http_cause()
        if cause is not None and self.config.error is None and self.start.is_refusal(cause):
            return cause
        if cause := self.rpc_cause() or self.cli_fault():
            raise Blocked(cause)
        mark = memory.config_fingerprint(self.config.path, self.cli_release)
        if memory.config_is_known(self.settings.memory_dir, mark):
            return None
        answer = self.openclaw().config_validate()
        if finding := start.refused(answer, self.target, self.config, self.start.seen(), lives=True):
            return finding
        if answer.not_offered:
            return judge_cli.rejected_config(self.openclaw().gateway_status(), self.config, lives=True)
        if at(answer.value, "valid") is not True:
            raise CouldNotLook(f"the config's validation gave no answer: {answer.call.summary}")
        memory.remember_config(self.settings.memory_dir, mark)
        return None

    @once
    def cron_list(self) -> Answer:
        """`openclaw cron list`; not asked again when the scheduler did not list its jobs over RPC."""
        with contextlib.suppress(NotAsked):
            if finding := judge_cron.list_unanswered(self.cron_list_read()):
                raise Blocked(finding)
        return self._after_status(lambda openclaw: self.cron_listed() or openclaw.cron_list())

    def browser_wanted(self) -> bool:
        """True if there is a browser to look at; raises NotAsked when the operator said that none is wanted."""
        if self.settings.browser == "off":
            raise NotAsked("no browser is expected here (setting browser = off)")
        if self.settings.browser == "auto" and not self.config.browser_enabled:
            raise NotAsked(f"browser.enabled is false in {self.config.path}")
        return self.config.browser_enabled

    @once
    def browser_fault(self) -> Finding | None:
        """The finding that keeps the browser control from answering; one that the config switches off is not asked."""
        wanted = self.browser_wanted()
        if cause := self.http_cause():
            raise Blocked(cause)
        if finding := judge_browser.disabled(wanted, self.config):
            return finding
        answer = self.browser_status()
        finding = judge_browser.unanswered(answer, self.settings.browser)
        if finding is None and at(answer.value, "running") is None:
            raise NotAsked(f"the browser is switched off: {answer.error}")
        return finding

    @once
    def browser_answer(self) -> Answer:
        """The browser's state, from a control that answers."""
        if fault := self.browser_fault():
            raise Blocked(fault)
        return self.browser_status()

    @once
    def browser_status(self) -> Answer:
        """The browser's state through the CLI: a read-only operator client may not ask for it."""
        return self._after_status(Openclaw.browser_status)

    def _after_status(self, ask: Callable[[Openclaw], Answer]) -> Answer:
        self._asked()
        if cause := self.cli_cause():
            raise Blocked(cause)
        answer = ask(self.openclaw())
        if ours := judge_access.cli_rejected(answer):
            raise Blocked(ours)
        if why := judge_cli.said_nothing(answer):
            raise CouldNotLook(why)
        return answer

    def _asked(self) -> None:
        if why := "--quick makes no CLI call" if self.quick else self.spared():
            raise NotAsked(why)

    # -- files --------------------------------------------------------------------------------------------------

    @once
    def log_files(self) -> tuple[Path, ...]:
        """The gateway's log files. A container has none, and what lies here is not that of one behind a forwarder."""
        seen = None if self.config.log_file else self.look.seen
        if self.target.container is not None or (seen and judge_port.behind(seen)):
            return ()
        return log.files(self.target, self.config, self.rpc_lane.seen)

    @once
    def signatures(self) -> tuple[Signature, ...]:
        """The log signatures, the operator's own among them; raises OcOpsError for an entry that cannot be used."""
        return log.known(self.settings)

    @once
    def log_view(self) -> LogView:
        """The gateway's own records that a signature may know, within the longest window of any."""
        if self.target.container is not None:
            return log.printed(self.target.container, self.signatures(), self.started_at, self.http_cause)
        known, secrets = self.signatures(), self.config.secrets
        view = log.read(self.target, self.log_files(), known, self.settings, self.started_at, secrets)
        if view.files:
            return view
        if cause := self.rpc_cause():  # a gateway that can be asked says where its log lies
            raise Blocked(cause)
        raise CouldNotLook(f"the gateway's log file was not found{log.sought(self.config.log_file)}")

    # -- what blocks what ---------------------------------------------------------------------------------------

    def cause_before(self, lane: Lane) -> Finding | None:
        """The named cause that a check through this lane rests on; None when its lane is free to look."""
        chain = {"http": self.http_cause, "rpc": self.rpc_cause, "cli": self.cli_cause}
        return chain[lane]() if lane in chain else None
