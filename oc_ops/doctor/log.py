"""The gateway's log as one doctor reads it: from where its last run stopped, for what the signatures know."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from oc_ops import files as regular_files
from oc_ops.doctor.outcomes import Blocked
from oc_ops.errors import CouldNotLook
from oc_ops.judge import signature_catalogue
from oc_ops.judge.finding import Finding
from oc_ops.judge.signature_catalogue import Signature
from oc_ops.judge.signatures import window_s
from oc_ops.observe import inside, logs
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.container import Container
from oc_ops.observe.logs import LogView, Needle, Window, planned_restarts, raw_shape, recent
from oc_ops.observe.logs.sharers import log_sharers
from oc_ops.observe.rpc import RpcRefused
from oc_ops.observe.rpc_reads import RpcReads
from oc_ops.observe.service import service
from oc_ops.observe.target import Target
from oc_ops.process.jsontext import text_at
from oc_ops.record import memory
from oc_ops.record.redact import Redactor
from oc_ops.secrecy import secrets_in
from oc_ops.settings import Settings

_RESTART_S = 60.0
"""How long after its last word in gateway-restart.log a planned restart goes on; 9 to 12 s were measured idle."""


def known(settings: Settings) -> tuple[Signature, ...]:
    """The shipped signatures and the operator's; the setting `log_window_s` is the window of those that name none.

    Raises OcOpsError for an own entry that cannot be used.
    """
    window = int(settings.log_window_s)
    every = signature_catalogue.load(settings)
    return tuple(
        replace(each, window_s=window) if each.window_s == signature_catalogue.WINDOW_S else each for each in every
    )


def files(target: Target, config: GatewayConfig, lane: RpcReads | RpcRefused | None = None) -> tuple[Path, ...]:
    """The log files of a gateway; where none is where it should be, the one that its answer to `logs.tail` names.

    2026.3.31 to 2026.4.20 do not honour `logging.file`, and say there what they write instead.
    """
    named = lane.log if isinstance(lane, RpcReads) else None
    place = text_at(named.payload, "file") if named else ""
    found = (Path(place),) if place.startswith("/") and os.path.isfile(place) else ()  # noqa: PTH113
    return logs.files(target, config, datetime.now()) or found


def sought(configured: Path | None) -> str:
    """The place where a configured log should be, as the end of a sentence; nothing where none is configured."""
    if configured is None:
        return ""
    return f": {configured} (logging.file) {'is no file' if configured.exists() else 'is not there'}"


def config_accepted(settings: Settings, config: GatewayConfig, command: tuple[int, ...] | None) -> bool:
    """True if OpenClaw's own validation, by the command of that release, took the config as it stands now."""
    mark = memory.config_fingerprint(config.path, command)
    return config.error is None and memory.config_is_known(settings.memory_dir, mark)


def read(
    target: Target,
    paths: Sequence[Path],
    signatures: Sequence[Signature],
    settings: Settings,
    now: datetime,
    secrets: Sequence[str],
) -> LogView:
    """The gateway's own records that a signature may know, planned restarts left out; only what is new is read.

    What is kept between runs holds none of `secrets`; paths stay as they are, since the signatures look at it again.
    Without any log it has no files. Raises CouldNotLook when one is not ours to read.
    """
    since = now - timedelta(seconds=window_s(signatures))
    needles = [Needle(each.id, each.literals, raw_shape(each.expression)) for each in signatures]
    planned = planned_restarts(target.state_dir, since, lasts_s=_RESTART_S)
    view = recent(
        paths,
        needles,
        since=since,
        tail_bytes=settings.log_tail_bytes,
        planned=planned,
        remember=settings.memory_dir / f"logs-{target.key}.json",
        clean=Redactor((*secrets, *secrets_in(target.environ), *settings.secrets), Path("/")).text,
    )
    if unread := [path for path in paths if path not in view.files and os.path.isfile(path)]:  # noqa: PTH113
        raise regular_files.barred(unread[0], f"cannot read {unread[0]}: run the doctor as the user who owns it")
    sharers = log_sharers(target, view.files, datetime.now()) if view.records else {}
    view = replace(view, shared_with=next(iter(sharers.values()), ""))
    return _with_journal(target, view, needles, planned)


def printed(
    there: Container, signatures: Sequence[Signature], now: datetime, cause: Callable[[], Finding | None]
) -> LogView:
    """Output of a gateway in a container, as its runtime keeps it.

    Raises CouldNotLook where that tells nothing, and Blocked by the cause: a container that is gone has no log either.
    """
    from oc_ops.observe.logs.journal import matching

    since = now - timedelta(seconds=window_s(signatures))
    needles = [Needle(each.id, each.literals, raw_shape(each.expression)) for each in signatures]
    try:
        lines = tuple(inside.output(there, since))
    except CouldNotLook:
        if found := cause():
            raise Blocked(found) from None
        raise
    newest = max((each.time for each in lines if each.time), default=None)
    place = Path(f"{there.runtime} logs {there.name}")
    return LogView(
        (place,), since, tuple(matching(iter(lines), needles)), sum(len(each.text) for each in lines), newest
    )


def _with_journal(target: Target, view: LogView, needles: Sequence[Needle], planned: Sequence[Window]) -> LogView:
    """Where the files are near empty, what the systemd unit printed is in the journal (#74801)."""
    from oc_ops.observe.logs import journal

    unit = service(target) if journal.wanted(view.files) else None
    if unit is None or unit.manager != "systemd" or unit.scope != "user":
        return view
    found = journal.journal(unit.unit, target, needles, view.since)
    return view if found is None else journal.added(view, unit.unit, found, planned)
