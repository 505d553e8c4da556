"""The book of approvals: who planned, approved and broke what, on which evidence, and what came of it."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psutil

from oc_ops.record.journal import Journal, parsed
from oc_ops.record.redact import Json, Redactor

FILE = "approvals.jsonl"

What = Literal["planned", "approved", "refused", "begun", "step", "done"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: `at` in UTC, what happened to which plan, and the rest as it was written."""

    at: datetime
    what: str
    plan: str
    gateway: str
    said: Mapping[str, object]

    def text(self, name: str) -> str:
        """A text of the line; empty when it has none of that name."""
        value = self.said.get(name)
        return value if isinstance(value, str) else ""


class Book:
    """`memory/approvals.jsonl` of one gateway: append-only, on the disk before the next step, secrets left out."""

    def __init__(self, memory_dir: Path, gateway: str, redactor: Redactor) -> None:
        self.journal = Journal(memory_dir / FILE)
        self.gateway = gateway
        self._redactor = redactor

    def write(self, what: What, plan: str, **said: Json) -> None:
        """Add one line; raises JournalError when it is not on the disk."""
        line = {"at": stamp(datetime.now(UTC)), "what": what, "plan": plan, "gateway": self.gateway}
        clean = self._redactor.json(said)
        assert isinstance(clean, Mapping)
        with self.journal.writing() as append:
            append({**line, **clean})

    def entries(self, plan: str | None = None) -> Iterator[Entry]:
        """This gateway's lines in their order, of one plan or of all; what is torn or foreign is passed over."""
        for line in self.journal.lines():
            record = parsed(line)
            if record is None or record.get("gateway") != self.gateway:
                continue
            with suppress(KeyError, ValueError, TypeError):
                at, name = datetime.fromisoformat(str(record["at"])).astimezone(UTC), str(record["plan"])
                if plan in (None, name):
                    yield Entry(at, str(record["what"]), name, self.gateway, record)


def stamp(moment: datetime) -> str:
    """A moment as the book writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def who() -> dict[str, Json]:
    """Who is acting: user, terminal, machine and process."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = f"uid {os.getuid()}"
    tty = None
    with suppress(OSError, ValueError):
        tty = os.ttyname(sys.stdin.fileno())
    host, pid = socket.gethostname(), os.getpid()
    return {"user": user, "tty": tty, "host": host, "pid": pid, "started": psutil.Process(pid).create_time()}


def lives(by: object) -> bool:
    """Whether the process that wrote a line still runs on this machine; a reused pid does not count."""
    if not isinstance(by, Mapping) or by.get("host") != socket.gethostname():
        return False
    pid, started = by.get("pid"), by.get("started")
    if not isinstance(pid, int) or not isinstance(started, (int, float)):
        return False
    with suppress(psutil.Error):
        return abs(psutil.Process(pid).create_time() - started) < 1
    return False
