"""What a secret looks like when nobody knows its value: behind a label, or of a well-known make."""

from __future__ import annotations

import re
from collections.abc import Mapping

PLACEHOLDER = "[redacted]"

# Lower case: labels are looked for in a lowered copy, which is ten times as fast as ignoring case.
_NAMES = (
    r"(?:tokens?|secrets?|passwords?|passwd|passphrase|api[_-]?keys?|private[_-]?keys?|access[_-]?keys?"
    r"|credentials?|authorization|cookie)"
)
_COLOUR = r"(?:\x1b\[[0-9;]{0,16}m)?"
_LABEL = re.compile(rf"{_NAMES}{_COLOUR}(?:\\{{0,3}}[\"'])?[ \t]{{0,8}}[:=][ \t]{{0,8}}{_COLOUR}")
_FLAG = re.compile(rf"--(?<![\w-]--)[\w-]{{0,40}}?{_NAMES}(?:[\"']\s{{0,8}},\s{{0,8}}[\"']|[ \t]{{1,8}}[\"']?)(?!-)")

_HARMLESS = (
    r"(?:true|false|null|none|undefined|missing|mismatch|required|invalid|expired|unset|empty|unresolved|ok"
    r"|not|is|the|a|no|must|was|has|does|\d{1,9})"
)
_BARE = r"[^\s\"'\\,;&<>{}()\[\]]"
# The one group that matches is what stays in front of the placeholder: the opening quote or the scheme.
_VALUE = re.compile(
    r"(\\{1,3}[\"'])[^\"'\\]++|(\")(?:[^\"\\\r\n]|\\.)++|(')[^'\r\n]++"
    r"|((?:(?:bearer|basic|token|digest)[ \t]{1,8})?+)"
    rf"(?!{_HARMLESS}(?![\w.+/=-])|{re.escape(PLACEHOLDER)}|//){_BARE}++",
    re.IGNORECASE,
)

_NAME = re.compile(rf"{_NAMES}$", re.IGNORECASE)
_WHOLE_FLAG = re.compile(rf"--?[\w-]{{0,40}}?{_NAMES}", re.IGNORECASE)
_HARMLESS_VALUE = re.compile(rf"{_HARMLESS}|env|file|exec", re.IGNORECASE)

# By a word without which a shape cannot occur. Each begins with a literal or a small class and looks behind after
# it, and every long repeat is possessive: linear on any input, quick on the usual one. Group 1 stays. Compiled by
# `re` when its word first occurs: most never do, and compiling them all costs 10 ms of every run.
_SHAPES: Mapping[str, str] = {
    "private key": (
        r"()-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----[A-Za-z0-9+/=\s\\]{0,65536}+"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----)?"
    ),
    # user:password, or a long lone user, which is how tokens travel in the URLs of git.
    "://": r"(://)(?:[^\s/?#@:\"']{0,256}:[^\s/?#\"']{1,1024}|[^\s/?#@:\"'\[]{20,1024})(?=@)",
    "cookie:": r"([cC]ookie:[ \t]*+)[^\s\"'][^\r\n\"']*+",
    "bearer ": r"([bB]earer[ \t]{1,8})[A-Za-z0-9._~+/=-]{16,}+",
    "basic ": r"([bB]asic[ \t]{1,8})[A-Za-z0-9._~+/=-]{16,}+",
    "sk-": r"()sk-(?<![A-Za-z0-9]sk-)[\w-]{16,}+",
    "xox": r"()xox[a-z]-[\w-]{10,}+",
    "xapp-": r"()xapp-[\w-]{10,}+",
    "gh": r"()gh[opsur]_\w{16,}+",
    "github_pat_": r"()github_pat_\w{20,}+",
    "glpat-": r"()glpat-[\w-]{16,}+",
    "aiza": r"()AIza[\w-]{30,}+",
    "akia": r"()AKIA[A-Z0-9]{16}",
    "asia": r"()ASIA[A-Z0-9]{16}",
    "hf_": r"()hf_(?<!\whf_)\w{20,}+",
    "npm_": r"()npm_(?<!\wnpm_)\w{30,}+",
    "eyj": r"()eyJ(?<![\w-]eyJ)[\w-]{8,}+\.[\w-]{4,}+(?:\.[\w-]*+)?",  # JSON Web Token
    ":aa": r"()[0-9]{6,12}:AA[\w-]{33}(?![\w-])",  # Telegram bot
    ".": r"()[MNO][\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,45}(?![\w-])",  # Discord bot
}


def without_secrets(text: str) -> str:
    """Return `text` with everything that looks like a secret replaced, its label kept. Linear in its length."""
    # The only letter whose lower case is longer goes first, so that positions in both texts agree.
    lowered = text.replace("İ", "I").lower()
    if any(name in lowered for name in ("token", "secret", "pass", "key", "credential", "authorization", "cookie")):
        text = _unlabelled(text, lowered)
    for word, pattern in _SHAPES.items():
        if word in lowered:
            text = re.sub(pattern, rf"\1{PLACEHOLDER}", text)
    return text


def is_secret_flag(argument: str) -> bool:
    """Tell whether a command-line argument says that the next one is secret (`--token`)."""
    return _WHOLE_FLAG.fullmatch(argument) is not None


def is_secret_name(name: str, value: str) -> bool:
    """Tell whether a member of a JSON object is secret by its name; words like `missing` in its place are not."""
    return _NAME.search(name) is not None and _HARMLESS_VALUE.fullmatch(value) is None


def _unlabelled(text: str, lowered: str) -> str:
    parts: list[str] = []
    done = 0
    labels = [match.span() for match in _LABEL.finditer(lowered)] + [match.span() for match in _FLAG.finditer(lowered)]
    for start, end in sorted(labels):
        value = _VALUE.match(text, end) if start >= done else None
        if value is not None and value.lastindex is not None:
            parts += (text[done : value.end(value.lastindex)], PLACEHOLDER)
            done = value.end()
    return "".join((*parts, text[done:]))
