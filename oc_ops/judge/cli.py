"""Judges of the operator's own tools: the `openclaw` executable and the config it reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oc_ops.judge.finding import Finding
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.jsontext import at, text_at
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.process import Call

_VERIFY = "pytest checks/ -m doctor -k test_cli"


def missing(executable: Path | None, looked: Sequence[str] = ()) -> Finding | None:
    """No `openclaw` on PATH nor in the usual install places."""
    if executable is not None:
        return None
    return Finding(
        "cli/missing",
        "error",
        fact="there is no `openclaw` command",
        saw=f"not on PATH ({', '.join(looked)}) and not in the usual install places",
        fix="none automatic: install OpenClaw (npm install -g openclaw), or name it: OC_OPS_OPENCLAW=/path/to/openclaw",
        verify=_VERIFY,
    )


def unusable(version: Call) -> Finding | None:
    """The command is there and cannot even print its version: it crashes, hangs, or its Node is too old."""
    if version.outcome in ("answered", "lingered"):
        return None
    words = version.stderr.text + version.stdout.text
    node = "Node" in words and ("requires" in words or "required" in words or "unavailable" in words or "use " in words)
    return Finding(
        "cli/unusable",
        "error",
        fact="the `openclaw` command does not work" + (": its Node.js is too old" if node else ""),
        saw=version.summary,
        fix="none automatic: put a newer Node.js first on PATH (openclaw --version then prints a version)"
        if node
        else "npm install -g openclaw",
        verify=_VERIFY,
    )


def invalid_config(config: GatewayConfig, *, lives: bool = False) -> Finding | None:
    """The config file does not parse: the next restart would not come up."""
    return _invalid(config.path, config.error, lives) if config.error else None


def rejected_config(answer: Answer, config: GatewayConfig, *, lives: bool = False) -> Finding | None:
    """The config parses, but OpenClaw's own validation says no; None when this answer does not speak of it."""
    value = answer.value
    said: object = at(value, "config", "cli") if at(value, "config", "cli") is not None else value
    if at(said, "valid") is not False:
        return None
    issues = at(said, "issues")
    first = issues[0] if isinstance(issues, list) and issues else {}
    where = text_at(first, "path")
    words = text_at(first, "message") or answer.error or "validation failed"
    return _invalid(config.path, f"{where}: {words}" if where and where != "<root>" else words, lives)


def _invalid(path: Path, why: str, lives: bool) -> Finding:
    lead = "the gateway still runs on what it read before; do not restart it: " if lives else ""
    return Finding(
        "config/invalid",
        "error",
        fact="the config is invalid: a gateway that starts now will not come up",
        saw=f"{path}: {why}",
        fix=f"none automatic: {lead}repair {path} (openclaw config validate shows each issue; "
        "openclaw doctor --fix repairs what it can)",
        verify="openclaw config validate",
    )
