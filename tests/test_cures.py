"""The cure table: one cure for every finding there is, with its reason, and what no path may act on."""

from __future__ import annotations

import pytest

from oc_ops.act import cures
from oc_ops.act.site import Site
from oc_ops.act.steps import carry_out
from oc_ops.errors import OcOpsError
from oc_ops.judge.finding import Finding
from oc_ops.judge.signatures import catalogue
from tests.test_house import CONTRACT

EXPECTED = {
    "gateway/down": "start",
    "gateway/hung": "restart",
    "gateway/zombie": "restart",
    "gateway/rpc-unanswered": "restart",
    "gateway/starting": "wait",
    "gateway/draining": "wait",
    "browser/unanswered": "browser-restart",
    "browser/not-running": "browser-restart",
    "browser/act-stalled": "browser-restart",
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


@pytest.mark.parametrize("check", sorted(CONTRACT))
def test_each_finding_has_one_cure_and_a_reason(check: str) -> None:
    """The cure is the one written down here a second time, and it says why in words without a period."""
    cure = cures.cure_of(check)
    assert check in cures.table()
    assert cure.action == EXPECTED.get(check, "none")
    assert len(cure.why.split()) >= 4
    assert not cure.why.endswith(".")


def test_the_table_holds_nothing_else() -> None:
    """No entry for a finding that nobody makes."""
    assert set(cures.table()) == CONTRACT
    assert set(cures.beside()) <= {each.id for each in catalogue() if each.restart == "forbidden"}


@pytest.mark.parametrize("signature", catalogue(), ids=lambda each: each.id)
def test_no_line_in_the_log_alone_restarts_a_gateway(signature: object) -> None:
    """Each signature has a cure, by its own `restart`, and it is none: the gateway that wrote it answers."""
    cure = cures.cure_of(f"logs/{signature.id}")  # type: ignore[attr-defined]
    assert cure.action == "none"
    assert cure.why != "no cure is known for it"


@pytest.mark.parametrize("signature", catalogue(), ids=lambda each: each.id)
def test_what_forbids_a_restart_stands_against_every_other_cause(signature: object) -> None:
    """A forbidden signature refuses a restart that another finding wants, but for those excused with a reason."""
    beside = cures.standing_against([finding("gateway/hung"), finding(f"logs/{signature.id}")])  # type: ignore[attr-defined]
    forbids = signature.restart == "forbidden" and signature.id not in cures.beside()  # type: ignore[attr-defined]
    assert (beside is not None) == forbids


def test_an_unknown_finding_has_no_cure() -> None:
    """What a later release finds is not acted on by this one."""
    assert cures.cure_of("gateway/haunted").action == "none"


@pytest.mark.parametrize("check", FORBIDDEN)
def test_a_forbidden_cause_is_refused_whatever_the_table_says(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that somebody changed reaches neither the decision nor the act."""
    monkeypatch.setattr(cures, "table", lambda: {check: cures.Cure("restart", "somebody wrote so")})
    assert cures.cure_of(check).action == "none"
    assert cures.never(check)
    for action in ("restart", "start", "browser-restart"):
        with pytest.raises(OcOpsError, match="never acted on"):
            carry_out(_site(), action, finding(check), safe=False)


@pytest.mark.parametrize("action", ["wait", "none"])
def test_only_what_is_an_act_can_be_carried_out(action: str) -> None:
    """Waiting and doing nothing are no commands."""
    with pytest.raises(OcOpsError, match="never acted on"):
        carry_out(_site(), action, finding("gateway/hung"), safe=False)  # type: ignore[arg-type]


def _site() -> Site:
    """A site that breaks as soon as anything is asked of it."""
    return object.__new__(Site)
