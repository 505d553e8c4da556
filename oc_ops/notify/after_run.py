"""Send notifications and beats for a run, in a process of their own, which no run waits for and none depends on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from oc_ops.errors import SettingError
from oc_ops.notify import news
from oc_ops.record.run import RunRecord
from oc_ops.settings import SCHEDULED, Settings, for_a_child, start_folder

if TYPE_CHECKING:
    from oc_ops.record.redact import Json

Still = Callable[[Sequence[str]], Iterable[str]]
"""Which of these plans of the breaker still mean what they meant: it takes a look at the gateway."""


def of_the_start(settings: Settings, gateway: str) -> None:
    """Send one beat to the dead-man service: a run of the whole doctor begins."""
    _send(settings, gateway, beat="start")


def people(record: RunRecord, settings: Settings, sentence: str, still: Still = lambda _plans: ()) -> str:
    """Send what people do not know yet, and one beat: it ended well, or it did not. Returns why it cannot, or why
    the last time failed.

    `still` says which of the breaker's plans are worth an approval now. The lab's troubles are not sent. An interrupted
    run and a part of the doctor send no beat: its absence says it.
    """
    scope = record.scope
    if scope.lab:
        return ""
    beat = "ok" if record.verdict in ("healthy", "degraded") else "fail"
    mute = scope.left_out or scope.interrupted
    refused = _refused(record.recovery)
    known = news.read(settings.memory_dir)
    asked = [each.plan for each in news.asked(settings.memory_dir, datetime.now(UTC)) if each.plan not in known.told]
    plans = list(still(asked)) if asked and settings.notify_urls else []
    trouble = _send(
        settings, scope.key, beat=None if mute else beat, text=sentence, refused=refused, plans=plans, told=True
    )
    if trouble:
        return f"no message can be sent: {trouble}"
    failed = known.failed
    return f"the last message was not accepted: {failed}" if failed else ""


def _send(settings: Settings, gateway: str, *, told: bool = False, **request: object) -> str:
    """Start the delivery; returns why it cannot be: a setting names a file that cannot be read."""
    try:
        urls = settings.secret("notify_urls") if told else ""
        said = {**request, "urls": urls, "ping_url": settings.secret("ping_url"), "gateway": gateway}
    except SettingError as error:
        return str(error)
    start_delivery(settings, said, wait=told and SCHEDULED in os.environ)
    return ""


def _refused(recovery: Mapping[str, Json] | None) -> dict[str, str]:
    """Which incident recovery was refused in this run, and why, by the report's member `recovery`."""
    if recovery is None or recovery.get("outcome") != "refused":
        return {}
    return {str(recovery.get("incident")): str(recovery.get("sentence", ""))}


_STARTED: list[subprocess.Popen[bytes]] = []
"""Kept, so that none is collected, and warned of, while it is still delivering."""


def start_delivery(settings: Settings, request: Mapping[str, object], *, wait: bool = False) -> None:
    """Have `request` (see deliver.Request) carried out by a process of its own; that it cannot costs nobody anything.

    It ends itself after `notify_s` seconds. Waits for it only when asked to: a scheduler may end what a run leaves
    behind.
    """
    limits = {
        "memory_dir": str(settings.memory_dir),
        "again_s": settings.notify_again_s,
        "deadline_s": settings.notify_s,
    }
    said = json.dumps({**limits, **request}).encode()
    with suppress(OSError, subprocess.TimeoutExpired):
        # Addresses are secrets: by a pipe, since everybody may read a command line.
        child = subprocess.Popen(
            [sys.executable, "-m", "oc_ops.notify.deliver"],
            cwd=start_folder(),
            env={name: value for name, value in for_a_child(os.environ).items() if name != "OC_OPS_CALL"},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        _STARTED.append(child)
        assert child.stdin is not None
        with child.stdin as pipe:
            pipe.write(said)
        if wait:
            child.wait(settings.notify_s + 1.0)
