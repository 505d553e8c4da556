"""One channel account before and after its restart: is it still as it was found, and has it been heard from since."""

from __future__ import annotations

from oc_ops.act.recover.log import RecoveryLog
from oc_ops.act.recover.wait import Clock
from oc_ops.errors import CouldNotLook
from oc_ops.gateway import Gateway
from oc_ops.judge import work as judge
from oc_ops.judge.finding import Finding
from oc_ops.observe.rpc import RpcClient, RpcRefused
from oc_ops.observe.work import Account, accounts_of
from oc_ops.text import span

HEAR_S = judge.DEAF_MS / 1000
"""What a restarted account gets until it is heard from: as long as its silence may last before it is called deaf."""
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
