"""`oc-ops incidents`: what is or was wrong, since when, who takes care of it; and what people have to add."""

from __future__ import annotations

import getpass
import itertools
import json
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from oc_ops.cli.frame import Json, Whole
from oc_ops.errors import OcOpsError
from oc_ops.text import clock

if TYPE_CHECKING:
    from oc_ops.record.incidents.events import What
    from oc_ops.record.incidents.incident import Incident
    from oc_ops.record.journal import Journal

app = typer.Typer(
    cls=Whole,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Incidents: from the first red to the green that held. ID is an id, the unique beginning of one, or `last`: "
    "of the gateway that OC_OPS_TARGET names, else of all.",
)

Id = Annotated[str, typer.Argument(metavar="ID", help="An id, the unique beginning of one, or `last`.")]
Target = Annotated[str | None, typer.Option("--target", metavar="T", help="Of this gateway alone.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who says so; the user's name if not given.")]


@app.command("list", help="List the open incidents, or all of them: since when, what is wrong, what helps.")
def list_incidents(
    everything: Annotated[bool, typer.Option("--all", help="Closed ones too.")] = False,
    target: Target = None,
    as_json: Json = False,
) -> None:
    """Newest last, those of other gateways above; lines of the file that are no events are counted on stderr."""
    from oc_ops.record.incidents import book, text

    now = datetime.now(UTC)
    key = _key(target)
    told = book.read(_book(), None if everything or key else now)
    ours = [each for each in told.incidents.values() if not key or each.gateway.key == key]
    others, mine = _rows((each for each in ours if everything or each.is_open), key)
    shown = (*others, *mine)
    if as_json:
        listed = [text.as_json(each, now) for each in shown]
        for each in listed:
            del each["timeline"]
        print(json.dumps({"incidents": listed, "skipped_lines": told.skipped}))
        return
    for other, group in itertools.groupby(others, lambda one: one.gateway.key):
        found = list(group)
        name = found[0].gateway
        _print([f"another gateway ({other}, profile {name.profile or 'default'}, port {name.port or 'unknown'}):"])
        _print(f"  {line}" for incident in found for line in text.brief(incident, now))
    _print(["this gateway:"] if others and mine else [])
    for incident in mine:
        _print(text.brief(incident, now))
    still = sum(each.is_open for each in ours)
    closed = len(ours) - still if key else len(told.ids) - still
    print(f"{still} open, {closed} closed" + ("" if everything or not closed else " (--all shows them)"))
    _say_skipped(told.skipped)


@app.command(help="Show one incident in full: cause, times, people, timeline, evidence.")
def show(incident: Id, as_json: Json = False) -> None:
    """Clock times are those of who looks, in JSON UTC."""
    from oc_ops.record.incidents import book, text

    told = book.read_one(_book(), _named(incident))
    (found,) = told.incidents.values()
    now = datetime.now(UTC)
    if as_json:
        print(json.dumps(text.as_json(found, now)))
        return
    _print(text.story(found, now))
    _say_skipped(told.skipped)


@app.command(help="Take charge of an incident; others see who did.")
def ack(incident: Id, by: By = None, as_json: Json = False) -> None:
    """Holds until the incident is reopened."""
    _tell(incident, "acknowledged", "acknowledged by {by}", by, as_json)


@app.command(help="Send no messages about an incident for a while; the doctor keeps finding it.")
def mute(
    incident: Id,
    length: Annotated[str | None, typer.Option("--for", metavar="TIME", help="How long: 45m, 2h, 1d12h.")] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="WHEN", help="2026-11-22T18:00, or 18:00; local time.")
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="End it now.")] = False,
    by: By = None,
    as_json: Json = False,
) -> None:
    """Exactly one of --for, --until and --off."""
    if sum((length is not None, until is not None, off)) != 1:
        raise OcOpsError("mute: need one of --for TIME, --until WHEN and --off")
    now = datetime.now(UTC)
    if off:
        _tell(incident, "unmuted", "no longer muted", by, as_json)
        return
    end = now + duration(length) if length is not None else moment(until or "", now)
    _tell(incident, "muted", f"muted until {clock(end)}", by, as_json, until=end)


@app.command(help="Add a note to an incident for the next person; what looks like a secret is left out.")
def note(
    incident: Id,
    text: Annotated[list[str], typer.Argument(metavar="TEXT", help="The words, quoted or not.")],
    by: By = None,
    as_json: Json = False,
) -> None:
    """Also on a closed incident."""
    _tell(incident, "noted", "noted", by, as_json, text=" ".join(text), closed_too=True)


@app.command(help="Close an incident by hand. While it is still red, the next run reopens it: `mute` keeps it quiet.")
def close(
    incident: Id,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")] = "",
    by: By = None,
    as_json: Json = False,
) -> None:
    """Two green runs in a row do the same."""
    _tell(incident, "closed", "closed by {by}", by, as_json, text=reason)


