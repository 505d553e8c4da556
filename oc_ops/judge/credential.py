"""What on our own side keeps a call from being answered, by the words and codes of CLI and gateway."""

from __future__ import annotations

import re
from typing import Literal

Reason = Literal["misdirected", "outdated", "unpaired", "missing", "refused", ""]
"""misdirected: sent elsewhere. outdated: older than what last wrote config or state. unpaired: the device or its scope
waits for an approval. missing: there is no credential to ask with. refused: there is one, and the gateway does not take
it. Empty: the words speak of nothing on our side.
"""

_REASONS: tuple[tuple[Reason, re.Pattern[str]], ...] = (
    (
        "misdirected",
        re.compile(
            r"plaintext ws://|url override requires|Source: (?:env OPENCLAW_GATEWAY_URL|config gateway\.remote)"
            r"|gateway\.remote\.url",
            re.I,
        ),
    ),
    (
        "outdated",
        re.compile(r"older than the config|newer schema version|schema\(s\) are newer|written by a newer", re.I),
    ),
    (
        "unpaired",
        re.compile(
            r"\bpairing[- _]required|\bnot[- _]paired|scope[- _]upgrade|missing[- _]scope|pending approval"
            r"|\bdevice[- _](?:token|identity|auth|nonce|signature|public)|\bAUTH_DEVICE_|\bAUTH_SCOPE_|\bDEVICE_",
            re.I,
        ),
    ),
    (
        "missing",
        re.compile(
            r"gateway_credentials_required|requires (?:explicit )?credentials|secret ?reference|SecretRef"
            r"|failed to resolve gateway\.auth|env(?:ironment)? var(?:iable)? \S+ (?:is )?(?:missing|not set|unset)"
            r"|MissingEnvVar|has no (?:token|password)|(?:token|password)[- _]missing|AUTH_REQUIRED"
            r"|(?:token|password) (?:is )?(?:required|missing)",
            re.I,
        ),
    ),
    (
        "refused",
        re.compile(r"unauthorized|(?:token|password)[- _]mismatch|\bauth[- _]rejected|\bauth_\w+|rate_limited", re.I),
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
