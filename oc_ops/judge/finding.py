"""A finding: what is wrong, what was seen, and the one thing to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from oc_ops.text import remedy

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
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
            object.__setattr__(self, "verify", f"oc-ops doctor --check {self.check}")

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
    def sentence(self) -> str:
        """The finding on one line, for the last line of a run."""
        return f"{self.check}: {self.fact} · fix: {remedy(self.fix)}"
