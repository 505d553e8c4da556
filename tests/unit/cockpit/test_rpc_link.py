"""The watcher's connection: kept up, taken up again with patience, listened to for its silence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oc_ops.cockpit.rpc_link import FIRST_RETRY_S, HOPELESS_S, LONGEST_RETRY_S, RpcLink
from oc_ops.observe.rpc import Push, RefusalKind, RpcClient, RpcRefused, RpcReply
from tests.fakes.fake_line import FakeClient, Hands


class Gate:
    """What each attempt to connect meets; the last one stays."""

    def __init__(self, hands: Hands, *outcomes: FakeClient | RpcRefused) -> None:
        self.hands, self.outcomes, self.knocks = hands, list(outcomes), 0

    def __call__(self) -> RpcClient:
        """Knock."""
        outcome = self.outcomes[min(self.knocks, len(self.outcomes) - 1)]
        self.knocks += 1
        if isinstance(outcome, RpcRefused):
            raise outcome
        return outcome.client

    def line(self) -> RpcLink:
        """The line through this gate, whose chance always says the middle."""
        return RpcLink(self, self.hands.clock, jitter=lambda: 0.5)


@pytest.fixture
def hands() -> Hands:
    """The hands of the clocks."""
    return Hands()


def refusal(kind: RefusalKind, after_ms: int | None = None) -> RpcRefused:
    """Why a gateway does not let us in."""
    return RpcRefused(kind, f"it says {kind}", None, after_ms)


def waits(hands: Hands, gate: Gate, line: RpcLink, attempts: int) -> list[float]:
    """How long the line waits before each further attempt, to the tenth of a second."""
    found = []
    line.try_connect()
    for _ in range(attempts):
        knocks, waited_s = gate.knocks, 0.0
        while gate.knocks == knocks:
            hands.pass_s(0.1)
            waited_s += 0.1
            line.try_connect()
        found.append(round(waited_s, 1))
    return found


def test_a_connection_is_told(hands: Hands) -> None:
    """Since when, how often the gateway ticks, and how many connections there were."""
    line = Gate(hands, FakeClient(hands)).line()
    assert not line.up
    assert line.try_connect()
    assert line.talks
    assert not line.try_connect()
    shown = line.state
    assert (shown.state, shown.since, shown.tick_s, shown.connects) == ("on", hands.now, 30.0, 1)
    assert line.version == "2026.9.6"


def test_back_off_doubles_to_a_minute(hands: Hands) -> None:
    """A gateway that is away is asked less and less often, and at least once a minute."""
    gate = Gate(hands, refusal("unreachable"))
    line = gate.line()
    assert waits(hands, gate, line, 8) == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60], abs=0.15)
    assert (line.state.state, line.state.reason) == ("lost", "it says unreachable")
    assert line.state.retry_at == pytest.approx(hands.now + LONGEST_RETRY_S)


def test_chance_keeps_watchers_apart(hands: Hands) -> None:
    """The wait varies by a quarter to either side."""
    for chance, wait_s in ((0.0, 0.75), (1.0, 1.25)):
        line = RpcLink(Gate(hands, refusal("closed")), hands.clock, jitter=lambda chance=chance: chance)  # type: ignore[misc]
        line.try_connect()
        assert line.state.retry_at == pytest.approx(hands.now + wait_s * FIRST_RETRY_S)


def test_a_starting_gateway_says_itself_when_to_come_back(hands: Hands) -> None:
    """retryAfterMs is obeyed, within reason."""
    for after_ms, wait_s in ((500, 0.5), (1, 0.2), (10**9, LONGEST_RETRY_S)):
        line = Gate(hands, refusal("starting", after_ms)).line()
        line.try_connect()
        assert line.state.retry_at == pytest.approx(hands.now + wait_s)


@pytest.mark.parametrize("kind", ["auth", "pairing", "secret-unresolved", "tls", "device", "protocol", "stranger"])
def test_what_another_attempt_would_not_change_is_rarely_tried(hands: Hands, kind: RefusalKind) -> None:
    """Each refused attempt is a line in the gateway's log: 5 minutes apart, unless something changes."""
    gate = Gate(hands, refusal(kind))
    line = gate.line()
    assert waits(hands, gate, line, 2) == pytest.approx([HOPELESS_S] * 2, abs=0.2)
    assert line.state.state == "refused"
    line.hasten()
    knocks = gate.knocks
    line.try_connect()
    assert gate.knocks == knocks + 1