def duration(text: str) -> timedelta:
    """A length of time such as `45m`, `2h` or `1d12h`, at most ten years; anything else raises OcOpsError."""
    parts = re.fullmatch(r"(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,7})m)?(?:(\d{1,9})s)?", text.strip().lower())
    if parts is not None and any(parts.groups()):
        days, hours, minutes, seconds = (int(each or 0) for each in parts.groups())
        length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if timedelta() < length <= timedelta(days=3653):
            return length
    raise OcOpsError(f'--for "{_shown(text)}": need a length of time such as 45m, 2h or 1d12h')


def moment(text: str, now: datetime) -> datetime:
    """A time to come: a date and time, or a time of day, in local time unless it names a zone; else OcOpsError."""
    need = f'--until "{_shown(text)}": need a time to come such as 2026-11-22T18:00 or 18:00'
    try:
        if re.fullmatch(r"\d\d?:\d\d", text):
            hour, minute = map(int, text.split(":"))
            local = now.astimezone().replace(tzinfo=None, hour=hour, minute=minute, second=0, microsecond=0)
            today = local.astimezone(UTC)
            return today if today > now else (local + timedelta(days=1)).astimezone(UTC)
        found = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise OcOpsError(need) from None
    if found <= now:
        raise OcOpsError(need)
    return found


def _tell(
    name: str,
    what: What,
    said: str,
    by: str | None,
    as_json: bool,
    *,
    text: str = "",
    until: datetime | None = None,
    closed_too: bool = False,
) -> None:
    """Add what somebody has to say, and say that it is on record."""
    from oc_ops.record.incidents import book
    from oc_ops.record.incidents import text as incidents_text
    from oc_ops.record.incidents.events import Event
    from oc_ops.record.redact import without_secrets

    if what == "noted" and not text.strip():
        raise OcOpsError("note: need a text")
    now = datetime.now(UTC)
    who = without_secrets(by or _user())
    event = Event("", now, what, by=who, text=without_secrets(text), until=until)
    incident = book.tell(_book(), _named(name), event, closed_too=closed_too)
    if as_json:
        print(json.dumps(incidents_text.as_json(incident, now)))
        return
    _print([f"{incident.id}: {said.format(by=who)}"])
    if what == "closed" and not incident.green_at:
        print("it was still red: a run that finds it again reopens it (`oc-ops incidents mute` keeps it quiet)")


def _rows(found: Iterable[Incident], key: str) -> tuple[tuple[Incident, ...], tuple[Incident, ...]]:
    """The incidents of other gateways, gateway by gateway, and those of this one: open ones last, the newest last.

    `key` is the chosen gateway's, empty where none was chosen. Where none is of this gateway, all are shown alike.
    """
    key = key or _this_gateway()
    rows = sorted(found, key=lambda each: (each.gateway.key, each.is_open, each.turned_at))
    mine = [each for each in rows if each.gateway.key == key]
    if not mine:
        return (), tuple(sorted(rows, key=lambda each: (each.is_open, each.turned_at)))
    return tuple(each for each in rows if each.gateway.key != key), tuple(mine)


def _this_gateway() -> str:
    """The key of the gateway that this command is about; nothing where it cannot be told."""
    from oc_ops import settings
    from oc_ops.gateway import Gateway

    with suppress(OcOpsError):
        return Gateway(settings.load(), dict(os.environ)).key
    return ""


def _book() -> Journal:
    from oc_ops import settings
    from oc_ops.record.incidents import book

    return book.journal(settings.load().memory_dir)


def _key(target: str | None = None) -> str:
    """The key of the gateway that was chosen; empty where none was."""
    from oc_ops import settings
    from oc_ops.observe.target import chosen

    one = chosen(settings.load({"target": target}), os.environ)
    return one.key if one else ""


def _named(name: str) -> str:
    """For `last` the id of the last row of `list`, of `list --all` where nothing is open; any other name as it is."""
    from oc_ops.record.incidents import book

    if name != "last":
        return name
    key = _key()
    for settled_before in (datetime.now(UTC), None):
        told = [each for each in book.read(_book(), settled_before).incidents.values() if key in ("", each.gateway.key)]
        others, mine = _rows((each for each in told if each.is_open or settled_before is None), key)
        if rows := (*others, *mine):
            return rows[-1].id
    return name


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return f"uid {os.getuid()}"


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(_shown(line))


def _shown(text: str) -> str:
    # A log or a person wrote parts of it: nothing in it may act upon the terminal.
    from oc_ops.text import printable

    return printable(text.rstrip(), 4000, breaks=False)


def _say_skipped(skipped: int) -> None:
    if skipped:
        lines = "1 line was" if skipped == 1 else f"{skipped} lines were"
        print(f"incidents.jsonl: {lines} no event and left out (torn by a crash, or foreign)", file=sys.stderr)
