"""Strangers' text made fit to be shown: one printable line without secrets, as often as it comes again."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from oc_ops.record.redact import Redactor

TEXT_CHARS = 300
_REMEMBERED = 1024


class Cleaner:
    """A redactor that remembers what it has cleaned, until it learns of other secrets."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._redactor = Redactor((), home)
        self._cleaned = lru_cache(_REMEMBERED)(self._clean)

    def __call__(self, text: str, limit: int = TEXT_CHARS) -> str:
        """At most `limit` characters of it."""
        return self._cleaned(text, limit)

    def renew(self, secrets: Iterable[str]) -> None:
        """These are the secrets from now on."""
        self._redactor = Redactor(tuple(secrets), Path.home(), [self._home])
        self._cleaned.cache_clear()

    def _clean(self, text: str, limit: int) -> str:
        return self._redactor.line(text, limit)
