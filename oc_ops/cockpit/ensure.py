"""See that the cockpit is up on behalf of somebody who has other things to do, and put it in one line."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from oc_ops.errors import CouldNotLook
from oc_ops.process.run import run
from oc_ops.settings import Settings, environment_name, start_folder
from oc_ops.text import one_line


def ensure(settings: Settings, environ: Mapping[str, str]) -> str:
    """`oc-ops tmux start` in a process of its own, within `call_s`. Never raises: no verdict hangs on it."""
    start = [sys.executable, "-c", "from oc_ops.cli import main; main()", "tmux", "start"]
    try:
        call = run(
            start,
            environ={**environ, **_options(settings)},
            deadline_s=settings.call_s,
            cwd=start_folder(),
            survivors_allowed=True,
        )
    except CouldNotLook as error:
        return f"cockpit: not up: {one_line(str(error))}"
    if call.outcome == "answered":
        return one_line(call.stdout.first_line())
    why = call.stderr.first_line().removeprefix("oc-ops: ")
    return f"cockpit: not up: {one_line(why or call.summary, 600)}"


def _options(settings: Settings) -> dict[str, str]:
    """What came by an option, as the variables that another process reads; the rest it has from where we had it."""
    given = (name for name, source in settings.sources.items() if source.startswith("--"))
    return {environment_name(name): str(getattr(settings, name)) for name in given}
