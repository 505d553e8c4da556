"""The reads of one run: a refusal is an observation, and silence is looked at twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from oc_ops.observe import reads, rpc
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.rpc import RpcRefused
from oc_ops.observe.target import locate
from oc_ops.settings import Settings


@pytest.mark.parametrize(
    ("kinds", "asked"),
    [(["silent", "silent"], 2), (["silent", "auth"], 2), (["auth"], 1), (["closed"], 1)],
    ids=["silent twice", "silent once", "refused", "closed"],
)
def test_silence_is_looked_at_twice(kinds: list[rpc.RefusalKind], asked: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only silence is asked again, and only once; the last word counts."""
    calls: list[int] = []

    def connect(*_: object, **__: object) -> object:
        calls.append(1)
        raise RpcRefused(kinds[len(calls) - 1], "why")

    monkeypatch.setattr("oc_ops.observe.rpc.connect", connect)
    target = locate({"HOME": "/nowhere"})
    seen = reads.all_at_once(target, GatewayConfig(Path("openclaw.json"), exists=True), 1, Settings())
    assert isinstance(seen, RpcRefused)
    assert (seen.kind, len(calls)) == (kinds[-1], asked)
