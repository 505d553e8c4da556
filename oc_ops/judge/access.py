"""Judges of authenticated reads: does the gateway answer one, does it take our credential, or is it our own side."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from oc_ops.judge.cli import reason
from oc_ops.judge.finding import Finding, Severity, finds, none, restart
from oc_ops.judge.gateway import RESTART, Limits
from oc_ops.judge.lifecycle import within
from oc_ops.judge.port import held_by_another, is_openclaw, proves_openclaw, taken
from oc_ops.observe.config import Credential, GatewayConfig, bare
from oc_ops.observe.container import Container
from oc_ops.observe.credential import Held
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.rpc import RpcRefused, RpcReply
from oc_ops.process.jsontext import at, text_at
from oc_ops.text import regex

_LIMITS = Limits()
_WELL = "the gateway is well by all that could be looked at, and a restart is useless"
_LETS_IN = {
    "password": "set OPENCLAW_GATEWAY_PASSWORD in this shell, if the gateway has a password for callers that do not "
    "come through its proxy; without one, only what needs no credential is looked at",
    "config": "say where the config is that it was started with, OPENCLAW_CONFIG_PATH, or put it back if it is gone "
    "(openclaw.json.bak may lie beside its place): without it the next start does not come up",
}
"""The step that lets our side in where no variable does, by what the gateway lacks."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ADDRESS = regex(r"wss?://[^\s\"'\\]+")


def read_unanswered(
    read: RpcReply | RpcRefused | Answer,
    seen: GatewayProbe,
    limits: Limits = _LIMITS,
    credential: Credential | None = None,
    held: Held | None = None,
) -> Finding | None:
    """HTTP is live, and a `status` read is refused or not answered: `openclaw status`'s claim, by content.

    Only our own connection can show that the gateway does not answer. What our CLI says speaks of our CLI.
    """
    if isinstance(read, RpcRefused):
        return _refused(read, seen, limits, credential, held)
    if isinstance(read, Answer):
        return None if read.came and _is_status(read.value) else _lane_lost(read, "error", credential, held)
    if read.outcome == "ok" and _is_status(read.payload):
        return None
    words = f"{read.code or ''} {read.message}".strip() or "an answer without a status"
    saw = f"RPC {read.method}: {read.outcome} after {read.wall_s:.1f} s: {words}"
    if read.outcome == "error" and reason(words):
        return _rejected(saw)
    return _unanswered(saw, seen, lost=read.outcome in ("silent", "closed"))


def _refused(
    refused: RpcRefused, seen: GatewayProbe, limits: Limits, credential: Credential | None, held: Held | None
) -> Finding | None:
    saw = f"RPC connect: {refused.reason}"
    match refused.kind:
        case "auth":
            ours = credential is not None and credential.variables
            return credential_missing(saw, "error", credential, held) if ours else _rejected(saw)
        case "silent" | "closed" | "unreachable":
            # 2026.5.28 has no /startupz and holds its event loop for seconds just before it is ready.
            if _may_be_starting(seen, limits):
                return within(saw, seen, limits.start_budget_s)
            return _unanswered(saw, seen, lost=refused.kind != "unreachable")
        case "stranger":
            return _unanswered(saw, seen, lost=False) if _is_proven(seen) else taken(seen, saw)
        case "starting":
            return within(saw, seen, limits.start_budget_s)
        case "unproven":
            return held_by_another(seen.port, refused.code or "", refused.reason)
    return None


