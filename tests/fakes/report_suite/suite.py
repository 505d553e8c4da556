"""Tests whose every trace in a report is the payload."""

import os
import sys

import pytest

PAYLOAD = os.environ.get("OC_TEST_PAYLOAD", "")
NASTY = PAYLOAD + "\0\x1b]52;c;x\x07\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07\x1b[31m"


@pytest.mark.parametrize("value", [PAYLOAD], ids=[PAYLOAD or "x"])
def test_fails(value):
    print(NASTY)
    print("B" * 5_000_000)
    sys.stdout.buffer.write(b"\xff\xfe\x9b2J\n")
    print(os.environ.get("OC_TEST_SECRET", ""))
    raise AssertionError(NASTY + "C" * 5_000_000)


@pytest.fixture
def broken():
    print(NASTY, file=sys.stderr)
    raise RuntimeError(NASTY)


def test_errors(broken):
    pass


def test_blocked():
    pytest.skip(NASTY)


@pytest.mark.parametrize("n", range(3))
def test_passes(n, record_property, extras):
    extras.append({"name": PAYLOAD, "format_type": "html", "content": PAYLOAD, "mime_type": None, "extension": None})
    extras.append({"name": PAYLOAD, "format_type": "url", "content": PAYLOAD, "mime_type": None, "extension": None})
    print(NASTY)
