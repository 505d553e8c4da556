"""The bounds of recovery: which cure fits which finding, and what no setting can make it act on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from oc_ops.judge.finding import Cure, Finding
from oc_ops.judge.findings import KINDS
from oc_ops.judge.signature_catalogue import Signature, catalogue

NEVER = (
    "state/",
    "config/",
    "service/",
    "cli/outdated",
    "gateway/auth-rejected",
    "gateway/port-taken",
    "gateway/saturated",
    "gateway/crash-loop",
)
"""Beginnings of ids that no table, option or setting can make recovery act on: the second lock on that door."""

_SIGNATURE = "logs/"

BESIDE: Mapping[str, str] = {
    "auth.device_token": "a device that is refused is no reason to leave a gateway down",
    "auth.pairing": "a device that waits to be paired is no reason to leave a gateway down",
    "auth.scope": "a client that asks for too much is no reason to leave a gateway down",
    "cfg.invalid": "the config is validated again before the act",
    "cfg.reload_skipped": "the config is validated again before the act",
    "gw.mode_missing": "the config is validated again before the act",
    "gw.health_wait": "the start budget is waited for before the act",
}
"""Signature ids that forbid a restart on their own account only, and why: another finding's cure stands beside them."""

_WHY = {
    "forbidden": "a restart does harm here",
    "useless": "a restart cures nothing here",
    "allowed": "the gateway answers: a line in its log alone is no reason to abort its work",
}


def never(check: str) -> bool:
    """True for findings that recovery must not act on by any path, `--force` included."""
    return check.startswith(NEVER)


def cure_of(check: str, signatures: Sequence[Signature] | None = None) -> Cure:
    """The one cure of a finding id; `none` for an id that no release of oc-ops knew when this was written."""
    kind = KINDS.get(check)
    found = kind.cure if kind else _of_signature(check, catalogue() if signatures is None else signatures)
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
        if signature is not None and signature.restart == "forbidden" and signature.id not in BESIDE:
            return each, _WHY["forbidden"]
    return None


def _of_signature(check: str, signatures: Sequence[Signature]) -> Cure | None:
    """A line tells of the past: it may speak against a restart, but none is done for a line alone."""
    own = next((each for each in signatures if check == f"{_SIGNATURE}{each.id}"), None)
    return Cure("none", _WHY[own.restart]) if own else None
