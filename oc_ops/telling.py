"""What a run has people told, once its report is written: by a process of its own, which the run does not wait for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from oc_ops.act import notify
from oc_ops.act.notify import state
from oc_ops.act.schedule.turn import MARK
from oc_ops.errors import SettingError

if TYPE_CHECKING:
    from oc_ops.record.redact import Json
    from oc_ops.run import DoctorRun


def of_the_start(run: DoctorRun) -> None:
    """One beat: a run begins. A part of the doctor does not beat for the whole."""
    if not (run.lab or run.left_out):
        _start(run, beat="start")


def people(run: DoctorRun) -> str:
    """Whatever they do not know yet, and one beat: it ended well, or it did not. Returns why the last time failed.

    The lab's troubles are nobody's; of an interrupted run there is nothing to say, and its missing beat says it.
    """
    if run.lab:
        return ""
    record = run.conclude()
    beat = "ok" if record.verdict in ("healthy", "degraded") else "fail"
    mute = run.left_out or run.interrupted
    _start(run, beat=None if mute else beat, text=run.report.last_line(), refused=_refused(record.recovery), told=True)
    failed = state.read(run.settings.memory_dir).failed
    return f"the last message was not taken: {failed}" if failed else ""


def _start(run: DoctorRun, *, told: bool = False, **request: object) -> None:
    settings = run.settings
    try:
        urls = settings.secret("notify_urls") if told else ""
        said = {**request, "urls": urls, "ping_url": settings.secret("ping_url"), "gateway": run.doctor.key}
    except SettingError:
        return  # it names a file that is not there: `oc-ops notify test` says so
    notify.start(settings, said, wait=told and MARK in os.environ)


def _refused(recovery: Mapping[str, Json] | None) -> dict[str, str]:
    """Which incident recovery was refused in this run, and why, by the report's member `recovery`."""
    if recovery is None or recovery.get("outcome") != "refused":
        return {}
    return {str(recovery.get("incident")): str(recovery.get("sentence", ""))}
