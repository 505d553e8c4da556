"""`oc-ops logs`: the whole signature catalogue over any log file."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from msgspec import Struct

from oc_ops.cli.frame import Json, Whole, show_table
from oc_ops.errors import OcOpsError
from oc_ops.text import clock, utc

if TYPE_CHECKING:
    from oc_ops.judge.signature_catalogue import Signature
    from oc_ops.observe.logs import Record
    from oc_ops.observe.logs.scan import Hit

app = typer.Typer(cls=Whole, no_args_is_help=True, rich_markup_mode=None, help="What the gateway's log files tell.")

_EXCERPT_CHARS = 200


@app.callback()
def logs() -> None:
    """Print what the gateway's log files tell."""


@app.command(help="Scan whole log files for every known signature; no time window, no threshold.")
def scan(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Log files, also gzip; - is standard input.")],
    as_json: Json = False,
) -> None:
    """Only what the gateway itself wrote counts. Raises OcOpsError for a file that cannot be read."""
    tally = scanned(files)
    if as_json:
        print(json.dumps(tally.document()))
    else:
        _print_table(tally)


class Fired(Struct):
    """One signature's records: how many, when, and the newest one's text."""

    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    excerpt: str = ""

    def add(self, record: Record) -> None:
        """Count one more."""
        self.count += 1
        if record.time is None or self.last is None or record.time >= self.last:
            self.excerpt = record.text
        if record.time is not None:
            self.first = min(self.first or record.time, record.time)
            self.last = max(self.last or record.time, record.time)


class Tally(Struct):
    """The counts of a scan, over all files."""

    fired: dict[str, Fired] = {}
    lines: int = 0
    bytes: int = 0
    own: int = 0

    def document(self) -> dict[str, object]:
        """The scan as JSON: times in UTC, None where no record had one."""
        rows = [
            {"id": name, "count": each.count, "first": _utc(each.first), "last": _utc(each.last), "excerpt": excerpt}
            for name, each, excerpt in self._rows()
        ]
        return {"signatures": rows, "lines": self.lines, "bytes": self.bytes}

    def _rows(self) -> Iterator[tuple[str, Fired, str]]:
        from oc_ops.record.redact import Redactor

        redactor = Redactor(_secrets(), Path.home())
        for name, each in self.fired.items():
            yield name, each, redactor.line(each.excerpt, _EXCERPT_CHARS)

    def add(self, hit: Hit, file: Path, signatures: Sequence[Signature]) -> None:
        """Judge one line: it counts once, for the first signature that matches it."""
        from oc_ops.observe.logs.records import read

        record, writer = read(hit.line, file, hit.offset)
        if record is None:
            return
        claimed = (signatures[number] for number in hit.needles)
        name = next((each.id for each in claimed if each.pattern.search(record.text)), None)
        if name is not None and writer != "gateway":
            self.own += 1
        elif name is not None:
            self.fired.setdefault(name, Fired()).add(record)


def scanned(files: Sequence[str]) -> Tally:
    """Run the shipped and the operator's own signatures over files; raises OcOpsError for one that cannot be read."""
    from oc_ops import settings
    from oc_ops.judge.signature_catalogue import load
    from oc_ops.observe.logs import Needle, raw_shape
    from oc_ops.observe.logs.scan import Scan, finder

    signatures = load(settings.load())
    needles = [Needle(each.id, each.literals, raw_shape(each.expression)) for each in signatures]
    tally = Tally()
    for name in files:
        with _opened(name) as stream:
            one = Scan(stream, needles, finder(needles, _size(name)))
            for hit in one.hits(torn=True):
                tally.add(hit, Path(name), signatures)
        tally.lines += one.lines + bool(one.torn)
        tally.bytes += one.bytes
    order = {each.id: number for number, each in enumerate(signatures)}
    tally.fired = dict(sorted(tally.fired.items(), key=lambda each: order[each[0]]))
    return tally


def _size(name: str) -> int | None:
    path = Path(name)
    return path.stat().st_size if name != "-" and path.is_file() and path.suffix != ".gz" else None


@contextmanager
def _opened(name: str) -> Iterator[io.RawIOBase | io.BufferedIOBase]:
    """The bytes of a file, unpacked if need be; whatever keeps them from being read is one sentence."""
    try:
        if name == "-":
            yield cast("io.BufferedIOBase", sys.stdin.buffer)
            return
        with Path(name).open("rb", buffering=0) as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not packed:
                yield file
                return
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield unpacked
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise OcOpsError(f"cannot read {name}: {reason}") from error


def _secrets() -> Iterator[str]:
    """Those of this account's gateway and environment: whose log it is cannot be known."""
    from oc_ops.observe import config
    from oc_ops.observe.target import locate
    from oc_ops.secrecy import secrets_in

    yield from secrets_in(os.environ)
    with suppress(OcOpsError):
        yield from config.read(locate(os.environ)).secrets


def _utc(time: datetime | None) -> str | None:
    return utc(time) if time else None


def _print_table(tally: Tally) -> None:
    if tally.fired:
        rows = [
            (name, str(each.count), *(clock(at) if at else "-" for at in (each.first, each.last)), excerpt)
            for name, each, excerpt in tally._rows()
        ]
        show_table(("signature", "count", "first", "last", "newest line"), rows)
    own = f", {tally.own} records of CLI calls not counted" if tally.own else ""
    found = f"{len(tally.fired)} signature{'s' * (len(tally.fired) != 1)}" if tally.fired else "no known signature"
    print(f"{found} in {tally.lines:,} lines, {tally.bytes:,} bytes{own}")
