"""The commands of a cure, and whether OpenClaw says it did as asked, since its exit code is not believed."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from oc_ops.act.commands import Commands
from oc_ops.act.recover.log import RecoveryLog
from oc_ops.act.recover.policy import never
from oc_ops.act.recover.wait import Clock, cause_now
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.gateway import Gateway
from oc_ops.judge import work as judge
from oc_ops.judge.finding import Action, Finding
from oc_ops.judge.work import account_params, restart_command
from oc_ops.locks import single_flight
from oc_ops.observe.container import Container
from oc_ops.observe.openclaw import BROWSER_PROFILE, Answer
from oc_ops.observe.rpc import RpcClient, RpcRefused
from oc_ops.observe.service import ask
from oc_ops.observe.work import Account, accounts_of
from oc_ops.process.jsontext import at, text_at
from oc_ops.text import span

HEAR_S = judge.DEAF_MS / 1000
"""Time for a restarted account to be heard from: as long as its silence may last before it is called deaf."""
_POLL_S = 2.0
_NEEDED = ("channels.stop", "channels.start")


def lacking(gateway: Gateway) -> str:
    """Why this gateway cannot restart one channel account; nothing where it can."""
    with _connected(gateway) as client:
        missing = [each for each in _NEEDED if not client.has(each)]
    return f"this release has no {missing[0]}: it cannot restart one channel account" if missing else ""


def ails(gateway: Gateway, cause: Finding, clock: Clock) -> bool:
    """True if the account is still down, or silent, by the gateway's own word now."""
    account, now_ms = look(gateway, cause.subject), moment_ms(clock)
    if account is None:
        return False
    return judge.is_down(account, now_ms) or any(judge.silent_accounts((account,), now_ms))


def look(gateway: Gateway, label: str) -> Account | None:
    """The account as the gateway has it now, None where it has it no more; raises CouldNotLook without an answer."""
    with _connected(gateway) as client:
        reply = client.request("channels.status")
    if reply.outcome != "ok":
        raise CouldNotLook(f"channels.status: {reply.message or reply.outcome}")
    return next((each for each in accounts_of(reply.payload) if each.label == label), None)


def until_heard(gateway: Gateway, cause: Finding, log: RecoveryLog, clock: Clock, since_ms: int) -> str:
    """Wait until the account has come up since that moment; why it has not, or nothing. Takes HEAR_S at most."""
    began, why = clock.monotonic(), ""
    with log.step("wait", channel=cause.subject, budget_s=HEAR_S) as result:
        while True:
            try:
                account = look(gateway, cause.subject)
                if account is not None and judge.hears(account, since_ms):
                    result.update(heard=True)
                    return ""
                why = (account.error or account.lifecycle) if account else "the gateway has this account no more"
            except CouldNotLook as error:
                why = str(error)
            if clock.monotonic() - began >= HEAR_S:
                break
            clock.wait(_POLL_S)
        result.update(heard=False)
    return f"nothing was heard of it within {span(HEAR_S)} of its start ({why or 'it says nothing'})"


def moment_ms(clock: Clock) -> int:
    """The time of day now, as the gateway tells moments."""
    return round(clock.now().timestamp() * 1000)


def _connected(gateway: Gateway) -> RpcClient:
    try:
        return gateway.connect()
    except RpcRefused as refused:
        raise CouldNotLook(refused.reason) from refused


BROWSER_START_S = 60.0
"""A start takes 2 to 17 s; beside a gateway that has just come up it may take longer."""
_BROWSER_STOP_S = 20.0
_UNTOUCHED = "Gateway was not signaled"
"""2026.9.6 first records its intent in the state database: a gateway that hangs in a write keeps it from that for ever
("GATEWAY_RESTART_PREPARATION_REFUSED: Cannot record restart intent for the serving Gateway. Gateway was not …")."""
_NOTHING_DONE = ("not-loaded", "not-installed", "skipped")
"""The CLI's word for a result when it did nothing; on 2026.5.28 with exit 0 and `ok: true`."""


class Done(Struct, frozen=True):
    """A command's result by its own word. `said` is that word, or what became of the process.

    `refused` is what OpenClaw's command said where it did nothing and its service manager's was taken in its place.
    """

    accepted: bool
    said: str
    refused: str = ""


