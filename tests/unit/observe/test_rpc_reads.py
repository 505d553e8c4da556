"""The reads of one run: a refusal is an observation, and silence is looked at twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from oc_ops.observe import rpc_reads
from oc_ops.observe.rpc import Hello, RefusalKind, RpcClient, RpcRefused, RpcReply
from oc_ops.observe.rpc_reads import RpcReads


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


class Recorder:
    """A connection that answers whatever is asked, and remembers it."""

    hello, notes = Hello("2026.9.6", 4, frozenset(), frozenset(), (), None), ()

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def request(self, method: str, _params: object = None) -> RpcReply:
        """An empty answer."""
        self.asked.append(method)
        return RpcReply(method, "ok", {})

    def requests(self, _wanted: object, _budget_s: float) -> dict[str, RpcReply]:
        """No answer in time."""
        return {}


@pytest.mark.parametrize(
    ("version", "asked"),
    [("2026.4.20", False), ("2026.4.29", False), ("2026.5.2", True), ("2026.9.6", True), (None, True), ("dev", True)],
)
def test_a_gateway_that_would_stand_still_is_not_asked_of_its_models(version: str | None, asked: bool) -> None:
    """Its channels it tells at once."""
    wanted = rpc_reads.questions(version)
    assert ("models.list" in wanted, "models.authStatus" in wanted) == (asked, asked)
    assert {"health", "channels.status", "agents.list"} <= set(wanted)


@pytest.mark.parametrize("log", [False, True])
def test_the_log_is_asked_for_where_it_is_wanted(log: bool) -> None:
    """Right after `status`: the first commands of some releases keep them from answering anything for a minute."""
    recorder = Recorder()
    seen = rpc_reads.all_at_once(cast(Callable[[], RpcClient], lambda: recorder), log=log)
    assert isinstance(seen, RpcReads)
    assert (seen.log is not None) is log
    assert recorder.asked == ["status", *["logs.tail"] * log, "cron.status", "cron.list"]
