"""The log signature catalogue: what ships in signatures.toml, and an operator's own signatures.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar, cast, get_args

from msgspec import Struct

from oc_ops import files
from oc_ops.errors import OcOpsError
from oc_ops.judge.finding import Severity
from oc_ops.judge.releases import Release, ReleaseRange, release, span
from oc_ops.settings import Settings
from oc_ops.text import regex

_T = TypeVar("_T")

Restart = Literal["allowed", "useless", "forbidden"]
"""Of the gateway: it may cure this, it does not, or it does harm and recovery has to leave it alone."""

OWN_FILE = "signatures.toml"
"""The operator's file, in the memory directory; the shipped one beside this module bears the same name."""

WINDOW_S = 900
"""How far back a line counts, where an entry does not say: seconds."""

_SHORTEST_LITERAL = 4
_ID = regex(r"[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+")
_BEYOND_AUTOMATA = regex(r"\(\?<?[=!]|\(\?P=|\\[1-9]")
"""Look-around and back-references: what no engine does in linear time."""


class Signature(Struct, frozen=True):
    """One fact about a log line; what its fields mean stands at the top of signatures.toml.

    `expression` is the field `pattern` as written. `affected` is empty where reports are of any release.
    """

    id: str
    literals: tuple[str, ...]
    expression: str
    severity: Severity
    fact: str
    fix: str
    restart: Restart
    affected: tuple[ReleaseRange, ...]
    fixed: Release | None
    issues: tuple[int, ...]
    threshold: int
    window_s: int
    sample: str
    benign: tuple[str, ...]

    @property
    def pattern(self) -> re.Pattern[str]:
        """The compiled expression: most runs need none of them, and sixty cost 6 ms."""
        return _compiled(self.expression)

    def matches(self, text: str) -> bool:
        """True if a message is of this kind; the literals are tried first, which is what is cheap."""
        return any(each in text for each in self.literals) and self.pattern.search(text) is not None


@cache
def _compiled(expression: str) -> re.Pattern[str]:
    return re.compile(expression)


@cache
def catalogue() -> tuple[Signature, ...]:
    """The signatures that oc-ops ships, in the order in which they claim a line; checked by the tests, not here."""
    path = Path(__file__).with_name(OWN_FILE)  # importlib.resources would cost 10 ms of imports
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["signature"]
    return tuple(_Entry(each, path.name, 0).signature() for each in entries)


def load(settings: Settings) -> tuple[Signature, ...]:
    """The operator's signatures and the shipped ones; an own entry with a shipped id takes that entry's place.

    Own ids that are new claim a line first. Raises OcOpsError for a file that cannot be read or holds a bad entry.
    """
    path = settings.own_file(OWN_FILE)
    try:
        text = files.read_text(path, files.SMALL_BYTES)
    except FileNotFoundError:
        return catalogue()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise OcOpsError(f"{path}: cannot be read: {why}") from error
    own = {each.id: each for each in parse(text, str(path))}
    shipped = tuple(own.pop(each.id, each) for each in catalogue())
    return (*own.values(), *shipped)


def parse(text: str, origin: str) -> tuple[Signature, ...]:
    """Read and check a catalogue; a bad entry raises OcOpsError naming the file, the entry, the field and the need."""
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise OcOpsError(f"{origin}: {error}") from error
    entries = tables.pop("signature", [])
    if tables or not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise OcOpsError(f"{origin}: {next(iter(tables), 'signature')}: need [[signature]] tables and nothing else")
    found: dict[str, Signature] = {}
    for number, each in enumerate(entries, 1):
        entry = _Entry(each, origin, number)
        signature = entry.checked()
        if signature.id in found:
            raise entry.error("id", "an id of its own")
        found[signature.id] = signature
    return tuple(found.values())


