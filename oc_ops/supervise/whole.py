"""The snapshot as a whole, put together from what each room knows now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from oc_ops.observe import install
from oc_ops.supervise import state

if TYPE_CHECKING:
    from oc_ops.supervise.loop import Loop


def whole(loop: Loop, number: int) -> state.Snapshot:
    """Everything as it is known now."""
    events, idle = loop.line.talks, not loop.port.answers
    words = "" if events else loop.work.words(idle)
    version = loop.port.gateway.version
    if not version and install.release(loop.line.version):  # 2026.2.26 calls itself "dev", which is no release
        version = loop.clean(loop.line.version)
    return state.Snapshot(
        key=loop.key,
        profile=loop.target.profile or "",
        state_dir=loop.clean(str(loop.target.state_dir)),
        number=number,
        watcher=replace(loop.me, mode="events" if events else "polling", words=words),
        gateway=replace(loop.port.gateway, version=version),
        rpc=loop.line.state,
        event_loop=loop.port.event_loop,
        memory=loop.resident.memory,
        scheduler=loop.work.scheduler,
        doctor=loop.papers.doctor,
        jobs=loop.work.jobs,
        browser=loop.browsing.browser,
        service=loop.port.service,
        digest=loop.work.digest,
        incidents=loop.papers.incidents,
        log=loop.follow.log,
    )
