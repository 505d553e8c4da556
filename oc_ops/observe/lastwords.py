"""The last words of a gateway that is down: what it said in its last start, where it logs, and when."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from msgspec import Struct
from msgspec.structs import replace

from oc_ops import files
from oc_ops.errors import CouldNotLook
from oc_ops.observe import logs
from oc_ops.observe.config import GatewayConfig
from oc_ops.observe.container import Container
from oc_ops.observe.gatewaylocks import same_place
from oc_ops.observe.logs import Record, journal, parse
from oc_ops.observe.logs.records import moment
from oc_ops.observe.logs.sharers import log_sharers
from oc_ops.observe.service import Service
from oc_ops.observe.target import Target
from oc_ops.process.jsontext import text_at
from oc_ops.text import regex, utc

_BEGINNING = regex(r"loading configuration")
"""How a start begins in the log (2026.9.6); what stands before it is of another start."""
_STOPPED = regex(r"received SIG(?:TERM|INT)|completed cleanly|closed: stop \(")
_SAID = ("ERROR", "FATAL", "WARN")
_OF_A_START = regex(
    r"Gateway (?:failed to start|start blocked|requires|refused)|Refusing to |Port \d+ is already|FATAL|Startup failed"
    r"|Invalid config at|Cannot find (?:module|package)|[Uu]nsupported Node|.*requires Node"
    r"|openclaw: (?:Node |missing |package |this Bun )"
)
"""Lines that a start prints under the bare name that a command's own lines have too: only these are a gateway's."""
_PRINTED = regex(r"\s*(?:(?P<stamp>\d{4}-\d\d-\d\dT\S+)\s+)?(?:\[(?P<source>[a-z][\w/.-]*)\]\s+)?(?P<text>.*)", re.S)
"""A line of the gateway's console: `STAMP [gateway] words` or `STAMP words`, and no level (2026.9.6)."""
_LOUD = regex(r"^\w*(?:Error|Exception)\b|^Reason: |\b(?:fatal|failed|cannot|unhandled|uncaught|out of memory)\b", re.I)
_ADDRESS = regex(r"bind=\w+ requested (\S+) but resolved|EADDRNOTAVAIL: address not available ([\da-f.:]+):\d+")
_BUNDLE = regex(r"wrote stability bundle: (/.+)/logs/stability/[^/]+$")
"""A line of 2026.9.6 when a start fails or it ends by a fault."""
_RECORDS, _MOST, _LONGEST = 300, 4, 300
_RUNTIME_S = 5.0
_ONE_START = timedelta(minutes=10)
"""Words that lie further before the last one are of an earlier day."""


class LastWords(Struct, frozen=True):
    """Complaints before its end, oldest first, with the place they stand in; `stopped` when it was told to.

    `at` is the time of the last of them; `changed` says that config, .env or command were written after that, so that
    they may not hold any more.
    """

    at: datetime
    said: tuple[str, ...]
    source: str
    stopped: bool = False
    changed: bool = False
    homeless: str = ""
    """The address that it was to listen on and that no interface of this machine has now."""
    begun: datetime | None = None
    """When the first of its lines was written that is known of that life."""

    @property
    def text(self) -> str:
        """All of them, for patterns to match."""
        return "\n".join(self.said)


def look(
    target: Target, config: GatewayConfig, service: Service, command: Path | None, now: datetime
) -> LastWords | None:
    """The newest last words of log files, journal, supervisor's output and stability bundle; None where none are left.

    Takes milliseconds, and up to 5 s where the journal or a container's runtime has to be asked.
    """
    if target.container is not None:
        spoken = [of_container(target.container)]
    else:
        spoken = [_of_files(target, config, now), _of_bundle(target)]
        spoken += [_of_output(each) for each in service.outputs]
        spoken += [_of_journal(service, target, now)] if service.manager == "systemd" else []
    found = [each for each in spoken if each]
    newest = max(found, key=lambda each: each.at, default=None)
    if newest is None or newest.at > now + timedelta(minutes=1):
        return None
    rests_on = (config.path, target.state_dir / ".env", *((command.resolve(),) if command else ()))
    changed = any(files.modified_s(each) > newest.at.timestamp() + 1 for each in rests_on)
    return replace(newest, changed=changed, homeless="" if target.container else _homeless(newest.text))


def _homeless(words: str) -> str:
    """The address in these words that no interface has: it may have come back since."""
    found = _ADDRESS.search(words)
    address = next(filter(None, found.groups()), "") if found else ""
    here = {each.address.partition("%")[0] for those in psutil.net_if_addrs().values() for each in those}
    return address if address not in here else ""


def _of_files(target: Target, config: GatewayConfig, now: datetime) -> LastWords | None:
    today = now.astimezone().replace(tzinfo=None)  # the gateway names its files by the local date
    paths = logs.files(target, config, today)
    shared = log_sharers(target, paths, today)  # its last words may be another gateway's
    found = [(path, logs.tail(path, _RECORDS)) for path in paths if path not in shared]
    found = [(path, records) for path, records in found if not _is_of_another(records, target)]
    told = [each for path, records in found if (each := _of_file(records, path))]
    return max(told, key=lambda each: each.at, default=None)


