"""The JSON in outputs as releases really print them."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oc_ops.process.jsontext import at, complaint, json_object, number_at, telling_line, text_at

STATUS = {
    "service": {"label": "systemd", "loaded": False},
    "rpc": {"ok": False, "error": "timeout"},
    "jobs": [{"id": 1}],
}
PRETTY = json.dumps(STATUS, indent=2)
BOX = """│
◇  Config ───────────────────────────────────────────────────╮
│                                                            │
│  Config invalid; doctor will run with best-effort config.  │
│                                                            │
├────────────────────────────────────────────────────────────╯
"""
PLUGINS = "[plugins] device-pair failed to load from /x/index.ts: Error: Cannot find module 'a/b.js'\n- /x/y.js\n"
TRACE = "Error: connect ECONNREFUSED 127.0.0.1:18789\n    at emit (node:events:1) {\n  errno: -1,\n  code: 'X'\n}\n"


@pytest.mark.parametrize(
    "text",
    [
        PRETTY,
        json.dumps(STATUS),
        f"\n\n  {json.dumps(STATUS)}\n\n",
        BOX + PRETTY,
        PLUGINS + PRETTY + "\n",
        PRETTY + "\n" + PLUGINS,
        PLUGINS * 500 + PRETTY,
        TRACE + PRETTY,
        PRETTY + "\n" + TRACE,
        '{"ok":true}\n' + PRETTY + '\n{"log":"line"}\n',
        "{braces} in a notice\n" + PRETTY,
        "[a list\n{ not: json }\n" + PRETTY + "\n}]",
        "\x1b[33mwarn\x1b[0m\r\n" + PRETTY.replace("\n", "\r\n") + "\r\n",
        "[1, 2]\n" + PRETTY,
        PRETTY + "\n{",
    ],
    ids=[
        "pretty", "one line", "indented", "2026.2.26's box", "plugins before", "plugins after", "a thousand lines",
        "stack trace before", "stack trace after", "smaller ones around", "braces", "brackets", "colours and CRLF",
        "a list before", "a torn one after",
    ],
)  # fmt: skip
def test_the_answer_is_found(text: str) -> None:
    """Whatever stands around the answer, it is the answer that is taken."""
    assert json_object(text) == STATUS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no braces",
        "null",
        "[1, 2]",
        "[\n{}\n]",
        f"[\n{json.dumps({'a': 1})}\n]",
        "{",
        '{"a":',
        "{a: 1}",
        "text {} here",
    ],
)
def test_where_there_is_no_object_there_is_none(text: str) -> None:
    """A list, a torn or unquoted object, and braces inside a line are no answer."""
    assert json_object(text) is None


@pytest.mark.parametrize("cut", range(2, len(PRETTY), 7))
def test_a_part_is_not_taken_for_the_answer(cut: int) -> None:
    """However far an answer got before its process hung, nothing inside it passes for the whole."""
    assert json_object(BOX + PRETTY[:cut]) is None


def test_a_part_of_a_long_answer_is_not_taken_for_it() -> None:
    """The gap that a capped output leaves makes it no answer either."""
    long = json.dumps({"jobs": [{"id": n, "state": {"n": n}} for n in range(50)]}, indent=2)
    assert json_object(f"{long[:300]}\n… 999 bytes left out …\n{long[-300:]}") is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda kids: st.lists(kids, max_size=3) | st.dictionaries(st.text(max_size=5), kids, max_size=3),
    max_leaves=8,
)
NOISE = st.lists(st.text(st.characters(exclude_characters="{[\r\n"), max_size=20), max_size=4)


@given(
    st.dictionaries(st.text(max_size=5), VALUES, min_size=1, max_size=4),
    NOISE,
    NOISE,
    st.sampled_from([None, 2]),
    st.booleans(),
)
@settings(deadline=None)
def test_any_object_between_noise_is_found(
    value: dict[str, object], before: list[str], after: list[str], indent: int | None, ascii_only: bool
) -> None:
    """Any object, printed on one line or many, between any lines without brackets."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert json_object("\n".join([*before, text, *after])) == value


@given(st.text(st.sampled_from('{}[]",:\n 1ae\\'), max_size=200))
@settings(deadline=None)
def test_nothing_makes_it_raise(text: str) -> None:
    """Torn brackets of every kind end in an object or in None."""
    found = json_object(text)
    assert found is None or isinstance(found, dict)


