"""Judges of authenticated reads: what is refused, what is not answered, and what is no finding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from oc_ops.judge import access
from oc_ops.judge.gateway import Limits
from oc_ops.observe.config import Credential, GatewayConfig
from oc_ops.observe.credential import Held
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.rpc import RefusalKind, RpcRefused, RpcReply
from oc_ops.observe.sockets import Listener
from oc_ops.process.jsontext import text_at
from tests.support.sights import (
    CONTROL_UI,
    YOUNG,
    answer,
    call,
    cli,
    gateway_process,
    page,
    reply,
    restarts,
    sight,
)

TOKEN = "unauthorized: gateway token mismatch (provide gateway auth token)"
SCOPE_PENDING = (
    "gateway connect failed: GatewayClientRequestError: scope upgrade pending approval "
    "(requestId: 08727160-1000-462e-a809-7c08cb7677aa)\n"
    "GatewayTransportError: gateway closed (1008): pairing required: device is asking for more scopes than approved"
)
TARGET = "\nGateway target: ws://127.0.0.1:28789\nSource: service target\nConfig: ~/.openclaw/openclaw.json"


def failed(message: str, **changes: object) -> Answer:
    """`gateway call status --json` that did not get through: JSON from 2026.6 on, else words on standard error."""
    if changes:
        error = {"type": "GatewayTransportError", "message": message, **changes}
        return answer({"ok": False, "error": error}, outcome="refused")
    return answer(None, outcome="refused", stderr=f"Gateway call failed: GatewayTransportError: {message}{TARGET}")


UNANSWERED, REJECTED, MISSING = "gateway/rpc-unanswered", "gateway/auth-rejected", "gateway/credential-missing"
UNUSABLE, UNPAIRED, MISDIRECTED, OUTDATED = "cli/unusable", "cli/unpaired", "cli/misdirected", "cli/outdated"


STATUS = {"runtimeVersion": "2026.9.6", "heartbeat": {"agents": []}, "sessions": {"count": 0}}


@pytest.mark.parametrize(
    ("status", "check"),
    [
        (answer(STATUS), None),
        (answer({"heartbeat": {"agents": []}}), None),
        (failed("connect ECONNREFUSED 127.0.0.1:28789", kind="unreachable"), UNUSABLE),
        (failed("gateway timeout after 10000ms", kind="unreachable"), UNUSABLE),
        (failed(TOKEN, details={"code": "AUTH_TOKEN_MISMATCH"}), REJECTED),
        (failed("gateway timeout after 10000ms"), UNUSABLE),
        (failed("gateway closed (1006 abnormal closure (no close frame)): no close reason"), UNUSABLE),
        (failed(f"gateway closed (1008): {TOKEN}"), REJECTED),
        (failed("gateway closed (1008): unauthorized: gateway token mismatch (set gateway.remote.token)"), REJECTED),
        (answer(None, outcome="timed-out"), UNUSABLE),
        (answer(None, outcome="refused", stderr=SCOPE_PENDING), UNPAIRED),
        (answer(STATUS, outcome="timed-out"), UNUSABLE),
        (answer({}), UNUSABLE),
        (answer({"runtimeVersion": None}), UNUSABLE),
        (answer({"ok": False, "error": 7}), UNUSABLE),
    ],
    ids=["healthy", "healthy 2026.2.26", "down 2026.9.6", "hung 2026.9.6", "token 2026.9.6", "hung, older",
         "down, older", "token 2026.5.28", "token 2026.2.26", "no output", "scope pending 2026.5.28",
         "cut short", "empty object", "no version", "wrong types"],
)  # fmt: skip
def test_status_answered(status: Answer, check: str | None) -> None:
    """The command's own status is judged by content: exit 0 in a bad state does not help it."""
    finding = access.status_answered(status)
    assert (finding.check if finding else None) == check
    if finding is not None:
        assert not restarts(finding)
        assert finding.proof == ""
        assert not finding.saw.endswith("{")


