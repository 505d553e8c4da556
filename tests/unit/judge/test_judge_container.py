"""The judges of a gateway in a container: each state of it is one finding, with the command of whoever owns it."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from oc_ops.judge import container as judge
from oc_ops.judge.gateway import Limits, cause
from oc_ops.observe.container import Container
from oc_ops.observe.probe import GatewayProbe
from tests.support import sights

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
OLD = NOW - timedelta(hours=3)


def there(state: Any = "running", **changes: Any) -> Container:
    """A container of podman's that was started three hours ago."""
    members: dict[str, Any] = {"started_at": OLD, "seen_at": NOW, "id": "a" * 64, **changes}
    return Container("podman", "cell", state, **members)


def sight(container: Container, live: Any = None, **changes: Any) -> GatewayProbe:
    """What is seen of it; without an answer its port is closed."""
    return GatewayProbe(19100, live or sights.nothing("refused"), container=container, inside="published", **changes)


@pytest.mark.parametrize(
    ("container", "check", "fact", "fix"),
    [
        (there("exited", exit_code=0), "gateway/down", "ended by itself or was stopped", "podman start cell"),
        (there("exited", exit_code=1), "gateway/down", "it exited with 1", "podman start cell"),
        (there("exited", exit_code=137), "gateway/down", "it was killed", "podman start cell"),
        (there("exited", exit_code=137, oom_killed=True), "gateway/oom-killed", "want of memory", "podman start cell"),
        (there("created"), "gateway/down", "never started", "podman start cell"),
        (there("paused"), "gateway/hung", "is paused: a person or a backup froze it", "podman unpause cell"),
        (there("exited", exit_code=78), "gateway/crash-loop", "exits with 78", "none automatic: another start"),
        (there("restarting", exit_code=1), "gateway/starting", "is starting", "none automatic: wait"),
        (there("restarting", exit_code=1, restarts=5), "gateway/crash-loop", "not stay up", "none automatic: another"),
        (there("restarting", exit_code=78), "gateway/crash-loop", "exits with 78", "none automatic: another start"),
        (there("stopping"), "gateway/draining", "is being stopped", "none automatic: wait until it has stopped"),
        (there("dead"), "gateway/down", "is dead and cannot be started", "none automatic: its runtime gave it up"),
        (there("removing"), "gateway/down", "is removing and cannot", "none automatic: its runtime gave it up"),
        (there("gone"), "gateway/down", "podman has no container cell", "none automatic: podman ps -a"),
    ],
    ids=lambda value: f"{value.state}-{value.exit_code}-{value.restarts}" if isinstance(value, Container) else "",
)
def test_a_state_is_one_finding(container: Container, check: str, fact: str, fix: str) -> None:
    """What the runtime says is said once, and only its own start or unpause carries a proof."""
    found = cause(sight(container), Limits())
    assert found is not None
    assert (found.check, fact in found.fact, found.fix.startswith(fix)) == (check, True, True)
    assert bool(found.proof) == fix.startswith("podman")


@pytest.mark.parametrize(("stopped", "fix"), [(1, "kill -CONT 1"), (None, "podman restart -t 330 cell")])
def test_a_silent_gateway_of_a_container_in_this_network_is_commanded_there(stopped: int | None, fix: str) -> None:
    """Looked at without a target: its process holds the port itself and is not ours, so the container is named."""
    mute = sights.nothing("silent")
    seen = sights.sight(mute, again=mute, processes=(), behind=there("running"), stopped_inside=stopped)
    found = cause(seen, Limits())
    assert found is not None
    assert (found.check, found.proof) == ("gateway/hung", "")
    assert found.fix.startswith("none automatic: it")
    assert fix in found.fix
    assert "--target podman:cell looks inside" in found.fix


