"""The words of a credential that is missing or refused, as the CLI and the gateway of three releases say them."""

from __future__ import annotations

_WORDS = (
    "unauthorized",
    "token mismatch",
    "password mismatch",
    "auth_",
    "auth-rejected",
    "requires credentials",
    "pairing required",
    "scope upgrade",
    "missing scope",
)


def is_credential_error(text: str) -> bool:
    """True when an error text (2026.2.26 to 2026.9.6) is about a token, password, device, pairing or scope."""
    return any(word in text.lower() for word in _WORDS)
