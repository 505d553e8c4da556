"""A run's word on itself: releases, notes, how each lane did, and all of it in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from oc_ops.doctor.observations import Doctor
from oc_ops.doctor.outcomes import NotAsked
from oc_ops.errors import CouldNotLook
from oc_ops.judge.signatures import fired
from oc_ops.observe import install, logs
from oc_ops.observe.rpc import RpcRefused
from oc_ops.observe.rpc_reads import RpcReads
from oc_ops.process.jsontext import text_at
from oc_ops.record.run import SPARED, Evidence, OpenclawInfo, RunRecord
from oc_ops.text import clock


def about(doctor: Doctor) -> OpenclawInfo:
    """Which OpenClaw was looked at."""
    release, seen = doctor.cli_release, doctor.look.seen
    port = doctor.config.port if doctor.config.error is None else None
    return OpenclawInfo(
        cli_version=".".join(map(str, release)) if release else None,
        gateway_version=gateway_version(doctor),
        profile=doctor.target.choice if doctor.target.container else doctor.target.profile,
        port=seen.port if seen and seen.drifted else port,
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
    look, lane = doctor.look.seen, doctor.rpc_lane.seen
    startup = look.startup if look else None
    told = [text_at(startup.json if startup else None, "version")]
    if isinstance(lane, RpcReads):
        # 2026.2.26 calls itself "dev" here, which is no release.
        told += [lane.hello.server_version or "", text_at(lane.status.payload, "runtimeVersion")]
    return next((each for each in told if install.release(each)), None)


def notes(doctor: Doctor) -> tuple[str, ...]:
    """Notes for the operator on how the RPC lane got in, such as a device key that had to be renewed."""
    lane = doctor.rpc_lane.seen
    return lane.notes if isinstance(lane, RpcReads) else ()


def lanes(doctor: Doctor) -> dict[str, str]:
    """How each lane did, in the words of the report."""
    lane, listed = doctor.rpc_lane.seen, doctor.cron_listed.seen
    status = doctor.cli_status.seen or listed
    failed = doctor.cli_status.failure or doctor.cron_listed.failure or doctor.cli_unpaired.failure
    rpc_word = "not needed"
    if isinstance(lane, RpcRefused):
        rpc_word = "off" if lane.kind == "off" else f"unavailable: {lane.reason}"
    elif isinstance(lane, RpcReads):
        rpc_word = "ok"
    cli_word = "not asked: --quick" if doctor.quick else "not needed"
    if isinstance(failed, NotAsked) and not doctor.quick:
        cli_word = f"not asked: {failed}"
    if status:
        cli_word = "ok" if status.came else f"unavailable: {status.call.summary}"
    elif isinstance(failed, CouldNotLook):
        cli_word = f"unavailable: {failed}"
    return {
        "http": "ok" if doctor.look.seen else "not needed",
        "rpc": rpc_word,
        "cli": cli_word,
    }


def sentence(record: RunRecord) -> str:
    """The run in one sentence, unredacted."""
    head, scope = f"doctor: {record.verdict} in {record.duration_s:.1f} s", record.scope
    finding = record.cause_finding
    if finding is None and record.verdict == "degraded":
        finding = next(each for each in record.findings if each.severity == "warning")
    if finding is not None:
        more = sum(each.severity == "warning" and each is not finding for each in record.findings)
        return f"{head}: {finding.sentence}" + (f" · {more} more warning{'s' * (more > 1)}" if more else "")
    if record.verdict == "healthy":
        passed = sum(each.outcome == "passed" for each in record.checks)
        version = record.openclaw.gateway_version or "of unknown release"
        unasked = scope.left_out + (sum(each.outcome == "skipped" for each in record.checks) if scope.quick else 0)
        head, part = (f"{head} as far as looked", f" of {passed + unasked}") if unasked else (head, "")
        cured = f" · recovered from {scope.cured}" if scope.cured else ""
        proven = record.lanes.cli.removeprefix("not asked: ")
        older = f" · command line {proven}" if proven.startswith(SPARED) else ""
        where = f"gateway {version} on port {record.openclaw.port}"
        return f"{head}: {passed}{part} checks passed, {where}{older}{cured}"
    notes = [each.note for each in record.checks if each.outcome == "error"]
    notes += [each.note for each in record.checks if each.outcome == "skipped"]
    if record.empty:
        return f"{head}: could not look: no check was selected"
    left = f"{scope.planned - len(record.checks)} checks were not reached"
    return f"{head}: could not look: {'interrupted' if scope.interrupted else notes[0] if notes else left}"


_LOG_LINES = 40
"""Records of the log's end that a failing run keeps."""
_NEIGHBOURS = 5
"""Records before and behind a hit that it keeps as well."""


def excerpts(doctor: Doctor, *, failed: bool) -> tuple[Evidence, ...]:
    """Notes of the RPC lane; of a failing run also the lines around each hit, and the end of each log."""
    rpc = notes(doctor)
    said: tuple[Evidence, ...] = (Evidence("Of the RPC lane", rpc),) if rpc else ()
    if not failed:
        return said
    said += tuple(_around_hits(doctor))
    return said + tuple(
        Evidence(f"The last {_LOG_LINES} records of {path.name}", tuple(map(_line, logs.tail(path, _LOG_LINES))))
        for path in log_files(doctor)
    )


def _around_hits(doctor: Doctor) -> Iterator[Evidence]:
    """The lines around the newest record of each signature that fired, however far back it lies."""
    view = doctor.log_view.seen
    if view is None:
        return
    for signature, records in fired(view, doctor.signatures(), now=doctor.started_at).items():
        lines = logs.around(records[-1], _NEIGHBOURS) or records[-1:]
        yield Evidence(f"Around {signature.id} in {records[-1].file.name}", tuple(map(_line, lines)))


def first_sign(doctor: Doctor) -> datetime | None:
    """When the first log signature of the window fired, as far as the log was read."""
    view = doctor.log_view.seen
    if view is None:
        return None
    hits = fired(view, doctor.signatures(), now=doctor.started_at).values()
    return min((each.time for records in hits for each in records if each.time), default=None)


def _line(record: logs.Record) -> str:
    when = clock(record.time, "time") if record.time else "--:--:--"
    return f"{when} {record.level:5} {record.source} {record.text}"
