"""The one place where secrets and the home directory leave a text before it is written anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from oc_ops.record.secret_patterns import PLACEHOLDER, is_secret_flag, without_secrets
from oc_ops.record.spellings import Known
from oc_ops.secrecy import TABLES, is_everyday, is_reference, secrets_in, tells
from oc_ops.text import BLOCK_LIMIT, LINE_LIMIT, one_line, printable

__all__ = ["Json", "Redactor", "secrets_in"]

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


class Redactor:
    """Replaces known secrets, whatever looks like one, and the home directory (as `~`).

    Known values are found however they are spelt (see `spellings`); those shorter than 6 characters between word
    boundaries, those shorter than 4 and everyday words only behind a label (`token=…`). Every method is linear in its
    input and idempotent.
    """

    def __init__(self, secrets: Iterable[str], home: Path, other_homes: Iterable[Path] = ()) -> None:
        self._known = Known(secrets)
        self._home = _home_pattern((home, *other_homes))

    def __repr__(self) -> str:
        return f"Redactor({len(self._known)} forms)"

    def text(self, text: str) -> str:
        """Return `text` without secrets; its length and line structure may change, its controls stay."""
        parts: list[str] = []
        done = 0
        for start, stop in self._known.spans(text):
            parts += (text[done:start], PLACEHOLDER)
            done = stop
        text = self._at_home("".join((*parts, text[done:])) if parts else text)
        clean = without_secrets(text)
        return text if clean == text else self._at_home(clean)

    def _at_home(self, text: str) -> str:
        return self._home.sub(_tilde, text) if self._home else text

    def argv(self, argv: Sequence[str]) -> tuple[str, ...]:
        """Return the arguments one by one, the value after a `--token` or the like replaced whatever it looks like."""
        shown: list[str] = []
        for previous, argument in zip(("", *argv), argv, strict=False):
            after_flag = is_secret_flag(previous) and argument and not argument.startswith("-")
            shown.append(PLACEHOLDER if after_flag else self.text(argument))
        return tuple(shown)

    def json(self, value: Json) -> Json:
        """Return a JSON value with every string redacted, keys included, and what stands under a secret's name
        replaced; references to secrets stay.
        """
        return self._member("", value, inside=False)

    def _member(self, name: str, value: Json, *, inside: bool) -> Json:
        if isinstance(value, str):
            hidden = value and (tells(name, value) or (inside and len(value) > 5 and not is_everyday(value)))
            return PLACEHOLDER if hidden else self.text(value)
        if isinstance(value, Mapping):
            held = (inside or name.lower() in TABLES) and not is_reference(value)
            return {self.text(key): self._member(key, each, inside=held) for key, each in value.items()}
        if isinstance(value, Sequence):
            return [self._member(name, each, inside=inside) for each in value]
        if isinstance(value, int | float) and not isinstance(value, bool) and tells(name, str(value)):
            return PLACEHOLDER
        return value

    def block(self, text: str, limit: int = BLOCK_LIMIT, line_limit: int = LINE_LIMIT) -> str:
        """Return text ready to show in several lines: redacted first, so that no cut can leave half a secret."""
        return printable(self.text(text), limit, line_limit=line_limit)

    def line(self, text: str, limit: int = 600) -> str:
        """Return text ready to show on one line."""
        return one_line(self.text(text), limit)


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
