"""The last words of a gateway that is down: what it said in its last start, where it logs, and when."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from oc_ops import files
from oc_ops.observe import logs
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.logs import Record, journal
from oc_ops.observe.service import Service
from oc_ops.observe.target import Target
from oc_ops.process.jsontext import text_at

_BEGINNING = re.compile(r"loading configuration")
"""How a start begins in the log (2026.9.6); what stands before it is of another start."""
_STOPPED = re.compile(r"received SIG(?:TERM|INT)|completed cleanly|closed: stop \(")
_SAID = ("ERROR", "FATAL", "WARN")
_OF_A_START = re.compile(
    r"Gateway (?:failed to start|start blocked|requires|refused)|Refusing to |Port \d+ is already|FATAL|Startup failed"
    r"|Invalid config at|Cannot find (?:module|package)|[Uu]nsupported Node|.*requires Node"
)
"""What a start prints under the bare name that a command's own lines have too: only these are a gateway's."""
_RECORDS, _MOST, _LONGEST = 300, 4, 300
_ONE_START = timedelta(minutes=10)
"""Words that lie further before the last one are of an earlier day."""


@dataclass(frozen=True, slots=True)
class LastWords:
    """What it complained of before its end, oldest first, with the place they stand in; `stopped` when it was told to.

    `at` is the time of the last of them; `changed` says that config, .env or command were written after that, so that
    they may not hold any more.
    """

    at: datetime
    said: tuple[str, ...]
    source: str
    stopped: bool = False
    changed: bool = False

    @property
    def text(self) -> str:
        """All of them, for patterns to match."""
        return "\n".join(self.said)


def look(
    target: Target, config: GatewayConfig, service: Service, command: Path | None, now: datetime
) -> LastWords | None:
    """The newest last words of log files, journal, supervisor's output and stability bundle; None where none are left.

    Takes milliseconds, and up to 5 s where the journal has to be asked.
    """
    found = [each for each in (_of_files(target, config, now), _of_bundle(target)) if each]
    if service.manager == "systemd" and (spoken := _of_journal(service, target, now)):
        found.append(spoken)
    newest = max(found, key=lambda each: each.at, default=None)
    if newest is None or newest.at > now + timedelta(minutes=1):
        return None
    rests_on = (config.path, target.state_dir / ".env", *((command.resolve(),) if command else ()))
    return replace(newest, changed=any(_written(each) > newest.at.timestamp() + 1 for each in rests_on))


def _of_files(target: Target, config: GatewayConfig, now: datetime) -> LastWords | None:
    today = now.astimezone().replace(tzinfo=None)  # the gateway names its files by the local date
    found = [(path, logs.tail(path, _RECORDS)) for path in logs.files(target, config, today)]
    told = [each for path, records in found if (each := of_records(records, str(path)))]
    return max(told, key=lambda each: each.at, default=None)


def of_records(records: Sequence[Record], source: str) -> LastWords | None:
    """The complaints of the last start among these; None when nothing with a time is there."""
    own = [each for each in records if each.time and (each.source != "openclaw" or _OF_A_START.match(each.text))]
    if not own or (at := own[-1].time) is None:
        return None
    begun = max((number for number, each in enumerate(own) if _BEGINNING.match(each.text)), default=0)
    last = [each for each in own[begun:] if each.time and at - each.time < _ONE_START]
    stopped = any(_STOPPED.search(each.text) for each in last[-6:])
    said = [_line(each) for each in last if each.level in _SAID]
    failed = any(_OF_A_START.match(each.text) for each in last)
    return LastWords(at, tuple(said[-_MOST:]), source, stopped and not failed)


def _line(record: Record) -> str:
    return " ".join(record.text.split())[:_LONGEST]


def _of_bundle(target: Target) -> LastWords | None:
    """The newest stability bundle, which OpenClaw leaves when a start fails or it ends by a fault."""
    newest = max((target.state_dir / "logs" / "stability").glob("*.json"), key=_written, default=None)
    if newest is None:
        return None
    try:
        value = json.loads(files.read_text(newest, files.DATA_BYTES))
        at = datetime.fromisoformat(text_at(value, "generatedAt").replace("Z", "+00:00"))
    except (OSError, ValueError, RecursionError):
        return None
    words = f"{text_at(value, 'reason')}: {text_at(value, 'error', 'message')}"
    return LastWords(at.astimezone(UTC), (" ".join(words.split())[:_LONGEST],), str(newest))


def _of_journal(service: Service, target: Target, now: datetime) -> LastWords | None:
    if service.scope != "user":
        return None
    found = journal.tail(service.unit, target, _RECORDS, since=now - timedelta(days=1))
    return of_records(found, f"the journal of {service.unit}") if found else None


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
