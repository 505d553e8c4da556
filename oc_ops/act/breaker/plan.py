"""A plan to break something, what approves it, and the book of both."""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import socket
import sys
import termios
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, cast, get_args

import psutil
from msgspec import Struct

from oc_ops.act.agent import inside
from oc_ops.act.breaker import seal
from oc_ops.act.breaker.scan import Blocker, Kind, Refused
from oc_ops.errors import OcOpsError
from oc_ops.record.journal import Journal, parsed
from oc_ops.record.redact import Json, Redactor
from oc_ops.text import clock, clock_trouble, one_line, utc

PROMPT = "type its exact name to break it (anything else leaves it alone): "


def on_a_terminal() -> bool:
    """True if a person sits there: reads what is printed and types what is read."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def typed(name: str) -> None:
    """Ask for the name; raises Refused for another one, for the end of input, and for Ctrl-C.

    What was typed before the evidence stood there does not count.
    """
    if not on_a_terminal():
        raise Refused("no terminal to read the evidence on: run `oc-ops breaker show`, then break --approve")
    sys.stdout.flush()
    with contextlib.suppress(termios.error, OSError):
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    try:
        answer = input(PROMPT)
    except EOFError:
        raise Refused("not approved: the input ended") from None
    except KeyboardInterrupt:
        raise Refused("not approved: interrupted") from None
    if answer != name:
        raise Refused("not approved: that is not its name")


FILE = "approvals.jsonl"

What = Literal["planned", "approved", "refused", "begun", "step", "done"]


class ApprovalEntry(Struct, frozen=True):
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


class ApprovalBook:
    """`memory/approvals.jsonl` of one gateway: append-only, on the disk before the next step, secrets left out."""

    def __init__(self, memory_dir: Path, gateway: str, redactor: Redactor) -> None:
        self.journal = Journal(memory_dir / FILE)
        self.gateway = gateway
        self._redactor = redactor

    def write(self, what: What, plan: str, **said: Json) -> None:
        """Add one line, a plan with its seal; raises JournalError when it is not on the disk, OcOpsError for no key."""
        line: dict[str, Json] = {"at": stamp(datetime.now(UTC)), "what": what, "plan": plan, "gateway": self.gateway}
        clean = self._redactor.json(said)
        assert isinstance(clean, Mapping)
        line |= clean
        with self.journal.writing() as append:
            append({**line, "seal": seal.seal(_sealed(line))} if what == "planned" else line)

    def entries(self, plan: str | None = None) -> Iterator[ApprovalEntry]:
        """This gateway's lines in their order, of one plan or of all; what is torn or foreign is passed over."""
        for line in self.journal.lines():
            record = parsed(line)
            if record is None or record.get("gateway") != self.gateway:
                continue
            with suppress(KeyError, ValueError, TypeError):
                at, name = datetime.fromisoformat(str(record["at"])).astimezone(UTC), str(record["plan"])
                if plan in (None, name):
                    yield ApprovalEntry(at, str(record["what"]), name, self.gateway, record)


def stamp(moment: datetime) -> str:
    """A moment as the book writes it."""
    return utc(moment, "microseconds")


