"""A gateway's side of the watcher's connection without a socket, and clocks that a test turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, cast

from oc_ops.cockpit.clock import WatchClock
from oc_ops.observe.handshake import Hello
from oc_ops.observe.rpc import Push, RpcClient, RpcRefused, RpcReply

METHODS = frozenset(("status", "cron.status", "cron.list", "cron.runs", "tasks.list"))
WORK = frozenset(("health", "channels.status", "agents.list", "models.list", "models.authStatus"))


class Hands:
    """Both clocks, turned by hand; a suspend turns only the wall clock."""

    def __init__(self) -> None:
        self.steady, self.now = 1000.0, 1_795_000_000.0

    def pass_s(self, seconds: float) -> None:
        """Time goes by."""
        self.steady += seconds
        self.now += seconds

    @property
    def clock(self) -> WatchClock:
        """The clock that these hands belong to."""
        return WatchClock(lambda: self.steady, lambda: self.now)


class FakeClient:
    """A connection that answers from a table and pushes what it is given; waiting for nothing takes its time."""

    def __init__(self, hands: Hands, answers: Mapping[str, object] | None = None, tick_ms: int | None = 30_000) -> None:
        self.hello = Hello("2026.9.6", 4, METHODS, frozenset(("cron", "tick")), ("operator.read",), tick_ms, "c" * 36)
        self.notes: tuple[str, ...] = ()
        self.hands, self.answers = hands, dict(answers or {})
        self.asked: list[str] = []
        self.pushes: deque[Push | RpcRefused] = deque()
        self.closed = False

    def has(self, method: str) -> bool:
        return method in METHODS or method in self.answers

    def request(
        self, method: str, params: Mapping[str, object] | None = None, *, deadline_s: float | None = None
    ) -> RpcReply:
        if not self.has(method) and method in WORK:
            return RpcReply(method, "unsupported")
        self.asked.append(method)
        answer = self.answers.get(method, {})
        if callable(answer):
            answer = answer(params or {})
        return answer if isinstance(answer, RpcReply) else RpcReply(method, "ok", answer)

    def next_push(self, wait_s: float) -> Push | None:
        if not self.pushes:
            self.hands.pass_s(wait_s)
            return None
        push = self.pushes.popleft()
        if isinstance(push, RpcRefused):
            raise push
        return push

    def close(self) -> None:
        self.closed = True

    @property
    def client(self) -> RpcClient:
        """Itself, as what it stands in for."""
        return cast("RpcClient", self)


def job(number: int = 1, **state: Any) -> dict[str, Any]:
    """One cron job as the gateway tells it."""
    return {
        "id": f"job-{number}",
        "name": f"name-{number}",
        "enabled": True,
        "createdAtMs": 1_794_000_000_000,
        "updatedAtMs": 1_794_000_000_000,
        "schedule": {"kind": "every", "everyMs": 3_600_000, "anchorMs": 1_794_000_000_000},
        "payload": {"kind": "command"},
        "state": state,
    }


def started(number: int, at_ms: int) -> Push:
    """The event of a run that begins, as 2026.9.6 sends it."""
    told = job(number, runningAtMs=at_ms)
    return Push("cron", {"jobId": told["id"], "action": "started", "job": told, "runAtMs": at_ms})


def finished(number: int, at_ms: int, took_ms: int, status: str = "ok", error: str = "") -> Push:
    """The event of a run that ended."""
    told = job(number, lastRunAtMs=at_ms, lastRunStatus=status, lastDurationMs=took_ms, lastError=error or None)
    return Push(
        "cron",
        {
            "jobId": told["id"], "action": "finished", "job": told, "status": status, "error": error or None,
            "runAtMs": at_ms, "durationMs": took_ms,
        },
    )  # fmt: skip
