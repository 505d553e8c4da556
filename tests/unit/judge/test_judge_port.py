"""What the port's answers say of a gateway whose HTTP is broken: told as that, and never of a stranger."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from oc_ops.act.recover.policy import cure_of
from oc_ops.judge import gateway as judge
from oc_ops.judge.gateway import Limits
from oc_ops.judge.port import http_broken
from oc_ops.observe.probe import GatewayProbe
from tests.support.sights import PYTHON, nothing, page, ready, sight


def broken(status: int = 500) -> GatewayProbe:
    """As 2026.3.31 answers here, whatever is asked."""
    paths = ("/healthz", "/startupz", "/readyz")
    live, startup, readiness = (page("Internal Server Error", path, status) for path in paths)
    return sight(live, startup=startup, ready=readiness)


def test_a_release_whose_http_is_broken_is_told_as_that() -> None:
    """A warning, no cause, and nothing that a restart would cure."""
    found = http_broken(broken())
    assert found is not None
    assert (found.check, found.severity) == ("gateway/http-broken", "warning")
    assert found.saw.count("answered 500") == 3
    assert judge.cause(broken(), Limits()) is None
    assert cure_of(found.check).action == "none"


@pytest.mark.parametrize(
    "seen",
    [
        sight(),
        sight(ready=ready(("telegram",))),
        replace(broken(), live=sight().live),
        replace(broken(404), ready=ready()),
        sight(nothing("silent"), again=nothing("silent")),
        replace(broken(), listener=PYTHON, processes=()),
    ],
    ids=["well", "not ready", "lives", "has no such page", "silent", "a stranger"],
)
def test_what_is_near_it_is_not_called_so(seen: GatewayProbe) -> None:
    """One page that works is an HTTP that works; a stranger's 500 is a stranger's."""
    assert http_broken(seen) is None
