"""Evidence on disk before the first act: a restart destroys what would have told why."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from oc_ops import files
from oc_ops.errors import CouldNotLook, OcOpsError
from oc_ops.gateway import Gateway
from oc_ops.observe import inside, logs
from oc_ops.observe.database import STATE_DATABASE, snapshot
from oc_ops.observe.logs import Record
from oc_ops.record import folder as record_folder
from oc_ops.record import watcher_word
from oc_ops.text import clock

_LOG_RECORDS = 400
_PRINTED = timedelta(hours=1)
"""How far back the output of a container is kept."""
_MOST_BYTES = 256 * 2**20
"""A larger store is not copied while a gateway waits to be recovered."""
_COPY_S = 20.0
_STORES = ("jobs.json", "jobs-state.json")


def keep(folder: Path, gateway: Gateway, report: Path | None) -> dict[str, str]:
    """Gather what there is; each piece's file within `folder`, or why there is none.

    Raises OcOpsError when the folder cannot be written: nothing is restarted without evidence. Texts are redacted; the
    store is OpenClaw's own, copied as it is (0600).
    """
    try:
        files.own_folder(folder)
    except OSError as error:
        raise OcOpsError(f"{folder} cannot hold the evidence: {error.strerror}") from error
    pieces: dict[str, Callable[[], str]] = {
        "report": lambda: _report(folder, report),
        "log": lambda: _log(folder, gateway),
        "store": lambda: _store(folder, gateway),
        "watcher": lambda: _watcher(folder, gateway),
        "stability": lambda: _stability(folder, gateway.target.state_dir),
    }
    kept: dict[str, str] = {}
    for name, gather in pieces.items():
        try:
            kept[name] = gather()
        except (CouldNotLook, OSError) as error:
            if name in ("report", "log") and isinstance(error, OSError):
                raise OcOpsError(f"{folder} cannot hold the evidence: {error.strerror}") from error
            kept[name] = f"none: {error}"
    return kept


def _report(folder: Path, run: Path | None) -> str:
    """A copy of the run's report.json, which pruning does not reach here."""
    try:
        data = files.read_bytes(run / record_folder.REPORT_JSON, files.DATA_BYTES) if run else None
    except FileNotFoundError:
        data = None
    if data is None:
        return "none: the run has written no report yet"
    record_folder.write(folder / record_folder.REPORT_JSON, data)
    return record_folder.REPORT_JSON


def _log(folder: Path, gateway: Gateway) -> str:
    """The end of every log file of the gateway."""
    lines: list[str] = []
    if (there := gateway.target.container) is not None:
        printed = inside.output(there, datetime.now(UTC) - _PRINTED)
        lines = [f"== {there.summary}", *(_line(each) for each in printed)][-_LOG_RECORDS:]
    for path in () if there else logs.files(gateway.target, gateway.config, datetime.now()):
        lines.append(f"== {path}")
        lines += [_line(each) for each in logs.tail(path, _LOG_RECORDS)]
    if not lines:
        return "none: no log file was found"
    record_folder.write(folder / "log.txt", "".join(f"{gateway.redactor.line(each, 4000)}\n" for each in lines))
    return "log.txt"


def _line(record: Record) -> str:
    when = clock(record.time) if record.time else "-"
    return f"{when} {record.level:5} {record.source} {record.text}"


def _store(folder: Path, gateway: Gateway) -> str:
    """The cron store: SQLite as one moment of it, the JSON files of older releases as they lie."""
    database = gateway.target.state_dir / STATE_DATABASE
    if database.is_file():
        return _database(folder, database)
    jobs = (gateway.config.cron_store or gateway.target.state_dir / "cron" / _STORES[0]).parent
    found = [each for each in (jobs / name for name in _STORES) if each.is_file()]
    for each in found:
        record_folder.write(folder / each.name, files.read_bytes(each, files.DATA_BYTES))
    return ", ".join(each.name for each in found) or "none: there is no cron store"


def _database(folder: Path, database: Path) -> str:
    size = database.stat().st_size
    if size > _MOST_BYTES:
        return f"none: {database.name} is {size / 2**20:.0f} MiB large"
    copy = folder / "store.sqlite"
    copy.unlink(missing_ok=True)
    try:
        with snapshot(database, _COPY_S) as tables:
            tables.save(copy)
        return copy.name
    except CouldNotLook:
        # A log nobody holds is not read without its index: the files as they lie tell the same.
        copy.unlink(missing_ok=True)
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                _copy(database.with_name(database.name + suffix), copy.with_name(copy.name + suffix))
        return f"{copy.name} and its log, as they lay"


def _watcher(folder: Path, gateway: Gateway) -> str:
    """The cockpit's last state snapshot: what went before, as it was seen. Kept, never gone by."""
    try:
        data = files.read_bytes(watcher_word.path_of(gateway.settings.memory_dir, gateway.target.key), files.DATA_BYTES)
    except FileNotFoundError:
        return "none: no watcher has written anything"
    record_folder.write(folder / "state.json", data)
    return "state.json"


def _stability(folder: Path, state_dir: Path) -> str:
    """OpenClaw's newest stability bundle: counts and sizes, no chat text (its documentation)."""
    found = sorted((state_dir / "logs" / "stability").glob("*.json"), key=lambda each: each.stat().st_mtime)
    if not found:
        return "none: OpenClaw has left no stability bundle"
    _copy(found[-1], folder / "stability.json")
    return "stability.json"


def _copy(source: Path, copy: Path) -> None:
    os.close(os.open(copy, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600))
    shutil.copyfile(source, copy)
