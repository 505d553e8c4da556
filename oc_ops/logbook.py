"""The gateway's log as one doctor reads it: from where its last run stopped, for what the signatures know."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from oc_ops.errors import CouldNotLook
from oc_ops.judge import catalogue
from oc_ops.judge.catalogue import Signature
from oc_ops.judge.signatures import window_s
from oc_ops.observe.logs import LogView, Needle, Window, planned_restarts, raw_shape, recent
from oc_ops.observe.service import service
from oc_ops.once import Blocked
from oc_ops.settings import Settings

if TYPE_CHECKING:
    from oc_ops.doctor import Doctor

_RESTART_S = 60.0
"""How long after its last word in gateway-restart.log a planned restart goes on; 9 to 12 s were measured idle."""


def known(settings: Settings) -> tuple[Signature, ...]:
    """The shipped signatures and the operator's; the setting `log_window_s` is the window of those that name none.

    Raises OcOpsError for an own entry that cannot be used.
    """
    window = int(settings.log_window_s)
    every = catalogue.load(settings.memory_dir)
    return tuple(replace(each, window_s=window) if each.window_s == catalogue.WINDOW_S else each for each in every)


def read(doctor: Doctor, signatures: Sequence[Signature]) -> LogView:
    """The gateway's own records that a signature may know, planned restarts left out; only what is new is read.

    Raises Blocked when there is no log because of a cause, CouldNotLook when it is not there or not ours to read.
    """
    paths = doctor.log_files()
    since = doctor.started_at - timedelta(seconds=window_s(signatures))
    needles = [Needle(each.id, each.literals, raw_shape(each.expression)) for each in signatures]
    planned = planned_restarts(doctor.target.state_dir, since, lasts_s=_RESTART_S)
    view = recent(
        paths,
        needles,
        since=since,
        tail_bytes=doctor.settings.log_tail_bytes,
        planned=planned,
        remember=doctor.settings.memory_dir / f"logs-{doctor.key}.json",
    )
    if unread := [path for path in paths if path not in view.files and os.path.isfile(path)]:  # noqa: PTH113
        raise CouldNotLook(f"cannot read {unread[0]}: run the doctor as the user who owns it")
    view = _with_journal(doctor, view, needles, planned)
    if not view.files:
        if cause := doctor.http_cause():
            raise Blocked(cause)
        raise CouldNotLook("the gateway's log file was not found")
    return view


def _with_journal(doctor: Doctor, view: LogView, needles: Sequence[Needle], planned: Sequence[Window]) -> LogView:
    """Where the files are near empty, what the systemd unit printed is in the journal (#74801)."""
    from oc_ops.observe.logs import journal

    if not journal.wanted(view.files) or (unit := service(doctor.target)).manager != "systemd" or unit.scope != "user":
        return view
    found = journal.journal(unit.unit, doctor.target, needles, view.since)
    return view if found is None else journal.added(view, unit.unit, found, planned)