@finds(
    "gateway/credential-missing",
    checks=("cli/works", "gateway/rpc", "gateway/status"),
    cure=none("our own side lacks the credential; the gateway is not judged by it, and a restart gives us none"),
    means="our side lacks the credential (an unset `${VAR}`, a SecretRef); says which, and who has it",
    helps="set it in the state directory's `.env` too",
)
def lane_closed(refused: RpcRefused, credential: Credential | None, held: Held | None) -> Finding | None:
    """The RPC lane is closed for want of a credential or an approval, and there is no other lane to read through."""
    saw = f"RPC connect: {refused.reason}"
    match refused.kind:
        case "secret-unresolved":
            return credential_missing(saw, "error", credential, held)
        case "pairing":
            return Finding(
                "gateway/credential-missing",
                "error",
                fact="the gateway has not approved the device that oc-ops reads with, so it is not judged by a read",
                saw=saw,
                fix="none automatic: openclaw devices list, then openclaw devices approve REQUEST; of a gateway in a "
                f"container look inside (oc-ops targets, then --target); {_WELL}",
            )
    return None


def by_port_alone(there: Container, saw: str, severity: Severity = "warning") -> Finding:
    """A gateway in a container that answers at its port: whatever our side lacks for more is inside with it.

    An error where it refuses a credential that we have: it may be another gateway than the one that is meant.
    """
    return Finding(
        "gateway/credential-missing",
        severity,
        fact=f"the gateway runs in the {there.runtime} container {there.name}: from outside only its port is looked at",
        saw=saw,
        fix=f"none automatic: look inside: --target {there.place}, or OC_OPS_TARGET={there.place} for good; {_WELL}",
    )


def _is_proven(seen: GatewayProbe) -> bool:
    """True when process or probes have shown an OpenClaw gateway already: its odd word does not make it a stranger."""
    pages = (seen.startup, seen.ready)
    return is_openclaw(seen.listener, seen.processes) or any(each and proves_openclaw(each) for each in pages)


def _may_be_starting(seen: GatewayProbe, limits: Limits) -> bool:
    young = seen.serving is not None and seen.serving.age_s < limits.start_budget_s
    return young and text_at(seen.startup.json if seen.startup else None, "status") != "started"


def _is_status(payload: object) -> bool:
    """A status has the gateway's own version or its heartbeat table; `{}` or an echo has neither."""
    return at(payload, "runtimeVersion") is not None or at(payload, "heartbeat") is not None


# -- our own command --------------------------------------------------------------------------------------------------


def status_answered(
    answer: Answer, *, read: bool = False, credential: Credential | None = None, held: Held | None = None
) -> Finding | None:
    """A status that our own `openclaw` asked for, by content: exit codes lie in every release measured.

    `read` says that the gateway has just answered an authenticated read: then it is a warning, whatever the CLI says.
    """
    if answer.came and _is_status(answer.value):
        return None
    return _lane_lost(answer, "warning" if read else "error", credential, held)


def cli_rejected(answer: Answer) -> Finding | None:
    """The finding on our own side that keeps a call from being answered; a warning beside a live read."""
    if answer.came and at(answer.value, "rpc", "ok") is not False:
        return None
    why = reason(answer.complaint, answer.codes)
    return _ours(why, answer, "warning", None, None) if why else None


@finds(
    "cli/unpaired",
    checks=("gateway/status", "gateway/rpc"),
    cure=none("our own command lacks an approval, which no restart gives; the gateway is not judged by it"),
    means="it was never paired with the gateway, or waits for an approval",
    helps="pair it, `openclaw devices approve`",
)
def unpaired(why: str, severity: Severity) -> Finding:
    """This CLI was never paired with the gateway, and must not be by a call of ours."""
    return Finding(
        "cli/unpaired",
        severity,
        fact="the `openclaw` command was never paired with this gateway, so nothing is asked through it",
        saw=why,
        fix="none automatic: pair it once, with the scopes it needs: run any `openclaw cron add …`, or the onboarding",
    )


