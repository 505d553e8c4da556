"""Observations made by hand, in the shapes that real gateways and CLIs showed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from oc_ops.judge.finding import Finding
from oc_ops.observe.http import Kind, Probe
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.processes import GatewayProcess
from oc_ops.observe.rpc import RpcReply
from oc_ops.observe.sockets import Listener
from oc_ops.process.jsontext import json_object
from oc_ops.process.run import Call, Outcome
from oc_ops.process.supervise import Output

PORT = 28789
PID = 16916
PROMPT_S = 0.003


def said(body: object, path: str = "/healthz", status: int = 200, wall_s: float = PROMPT_S) -> Probe:
    """An answer in JSON."""
    return Probe(path, "answered", wall_s, status, "application/json; charset=utf-8", body=json.dumps(body))


def page(body: str, path: str = "/healthz", status: int = 200) -> Probe:
    """An answer in HTML."""
    return Probe(path, "answered", PROMPT_S, status, "text/html", body=body)


def nothing(kind: Kind, path: str = "/healthz", wall_s: float = 2.0, detail: str = "") -> Probe:
    """A probe that brought no answer."""
    return Probe(path, kind, wall_s, detail=detail)


LIVE = said({"ok": True, "status": "live"})
STARTED = said({"ok": True, "status": "started", "version": "2026.9.6", "uptimeMs": 86_400_000}, "/startupz")
CONTROL_UI = "<!doctype html><html><head><title>OpenClaw Control</title></head><body><openclaw-app></openclaw-app>"
PYTHON = Listener(4242, "python3 -m http.server 28789 --bind 127.0.0.1")
GATEWAY = Listener(PID, "openclaw-gateway")


def ready(
    failing: tuple[str, ...] = (), *, delay_ms: float = 20.0, utilization: float = 0.01, uptime_ms: float = 86_400_000
) -> Probe:
    """The answer of /readyz."""
    body = {
        "ready": not failing,
        "failing": list(failing),
        "uptimeMs": uptime_ms,
        "eventLoop": {"delayP99Ms": delay_ms, "delayMaxMs": delay_ms, "utilization": utilization},
    }
    return said(body, "/readyz", 503 if failing else 200)


def gateway_process(age_s: float = 86_400.0, status: str = "sleeping", **changes: Any) -> GatewayProcess:
    """The gateway's process, an old and idle one unless told otherwise."""
    members: dict[str, Any] = {
        "pid": PID,
        "parent": 1,
        "age_s": age_s,
        "status": status,
        "cpu_s": 30.0,
        "rss_bytes": 400 * 2**20,
        "title": "openclaw-gateway",
        "evidence": "titled openclaw-gateway",
    }
    return GatewayProcess(**{**members, **changes})


def sight(live: Probe = LIVE, **changes: Any) -> GatewayProbe:
    """What is seen of a gateway: a healthy one of 2026.9.6, unless its first answer or something else is changed."""
    members: dict[str, Any] = {"processes": (gateway_process(),)}
    if live.kind != "refused":
        members["listener"] = GATEWAY
    if live.kind == "answered":
        members |= {"startup": STARTED, "ready": ready()}
    return GatewayProbe(PORT, live, **{**members, **changes})


def output(text: str) -> Output:
    """A whole stream."""
    return Output(text.encode(), b"", len(text.encode()))


def call(
    words: str, outcome: Outcome = "answered", *, stdout: str = "", stderr: str = "", wall_s: float = 0.9, why: str = ""
) -> Call:
    """A finished `openclaw` call."""
    code = {"answered": 0, "refused": 1}.get(outcome)
    return Call(
        argv=("/opt/openclaw/openclaw", *words.split()),
        outcome=outcome,
        exit=code,
        signal=6 if outcome == "crashed" else None,
        wall_s=wall_s,
        cpu_s=1.0,
        started_at=datetime(2026, 11, 22, 3, 0, tzinfo=UTC),
        stdout=output(stdout),
        stderr=output(stderr),
        killed=0,
        deadline_s=20.0,
        answer_s=0.8 if outcome == "lingered" else None,
        why=why,
    )


def answer(
    value: Mapping[str, object] | None,
    words: str = "gateway status --json",
    outcome: Outcome = "answered",
    stderr: str = "",
) -> Answer:
    """A call and the JSON object it printed."""
    stdout = json.dumps(value) if value is not None else ""
    return Answer(call(words, outcome, stdout=stdout, stderr=stderr), json_object(stdout))


def reply(method: str, payload: object = None, **changes: Any) -> RpcReply:
    """An RPC reply."""
    return RpcReply(method, changes.pop("outcome", "ok"), payload, wall_s=changes.pop("wall_s", 0.012), **changes)


YOUNG = (gateway_process(age_s=12.0),)


def restarts(finding: Finding) -> bool:
    """Whether the fix restarts the gateway."""
    return finding.fix.startswith("openclaw gateway restart") or "&& openclaw gateway restart" in finding.fix


def cli(text: str) -> Answer:
    """`gateway call status` failing with this on standard error."""
    return answer(None, "gateway call status --json", "refused", stderr=text)