def test_a_call_that_does_not_get_through_to_a_live_gateway_restarts_nothing() -> None:
    """When RPC has just read the status, a failing command is the CLI's: a warning, a refused token too."""
    late = access.status_answered(answer(None, "gateway status --json", "timed-out"), read=True)
    assert late is not None
    assert (late.check, restarts(late)) == ("cli/unusable", False)
    refused = access.status_answered(failed("unauthorized: token mismatch"), read=True)
    assert refused is not None
    assert {late.severity, refused.severity} == {"warning"}
    assert refused.check == UNUSABLE  # the config's own credential has just been taken


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
        (cli("Error: gateway timeout after 8000ms"), UNUSABLE),
        (cli("Gateway not reachable at ws://127.0.0.1:28789 (ECONNREFUSED)."), UNUSABLE),
        (cli(f"gateway connect failed: GatewayClientRequestError: {TOKEN}"), REJECTED),
        (cli(f"gateway connect failed: Error: {TOKEN}"), REJECTED),
        (cli(SCOPE_PENDING), UNPAIRED),
        (cli("gateway status requires credentials before opening a websocket"), MISSING),
        (cli(""), UNUSABLE),
        (answer({"ok": False, "error": {"type": "gateway_request_error", "message": TOKEN}}, outcome="refused"),
         REJECTED),
        (answer({}, "gateway call status --json"), UNUSABLE),
        (answer(None, "gateway call status --json", "timed-out"), UNUSABLE),
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
        lost = isinstance(read, RpcReply) and read.outcome in ("silent", "closed")
        lost = lost or (isinstance(read, RpcRefused) and read.kind in ("silent", "closed"))
        assert restarts(finding) == bool(finding.proof) == lost
        assert finding.saw
        assert "{" not in finding.saw


CREDENTIALS = (
    "gateway.auth.token is configured as a secret reference but is unavailable in this command path.\n"
    "Fix: set OPENCLAW_GATEWAY_TOKEN/OPENCLAW_GATEWAY_PASSWORD, pass explicit --token/--password,"
)
OVERRIDE = "gateway url override requires explicit credentials\nFix: pass --token or --password with --url"
PLAINTEXT = (
    'SECURITY ERROR: Gateway URL "ws://192.0.2.2:29101" uses plaintext ws:// to a non-loopback address.\n'
    "Both credentials and chat data would be exposed to network interception.\nSource: env OPENCLAW_GATEWAY_URL"
)


def json_error(error_type: str, message: str, **more: object) -> Answer:
    """A call of 2026.9.6 that fails: JSON on standard output, of several lines, and nothing else."""
    value = {"ok": False, "error": {"type": error_type, "message": message, **more}}
    made = call("gateway call status --json", "refused", stdout=json.dumps(value, indent=2))
    return Answer(made, value)


@pytest.mark.parametrize(
    ("read", "check"),
    [
        (json_error("gateway_credentials_required", CREDENTIALS), MISSING),
        (json_error("cli_error", CREDENTIALS), MISSING),
        (json_error("cli_error", "failed to resolve gateway.auth.token locally (Environment variable X is missing or "
                    "empty.)"), MISSING),
        (json_error("gateway_credentials_required", OVERRIDE), MISDIRECTED),
        (json_error("cli_error", PLAINTEXT), MISDIRECTED),
        (json_error("gateway_request_error", "device pairing required (requestId: 1)", code="NOT_PAIRED"), UNPAIRED),
        (json_error("gateway_request_error", "no", details={"code": "PAIRING_REQUIRED"}), UNPAIRED),
        (json_error("gateway_request_error", "no", details={"code": "AUTH_TOKEN_MISMATCH"}), REJECTED),
        (json_error("cli_error", "Refusing to ask because this OpenClaw binary (2026.7.1-2) is older than the config "
                    "last written by OpenClaw 2026.9.2."), OUTDATED),
        (json_error("gateway_transport_error", "gateway timeout after 8000ms", kind="timeout"), UNUSABLE),
        (json_error("gateway_transport_error", "Gateway not reachable at ws://127.0.0.1:1 (ECONNREFUSED).",
                    kind="closed"), UNUSABLE),
        (json_error("cli_error", "EACCES: permission denied, open '/home/u/.openclaw/x'"), UNUSABLE),
        (json_error("cli_error", ""), UNUSABLE),
        (Answer(call("gateway call status --json", "refused", stdout='{\n  "ok": false,\n  "error": {\n'), None),
         UNUSABLE),
    ],
    ids=["SecretRef", "of another command", "2026.7.1-2", "URL of the environment", "plaintext URL", "never paired",
         "pairing by its code", "another token", "older than the config", "timeout", "refused", "no permission",
         "no message", "torn"],
)  # fmt: skip
def test_the_cli_s_own_error_is_the_evidence(read: Answer, check: str) -> None:
    """Its JSON says why, and whose fault it is: never the gateway's, beside a live read never more than a warning."""
    finding = access.read_unanswered(read, sight())
    assert finding is not None
    assert (finding.check, finding.severity, finding.proof) == (check, "error", "")
    beside = access.status_answered(read, read=True)
    assert beside is not None
    assert (beside.severity, beside.check == check) == ("warning", check != REJECTED)
    for each in (finding, beside):
        assert not restarts(each)
        assert each.fix.startswith("none automatic: ")
        assert "{" not in each.saw
    message = text_at(read.value, "error", "message").split("\n")[0]
    assert message in finding.saw