class _Entry:
    """One table of a catalogue on its way to a signature; errors name its place."""

    def __init__(self, fields: Mapping[str, object], origin: str, number: int) -> None:
        self.fields, self.origin, self.number = fields, origin, number

    def error(self, field: str, need: str) -> OcOpsError:
        """The complaint about a field that cannot be used."""
        name = self.fields.get("id")
        entry = name if isinstance(name, str) and name.isprintable() and name else f"entry {self.number}"
        return OcOpsError(f"{self.origin}: {entry}: {field}={self.fields.get(field)!r}: need {need}")

    def signature(self) -> Signature:
        """The entry as a signature, without a look at whether it makes sense."""
        return Signature(
            id=self._text("id"),
            literals=self._list("literals", str, "texts"),
            expression=self._text("pattern"),
            severity=cast("Severity", self._one_of("severity", get_args(Severity))),
            fact=self._text("fact"),
            fix=self._text("fix"),
            restart=cast("Restart", self._one_of("restart", get_args(Restart))),
            affected=self._ranges(),
            fixed=self._release("fixed"),
            issues=self._list("issues", int, "issue numbers"),
            threshold=self._number("threshold", 1),
            window_s=self._number("window_s", WINDOW_S),
            sample=self._text("sample"),
            benign=self._list("benign", str, "texts"),
        )

    def checked(self) -> Signature:
        """The entry as a signature, or an OcOpsError for the first thing that keeps it from working."""
        self._known_fields()
        signature = self.signature()
        if not _ID.fullmatch(signature.id):
            raise self.error("id", "lower-case words joined by dots, such as my.signature")
        if signature.fact.endswith("."):
            raise self.error("fact", "a text without a period at its end")
        if not signature.literals or any(len(each) < _SHORTEST_LITERAL or "\n" in each for each in signature.literals):
            raise self.error("literals", f"texts of one line and at least {_SHORTEST_LITERAL} characters")
        self._check_pattern(signature)
        return signature

    def _check_pattern(self, signature: Signature) -> None:
        try:
            pattern = signature.pattern
        except (re.error, OverflowError, RecursionError) as error:
            raise self.error("pattern", f"a regular expression ({error})") from error
        if _BEYOND_AUTOMATA.search(signature.expression):
            raise self.error("pattern", "a regular expression without look-around and back-references")
        if pattern.search(""):
            raise self.error("pattern", "a regular expression that does not match everything")
        if not pattern.search(signature.sample):
            raise self.error("sample", "a line that the pattern matches")
        if not any(each in signature.sample for each in signature.literals):
            raise self.error("sample", "a line that holds one of the literals")
        if any(pattern.search(each) for each in signature.benign):
            raise self.error("benign", "lines that the pattern does not match")

    def _known_fields(self) -> None:
        for field in self.fields:
            if field not in _FIELDS:
                raise self.error(field, f"a field that there is{_near(field, _FIELDS)}")

    def _text(self, field: str) -> str:
        value = self.fields.get(field)
        if not isinstance(value, str) or not value.strip():
            raise self.error(field, "a non-empty text")
        return value

    def _one_of(self, field: str, words: tuple[str, ...]) -> str:
        value = self.fields.get(field)
        if value not in words:
            raise self.error(field, " or ".join((", ".join(words[:-1]), words[-1])))
        return value

    def _number(self, field: str, default: int) -> int:
        value = self.fields.get(field, default)
        if type(value) is not int or value < 1:
            raise self.error(field, "a whole number > 0")
        return value

    def _list(self, field: str, kind: type[_T], named: str) -> tuple[_T, ...]:
        value = self.fields.get(field, [])
        if not isinstance(value, list) or not all(type(each) is kind for each in value):
            raise self.error(field, f"a list of {named}")
        return tuple(value)

    def _ranges(self) -> tuple[ReleaseRange, ...]:
        return tuple(self._read("affected", each, span) for each in self._list("affected", str, "releases"))

    def _release(self, field: str) -> Release | None:
        return self._read(field, self._text(field), release) if field in self.fields else None

    def _read(self, field: str, text: str, as_what: Callable[[str], _T]) -> _T:
        try:
            return as_what(text)
        except ValueError as error:
            raise self.error(field, f"releases such as 2026.3.8 or 2026.2..2026.5 ({error})") from error


_FIELDS = (
    "id", "literals", "pattern", "severity", "fact", "fix", "restart",
    "affected", "fixed", "issues", "threshold", "window_s", "sample", "benign",
)  # fmt: skip


def _near(field: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(field, known, 1)
    return f" (did you mean {close[0]}?)" if close else ""