def _is_of_another(records: Sequence[Record], target: Target) -> bool:
    """True if the last failure in a log left its bundle in another state directory: it is another gateway's."""
    for each in reversed(records):
        if told := _BUNDLE.search(each.text):
            return not same_place(Path(told[1]), target.state_dir)
    return False


def _of_file(records: Sequence[Record], path: Path) -> LastWords | None:
    """A log, or a file of what the gateway printed, such as launchd's."""
    printed = not any(each.level for each in records)
    return of_output(records, str(path), _time_of(path)) if printed else of_records(records, str(path))


def of_records(records: Sequence[Record], source: str) -> LastWords | None:
    """The complaints of the last start among these; None when nothing with a time is there."""
    own = [each for each in records if each.time and (each.source != "openclaw" or _OF_A_START.match(each.text))]
    if not own or (at := own[-1].time) is None:
        return None
    begun = max((number for number, each in enumerate(own) if _BEGINNING.match(each.text)), default=0)
    last = [each for each in own[begun:] if each.time and at - each.time < _ONE_START]
    stopped = any(_STOPPED.search(each.text) for each in last[-6:])
    said = dict.fromkeys(_line(each) for each in last if each.level in _SAID)
    failed = any(_OF_A_START.match(each.text) for each in last)
    return LastWords(at, tuple(said)[-_MOST:], source, stopped and not failed, begun=own[begun].time)


def _line(record: Record) -> str:
    return " ".join(record.text.split())[:_LONGEST]


def _of_bundle(target: Target) -> LastWords | None:
    """The newest stability bundle, which OpenClaw leaves when a start fails or it ends by a fault."""
    newest = max((target.state_dir / "logs" / "stability").glob("*.json"), key=files.modified_s, default=None)
    if newest is None:
        return None
    try:
        value = files.json_of(files.read_text(newest, files.DATA_BYTES))
        at = datetime.fromisoformat(text_at(value, "generatedAt").replace("Z", "+00:00"))
    except (OSError, ValueError):
        return None
    words = f"{text_at(value, 'reason')}: {text_at(value, 'error', 'message')}"
    return LastWords(at.astimezone(UTC), (" ".join(words.split())[:_LONGEST],), str(newest))


def _of_journal(service: Service, target: Target, now: datetime) -> LastWords | None:
    since = now - timedelta(days=1)
    found = journal.tail(service.unit, target, _RECORDS, since, system=service.scope == "system")
    return of_output(found, f"the journal of {service.unit}")


def _of_output(path: Path) -> LastWords | None:
    """Records at the end of a file that launchd or systemd has the gateway write to."""
    return of_output(logs.tail(path, _RECORDS), str(path), _time_of(path))


def of_container(there: Container) -> LastWords | None:
    """Output of the life that ended last, as its runtime kept it: that before this one where it was restarted.

    Nothing of one that lives its first life, or was never begun.
    """
    ended = there.state in ("exited", "dead", "restarting")
    if there.started_at is None or not (ended or (there.state == "running" and there.restarts)):
        return None
    since = ("--since", utc(there.started_at)) if ended else ()
    words = ("logs", "--timestamps", "--tail", str(_RECORDS), *since, there.id or there.name)
    try:
        call = there.ask(*words, deadline_s=_RUNTIME_S)
    except CouldNotLook:
        return None
    if call.outcome != "answered":
        return None
    place, until = Path(there.place), None if ended else there.started_at
    told = [record for each in (call.stdout, call.stderr) for record in _stamped(each.text, place)]
    told = [each for each in told if until is None or (each.time and each.time < until)]
    return of_output(sorted(told, key=lambda each: each.sorts_at), f"the log of container {there.name}")


def _stamped(text: str, place: Path) -> Iterator[Record]:
    """The lines of a container's log, each behind the runtime's own stamp."""
    for line in text.splitlines():
        stamp, _, rest = line.partition(" ")
        if (time := moment(stamp)) and (record := parse(rest.encode(), place)):
            yield replace(record, time=time)


def of_output(records: Sequence[Record], source: str, written: datetime | None = None) -> LastWords | None:
    """The same of what a gateway printed, where no level stands: a line without a time has that of the one before.

    `written` is when the last of it was written, which is the time of what stands below the last stamp: Node's own
    crash has none.
    """
    found: list[Record] = []
    stamped = max((number for number, each in enumerate(records) if each.time), default=-1)
    for number, each in enumerate(records):
        said = _PRINTED.match(each.text)
        text = said["text"] if said else each.text
        earlier = found[-1].time if found else None
        known = each.time or (written if number > stamped else None) or earlier
        loud = "ERROR" if _OF_A_START.match(text) or _LOUD.search(text) else each.level
        level = each.level if each.level in _SAID else loud
        name = (said["source"] if said else None) or each.source
        found.append(replace(each, time=known, text=text, level=level, source="" if name == "openclaw" else name))
    return of_records(found, source)


def _time_of(path: Path) -> datetime:
    return datetime.fromtimestamp(files.modified_s(path), UTC)
