"""A finding: the record that a judge returns, and the registry in which each of its ids is declared once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, TypeVar

from msgspec import Struct
from msgspec.structs import force_setattr

from oc_ops.text import NO_COMMAND, regex, remedy

Severity = Literal["info", "warning", "error"]
NO_UNIT = "no service unit runs it"
ATTENDED = f"{NO_COMMAND}wait until that has ended"
FROZEN = "the gateway is suspended and frozen"
WAKE = "kill -CONT "
"""Said in a fix or a fact by the judges. Recovery knows a finding by its report alone: the properties of a Finding
tell it what was said, and nothing else reads these texts."""


class Finding(Struct, frozen=True):
    """One fault. `check` is the stable id of docs and contracts; every text an operator sees derives from these fields.

    `fact` is present tense without a period, `saw` is one line of evidence, `fix` is one command that pastes
    and runs or "none automatic: …", `verify` the command that proves the repair; by default it runs the checks that
    can find it. `subject` is what it is about where one id is found of several things, such as a watched job. `proof`
    is what of the gateway's own process or socket proves the fault; without it nothing may be restarted, started or
    ended for a finding whose cure wants it.
    """

    check: str
    severity: Severity
    fact: str
    saw: str
    fix: str
    verify: str = ""
    subject: str = ""
    proof: str = ""

    def __post_init__(self) -> None:
        """Verify by the finding's own id, where no other command is given."""
        if not self.verify:
            force_setattr(self, "verify", f"oc-ops doctor --check {self.check}")

    @classmethod
    def of_report(cls, told: Mapping[str, object]) -> Finding:
        """The finding that a report.json tells of; an unknown severity is an error, a missing text empty."""
        names = ("check", "fact", "saw", "fix", "verify", "subject", "proof")
        texts = {name: str(told.get(name) or "") for name in names}
        severity = told.get("severity")
        known: Severity = severity if severity in ("info", "warning") else "error"
        return cls(severity=known, **texts)

    def __str__(self) -> str:
        return (
            f"{self.check}: {self.severity}: {self.fact}\n"
            f"  saw:    {self.saw}\n"
            f"  fix:    {remedy(self.fix)}\n"
            f"  verify: {self.verify}"
        )

    @property
    def for_a_person(self) -> bool:
        """True if the fix is no command that pastes and runs, but what a person decides."""
        return self.fix.startswith(NO_COMMAND)

    @property
    def attended(self) -> bool:
        """True if another program is at work on the gateway, and what is to be done is to wait for its end."""
        return self.fix.startswith(ATTENDED)

    @property
    def frozen(self) -> bool:
        """True of a gateway that was suspended for a freeze of its host."""
        return self.fact.startswith(FROZEN)

    @property
    def without_unit(self) -> bool:
        """True if its fix says that nothing supervises the gateway: a command of ours could not start it."""
        return NO_UNIT in self.fix

    @property
    def wakes(self) -> bool:
        """True if its fix lets a stopped process go on."""
        return WAKE in self.fix and not self.for_a_person

    @property
    def sentence(self) -> str:
        """The finding on one line, for the last line of a run."""
        return f"{self.check}: {self.fact} · fix: {remedy(self.fix)}"


Action = Literal["restart", "start", "wait", "browser-restart", "channel-restart", "none"]
PROVEN: frozenset[Action] = frozenset(("restart", "start", "channel-restart"))
"""Acts that take a proof: what the gateway itself has shown."""
State = Literal["absent", "mute", "passing", "kept-out", "late", "serving", ""]
"""How a gateway stands when the finding is true of it.

absent: it does not run. mute: it runs and answers nobody. passing: on its way up or down. kept-out: it cannot serve
until a person has changed something. late: it answers, too slowly. serving: it answers, so the finding explains nothing
else that fails. Empty: the finding says nothing about the gateway as a whole.
"""

_ID = regex(r"[a-z]+/[a-z][a-z-]*[a-z]")
_Judge = TypeVar("_Judge", bound=Callable[..., object])


class Cure(Struct, frozen=True):
    """The act of recovery for a finding, and the reason in words, without a period.

    `proof` says what the gateway's own process, socket or files have shown before a restart or start may be done, or a
    person is told to restart, kill, stop or edit something; advice that only looks needs none.
    """

    action: Action
    why: str
    proof: str = ""


class FindingKind(Struct, frozen=True):
    """One finding id: its cure, what it means and what helps, each a phrase fit for a table.

    `checks` are the ids of the checks that can find it; a finding without any is looked for by all checks of its area.
    `state` is how the gateway stands when it is true.
    """

    id: str
    cure: Cure
    means: str
    helps: str
    checks: tuple[str, ...] = ()
    state: State = ""


_KINDS: dict[str, FindingKind] = {}
KINDS: Mapping[str, FindingKind] = MappingProxyType(_KINDS)
"""Every declared finding by id; complete once `oc_ops.judge.findings` is imported."""


def finds(
    id: str, *, cure: Cure, means: str, helps: str, checks: tuple[str, ...] = (), state: State = ""
) -> Callable[[_Judge], _Judge]:
    """Declare a finding that the decorated judge returns; the judge itself stays as it is.

    Raises ValueError for an id of the wrong form, an empty text, an act without a proof, and an id declared twice.
    """
    kind = FindingKind(id, cure, means, helps, checks, state)
    if not _ID.fullmatch(id):
        raise ValueError(f"{id!r}: a finding id has the form area/kebab-id")
    if not (cure.why and means and helps):
        raise ValueError(f"{id}: cure, means and helps each need words")
    if cure.action in PROVEN and not cure.proof:
        raise ValueError(f"{id}: a {cure.action} needs a proof from the gateway's own process or socket")
    if id in _KINDS:
        raise ValueError(f"{id} is declared twice")
    _KINDS[id] = kind
    return lambda judge: judge


def restart(why: str, *, proof: str) -> Cure:
    """Restart the gateway; only where a restart cures."""
    return Cure("restart", why, proof)


def start(why: str, *, proof: str) -> Cure:
    """Start a gateway that is down."""
    return Cure("start", why, proof)


def wait(why: str) -> Cure:
    """Let what is under way come to its end."""
    return Cure("wait", why)


def browser_restart(why: str, *, proof: str) -> Cure:
    """Stop and start the agent's browser, never the gateway."""
    return Cure("browser-restart", why, proof)


def channel_restart(why: str, *, proof: str) -> Cure:
    """Stop and start one channel account, never the gateway."""
    return Cure("channel-restart", why, proof)


def none(why: str, *, proof: str = "") -> Cure:
    """Do nothing: the finding's own fix is for a person; with `proof` where that is to restart, kill, stop or edit."""
    return Cure("none", why, proof)
