"""One guarded call on a terminal of its own: it sees one, ends as it would without, and nothing of it is left."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import pytest

from oc_ops.process.pty import COLUMNS, ROWS, plain
from oc_ops.process.run import Call, run
from tests.support.survivors import none_left

SPUN = "  Gateway cron.run\x1b[1G\x1b[J"
"""What 2026.9.6 draws again and again while it waits."""

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def token() -> Iterator[str]:
    """A word that every process of the test carries; none of them may survive it."""
    with none_left() as word:
        yield word


def shell(script: str, token: str, deadline_s: float = 20.0) -> Call:
    """A shell's script on a terminal."""
    argv = ["sh", "-c", script, token]
    return run(argv, environ=dict(os.environ), deadline_s=deadline_s, kill_grace_s=0.2, on_terminal=True)


def test_the_call_has_a_terminal(token: str) -> None:
    """Both streams are one terminal of a known size, in their order, and the input is at its end."""
    call = shell("test -t 0 && test -t 1 && test -t 2 && stty size; echo err >&2; read x; echo read $?; exit 3", token)
    assert call.stdout.text == f"{ROWS} {COLUMNS}\r\nerr\r\nread 1\r\n"
    assert (call.outcome, call.exit, call.argv[0], call.stderr.text) == ("refused", 3, "sh", "")


@pytest.mark.parametrize("number", [6, 9, 15])
def test_a_call_that_dies_of_a_signal(token: str, number: int) -> None:
    """The signal is told as if there were no terminal."""
    call = shell(f"kill -{number} $$", token)
    assert (call.outcome, call.signal) == ("crashed", number)


def test_a_call_that_cannot_be_executed(token: str) -> None:
    """It is refused with a word why."""
    call = run([f"/nowhere/{token}"], environ=dict(os.environ), deadline_s=20, on_terminal=True)
    assert (call.outcome, call.exit) == ("refused", 127)
    assert "not found" in call.stderr.text


def test_at_the_deadline_the_whole_tree_ends(token: str) -> None:
    """Also what ignores SIGTERM and SIGHUP, and what left for a session of its own."""
    apart = f"{sys.executable} -c 'import os, sys, time; os.setsid(); time.sleep(60)' {token}"
    script = f"trap '' TERM HUP; echo begun; {apart} & sleep 60"
    began = time.monotonic()
    call = shell(script, token, deadline_s=1.0)
    assert (call.outcome, call.stdout.text) == ("timed-out", "begun\r\n")
    assert time.monotonic() - began < 20


def test_a_flood_comes_through(token: str) -> None:
    """Megabytes are counted and bounded."""
    call = shell("seq 1 300000", token)
    assert (call.outcome, call.stdout.total_bytes) == ("answered", sum(len(str(n)) + 2 for n in range(1, 300_001)))


def test_output_is_told_as_it_comes(token: str) -> None:
    """Each part when it is printed, and nothing in between to tell that time passes."""
    heard: list[bytes] = []
    argv = ["sh", "-c", "echo one; sleep 0.8; echo two", token]
    run(argv, environ=dict(os.environ), deadline_s=20, on_output=heard.append)
    assert [each for each in heard if each] == [b"one\n", b"two\n"]
    assert 2 <= heard[heard.index(b"one\n") :].count(b"") <= 6


def test_the_listener_may_cut_it_short(token: str) -> None:
    """What it raises while nothing comes ends the call with all it started, and the call is told of."""
    told: list[Call] = []

    def enough(chunk: bytes) -> None:
        if not chunk:
            raise RuntimeError("enough")

    argv = ["sh", "-c", "sleep 60; true", token]
    with pytest.raises(RuntimeError, match="enough"):
        run(argv, environ=dict(os.environ), deadline_s=50, on_terminal=True, on_output=enough, on_call=told.append)
    assert [each.outcome for each in told] == ["timed-out"]
    assert "by RuntimeError: enough" in told[0].summary


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"\x1b[?25l│\r\n◒{SPUN}◐{SPUN}\x1b[?25h◇  \r\n\r\x1b[2K{{\r\n}}", "{\n}"),
        ("10 %\r50 %\r100 %\r\nend", "100 %\nend"),
        ("\x1b[31mred\x1b[0m \x1b[<u\x1b[>4;0m", "red "),
        ("\x1b]52;c;aGk=\x07", "\x1b]52;c;aGk=\x07"),
        ("a\n\nb\n", "a\n\nb\n"),
    ],
    ids=["the CLI's spinner", "drawn over", "colours", "no colour stays to be shown", "as it is"],
)  # fmt: skip
def test_what_a_terminal_shows(text: str, shown: str) -> None:
    """Colours, spinners and what was drawn over are not there to be read; anything else stays."""
    assert plain(text) == shown


def test_a_long_line_costs_no_more_than_its_length() -> None:
    """A megabyte without a break is read over once."""
    began = time.process_time()
    assert len(plain("x" * 4_000_000)) == 4_000_000
    assert time.process_time() - began < 4
