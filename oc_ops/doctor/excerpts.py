"""The lines that a run keeps beside its verdict: what the RPC lane said, and the log around the fault."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from oc_ops.doctor import summary
from oc_ops.doctor.observations import Doctor
from oc_ops.judge.signatures import fired
from oc_ops.observe import logs
from oc_ops.record.run import Evidence

_LOG_LINES = 40
"""Records of the log's end that a failing run keeps."""
_NEIGHBOURS = 5
"""Records before and behind a hit that it keeps as well."""


def kept(doctor: Doctor, *, failed: bool) -> tuple[Evidence, ...]:
    """What the RPC lane had to say; of a failing run also the lines around each hit, and the end of each log."""
    notes = summary.notes(doctor)
    said: tuple[Evidence, ...] = (Evidence("Of the RPC lane", notes),) if notes else ()
    if not failed:
        return said
    said += tuple(_around_hits(doctor))
    return said + tuple(
        Evidence(f"The last {_LOG_LINES} records of {path.name}", tuple(map(_line, logs.tail(path, _LOG_LINES))))
        for path in summary.log_files(doctor)
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
    when = record.time.strftime("%H:%M:%S") if record.time else "--:--:--"
    return f"{when} {record.level:5} {record.source} {record.text}"
