"""A recovery's data: the observation before, the proof, the outcome after."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from msgspec import Struct

from oc_ops import files
from oc_ops.act.recover.wait import Settled
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.judge.finding import Finding
from oc_ops.judge.findings import Verdict
from oc_ops.judge.lifecycle import on_its_way
from oc_ops.locks import scratch
from oc_ops.process.jsontext import at, text_at
from oc_ops.process.run import Call, run
from oc_ops.record.incidents import events
from oc_ops.settings import CHECKOUT, SUITE, Settings, start_folder
from oc_ops.text import remedy

if TYPE_CHECKING:
    from oc_ops.record.redact import Json
    from oc_ops.record.run import RunRecord

Word = Literal["healthy", "recovered", "would act", "ineffective", "unknown", "refused"]
Exit = Literal[0, 1, 2, 3, 4]
"""0 healthy now, or was already. 1 tried and still unhealthy. 2 could not tell. 3 refused by lock, budget, cool-down
or grace. 4 refused because this cause is not cured by what recovery may do. `--dry-run` that would act is 1."""


class Observation(Struct, frozen=True):
    """The findings of one doctor run, or a part of one. `cause` explains the other findings; `folder` is the run's."""

    verdict: Verdict
    cause: Finding | None = None
    findings: tuple[Finding, ...] = ()
    folder: Path | None = None
    incident: str | None = None
    note: str = ""
    """Why it could not look, where it could not."""

    @classmethod
    def of_record(cls, record: RunRecord, folder: Path) -> Observation:
        """The observation that a run of this process has made."""
        return cls(
            record.verdict,
            record.cause_finding or on_its_way(record.findings),
            record.findings,
            folder,
            text_at(record.incident, "id") or None,
            next((each.note for each in record.could_not_look), ""),
        )

    @classmethod
    def of_report(cls, report: Mapping[str, object], folder: Path) -> Observation:
        """The observation that a report.json tells of; members that it lacks are empty."""
        findings = tuple(Finding.of_report(each) for each in _list(report, "findings"))
        named = report.get("cause")
        notes = [text_at(each, "note") for each in _list(report, "checks") if at(each, "outcome") == "error"]
        verdict = text_at(report, "verdict")
        return cls(
            cast("Verdict", verdict) if verdict in ("healthy", "degraded", "unhealthy") else "unknown",
            next((each for each in findings if each.check == named and each.severity == "error"), on_its_way(findings)),
            findings,
            folder,
            text_at(report, "incident", "id") or None,
            next(iter(notes), ""),
        )

    @property
    def healthy(self) -> bool:
        """No error finding; warnings alone are no outage, but for a gateway that is not up yet."""
        return self.verdict in ("healthy", "degraded") and on_its_way(self.findings) is None

    @property
    def echoes(self) -> tuple[Finding, ...]:
        """The errors, if every one of them is a line in the log: it tells of the outage that is over."""
        errors = tuple(each for each in self.findings if each.severity == "error")
        # Signatures are named area.kind; logs/silent and logs/oversized are about the log itself.
        only = all(each.check.startswith("logs/") and "." in each.check for each in errors)
        return errors if only and self.verdict == "unhealthy" else ()

    def as_json(self) -> dict[str, Json]:
        """For the record."""
        return {
            "verdict": self.verdict,
            "cause": self.cause.check if self.cause else None,
            "fact": self.cause.fact if self.cause else self.note,
            "report": str(self.folder) if self.folder else None,
            "incident": self.incident,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a recovery ended. `record` is the path of its step-by-step record, None where nothing was recorded."""

    exit: Exit
    word: Word
    why: str
    duration_s: float = 0.0
    cause: Finding | None = None
    cure: str = "none"
    acted: bool = False
    record: Path | None = None
    incident: str | None = None
    before: Observation | None = None
    after: Observation | None = None
    steps: tuple[Mapping[str, Json], ...] = field(default=(), repr=False)

    @property
    def sentence(self) -> str:
        """The recovery in one sentence, the last line on the terminal; not redacted beyond what its parts are."""
        return f"recover: {self.word} in {self.duration_s:.1f} s: {self.why}"

    def as_json(self) -> dict[str, Json]:
        """For machines, and for `recovery` in report.json."""
        return {
            "exit": self.exit,
            "outcome": self.word,
            "sentence": self.sentence,
            "duration_s": round(self.duration_s, 3),
            "cause": self.cause.check if self.cause else None,
            "cure": self.cure,
            "acted": self.acted,
            "record": str(self.record) if self.record else None,
            "incident": self.incident,
            "before": self.before.as_json() if self.before else None,
            "after": self.after.as_json() if self.after else None,
            "steps": list(self.steps),
        }


def _list(report: Mapping[str, object], name: str) -> list[Mapping[str, object]]:
    value = report.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


@dataclass
class Conclusion(Exception):
    """The routine is over: the outcome without its times and paths."""

    exit: Exit
    word: Word
    why: str

    @property
    def attempt(self) -> events.Outcome:
        """The outcome in the words of the book of incidents."""
        return "recovered" if self.word == "recovered" else "unknown" if self.exit == 2 else "ineffective"


def proof(before: Finding, after: Observation, command: str, settled: Settled | None, said: str) -> Conclusion:
    """The end of a recovery that acted. `said` is why OpenClaw did not take the command, where it did not."""
    took = f", up {settled.took_s:.1f} s after it was given" if settled and settled.started else ""
    gone = f"{before.check} is gone after one `{command}`{took}"
    unheard = said if before.check.startswith("channels/") else ""
    if after.healthy and not unheard:
        return Conclusion(0, "recovered", f"{gone}, and every check passes")
    if after.healthy:
        return Conclusion(1, "ineffective", f"{before.subject} is not back after `{command}`: {unheard}")
    if after.echoes:
        names = ", ".join(each.check for each in after.echoes)
        return Conclusion(0, "recovered", f"{gone}; its log still shows the outage: {names}")
    refused = f"; OpenClaw said: {said}" if said else ""
    cause = after.cause
    if cause is None:
        why = after.note or "the doctor names no cause"
        return Conclusion(2, "unknown", f"`{command}` was run, and what came of it could not be seen: {why}{refused}")
    if (cause.check, cause.subject) == (before.check, before.subject):
        return Conclusion(
            1, "ineffective", f"{cause.check} is still there after `{command}`{refused} · fix: {remedy(cause.fix)}"
        )
    return Conclusion(
        1, "ineffective", f"{before.check} is gone after `{command}`, and now it is {cause.sentence}{refused}"
    )


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
