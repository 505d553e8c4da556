"""The record of one run and its JSON, schema 1: what other programs read."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct
from msgspec.structs import asdict

from oc_ops import __version__
from oc_ops.judge.finding import Finding
from oc_ops.judge.findings import Verdict
from oc_ops.observe.service import is_wsl2
from oc_ops.settings import Settings, declared
from oc_ops.text import utc

if TYPE_CHECKING:
    from oc_ops.observe.jobs import Jobs
    from oc_ops.observe.probe import GatewayProbe
    from oc_ops.observe.rpc import RpcRefused
    from oc_ops.observe.rpc_reads import RpcReads
    from oc_ops.process.run import Call
    from oc_ops.record.redact import Json, Redactor

SCHEMA = 1
CheckOutcome = Literal["passed", "failed", "blocked", "error", "skipped"]
WARNED = "not asked: "
"""How the note of a check begins that a warning has kept from looking."""
SPARED = "proven "
"""How the note of a check begins that a scheduled run has not repeated."""


class CheckRecord(Struct, frozen=True):
    """One check of the run. `claim` is its sentence, `note` why it could not look or was skipped."""

    id: str
    nodeid: str
    outcome: CheckOutcome
    duration_s: float
    blocked_by: str | None = None
    claim: str = ""
    note: str = ""


class CallRecord(Struct, frozen=True):
    """One `openclaw` process. `transcript` is a path inside the run directory, `summary` what came of it in words."""

    argv: tuple[str, ...]
    outcome: str
    exit: int | None
    wall_s: float
    cpu_s: float
    transcript: str
    summary: str = ""

    @classmethod
    def of(cls, call: Call, transcript: str) -> CallRecord:
        """Take over what a record needs from a finished call; the program is named without its folder."""
        program = os.path.basename(call.argv[0])  # noqa: PTH119 -- an argument, not necessarily a path
        return cls(
            argv=(program, *call.argv[1:]),
            outcome=call.outcome,
            exit=call.exit,
            wall_s=call.wall_s,
            cpu_s=call.cpu_s,
            transcript=transcript,
            summary=call.summary,
        )


class Lanes(Struct, frozen=True):
    """How each lane of observation did: `ok`, `off`, `not needed` or `unavailable: why`."""

    http: str
    rpc: str
    cli: str


class OpenclawInfo(Struct, frozen=True):
    """Which OpenClaw was looked at; None where it could not be learnt."""

    cli_version: str | None = None
    gateway_version: str | None = None
    profile: str | None = None
    port: int | None = None
    log_files: tuple[str, ...] = ()


class Load(Struct, frozen=True):
    """The run's own cost: CPU seconds, user and system; `own_cpu_s` is the doctor's process from its start."""

    calls: int
    calls_cpu_s: float
    own_cpu_s: float


class Evidence(Struct, frozen=True):
    """Lines worth reading beside the verdict, such as the log around the fault."""

    title: str
    lines: tuple[str, ...]


class SettingRecord(Struct, frozen=True):
    """A setting that is not at its default, and where its value came from."""

    name: str
    value: str
    source: str


class Environment(Struct, frozen=True):
    """The machine that the doctor itself ran on."""

    versions: tuple[tuple[str, str], ...]
    settings: tuple[SettingRecord, ...] = ()


class Change(Struct, frozen=True):
    """Changes since the last green run."""

    what: str
    before: str
    now: str


class Around(Struct, frozen=True):
    """Context of a failing run: the last green run and what changed since, and its incident's timeline."""

    green_at: datetime | None = None
    changes: tuple[Change, ...] = ()
    timeline: tuple[tuple[datetime, str], ...] = ()


class Scope(Struct, frozen=True):
    """How much of the doctor ran, and at which gateway: a part of it does not speak for the whole."""

    key: str = ""
    planned: int = 0
    left_out: int = 0
    """Checks that were deselected."""
    quick: bool = False
    interrupted: bool = False
    lab: bool = False
    cured: str | None = None
    """The cause that a recovery within the run has ended."""


class Observations(Struct, frozen=True):
    """Observations of a run that its incident and its history are made of; None for what was not looked at."""

    config: Path | None = None
    state_dir: Path | None = None
    probe: GatewayProbe | None = None
    rpc: RpcReads | RpcRefused | None = None
    jobs: Jobs | None = None
    watched: frozenset[str] = frozenset()
    """The ids of the jobs that must never stop."""
    first_signature_at: datetime | None = None
    found_by: Mapping[tuple[str, str], str] = {}
    """The check, by nodeid, that found each finding: by its id and subject."""