def test_what_a_credential_rests_on_is_named_and_who_has_it() -> None:
    """The variable by its name, the gateway's process and the unit's file; never its value, and no restart."""
    credential = Credential("unresolved", why="gateway.auth.token refers to an unset variable", variables=("GW_TOK",))
    held = Held(("GW_TOK",), {"GW_TOK": "s3cret-value"}, ("the gateway's process (pid 7)", "/etc/gateway.env"))
    for read in (
        json_error("gateway_credentials_required", CREDENTIALS),
        RpcRefused("auth", "unauthorized: gateway token missing", "AUTH_TOKEN_MISSING"),
    ):
        finding = access.read_unanswered(read, sight(), Limits(), credential, held)
        assert finding is not None
        assert finding.check == MISSING
        assert "$GW_TOK is not set here" in finding.fact
        assert "pid 7" in finding.saw
        assert "/etc/gateway.env" in finding.saw
        assert finding.fix.startswith("none automatic: set GW_TOK in the state directory's .env")
        assert "restart is useless" in finding.fix
        assert "s3cret" not in str(finding)
    known = access.lent(credential, held)
    assert known is not None
    assert (known.check, known.severity) == (MISSING, "info")
    assert access.lent(credential, None) is access.lent(credential, Held(("GW_TOK",))) is None


def test_a_value_of_this_shell_is_taken_away_first() -> None:
    """It wins over the state directory's .env, so that setting it there alone would change nothing."""
    credential = Credential("token", "stale", variables=("GW_TOK",))
    held = Held(("GW_TOK",), {"GW_TOK": "s3cret-value"}, ("the gateway's process (pid 7)",), astray=("GW_TOK",))
    found = access.lent(credential, held)
    assert found is not None
    assert found.fix.startswith("none automatic: unset GW_TOK in this shell, whose value is another, and set GW_TOK in")


def test_a_gateway_that_was_started_without_its_variable_takes_it_at_its_next_start() -> None:
    """It has a throw-away token: there is no value that this shell could be given to get in now."""
    credential = Credential("unresolved", why="gateway.auth.token refers to an unset variable", variables=("GW_TOK",))
    held = Held(("GW_TOK",), note="the gateway's process (pid 7) was started without it", lacking=True)
    finding = access.read_unanswered(cli(CREDENTIALS), sight(), Limits(), credential, held)
    assert finding is not None
    assert finding.check == MISSING
    assert "set GW_TOK in the state directory's .env" in finding.fix
    assert "at its next start only" in finding.fix
    assert not restarts(finding)


