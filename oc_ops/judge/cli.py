"""Judges of our own side: the `openclaw` executable, the config it reads, and why our calls are not answered."""

from __future__ import annotations

import re
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from oc_ops.judge.finding import Finding, finds, none
from oc_ops.judge.state import is_config_issue
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.openclaw import Answer
from oc_ops.process.jsontext import at, text_at
from oc_ops.process.run import Call
from oc_ops.text import listing, regex

Reason = Literal["misdirected", "outdated", "unpaired", "missing", "refused", ""]
"""misdirected: sent elsewhere. outdated: older than what last wrote config or state. unpaired: the device or its scope
waits for an approval. missing: there is no credential to ask with. refused: there is one, and the gateway does not take
it. Empty: the words speak of nothing on our side.
"""

_REASONS: tuple[tuple[Reason, re.Pattern[str]], ...] = (
    (
        "misdirected",
        regex(
            r"plaintext ws://|url override requires|Source: (?:env OPENCLAW_GATEWAY_URL|config gateway\.remote)"
            r"|gateway\.remote\.url",
            re.I,
        ),
    ),
    (
        "outdated",
        regex(r"older than the config|newer schema version|schema\(s\) are newer|written by a newer", re.I),
    ),
    (
        "unpaired",
        regex(
            r"\bpairing[- _]required|\bnot[- _]paired|scope[- _]upgrade|missing[- _]scope|pending approval"
            r"|\bdevice[- _](?:token|identity|auth|nonce|signature|public)|\bAUTH_DEVICE_|\bAUTH_SCOPE_|\bDEVICE_",
            re.I,
        ),
    ),
    (
        "missing",
        regex(
            r"gateway_credentials_required|requires (?:explicit )?credentials|secret ?reference|SecretRef"
            r"|failed to resolve gateway\.auth|env(?:ironment)? var(?:iable)? \S+ (?:is )?(?:missing|not set|unset)"
            r"|MissingEnvVar|has no (?:token|password)|(?:token|password)[- _]missing|AUTH_REQUIRED"
            r"|(?:token|password) (?:is )?(?:required|missing)",
            re.I,
        ),
    ),
    (
        "refused",
        regex(r"unauthorized|(?:token|password)[- _]mismatch|\bauth[- _]rejected|\bauth_\w+|rate_limited", re.I),
    ),
)


def reason(text: str, codes: tuple[str, ...] = ()) -> Reason:
    """The reason on our side that an error's text or codes name; what says most of it is asked first.

    Measured on 2026.2.26 to 2026.9.6. 2026.9.6 gives a URL of the environment the type of a missing credential, and a
    missing one the connection kind `unreachable`: so the words count before the codes.
    """
    for each in (text, *codes):
        for name, pattern in _REASONS:
            if pattern.search(each):
                return name
    return ""


def said_nothing(answer: Answer) -> str:
    """Why a call of ours speaks of nobody: it crashed, or was ended at our own deadline without a word; else nothing.

    A control or a scheduler that does not answer is told by the command itself, once its own `--timeout` is over.
    """
    mute = answer.call.outcome == "timed-out" and not answer.complaint.strip() and answer.value is None
    if not mute and answer.call.outcome not in ("crashed", "missing"):
        return ""
    return f"our own call came to no answer, which says nothing of the gateway: {answer.call.summary}"


@finds(
    "cli/missing",
    checks=("cli/works",),
    cure=none("without the command nothing can be restarted by it"),
    means="there is no `openclaw` command",
    helps="install it, or name it",
)
def missing(
    executable: Path | None,
    config: GatewayConfig,
    looked: Sequence[str] = (),
    runs: bool = False,
    own: Path | None = None,
    others: Sequence[str] = (),
) -> Finding | None:
    """No `openclaw` on PATH nor in the usual install places; without a config either, it is likely another user's.

    `runs` says that the gateway lives, `own` is the command by its process: another OpenClaw may bring its state to a
    release it knows not. `others` name the gateways that may be meant instead.
    """
    if executable is not None:
        return None
    fact, saw = (
        "there is no `openclaw` command",
        f"not on PATH ({', '.join(dict.fromkeys(looked))}) and not in the usual install places",
    )
    fix = "install OpenClaw (npm install -g openclaw), or name it: OC_OPS_OPENCLAW=/path/to/openclaw"
    if runs:
        fix = "name the one of the gateway that runs, and install no other beside it: "
        fix += f"OC_OPS_OPENCLAW={own or '/path/to/openclaw'}"
    elif not config.exists:
        fact = "there is no OpenClaw for this user: no `openclaw` command and no config"
        saw += f"; no file {config.path}"
        fix = f"run the doctor as the user who runs the gateway; else {fix}"
        if others:
            fix = f"name the gateway that is meant: {listing(others, 3)} (oc-ops targets lists them)"
    return Finding("cli/missing", "error", fact, saw, f"none automatic: {fix}")


_OLD_NODE = regex(r"requires Node|Node(?:\.js)? \S+ is (?:required|unsupported)|node:sqlite is unavail|Use Node\.js")
_NO_NODE = regex(r"env: \W?node\W?: No such file|(?<![\w/])node: (?:command )?not found")
"""Output of the measured releases when Node.js is too old, and what `#!/usr/bin/env node` prints without one."""