class RunRecord(Struct, frozen=True):
    """Everything one doctor run has to say. Texts are raw: `to_json` and the report page redact them.

    `scope` and `observed` are for what is made of the run; report.json does not hold them.
    """

    verdict: Verdict
    cause: str | None
    started_at: datetime
    duration_s: float
    lanes: Lanes
    openclaw: OpenclawInfo
    findings: tuple[Finding, ...] = ()
    checks: tuple[CheckRecord, ...] = ()
    calls: tuple[CallRecord, ...] = ()
    load: Load | None = None
    recovery: Mapping[str, Json] | None = None
    since: datetime | None = None
    incident: Mapping[str, Json] | None = None
    around: Around | None = None
    evidence: tuple[Evidence, ...] = ()
    environment: Environment | None = None
    scope: Scope = Scope()
    observed: Observations = Observations()

    @property
    def empty(self) -> bool:
        """True when no check was selected: such a run leaves the latest report what it was."""
        return not (self.checks or self.scope.planned or self.scope.interrupted)

    @property
    def whole(self) -> bool:
        """True when every check of the doctor came to its end, the costly ones included."""
        scope = self.scope
        return not (scope.left_out or scope.quick or scope.interrupted or len(self.checks) < scope.planned)

    @property
    def cause_finding(self) -> Finding | None:
        """The finding that explains the others."""
        return next((each for each in self.findings if each.check == self.cause), None)

    @property
    def other_findings(self) -> tuple[Finding, ...]:
        """The findings beside the cause, worst first."""
        order = ("error", "warning", "info")
        cause = self.cause_finding
        return tuple(
            sorted((each for each in self.findings if each is not cause), key=lambda f: order.index(f.severity))
        )

    @property
    def blocked(self) -> dict[str, int]:
        """How many checks each cause kept from looking."""
        causes = [each.blocked_by or "an earlier fault" for each in self.checks if each.outcome == "blocked"]
        return {cause: causes.count(cause) for cause in dict.fromkeys(causes)}

    @property
    def could_not_look(self) -> tuple[CheckRecord, ...]:
        """The checks that ended in an error instead of an answer."""
        return tuple(each for each in self.checks if each.outcome == "error")


_WSL2 = (
    "(WSL2: it ends with its last window, systemd may be off, its clock may stand still while Windows sleeps, and "
    "Windows reaches its ports through a forwarder, wslrelay)"
)


def environment(settings: Settings) -> Environment:
    """Describe this machine's versions and the settings somebody changed."""
    system = os.uname()
    release = platform.mac_ver()[0] if system.sysname == "Darwin" else _distribution()
    windows = _WSL2 if is_wsl2() else ""
    return Environment(
        versions=(
            ("oc-ops", __version__),
            ("python", platform.python_version()),
            ("os", " ".join(part for part in (release, system.sysname, system.release, windows) if part)),
            ("machine", system.machine),
            ("executable", sys.executable),
        ),
        settings=tuple(
            SettingRecord(each.name, settings.shown(each.name), settings.source(each.name))
            for each in declared()
            if settings.source(each.name) != "default"
        ),
    )


def to_json(record: RunRecord, redactor: Redactor) -> str:
    """Return the run as JSON text, schema 1: redacted, controls made visible, no string longer than 4,000 characters.

    `verdict` is the second member, so that a reader of many runs can look at the first line or two only.
    """
    members: dict[str, Any] = {"schema": SCHEMA, **asdict(record)}
    del members["scope"], members["observed"]
    members["whole"] = record.whole
    members["calls"] = [{**asdict(each), "argv": redactor.argv(each.argv)} for each in record.calls]
    members["recovery"] = redactor.json(record.recovery)
    members["incident"] = redactor.json(record.incident)
    if record.environment is not None:
        members["environment"] = {**asdict(record.environment), "versions": dict(record.environment.versions)}
    return json.dumps(_clean(members, redactor), indent=2) + "\n"


def _clean(value: Any, redactor: Redactor) -> Json:
    match value:
        case str():
            return redactor.line(value, 4000)
        case float():
            return round(value, 3)
        case datetime():
            return utc(value)
        case Struct():
            return _clean(asdict(value), redactor)
        case Mapping():
            return {redactor.line(str(key)): _clean(each, redactor) for key, each in value.items()}
        case Sequence():
            return [_clean(each, redactor) for each in value]
        case None | bool() | int():
            return value
    return redactor.line(str(value))


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""
