"""What the watcher makes of the port, one cheap question at a time, on clocks turned by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from oc_ops.cockpit import state
from oc_ops.cockpit.port import PortWatch
from oc_ops.gateway import Gateway
from oc_ops.observe.service import NO_SERVICE, Service
from oc_ops.observe.target import Target
from oc_ops.settings import Settings
from tests.fakes.fake_line import Hands
from tests.support.gatewayprocess import gateway_process
from tests.support.machine import HTTP, closed_port, gateway, silent_port
from tests.support.watchroom import clean


@pytest.fixture
def hands() -> Hands:
    """The hands of the clocks."""
    return Hands()


def port_of(tmp_path: Path, hands: Hands, port: int) -> PortWatch:
    """The port of a gateway whose state is the test's own."""
    return made({"HOME": str(tmp_path), "OPENCLAW_GATEWAY_PORT": str(port)}, hands)


def made(
    environ: Mapping[str, str], hands: Hands, service_of: Callable[[Target], Service] = lambda _: NO_SERVICE
) -> PortWatch:
    """The port of the gateway that an environment means."""
    gateway = Gateway(Settings(), {"PATH": "", **environ})
    gateway.service_of = service_of
    return PortWatch(gateway, hands.clock, clean)


def test_a_ready_gateway_is_asked_one_cheap_question(
    tmp_path: Path, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whole look on arrival, then /readyz alone: no list of processes, no second probe."""
    with gateway() as number:
        port = port_of(tmp_path, hands, number)
        port.look(2.0)
        assert (port.gateway.state, port.gateway.version, port.well) == ("ready", "2026.9.6", True)
        since = port.gateway.since
        monkeypatch.setattr("oc_ops.gateway.Gateway.look", _never)
        for _ in range(5):
            hands.pass_s(2)
            # The fake's uptime does not grow: by its word it would have started later and later.
            port.gateway = _as_if_started_now(port.gateway, hands)
            port.look(2.0)
        assert port.gateway.seen.at == hands.now
        assert port.gateway.since == since
        assert port.event_loop.delay_p99_ms == 12.0


def _never(*_: object, **__: object) -> None:
    raise AssertionError("a whole look was taken")


def _as_if_started_now(gateway: state.GatewayPart, hands: Hands) -> state.GatewayPart:
    return replace(gateway, started_at=hands.now - 86_400)


def test_one_that_was_well_before_we_came_is_ready_since_its_start(tmp_path: Path, hands: Hands) -> None:
    """A day by its own uptime, not the watcher's seconds; after a fault that we saw, it is ready since then."""
    with gateway() as number:
        port = port_of(tmp_path, hands, number)
        began = hands.now
        port.look(2.0)
        assert port.gateway.since == pytest.approx(began - 86_400)
    hands.pass_s(2)
    port.look(2.0)
    assert port.gateway.since == hands.now


def test_a_death_is_seen_at_the_next_look(tmp_path: Path, hands: Hands) -> None:
    """Ready, then nothing listens: down, since now, with the doctor's own words and fix."""
    with gateway() as number:
        port = port_of(tmp_path, hands, number)
        port.look(2.0)
    hands.pass_s(2)
    port.look(2.0)
    shown = port.gateway
    assert (shown.state, shown.check, shown.since) == ("down", "gateway/down", hands.now)
    assert shown.fact.startswith("nothing listens")
    assert shown.fix
    assert (port.well, port.answers) == (False, False)
    assert "does not answer" in port.event_loop.seen.problem
    first = hands.now
    hands.pass_s(2)
    port.look(2.0)
    assert port.gateway.since == first
    assert port.gateway.seen.at == hands.now


def test_a_port_that_accepts_and_is_mute(tmp_path: Path, hands: Hands) -> None:
    """Silence is looked at twice and then named; staying silent needs no whole look each time."""
    with silent_port() as server:
        port = port_of(tmp_path, hands, server.getsockname()[1])
        port.look(2.0)
        assert port.gateway.state in ("hung", "port-taken")


def test_not_ready_and_ready_again(tmp_path: Path, hands: Hands) -> None:
    """What /readyz holds against it is in the fact; a connection is still worth a try, the CLI is not asked."""
    answers: dict[str, Any] = {}

    def keep(http: dict[str, Any]) -> None:
        answers["http"] = http

    with gateway(keep) as number:
        port = port_of(tmp_path, hands, number)
        answers["http"]["/readyz"] = {**HTTP["/readyz"], "ready": False, "failing": ["channels"]}
        port.look(2.0)
        assert (port.gateway.state, port.well, port.answers) == ("not-ready", False, True)
        assert "channels" in port.gateway.fact
        answers["http"]["/readyz"] = HTTP["/readyz"]
        port.look(2.0)
        assert (port.gateway.state, port.gateway.check) == ("ready", "")


def test_another_start_is_counted(tmp_path: Path, hands: Hands) -> None:
    """An uptime that is shorter than expected is another start, whatever the pid."""
    answers: dict[str, Any] = {}

    def keep(http: dict[str, Any]) -> None:
        answers["http"] = http

    with gateway(keep) as number:
        port = port_of(tmp_path, hands, number)
        port.look(2.0)
        hands.pass_s(60)
        for path in ("/readyz", "/startupz"):
            answers["http"][path] = {**HTTP[path], "uptimeMs": 3_000}
        port.look(2.0)
        assert (port.gateway.restarts, port.gateway.since) == (1, hands.now)
        assert port.gateway.started_at == hands.now - 3


def test_a_config_that_breaks_is_the_root_of_all(tmp_path: Path, hands: Hands) -> None:
    """It does not parse: said at the next look, and over as soon as it is mended."""
    config = tmp_path / ".openclaw" / "openclaw.json"
    config.parent.mkdir()
    with gateway() as number:
        config.write_text(json.dumps({"gateway": {"port": number}}))
        port = port_of(tmp_path, hands, number)
        port.look(2.0)
        assert not port.config_changed
        config.write_text('{"gateway": {,}}')
        port.look(2.0)
        assert port.config_changed
        assert (port.gateway.state, port.gateway.check) == ("config-invalid", "config/invalid")
        config.write_text(json.dumps({"gateway": {"port": number}, "browser": {"enabled": False}}))
        port.look(2.0)
        assert port.gateway.state == "ready"
        assert not port.config.browser_enabled


def test_a_port_that_nobody_knows(tmp_path: Path, hands: Hands) -> None:
    """A config that does not parse and no gateway that recorded its port: said, and no guess is probed."""
    config = tmp_path / ".openclaw" / "openclaw.json"
    config.parent.mkdir()
    config.write_text("{")
    port = made({"HOME": str(tmp_path)}, hands)
    port.look(2.0)
    assert (port.gateway.state, port.gateway.port) == ("config-invalid", None)
    assert "port is not known" in port.gateway.seen.problem


def test_the_manager_is_not_asked_at_every_look_at_a_dead_gateway(tmp_path: Path, hands: Hands) -> None:
    """Each answer of the service manager is good for ten seconds."""
    asked: list[float] = []

    def service_of(_: object) -> Any:
        asked.append(hands.now)
        return NO_SERVICE

    port = made({"HOME": str(tmp_path), "OPENCLAW_GATEWAY_PORT": str(closed_port())}, hands, service_of)
    for _ in range(16):
        port.look(2.0)
        port.gateway = replace(port.gateway, state="starting")  # which is looked at as a whole each time
        hands.pass_s(2)
    assert asked == [asked[0], asked[0] + 10, asked[0] + 20, asked[0] + 30]
    assert port.service.words == "no service unit runs it"


def test_a_gateway_on_another_port_is_watched_there(
    tmp_path: Path, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whole look finds it; from then on it is asked where it is, and never called a zombie or starting."""
    (tmp_path / ".openclaw").mkdir()
    with gateway_process(tmp_path) as own:
        port = port_of(tmp_path, hands, closed_port())
        port.look(2.0)
        assert (port.gateway.state, port.gateway.port) == ("ready", own.port)
        assert (port.at.served.host, port.at.served.port) == ("127.0.0.1", own.port)
        port.look(2.0)
        monkeypatch.setattr("oc_ops.gateway.Gateway.look", _never)
        hands.pass_s(2)
        port.gateway = _as_if_started_now(port.gateway, hands)
        port.look(2.0)
        assert port.gateway.state == "ready"


def test_what_may_not_be_seen_is_unknown_in_the_cockpit(
    tmp_path: Path, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's gateway may be it: neither down nor live."""
    monkeypatch.setattr("oc_ops.observe.processes.hidden_gateway", lambda _: "pid 7 of user joe may be this gateway")
    port = port_of(tmp_path, hands, closed_port())
    port.look(2.0)
    assert (port.gateway.state, port.gateway.check) == ("unknown", "")
    assert "pid 7 of user joe" in port.gateway.seen.problem
