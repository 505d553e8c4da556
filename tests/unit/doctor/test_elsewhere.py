"""A gateway that is looked at through a port: behind a forwarder, or in a container without its target being named."""

from __future__ import annotations

import dataclasses
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from oc_ops.doctor.outcomes import Blocked
from oc_ops.errors import CouldNotLook
from oc_ops.observe import install
from oc_ops.observe.config import Credential
from oc_ops.observe.container import Container
from oc_ops.observe.http import Kind, Probe
from oc_ops.observe.lastwords import LastWords
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.rpc import RpcRefused
from oc_ops.observe.service import Service
from oc_ops.observe.sockets import Listener
from tests.support.containers import runtime
from tests.support.sights import LIVE, nothing, page, said, sight
from tests.support.world import Make, World, causes, everything


def behind(proxy: str, live: Probe, ready: Probe | None = None) -> GatewayProbe:
    """What is seen through a forwarder of another user."""
    again = live if live.kind == "silent" else None
    forwarder = Listener(77, proxy, uid=65534)
    return sight(live, ready=ready, startup=ready, again=again, listener=forwarder, processes=())


@pytest.mark.parametrize(
    ("live", "ready", "cause"),
    [
        (page("<html>504 Gateway Time-out", status=504), page("<html>504", status=504), "gateway/hung"),
        (page("<html>502 Bad Gateway", status=502), page("", status=502), "gateway/down"),
        (nothing("silent"), None, "gateway/hung"),
    ],
    ids=["hung", "dead", "hung, by a patient proxy"],
)
def test_a_gateway_behind_a_forwarder_has_one_cause(
    live: Probe, ready: Probe | None, cause: str, world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its page for /readyz is no second reason, nor are words in a log of this machine its own last ones."""
    words = LastWords(datetime.now(UTC), ("Refusing to bind gateway",), "a log of this machine", stopped=True)
    monkeypatch.setattr("oc_ops.observe.lastwords.look", lambda *_: words)
    world.look = behind("nginx: worker process", live, ready)
    doctor = make()
    found = doctor.http_cause()
    assert found is not None
    assert (found.check, words.source in found.saw) == (cause, False)
    if ready is not None:
        with pytest.raises(Blocked, match=cause):
            doctor.readiness()


def test_a_gateway_that_refuses_its_proxy_says_why(world: World, make: Make) -> None:
    """2026.9.6 wants the proxy named in gateway.trustedProxies: its own words are said, not its JSON."""
    refusal = {"error": {"message": "Proxy client attribution is required.", "type": "proxy_attribution_required"}}
    world.look = behind("caddy run", LIVE, said(refusal, status=403))
    with pytest.raises(CouldNotLook, match=r"readiness: Proxy client attribution is required\.$"):
        make().readiness()


@pytest.mark.parametrize("extra", ["", "sys.exit(print('Error: permission denied', file=sys.stderr) or 1)"])
def test_a_container_without_a_log_has_one_reason(extra: str, make: Make, tmp_path: Path) -> None:
    """One that is gone, or that its runtime does not show: its log is not had for that very reason."""
    runtime(tmp_path / "bin", extra=extra)
    doctor = make(shell={"PATH": str(tmp_path / "bin")}, target="podman:cell")
    if not extra:
        with pytest.raises(Blocked, match="gateway/down"):
            doctor.log_view()
        return
    with pytest.raises(CouldNotLook, match="permission denied; look as root") as first:
        doctor.look()
    with pytest.raises(CouldNotLook) as second:
        doctor.log_view()
    assert second.value is first.value


CELL = Container("podman", "cell", "running", command=("openclaw", "gateway", "run"), pid=7)
OF_OTHERS = Container("podman", "web", "running", command=("nginx",))
SHUT = [
    RpcRefused("pairing", "pairing required"),
    RpcRefused("auth", "unauthorized: token mismatch"),
    RpcRefused("secret-unresolved", "$OPENCLAW_GATEWAY_TOKEN is not set"),
    RpcRefused("unproven", "no lock, title or open file shows it to be the gateway of ~/.openclaw", code="other"),
]


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("cli", [False, True])
@pytest.mark.parametrize("refused", SHUT, ids=lambda each: each.kind)
def test_a_container_s_gateway_by_its_port_alone_has_one_warning(
    refused: RpcRefused, cli: bool, quick: bool, world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our token, device or command is not that of the inside: one sentence for all of it, which names the target."""
    monkeypatch.setattr(install, "find", lambda *_: None if not cli else Path("/usr/bin/openclaw"))
    monkeypatch.setattr("oc_ops.observe.probe.published", lambda *_: (CELL, ""))
    world.reads = refused
    doctor = make(cli=cli, quick=quick)
    one = doctor.rpc_fault()
    assert one is not None
    assert (one.check, one.severity) == ("gateway/credential-missing", "warning")
    assert one.fix.startswith("none automatic: look inside: --target podman:cell, or OC_OPS_TARGET=podman:cell")
    assert doctor.cause_before("rpc") is one
    assert doctor.cause_before("cli") is one
    assert not world.calls
    assert causes(everything(doctor)) == {one.check}


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("cli", [False, True])
@pytest.mark.parametrize(("live", "told"), [("refused", "gateway/down"), ("silent", "gateway/hung")])
def test_a_container_that_is_down_or_hung_at_its_port_is_not_called_well(
    live: Kind, told: str, cli: bool, quick: bool, world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is set up on this machine: that is no reason not to say what is wrong at the port."""
    monkeypatch.setattr(install, "find", lambda *_: None if not cli else Path("/usr/bin/openclaw"))
    monkeypatch.setattr("oc_ops.observe.probe.published", lambda *_: (CELL, ""))
    mute, up = nothing(live), live == "silent"
    proxy = Listener(9, "docker-proxy -proto tcp -host-port 18789") if up else None
    world.look = sight(mute, ready=None, startup=None, again=mute, listener=proxy, processes=(), behind=CELL)
    assert causes(everything(make(text=None, cli=cli, quick=quick))) == {told}


def test_a_container_that_answers_a_read_lacks_no_more_than_its_command(
    world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device was approved: what RPC tells is looked at, and the command is where the gateway is."""
    monkeypatch.setattr(install, "find", lambda *_: None)
    monkeypatch.setattr("oc_ops.observe.probe.published", lambda *_: (CELL, ""))
    doctor = make(cli=False)
    assert doctor.rpc_fault() is None
    cause = doctor.cause_before("cli")
    assert cause is not None
    assert (cause.check, cause.severity) == ("gateway/credential-missing", "warning")
    assert "no `openclaw` command here" in cause.saw


def test_a_container_that_refuses_the_token_that_we_have_may_be_another_gateway(
    world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The config has a token, and what answers at its port does not take it: that is no green."""
    monkeypatch.setattr("oc_ops.observe.probe.published", lambda *_: (CELL, ""))
    world.reads = SHUT[1]
    doctor = make()
    doctor.config = dataclasses.replace(doctor.config, credential=Credential("token", "of-this-machine"))
    cause = doctor.rpc_fault()
    assert cause is not None
    assert (cause.check, cause.severity) == ("gateway/credential-missing", "error")
    assert "--target podman:cell" in cause.fix


def test_a_container_on_the_port_of_a_unit_s_gateway_is_another_one(
    world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What this machine's own unit should run is not there: that some gateway answers is no reason to be content."""
    monkeypatch.setattr("oc_ops.observe.probe.published", lambda *_: (CELL, ""))
    unit = Service("systemd", "openclaw-gateway.service", "failed")
    monkeypatch.setattr("oc_ops.observe.service.service", lambda *_: unit)
    world.reads = SHUT[1]
    cause = make().rpc_fault()
    assert cause is not None
    assert (cause.severity, "--target podman:cell" in cause.fix) == ("error", False)


def test_another_container_s_port_is_no_way_inside(world: World, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in a container stands before a gateway that is elsewhere: its container is not the one to look into."""
    monkeypatch.setattr("oc_ops.observe.probe.published", lambda *_: (OF_OTHERS, ""))
    world.reads = SHUT[0]
    cause = make(quick=True).rpc_fault()
    assert cause is not None
    assert (cause.severity, "--target podman:web" in cause.fix) == ("error", False)


UNSEEN = RpcRefused("unproven", "the process cannot be looked at by this account", "unseen")


@pytest.mark.parametrize("cli", [False, True])
@pytest.mark.parametrize("refused", [UNSEEN, *SHUT], ids=lambda each: each.code or each.kind)
def test_a_container_that_its_runtime_does_not_show_is_one_reason(
    refused: RpcRefused, cli: bool, world: World, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An account outside the group docker: neither lane is blamed on OpenClaw, nor is one told to install it."""
    monkeypatch.setattr(install, "find", lambda *_: None if not cli else Path("/usr/bin/openclaw"))
    monkeypatch.setattr("oc_ops.observe.probe.published", lambda *_: (None, "docker cannot be asked: no permission"))
    proxy = Listener(9, "/usr/bin/docker-proxy -proto tcp -host-port 18789", uid=0)
    world.look = sight(listener=proxy, processes=())
    world.reads = refused
    doctor = make(text=None, cli=cli)
    told = "docker-proxy leads port 28789 into a container: docker cannot be asked: no permission"
    with pytest.raises(CouldNotLook) as read:
        doctor.rpc_fault()
    assert str(read.value) == told
    if not cli:
        with pytest.raises(CouldNotLook) as command:
            doctor.cli_fault()
        assert command.value is read.value
    assert causes(everything(doctor)) == set()


def test_a_container_of_another_user_is_one_reason(world: World, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rootless podman's forwarder says whose it is; root's own podman does not list it."""
    monkeypatch.setattr(install, "find", lambda *_: None)
    monkeypatch.setattr("oc_ops.observe.probe.published", lambda *_: (None, ""))
    world.look = sight(listener=Listener(9, "rootlessport", "rootlessport", uid=4711), processes=())
    world.reads = RpcRefused("unproven", "rootlessport only forwards the port", "other")
    doctor = make(text=None, cli=False)
    told = "rootlessport leads port 28789 into a container: look as user 4711, whose container it is"
    for ask in (doctor.rpc_fault, doctor.cli_fault):
        with pytest.raises(CouldNotLook) as raised:
            ask()
        assert str(raised.value) == told
    world.look = sight(listener=Listener(9, "rootlessport", "rootlessport", uid=os.geteuid()), processes=())
    assert make(text=None, cli=False).start.closed() is None
