"""The observation of a recovery from the command line: a whole doctor run in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from oc_ops import files
from oc_ops.act.recover.outcome import Observation
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.locks import scratch
from oc_ops.process.jsontext import text_at
from oc_ops.process.run import Call, run
from oc_ops.settings import CHECKOUT, SUITE, Settings, start_folder

_ENDING_S = 60.0
"""Beyond the run's own deadline: imports, the report, and what it waits for other `openclaw` calls."""


def argv(options: Sequence[str] = ()) -> list[str]:
    """The command line of `oc-ops doctor`, with further options of the doctor."""
    if importlib.util.find_spec("pytest") is None:
        raise OcOpsError(f"pytest is not installed for {sys.executable}: install oc-ops again, with what it needs")
    command = [sys.executable, "-m", "pytest", str(SUITE / "checks"), "-m", "doctor"]
    command += ["-c", str(SUITE / "pyproject.toml"), "--rootdir", str(SUITE)]
    if CHECKOUT is None:
        command.append("--assert=plain")  # pytest would write its own bytecode into site-packages
    return [*command, *options]


def examine(settings: Settings, environ: Mapping[str, str], options: Sequence[str] = ()) -> Observation:
    """Run the doctor and read its report; raises OcOpsError when it refuses, CouldNotLook when it left no report."""
    deadline_s = settings.run_s + settings.check_s + _ENDING_S
    try:
        with scratch() as folder:
            result = folder / "result.json"
            command = argv((*options, "--result", str(result)))
            call = run(command, environ=environ, deadline_s=deadline_s, cwd=start_folder())
            if call.exit not in (0, 1):
                raise (OcOpsError if call.exit == 4 else CouldNotLook)(_last_words(call))
            if not result.exists():
                raise CouldNotLook(_last_words(call))
            place = Path(text_at(_read(result), "report"))
    except OSError as error:
        raise CouldNotLook(f"no place for the doctor's result: {error}") from error
    return Observation.of_report(_read(place), place.parent)


def _read(path: Path) -> Mapping[str, object]:
    """A file of the doctor's; raises CouldNotLook for one that is not whole."""
    try:
        report = json.loads(files.read_text(path, files.DATA_BYTES))
    except (OSError, ValueError) as error:
        raise CouldNotLook(f"the doctor's report {path} cannot be read: {error}") from error
    if not isinstance(report, dict):
        raise CouldNotLook(f"the doctor's report {path} is not one")
    return report


def _last_words(call: Call) -> str:
    """The doctor's last line, or what became of its process."""
    spoken = [line.strip() for line in (call.stdout.text + call.stderr.text).splitlines() if line.strip()]
    word = next((line for line in reversed(spoken) if line.startswith(("doctor: ", "ERROR: "))), "")
    return word.removeprefix("ERROR: ") or f"the doctor gave no verdict: {call.summary}"