def test_a_port_that_is_not_shown_is_looked_at_every_minute(hands: Hands) -> None:
    """Nothing was sent to it, so nobody is bothered; a gateway that takes its port back is found by itself."""
    gate = Gate(hands, refusal("unproven"))
    line = gate.line()
    assert waits(hands, gate, line, 2) == pytest.approx([LONGEST_RETRY_S] * 2, abs=0.2)
    assert line.state.state == "refused"


def test_off_is_off(hands: Hands) -> None:
    """The setting is a state of its own, with its reason."""
    line = Gate(hands, refusal("off")).line()
    line.try_connect()
    assert (line.state.state, line.state.reason) == ("off", "it says off")
    assert line.state.retry_at is None


def test_events_come_in_order_and_are_counted_without_ticks(hands: Hands) -> None:
    """Every push is handed on; a tick is a sign of life and no event."""
    client = FakeClient(hands)
    client.pushes.extend([Push("tick"), Push("cron", {"n": 1}), Push("health")])
    line = Gate(hands, client).line()
    line.try_connect()
    events = [push.event for push in iter(lambda: line.next_push(0.1), None)]
    assert events == ["tick", "cron", "health"]
    assert line.state.events == 2


def test_two_missed_ticks_are_silence_and_the_next_push_ends_it(hands: Hands) -> None:
    """Silent after two ticks and 5 s, since then and no later; anything that comes is life."""
    client = FakeClient(hands, tick_ms=10_000)
    line = Gate(hands, client).line()
    line.try_connect()
    line.next_push(24.0)
    assert line.talks
    line.next_push(2.0)
    assert (line.state.state, line.up) == ("silent", True)
    assert "2 ticks" in line.state.reason
    since = line.state.since
    line.next_push(10.0)
    assert line.state.since == since
    client.pushes.append(Push("tick"))
    line.next_push(1.0)
    assert (line.state.state, line.state.reason) == ("on", "")


def test_a_line_that_stays_silent_is_given_up(hands: Hands) -> None:
    """A half-open connection, as after a suspend, does not last for ever: it is closed and made anew."""
    mute, fresh = FakeClient(hands, tick_ms=10_000), FakeClient(hands)
    line = Gate(hands, mute, fresh).line()
    line.try_connect()
    line.next_push(51.0)
    assert mute.closed
    assert (line.up, line.state.state) == (False, "lost")
    hands.pass_s(2)
    assert line.try_connect()
    assert line.state.connects == 2


def test_a_gateway_that_hangs_makes_its_line_silent(hands: Hands) -> None:
    """What the port shows counts at once; the connection is kept, for the gateway may go on."""
    client = FakeClient(hands)
    line = Gate(hands, client).line()
    line.mute("no connection yet")
    line.try_connect()
    line.mute("it hangs")
    assert (line.state.state, line.state.reason, line.up) == ("silent", "it hangs", True)
    assert not client.closed


@pytest.mark.parametrize("how", ["push", "request"])
def test_a_closed_connection_is_taken_up_again(hands: Hands, how: str) -> None:
    """Whether it shows while listening or while asking: back-off, and then a new one."""
    client, fresh = FakeClient(hands), FakeClient(hands)
    client.answers["status"] = RpcReply("status", "closed", message="gone")
    line = Gate(hands, client, fresh).line()
    line.try_connect()
    if how == "push":
        client.pushes.append(RpcRefused("starting", "gone"))
        assert line.next_push(0.1) is None
    else:
        reply = line.request("status")
        assert reply is not None
        assert reply.outcome == "closed"
    assert (line.up, line.state.state, line.state.reason) == (False, "lost", "gone")
    assert not line.try_connect()
    hands.pass_s(1.1)
    assert line.try_connect()
    assert line.talks


def test_a_request_without_an_answer_makes_the_line_silent(hands: Hands) -> None:
    """It is not asked again and again: nothing is, until something comes."""
    client = FakeClient(hands, {"status": RpcReply("status", "silent", message="no answer within 4 s")})
    line = Gate(hands, client).line()
    line.try_connect()
    line.request("status")
    assert (line.state.state, line.state.reason) == ("silent", "status: no answer within 4 s")
    assert not line.talks


def test_without_a_connection_nothing_is_asked(hands: Hands) -> None:
    """No reply, no push, no error."""
    line = Gate(hands, refusal("closed")).line()
    assert line.request("status") is None
    assert line.next_push(0.1) is None
    assert not line.has("status")
    line.close()


def test_reasons_are_cleaned(hands: Hands) -> None:
    """What the other end says goes through the redactor before it is kept."""
    clean: Callable[[str], str] = str.upper
    line = RpcLink(Gate(hands, refusal("closed")), hands.clock, clean)
    line.try_connect()
    assert line.state.reason == "IT SAYS CLOSED"