def spent_s(text: str) -> float:
    """Processor seconds of one search."""
    began = time.process_time()
    json_object(text)
    return time.process_time() - began


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[",
        "[1,\n",
        '{"a":\n',
        '["x",\n1,\n',
        "[plugins] x\n",
        "[1] x\n",
        "[2026-11-22] x\n",
        '{"a": [\n1,\n',
        "{}x\n",
        '"\n',
    ],
)
def test_garbage_costs_little(line: str) -> None:
    """Four times the garbage costs no more than about four times the time, and a megabyte at most a second."""
    small, large = line * (250_000 // len(line)), line * (1_000_000 // len(line))
    took = min(spent_s(small) for _ in range(3))
    assert spent_s(large) < max(12 * took, 0.2)
    assert spent_s(large) < 2


def test_a_number_too_long_for_python_is_infinite() -> None:
    """As to JavaScript: Python refuses integers of more than 4300 digits, and reckons with none of four hundred."""
    huge = '{"a": ' + "9" * 5000 + "}"
    assert json_object(huge) == json_object(f"[plugins] loaded\n{huge}\nbye") == {"a": float("inf")}


def test_values_are_taken_by_path() -> None:
    """A missing key, another type on the way, or true for a number gives nothing, and never raises."""
    value = {"rpc": {"error": "timeout", "port": 18789, "ok": True, "list": [1]}}
    assert at(value, "rpc", "list") == [1]
    assert at(value) == value
    assert at(value, "rpc", "error", "deeper") is None
    assert at(None, "rpc") is None
    assert text_at(value, "rpc", "error") == "timeout"
    assert text_at(value, "rpc", "port") == ""
    assert number_at(value, "rpc", "port") == 18789.0
    assert number_at(value, "rpc", "ok") is None
    assert number_at(value, "rpc", "error") is None


REFUSED = {"ok": False, "error": {"type": "cli_error", "message": "no credential\nFix: set one\nConfig: /x"}}
HEADED = "[openclaw] The CLI command failed.\n[openclaw] Reason: no credential\nFix: set one\n"
WARNED = "(node:12) ExperimentalWarning: SQLite\n(Use `node --trace-warnings ...` to show)\nError: real\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (json.dumps(REFUSED, indent=2), "no credential"),
        (json.dumps(REFUSED), "no credential"),
        (PLUGINS + json.dumps(REFUSED, indent=2), "no credential"),
        (json.dumps(REFUSED, indent=2)[:90], "no credential"),
        (json.dumps({"rpc": {"ok": False, "error": "unauthorized: token\nmore"}}), "unauthorized: token"),
        (json.dumps({"error": "gone"}), "gone"),
        (json.dumps({"valid": False, "issues": [{"path": "x", "message": "Unrecognized key"}]}), "Unrecognized key"),
        (json.dumps({"ok": False, "port": 1}, indent=2), ""),
        ('{\n  "ok": false,\n', ""),
        ("{", ""),
        (json.dumps({"ok": False}, indent=2) + "\nbye\n", "bye"),
        (BOX, "Config invalid; doctor will run with best-effort config."),
        (HEADED, "no credential"),
        (WARNED, "Error: real"),
        (TRACE, "Error: connect ECONNREFUSED 127.0.0.1:18789"),
        ("\n   \n  spaced   out  \n", "spaced out"),
        ("────────\n│\n", ""),
        ("", ""),
    ],
    ids=["json", "json on one line", "plugins before", "torn", "status", "text", "issues", "no message", "torn early",
         "a brace", "a line behind", "box", "heading", "node warns", "trace", "plain", "lines", "nothing"],
)  # fmt: skip
def test_the_line_that_tells_something(text: str, line: str) -> None:
    """Never a brace, a member of JSON or a drawn line: the message, else the first words."""
    assert telling_line(text) == line


def test_a_complaint_is_told_whole() -> None:
    """Its further lines say where the CLI asked, and why there."""
    assert complaint(json.dumps(REFUSED)) == "no credential\nFix: set one\nConfig: /x"
    assert complaint("plain words") == complaint("[1, 2]") == ""


@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    """Whatever was printed gives one line, and none that is only braces."""
    line = telling_line(text)
    assert "\n" not in line
    assert not line or any(each.isalnum() for each in line)