@pytest.mark.parametrize("state", ["exited", "paused", "created"])
def test_what_a_kubelet_owns_is_its_to_start(state: str) -> None:
    """A pod's kubelet starts its containers: recovery has no proof to act on."""
    found = cause(sight(there(state, labels={"io.kubernetes.pod.name": "oc-0"}, exit_code=1)), Limits())
    assert found is not None
    assert found.fix.startswith("none automatic: its pod is its kubelet's")
    assert found.proof == ""


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize(("state", "command"), [("exited", "start"), ("created", "start"), ("paused", "unpause")])
def test_what_a_quadlet_owns_is_commanded_through_its_unit(
    monkeypatch: pytest.MonkeyPatch, uid: int, state: str, command: str
) -> None:
    """By the manager of whoever runs podman; a runtime's start beside the unit would be nobody's to restart later."""
    monkeypatch.setattr("os.geteuid", lambda: uid)
    found = cause(sight(there(state, labels={"PODMAN_SYSTEMD_UNIT": "oc.service"}, exit_code=1)), Limits())
    assert found is not None
    unit = f"systemctl {'--user ' if uid else ''}{command} oc.service"
    assert found.fix == ("podman unpause cell" if command == "unpause" else unit)
    assert found.proof


def test_a_silent_gateway_inside_is_hung() -> None:
    """Silent through its port and asked inside: the container's restart, with a proof."""
    silent = sights.nothing("silent")
    found = cause(sight(there(), silent, again=silent), Limits())
    assert found is not None
    assert (found.check, found.fix) == ("gateway/hung", "podman restart -t 330 cell")
    assert found.proof.endswith("answers no connection, asked inside it as well")


def test_a_silent_port_that_could_not_be_asked_inside_proves_nothing() -> None:
    """The forwarder may be at fault: the finding stands, and nothing is done."""
    silent = sights.nothing("silent")
    found = cause(sight(there(), silent, again=silent, blind="podman exec ended"), Limits())
    assert found is not None
    assert (found.check, found.proof) == ("gateway/hung", "")


def test_a_closed_port_inside_is_a_gateway_that_does_not_listen() -> None:
    """Beyond the start budget it is at fault, within it it is starting, unless it was restarted again and again."""
    assert getattr(cause(sight(there()), Limits()), "check", "") == "gateway/zombie"
    young = there(started_at=NOW - timedelta(seconds=20))
    found = cause(sight(young), Limits())
    assert found is not None
    assert (found.check, "at most 220 s more" in found.fix) == ("gateway/starting", True)
    again = cause(sight(dataclasses.replace(young, restarts=4)), Limits())
    assert getattr(again, "check", "") == "gateway/crash-loop"


def test_a_gateway_that_answers_is_judged_as_any_other() -> None:
    """Healthy is silent; draining is draining."""
    seen = sight(there(restarts=9), sights.LIVE, startup=sights.STARTED, ready=sights.ready())
    assert cause(seen, Limits()) is None
    assert judge.unreached(seen) is None
    draining = replace(seen, startup=sights.said({"ok": False, "status": "draining"}, "/startupz", 503))
    assert getattr(cause(draining, Limits()), "check", "") == "gateway/draining"


def test_a_port_that_leads_nowhere_is_a_warning() -> None:
    """The gateway answers inside only: it listens on its own loopback."""
    seen = replace(sight(there(), sights.LIVE, startup=sights.STARTED, ready=sights.ready()), inside="inside")
    found = judge.unreached(seen)
    assert found is not None
    assert (found.check, found.severity) == ("gateway/port-drift", "warning")


def test_a_stopped_gateway_inside_is_let_go_on() -> None:
    """By its pid there, and at any age: a stopped process is on no way up; a restart only with another look."""
    silent = sights.nothing("silent")
    young = there(started_at=NOW - timedelta(seconds=20))
    for container in (there(), young):
        found = cause(sight(container, silent, again=silent, stopped_inside=7), Limits())
        assert found is not None
        assert (found.check, found.fix) == ("gateway/hung", "podman exec cell sh -c 'kill -CONT 7'")
        assert "its process is stopped" in found.fact
        assert found.proof
    merely_mute = cause(sight(young, silent, again=silent), Limits())
    assert getattr(merely_mute, "check", "") == "gateway/starting"
