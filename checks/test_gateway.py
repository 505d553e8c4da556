"""The gateway: does it live, has it started, is it prompt, does it answer an authenticated read, is there one of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oc_ops import told
from oc_ops.doctor import Doctor
from oc_ops.judge import access as judge_access
from oc_ops.judge import gateway as judge
from oc_ops.judge.gateway import Limits
from oc_ops.observe.look import GatewayLook

pytestmark = pytest.mark.doctor


@pytest.mark.check("config/valid", lane="files")
def test_config_parses(doctor: Doctor, healthy: Callable[..., None]) -> None:
    """The config file can be read as a gateway would read it at its next start."""
    healthy(doctor.config_cause())


@pytest.mark.check("config/accepted", lane="cli")
def test_config_is_accepted(doctor: Doctor, healthy: Callable[..., None]) -> None:
    """OpenClaw's own validation accepts the config, so that the next start comes up."""
    healthy(doctor.config_rejected())


@pytest.mark.check("state/readable", lane="files")
def test_state_is_sound(doctor: Doctor, healthy: Callable[..., None]) -> None:
    """The gateway's user can read and write its state directory, and the database in it is sound."""
    healthy(doctor.start.fault())


@pytest.mark.check("gateway/live", lane="http")
def test_gateway_is_live(doctor: Doctor, healthy: Callable[..., None]) -> None:
    """The port answers, and what answers is an OpenClaw gateway; a listening port alone does not count."""
    healthy(judge.one_of(doctor.http_cause(), *judge.NOT_LIVE))


@pytest.mark.check("gateway/started", lane="http")
def test_gateway_has_started(doctor: Doctor, healthy: Callable[..., None]) -> None:
    """The gateway has finished starting and is not draining."""
    healthy(judge.one_of(doctor.http_cause(), *judge.NOT_STARTED))


@pytest.mark.check("gateway/prompt", lane="http")
def test_gateway_is_prompt(doctor: Doctor, healthy: Callable[..., None]) -> None:
    """The gateway answers in time and its event loop is not held up."""
    healthy(judge.one_of(doctor.http_cause(), "gateway/saturated"))


@pytest.mark.check("gateway/ready", lane="http")
def test_gateway_is_ready(doctor: Doctor, gateway: GatewayLook, limits: Limits, healthy: Callable[..., None]) -> None:
    """Nothing is on the gateway's own list of what keeps it from being ready."""
    finding = judge.not_ready(gateway, limits)
    healthy(finding or judge.not_ready(doctor.readiness(), limits))


@pytest.mark.check("gateway/single", lane="http")
def test_only_one_gateway_runs(gateway: GatewayLook, healthy: Callable[..., None]) -> None:
    """One gateway process owns the state directory."""
    healthy(judge.duplicate(gateway.processes))


@pytest.mark.check("gateway/rpc", lane="rpc")
def test_rpc_answers(doctor: Doctor, limits: Limits, healthy: Callable[..., None]) -> None:
    """An authenticated status read succeeds: what `openclaw status` claims, judged by content."""
    healthy(judge_access.read_unanswered(doctor.status_read(), doctor.look(), limits))


@pytest.mark.check("cli/works", lane="files")
def test_cli_works(doctor: Doctor, healthy: Callable[..., None]) -> None:
    """The `openclaw` command is there and its Node.js runs it."""
    healthy(doctor.cli_fault())


@pytest.mark.check("gateway/status", lane="cli")
def test_gateway_status_answers(doctor: Doctor, healthy: Callable[..., None]) -> None:
    """`openclaw gateway status` reaches the gateway; its exit code is not believed."""
    healthy(doctor.status_fault())


@pytest.mark.check("gateway/versions", lane="cli")
def test_versions_agree(doctor: Doctor, healthy: Callable[..., None]) -> None:
    """The CLI, the service definition and the running gateway are of one release."""
    healthy(judge.version_drift(doctor.cli_release, told.gateway_version(doctor), doctor.gateway_status()))