def test_a_gateway_behind_a_proxy_refuses_nothing_of_the_config() -> None:
    """It has no credential for callers of its own machine: no token of the config is wrong, and a password lets in."""
    names = ("OPENCLAW_GATEWAY_PASSWORD",)
    proxied = Credential("unresolved", why="gateway.auth.mode is trusted-proxy", variables=names, lets_in="password")
    held = Held(names, note="the gateway's process (pid 7) was started without it")
    finding = access.read_unanswered(cli("unauthorized"), sight(), Limits(), proxied, held)
    assert finding is not None
    assert finding.check == MISSING
    assert "set OPENCLAW_GATEWAY_PASSWORD in this shell" in finding.fix
    assert "pid 7" not in finding.saw
    gone = Credential("none", why="there is no file x", variables=names, lets_in="config")
    lost = access.read_unanswered(cli("unauthorized"), sight(), Limits(), gone, held)
    assert lost is not None
    assert "say where the config is" in lost.fix
    has_one = Held(names, holders=("the gateway's process (pid 7)",))
    known = access.read_unanswered(cli("unauthorized"), sight(), Limits(), proxied, has_one)
    assert known is not None
    assert "set OPENCLAW_GATEWAY_PASSWORD in the state directory's .env" in known.fix


def test_another_value_here_than_the_gateway_s_is_our_side_too() -> None:
    """A variable of this shell is refused: it is not said of the config's credential, which is in the environment."""
    credential = Credential("token", "stale", variables=("OPENCLAW_GATEWAY_TOKEN",))
    finding = access.read_unanswered(RpcRefused("auth", TOKEN), sight(), Limits(), credential)
    assert finding is not None
    assert finding.check == MISSING
    assert "another value here" in finding.fact
    own = access.read_unanswered(RpcRefused("auth", TOKEN), sight(), Limits(), Credential("token", "of the config"))
    assert own is not None
    assert own.check == REJECTED


def test_without_another_lane_a_closed_one_is_one_finding() -> None:
    """No credential, or a device that waits for its approval: named, and nothing of it is the gateway's."""
    for kind, check in (("secret-unresolved", MISSING), ("pairing", MISSING)):
        finding = access.lane_closed(RpcRefused(kind, "why"), None, None)  # type: ignore[arg-type]
        assert finding is not None
        assert (finding.check, restarts(finding)) == (check, False)
    assert access.lane_closed(RpcRefused("tls", "why"), None, None) is None


@pytest.mark.parametrize(
    ("seen", "proven"),
    [
        (sight(), True),
        (sight(listener=Listener(None)), True),
        (sight(listener=None), True),
        (sight(listener=Listener(99, "docker-proxy -container-port 18789")), False),
        (sight(processes=()), False),
        (sight(processes=(gateway_process(certain=False),)), False),
    ],
    ids=["it listens", "another user's socket, its own lock", "no sockets to be seen", "a forwarder listens",
         "no process", "a process that may be one"],
)  # fmt: skip
def test_only_the_gateway_s_own_process_proves_silence(seen: GatewayProbe, proven: bool) -> None:
    """A restart needs a process of this very gateway behind the connection that was taken and not answered."""
    for read in (reply("status", outcome="silent", message="no answer"), RpcRefused("silent", "no hello")):
        finding = access.read_unanswered(read, seen)
        assert finding is not None
        assert (finding.check, bool(finding.proof), restarts(finding)) == (UNANSWERED, proven, proven)


@pytest.mark.parametrize(
    ("url", "elsewhere"),
    [("", False), ("ws://127.0.0.1:28789", False), ("ws://localhost:28789/", False), ("ws://127.0.0.1:1", True),
     ("wss://me:s3cret@gw.example.org/path?token=s3cret", True), ("ws://[::1", True)],
)  # fmt: skip
def test_a_url_of_the_environment_may_send_the_operator_elsewhere(url: str, elsewhere: bool) -> None:
    """A warning with the bare address, without what may be secret in it."""
    finding = access.misdirected(GatewayConfig(Path("/c"), True, url=url), 28789)
    assert (finding is not None) == elsewhere
    if finding is not None:
        assert (finding.check, finding.severity) == (MISDIRECTED, "warning")
        assert "s3cret" not in str(finding)


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
