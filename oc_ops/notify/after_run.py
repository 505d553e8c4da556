"""Send notifications and beats for a run, in a process of their own, which the run does not wait for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from oc_ops import notify
from oc_ops.errors import SettingError
from oc_ops.notify import state
from oc_ops.record.run import RunRecord
from oc_ops.settings import SCHEDULED, Settings

if TYPE_CHECKING:
    from oc_ops.record.redact import Json


Still = Callable[[Sequence[str]], Iterable[str]]
"""Which of these plans of the breaker still mean what they meant: it takes a look at the gateway."""


def of_the_start(settings: Settings, gateway: str) -> None:
    """Send one beat to the dead-man service: a run of the whole doctor begins."""
    _start(settings, gateway, beat="start")


def people(record: RunRecord, settings: Settings, sentence: str, still: Still = lambda _plans: ()) -> str:
    """Send what people do not know yet, and one beat: it ended well, or it did not. Returns why the last time failed.

    `still` says which of the breaker's plans are worth an approval now. The lab's troubles are not sent. An interrupted
    run and a part of the doctor send no beat: its absence says it.
    """
    scope = record.scope
    if scope.lab:
        return ""
    beat = "ok" if record.verdict in ("healthy", "degraded") else "fail"
    mute = scope.left_out or scope.interrupted
    refused = _refused(record.recovery)
    known = state.read(settings.memory_dir)
    asked = [each.plan for each in state.asked(settings.memory_dir, datetime.now(UTC)) if each.plan not in known.told]
    plans = list(still(asked)) if asked and settings.notify_urls else []
    _start(settings, scope.key, beat=None if mute else beat, text=sentence, refused=refused, plans=plans, told=True)
    failed = known.failed
    return f"the last message was not accepted: {failed}" if failed else ""


def _start(settings: Settings, gateway: str, *, told: bool = False, **request: object) -> None:
    try:
        urls = settings.secret("notify_urls") if told else ""
        said = {**request, "urls": urls, "ping_url": settings.secret("ping_url"), "gateway": gateway}
    except SettingError:
        return  # it names a file that is not there: `oc-ops notify test` says so
    notify.start(settings, said, wait=told and SCHEDULED in os.environ)


def _refused(recovery: Mapping[str, Json] | None) -> dict[str, str]:
    """Which incident recovery was refused in this run, and why, by the report's member `recovery`."""
    if recovery is None or recovery.get("outcome") != "refused":
        return {}
    return {str(recovery.get("incident")): str(recovery.get("sentence", ""))}