def who() -> dict[str, Json]:
    """Describe the caller: user, terminal (at any end of it), agent, machine and process."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = f"uid {os.getuid()}"
    tty = None
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            tty = tty or os.ttyname(stream.fileno())
    host, pid = socket.gethostname(), os.getpid()
    agent = inside(os.environ) or None
    return {
        "user": user,
        "tty": tty,
        "agent": agent,
        "host": host,
        "pid": pid,
        "started": psutil.Process(pid).create_time(),
    }


def lives(by: object) -> bool:
    """True if the process that wrote a line still runs on this machine; a reused pid does not count."""
    if not isinstance(by, Mapping) or by.get("host") != socket.gethostname():
        return False
    pid, started = by.get("pid"), by.get("started")
    if not isinstance(pid, int) or not isinstance(started, (int, float)):
        return False
    with suppress(psutil.Error):
        return abs(psutil.Process(pid).create_time() - started) < 1
    return False


class BreakPlan(Struct, frozen=True):
    """A plan to approve: `digest` is the evidence it is bound to, `expires_at` when it is void."""

    id: str
    kind: Kind
    target: str
    name: str
    digest: str
    made_at: datetime
    expires_at: datetime


def make(mutex: Blocker, book: ApprovalBook, life_s: float) -> BreakPlan:
    """Write a plan into the book and return it; raises Refused for what must not be broken."""
    now = datetime.now(UTC)
    if wrong := mutex.refused or clock_trouble(now.timestamp()):
        raise Refused(one_line(f"{mutex.id} is left alone: {wrong}", 1000))
    plan = BreakPlan(
        f"{mutex.digest[:8]}-{secrets.token_hex(3)}", mutex.kind, mutex.id, mutex.name, mutex.digest, now,
        now + timedelta(seconds=life_s),
    )  # fmt: skip
    book.write(
        "planned", plan.id, kind=plan.kind, target=plan.target, name=plan.name, fact=mutex.fact, act=mutex.act,
        evidence=mutex.evidence, digest=plan.digest, expires_at=stamp(plan.expires_at), by=who(),
    )  # fmt: skip
    return plan


def recall(plan_id: str, book: ApprovalBook, life_s: float) -> BreakPlan:
    """The plan of that id, void after `life_s` whatever it says; raises Refused for none, or one we did not make."""
    for entry in book.entries(plan_id):
        if entry.what == "planned" and (plan := _read(entry, life_s)):
            if not seal.holds(_sealed(entry.said), entry.text("seal")):
                raise Refused(f"plan {plan.id} was not made by this installation: `oc-ops breaker show` makes one")
            return plan
    raise Refused(f"no plan {one_line(plan_id, 60)} for this gateway: `oc-ops breaker show` makes one")


def check(plan: BreakPlan, mutex: Blocker | None, book: ApprovalBook) -> Blocker:
    """The mutex as it is now, if the plan still means exactly it; raises Refused for a plan that is void."""
    now = datetime.now(UTC)
    again = f"look again: oc-ops breaker show {plan.target}"
    if wrong := clock_trouble(now.timestamp()):
        raise Refused(f"plan {plan.id} cannot be approved: {wrong}")
    if not plan.made_at - timedelta(seconds=1) <= now < plan.expires_at:
        raise Refused(one_line(f"plan {plan.id} expired at {clock(plan.expires_at, 'time')}: {again}", 1000))
    if used := next((each for each in book.entries(plan.id) if each.what == "begun"), None):
        raise Refused(f"plan {plan.id} was carried out at {clock(used.at)} already: a plan counts once")
    if mutex is None:
        raise Refused(one_line(f"nothing to break any more: {plan.target} is gone", 1000))
    if mutex.refused:
        raise Refused(one_line(f"{plan.target} is left alone: {mutex.refused}", 1000))
    if mutex.digest != plan.digest:
        raise Refused(one_line(f"plan {plan.id} is void: its evidence changed since; {again}", 1000))
    return mutex


def still_asked(
    ids: Iterable[str], book: ApprovalBook, life_s: float, now: Callable[[], Sequence[Blocker]]
) -> list[str]:
    """Those of the plans that still count: unused, not expired, and what they would break is as stuck as it was.

    `now` looks afresh, once, and only where a plan is worth it. One that could not be looked at does not count.
    """
    found, seen = [], None
    for each in ids:
        with suppress(OcOpsError):
            plan = recall(each, book, life_s)
            seen = now() if seen is None else seen
            # By its evidence too: the book holds no name that has a secret in it.
            check(plan, next((one for one in seen if plan.target == one.id or plan.digest == one.digest), None), book)
            found.append(each)
    return found


def _sealed(line: Mapping[str, object]) -> Mapping[str, object]:
    """The text that a plan's seal covers: all that decides what is broken, where, by what evidence, and until when."""
    names = ("at", "plan", "gateway", "kind", "target", "name", "act", "digest", "expires_at")
    return {each: line.get(each) for each in names}


def _read(entry: ApprovalEntry, life_s: float) -> BreakPlan | None:
    try:
        expires_at = datetime.fromisoformat(entry.text("expires_at")).astimezone(UTC)
    except ValueError:
        return None
    kind, digest = entry.text("kind"), entry.text("digest")
    if kind not in get_args(Kind) or not digest:
        return None
    expires_at = min(expires_at, entry.at + timedelta(seconds=life_s))
    return BreakPlan(
        entry.plan, cast("Kind", kind), entry.text("target"), entry.text("name"), digest, entry.at, expires_at
    )
