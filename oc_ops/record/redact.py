"""The one place where secrets and the home directory leave a text before it is written anywhere."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote, quote_plus

from oc_ops.record.shapes import PLACEHOLDER, is_secret_flag, is_secret_name, without_secrets
from oc_ops.record.untrusted import BLOCK_LIMIT, LINE_LIMIT, one_line, printable

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

_SHORTEST = 6
_TRIVIAL = frozenset(
    {"default", "disabled", "enabled", "gateway", "localhost", "loopback", "openclaw"}
    | {"password", "redacted", "secret", "undefined", "127.0.0.1"}
)
_SECRET_WORD = re.compile(
    r"(?:TOKENS?|SECRETS?|PASSWORDS?|PASSWD|PASSPHRASE|KEYS?|CREDENTIALS?|COOKIES?)$|^(?:PASS|AUTH)$", re.IGNORECASE
)
_PLACE_WORDS = frozenset({"FILE", "PATH", "DIR", "SOCK"})


def secrets_in(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of the environment variables whose names say that they are secret (`…_TOKEN`, `PGPASSWORD`)."""
    return tuple(value for name, value in environ.items() if value and _names_a_secret(name))


def _names_a_secret(name: str) -> bool:
    words = name.split("_")
    return words[-1].upper() not in _PLACE_WORDS and any(_SECRET_WORD.search(word) for word in words)


class Redactor:
    """Replaces known secrets, whatever looks like one, and the home directory (as `~`).

    Values shorter than 6 characters and everyday words are not searched for by value, since that would eat ordinary
    text; by shape (`token=…`) they still go. Every method is linear in its input and idempotent.
    """

    def __init__(self, secrets: Iterable[str], home: Path, other_homes: Iterable[Path] = ()) -> None:
        forms = {form for value in secrets for form in _forms(value)}
        self._forms = sorted(forms - {""}, key=lambda form: (-len(form), form))
        self._home = _home_pattern((home, *other_homes))

    def __repr__(self) -> str:
        return f"Redactor({len(self._forms)} forms)"

    def text(self, text: str) -> str:
        """Return `text` without secrets; its length and line structure may change, its controls stay."""
        for form in self._forms:
            text = text.replace(form, PLACEHOLDER)
        text = without_secrets(text)
        return self._home.sub(_tilde, text) if self._home else text

    def argv(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Return the arguments one by one, the value after a `--token` or the like replaced whatever it looks like."""
        shown: list[str] = []
        for previous, argument in zip(("", *argv), argv, strict=False):
            after_flag = is_secret_flag(previous) and argument and not argument.startswith("-")
            shown.append(PLACEHOLDER if after_flag else self.text(argument))
        return tuple(shown)

    def json(self, value: Json) -> Json:
        """Return a JSON value with every string redacted, keys included, and strings under a secret's name replaced."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(key): self._under(key, each) for key, each in value.items()}
        if isinstance(value, Sequence):
            return [self.json(each) for each in value]
        return value

    def _under(self, key: str, value: Json) -> Json:
        if isinstance(value, str) and value and is_secret_name(key, value):
            return PLACEHOLDER
        return self.json(value)

    def block(self, text: str, limit: int = BLOCK_LIMIT, line_limit: int = LINE_LIMIT) -> str:
        """Return text ready to show in several lines: redacted first, so that no cut can leave half a secret."""
        return printable(self.text(text), limit, line_limit=line_limit)

    def line(self, text: str, limit: int = 600) -> str:
        """Return text ready to show on one line."""
        return one_line(self.text(text), limit)


def _forms(value: str) -> Iterator[str]:
    """The spellings under which a secret turns up: itself, URL-encoded, JSON- and HTML-escaped, base64."""
    value = value.strip()
    if len(value) < _SHORTEST or value.lower() in _TRIVIAL or value in PLACEHOLDER or re.fullmatch(r"\$\{\w+\}", value):
        return
    raw = value.encode("utf-8", "surrogatepass")
    yield value
    yield from (quote(raw, safe=""), quote(raw), quote_plus(raw))
    escaped = json.dumps(value)[1:-1]
    yield from (
        escaped,
        json.dumps(escaped)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        escaped.replace("/", "\\/"),
    )
    yield from (html.escape(value), html.escape(value, quote=False))
    for core in _base64_cores(raw):
        yield from (core, core.replace("+", "-").replace("/", "_"))
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= 16 and not line.startswith("-----"))


def _base64_cores(raw: bytes) -> Iterator[str]:
    """What base64 makes of the bytes at each of the three alignments, without what depends on neighbours."""
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw).decode("ascii")
        yield encoded[(offset * 8 + 5) // 6 : (offset + len(raw)) * 8 // 6]


def _home_pattern(homes: Iterable[Path]) -> re.Pattern[str] | None:
    spellings: set[str] = set()
    for home in homes:
        for path in {home.as_posix().rstrip("/"), home.resolve().as_posix()}:
            if len(path) > 1:
                spellings |= {path.removeprefix("/private"), quote(path, safe=""), path.replace("/", "\\/")}
    if not spellings:
        return None
    either = "|".join(re.escape(spelling) for spelling in sorted(spellings, key=len, reverse=True))
    return re.compile(rf"(?:(?:/|%2F|\\/)private)?(?:{either})(?![\w-]|\.\w)")


# A neighbour that could continue the path means another directory: /home/joe is not /home/joel, nor /x/home/joe.
# An escaped newline, an escaped slash, the end of a colour and a flag (-I/home/joe) are no such neighbours.
_BEGINS = re.compile(r"(?<![\w.~-])|(?<=\\[nrt])|(?<=%2F)|(?<=[0-9\[]m)|(?<=-[A-Z])")


def _tilde(match: re.Match[str]) -> str:
    return "~" if _BEGINS.match(match.string, match.start()) else match[0]