@finds(
    "cli/misdirected",
    checks=("gateway/status", "gateway/rpc"),
    cure=none("our own command asks elsewhere; what it says is not of this gateway"),
    means="`OPENCLAW_GATEWAY_URL`, or a bind address, sends it to another gateway",
    helps="unset it",
)
def misdirected(config: GatewayConfig, port: int) -> Finding | None:
    """OPENCLAW_GATEWAY_URL sends the operator's own commands to another gateway than the one looked at."""
    if not config.url:
        return None
    host, _, told = bare(config.url).partition("://")[2].rpartition(":")
    if told == str(port) and host.strip("[]") in (*_LOOPBACK, config.host):
        return None
    return Finding(
        "cli/misdirected",
        "warning",
        fact="OPENCLAW_GATEWAY_URL sends the `openclaw` command to another gateway than the one looked at",
        saw=f"it is {bare(config.url)}, and the gateway looked at is on port {port}; oc-ops' own calls leave it out",
        fix="none automatic: unset OPENCLAW_GATEWAY_URL (the shell's, the state directory's .env, env in the config)",
    )


def _lane_lost(answer: Answer, severity: Severity, credential: Credential | None, held: Held | None) -> Finding:
    """Why our CLI did not bring the answer: the reason on our side, or that it is not known. Never the gateway's."""
    return _ours(reason(answer.complaint, answer.codes), answer, severity, credential, held)


@finds(
    "cli/outdated",
    checks=("state/readable", "gateway/status", "gateway/rpc"),
    cure=none("a command that is older than the config's last writer refuses every start"),
    means="it is older than what last wrote the config or the state, and refuses a start; lists every `openclaw` found",
    helps="the newer one first on PATH",
)
@finds(
    "cli/unusable",
    checks=("cli/works", "gateway/status"),
    cure=none("the command is at fault, and it is the one that would have to do the restart"),
    means="it does not even print its version, or does not get through (then a warning beside a gateway that was read)",
    helps="a newer Node.js first on PATH",
)
def _ours(
    why: Literal["misdirected", "outdated", "unpaired", "missing", "refused", ""],
    answer: Answer,
    severity: Severity,
    credential: Credential | None,
    held: Held | None,
) -> Finding:
    saw = _evidence(answer)
    match why:
        case "misdirected":
            address = _ADDRESS.search(answer.complaint)
            return Finding(
                "cli/misdirected",
                severity,
                fact="the `openclaw` command asks at another address than the gateway looked at",
                saw=saw,
                fix="none automatic: see what sends it there (OPENCLAW_GATEWAY_URL, gateway.remote, gateway.bind in "
                f"the config{f': {bare(address[0])}' if address else ''}); {_WELL}",
            )
        case "outdated":
            return Finding(
                "cli/outdated",
                severity,
                fact="the `openclaw` command is older than the release that last wrote the config or the state",
                saw=saw,
                fix=f"none automatic: use the newer `openclaw` of this machine, or install that release; {_WELL}",
            )
        case "unpaired":
            return Finding(
                "cli/unpaired",
                severity,
                fact="the gateway wants the `openclaw` command's device, or its scope, to be approved",
                saw=saw,
                fix="none automatic: openclaw devices list, then openclaw devices approve REQUEST; of a gateway in a "
                f"container look inside (oc-ops targets, then --target); {_WELL}",
            )
        case "missing":
            return credential_missing(saw, severity, credential, held)
        case "refused" if severity == "error":
            ours = credential is not None and credential.variables
            return credential_missing(saw, severity, credential, held) if ours else _rejected(saw)
    return Finding(
        "cli/unusable",
        severity,
        fact="the gateway answers, and the `openclaw` command does not get through to it",
        saw=saw,
        fix="none automatic: the gateway is well, do not restart it; see this call's transcript in the report"
        if severity == "warning"
        else "none automatic: this proves nothing against the gateway, do not restart it; see this call's transcript "
        "in the report, and let the RPC lane read (OC_OPS_RPC=on)",
    )


def _evidence(answer: Answer) -> str:
    """The call, and the CLI's own words of it once."""
    error = answer.error or "no JSON answer"
    summary = answer.call.summary
    return summary if error in summary else f"{summary}: {error}"


