"""Judges of authenticated reads: what is refused, what is not answered, and what is no finding."""

from __future__ import annotations

import pytest

from oc_ops.judge import access
from oc_ops.judge.gateway import Limits
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.rpc import RefusalKind, RpcRefused, RpcReply
from tests.sights import CONTROL_UI, YOUNG, answer, call, cli, page, reply, restarts, sight

TOKEN = "unauthorized: gateway token mismatch (provide gateway auth token)"
SCOPE_PENDING = (
    "gateway connect failed: GatewayClientRequestError: scope upgrade pending approval "
    "(requestId: 08727160-1000-462e-a809-7c08cb7677aa)\n"
    "GatewayTransportError: gateway closed (1008): pairing required: device is asking for more scopes than approved"
)
TARGET = "\nGateway target: ws://127.0.0.1:28789\nSource: service target\nConfig: ~/.openclaw/openclaw.json"


def rpc(error: str | None, **changes: object) -> Answer:
    """`gateway status --json` with this `.rpc`."""
    return answer({"rpc": {"ok": error is None, **({"error": error} if error else {}), **changes}, "port": {}})


UNANSWERED, REJECTED = "gateway/rpc-unanswered", "gateway/auth-rejected"


@pytest.mark.parametrize(
    ("status", "check"),
    [
        (rpc(None, capability="connected_no_operator_scope"), None),
        (rpc(None), None),
        (rpc("connect ECONNREFUSED 127.0.0.1:28789", connectFailure={"kind": "unreachable"}), UNANSWERED),
        (rpc(f"gateway timeout after 10000ms{TARGET}", timedOut=True, connectFailure={"kind": "unreachable"}),
         UNANSWERED),
        (rpc(TOKEN, gatewayReached=True, connectFailure={"kind": "auth-rejected", "detailCode": "AUTH_TOKEN_MISMATCH"}),
         REJECTED),
        (rpc("timeout"), UNANSWERED),
        (rpc("connect ECONNREFUSED 127.0.0.1:28989"), UNANSWERED),
        (rpc(f"gateway closed (1008): {TOKEN}{TARGET}"), REJECTED),
        (rpc("gateway timeout after 10000ms"), UNANSWERED),
        (rpc("gateway closed (1006 abnormal closure (no close frame)): no close reason"), UNANSWERED),
        (rpc("gateway closed (1008): unauthorized: gateway token mismatch (set gateway.remote.token)"), REJECTED),
        (answer(None, outcome="timed-out"), UNANSWERED),
        (answer(None, outcome="refused", stderr=SCOPE_PENDING), REJECTED),
        (answer({}), UNANSWERED),
        (answer({"rpc": True}), UNANSWERED),
        (answer({"rpc": {"ok": "yes"}}), UNANSWERED),
        (answer({"rpc": {"ok": False, "error": 7, "connectFailure": []}}), UNANSWERED),
    ],
    ids=["healthy 2026.9.6", "healthy older", "down 2026.9.6", "hung 2026.9.6", "token 2026.9.6", "hung 2026.5.28",
         "down 2026.5.28", "token 2026.5.28", "hung 2026.2.26", "down 2026.2.26", "token 2026.2.26", "no output",
         "scope pending 2026.5.28", "empty object", "rpc no object", "ok no bool", "wrong types"],
)  # fmt: skip
def test_status_answered(status: Answer, check: str | None) -> None:
    """`gateway status` is judged by content: exit 0 in a bad state does not help it."""
    finding = access.status_answered(status)
    assert (finding.check if finding else None) == check
    if finding is not None:
        assert restarts(finding) == (check == UNANSWERED)


def test_a_call_that_does_not_get_through_to_a_live_gateway_restarts_nothing() -> None:
    """When RPC has just read the status, a failing `gateway status` is the CLI's fault; a refused token stays one."""
    late = access.status_answered(answer(None, "gateway status --json", "timed-out"), read=True)
    assert late is not None
    assert (late.check, restarts(late)) == ("cli/unusable", False)
    refused = access.status_answered(answer({"rpc": {"ok": False, "error": "unauthorized: token mismatch"}}), read=True)
    assert refused is not None
    assert refused.check == REJECTED


STATUS = {"runtimeVersion": "2026.9.6", "heartbeat": {"agents": []}, "sessions": {"count": 0}}


