"""What a secret looks like when nobody knows its value: behind a label, or of a well-known make."""

from __future__ import annotations

import re
from collections.abc import Mapping

from oc_ops.secrecy import STEMS, names_a_secret, tells

PLACEHOLDER = "[redacted]"

_COLOUR = r"(?:\x1b\[[0-9;]{0,16}m)?"
_QUOTE = r"(?:\\{0,3}[\"'])?"
# In a lowered copy, by the stems of names, which is many times as fast as looking at every label.
_LABEL = re.compile(
    rf"(?:{'|'.join(STEMS)})[\w.-]{{0,64}}+{_COLOUR}({_QUOTE})"
    rf"[ \t]{{0,8}}+(?:=>|[:=]|%(?:25)?3[ad])[ \t]{{0,8}}+{_COLOUR}"
)
_BEFORE = re.compile(r"[\w.-]*+")
_NAME = re.compile(r"[\w.-]*+")
_FLAG = re.compile(r"(--?[A-Za-z][\w-]{1,63}+)(?:[\"']\s{0,8},\s{0,8}[\"']|[ \t]{1,8}[\"']?)(?!-)(?<![\w-]-)")

_BARE = r"[^\s\"'\\,;&<>{}()\[\]]"
# What stays in front of the placeholder: the opening quote or the scheme. Then the value itself.
_VALUE = re.compile(
    r"(\\{1,3}[\"'])((?:[^\"'\\\r\n]|\\{1,7}[^\"'\\\r\n])++)|(\")((?:[^\"\\\r\n]|\\.)++)|(')([^'\r\n]++)"
    rf"|((?:(?:bearer|basic|token|digest|bot)[ \t]{{1,8}})?+)(?!{re.escape(PLACEHOLDER)}|//)({_BARE}++)",
    re.IGNORECASE,
)
_LIST = re.compile(rf"\[\s{{0,8}}(?:(?:{_QUOTE}[^\"'\\\[\]{{}}\r\n,]{{1,1024}}+{_QUOTE})\s{{0,8}},?\s{{0,8}})++\]")

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
    "whsec_": r"()whsec_(?<!\wwhsec_)[\w+/=]{16,}+",
    "_live_": r"()[a-z]{2}_live_(?<!\w\w\w_live_)\w{16,}+",
    "ya29.": r"()ya29\.[\w-]{16,}+",
    "hooks.slack.com": r"(hooks\.slack\.com/(?:services|workflows|triggers)/)[\w/-]{8,}+",
    "/api/webhooks/": r"(/api/webhooks/)\d{6,}+/[\w-]{16,}+",
    "hf_": r"()hf_(?<!\whf_)\w{20,}+",
    "npm_": r"()npm_(?<!\wnpm_)\w{30,}+",
    "eyj": r"()eyJ(?<![\w-]eyJ)[\w-]{8,}+\.[\w-]{4,}+(?:\.[\w-]*+)?",  # JSON Web Token
    ":aa": r"()[0-9]{6,12}:AA[\w-]{33}(?![\w-])",  # Telegram bot
    ".": r"()[MNO][\w-]{23,28}\.[\w-]{6,7}\.[\w-]{27,45}(?![\w-])",  # Discord bot
}


def without_secrets(text: str) -> str:
    """Return `text` with everything that looks like a secret replaced, its label kept. Linear in its length."""
    # The only letter whose lower case is longer goes first, so that positions in both texts agree.
    # The only letter whose lower case is longer goes first, so that positions in both texts agree.
    lowered = text.replace("İ", "I").lower()
    text = _unlabelled(text, lowered)
    for word, pattern in _SHAPES.items():
        if word in lowered:
            text = re.sub(pattern, rf"\1{PLACEHOLDER}", text)
    return text


def is_secret_flag(argument: str) -> bool:
    """Tell whether a command-line argument says that the next one is secret (`--token`)."""
    return argument.startswith("-") and "=" not in argument and names_a_secret(argument)


def _unlabelled(text: str, lowered: str) -> str:
    """The text without what stands behind a secret's name: its labels, and the flags of command lines."""
    labels = [(match.end(), _named(text, match.start()), match[1]) for match in _LABEL.finditer(lowered)]
    if "-" in text:
        labels += [(match.end(), match[1], "") for match in _FLAG.finditer(text)]
    labels = [each for each in labels if names_a_secret(each[1])]
    parts: list[str] = []
    done = 0
    for end, name, quote in sorted(labels):
        if end < done:
            continue
        start, stop, new = _hidden(text, end, name, quoted=bool(quote))
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


def _hidden(text: str, at: int, name: str, *, quoted: bool) -> tuple[int, int, str]:
    """What stands behind a label and is to be replaced, and by what; an empty span where it is no secret."""
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
    if not tells(name, said.strip(), quoted=strict):
        return at, at, ""
    return value.start(value.lastindex), value.end(), PLACEHOLDER
