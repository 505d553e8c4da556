"""How a check says what it thinks of its observation."""

from __future__ import annotations

from typing import Protocol

from oc_ops.judge.finding import Finding


class Report(Protocol):
    """The fixture `report`: takes what judges found."""

    def __call__(self, *findings: Finding | None) -> None:
        """Fail the check on an error; without any finding it passes only if nothing kept it from looking."""
