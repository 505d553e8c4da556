"""The one place where secrets and the home directory leave a text before it is written anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from oc_ops.record.spellings import Known
from oc_ops.secrecy import STEMS, TABLES, is_everyday, is_reference, looks_random, names_a_secret, tells
from oc_ops.text import BLOCK_LIMIT, LINE_LIMIT, one_line, printable, regex

PLACEHOLDER = "[redacted]"

_COLOUR = r"(?:\x1b\[[0-9;]{0,16}m)?"
_QUOTE = r"(?:\\{0,3}[\"'])?"
# In a lowered copy, by the stems of names, which is many times as fast as looking at every label.
_LABEL = regex(
    rf"(?:{'|'.join(STEMS)})[\w.-]{{0,64}}+{_COLOUR}({_QUOTE})"
    r"(?:([ \t]{0,8}+[:=][ \t]{0,8}+\r?\n[ \t]{0,64}+|[ \t]{1,8}+(?:is|->)[ \t]{1,8}+)"
    rf"|[ \t]{{0,8}}+(?:=>|[:=\uff1a\uff1d]|%(?:25)?3[ad])[ \t]{{0,8}}+{_COLOUR}|</key>\s{{0,64}}+<string>)"
)
"""Group 2 is what prose has as well: the end of a line, `is`, an arrow. An everyday word behind it is no value."""
_BEFORE = regex(r"[\w.-]*+")
_NAME = regex(r"[\w.-]*+")
_FLAG = regex(
    r"(--?[A-Za-z][\w-]{1,63}+)(?:[\"']\s{0,8},\s{0,64}[\"']|</string>\s{0,64}<string>|[ \t\0]{1,8}[\"']?)"
    r"(?!-)(?<![\w-]-)"
)

_BARE = r"[^\s\"'\\,;&<>{}()\[\]]"
# What stays in front of the placeholder: the opening quote or the scheme. Then the value itself.
_VALUE = regex(
    r"(\\{1,3}[\"'])((?:[^\"'\\\r\n]|\\{1,7}[^\"'\\\r\n])++)|(\")((?:[^\"\\\r\n]|\\.)++)|(')([^'\r\n]++)"
    rf"|((?:(?:bearer|basic|token|digest|bot)[ \t]{{1,8}})?+)(?!{re.escape(PLACEHOLDER)}|//)({_BARE}++)",
    re.IGNORECASE,
)
_LIST = regex(rf"\[\s{{0,8}}(?:(?:{_QUOTE}[^\"'\\\[\]{{}}\r\n,]{{1,1024}}+{_QUOTE})\s{{0,8}},?\s{{0,8}})++\]")

# Values of more than one line, or word: YAML's blocks, TOML's strings, and what is by nature a sentence.
_BLOCK = regex(r"[|>][-+]?[ \t]{0,8}\r?\n(?:[ \t]{1,64}+[^\r\n]{0,4096}+(?:\r?\n|$))++")
_TRIPLE = regex(r"(\"{3}|'{3})(?:(?!\1)[\s\S]){1,4096}+")
_SENTENCE, _REST = regex(r"passphrase|mnemonic", re.I), regex(r"[^\r\n\"'\\,;&<>{}()\[\]]*+")
_PEM = regex(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[^-]{0,65536}+(?:-(?!----)[^-]{0,65536}+){0,16}+-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"|[A-Za-z0-9+/=\s\\]{0,65536}+)"
)
_ADDRESS = regex(r"(?<!file)://[^\s\"'<>\\]{12,2048}+")
_STEP = regex(r"[^/?&=#;:@,.]{12,}")

# By a word without which a shape cannot occur. Each begins with a literal or a small class and looks behind after
# it, and every long repeat is possessive: linear on any input, quick on the usual one. Group 1 stays. Compiled by
# `re` when its word first occurs: most never do, and compiling them all costs 10 ms of every run.
_SHAPES: Mapping[str, str] = {
    # user:password, or a lone user that is long or has digits, which is how tokens travel in the URLs of git.
    "://": (
        r"(://)(?:[^\s/?#@:\"']{0,256}:[^\s/?#\"']{0,1024}|[^\s/?#@:\"']{1,256}:(?!\d{1,5}/)[^\s?#\"'@]{1,128}+"
        r"|[^\s/?#@:\"'\[\]]{20,1024}|(?=[^\s/?#@]{0,20}\d)[^\s/?#@:\"'\[\]]{12,20})(?=@)"
    ),
    "key=": r"([?&]key=)(?=[^\s&#\"'<>]{0,64}\d)[^\s&#\"'<>\[]{8,}+",
    "code=": r"([?&]code=)(?=[^\s&#\"'<>]{0,64}\d)[^\s&#\"'<>\[]{8,}+",
    "curl": (
        r"(curl[ \t][^\r\n|;&]{0,256}?(?<=[ \t])(?:-u|--user|--proxy-user)[ \t=]{1,4}[\"']?[\w.@+-]{1,64}:)"
        r"[^\s\"'\[]++"
    ),
    "sshpass": r"(sshpass[ \t]{1,8}-p[ \t]{0,8}[\"']?)[^\s\"'\[]++",
    "cookie:": r"([cC]ookie:[ \t]*+)[^\s\"'][^\r\n\"']*+",
    "bearer ": r"([bB]earer[ \t]{1,8})[A-Za-z0-9._~+/=-]{16,}+",
    "basic ": r"([bB]asic[ \t]{1,8})[A-Za-z0-9._~+/=-]{16,}+",
    "sk-": r"()sk-(?<![A-Za-z0-9]sk-)[\w-]{16,}+",
    "xox": r"()xox[a-z]-[\w-]{10,}+",
    "xapp-": r"()xapp-[\w-]{10,}+",
    "gh": r"()gh[opsur]_\w{16,}+",
    "github_pat_": r"()github_pat_\w{20,}+",
    "gl": r"()gl(?:pat|oas|dt|cbt|ptt|ft|imt|agent|wt|soat|ffct|rtr?)-[\w.-]{16,}+",
    "gr1348941": r"()GR1348941[\w-]{16,}+",
    "aiza": r"()AIza[\w-]{30,}+",
    "akia": r"()AKIA[A-Z0-9]{16}",
    "asia": r"()ASIA[A-Z0-9]{16}",
    "whsec_": r"()whsec_(?<!\wwhsec_)[\w+/=]{16,}+",
    "_live_": r"()[a-z]{2}_live_(?<!\w\w\w_live_)\w{16,}+",
    "ya29.": r"()ya29\.[\w-]{16,}+",
    "hooks.slack.com": r"(hooks\.slack\.com/(?:services|workflows|triggers)/)[\w/-]{8,}+",
    "/api/webhooks/": r"(/api/webhooks/)\d{6,}+/[\w-]{16,}+",
    "hf_": r"()hf_(?<!\whf_)\w{20,}+",
    "npm_": r"()npm_(?<!\wnpm_)\w{30,}+",
    "_test_": r"()[sr]k_test_(?<!\w\w\w_test_)\w{16,}+",
    "gocspx-": r"()GOCSPX-[\w-]{16,}+",
    "1//0": r"()1//0[\w./+=-]{20,}+",
    "sg.": r"()SG\.[\w-]{16,}+\.[\w-]{16,}+",
    "pypi-": r"()pypi-(?<![\w-]pypi-)[\w-]{20,}+",
    "gsk_": r"()gsk_(?<!\wgsk_)\w{16,}+",
    "pplx-": r"()pplx-(?<![\w-]pplx-)\w{16,}+",
    "xai-": r"()xai-(?<![\w-]xai-)\w{20,}+",
    "tvly-": r"()tvly-(?<![\w-]tvly-)[\w-]{16,}+",
    "syt_": r"()syt_(?<!\wsyt_)\w{16,}+",
    "r8_": r"()r8_(?<!\wr8_)\w{20,}+",
    "dckr_": r"()dckr_[po]at_[\w-]{20,}+",
    "_v1_": r"()do[opr]_v1_(?<!\wdo._v1_)\w{20,}+",
    "shp": r"()shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
    "tskey-": r"()tskey-[\w-]{16,}+",
    "age-secret-key-": r"()AGE-SECRET-KEY-1[0-9A-Z]{20,}+",
    "sbp_": r"()sbp_[a-z0-9]{40}",
    "glsa_": r"()glsa_\w{32,}+",
    "dapi": r"()dapi[0-9a-f]{32}",
    "gaaaa": r"()gAAAA(?<![A-Za-z0-9+/]gAAAA)[\w=-]{40,}+",
    "sk": r"()SK[0-9a-f]{32}(?![0-9a-zA-Z])",
    "eyj": r"()eyJ(?<![\w-]eyJ)[\w-]{8,}+\.[\w-]{4,}+(?:\.[\w-]*+)?",  # JSON Web Token
    ":aa": r"()[0-9]{6,12}:AA[\w-]{33}(?![\w-])",  # Telegram bot
    ".": r"()[MNO][\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,45}(?![\w-])",  # Discord bot
}


def without_secrets(text: str) -> str:
    """Return `text` with everything that looks like a secret replaced, its label kept. Linear in its length."""
    # "İ", the only letter whose lower case is longer, goes first, so that positions in both texts agree.
    lowered = text.replace("İ", "I").lower()
    if "private key" in lowered:
        text = _PEM.sub(PLACEHOLDER, text)
        lowered = text.lower()
    text = _unlabelled(text, lowered)
    if "://" in text:
        text = _ADDRESS.sub(lambda address: _STEP.sub(_lot, address[0]), text)
    for word, pattern in _SHAPES.items():
        if word in lowered:
            text = re.sub(pattern, rf"\1{PLACEHOLDER}", text)
    return text


def _lot(step: re.Match[str]) -> str:
    """A step of an address, hidden where it looks drawn by lot: webhooks carry their secret in the path."""
    return PLACEHOLDER if looks_random(step[0]) else step[0]


def is_secret_flag(argument: str) -> bool:
    """Tell whether a command-line argument says that the next one is secret (`--token`)."""
    return argument.startswith("-") and "=" not in argument and names_a_secret(argument)


def _unlabelled(text: str, lowered: str) -> str:
    """The text without what stands behind a secret's name: its labels, and the flags of command lines."""
    labels = [(each.end(), _named(text, each.start()), each[1], each[2] or "") for each in _LABEL.finditer(lowered)]
    if "-" in text:
        labels += [(match.end(), match[1], "", "") for match in _FLAG.finditer(text)]
    labels = [each for each in labels if names_a_secret(each[1])]
    parts: list[str] = []
    done = 0
    for end, name, opening, prose in sorted(labels):
        if end < done:
            continue
        start, stop, new = _hidden(text, end, name, quoted=bool(opening), prose=bool(prose))
        if stop > start:
            parts += (text[done:start], new)
            done = stop
    return "".join((*parts, text[done:]))


