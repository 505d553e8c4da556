"""The cure table: one cure for every finding there is, with its reason, and what no path may act on."""

from __future__ import annotations

import pytest

from oc_ops.act.recover import policy
from oc_ops.act.recover.steps import carry_out
from oc_ops.errors import OcOpsError
from oc_ops.gateway import Gateway
from oc_ops.judge.finding import Cure, Finding, FindingKind, finds, none, restart
from oc_ops.judge.findings import KINDS
from oc_ops.judge.signature_catalogue import catalogue

EXPECTED = {
    "gateway/down": "start",
    "gateway/oom-killed": "start",
    "gateway/hung": "restart",
    "gateway/zombie": "restart",
    "gateway/rpc-unanswered": "restart",
    "gateway/starting": "wait",
    "gateway/draining": "wait",
    "browser/unanswered": "browser-restart",
    "browser/not-running": "browser-restart",
    "browser/act-stalled": "browser-restart",
    "channels/down": "channel-restart",
    "channels/deaf": "channel-restart",
}
"""Every finding that has a cure; all others have none."""

FORBIDDEN = (
    "config/invalid",
    "config/clobbered",
    "gateway/auth-rejected",
    "gateway/port-taken",
    "gateway/saturated",
    "gateway/crash-loop",
)


def finding(check: str) -> Finding:
    """A finding of that id."""
    return Finding(check, "error", "it is broken", "it was seen", "none automatic: mend it")


@pytest.mark.parametrize("check", sorted(KINDS))
def test_each_finding_has_one_cure_and_a_reason(check: str) -> None:
    """The cure is the one written down here a second time, and it says why in words without a period."""
    cure = policy.cure_of(check)
    assert cure.action == EXPECTED.get(check, "none")
    assert len(cure.why.split()) >= 4
    assert not cure.why.endswith(".")


def test_signatures_beside_a_cure_forbid_a_restart_of_their_own() -> None:
    """An excuse is only given to what would stand in the way."""
    assert set(policy.BESIDE) <= {each.id for each in catalogue() if each.restart == "forbidden"}


@pytest.mark.parametrize("check", sorted(KINDS))
def test_an_act_names_its_proof(check: str) -> None:
    """A restart or a start, of the gateway or a channel, is done only on what the gateway itself has shown."""
    cure = KINDS[check].cure
    assert cure.proof or cure.action not in ("restart", "start", "channel-restart")


@pytest.mark.parametrize(
    ("id", "cure", "means", "why"),
    [
        ("Gateway/Bad", none("no"), "m", "has the form"),
        ("host/new", none("no"), "", "each need words"),
        ("host/new", restart("it helps", proof=""), "m", "needs a proof"),
        ("gateway/hung", none("no"), "m", "declared twice"),
    ],
    ids=["form", "words", "proof", "twice"],
)
def test_a_bad_declaration_is_refused(id: str, cure: Cure, means: str, why: str) -> None:
    """A judge that declares what cannot be fails when it is imported."""
    with pytest.raises(ValueError, match=why):
        finds(id, cure=cure, means=means, helps="h")


@pytest.mark.parametrize("signature", catalogue(), ids=lambda each: each.id)
def test_no_line_in_the_log_alone_restarts_a_gateway(signature: object) -> None:
    """Each signature has a cure, by its own `restart`, and it is none: the gateway that wrote it answers."""
    cure = policy.cure_of(f"logs/{signature.id}")  # type: ignore[attr-defined]
    assert cure.action == "none"
    assert cure.why != "no cure is known for it"


@pytest.mark.parametrize("signature", catalogue(), ids=lambda each: each.id)
def test_what_forbids_a_restart_stands_against_every_other_cause(signature: object) -> None:
    """A forbidden signature refuses a restart that another finding wants, but for those excused with a reason."""
    beside = policy.standing_against([finding("gateway/hung"), finding(f"logs/{signature.id}")])  # type: ignore[attr-defined]
    forbids = signature.restart == "forbidden" and signature.id not in policy.BESIDE  # type: ignore[attr-defined]
    assert (beside is not None) == forbids


def test_an_unknown_finding_has_no_cure() -> None:
    """What a later release finds is not acted on by this one."""
    assert policy.cure_of("gateway/haunted").action == "none"


@pytest.mark.parametrize("check", FORBIDDEN)
def test_a_forbidden_cause_is_refused_whatever_the_table_says(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that somebody changed reaches neither the decision nor the act."""
    changed = FindingKind(check, Cure("restart", "somebody wrote so", "p"), "m", "h")
    monkeypatch.setattr(policy, "KINDS", {check: changed})
    assert policy.cure_of(check).action == "none"
    assert policy.never(check)
    for action in ("restart", "start", "browser-restart", "channel-restart"):
        with pytest.raises(OcOpsError, match="never acted on"):
            carry_out(_gateway(), action, finding(check), safe=False)


@pytest.mark.parametrize("action", ["wait", "none"])
def test_only_what_is_an_act_can_be_carried_out(action: str) -> None:
    """Waiting and doing nothing are no commands."""
    with pytest.raises(OcOpsError, match="never acted on"):
        carry_out(_gateway(), action, finding("gateway/hung"), safe=False)  # type: ignore[arg-type]


def _gateway() -> Gateway:
    """One that breaks as soon as anything is asked of it."""
    return object.__new__(Gateway)
