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
from oc_ops.observe.service import Service
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


def test_a_loop_for_want_of_memory_is_named_as_that_and_not_started() -> None:
    """Between two lives, or in a young one: its runtime brings it back to the same end."""
    for container in (there("restarting", exit_code=137), there(started_at=NOW - timedelta(seconds=5))):
        again = dataclasses.replace(container, oom_killed=True, restarts=9, memory_bytes=150 << 20)
        found = cause(sight(again), Limits())
        assert found is not None
        assert (found.check, found.proof) == ("gateway/oom-killed", "")
        assert "again and again ends the gateway in container cell for want of memory, whose limit is 150" in found.fact
        assert found.fix.startswith("none automatic: give it more memory")


def test_a_limit_under_which_it_never_came_up_is_raised_before_it_is_started() -> None:
    """It ended for want of memory sooner than a start may take; one that was stopped by somebody is merely down."""
    ended = there("exited", exit_code=137, oom_killed=True, memory_bytes=1, ended_at=OLD + timedelta(seconds=9))
    found = cause(sight(ended), Limits())
    assert found is not None
    assert (found.check, found.proof, "then podman start cell" in found.fix) == ("gateway/oom-killed", "", True)
    stopped = cause(sight(dataclasses.replace(ended, exit_code=0)), Limits())
    assert getattr(stopped, "check", "") == "gateway/down"


def test_one_that_had_run_for_long_is_no_loop() -> None:
    """Restarts count from its creation: what matters is how long its last life was."""
    young = there(started_at=NOW - timedelta(seconds=20), restarts=4)
    for lived_s, check in ((20.0, "gateway/crash-loop"), (86_400.0, "gateway/starting")):
        found = cause(sight(dataclasses.replace(young, lived_s=lived_s)), Limits())
        assert getattr(found, "check", "") == check


@pytest.mark.parametrize(
    ("container", "check", "words"),
    [
        (there("exited", exit_code=1), "gateway/down", "podman start cell"),
        (there("paused"), "gateway/hung", "podman unpause cell"),
        (there("exited", exit_code=78), "gateway/crash-loop", "podman logs --tail 50 cell"),
        (there("dead"), "gateway/down", "its runtime gave it up"),
        (there(started_at=NOW - timedelta(seconds=20)), "gateway/starting", "wait, at most 220 s more"),
        (there(started_at=NOW - timedelta(seconds=20), restarts=4), "gateway/crash-loop", "podman logs --tail 50 cell"),
        (there(), "gateway/down", "hangs, or serves another port"),
    ],
    ids=lambda value: f"{value.state}-{value.exit_code}-{value.restarts}" if isinstance(value, Container) else "",
)
def test_at_its_port_a_container_is_judged_by_its_runtime(container: Container, check: str, words: str) -> None:
    """Without a target: one that runs is not started, and nothing is done from here."""
    seen = sights.sight(sights.nothing("refused"), processes=(), listener=None, behind=container)
    found = cause(seen, Limits())
    assert found is not None
    assert (found.check, found.proof, words in found.fix) == (check, "", True)
    assert found.fix.startswith("none automatic: it is in container cell: ")
    assert found.fix.endswith("; --target podman:cell looks inside")
    assert "none automatic" not in found.fix[5:]


UNIT = Service("systemd", "openclaw-gateway.service", "stopped")


def test_a_unit_of_this_machine_comes_before_a_container_that_publishes_its_port() -> None:
    """A container that was made and left may have the port too: it is not the gateway that is down."""
    seen = sights.sight(sights.nothing("refused"), processes=(), listener=None, behind=there("created"), service=UNIT)
    found = cause(seen, Limits())
    assert getattr(found, "fix", "") == "openclaw gateway start"


WELL: dict[str, Any] = {"startup": sights.STARTED, "ready": sights.ready()}


def test_a_health_check_that_is_wrong_is_one_warning() -> None:
    """Said beside a gateway that is well, and of nothing else: an ill one is right to be called that."""
    container = there(health="unhealthy", health_said="curl: not found")
    found = judge.unhealthy(sight(container, sights.LIVE, **WELL))
    assert found is not None
    assert (found.check, found.severity, found.proof) == ("gateway/health-check", "warning", "")
    assert "curl: not found" in found.saw
    assert found.for_a_person
    young = {**WELL, "startup": sights.said({"ok": True, "status": "started", "uptimeMs": 20_000}, "/startupz")}
    ill = {**WELL, "ready": sights.said({"ready": False, "failing": ["telegram"]}, "/readyz", 503)}
    assert judge.unhealthy(sight(container, sights.LIVE, **young)) is None
    assert judge.unhealthy(sight(container, sights.LIVE, **ill)) is None
    assert judge.unhealthy(sight(there(health="healthy"), sights.LIVE, **WELL)) is None


def test_a_published_port_beside_the_one_that_is_served_is_a_warning() -> None:
    """Its own network reaches it, and nobody who comes through the published port does."""
    container = there(ports={18789: ("127.0.0.1", 19100)}, address="10.88.0.4")
    seen = replace(sight(container, sights.LIVE, **WELL), host="10.88.0.4", port=18999)
    found = judge.unreached(seen)
    assert found is not None
    assert (found.check, found.severity) == ("gateway/port-drift", "warning")
    assert "serves port 18999, which is not published" in found.fact
    other = dataclasses.replace(container, ports={9090: ("127.0.0.1", 9090)})
    assert judge.unreached(replace(seen, container=other)) is None


def test_a_bare_no_of_a_young_gateway_is_a_start() -> None:
    """Whoever is not known to it gets no reasons; later it is not ready."""
    no = sights.said({"ready": False}, "/readyz", 503)
    young = there(started_at=NOW - timedelta(seconds=20))
    assert getattr(cause(sight(young, sights.LIVE, ready=no), Limits()), "check", "") == "gateway/starting"
    assert cause(sight(there(), sights.LIVE, ready=no), Limits()) is None


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