def _named(text: str, at: int) -> str:
    """The whole name of which a stem begins at a place; the end of an escape or a colour before it is no part of it."""
    before = _BEFORE.match(text[max(0, at - 64) : at][::-1])
    begin = at - (before.end() if before else 0)
    stop = _NAME.match(text, at, at + 128)
    name = text[begin : stop.end() if stop else at]
    ahead = text[begin - 1 : begin] if begin else ""
    if ahead == "\\" and name[:1] in "nrt":
        return name[1:]
    return re.sub(r"^\d{0,3}m", "", name) if ahead in ("[", ";") else name


def _hidden(text: str, at: int, name: str, *, quoted: bool, prose: bool) -> tuple[int, int, str]:
    """The span behind a label to replace, and its replacement; an empty span where it is no secret."""
    if block := _BLOCK.match(text, at) or _TRIPLE.match(text, at):
        mark = block[1] if block.lastindex else ""
        end = at + len(block[0].rstrip("\r\n"))
        return at + len(mark), end, PLACEHOLDER
    if text.startswith("[", at) and not text.startswith(PLACEHOLDER, at):
        listed = _LIST.match(text, at)
        if listed is None or PLACEHOLDER in listed[0] or not re.search(r"[A-Za-z]|\d{4}", listed[0]):
            return at, at, ""
        mark = re.search(r"\\{0,3}[\"']", listed[0])
        return at, listed.end(), f"[{mark[0] if mark else ''}{PLACEHOLDER}{mark[0] if mark else ''}]"
    value = _VALUE.match(text, at)
    if value is None or value.lastindex is None:
        return at, at, ""
    said = value[value.lastindex]
    strict = quoted or value.lastindex < 7
    if not tells(name, said.strip(), quoted=strict) or (prose and is_everyday(said.strip("`'.,:"))):
        return at, at, ""
    end = value.end()
    if not strict and _SENTENCE.search(name) and (rest := _REST.match(text, end)):
        end += len(rest[0].rstrip())
    return value.start(value.lastindex), end, PLACEHOLDER


Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"


