"""Known secrets found in a text however they are spelt there: folded to one spelling, with the way back to the text.

Folding undoes escapes (URL, JSON, HTML, `\\x1b`), takes out what does not show or only lays out (controls, colours,
zero-width characters, white space) and lowers case. Encodings that no folding undoes are looked for as forms of the
secret: reversed, hexadecimal, decimal bytes, base64 and base32 at every alignment.
"""

from __future__ import annotations

import base64
import html
import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator

from msgspec import Struct

from oc_ops.secrecy import SHORTEST, is_trivial
from oc_ops.text import regex

_SHORT = 6
"""A shorter secret is looked for between word boundaries only."""
_FEW = 2000
_PIECE, _OVERLAP = 2**18, 2**13
"""A text is searched in pieces; one spelling of a secret is at most as long as the overlap."""

_C0 = "\0-\x1f\x7f-\x9f"
_UNSEEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202f\u205f-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\uffff\U0001d173-\U0001d17a\U000e0000-\U000e0fff\ud800-\udfff\u00a0\u2000-\u200a\u3000"
)
_PICTURES = "\u2400-\u2426"
_ANSI = regex(
    r"(?:[\x1b\u241b]|\^\[)(?:\[[0-?]{0,32}[ -/]{0,4}[@-~]|[()][A-Z0-9]"
    r"|\][^\x07\x1b\u2407\u241b]{0,256}(?:\x07|\u2407|[\x1b\u241b]\\))"
    r"|\x9b[0-?]{0,32}[ -/]{0,4}[@-~]"
)
_IGNORED = regex(f"[{_C0} {_UNSEEN}{_PICTURES}]+")
_UNSEEN_RUN = regex(f"[{_UNSEEN}{_PICTURES}\x80-\x9f]+")
_BLANK = bytes((*range(0x21), 0x7F))
_ESCAPED = regex(
    r"\\\\*(?:u(d[89ab][0-9a-f]{2})\\+u(d[c-f][0-9a-f]{2})|[nrtbfva0]|u\{0{0,4}([0-9a-f]{1,6})\}|u([0-9a-f]{4})|x([0-9a-f]{2})|U000([0-9a-f]{5})|[!-/:-@\[-`{-~])",
    re.I,
)
_PERCENT = regex(r"(?:%[0-9a-f]{2})+", re.I)
_ENTITY = regex(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z]{2,8});", re.I)
_HEX_GAP = r"[\s:,.;_\-\\\"'\[\]]{0,8}(?:0x|x)?"
_HEX_GAPS = b":,.;_-\\\"'[]"
_WIDE = {code + 0xFEE0: chr(code) for code in range(0x21, 0x7F)}
_ROUNDS = 5


def _unescaped(match: re.Match[str]) -> str:
    if match[1]:
        return bytes.fromhex(match[1] + match[2]).decode("utf-16-be", "replace")
    code = match[3] or match[4] or match[5] or match[6]
    if code:
        return chr(min(int(code, 16), 0x10FFFF))
    last = match[0][-1]
    return "\n" if last.isalnum() else last


def _unquoted(match: re.Match[str]) -> str:
    return bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "replace")


def _entity(match: re.Match[str]) -> str:
    return html.unescape(match[0])


_UNDONE: tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    ("\\", _ESCAPED, _unescaped),
    ("%", _PERCENT, _unquoted),
    ("&", _ENTITY, _entity),
)


class _Step(Struct, frozen=True):
    """One substitution: where each replaced part begins and ends in the new text, and what it was in the old."""

    begins: list[int]
    ends: list[int]
    were: list[tuple[int, int]]

    def back(self, start: int, stop: int) -> tuple[int, int]:
        """A span of the new text in the old one."""
        return self._place(start)[0], self._place(stop - 1)[1]

    def _place(self, at: int) -> tuple[int, int]:
        index = bisect_right(self.begins, at) - 1
        if index < 0:
            return at, at + 1
        if at < self.ends[index]:
            return self.were[index]
        old = self.were[index][1] + at - self.ends[index]
        return old, old + 1


Steps = list[_Step]


def folded(text: str, steps: Steps | None = None) -> str:
    """The text in the one spelling secrets are looked for in; `steps` takes the way back."""
    text = text.replace("İ", "i").lower()
    if not text.isascii():
        text = text.translate(_WIDE)
    for _ in range(_ROUNDS):
        before = text
        for sign, pattern, undo in _UNDONE:
            if sign in text:
                text = _replaced(pattern, undo, text, steps)
        if text == before:
            break
        text = text.replace("İ", "i").lower()
    if "\x1b" in text or "\u241b" in text or "^[" in text or "\x9b" in text:
        text = _replaced(_ANSI, lambda _match: "", text, steps)
    if steps is not None:
        return _replaced(_IGNORED, lambda _match: "", text, steps)
    if not text.isascii():
        text = _UNSEEN_RUN.sub("", text)
    return text.encode("utf-8", "surrogatepass").translate(None, _BLANK).decode("utf-8", "surrogatepass")


