"""Judges of authenticated reads: does the gateway answer one, and does it take our credential."""

from __future__ import annotations

from oc_ops.judge.credential import is_credential_error
from oc_ops.judge.finding import Finding
from oc_ops.judge.gateway import RESTART, Limits, starting_now, taken
from oc_ops.judge.listener import held_by_another
from oc_ops.judge.stranger import is_openclaw, proves_openclaw
from oc_ops.observe.jsontext import at, text_at
from oc_ops.observe.look import GatewayLook
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.rpc import RpcRefused, RpcReply

_LIMITS = Limits()


def read_unanswered(
    read: RpcReply | RpcRefused | Answer, seen: GatewayLook, limits: Limits = _LIMITS
) -> Finding | None:
    """HTTP is live, and a `status` read is refused or not answered: `openclaw status`'s claim, by content."""
    if isinstance(read, RpcRefused):
        return _refused(read, seen, limits)
    if isinstance(read, Answer):
        return None if read.came and _is_status(read.value) else _by_error(read.error, read.call.summary)
    if read.outcome == "ok" and _is_status(read.payload):
        return None
    words = f"{read.code or ''} {read.message}".strip() or "an answer without a status"
    return _by_error(words, f"RPC {read.method}: {read.outcome} after {read.wall_s:.1f} s: {words}")


def _refused(refused: RpcRefused, seen: GatewayLook, limits: Limits) -> Finding | None:
    saw = f"RPC connect: {refused.reason}"
    match refused.kind:
        case "auth":
            return _rejected(saw)
        case "silent" | "closed" | "unreachable":
            # 2026.5.28 has no /startupz and holds its event loop for seconds just before it is ready.
            return starting_now(saw) if _may_be_starting(seen, limits) else _unanswered(saw)
        case "stranger":
            return _unanswered(saw) if _is_proven(seen) else taken(seen, saw)
        case "starting":
            return starting_now(saw)
        case "unproven":
            return held_by_another(seen.port, refused.code or "", refused.reason)
    return None


def _is_proven(seen: GatewayLook) -> bool:
    """True when process or probes have shown an OpenClaw gateway already: its odd word does not make it a stranger."""
    pages = (seen.startup, seen.ready)
    return is_openclaw(seen.listener, seen.processes) or any(each and proves_openclaw(each) for each in pages)


def _may_be_starting(seen: GatewayLook, limits: Limits) -> bool:
    young = seen.serving is not None and seen.serving.age_s < limits.start_budget_s
    return young and text_at(seen.startup.json if seen.startup else None, "status") != "started"


def _is_status(payload: object) -> bool:
    """A status has the gateway's own version or its heartbeat table; `{}` or an echo has neither."""
    return at(payload, "runtimeVersion") is not None or at(payload, "heartbeat") is not None


def _by_error(error: str, saw: str) -> Finding:
    return _rejected(saw) if is_credential_error(error) else _unanswered(saw)


def status_answered(answer: Answer, *, read: bool = False) -> Finding | None:
    """`openclaw gateway status` by content: its exit code is 0 in every bad state of every release measured.

    `read` says that the gateway has just answered over RPC: then a call that does not get through is not its fault.
    """
    if at(answer.value, "rpc", "ok") is True:
        return None
    error = text_at(answer.value, "rpc", "error") or answer.error or "no JSON answer"
    kind = text_at(answer.value, "rpc", "connectFailure", "kind")
    saw = f"{answer.call.summary}: {error}"
    if read and not is_credential_error(f"{kind} {error}"):
        return Finding(
            "cli/unusable",
            "error",
            fact="the gateway answers, and `openclaw gateway status` does not get through to it",
            saw=saw,
            fix="none automatic: the gateway is well, do not restart it; see this call's transcript in the report",
            verify="pytest checks/ -m doctor -k test_gateway_status_answers",
        )
    return _by_error(f"{kind} {error}", saw)


def cli_rejected(answer: Answer) -> Finding | None:
    """The gateway refuses the CLI's own device or scope (the pairing trap of 2026.5.28), whatever was asked for."""
    return _rejected(f"{answer.call.summary}: {answer.error}") if is_credential_error(answer.error) else None


def _unanswered(saw: str) -> Finding:
    return Finding(
        "gateway/rpc-unanswered",
        "error",
        fact="the gateway does not answer an authenticated read",
        saw=saw,
        fix=RESTART,
        verify="pytest checks/ -m doctor -k test_rpc_answers",
    )


def _rejected(saw: str) -> Finding:
    return Finding(
        "gateway/auth-rejected",
        "error",
        fact="the gateway is up and refuses the credential from the config",
        saw=saw,
        fix="none automatic: a restart does not help; compare gateway.auth with what the gateway was started with, "
        "then `openclaw devices list`",
        verify="pytest checks/ -m doctor -k test_rpc_answers",
    )
