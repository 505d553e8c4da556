"""Recovery: not built yet. It refuses, because one that is not bounded and verified would be the outage itself."""

from __future__ import annotations

import sys

REFUSED = 4
"""Exit code: the cause is not one that recovery may cure; here, none is."""


def main() -> int:
    """Say what to do instead on stderr and return the exit code."""
    print(
        "recover: refused: bounded recovery is not built yet; run `pytest checks/ -m doctor`, "
        "its last line names the one thing to do",
        file=sys.stderr,
    )
    return REFUSED
