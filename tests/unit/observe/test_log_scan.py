"""Many needles in one pass: the quick way and the slow one find the same lines, however the bytes fall."""

from __future__ import annotations

import builtins
import io
import re
import tracemalloc
from collections.abc import Mapping, Sequence
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oc_ops.observe.logs import Needle, raw_shape, scan
from oc_ops.observe.logs.scan import Finder, Hit, Scan, finder

NEEDLES = (
    Needle("epipe", ("write EPIPE", "EIO")),
    Needle("quoted", ('"already-running"',)),
    Needle("wide", ("größer ⇄",)),
    Needle("slow", ("⇄ res ✓ ",), r"⇄ res ✓ [\w.]+ \d{5,}ms"),
    Needle("short", ("a",), "a{3}"),
)
PIECES = ("write EPIPE", "EIO", '"already-running"', '\\"already-running\\"', "größer ⇄", "⇄ res ✓ cron.list 61ms",
          "⇄ res ✓ cron.list 21260ms", "aa", "\n", "\n", "\x00", "x" * 30, "\r")  # fmt: skip


def hyperscan(needles: Sequence[Needle]) -> Finder:
    """The library's finder, whatever the size."""
    return finder(needles, None)


def plain(needles: Sequence[Needle]) -> Finder:
    """The finder without the library."""
    return finder(needles, 0)


WAYS = {"hyperscan": hyperscan, "plain": plain}


def naive(data: bytes) -> list[tuple[int, bytes, tuple[int, ...]]]:
    """What must be found, worked out line by line."""
    found, offset = [], 0
    for line in data.split(b"\n"):
        here = tuple(
            number
            for number, each in enumerate(NEEDLES)
            if any(form in line for literal in each.literals for form in (literal.encode(), escaped(literal)))
            and re.search(each.shape.encode(), line)
        )
        if here:
            found.append((offset, line, here))
        offset += len(line) + 1
    return found


def escaped(literal: str) -> bytes:
    """A literal as it stands in JSON."""
    return literal.replace('"', '\\"').encode()


def found(data: bytes, way: str) -> list[Hit]:
    """All hits in these bytes."""
    return list(Scan(io.BytesIO(data), NEEDLES, WAYS[way](NEEDLES)).hits(torn=True))


def test_the_library_is_used_for_much_and_not_for_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small tail is read without its import and compilation; a big file with it."""
    asked = []
    scan._hyperscan.cache_clear()
    real = builtins.__import__

    def watched(
        name: str, globals: Mapping[str, object] | None = None, locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (), level: int = 0,
    ) -> ModuleType:  # fmt: skip
        asked.append(name)
        return real(name, globals, locals, fromlist or (), level)

    monkeypatch.setattr(builtins, "__import__", watched)
    finder(NEEDLES, 2**20 - 1)
    assert "hyperscan" not in asked
    finder(NEEDLES, 2**20)
    assert "hyperscan" in asked


def test_without_the_library_the_slow_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that has no wheel of it, everything is found all the same."""
    scan._hyperscan.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "hyperscan", None)
    try:
        assert [hit.line for hit in found(b"x\nwrite EPIPE\n", "hyperscan")] == [b"write EPIPE"]
    finally:
        scan._hyperscan.cache_clear()


@pytest.mark.parametrize("way", WAYS)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=60), noise=st.binary(max_size=40), block=st.integers(1, 64))
@settings(deadline=None)
def test_each_way_finds_what_is_there(way: str, pieces: list[str], noise: bytes, block: int) -> None:
    """Whatever the bytes and wherever the blocks end, each way finds exactly the lines that hold a needle."""
    data = "".join(pieces).encode() + noise + "".join(reversed(pieces)).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_BLOCK", block)
        assert found(data, way) == naive(data)


@pytest.mark.parametrize("way", WAYS)
def test_offsets_lines_and_the_torn_rest_are_told(way: str) -> None:
    """What a cursor needs: where each hit begins, how much was read, and how much of it is not whole yet."""
    data = b"write EPIPE\nnothing\nEIO\nwrite EP"
    one = Scan(io.BytesIO(data), NEEDLES, WAYS[way](NEEDLES), offset=100)
    assert [(hit.offset, hit.needles) for hit in one.hits()] == [(100, (0,)), (120, (0,))]
    assert (one.offset, one.torn, one.lines, one.bytes) == (124, 8, 3, len(data))


@pytest.mark.parametrize("way", WAYS)
def test_a_line_longer_than_the_block_is_one_line(way: str) -> None:
    """A 5 MB record with its needle at the very end."""
    data = b"EIO\n" + b"x" * 5_000_000 + b"write EPIPE\nEIO\n"
    assert [len(hit.line) for hit in found(data, way)] == [3, 5_000_011, 3]


def test_memory_is_constant() -> None:
    """60 MB in lines or 60 MB in one line: some megabytes at most."""

    class Endless(io.RawIOBase):
        def __init__(self, piece: bytes, times: int) -> None:
            self._piece, self._times = piece, times

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            size = min(len(buffer), len(self._piece)) if self._times else 0
            self._times -= bool(self._times)
            buffer[:size] = self._piece[:size]
            return size

    for piece in (b"a line of a log\n" * 4096, b"x" * 65536):
        tracemalloc.start()
        one = Scan(Endless(piece, 900), NEEDLES[:3], plain(NEEDLES[:3]))
        assert list(one.hits()) == []
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert one.bytes > 58_000_000
        assert peak < 20 * 2**20


@pytest.mark.parametrize("literal", ["", "two\nlines"])
def test_a_literal_is_a_text_of_one_line(literal: str) -> None:
    """What can never be found, or always would be, is refused."""
    with pytest.raises(ValueError, match="need a text of one line"):
        finder([Needle("x", (literal,))], 0)


@pytest.mark.parametrize(
    ("pattern", "works"),
    [
        (r"gateway timeout after \d+ms", True),
        (r"⇄ res ✓ (?P<method>[\w.]+) (?P<ms>\d{5,})ms", True),
        (r"gateway closed \(1006", True),
        (r'"reason":\s*"already-running"', False),
        (r"\bwrite EPIPE\b", False),
        (r"^start", False),
        (r"end$", False),
        (r"[^']*dist/", False),
        (r"back\\slash", False),
        (r"(?i)case", False),
        (r"(?:a|b)c", True),
        (r"(?=ahead)", False),
        (r"(?<!behind)x", False),
        (r"(a)\1", False),
    ],
)
def test_a_pattern_is_used_on_raw_lines_only_where_it_means_the_same(pattern: str, works: bool) -> None:
    """JSON writes quotes, backslashes and line breaks differently, so patterns that depend on them stay out."""
    assert raw_shape(pattern) == (pattern if works else "")
