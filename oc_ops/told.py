"""What a run can tell of itself: releases, notes, how each lane did, and all of it in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from oc_ops.doctor import Doctor
from oc_ops.errors import CouldNotLook
from oc_ops.observe import install
from oc_ops.observe.jsontext import text_at
from oc_ops.observe.look import GatewayLook
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.reads import RpcReads
from oc_ops.observe.rpc import RpcRefused
from oc_ops.record.document import OpenclawInfo

if TYPE_CHECKING:
    from oc_ops.run import DoctorRun


def about(doctor: Doctor) -> OpenclawInfo:
    """Which OpenClaw was looked at."""
    release, seen = doctor.cli_release, doctor.kept.get("look")
    port = doctor.config.port if doctor.config.error is None else None
    return OpenclawInfo(
        cli_version=".".join(map(str, release)) if release else None,
        gateway_version=gateway_version(doctor),
        profile=doctor.target.profile,
        port=seen.port if isinstance(seen, GatewayLook) and seen.drifted else port,
        log_files=tuple(str(path) for path in log_files(doctor)),
    )


def log_files(doctor: Doctor) -> tuple[Path, ...]:
    """The gateway's logs, as far as they can be told."""
    try:
        return doctor.log_files()
    except CouldNotLook:
        return ()


def gateway_version(doctor: Doctor) -> str | None:
    """The running gateway's release, from whatever was looked at already."""
    seen, lane = doctor.kept.get("look"), doctor.kept.get("rpc_lane")
    startup = seen.startup if isinstance(seen, GatewayLook) else None
    told = [text_at(startup.json if startup else None, "version")]
    if isinstance(lane, RpcReads):
        # 2026.2.26 calls itself "dev" here, which is no release.
        told += [lane.hello.server_version or "", text_at(lane.status.payload, "runtimeVersion")]
    return next((each for each in told if install.release(each)), None)


def notes(doctor: Doctor) -> tuple[str, ...]:
    """What the operator should know of how the RPC lane got in, such as a device key that had to be renewed."""
    lane = doctor.kept.get("rpc_lane")
    return lane.notes if isinstance(lane, RpcReads) else ()


def lanes(doctor: Doctor) -> dict[str, str]:
    """How each lane did, in the words of the report."""
    lane, status = doctor.kept.get("rpc_lane"), doctor.kept.get("gateway_status")
    failed = doctor.failed.get("gateway_status")
    rpc_word = "not needed"
    if isinstance(lane, RpcRefused):
        rpc_word = "off" if lane.kind == "off" else f"unavailable: {lane.reason}"
    elif isinstance(lane, RpcReads):
        rpc_word = "ok"
    cli_word = "not asked: --quick" if doctor.quick else "not needed"
    if isinstance(status, Answer):
        cli_word = "ok" if status.came else f"unavailable: {status.call.summary}"
    elif isinstance(failed, CouldNotLook):
        cli_word = f"unavailable: {failed}"
    return {
        "http": "ok" if isinstance(doctor.kept.get("look"), GatewayLook) else "not needed",
        "rpc": rpc_word,
        "cli": cli_word,
    }


def sentence(run: DoctorRun) -> str:
    """The run in one sentence, unredacted."""
    record = run.conclude()
    head = f"doctor: {record.verdict} in {record.duration_s:.1f} s"
    finding = record.cause_finding
    if finding is None and record.verdict == "degraded":
        finding = next(each for each in record.findings if each.severity == "warning")
    if finding is not None:
        return f"{head}: {finding.sentence}"
    if record.verdict == "healthy":
        passed = sum(each.outcome == "passed" for each in record.checks)
        version = record.openclaw.gateway_version or "of unknown release"
        part = f" of {passed + run.left_out}" if run.left_out else ""
        return f"{head}: {passed}{part} checks passed, gateway {version} on port {record.openclaw.port}{_cured(run)}"
    notes = [each.note for each in record.checks if each.outcome == "error"]
    notes += [each.note for each in record.checks if each.outcome == "skipped"]
    if run.empty:
        return f"{head}: could not look: no check was selected"
    left = f"{run.planned - len(run.checks)} checks were not reached"
    return f"{head}: could not look: {'interrupted' if run.interrupted else notes[0] if notes else left}"


def _cured(run: DoctorRun) -> str:
    cause = run.before.cause if run.before and run.recovery and run.recovery.word == "recovered" else None
    return f" · recovered from {cause}" if cause else ""
