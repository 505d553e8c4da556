"""The reads of one run: a refusal is an observation, and silence is looked at twice."""

from __future__ import annotations

import pytest

from oc_ops.observe import rpc_reads
from oc_ops.observe.rpc import RefusalKind, RpcClient, RpcRefused


@pytest.mark.parametrize(
    ("kinds", "asked"),
    [(["silent", "silent"], 2), (["silent", "auth"], 2), (["auth"], 1), (["closed"], 1)],
    ids=["silent twice", "silent once", "refused", "closed"],
)
def test_silence_is_looked_at_twice(kinds: list[RefusalKind], asked: int) -> None:
    """Only silence is asked again, and only once; the last word counts."""
    calls: list[int] = []

    def connect() -> RpcClient:
        calls.append(1)
        raise RpcRefused(kinds[len(calls) - 1], "why")

    seen = rpc_reads.all_at_once(connect)
    assert isinstance(seen, RpcRefused)
    assert (seen.kind, len(calls)) == (kinds[-1], asked)
