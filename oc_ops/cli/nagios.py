"""`oc-ops doctor --nagios`: one line on standard output and exit code 0, 1, 2 or 3, whatever happens to the run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence

from oc_ops.errors import OcOpsError

_LINE = re.compile(r"DOCTOR (OK|WARNING|CRITICAL|UNKNOWN) - ")


def run(doctor: Callable[[], Sequence[str]]) -> int:
    """Run the doctor with this command line, print the plugin's line and return its exit code.

    A run that says nothing of the kind, by a wrong option, a crash or its deadline, is UNKNOWN with its last words.
    """
    from oc_ops.record import nagios

    try:
        last = _last_line([*doctor(), "--nagios"])
    except OcOpsError as error:
        last = str(error)
    found = _LINE.match(last)
    print(last if found else nagios.said("UNKNOWN", last))
    return nagios.STATES[found[1] if found else "UNKNOWN"]


def _last_line(argv: Sequence[str]) -> str:
    from oc_ops import settings
    from oc_ops.process import run

    limits = settings.load()
    call = run.run(
        argv,
        environ=os.environ,
        deadline_s=limits.run_s + limits.deep_s * ("--deep" in argv) + limits.check_s,
        kill_grace_s=limits.kill_grace_s + 2.0,  # it ends its own calls, and writes its report
        survivors_allowed=True,  # whoever tells people of it
    )
    lines = [line.strip() for line in call.stdout.text.splitlines() if line.strip()]
    if call.exit is None or lines:
        return lines[-1] if call.exit is not None else call.summary
    # A usage error of pytest's has more lines below the one that says it.
    wrong = [line.strip() for line in call.stderr.text.splitlines() if "error: " in line.lower()]
    return wrong[-1] if wrong else call.summary