_UNUSABLE = "the `openclaw` command does not work"
_NOT_STARTED = (126, 127)
"""Exit codes of a shell whose command may not be run, or is not found."""


_FEW_FILES = 64
"""Node.js 24 does not start with 24 open files allowed, whatever it then says of itself; with 110 it does."""


def unusable(version: Call, environ: Mapping[str, str] = MappingProxyType({})) -> Finding | None:
    """The command is there and cannot even print its version: it crashes, hangs, or its Node is too old.

    What our own shell gives it may be the reason: NODE_OPTIONS in `environ`, or how many files it may open.
    """
    if version.outcome in ("answered", "lingered"):
        return None
    fix = "reinstall the release you run (npm install -g openclaw@RELEASE), then openclaw --version"
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if 0 <= files < _FEW_FILES:
        fix = f"allow more open files than {files} where you look from (ulimit -n 1024), and look again"
    elif found := unstarted(version):
        return found
    elif environ.get("NODE_OPTIONS"):
        fix = "unset NODE_OPTIONS where you look from, and look again: every openclaw gets it; only if that changes "
        fix += "nothing reinstall OpenClaw"
    return Finding("cli/unusable", "error", _UNUSABLE, version.summary, f"none automatic: {fix}")


def unstarted(call: Call) -> Finding | None:
    """The command got nowhere in a call of any kind: its Node.js is missing or too old, or what it wraps is gone."""
    words = call.stderr.text + call.stdout.text
    gone = call.outcome == "missing" or _NO_NODE.search(words) is not None
    if gone or _OLD_NODE.search(words):
        fact = f"{_UNUSABLE}: its Node.js is {'missing' if gone else 'too old'}"
        fix = "none automatic: put the Node.js it needs first on PATH (`openclaw --version` then prints a version)"
    elif call.exit in _NOT_STARTED:
        fact = f"{_UNUSABLE}: it is a wrapper, and what it starts is not there"
        fix = (
            "none automatic: put what it starts where it looks for it, or name another: OC_OPS_OPENCLAW=/PATH/openclaw"
        )
    else:
        return None
    return Finding("cli/unusable", "error", fact, call.summary, fix)


def invalid_config(config: GatewayConfig, *, lives: bool = False) -> Finding | None:
    """The config file does not parse: the next restart would not come up."""
    return _invalid(config.path, config.error, lives) if config.error else None


@finds(
    "config/invalid",
    state="kept-out",
    checks=("config/valid", "config/accepted"),
    cure=none(
        "a gateway that restarts on an invalid config does not come up: a fault that waits would become an outage",
        proof="the config itself does not parse, or OpenClaw refuses it",
    ),
    means="the next start would not come up, for a reason in the config's own text",
    helps="repair it *before* any restart",
)
def missing_config(config: GatewayConfig) -> Finding | None:
    """There is no config file where this gateway would look; asked only of a gateway that is down.

    2026.9.6, 2026.5.28 and 2026.2.26 then refuse to start: exit 78, "Missing config. Run `openclaw setup` …".
    """
    if config.exists:
        return None
    return Finding(
        "config/invalid",
        "error",
        fact="there is no config: a gateway that starts now will not come up",
        saw=f"no file {config.path}, and no gateway runs",
        fix="none automatic: openclaw setup, if it was never set up; else run the doctor as the user who runs the "
        "gateway, or name its profile (--oc-profile NAME)",
    )


def rejected_config(answer: Answer, config: GatewayConfig, *, lives: bool = False) -> Finding | None:
    """The config parses, but OpenClaw's own validation says no; None when this answer does not speak of it.

    `valid: false` alone is no such word: 2026.9.6 says so of a damaged database and of a missing permission too.
    Releases without `config validate` (2026.2.26) say "Config invalid" in front of every other answer.
    """
    if at(answer.value, "valid") is False:
        issues = at(answer.value, "issues")
        first = next(filter(is_config_issue, issues if isinstance(issues, list) else ()), None)
        if first is None:
            return None
        where, words = text_at(first, "path"), text_at(first, "message")
        return _invalid(config.path, f"{where}: {words}" if where and where != "<root>" else words, lives)
    said = answer.call.stdout.text + answer.call.stderr.text
    return _invalid(config.path, f"{answer.call.summary}: Config invalid", lives) if "Config invalid" in said else None


def _invalid(path: Path, why: str, lives: bool) -> Finding:
    lead = "the gateway still runs on what it read before; do not restart it: " if lives else ""
    repair = f"repair {path} (openclaw config validate shows each issue; openclaw doctor --fix repairs what it can)"
    if why.startswith("$include "):
        repair = f"put right the file that it names, or take its $include out of {path}"
    return Finding(
        "config/invalid",
        "error",
        fact="the config is invalid: a gateway that starts now will not come up",
        saw=f"{path}: {why}",
        fix=f"none automatic: {lead}{repair}",
        verify="openclaw config validate",
    )