@pytest.mark.parametrize(
    ("read", "check"),
    [
        (reply("status", STATUS), None),
        (reply("status", {"heartbeat": {}}), None),
        (answer(STATUS, "gateway call status --json"), None),
        (answer(STATUS, "gateway call status --json", "lingered"), None),
        (reply("status", {}), UNANSWERED),
        (reply("status", None), UNANSWERED),
        (reply("status", ["runtimeVersion"]), UNANSWERED),
        (reply("status", outcome="silent", message="no answer within 4 s", wall_s=4.0), UNANSWERED),
        (reply("status", outcome="closed", code="1006", message="the connection was closed"), UNANSWERED),
        (reply("status", outcome="error", code="FORBIDDEN", message="missing scope: operator.read"), REJECTED),
        (reply("status", outcome="unsupported", message="this gateway has no status"), UNANSWERED),
        (RpcRefused("auth", TOKEN, "AUTH_TOKEN_MISMATCH"), REJECTED),
        (RpcRefused("silent", "the gateway took the connection and did not finish the handshake in time"), UNANSWERED),
        (RpcRefused("closed", "closed (1006)"), UNANSWERED),
        (RpcRefused("unreachable", "connection refused"), UNANSWERED),
        (RpcRefused("stranger", "the port speaks WebSocket, but not the gateway's protocol"), "gateway/rpc-unanswered"),
        (RpcRefused("starting", "UNAVAILABLE: startup-sidecars"), "gateway/starting"),
        (cli("Error: gateway timeout after 8000ms"), UNANSWERED),
        (cli("Gateway not reachable at ws://127.0.0.1:28789 (ECONNREFUSED)."), UNANSWERED),
        (cli(f"gateway connect failed: GatewayClientRequestError: {TOKEN}"), REJECTED),
        (cli(f"gateway connect failed: Error: {TOKEN}"), REJECTED),
        (cli(SCOPE_PENDING), REJECTED),
        (cli("gateway status requires credentials before opening a websocket"), REJECTED),
        (cli(""), UNANSWERED),
        (answer({"ok": False, "error": {"type": "gateway_request_error", "message": TOKEN}}, outcome="refused"),
         REJECTED),
        (answer({}, "gateway call status --json"), UNANSWERED),
        (answer(None, "gateway call status --json", "timed-out"), UNANSWERED),
    ],
    ids=["RPC", "RPC, old status", "CLI", "CLI lingers", "RPC, empty", "RPC, null", "RPC, a list", "RPC silent",
         "RPC closed", "RPC without the scope", "RPC without the method", "token refused", "handshake silent",
         "handshake closed", "handshake unreachable", "other WebSocket", "handshake while starting", "CLI hung",
         "CLI down", "CLI token 2026.5.28", "CLI token 2026.2.26", "CLI scope pending", "CLI without credentials",
         "CLI without words", "CLI token 2026.9.6", "CLI, empty", "CLI timed out"],
)  # fmt: skip
def test_read_unanswered(read: RpcReply | RpcRefused | Answer, check: str | None) -> None:
    """A status counts only when it is one; a refused credential is told from a read that is not answered."""
    finding = access.read_unanswered(read, sight())
    assert (finding.check if finding else None) == check
    if finding is not None:
        assert restarts(finding) == (check == UNANSWERED)
        assert finding.saw


@pytest.mark.parametrize("kind", ["silent", "closed", "unreachable"])
def test_a_young_gateway_that_does_not_say_it_started_may_still_be_starting(kind: RefusalKind) -> None:
    """2026.5.28 has no /startupz and holds its event loop just before it is ready: young silence is no fault yet."""
    quiet = RpcRefused(kind, "no answer")
    young = sight(processes=YOUNG, startup=page(CONTROL_UI, "/startupz"))
    for seen, limits, check in (
        (young, Limits(), "gateway/starting"),
        (young, Limits(start_budget_s=5.0), UNANSWERED),
        (sight(processes=YOUNG), Limits(), UNANSWERED),
        (sight(startup=page(CONTROL_UI, "/startupz")), Limits(), UNANSWERED),
    ):
        finding = access.read_unanswered(quiet, seen, limits)
        assert finding is not None
        assert finding.check == check


def test_what_closes_the_lane_for_its_own_reasons_is_no_finding() -> None:
    """A refusal that says nothing about the gateway is not held against it."""
    for kind in ("off", "secret-unresolved", "tls", "device", "protocol", "pairing"):
        assert access.read_unanswered(RpcRefused(kind, "why"), sight()) is None


def test_findings_survive_a_call_without_words() -> None:
    """A call that died silently still gives one line of evidence."""
    finding = access.status_answered(Answer(call("gateway status --json", "crashed"), None))
    assert finding is not None
    assert "SIGABRT" in finding.saw