_REMEMBERED, _SHORT_CHARS = 1024, 600
"""Texts that a redactor remembers, and their length at most: a run shows the same few hundred five times over."""

_NAMES = ("name", "key", "header", "variable")
"""Members of a table that name what stands in its `value`."""


class Redactor:
    """Replaces known secrets, whatever looks like one, and the home directory (as `~`).

    Known values are found however they are spelt (see `spellings`); those shorter than 6 characters between word
    boundaries, those shorter than 4 and everyday words only behind a label (`token=…`). Every method is linear in its
    input and idempotent.
    """

    def __init__(self, secrets: Iterable[str], home: Path, other_homes: Iterable[Path] = ()) -> None:
        self._known = Known(secrets)
        self._home = _home_pattern((home, *other_homes))
        self._short = lru_cache(_REMEMBERED)(self._clean)

    def __repr__(self) -> str:
        return f"Redactor({len(self._known)} forms)"

    def text(self, text: str) -> str:
        """Return `text` without secrets; its length and line structure may change, its controls stay."""
        return self._short(text) if len(text) <= _SHORT_CHARS else self._clean(text)

    def _clean(self, text: str) -> str:
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
            held = (inside or name.lower() in TABLES or names_a_secret(name)) and not is_reference(value)
            named = next((each for each in map(value.get, _NAMES) if isinstance(each, str)), "value")
            return {
                self.text(key): self._member(named if key == "value" else key, each, inside=held)
                for key, each in value.items()
            }
        if isinstance(value, Sequence):
            names = ["", *(each if isinstance(each, str) and is_secret_flag(each) else "" for each in value)]
            if len(value) == 2 and isinstance(value[0], str) and names_a_secret(value[0]):
                names[1] = value[0]
            return [
                self._member(
                    name if isinstance(each, str) and each.startswith("-") else before or name, each, inside=inside
                )
                for before, each in zip(names, value, strict=False)
            ]
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
_BEGINS = regex(r"(?<![\w.~-])|(?<=\\[nrt])|(?<=%2F)|(?<=[0-9\[]m)|(?<=-[A-Z])")


def _tilde(match: re.Match[str]) -> str:
    return "~" if _BEGINS.match(match.string, match.start()) else match[0]


TEXT_CHARS = 300


class Cleaner:
    """A redactor that may learn of other secrets."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._redactor = Redactor((), home)

    def __call__(self, text: str, limit: int = TEXT_CHARS) -> str:
        """At most `limit` characters of it."""
        return self._redactor.line(text, limit)

    def renew(self, secrets: Iterable[str]) -> None:
        """These are the secrets from now on."""
        self._redactor = Redactor(tuple(secrets), Path.home(), [self._home])
