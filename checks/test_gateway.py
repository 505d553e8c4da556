"""The gateway: does it live, has it started, is it prompt, does it answer an authenticated read, is there one of it."""

from __future__ import annotations

from checks.check import check
from checks.report import Report
from oc_ops.doctor import summary
from oc_ops.doctor.observations import Doctor
from oc_ops.doctor.outcomes import Blocked, NotAsked
from oc_ops.doctor.surroundings import Surroundings
from oc_ops.judge import access as judge_access
from oc_ops.judge import container as judge_container
from oc_ops.judge import descriptors as judge_descriptors
from oc_ops.judge import files as judge_files
from oc_ops.judge import gateway as judge
from oc_ops.judge import service as judge_service
from oc_ops.judge.findings import of_check
from oc_ops.judge.gateway import Limits
from oc_ops.judge.port import http_broken
from oc_ops.observe import service
from oc_ops.observe.limits import watches
from oc_ops.observe.probe import GatewayProbe
from oc_ops.observe.sockets import user_name


@check("config/valid", lane="files")
def test_config_parses(doctor: Doctor, report: Report) -> None:
    """The config file can be read as a gateway would read it at its next start."""
    report(doctor.config_cause())


@check("config/accepted", lane="cli")
def test_config_is_accepted(doctor: Doctor, report: Report) -> None:
    """OpenClaw's own validation accepts the config, so that the next start comes up."""
    report(doctor.config_rejected())


@check("state/readable", lane="files")
def test_state_is_sound(doctor: Doctor, report: Report) -> None:
    """The gateway's user can read and write its state directory, and the database in it is sound."""
    report(doctor.start.fault())


@check("gateway/live", lane="http")
def test_gateway_is_live(doctor: Doctor, report: Report) -> None:
    """The port answers, and what answers is an OpenClaw gateway; a listening port alone does not count."""
    cause = doctor.http_cause()
    if cause is not None and doctor.look.failure is not None:
        raise Blocked(cause)  # of a config that is broken no port is known, where no lock names it
    seen = doctor.look()
    report(of_check(cause, "gateway/live"), doctor.port_drift(), http_broken(seen), judge_container.unhealthy(seen))


@check("gateway/started", lane="http")
def test_gateway_has_started(doctor: Doctor, report: Report) -> None:
    """The gateway has finished starting and is not draining."""
    report(of_check(doctor.http_cause(), "gateway/started"))


@check("gateway/prompt", lane="http")
def test_gateway_is_prompt(doctor: Doctor, report: Report) -> None:
    """The gateway answers in time and its event loop is not held up."""
    report(of_check(doctor.http_cause(), "gateway/prompt"))


@check("gateway/ready", lane="http")
def test_gateway_is_ready(doctor: Doctor, gateway: GatewayProbe, limits: Limits, report: Report) -> None:
    """Nothing is on the gateway's own list of what keeps it from being ready."""
    finding = judge.not_ready(gateway, limits)
    report(finding or judge.not_ready(doctor.readiness(), limits))


@check("gateway/descriptors", lane="http")
def test_gateway_has_descriptors_left(gateway: GatewayProbe, report: Report) -> None:
    """The gateway is not near its limit of open files, nor its user near that of inotify instances."""
    report(judge_descriptors.near(gateway, watches(gateway.holder.pid) if gateway.holder else None))


@check("gateway/single", lane="http")
def test_only_one_gateway_runs(gateway: GatewayProbe, report: Report) -> None:
    """One gateway process owns the state directory."""
    report(judge.duplicate(gateway.processes))


@check("gateway/supervised", lane="files")
def test_one_unit_keeps_the_gateway(doctor: Doctor, report: Report) -> None:
    """The systemd unit that runs the gateway does so after a boot and a logout too, and no other wants to."""
    if why := "--quick asks no service manager" if doctor.quick else doctor.spared():
        raise NotAsked(why)
    process = doctor.look().holder
    if process is None or not (units := service.units(doctor.target)):
        raise NotAsked("no systemd unit of this gateway is seen, or no process of it that answers")
    owner = next((each for each in units if service.holds(each, process)), None)
    lingers = service.lingers(process.uid, doctor.target) if owner and process.uid is not None else None
    report(
        judge_service.two_owners(units, owner, process),
        judge_service.not_enabled(owner),
        judge_service.no_linger(owner, lingers, user_name(process.uid) if process.uid is not None else ""),
    )


@check("gateway/rpc", lane="rpc")
def test_rpc_answers(doctor: Doctor, report: Report) -> None:
    """An authenticated status read succeeds: what `openclaw status` claims, judged by content."""
    fault = doctor.rpc_fault()
    report(fault or judge_access.lent(doctor.config.credential, doctor.held))


@check("gateway/release", lane="rpc")
def test_release_has_no_known_fault(surroundings: Surroundings, report: Report) -> None:
    """Nothing is known of the running release that its operator can act on and was not told before."""
    report(surroundings.known_release())


@check("cli/works", lane="files")
def test_cli_works(doctor: Doctor, report: Report) -> None:
    """The `openclaw` command is there and its Node.js runs it."""
    report(doctor.cli_fault())


@check("gateway/status", lane="cli")
def test_gateway_status_answers(doctor: Doctor, report: Report) -> None:
    """The operator's own `openclaw` reaches the gateway, by the content of its answer; exit codes are not believed."""
    fault = doctor.status_fault()
    report(fault or judge_access.misdirected(doctor.config, doctor.port()))


@check("gateway/versions", lane="cli")
def test_versions_agree(doctor: Doctor, report: Report) -> None:
    """The CLI, the service definition and the running gateway are of one release."""
    if why := "--quick makes no CLI call" if doctor.quick else doctor.spared():
        raise NotAsked(why)
    installed = doctor.gateway.service().release
    report(judge_files.version_drift(doctor.cli_release, summary.gateway_version(doctor), installed))
