"""Runs one command on a terminal of its own and passes on what it prints there; also makes that readable.

`python -I pty.py LIBRARY ARGV…`, started by `process.run` below its warden, which ends both. A process of its own:
pexpect forks in Python, which is not safe beside threads, and a warden that is guarded as ever needs no second guard.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from contextlib import suppress

from oc_ops.text import regex

TYPE_CHECKING = False  # importing typing would cost as much as starting Python
if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS, COLUMNS = 24, 120
"""Rows and columns of the terminal, as the command is told."""

_CANNOT = 127
_CONTROL = regex(r"\x1b\[[0-?]*[ -/]*[@-~]")
_REDRAW = regex(r"\x1b\[1?G|\r")
_SPINNER = regex(r"^[ \t]*[│◇◒◐◓◑][^\n]*\n?", re.M)


def command(argv: Sequence[str]) -> list[str]:
    """The command to start in place of `argv`, so that it runs on a terminal."""
    import importlib.util
    from pathlib import Path

    spec = importlib.util.find_spec("pexpect")
    assert spec is not None
    assert spec.origin is not None
    library = Path(spec.origin).absolute().parent.parent
    return [sys.executable, "-I", str(Path(__file__).absolute()), str(library), *argv]


def plain(text: str) -> str:
    """The text as a terminal would show it: without colours, spinners and lines drawn over; no other control goes."""
    lines = text.replace("\r\n", "\n").split("\n")
    text = "\n".join(_REDRAW.split(line)[-1] for line in lines)
    return _SPINNER.sub("", _CONTROL.sub("", text))


def main(library: str, argv: list[str]) -> int:
    """The exit code of the command; dies of the signal that it died of."""
    sys.path.append(library)
    import pexpect

    try:
        child = pexpect.spawn(argv[0], argv[1:], timeout=None, echo=False, dimensions=(ROWS, COLUMNS))
    except (pexpect.ExceptionPexpect, OSError) as error:
        sys.stderr.write(f"{argv[0]}: {str(error).splitlines()[0]}\n")
        return _CANNOT
    child.sendeof()  # nobody is there to answer a question
    while True:
        try:
            chunk = child.read_nonblocking(1 << 16, timeout=None)
        except pexpect.EOF:
            break
        while chunk:
            chunk = chunk[os.write(1, chunk) :]
    child.close()
    if child.signalstatus is not None:
        with suppress(OSError):  # SIGKILL has no other action to be put back
            signal.signal(child.signalstatus, signal.SIG_DFL)
        os.kill(os.getpid(), child.signalstatus)
    return _CANNOT if child.exitstatus is None else child.exitstatus


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