def command(
    action: Action, cause: Finding, there: Container | None = None, *, safe: bool = False, words: Sequence[str] = ()
) -> str:
    """The command as an operator would type it: `words` where its manager's own are taken, of a container, `there`, its
    runtime's, else OpenClaw's.
    """
    if words:
        return shlex.join(each for each in words if each not in ("-n", "--no-ask-password"))
    if there is not None and action in ("restart", "start"):
        return " ".join(there.words(action))
    browser = f"openclaw browser --browser-profile {BROWSER_PROFILE}"
    return {
        "restart": f"openclaw gateway restart{' --safe' if safe else ''}",
        "start": "openclaw gateway start",
        "browser-restart": f"{browser} stop && {browser} start" if _runs(cause) else f"{browser} start",
        "channel-restart": restart_command(cause.subject),
    }.get(action, "none")


def carry_out(
    gateway: Gateway,
    action: Action,
    cause: Finding,
    *,
    safe: bool,
    words: Sequence[str] = (),
    instead: Sequence[str] = (),
) -> Done:
    """Do it, once; `words` are its service manager's, where OpenClaw's command is not the one, and `instead` those to
    take once OpenClaw's own says that it did nothing, and the cause stands still.

    Raises OcOpsError, before anything is done, for a cause that recovery must never act on.
    """
    if never(cause.check) or action not in ("restart", "start", "browser-restart", "channel-restart"):
        raise OcOpsError(f"{cause.check} is never acted on, by any path")
    try:
        if action == "channel-restart":
            return _restart_channel(gateway.cli(Commands), cause)
        if action == "browser-restart":
            if _runs(cause):
                gateway.cli(Commands).browser_stop(_BROWSER_STOP_S)  # whatever a wedged one answers: the start tells
            return _said(gateway.cli(Commands).browser_start(BROWSER_START_S))
        if gateway.target.container is not None:
            call = gateway.cli(Commands).by_runtime(gateway.target.container.words(action))
            return Done(call.outcome == "answered", call.said or call.summary)
        if words:
            return _by_manager(gateway, words)
        if action == "start":
            return _done(gateway.cli(Commands).gateway_start(gateway.settings.recover_act_s))
        done = _done(gateway.cli(Commands).gateway_restart(gateway.settings.recover_act_s, safe=safe))
        if instead and not done.accepted and _UNTOUCHED in done.said and _stands(gateway, cause):
            return replace(_by_manager(gateway, instead), refused=done.said)
        return done
    except CouldNotLook as error:
        return Done(False, str(error))


def _stands(gateway: Gateway, cause: Finding) -> bool:
    """True if a look shows the cause still: the command that did nothing took its time."""
    now = cause_now(gateway, gateway.look())
    return now is not None and now.check == cause.check


def _by_manager(gateway: Gateway, words: Sequence[str]) -> Done:
    """The service manager's own command; it ends when the unit has started, or its stop has taken all its time."""
    with single_flight(gateway.lock("cli"), gateway.settings.cli_lock_s):
        call = ask(words, gateway.environ, gateway.settings.recover_act_s)
    gateway.on_call(call)
    return Done(call.outcome == "answered", call.said or call.summary)


def start_browser(gateway: Gateway) -> Done:
    """Bring the agent's browser up; nothing happens when it runs already."""
    try:
        return _said(gateway.cli(Commands).browser_start(BROWSER_START_S))
    except CouldNotLook as error:
        return Done(False, str(error))


def _restart_channel(cli: Commands, cause: Finding) -> Done:
    """Stop and start one account: taken only where it has stopped, and a start of ours then brought it up."""
    params = account_params(cause.subject)
    stopped = cli.channel("stop", params)
    if at(stopped.value, "stopped") is not True:
        return Done(False, f"it did not stop: {stopped.error or stopped.call.summary}")
    begun = cli.channel("start", params)
    status, reason = text_at(begun.value, "outcome", "status"), text_at(begun.value, "outcome", "reason")
    accepted = at(begun.value, "started") is True and status in ("", "handed-off")
    return Done(accepted, reason or status or begun.error or begun.call.summary)


def _runs(cause: Finding) -> bool:
    """True if the browser is to be stopped first."""
    return cause.check != "browser/not-running"


def _said(answer: Answer) -> Done:
    return Done(answer.came, answer.call.summary if not answer.error else answer.error)


def _done(answer: Answer) -> Done:
    """A restart has to say that it restarted, or that it is going to."""
    result = text_at(answer.value, "result")
    accepted = answer.came and at(answer.value, "ok") is not False and result not in _NOTHING_DONE
    error = at(answer.value, "error")
    words = error if isinstance(error, str) else answer.error or text_at(answer.value, "message") or result
    first = words.splitlines()[0] if words else ""
    return Done(accepted, first or answer.call.summary)
