"""What a run can tell of itself from what its doctor has looked at: releases, notes, and how each lane did."""

from __future__ import annotations

from oc_ops.doctor import Doctor
from oc_ops.errors import CouldNotLook
from oc_ops.observe import install
from oc_ops.observe.jsontext import text_at
from oc_ops.observe.look import GatewayLook
from oc_ops.observe.openclaw import Answer
from oc_ops.observe.reads import RpcReads
from oc_ops.observe.rpc import RpcRefused


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