def _replaced(pattern: re.Pattern[str], by: Callable[[re.Match[str]], str], text: str, steps: Steps | None) -> str:
    if steps is None:
        return pattern.sub(by, text)
    parts: list[str] = []
    step, done, length = _Step([], [], []), 0, 0
    for match in pattern.finditer(text):
        new = by(match)
        length += match.start() - done
        parts += (text[done : match.start()], new)
        step.begins.append(length)
        length += len(new)
        step.ends.append(length)
        step.were.append(match.span())
        done = match.end()
    steps.append(step)
    return "".join((*parts, text[done:]))


class _Form(Struct, frozen=True):
    """One spelling to be found in a folded text; the character `before` or `after` it may hold bits of the secret."""

    text: str
    before: bool = False
    after: bool = False
    words: bool = False
    """True if it is made of letters alone, so that two words of a sentence could spell it."""


class Known:
    """Finds known secrets. Building one is cheap, searching linear in the text."""

    def __init__(self, secrets: Iterable[str]) -> None:
        values = {value.strip() for value in secrets}
        values = {value for value in values if len(value) >= SHORTEST and not is_trivial(value)}
        long = {value for value in values if len(folded(value)) >= _SHORT}
        every = {form.text: form for value in long for form in _forms(value)}
        self._forms = sorted(every.values(), key=lambda form: (-len(form.text), form.text))
        self._texts = [form.text for form in self._forms]
        self._exact = sorted(each for each in values if len(each) >= _SHORT)
        self._starts = frozenset(text[:_SHORT] for text in self._texts)
        self._short = _short_pattern(values - long)
        self._hex = [value.encode("utf-8", "surrogatepass") for value in values]
        self._hexes = [each.hex().encode() for each in self._hex]
        self._heads = _ends(values, from_start=True)
        self._tails = _ends(values, from_start=False)
        ends = {each.lower() for each in values if 2 * _SHORT <= len(each) <= 512}
        self._inner = frozenset(each[at : at + _SHORT] for each in ends for at in range(len(each) - _SHORT + 1))
        self._longest = max((len(each) for each in (*self._heads, *self._tails)), default=0)

    def __len__(self) -> int:
        return len(self._forms)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the secrets stand, in order, overlapping ones as one."""
        found: list[tuple[int, int]] = []
        if self._texts or self._short:
            for begin in range(0, max(len(text), 1), _PIECE):
                piece = text if len(text) <= _PIECE + _OVERLAP else text[begin : begin + _PIECE + _OVERLAP]
                found += ((begin + start, begin + stop) for start, stop in self._in_piece(piece))
                if len(piece) == len(text):
                    break
            found += self._torn(text)
        return _merged(found)

    def _in_piece(self, text: str) -> Iterator[tuple[int, int]]:
        if self._short:
            yield from (match.span() for match in self._short.finditer(text))
        for value in self._exact:
            at = text.find(value)
            while at >= 0:
                yield at, at + len(value)
                at = text.find(value, at + 1)
        view = folded(text)
        if self._may_hold(view):
            yield from self._placed(text)
        bare = view.encode("utf-8", "surrogatepass").translate(None, _HEX_GAPS).replace(b"0x", b"")
        for number, each in enumerate(self._hexes):
            if each in bare:
                gapped = _HEX_GAP.join(f"{byte:02x}" for byte in self._hex[number])
                yield from (match.span() for match in re.finditer(gapped, text, re.I))

    def _may_hold(self, view: str) -> bool:
        """True if a folded text holds a form; of a short one each run of letters is looked up, which is quicker."""
        if len(view) > _FEW:
            return any(each in view for each in self._texts)
        return not self._starts.isdisjoint([view[at : at + _SHORT] for at in range(len(view) - _SHORT + 1)])

    def _placed(self, text: str) -> Iterator[tuple[int, int]]:
        steps: Steps = []
        view = folded(text, steps)
        for form in self._forms:
            at = view.find(form.text)
            while at >= 0:
                start, stop = at, at + len(form.text)
                at = view.find(form.text, stop)
                for step in reversed(steps):
                    start, stop = step.back(start, stop)
                if not (form.words and re.search(r"\S[ ]+\S", text[start:stop])):
                    start -= form.before and start > 0 and text[start - 1] in _B64
                    stop += form.after and stop < len(text) and text[stop] in _B64
                    yield start, stop

    def _torn(self, text: str) -> Iterator[tuple[int, int]]:
        """The rest of a cut secret: its head before an ellipsis or the end, its tail after one or at the start."""
        if not self._longest:
            return
        cuts = [match.start() for match in re.finditer("…", text)] if "…" in text else []
        for cut in (len(text), *cuts):
            end = len(text[max(0, cut - 4) : cut].rstrip(" [")) + max(0, cut - 4)
            if text[max(0, end - _SHORT) : end].lower() not in self._inner:
                continue
            window = text[max(0, end - self._longest) : end].lower()
            size = next((size for size in range(len(window), _SHORT - 1, -1) if window[-size:] in self._heads), 0)
            if size:
                yield end - size, end
        for cut in (-1, *cuts):
            begin = cut + 1
            begin += len(text[begin : begin + 4]) - len(text[begin : begin + 4].lstrip(" ]"))
            if text[begin : begin + _SHORT].lower() not in self._inner:
                continue
            window = text[begin : begin + self._longest].lower()
            size = next((size for size in range(len(window), _SHORT - 1, -1) if window[:size] in self._tails), 0)
            if size:
                yield begin, begin + size


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        elif stop > start:
            merged.append((start, stop))
    return merged


_B64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")


def _forms(value: str) -> Iterator[_Form]:
    """The spellings under which a secret turns up in a folded text."""
    words = value.isalpha()
    for each in {folded(value), folded(value.upper()), folded(value.replace(" ", "+"))}:
        yield _Form(each, words=words)
        yield _Form(each[::-1], words=words)
    yield from (form for form in _encoded(value) if len(form.text) >= _SHORT)
    lines = [line.strip() for line in value.splitlines()]
    if len(lines) > 1:
        for line in lines:
            if len(line) >= 16 and not line.startswith("-----"):
                yield _Form(folded(line))


def _encoded(value: str) -> Iterator[_Form]:
    raw = value.encode("utf-8", "surrogatepass")
    hexadecimal, whole = raw.hex(), base64.b64encode(raw)
    wide = value.encode("utf-16-le", "surrogatepass")
    yield from (_Form(hexadecimal), _Form(raw[::-1].hex()), _Form(wide.hex()), _Form(",".join(map(str, raw))))
    yield from (_Form(hexadecimal.encode().hex()), _Form(whole.rstrip(b"=").hex()))
    for each in (raw, wide, whole.rstrip(b"="), hexadecimal.encode(), hexadecimal.upper().encode()):
        yield from _based(each, 6, base64.b64encode)
    yield from _based(raw, 5, base64.b32encode)


def _based(raw: bytes, bits: int, encode: Callable[[bytes], bytes]) -> Iterator[_Form]:
    """Spellings that an encoding of so many bits a character makes of the bytes at each alignment."""
    for offset in range(3 if bits == 6 else 5):
        first, last = offset * 8, (offset + len(raw)) * 8
        core = encode(b"\0" * offset + raw).decode("ascii").lower()[-(-first // bits) : last // bits]
        for spelt in {core, core.replace("+", "-").replace("/", "_")}:
            yield _Form(spelt, first % bits > 0, last % bits > 0)


def _short_forms(value: str) -> Iterator[str]:
    raw = value.encode("utf-8", "surrogatepass")
    yield from (value, value[::-1], raw.hex(), base64.b64encode(raw).decode().rstrip("="))
    yield from (base64.b32encode(raw).decode().rstrip("="), "".join(f"%{byte:02x}" for byte in raw))


def _short_pattern(values: Collection[str]) -> re.Pattern[str] | None:
    """Short secrets between word boundaries, with whatever does not show between their characters."""
    gap = rf"(?:[{_C0}{_UNSEEN}{_PICTURES}]|\[[0-9;]{{0,16}}m)*"
    forms = {form for value in values for form in _short_forms(value)}
    plain = {each.lower() for value in values for each in (value, value[::-1])}
    either = "|".join(
        # A number inside a date, a time or an address is no secret of four digits.
        (r"(?<![\d.-])(?<![\w\]]:)" if form.isdigit() else "")
        + (gap.join(map(re.escape, form)) if form.lower() in plain else re.escape(form))
        + (r"(?![.:-]?\d)" if form.isdigit() else "")
        for form in sorted(forms, key=lambda form: (-len(form), form))
    )
    if not either:
        return None
    before = r"(?:(?<![^\W_])|(?<=\\[nrt])|(?<=[0-9;\[]m)|(?<=%[0-9a-f][0-9a-f]))"
    return re.compile(rf"{before}(?:{either})(?![^\W_])=*", re.I)


def _ends(values: Iterable[str], *, from_start: bool) -> frozenset[str]:
    """The beginnings (or ends) of long secrets that no ordinary word would be."""
    return frozenset(
        part
        for value in values
        if 2 * _SHORT <= len(value) <= 512
        for size in range(_SHORT, len(value))
        for part in ((value[:size] if from_start else value[-size:]).lower(),)
        if not part.isalpha()
    )
