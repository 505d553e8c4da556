"""The one RPC connection of a watcher: kept up, taken up again with patience, and listened to for its silence."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from oc_ops.cockpit.clock import WatchClock
from oc_ops.cockpit.state import Rpc
from oc_ops.observe.rpc import Push, RefusalKind, RpcClient, RpcRefused

if TYPE_CHECKING:
    from oc_ops.observe.rpc import RpcReply

FIRST_RETRY_S, LONGEST_RETRY_S = 1.0, 60.0
HOPELESS_S = 300.0
"""Between attempts where the gateway would only refuse and log us again; a change of the config comes first."""

MISSED_TICKS = 2
"""So many missed ticks are silence (docs/gateway/protocol)."""

_HOPELESS: frozenset[RefusalKind] = frozenset(
    ("secret-unresolved", "tls", "device", "protocol", "pairing", "auth", "stranger", "unproven")
)
_TICK_S = 30.0
_SLACK_S = 5.0


class RpcLink:
    """One connection, or why there is none. `connect` makes one and raises RpcRefused."""

    def __init__(
        self,
        connect: Callable[[], RpcClient],
        clock: WatchClock,
        clean: Callable[[str], str] = str,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._connect, self._clock, self._clean, self._jitter = connect, clock, clean, jitter
        self._client: RpcClient | None = None
        self._retry_due, self._wait_s = 0.0, FIRST_RETRY_S
        self._heard = 0.0
        """The last push, by the steady clock."""
        self.state = Rpc("connecting", clock.now())

    @property
    def up(self) -> bool:
        """True if there is a connection, silent or not."""
        return self._client is not None

    @property
    def talks(self) -> bool:
        """True if there is a connection that is not silent."""
        return self._client is not None and self.state.state == "on"

    @property
    def conn_id(self) -> str | None:
        """This connection's name in the gateway's log."""
        return self._client.hello.conn_id if self._client else None

    @property
    def version(self) -> str:
        """The release that answered, by its own word; empty where there is none."""
        return (self._client.hello.server_version or "") if self._client else ""

    def hasten(self) -> None:
        """Something changed for the better (the gateway is up again, the config was written): try again at once."""
        self._retry_due, self._wait_s = 0.0, FIRST_RETRY_S

    def try_connect(self) -> bool:
        """Connect when an attempt is due; True when there is a new connection. Takes the connect budget at most."""
        if self._client is not None or self._clock.steady() < self._retry_due:
            return False
        try:
            self._client = self._connect()
        except RpcRefused as refused:
            self._refused(refused)
            return False
        self._wait_s, self._heard = FIRST_RETRY_S, self._clock.steady()
        tick_ms = self._client.hello.tick_interval_ms
        now = self._clock.now()
        self.state = replace(
            self.state,
            state="on",
            since=now,
            reason=self._clean("; ".join(self._client.notes)),
            retry_at=None,
            last_event_at=now,
            tick_s=tick_ms / 1000 if tick_ms else _TICK_S,
            connects=self.state.connects + 1,
        )
        return True

    def next_push(self, wait_s: float) -> Push | None:
        """The next event within `wait_s`; None when none came, or when the connection ended: `up` tells."""
        if self._client is None:
            return None
        try:
            push = self._client.next_push(wait_s)
        except RpcRefused as refused:
            self._lost(refused.reason)
            return None
        if push is None:
            self._listen_to_silence()
            return None
        self._heard = self._clock.steady()
        ticks = push.event == "tick"
        self.state = replace(
            self.state, last_event_at=self._clock.now(), events=self.state.events + (0 if ticks else 1)
        )
        if self.state.state == "silent":
            self._turn("on", "")
        return push

    def request(
        self, method: str, params: Mapping[str, object] | None = None, *, deadline_s: float | None = None
    ) -> RpcReply | None:
        """Ask; None without a connection. One that was closed meanwhile is taken up again later.

        With a deadline of its own a question that is not answered in time says nothing of the connection.
        """
        if self._client is None:
            return None
        reply = self._client.request(method, params, deadline_s=deadline_s)
        if reply.outcome == "closed":
            self._lost(reply.message)
        elif reply.outcome == "silent" and deadline_s is None:
            self._turn("silent", self._clean(f"{method}: {reply.message}"))
        return reply

    def has(self, method: str) -> bool:
        """True if the connected gateway offers a method."""
        return self._client is not None and self._client.has(method)

    def mute(self, why: str) -> None:
        """The port says that the gateway does not answer: what the line says of it is no longer so."""
        if self._client is not None and self.state.state == "on":
            self._turn("silent", why)

    def close(self) -> None:
        """Take leave, if there is anything to leave."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _listen_to_silence(self) -> None:
        bound_s = MISSED_TICKS * (self.state.tick_s or _TICK_S) + _SLACK_S
        quiet_s = self._clock.steady() - self._heard
        if quiet_s <= bound_s:
            return
        self._turn("silent", f"{MISSED_TICKS} ticks were missed: nothing came for {quiet_s:.0f} s")
        if quiet_s > 2 * bound_s:  # half open: the other end is gone without a word
            self._lost("nothing came for too long; the connection was given up")

    def _refused(self, refused: RpcRefused) -> None:
        if refused.kind in _HOPELESS:
            wait_s = HOPELESS_S if refused.kind != "unproven" else LONGEST_RETRY_S
        elif refused.retry_after_ms is not None:
            wait_s = min(max(refused.retry_after_ms / 1000, 0.2), LONGEST_RETRY_S)
        else:
            wait_s = self._back_off()
        self._put_off(wait_s)
        if refused.kind == "off":
            self.state = replace(self.state, retry_at=None)  # a setting stays as it is for as long as we live
            self._turn("off", self._clean(refused.reason))
        else:
            self._turn("refused" if refused.kind in _HOPELESS else "lost", self._clean(refused.reason))

    def _lost(self, reason: str) -> None:
        self.close()
        self._put_off(self._back_off())
        self._turn("lost", self._clean(reason))

    def _back_off(self) -> float:
        wait_s, self._wait_s = self._wait_s, min(2 * self._wait_s, LONGEST_RETRY_S)
        return wait_s * (0.75 + 0.5 * self._jitter())

    def _put_off(self, wait_s: float) -> None:
        self._retry_due = self._clock.steady() + wait_s
        self.state = replace(self.state, retry_at=self._clock.now() + wait_s)

    def _turn(self, state: str, reason: str) -> None:
        since = self.state.since if self.state.state == state else self._clock.now()
        self.state = replace(self.state, state=state, since=since, reason=reason)
