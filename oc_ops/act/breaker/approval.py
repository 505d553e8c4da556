"""The gate: a person reads the evidence and types the exact name on a terminal; nothing else approves there."""

from __future__ import annotations

import contextlib
import sys
import termios

from oc_ops.act.breaker.mutex import Refused

PROMPT = "type its exact name to break it (anything else leaves it alone): "


def on_a_terminal() -> bool:
    """Whether a person sits there: reads what is printed and types what is read."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def typed(name: str) -> None:
    """Ask for the name; raises Refused for another one, for the end of input, and for Ctrl-C.

    What was typed before the evidence stood there does not count.
    """
    if not on_a_terminal():
        raise Refused("no terminal, so nobody has read the evidence: run `oc-ops breaker show`, then break --approve")
    sys.stdout.flush()
    with contextlib.suppress(termios.error, OSError):
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    try:
        answer = input(PROMPT)
    except EOFError:
        raise Refused("not approved: the input ended") from None
    except KeyboardInterrupt:
        raise Refused("not approved: interrupted") from None
    if answer != name:
        raise Refused("not approved: that is not its name")