def credential_missing(
    saw: str, severity: Severity, credential: Credential | None = None, held: Held | None = None
) -> Finding:
    """Our side lacks the credential, whoever has it: the gateway is not judged by that."""
    names = credential.variables if credential else ()
    shown = " or ".join(f"${name}" for name in names)
    who = list(held.holders) if held else []
    dotenv = f"set {' or '.join(names)} in the state directory's .env (~/.openclaw/.env) to what the gateway has"
    if held and held.astray:
        dotenv = f"unset {' '.join(held.astray)} in this shell, whose value is another, and {dotenv}"
    if held and held.lacking and not who:
        dotenv = f"set {' or '.join(names)} in the state directory's .env (~/.openclaw/.env)"
        dotenv += ", which the gateway reads at its next start only"
    if credential and credential.lets_in and not who:
        dotenv = _LETS_IN[credential.lets_in]
    where = [f"{', '.join(who)} {'has' if len(who) == 1 else 'have'} it"] if who else []
    if held and held.note and not (credential and credential.lets_in):
        where.append(held.note)
    return Finding(
        "gateway/credential-missing",
        severity,
        fact=f"the gateway's credential is not to be had from here{f': {_lack(credential, shown)}' if shown else ''}",
        saw="; ".join([saw, *([credential.why] if credential and credential.why not in saw else []), *where]),
        fix=f"none automatic: {dotenv if names else 'give this shell what the gateway was started with (gateway.auth)'}"
        f"; {_WELL}",
    )


def _lack(credential: Credential | None, shown: str) -> str:
    if credential is not None and credential.kind in ("token", "password"):
        return f"{shown} has another value here"
    return f"{shown} is not set here"


def lent(credential: Credential, held: Held | None) -> Finding | None:
    """The gateway was read with what its own process has and this shell lacks: good to know, and no fault."""
    if held is None or not held.lent:
        return None
    shown = ", ".join(f"${name}" for name in held.lent)
    found = credential_missing("the gateway was read with the value of its own process", "info", credential, held)
    return replace(found, fact=f"the gateway's credential comes from {shown}, which this shell lacks or has otherwise")


# -- the gateway ------------------------------------------------------------------------------------------------------


@finds(
    "gateway/rpc-unanswered",
    checks=("gateway/rpc",),
    cure=restart(
        "HTTP lives and an authenticated read is not answered, twice: no operator and no agent gets through",
        proof="its own socket took our connection and left an authenticated read unanswered, twice",
    ),
    means="HTTP lives, an authenticated read is not answered",
    helps="restart",
)
def _unanswered(saw: str, seen: GatewayProbe, *, lost: bool) -> Finding:
    """A read that is not answered. `lost` says that our own connection was taken and then left without an answer."""
    proof = _proof(seen) if lost else ""
    return Finding(
        "gateway/rpc-unanswered",
        "error",
        fact="the gateway does not answer an authenticated read",
        saw=saw,
        fix=RESTART
        if proof
        else "none automatic: look again; that its own process leaves a read unanswered is not "
        "proven, so do not restart it for this",
        proof=proof,
    )


def _proof(seen: GatewayProbe) -> str:
    """The process that took our connection is this target's gateway, by who listens or by its lock or manager."""
    for each in seen.processes:
        listens = seen.listener is not None and seen.listener.pid == each.pid
        if each.certain and (listens or (seen.listener is None or seen.listener.pid is None)):
            return f"its own process, {each.summary}, took our connection on port {seen.port} and answered no read"
    return ""


@finds(
    "gateway/auth-rejected",
    checks=("gateway/rpc", "gateway/status"),
    cure=none("the gateway is up and well; a restart changes no credential"),
    means="it is up and refuses the credential that the config has",
    helps="compare tokens; no restart",
)
def _rejected(saw: str) -> Finding:
    return Finding(
        "gateway/auth-rejected",
        "error",
        fact="the gateway is up and refuses the credential from the config",
        saw=saw,
        fix="none automatic: a restart does not help; compare gateway.auth with what the gateway was started with, "
        "then `openclaw devices list`",
    )
