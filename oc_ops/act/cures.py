"""Which cure fits which finding: read from cures.toml and from the signatures' own `restart`, with the reason."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast, get_args

from oc_ops.judge.catalogue import Signature, catalogue
from oc_ops.judge.finding import Finding

Action = Literal["restart", "start", "wait", "browser-restart", "none"]

NEVER = (
    "state/",
    "config/",
    "cli/outdated",
    "gateway/auth-rejected",
    "gateway/port-taken",
    "gateway/saturated",
    "gateway/crash-loop",
)
"""Beginnings of ids that no table, option or setting can make recovery act on: the second lock on that door."""

_SIGNATURE = "logs/"
_WHY = {
    "forbidden": "a restart does harm here",
    "useless": "a restart cures nothing here",
    "allowed": "the gateway answers: a line in its log alone is no reason to abort its work",
}


@dataclass(frozen=True, slots=True)
class Cure:
    """What recovery does about one finding, and the reason in words."""

    action: Action
    why: str


def never(check: str) -> bool:
    """True for findings that recovery must not act on by any path, `--force` included."""
    return check.startswith(NEVER)


def cure_of(check: str, signatures: Sequence[Signature] | None = None) -> Cure:
    """The one cure of a finding id; `none` for an id that no release of oc-ops knew when this was written."""
    found = table().get(check) or _of_signature(check, catalogue() if signatures is None else signatures)
    if found is None:
        return Cure("none", "no cure is known for it")
    return Cure("none", found.why) if never(check) else found


def standing_against(
    findings: Iterable[Finding], signatures: Sequence[Signature] | None = None
) -> tuple[Finding, str] | None:
    """The first log finding that forbids a restart whatever else wants one, and why; None when there is none."""
    known = {f"{_SIGNATURE}{each.id}": each for each in (catalogue() if signatures is None else signatures)}
    for each in findings:
        signature = known.get(each.check)
        if signature is not None and signature.restart == "forbidden" and signature.id not in beside():
            return each, _WHY["forbidden"]
    return None


def _of_signature(check: str, signatures: Sequence[Signature]) -> Cure | None:
    """A line tells of the past: it may speak against a restart, but none is done for a line alone."""
    own = next((each for each in signatures if check == f"{_SIGNATURE}{each.id}"), None)
    return Cure("none", _WHY[own.restart]) if own else None


@cache
def table() -> Mapping[str, Cure]:
    """The cures by finding id, without the signatures."""
    return {check: _cure(check, entry) for check, entry in _data("finding").items()}


@cache
def beside() -> Mapping[str, str]:
    """Signature ids that forbid a restart on their own account only, and why."""
    return _data("beside")


def _cure(check: str, entry: Mapping[str, str]) -> Cure:
    action, why = entry["cure"], entry["why"]
    if action not in get_args(Action) or not why:
        raise ValueError(f"cures.toml: {check}: cure={action!r}: need one of {', '.join(get_args(Action))} and a why")
    return Cure(cast("Action", action), why)


def _data(name: str) -> dict[str, Any]:
    tables = tomllib.loads(Path(__file__).with_name("cures.toml").read_text(encoding="utf-8"))
    return cast("dict[str, Any]", tables[name])
